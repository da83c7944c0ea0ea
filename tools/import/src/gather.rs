//! Collects what a reader streams, until the stages after it work on chunks of their own.

use glam::DVec3;

use crate::data::{Chunk, Look, Part, Points, Splat};
use crate::read::{self, Limits};
use crate::source::Source;
use crate::{Error, ScanPoint};

/// Everything of one file.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) points: Points,
    pub(crate) splats: Vec<Splat>,
    pub(crate) parts: Vec<Part>,
    pub(crate) look: Look,
    pub(crate) warnings: Vec<String>,
}

/// Colour of a point that has none.
const GREY: [u8; 3] = [128; 3];

/// Reads a file whole.
pub(crate) fn gather(source: &Source, limits: &Limits) -> Result<Gathered, Error> {
    let mut out = Gathered::default();
    let (mut any_colors, mut all_normals) = (false, true);
    read::read(source, limits, &mut |chunk| {
        match chunk {
            Chunk::Points(points) => {
                any_colors |= !points.colors.is_empty();
                // A number for each point, or the chunks would no longer match.
                let before = out.points.positions.len();
                out.points.intensities.resize(before, 0.0);
                out.points.intensities.extend(points.intensities);
                if points.colors.is_empty() {
                    let grey = out.points.colors.len() + points.positions.len();
                    out.points.colors.resize(grey, GREY);
                }
                all_normals &= !points.normals.is_empty() || points.positions.is_empty();
                out.points.positions.extend(points.positions);
                out.points.colors.extend(points.colors);
                out.points.normals.extend(points.normals);
                out.points.noise += points.noise;
            }
            Chunk::Splats(splats) => out.splats.extend(splats),
            Chunk::Part(part) => out.parts.push(part),
            Chunk::Look(look) => out.look = look,
            Chunk::Warning(text) => {
                if out.warnings.len() < 100 && !out.warnings.contains(&text) {
                    out.warnings.push(text);
                }
            }
        }
        Ok(())
    })?;
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
    /// All positions, in the file's coordinates.
    pub(crate) fn positions(&self) -> impl Iterator<Item = DVec3> {
        let points = self.points.positions.iter().copied();
        let splats = self.splats.iter().map(|s| s.position.as_dvec3());
        points
            .chain(splats)
            .chain(self.parts.iter().flat_map(|p| p.positions.iter().copied()))
    }

    /// The points as those of a scan, at the places that `place` gives; points that have none are left out.
    pub(crate) fn placed(&self, place: impl Fn(DVec3) -> Option<DVec3>) -> Vec<ScanPoint> {
        let all = self.points.positions.iter().zip(&self.points.colors);
        all.filter_map(|(&p, &color)| {
            Some(ScanPoint {
                position: place(p)?,
                color,
            })
        })
        .collect()
    }
}
