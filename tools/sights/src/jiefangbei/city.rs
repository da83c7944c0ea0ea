//! The towers behind the shops and the skyline at the ends of the streets.

use glam::{Mat4, Quat, Vec2, Vec3};

use super::palette::{FACADE_M, Palette};
use super::{STREET_EW, STREET_NS, turn};
use crate::builder::Builder;
use crate::noise::Random;
use crate::shapes::{METRE, Tile, polygon, rectangle};

/// Height of Chongqing World Financial Center, and where it stands from the monument (east, south) in metres.
/// The height is from memory, the place from the coordinates noted for its lookout (29.5607 N, 106.5762 E).
const WFC_HEIGHT_M: f32 = 339.0;
const WFC_AT: Vec2 = Vec2::new(274.0, -65.0);

pub(super) fn build(b: &mut Builder, p: &Palette, to_world: Quat) {
    b.within(Mat4::from_quat(to_world), |b| {
        near_towers(b, p);
        skyline(b, p);
    });
    wfc(b, p);
    b.node("city", Vec3::ZERO, Quat::IDENTITY);
}

/// A tower that rises from behind each corner block.
fn near_towers(b: &mut Builder, p: &Palette) {
    let towers: [(f32, f32, f32, f32, usize); 12] = [
        (58.0, -52.0, 17.0, 148.0, 4),
        (-60.0, -56.0, 18.0, 118.0, 3),
        (60.0, 56.0, 16.0, 126.0, 0),
        (-186.0, 44.0, 17.0, 172.0, 4),
        (-62.0, -112.0, 16.0, 96.0, 2),
        (66.0, -118.0, 19.0, 188.0, 3),
        (72.0, 128.0, 18.0, 104.0, 2),
        (-70.0, 130.0, 17.0, 140.0, 3),
        (122.0, -58.0, 17.0, 132.0, 2),
        (128.0, 62.0, 19.0, 164.0, 4),
        (-126.0, -60.0, 18.0, 176.0, 0),
        (-122.0, 66.0, 17.0, 110.0, 2),
    ];
    for (x, z, half, high, facade) in towers {
        tower(b, p, Vec2::new(x, z), half, half * 0.82, 6.0, high, facade);
    }
}

#[expect(clippy::too_many_arguments, reason = "one tower in one place")]
fn tower(b: &mut Builder, p: &Palette, at: Vec2, half_x: f32, half_z: f32, bottom: f32, high: f32, facade: usize) {
    let mut random = Random::new((at.x * 7.0 + at.y).to_bits());
    let step = if high > 110.0 {
        high * random.range(0.72, 0.86)
    } else {
        high
    };
    let floors = [(bottom, step, 1.0), (step, high, random.range(0.6, 0.8))];
    for (low, top, part) in floors {
        if top - low < 4.0 {
            continue;
        }
        let block = rectangle(
            at.x - half_x * part,
            at.y - half_z * part,
            at.x + half_x * part,
            at.y + half_z * part,
        );
        for (i, &a) in block.iter().enumerate() {
            b.wall(p.facades[facade], a, block[(i + 1) % 4], low, top, FACADE_M[facade]);
        }
        b.floor(p.concrete, &block, top, Tile(3.0, 3.0));
        let crown = rectangle(
            at.x - half_x * part - 0.25,
            at.y - half_z * part - 0.25,
            at.x + half_x * part + 0.25,
            at.y + half_z * part + 0.25,
        );
        b.prism(p.concrete, &crown, top - 0.4, top + 1.4, Tile(3.0, 3.0));
        // A line of light along the parapet.
        let line = rectangle(
            at.x - half_x * part - 0.3,
            at.y - half_z * part - 0.3,
            at.x + half_x * part + 0.3,
            at.y + half_z * part + 0.3,
        );
        let paint = if facade.is_multiple_of(2) {
            p.glow_warm
        } else {
            p.glow_cool
        };
        b.prism(paint, &line, top + 0.3, top + 0.75, METRE);
    }
    let (x, z) = (at.x + random.range(-3.0, 3.0), at.y + random.range(-3.0, 3.0));
    b.cuboid(
        p.concrete,
        Vec3::new(x - 4.0, high, z - 3.0),
        Vec3::new(x + 4.0, high + 4.5, z + 3.0),
        Tile(3.0, 3.0),
    );
    if high > 130.0 {
        b.bar(
            p.steel,
            Vec3::new(x, high + 4.5, z),
            Vec3::new(x, high + 16.0, z),
            0.22,
            6,
        );
    }
}

/// Blocks and towers out to a kilometre: enough of a city that no street ends in nothing.
fn skyline(b: &mut Builder, p: &Palette) {
    let mut random = Random::new(4242);
    let mut placed: Vec<(Vec2, f32)> = vec![(from_world(WFC_AT), 34.0)];
    for _ in 0..900 {
        let angle = random.range(0.0, std::f32::consts::TAU);
        let far = 165.0 + 760.0 * random.range(0.0, 1.0).powf(1.4);
        let at = Vec2::new(angle.sin(), angle.cos()) * far;
        let half = random.range(10.0, 19.0);
        let on_street =
            at.x.abs() < STREET_NS + half + 4.0 && far < 420.0 || at.y.abs() < STREET_EW + half + 4.0 && far < 330.0;
        let on_rail = (at.y - 79.0).abs() < half + 9.0 && at.x.abs() < 300.0;
        // The afternoon sun reaches the square over low houses.
        let in_sun = at.angle_to(Vec2::new(-0.75, 0.66)).abs() < 0.20 && far < 330.0;
        if on_street || in_sun || on_rail || placed.iter().any(|(o, r)| o.distance(at) < r + half * 1.5 + 4.0) {
            continue;
        }
        placed.push((at, half * 1.5));
        let near_centre = 1.0 - ((far - 165.0) / 760.0).min(1.0);
        let high = random.range(38.0, 90.0) + random.range(0.0, 1.0).powi(3) * 130.0 * (0.4 + near_centre);
        let kind = random.range(0.0, 5.0);
        let facade = if kind < 2.2 {
            2
        } else if kind < 3.2 {
            3
        } else if kind < 4.2 {
            0
        } else {
            4
        };
        tower(b, p, at, half, half * random.range(0.6, 1.0), 0.0, high, facade);
    }
}

fn from_world(at: Vec2) -> Vec2 {
    let v = turn().inverse() * Vec3::new(at.x, 0.0, at.y);
    Vec2::new(v.x, v.z)
}

/// The tallest one: a glass shaft that narrows in steps, with a lit crown.
fn wfc(b: &mut Builder, p: &Palette) {
    b.within(Mat4::from_translation(Vec3::new(WFC_AT.x, 0.0, WFC_AT.y)), |b| {
        let steps = [
            (27.0, 0.0, 30.0),
            (21.0, 30.0, 210.0),
            (19.5, 210.0, 290.0),
            (17.0, 290.0, 326.0),
        ];
        for (apothem, low, top) in steps {
            let outline = polygon(8, apothem);
            for (i, &a) in outline.iter().enumerate() {
                b.wall(p.facades[4], a, outline[(i + 1) % 8], low, top, FACADE_M[4]);
            }
            b.floor(p.concrete, &outline, top, Tile(3.0, 3.0));
            b.lathe(
                p.glow_cool,
                &[(apothem + 0.15, top - 1.2), (apothem + 0.15, top - 0.4)],
                8,
                false,
                METRE,
            );
        }
        b.lathe(p.glow_warm, &[(15.0, 326.0), (14.0, 333.0)], 8, false, METRE);
        b.lathe(
            p.steel,
            &[(14.0, 333.0), (3.0, 335.0), (0.4, 335.2), (0.0, WFC_HEIGHT_M)],
            8,
            false,
            METRE,
        );
    });
}
