//! Boxes and frusta.

use glam::{Mat4, UVec2, Vec2, Vec3};

use crate::View;

/// An axis-aligned box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Aabb {
    pub(crate) min: Vec3,
    pub(crate) max: Vec3,
}

impl Aabb {
    /// Contains nothing.
    pub(crate) const EMPTY: Self = Self {
        min: Vec3::INFINITY,
        max: Vec3::NEG_INFINITY,
    };

    pub(crate) fn add(&mut self, p: Vec3) {
        self.min = self.min.min(p);
        self.max = self.max.max(p);
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.min.cmpgt(self.max).any()
    }

    pub(crate) fn corners(&self) -> [Vec3; 8] {
        std::array::from_fn(|i| {
            let pick = |bit: usize, low: f32, high: f32| if i & bit == 0 { low } else { high };
            Vec3::new(
                pick(1, self.min.x, self.max.x),
                pick(2, self.min.y, self.max.y),
                pick(4, self.min.z, self.max.z),
            )
        })
    }

    /// The box around this one after a transform.
    pub(crate) fn transformed(&self, m: &Mat4) -> Self {
        let centre = m.transform_point3((self.min + self.max) * 0.5);
        let half = (self.max - self.min) * 0.5;
        let reach = m.x_axis.truncate().abs() * half.x
            + m.y_axis.truncate().abs() * half.y
            + m.z_axis.truncate().abs() * half.z;
        Self {
            min: centre - reach,
            max: centre + reach,
        }
    }

    /// Distance from a point to the nearest part of the box.
    pub(crate) fn distance(&self, p: Vec3) -> f32 {
        (self.min - p).max(p - self.max).max(Vec3::ZERO).length()
    }
}

/// A rectangle of a view, in pixels from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Its upper left pixel.
    pub origin: UVec2,
    /// Pixels across and down.
    pub size: UVec2,
}

/// Areas are made of these, in pixels: what one workgroup of `shade.wgsl` shades.
pub(crate) const TILE: UVec2 = UVec2::new(32, 16);

impl Area {
    pub(crate) const fn whole(view: &View) -> Self {
        Self {
            origin: UVec2::ZERO,
            size: view.size,
        }
    }

    /// The tiles of a view that may show any of the box; `None` when there are none.
    pub(crate) fn around(b: &Aabb, view: &View, eye: Vec3, near: f32) -> Option<Self> {
        let whole = Self::whole(view);
        let (mut low, mut high) = (Vec2::INFINITY, Vec2::NEG_INFINITY);
        for corner in b.corners() {
            let d = corner - eye;
            let z = d.dot(view.forward());
            if z < near {
                return Some(whole);
            }
            let at = Vec2::new(d.dot(view.world_from_view.x_axis), -d.dot(view.world_from_view.y_axis));
            let ndc = at / (z * view.half_tangent);
            (low, high) = (low.min(ndc), high.max(ndc));
        }
        let size = view.size.as_vec2();
        // One more pixel, against rounding.
        let low = ((low + 1.0) * 0.5 * size - 1.0).max(Vec2::ZERO).as_uvec2() / TILE * TILE;
        let high = ((high + 1.0) * 0.5 * size + 1.0).max(Vec2::ZERO).ceil().as_uvec2();
        let high = (high.min(view.size) + TILE - 1) / TILE * TILE;
        let high = high.min(view.size);
        (low.x < high.x && low.y < high.y).then(|| Self {
            origin: low,
            size: high - low,
        })
    }

    pub(crate) fn union(self, other: Self) -> Self {
        let origin = self.origin.min(other.origin);
        let end = (self.origin + self.size).max(other.origin + other.size);
        Self {
            origin,
            size: end - origin,
        }
    }
}

/// The half-spaces that a view sees: four through the eye, one at the near plane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frustum {
    /// Inward normals of length 1.
    normals: [Vec3; 5],
    eye: Vec3,
    near: f32,
}

impl Frustum {
    pub(crate) fn new(view: &View, eye: Vec3, near: f32) -> Self {
        Self::of_area(view, &Area::whole(view), eye, near)
    }

    /// What an area of a view sees.
    pub(crate) fn of_area(view: &View, area: &Area, eye: Vec3, near: f32) -> Self {
        let (right, up, forward) = (view.world_from_view.x_axis, view.world_from_view.y_axis, view.forward());
        let size = view.size.as_vec2();
        let low = (area.origin.as_vec2() / size * 2.0 - 1.0) * view.half_tangent;
        let high = ((area.origin + area.size).as_vec2() / size * 2.0 - 1.0) * view.half_tangent;
        let planes = [
            right - forward * low.x,
            forward * high.x - right,
            up + forward * high.y,
            -forward * low.y - up,
            forward,
        ];
        Self {
            normals: planes.map(Vec3::normalize),
            eye,
            near,
        }
    }

    /// Whether any part of the box may be seen. Never says no wrongly.
    pub(crate) fn sees(&self, b: &Aabb) -> bool {
        self.sees_swept(b, Vec3::ZERO, 0.0)
    }

    /// Whether any part of the box's way along a vector may be seen, or of what is no further than `margin` metres
    /// from it.
    pub(crate) fn sees_swept(&self, b: &Aabb, by: Vec3, margin: f32) -> bool {
        if b.is_empty() {
            return false;
        }
        self.normals.iter().enumerate().all(|(i, n)| {
            // The corner that lies furthest along the normal.
            let corner = Vec3::select(n.cmpge(Vec3::ZERO), b.max, b.min) - self.eye;
            let furthest = corner.dot(*n) + by.dot(*n).max(0.0) + margin;
            furthest >= if i == 4 { self.near } else { 0.0 }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VantageKind;

    #[test]
    fn a_box_on_an_axis_is_seen_by_that_face_alone() {
        let views = VantageKind::Panorama.views();
        for (i, view) in views.iter().enumerate() {
            let centre = view.forward() * 10.0 + Vec3::new(1.0, 2.0, 3.0);
            let b = Aabb {
                min: centre - 0.5,
                max: centre + 0.5,
            };
            for (j, other) in views.iter().enumerate() {
                let sees = Frustum::new(other, Vec3::new(1.0, 2.0, 3.0), 0.1).sees(&b);
                assert_eq!(sees, i == j, "box {i}, face {j}");
            }
        }
    }

    #[test]
    fn a_box_around_the_eye_is_seen_by_all() {
        let b = Aabb {
            min: Vec3::splat(-3.0),
            max: Vec3::splat(3.0),
        };
        for view in VantageKind::Panorama.views() {
            assert!(Frustum::new(&view, Vec3::ZERO, 0.1).sees(&b));
        }
    }
}
