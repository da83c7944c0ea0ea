//! What of a scene can be walked on: floors with head room, not too steep, reached in steps, in one connected piece.

use std::collections::{BinaryHeap, VecDeque};

use super::voxels::Columns;

/// Steepest ground that is walked on, as rise over run: 35°. Stairs for everybody rise at most 170 mm on 250 mm, 34°
/// (England's Approved Document K, general access stairs); Recast's own default is 45°, too steep for who sees through
/// a headset.
const STEEPEST: f32 = 0.700_2;
/// Highest step, metres.
const STEP_M: f32 = 0.3;
/// Head room, metres.
const HEAD_M: f32 = 2.0;

/// A place to stand: the upper side of a span with room above it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub(crate) column: usize,
    pub(crate) height: f32,
    ceiling: f32,
}

/// The largest connected piece of ground that can be walked on, at most one height a column.
#[derive(Debug, Clone)]
pub(crate) struct Floor {
    /// By column: the height of the ground, NaN where nobody walks.
    heights: Vec<f32>,
    /// The columns with ground, in order.
    pub(crate) columns: Vec<usize>,
}

const SIDES: [(isize, isize); 4] = [(1, 0), (-1, 0), (0, 1), (0, -1)];
const CORNERS: [(isize, isize); 4] = [(1, 1), (-1, 1), (1, -1), (-1, -1)];

/// All places to stand, by column.
struct Nodes<'a> {
    columns: &'a Columns,
    starts: Vec<usize>,
    nodes: Vec<Node>,
}

impl Floor {
    /// Finds the ground. Nothing within `margin` columns (half a person) of what can not be walked on belongs to it.
    pub(crate) fn new(columns: &Columns, margin: usize) -> Self {
        let nodes = Nodes::new(columns);
        let mut open: Vec<bool> = (0..nodes.nodes.len()).map(|n| !nodes.is_steep(n)).collect();
        for _ in 0..margin {
            open = (0..open.len()).map(|n| open[n] && nodes.surrounded(n, &open)).collect();
        }
        let mut best: Vec<usize> = Vec::new();
        let mut seen = vec![false; open.len()];
        for start in 0..open.len() {
            if !open[start] || seen[start] {
                continue;
            }
            let piece = nodes.piece(start, &open, &mut seen);
            if piece.len() > best.len() {
                best = piece;
            }
        }
        let mut heights = vec![f32::NAN; columns.plan.wide * columns.plan.deep];
        for &node in &best {
            let Node { column, height, .. } = nodes.nodes[node];
            heights[column] = height;
        }
        let columns = (0..heights.len()).filter(|c| !heights[*c].is_nan()).collect();
        Self { heights, columns }
    }

    /// Height of the ground in the middle of a column.
    pub(crate) fn height(&self, column: usize) -> Option<f32> {
        self.heights.get(column).copied().filter(|h| !h.is_nan())
    }

    /// The shortest way between two columns over the ground, both included, a column at a time.
    pub(crate) fn way(&self, columns: &Columns, from: usize, to: usize) -> Option<Vec<usize>> {
        let plan = columns.plan;
        let apart =
            |a: usize, b: usize| (a % plan.wide).abs_diff(b % plan.wide) + (a / plan.wide).abs_diff(b / plan.wide);
        let mut came = std::collections::BTreeMap::from([(from, (0, from))]);
        let mut open = BinaryHeap::from([(std::cmp::Reverse(apart(from, to)), from)]);
        while let Some((_, at)) = open.pop() {
            if at == to {
                let mut way = vec![to];
                let mut at = to;
                while at != from {
                    at = came.get(&at)?.1;
                    way.push(at);
                }
                way.reverse();
                return Some(way);
            }
            let cost = came.get(&at)?.0 + 1;
            for next in SIDES.iter().filter_map(|s| plan.beside(at, *s)) {
                let climbs = match (self.height(at), self.height(next)) {
                    (Some(a), Some(b)) => (a - b).abs() > STEP_M,
                    _ => true,
                };
                if climbs || came.get(&next).is_some_and(|(known, _)| *known <= cost) {
                    continue;
                }
                came.insert(next, (cost, at));
                open.push((std::cmp::Reverse(cost + apart(next, to)), next));
            }
        }
        None
    }
}

impl<'a> Nodes<'a> {
    fn new(columns: &'a Columns) -> Self {
        let count = columns.plan.wide * columns.plan.deep;
        let (mut starts, mut nodes) = (Vec::with_capacity(count + 1), Vec::new());
        for column in 0..count {
            starts.push(nodes.len());
            let spans = columns.at(column);
            for (index, span) in spans.iter().enumerate() {
                let ceiling = spans.get(index + 1).map_or(f32::INFINITY, |above| above.bottom);
                if ceiling - span.floor >= HEAD_M {
                    nodes.push(Node {
                        column,
                        height: span.floor,
                        ceiling,
                    });
                }
            }
        }
        starts.push(nodes.len());
        Self { columns, starts, nodes }
    }

    /// The place in a neighbouring column that a step leads to.
    fn step(&self, from: usize, side: (isize, isize)) -> Option<usize> {
        let here = self.nodes[from];
        let column = self.columns.plan.beside(here.column, side)?;
        let all = self.starts[column]..self.starts[column + 1];
        all.filter(|&n| {
            let there = &self.nodes[n];
            let room = here.ceiling.min(there.ceiling) - here.height.max(there.height);
            (there.height - here.height).abs() <= STEP_M && room >= HEAD_M
        })
        .min_by(|&a, &b| {
            let rise = |n: usize| (self.nodes[n].height - here.height).abs();
            rise(a).total_cmp(&rise(b))
        })
    }

    /// Rise over run across both neighbours of each axis, so that a single kerb is a step and not a slope.
    fn is_steep(&self, node: usize) -> bool {
        let step = self.columns.plan.step;
        let along = |ahead: (isize, isize), behind: (isize, isize)| {
            let height = |side| self.step(node, side).map(|n| self.nodes[n].height);
            let here = self.nodes[node].height;
            match (height(ahead), height(behind)) {
                (Some(a), Some(b)) => (a - b) / (2.0 * step),
                (Some(a), None) => (a - here) / step,
                (None, Some(b)) => (here - b) / step,
                (None, None) => 0.0,
            }
        };
        along((1, 0), (-1, 0)).hypot(along((0, 1), (0, -1))) > STEEPEST
    }

    /// Whether one can step to all eight neighbours.
    fn surrounded(&self, node: usize, open: &[bool]) -> bool {
        let mut sides = SIDES.iter().chain(&CORNERS);
        sides.all(|side| self.step(node, *side).is_some_and(|n| open[n]))
    }

    /// What is connected with a node, each column once.
    fn piece(&self, start: usize, open: &[bool], seen: &mut [bool]) -> Vec<usize> {
        let mut claimed = std::collections::BTreeSet::from([self.nodes[start].column]);
        let mut queue = VecDeque::from([start]);
        let mut out = Vec::new();
        seen[start] = true;
        while let Some(node) = queue.pop_front() {
            out.push(node);
            for next in SIDES.iter().filter_map(|side| self.step(node, *side)) {
                if open[next] && !seen[next] && claimed.insert(self.nodes[next].column) {
                    seen[next] = true;
                    queue.push_back(next);
                }
            }
        }
        out
    }
}
