//! The plain surface. Inverse depth is affine on planes, so a square of cells that is flat is drawn as one; a city is
//! mostly walls, ground and sky. Each square goes through all vertices that its neighbours use, so nothing gapes.

use super::{CELLS, GRID, corners, exact, small};

/// Cells along the side of the largest square that is drawn as one.
const LARGEST_BLOCK: usize = 16;
/// How far inverse depth may be off such a square: less than a tenth of a pixel of parallax at half a metre.
const FLAT: f32 = 0.004;
const FLAT_NOISE: f32 = 1.0;

/// A square of cells that is flat, in grid lines.
#[derive(Clone, Copy)]
struct Block {
    x0: usize,
    y0: usize,
    x1: usize,
    y1: usize,
}

/// Triangles of all cells that are not cut.
pub(super) fn triangles(own: &[u16], cut: &[bool]) -> Vec<u16> {
    let mut blocks = Vec::new();
    for y in (0..CELLS).step_by(LARGEST_BLOCK) {
        for x in (0..CELLS).step_by(LARGEST_BLOCK) {
            divide(own, cut, (x, y), LARGEST_BLOCK, &mut blocks);
        }
    }
    let mut used = vec![false; own.len()];
    for block in &blocks {
        for v in block.corners() {
            used[v] = true;
        }
    }
    for cell in (0..cut.len()).filter(|cell| cut[*cell]) {
        for v in corners(cell) {
            used[v] = true;
        }
    }
    let mut out = Vec::new();
    for block in blocks {
        let rim = block.rim(&used);
        if let [a, b, c, d] = rim[..] {
            out.extend([a, d, b, b, d, c].map(small));
            continue;
        }
        let middle = (block.y0 + block.y1) / 2 * GRID + (block.x0 + block.x1) / 2;
        for (i, v) in rim.iter().enumerate() {
            out.extend([middle, rim[(i + 1) % rim.len()], *v].map(small));
        }
    }
    out
}

fn divide(own: &[u16], cut: &[bool], (x0, y0): (usize, usize), size: usize, blocks: &mut Vec<Block>) {
    if x0 >= CELLS || y0 >= CELLS {
        return;
    }
    let (x1, y1) = ((x0 + size).min(CELLS), (y0 + size).min(CELLS));
    let block = Block { x0, y0, x1, y1 };
    if size == 1 {
        if !cut[y0 * CELLS + x0] {
            blocks.push(block);
        }
        return;
    }
    // A vertex in the middle is needed where a neighbour is finer.
    let thin = x1 - x0 < 2 || y1 - y0 < 2;
    if !thin && block.is_flat(own, cut) {
        blocks.push(block);
        return;
    }
    let half = size / 2;
    for at in [(x0, y0), (x0 + half, y0), (x0, y0 + half), (x0 + half, y0 + half)] {
        divide(own, cut, at, half, blocks);
    }
}

impl Block {
    /// Clockwise in the picture from the top left.
    const fn corners(&self) -> [usize; 4] {
        let Self { x0, y0, x1, y1 } = *self;
        [y0 * GRID + x0, y0 * GRID + x1, y1 * GRID + x1, y1 * GRID + x0]
    }

    /// Clockwise from the top left: the corners and what lies between them and is used.
    fn rim(&self, used: &[bool]) -> Vec<usize> {
        let Self { x0, y0, x1, y1 } = *self;
        let top = (x0..x1).map(|x| y0 * GRID + x);
        let right = (y0..y1).map(|y| y * GRID + x1);
        let bottom = (x0 + 1..=x1).rev().map(|x| y1 * GRID + x);
        let left = (y0 + 1..=y1).rev().map(|y| y * GRID + x0);
        let around = top.chain(right).chain(bottom).chain(left);
        around.filter(|v| used[*v]).collect()
    }

    /// Whether nothing is cut in these cells and their vertices lie on the plane through three corners, the fourth too.
    fn is_flat(&self, own: &[u16], cut: &[bool]) -> bool {
        let Self { x0, y0, x1, y1 } = *self;
        if (y0..y1).any(|y| cut[y * CELLS + x0..y * CELLS + x1].iter().any(|c| *c)) {
            return false;
        }
        let corner = own[y0 * GRID + x0];
        let start = f32::from(corner);
        let dx = (f32::from(own[y0 * GRID + x1]) - start) / count(x1 - x0);
        let dy = (f32::from(own[y1 * GRID + x0]) - start) / count(y1 - y0);
        (y0..=y1).all(|y| {
            (x0..=x1).all(|x| {
                let d = own[y * GRID + x];
                let on_plane = start + dx * count(x - x0) + dy * count(y - y0);
                // Sky beside what is very far is not one plane with it.
                (d == 0) == (corner == 0) && (f32::from(d) - on_plane).abs() <= FLAT_NOISE.max(FLAT * f32::from(d))
            })
        })
    }
}

fn count(n: usize) -> f32 {
    exact(u32::try_from(n).unwrap_or(u32::MAX))
}
