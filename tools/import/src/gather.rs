//! Collects what a reader streams: in memory what fits, on disk points that are too many.

use std::path::PathBuf;

use glam::DVec3;

use crate::Error;
use crate::budget::{IN_MEMORY, Need};
use crate::data::{Chunk, Look, Part, Points, Splat};
use crate::progress::Progress;
use crate::read::{self, Limits};
use crate::source::Source;
use crate::tiles::spill::{Spill, Spilled};

/// Everything of one file.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) points: Points,
    pub(crate) splats: Vec<Splat>,
    pub(crate) parts: Vec<Part>,
    pub(crate) look: Look,
    pub(crate) warnings: Vec<String>,
    /// Points that were too many for memory; then `points` is empty.
    pub(crate) spilled: Option<Spilled>,
}

/// What all inputs of an import share.
pub(crate) struct Room<'a> {
    /// What is in memory so far.
    pub(crate) need: Need,
    /// Bytes that must not be passed; 0 for no limit.
    pub(crate) limit: u64,
    pub(crate) limits: &'a Limits,
    pub(crate) progress: &'a Progress,
}

/// Colour of a point that has none.
const GREY: [u8; 3] = [128; 3];

/// Reads a file whole. With more points than memory should hold they go to `spill`.
pub(crate) fn gather(source: &Source, room: &mut Room<'_>, spill_to: Option<PathBuf>) -> Result<Gathered, Error> {
    let mut out = Gathered::default();
    let (mut any_colors, mut all_normals) = (false, true);
    let mut spill: Option<Spill> = None;
    let name = source.path.display().to_string();
    read::read(source, room.limits, &mut |chunk| {
        match chunk {
            Chunk::Points(points) => {
                let count = points.positions.len() as u64;
                room.progress.advance(count);
                any_colors |= !points.colors.is_empty();
                all_normals &= !points.normals.is_empty() || points.positions.is_empty();
                if spill.is_none()
                    && let Some(path) = &spill_to
                    && room.need.points + count > IN_MEMORY
                {
                    let mut begun = Spill::create(path)?;
                    let mut before = std::mem::take(&mut out.points);
                    room.need.points -= before.positions.len() as u64;
                    if !any_colors {
                        before.colors.clear();
                    }
                    begun.add(&before)?;
                    spill = Some(begun);
                }
                if let Some(spill) = &mut spill {
                    return spill.add(&points);
                }
                room.need.points += count;
                room.need.check(room.limit, &name)?;
                // A number for each point, or the chunks would no longer match.
                let before = out.points.positions.len();
                out.points.intensities.resize(before, 0.0);
                out.points.intensities.extend(points.intensities);
                if points.colors.is_empty() {
                    let grey = out.points.colors.len() + points.positions.len();
                    out.points.colors.resize(grey, GREY);
                }
                out.points.positions.extend(points.positions);
                out.points.colors.extend(points.colors);
                out.points.normals.extend(points.normals);
                out.points.noise += points.noise;
            }
            Chunk::Splats(splats) => {
                room.progress.advance(splats.len() as u64);
                room.need.splats += splats.len() as u64;
                room.need.check(room.limit, &name)?;
                out.splats.extend(splats);
            }
            Chunk::Part(part) => {
                room.progress.advance(part.positions.len() as u64);
                room.need.vertices += part.positions.len() as u64;
                room.need.triangles += part.indices.len() as u64 / 3;
                room.need.check(room.limit, &name)?;
                out.parts.push(part);
            }
            Chunk::Look(look) => {
                room.need.pixels += look.images.iter().map(|i| i.pixels.len() as u64 / 4).sum::<u64>();
                room.need.check(room.limit, &name)?;
                out.look = look;
            }
            Chunk::Warning(text) => {
                if out.warnings.len() < 100 && !out.warnings.contains(&text) {
                    out.warnings.push(text);
                }
            }
        }
        Ok(())
    })?;
    if let Some(spill) = spill {
        if all_normals {
            out.warnings
                .push("tiles of points have no normals: those of the file are left out".into());
        }
        out.spilled = Some(spill.end(&out.warnings)?);
        return Ok(out);
    }
    if !all_normals {
        out.points.normals.clear();
    }
    out.points.intensities.resize(out.points.positions.len(), 0.0);
    if !any_colors {
        greys(&mut out.points);
    }
    out.points.intensities = Vec::new();
    let there =
        out.points.positions.len() + out.splats.len() + out.parts.iter().map(|p| p.indices.len()).sum::<usize>();
    if there == 0 {
        return Err(source.fault("file", "has nothing to show"));
    }
    Ok(out)
}

/// Colours points by their intensities, between the ones that a few of a hundred lie below and above.
fn greys(points: &mut Points) {
    let mut sorted: Vec<f32> = points.intensities.iter().copied().filter(|i| i.is_finite()).collect();
    if sorted.is_empty() {
        return;
    }
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |share: usize| sorted[(sorted.len() - 1) * share / 100];
    let (dark, bright) = (at(2), at(98));
    if bright <= dark {
        return;
    }
    let grey = |&i: &f32| {
        // Not down to black: what gives no echo is not without colour.
        let share = f64::from(((i - dark) / (bright - dark)).clamp(0.0, 1.0));
        [crate::color::byte(0.2 + 0.7 * share); 3]
    };
    points.colors = points.intensities.iter().map(grey).collect();
}

impl Gathered {
    /// What an earlier run left of an input that has nothing but points.
    pub(crate) fn again(spilled: Spilled) -> Self {
        Self {
            warnings: spilled.warnings.clone(),
            spilled: Some(spilled),
            ..Self::default()
        }
    }

    /// Puts points that are in memory to the others on disk.
    pub(crate) fn spill(&mut self, path: PathBuf) -> Result<(), Error> {
        if self.points.positions.is_empty() {
            return Ok(());
        }
        let mut spill = Spill::create(&path)?;
        spill.add(&std::mem::take(&mut self.points))?;
        self.spilled = Some(spill.end(&self.warnings)?);
        Ok(())
    }

    /// All positions, in the file's coordinates; of points on disk only the corners of the box around them.
    pub(crate) fn positions(&self) -> impl Iterator<Item = DVec3> {
        let points = self.points.positions.iter().copied();
        let splats = self.splats.iter().map(|s| s.position.as_dvec3());
        let spilled = self.spilled.iter().flat_map(|s| [s.min, s.max]).map(DVec3::from);
        spilled
            .chain(points)
            .chain(splats)
            .chain(self.parts.iter().flat_map(|p| p.positions.iter().copied()))
    }
}
