//! Motion like a person's: looks at the sight and at others, sways, gestures, walks now and then.

use crate::Motion;
use glam::{EulerRot, Quat, Vec3};
use std::f32::consts::{PI, TAU};
use tongyou_client::core::{LocalJoint, LocalPose};

const EYE_HEIGHT_M: f32 = 1.6;
/// How quickly the head and the hands follow what they are meant to do, radians a second of a critically damped
/// spring: a turn takes about 0.8 s, a reach about 0.6 s.
const HEAD_SPRING: f32 = 5.0;
const HAND_SPRING: f32 = 7.0;

/// What a person sees, in the person's own room: -Z faces the sight, the floor is at 0.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// What people came to see.
    pub sight: Option<Vec3>,
    /// Heads of the others.
    pub others: Vec<Vec3>,
    /// This person leads the tour.
    pub leads: bool,
}

/// A person, moved step by step.
#[derive(Debug)]
pub struct Person {
    motion: Motion,
    random: Random,
    phases: [f32; 6],
    yaw: Spring<f32>,
    pitch: Spring<f32>,
    hands: [Spring<Vec3>; 2],
    gaze: Gaze,
    gaze_left_s: f32,
    gesture: Gesture,
    gesture_left_s: f32,
    walk_left_s: f32,
}

#[derive(Debug, Clone, Copy)]
enum Gaze {
    Sight,
    Other(usize),
    Somewhere(Vec3),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Gesture {
    Rest,
    Wave,
    Talk,
    Point,
}

impl Person {
    /// A person whose every decision comes from the seed.
    #[must_use]
    pub fn new(seed: u64, motion: Motion) -> Self {
        let mut random = Random(seed);
        Self {
            motion,
            phases: std::array::from_fn(|_| random.unit()),
            yaw: Spring::at(0.0),
            pitch: Spring::at(0.0),
            hands: [Spring::at(rest(-1.0)), Spring::at(rest(1.0))],
            gaze: Gaze::Sight,
            gaze_left_s: random.within(1.0, 4.0),
            gesture: Gesture::Rest,
            gesture_left_s: random.within(2.0, 10.0),
            walk_left_s: random.within(10.0, 40.0),
            random,
        }
    }

    /// The pose `dt_s` after the one before.
    pub fn step(&mut self, dt_s: f32, around: &Surroundings) -> LocalPose {
        if self.motion == Motion::Still {
            let head = LocalJoint {
                position: Vec3::Y * EYE_HEIGHT_M,
                rotation: Quat::IDENTITY,
            };
            return LocalPose {
                head,
                left: None,
                right: None,
                pointer: None,
            };
        }
        let dt_s = dt_s.clamp(0.0, 0.1);
        for (phase, hz) in self.phases.iter_mut().zip([0.23, 0.31, 0.17, 1.7, 0.9, 0.07]) {
            *phase = (*phase + hz * dt_s).fract();
        }
        self.decide(dt_s, around);
        let eye = Vec3::new(
            0.012 * self.wave(0),
            EYE_HEIGHT_M + 0.003 * self.wave(1),
            0.010 * self.wave(2),
        );
        let direction = self.target(around) - eye;
        let yaw = if direction.x == 0.0 && direction.z == 0.0 {
            0.0
        } else {
            (-direction.x).atan2(-direction.z)
        };
        let pitch = direction.y.atan2(direction.x.hypot(direction.z)).clamp(-0.9, 0.9);
        // The shorter way round, and not further than a body turns easily.
        let ahead = (yaw - self.yaw.value + PI).rem_euclid(TAU) - PI;
        self.yaw
            .follow((self.yaw.value + ahead).clamp(-2.4, 2.4), HEAD_SPRING, dt_s);
        self.pitch.follow(pitch, HEAD_SPRING, dt_s);
        let rotation = Quat::from_euler(EulerRot::YXZ, self.yaw.value, self.pitch.value, 0.02 * self.wave(2));
        let aims = [self.hand_aim(-1.0, eye, direction), self.hand_aim(1.0, eye, direction)];
        for (hand, aim) in self.hands.iter_mut().zip(aims) {
            hand.follow(aim, HAND_SPRING, dt_s);
        }
        let body = Quat::from_rotation_y(self.yaw.value * 0.5);
        let hand = |hand: &Spring<Vec3>, turn: f32| LocalJoint {
            position: body * hand.value,
            rotation: body * Quat::from_euler(EulerRot::YXZ, 0.15 * turn, -0.4 + 0.1 * turn, 0.3 * turn),
        };
        let pointing = self.gesture == Gesture::Point;
        LocalPose {
            head: LocalJoint {
                position: eye,
                rotation,
            },
            left: Some(hand(&self.hands[0], -self.wave(1))),
            right: Some(hand(&self.hands[1], self.wave(1))),
            pointer: around
                .sight
                .filter(|_| pointing && around.leads)
                .map(|sight| sight + self.wander()),
        }
    }

    /// Whether the person wants to stand elsewhere now.
    pub fn wants_to_walk(&mut self) -> bool {
        if self.motion == Motion::Still || self.walk_left_s > 0.0 {
            return false;
        }
        self.walk_left_s = self.random.within(20.0, 60.0);
        true
    }

    /// One of `n`, at random.
    pub fn pick(&mut self, n: usize) -> usize {
        self.random.below(n)
    }

    fn decide(&mut self, dt_s: f32, around: &Surroundings) {
        self.walk_left_s -= dt_s;
        self.gaze_left_s -= dt_s;
        self.gesture_left_s -= dt_s;
        if self.gaze_left_s <= 0.0 {
            self.gaze_left_s = self.random.within(1.5, 6.0);
            let luck = self.random.unit();
            self.gaze = if luck < 0.5 {
                Gaze::Sight
            } else if luck < 0.75 && !around.others.is_empty() {
                Gaze::Other(self.random.below(around.others.len()))
            } else {
                let yaw = self.random.within(-1.8, 1.8);
                Gaze::Somewhere(Vec3::new(
                    -10.0 * yaw.sin(),
                    self.random.within(0.0, 6.0),
                    -10.0 * yaw.cos(),
                ))
            };
        }
        if self.gesture_left_s <= 0.0 {
            let luck = self.random.unit();
            (self.gesture, self.gesture_left_s) = if self.gesture != Gesture::Rest {
                (Gesture::Rest, self.random.within(4.0, 14.0))
            } else if around.leads && luck < 0.5 {
                self.gaze = Gaze::Sight;
                self.gaze_left_s = 4.0;
                (Gesture::Point, self.random.within(3.0, 5.0))
            } else if around.leads || luck < 0.5 {
                (Gesture::Talk, self.random.within(2.0, 6.0))
            } else {
                (Gesture::Wave, self.random.within(1.5, 3.0))
            };
        }
    }

    fn target(&self, around: &Surroundings) -> Vec3 {
        let sight = around.sight.unwrap_or(Vec3::new(0.0, EYE_HEIGHT_M, -10.0));
        match self.gaze {
            Gaze::Sight => sight,
            Gaze::Other(i) => around.others.get(i).copied().unwrap_or(sight),
            Gaze::Somewhere(point) => point,
        }
    }

    fn hand_aim(&self, side: f32, eye: Vec3, direction: Vec3) -> Vec3 {
        let right = side > 0.0;
        match self.gesture {
            Gesture::Wave if right => Vec3::new(0.35 + 0.12 * self.wave(3), 1.55, -0.3),
            Gesture::Point if right => {
                let shoulder = eye + Vec3::new(0.2, -0.25, 0.0);
                // Aims are in the body's frame, which turns half as far as the head.
                Quat::from_rotation_y(-self.yaw.value * 0.5) * (shoulder + direction.normalize_or_zero() * 0.6)
            }
            Gesture::Talk => Vec3::new(
                side * (0.2 + 0.08 * self.wave(4)),
                1.1 + 0.1 * self.wave(3) * side,
                -0.35 + 0.05 * self.wave(4),
            ),
            _ => rest(side) + Vec3::new(0.0, 0.01 * self.wave(1), 0.02 * self.wave(0) * side),
        }
    }

    fn wander(&self) -> Vec3 {
        Vec3::new(0.4 * self.wave(4), 0.3 * self.wave(1), 0.4 * self.wave(0))
    }

    fn wave(&self, i: usize) -> f32 {
        (self.phases[i] * TAU).sin()
    }
}

fn rest(side: f32) -> Vec3 {
    Vec3::new(0.24 * side, 0.95, -0.12)
}

/// Follows its aim without overshoot.
#[derive(Debug, Clone, Copy)]
struct Spring<T> {
    value: T,
    speed: T,
}

impl<T> Spring<T>
where
    T: Copy + Default + std::ops::Add<Output = T> + std::ops::Sub<Output = T> + std::ops::Mul<f32, Output = T>,
{
    fn at(value: T) -> Self {
        Self {
            value,
            speed: T::default(),
        }
    }

    /// The exact step of a critically damped spring.
    fn follow(&mut self, aim: T, omega: f32, dt_s: f32) {
        let off = self.value - aim;
        let c = self.speed + off * omega;
        let decay = (-omega * dt_s).exp();
        self.value = aim + (off + c * dt_s) * decay;
        self.speed = (self.speed - c * (omega * dt_s)) * decay;
    }
}

/// Seeded randomness (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) >> 40).unwrap_or(0)
    }

    /// Within 0..1.
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit an f32's mantissa")]
    fn unit(&mut self) -> f32 {
        self.bits() as f32 / 16_777_216.0
    }

    fn within(&mut self, least: f32, most: f32) -> f32 {
        least + self.unit() * (most - least)
    }

    fn below(&mut self, n: usize) -> usize {
        self.bits() as usize % n.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(seed: u64, leads: bool) -> Vec<LocalPose> {
        let mut person = Person::new(seed, Motion::Seeded);
        let around = Surroundings {
            sight: Some(Vec3::new(2.0, 12.0, -30.0)),
            others: vec![Vec3::new(1.0, 1.6, 1.0), Vec3::new(-3.0, 1.6, -1.0)],
            leads,
        };
        (0..3_600).map(|_| person.step(1.0 / 30.0, &around)).collect()
    }

    #[test]
    fn people_move_like_people() {
        for seed in 0..8 {
            let poses = walk(seed, seed == 0);
            let (mut fastest_hand, mut fastest_turn, mut travelled) = (0.0_f32, 0.0_f32, 0.0);
            for pair in poses.windows(2) {
                let hand = |p: &LocalPose| p.right.unwrap().position;
                fastest_hand = fastest_hand.max(hand(&pair[0]).distance(hand(&pair[1])) * 30.0);
                fastest_turn = fastest_turn.max(pair[0].head.rotation.angle_between(pair[1].head.rotation) * 30.0);
                travelled += pair[0].head.rotation.angle_between(pair[1].head.rotation);
                assert!(pair[1].head.position.distance(Vec3::Y * EYE_HEIGHT_M) < 0.03);
                assert!(pair[1].head.rotation.is_normalized());
                let reach = hand(&pair[1]).distance(pair[1].head.position);
                assert!((0.2..1.2).contains(&reach), "{reach} m");
            }
            assert!((0.3..6.0).contains(&fastest_hand), "{fastest_hand} m/s");
            assert!((0.5..8.0).contains(&fastest_turn), "{fastest_turn} rad/s");
            assert!(travelled > 10.0, "the head turned by {travelled} rad in two minutes");
            assert_eq!(
                poses.iter().any(|p| p.pointer.is_some()),
                seed == 0,
                "only the guide points"
            );
        }
    }

    #[test]
    fn the_same_seed_moves_the_same() {
        assert_eq!(walk(5, false), walk(5, false));
        assert_ne!(walk(5, false), walk(6, false));
    }
}
