//! Turns scans into glTF scenes.
//!
//! Stages, each a module over plain data: [`detect`](Format) what a file is, [`read()`] it in chunks, place it on Earth
//! ([`georef`]), clean it, make a surface of points, [`simplify`] meshes, write. What a file says is never believed:
//! counts are compared with its size, numbers must be finite, indices must lead somewhere.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod add;
mod budget;
mod cells;
mod clean;
mod collide;
mod color;
mod data;
mod detect;
mod error;
mod finish;
pub mod fit;
mod gather;
pub mod georef;
mod import;
mod job;
mod measure;
mod parallel;
mod preview;
pub mod progress;
mod read;
mod report;
pub mod simplify;
mod source;
mod surface;
mod tiles;
mod validate;
pub mod write;

pub use add::{Added, Addition, add};
pub use budget::{Plan, default_memory, parse_memory};
pub use cells::Draft;
pub use data::{Bounds, Chunk, Look, Part, Points, Splat, Summary, Up};
pub use detect::Format;
pub use error::Error;
pub use finish::{CollisionFile, finish};
pub use georef::{Frame, Placement};
use glam::DVec3;
pub use import::{Run, import, import_all};
pub use job::Job;
pub use preview::{Angles, Picture, preview, walk};
pub use read::{DECODER_THREAD, Limits, Sink, inspect, read};
pub use report::{Ground, Meshes, Object, Report, Surfels, Tiles, Work};
pub use source::Source;
pub use validate::{Findings, validate};

/// What an import may use and what it should make.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// A file with more is refused.
    pub limits: Limits,
    /// Vertices or surfels to aim for when points are drawn; they are thinned until they fit.
    pub vertices: usize,
    /// A plain disc below a scan of ground, so that the horizon is not empty. It is not part of the scan.
    pub base: bool,
    /// How points become something that can be drawn.
    pub surface: Surface,
    /// Where the scan stands.
    pub placement: Placement,
    /// Detached pieces of a mesh with a smaller share of its area are left out; 0 keeps all.
    pub fragment_share: f64,
    /// How far a point of a tile may move along an axis in metres; by default half a millionth of the scan, and no
    /// more than half a millimetre.
    pub precision_m: Option<f64>,
    /// Threads to work on. The outcome does not depend on it.
    pub threads: usize,
    /// Bytes of memory that must not be passed; 0 for no limit.
    pub memory: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            vertices: 50_000,
            base: true,
            surface: Surface::Auto,
            placement: Placement::default(),
            fragment_share: 2e-4,
            precision_m: None,
            threads: parallel::cores(),
            memory: 0,
        }
    }
}

/// How points become something that can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Surface {
    /// [`Surface::Ground`] for what is wide and flat, else [`Surface::Surfels`].
    #[default]
    Auto,
    /// One surface over the plan, heights on top; what grows becomes tufts. For scans from the air.
    Ground,
    /// A closed surface around an object, by signed distances.
    Object,
    /// A small square for each point, turned as its neighbours lie. For objects and rooms.
    Surfels,
}

/// A point of a scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScanPoint {
    /// In local metres: east, north, up.
    pub position: DVec3,
    /// sRGB.
    pub color: [u8; 3],
}

fn bounds(points: &[ScanPoint]) -> (DVec3, DVec3) {
    let start = (DVec3::INFINITY, DVec3::NEG_INFINITY);
    points
        .iter()
        .fold(start, |(low, high), p| (low.min(p.position), high.max(p.position)))
}

#[cfg(test)]
mod tests;
