//! An eye: where it is and what it sees.

use glam::{Mat4, Quat, Vec3, Vec4};

/// What is nearer is not drawn, metres.
const NEAR: f32 = 0.05;

/// An eye in stop-local space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Eye {
    /// Stop-local metres.
    pub position: Vec3,
    /// Turns -Z ahead, Y up into stop-local space.
    pub rotation: Quat,
    /// The whole angle of view from bottom to top, radians.
    pub fov_y: f32,
    /// Width over height.
    pub aspect: f32,
}

impl Eye {
    /// Both eyes of a head that is held at `self`, `ipd_m` apart: left, right.
    #[must_use]
    pub fn pair(self, ipd_m: f32) -> [Self; 2] {
        [-0.5, 0.5].map(|side| Self {
            position: self.position + self.rotation * (Vec3::X * (side * ipd_m)),
            ..self
        })
    }

    /// From stop-local metres to clip space with reversed z: 1 at the near plane, 0 infinitely far.
    #[must_use]
    pub fn clip_from_world(self) -> Mat4 {
        let up = 1.0 / (0.5 * self.fov_y).tan();
        let clip_from_eye = Mat4::from_cols(
            Vec4::new(up / self.aspect, 0.0, 0.0, 0.0),
            Vec4::new(0.0, up, 0.0, 0.0),
            Vec4::new(0.0, 0.0, 0.0, -1.0),
            Vec4::new(0.0, 0.0, NEAR, 0.0),
        );
        let eye_from_world = Mat4::from_quat(self.rotation.conjugate()) * Mat4::from_translation(-self.position);
        clip_from_eye * eye_from_world
    }

    /// The direction through a place of the picture, −1..=1, x to the right, y up; not normalised.
    #[must_use]
    pub fn ray(self, x: f32, y: f32) -> Vec3 {
        let up = (0.5 * self.fov_y).tan();
        self.rotation * Vec3::new(x * up * self.aspect, y * up, -1.0)
    }

    /// Where a point is in the picture, −1..=1, x to the right, y up; `None` behind the eye.
    #[must_use]
    pub fn project(self, point: Vec3) -> Option<(f32, f32)> {
        let clip = self.clip_from_world() * point.extend(1.0);
        (clip.w > NEAR).then(|| (clip.x / clip.w, clip.y / clip.w))
    }

    /// Half the angle from one corner of the picture to the opposite one, radians.
    #[must_use]
    pub fn half_diagonal(self) -> f32 {
        let up = (0.5 * self.fov_y).tan();
        (up * self.aspect).hypot(up).atan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rays_and_projection_are_inverse_and_eyes_lie_beside_each_other() {
        let head = Eye {
            position: Vec3::new(1.0, 1.6, -2.0),
            rotation: Quat::from_rotation_y(0.7) * Quat::from_rotation_x(-0.2),
            fov_y: 1.2,
            aspect: 1.5,
        };
        for (x, y) in [(0.0, 0.0), (0.5, -0.75), (-1.0, 1.0)] {
            let (px, py) = head.project(head.position + head.ray(x, y) * 3.0).unwrap();
            assert!((px - x).abs() < 1e-4 && (py - y).abs() < 1e-4, "{px} {py}");
        }
        assert_eq!(head.project(head.position - head.ray(0.0, 0.0)), None);
        let [left, right] = head.pair(0.064);
        assert!((left.position.distance(right.position) - 0.064).abs() < 1e-6);
        let (x, y) = head.project(right.position + head.ray(0.0, 0.0)).unwrap();
        assert!(x > 0.0 && y.abs() < 1e-5, "the right eye is on the right");
    }
}
