//! Points of an input on disk as they were read, and what must be known of all before any can be placed.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytemuck::{Pod, Zeroable};
use glam::DVec3;
use serde::{Deserialize, Serialize};

use crate::data::Points;
use crate::{Error, color};

/// A point in its file's coordinates.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Raw {
    pub(crate) position: [f64; 3],
    pub(crate) intensity: f32,
    pub(crate) rgb: [u8; 3],
    /// 1 where `rgb` is one.
    pub(crate) colored: u8,
}

/// Points in a block that is read at once.
pub(crate) const BLOCK: usize = 1 << 15;
/// Values kept of a long row of them.
const KEPT: usize = 1 << 16;
/// Colour of a point that has none.
const GREY: [u8; 3] = [128; 3];

/// Every nth value of a row, so many that they tell how the values are spread. The same row gives the same values.
#[derive(Debug)]
struct Spread<T> {
    kept: Vec<T>,
    every: u64,
    seen: u64,
}

impl<T: Copy> Spread<T> {
    fn new() -> Self {
        Self {
            kept: Vec::new(),
            every: 1,
            seen: 0,
        }
    }

    fn push(&mut self, value: T) {
        if self.seen.is_multiple_of(self.every) {
            self.kept.push(value);
            if self.kept.len() == KEPT {
                let mut at = 0;
                self.kept.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                self.every *= 2;
            }
        }
        self.seen += 1;
    }

    /// The value that a share of the others lies below.
    fn quantile(&mut self, share: f64, order: impl FnMut(&T, &T) -> std::cmp::Ordering) -> Option<T> {
        if self.kept.is_empty() {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length"
        )]
        let at = ((self.kept.len() - 1) as f64 * share) as usize;
        Some(*self.kept.select_nth_unstable_by(at, order).1)
    }
}

/// What is known of an input's points once all are on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spilled {
    pub(crate) file: PathBuf,
    pub(crate) points: u64,
    /// Left out because the file marks them.
    pub(crate) noise: u64,
    /// In the file's coordinates.
    pub(crate) min: [f64; 3],
    pub(crate) max: [f64; 3],
    /// A place at the height that a tenth of the points lie below, measured along y and along z.
    pub(crate) low_y: [f64; 3],
    pub(crate) low_z: [f64; 3],
    /// Some point has a colour; then those without are grey, else intensities make them.
    pub(crate) colored: bool,
    /// Intensities that few lie below and above.
    pub(crate) dark: f32,
    pub(crate) bright: f32,
    pub(crate) warnings: Vec<String>,
}

impl Spilled {
    /// The colour of a point.
    pub(crate) fn color(&self, raw: &Raw) -> [u8; 3] {
        if self.colored || self.bright <= self.dark {
            return if raw.colored == 1 { raw.rgb } else { GREY };
        }
        // Not down to black: what gives no echo is not without colour.
        let share = f64::from(((raw.intensity - self.dark) / (self.bright - self.dark)).clamp(0.0, 1.0));
        [color::byte(0.2 + 0.7 * share); 3]
    }

    /// Reads the points in blocks; `each` gets the number of the first.
    pub(crate) fn blocks(&self) -> Result<Blocks, Error> {
        let file = File::open(&self.file).map_err(|e| io(&self.file, e))?;
        Ok(Blocks {
            path: self.file.clone(),
            reader: BufReader::with_capacity(1 << 16, file),
            left: self.points,
        })
    }
}

/// Reads a spill file from beginning to end.
pub(crate) struct Blocks {
    path: PathBuf,
    reader: BufReader<File>,
    left: u64,
}

impl Blocks {
    /// The next points; empty at the end.
    pub(crate) fn next(&mut self) -> Result<Vec<Raw>, Error> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(BLOCK);
        let mut out = vec![Raw::zeroed(); count];
        self.reader
            .read_exact(bytemuck::cast_slice_mut(&mut out))
            .map_err(|e| io(&self.path, e))?;
        self.left -= count as u64;
        Ok(out)
    }
}

/// Writes the points of an input to disk as they come.
pub(crate) struct Spill {
    path: PathBuf,
    writer: BufWriter<File>,
    out: Spilled,
    along_y: Spread<[f64; 3]>,
    along_z: Spread<[f64; 3]>,
    intensities: Spread<f32>,
}

impl Spill {
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|e| io(path, e))?;
        Ok(Self {
            path: path.to_owned(),
            writer: BufWriter::with_capacity(1 << 18, file),
            out: Spilled {
                file: path.to_owned(),
                points: 0,
                noise: 0,
                min: [f64::INFINITY; 3],
                max: [f64::NEG_INFINITY; 3],
                low_y: [0.0; 3],
                low_z: [0.0; 3],
                colored: false,
                dark: 0.0,
                bright: 0.0,
                warnings: Vec::new(),
            },
            along_y: Spread::new(),
            along_z: Spread::new(),
            intensities: Spread::new(),
        })
    }

    /// Adds a chunk.
    pub(crate) fn add(&mut self, points: &Points) -> Result<(), Error> {
        self.out.noise += points.noise;
        self.out.colored |= !points.colors.is_empty();
        let (mut min, mut max) = (DVec3::from(self.out.min), DVec3::from(self.out.max));
        for (at, position) in points.positions.iter().enumerate() {
            (min, max) = (min.min(*position), max.max(*position));
            let place = position.to_array();
            self.along_y.push(place);
            self.along_z.push(place);
            let intensity = points.intensities.get(at).copied();
            if let Some(intensity) = intensity.filter(|i| i.is_finite()) {
                self.intensities.push(intensity);
            }
            let raw = Raw {
                position: place,
                intensity: intensity.unwrap_or_default(),
                rgb: points.colors.get(at).copied().unwrap_or(GREY),
                colored: u8::from(at < points.colors.len()),
            };
            self.writer
                .write_all(bytemuck::bytes_of(&raw))
                .map_err(|e| io(&self.path, e))?;
        }
        (self.out.min, self.out.max) = (min.to_array(), max.to_array());
        self.out.points += points.positions.len() as u64;
        Ok(())
    }

    /// All points are there.
    pub(crate) fn end(mut self, warnings: &[String]) -> Result<Spilled, Error> {
        self.writer.flush().map_err(|e| io(&self.path, e))?;
        let by = |axis: usize| move |a: &[f64; 3], b: &[f64; 3]| a[axis].total_cmp(&b[axis]);
        self.out.low_y = self.along_y.quantile(0.1, by(1)).unwrap_or_default();
        self.out.low_z = self.along_z.quantile(0.1, by(2)).unwrap_or_default();
        self.out.dark = self.intensities.quantile(0.02, f32::total_cmp).unwrap_or_default();
        self.out.bright = self.intensities.quantile(0.98, f32::total_cmp).unwrap_or_default();
        self.out.warnings = warnings.to_vec();
        Ok(self.out)
    }
}

fn io(file: &Path, source: std::io::Error) -> Error {
    Error::Io {
        file: file.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(&folder.path().join("a")).unwrap();
        let count = 200_000_u32;
        for from in (0..count).step_by(1000) {
            let positions: Vec<DVec3> = (from..from + 1000)
                .map(|i| DVec3::new(f64::from(i) * 0.1, 1e7, f64::from(count - i)))
                .collect();
            let intensities = (from..from + 1000).map(|i| i as f32).collect();
            spill
                .add(&Points {
                    positions,
                    intensities,
                    noise: 1,
                    ..Points::default()
                })
                .unwrap();
        }
        let spilled = spill.end(&[]).unwrap();
        assert_eq!((spilled.points, spilled.noise, spilled.colored), (200_000, 200, false));
        assert!((spilled.low_z[2] - 20_000.0).abs() < 200.0, "{:?}", spilled.low_z);
        assert!((spilled.bright - 196_000.0).abs() < 2000.0, "{}", spilled.bright);
        let (mut blocks, mut seen) = (spilled.blocks().unwrap(), 0_u32);
        loop {
            let block = blocks.next().unwrap();
            if block.is_empty() {
                break;
            }
            for raw in &block {
                assert_eq!(raw.position[0].to_bits(), (f64::from(seen) * 0.1).to_bits());
                seen += 1;
            }
        }
        assert_eq!(seen, count);
    }
}
