//! The stages from spilled points to a tileset.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};

use glam::DVec3;
use serde::{Deserialize, Serialize};

use super::chunk::{self, Chunk, Tile};
use super::lattice::{Cell, Lattice, Point};
use super::sample::{FEW, Near};
use super::spill::{BLOCK, Spilled};
use super::split::{self, Counts, Part};
use super::tileset;
use crate::georef::Local;
use crate::job::Job;
use crate::progress::Progress;
use crate::{Error, Frame, ScanPoint, parallel};

/// Points of the scene that the server shows, at most.
pub(super) const SHOWN: usize = 400_000;
/// With fewer points in and around its cell of 1/128 of the scan a point is alone.
const COMPANY: u32 = 4;
/// Of the points that are left out at the top, one in so many is measured.
const MEASURED: usize = 4;

/// What a tileset is made with.
pub(crate) struct Settings<'a> {
    pub(crate) job: &'a Job,
    pub(crate) threads: usize,
    /// Metres west, south, east, north.
    pub(crate) crop: Option<[f64; 4]>,
    pub(crate) frame: &'a Frame,
    /// How far a point may move along an axis.
    pub(crate) precision_m: Option<f64>,
    /// Write tiles; else only the sample is made.
    pub(crate) write: bool,
    pub(crate) progress: &'a Progress,
}

/// A tileset that is written.
#[derive(Debug)]
pub(crate) struct Tiled {
    /// In the tiles.
    pub(crate) points: u64,
    pub(crate) tiles: usize,
    /// Bytes of all tiles.
    pub(crate) bytes: u64,
    pub(crate) duplicates: u64,
    pub(crate) outliers: u64,
    /// Outside of the crop, or without a place on Earth.
    pub(crate) outside: u64,
    /// How far points stand from where they were read, at most.
    pub(crate) moved_m: f64,
    /// An evenly thinned sample.
    pub(crate) sample: Vec<ScanPoint>,
    /// Corners in metres east, north, up.
    pub(crate) bounds: (DVec3, DVec3),
}

/// What is known once all points are sorted into chunks.
#[derive(Debug, Serialize, Deserialize)]
struct Sorted {
    lattice: Lattice,
    parts: Vec<Part>,
    points: u64,
    outliers: u64,
    outside: u64,
}

/// Writes `tileset.json` and `tiles/` of spilled points, each with the way to the scene's frame.
pub(crate) fn build(inputs: &[(Spilled, Local)], settings: &Settings<'_>) -> Result<Tiled, Error> {
    let Settings { job, progress, .. } = *settings;
    let sorted = match job.finished::<Sorted>("sorted") {
        Some(sorted) => sorted,
        None => {
            let sorted = sort(inputs, settings)?;
            job.finish("sorted", &sorted)?;
            sorted
        }
    };
    for (spilled, _) in inputs {
        // Sorted points have taken its place.
        let _ = fs::remove_file(&spilled.file);
    }
    if sorted.parts.is_empty() {
        return Err(Error::Option {
            option: "--crop",
            fault: "no point is left".into(),
        });
    }
    if settings.write {
        fs::create_dir_all(job.out().join("tiles")).map_err(|e| job.io(e))?;
    }
    progress.stage("tiles", sorted.points);
    let lattice = sorted.lattice;
    #[expect(clippy::cast_precision_loss, reason = "a share of points")]
    let share = (SHOWN as f64 / sorted.points.max(1) as f64).min(1.0);
    let chunks = parallel::map(settings.threads, &sorted.parts, |_, part| {
        let stage = format!("chunk-{}", part.cell.path());
        let chunk = match job.finished::<Chunk>(&stage) {
            Some(chunk) => chunk,
            None => {
                let chunk = chunk::make(job, &lattice, part, share, settings.write)?;
                job.finish(&stage, &chunk)?;
                chunk
            }
        };
        // Thinned points have taken its place.
        let _ = fs::remove_file(&part.file);
        progress.advance(part.points);
        Ok(chunk)
    })?;
    top(&sorted, chunks, settings)
}

/// Where points may lie: the box around all inputs in the scene's frame.
fn extent(inputs: &[(Spilled, Local)], crop: Option<[f64; 4]>) -> Option<(DVec3, DVec3)> {
    let (mut min, mut max) = (DVec3::INFINITY, DVec3::NEG_INFINITY);
    for (spilled, local) in inputs.iter().filter(|(s, _)| s.points > 0) {
        let (from, to) = (DVec3::from(spilled.min), DVec3::from(spilled.max));
        // Edges of a box bend on their way to the frame.
        for i in 0..17 * 17 * 17 {
            let share = DVec3::new(f64::from(i / 289), f64::from(i / 17 % 17), f64::from(i % 17)) / 16.0;
            if let Some(p) = local.place(from + (to - from) * share) {
                (min, max) = (min.min(p), max.max(p));
            }
        }
    }
    if let Some([west, south, east, north]) = crop {
        (min.x, min.y) = (min.x.max(west), min.y.max(south));
        (max.x, max.y) = (max.x.min(east), max.y.min(north));
    }
    (min.cmple(max).all() && min.is_finite() && max.is_finite()).then_some((min, max))
}

/// Places all points and sorts them into chunks.
fn sort(inputs: &[(Spilled, Local)], settings: &Settings<'_>) -> Result<Sorted, Error> {
    let Settings { job, progress, .. } = *settings;
    let Some((min, max)) = extent(inputs, settings.crop) else {
        return Err(Error::Option {
            option: "--crop",
            fault: "no point is left".into(),
        });
    };
    let lattice = Lattice::around(min, max, settings.precision_m);
    let all: u64 = inputs.iter().map(|(s, _)| s.points).sum();
    progress.stage("place points", all);
    let path = job.path("placed");
    let mut writer = BufWriter::with_capacity(1 << 18, File::create(&path).map_err(|e| job.io(e))?);
    let mut counts = Counts::below(Cell::WHOLE, lattice.bits);
    let (mut points, mut outside) = (0_u64, 0_u64);
    for (spilled, local) in inputs {
        let mut blocks = spilled.blocks()?;
        loop {
            let mut batch = Vec::with_capacity(settings.threads);
            while batch.len() < settings.threads {
                let block = blocks.next()?;
                if block.is_empty() {
                    break;
                }
                batch.push(block);
            }
            if batch.is_empty() {
                break;
            }
            let placed = parallel::map(settings.threads, &batch, |_, block| {
                let mut out = Vec::with_capacity(BLOCK);
                for raw in block {
                    let place = local.place(raw.position.into());
                    let place = place.filter(|p| {
                        settings
                            .crop
                            .is_none_or(|[w, s, e, n]| (w..=e).contains(&p.x) && (s..=n).contains(&p.y))
                    });
                    out.extend(place.and_then(|p| lattice.point(p, spilled.color(raw))));
                }
                Ok(out)
            })?;
            for (block, raw) in placed.iter().zip(&batch) {
                block.iter().for_each(|p: &Point| counts.add(p.at));
                writer.write_all(bytemuck::cast_slice(block)).map_err(|e| job.io(e))?;
                points += block.len() as u64;
                outside += (raw.len() - block.len()) as u64;
                progress.advance(raw.len() as u64);
            }
        }
    }
    writer.flush().map_err(|e| job.io(e))?;
    drop(writer);
    progress.stage("sort points", points);
    let (parts, outliers) = split::split(job, &lattice, &path, counts, COMPANY, &|n| progress.advance(n))?;
    Ok(Sorted {
        lattice,
        parts,
        points,
        outliers,
        outside,
    })
}

/// Shares the chunks' own points out among the cells above them, writes those tiles and the tileset.
fn top(sorted: &Sorted, chunks: Vec<Chunk>, settings: &Settings<'_>) -> Result<Tiled, Error> {
    let Settings { job, progress, .. } = *settings;
    let lattice = sorted.lattice;
    progress.stage("upper tiles", 0);
    // Points that may go up: with the chunk they come from, in an order without a pattern.
    let mut left: Vec<(u64, u32, Point)> = Vec::new();
    let mut deeper: Vec<(u32, u64, Point)> = Vec::new();
    for (number, chunk) in (0_u32..).zip(&chunks) {
        let (own, more) = chunk.load()?;
        left.extend(own.into_iter().map(|p| (p.chance(), number, p)));
        deeper.extend(more.into_iter().map(|(depth, p)| (depth, p.chance(), p)));
    }
    left.sort_unstable();
    deeper.sort_unstable();
    let deepest = chunks.iter().map(|c| c.cell.depth).max().unwrap_or_default();
    let mut own: BTreeMap<Cell, (Vec<Point>, f64)> = BTreeMap::new();
    let mut taken: Vec<Point> = Vec::new();
    // Levels in which a single cell holds all add nothing.
    let common = (0..=deepest)
        .take_while(|&depth| {
            let mut cells = chunks
                .iter()
                .filter(|c| c.cell.depth >= depth)
                .map(|c| c.cell.ancestor(depth));
            let first = cells.next();
            chunks.iter().all(|c| c.cell.depth >= depth) && cells.all(|c| Some(c) == first)
        })
        .last()
        .unwrap_or_default();
    for depth in common..deepest {
        let mut near = Near::new(&lattice, depth);
        taken.iter().for_each(|p| near.add(p.at));
        // In place: these are most of what is in memory.
        left.retain(|&(_, number, point)| {
            if chunks[number as usize].cell.depth <= depth || near.is_taken(point.at) {
                return true;
            }
            near.add(point.at);
            taken.push(point);
            let cell = Cell::of(point.at, depth, lattice.bits);
            own.entry(cell).or_default().0.push(point);
            false
        });
        for (_, number, point) in left.iter().step_by(MEASURED) {
            let chunk = &chunks[*number as usize];
            if chunk.cell.depth > depth {
                let node = own.entry(Cell::of(point.at, depth, lattice.bits)).or_default();
                // What lies below the chunk stands at most its own error farther.
                #[expect(clippy::cast_precision_loss, reason = "steps within a cell")]
                let apart = (near.nearest(point.at) as f64).sqrt() + chunk.error;
                node.1 = node.1.max(apart);
            }
        }
    }
    let mut sample = taken;
    let mut last: Vec<(u32, u64, Point)> = Vec::new();
    for (chance, number, point) in left {
        let chunk = &chunks[number as usize];
        let node = own.entry(chunk.cell).or_default();
        node.0.push(point);
        node.1 = chunk.error;
        last.push((chunk.cell.depth, chance, point));
    }
    let mut tiles: BTreeMap<Cell, Tile> = chunks
        .iter()
        .flat_map(|c| c.tiles.iter().map(|t| (t.cell, t.clone())))
        .collect();
    // Too few for a tile, and nothing below: they stay with the cell above.
    let inner: std::collections::BTreeSet<Cell> = tiles.keys().chain(own.keys()).map(|c| c.parent()).collect();
    let small: Vec<Cell> = own
        .iter()
        .filter(|(cell, (points, _))| {
            points.len() < FEW && !inner.contains(cell) && cell.depth > common && own.contains_key(&cell.parent())
        })
        .map(|(cell, _)| *cell)
        .collect();
    for cell in small {
        if let Some((points, _)) = own.remove(&cell)
            && let Some(above) = own.get_mut(&cell.parent())
        {
            above.0.extend(points);
        }
    }
    let work: Vec<(Cell, Vec<Point>, f64)> = own
        .into_iter()
        .map(|(cell, (points, error))| (cell, points, error))
        .collect();
    let upper = parallel::map(settings.threads, &work, |_, (cell, points, error)| {
        let mut points = points.clone();
        points.sort_unstable_by_key(|p| (chunk::order(&lattice, *cell, p.at), *p));
        chunk::tile(job, &lattice, *cell, &points, error * lattice.step_m, settings.write)
    })?;
    drop(work);
    tiles.extend(upper.into_iter().map(|t| (t.cell, t)));
    if settings.write {
        let json = tileset::json(&tiles, &lattice, settings.frame);
        let mut text = serde_json::to_vec(&json).map_err(|e| job.io(e.into()))?;
        text.push(b'\n');
        fs::write(job.out().join("tileset.json"), &text).map_err(|e| job.io(e))?;
    }

    last.extend(deeper);
    last.sort_unstable();
    sample.extend(last.into_iter().map(|(_, _, p)| p));
    sample.truncate(SHOWN);
    let place = |p: &Point| ScanPoint {
        position: lattice.position(p.at),
        color: p.rgb,
    };
    let (min, max) = tiles.values().fold(([u32::MAX; 3], [0; 3]), |(a, b), t| {
        (
            [0, 1, 2].map(|i| a[i].min(t.min[i])),
            [0, 1, 2].map(|i| b[i].max(t.max[i])),
        )
    });
    Ok(Tiled {
        points: tiles.values().map(|t| t.points).sum(),
        tiles: tiles.len(),
        bytes: tiles.values().map(|t| t.bytes).sum(),
        duplicates: chunks.iter().map(|c| c.duplicates).sum(),
        outliers: sorted.outliers + chunks.iter().map(|c| c.outliers).sum::<u64>(),
        outside: sorted.outside,
        moved_m: lattice.step_m * 0.75_f64.sqrt(),
        sample: sample.iter().map(place).collect(),
        bounds: (lattice.position(min), lattice.position(max)),
    })
}
