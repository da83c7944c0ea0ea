//! The four corner buildings, the shops along the streets, their signs and the large screen.

use std::f32::consts::FRAC_PI_2;

use glam::{Mat4, Quat, Vec2, Vec3};

use super::palette::{FACADE_M, Palette};
use super::{STREET_EW, STREET_NS};
use crate::builder::{Builder, Paint};
use crate::lettering;
use crate::noise::Random;
use crate::shapes::{METRE, Tile, rectangle};

/// Height of the ground floors with their shop windows.
const SHOP_TOP: f32 = 5.4;
const SHOP_TILE: Tile = Tile(12.0, 4.6);
/// How far the chamfered corners stand from the middle, measured along the streets.
const CHAMFER: f32 = 34.0;

pub(super) fn build(b: &mut Builder, p: &Palette, turn: Quat) {
    // Corner blocks: sign of x, sign of z, height, depth along x and z.
    let corners: [(&str, f32, f32, Style); 4] = [
        ("corner-north-east", 1.0, -1.0, Style::Fins),
        ("corner-north-west", -1.0, -1.0, Style::Pleats),
        ("corner-south-east", 1.0, 1.0, Style::Beams),
        ("corner-south-west", -1.0, 1.0, Style::Stone),
    ];
    for (name, sx, sz, style) in corners {
        b.within(Mat4::from_quat(turn), |b| corner(b, p, sx, sz, style));
        b.node(name, Vec3::ZERO, Quat::IDENTITY);
    }
    b.within(Mat4::from_quat(turn), |b| rows(b, p));
    b.node("street-shops", Vec3::ZERO, Quat::IDENTITY);
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// Vertical fins of metal before glass, with the screen.
    Fins,
    /// Pleated bronze-green panels.
    Pleats,
    /// Stacked red beams.
    Beams,
    /// A department store of stone with pilasters.
    Stone,
}

/// Outline of a corner block, counter-clockwise seen from above, the chamfer first.
fn outline(sx: f32, sz: f32, depth: f32) -> Vec<Vec2> {
    let (x0, z0) = (STREET_NS, STREET_EW);
    let (x1, z1) = (STREET_NS + depth, STREET_EW + depth);
    let mut corners = vec![
        Vec2::new(x0, CHAMFER),
        Vec2::new(CHAMFER, z0),
        Vec2::new(x1, z0),
        Vec2::new(x1, z1),
        Vec2::new(x0, z1),
    ];
    for c in &mut corners {
        *c *= Vec2::new(sx, sz);
    }
    if sx * sz > 0.0 {
        corners.reverse();
    }
    rotate_to_chamfer(corners)
}

/// Puts the corner first from which the chamfer starts: both of its ends are nearest to the middle.
fn rotate_to_chamfer(mut corners: Vec<Vec2>) -> Vec<Vec2> {
    let nearness = |c: &[Vec2], i: usize| (c[i] + c[(i + 1) % c.len()]).length();
    let first = (0..corners.len())
        .min_by(|&a, &c| nearness(&corners, a).total_cmp(&nearness(&corners, c)))
        .unwrap_or(0);
    corners.rotate_left(first);
    corners
}

/// Runs `fill` in a frame that lies along a wall: x along it, z out of it, origin at its start.
fn along(b: &mut Builder, a: Vec2, c: Vec2, fill: impl FnOnce(&mut Builder, f32)) {
    let way = c - a;
    let turn = Quat::from_rotation_y(-way.y.atan2(way.x));
    let frame = Mat4::from_rotation_translation(turn, Vec3::new(a.x, 0.0, a.y));
    b.within(frame, |b| fill(b, way.length()));
}

fn corner(b: &mut Builder, p: &Palette, sx: f32, sz: f32, style: Style) {
    let block = outline(sx, sz, 46.0);
    let top = match style {
        Style::Fins => 36.0,
        Style::Pleats => 28.0,
        Style::Beams => 33.0,
        Style::Stone => 19.0,
    };
    for (i, &a) in block.iter().enumerate() {
        let c = block[(i + 1) % block.len()];
        // The two walls away from the streets are plain.
        let shown = i == 0 || i == 1 || i == block.len() - 1;
        b.wall(p.shops, a, c, 0.35, SHOP_TOP - 0.4, SHOP_TILE);
        along(b, a, c, |b, length| {
            b.cuboid(
                p.black_tile,
                Vec3::new(0.0, 0.0, -0.1),
                Vec3::new(length, 0.36, 0.12),
                METRE,
            );
            shop_frames(b, p, length);
            if shown {
                skin(b, p, style, length, top, i == 0);
                if i == 0 {
                    big_name(b, p, style, length, top);
                }
                signs(
                    b,
                    p,
                    length,
                    i + block.len() * usize::from(sx > 0.0) + usize::from(sz > 0.0) * 3,
                );
            } else {
                let z = Vec3::new(0.0, SHOP_TOP - 0.4, -0.2);
                b.cuboid(p.concrete, z, Vec3::new(length, top, 0.0), Tile(3.0, 3.0));
            }
        });
    }
    b.floor(p.concrete, &block, top, Tile(3.0, 3.0));
    roof_things(b, p, &block, top, sx * 3.0 + sz);
}

/// The name of the house in large letters on its chamfer, and lit posters.
fn big_name(b: &mut Builder, p: &Palette, style: Style, length: f32, top: f32) {
    let (index, high, y) = match style {
        Style::Fins => return,
        Style::Pleats => (4, 3.2, top - 5.4),
        Style::Beams => (5, 3.0, top - 6.5),
        Style::Stone => (10, 2.2, top + 0.6),
    };
    sign(b, p, index, Vec3::new(length / 2.0, y, 1.3), high);
    if style != Style::Pleats {
        return;
    }
    let colors = [[0.85, 0.30, 0.22], [0.20, 0.42, 0.62], [0.88, 0.66, 0.22]];
    for (k, color) in colors.into_iter().enumerate() {
        let x = length * (0.2 + 0.3 * k as f32);
        let (from, to) = (Vec3::new(x - 2.0, 8.6, 0.3), Vec3::new(x + 2.0, 19.6, 0.55));
        b.tinted(color, |b| b.cuboid(p.poster, from, to, METRE));
        b.tinted([0.9, 0.86, 0.78], |b| {
            b.cuboid(
                p.poster,
                Vec3::new(x - 1.1, 12.0, 0.5),
                Vec3::new(x + 1.1, 16.6, 0.58),
                METRE,
            );
        });
        b.cuboid(
            p.dark_metal,
            from - Vec3::new(0.12, 0.12, 0.0),
            to + Vec3::new(0.12, 0.12, -0.05),
            METRE,
        );
        sign(b, p, k * 4 + 2, Vec3::new(x, 9.2, 0.56), 0.7);
    }
}

/// Piers between the shops and the canopy over them.
fn shop_frames(b: &mut Builder, p: &Palette, length: f32) {
    let piers = (length / 6.0).round().max(1.0);
    let mut at = 0.0;
    while at <= piers {
        let x = at / piers * length;
        b.cuboid(
            p.black_tile,
            Vec3::new(x - 0.3, 0.0, -0.2),
            Vec3::new(x + 0.3, SHOP_TOP - 0.4, 0.22),
            METRE,
        );
        at += 1.0;
    }
    b.cuboid(
        p.dark_metal,
        Vec3::new(0.0, SHOP_TOP - 0.4, -0.2),
        Vec3::new(length, SHOP_TOP, 1.35),
        METRE,
    );
    b.cuboid(
        p.glow_warm,
        Vec3::new(0.2, SHOP_TOP - 0.44, 0.9),
        Vec3::new(length - 0.2, SHOP_TOP - 0.4, 1.0),
        METRE,
    );
}

fn skin(b: &mut Builder, p: &Palette, style: Style, length: f32, top: f32, chamfer: bool) {
    let flat = |b: &mut Builder, paint: Paint, tile: Tile, y0: f32, y1: f32, z: f32| {
        let (u, v) = (
            (length / tile.0 * 8.0).round() / 8.0,
            ((y1 - y0) / tile.1 * 8.0).round() / 8.0,
        );
        b.quad(
            paint,
            [
                Vec3::new(0.0, y0, z),
                Vec3::new(length, y0, z),
                Vec3::new(length, y1, z),
                Vec3::new(0.0, y1, z),
            ],
            [Vec2::new(0.0, v), Vec2::new(u, v), Vec2::new(u, 0.0), Vec2::ZERO],
        );
    };
    match style {
        Style::Fins => {
            flat(b, p.facades[0], FACADE_M[0], SHOP_TOP, top, 0.0);
            let mut x = 0.25;
            let mut random = Random::new(length.to_bits());
            while x < length - 0.1 {
                let lean = random.range(-0.25, 0.25);
                let (low, high) = (SHOP_TOP + random.range(0.6, 2.6), top + random.range(-2.5, 0.9));
                let hidden = chamfer && x > length * 0.12 && x < length * 0.88;
                if !hidden || high > 30.5 {
                    let low = if hidden { 27.5 } else { low };
                    b.bar(p.steel, Vec3::new(x, low, 0.8), Vec3::new(x + lean, high, 0.8), 0.07, 5);
                }
                x += 0.62;
            }
            if chamfer {
                screen(b, p, length);
            }
        }
        Style::Pleats => {
            let count = (length / 0.8).round();
            let width = length / count;
            let mut i = 0.0;
            while i < count {
                let x = i * width;
                for (x0, z0, x1, z1) in [(x, 0.0, x + width * 0.5, 0.32), (x + width * 0.5, 0.32, x + width, 0.0)] {
                    let tone = if z1 > z0 {
                        [0.46, 0.44, 0.33]
                    } else {
                        [0.56, 0.53, 0.40]
                    };
                    b.tinted(tone, |b| {
                        for (y0, y1) in [(SHOP_TOP + 0.2, 12.6), (13.2, 20.2), (20.8, top)] {
                            b.quad(
                                p.plain,
                                [
                                    Vec3::new(x0, y0, z0),
                                    Vec3::new(x1, y0, z1),
                                    Vec3::new(x1, y1, z1),
                                    Vec3::new(x0, y1, z0),
                                ],
                                [Vec2::ZERO; 4],
                            );
                        }
                    });
                }
                i += 1.0;
            }
            flat(b, p.dark_metal, METRE, SHOP_TOP, top, -0.02);
            for y in [12.85, 20.45] {
                b.cuboid(
                    p.glow_warm,
                    Vec3::new(0.0, y, 0.0),
                    Vec3::new(length, y + 0.1, 0.1),
                    METRE,
                );
            }
        }
        Style::Beams => beams(b, p, length, top, &flat),
        Style::Stone => {
            flat(b, p.facades[1], FACADE_M[1], SHOP_TOP, top, 0.0);
            let bays = (length / 6.0).round().max(1.0);
            let mut bay = 0.0;
            while bay <= bays {
                let x = bay / bays * length;
                b.cuboid(
                    p.stone,
                    Vec3::new(x - 0.45, SHOP_TOP, -0.1),
                    Vec3::new(x + 0.45, top, 0.42),
                    Tile(3.0, 3.0),
                );
                bay += 1.0;
            }
            for (y, out, high) in [(SHOP_TOP, 0.5, 0.5), (12.4, 0.36, 0.4), (top - 0.6, 0.9, 0.9)] {
                b.cuboid(
                    p.stone,
                    Vec3::new(0.0, y, -0.1),
                    Vec3::new(length, y + high, out),
                    Tile(3.0, 3.0),
                );
                if y > 6.0 {
                    let from = Vec3::new(0.1, y - 0.07, 0.25);
                    b.cuboid(p.glow_warm, from, Vec3::new(length - 0.1, y, 0.32), METRE);
                }
            }
        }
    }
}

/// Draws a flat skin: material, tile, bottom, top, distance from the wall.
type Flat<'a> = dyn Fn(&mut Builder, Paint, Tile, f32, f32, f32) + 'a;

/// Red beams laid over each other, their ends standing out.
fn beams(b: &mut Builder, p: &Palette, length: f32, top: f32, flat: &Flat) {
    flat(b, p.facades[4], FACADE_M[4], SHOP_TOP, top, 0.0);
    let mut random = Random::new(length.to_bits() ^ 5);
    let mut y = SHOP_TOP + 1.2;
    let mut row = 0;
    while y < top + 1.0 {
        let mut x = random.range(-1.5, 1.0);
        while x < length {
            let run = random.range(5.0, 13.0);
            let out = random.range(0.5, 1.15);
            let (x0, x1) = (x.max(-0.6), (x + run).min(length + 0.6));
            if x1 - x0 > 1.0 {
                b.cuboid(p.red, Vec3::new(x0, y, out - 0.35), Vec3::new(x1, y + 0.55, out), METRE);
                // Ends of the beams that run into the building.
                for k in 0..2 {
                    let at = x0 + 0.6 + k as f32 * (x1 - x0 - 1.6);
                    b.cuboid(
                        p.red,
                        Vec3::new(at, y + 0.55, 0.0),
                        Vec3::new(at + 0.4, y + 0.95, out + 0.75),
                        METRE,
                    );
                }
            }
            x += run + random.range(0.6, 3.2);
        }
        row += 1;
        y += if row % 4 == 0 { 1.9 } else { 1.15 };
    }
}

/// The screen with its frame on the chamfer.
fn screen(b: &mut Builder, p: &Palette, length: f32) {
    let width = length * 0.72;
    let (x0, y0) = ((length - width) / 2.0, 14.2);
    let (x1, y1) = (x0 + width, y0 + width / 1.9);
    b.cuboid(
        p.dark_metal,
        Vec3::new(x0 - 0.4, y0 - 0.4, 0.2),
        Vec3::new(x1 + 0.4, y1 + 0.4, 1.15),
        METRE,
    );
    let z = 1.18;
    b.quad(
        p.screen,
        [
            Vec3::new(x0, y0, z),
            Vec3::new(x1, y0, z),
            Vec3::new(x1, y1, z),
            Vec3::new(x0, y1, z),
        ],
        [Vec2::new(0.0, 1.0), Vec2::ONE, Vec2::new(1.0, 0.0), Vec2::ZERO],
    );
}

/// Signs over the canopy.
fn signs(b: &mut Builder, p: &Palette, length: f32, seed: usize) {
    let count = (length / 8.0).floor().max(1.0);
    let mut i = 0.0;
    let mut index = seed * 5;
    while i < count {
        let middle = (i + 0.5) / count * length;
        let high = if index.is_multiple_of(3) { 1.15 } else { 0.85 };
        sign(b, p, index, Vec3::new(middle, SHOP_TOP + 0.12, 1.1), high);
        index += 7;
        i += 1.0;
    }
    // A blade sign at right angles to the wall.
    b.within(
        Mat4::from_rotation_translation(Quat::from_rotation_y(-FRAC_PI_2), Vec3::new(length * 0.8, 0.0, 0.0)),
        |b| {
            blade(b, p, seed, 7.4);
        },
    );
}

/// A sign that faces +Z: its panel and its letters.
pub(super) fn sign(b: &mut Builder, p: &Palette, index: usize, at: Vec3, high: f32) {
    let patch = lettering::sign(index);
    let half = patch.aspect() * high / 2.0;
    b.cuboid(
        p.sign_panel,
        at + Vec3::new(-half - 0.12, 0.0, 0.0),
        at + Vec3::new(half + 0.12, high + 0.12, 0.16),
        METRE,
    );
    let (y0, y1, z) = (at.y + 0.06, at.y + 0.06 + high, at.z + 0.165);
    b.quad(
        p.signs[(index * 3 + index / 5) % p.signs.len()],
        [
            Vec3::new(at.x - half, y0, z),
            Vec3::new(at.x + half, y0, z),
            Vec3::new(at.x + half, y1, z),
            Vec3::new(at.x - half, y1, z),
        ],
        patch.uvs(),
    );
}

/// A sign across the way of those who walk along the wall, readable from both sides.
fn blade(b: &mut Builder, p: &Palette, index: usize, y: f32) {
    b.within(Mat4::from_translation(Vec3::new(1.9, 0.0, 0.0)), |b| {
        sign(b, p, index, Vec3::new(0.0, y, 0.0), 0.62);
        b.within(Mat4::from_rotation_y(std::f32::consts::PI), |b| {
            sign(b, p, index, Vec3::new(0.0, y, 0.0), 0.62)
        });
    });
}

/// Machine rooms, tanks and railings.
fn roof_things(b: &mut Builder, p: &Palette, block: &[Vec2], top: f32, seed: f32) {
    let middle = block.iter().sum::<Vec2>() / block.len() as f32;
    let mut random = Random::new((seed + 40.0).to_bits());
    for _ in 0..7 {
        let at = middle + Vec2::new(random.range(-14.0, 14.0), random.range(-14.0, 14.0));
        let size = Vec3::new(random.range(2.0, 6.0), random.range(1.2, 3.6), random.range(2.0, 5.0));
        let from = Vec3::new(at.x, top, at.y);
        b.cuboid(p.concrete, from, from + size, Tile(3.0, 3.0));
    }
    for (i, &a) in block.iter().enumerate() {
        along(b, a, block[(i + 1) % block.len()], |b, length| {
            b.cuboid(
                p.concrete,
                Vec3::new(0.0, top - 0.1, -0.35),
                Vec3::new(length, top + 1.1, 0.0),
                Tile(3.0, 3.0),
            );
        });
    }
}

/// Shops and houses along the four streets beyond the corner blocks. South stays open beyond 62 m: there the
/// monorail crosses.
fn rows(b: &mut Builder, p: &Palette) {
    let mut random = Random::new(71);
    let mut index = 3;
    for (quarter, half, clear) in [
        (0, STREET_NS, Some(66.0..92.0)),
        (1, STREET_EW, None),
        (2, STREET_NS, None),
        (3, STREET_EW, None),
    ] {
        b.within(Mat4::from_rotation_y(quarter as f32 * FRAC_PI_2), |b| {
            for side in [-1.0_f32, 1.0] {
                let other = if quarter % 2 == 0 { STREET_EW } else { STREET_NS };
                let mut z = other + 46.0 + 0.5;
                while z < 215.0 {
                    let width = random.range(17.0, 30.0);
                    let end = z + width;
                    if clear
                        .as_ref()
                        .is_some_and(|c: &std::ops::Range<f32>| z < c.end && end > c.start)
                    {
                        z = z.max(clear.as_ref().map_or(z, |c| c.end)) + 0.01;
                        if clear.as_ref().is_some_and(|c| z < c.end) {
                            continue;
                        }
                    }
                    let high = random.range(16.0, 44.0);
                    let kind = random.range(0.0, 4.0);
                    let facade = if kind < 1.0 {
                        0
                    } else if kind < 2.0 {
                        1
                    } else if kind < 3.0 {
                        2
                    } else {
                        3
                    };
                    house(b, p, side, half, z, z + width - 0.4, high, facade, index);
                    index += 5;
                    z += width;
                }
            }
        });
    }
}

#[expect(clippy::too_many_arguments, reason = "one house in one place")]
fn house(b: &mut Builder, p: &Palette, side: f32, half: f32, z0: f32, z1: f32, high: f32, facade: usize, index: usize) {
    let (x0, x1) = if side > 0.0 {
        (half, half + 24.0)
    } else {
        (-half - 24.0, -half)
    };
    let block = rectangle(x0, z0, x1, z1);
    for (i, &a) in block.iter().enumerate() {
        let c = block[(i + 1) % 4];
        b.wall(p.shops, a, c, 0.0, SHOP_TOP - 0.4, SHOP_TILE);
        b.wall(p.facades[facade], a, c, SHOP_TOP - 0.4, high, FACADE_M[facade]);
    }
    b.floor(p.concrete, &block, high, Tile(3.0, 3.0));
    // The wall at the street: from its start to its end seen from the street, left to right.
    let (a, c) = if side > 0.0 {
        (Vec2::new(x0, z0), Vec2::new(x0, z1))
    } else {
        (Vec2::new(x1, z1), Vec2::new(x1, z0))
    };
    along(b, a, c, |b, length| {
        shop_frames(b, p, length);
        signs(b, p, length, index);
        b.cuboid(
            p.concrete,
            Vec3::new(0.0, high - 0.5, -0.3),
            Vec3::new(length, high + 0.7, 0.35),
            Tile(3.0, 3.0),
        );
    });
}
