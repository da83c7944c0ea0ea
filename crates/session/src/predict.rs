//! Where a head will be when a picture of its own is shown.

use std::time::Duration;

use glam::{Quat, Vec3};
use tongyou_protocol::ServerTime;
use tongyou_protocol::datagram::Joint;

/// Older poses say nothing about the present motion.
const FRESH: Duration = Duration::from_millis(250);
/// Poses that follow more closely say more about noise than about motion.
const LEAST_STEP_S: f32 = 0.008;
/// Nobody is led farther than this, metres.
const FARTHEST_M: f32 = 0.2;
/// Nobody is turned by more than this, radians (20°).
const WIDEST_RAD: f32 = 0.35;
/// Share of a new measurement in the mean of velocities.
const FOLLOW: f32 = 0.4;

/// How a head moves.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Motion {
    /// Metres a second.
    linear: Vec3,
    /// Radians a second about an axis of the stop.
    angular: Vec3,
}

impl Motion {
    /// After one more pose.
    pub(crate) fn step(self, before: &Joint, after: &Joint, took: Duration) -> Self {
        let seconds = took.as_secs_f32();
        if took > FRESH {
            return Self::default();
        }
        if seconds < LEAST_STEP_S {
            return self;
        }
        let turned = after.rotation * before.rotation.inverse();
        // The shorter of the two ways.
        let turned = if turned.w < 0.0 { -turned } else { turned };
        let mean = |old: Vec3, new: Vec3| old + (new - old) * FOLLOW;
        Self {
            linear: mean(self.linear, (after.position - before.position) / seconds),
            angular: mean(self.angular, turned.to_scaled_axis() / seconds),
        }
    }

    /// The head at an instant after the pose that was captured at `at`.
    pub(crate) fn predict(self, head: &Joint, at: ServerTime, shown_at: ServerTime) -> Joint {
        let ahead = shown_at.saturating_since(at);
        if ahead > FRESH {
            return *head;
        }
        let seconds = ahead.as_secs_f32();
        let moved = (self.linear * seconds).clamp_length_max(FARTHEST_M);
        let turned = (self.angular * seconds).clamp_length_max(WIDEST_RAD);
        Joint {
            position: head.position + moved,
            rotation: (Quat::from_scaled_axis(turned) * head.rotation).normalize(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(at_s: f32, turn_rad_s: f32) -> Joint {
        Joint {
            position: Vec3::new(0.5 * at_s, 1.6, 0.0),
            rotation: Quat::from_rotation_y(turn_rad_s * at_s),
        }
    }

    fn follow(turn_rad_s: f32) -> Motion {
        let step = Duration::from_millis(14);
        (1..30_u16).fold(Motion::default(), |motion, i| {
            let t = |i: u16| f32::from(i) * step.as_secs_f32();
            motion.step(&head(t(i - 1), turn_rad_s), &head(t(i), turn_rad_s), step)
        })
    }

    #[test]
    fn a_steady_motion_goes_on_for_a_while_and_not_far() {
        for turn in [2.0, -2.0] {
            let motion = follow(turn);
            let now = ServerTime(1_000_000);
            let shown = motion.predict(&head(1.0, turn), now, now + Duration::from_millis(80));
            let wanted = head(1.08, turn);
            assert!(shown.position.distance(wanted.position) < 1e-3, "{shown:?}");
            assert!(shown.rotation.angle_between(wanted.rotation) < 0.01, "{shown:?}");
            let late = motion.predict(&head(1.0, turn), now, now + Duration::from_millis(251));
            assert_eq!(late, head(1.0, turn), "of an old pose nothing is known");
        }
        let fast = follow(15.0).predict(
            &head(0.0, 0.0),
            ServerTime(0),
            ServerTime(0) + Duration::from_millis(200),
        );
        assert!(fast.rotation.angle_between(Quat::IDENTITY) < WIDEST_RAD + 0.01);
        assert!(fast.position.distance(Vec3::Y * 1.6) < FARTHEST_M);
    }

    #[test]
    fn a_pause_ends_the_motion_and_a_double_pose_says_nothing() {
        let motion = follow(2.0);
        let stopped = motion.step(&head(1.0, 2.0), &head(3.0, 2.0), Duration::from_secs(2));
        assert_eq!(stopped.linear, Vec3::ZERO);
        let doubled = motion.step(&head(1.0, 2.0), &head(1.1, 2.0), Duration::from_micros(10));
        assert_eq!(doubled.linear, motion.linear);
    }
}
