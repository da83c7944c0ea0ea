//! An experiment: what more to send for what comes to light beside edges when a head moves, error against bytes.
//!
//! Each idea is a second layer of which only the macroblocks are sent that hold something the first one can not show.
//! Where it is used is decided by the direct render's depth, equally for all ideas.

use std::sync::Arc;

use glam::Vec3;
use serde_json::{Value, json};
use tongyou_client::present::{Eye, Set};
use tongyou_media::Size;
use tongyou_media::decode::{self, Decoder};
use tongyou_media::encode::{self, Backend};
use tongyou_protocol::cube;
use tongyou_protocol::depth::Cube;
use tongyou_render::{Frame, VantageKind};

use super::layers::tag;
use super::random::Random;
use super::{Head, Headset, Place, SIDE, Studio, flip};
use crate::pictures::Picture;

/// Of the first layer and of all that is sent beside it.
const QUANTISER: u8 = 20;
/// Of a head, metres.
const OFFSETS_M: [f32; 2] = [0.25, 0.5];
/// How far a second vantage lies beside the first, metres.
const BESIDE_M: f32 = 0.3;
/// How far a head moves from the rendered point, metres.
const HEAD_M: f32 = 0.5;
/// What comes to light by fewer pixels is not worth a block.
const LEAST_REACH: f32 = 3.0;
/// Nearer things are left out of one of the layers, metres.
const CUT_M: f32 = 10.0;
/// A macroblock.
const BLOCK: u32 = 16;

/// One idea.
struct Second {
    name: &'static str,
    set: Set,
    bytes: usize,
}

impl Studio {
    /// Mean FLIP of what the rendered point does not see, for each idea, beside its bytes.
    pub fn compare_fillings(&mut self, place: &Place, heads: usize, headset: &mut Headset) -> Value {
        let point = place.point();
        let frame = self.render(place, point, VantageKind::Panorama, place.time());
        let (first, first_bytes) = set_of(&frame, |_, _, _| true);
        let side = place.towards().cross(Vec3::Y).normalize() * BESIDE_M;
        let beside = self.render(place, point + side, VantageKind::Panorama, place.time());
        let behind = self.behind(place, &frame);
        let cut = self.render_from(place, point, VantageKind::Panorama, place.time(), Some(CUT_M));
        let ideas = [
            ("a vantage beside", beside),
            ("the second surface", behind),
            ("without what is near", cut),
        ];
        let seconds = ideas.map(|(name, frame)| {
            let (set, bytes) = set_of(&frame, |face, x, y| {
                let (z, direction) = texel(&frame, face, x, y);
                comes_to_light(&first, frame.point + direction * z)
            });
            Second { name, set, bytes }
        });
        let mut random = Random::new(place.seed());
        let (mut pixels, mut alone) = (0, 0.0);
        let mut filled = [(0.0, 0); 3];
        for distance_m in OFFSETS_M {
            for _ in 0..heads {
                let head = Head::seeded(&mut random, distance_m, place.towards());
                for eye in head.eyes(point) {
                    let (direct, points) = self.direct_points(place, eye);
                    let hidden: Vec<usize> = (0..points.len()).filter(|i| !shows(&first, points[*i])).collect();
                    let (picture, _) = headset.look(&first, eye);
                    pixels += hidden.len();
                    alone += sum(&flip(&picture, &direct).to_vec(), &hidden);
                    for (second, (error, used)) in seconds.iter().zip(&mut filled) {
                        let (other, _) = headset.look(&second.set, eye);
                        let mut both = picture.clone();
                        for &i in &hidden {
                            if shows(&second.set, points[i]) {
                                both.rgb[3 * i..3 * i + 3].copy_from_slice(&other.rgb[3 * i..3 * i + 3]);
                                *used += 1;
                            }
                        }
                        *error += sum(&flip(&both, &direct).to_vec(), &hidden);
                    }
                }
            }
        }
        let count = pixels.max(1) as f32;
        let pictures = (OFFSETS_M.len() * heads * 2) as f32;
        let ideas = seconds.iter().zip(&filled).map(|(second, (error, used))| {
            json!({ "idea": second.name, "bytes": second.bytes, "flip": error / count, "filled": *used as f32 / count })
        });
        json!({
            "place": place.name,
            "first_bytes": first_bytes,
            "hidden_share": count / pictures / (SIDE * SIDE) as f32,
            "sheet_alone": alone / count,
            "ideas": ideas.collect::<Vec<_>>(),
        })
    }

    /// What lies behind the first surface, with a gap of a twentieth at least: put together from pictures without what
    /// is nearer than some distance.
    fn behind(&mut self, place: &Place, first: &Frame) -> Frame {
        let mut out = first.clone();
        let size = cube::FACE_SIZE;
        let mut found = vec![false; (6 * size * size) as usize];
        let mut near_m = 1.0;
        while near_m < 100.0 {
            let frame = self.render_from(place, first.point, VantageKind::Panorama, place.time(), Some(near_m));
            for i in 0..6 * size * size {
                let (face, y, x) = (i / (size * size), i / size % size, i % size);
                if found[i as usize] || texel(first, face, x, y).0 * 1.05 > near_m {
                    continue;
                }
                found[i as usize] = true;
                let z = texel(&frame, face, x, y).0;
                let d = if z > 11_000.0 { 0.0 } else { 65_535.0 * first.near / z };
                out.depth.as_mut().unwrap()[i as usize] = u16::try_from(floor(d)).unwrap();
                let (left, top) = cube::atlas_origin(face, size);
                let at = ((top + y) * frame.width + left + x) as usize;
                out.nv12[at] = frame.nv12[at];
                let chroma = ((frame.height + (top + y) / 2) * frame.width + (left + x) / 2 * 2) as usize;
                out.nv12[chroma..chroma + 2].copy_from_slice(&frame.nv12[chroma..chroma + 2]);
            }
            near_m *= 1.25;
        }
        out
    }

    /// The direct picture, and the point that each pixel shows.
    fn direct_points(&mut self, place: &Place, eye: Eye) -> (Picture, Vec<Vec3>) {
        let kind = VantageKind::Flat {
            world_from_camera: eye.rotation,
            vertical_fov_rad: eye.fov_y,
            width: SIDE,
            height: SIDE,
        };
        let frame = self.render(place, eye.position, kind, place.time());
        let depth = frame.depth.unwrap();
        let at = |i: u32| ((i as f32) + 0.5) / SIDE as f32 * 2.0 - 1.0;
        let point = |i: u32| {
            let z = metres(depth[i as usize], frame.near);
            eye.position + eye.ray(at(i % SIDE), -at(i / SIDE)) * z
        };
        let picture = Picture {
            width: SIDE,
            height: SIDE,
            rgb: tongyou_render::rgb_from_nv12(&frame.nv12, SIDE, SIDE).unwrap(),
        };
        (picture, (0..SIDE * SIDE).map(point).collect())
    }
}

fn sum(errors: &[f32], pixels: &[usize]) -> f32 {
    pixels.iter().map(|i| errors[*i]).sum()
}

fn metres(d: u16, near: f32) -> f32 {
    if d == 0 {
        12_000.0
    } else {
        65_535.0 * near / f32::from(d)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small and not negative"
)]
fn floor(v: f32) -> usize {
    v as usize
}

/// How far the surface is, and the direction with z = 1, at a texel of a face.
fn texel(frame: &Frame, face: u32, x: u32, y: u32) -> (f32, Vec3) {
    let size = cube::FACE_SIZE;
    let d = frame.depth.as_ref().unwrap()[((face * size + y) * size + x) as usize];
    let at = |c: u32| (c as f32 + 0.5) / size as f32 * 2.0 - 1.0;
    let direction = cube::FACES[face as usize].direction(at(x), at(y), cube::HALF_TANGENT);
    (metres(d, frame.near), direction)
}

/// Whether a set shows this point: its depth there, or right beside it, is the point's.
fn shows(set: &Set, point: Vec3) -> bool {
    let direction = point - set.tag().point;
    let Some((face, u, v)) = cube::locate(direction, cube::HALF_TANGENT) else {
        return false;
    };
    let z = direction.dot(cube::FACES[face].forward);
    let size = set.depth().unwrap().size();
    let place = |c: f32| floor((c * 0.5 + 0.5) * size as f32);
    let (x, y) = (place(u), place(v));
    let near = |c: usize| c.saturating_sub(1)..(c + 2).min(size);
    near(y).any(|y| {
        near(x).any(|x| {
            let found = metres(
                set.depth().unwrap().samples()[(face * size + y) * size + x],
                set.tag().near,
            );
            (found - z).abs() <= 0.04 * z || found > 1000.0 && z > 1000.0
        })
    })
}

/// Whether a point that a set does not show comes to light when the head moves by at most half a metre: something
/// farther than the point is within the parallax between it and what hides it.
fn comes_to_light(set: &Set, point: Vec3) -> bool {
    if shows(set, point) {
        return false;
    }
    let direction = point - set.tag().point;
    let Some((face, u, v)) = cube::locate(direction, cube::HALF_TANGENT) else {
        return false;
    };
    let z = direction.dot(cube::FACES[face].forward);
    let size = set.depth().unwrap().size() as f32;
    let (x, y) = ((u * 0.5 + 0.5) * size, (v * 0.5 + 0.5) * size);
    let depth_at = |x: f32, y: f32| {
        let inside = (0.0..size).contains(&x) && (0.0..size).contains(&y);
        inside.then(|| {
            let at = (face * set.depth().unwrap().size() + floor(y)) * set.depth().unwrap().size() + floor(x);
            metres(set.depth().unwrap().samples()[at], set.tag().near)
        })
    };
    let front = depth_at(x, y).unwrap_or(z);
    let reach = HEAD_M * (1.0 / front - 1.0 / z).max(0.0) * size / (2.0 * cube::HALF_TANGENT);
    if reach < LEAST_REACH {
        return false;
    }
    let steps = floor(reach / 3.0) + 1;
    (1..=steps).any(|step| {
        let r = reach * step as f32 / steps as f32;
        (0..8_u8).any(|turn| {
            let (sin, cos) = (f32::from(turn) * std::f32::consts::FRAC_PI_4).sin_cos();
            depth_at(x + r * cos, y + r * sin).is_none_or(|there| there >= 0.95 * z)
        })
    })
}

/// A frame as it comes out of coding, and the bytes of colour and depth when only blocks with something wanted are sent.
fn set_of(frame: &Frame, wanted: impl Fn(u32, u32, u32) -> bool) -> (Set, usize) {
    let (color, _) = code(&frame.nv12);
    let depth = Cube::new(cube::FACE_SIZE as usize, frame.depth.clone().unwrap()).unwrap();
    let mut nv12 = vec![128; frame.nv12.len()];
    let mut samples = vec![0; depth.samples().len()];
    let (size, width) = (cube::FACE_SIZE, frame.width);
    for face in 0..6 {
        let (left, top) = cube::atlas_origin(face, size);
        for block in 0..(size / BLOCK) * (size / BLOCK) {
            let (x0, y0) = (block % (size / BLOCK) * BLOCK, block / (size / BLOCK) * BLOCK);
            // A few texels beside an edge are noise of rounding.
            let many = (0..BLOCK * BLOCK).filter(|i| wanted(face, x0 + i % BLOCK, y0 + i / BLOCK));
            if many.take(4).count() < 4 {
                continue;
            }
            for y in y0..y0 + BLOCK {
                let from = ((face * size + y) * size + x0) as usize;
                samples[from..from + BLOCK as usize].copy_from_slice(&depth.samples()[from..from + BLOCK as usize]);
                let mut copy = |row: u32| {
                    let at = (row * width + left + x0) as usize;
                    nv12[at..at + BLOCK as usize].copy_from_slice(&frame.nv12[at..at + BLOCK as usize]);
                };
                copy(top + y);
                if y.is_multiple_of(2) {
                    copy(frame.height + (top + y) / 2);
                }
            }
        }
    }
    let bytes = code(&nv12).1
        + Cube::new(size as usize, samples)
            .unwrap()
            .encode_keyframe(3)
            .unwrap()
            .len();
    let set = Set::new(tag(frame), size, color, Arc::new(depth), None).unwrap();
    (set, bytes)
}

fn code(nv12: &[u8]) -> (Vec<u8>, usize) {
    let size = Size::new(
        cube::ATLAS_COLUMNS * cube::FACE_SIZE,
        cube::ATLAS_ROWS * cube::FACE_SIZE,
    )
    .unwrap();
    let config = encode::Config {
        bitrate_bps: 50_000_000,
        min_qp: QUANTISER,
        max_qp: QUANTISER,
        ..encode::Config::new(size)
    };
    let encoded = encode::OpenH264::new(config).unwrap().encode(nv12, 0).unwrap();
    let decoded = decode::OpenH264::new().unwrap().decode(&encoded.data).unwrap();
    (decoded.nv12, encoded.data.len())
}
