//! The paving: rings of granite around the monument, streets, and the ground far away.

use std::f32::consts::TAU;

use glam::{Vec2, Vec3};

use super::palette::Palette;
use crate::builder::{Builder, Paint, Vertex};
use crate::shapes::{METRE, Tile, rectangle};
use crate::textures::PAVING_M;

const TILE: Tile = Tile(PAVING_M, PAVING_M);
/// The rings end here; the streets begin.
const RINGS_END: f32 = 34.0;

/// Outer radius of each ring and its tint.
const RINGS: [(f32, [f32; 3]); 12] = [
    (9.6, [0.92, 0.88, 0.84]),
    (10.3, [0.30, 0.29, 0.29]),
    (13.9, [0.98, 0.95, 0.91]),
    (14.3, [0.52, 0.22, 0.17]),
    (15.0, [0.34, 0.33, 0.33]),
    (19.5, [0.90, 0.88, 0.86]),
    (20.1, [0.36, 0.35, 0.35]),
    (24.6, [0.97, 0.94, 0.90]),
    (25.2, [0.36, 0.35, 0.35]),
    (29.5, [0.86, 0.85, 0.84]),
    (30.3, [0.50, 0.24, 0.19]),
    (RINGS_END, [0.93, 0.91, 0.88]),
];

pub(super) fn build(b: &mut Builder, p: &Palette) {
    let mut inner = 7.0;
    for (outer, tint) in RINGS {
        b.tinted(tint, |b| ring(b, p.paving, inner, outer, 96));
        inner = outer;
    }
    // Rays towards the eight corners of the monument.
    for ray in 0..16 {
        let angle = (ray as f32 + 0.5) / 16.0 * TAU;
        let (out, side) = (
            Vec2::new(angle.sin(), angle.cos()),
            Vec2::new(angle.cos(), -angle.sin()) * 0.22,
        );
        let corners = [
            out * 10.3 - side,
            out * 33.9 - side,
            out * 33.9 + side,
            out * 10.3 + side,
        ];
        b.tinted([0.33, 0.32, 0.32], |b| b.floor(p.paving, &corners, 0.006, TILE));
    }
    streets(b, p);
    b.tinted([0.62, 0.62, 0.60], |b| far_ground(b, p.asphalt));
}

/// A flat ring with planar texture coordinates.
fn ring(b: &mut Builder, paint: Paint, inner: f32, outer: f32, sides: u32) {
    let vertex = |side: u32, radius: f32| {
        let angle = side as f32 / sides as f32 * TAU;
        let position = Vec3::new(angle.sin() * radius, 0.0, angle.cos() * radius);
        Vertex {
            position,
            normal: Vec3::Y,
            uv: Vec2::new(position.x, position.z) / PAVING_M,
        }
    };
    for side in 0..sides {
        let corners = [
            vertex(side, inner),
            vertex(side, outer),
            vertex(side + 1, outer),
            vertex(side + 1, inner),
        ];
        b.push(paint, &corners, &[0, 1, 2, 0, 2, 3]);
    }
}

/// What lies between the rings and the buildings, and the four pedestrian streets, in strips of two tones.
fn streets(b: &mut Builder, p: &Palette) {
    let reach = 230.0;
    // A large square under everything, below the rings.
    b.tinted([0.84, 0.82, 0.80], |b| {
        for x in 0..8 {
            for z in 0..8 {
                let (x0, z0) = (-60.0 + x as f32 * 15.0, -60.0 + z as f32 * 15.0);
                b.floor(p.paving, &rectangle(x0, z0, x0 + 15.0, z0 + 15.0), -0.012, TILE);
            }
        }
    });
    let strips = [
        (-21.0, -12.5, 0.80),
        (-12.5, -11.7, 0.36),
        (-11.7, 11.7, 0.92),
        (11.7, 12.5, 0.36),
        (12.5, 21.0, 0.80),
    ];
    for (from, to, tone) in strips {
        b.tinted([tone, tone * 0.98, tone * 0.95], |b| {
            for step in 0..12 {
                let (near, far) = (reach - (step + 1) as f32 * 14.2, reach - step as f32 * 14.2);
                b.floor(p.paving, &rectangle(from, near, to, far), -0.008, TILE);
                b.floor(p.paving, &rectangle(from, -far, to, -near), -0.008, TILE);
                b.floor(p.paving, &rectangle(near, from, far, to), -0.008, TILE);
                b.floor(p.paving, &rectangle(-far, from, -near, to), -0.008, TILE);
            }
        });
    }
}

/// Dull ground out to the horizon.
fn far_ground(b: &mut Builder, paint: Paint) {
    let radii = [0.0, 200.0, 600.0, 1800.0];
    for pair in radii.windows(2) {
        for side in 0..24 {
            let at = |s: u32, r: f32| {
                let angle = s as f32 / 24.0 * TAU;
                Vec2::new(angle.sin() * r, angle.cos() * r)
            };
            let corners = [
                at(side, pair[0]),
                at(side, pair[1]),
                at(side + 1, pair[1]),
                at(side + 1, pair[0]),
            ];
            b.floor(paint, &corners[usize::from(pair[0] == 0.0)..], -0.12, METRE);
        }
    }
}
