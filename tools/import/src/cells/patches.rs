//! The ground that people need, in the tour's terms: level rectangles where it is level, else reliefs.

use std::collections::BTreeSet;

use tongyou_scene::{Area, Relief};

use super::floor::Floor;
use super::place::Needed;
use super::voxels::Columns;

/// Columns of a piece of ground a side.
const BLOCK: usize = 64;
/// What differs by no more than this is level.
const LEVEL_M: f32 = 0.01;
/// Coarser reliefs stay as near to the ground as this.
const TRUE_M: f32 = 0.035;
/// Heights of a relief lie so many columns apart, the coarsest that is true.
const STRIDES: [usize; 3] = [4, 2, 1];

/// Pieces of ground over `wanted` columns of the floor. Neighbouring pieces share their border.
/// The columns of `ways` are kept whatever that takes.
pub(super) fn patches(columns: &Columns, floor: &Floor, Needed { wanted, ways }: &Needed) -> Vec<Area> {
    let plan = columns.plan;
    let blocks: BTreeSet<(usize, usize)> = wanted
        .iter()
        .map(|c| (c / plan.wide / BLOCK, c % plan.wide / BLOCK))
        .collect();
    let mut out = Vec::new();
    for (z, x) in blocks {
        let block = Block::new(columns, floor, (wanted, ways), (x * BLOCK, z * BLOCK));
        out.extend(block.area());
    }
    out
}

/// Heights of a square piece of the plan and of the first columns of the next ones.
struct Block {
    /// The middle of its first column.
    corner: [f32; 2],
    step: f32,
    /// `BLOCK + 1` a side, row by row; `None` where nobody needs to walk.
    heights: Vec<Option<f32>>,
    /// Which of them people pass.
    ways: Vec<(usize, usize)>,
}

const SIDE: usize = BLOCK + 1;

impl Block {
    fn new(
        columns: &Columns,
        floor: &Floor,
        (wanted, ways): (&BTreeSet<usize>, &BTreeSet<usize>),
        (x, z): (usize, usize),
    ) -> Self {
        let plan = columns.plan;
        let corner = plan.middle(z * plan.wide + x);
        let (mut heights, mut passed) = (Vec::with_capacity(SIDE * SIDE), Vec::new());
        for dz in 0..SIDE {
            for dx in 0..SIDE {
                let inside = x + dx < plan.wide && z + dz < plan.deep;
                let column = (z + dz) * plan.wide + x + dx;
                heights.push(if inside {
                    height(columns, floor, wanted, column)
                } else {
                    None
                });
                if inside && ways.contains(&column) && dx < BLOCK && dz < BLOCK {
                    passed.push((dx, dz));
                }
            }
        }
        Self {
            corner: corner.to_array(),
            step: plan.step,
            heights,
            ways: passed,
        }
    }

    fn area(&self) -> Option<Area> {
        let there = || self.heights.iter().flatten();
        let low = there().copied().fold(f32::INFINITY, f32::min);
        let high = there().copied().fold(f32::NEG_INFINITY, f32::max);
        if !low.is_finite() {
            return None;
        }
        let ground_m = (low * 100.0).round() / 100.0;
        let level = high - low <= LEVEL_M && self.heights.iter().all(Option::is_some);
        let stride = if level {
            BLOCK
        } else {
            STRIDES.into_iter().find(|s| self.is_true(*s)).unwrap_or(1)
        };
        let wide = BLOCK / stride + 1;
        let pick = |i: usize| self.heights[(i / wide) * stride * SIDE + (i % wide) * stride];
        #[expect(clippy::cast_possible_truncation, reason = "centimetres within a piece of ground")]
        let heights: Vec<Option<i32>> = (0..wide * wide)
            .map(|i| pick(i).map(|h| ((h - ground_m) * 100.0).round() as i32))
            .collect();
        let relief = if level {
            None
        } else {
            Some(Relief::new(self.corner, self.step * stride as f32, wide, heights).ok()?)
        };
        let ([x, z], far) = (self.corner, BLOCK as f32 * self.step);
        Some(Area {
            ground_m: if level { (low + high) / 2.0 } else { ground_m },
            outline: vec![[x, z], [x + far, z], [x + far, z + far], [x, z + far]],
            holes: Vec::new(),
            relief,
        })
    }

    /// Whether heights so far apart stay true to those between them.
    fn is_true(&self, stride: usize) -> bool {
        let there = |x: usize, z: usize| self.heights[z * SIDE + x].is_some();
        let kept = |&(x, z): &(usize, usize)| {
            let (x, z) = (x / stride * stride, z / stride * stride);
            there(x, z) && there(x + stride, z) && there(x, z + stride) && there(x + stride, z + stride)
        };
        if !self.ways.iter().all(kept) {
            return false;
        }
        (0..BLOCK / stride).all(|z| (0..BLOCK / stride).all(|x| self.is_square_true(x * stride, z * stride, stride)))
    }

    fn is_square_true(&self, x: usize, z: usize, stride: usize) -> bool {
        let at = |dx: usize, dz: usize| self.heights[(z + dz) * SIDE + x + dx];
        let all = || (0..=stride).flat_map(|dz| (0..=stride).map(move |dx| (dx, dz)));
        let complete = all().all(|(dx, dz)| at(dx, dz).is_some());
        let corners = [at(0, 0), at(stride, 0), at(0, stride), at(stride, stride)];
        let [Some(nw), Some(ne), Some(sw), Some(se)] = corners else {
            // At the rim of the ground a square is lost; what people need was chosen wider than that.
            return true;
        };
        complete
            && all().all(|(dx, dz)| {
                let (u, v) = (dx as f32 / stride as f32, dz as f32 / stride as f32);
                let flat = if u > v {
                    nw + (ne - nw) * u + (se - ne) * v
                } else {
                    nw + (se - sw) * u + (sw - nw) * v
                };
                at(dx, dz).is_some_and(|h| (h - flat).abs() <= TRUE_M)
            })
    }
}

/// Height of a column that is wanted. Beside one the ground goes on for half a person's width, whether that is wanted
/// or not: a place needs heights on all sides of it.
fn height(columns: &Columns, floor: &Floor, wanted: &BTreeSet<usize>, column: usize) -> Option<f32> {
    if wanted.contains(&column) {
        return floor.height(column);
    }
    let around = (-1..=1).flat_map(|z| (-1..=1).map(move |x| (x, z)));
    let beside = around
        .filter_map(|side| columns.plan.beside(column, side))
        .filter(|c| wanted.contains(c));
    let heights: Vec<f32> = beside.filter_map(|c| floor.height(c)).collect();
    if heights.is_empty() {
        return None;
    }
    let mean = heights.iter().sum::<f32>() / heights.len() as f32;
    Some(floor.height(column).unwrap_or(mean))
}
