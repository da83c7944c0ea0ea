//! Takes out what is not surface, and thins the rest.

use std::collections::{BTreeMap, BTreeSet};

use glam::{DVec3, Vec3};

use crate::ScanPoint;

/// Side of the boxes in which a point looks for company.
const COMPANY_M: f64 = 4.0;
/// A point with fewer others in its box and the ones around is alone in the air or below the ground.
const COMPANY: usize = 3;

/// A square of a grid over the plan.
pub(crate) type Cell = (i64, i64);

#[expect(clippy::cast_possible_truncation, reason = "metres within 100 km")]
pub(crate) fn cell(position: DVec3, side: f64) -> Cell {
    ((position.x / side).floor() as i64, (position.y / side).floor() as i64)
}

/// Drops points at a place that has one already, and their normals; of several the first stays. Returns how many.
pub(crate) fn drop_duplicates(points: &mut Vec<ScanPoint>, normals: &mut Vec<Vec3>) -> usize {
    let place = |p: &ScanPoint| (p.position + DVec3::ZERO).to_array().map(f64::to_bits);
    let mut order: Vec<([u64; 3], usize)> = points.iter().enumerate().map(|(at, p)| (place(p), at)).collect();
    order.sort_unstable();
    let mut twice = vec![false; points.len()];
    for pair in order.windows(2) {
        twice[pair[1].1] = pair[0].0 == pair[1].0;
    }
    let before = points.len();
    let mut keep = twice.iter();
    points.retain(|_| !keep.next().copied().unwrap_or_default());
    let mut keep = twice.iter();
    normals.retain(|_| !keep.next().copied().unwrap_or_default());
    before - points.len()
}

/// Drops points that have no company.
#[expect(clippy::cast_possible_truncation, reason = "metres within 100 km")]
pub(crate) fn drop_lonely(points: &mut Vec<ScanPoint>) {
    let key = |p: &ScanPoint| {
        let (x, y) = cell(p.position, COMPANY_M);
        (x, y, (p.position.z / COMPANY_M).floor() as i64)
    };
    let mut count: BTreeMap<(i64, i64, i64), usize> = BTreeMap::new();
    for point in points.iter() {
        *count.entry(key(point)).or_default() += 1;
    }
    // The boxes are far fewer than the points.
    let lonely: BTreeSet<(i64, i64, i64)> = count
        .keys()
        .copied()
        .filter(|&(x, y, z)| {
            let around =
                (-1..=1).flat_map(|dx| (-1..=1).flat_map(move |dy| (-1..=1).map(move |dz| (x + dx, y + dy, z + dz))));
            around.filter_map(|k| count.get(&k)).sum::<usize>() <= COMPANY
        })
        .collect();
    points.retain(|point| !lonely.contains(&key(point)));
}

/// The side of a grid that leaves about `vertices` of the points.
pub(crate) fn cell_for(points: &[ScanPoint], vertices: usize) -> f64 {
    let occupied = |side: f64| {
        let mut cells: Vec<Cell> = points.iter().map(|p| cell(p.position, side)).collect();
        cells.sort_unstable();
        cells.dedup();
        cells.len()
    };
    let (min, max) = crate::bounds(points);
    let mut side = ((max.x - min.x) * (max.y - min.y) / vertices.max(3) as f64)
        .sqrt()
        .max(0.05)
        * 0.5;
    while occupied(side) > vertices {
        side *= 1.12;
    }
    side
}

/// Keeps one point a cell: the highest, which is the roof over a wall and the crown over a trunk.
pub(crate) fn thin(points: &mut Vec<ScanPoint>, side: f64) {
    let mut best: BTreeMap<Cell, ScanPoint> = BTreeMap::new();
    for point in points.iter() {
        let kept = best.entry(cell(point.position, side)).or_insert(*point);
        if point.position.z > kept.position.z {
            *kept = *point;
        }
    }
    *points = best.into_values().collect();
}

/// Drops peaks and pits: points far from the height of nearly all their neighbours. Returns how many.
pub(crate) fn drop_spikes(points: &mut Vec<ScanPoint>, side: f64) -> usize {
    let mut heights: BTreeMap<Cell, Vec<f64>> = BTreeMap::new();
    // Wide enough that a crown or a roof has several points in the square around any of them.
    let wide = side * 2.0;
    for point in points.iter() {
        heights
            .entry(cell(point.position, wide))
            .or_default()
            .push(point.position.z);
    }
    let before = points.len();
    points.retain(|point| {
        let (x, y) = cell(point.position, wide);
        let around = (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (x + dx, y + dy)));
        let near = around.filter_map(|k| heights.get(&k)).flatten();
        let (mut all, mut alike) = (0, 0);
        for height in near {
            all += 1;
            alike += usize::from((height - point.position.z).abs() < 1.5);
        }
        // The point itself is among them.
        all < 6 || alike * 5 > all
    });
    before - points.len()
}
