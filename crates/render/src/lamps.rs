//! The scene's punctual lights at one instant, and the grid in which a shaded point finds those that reach it.

use bytemuck::{Pod, Zeroable};
use glam::{Mat4, Vec3, Vec4};
use tongyou_scene::{LightKind, Scene};

use crate::cull::Aabb;

/// A lamp without a range of its own reaches as far as it gives this irradiance.
const FAINTEST: f32 = 0.004;
/// The longest such reach in metres.
const LONGEST_M: f32 = 120.0;
/// Side of a grid cell in metres.
const CELL_M: f32 = 4.0;
/// Cells along one side of the grid.
const MAX_CELLS: u32 = 64;
/// Lamps that may reach one cell: a cell's count has eight bits. The strongest stay.
pub(crate) const MAX_PER_CELL: usize = 255;

/// One lamp in the world; `Lamp` of `light.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Lamp {
    /// xyz = metres; w = 1 / range², 0 for a light at infinity.
    pub position: Vec4,
    /// rgb = candela (lux for a light at infinity); w = scale of the cone's cosine.
    pub color: Vec4,
    /// xyz = where it shines; w = offset of the cone's cosine.
    pub direction: Vec4,
}

/// Which lamps reach each cell of a grid over x and z.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grid {
    /// Corner in metres.
    pub(crate) x: f32,
    pub(crate) z: f32,
    pub(crate) cells_per_m: f32,
    pub(crate) cells_x: u32,
    pub(crate) cells_z: u32,
    /// Per cell and for everything outside: start << 8 | count; then the lists.
    pub(crate) words: Vec<u32>,
}

/// The scene's lights where the nodes are now.
pub(crate) fn gather(scene: &Scene, world_from_nodes: &[Mat4]) -> Vec<Lamp> {
    let lit = scene.nodes.iter().zip(world_from_nodes);
    lit.filter_map(|(node, world)| {
        let light = scene.lights.get(node.light?)?;
        let direction = world.transform_vector3(Vec3::NEG_Z).normalize_or(Vec3::NEG_Y);
        let strongest = (light.color * light.intensity).max_element();
        let range = light.range_m.unwrap_or((strongest / FAINTEST).sqrt().min(LONGEST_M));
        if strongest <= 0.0 || range <= 0.0 {
            return None;
        }
        let (scale, offset) = match light.kind {
            LightKind::Spot { inner_rad, outer_rad } => {
                let scale = 1.0 / (inner_rad.cos() - outer_rad.cos()).max(1e-3);
                (scale, -outer_rad.cos() * scale)
            }
            LightKind::Point | LightKind::Directional => (0.0, 1.0),
        };
        let infinite = light.kind == LightKind::Directional;
        Some(Lamp {
            position: world
                .w_axis
                .truncate()
                .extend(if infinite { 0.0 } else { 1.0 / (range * range) }),
            color: (light.color * light.intensity).extend(scale),
            direction: direction.extend(offset),
        })
    })
    .collect()
}

impl Lamp {
    /// How far it reaches in metres; infinite for a light at infinity.
    fn range(&self) -> f32 {
        self.position.w.sqrt().recip()
    }

    /// The box that it reaches; `None` for a light at infinity.
    pub(crate) fn bounds(&self) -> Option<Aabb> {
        let (at, range) = (self.position.truncate(), self.range());
        range.is_finite().then(|| Aabb {
            min: at - range,
            max: at + range,
        })
    }
}

impl Grid {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "cells are clamped to the grid, which has at most 64 a side"
    )]
    pub(crate) fn new(lamps: &[Lamp]) -> Self {
        let near = lamps.iter().filter(|l| l.position.w > 0.0);
        let (mut low, mut high) = ((f32::INFINITY, f32::INFINITY), (f32::NEG_INFINITY, f32::NEG_INFINITY));
        for lamp in near.clone() {
            let r = lamp.range();
            low = (low.0.min(lamp.position.x - r), low.1.min(lamp.position.z - r));
            high = (high.0.max(lamp.position.x + r), high.1.max(lamp.position.z + r));
        }
        if near.count() == 0 {
            (low, high) = ((0.0, 0.0), (0.0, 0.0));
        }
        let cell = CELL_M.max((high.0 - low.0).max(high.1 - low.1) / MAX_CELLS as f32);
        let cells = |size: f32| ((size / cell).ceil() as u32).clamp(1, MAX_CELLS);
        let (cells_x, cells_z) = (cells(high.0 - low.0), cells(high.1 - low.1));
        let count = (cells_x * cells_z + 1) as usize;
        let mut lists = vec![Vec::new(); count];
        for (index, lamp) in (0u32..).zip(lamps) {
            if lamp.position.w == 0.0 {
                lists.iter_mut().for_each(|l| l.push(index));
                continue;
            }
            let r = lamp.range();
            for z in 0..cells_z {
                for x in 0..cells_x {
                    // Distance from the lamp to the cell's rectangle.
                    let corner = (low.0 + x as f32 * cell, low.1 + z as f32 * cell);
                    let dx = (corner.0 - lamp.position.x)
                        .max(lamp.position.x - corner.0 - cell)
                        .max(0.0);
                    let dz = (corner.1 - lamp.position.z)
                        .max(lamp.position.z - corner.1 - cell)
                        .max(0.0);
                    if dx * dx + dz * dz < r * r {
                        lists[(z * cells_x + x) as usize].push(index);
                    }
                }
            }
        }
        Self {
            x: low.0,
            z: low.1,
            cells_per_m: 1.0 / cell,
            cells_x,
            cells_z,
            words: pack(lists, lamps),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "64 x 64 lists of at most 255 fit 24 bits"
)]
fn pack(lists: Vec<Vec<u32>>, lamps: &[Lamp]) -> Vec<u32> {
    let mut words = vec![0; lists.len()];
    for (cell, mut list) in lists.into_iter().enumerate() {
        if list.len() > MAX_PER_CELL {
            let strength = |i: u32| lamps[i as usize].color.truncate().max_element();
            list.sort_by(|a, b| strength(*b).total_cmp(&strength(*a)));
            list.truncate(MAX_PER_CELL);
        }
        words[cell] = (words.len() as u32) << 8 | list.len() as u32;
        words.extend(list);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lamp(x: f32, z: f32, range: f32) -> Lamp {
        Lamp {
            position: Vec4::new(x, 3.0, z, 1.0 / (range * range)),
            color: Vec4::new(1.0, 1.0, 1.0, 0.0),
            direction: Vec4::new(0.0, -1.0, 0.0, 1.0),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "cells inside the grid")]
    fn at(grid: &Grid, x: f32, z: f32) -> Vec<u32> {
        let cell = |v: f32, corner: f32| ((v - corner) * grid.cells_per_m).floor();
        let (cx, cz) = (cell(x, grid.x), cell(z, grid.z));
        let inside = cx >= 0.0 && cz >= 0.0 && (cx as u32) < grid.cells_x && (cz as u32) < grid.cells_z;
        let index = if inside {
            cz as u32 * grid.cells_x + cx as u32
        } else {
            grid.cells_x * grid.cells_z
        };
        let word = grid.words[index as usize];
        grid.words[(word >> 8) as usize..][..(word & 0xff) as usize].to_vec()
    }

    #[test]
    fn every_point_finds_the_lamps_in_reach() {
        let lamps: Vec<Lamp> = (0u8..40)
            .map(|i| lamp(f32::from(i) * 7.0 - 100.0, f32::from(i % 7) * 20.0, 5.0 + f32::from(i)))
            .collect();
        let grid = Grid::new(&lamps);
        for (x, z) in [(0.0, 0.0), (-100.0, 3.0), (55.5, 71.0), (170.0, 40.0), (500.0, 500.0)] {
            let found = at(&grid, x, z);
            for (i, l) in (0u32..).zip(&lamps) {
                let d = (l.position.x - x).hypot(l.position.z - z);
                assert!(d >= l.range() || found.contains(&i), "lamp {i} at {x}, {z}");
            }
        }
        assert!(at(&grid, 0.0, 0.0).len() < lamps.len());
    }

    #[test]
    fn a_light_at_infinity_is_everywhere() {
        let mut sun = lamp(0.0, 0.0, 1.0);
        sun.position.w = 0.0;
        let grid = Grid::new(&[sun]);
        assert_eq!(at(&grid, 1e5, -1e5), [0]);
        assert_eq!(at(&grid, 0.0, 0.0), [0]);
    }
}
