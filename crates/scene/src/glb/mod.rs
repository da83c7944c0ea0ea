//! Reads GLB and glTF files that nobody vouches for.
//!
//! The `gltf` crate gives the JSON types only: its importer and its validator can panic on hostile files, so every
//! index, count, offset and number is checked here, at the place where it is used.

mod accessor;
mod animation;
mod container;
mod ktx2;
mod material;
mod mesh;
mod nodes;
mod packed;
#[cfg(test)]
mod packed_tests;
#[cfg(test)]
mod tests;

use std::path::Path;

use glam::Vec3;
use gltf::json;
use json::validation::Checked;

use crate::{Error, Scene};

/// What a scene may cost; a file that asks for more is refused before anything that large is allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file and of each file beside it.
    pub file_bytes: u64,
    /// Nodes in the scene.
    pub nodes: u64,
    /// Vertices of all primitives together.
    pub vertices: u64,
    /// Triangles of all primitives together.
    pub triangles: u64,
    /// Pixels across or down in one image.
    pub image_side: u32,
    /// Pixels of all images together.
    pub pixels: u64,
    /// Punctual lights.
    pub lights: u64,
    /// Animation keys of all channels together.
    pub keys: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 512 << 20,
            nodes: 100_000,
            vertices: 20_000_000,
            triangles: 20_000_000,
            image_side: 8192,
            pixels: 128 << 20,
            lights: 4096,
            keys: 4_000_000,
        }
    }
}

/// Positions and translations beyond this are taken for damage: f32 has no centimetres left there.
const FARTHEST_M: f32 = 1.0e6;

const EXTENSIONS: [&str; 7] = [
    "EXT_meshopt_compression",
    "KHR_lights_punctual",
    "KHR_materials_emissive_strength",
    "KHR_materials_unlit",
    "KHR_mesh_quantization",
    "KHR_meshopt_compression",
    "KHR_texture_basisu",
];

/// Loads a `.glb` (or a `.gltf` whose buffers and images are plain files in the same folder).
///
/// # Errors
/// Anything wrong with the file is an [`Error`] that names file, place and fault; no input panics.
pub fn load_glb(path: &Path, limits: &Limits) -> Result<Scene, Error> {
    let bytes = container::read_limited(path, &path.display().to_string(), "file", limits)?;
    let name = path
        .file_stem()
        .map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    read(&bytes, &path.display().to_string(), &name, path.parent(), limits)
}

/// Reads a GLB from memory; it may not refer to other files. `name` is used in messages and as the scene's name.
///
/// # Errors
/// Anything wrong with the bytes is an [`Error`] that names place and fault; no input panics.
pub fn read_glb(bytes: &[u8], name: &str, limits: &Limits) -> Result<Scene, Error> {
    read(bytes, name, name, None, limits)
}

/// Reads the places of the points and Gaussian splats (`POINTS`) of a GLB, metres in the scene's space. A [`Scene`] has
/// triangles only.
///
/// # Errors
/// As [`read_glb`].
pub fn read_points(bytes: &[u8], name: &str, limits: &Limits) -> Result<Vec<Vec3>, Error> {
    let (root, blob) = container::parse(bytes, name)?;
    let mut source = Source::new(name, None, limits, &root, blob);
    source.load_buffers()?;
    source.unpack()?;
    let lights = source.lights()?.len();
    let nodes = source.nodes(lights)?.0;
    let scene = Scene {
        nodes,
        ..Scene::default()
    };
    source.check_world(&scene)?;
    let mut points = Vec::new();
    for (node, world) in scene.nodes.iter().zip(scene.world_from_nodes(0.0)) {
        if let Some(mesh) = node.mesh {
            points.extend(source.points(mesh)?.into_iter().map(|p| world.transform_point3(p)));
        }
    }
    Ok(points)
}

fn read(bytes: &[u8], file: &str, name: &str, folder: Option<&Path>, limits: &Limits) -> Result<Scene, Error> {
    let (root, blob) = container::parse(bytes, file)?;
    let mut source = Source::new(file, folder, limits, &root, blob);
    source.check_extensions()?;
    source.load_buffers()?;
    source.unpack()?;
    let images = source.images()?;
    let materials = source.materials()?;
    let lights = source.lights()?;
    let meshes = source.meshes()?;
    let (nodes, new_index) = source.nodes(lights.len())?;
    let animations = source.animations(&new_index)?;
    let scene = Scene {
        name: name.to_owned(),
        nodes,
        meshes,
        materials,
        images,
        lights,
        animations,
        local: source.local(&new_index),
    };
    source.check_world(&scene)?;
    Ok(scene)
}

/// The parsed file while it is being read.
struct Source<'a> {
    file: &'a str,
    folder: Option<&'a Path>,
    limits: &'a Limits,
    root: &'a json::Root,
    blob: Option<&'a [u8]>,
    buffers: Vec<std::borrow::Cow<'a, [u8]>>,
    /// By view: what was packed.
    unpacked: Vec<Option<packed::Unpacked>>,
    spent: Spent,
}

/// What has been used of the limits that count over the whole file.
#[derive(Default)]
struct Spent {
    vertices: u64,
    triangles: u64,
    pixels: u64,
    keys: u64,
}

impl<'a> Source<'a> {
    fn new(
        file: &'a str,
        folder: Option<&'a Path>,
        limits: &'a Limits,
        root: &'a json::Root,
        blob: Option<&'a [u8]>,
    ) -> Self {
        Self {
            file,
            folder,
            limits,
            root,
            blob,
            buffers: Vec::new(),
            unpacked: Vec::new(),
            spent: Spent::default(),
        }
    }

    fn fault(&self, place: impl Into<String>, fault: impl Into<String>) -> Error {
        Error::Scene {
            file: self.file.to_owned(),
            place: place.into(),
            fault: fault.into(),
        }
    }

    fn within(&self, place: &str, what: &'static str, count: u64, limit: u64) -> Result<(), Error> {
        if count <= limit {
            return Ok(());
        }
        Err(Error::Limit {
            file: self.file.to_owned(),
            place: place.to_owned(),
            what,
            count,
            limit,
        })
    }

    /// The value of a checked field, or an error that names it.
    fn valid<T: Copy>(&self, value: &Checked<T>, place: &str, field: &str) -> Result<T, Error> {
        match value {
            Checked::Valid(v) => Ok(*v),
            Checked::Invalid => Err(self.fault(place, format!("{field} has a value that glTF does not know"))),
        }
    }

    fn get<'r, T>(&self, list: &'r [T], index: usize, place: &str, what: &str) -> Result<&'r T, Error> {
        list.get(index).ok_or_else(|| {
            self.fault(
                place,
                format!("refers to {what} {index}, but the file has {} of them", list.len()),
            )
        })
    }

    fn check_extensions(&self) -> Result<(), Error> {
        for required in &self.root.extensions_required {
            if !EXTENSIONS.contains(&required.as_str()) {
                return Err(self.fault(
                    "extensionsRequired",
                    format!("{required:?} is not supported; supported: {EXTENSIONS:?}"),
                ));
            }
        }
        Ok(())
    }

    /// Scales and translations that are each acceptable can still multiply to nonsense.
    fn check_world(&self, scene: &Scene) -> Result<(), Error> {
        for (index, world) in scene.world_from_nodes(0.0).iter().enumerate() {
            let at = world.w_axis.truncate();
            if !world.is_finite() || at.abs().max_element() > FARTHEST_M {
                let place = format!("node {:?}", scene.nodes[index].name);
                return Err(self.fault(place, format!("lies outside the world, at {at}")));
            }
        }
        Ok(())
    }
}

/// `mesh 3 "roof"`, or without the name where there is none.
fn label(kind: &str, index: usize, name: Option<&String>) -> String {
    match name {
        Some(name) => format!("{kind} {index} {name:?}"),
        None => format!("{kind} {index}"),
    }
}
