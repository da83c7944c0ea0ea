//! Fixed-layout datagrams: clock pings, poses up, avatar batches down, delivery feedback, copies of a commit,
//! heartbeats of a still picture. Little-endian.

use crate::bytes_io::Reader;
use crate::frame::Layer;
use crate::{ClientTime, Error, HeadsetId, ServerTime, SetId, VantageId};
use bytes::{BufMut, Bytes, BytesMut};
use glam::{Quat, Vec3};

/// The largest datagram that is sent: what Chromium lets through, less a little.
pub const MAX_BYTES: usize = 1_150;

const PING: u8 = 1;
const PONG: u8 = 2;
const POSE: u8 = 3;
const AVATARS: u8 = 4;
const FEEDBACK: u8 = 5;
const COMMIT: u8 = 6;
const STILL: u8 = 7;

/// Metres of one position step. Positions reach ±65.5 m from the stop's pose origin.
pub const POSITION_STEP_M: f32 = 0.002;
/// Metres of one pointer step. Pointers reach ±655 m from the stop's pose origin.
pub const POINTER_STEP_M: f32 = 0.02;

/// Any datagram.
#[derive(Debug, Clone, PartialEq)]
pub enum Datagram {
    /// Headset to server.
    Ping(Ping),
    /// Server to headset.
    Pong(Pong),
    /// Headset to server.
    Pose(Pose),
    /// Server to headset.
    Avatars(Avatars),
    /// Headset to server.
    Feedback(Feedback),
    /// Server to headset.
    Commit(Commit),
    /// Server to headset.
    Still(Still),
}

/// Asks for the server's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// Counts pings, wraps.
    pub seq: u16,
    /// When it was sent.
    pub sent: ClientTime,
}

/// Answers a [`Ping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// The ping's number.
    pub seq: u16,
    /// The ping's `sent`.
    pub sent: ClientTime,
    /// When the ping arrived.
    pub received: ServerTime,
    /// When this answer left.
    pub replied: ServerTime,
}

/// A position and a rotation relative to the stop's pose origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Joint {
    /// Metres from the stop's pose origin.
    pub position: Vec3,
    /// Unit quaternion.
    pub rotation: Quat,
}

/// How a person holds head and hands at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Body {
    /// Server time of the instant in units of 100 µs, wrapping after 119 hours.
    pub time_100us: u32,
    /// Nothing has moved and nothing follows until it does.
    pub at_rest: bool,
    /// The wearer teleported: do not interpolate from the pose before.
    pub jump: bool,
    /// The head.
    pub head: Joint,
    /// The left hand, where tracked.
    pub left: Option<Joint>,
    /// The right hand, where tracked.
    pub right: Option<Joint>,
    /// Where the wearer points at the world, metres from the stop's pose origin.
    pub pointer: Option<Vec3>,
}

/// A headset's pose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// The stop that the coordinates belong to (low 16 bits of the epoch).
    pub epoch: u16,
    /// Counts poses, wraps.
    pub seq: u16,
    /// The pose.
    pub body: Body,
}

/// Poses of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Avatars {
    /// The stop that the coordinates belong to (low 16 bits of the epoch).
    pub epoch: u16,
    /// Who, and how they hold themselves.
    pub people: Vec<(HeadsetId, Body)>,
}

/// How delivery goes, about four times a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback {
    /// The newest complete set of a base layer.
    pub last_set: SetId,
    /// What this report covers, milliseconds.
    pub interval_ms: u16,
    /// Sets of base layers completed in the interval.
    pub complete: u16,
    /// Sets of base layers given up in the interval, and sets of any layer that heartbeats named in vain.
    pub missed: u16,
    /// Frames waiting to be decoded.
    pub decode_queue: u8,
    /// Largest delay from rendered to complete of those sets, milliseconds.
    pub delay_ms: u16,
    /// Bytes of frames received in the interval.
    pub bytes: u32,
}

/// The control message of the same name once more: a lost control packet may arrive after the instant, one of several
/// datagrams does not. Whichever comes first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// The epoch that begins.
    pub epoch: u32,
    /// Index of its stop in the tour.
    pub stop: u32,
    /// When everyone shows it.
    pub at: ServerTime,
}

/// Nothing moves in a layer of a vantage: said once a second while no frame is sent, so that a headset can tell still from dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Still {
    /// The stop that the vantage belongs to (low 16 bits of the epoch).
    pub epoch: u16,
    /// Which vantage.
    pub vantage: VantageId,
    /// Which layer of it.
    pub layer: Layer,
    /// Its newest set: a headset that has an older one lacks something.
    pub set: SetId,
}

impl Datagram {
    /// Reads one datagram.
    ///
    /// # Errors
    /// When the layout is not followed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut r = Reader::new("datagram", bytes);
        let datagram = match r.u8()? {
            PING => Self::Ping(Ping {
                seq: r.u16()?,
                sent: ClientTime(r.i64()?),
            }),
            PONG => Self::Pong(Pong {
                seq: r.u16()?,
                sent: ClientTime(r.i64()?),
                received: ServerTime(r.i64()?),
                replied: ServerTime(r.i64()?),
            }),
            POSE => Self::Pose(Pose {
                epoch: r.u16()?,
                seq: r.u16()?,
                body: Body::read(&mut r)?,
            }),
            AVATARS => {
                let epoch = r.u16()?;
                let count = r.u8()?;
                let mut people = Vec::with_capacity(usize::from(count));
                for _ in 0..count {
                    people.push((HeadsetId(r.u16()?), Body::read(&mut r)?));
                }
                Self::Avatars(Avatars { epoch, people })
            }
            FEEDBACK => Self::Feedback(Feedback {
                last_set: SetId(r.u32()?),
                interval_ms: r.u16()?,
                complete: r.u16()?,
                missed: r.u16()?,
                decode_queue: r.u8()?,
                delay_ms: r.u16()?,
                bytes: r.u32()?,
            }),
            COMMIT => Self::Commit(Commit {
                epoch: r.u32()?,
                stop: r.u32()?,
                at: ServerTime(r.i64()?),
            }),
            STILL => Self::Still(Still {
                epoch: r.u16()?,
                vantage: VantageId(r.u16()?),
                layer: {
                    let layer = r.u8()?;
                    Layer::from_number(layer).ok_or_else(|| r.invalid("layer", layer))?
                },
                set: SetId(r.u32()?),
            }),
            other => return Err(r.invalid("kind", other)),
        };
        r.end()?;
        Ok(datagram)
    }

    /// The datagram's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        match self {
            Self::Ping(p) => {
                out.put_u8(PING);
                out.put_u16_le(p.seq);
                out.put_i64_le(p.sent.0);
            }
            Self::Pong(p) => {
                out.put_u8(PONG);
                out.put_u16_le(p.seq);
                out.put_i64_le(p.sent.0);
                out.put_i64_le(p.received.0);
                out.put_i64_le(p.replied.0);
            }
            Self::Pose(p) => {
                out.put_u8(POSE);
                out.put_u16_le(p.epoch);
                out.put_u16_le(p.seq);
                p.body.put(&mut out);
            }
            Self::Avatars(a) => {
                out.put_u8(AVATARS);
                out.put_u16_le(a.epoch);
                let people = &a.people[..a.people.len().min(255)];
                out.put_u8(u8::try_from(people.len()).unwrap_or(u8::MAX));
                for (who, body) in people {
                    out.put_u16_le(who.0);
                    body.put(&mut out);
                }
            }
            Self::Feedback(f) => {
                out.put_u8(FEEDBACK);
                out.put_u32_le(f.last_set.0);
                out.put_u16_le(f.interval_ms);
                out.put_u16_le(f.complete);
                out.put_u16_le(f.missed);
                out.put_u8(f.decode_queue);
                out.put_u16_le(f.delay_ms);
                out.put_u32_le(f.bytes);
            }
            Self::Commit(c) => {
                out.put_u8(COMMIT);
                out.put_u32_le(c.epoch);
                out.put_u32_le(c.stop);
                out.put_i64_le(c.at.0);
            }
            Self::Still(s) => {
                out.put_u8(STILL);
                out.put_u16_le(s.epoch);
                out.put_u16_le(s.vantage.0);
                out.put_u8(s.layer.number());
                out.put_u32_le(s.set.0);
            }
        }
        out.freeze()
    }
}

const LEFT: u8 = 1;
const RIGHT: u8 = 2;
const POINTING: u8 = 4;
const AT_REST: u8 = 8;
const JUMP: u8 = 16;

impl Body {
    /// Bytes on the wire: 17 to 47.
    #[must_use]
    pub const fn wire_bytes(&self) -> usize {
        17 + 12 * (self.left.is_some() as usize + self.right.is_some() as usize) + 6 * self.pointer.is_some() as usize
    }

    fn put(&self, out: &mut BytesMut) {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        out.put_u8(
            flag(self.left.is_some(), LEFT)
                | flag(self.right.is_some(), RIGHT)
                | flag(self.pointer.is_some(), POINTING)
                | flag(self.at_rest, AT_REST)
                | flag(self.jump, JUMP),
        );
        out.put_u32_le(self.time_100us);
        self.head.put(out);
        for joint in [self.left, self.right].into_iter().flatten() {
            joint.put(out);
        }
        if let Some(pointer) = self.pointer {
            put_steps(out, pointer, POINTER_STEP_M);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let flags = r.u8()?;
        if flags >= 32 {
            return Err(r.invalid("pose flags", flags));
        }
        let has = |bit| flags & bit != 0;
        Ok(Self {
            at_rest: has(AT_REST),
            jump: has(JUMP),
            time_100us: r.u32()?,
            head: Joint::read(r)?,
            left: has(LEFT).then(|| Joint::read(r)).transpose()?,
            right: has(RIGHT).then(|| Joint::read(r)).transpose()?,
            pointer: has(POINTING).then(|| read_steps(r, POINTER_STEP_M)).transpose()?,
        })
    }
}

impl Joint {
    fn put(&self, out: &mut BytesMut) {
        put_steps(out, self.position, POSITION_STEP_M);
        out.put_slice(&pack_rotation(self.rotation));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(Self {
            position: read_steps(r, POSITION_STEP_M)?,
            rotation: unpack_rotation(r.array()?),
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float-to-int cast saturates, and NaN becomes 0"
)]
fn put_steps(out: &mut BytesMut, v: Vec3, step_m: f32) {
    for c in v.to_array() {
        out.put_i16_le((c / step_m).round() as i16);
    }
}

fn read_steps(r: &mut Reader<'_>, step_m: f32) -> Result<Vec3, Error> {
    let mut step = || r.i16().map(|s| f32::from(s) * step_m);
    Ok(Vec3::new(step()?, step()?, step()?))
}

const ROTATION_STEPS: f32 = 32_767.0;

/// Smallest three: the largest component is left out (it follows from unit length and is made positive by flipping
/// the sign of all four), the others in xyzw order take 15 bits each over ±1/√2. From bit 0 upwards: third, second,
/// first, index of the one left out (2 bits). A rotation that is not finite becomes the identity.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded and within 0..=32767"
)]
pub fn pack_rotation(rotation: Quat) -> [u8; 6] {
    let unit = if rotation.is_finite() && rotation.length_squared() > 1e-12 {
        rotation.normalize()
    } else {
        Quat::IDENTITY
    };
    let xyzw = unit.to_array();
    // The first of equals wins, so that both languages agree.
    let largest = (1..4).fold(0, |best, i| if xyzw[i].abs() > xyzw[best].abs() { i } else { best });
    let sign = if xyzw[largest] < 0.0 { -1.0 } else { 1.0 };
    let mut packed = largest as u64;
    for (_, c) in xyzw.iter().enumerate().filter(|(i, _)| *i != largest) {
        let scaled = (c * sign * std::f32::consts::SQRT_2).clamp(-1.0, 1.0) * 0.5 + 0.5;
        packed = packed << 15 | (scaled * ROTATION_STEPS).round() as u64;
    }
    let mut out = [0; 6];
    out.copy_from_slice(&packed.to_le_bytes()[..6]);
    out
}

/// The inverse of [`pack_rotation`]; any six bytes give a unit quaternion.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "15 bits fit an f32")]
pub fn unpack_rotation(bytes: [u8; 6]) -> Quat {
    let mut packed = bytes.iter().rev().fold(0_u64, |all, b| all << 8 | u64::from(*b));
    let mut three = [0.0; 3];
    for c in three.iter_mut().rev() {
        *c = ((packed & 0x7fff) as f32 / ROTATION_STEPS * 2.0 - 1.0) * std::f32::consts::FRAC_1_SQRT_2;
        packed >>= 15;
    }
    let largest = (packed & 3) as usize;
    let rest = (1.0 - three.iter().map(|c| c * c).sum::<f32>()).max(0.0).sqrt();
    let mut xyzw = [0.0; 4];
    let mut others = three.into_iter();
    for (i, c) in xyzw.iter_mut().enumerate() {
        *c = if i == largest {
            rest
        } else {
            others.next().unwrap_or(0.0)
        };
    }
    Quat::from_array(xyzw).normalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joint() -> impl Strategy<Value = Joint> {
        (
            prop::array::uniform3(-32.7_f32..32.7),
            prop::array::uniform4(-1.0_f32..1.0),
        )
            .prop_map(|(p, q)| Joint {
                position: p.into(),
                rotation: Quat::from_array(q).try_normalize_or_identity(),
            })
    }

    trait OrIdentity {
        fn try_normalize_or_identity(self) -> Self;
    }
    impl OrIdentity for Quat {
        fn try_normalize_or_identity(self) -> Self {
            if self.length() > 0.01 {
                self.normalize()
            } else {
                Self::IDENTITY
            }
        }
    }

    proptest! {
        #[test]
        fn a_pose_survives_within_its_step(
            head in joint(), left in prop::option::of(joint()), right in prop::option::of(joint()),
            pointer in prop::option::of(prop::array::uniform3(-650.0_f32..650.0)), time in any::<u32>(),
        ) {
            let body = Body { time_100us: time, at_rest: true, jump: false, head, left, right, pointer: pointer.map(Into::into) };
            let bytes = Datagram::Pose(Pose { epoch: 7, seq: 9, body }).to_bytes();
            prop_assert_eq!(bytes.len(), 5 + body.wire_bytes());
            let Datagram::Pose(back) = Datagram::from_bytes(&bytes).unwrap() else { panic!("not a pose") };
            prop_assert_eq!(back.body.left.is_some(), left.is_some());
            for (a, b) in [(Some(head), Some(back.body.head)), (left, back.body.left), (right, back.body.right)] {
                let (Some(a), Some(b)) = (a, b) else { continue };
                prop_assert!((a.position - b.position).abs().max_element() <= POSITION_STEP_M * 0.51);
                prop_assert!(a.rotation.angle_between(b.rotation) < 2e-3);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Datagram::from_bytes(&bytes);
        }
    }

    #[test]
    fn hostile_rotations_are_tamed() {
        for q in [
            Quat::from_xyzw(f32::NAN, 0.0, 0.0, 1.0),
            Quat::from_xyzw(0.0, 0.0, 0.0, 0.0),
        ] {
            assert!(unpack_rotation(pack_rotation(q)).angle_between(Quat::IDENTITY) < 1e-3);
        }
        assert!(unpack_rotation([0xff; 6]).is_normalized());
    }
}
