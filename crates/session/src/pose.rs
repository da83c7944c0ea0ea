//! Which poses of a person are believed.

use bytes::Bytes;
use glam::Vec3;
use tongyou_protocol::datagram::{Avatars, Body, Datagram, Joint, Pose};
use tongyou_protocol::{HeadsetId, ServerTime};

use crate::bucket::Bucket;
use crate::predict::Motion;

/// A head stays this near to the wearer's seat at eye height, metres.
pub(crate) const REACH_M: f32 = 3.0;
/// A hand stays this near to its head, metres; another one is left out.
const ARM_M: f32 = 1.5;
/// Faster than this nobody moves on foot, metres a second.
pub(crate) const MAX_SPEED_MPS: f32 = 12.0;
/// Tracking may correct itself by so much at once, metres.
const SLACK_M: f32 = 0.3;
/// A pose that claims to be older or newer than this is stamped with its arrival, microseconds.
const MAX_TIME_ERROR_US: i64 = 1_000_000;
/// Bytes of [`Avatars`] before the first person.
pub(crate) const BATCH_HEADER_BYTES: usize = 4;

/// Why a pose is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offence {
    OutOfReach,
    TooFast,
}

/// The newest believed pose of a person.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    pub(crate) last: Option<Last>,
    seq: Option<u16>,
    version: u32,
    jumps: Bucket,
    motion: Motion,
}

#[derive(Debug, Clone)]
pub(crate) struct Last {
    pub(crate) body: Body,
    /// Headset id and body as they stand in an avatar batch: encoded once, sent to everyone.
    pub(crate) entry: Bytes,
    /// Rises with each pose of the person.
    pub(crate) version: u32,
    /// When it was captured.
    at: ServerTime,
}

impl Track {
    pub(crate) fn new() -> Self {
        Self {
            last: None,
            seq: None,
            version: 0,
            jumps: Bucket::new(2.0, 4.0),
            motion: Motion::default(),
        }
    }

    /// The coordinates mean something else from now on.
    pub(crate) fn reset(&mut self) {
        self.last = None;
        self.motion = Motion::default();
    }

    /// The headset counts its poses anew.
    pub(crate) fn reconnect(&mut self) {
        self.reset();
        self.seq = None;
    }

    /// Where the person looks, a unit vector, as far as it is known.
    pub(crate) fn gaze(&self) -> Option<Vec3> {
        let last = self.last.as_ref()?;
        Some(last.body.head.rotation * Vec3::NEG_Z)
    }

    /// The head when something that is rendered now is shown, relative to the pose origin.
    pub(crate) fn predicted(&self, shown_at: ServerTime) -> Option<Joint> {
        let last = self.last.as_ref()?;
        Some(if last.body.at_rest {
            last.body.head
        } else {
            self.motion.predict(&last.body.head, last.at, shown_at)
        })
    }

    /// Takes a pose whose epoch is right. `eye` is the wearer's seat at eye height, relative to the pose origin.
    /// `Ok(false)` when it is older than one that was taken.
    pub(crate) fn take(&mut self, now: ServerTime, who: HeadsetId, eye: Vec3, pose: &Pose) -> Result<bool, Offence> {
        if self.seq.is_some_and(|seq| !newer(pose.seq, seq)) {
            return Ok(false);
        }
        let (at, time_100us) = sane_time(now, pose.body.time_100us);
        let head = pose.body.head.position;
        if !in_reach(eye, pose) {
            return Err(Offence::OutOfReach);
        }
        let mut jump = pose.body.jump && self.jumps.take(now);
        if let Some(last) = &self.last {
            let seconds = at.saturating_since(last.at).as_secs_f32().max(0.005);
            let moved = head.distance(last.body.head.position);
            if !jump && moved > MAX_SPEED_MPS * seconds + SLACK_M {
                return Err(Offence::TooFast);
            }
        } else {
            // Nothing to interpolate from.
            jump = true;
        }
        let on_arm = |hand: Option<Joint>| hand.filter(|h| h.position.distance(head) <= ARM_M);
        let body = Body {
            time_100us,
            jump,
            left: on_arm(pose.body.left),
            right: on_arm(pose.body.right),
            ..pose.body
        };
        self.motion = match &self.last {
            Some(last) if !jump => self
                .motion
                .step(&last.body.head, &pose.body.head, at.saturating_since(last.at)),
            _ => Motion::default(),
        };
        self.seq = Some(pose.seq);
        self.version = self.version.wrapping_add(1);
        self.last = Some(Last {
            body,
            entry: entry(who, body),
            version: self.version,
            at,
        });
        Ok(true)
    }
}

/// Whether a head is where a wearer's can be. `eye` is the seat at eye height, relative to the pose origin.
pub(crate) fn in_reach(eye: Vec3, pose: &Pose) -> bool {
    let head = pose.body.head.position;
    head.is_finite() && head.distance(eye) <= REACH_M
}

/// Bytes of an avatar batch that holds nobody yet; the last one is the count.
pub(crate) fn batch_header(epoch: u16) -> [u8; BATCH_HEADER_BYTES] {
    let empty = Datagram::Avatars(Avatars {
        epoch,
        people: Vec::new(),
    })
    .to_bytes();
    let mut header = [0; BATCH_HEADER_BYTES];
    header.copy_from_slice(&empty[..BATCH_HEADER_BYTES]);
    header
}

fn entry(who: HeadsetId, body: Body) -> Bytes {
    let people = vec![(who, body)];
    Datagram::Avatars(Avatars { epoch: 0, people })
        .to_bytes()
        .slice(BATCH_HEADER_BYTES..)
}

fn newer(seq: u16, than: u16) -> bool {
    (1..0x8000).contains(&seq.wrapping_sub(than))
}

/// The instant of capture, from a counter that wraps.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "the counter wraps"
)]
fn sane_time(now: ServerTime, time_100us: u32) -> (ServerTime, u32) {
    let now_100us = (now.0 / 100) as u32;
    let off_us = i64::from(time_100us.wrapping_sub(now_100us) as i32) * 100;
    if off_us.abs() <= MAX_TIME_ERROR_US {
        (ServerTime(now.0 + off_us), time_100us)
    } else {
        (now, now_100us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::Quat;

    const EYE: Vec3 = Vec3::new(1.0, 1.6, 0.0);

    fn pose(seq: u16, ms: u32, offset: Vec3) -> Pose {
        let joint = Joint {
            position: EYE + offset,
            rotation: Quat::IDENTITY,
        };
        let body = Body {
            time_100us: ms * 10,
            at_rest: false,
            jump: false,
            head: joint,
            left: None,
            right: None,
            pointer: None,
        };
        Pose { epoch: 1, seq, body }
    }

    fn at(ms: u32) -> ServerTime {
        ServerTime(i64::from(ms) * 1000)
    }

    fn take(track: &mut Track, ms: u32, pose: &Pose) -> Result<bool, Offence> {
        track.take(at(ms), HeadsetId(3), EYE, pose)
    }

    #[test]
    fn flying_and_far_poses_are_refused_and_walking_ones_taken() {
        let mut track = Track::new();
        assert_eq!(take(&mut track, 0, &pose(0, 0, Vec3::ZERO)), Ok(true));
        assert!(
            track.last.as_ref().unwrap().body.jump,
            "the first one has nothing before it"
        );
        assert_eq!(take(&mut track, 66, &pose(1, 66, Vec3::X * 0.1)), Ok(true));
        assert_eq!(
            take(&mut track, 132, &pose(2, 132, Vec3::X * 2.9)),
            Err(Offence::TooFast)
        );
        assert_eq!(
            take(&mut track, 198, &pose(3, 198, Vec3::X * 3.1)),
            Err(Offence::OutOfReach)
        );
        assert_eq!(
            take(&mut track, 500, &pose(4, 500, Vec3::X * 2.9)),
            Ok(true),
            "after a while it is believed"
        );
        let mut jump = pose(5, 510, Vec3::X * -2.0);
        jump.body.jump = true;
        assert_eq!(take(&mut track, 510, &jump), Ok(true));
    }

    #[test]
    fn poses_that_jump_all_the_time_are_refused() {
        let mut track = Track::new();
        let (mut flights, mut side) = (0, 0.0);
        for i in 0..100_u16 {
            let mut p = pose(i, u32::from(i) * 10, Vec3::X * if i % 2 == 0 { 2.0 } else { -2.0 });
            p.body.jump = true;
            let moved = take(&mut track, u32::from(i) * 10, &p) == Ok(true);
            if moved && p.body.head.position.x != side {
                side = p.body.head.position.x;
                flights += 1;
            }
        }
        assert!((4..12).contains(&flights), "{flights} in a second");
    }

    #[test]
    fn old_ones_do_not_replace_new_ones() {
        let mut track = Track::new();
        assert_eq!(take(&mut track, 0, &pose(65_535, 0, Vec3::ZERO)), Ok(true));
        assert_eq!(take(&mut track, 10, &pose(0, 10, Vec3::ZERO)), Ok(true), "it wraps");
        assert_eq!(take(&mut track, 20, &pose(65_535, 0, Vec3::ZERO)), Ok(false));
        assert_eq!(take(&mut track, 20, &pose(0, 20, Vec3::ZERO)), Ok(false));
        track.reconnect();
        assert_eq!(take(&mut track, 20, &pose(0, 20, Vec3::ZERO)), Ok(true));
    }

    #[test]
    fn impossible_times_and_arms_are_corrected() {
        let mut track = Track::new();
        let mut p = pose(0, 4_000_000, Vec3::ZERO);
        p.body.left = Some(p.body.head);
        p.body.right = Some(Joint {
            position: EYE + Vec3::Y * 2.0,
            ..p.body.head
        });
        assert_eq!(take(&mut track, 5_000, &p), Ok(true));
        let body = track.last.unwrap().body;
        assert_eq!(body.time_100us, 50_000);
        assert!(body.left.is_some() && body.right.is_none());
    }

    #[test]
    fn an_entry_is_what_the_codec_reads() {
        let body = pose(0, 77, Vec3::ZERO).body;
        let mut batch = batch_header(0x1234).to_vec();
        batch[BATCH_HEADER_BYTES - 1] = 2;
        batch.extend_from_slice(&entry(HeadsetId(8), body));
        batch.extend_from_slice(&entry(HeadsetId(9), body));
        let Datagram::Avatars(avatars) = Datagram::from_bytes(&batch).unwrap() else {
            panic!("not avatars")
        };
        assert_eq!(avatars.epoch, 0x1234);
        let who: Vec<u16> = avatars.people.iter().map(|(id, _)| id.0).collect();
        assert_eq!(who, [8, 9]);
        assert_eq!(avatars.people[0].1.time_100us, 770);
    }
}
