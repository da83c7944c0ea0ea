//! A scene as columns of solid spans over a grid of its plan: the heightfield that Recast made the field's standard
//! (M. Mononen, Recast Navigation). Heights are kept as they are, not rounded to voxels.

use glam::{Vec2, Vec3};

/// Spans nearer than this are one: cracks between surfaces that a scan saw from different places.
const CRACK_M: f32 = 0.1;
/// What lies within this below the top of a span still is its floor: the ground under a kerb's edge is not.
const RELIEF_M: f32 = 0.35;
/// Pieces of triangles kept at once.
const MOST_PIECES: usize = 24_000_000;

/// The plan: squares of `step` metres from `origin` (x, z).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    pub(crate) origin: Vec2,
    pub(crate) step: f32,
    pub(crate) wide: usize,
    pub(crate) deep: usize,
}

/// Something solid in a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Span {
    pub(crate) bottom: f32,
    pub(crate) top: f32,
    /// Height of the upper surface in the middle of the column.
    pub(crate) floor: f32,
}

/// All columns.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub(crate) plan: Plan,
    starts: Vec<usize>,
    spans: Vec<Span>,
}

impl Plan {
    /// The grid over a box of the plan; `step` is doubled until it has at most `most` columns.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of columns, not negative"
    )]
    pub(crate) fn over(low: Vec2, high: Vec2, step: f32, most: usize) -> Self {
        let mut step = step;
        loop {
            let cells = ((high - low) / step).ceil().max(Vec2::ONE);
            let (wide, deep) = (cells.x as usize, cells.y as usize);
            if wide.saturating_mul(deep) <= most {
                return Self {
                    origin: low,
                    step,
                    wide,
                    deep,
                };
            }
            step *= 2.0;
        }
    }

    /// The middle of a column (x, z).
    pub(crate) fn middle(&self, column: usize) -> Vec2 {
        let at = Vec2::new((column % self.wide) as f32, (column / self.wide) as f32);
        self.origin + (at + 0.5) * self.step
    }

    /// The column at a place, if it is on the plan.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be on the plan"
    )]
    pub(crate) fn column(&self, at: Vec2) -> Option<usize> {
        let cell = ((at - self.origin) / self.step).floor();
        let inside = cell.x >= 0.0 && cell.y >= 0.0 && cell.x < self.wide as f32 && cell.y < self.deep as f32;
        inside.then(|| cell.y as usize * self.wide + cell.x as usize)
    }

    /// The neighbour of a column so many columns east and south.
    pub(crate) fn beside(&self, column: usize, (east, south): (isize, isize)) -> Option<usize> {
        let x = (column % self.wide)
            .checked_add_signed(east)
            .filter(|x| *x < self.wide)?;
        let z = (column / self.wide)
            .checked_add_signed(south)
            .filter(|z| *z < self.deep)?;
        Some(z * self.wide + x)
    }
}

/// A piece of a triangle over one column.
struct Piece {
    column: u32,
    bottom: f32,
    top: f32,
    /// Height in the middle of the column; NaN where the piece does not reach it.
    middle: f32,
}

impl Columns {
    /// Cuts triangles along the plan's grid; `None` where they make more pieces than fit.
    pub(crate) fn new(plan: Plan, triangles: &[[Vec3; 3]]) -> Option<Self> {
        let mut pieces = Vec::new();
        for triangle in triangles {
            cut(&plan, triangle, &mut pieces);
            if pieces.len() > MOST_PIECES {
                return None;
            }
        }
        pieces.sort_unstable_by(|a, b| a.column.cmp(&b.column).then(a.bottom.total_cmp(&b.bottom)));
        let count = plan.wide * plan.deep;
        let mut out = Self {
            plan,
            starts: Vec::with_capacity(count + 1),
            spans: Vec::new(),
        };
        let mut pieces = pieces.as_slice();
        for column in 0..count {
            out.starts.push(out.spans.len());
            let here = pieces.partition_point(|p| p.column as usize == column);
            let (here, rest) = pieces.split_at(here);
            out.merge(here);
            pieces = rest;
        }
        out.starts.push(out.spans.len());
        Some(out)
    }

    /// The spans of a column, lowest first.
    pub(crate) fn at(&self, column: usize) -> &[Span] {
        &self.spans[self.starts[column]..self.starts[column + 1]]
    }

    /// Whether the line between two places, shortened by what is asked at both ends, meets something.
    pub(crate) fn hides(&self, from: Vec3, to: Vec3, clear_from: f32, clear_to: f32) -> bool {
        let (line, step) = (to - from, self.plan.step * 0.5);
        let length = line.length();
        let mut along = clear_from;
        while along < length - clear_to {
            let at = from + line * (along / length);
            if let Some(column) = self.plan.column(Vec2::new(at.x, at.z))
                && self
                    .at(column)
                    .iter()
                    .any(|s| (s.bottom - 0.02..=s.top + 0.02).contains(&at.y))
            {
                return true;
            }
            along += step;
        }
        false
    }

    fn merge(&mut self, pieces: &[Piece]) {
        let mut middle = f32::NEG_INFINITY;
        let first = self.spans.len();
        for piece in pieces {
            let open = self.spans.len() > first;
            match self.spans.last_mut() {
                Some(last) if open && piece.bottom <= last.top + CRACK_M => last.top = last.top.max(piece.top),
                _ => {
                    self.settle(first, middle);
                    middle = f32::NEG_INFINITY;
                    self.spans.push(Span {
                        bottom: piece.bottom,
                        top: piece.top,
                        floor: piece.top,
                    });
                }
            }
            // A NaN is never the larger one.
            middle = middle.max(piece.middle);
        }
        self.settle(first, middle);
    }

    /// The floor of the span that was last made.
    fn settle(&mut self, first: usize, middle: f32) {
        if self.spans.len() > first
            && let Some(span) = self.spans.last_mut()
        {
            span.floor = if middle >= span.top - RELIEF_M {
                middle
            } else {
                span.top
            };
        }
    }
}

fn cut(plan: &Plan, triangle: &[Vec3; 3], out: &mut Vec<Piece>) {
    let low = triangle[0].min(triangle[1]).min(triangle[2]);
    let high = triangle[0].max(triangle[1]).max(triangle[2]);
    let cell = |v: f32, origin: f32| ((v - origin) / plan.step).floor();
    let (west, east) = (cell(low.x, plan.origin.x).max(0.0), cell(high.x, plan.origin.x));
    let (north, south) = (cell(low.z, plan.origin.y).max(0.0), cell(high.z, plan.origin.y));
    let (east, south) = (east.min(plan.wide as f32 - 1.0), south.min(plan.deep as f32 - 1.0));
    if east < west || south < north {
        return;
    }
    let mut row = Vec::with_capacity(9);
    let (mut scratch, mut square) = (Vec::with_capacity(9), Vec::with_capacity(9));
    let mut z = north;
    while z <= south {
        let top = plan.origin.y + z * plan.step;
        clip(triangle, 2, top, false, &mut scratch);
        clip(&scratch, 2, top + plan.step, true, &mut row);
        let mut x = west;
        while x <= east && !row.is_empty() {
            let left = plan.origin.x + x * plan.step;
            clip(&row, 0, left, false, &mut scratch);
            clip(&scratch, 0, left + plan.step, true, &mut square);
            if !square.is_empty() {
                out.push(piece(plan, (x, z), triangle, &square));
            }
            x += 1.0;
        }
        z += 1.0;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place on the plan, which has fewer than 2³² columns"
)]
fn piece(plan: &Plan, (x, z): (f32, f32), triangle: &[Vec3; 3], square: &[Vec3]) -> Piece {
    let (mut bottom, mut top) = (f32::INFINITY, f32::NEG_INFINITY);
    for corner in square {
        bottom = bottom.min(corner.y);
        top = top.max(corner.y);
    }
    let middle = plan.origin + (Vec2::new(x, z) + 0.5) * plan.step;
    let height = height_at(triangle, middle).map_or(f32::NAN, |h| h.clamp(bottom, top));
    Piece {
        column: z as u32 * plan.wide as u32 + x as u32,
        bottom,
        top,
        middle: height,
    }
}

/// Height of a triangle at a place of the plan; `None` beside it, and where it stands upright.
pub(crate) fn height_at([a, b, c]: &[Vec3; 3], at: Vec2) -> Option<f32> {
    let flat = |v: &Vec3| Vec2::new(v.x, v.z);
    let (ab, ac, ap) = (flat(b) - flat(a), flat(c) - flat(a), at - flat(a));
    let whole = ab.perp_dot(ac);
    if whole.abs() < 1e-12 {
        return None;
    }
    let (v, w) = (ap.perp_dot(ac) / whole, ab.perp_dot(ap) / whole);
    let inside = v >= -1e-5 && w >= -1e-5 && v + w <= 1.0 + 1e-5;
    inside.then_some(a.y + (b.y - a.y) * v + (c.y - a.y) * w)
}

/// The part of a convex polygon on one side of a plane across an axis (Sutherland and Hodgman).
fn clip(polygon: &[Vec3], axis: usize, limit: f32, below: bool, out: &mut Vec<Vec3>) {
    out.clear();
    let inside = |p: Vec3| if below { p[axis] <= limit } else { p[axis] >= limit };
    let Some(mut from) = polygon.last().copied() else {
        return;
    };
    for &to in polygon {
        if inside(from) != inside(to) {
            let share = (limit - from[axis]) / (to[axis] - from[axis]);
            out.push(from + (to - from) * share.clamp(0.0, 1.0));
        }
        if inside(to) {
            out.push(to);
        }
        from = to;
    }
}
