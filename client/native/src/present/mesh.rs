//! What the warp draws for one face, made from its depth whenever that changes; `docs/presenting.md` describes it and
//! `client/web/src/layer/mesh.ts` is the same in the page.
//!
//! A 128² grid of vertices lies on texel centres. A cell in which depth jumps is *cut*: its near part is drawn by
//! itself, and beneath it lies the sheet, on which the background goes on under what stands before it. Everything else
//! is the plain surface.

mod sheet;
mod surface;
#[cfg(test)]
mod tests;

use sheet::Sheet;
use tongyou_protocol::cube::HALF_TANGENT;

/// Vertices along the side of a face.
pub const GRID: usize = 128;
/// Cells along the side of a face.
const CELLS: usize = GRID - 1;
/// Relative jump of inverse depth that is a cut.
const JUMP: f32 = 0.05;
/// Steps of u16 that are noise of rounding, not a jump.
const NOISE: f32 = 4.0;
/// Beside the column of a vertex's colour: another layer has something there.
const BETTER: u16 = 0x100;
/// What a sample says of a layer that has nothing there.
const NOTHING: u16 = 65_535;

/// What the depth of a face is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Relief {
    /// Inverse depth is `65535 · near / z`, metres.
    pub near: f32,
    /// Tangent of half the field of view of the face.
    pub half_tangent: f32,
    /// A sample of 65535 says that nothing is there.
    pub has_holes: bool,
}

/// The geometry of one face, as the shaders read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaceMesh {
    /// For each grid vertex: its own depth, depth of the sheet, column and row of the sheet's colour.
    pub vertices: Vec<[u16; 4]>,
    /// Triangles of the plain surface, indices of grid vertices.
    pub surface: Vec<u16>,
    /// Triangles of the sheet, likewise.
    pub sheet: Vec<u16>,
    /// Four vertices for each cut cell, top left, top right, bottom left, bottom right: grid vertex, near depth, depth
    /// of the sheet, 0.
    pub edges: Vec<[u16; 4]>,
    /// Of a layer with holes: for each grid vertex, whether it has something there.
    pub present: Option<Vec<bool>>,
}

impl FaceMesh {
    /// Of a face of a panorama without holes. `samples`: row by row, `size`², `65535 · near / z`; `near` in metres.
    #[must_use]
    pub fn new(samples: &[u16], size: usize, near: f32) -> Self {
        let relief = Relief {
            near,
            half_tangent: HALF_TANGENT,
            has_holes: false,
        };
        Self::of(samples, size, relief)
    }

    /// Of a face of any layer with depth.
    #[must_use]
    pub fn of(samples: &[u16], size: usize, relief: Relief) -> Self {
        let at: Vec<usize> = (0..GRID).map(|line| texel_of(line, size)).collect();
        let own: Vec<u16> = (0..GRID * GRID)
            .map(|v| samples[at[v / GRID] * size + at[v % GRID]])
            .collect();
        let holes = relief.has_holes.then(|| find_holes(samples, size, &at));
        let is_hole = |cell: usize| holes.as_ref().is_some_and(|h| h[cell]);
        let cells = Cells::find(samples, size, &at, is_hole);
        let cell_tangent = 2.0 * relief.half_tangent / cells_a_side();
        let sheet = Sheet::new(&own, &cells, 65_535.0 * relief.near * cell_tangent);
        let vertices = (0..GRID * GRID)
            .map(|v| {
                let source = usize::from(sheet.source[v]);
                [own[v], sheet.depth[v], small(source % GRID), small(source / GRID)]
            })
            .collect();
        let in_sheet = |cell: usize| {
            !is_hole(cell) && (cells.cut[cell] || corners(cell).into_iter().any(|v| sheet.reached[v] != 0))
        };
        let left_out: Vec<bool> = (0..CELLS * CELLS)
            .map(|cell| cells.cut[cell] || is_hole(cell))
            .collect();
        Self {
            vertices,
            surface: surface::triangles(&own, &left_out),
            sheet: triangles(in_sheet),
            edges: edges(&own, &sheet, &cells),
            present: relief.has_holes.then(|| own.iter().map(|d| *d != NOTHING).collect()),
        }
    }

    /// The vertices, marked by 256 in the column of their colour where another layer from the same point has something: there the sheet shows
    /// what the picture has of the background, and leaves to that layer what it would have to guess.
    #[must_use]
    pub fn vertices_beside(&self, better: Option<&Self>) -> Vec<[u16; 4]> {
        let mut vertices = self.vertices.clone();
        if let Some(present) = better.and_then(|b| b.present.as_ref()) {
            for (vertex, present) in vertices.iter_mut().zip(present) {
                vertex[2] |= if *present { BETTER } else { 0 };
            }
        }
        vertices
    }

    /// Indices of the triangles of [`Self::edges`].
    #[must_use]
    pub fn edge_indices(&self) -> Vec<u16> {
        (0..self.edges.len() / 4)
            .flat_map(|cell| [0, 2, 1, 1, 2, 3].map(|corner| small(4 * cell + corner)))
            .collect()
    }
}

/// The texel on which a grid line lies.
const fn texel_of(line: usize, size: usize) -> usize {
    (2 * line * (size - 1) + CELLS) / (2 * CELLS)
}

/// Which cells are cut, and the largest and least inverse depth in those.
struct Cells {
    cut: Vec<bool>,
    nearest: Vec<u16>,
    farthest: Vec<u16>,
}

impl Cells {
    fn find(samples: &[u16], size: usize, at: &[usize], is_hole: impl Fn(usize) -> bool) -> Self {
        let steps = Steps::find(samples, size);
        let mut cells = Self {
            cut: vec![false; CELLS * CELLS],
            nearest: vec![0; CELLS * CELLS],
            farthest: vec![0; CELLS * CELLS],
        };
        for cell in 0..CELLS * CELLS {
            let (row, column) = (cell / CELLS, cell % CELLS);
            let (left, right, top, bottom) = (at[column], at[column + 1], at[row], at[row + 1]);
            let (mut any, mut most, mut least) = (false, 0, u16::MAX);
            for y in top..=bottom {
                let texels = y * size + left..=y * size + right;
                any |= steps.right[y * size + left..y * size + right].iter().any(|s| *s);
                any |= y < bottom && steps.down[texels.clone()].iter().any(|s| *s);
                for d in &samples[texels] {
                    most = most.max(*d);
                    least = least.min(*d);
                }
            }
            if any && !is_hole(cell) {
                cells.cut[cell] = true;
                cells.nearest[cell] = most;
                cells.farthest[cell] = least;
            }
        }
        cells
    }

    /// Whether a depth belongs to what stands in front in a cut cell.
    fn is_near(&self, cell: usize, d: u16) -> bool {
        2 * u32::from(d) > u32::from(self.nearest[cell]) + u32::from(self.farthest[cell])
    }
}

/// Cells of which a part is not there.
fn find_holes(samples: &[u16], size: usize, at: &[usize]) -> Vec<bool> {
    let hole = |cell: usize| {
        let (row, column) = (cell / CELLS, cell % CELLS);
        (at[row]..=at[row + 1]).any(|y| {
            let texels = y * size + at[column]..=y * size + at[column + 1];
            samples[texels].contains(&NOTHING)
        })
    };
    (0..CELLS * CELLS).map(hole).collect()
}

#[expect(clippy::cast_precision_loss, reason = "127")]
const fn cells_a_side() -> f32 {
    CELLS as f32
}

/// Where one surface ends and another begins: between a texel and the next one to the right, and the next one down.
struct Steps {
    right: Vec<bool>,
    down: Vec<bool>,
}

impl Steps {
    /// Both texels leave the plane through their neighbours (on a plane the second difference of inverse depth is zero,
    /// however steep it is), and they are far apart.
    fn find(d: &[u16], size: usize) -> Self {
        let jumps = find_jumps(d, size);
        let step = |a: usize, b: usize| {
            jumps[a] && jumps[b] && exact(u32::from(d[a].abs_diff(d[b]))) > tolerance(d[a].max(d[b]))
        };
        Self {
            right: (0..d.len()).map(|i| i % size + 1 < size && step(i, i + 1)).collect(),
            down: (0..d.len()).map(|i| i + size < d.len() && step(i, i + size)).collect(),
        }
    }
}

/// Texels at which inverse depth leaves the plane through their neighbours; at the border as the next one inside.
fn find_jumps(d: &[u16], size: usize) -> Vec<bool> {
    let bend = |i: usize, by: usize| (i32::from(d[i - by]) + i32::from(d[i + by]) - 2 * i32::from(d[i])).unsigned_abs();
    if size < 3 {
        return vec![false; d.len()];
    }
    let last = size - 2;
    (0..size * size)
        .map(|i| {
            let (x, y) = (i % size, i / size);
            let across = bend(y * size + x.clamp(1, last), 1);
            let along = bend(y.clamp(1, last) * size + x, size);
            // Both fit an f32 exactly.
            exact(across.max(along)) > tolerance(d[i])
        })
        .collect()
}

/// How far inverse depth may be off and still be the same surface.
fn tolerance(d: u16) -> f32 {
    NOISE.max(JUMP * f32::from(d))
}

fn edges(own: &[u16], sheet: &Sheet, cells: &Cells) -> Vec<[u16; 4]> {
    let cut = (0..CELLS * CELLS).filter(|cell| cells.cut[*cell]);
    cut.flat_map(|cell| {
        corners(cell).map(|v| {
            let near = if cells.is_near(cell, own[v]) {
                own[v]
            } else {
                cells.nearest[cell]
            };
            [small(v), near, sheet.depth[v], 0]
        })
    })
    .collect()
}

/// Two triangles for each cell that is wanted, counter-clockwise as seen from inside the cube.
fn triangles(wanted: impl Fn(usize) -> bool) -> Vec<u16> {
    (0..CELLS * CELLS)
        .filter(|cell| wanted(*cell))
        .flat_map(|cell| {
            let [a, b, c, d] = corners(cell).map(small);
            [a, c, b, b, c, d]
        })
        .collect()
}

/// The grid vertices of a cell: top left, top right, bottom left, bottom right.
const fn corners(cell: usize) -> [usize; 4] {
    let v = cell / CELLS * GRID + cell % CELLS;
    [v, v + 1, v + GRID, v + GRID + 1]
}

/// Indices of grid vertices and of the vertices of edges fit u16: 127² · 4 < 65536.
fn small(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "second differences of u16 are below 2^24")]
const fn exact(n: u32) -> f32 {
    n as f32
}
