//! The wearer's own pose on its way up: where it is in the world, how often it is sent, when it rests.

use glam::{Quat, Vec3};
use std::time::Duration;
use tongyou_protocol::control::Placement;
use tongyou_protocol::datagram::{Body, Joint, Pose};
use tongyou_protocol::{ClientTime, ServerTime};
use tongyou_stream::jitter::time_100us;

const INTERVAL_HEAD: Duration = Duration::from_micros(1_000_000 / 15);
const INTERVAL_HANDS: Duration = Duration::from_micros(1_000_000 / 30);
/// A pose may be this early, so that a display's rhythm does not halve the rate.
const EARLY: Duration = Duration::from_millis(3);
const STILL_METRES: f32 = 0.001;
const STILL_RADIANS: f32 = 0.002;
/// Rests begin after stillness of this length.
const STILL_FOR: Duration = Duration::from_millis(250);
/// Datagrams get lost: how often a rest is said, and how often a jump.
const SAY_REST: u8 = 3;
const SAY_JUMP: u8 = 2;

/// A joint in the wearer's own room.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalJoint {
    /// Metres from the floor point where the wearer started; -Z is ahead.
    pub position: Vec3,
    /// Likewise.
    pub rotation: Quat,
}

/// How the wearer holds head and hands, in the wearer's own room.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalPose {
    /// The head.
    pub head: LocalJoint,
    /// The left hand, where tracked.
    pub left: Option<LocalJoint>,
    /// The right hand, where tracked.
    pub right: Option<LocalJoint>,
    /// Where the wearer points, stop-local metres.
    pub pointer: Option<Vec3>,
}

/// Where the wearer's room stands, relative to the stop's pose origin.
#[derive(Debug)]
pub(super) struct Seat {
    position: Vec3,
    rotation: Quat,
    origin: Vec3,
}

impl Seat {
    pub(super) fn new(placement: &Placement, origin: Vec3) -> Self {
        let seat: Vec3 = placement.seat.unwrap_or_default().into();
        Self {
            position: seat - origin,
            rotation: Quat::from_rotation_y(placement.yaw),
            origin,
        }
    }

    fn joint(&self, local: LocalJoint) -> Joint {
        Joint {
            position: self.position + self.rotation * local.position,
            rotation: self.rotation * local.rotation,
        }
    }
}

/// Decides which poses are sent.
#[derive(Debug, Default)]
pub(super) struct Up {
    seq: u16,
    next: Option<ClientTime>,
    /// The pose that the wearer is still with respect to, and since when.
    still: Option<(ClientTime, Body)>,
    rest_said: u8,
    jump_left: u8,
}

impl Up {
    /// The wearer was moved: others do not see a flight.
    pub(super) const fn jump(&mut self) {
        self.jump_left = SAY_JUMP;
        self.still = None;
        self.rest_said = 0;
        self.next = None;
    }

    pub(super) const fn next(&self) -> Option<ClientTime> {
        self.next
    }

    pub(super) fn offer(
        &mut self,
        now: ClientTime,
        server: ServerTime,
        epoch: u16,
        seat: &Seat,
        pose: &LocalPose,
    ) -> Option<Pose> {
        if self.next.is_some_and(|next| now + EARLY < next) {
            return None;
        }
        let hands = pose.left.is_some() || pose.right.is_some();
        let interval = if hands { INTERVAL_HANDS } else { INTERVAL_HEAD };
        // Keeps the rhythm where it can: early or late calls do not shift it.
        let due = self.next.filter(|next| now < *next + interval).unwrap_or(now);
        self.next = Some(due + interval);
        let body = Body {
            time_100us: time_100us(server.0),
            at_rest: false,
            jump: self.jump_left > 0,
            head: seat.joint(pose.head),
            left: pose.left.map(|j| seat.joint(j)),
            right: pose.right.map(|j| seat.joint(j)),
            pointer: pose.pointer.map(|p| p - seat.origin),
        };
        let body = self.rest(now, body)?;
        self.jump_left = self.jump_left.saturating_sub(1);
        self.seq = self.seq.wrapping_add(1);
        Some(Pose {
            epoch,
            seq: self.seq,
            body,
        })
    }

    /// The body as it is sent, or nothing when the others know that it rests.
    fn rest(&mut self, now: ClientTime, body: Body) -> Option<Body> {
        match self.still {
            Some((since, reference)) if is_still(&reference, &body) => {
                if now < since + STILL_FOR {
                    return Some(body);
                }
                if self.rest_said == SAY_REST {
                    return None;
                }
                self.rest_said += 1;
                Some(Body { at_rest: true, ..body })
            }
            _ => {
                self.still = Some((now, body));
                self.rest_said = 0;
                Some(body)
            }
        }
    }
}

fn is_still(a: &Body, b: &Body) -> bool {
    let joint = |a: Joint, b: Joint| {
        a.position.distance(b.position) < STILL_METRES && a.rotation.angle_between(b.rotation) < STILL_RADIANS
    };
    let hand = |a: Option<Joint>, b: Option<Joint>| match (a, b) {
        (Some(a), Some(b)) => joint(a, b),
        (a, b) => a.is_none() && b.is_none(),
    };
    joint(a.head, b.head) && hand(a.left, b.left) && hand(a.right, b.right) && a.pointer == b.pointer
}
