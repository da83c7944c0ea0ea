//! What stands on the square: lamps, trees in planters, benches, banners, bollards, fountains.

use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, PI, TAU};

use glam::{Mat4, Quat, Vec2, Vec3};
use tongyou_scene::{Light, LightKind};

use super::palette::Palette;
use super::{STREET_EW, STREET_NS};
use crate::builder::{Builder, Vertex};
use crate::noise::Random;
use crate::shapes::{METRE, Tile, polygon};

/// Lamps stand on this circle around the monument, between the axes of the streets.
const LAMP_CIRCLE: f32 = 23.0;
const WARM: Vec3 = Vec3::new(1.0, 0.72, 0.42);

pub(super) fn build(b: &mut Builder, p: &Palette, turn: Quat) {
    lamps(b, p, turn);
    floodlights(b, turn);
    trees(b, p, turn);
    b.within(Mat4::from_quat(turn), |b| {
        for i in 0..24 {
            // The ring of bollards around the protected ground, open towards the streets.
            let angle = (i as f32 + 0.5) / 24.0 * TAU;
            b.within(Mat4::from_rotation_y(angle), |b| bollard(b, p));
        }
        benches(b, p);
        banners(b, p);
        lanterns(b, p);
        for (x, z, yaw) in [(-27.5, 9.5, 0.4), (27.5, -9.5, 0.4 + PI)] {
            b.within(
                Mat4::from_rotation_translation(Quat::from_rotation_y(yaw), Vec3::new(x, 0.0, z)),
                |b| fountain(b, p),
            );
        }
    });
    b.node("furniture", Vec3::ZERO, Quat::IDENTITY);
}

/// Places of the street lamps in the square's frame, with the turn of their arms.
fn lamp_places() -> Vec<(Vec2, f32)> {
    let mut places = Vec::new();
    for i in 0..8 {
        let angle = (i as f32 + 0.5) * FRAC_PI_4;
        places.push((Vec2::new(angle.sin(), angle.cos()) * LAMP_CIRCLE, angle));
    }
    for (axis, half) in [
        (0.0, STREET_NS),
        (FRAC_PI_2, STREET_EW),
        (PI, STREET_NS),
        (-FRAC_PI_2, STREET_EW),
    ] {
        let turn = Mat4::from_rotation_y(axis);
        for side in [-1.0, 1.0] {
            for z in [42.0, 60.0, 104.0] {
                let at = turn.transform_point3(Vec3::new(side * (half - 5.0), 0.0, z));
                places.push((Vec2::new(at.x, at.z), axis));
            }
        }
    }
    places
}

/// Five globes on one pole, as in the streets around the square.
fn lamps(b: &mut Builder, p: &Palette, turn: Quat) {
    b.lathe(
        p.dark_metal,
        &[
            (0.26, 0.0),
            (0.26, 0.25),
            (0.16, 0.4),
            (0.13, 1.0),
            (0.085, 1.1),
            (0.07, 4.9),
        ],
        10,
        true,
        METRE,
    );
    globe(b, p, Vec3::new(0.0, 4.95, 0.0));
    for arm in 0..4 {
        b.within(Mat4::from_rotation_y(arm as f32 * FRAC_PI_2), |b| {
            let points: Vec<Vec3> = (0..=6)
                .map(|k| {
                    let t = k as f32 / 6.0;
                    Vec3::new(0.0, 3.75 - 0.34 * (t * PI).sin() + 0.26 * t, 0.07 + 0.68 * t)
                })
                .collect();
            for pair in points.windows(2) {
                b.bar(p.dark_metal, pair[0], pair[1], 0.032, 6);
            }
            globe(b, p, Vec3::new(0.0, 4.03, 0.75));
        });
    }
    let mesh = b.mesh("street-lamp");
    for (index, (at, angle)) in lamp_places().into_iter().enumerate() {
        let place = turn * Vec3::new(at.x, 0.0, at.y);
        let rotation = turn * Quat::from_rotation_y(angle + FRAC_PI_4);
        let name = format!("street-lamp-{index}");
        b.place(mesh, &name, place, rotation);
        b.lamp(&format!("{name}-light"), place + Vec3::Y * 4.5, WARM, 52.0, 22.0);
    }
}

/// A lantern: a dark cup, a pale glass.
fn globe(b: &mut Builder, p: &Palette, at: Vec3) {
    b.within(Mat4::from_translation(at), |b| {
        b.lathe(
            p.dark_metal,
            &[(0.03, -0.22), (0.06, -0.1), (0.17, 0.08)],
            10,
            true,
            METRE,
        );
        b.lathe(
            p.globe,
            &[(0.165, 0.08), (0.215, 0.42), (0.20, 0.46), (0.0, 0.5)],
            10,
            true,
            METRE,
        );
    });
}

/// Spots at the foot of the monument that light the shaft from below, and the glow of the screen on the square.
fn floodlights(b: &mut Builder, turn: Quat) {
    for i in 0..8 {
        let angle = i as f32 * FRAC_PI_4;
        let out = Vec3::new(angle.sin(), 0.0, angle.cos());
        let from = turn * (out * 7.6 + Vec3::Y * 0.8);
        let aim = turn * (out * 2.6 + Vec3::Y * 15.5) - from;
        let light = Light {
            kind: LightKind::Spot {
                inner_rad: 0.16,
                outer_rad: 0.50,
            },
            color: Vec3::new(1.0, 0.80, 0.54),
            intensity: 330.0,
            range_m: Some(40.0),
        };
        b.light(
            &format!("floodlight-{i}"),
            from,
            Quat::from_rotation_arc(Vec3::NEG_Z, aim.normalize()),
            light,
        );
    }
    // A soft wash over the reliefs.
    for i in 0..8 {
        let angle = (i as f32 + 0.5) * FRAC_PI_4;
        let at = turn * Vec3::new(angle.sin() * 7.4, 1.5, angle.cos() * 7.4);
        b.lamp(&format!("plinth-light-{i}"), at, WARM, 7.0, 8.0);
    }
    let screen = turn * Vec3::new(23.0, 19.0, -21.0);
    b.lamp("screen-light", screen, Vec3::new(1.0, 0.45, 0.42), 160.0, 40.0);
}

fn bollard(b: &mut Builder, p: &Palette) {
    b.within(Mat4::from_translation(Vec3::new(0.0, 0.0, 14.1)), |b| {
        b.tinted([0.42, 0.40, 0.39], |b| {
            let profile = [
                (0.17, 0.0),
                (0.17, 0.5),
                (0.11, 0.56),
                (0.16, 0.64),
                (0.15, 0.74),
                (0.0, 0.82),
            ];
            b.lathe(p.stone, &profile, 10, true, Tile(3.0, 3.0));
        });
    });
}

fn benches(b: &mut Builder, p: &Palette) {
    for i in 0..8 {
        let angle = (i as f32 + 0.5) * FRAC_PI_4;
        let place = Mat4::from_rotation_y(angle) * Mat4::from_translation(Vec3::new(0.0, 0.0, 26.8));
        b.within(place, |b| {
            for x in [-0.8_f32, 0.8] {
                b.cuboid(
                    p.black_tile,
                    Vec3::new(x - 0.1, 0.0, -0.26),
                    Vec3::new(x + 0.1, 0.4, 0.26),
                    METRE,
                );
            }
            for slat in 0..5 {
                let z = -0.26 + slat as f32 * 0.108;
                b.cuboid(p.wood, Vec3::new(-1.1, 0.4, z), Vec3::new(1.1, 0.45, z + 0.088), METRE);
            }
            for slat in 0..3 {
                let y = 0.56 + slat as f32 * 0.13;
                b.cuboid(p.wood, Vec3::new(-1.1, y, 0.27), Vec3::new(1.1, y + 0.1, 0.31), METRE);
            }
        });
    }
}

/// Red banners on poles along the axes.
fn banners(b: &mut Builder, p: &Palette) {
    for quarter in 0..4 {
        let half = if quarter % 2 == 0 { 9.0 } else { 7.0 };
        b.within(Mat4::from_rotation_y(quarter as f32 * FRAC_PI_2), |b| {
            for side in [-1.0_f32, 1.0] {
                for z in [36.0, 48.0, 60.0] {
                    b.within(Mat4::from_translation(Vec3::new(side * half, 0.0, z)), |b| {
                        b.lathe(
                            p.steel,
                            &[(0.12, 0.0), (0.06, 0.3), (0.05, 6.6), (0.0, 6.7)],
                            8,
                            true,
                            METRE,
                        );
                        banner(b, p, side);
                    });
                }
            }
        });
    }
}

/// Strings of red lanterns across the streets.
fn lanterns(b: &mut Builder, p: &Palette) {
    for quarter in 0..4 {
        let half = if quarter % 2 == 0 { STREET_NS } else { STREET_EW } - 0.4;
        b.within(Mat4::from_rotation_y(quarter as f32 * FRAC_PI_2), |b| {
            for z in [45.0, 56.0, 67.0] {
                let count = 11;
                let wire = |k: i32| {
                    let t = k as f32 / (count + 1) as f32 * 2.0 - 1.0;
                    Vec3::new(t * half, 8.6 + 1.7 * t * t, z)
                };
                for k in 0..=count {
                    b.bar(p.dark_metal, wire(k), wire(k + 1), 0.02, 4);
                }
                for k in 1..=count {
                    b.within(Mat4::from_translation(wire(k) - Vec3::Y * 0.75), |b| lantern(b, p));
                }
            }
        });
    }
}

fn lantern(b: &mut Builder, p: &Palette) {
    let belly: Vec<(f32, f32)> = (0..=6)
        .map(|k| {
            let angle = (k as f32 / 6.0 - 0.5) * 2.3;
            (0.36 * angle.cos(), 0.29 * angle.sin())
        })
        .collect();
    b.lathe(p.lantern, &belly, 12, true, METRE);
    for y in [-0.33, 0.26] {
        b.lathe(
            p.bronze,
            &[(0.15, y), (0.15, y + 0.07), (0.0, y + 0.075)],
            8,
            true,
            METRE,
        );
    }
    b.bar(p.red, Vec3::new(0.0, -0.72, 0.0), Vec3::new(0.0, -0.33, 0.0), 0.035, 5);
    b.bar(
        p.dark_metal,
        Vec3::new(0.0, 0.33, 0.0),
        Vec3::new(0.0, 0.75, 0.0),
        0.012,
        4,
    );
}

fn banner(b: &mut Builder, p: &Palette, side: f32) {
    let (x0, x1) = if side > 0.0 { (0.08, 0.98) } else { (-0.98, -0.08) };
    b.bar(p.steel, Vec3::new(0.0, 6.3, 0.0), Vec3::new(side, 6.3, 0.0), 0.025, 5);
    b.bar(p.steel, Vec3::new(0.0, 3.6, 0.0), Vec3::new(side, 3.6, 0.0), 0.025, 5);
    for k in 0..6 {
        let wave = |t: f32| (t * 7.0).sin() * 0.05;
        let (t0, t1) = (k as f32 / 6.0, (k + 1) as f32 / 6.0);
        let (y0, y1) = (3.62 + 2.66 * t0, 3.62 + 2.66 * t1);
        b.cuboid(
            p.red,
            Vec3::new(x0, y0, wave(t0) - 0.012),
            Vec3::new(x1, y1, wave(t0) + 0.012),
            METRE,
        );
    }
}

/// A low fountain of black mosaic, as in the streets nearby.
fn fountain(b: &mut Builder, p: &Palette) {
    let edge = [
        (2.9, 0.0),
        (3.05, 0.16),
        (3.05, 0.22),
        (2.7, 0.26),
        (2.6, 0.12),
        (2.2, 0.1),
    ];
    b.lathe(p.black_tile, &edge, 40, true, METRE);
    b.lathe(
        p.black_tile,
        &[
            (1.7, 0.0),
            (2.0, 0.55),
            (2.05, 0.62),
            (1.9, 0.66),
            (1.5, 0.66),
            (1.5, 0.74),
            (0.0, 0.75),
        ],
        40,
        true,
        METRE,
    );
    b.within(Mat4::from_translation(Vec3::new(0.0, 0.74, 0.0)), |b| {
        b.lathe(
            p.glow_cool,
            &[(0.13, 0.0), (0.10, 0.3), (0.16, 0.42), (0.0, 0.46)],
            12,
            true,
            METRE,
        );
    });
    let mut random = Random::new(17);
    for i in 0..90 {
        let angle = i as f32 / 90.0 * TAU;
        let out = random.range(2.15, 2.6);
        let at = Vec3::new(angle.sin() * out, 0.1, angle.cos() * out);
        let size = random.range(0.05, 0.11);
        let tone = random.range(0.1, 0.4);
        b.within(Mat4::from_translation(at), |b| {
            b.tinted([tone; 3], |b| {
                b.lathe(
                    p.plain,
                    &[(size, 0.0), (size * 0.8, size * 0.7), (0.0, size * 0.9)],
                    5,
                    true,
                    METRE,
                )
            });
        });
    }
}

/// Trees in octagonal planters with seats around them.
fn trees(b: &mut Builder, p: &Palette, turn: Quat) {
    let kinds: Vec<Option<usize>> = (0..3_u32)
        .map(|kind| {
            planter(b, p);
            tree(b, p, kind);
            b.mesh(&format!("tree-{kind}"))
        })
        .collect();
    let mut places = Vec::new();
    for i in 0..8 {
        let angle = (i as f32 + 0.5) * FRAC_PI_4 + if i % 2 == 0 { 0.2 } else { -0.2 };
        places.push(Vec2::new(angle.sin(), angle.cos()) * 28.6);
    }
    for (axis, half) in [
        (0.0, STREET_NS),
        (FRAC_PI_2, STREET_EW),
        (PI, STREET_NS),
        (-FRAC_PI_2, STREET_EW),
    ] {
        let turn = Mat4::from_rotation_y(axis);
        for side in [-1.0, 1.0] {
            for z in [51.0, 69.5, 112.0, 130.0] {
                let at = turn.transform_point3(Vec3::new(side * (half - 5.2), 0.0, z));
                places.push(Vec2::new(at.x, at.z));
            }
        }
    }
    for (index, at) in places.into_iter().enumerate() {
        let place = turn * Vec3::new(at.x, 0.0, at.y);
        let rotation = turn * Quat::from_rotation_y(index as f32 * 2.4);
        b.place(kinds[index % kinds.len()], &format!("tree-{index}"), place, rotation);
    }
}

fn planter(b: &mut Builder, p: &Palette) {
    b.prism(p.black_tile, &polygon(8, 1.25), 0.0, 0.42, METRE);
    b.prism(p.wood, &polygon(8, 1.3), 0.42, 0.48, METRE);
    b.prism(p.black_tile, &polygon(8, 0.95), 0.42, 0.62, METRE);
    b.floor(p.soil, &polygon(8, 0.85), 0.63, METRE);
}

/// A trunk with boughs, and clusters of leaf cards whose normals point out of each cluster.
fn tree(b: &mut Builder, p: &Palette, kind: u32) {
    let mut random = Random::new(900 + kind);
    let height = random.range(3.0, 3.6);
    b.lathe(
        p.bark,
        &[(0.24, 0.6), (0.17, 1.2), (0.14, 2.2), (0.12, height)],
        9,
        true,
        METRE,
    );
    let mut clusters = vec![(Vec3::new(0.0, height + 1.6, 0.0), 1.5)];
    for i in 0..7 {
        let angle = i as f32 / 7.0 * TAU + random.range(-0.3, 0.3);
        let out = random.range(1.1, 1.75);
        let tip = Vec3::new(angle.sin() * out, height + random.range(0.15, 1.3), angle.cos() * out);
        b.bar(
            p.bark,
            Vec3::new(0.0, height - random.range(0.1, 0.9), 0.0),
            tip,
            0.05,
            6,
        );
        clusters.push((tip, random.range(0.95, 1.35)));
    }
    clusters.push((
        Vec3::new(random.range(-0.5, 0.5), height + 2.6, random.range(-0.5, 0.5)),
        1.05,
    ));
    for (middle, radius) in clusters {
        for _ in 0..46 {
            let up = random.range(-0.75, 1.0_f32);
            let angle = random.range(0.0, TAU);
            let flat = (1.0 - up * up).max(0.0).sqrt();
            let out = Vec3::new(angle.sin() * flat, up * 0.8, angle.cos() * flat);
            let shell = radius * random.range(0.55, 1.0);
            let at = middle + out * shell;
            // Cards lean any way; the shading follows the cluster, so that the crown looks round.
            let side = Quat::from_rotation_y(random.range(0.0, TAU)) * Quat::from_rotation_x(random.range(-1.1, 1.1));
            let (x, y) = (side * Vec3::X * 0.46, side * Vec3::Y * 0.46);
            let shade = 0.55 + 0.45 * (shell / radius) * (0.55 + 0.45 * up);
            b.tinted([shade * random.range(0.85, 1.1), shade, shade * 0.9], |b| {
                let corner = |sx: f32, sy: f32, u: f32, v: f32| Vertex {
                    position: at + x * sx + y * sy,
                    normal: out + Vec3::Y * 0.35,
                    uv: Vec2::new(u, v),
                };
                let card = [
                    corner(-1.0, -1.0, 0.0, 1.0),
                    corner(1.0, -1.0, 1.0, 1.0),
                    corner(1.0, 1.0, 1.0, 0.0),
                    corner(-1.0, 1.0, 0.0, 0.0),
                ];
                b.push(p.leaves, &card, &[0, 1, 2, 0, 2, 3]);
            });
        }
    }
}
