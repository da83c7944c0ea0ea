//! Boxes, prisms and surfaces of revolution with normals and texture coordinates in metres.

use std::f32::consts::{PI, TAU};

use glam::{Vec2, Vec3};

use crate::builder::{Builder, Paint, Vertex};

/// How texture coordinates follow from metres: the metres that one repeat of the texture covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile(pub(crate) f32, pub(crate) f32);

/// One metre a repeat.
pub(crate) const METRE: Tile = Tile(1.0, 1.0);

impl Builder {
    /// A quad from its corners, counter-clockwise seen from the front, with texture coordinates of each corner.
    pub(crate) fn quad(&mut self, paint: Paint, corners: [Vec3; 4], uvs: [Vec2; 4]) {
        let normal = (corners[1] - corners[0])
            .cross(corners[2] - corners[0])
            .normalize_or(Vec3::Y);
        let vertices: [Vertex; 4] = std::array::from_fn(|i| Vertex {
            position: corners[i],
            normal,
            uv: uvs[i],
        });
        self.push(paint, &vertices, &[0, 1, 2, 0, 2, 3]);
    }

    /// An upright wall from `a` to `b` on the ground plan, seen from the right of the way from `a` to `b`
    /// … that is, from outside when a building's corners run counter-clockwise seen from above.
    pub(crate) fn wall(&mut self, paint: Paint, a: Vec2, b: Vec2, bottom: f32, top: f32, tile: Tile) {
        let length = a.distance(b);
        // Whole repeats, so that windows are not cut at corners.
        let across = (length / tile.0).round().max(1.0);
        let up = ((top - bottom) / tile.1).round().max(1.0);
        let at = |p: Vec2, y: f32| Vec3::new(p.x, y, p.y);
        self.quad(
            paint,
            [at(a, bottom), at(b, bottom), at(b, top), at(a, top)],
            [
                Vec2::new(0.0, up),
                Vec2::new(across, up),
                Vec2::new(across, 0.0),
                Vec2::ZERO,
            ],
        );
    }

    /// A flat polygon facing up, convex, corners counter-clockwise seen from above (x east, z south).
    pub(crate) fn floor(&mut self, paint: Paint, corners: &[Vec2], y: f32, tile: Tile) {
        let vertices: Vec<Vertex> = corners
            .iter()
            .map(|c| Vertex {
                position: Vec3::new(c.x, y, c.y),
                normal: Vec3::Y,
                uv: Vec2::new(c.x / tile.0, c.y / tile.1),
            })
            .collect();
        self.fan(paint, &vertices);
    }

    /// Triangles around the first vertex.
    pub(crate) fn fan(&mut self, paint: Paint, vertices: &[Vertex]) {
        let count = u32::try_from(vertices.len()).unwrap_or(0);
        let indices: Vec<u32> = (1..count.saturating_sub(1)).flat_map(|i| [0, i, i + 1]).collect();
        self.push(paint, vertices, &indices);
    }

    /// An upright prism over a convex outline, with its top and without its bottom.
    pub(crate) fn prism(&mut self, paint: Paint, outline: &[Vec2], bottom: f32, top: f32, tile: Tile) {
        for (i, &a) in outline.iter().enumerate() {
            let b = outline[(i + 1) % outline.len()];
            self.side(paint, a, b, bottom, top, tile);
        }
        self.floor(paint, outline, top, tile);
    }

    /// Like [`Builder::wall`], but with texture coordinates in true metres.
    pub(crate) fn side(&mut self, paint: Paint, a: Vec2, b: Vec2, bottom: f32, top: f32, tile: Tile) {
        let at = |p: Vec2, y: f32| Vec3::new(p.x, y, p.y);
        let (u, v0, v1) = (a.distance(b) / tile.0, -bottom / tile.1, -top / tile.1);
        self.quad(
            paint,
            [at(a, bottom), at(b, bottom), at(b, top), at(a, top)],
            [
                Vec2::new(0.0, v0),
                Vec2::new(u, v0),
                Vec2::new(u, v1),
                Vec2::new(0.0, v1),
            ],
        );
    }

    /// A box with six faces.
    pub(crate) fn cuboid(&mut self, paint: Paint, from: Vec3, to: Vec3, tile: Tile) {
        let outline = rectangle(from.x, from.z, to.x, to.z);
        self.prism(paint, &outline, from.y, to.y, tile);
        let uv = |x: f32, z: f32| Vec2::new(x / tile.0, z / tile.1);
        self.quad(
            paint,
            [
                Vec3::new(from.x, from.y, from.z),
                Vec3::new(to.x, from.y, from.z),
                Vec3::new(to.x, from.y, to.z),
                Vec3::new(from.x, from.y, to.z),
            ],
            [uv(from.x, from.z), uv(to.x, from.z), uv(to.x, to.z), uv(from.x, to.z)],
        );
    }

    /// Rings of a regular polygon or circle joined by bands: `profile` gives (distance to the sides, height).
    /// `smooth` shades round, otherwise every side is flat.
    pub(crate) fn lathe(&mut self, paint: Paint, profile: &[(f32, f32)], sides: u32, smooth: bool, tile: Tile) {
        // An octagon's corners lie between its sides; for round things the radius is the corner's.
        let (turn, stretch) = if smooth {
            (0.0, 1.0)
        } else {
            (0.5, 1.0 / (PI / sides as f32).cos())
        };
        let corner = |side: u32, (radius, y): (f32, f32)| {
            let angle = (side as f32 + turn) / sides as f32 * TAU;
            Vec3::new(angle.sin() * radius * stretch, y, angle.cos() * radius * stretch)
        };
        let mut run = 0.0;
        for band in profile.windows(2) {
            let (low, high) = (band[0], band[1]);
            let slant = Vec2::new(high.0 - low.0, high.1 - low.1);
            let (v0, v1) = (-run / tile.1, -(run + slant.length()) / tile.1);
            run += slant.length();
            if slant.length() < 1e-6 {
                continue;
            }
            let girth = low.0.max(high.0) * TAU;
            for side in 0..sides {
                let corners = [
                    corner(side, low),
                    corner(side + 1, low),
                    corner(side + 1, high),
                    corner(side, high),
                ];
                let (u0, u1) = (side as f32 / sides as f32, (side + 1) as f32 / sides as f32);
                let uvs = [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]
                    .map(|(u, v)| Vec2::new((u * girth / tile.0 * 8.0).round() / 8.0, v));
                let flat = {
                    let middle = (side as f32 + 0.5 + turn) / sides as f32 * TAU;
                    Vec3::new(middle.sin() * slant.y, -slant.x, middle.cos() * slant.y).normalize_or(Vec3::Y)
                };
                let vertices: [Vertex; 4] = std::array::from_fn(|i| {
                    let around = corners[i] * Vec3::new(1.0, 0.0, 1.0);
                    let round = (around.normalize_or_zero() * slant.y - Vec3::Y * slant.x).normalize_or(Vec3::Y);
                    Vertex {
                        position: corners[i],
                        normal: if smooth { round } else { flat },
                        uv: uvs[i],
                    }
                });
                // A ring of radius 0 is a tip: one of the two triangles would be empty.
                let indices: &[u32] = if high.0 < 1e-4 {
                    &[0, 1, 2]
                } else if low.0 < 1e-4 {
                    &[0, 2, 3]
                } else {
                    &[0, 1, 2, 0, 2, 3]
                };
                self.push(paint, &vertices, indices);
            }
        }
    }

    /// A round bar between two points.
    pub(crate) fn bar(&mut self, paint: Paint, from: Vec3, to: Vec3, radius: f32, sides: u32) {
        let along = to - from;
        let turn = glam::Quat::from_rotation_arc(Vec3::Y, along.normalize_or(Vec3::Y));
        self.within(glam::Mat4::from_rotation_translation(turn, from), |b| {
            b.lathe(paint, &[(radius, 0.0), (radius, along.length())], sides, true, METRE);
        });
    }
}

/// Corners of a rectangle on the plan, counter-clockwise seen from above.
pub(crate) fn rectangle(x0: f32, z0: f32, x1: f32, z1: f32) -> [Vec2; 4] {
    [
        Vec2::new(x0, z1),
        Vec2::new(x1, z1),
        Vec2::new(x1, z0),
        Vec2::new(x0, z0),
    ]
}

/// Corners of a regular polygon on the plan with a given distance to its sides, a side facing south.
pub(crate) fn polygon(sides: u32, apothem: f32) -> Vec<Vec2> {
    let radius = apothem / (PI / sides as f32).cos();
    let angle = |i: u32| (i as f32 - 0.5) / sides as f32 * TAU;
    (0..sides)
        .map(|i| Vec2::new(angle(i).sin(), angle(i).cos()) * radius)
        .collect()
}
