//! What the other layers of a vantage make better: the native client's pictures of the base alone, with what lies
//! behind, with sharp faces, with both, and of a stereo pair that was rendered for where the head was foreseen.

use std::sync::Arc;
use std::time::Instant;

use glam::{Quat, Vec3};
use serde_json::{Value, json};
use tongyou_client::present::{Eye, Form, Offscreen, Set};
use tongyou_media::Size;
use tongyou_media::decode::{self, Decoder};
use tongyou_media::encode::{self, Backend};
use tongyou_protocol::cube::FACES;
use tongyou_protocol::depth::Cube;
use tongyou_protocol::frame::{Eyes, Layer, Shape, Tag};
use tongyou_render::{Frame, VantageKind, behind};

use super::layers::tag;
use super::random::Random;
use super::{BINS_M, Depth, Head, Headset, IPD_M, Place, SIDE, Studio, flip};
use crate::pictures::Picture;

/// Pixels along the side of a sharp face.
const FACE: u32 = 1024;
/// Sharp faces that a headset has at once, and what each may cost.
const FACES_AT_ONCE: usize = 2;
const FACE_BPS: u32 = 6_000_000;
const BEHIND_BPS: u32 = 6_000_000;
const STEREO_BPS: u32 = 12_000_000;
/// Pictures of a still view that a layer has had.
const SHARPENED: u32 = 6;
/// How far a head has gone and turned since its pose was used for a stereo pair.
const FORESEEN_OFF_M: f32 = 0.03;
const FORESEEN_OFF_RAD: f32 = 0.05;
/// What is compared.
const WAYS: [&str; 5] = ["base", "with_behind", "with_faces", "with_both", "stereo"];

impl Studio {
    /// Mean FLIP of each way by distance of the head, and what the layers cost. The first head's pictures half a metre
    /// away are written to `target/gallery`.
    pub fn compare_layers(&mut self, place: &Place, heads: usize, headset: &mut Headset) -> Value {
        let base = self.layers(place, Depth::True).sets()[0].clone();
        let frame = self.render(place, place.point(), VantageKind::Panorama, place.time());
        let start = Instant::now();
        let chosen = behind::choose(frame.depth.as_ref().unwrap(), base.face_size(), frame.near);
        let choose_ms = start.elapsed().as_secs_f64() * 1e3;
        let covered = chosen.as_ref().map(|b| (b.resolved, b.drawn));
        let behind = chosen.map(|chosen| {
            let frame = self.render_only(place, &chosen.mask);
            let form = Form {
                layer: Layer::Behind,
                ..base.form()
            };
            set(&frame, form, tag(&frame), BEHIND_BPS)
        });
        let faces: Vec<(Set, [usize; 2])> = (0..6).map(|face| self.face(place, face)).collect();
        let mut random = Random::new(place.seed());
        let mut bins = Vec::new();
        let mut stereo_bytes = [0; 2];
        for distance_m in BINS_M {
            let mut sums = [0.0; WAYS.len()];
            for number in 0..heads {
                let head = Head::seeded(&mut random, distance_m, place.towards());
                let (stereo, bytes) = self.stereo(place, head, &mut random);
                stereo_bytes = bytes;
                let gaze = head.rotation * Vec3::NEG_Z;
                let mut order: Vec<usize> = (0..6).collect();
                order.sort_by(|a, b| FACES[*b].forward.dot(gaze).total_cmp(&FACES[*a].forward.dot(gaze)));
                let looked = order.iter().take(FACES_AT_ONCE).map(|face| &faces[*face].0);
                let looked: Vec<&Set> = looked.collect();
                let behind = behind.as_ref().map(|(set, _)| set);
                let ways: [Vec<&Set>; WAYS.len()] = [
                    vec![&base],
                    [&base].into_iter().chain(behind).collect(),
                    [&base].into_iter().chain(looked.iter().copied()).collect(),
                    [&base]
                        .into_iter()
                        .chain(behind)
                        .chain(looked.iter().copied())
                        .collect(),
                    vec![&stereo],
                ];
                for (eye_number, eye) in head.eyes(place.point()).into_iter().enumerate() {
                    let direct = self.direct(place, eye);
                    let seen: Vec<Picture> = ways
                        .iter()
                        .map(|sets| look(&mut headset.offscreen, sets, eye))
                        .collect();
                    for (sum, picture) in sums.iter_mut().zip(&seen) {
                        let error = flip(picture, &direct).to_vec();
                        *sum += f64::from(error.iter().sum::<f32>()) / f64::from(SIDE * SIDE);
                    }
                    if distance_m == BINS_M[3] && number == 0 && eye_number == 0 {
                        write(place, &seen, &direct);
                    }
                }
            }
            let mean = |sum: f64| (sum / (2 * heads) as f64 * 1e4).round() / 1e4;
            let ways = WAYS
                .iter()
                .zip(sums)
                .map(|(name, sum)| ((*name).to_owned(), json!(mean(sum))));
            let mut bin: serde_json::Map<String, Value> = ways.collect();
            bin.insert(
                "offset_m".to_owned(),
                json!((f64::from(distance_m) * 100.0).round() / 100.0),
            );
            bins.push(Value::Object(bin));
        }
        json!({
            "place": place.name,
            "flip": bins,
            "behind": behind.map(|(_, bytes)| json!({
                "resolved": covered.map(|c| c.0),
                "drawn": covered.map(|c| c.1),
                "choose_ms": choose_ms.round(),
                "color_and_depth_bytes": bytes,
            })),
            "face_bytes": faces.iter().map(|(_, bytes)| bytes[0]).sum::<usize>() / 6,
            "stereo_bytes": stereo_bytes,
        })
    }

    fn face(&mut self, place: &Place, face: u8) -> (Set, [usize; 2]) {
        let kind = VantageKind::Face { face, size: FACE };
        let frame = self.render(place, place.point(), kind, place.time());
        let form = Form {
            layer: Layer::Face(face),
            shape: Shape::Panorama,
            width: FACE,
            height: FACE,
        };
        set(&frame, form, tag(&frame), FACE_BPS)
    }

    /// Rendered for a head that is not quite where it was foreseen.
    fn stereo(&mut self, place: &Place, head: Head, random: &mut Random) -> (Set, [usize; 2]) {
        let axis = Vec3::new(random.signed(), random.signed(), random.signed()).normalize_or(Vec3::X);
        let rotation = Quat::from_axis_angle(axis, FORESEEN_OFF_RAD) * head.rotation;
        let point = place.point() + head.offset + axis * FORESEEN_OFF_M;
        let kind = VantageKind::stereo(rotation, IPD_M / 2.0);
        let VantageKind::Stereo {
            half_tangent,
            foveation,
            size,
            ..
        } = kind
        else {
            unreachable!()
        };
        let frame = self.render(place, point, kind, place.time());
        let tag = Tag {
            half_tangent,
            eyes: Eyes {
                rotation,
                half_ipd: IPD_M / 2.0,
                foveation,
            },
            ..tag(&frame)
        };
        let form = Form {
            layer: Layer::Base,
            shape: Shape::Stereo,
            width: 2 * size,
            height: size,
        };
        set(&frame, form, tag, STEREO_BPS)
    }
}

/// Codes and decodes it as a still view; bytes of colour and depth of a keyframe.
fn set(frame: &Frame, form: Form, tag: Tag, bitrate_bps: u32) -> (Set, [usize; 2]) {
    let mut encoder = encode::OpenH264::new(encode::Config {
        bitrate_bps,
        fps: 4.0,
        ..encode::Config::new(Size::new(form.width, form.height).unwrap())
    })
    .unwrap();
    let mut decoder = decode::OpenH264::new().unwrap();
    let mut color_bytes = 0;
    let mut decoded = None;
    for n in 0..SHARPENED {
        let coded = encoder.encode(&frame.nv12, n).unwrap();
        if n == 0 {
            color_bytes = coded.data.len();
        }
        decoded = Some(decoder.decode(&coded.data).unwrap());
    }
    let mut depth_bytes = 0;
    let depth = frame.depth.as_ref().map(|samples| {
        let faces = if form.shape == Shape::Stereo { 2 } else { 6 };
        let size = (samples.len() / faces).isqrt();
        let coded = Cube::new(size, samples.clone()).unwrap().encode_keyframe(3).unwrap();
        depth_bytes = coded.len();
        Arc::new(Cube::decode(&coded, None).unwrap())
    });
    let set = Set::of(form, tag, decoded.unwrap().nv12, depth, None).unwrap();
    (set, [color_bytes, depth_bytes])
}

fn look(offscreen: &mut Offscreen, sets: &[&Set], eye: Eye) -> Picture {
    offscreen.clear();
    for set in sets {
        offscreen.show_set((*set).clone()).unwrap();
    }
    let image = offscreen.look(eye, SIDE, SIDE).unwrap();
    assert_eq!(image.holes(), 0);
    Picture {
        width: SIDE,
        height: SIDE,
        rgb: image.rgba.chunks_exact(4).flat_map(|p| &p[..3]).copied().collect(),
    }
}

/// Base, with behind, with both, stereo, direct, side by side.
fn write(place: &Place, seen: &[Picture], direct: &Picture) {
    let folder = crate::root().join("target/gallery");
    std::fs::create_dir_all(&folder).unwrap();
    let parts = [&seen[0], &seen[1], &seen[3], &seen[4], direct];
    let row = (SIDE * 3) as usize;
    let rgb = (0..SIDE as usize)
        .flat_map(|y| parts.into_iter().flat_map(move |p| &p.rgb[y * row..(y + 1) * row]))
        .copied()
        .collect();
    let picture = Picture {
        width: 5 * SIDE,
        height: SIDE,
        rgb,
    };
    picture.write(&folder.join(format!("layers-{}.png", place.name)));
}
