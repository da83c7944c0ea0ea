//! A place's layer as a headset gets it, and the layers that it is compared with.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tongyou_client::present::Set;
use tongyou_media::Size;
use tongyou_media::decode::{self, Decoder};
use tongyou_media::encode::{self, Backend};
use tongyou_protocol::depth::Cube;
use tongyou_protocol::frame::{Codec, Eyes, Header, Lane, Layer, Shape, Tag};
use tongyou_protocol::{ServerTime, SetId, TourTime, VantageId, cube};
use tongyou_render::{Frame, VantageKind};

use super::{Place, Studio, Warp};

/// As `cargo xtask demo` starts the server: its defaults.
const BITRATE_BPS: u32 = 12_000_000;
const SETS_PER_S: u8 = 12;
/// Sets from one keyframe to the next.
const GROUP: u32 = 12;
const DEPTH_LEVEL: i32 = 3;

/// What the client is told of depth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Depth {
    /// What was rendered.
    True,
    /// Everything is this far, metres.
    Constant(f32),
}

/// The sets of one place, and what they cost.
pub struct Layers {
    sets: [Set; Warp::ALL.len()],
    /// Bytes of the keyframe's colour and depth.
    pub keyframe_bytes: (usize, usize),
    /// The same as it came over the wire.
    pub recording: Recording,
}

/// What a headset has been sent of one place.
pub struct Recording {
    /// Frames of colour, in order.
    pub colors: Vec<Bytes>,
    /// The frame of depth that belongs to all of them.
    pub depth: Bytes,
    /// The same where everything is equally far.
    pub far: Bytes,
    /// The last picture before it was coded.
    pub nv12: Vec<u8>,
}

/// The set that all depth frames of a recording have.
const DEPTH_SET: SetId = SetId(1000);

impl Layers {
    /// As in [`Warp::ALL`].
    #[must_use]
    pub const fn sets(&self) -> [&Set; Warp::ALL.len()] {
        self.sets.each_ref()
    }
}

impl Studio {
    /// Renders, codes and decodes the layer of a place.
    #[must_use]
    pub fn layers(&mut self, place: &Place, depth: Depth) -> Layers {
        let mut encoder = encoder();
        let mut decoder = decode::OpenH264::new().unwrap();
        let mut keyframe_bytes = 0;
        let mut last = None;
        let mut colors = Vec::new();
        let sets = place.sets();
        for n in 0..sets {
            let time = TourTime(place.time().0 - i64::from(sets - 1 - n) * 1_000_000 / i64::from(SETS_PER_S));
            let frame = self.render(place, place.point(), VantageKind::Panorama, time);
            if n == GROUP {
                encoder.force_keyframe().unwrap();
            }
            let encoded = encoder.encode(&frame.nv12, n).unwrap();
            if n == 0 {
                keyframe_bytes = encoded.data.len();
            }
            let decoded = decoder.decode(&encoded.data).unwrap();
            let header = Header {
                keyframe: encoded.keyframe,
                group: n / GROUP,
                index: u16::try_from(n % GROUP).unwrap(),
                ..header(&frame, Lane::Color, SetId(n + 1))
            };
            colors.push(wire(&header, &encoded.data));
            last = Some((frame, decoded));
        }
        let (mut frame, decoded) = last.unwrap();
        let tag = tag(&frame);
        let rendered = Cube::new(cube::FACE_SIZE as usize, frame.depth.take().unwrap()).unwrap();
        let coded = rendered.encode_keyframe(DEPTH_LEVEL).unwrap();
        let received = Cube::decode(&coded, None).unwrap();
        let told = Arc::new(match depth {
            Depth::True => received,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 65535")]
            Depth::Constant(z) => constant((65_535.0 * tag.near / z).round() as u16),
        });
        let depth_frame = |cube: &Cube| {
            let header = header(&frame, Lane::Depth, DEPTH_SET);
            wire(&header, &cube.encode_keyframe(DEPTH_LEVEL).unwrap())
        };
        let recording = Recording {
            colors,
            depth: depth_frame(&told),
            far: depth_frame(&constant(0)),
            nv12: frame.nv12.clone(),
        };
        let set =
            |nv12: Vec<u8>, depth: &Arc<Cube>| Set::new(tag, cube::FACE_SIZE, nv12, Arc::clone(depth), None).unwrap();
        Layers {
            sets: [
                set(decoded.nv12.clone(), &told),
                set(frame.nv12, &told),
                set(decoded.nv12, &Arc::new(constant(0))),
            ],
            keyframe_bytes: (keyframe_bytes, coded.len()),
            recording,
        }
    }
}

fn wire(header: &Header, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(&header.to_bytes(payload)[..]);
    bytes.extend_from_slice(payload);
    bytes.freeze()
}

fn header(frame: &Frame, lane: Lane, set: SetId) -> Header {
    let face = cube::FACE_SIZE;
    let (codec, width, height) = match lane {
        Lane::Color => (Codec::H264, cube::ATLAS_COLUMNS * face, cube::ATLAS_ROWS * face),
        Lane::Depth => (Codec::Depth1, face, face),
    };
    Header {
        lane,
        layer: Layer::Base,
        shape: Shape::Panorama,
        keyframe: true,
        codec,
        width: u16::try_from(width).unwrap(),
        height: u16::try_from(height).unwrap(),
        group: 0,
        index: 0,
        depends_on: DEPTH_SET,
        rendered_at: ServerTime(0),
        tag: Tag { set, ..tag(frame) },
    }
}

fn encoder() -> encode::OpenH264 {
    let columns = (
        cube::ATLAS_COLUMNS * cube::FACE_SIZE,
        cube::ATLAS_ROWS * cube::FACE_SIZE,
    );
    let size = Size::new(columns.0, columns.1).unwrap();
    encode::OpenH264::new(encode::Config {
        bitrate_bps: BITRATE_BPS,
        fps: SETS_PER_S.into(),
        ..encode::Config::new(size)
    })
    .unwrap()
}

fn constant(d: u16) -> Cube {
    let size = cube::FACE_SIZE as usize;
    Cube::new(size, vec![d; 6 * size * size]).unwrap()
}

pub(super) fn tag(frame: &Frame) -> Tag {
    Tag {
        set: SetId(1),
        vantage: VantageId(1),
        epoch: 1,
        point: frame.point,
        near: frame.near,
        half_tangent: cube::HALF_TANGENT,
        tour_time: frame.time,
        exposure: frame.exposure,
        ambient: frame.ambient_sh,
        still_ms: [0; 6],
        eyes: Eyes::default(),
    }
}
