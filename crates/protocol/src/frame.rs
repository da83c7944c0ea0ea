//! One frame of a set: colour or depth, with everything needed to present it.

use crate::bytes_io::Reader;
use crate::{Error, ServerTime, SetId, TourTime, VantageId};
use bytes::{BufMut, Bytes, BytesMut};
use glam::Vec3;

/// First byte of a frame stream.
pub const STREAM_KIND: u8 = 1;
/// Bytes of a [`Tag`].
pub const TAG_BYTES: usize = 148;
/// Bytes before the payload: the stream's header and the tag.
pub const HEADER_BYTES: usize = 38 + TAG_BYTES;

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
    /// Tangent of half the field of view of a face, gutter included.
    pub half_tangent: f32,
    /// The instant shown.
    pub tour_time: TourTime,
    /// Linear factor before tone mapping.
    pub exposure: f32,
    /// Ambient light, SH-L2: nine linear RGB radiance coefficients (Ramamoorthi and Hanrahan 2001), order
    /// Y00, Y1−1, Y10, Y11, Y2−2, Y2−1, Y20, Y21, Y22, axes as in stop-local space.
    pub ambient: [[f32; 3]; 9],
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// The base atlas, six faces of colour.
    Color,
    /// The depth of the base atlas.
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
    /// Colour: decodable on its own. Depth: holds every tile.
    pub keyframe: bool,
    /// How the payload is coded.
    pub codec: Codec,
    /// Pixels across: the atlas for colour, one face for depth.
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
        })
    }
}

impl Header {
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
        out.put_u32_le(0);
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
        r.u32()?;
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
        Ok(Self { header, payload })
    }
}
