//! glTF and GLB, through the loader of the server: what it refuses, a scene could not show either.

use std::io::Read;

use glam::{DVec3, Mat3, Vec3};
use serde_json::Value;
use tongyou_scene::{Scene, load_glb, read_glb};

use super::{Limits, Sink, embedded, prepare};
use crate::data::{Bounds, Chunk, Look, Part, Summary};
use crate::source::Source;
use crate::{Error, Format, Up};

/// Bytes of the JSON that `inspect` reads.
pub(super) const MOST_JSON: u64 = 256 << 20;

pub(super) fn inspect(source: &Source) -> Result<Summary, Error> {
    let mut reader = source.reader()?;
    let mut length = source.bytes;
    if source.format == Format::Glb {
        let mut header = [0_u8; 20];
        reader
            .read_exact(&mut header)
            .map_err(|_| source.fault("header", "is cut off"))?;
        length = u64::from(u32::from_le_bytes([header[12], header[13], header[14], header[15]]));
    }
    if length > MOST_JSON || length > source.bytes {
        let fault = format!("says it has {length} bytes in a file of {}", source.bytes);
        return Err(source.fault("JSON", fault));
    }
    let mut text = Vec::new();
    reader.take(length).read_to_end(&mut text).map_err(|e| source.io(e))?;
    let root: Value = serde_json::from_slice(&text).map_err(|e| source.fault("JSON", e.to_string()))?;
    let mut out = Summary::new(source.format, source.bytes);
    out.flavour = match root["asset"]["version"].as_str() {
        Some(version) => format!("version {version}"),
        None => return Err(source.fault("asset", "states no version")),
    };
    out.up = Up::Y;
    let accessor = |index: &Value| -> Option<&Value> { root["accessors"].get(usize::try_from(index.as_u64()?).ok()?) };
    let (mut vertices, mut triangles) = (0_u64, 0_u64);
    let mut corners = Vec::new();
    let list = |value: &'static str| root[value].as_array().map_or(0, Vec::len) as u64;
    for primitive in root["meshes"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|m| m["primitives"].as_array())
        .flatten()
    {
        let count = |a: Option<&Value>| a.and_then(|a| a["count"].as_u64()).unwrap_or(0);
        let position = accessor(&primitive["attributes"]["POSITION"]);
        let there = count(position);
        vertices = vertices.saturating_add(there);
        let indices = primitive.get("indices").map_or(there, |i| count(accessor(i)));
        triangles = triangles.saturating_add(indices / 3);
        for name in primitive["attributes"].as_object().into_iter().flat_map(|a| a.keys()) {
            if name != "POSITION" && !out.attributes.contains(name) {
                out.attributes.push(name.clone());
            }
        }
        for end in ["min", "max"] {
            let number = |i: usize| position.and_then(|p| p[end].get(i)).and_then(Value::as_f64);
            if let (Some(x), Some(y), Some(z)) = (number(0), number(1), number(2)) {
                corners.push(DVec3::new(x, y, z));
            }
        }
    }
    out.counts = vec![
        ("vertices", vertices),
        ("triangles", triangles),
        ("materials", list("materials")),
        ("images", list("images")),
    ];
    out.bounds = Bounds::around(corners);
    if out.bounds.is_some() {
        out.warnings
            .push("the bounds are those of the meshes, before the transforms of their nodes".into());
    }
    for required in root["extensionsRequired"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        out.attributes.push(format!("needs {required}"));
    }
    Ok(out)
}

/// What the loader may use.
pub(super) fn limits(limits: &Limits) -> tongyou_scene::Limits {
    tongyou_scene::Limits {
        file_bytes: 4 << 30,
        vertices: limits.vertices,
        triangles: limits.triangles,
        image_side: limits.image_side,
        pixels: limits.pixels,
        ..tongyou_scene::Limits::default()
    }
}

pub(super) fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    let limits = self::limits(limits);
    let scene = match embedded::unpack(source)? {
        Some(glb) => {
            let (glb, warnings) = prepare::prepared(glb).map_err(|fault| source.fault("glTF", fault))?;
            warnings.into_iter().try_for_each(|text| sink(Chunk::Warning(text)))?;
            read_glb(&glb, &source.path.display().to_string(), &limits)?
        }
        None => load_glb(&source.path, &limits)?,
    };
    for (what, count) in [("lights", scene.lights.len()), ("animations", scene.animations.len())] {
        if count > 0 {
            sink(Chunk::Warning(format!("{count} {what} are left out: a scan has none")))?;
        }
    }
    let parts = parts(&scene);
    if parts.is_empty() {
        return Err(source.fault("file", "has no meshes"));
    }
    parts.into_iter().try_for_each(|part| sink(Chunk::Part(part)))?;
    sink(Chunk::Look(Look {
        materials: scene.materials,
        images: scene.images,
    }))
}

/// The meshes of a scene, each where its node puts it.
pub(super) fn parts(scene: &Scene) -> Vec<Part> {
    let world = scene.world_from_nodes(0.0);
    let mut parts = Vec::new();
    for (node, world) in scene.nodes.iter().zip(&world) {
        let Some(mesh) = node.mesh.and_then(|m| scene.meshes.get(m)) else {
            continue;
        };
        let turn = Mat3::from_mat4(*world);
        let for_normals = if turn.determinant().abs() > 1e-12 {
            turn.inverse().transpose()
        } else {
            Mat3::IDENTITY
        };
        for primitive in &mesh.primitives {
            let mut indices = primitive.indices.clone();
            if turn.determinant() < 0.0 {
                // A mirrored node turns its triangles inside out.
                for triangle in indices.as_chunks_mut::<3>().0 {
                    triangle.swap(1, 2);
                }
            }
            parts.push(Part {
                name: if mesh.name.is_empty() {
                    node.name.clone()
                } else {
                    mesh.name.clone()
                },
                material: primitive.material,
                positions: primitive
                    .positions
                    .iter()
                    .map(|&p| world.transform_point3(p).as_dvec3())
                    .collect(),
                normals: primitive
                    .normals
                    .iter()
                    .map(|&n| (for_normals * n).normalize_or(Vec3::Y))
                    .collect(),
                tex_coords: primitive.tex_coords.clone(),
                colors: primitive.colors.clone(),
                indices,
            });
        }
    }
    parts
}
