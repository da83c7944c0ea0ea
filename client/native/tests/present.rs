//! Presenting off-screen, compared with a room that is known exactly.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test fails by panicking; pixels are few"
)]

mod support;

use std::f32::consts::{FRAC_PI_2, FRAC_PI_3};
use std::sync::Arc;

use glam::{Quat, Vec3};
use support::{MARK, MARK_GRAY, POINT, POST, POST_GRAY, difference, layer, offscreen, save, tag, truth};
use tongyou_client::present::{Eye, Image, Offscreen};
use tongyou_protocol::cube::FACE_SIZE;
use tongyou_protocol::depth::Cube;

/// Pixels of a face between its gutters: what a right angle sees of it.
const INNER: u32 = 496;

fn ahead(offset: Vec3, rotation: Quat) -> Eye {
    Eye {
        position: POINT + offset,
        rotation,
        fov_y: FRAC_PI_2,
        aspect: 1.0,
    }
}

fn room() -> Option<Offscreen> {
    let mut offscreen = offscreen()?;
    let (tag, nv12, depth) = layer();
    offscreen.show(tag, FACE_SIZE, &nv12, &depth).unwrap();
    Some(offscreen)
}

#[test]
fn at_the_rendered_point_the_very_face_is_seen() {
    let Some(mut offscreen) = room() else { return };
    for (name, rotation) in [
        ("front", Quat::IDENTITY),
        ("right", Quat::from_rotation_y(-FRAC_PI_2)),
        ("back", Quat::from_rotation_y(2.0 * FRAC_PI_2)),
        ("left", Quat::from_rotation_y(FRAC_PI_2)),
        ("up", Quat::from_rotation_x(FRAC_PI_2)),
        ("down", Quat::from_rotation_x(-FRAC_PI_2)),
    ] {
        let eye = ahead(Vec3::ZERO, rotation);
        let seen = offscreen.look(eye, INNER, INNER).unwrap();
        save(&format!("at-{name}"), &seen);
        assert_eq!(seen.holes(), 0, "{name}");
        let truth = truth(eye, INNER, INNER);
        // Luma has 219 steps, and two conversions round.
        let off: Vec<usize> = (0..truth.len())
            .filter(|i| seen.rgba[4 * i + 1].abs_diff(truth[*i]) > 3)
            .collect();
        // Beside a seam an edge may be drawn by the neighbour's gutter, which has it elsewhere within a pixel.
        let seam = |i: &usize| {
            [i % INNER as usize, i / INNER as usize]
                .iter()
                .any(|c| *c < 24 || *c > 471)
        };
        assert!(
            off.len() < 40 && off.iter().all(seam),
            "{name}: {} pixels are off, at {off:?}",
            off.len()
        );
        let gray = seen
            .rgba
            .chunks_exact(4)
            .all(|p| p[0].abs_diff(p[1]) <= 1 && p[2].abs_diff(p[1]) <= 1);
        assert!(gray, "{name}");
    }
}

#[test]
fn turned_and_moved_there_are_no_holes_and_it_stays_true() {
    let Some(mut offscreen) = room() else { return };
    let turned = [
        Quat::from_rotation_y(FRAC_PI_3),
        Quat::from_rotation_y(-FRAC_PI_3) * Quat::from_rotation_x(0.5),
        Quat::from_rotation_x(-FRAC_PI_3),
        Quat::from_rotation_y(2.2) * Quat::from_rotation_z(0.4),
    ];
    for (offset, limits) in [
        (Vec3::ZERO, (1.0, 4)),
        (Vec3::new(0.0, 0.1, 0.0), (1.5, 5)),
        (Vec3::new(-0.25, 0.0, 0.0), (2.0, 6)),
        (Vec3::new(0.3, -0.2, 0.34), (2.5, 8)),
    ] {
        for (number, rotation) in turned.into_iter().enumerate() {
            let eye = ahead(offset, rotation);
            let seen = offscreen.look(eye, 400, 400).unwrap();
            save(&format!("turned-{number}-{:.2}", offset.length()), &seen);
            assert_eq!(seen.holes(), 0, "{offset} {number}");
            let (mean, p95) = difference(&seen, &truth(eye, 400, 400));
            assert!(
                mean <= limits.0 && p95 <= limits.1,
                "{offset} {number}: mean {mean}, p95 {p95}"
            );
        }
    }
}

/// Where a span of pixels darker or brighter than `than` lies in the middle row: left and right edge, in pixels.
fn span(image: &Image, than: u8, brighter: bool) -> Option<(f32, f32)> {
    let row: Vec<f32> = (0..image.width)
        .map(|x| f32::from(image.pixel(x, image.height / 2)[1]))
        .collect();
    let than = f32::from(than);
    let inside = |v: f32| (v > than) == brighter;
    let first = row.iter().position(|v| inside(*v))?;
    let last = row.iter().rposition(|v| inside(*v))?;
    // Between two middles of pixels, where the threshold is crossed.
    let crossing = |out: usize, into: usize| {
        let part = (than - row[out]) / (row[into] - row[out]);
        out as f32 + 0.5 + part * (into as f32 - out as f32)
    };
    Some((
        crossing(first.checked_sub(1)?, first),
        crossing((last + 1 < row.len()).then_some(last + 1)?, last),
    ))
}

/// Where the edges of a thing that stands at a distance ahead are to be.
fn expected(eye: Eye, (middle, half, distance): (f32, f32, f32), width: u32) -> (f32, f32) {
    let at = |x: f32| {
        let (px, _) = eye.project(POINT + Vec3::new(x, 0.0, -distance)).unwrap();
        (px + 1.0) / 2.0 * width as f32
    };
    (at(middle - half), at(middle + half))
}

#[test]
fn near_and_far_move_by_their_parallax() {
    const WIDTH: u32 = INNER;
    let Some(mut offscreen) = room() else { return };
    let dark = POST_GRAY + 20;
    let bright = MARK_GRAY - 20;
    let look = |offscreen: &mut Offscreen, x: f32| {
        let eye = ahead(Vec3::X * x, Quat::IDENTITY);
        let seen = offscreen.look(eye, WIDTH, WIDTH).unwrap();
        save(&format!("parallax{x}"), &seen);
        let worst = |(a, b): (f32, f32), (c, d): (f32, f32)| (a - c).abs().max((b - d).abs());
        let post = span(&seen, dark, false).map(|s| worst(s, expected(eye, POST, WIDTH)));
        let mark = span(&seen, bright, true).map(|s| worst(s, expected(eye, MARK, WIDTH)));
        (post.unwrap(), mark.unwrap())
    };
    for x in [0.0, 0.032, -0.032, 0.25, -0.25] {
        let (post, mark) = look(&mut offscreen, x);
        assert!(
            post < 1.0 && mark < 1.0,
            "{x} m aside the post is off by {post} px, the mark by {mark} px"
        );
    }
    // The control: where depth says that all is far away, the near post stays behind.
    let (_, nv12, _) = layer();
    let size = FACE_SIZE as usize;
    let flat = Arc::new(Cube::new(size, vec![655; 6 * size * size]).unwrap());
    offscreen.show(tag(), FACE_SIZE, &nv12, &flat).unwrap();
    let (post, mark) = look(&mut offscreen, 0.25);
    assert!(post > 20.0 && mark < 1.0, "with constant depth: {post} px, {mark} px");
}

#[test]
fn colours_are_bt709_limited() {
    let Some(mut offscreen) = offscreen() else { return };
    let size = FACE_SIZE as usize;
    let depth = Arc::new(Cube::new(size, vec![655; 6 * size * size]).unwrap());
    // Y, Cb, Cr of display red, green, blue, white and black in BT.709, limited range.
    for (ycc, rgb) in [
        ([63, 102, 240], [255, 0, 0]),
        ([173, 42, 26], [0, 255, 0]),
        ([32, 240, 118], [0, 0, 255]),
        ([235, 128, 128], [255, 255, 255]),
        ([16, 128, 128], [0, 0, 0]),
    ] {
        let mut nv12 = vec![ycc[0]; size * size * 6];
        nv12.extend([ycc[1], ycc[2]].repeat(size * size * 6 / 4));
        offscreen.show(tag(), FACE_SIZE, &nv12, &depth).unwrap();
        let seen = offscreen.look(ahead(Vec3::ZERO, Quat::IDENTITY), 8, 8).unwrap();
        let off = (0..3).map(|c| seen.pixel(4, 4)[c].abs_diff(rgb[c])).max().unwrap();
        assert!(off <= 3, "{ycc:?} became {:?}", seen.pixel(4, 4));
    }
}

#[test]
fn nothing_is_shown_without_a_layer_and_bad_input_is_named() {
    let Some(mut offscreen) = offscreen() else { return };
    let eye = ahead(Vec3::ZERO, Quat::IDENTITY);
    assert_eq!(offscreen.look(eye, 10, 7).unwrap().holes(), 70);
    for (width, height) in [(0, 5), (5, 1 << 20)] {
        let error = offscreen.look(eye, width, height).unwrap_err().to_string();
        assert!(error.contains(&format!("{width} × {height}")), "{error}");
    }
    let (tag, nv12, depth) = layer();
    let error = offscreen
        .show(tag, FACE_SIZE, &nv12[1..], &depth)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("set 7: ") && error.contains("NV12"), "{error}");
    let mut bad = tag;
    bad.near = f32::NAN;
    assert!(offscreen.show(bad, FACE_SIZE, &nv12, &depth).is_err());
    assert_eq!(
        offscreen.look(eye, 10, 7).unwrap().holes(),
        70,
        "what is wrong is not shown"
    );
}
