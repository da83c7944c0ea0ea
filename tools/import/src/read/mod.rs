//! Reads every format as a stream of chunks. Counts in a file are promises that are checked, never allocations.

mod e57;
mod embedded;
mod gltf;
mod las;
mod mtl;
mod obj;
mod osgb;
mod ply;
mod prepare;
mod spz;
mod stl;
mod text;
mod tiles;

use std::path::Path;

use crate::data::{Chunk, Points, Splat, Summary};
use crate::georef::Crs;
use crate::source::Source;
use crate::{Error, Format};

/// Name of the thread that decodes; its panics are errors of the file.
pub const DECODER_THREAD: &str = "scan-decoder";

/// Points or splats in a chunk.
const CHUNK: usize = 1 << 16;

/// What may be read before a file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Points or splats.
    pub points: u64,
    /// Triangles.
    pub triangles: u64,
    /// Vertices of meshes.
    pub vertices: u64,
    /// Pixels of all images together.
    pub pixels: u64,
    /// Pixels across or down in one image.
    pub image_side: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            points: 50_000_000,
            triangles: 40_000_000,
            vertices: 40_000_000,
            pixels: 512 << 20,
            image_side: 16_384,
        }
    }
}

/// Where chunks go.
pub type Sink<'a> = dyn FnMut(Chunk) -> Result<(), Error> + Send + 'a;

/// Says what is in a file, reading no more of it than that takes.
///
/// # Errors
/// [`Error`], naming file, place and fault.
pub fn inspect(path: &Path) -> Result<Summary, Error> {
    let source = Source::open(path)?;
    let mut out = guarded(&source, || match source.format {
        Format::Las => las::inspect(&source),
        Format::Ply => ply::inspect(&source),
        Format::Obj => obj::inspect(&source),
        Format::Stl => stl::inspect(&source),
        Format::Glb | Format::Gltf => gltf::inspect(&source),
        Format::E57 => e57::inspect(&source),
        Format::Pts | Format::Xyz => text::inspect(&source),
        Format::Spz | Format::Spz4 => spz::inspect(&source),
        Format::Tileset | Format::B3dm | Format::Pnts | Format::Cmpt => tiles::inspect(&source),
        Format::Osgb => osgb::inspect(&source),
    })?;
    let stated = out.crs.as_deref().map(Crs::parse);
    match stated {
        Some(Err(fault)) => out
            .warnings
            .push(format!("the coordinate system can not be used: {fault}")),
        Some(Ok(crs)) => {
            let middle = out.bounds.map(|b| (b.min + b.max) / 2.0);
            match middle.map(|m| crs.lat_lon(m.x, m.y, m.z)) {
                Some(Some((lat, lon, _))) => out.place = Some((lat, lon)),
                Some(None) => out
                    .warnings
                    .push(format!("the coordinates have no place in {}", crs.name)),
                None => {}
            }
        }
        None => {}
    }
    Ok(out)
}

/// Reads a file from beginning to end, handing on chunks as they come.
///
/// # Errors
/// [`Error`], naming file, place and fault; or what `sink` returned.
pub fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    guarded(source, || match source.format {
        Format::Las => las::read(source, limits, sink),
        Format::Ply => ply::read(source, limits, sink),
        Format::Obj => obj::read(source, limits, sink),
        Format::Stl => stl::read(source, limits, sink),
        Format::Glb | Format::Gltf => gltf::read(source, limits, sink),
        Format::E57 => e57::read(source, limits, sink),
        Format::Pts | Format::Xyz => text::read(source, limits, sink),
        Format::Spz | Format::Spz4 => spz::read(source, limits, sink),
        Format::Tileset | Format::B3dm | Format::Pnts | Format::Cmpt => tiles::read(source, limits, sink),
        Format::Osgb => osgb::read(source, limits, sink),
    })
}

/// Runs a decoder on a thread of its own: decoders of others assert what a damaged file breaks, and that must not
/// take the importer down.
fn guarded<T: Send>(source: &Source, decode: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(DECODER_THREAD.into())
            .stack_size(16 << 20);
        let handle = thread.spawn_scoped(scope, decode).map_err(|e| source.io(e))?;
        handle
            .join()
            .unwrap_or_else(|_| Err(source.fault("contents", "are damaged and can not be decoded")))
    })
}

/// Gathers points and hands them on in chunks.
struct PointBuffer<'a, 'b> {
    points: Points,
    sink: &'a mut Sink<'b>,
}

impl<'a, 'b> PointBuffer<'a, 'b> {
    fn new(sink: &'a mut Sink<'b>) -> Self {
        Self {
            points: Points::default(),
            sink,
        }
    }

    /// Hands the chunk on once it is full.
    fn turn(&mut self) -> Result<(), Error> {
        if self.points.positions.len() < CHUNK {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        let points = std::mem::take(&mut self.points);
        if points.positions.is_empty() && points.noise == 0 {
            return Ok(());
        }
        (self.sink)(Chunk::Points(points))
    }
}

/// Gathers splats and hands them on in chunks.
struct SplatBuffer<'a, 'b> {
    splats: Vec<Splat>,
    sink: &'a mut Sink<'b>,
}

impl SplatBuffer<'_, '_> {
    fn push(&mut self, splat: Splat) -> Result<(), Error> {
        self.splats.push(splat);
        if self.splats.len() < CHUNK / 8 {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        let splats = std::mem::take(&mut self.splats);
        if splats.is_empty() {
            return Ok(());
        }
        (self.sink)(Chunk::Splats(splats))
    }
}
