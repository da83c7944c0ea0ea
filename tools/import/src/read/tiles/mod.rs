//! 3D Tiles: a `tileset.json` with the files it names (glTF, b3dm, pnts, cmpt), or one b3dm, pnts or cmpt alone. The
//! finest tiles are read. What lies on Earth is handed on as degrees east, degrees north and metres of height.

mod content;
mod gltf;
mod points;
#[cfg(test)]
mod tests;
mod tree;

use std::path::Path;

use content::{Content, Kind};
use glam::{DMat3, DMat4, DVec3};

use super::{Limits, PointBuffer, Sink, mtl};
use crate::data::{Chunk, Look, Points, Summary};
use crate::georef::{Ellipsoid, Tangent};
use crate::source::{Source, input};
use crate::{Bounds, Error, Format, Up};

/// Bytes of one content file.
const MOST_CONTENT: u64 = 2 << 30;
/// Tiles of a cmpt within a cmpt.
const DEEPEST: usize = 8;
/// Degrees and ellipsoidal heights of WGS 84.
const ON_EARTH: &str = "EPSG:4979";
/// Distances from the Earth's centre at which scans are found.
const EARTH_M: std::ops::Range<f64> = 6.3e6..6.5e6;

pub(super) fn inspect(source: &Source) -> Result<Summary, Error> {
    let mut out = Summary::new(source.format, source.bytes);
    out.up = Up::Z;
    if source.format != Format::Tileset {
        let bytes = mtl::load(&source.path, MOST_CONTENT)?;
        let content = Content::parse(&bytes).map_err(|fault| source.fault("header", fault))?;
        out.flavour = format!("{} bytes of tables", content.tables);
        let center = content.center().map_err(|fault| source.fault("feature table", fault))?;
        out.attributes = content.attributes();
        out.counts = content.counts();
        if EARTH_M.contains(&center.length()) {
            let at = degrees(center);
            out.crs = Some(ON_EARTH.into());
            out.bounds = Bounds::around([at]).map(|b| Bounds { sampled: true, ..b });
        }
        return Ok(out);
    }
    let walk = tree::Walk::over(source)?;
    out.flavour = format!("version {}", walk.version);
    out.counts = vec![
        ("tiles", walk.tiles),
        ("tilesets", walk.sets),
        ("files", walk.contents.len() as u64),
    ];
    let earth = walk.on_earth();
    out.bounds = walk.bounds(earth);
    out.crs = earth.then(|| ON_EARTH.into());
    out.warnings = walk.warnings;
    Ok(out)
}

pub(super) fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    if source.format != Format::Tileset {
        let mut tiles = Tiles::new(limits, None, sink);
        tiles.file(&source.path, DMat4::IDENTITY)?;
        return tiles.finish(source);
    }
    let walk = tree::Walk::over(source)?;
    for warning in &walk.warnings {
        sink(Chunk::Warning(warning.clone()))?;
    }
    let mut tiles = Tiles::new(limits, Some(walk.on_earth()), sink);
    for (path, transform) in &walk.contents {
        tiles.file(path, *transform)?;
    }
    tiles.finish(source)
}

/// Degrees east, degrees north and height of earth-centred metres.
fn degrees(p: DVec3) -> DVec3 {
    let (lat, lon, height) = Ellipsoid::WGS84.degrees(p);
    DVec3::new(lon, lat, height)
}

/// What has been read of a set of tiles.
struct Tiles<'a, 'b> {
    /// What is left of the limits.
    limits: Limits,
    /// Whether positions are earth-centred; decided by the first content of a file without a tileset.
    earth: Option<bool>,
    look: Look,
    found: bool,
    sink: &'a mut Sink<'b>,
}

impl<'a, 'b> Tiles<'a, 'b> {
    fn new(limits: &Limits, earth: Option<bool>, sink: &'a mut Sink<'b>) -> Self {
        Self {
            limits: limits.clone(),
            earth,
            look: Look::default(),
            found: false,
            sink,
        }
    }

    fn finish(self, source: &Source) -> Result<(), Error> {
        if !self.found {
            return Err(source.fault("file", "has no tile with something to show"));
        }
        if self.look.materials.is_empty() {
            return Ok(());
        }
        (self.sink)(Chunk::Look(self.look))
    }

    /// Reads a file of any kind of content.
    fn file(&mut self, path: &Path, transform: DMat4) -> Result<(), Error> {
        let bytes = mtl::load(path, MOST_CONTENT)?;
        self.content(path, &bytes, transform, 0)
    }

    fn content(&mut self, path: &Path, bytes: &[u8], transform: DMat4, depth: usize) -> Result<(), Error> {
        let fault = |place: &str, fault: String| input(path, place, fault);
        let content = Content::parse(bytes).map_err(|f| fault("header", f))?;
        match content.kind {
            Kind::Composite if depth >= DEEPEST => {
                Err(fault("header", format!("is more than {DEEPEST} composites deep")))
            }
            Kind::Composite => {
                let inner = content.inner().map_err(|f| fault("tiles", f))?;
                inner
                    .into_iter()
                    .try_for_each(|inner| self.content(path, inner, transform, depth + 1))
            }
            Kind::Instances => {
                let text = format!("{}: instances (i3dm) are left out", path.display());
                (self.sink)(Chunk::Warning(text))
            }
            Kind::Points => {
                let center = content.center().map_err(|f| fault("feature table", f))?;
                let earth = self.decide(transform, center);
                let points = points::read(&content, self.limits.points).map_err(|f| fault("feature table", f))?;
                self.limits.points -= points.positions.len() as u64;
                self.points(path, points, transform * DMat4::from_translation(center), earth)
            }
            Kind::Batched | Kind::Gltf => {
                let center = content.center().map_err(|f| fault("feature table", f))?;
                let (scene, hitch) = gltf::scene(path, content.body, &self.limits)?;
                let earth = self.decide(transform, center + hitch);
                let transform = transform * DMat4::from_translation(center + hitch);
                self.meshes(path, scene, transform, earth)
            }
        }
    }

    fn decide(&mut self, transform: DMat4, center: DVec3) -> bool {
        let at = transform.transform_point3(center);
        *self.earth.get_or_insert(EARTH_M.contains(&at.length()))
    }

    fn meshes(&mut self, path: &Path, scene: tongyou_scene::Scene, transform: DMat4, earth: bool) -> Result<(), Error> {
        let pixels: u64 = scene.images.iter().map(|i| i.pixels.len() as u64 / 4).sum();
        self.limits.pixels = self.limits.pixels.saturating_sub(pixels);
        let (materials, images) = (self.look.materials.len(), self.look.images.len());
        for mut part in super::gltf::parts(&scene) {
            self.limits.vertices = self.limits.vertices.saturating_sub(part.positions.len() as u64);
            self.limits.triangles = self.limits.triangles.saturating_sub(part.indices.len() as u64 / 3);
            part.material = part.material.map(|m| m + materials);
            let mirrored = transform.determinant() < 0.0;
            if mirrored {
                part.indices
                    .as_chunks_mut::<3>()
                    .0
                    .iter_mut()
                    .for_each(|t| t.swap(1, 2));
            }
            place(path, &mut part.positions, &mut part.normals, transform, earth)?;
            self.found = true;
            (self.sink)(Chunk::Part(part))?;
        }
        self.look.images.extend(scene.images);
        self.look
            .materials
            .extend(scene.materials.into_iter().map(|mut material| {
                let slots = [
                    &mut material.base_color_texture,
                    &mut material.metallic_roughness_texture,
                    &mut material.normal_texture,
                    &mut material.emissive_texture,
                ];
                slots.into_iter().flatten().for_each(|image| *image += images);
                material
            }));
        Ok(())
    }

    fn points(&mut self, path: &Path, mut points: Points, transform: DMat4, earth: bool) -> Result<(), Error> {
        place(path, &mut points.positions, &mut points.normals, transform, earth)?;
        self.found |= !points.positions.is_empty();
        let mut out = PointBuffer::new(self.sink);
        out.points = points;
        out.flush()
    }
}

/// Moves positions and normals from the axes of a content to those of the set, or to degrees on Earth.
fn place(
    path: &Path,
    positions: &mut [DVec3],
    normals: &mut [glam::Vec3],
    transform: DMat4,
    earth: bool,
) -> Result<(), Error> {
    let linear = DMat3::from_mat4(transform);
    if !(transform.is_finite() && linear.determinant().abs() > 1e-12) {
        return Err(input(path, "transform", "is not finite or flattens space"));
    }
    let mut for_normals = linear.inverse().transpose();
    let mut middle = DVec3::ZERO;
    for position in positions.iter_mut() {
        *position = transform.transform_point3(*position);
        if !position.is_finite() {
            return Err(input(path, "positions", "are not finite once they are placed"));
        }
        if earth {
            if !EARTH_M.contains(&position.length()) {
                let fault = format!("lie {:.0} km from the Earth's centre", position.length() / 1000.0);
                return Err(input(path, "positions", fault));
            }
            middle = *position;
            *position = degrees(*position);
        }
    }
    if earth {
        // One frame is right for a tile: across a kilometre the vertical turns by half a minute.
        let at = degrees(middle);
        for_normals = Tangent::at(at.y, at.x, at.z).turn() * for_normals;
    }
    for normal in normals {
        *normal = (for_normals * normal.as_dvec3()).normalize_or(DVec3::Z).as_vec3();
    }
    Ok(())
}
