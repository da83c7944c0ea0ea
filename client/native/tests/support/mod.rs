//! A room that is known exactly: a box with a post and a mark, as a vantage would send it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "pixels are few and lie within their types"
)]

use std::sync::Arc;

use glam::Vec3;
use tongyou_client::present::{Adapter, Eye, Image, Offscreen};
use tongyou_protocol::cube::{FACE_SIZE, FACES, HALF_TANGENT, atlas_origin};
use tongyou_protocol::depth::Cube;
use tongyou_protocol::frame::{Eyes, Tag};
use tongyou_protocol::{SetId, TourTime, VantageId};

pub(crate) const NEAR: f32 = 0.1;
/// The rendered point.
pub(crate) const POINT: Vec3 = Vec3::new(12.0, 1.6, -30.0);
/// Walls, relative to the rendered point.
const ROOM: (Vec3, Vec3) = (Vec3::new(-6.0, -1.6, -10.0), Vec3::new(6.0, 2.4, 10.0));
/// The post: its middle, half its width and its distance ahead.
pub(crate) const POST: (f32, f32, f32) = (0.5, 0.1, 2.0);
/// The mark on the wall ahead: its middle, half its width and its distance ahead.
pub(crate) const MARK: (f32, f32, f32) = (-1.0, 0.2, 10.0);
pub(crate) const POST_GRAY: u8 = 40;
pub(crate) const MARK_GRAY: u8 = 250;

/// What is seen from `from` (relative to the rendered point) in a direction: gray, and where.
pub(crate) fn see(from: Vec3, direction: Vec3) -> (u8, Vec3) {
    let (low, high) = ROOM;
    let walls = (0..3).map(|axis| {
        let wall = if direction[axis] > 0.0 { high[axis] } else { low[axis] };
        (wall - from[axis]) / direction[axis]
    });
    let t = walls.filter(|t| t.is_finite()).fold(f32::MAX, f32::min);
    let wall = from + direction * t;
    let to_post = (-POST.2 - from.z) / direction.z;
    if direction.z < 0.0 && to_post < t {
        let at = from + direction * to_post;
        if (at.x - POST.0).abs() < POST.1 {
            return (POST_GRAY, at);
        }
    }
    if wall.z < low.z + 0.01 && (wall.x - MARK.0).abs() < MARK.1 {
        return (MARK_GRAY, wall);
    }
    // Slow waves, so that neither scaling nor a shift of a pixel goes unseen.
    let wave = (wall.x * 1.3).sin() + (wall.y * 1.7).sin() + (wall.z * 1.1).sin();
    ((140.0 + 22.0 * wave).round() as u8, wall)
}

/// The layer of the room: tag, NV12, depth.
pub(crate) fn layer() -> (Tag, Vec<u8>, Arc<Cube>) {
    let size = FACE_SIZE as usize;
    let (width, height) = (3 * size, 2 * size);
    let mut nv12 = vec![128; width * height * 3 / 2];
    let mut depth = vec![0; 6 * size * size];
    for (number, face) in FACES.iter().enumerate() {
        let (left, top) = atlas_origin(number as u32, FACE_SIZE);
        for i in 0..size * size {
            let (x, y) = (i % size, i / size);
            let middle = |c: usize| (c as f32 + 0.5) / size as f32 * 2.0 - 1.0;
            let (gray, at) = see(Vec3::ZERO, face.direction(middle(x), middle(y), HALF_TANGENT));
            nv12[(top as usize + y) * width + left as usize + x] = luma_of(gray);
            depth[number * size * size + i] = (65_535.0 * NEAR / at.dot(face.forward)).round() as u16;
        }
    }
    (tag(), nv12, Arc::new(Cube::new(size, depth).unwrap()))
}

pub(crate) fn tag() -> Tag {
    Tag {
        set: SetId(7),
        vantage: VantageId(1),
        epoch: 1,
        point: POINT,
        near: NEAR,
        half_tangent: HALF_TANGENT,
        tour_time: TourTime(0),
        exposure: 1.0,
        ambient: [[0.5; 3]; 9],
        still_ms: [0; 6],
        eyes: Eyes::default(),
    }
}

/// Limited range.
fn luma_of(gray: u8) -> u8 {
    (16.0 + f32::from(gray) * 219.0 / 255.0).round() as u8
}

/// What the picture should be.
pub(crate) fn truth(eye: Eye, width: u32, height: u32) -> Vec<u8> {
    (0..width * height)
        .map(|i| {
            let x = ((i % width) as f32 + 0.5) / width as f32 * 2.0 - 1.0;
            let y = 1.0 - ((i / width) as f32 + 0.5) / height as f32 * 2.0;
            see(eye.position - POINT, eye.ray(x, y)).0
        })
        .collect()
}

/// Mean and 95th percentile of the difference of grays, 0 to 255.
pub(crate) fn difference(image: &Image, truth: &[u8]) -> (f32, u8) {
    let mut all: Vec<u8> = image
        .rgba
        .chunks_exact(4)
        .zip(truth)
        .map(|(p, t)| p[1].abs_diff(*t))
        .collect();
    let mean = all.iter().map(|d| f32::from(*d)).sum::<f32>() / all.len() as f32;
    all.sort_unstable();
    (mean, all[all.len() * 95 / 100])
}

/// A presenter on a software driver, or `None` where there is none; with `TONGYOU_REQUIRE_GPU=1` that fails.
pub(crate) fn offscreen() -> Option<Offscreen> {
    match Offscreen::new(Adapter::Software) {
        Ok(offscreen) => Some(offscreen),
        Err(error) => {
            let required = std::env::var_os("TONGYOU_REQUIRE_GPU").is_some_and(|v| v == "1");
            assert!(!required, "{error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

/// Writes a picture for people to look at.
pub(crate) fn save(name: &str, image: &Image) {
    let folder = std::path::Path::new(option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp")).join("present");
    std::fs::create_dir_all(&folder).unwrap();
    let file = std::fs::File::create(folder.join(format!("{name}.png"))).unwrap();
    let mut encoder = png::Encoder::new(file, image.width, image.height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.write_header().unwrap().write_image_data(&image.rgba).unwrap();
}
