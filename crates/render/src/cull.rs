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

    /// The tiles of a view at a vantage's point that may show any of the box; `None` when there are none. Of an
    /// undivided view all or none.
    pub(crate) fn around(b: &Aabb, view: &View, point: Vec3, near: f32) -> Option<Self> {
        let whole = Self::whole(view);
        if view.is_undivided() {
            return Frustum::new(view, point, near).sees(b).then_some(whole);
        }
        let eye = point + view.offset;
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
}

/// A set of a view's tiles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tiles {
    /// The view, in pixels.
    view: UVec2,
    /// Tiles across and down.
    count: UVec2,
    /// Row after row, 64 a word.
    words: Vec<u64>,
}

impl Tiles {
    /// None of the tiles of a view of so many pixels.
    #[must_use]
    pub fn none(view: UVec2) -> Self {
        let count = (view + TILE - 1) / TILE;
        let words = (count.x as usize * count.y as usize).div_ceil(64);
        Self {
            view,
            count,
            words: vec![0; words],
        }
    }

    /// All of them.
    #[must_use]
    pub fn all(view: UVec2) -> Self {
        let mut tiles = Self::none(view);
        tiles.add(&Area {
            origin: UVec2::ZERO,
            size: view,
        });
        tiles
    }

    /// The pixels of the view.
    #[must_use]
    pub const fn view(&self) -> UVec2 {
        self.view
    }

    /// Adds those that an area touches.
    pub fn add(&mut self, area: &Area) {
        let end = (area.origin + area.size).min(self.view);
        let end = (end + TILE - 1) / TILE;
        for y in area.origin.y / TILE.y..end.y {
            for x in area.origin.x / TILE.x..end.x {
                let (word, bit) = self.place(UVec2::new(x, y));
                self.words[word] |= bit;
            }
        }
    }

    /// Those that are in both sets, which are of the same view.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
        self
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    /// Whether a pixel lies in one of them.
    #[must_use]
    pub fn contains(&self, pixel: UVec2) -> bool {
        let (word, bit) = self.place(pixel / TILE);
        pixel.cmplt(self.view).all() && self.words[word] & bit != 0
    }

    /// The pixels of each, row after row.
    pub fn areas(&self) -> impl Iterator<Item = Area> {
        let tiles = (0..self.count.y).flat_map(|y| (0..self.count.x).map(move |x| UVec2::new(x, y)));
        tiles
            .map(|t| t * TILE)
            .filter(|o| self.contains(*o))
            .map(|origin| Area {
                origin,
                size: TILE.min(self.view - origin),
            })
    }

    /// The same pixels as [`Self::areas`] in fewer rectangles: tiles side by side are one.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Area> {
        let mut tiles = self.areas().peekable();
        std::iter::from_fn(move || {
            let mut run = tiles.next()?;
            let next_to = |run: &Area, a: &Area| a.origin.y == run.origin.y && a.origin.x == run.origin.x + run.size.x;
            while let Some(next) = tiles.next_if(|a| next_to(&run, a)) {
                run.size.x += next.size.x;
            }
            Some(run)
        })
    }

    /// The rectangle around all of them.
    #[must_use]
    pub fn bounds(&self) -> Option<Area> {
        let ends = self.areas().map(|a| (a.origin, a.origin + a.size));
        let (origin, end) = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        Some(Area {
            origin,
            size: end - origin,
        })
    }

    const fn place(&self, tile: UVec2) -> (usize, u64) {
        let index = tile.y as usize * self.count.x as usize + tile.x as usize;
        (index / 64, 1 << (index % 64))
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
    /// What a view at a vantage's point sees.
    pub(crate) fn new(view: &View, point: Vec3, near: f32) -> Self {
        Self::of_area(view, &Area::whole(view), point, near)
    }

    /// What an area of a view sees; the area of an undivided one is all of it.
    pub(crate) fn of_area(view: &View, area: &Area, point: Vec3, near: f32) -> Self {
        let eye = point + view.offset;
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

    #[test]
    fn tiles_are_counted_joined_and_bounded() {
        let view = UVec2::new(100, 40);
        let mut tiles = Tiles::none(view);
        assert!(tiles.is_empty() && tiles.bounds().is_none());
        tiles.add(&Area {
            origin: UVec2::new(40, 20),
            size: UVec2::new(30, 1),
        });
        assert_eq!(tiles.len(), 2);
        assert!(tiles.contains(UVec2::new(32, 16)) && !tiles.contains(UVec2::new(31, 16)));
        let area = |x, y, across, down| Area {
            origin: UVec2::new(x, y),
            size: UVec2::new(across, down),
        };
        assert_eq!(tiles.bounds(), Some(area(32, 16, 64, 16)));
        // What lies over the edge is cut off, and the last tiles are smaller.
        tiles.add(&area(90, 39, 500, 500));
        assert_eq!(tiles.areas().last(), Some(area(96, 32, 4, 8)));
        assert_eq!(
            tiles.runs().collect::<Vec<_>>(),
            [area(32, 16, 64, 16), area(64, 32, 36, 8)]
        );
        let all = Tiles::all(view);
        assert_eq!((all.len(), all.runs().count()), (12, 3));
        assert_eq!(all.and(&tiles), tiles);
        assert!(!tiles.contains(UVec2::new(100, 39)));
    }
}
