//! The others and the rings, as they are drawn in a frame.

use super::wearer::Known;
use crate::present::{Figure, Joint, Ring};
use glam::Vec3;
use std::collections::BTreeMap;
use std::f32::consts::PI;
use std::time::{Duration, Instant};
use tongyou_protocol::HeadsetId;
use tongyou_protocol::control::Role;
use tongyou_protocol::datagram::{self, Body};

/// From one sample of the others to the next; the network's side takes one with each pose that it sends.
const INTERVAL: Duration = Duration::from_micros(1_000_000 / 15);
const RING_RADIUS_M: f32 = 0.42;
const FARTHEST_WALK_M: f32 = 60.0;
/// Hands tremble.
const TOLERANCE: f32 = 0.05;

/// The others, moved smoothly from sample to sample.
#[derive(Debug, Default)]
pub(super) struct People {
    sampled_us: i64,
    since: Option<Instant>,
    from: BTreeMap<HeadsetId, Body>,
    to: BTreeMap<HeadsetId, Body>,
}

impl People {
    /// Takes what the network's side knows.
    pub(super) fn update(&mut self, known: &Known, now: Instant) {
        let (at, others) = &known.others;
        if *at == self.sampled_us {
            return;
        }
        self.from = self
            .to
            .iter()
            .map(|(id, to)| (*id, self.between(*id, to, now)))
            .collect();
        self.sampled_us = *at;
        self.since = Some(now);
        self.to = others.iter().copied().collect();
    }

    /// How they are to be drawn.
    pub(super) fn figures(&self, known: &Known, now: Instant) -> Vec<Figure> {
        let origin = known
            .stop
            .as_ref()
            .and_then(|s| s.pose_origin)
            .map_or(Vec3::ZERO, Vec3::from);
        let joint = |j: datagram::Joint| -> Joint { (j.position + origin, j.rotation) };
        self.to
            .iter()
            .map(|(id, to)| {
                let body = self.between(*id, to, now);
                let person = known.people.iter().find(|p| p.headset == u32::from(id.0));
                Figure {
                    headset: id.0,
                    is_guide: person.is_some_and(|p| p.role() == Role::Guide),
                    head: joint(body.head),
                    left: body.left.map(joint),
                    right: body.right.map(joint),
                    pointer: body.pointer.map(|p| p + origin),
                }
            })
            .collect()
    }

    fn between(&self, id: HeadsetId, to: &Body, now: Instant) -> Body {
        let Some(from) = self.from.get(&id).filter(|_| !to.jump) else {
            return *to;
        };
        let elapsed = self
            .since
            .map_or(Duration::MAX, |since| now.saturating_duration_since(since));
        let part = (elapsed.as_secs_f32() / INTERVAL.as_secs_f32()).min(1.0);
        let joint = |a: datagram::Joint, b: datagram::Joint| datagram::Joint {
            position: a.position.lerp(b.position, part),
            rotation: a.rotation.slerp(b.rotation, part),
        };
        let hand = |a: Option<datagram::Joint>, b: Option<datagram::Joint>| match (a, b) {
            (Some(a), Some(b)) => Some(joint(a, b)),
            (_, b) => b,
        };
        Body {
            head: joint(from.head, to.head),
            left: hand(from.left, to.left),
            right: hand(from.right, to.right),
            ..*to
        }
    }
}

/// The cells of the stop where one does not stand, with their numbers.
pub(super) fn rings(known: &Known) -> Vec<(u32, Vec3)> {
    let here = known.placement.map(|p| p.cell);
    let cells = known.stop.iter().flat_map(|s| &s.cells);
    (0..)
        .zip(cells)
        .filter(|(number, _)| Some(*number) != here)
        .filter_map(|(number, cell)| Some((number, cell.point.map(|p| Vec3::new(p.x, cell.floor_y, p.z))?)))
        .collect()
}

/// Where a ray meets the floor that the wearer stands on, not farther than one walks.
pub(super) fn floor(floor_y: f32, origin: Vec3, direction: Vec3) -> Option<Vec3> {
    let t = (floor_y - origin.y) / direction.y;
    let at = origin + direction * t;
    (t > 0.0 && at.is_finite() && at.distance(origin) < FARTHEST_WALK_M).then_some(at)
}

/// As they are drawn, the hot one differently.
pub(super) fn drawn(rings: &[(u32, Vec3)], hot: Option<u32>) -> Vec<Ring> {
    let ring = |(number, at): &(u32, Vec3)| Ring {
        at: *at,
        is_hot: hot == Some(*number),
    };
    rings.iter().map(ring).collect()
}

/// The ring that a ray points at, with some tolerance.
pub(super) fn pick(rings: &[(u32, Vec3)], origin: Vec3, direction: Vec3) -> Option<u32> {
    rings
        .iter()
        .filter_map(|(number, at)| {
            let to = *at - origin;
            let reach = TOLERANCE.max((RING_RADIUS_M / to.length()).atan() * 0.6);
            let angle = to.angle_between(direction);
            (angle < reach.min(PI)).then_some((*number, angle))
        })
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::Quat;
    use tongyou_protocol::control::{Cell, Placement, Stop};

    fn known(cells: usize) -> Known {
        let cell = |x: usize| Cell {
            point: Some(tongyou_protocol::control::Vec3 {
                x: f32::from(u8::try_from(x).unwrap()) * 10.0,
                y: 1.6,
                z: -8.0,
            }),
            floor_y: 0.0,
        };
        Known {
            stop: Some(Stop {
                cells: (0..cells).map(cell).collect(),
                ..Stop::default()
            }),
            placement: Some(Placement {
                cell: 1,
                ..Placement::default()
            }),
            ..Known::default()
        }
    }

    #[test]
    fn a_ray_finds_the_ring_that_it_points_at() {
        let rings = rings(&known(3));
        assert_eq!(
            rings.iter().map(|r| r.0).collect::<Vec<_>>(),
            [0, 2],
            "not where one stands"
        );
        let eye = Vec3::new(10.0, 1.6, 0.0);
        assert_eq!(pick(&rings, eye, Vec3::new(10.0, -1.6, -8.0)), Some(2));
        assert_eq!(pick(&rings, eye, Vec3::new(-10.1, -1.6, -8.1)), Some(0));
        assert_eq!(pick(&rings, eye, Vec3::NEG_Z), None);
        assert!(drawn(&rings, Some(2))[1].is_hot);
    }

    #[test]
    fn a_ray_meets_the_floor_in_front_and_not_too_far() {
        let eye = Vec3::new(1.0, 1.6, 2.0);
        let at = floor(0.0, eye, Vec3::new(0.0, -0.8, -1.0)).unwrap();
        assert!(at.distance(Vec3::new(1.0, 0.0, 0.0)) < 1e-5, "{at}");
        assert_eq!(floor(0.0, eye, Vec3::Y), None);
        assert_eq!(floor(0.0, eye, Vec3::NEG_Z), None);
        assert_eq!(floor(0.0, eye, Vec3::new(0.0, -0.01, -1.0)), None);
    }

    #[test]
    fn people_move_from_sample_to_sample_and_jump_when_they_do() {
        let body = |x: f32, jump| {
            let joint = datagram::Joint {
                position: Vec3::X * x,
                rotation: Quat::IDENTITY,
            };
            Body {
                time_100us: 0,
                at_rest: false,
                jump,
                head: joint,
                left: None,
                right: None,
                pointer: None,
            }
        };
        let mut known = known(1);
        let mut people = People::default();
        let begin = Instant::now();
        let at = |people: &People, known: &Known, now| people.figures(known, now)[0].head.0.x;
        known.others = (1, vec![(HeadsetId(5), body(1.0, false))]);
        people.update(&known, begin);
        assert_eq!(at(&people, &known, begin), 1.0);
        known.others = (2, vec![(HeadsetId(5), body(2.0, false))]);
        people.update(&known, begin);
        let half = at(&people, &known, begin + INTERVAL / 2);
        assert!((half - 1.5).abs() < 0.01, "{half}");
        assert_eq!(at(&people, &known, begin + INTERVAL * 3), 2.0);
        known.others = (3, vec![(HeadsetId(5), body(9.0, true))]);
        people.update(&known, begin + INTERVAL);
        assert_eq!(at(&people, &known, begin + INTERVAL), 9.0);
    }
}
