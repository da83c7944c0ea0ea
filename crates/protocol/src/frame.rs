//! One frame of a set: colour or depth, with everything needed to present it.

use crate::bytes_io::Reader;
use crate::{Error, ServerTime, SetId, TourTime, VantageId, foveation};
use bytes::{BufMut, Bytes, BytesMut};
use glam::{Quat, Vec3};
use std::fmt;

/// First byte of a frame stream.
pub const STREAM_KIND: u8 = 1;
/// Bytes of a [`Tag`].
pub const TAG_BYTES: usize = 196;
/// Bytes before the payload: the stream's header and the tag.
pub const HEADER_BYTES: usize = 38 + TAG_BYTES;
/// More than this is no distance between eyes.
const MAX_HALF_IPD_M: f32 = 0.5;

/// Where and when a set was rendered, and in what light. Travels from the renderer to the headset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tag {
    /// Which set.
    pub set: SetId,
    /// Which vantage.
    pub vantage: VantageId,
    /// The stop change that this belongs to (low 16 bits of the epoch).
    pub epoch: u16,
    /// The rendered point, stop-local metres.
    pub point: Vec3,
    /// Depth is `65535 * near / z`, metres.
    pub near: f32,
    /// Tangent of half the field of view of a face, gutter included. For [`Shape::Flat`] of half the vertical one.
    pub half_tangent: f32,
    /// The instant shown.
    pub tour_time: TourTime,
    /// Linear factor before tone mapping.
    pub exposure: f32,
    /// Ambient light, SH-L2: nine linear RGB radiance coefficients (Ramamoorthi and Hanrahan 2001), order
    /// Y00, Y1−1, Y10, Y11, Y2−2, Y2−1, Y20, Y21, Y22, axes as in stop-local space.
    pub ambient: [[f32; 3]; 9],
    /// For the base of a panorama: per face, milliseconds of tour time for which its colours have been as they are in
    /// this set; 0 = they changed with it. Else zeros. See [`Self::is_sharp_of`].
    pub still_ms: [u32; 6],
    /// How it looks around; the default for a panorama.
    pub eyes: Eyes,
}

/// Which way a stereo pair or a flat camera looks, and how a stereo pair's colour is foveated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Eyes {
    /// `world_from_eyes`, a unit quaternion; the identity for a panorama.
    pub rotation: Quat,
    /// The eyes are at `point ∓ half_ipd · (rotation · X)`, metres, left first; 0 but for [`Shape::Stereo`].
    pub half_ipd: f32,
    /// `k` of [`crate::foveation`]; 0 = none.
    pub foveation: f32,
}

impl Default for Eyes {
    fn default() -> Self {
        Self {
            rotation: Quat::IDENTITY,
            half_ipd: 0.0,
            foveation: 0.0,
        }
    }
}

/// One of the streams of a vantage, each with groups of its own. A set's id belongs to one layer alone: all layers of
/// a session take their numbers from one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Layer {
    /// What is always shown: colour, with depth unless it is flat.
    #[default]
    Base,
    /// What near things of the base hide: a panorama from the same point that begins behind them. Depth 65535 says that
    /// it has nothing there.
    Behind,
    /// One face of the base panorama, sharper, colour alone. 0 to 5, as in [`crate::cube::FACES`].
    Face(u8),
}

/// How many layers a vantage can have.
pub const LAYERS: usize = 8;

impl Layer {
    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Base => 0,
            Self::Behind => 1,
            Self::Face(face) => 2 + face,
        }
    }

    /// The layer with a number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Base),
            1 => Some(Self::Behind),
            2..=7 => Some(Self::Face(number - 2)),
            _ => None,
        }
    }

    /// All that there are.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map_while(Self::from_number)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("base"),
            Self::Behind => f.write_str("behind"),
            Self::Face(face) => write!(f, "face {face}"),
        }
    }
}

/// What a layer's picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Shape {
    /// Cube faces around the point: all six as an atlas, or one for [`Layer::Face`].
    #[default]
    Panorama,
    /// Two faces side by side, the left eye's first. Depth has two faces, not foveated.
    Stereo,
    /// One camera; its aspect is that of the picture.
    Flat,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The colour of a layer.
    Color,
    /// The depth of a layer.
    Depth,
}

/// How the payload is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264, Annex B byte stream, one access unit.
    H264,
    /// [`crate::depth`].
    Depth1,
}

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header {
    /// Colour or depth.
    pub lane: Lane,
    /// Which stream of the vantage.
    pub layer: Layer,
    /// What its pictures show.
    pub shape: Shape,
    /// Colour: decodable on its own. Depth: holds every tile.
    pub keyframe: bool,
    /// How the payload is coded.
    pub codec: Codec,
    /// Pixels across: the whole picture for colour, one face for depth.
    pub width: u16,
    /// Pixels down, likewise.
    pub height: u16,
    /// The group of frames that starts with a keyframe; rises by one.
    pub group: u32,
    /// Place within the group, 0 for the keyframe.
    pub index: u16,
    /// Colour: the set whose depth frame belongs to this picture (itself when depth came along).
    /// Depth: the set of the keyframe whose tiles stand where this frame has none (itself for a keyframe).
    pub depends_on: SetId,
    /// When rendering ended, for latency figures.
    pub rendered_at: ServerTime,
    /// Everything needed to present it.
    pub tag: Tag,
}

/// A header with its payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// What stands before the payload.
    pub header: Header,
    /// The coded picture.
    pub payload: Bytes,
}

impl Tag {
    fn put(&self, out: &mut impl BufMut) {
        out.put_u32_le(self.set.0);
        out.put_u16_le(self.vantage.0);
        out.put_u16_le(self.epoch);
        for v in self.point.to_array() {
            out.put_f32_le(v);
        }
        out.put_f32_le(self.near);
        out.put_f32_le(self.half_tangent);
        out.put_i64_le(self.tour_time.0);
        out.put_f32_le(self.exposure);
        for v in self.ambient.as_flattened() {
            out.put_f32_le(*v);
        }
        for ms in self.still_ms {
            out.put_u32_le(ms);
        }
        for v in self.eyes.rotation.to_array() {
            out.put_f32_le(v);
        }
        out.put_f32_le(self.eyes.half_ipd);
        out.put_f32_le(self.eyes.foveation);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Error> {
        let set = SetId(r.u32()?);
        let vantage = VantageId(r.u16()?);
        let epoch = r.u16()?;
        let point = r.vec3("point")?;
        let near = r.finite("near")?;
        let half_tangent = r.finite("half_tangent")?;
        let tour_time = TourTime(r.i64()?);
        let exposure = r.finite("exposure")?;
        let mut ambient = [[0.0; 3]; 9];
        for v in ambient.as_flattened_mut() {
            *v = r.finite("ambient")?;
        }
        let mut still_ms = [0; 6];
        for ms in &mut still_ms {
            *ms = r.u32()?;
        }
        let mut xyzw = [0.0; 4];
        for v in &mut xyzw {
            *v = r.finite("rotation")?;
        }
        let eyes = Eyes {
            rotation: Quat::from_array(xyzw),
            half_ipd: r.finite("half_ipd")?,
            foveation: r.finite("foveation")?,
        };
        if (eyes.rotation.length_squared() - 1.0).abs() > 0.01 {
            return Err(r.invalid("rotation", format!("{xyzw:?}, not a unit quaternion")));
        }
        if !(0.0..=MAX_HALF_IPD_M).contains(&eyes.half_ipd) {
            return Err(r.invalid("half_ipd", eyes.half_ipd));
        }
        if !(0.0..=foveation::MAX).contains(&eyes.foveation) {
            return Err(r.invalid("foveation", eyes.foveation));
        }
        if near <= 0.0 {
            return Err(r.invalid("near", near));
        }
        if half_tangent <= 0.0 {
            return Err(r.invalid("half_tangent", half_tangent));
        }
        Ok(Self {
            set,
            vantage,
            epoch,
            point,
            near,
            half_tangent,
            tour_time,
            exposure,
            ambient,
            still_ms,
            eyes,
        })
    }

    /// Whether this tag's picture of a face shows what `base`, the tag of a set of the base, shows there: the same
    /// vantage, stop change and point, and nothing of the face has changed between the two.
    #[must_use]
    pub fn is_sharp_of(&self, face: u8, base: &Self) -> bool {
        let Some(still_ms) = base.still_ms.get(usize::from(face)) else {
            return false;
        };
        let still_us = i64::from(*still_ms) * 1000;
        (self.vantage, self.epoch, self.point) == (base.vantage, base.epoch, base.point)
            && self.tour_time.0 >= base.tour_time.0.saturating_sub(still_us)
    }
}

impl Header {
    /// Whether depth belongs to the layer's pictures: without it they are not complete.
    #[must_use]
    pub const fn has_depth(&self) -> bool {
        !matches!((self.layer, self.shape), (Layer::Face(_), _) | (_, Shape::Flat))
    }

    /// The bytes that go before `payload`: written once per frame, shared by every connection.
    #[must_use]
    pub fn to_bytes(&self, payload: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES);
        out.put_u8(STREAM_KIND);
        out.put_u8(match self.lane {
            Lane::Color => 0,
            Lane::Depth => 1,
        });
        out.put_u8(u8::from(self.keyframe));
        out.put_u8(match self.codec {
            Codec::H264 => 1,
            Codec::Depth1 => 2,
        });
        out.put_u16_le(self.width);
        out.put_u16_le(self.height);
        out.put_u32_le(self.group);
        out.put_u16_le(self.index);
        out.put_u32_le(self.depends_on.0);
        out.put_i64_le(self.rendered_at.0);
        out.put_u32_le(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        out.put_u32_le(crc32fast::hash(payload));
        out.put_u8(self.layer.number());
        out.put_u8(match self.shape {
            Shape::Panorama => 0,
            Shape::Stereo => 1,
            Shape::Flat => 2,
        });
        out.put_u16_le(0);
        self.tag.put(&mut out);
        out.freeze()
    }
}

impl Frame {
    /// Reads a whole frame and checks its payload's checksum.
    ///
    /// # Errors
    /// When the layout is not followed, a number is not finite, or the checksum differs.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, Error> {
        const WHAT: &str = "frame";
        let mut r = Reader::new(WHAT, bytes);
        let kind = r.u8()?;
        if kind != STREAM_KIND {
            return Err(r.invalid("kind", kind));
        }
        let lane = match r.u8()? {
            0 => Lane::Color,
            1 => Lane::Depth,
            other => return Err(r.invalid("lane", other)),
        };
        let keyframe = match r.u8()? {
            0 => false,
            1 => true,
            other => return Err(r.invalid("keyframe", other)),
        };
        let codec = match r.u8()? {
            1 => Codec::H264,
            2 => Codec::Depth1,
            other => return Err(r.invalid("codec", other)),
        };
        let (width, height) = (r.u16()?, r.u16()?);
        let (group, index) = (r.u32()?, r.u16()?);
        let depends_on = SetId(r.u32()?);
        let rendered_at = ServerTime(r.i64()?);
        let length = r.u32()?;
        let expected = r.u32()?;
        let layer = r.u8()?;
        let layer = Layer::from_number(layer).ok_or_else(|| r.invalid("layer", layer))?;
        let shape = match r.u8()? {
            0 => Shape::Panorama,
            1 => Shape::Stereo,
            2 => Shape::Flat,
            other => return Err(r.invalid("shape", other)),
        };
        r.u16()?;
        if layer != Layer::Base && shape != Shape::Panorama {
            return Err(r.invalid("shape", format!("{shape:?} in layer {layer}")));
        }
        let tag = Tag::read(&mut r)?;
        let rest = r.rest().len();
        if rest != length as usize {
            return Err(r.invalid("payload length", format!("{length}, but {rest} bytes follow")));
        }
        let payload = bytes.slice(HEADER_BYTES..);
        let actual = crc32fast::hash(&payload);
        if actual != expected {
            return Err(Error::Checksum {
                what: WHAT,
                actual,
                expected,
            });
        }
        let header = Header {
            lane,
            layer,
            shape,
            keyframe,
            codec,
            width,
            height,
            group,
            index,
            depends_on,
            rendered_at,
            tag,
        };
        if lane == Lane::Depth && !header.has_depth() {
            return Err(r.invalid("lane", format!("depth, but {shape:?} {layer} has none")));
        }
        Ok(Self { header, payload })
    }
}

#[cfg(test)]
mod tests;
