//! What a ray of the wearer meets: the surface that the layer on show has there.

use crate::present::Set;
use glam::Vec3;
use std::sync::Arc;
use tongyou_protocol::cube::{FACES, locate};
use tongyou_protocol::depth::Cube;
use tongyou_protocol::frame::{Shape, Tag};

/// Nobody points farther, metres.
const FARTHEST_M: f32 = 150.0;
/// From step to step the distance grows by this part.
const STEP: f32 = 0.03;

/// Depth of a set as pointing needs it.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    tag: Tag,
    depth: Arc<Cube>,
}

impl Ground {
    /// Of the base of a panorama; a view of one's own ends with the picture.
    pub(super) fn of(set: &Set) -> Option<Self> {
        let depth = set.depth().filter(|_| set.form().shape == Shape::Panorama)?;
        Some(Self {
            tag: *set.tag(),
            depth: Arc::clone(depth),
        })
    }

    /// The first point of a ray that lies behind the surface; `None` in the sky.
    pub(super) fn hit(&self, from: Vec3, direction: Vec3) -> Option<Vec3> {
        let direction = direction.try_normalize()?;
        let (mut near, mut far) = (0.0, 0.2);
        while !self.is_behind(from + direction * far) {
            near = far;
            far += far * STEP;
            if far > FARTHEST_M {
                return None;
            }
        }
        for _ in 0..12 {
            let middle = 0.5 * (near + far);
            if self.is_behind(from + direction * middle) {
                far = middle;
            } else {
                near = middle;
            }
        }
        Some(from + direction * near)
    }

    fn is_behind(&self, at: Vec3) -> bool {
        let to = at - self.tag.point;
        let Some((face, u, v)) = locate(to, self.tag.half_tangent) else {
            return false;
        };
        let size = self.depth.size();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "within the face, which has some hundred texels"
        )]
        let texel = |c: f32| (((c * 0.5 + 0.5) * size as f32) as usize).min(size - 1);
        let d = self.depth.samples()[(face * size + texel(v)) * size + texel(u)];
        let z = to.dot(FACES[face].forward);
        d != 0 && f32::from(d) * z > 65_535.0 * self.tag.near
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tongyou_protocol::cube::HALF_TANGENT;
    use tongyou_protocol::frame::Eyes;
    use tongyou_protocol::{SetId, TourTime, VantageId};

    #[test]
    fn a_ray_from_beside_the_rendered_point_meets_the_wall() {
        const SIZE: usize = 64;
        let point = Vec3::new(3.0, 1.6, -2.0);
        // A wall at 5 m in every direction but up, which is open.
        let depth = |face: usize| if FACES[face].forward.y > 0.5 { 0 } else { 2_621 };
        let samples = (0..6 * SIZE * SIZE).map(|i| depth(i / (SIZE * SIZE))).collect();
        let ground = Ground {
            tag: Tag {
                set: SetId(1),
                vantage: VantageId(1),
                epoch: 1,
                point,
                near: 0.2,
                half_tangent: HALF_TANGENT,
                tour_time: TourTime(0),
                exposure: 1.0,
                ambient: [[0.0; 3]; 9],
                still_ms: [0; 6],
                eyes: Eyes::default(),
            },
            depth: Arc::new(Cube::new(SIZE, samples).unwrap()),
        };
        let eye = point + Vec3::new(0.3, 0.1, 0.0);
        let hit = ground.hit(eye, Vec3::new(0.5, 0.0, -2.0)).unwrap();
        assert!((hit.z - (point.z - 5.0)).abs() < 0.02, "{hit}");
        assert!((hit.x - (eye.x + 1.25)).abs() < 0.02, "{hit}");
        assert_eq!(ground.hit(eye, Vec3::Y), None);
        assert_eq!(ground.hit(eye, Vec3::ZERO), None);
    }
}
