//! Thins points level by level: in each, none stands nearer to another of this or a coarser level than the level's
//! distance, and none that is left out stands farther than that from one that is in (a maximal Poisson-disk sample).

use std::collections::BTreeMap;

use super::lattice::{Cell, Lattice, Point};

/// The distance of a level in its cells' sides is one in so many.
pub(super) const ACROSS: u64 = 192;
/// A cell with at most so many points keeps all.
pub(super) const LEAF: usize = 50_000;
/// Fewer are not worth a tile: they stay with the cell above.
pub(super) const FEW: usize = 1_000;
/// Of the points that are left out, one in so many is measured.
const MEASURED: usize = 8;

/// The distance between points of a level in steps.
pub(super) fn distance(lattice: &Lattice, depth: u32) -> u64 {
    (1_u64 << (lattice.bits - depth)) / ACROSS
}

/// Points by the cubes that they lie in, to find those that are near.
pub(super) struct Near {
    shift: u32,
    distance: u64,
    /// Cube and its last point; `EMPTY` where there is none.
    table: Vec<(u64, u32)>,
    /// Each point, and the one before it in its cube.
    points: Vec<([u32; 3], u32)>,
}

const EMPTY: u32 = u32::MAX;

impl Near {
    /// For points of a level.
    pub(super) fn new(lattice: &Lattice, depth: u32) -> Self {
        let distance = distance(lattice, depth);
        Self {
            // Cubes are at least as wide as the distance: the ones around a point's hold all that are near.
            shift: (u64::BITS - distance.saturating_sub(1).leading_zeros()).min(31),
            distance,
            table: vec![(0, EMPTY); 1 << 10],
            points: Vec::new(),
        }
    }

    fn slot(&self, key: u64) -> usize {
        let mask = self.table.len() - 1;
        let mut at = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & mask;
        while self.table[at].1 != EMPTY && self.table[at].0 != key {
            at = (at + 1) & mask;
        }
        at
    }

    fn key([x, y, z]: [u32; 3]) -> u64 {
        // 21 bits each; what wraps round is far away and only costs a look.
        u64::from(x & 0x1F_FFFF) | u64::from(y & 0x1F_FFFF) << 21 | u64::from(z & 0x1F_FFFF) << 42
    }

    pub(super) fn add(&mut self, at: [u32; 3]) {
        if self.points.len() * 2 >= self.table.len() {
            let wider = vec![(0, EMPTY); self.table.len() * 2];
            for (key, last) in std::mem::replace(&mut self.table, wider) {
                if last != EMPTY {
                    let slot = self.slot(key);
                    self.table[slot] = (key, last);
                }
            }
        }
        let key = Self::key(at.map(|v| v >> self.shift));
        let slot = self.slot(key);
        let before = self.table[slot].1;
        let number = u32::try_from(self.points.len()).unwrap_or(EMPTY);
        self.table[slot] = (key, number);
        self.points.push((at, before));
    }

    /// Calls `each` with squares of distances in steps to points near a place until it says that it has enough.
    fn around(&self, at: [u32; 3], mut each: impl FnMut(u64) -> bool) {
        let cube = at.map(|v| v >> self.shift);
        for [dx, dy, dz] in AROUND {
            let there = [
                cube[0].wrapping_add_signed(dx),
                cube[1].wrapping_add_signed(dy),
                cube[2].wrapping_add_signed(dz),
            ];
            let mut next = self.table[self.slot(Self::key(there))].1;
            while let Some(&(other, before)) = self.points.get(next as usize) {
                let apart = |axis: usize| u64::from(at[axis].abs_diff(other[axis]));
                let [x, y, z] = [apart(0), apart(1), apart(2)];
                if each((x * x).saturating_add(y * y).saturating_add(z * z)) {
                    return;
                }
                next = before;
            }
        }
    }

    /// Whether a point stands nearer than the level's distance.
    pub(super) fn is_taken(&self, at: [u32; 3]) -> bool {
        let limit = self.distance * self.distance;
        let mut taken = false;
        self.around(at, |square| {
            taken = square < limit;
            taken
        });
        taken
    }

    /// The square of the distance to the nearest point in steps.
    pub(super) fn nearest(&self, at: [u32; 3]) -> u64 {
        let mut best = u64::MAX;
        self.around(at, |square| {
            best = best.min(square);
            false
        });
        // A maximal sample leaves nothing farther away than its distance.
        best.min(self.distance * self.distance)
    }
}

/// The cubes around one, itself and those behind faces first: there a near point is most likely.
const AROUND: [[i32; 3]; 27] = around();

const fn around() -> [[i32; 3]; 27] {
    let mut out = [[0; 3]; 27];
    let (mut at, mut ring) = (0, 0);
    while ring <= 3 {
        let mut i = 0;
        while i < 27 {
            let [x, y, z] = [i / 9 - 1, i / 3 % 3 - 1, i % 3 - 1];
            if x * x + y * y + z * z == ring {
                out[at] = [x, y, z];
                at += 1;
            }
            i += 1;
        }
        ring += 1;
    }
    out
}

/// A cell's own points and how far those below it stand from it and what is above.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) own: Vec<u32>,
    /// In steps.
    pub(super) error: f64,
}

/// Divides the points below a cell among it and cells below it. Points of one place are there once. The numbers in
/// a node are in the order of `points`.
pub(super) fn sample(points: &[Point], root: Cell, lattice: &Lattice) -> BTreeMap<Cell, Node> {
    let mut out: BTreeMap<Cell, Node> = BTreeMap::new();
    let mut order: Vec<(u64, u32)> = (0..).zip(points).map(|(i, p)| (p.chance(), i)).collect();
    order.sort_unstable();
    let mut left: Vec<u32> = order.into_iter().map(|(_, i)| i).collect();
    let mut taken: Vec<u32> = Vec::new();
    let mut depth = root.depth;
    while !left.is_empty() {
        let cell = |&i: &u32| Cell::of(points[i as usize].at, depth, lattice.bits);
        let mut counts: BTreeMap<Cell, usize> = BTreeMap::new();
        for i in &left {
            *counts.entry(cell(i)).or_default() += 1;
        }
        let last = depth >= lattice.bits || distance(lattice, depth) < 2;
        let keeps_all = |cell: &Cell| last || counts[cell] <= LEAF;
        // What few there are stay with the cell above.
        let stays = |cell: &Cell| depth > root.depth && counts[cell] < FEW;
        let mut near = Near::new(lattice, depth);
        taken.iter().for_each(|&i| near.add(points[i as usize].at));
        let mut rest = Vec::new();
        for &i in &left {
            let cell = cell(&i);
            if stays(&cell) {
                out.entry(cell.parent()).or_default().own.push(i);
            } else if keeps_all(&cell) {
                out.entry(cell).or_default().own.push(i);
            } else if near.is_taken(points[i as usize].at) {
                rest.push(i);
            } else {
                near.add(points[i as usize].at);
                taken.push(i);
                out.entry(cell).or_default().own.push(i);
            }
        }
        for &i in rest.iter().step_by(MEASURED) {
            let node = out.entry(cell(&i)).or_default();
            #[expect(clippy::cast_precision_loss, reason = "steps within a cell")]
            let apart = (near.nearest(points[i as usize].at) as f64).sqrt();
            node.error = node.error.max(apart);
        }
        left = rest;
        depth += 1;
    }
    for node in out.values_mut() {
        node.own.sort_unstable();
    }
    out
}

#[cfg(test)]
mod tests {
    use glam::DVec3;

    use super::*;
    use crate::tiles::lattice::Lattice;

    /// A hilly square of 100 m, so dense that it takes several levels.
    fn hills(side: u32) -> (Lattice, Vec<Point>) {
        let lattice = Lattice::around(DVec3::ZERO, DVec3::new(100.0, 100.0, 10.0), None);
        let mut points = Vec::new();
        for i in 0..side {
            for j in 0..side {
                let (x, y) = (f64::from(i) / f64::from(side), f64::from(j) / f64::from(side));
                let p = DVec3::new(x, y, 0.05 + 0.05 * ((x * 20.0).sin() * (y * 17.0).cos())) * 100.0;
                points.push(lattice.point(p, [9; 3]).unwrap());
            }
        }
        (lattice, points)
    }

    #[test]
    fn each_level_is_a_poisson_disk_sample_and_nothing_is_lost() {
        let (lattice, points) = hills(500);
        let nodes = sample(&points, Cell::WHOLE, &lattice);
        assert!(nodes.keys().any(|c| c.depth >= 1), "several levels");
        let mut all: Vec<u32> = nodes.values().flat_map(|n| n.own.iter().copied()).collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..250_000), "each point once: {}", all.len());

        // The coarsest level, checked without the structure that made it.
        let root = &nodes[&Cell::WHOLE];
        let limit = distance(&lattice, 0) as f64 * lattice.step_m;
        let place = |i: u32| lattice.position(points[i as usize].at);
        let own: Vec<DVec3> = root.own.iter().map(|&i| place(i)).collect();
        assert!((5_000..40_000).contains(&own.len()), "{}", own.len());
        let nearest = |p: DVec3| {
            own.iter()
                .map(|q| q.distance(p))
                .filter(|&d| d > 0.0)
                .fold(f64::INFINITY, f64::min)
        };
        for p in own.iter().step_by(37) {
            assert!(nearest(*p) >= limit * 0.999, "{}", nearest(*p));
        }
        let mut worst = 0.0_f64;
        for i in (0..250_000).step_by(97) {
            worst = worst.max(own.iter().map(|q| q.distance(place(i))).fold(f64::INFINITY, f64::min));
        }
        let measured = root.error * lattice.step_m;
        assert!(
            worst <= limit && measured <= limit && measured > 0.7 * worst,
            "{worst} {measured} {limit}"
        );
        // Blue noise: the mean distance to the nearest is well above the least allowed one only where it must be.
        let mean = own.iter().step_by(37).map(|p| nearest(*p)).sum::<f64>() / own.iter().step_by(37).count() as f64;
        assert!(mean < limit * 1.35, "{mean} {limit}");
    }
}
