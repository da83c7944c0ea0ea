//! One chunk: loaded, cleaned, thinned, its tiles written, and what the cells above need left behind.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::lattice::{Cell, Lattice, Point, morton};
use super::split::Part;
use super::{glb, sample, split};
use crate::job::Job;
use crate::{Error, write};

/// A tile that is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Tile {
    pub(super) cell: Cell,
    pub(super) points: u64,
    /// Corners of its points in steps.
    pub(super) min: [u32; 3],
    pub(super) max: [u32; 3],
    /// How far what lies below stands from what is shown, in metres.
    pub(super) error_m: f64,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// What a finished chunk leaves behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub(super) cell: Cell,
    /// Tiles below the chunk's own cell.
    pub(super) tiles: Vec<Tile>,
    /// The points of the chunk's own cell, some of which go up.
    pub(super) file: PathBuf,
    pub(super) top: u64,
    /// Points of deeper cells behind those, for the scene that the server shows, and the depth of each.
    pub(super) depths: Vec<(u32, u64)>,
    /// How far the points below stand from those in `file`, in steps.
    pub(super) error: f64,
    pub(super) duplicates: u64,
    pub(super) outliers: u64,
}

/// Cleans and thins the points of a chunk. `share` of its points at most are left for the scene.
pub(super) fn make(job: &Job, lattice: &Lattice, part: &Part, share: f64, write: bool) -> Result<Chunk, Error> {
    let mut points = Vec::with_capacity(usize::try_from(part.points).unwrap_or_default());
    split::read(&part.file, &mut |block| {
        points.extend_from_slice(block);
        Ok(())
    })?;
    let read = points.len();
    let key = |p: &Point| (order(lattice, part.cell, p.at), *p);
    points.sort_unstable_by_key(key);
    points.dedup_by_key(|p| p.at);
    let duplicates = read - points.len();
    let alone = alone(lattice, part.cell, &points);
    let before = points.len();
    let mut at = 0;
    points.retain(|_| {
        at += 1;
        !alone.get(at - 1).copied().unwrap_or_default()
    });
    let outliers = before - points.len();

    let nodes = sample::sample(&points, part.cell, lattice);
    let mut chunk = Chunk {
        cell: part.cell,
        tiles: Vec::new(),
        file: part.file.with_extension("top"),
        top: 0,
        depths: Vec::new(),
        error: 0.0,
        duplicates: duplicates as u64,
        outliers: outliers as u64,
    };
    let mut kept: Vec<Point> = Vec::new();
    let mut deeper: Vec<(u32, u64, Point)> = Vec::new();
    let mut own = Vec::new();
    for (cell, node) in &nodes {
        own.clear();
        own.extend(node.own.iter().map(|&i| points[i as usize]));
        if *cell == part.cell {
            chunk.error = node.error;
            chunk.top = own.len() as u64;
            kept.extend_from_slice(&own);
            continue;
        }
        chunk
            .tiles
            .push(tile(job, lattice, *cell, &own, node.error * lattice.step_m, write)?);
        deeper.extend(own.iter().map(|p| (cell.depth, p.chance(), *p)));
    }
    deeper.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count"
    )]
    let wanted = (points.len() as f64 * share).ceil() as usize;
    deeper.truncate(wanted.saturating_sub(kept.len()));
    for (depth, _, point) in deeper {
        kept.push(point);
        match chunk.depths.last_mut() {
            Some((last, count)) if *last == depth => *count += 1,
            _ => chunk.depths.push((depth, 1)),
        }
    }
    fs::write(&chunk.file, bytemuck::cast_slice::<Point, u8>(&kept)).map_err(|e| job.io(e))?;
    Ok(chunk)
}

/// A point of a deeper level, and that level.
pub(super) type Deeper = (u32, Point);

impl Chunk {
    /// The points left behind: those of the chunk's own cell, and deeper ones with their depths.
    pub(super) fn load(&self) -> Result<(Vec<Point>, Vec<Deeper>), Error> {
        let mut all = Vec::new();
        split::read(&self.file, &mut |block| {
            all.extend_from_slice(block);
            Ok(())
        })?;
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let rest = all.split_off(size(self.top).min(all.len()));
        let depths = self
            .depths
            .iter()
            .flat_map(|&(depth, count)| std::iter::repeat_n(depth, size(count)));
        Ok((all, depths.zip(rest).collect()))
    }
}

/// The order of places in which neighbours are near each other.
pub(super) fn order(lattice: &Lattice, cell: Cell, at: [u32; 3]) -> u64 {
    let local = (lattice.bits - cell.depth).min(31);
    let mask = u32::MAX.checked_shr(32 - local).unwrap_or(0);
    morton(at.map(|v| (v & mask) >> local.saturating_sub(21)))
}

/// Writes the tile of a cell, if tiles are wanted.
pub(super) fn tile(
    job: &Job,
    lattice: &Lattice,
    cell: Cell,
    points: &[Point],
    error_m: f64,
    wanted: bool,
) -> Result<Tile, Error> {
    let path = job.out().join("tiles").join(format!("{}.glb", cell.path()));
    let mut bytes = Vec::new();
    if wanted {
        bytes = glb::encode(lattice, points).map_err(|fault| crate::source::input(&path, "tile", fault))?;
        fs::write(&path, &bytes).map_err(|source| Error::Io {
            file: path.clone(),
            source,
        })?;
    }
    let (mut min, mut max) = ([u32::MAX; 3], [0; 3]);
    for point in points {
        for axis in 0..3 {
            min[axis] = min[axis].min(point.at[axis]);
            max[axis] = max[axis].max(point.at[axis]);
        }
    }
    Ok(Tile {
        cell,
        points: points.len() as u64,
        min,
        max,
        error_m,
        bytes: bytes.len() as u64,
        sha256: write::hash(&bytes),
    })
}

/// Points that are alone: in cubes of which most hold many points, these and the cubes around hold two at most. At the
/// chunk's faces, where the neighbours are not known, nothing is.
fn alone(lattice: &Lattice, cell: Cell, points: &[Point]) -> Vec<bool> {
    /// Points in a cube, on average.
    const MANY: usize = 24;
    let mut depth = cell.depth + 1;
    let mut cubes = Vec::new();
    loop {
        if depth > lattice.bits {
            return Vec::new();
        }
        let mut next: Vec<Cell> = points.iter().map(|p| Cell::of(p.at, depth, lattice.bits)).collect();
        next.sort_unstable();
        next.dedup();
        if next.len() * MANY > points.len() {
            break;
        }
        cubes = next;
        depth += 1;
    }
    depth -= 1;
    if cubes.is_empty() || depth == cell.depth {
        return Vec::new();
    }
    let mut counts = vec![0_u32; cubes.len()];
    let find = |cube: &Cell| cubes.binary_search(cube).ok();
    for point in points {
        if let Some(at) = find(&Cell::of(point.at, depth, lattice.bits)) {
            counts[at] += 1;
        }
    }
    let halvings = depth - cell.depth;
    let lone = |cube: &Cell| {
        let mut company = 0;
        for offset in 0..27_i64 {
            let step = [offset / 9 - 1, offset / 3 % 3 - 1, offset % 3 - 1];
            let mut there = *cube;
            for ((at, step), own) in there.at.iter_mut().zip(step).zip(cell.at) {
                let Ok(moved) = u32::try_from(i64::from(*at) + step) else {
                    return false;
                };
                *at = moved;
                if moved >> halvings != own {
                    return false;
                }
            }
            company += find(&there).map_or(0, |at| counts[at]);
        }
        company <= 2
    };
    let flags: Vec<bool> = cubes
        .iter()
        .zip(&counts)
        .map(|(cube, &n)| n <= 2 && lone(cube))
        .collect();
    let of = |p: &Point| find(&Cell::of(p.at, depth, lattice.bits)).is_some_and(|at| flags[at]);
    points.iter().map(of).collect()
}
