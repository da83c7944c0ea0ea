//! The monument: an octagonal column of reinforced concrete with four clocks.

use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, TAU};

use glam::{Mat4, Quat, Vec2, Vec3};
use tongyou_scene::Keys;

use super::CLOCK_START_S;
use super::palette::Palette;
use crate::builder::{Builder, Paint};
use crate::lettering::INSCRIPTION;
use crate::shapes::{METRE, Tile, polygon};

// Published dimensions, as collected for this project from a page on the monument's listing as a protected site
// (http://39.103.169.235/p/d96e542aee19): height 27.5 m, octagonal shaft with sides of 2.55 m, four clocks towards
// the streets, plinth of 62 m², protected ground of 642 m². Heights between are estimated from photographs.
/// Top of the mast above the ground.
const HEIGHT_M: f32 = 27.5;
/// Side of the shaft's octagon.
const SIDE_M: f32 = 2.55;
/// Area of the plinth.
const PLINTH_M2: f32 = 62.0;

/// Distance from the axis to a side, over the side's length: (1 + √2) / 2.
const APOTHEM_PER_SIDE: f32 = 1.207_106_8;
const SHAFT: f32 = SIDE_M * APOTHEM_PER_SIDE;

const TERRACE_TOP: f32 = 0.54;
const CLOCK_Y: f32 = 20.55;
const CLOCK_RADIUS: f32 = 1.18;
/// Distance of the dials from the axis.
const CLOCK_OUT: f32 = SHAFT + 0.30;

pub(super) fn build(b: &mut Builder, p: &Palette) {
    let stone = Tile(3.0, 3.0);
    // A regular octagon of area A has the apothem √(A / 8 tan 22.5°).
    let plinth = (PLINTH_M2 / (8.0 * (FRAC_PI_4 / 2.0).tan())).sqrt();
    for (out, top) in [(8.6, 0.18), (8.2, 0.36), (7.8, TERRACE_TOP)] {
        b.tinted([0.82, 0.80, 0.78], |b| {
            b.prism(p.stone, &polygon(8, out), 0.0, top, stone)
        });
    }
    flower_bed(b, p, plinth);

    b.tinted([0.60, 0.56, 0.52], |b| {
        b.lathe(
            p.stone,
            &[(plinth + 0.12, TERRACE_TOP), (plinth + 0.12, 1.0), (plinth, 1.06)],
            8,
            false,
            stone,
        );
        b.lathe(
            p.stone,
            &[
                (plinth + 0.0, 3.0),
                (plinth + 0.16, 3.06),
                (plinth + 0.16, 3.3),
                (3.75, 3.42),
            ],
            8,
            false,
            stone,
        );
    });
    reliefs(b, p, plinth);
    b.lathe(
        p.stone,
        &[(3.75, 3.42), (3.75, 4.3), (3.5, 4.42), (3.5, 4.7), (SHAFT + 0.12, 4.85)],
        8,
        false,
        stone,
    );
    shaft(b, p);
    clock_stage(b, p);
    helmet(b, p);
}

/// Four curved beds of flowers between the ways up, in a low kerb.
fn flower_bed(b: &mut Builder, p: &Palette, plinth: f32) {
    let mut random = crate::noise::Random::new(11);
    for quarter in 0..8 {
        let turn = Mat4::from_rotation_y(quarter as f32 * FRAC_PI_4);
        b.within(turn, |b| {
            let (near, far) = (plinth + 0.55, 7.2);
            let (half_near, half_far) = (near * 0.36, far * 0.36);
            let bed = [
                Vec2::new(-half_far, far),
                Vec2::new(half_far, far),
                Vec2::new(half_near, near),
                Vec2::new(-half_near, near),
            ];
            b.tinted([0.62, 0.58, 0.55], |b| {
                b.prism(p.stone, &bed, TERRACE_TOP, TERRACE_TOP + 0.34, Tile(3.0, 3.0))
            });
            let inner: Vec<Vec2> = bed
                .iter()
                .map(|c| Vec2::new(c.x * 0.93, (c.y - 5.9) * 0.86 + 5.9))
                .collect();
            b.floor(p.soil, &inner, TERRACE_TOP + 0.35, METRE);
            for _ in 0..230 {
                let t = random.range(0.02, 0.98);
                let z = near + 0.22 + (far - near - 0.44) * t;
                let x = random.range(-0.31, 0.31) * z;
                // Bands of colour: red, yellow, red.
                let color = match t * 5.0 {
                    b if !(1.0..4.0).contains(&b) => [0.75, 0.06, 0.05],
                    b if (2.0..3.0).contains(&b) => [0.95, 0.62, 0.05],
                    _ => [0.16, 0.34, 0.08],
                };
                let size = random.range(0.09, 0.15);
                let turn = Mat4::from_rotation_translation(
                    Quat::from_rotation_y(random.range(0.0, TAU)),
                    Vec3::new(x, TERRACE_TOP + 0.35, z),
                );
                b.within(turn, |b| b.tinted(color, |b| blossom(b, p.flowers, size)));
            }
        });
    }
}

/// A tuft: a four-sided bud on its tip.
fn blossom(b: &mut Builder, paint: Paint, size: f32) {
    b.lathe(
        paint,
        &[(0.25 * size, 0.0), (size, size * 1.1), (0.0, size * 1.7)],
        5,
        true,
        METRE,
    );
}

fn reliefs(b: &mut Builder, p: &Palette, plinth: f32) {
    b.tinted([0.80, 0.76, 0.72], |b| {
        b.lathe(
            p.relief,
            &[(plinth - 0.1, 1.06), (plinth - 0.1, 3.0)],
            8,
            false,
            Tile(2.4, 1.94),
        );
    });
    for side in 0..8 {
        let turn = (side as f32 + 0.5) * FRAC_PI_4;
        b.within(Mat4::from_rotation_y(turn), |b| {
            // Posts at the corners of the plinth.
            let corner = plinth / (FRAC_PI_4 / 2.0).cos() - 0.16;
            b.tinted([0.64, 0.60, 0.56], |b| {
                b.cuboid(
                    p.stone,
                    Vec3::new(-0.24, 1.0, corner - 0.25),
                    Vec3::new(0.24, 3.04, corner + 0.13),
                    Tile(3.0, 3.0),
                );
            });
        });
    }
}

fn shaft(b: &mut Builder, p: &Palette) {
    let stone = Tile(3.0, 3.0);
    let (bottom, top) = (4.85, 18.5);
    b.lathe(p.stone, &[(SHAFT, bottom), (SHAFT, top)], 8, false, stone);
    for side in 0..8 {
        let axis = side as f32 * FRAC_PI_4;
        b.within(Mat4::from_rotation_y(axis), |b| {
            // A raised frame on each side, and narrow windows of the stair on the diagonal ones.
            let z = SHAFT + 0.10;
            for x in [-1.0, 1.0] {
                let (x0, x1) = (x * 1.17_f32, x * 0.93);
                b.cuboid(
                    p.stone,
                    Vec3::new(x0.min(x1), bottom, SHAFT - 0.1),
                    Vec3::new(x0.max(x1), top, z),
                    stone,
                );
            }
            for y in [bottom, top - 0.5] {
                b.cuboid(
                    p.stone,
                    Vec3::new(-1.17, y, SHAFT - 0.1),
                    Vec3::new(1.17, y + 0.5, z),
                    stone,
                );
            }
            if side % 2 == 1 {
                for floor in 0..5 {
                    let y = 6.3 + floor as f32 * 2.4;
                    b.cuboid(
                        p.dark_metal,
                        Vec3::new(-0.24, y, SHAFT - 0.1),
                        Vec3::new(0.24, y + 1.3, SHAFT + 0.03),
                        METRE,
                    );
                    b.cuboid(
                        p.stone,
                        Vec3::new(-0.36, y - 0.12, SHAFT),
                        Vec3::new(0.36, y, SHAFT + 0.12),
                        stone,
                    );
                }
            }
        });
    }
    // The name, on the front side, which looks north in this frame.
    b.within(Mat4::from_rotation_y(std::f32::consts::PI), |b| {
        let height = 12.2;
        let half = height / INSCRIPTION.aspect().recip() / 2.0;
        let z = SHAFT + 0.05;
        b.quad(
            p.inscription,
            [
                Vec3::new(-half, 5.75, z),
                Vec3::new(half, 5.75, z),
                Vec3::new(half, 5.75 + height, z),
                Vec3::new(-half, 5.75 + height, z),
            ],
            [Vec2::new(0.0, 1.0), Vec2::ONE, Vec2::new(1.0, 0.0), Vec2::ZERO],
        );
    });
}

fn clock_stage(b: &mut Builder, p: &Palette) {
    let stone = Tile(3.0, 3.0);
    let profile = [
        (SHAFT, 18.5),
        (3.34, 18.62),
        (3.34, 18.86),
        (3.52, 18.95),
        (3.52, 19.15),
        (3.22, 19.2),
        (3.22, 21.95),
        (3.45, 22.1),
        (3.66, 22.3),
        (3.66, 22.55),
        (2.95, 22.62),
    ];
    b.lathe(p.stone, &profile, 8, false, stone);
    for side in 0..8 {
        b.within(Mat4::from_rotation_y(side as f32 * FRAC_PI_4), |b| {
            if side % 2 == 0 {
                // The ring around a dial.
                let ring =
                    Mat4::from_rotation_translation(Quat::from_rotation_x(FRAC_PI_2), Vec3::new(0.0, CLOCK_Y, 3.2));
                b.within(ring, |b| {
                    b.lathe(
                        p.bronze,
                        &[
                            (1.36, 0.0),
                            (1.36, 0.17),
                            (1.28, 0.22),
                            (1.19, 0.2),
                            (CLOCK_RADIUS, 0.1),
                        ],
                        40,
                        true,
                        METRE,
                    );
                });
            } else {
                for slat in 0..8 {
                    let y = 19.65 + slat as f32 * 0.24;
                    b.cuboid(
                        p.dark_metal,
                        Vec3::new(-0.62, y, 3.2),
                        Vec3::new(0.62, y + 0.07, 3.29),
                        METRE,
                    );
                }
                b.cuboid(
                    p.dark_metal,
                    Vec3::new(-0.66, 19.55, 3.15),
                    Vec3::new(0.66, 21.65, 3.235),
                    METRE,
                );
            }
        });
    }
}

/// The lookout under its helmet roof, and the mast.
fn helmet(b: &mut Builder, p: &Palette) {
    let stone = Tile(3.0, 3.0);
    b.lathe(p.glass, &[(2.35, 22.6), (2.35, 24.1)], 8, false, METRE);
    for corner in 0..16 {
        b.within(Mat4::from_rotation_y((corner as f32 + 0.5) * FRAC_PI_4 / 2.0), |b| {
            b.cuboid(
                p.stone,
                Vec3::new(-0.14, 22.6, 2.28),
                Vec3::new(0.14, 24.1, 2.58),
                stone,
            );
        });
    }
    // Parapet of the gallery.
    b.lathe(
        p.stone,
        &[(3.25, 22.6), (3.25, 23.25), (3.05, 23.25), (3.05, 22.6)],
        8,
        false,
        stone,
    );
    let roof = [
        (2.3, 24.05),
        (2.95, 24.1),
        (2.95, 24.28),
        (2.7, 24.36),
        (2.62, 24.75),
        (2.36, 25.2),
        (1.9, 25.6),
        (1.25, 25.88),
        (0.62, 26.0),
        (0.55, 26.02),
        (0.55, 26.2),
        (0.3, 26.3),
        (0.16, 26.35),
    ];
    b.tinted([0.86, 0.84, 0.80], |b| b.lathe(p.stone, &roof, 8, false, stone));
    b.lathe(
        p.steel,
        &[(0.16, 26.35), (0.07, 26.6), (0.05, 27.2), (0.0, HEIGHT_M)],
        10,
        true,
        METRE,
    );
    b.within(Mat4::from_translation(Vec3::new(0.0, 26.75, 0.0)), |b| {
        b.lathe(
            p.bronze,
            &[(0.0, -0.13), (0.11, -0.07), (0.13, 0.0), (0.11, 0.07), (0.0, 0.13)],
            12,
            true,
            METRE,
        );
    });
    // Lines of light under the cornices, which the evening switches on.
    for (out, y) in [(3.60, 22.26), (3.46, 18.93), (2.9, 24.07)] {
        b.lathe(p.glow_warm, &[(out, y), (out + 0.03, y + 0.05)], 8, false, METRE);
    }
}

/// The dials and their hands; the hands are nodes that turn.
pub(super) fn clocks(b: &mut Builder, p: &Palette, turn: Quat) {
    for (index, name) in ["south", "east", "north", "west"].into_iter().enumerate() {
        let facing = turn * Quat::from_rotation_y(index as f32 * FRAC_PI_2);
        let at = facing * Vec3::new(0.0, 0.0, CLOCK_OUT) + Vec3::Y * CLOCK_Y;
        disc(b, p.dial, CLOCK_RADIUS);
        b.node(&format!("clock-{name}"), at, facing);
        let hand = |b: &mut Builder, kind: &str, length: f32, width: f32, out: f32, loop_s: f32| {
            let w = width / 2.0;
            b.cuboid(
                p.hand,
                Vec3::new(-w, -0.22, 0.0),
                Vec3::new(w, length * 0.82, 0.02),
                METRE,
            );
            b.cuboid(
                p.hand,
                Vec3::new(-w * 0.5, length * 0.8, 0.0),
                Vec3::new(w * 0.5, length, 0.02),
                METRE,
            );
            let node = b.node(
                &format!("clock-{name}-{kind}"),
                at + facing * Vec3::new(0.0, 0.0, out),
                facing,
            );
            let start = (CLOCK_START_S as f32 / loop_s).fract();
            let times: Vec<f32> = (0..=8).map(|k| loop_s * k as f32 / 8.0).collect();
            // Clockwise for who looks at the dial, which is −Z for the hand.
            let keys = (0..=8)
                .map(|k| facing * Quat::from_rotation_z(-(start + k as f32 / 8.0) * TAU))
                .collect();
            b.animate(&format!("clock-{name}-{kind}"), node, times, Keys::Rotation(keys));
        };
        hand(b, "hour", CLOCK_RADIUS * 0.56, 0.15, 0.03, 12.0 * 3600.0);
        hand(b, "minute", CLOCK_RADIUS * 0.84, 0.10, 0.06, 3600.0);
    }
}

/// A disc that faces +Z with a picture on it.
fn disc(b: &mut Builder, paint: Paint, radius: f32) {
    let corners: Vec<crate::builder::Vertex> = (0..40)
        .map(|i| {
            let angle = i as f32 / 40.0 * TAU;
            let (x, y) = (angle.cos(), angle.sin());
            crate::builder::Vertex {
                position: Vec3::new(x, y, 0.0) * radius,
                normal: Vec3::Z,
                uv: Vec2::new(0.5 + 0.5 * x, 0.5 - 0.5 * y),
            }
        })
        .collect();
    b.fan(paint, &corners);
}
