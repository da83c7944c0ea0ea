//! Turns scans into glTF scenes. This first version takes aerial and ground LiDAR as LAS or LAZ.
//!
//! Stages, each a function over plain data: [`read`] points, [`georef`] them to local metres, [`clean`] and thin,
//! [`surface`] them, write the scene.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod clean;
mod error;
mod foliage;
mod georef;
mod read;
mod surface;

use std::path::Path;

pub use error::Error;
pub use georef::{Frame, Lambert};
use glam::DVec3;
pub use read::DECODER_THREAD;
use tongyou_scene::Scene;

/// What an import may use and what it should make.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// A file with more points is refused.
    pub max_points: u64,
    /// Vertices to aim for; points are thinned until they fit.
    pub vertices: usize,
    /// A plain disc below the scan, so that the horizon is not empty. It is not part of the scan.
    pub base: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_points: 50_000_000,
            vertices: 50_000,
            base: true,
        }
    }
}

/// A point of a scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanPoint {
    /// In the file's own coordinates, or in local metres: east, north, up.
    pub position: DVec3,
    /// sRGB.
    pub color: [u8; 3],
}

/// What an import did.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Points in the file.
    pub points: usize,
    /// Points marked as noise, or alone in the air.
    pub outliers: usize,
    /// Points of the surface after thinning.
    pub kept: usize,
    /// Points of trees and shrubs, each drawn as a tuft.
    pub foliage: usize,
    /// Peaks and pits taken out of the surface.
    pub spikes: usize,
    /// Triangles of the surface and the tufts.
    pub triangles: usize,
    /// Side of the thinning grid in metres.
    pub cell_m: f64,
    /// Smallest corner in local metres: east, north, up.
    pub min: DVec3,
    /// Largest corner in local metres.
    pub max: DVec3,
    /// Where the scene's origin lies, where the file says so.
    pub frame: Frame,
}

/// Imports a LAS or LAZ file.
///
/// # Errors
/// [`Error`], naming the file and the fault. Hostile counts are not believed: memory follows what is really there.
pub fn import(path: &Path, name: &str, options: &Options) -> Result<(Scene, Report), Error> {
    let scan = read::points(path, options.max_points)?;
    let (frame, mut points) = georef::local(&scan, path)?;
    let all = points.len();
    clean::drop_lonely(&mut points);
    let outliers = scan.noise + all - points.len();
    let (min, max) = bounds(&points);
    let foliage = foliage::split(&mut points);
    let cell_m = clean::cell_for(&points, options.vertices);
    clean::thin(&mut points, cell_m);
    let thinned = points.len();
    let spikes = clean::drop_spikes(&mut points, cell_m);
    let (scene, triangles) = surface::scene(&points, &foliage, cell_m, name, options.base, path)?;
    let points = all + scan.noise;
    Ok((
        scene,
        Report {
            points,
            outliers,
            kept: thinned - spikes,
            foliage: foliage.len(),
            spikes,
            triangles,
            cell_m,
            min,
            max,
            frame,
        },
    ))
}

fn bounds(points: &[ScanPoint]) -> (DVec3, DVec3) {
    let start = (DVec3::INFINITY, DVec3::NEG_INFINITY);
    points
        .iter()
        .fold(start, |(low, high), p| (low.min(p.position), high.max(p.position)))
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.max - self.min;
        writeln!(f, "frame     {}", self.frame)?;
        writeln!(
            f,
            "extent    {:.1} m east, {:.1} m north, {:.1} m up",
            size.x, size.y, size.z
        )?;
        writeln!(f, "points    {} read, {} outliers dropped", self.points, self.outliers)?;
        writeln!(
            f,
            "surface   {} points kept, one a {:.2} m cell, {} spikes removed",
            self.kept, self.cell_m, self.spikes
        )?;
        writeln!(f, "foliage   {} points drawn as tufts", self.foliage)?;
        write!(f, "triangles {}", self.triangles)
    }
}

#[cfg(test)]
mod tests;
