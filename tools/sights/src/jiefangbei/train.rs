//! A straddle-beam monorail that passes behind the square, in the manner of Chongqing's Line 2.
//!
//! No line runs above ground here; it is a greeting from Liziba, 3 km away.

use glam::{Mat4, Quat, Vec2, Vec3};
use tongyou_scene::Keys;

use super::palette::Palette;
use crate::builder::Builder;
use crate::shapes::{METRE, Tile};

/// The guideway crosses the south street this far from the monument.
const LINE_Z: f32 = 79.0;
/// Top of the beams above the ground.
const BEAM_TOP: f32 = 11.0;
/// The beams are 0.85 m × 1.5 m, the cars 14.6 m × 2.98 m (figures for Line 2, from memory).
const BEAM: (f32, f32) = (0.85, 1.5);
const CAR: (f32, f32, f32) = (14.0, 2.98, 3.5);
const CARS: u32 = 6;
const TRACKS: [f32; 2] = [LINE_Z - 1.85, LINE_Z + 1.85];
/// From one end to the other and round again.
const LOOP_S: f32 = 40.0;
const REACH: f32 = 250.0;

pub(super) fn build(b: &mut Builder, p: &Palette, turn: Quat) {
    b.within(Mat4::from_quat(turn), |b| guideway(b, p));
    b.node("guideway", Vec3::ZERO, Quat::IDENTITY);

    cars(b, p);
    let hidden = turn * Vec3::new(-REACH, BEAM_TOP, TRACKS[0]);
    let mesh = b.mesh("train");
    let train = b.place(mesh, "train", hidden, turn);
    let at = |x: f32, track: usize| turn * Vec3::new(x, BEAM_TOP, TRACKS[track]);
    b.animate(
        "train",
        train,
        vec![0.0, LOOP_S],
        Keys::Translation(vec![at(-REACH, 0), at(REACH, 0)]),
    );
    // The other way, half a loop later.
    let back = b.place(
        mesh,
        "train-back",
        at(REACH, 1),
        turn * Quat::from_rotation_y(std::f32::consts::PI),
    );
    let half = LOOP_S / 2.0;
    b.animate(
        "train-back",
        back,
        vec![0.0, half - 0.01, half, LOOP_S],
        Keys::Translation(vec![at(0.0, 1), at(-REACH, 1), at(REACH, 1), at(0.0, 1)]),
    );
}

fn guideway(b: &mut Builder, p: &Palette) {
    let concrete = Tile(3.0, 3.0);
    for z in TRACKS {
        let (from, to) = (z - BEAM.0 / 2.0, z + BEAM.0 / 2.0);
        let mut x = -REACH - 60.0;
        while x < REACH + 60.0 {
            b.cuboid(
                p.concrete,
                Vec3::new(x, BEAM_TOP - BEAM.1, from),
                Vec3::new(x + 21.9, BEAM_TOP, to),
                concrete,
            );
            x += 22.0;
        }
        b.bar(
            p.dark_metal,
            Vec3::new(-REACH - 60.0, BEAM_TOP - 0.6, to + 0.08),
            Vec3::new(REACH + 60.0, BEAM_TOP - 0.6, to + 0.08),
            0.07,
            5,
        );
    }
    let mut x = -REACH - 60.0 + 10.0;
    while x < REACH + 60.0 {
        b.within(Mat4::from_translation(Vec3::new(x, 0.0, LINE_Z)), |b| {
            b.cuboid(
                p.concrete,
                Vec3::new(-0.8, 0.0, -0.8),
                Vec3::new(0.8, 7.6, 0.8),
                concrete,
            );
            // A head that widens towards the beams.
            for (low, top, half) in [(7.0, 7.8, 1.2), (7.8, 8.6, 1.9), (8.6, BEAM_TOP - BEAM.1, 2.6)] {
                b.cuboid(
                    p.concrete,
                    Vec3::new(-0.85, low, -half),
                    Vec3::new(0.85, top, half),
                    concrete,
                );
            }
        });
        x += 22.0;
    }
}

/// The cars, their middle at the origin, running along +X.
fn cars(b: &mut Builder, p: &Palette) {
    let (length, width, height) = CAR;
    let pitch = length + 0.6;
    for car in 0..CARS {
        let middle = (car as f32 - (CARS as f32 - 1.0) / 2.0) * pitch;
        let head = if car == 0 {
            -1.0
        } else if car + 1 == CARS {
            1.0
        } else {
            0.0
        };
        b.within(Mat4::from_translation(Vec3::new(middle, 0.0, 0.0)), |b| {
            body(b, p, length, width, height, head)
        });
        if car + 1 < CARS {
            let x = middle + length / 2.0;
            b.cuboid(
                p.dark_metal,
                Vec3::new(x - 0.1, 0.3, -1.1),
                Vec3::new(x + 0.7, 2.9, 1.1),
                METRE,
            );
        }
    }
}

fn body(b: &mut Builder, p: &Palette, length: f32, width: f32, height: f32, head: f32) {
    let (half, w) = (length / 2.0, width / 2.0);
    // The section: skirts beside the beam, a straight side, a rounded roof.
    let section: [(f32, f32); 9] = [
        (w - 0.25, -1.15),
        (w - 0.05, -0.9),
        (w, -0.4),
        (w, 0.95),
        (w - 0.02, 2.05),
        (w - 0.12, 2.55),
        (w - 0.45, height - 0.62),
        (w - 1.0, height - 0.5),
        (0.0, height - 0.46),
    ];
    for side in [1.0_f32, -1.0] {
        for (band, pair) in section.windows(2).enumerate() {
            let (low, high) = (pair[0], pair[1]);
            let paint = if band == 3 { p.train_glass } else { p.train_body };
            // White with a green band below the windows, as on Line 2.
            let tint = match band {
                0 | 1 => [0.20, 0.21, 0.22],
                2 => [0.05, 0.36, 0.17],
                3 => [1.0; 3],
                _ => [0.86, 0.88, 0.88],
            };
            let nose = |y: f32| {
                if head == 0.0 {
                    0.0
                } else {
                    ((y + 0.6).max(0.0) * 0.24).powi(2) + 0.05
                }
            };
            let x = |y: f32, end: f32| {
                if end * head > 0.0 {
                    end * (half - nose(y))
                } else {
                    end * half
                }
            };
            let point = |(z, y): (f32, f32), end: f32| Vec3::new(x(y, end), y, z * side);
            let mut corners = [point(low, -1.0), point(low, 1.0), point(high, 1.0), point(high, -1.0)];
            if side < 0.0 {
                corners.reverse();
            }
            b.tinted(tint, |b| b.quad(paint, corners, [Vec2::ZERO; 4]));
            if band == 3 {
                doors(b, p, side, half, w);
            }
        }
    }
    for end in [1.0_f32, -1.0] {
        face(b, p, &section, half, head, end);
    }
}

/// Pillars between the windows and two doors a side.
fn doors(b: &mut Builder, p: &Palette, side: f32, half: f32, w: f32) {
    let z = w * side;
    let (near, far) = (z.min(z + 0.015 * side), z.max(z + 0.015 * side));
    let count = 9;
    for k in 0..=count {
        let x = -half + 0.3 + (2.0 * half - 0.6) * k as f32 / count as f32;
        b.tinted([0.86, 0.88, 0.88], |b| {
            b.cuboid(
                p.train_body,
                Vec3::new(x - 0.14, 0.9, near),
                Vec3::new(x + 0.14, 2.15, far),
                METRE,
            );
        });
    }
    for x in [-half * 0.5, half * 0.5] {
        b.tinted([0.72, 0.75, 0.75], |b| {
            b.cuboid(
                p.train_body,
                Vec3::new(x - 0.75, -0.05, near),
                Vec3::new(x + 0.75, 0.98, far),
                METRE,
            );
            b.cuboid(
                p.train_body,
                Vec3::new(x - 0.05, 0.9, near),
                Vec3::new(x + 0.05, 2.15, far),
                METRE,
            );
        });
    }
}

/// An end of a car: flat between cars, with a windscreen and lights at the ends of the train.
fn face(b: &mut Builder, p: &Palette, section: &[(f32, f32); 9], half: f32, head: f32, end: f32) {
    let nose = |y: f32| {
        if end * head > 0.0 {
            ((y + 0.6).max(0.0) * 0.24).powi(2) + 0.05
        } else {
            0.0
        }
    };
    for pair in section.windows(2) {
        let ((z0, y0), (z1, y1)) = (pair[0], pair[1]);
        if (y1 - y0).abs() < 1e-4 {
            continue;
        }
        let (x0, x1) = (end * (half - nose(y0)), end * (half - nose(y1)));
        let mut corners = [
            Vec3::new(x0, y0, z0),
            Vec3::new(x0, y0, -z0),
            Vec3::new(x1, y1, -z1),
            Vec3::new(x1, y1, z1),
        ];
        if end < 0.0 {
            corners.reverse();
        }
        let window = end * head > 0.0 && y0 > 0.9 && y1 < 2.6;
        let (paint, tint) = if window {
            (p.glass, [1.0; 3])
        } else if y1 <= 1.0 {
            (p.train_body, [0.05, 0.36, 0.17])
        } else {
            (p.train_body, [0.86, 0.88, 0.88])
        };
        b.tinted(tint, |b| b.quad(paint, corners, [Vec2::ZERO; 4]));
    }
    if end * head > 0.0 {
        for z in [-0.95_f32, 0.95] {
            let x = end * (half - 0.12);
            b.cuboid(
                p.globe,
                Vec3::new(x.min(x + 0.1 * end), 0.25, z - 0.2),
                Vec3::new(x.max(x + 0.1 * end), 0.45, z + 0.2),
                METRE,
            );
        }
    }
}
