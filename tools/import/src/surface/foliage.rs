//! Tells what grows from what is ground, a deck or a roof, and draws it as small tufts: one surface over the plan
//! would turn every tree into a pillar.

use std::collections::{BTreeMap, BTreeSet};

use glam::{DMat3, DVec3, Quat, Vec3};
use tongyou_scene::Primitive;

use super::surfels::{Voxel, side_for, voxel};
use crate::ScanPoint;
use crate::clean::points::{Cell, cell};

/// Squares in which the lowest point is taken for ground.
const GROUND_M: f64 = 2.0;
/// What stands higher above the ground than this may be foliage.
const CLEAR_M: f64 = 0.9;
/// How far neighbours are looked for that would make a flat deck or roof.
const FLAT_REACH_M: f64 = 1.6;
/// Neighbours of a deck or roof lie this near to one plane.
const FLAT_RMS_M: f64 = 0.16;
/// Points of a square that are looked at; a dense scan has thousands, which tell no more and cost their square.
const ENOUGH: usize = 48;
/// Radius of a tuft in a crown, and of one that stands close over the surface: grass, a railing.
const TUFT_M: f32 = 0.5;
const LOW_TUFT_M: f32 = 0.13;
/// Tufts for each point; an aircraft's laser sees only a few leaves of a tree.
const TUFTS: u32 = 2;

/// Moves foliage out of `points` and returns it.
pub(crate) fn split(points: &mut Vec<ScanPoint>) -> Vec<ScanPoint> {
    let mut lowest: BTreeMap<Cell, f64> = BTreeMap::new();
    let mut near: BTreeMap<Cell, Vec<DVec3>> = BTreeMap::new();
    for point in points.iter() {
        let low = lowest.entry(cell(point.position, GROUND_M)).or_insert(f64::INFINITY);
        *low = low.min(point.position.z);
        let neighbours = near.entry(cell(point.position, FLAT_REACH_M)).or_default();
        if neighbours.len() < ENOUGH {
            neighbours.push(point.position);
        }
    }
    let within = |(x, y): Cell, reach: i64| {
        (-reach..=reach).flat_map(move |dx| (-reach..=reach).map(move |dy| (x + dx, y + dy)))
    };
    let mut foliage = Vec::new();
    points.retain(|point| {
        let cells = within(cell(point.position, GROUND_M), 2);
        let ground = cells
            .filter_map(|c| lowest.get(&c))
            .fold(f64::INFINITY, |a, &b| a.min(b));
        if point.position.z - ground < CLEAR_M {
            return true;
        }
        let cells = within(cell(point.position, FLAT_REACH_M), 1);
        let others: Vec<DVec3> = cells
            .filter_map(|c| near.get(&c))
            .flatten()
            .map(|p| *p - point.position)
            .filter(|d| d.length() < FLAT_REACH_M)
            .collect();
        if is_flat(&others) {
            return true;
        }
        foliage.push(*point);
        false
    });
    foliage
}

/// Leaves at most so many points: the first of each cube of a grid.
pub(crate) fn thin(foliage: &mut Vec<ScanPoint>, most: usize) {
    if foliage.len() <= most {
        return;
    }
    let side = side_for(foliage, most);
    let mut taken: BTreeSet<Voxel> = BTreeSet::new();
    foliage.retain(|point| taken.insert(voxel(point.position, side)));
}

/// Whether points near the origin lie on one plane that is not steep.
fn is_flat(points: &[DVec3]) -> bool {
    if points.len() < 9 {
        return false;
    }
    // Least squares of z = a x + b y + c.
    let mut matrix = DMat3::ZERO;
    let mut right = DVec3::ZERO;
    for p in points {
        let row = DVec3::new(p.x, p.y, 1.0);
        matrix += DMat3::from_cols(row * row.x, row * row.y, row);
        right += row * p.z;
    }
    if matrix.determinant().abs() < 1e-9 {
        return false;
    }
    let plane = matrix.inverse() * right;
    let square = |p: &DVec3| (plane.x * p.x + plane.y * p.y + plane.z - p.z).powi(2);
    let rms = (points.iter().map(square).sum::<f64>() / points.len() as f64).sqrt();
    rms < FLAT_RMS_M && plane.x.hypot(plane.y) < 0.6
}

/// Which of the foliage stands close over points of the surface.
pub(crate) fn low(foliage: &[ScanPoint], surface: &[ScanPoint]) -> Vec<bool> {
    let mut tops: BTreeMap<Cell, Vec<f64>> = BTreeMap::new();
    for point in surface {
        let heights = tops.entry(cell(point.position, 1.2)).or_default();
        if heights.len() < ENOUGH {
            heights.push(point.position.z);
        }
    }
    let is_low = |point: &ScanPoint| {
        let (x, y) = cell(point.position, 1.2);
        let cells = (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (x + dx, y + dy)));
        let mut heights = cells.filter_map(|c| tops.get(&c)).flatten();
        heights.any(|z| (-0.3..1.7).contains(&(point.position.z - z)))
    };
    foliage.iter().map(is_low).collect()
}

/// A point to draw as tufts: where, in which linear colour, whether it stands close over the surface.
pub(crate) type Leaf = (Vec3, [u8; 4], bool);

/// Tufts for each point, in `Scene` axes.
pub(crate) fn tufts(points: &[Leaf], primitive: &mut Primitive) {
    for (index, &(at, color, low)) in (0_u32..).zip(points) {
        for copy in 0..if low { 1 } else { TUFTS } {
            let chance = |salt: u32| chance(index * TUFTS + copy, salt);
            let turn = Quat::from_rotation_y(chance(1) * std::f32::consts::TAU)
                * Quat::from_rotation_x((chance(2) - 0.5) * 2.4);
            let size = if low { LOW_TUFT_M } else { TUFT_M } * (0.7 + 0.6 * chance(3));
            let apart = Vec3::new(chance(5) - 0.5, chance(6) - 0.5, chance(7) - 0.5) * (1.1 * copy as f32);
            let out = (turn * Vec3::Z * 0.7 + Vec3::Y * 0.8).normalize();
            let first = u32::try_from(primitive.positions.len()).unwrap_or(u32::MAX);
            for corner in 0..4_u32 {
                let angle = corner as f32 / 4.0 * std::f32::consts::TAU;
                let reach = size * (0.6 + 0.6 * chance(10 + corner));
                let corner = turn * Vec3::new(angle.cos(), angle.sin(), 0.0) * reach;
                primitive.positions.push(at + apart + corner);
                primitive.normals.push(out);
                primitive.colors.push(shaded(color, 0.95 + 0.5 * chance(4)));
            }
            for step in 1..3 {
                primitive.indices.extend([first, first + step, first + step + 1]);
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a byte"
)]
fn shaded([r, g, b, a]: [u8; 4], by: f32) -> [u8; 4] {
    let channel = |v: u8| (f32::from(v) * by).clamp(0.0, 255.0) as u8;
    [channel(r), channel(g), channel(b), a]
}

/// A number in 0..1 that depends on nothing but its arguments.
fn chance(index: u32, salt: u32) -> f32 {
    let mut h = index.wrapping_mul(0x9E37_79B9) ^ salt.wrapping_mul(0x85EB_CA6B);
    h = (h ^ (h >> 16)).wrapping_mul(0x7FEB_352D);
    h = (h ^ (h >> 15)).wrapping_mul(0x846C_A68B);
    ((h ^ (h >> 16)) >> 8) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dense_wood_keeps_to_its_budget() {
        let mut wood: Vec<ScanPoint> = (0..40_u32)
            .flat_map(|x| {
                (0..40_u32).flat_map(move |y| (0..10_u32).map(move |z| DVec3::new(x.into(), y.into(), z.into())))
            })
            .map(|position| ScanPoint {
                position,
                color: [0; 3],
            })
            .collect();
        let sparse = wood[..50].to_vec();
        thin(&mut wood, 1000);
        assert!((200..=1000).contains(&wood.len()), "{}", wood.len());
        let mut few = sparse.clone();
        thin(&mut few, 1000);
        assert_eq!(few, sparse);
    }
}
