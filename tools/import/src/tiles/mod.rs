//! Points that are too many for one file or for memory: an octree on disk, each node a sparser sample of what lies
//! below it, written as 3D Tiles 1.1.
//!
//! Points go from a spill file in the inputs' own coordinates to a grid of whole steps ([`lattice`]), are sorted into
//! chunks that fit into memory ([`split`]), thinned level by level so that none stands nearer to another than the
//! level's distance ([`sample`]), and joined at the top ([`build`]). Every finished chunk survives a crash.

mod build;
mod chunk;
mod glb;
pub(crate) mod lattice;
mod sample;
pub(crate) mod spill;
mod split;
mod tileset;

pub(crate) use build::{Settings, build};

/// Bytes of memory that tiling so many points takes on so many threads.
pub(crate) fn memory(points: u64, threads: usize) -> u64 {
    // A chunk and its sample for each thread; the cells' counts and the buffers while points are sorted; points that
    // may go up (measured on a plain: one in seven); the sample that becomes the scene.
    let chunk = split::MOST * 130;
    let sorting = 56 << 20;
    let upper = points / 7 * 112;
    let scene = build::SHOWN as u64 * 300;
    (chunk * threads as u64).max(sorting).max(upper).max(scene) + (points / 1000)
}

/// Bytes of disk that tiling so many points takes while it runs, what comes of it included.
pub(crate) fn disk(points: u64) -> u64 {
    // As read and as placed, for a while both.
    points * 48 + points * 8
}
