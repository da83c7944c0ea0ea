//! Sorts points on disk into chunks: cells of the octree with so few points that one fits into memory.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use bytemuck::Zeroable;
use serde::{Deserialize, Serialize};

use super::lattice::{Cell, Lattice, POINT_BYTES, Point, morton};
use crate::Error;
use crate::job::Job;

/// A cell with more points is divided, unless all of them lie at one place.
pub(super) const MOST: u64 = 300_000;
/// Halvings that are counted at once: 128 cells a side.
const DEPTH: u32 = 7;
/// Bytes of all buffers together while points are sorted.
const BUFFERS: usize = 24 << 20;

/// A cell of the octree, its points in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) cell: Cell,
    pub(super) points: u64,
    pub(super) file: PathBuf,
}

/// Points of the cells [`DEPTH`] halvings below one.
pub(super) struct Counts {
    root: Cell,
    bits: u32,
    /// By level below the root, each in Morton order.
    levels: Vec<Vec<u32>>,
}

impl Counts {
    pub(super) fn below(root: Cell, bits: u32) -> Self {
        let deepest = DEPTH.min(bits - root.depth);
        Self {
            root,
            bits,
            levels: (0..=deepest).map(|level| vec![0; 1 << (3 * level)]).collect(),
        }
    }

    fn deepest(&self) -> u32 {
        u32::try_from(self.levels.len() - 1).unwrap_or_default()
    }

    /// The place of a point's cell at the deepest level.
    #[expect(clippy::cast_possible_truncation, reason = "21 bits")]
    fn index(&self, at: [u32; 3]) -> usize {
        let deepest = self.deepest();
        let shift = self.bits - self.root.depth - deepest;
        let mask = (1_u32 << deepest) - 1;
        morton(at.map(|v| v >> shift & mask)) as usize
    }

    pub(super) fn add(&mut self, at: [u32; 3]) {
        let index = self.index(at);
        if let Some(count) = self.levels.last_mut().and_then(|l| l.get_mut(index)) {
            *count += 1;
        }
    }

    /// Sums up the levels above the deepest.
    fn sum(&mut self) {
        for level in (1..self.levels.len()).rev() {
            let (above, below) = self.levels.split_at_mut(level);
            for (sum, eight) in above[level - 1].iter_mut().zip(below[0].as_chunks::<8>().0) {
                *sum = eight.iter().sum();
            }
        }
    }

    /// Cells with company of fewer than `least` others in them and the cells around, at the deepest level: whether a
    /// point is alone.
    pub(super) fn lonely(&self, least: u32) -> impl Fn(&Point) -> bool + use<'_> {
        let deepest = self.deepest();
        let side = 1_i64 << deepest;
        let shift = self.bits - self.root.depth - deepest;
        let mask = (1_u32 << deepest) - 1;
        let counts = &self.levels[deepest as usize];
        move |point| {
            if counts[self.index(point.at)] >= least {
                return false;
            }
            let [x, y, z] = point.at.map(|v| i64::from(v >> shift & mask));
            let mut company = 0;
            for dx in -1..=1 {
                for dy in -1..=1 {
                    for dz in -1..=1 {
                        let there = [x + dx, y + dy, z + dz];
                        if there.iter().all(|v| (0..side).contains(v)) {
                            let there = there.map(|v| u32::try_from(v).unwrap_or_default());
                            #[expect(clippy::cast_possible_truncation, reason = "21 bits")]
                            let index = morton(there) as usize;
                            company += counts[index];
                        }
                    }
                }
            }
            company < least
        }
    }

    /// The largest cells with at most [`MOST`] points, and those of the deepest level that have more.
    fn parts(&self) -> Vec<(Cell, u64)> {
        let mut out = Vec::new();
        let mut open = vec![(self.root, 0_usize, 0_usize)];
        while let Some((cell, level, index)) = open.pop() {
            let count = u64::from(self.levels[level][index]);
            if count == 0 {
                continue;
            }
            if count <= MOST || level + 1 == self.levels.len() {
                out.push((cell, count));
                continue;
            }
            open.extend(
                (0..8_u32)
                    .rev()
                    .map(|o| (cell.child(o), level + 1, index * 8 + o as usize)),
            );
        }
        out
    }
}

/// Reads points of a file in blocks.
pub(super) fn read(path: &Path, each: &mut dyn FnMut(&[Point]) -> Result<(), Error>) -> Result<(), Error> {
    let io = |source| Error::Io {
        file: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    let mut left = usize::try_from(file.metadata().map_err(io)?.len()).unwrap_or(usize::MAX) / POINT_BYTES;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut block = vec![Point::zeroed(); 1 << 14];
    while left > 0 {
        let count = left.min(block.len());
        reader
            .read_exact(bytemuck::cast_slice_mut(&mut block[..count]))
            .map_err(io)?;
        each(&block[..count])?;
        left -= count;
    }
    Ok(())
}

/// Sorts the points of a file into chunks, depth first, without those that have fewer than `least` others around them;
/// returns how many these are. The file is removed.
pub(super) fn split(
    job: &Job,
    lattice: &Lattice,
    from: &Path,
    mut counts: Counts,
    least: u32,
    done: &dyn Fn(u64),
) -> Result<(Vec<Part>, u64), Error> {
    counts.sum();
    let cells = counts.parts();
    // Which part each cell of the deepest level belongs to.
    let deepest = counts.deepest();
    let mut owner = vec![u32::MAX; 1 << (3 * deepest)];
    let base = counts.root;
    for (number, (cell, _)) in (0..).zip(&cells) {
        let level = cell.depth - base.depth;
        let local = cell.at.map(|v| v & ((1 << level) - 1));
        #[expect(clippy::cast_possible_truncation, reason = "21 bits")]
        let first = (morton(local) as usize) << (3 * (deepest - level));
        owner[first..first + (1 << (3 * (deepest - level)))].fill(number);
    }
    let paths: Vec<PathBuf> = cells
        .iter()
        .map(|(cell, _)| job.path(&format!("points-{}", cell.path())))
        .collect();
    for path in &paths {
        // Left over from a run that was killed; points are appended.
        let _ = fs::remove_file(path);
    }
    let room = (BUFFERS / cells.len().max(1) / POINT_BYTES).clamp(16, 4096);
    let mut buffers: Vec<Vec<Point>> = cells.iter().map(|_| Vec::new()).collect();
    let flush = |number: usize, buffer: &mut Vec<Point>| {
        let written = File::options()
            .append(true)
            .create(true)
            .open(&paths[number])
            .and_then(|mut file| file.write_all(bytemuck::cast_slice(buffer)));
        buffer.clear();
        written.map_err(|source| Error::Io {
            file: paths[number].clone(),
            source,
        })
    };
    let mut outliers = 0;
    let lonely = counts.lonely(least);
    read(from, &mut |points| {
        for point in points {
            if lonely(point) {
                outliers += 1;
                continue;
            }
            let number = owner[counts.index(point.at)] as usize;
            let Some(buffer) = buffers.get_mut(number) else {
                continue;
            };
            if buffer.capacity() == 0 {
                buffer.reserve_exact(room);
            }
            buffer.push(*point);
            if buffer.len() >= room {
                flush(number, buffer)?;
            }
        }
        done(points.len() as u64);
        Ok(())
    })?;
    for (number, buffer) in buffers.iter_mut().enumerate().filter(|(_, b)| !b.is_empty()) {
        flush(number, buffer)?;
    }
    drop((buffers, owner));
    let _ = fs::remove_file(from);
    let mut out = Vec::with_capacity(cells.len());
    for ((cell, points), file) in cells.into_iter().zip(paths) {
        if !file.exists() {
            // Nothing but outliers.
            continue;
        }
        if points <= MOST || cell.depth >= lattice.bits {
            out.push(Part { cell, points, file });
            continue;
        }
        // Very dense: once more within this cell.
        let renamed = file.with_extension("dense");
        fs::rename(&file, &renamed).map_err(|e| job.io(e))?;
        let mut counts = Counts::below(cell, lattice.bits);
        read(&renamed, &mut |points| {
            points.iter().for_each(|p| counts.add(p.at));
            Ok(())
        })?;
        out.extend(split(job, lattice, &renamed, counts, 0, &|_| {})?.0);
    }
    Ok((out, outliers))
}
