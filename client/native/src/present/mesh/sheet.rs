//! The sheet: the background, continued under what hides it.

use super::{Cells, GRID, JUMP, NOISE, corners, exact, small, tolerance};

/// Most cells that the background is continued under what hides it.
const REACH: u16 = 16;
/// Offset of the eye, metres, for which there has to be background behind an edge.
const OFFSET_M: f32 = 0.5;

/// For each grid vertex.
pub(super) struct Sheet {
    pub(super) depth: Vec<u16>,
    /// The grid vertex whose place in the picture gives the colour.
    pub(super) source: Vec<u16>,
    /// The step in which the background arrived here; 0 where it did not.
    pub(super) reached: Vec<u16>,
}

impl Sheet {
    /// Lets the far side of each cut grow under the near side, nearest first. `scale` over z is inverse depth times a
    /// cell's tangent.
    pub(super) fn new(own: &[u16], cells: &Cells, scale: f32) -> Self {
        let mut sheet = Self {
            depth: own.to_vec(),
            source: (0..own.len()).map(small).collect(),
            reached: vec![0; own.len()],
        };
        let mut hides = vec![false; own.len()];
        let mut shows = vec![false; own.len()];
        let mut lowest = vec![u16::MAX; own.len()];
        for cell in (0..cells.cut.len()).filter(|cell| cells.cut[*cell]) {
            for v in corners(cell) {
                let side = if cells.is_near(cell, own[v]) {
                    &mut hides
                } else {
                    &mut shows
                };
                side[v] = true;
                lowest[v] = lowest[v].min(cells.farthest[cell]);
            }
        }
        let seeds: Vec<usize> = (0..own.len()).filter(|v| shows[*v] && !hides[*v]).collect();
        sheet.grow(own, &seeds, (&hides, &shows), scale);
        sheet.mirror_sources(own);
        sheet.move_seeds(own, &seeds, &hides);
        for v in 0..own.len() {
            if hides[v] && sheet.reached[v] == 0 {
                sheet.depth[v] = own[v].min(lowest[v]);
            }
        }
        sheet
    }

    fn grow(&mut self, own: &[u16], seeds: &[usize], (hides, shows): (&[bool], &[bool]), scale: f32) {
        let mut front = seeds.to_vec();
        for step in 0..REACH {
            let mut next = Vec::new();
            // Parallax between near and far, in cells: what is farther under the edge never comes to light.
            let reach = (f32::from(step) - 1.0) * scale / OFFSET_M;
            for v in front {
                let d = self.depth[v];
                let limit = f32::from(d) + tolerance(d);
                for n in neighbours(v).into_iter().flatten() {
                    // Something is hidden across an edge only, and by what stands before it: a floor comes nearer by
                    // itself from row to row, and the floor beside a post hides no wall.
                    if !hides[n] && (shows[n] || step == 0) {
                        continue;
                    }
                    let there = own[n];
                    let known = self.reached[n] != 0;
                    if f32::from(there) <= limit
                        || exact(u32::from(there - d)) < reach
                        || known && (self.depth[n] <= d || self.reached[n] != step + 1)
                    {
                        continue;
                    }
                    if !known {
                        next.push(n);
                    }
                    self.reached[n] = step + 1;
                    self.depth[n] = d;
                    self.source[n] = self.source[v];
                }
            }
            if next.is_empty() {
                return;
            }
            front = next;
        }
    }

    /// Colour comes from as far on the visible side of the edge as the vertex is behind it and one cell more, where
    /// the same surface is: right at the edge the picture has some of the colour of what stands before it.
    fn mirror_sources(&mut self, own: &[u16]) {
        for v in 0..own.len() {
            if self.reached[v] == 0 {
                continue;
            }
            let s = usize::from(self.source[v]);
            let (sx, sy) = place(s);
            let (x, y) = place(v);
            let (dx, dy) = (sx - x, sy - y);
            let n = dx.abs().max(dy.abs()).max(1);
            let (ux, uy) = (rounded_ratio(dx, n), rounded_ratio(dy, n));
            let source = self
                .same_surface(own, s, (dx + ux, dy + uy), self.depth[v])
                .or_else(|| self.same_surface(own, s, (ux, uy), self.depth[v]))
                .unwrap_or(s);
            self.source[v] = small(source);
        }
    }

    /// The vertices beside an edge give the colour of their neighbour on the other side, for the same reason.
    fn move_seeds(&mut self, own: &[u16], seeds: &[usize], hides: &[bool]) {
        for &v in seeds {
            let (mut dx, mut dy) = (0, 0);
            for y in -1..=1 {
                for x in -1..=1 {
                    if offset(v, (x, y)).is_some_and(|n| hides[n]) {
                        dx -= x;
                        dy -= y;
                    }
                }
            }
            let source = self.same_surface(own, v, (dx.signum(), dy.signum()), own[v]);
            self.source[v] = small(source.unwrap_or(v));
        }
    }

    /// The vertex so far from `from`, where it is on the visible surface of this depth.
    fn same_surface(&self, own: &[u16], from: usize, by: (i32, i32), d: u16) -> Option<usize> {
        let v = offset(from, by)?;
        let same = f32::from(own[v].abs_diff(d)) <= NOISE.max(2.0 * JUMP * f32::from(d));
        (self.reached[v] == 0 && same).then_some(v)
    }
}

fn neighbours(v: usize) -> [Option<usize>; 4] {
    [(-1, 0), (1, 0), (0, -1), (0, 1)].map(|by| offset(v, by))
}

/// The grid vertex so many columns and rows away, where there is one.
fn offset(v: usize, (dx, dy): (i32, i32)) -> Option<usize> {
    let (x, y) = place(v);
    let inside = |c: i32| usize::try_from(c).ok().filter(|c| *c < GRID);
    Some(inside(y + dy)? * GRID + inside(x + dx)?)
}

/// Column and row.
fn place(v: usize) -> (i32, i32) {
    let small = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    (small(v % GRID), small(v / GRID))
}

/// `a / b`, which lies within −1..=1, to the nearest; halves upwards, as JavaScript rounds.
const fn rounded_ratio(a: i32, b: i32) -> i32 {
    (2 * a + b).div_euclid(2 * b)
}
