//! Where the wearer's eye is: the rendered point, the head's own movement, the heading.

use glam::{Quat, Vec3};

/// The eye stays this close to the rendered point: farther away too much is hidden from it.
pub(super) const MAX_OFFSET_M: f32 = 0.5;
const MAX_PITCH: f32 = 1.45;

/// A view for mouse and keys. Radians; yaw counter-clockwise from −Z about +Y.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct View {
    pub(super) yaw: f32,
    pub(super) pitch: f32,
    /// The head's own movement, stop-local metres.
    pub(super) offset: Vec3,
}

impl View {
    pub(super) fn turn(&mut self, yaw: f32, pitch: f32) {
        self.yaw = (self.yaw + yaw).rem_euclid(std::f32::consts::TAU);
        self.pitch = (self.pitch + pitch).clamp(-MAX_PITCH, MAX_PITCH);
    }

    /// Moves the head right, up and ahead as the view is turned.
    pub(super) fn lean(&mut self, right: f32, up: f32, ahead: f32) {
        let by = Quat::from_rotation_y(self.yaw) * Vec3::new(right, up, -ahead);
        self.offset = (self.offset + by).clamp_length_max(MAX_OFFSET_M);
    }

    pub(super) fn rotation(&self) -> Quat {
        Quat::from_rotation_y(self.yaw) * Quat::from_rotation_x(self.pitch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaning_follows_the_view_and_ends_at_half_a_metre() {
        let mut view = View::default();
        view.turn(std::f32::consts::FRAC_PI_2, 9.0);
        assert!((view.rotation() * Vec3::NEG_Z).y > 0.99, "pitch stops below the zenith");
        view.lean(0.0, 0.0, 0.2);
        assert!(
            view.offset.distance(Vec3::new(-0.2, 0.0, 0.0)) < 1e-6,
            "ahead is west now"
        );
        view.lean(0.0, 0.0, 5.0);
        assert!((view.offset.length() - MAX_OFFSET_M).abs() < 1e-6);
    }
}
