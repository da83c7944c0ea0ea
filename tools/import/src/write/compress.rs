//! Packs a scene: positions in 16 bits and normals in 8 (`KHR_mesh_quantization`), all vertex and index data through
//! meshopt's codecs (`EXT_meshopt_compression`), images as KTX2 (`KHR_texture_basisu`).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tongyou_scene::{Alpha, Image, Scene, write_glb};

use super::ktx2::{self, Content};

const QUANTIZATION: &str = "KHR_mesh_quantization";
const MESHOPT: &str = "EXT_meshopt_compression";
const BASISU: &str = "KHR_texture_basisu";
const BYTE: u64 = 5120;
const U16: u64 = 5123;
const U32: u64 = 5125;

/// A scene as a packed GLB. Positions move by at most 1/131072 of the extent of their mesh.
///
/// # Errors
/// What can not be packed.
pub fn compress(scene: &Scene) -> Result<Vec<u8>, String> {
    let textures = Textures::of(scene)?;
    let plain = if scene.images.is_empty() {
        write_glb(scene)
    } else {
        // Images are packed from their pixels; in the plain file they only hold places.
        let place = |image: &Image| Image {
            name: image.name.clone(),
            width: 1,
            height: 1,
            pixels: vec![0; 4],
        };
        write_glb(&Scene {
            images: scene.images.iter().map(place).collect(),
            ..scene.clone()
        })
    };
    let plain = plain.map_err(|e| e.to_string())?;
    let (root, blob) = split(&plain)?;
    let mut packer = Packer {
        accessors: list(&root, "accessors"),
        views: list(&root, "bufferViews"),
        root,
        blob,
        out: Vec::new(),
        out_views: Vec::new(),
        unpacked: 0,
    };
    packer.textures(scene, &textures)?;
    packer.meshes()?;
    packer.animations()?;
    packer.finish()
}

/// The images that materials use, once for each meaning of their numbers.
struct Textures {
    index: BTreeMap<(usize, Content), usize>,
    files: Vec<Vec<u8>>,
}

impl Textures {
    fn of(scene: &Scene) -> Result<Self, String> {
        let mut wanted: BTreeMap<(usize, Content), usize> = BTreeMap::new();
        for material in 0..scene.materials.len() {
            for (_, image, content) in slots(scene, material) {
                let next = wanted.len();
                wanted.entry((image, content)).or_insert(next);
            }
        }
        let mut jobs = vec![(0, Content::Data); wanted.len()];
        for (&job, &at) in &wanted {
            jobs[at] = job;
        }
        let one = |&(image, content): &(usize, Content)| {
            let image = scene.images.get(image).ok_or("a material has no such image")?;
            ktx2::ktx2(image, content).map_err(|fault| format!("image {:?}: {fault}", image.name))
        };
        // Each on a core of its own; which one makes no difference to the bytes.
        let workers = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(jobs.len().max(1));
        let mut files: Vec<Option<Result<Vec<u8>, String>>> = jobs.iter().map(|_| None).collect();
        for (jobs, files) in jobs.chunks(workers).zip(files.chunks_mut(workers)) {
            std::thread::scope(|scope| {
                for (job, file) in jobs.iter().zip(files) {
                    scope.spawn(move || *file = Some(one(job)));
                }
            });
        }
        let files: Result<_, String> = files.into_iter().flatten().collect();
        Ok(Self {
            index: wanted,
            files: files?,
        })
    }
}

/// Where a material uses images: the path to it in JSON, the image, what its numbers mean.
fn slots(scene: &Scene, material: usize) -> Vec<(&'static str, usize, Content)> {
    let material = &scene.materials[material];
    let color = Content::Color {
        alpha: material.alpha != Alpha::Opaque,
    };
    let all = [
        (
            "/pbrMetallicRoughness/baseColorTexture",
            material.base_color_texture,
            color,
        ),
        (
            "/pbrMetallicRoughness/metallicRoughnessTexture",
            material.metallic_roughness_texture,
            Content::Data,
        ),
        ("/normalTexture", material.normal_texture, Content::Normals),
        (
            "/emissiveTexture",
            material.emissive_texture,
            Content::Color { alpha: false },
        ),
    ];
    let there = all
        .into_iter()
        .filter_map(|(path, image, content)| Some((path, image?, content)));
    there.collect()
}

fn list(root: &Value, name: &str) -> Vec<Value> {
    root[name].as_array().cloned().unwrap_or_default()
}

fn split(glb: &[u8]) -> Result<(Value, &[u8]), String> {
    let word = |at: usize| {
        let bytes = glb.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
        bytes.map(|b| u32::from_le_bytes(b) as usize).ok_or("is cut off")
    };
    let length = word(12)?;
    let text = glb.get(20..20 + length).ok_or("is cut off")?;
    let root = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let blob = word(20 + length)?;
    let blob = glb.get(28 + length..28 + length + blob).ok_or("is cut off")?;
    Ok((root, blob))
}

struct Packer<'a> {
    root: Value,
    accessors: Vec<Value>,
    views: Vec<Value>,
    blob: &'a [u8],
    out: Vec<u8>,
    out_views: Vec<Value>,
    /// Bytes of all packed views once they are unpacked.
    unpacked: usize,
}

/// How a view is packed.
struct Packed {
    bytes: Vec<u8>,
    count: usize,
    stride: usize,
    mode: &'static str,
    filter: Option<&'static str>,
    target: u64,
}

fn number(value: &Value) -> Result<usize, String> {
    let number = value.as_u64().ok_or_else(|| format!("{value} is not a whole number"))?;
    usize::try_from(number).map_err(|e| e.to_string())
}

impl<'a> Packer<'a> {
    /// The bytes of an accessor and its count.
    fn bytes(&self, accessor: usize) -> Result<(&'a [u8], usize), String> {
        let accessor = self.accessors.get(accessor).ok_or("there is no such accessor")?;
        let view = self
            .views
            .get(number(&accessor["bufferView"])?)
            .ok_or("there is no such view")?;
        Ok((self.view(view)?, number(&accessor["count"])?))
    }

    fn view(&self, view: &Value) -> Result<&'a [u8], String> {
        let start = view["byteOffset"].as_u64().unwrap_or(0);
        let start = usize::try_from(start).map_err(|e| e.to_string())?;
        let end = start + number(&view["byteLength"])?;
        self.blob
            .get(start..end)
            .ok_or_else(|| "a view lies outside its buffer".into())
    }

    fn floats<const N: usize>(&self, accessor: usize) -> Result<Vec<[f32; N]>, String> {
        let (bytes, count) = self.bytes(accessor)?;
        let all: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect();
        if all.len() != count * N {
            return Err(format!("{} floats are not {count} rows of {N}", all.len()));
        }
        Ok(all.as_chunks::<N>().0.to_vec())
    }

    /// Adds a view that is not packed.
    fn plain(&mut self, bytes: &[u8]) -> usize {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
        self.out_views
            .push(json!({"buffer": 0, "byteOffset": self.out.len(), "byteLength": bytes.len()}));
        self.out.extend_from_slice(bytes);
        self.out_views.len() - 1
    }

    fn packed(&mut self, packed: &Packed) -> usize {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
        let mut extension = json!({
            "buffer": 0, "byteOffset": self.out.len(), "byteLength": packed.bytes.len(),
            "byteStride": packed.stride, "count": packed.count, "mode": packed.mode,
        });
        if let Some(filter) = packed.filter {
            extension["filter"] = json!(filter);
        }
        self.unpacked = self.unpacked.next_multiple_of(4);
        let length = packed.count * packed.stride;
        let mut view = json!({
            "buffer": 1, "byteOffset": self.unpacked, "byteLength": length, "target": packed.target,
            "extensions": {MESHOPT: extension},
        });
        if packed.mode == "ATTRIBUTES" {
            view["byteStride"] = json!(packed.stride);
        }
        self.unpacked += length;
        self.out.extend_from_slice(&packed.bytes);
        self.out_views.push(view);
        self.out_views.len() - 1
    }

    fn attribute<T>(&mut self, rows: &[T], filter: Option<&'static str>) -> Result<usize, String> {
        // glTF's extension knows version 0 of the codec only.
        let bytes = meshopt::encode_vertex_buffer_level(rows, 2, Some(0)).map_err(|e| e.to_string())?;
        Ok(self.packed(&Packed {
            bytes,
            count: rows.len(),
            stride: size_of::<T>(),
            mode: "ATTRIBUTES",
            filter,
            target: 34962,
        }))
    }

    /// Puts KTX2 files in the place of the images, and tells materials where they are.
    fn textures(&mut self, scene: &Scene, textures: &Textures) -> Result<(), String> {
        for name in ["images", "textures"] {
            if let Some(root) = self.root.as_object_mut() {
                root.remove(name);
            }
        }
        let mut images = vec![Value::Null; textures.files.len()];
        for (&(image, _), &at) in &textures.index {
            let view = self.plain(&textures.files[at]);
            images[at] = json!({"bufferView": view, "mimeType": "image/ktx2", "name": scene.images[image].name});
        }
        if images.is_empty() {
            return Ok(());
        }
        let source = |at: usize| json!({"sampler": 0, "extensions": {BASISU: {"source": at}}});
        self.root["textures"] = (0..images.len()).map(source).collect();
        self.root["images"] = json!(images);
        for material in 0..scene.materials.len() {
            for (path, image, content) in slots(scene, material) {
                let slot = self.root["materials"][material].pointer_mut(path);
                let slot = slot.ok_or("a material has lost a texture")?;
                slot["index"] = json!(textures.index.get(&(image, content)));
            }
        }
        Ok(())
    }

    fn animations(&mut self) -> Result<(), String> {
        if self.root["animations"].as_array().is_some_and(|a| !a.is_empty()) {
            return Err("animated scenes are not packed".into());
        }
        Ok(())
    }

    fn meshes(&mut self) -> Result<(), String> {
        for mesh in 0..self.root["meshes"].as_array().map_or(0, Vec::len) {
            let primitives = self.root["meshes"][mesh]["primitives"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let mut positions = Vec::new();
            for primitive in &primitives {
                positions.extend(self.floats::<3>(number(&primitive["attributes"]["POSITION"])?)?);
            }
            let (offset, scale) = frame(&positions);
            for primitive in &primitives {
                let attributes = primitive["attributes"]
                    .as_object()
                    .ok_or("a primitive has no attributes")?;
                for (name, accessor) in attributes {
                    self.vertices(name, number(accessor)?, offset, scale)?;
                }
                let vertices = self.bytes(number(&primitive["attributes"]["POSITION"])?)?.1;
                self.indices(number(&primitive["indices"])?, vertices)?;
            }
            self.unscale(mesh, offset, scale)?;
        }
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 16 bits"
    )]
    fn vertices(&mut self, name: &str, accessor: usize, offset: [f32; 3], scale: f32) -> Result<(), String> {
        let unit = |v: f32| (v.clamp(0.0, 1.0) * 65535.0).round() as u16;
        match name {
            "POSITION" => {
                let place = |p: [f32; 3]| {
                    let [x, y, z] = [0, 1, 2].map(|i| unit((p[i] - offset[i]) / scale));
                    [x, y, z, 0]
                };
                let rows: Vec<[u16; 4]> = self.floats::<3>(accessor)?.into_iter().map(place).collect();
                let view = self.attribute(&rows, None)?;
                let extreme = |pick: fn(u16, u16) -> u16, start: u16| -> Vec<u16> {
                    (0..3).map(|i| rows.iter().fold(start, |a, r| pick(a, r[i]))).collect()
                };
                self.accessors[accessor] = json!({
                    "bufferView": view, "componentType": U16, "normalized": true, "count": rows.len(),
                    "type": "VEC3", "min": extreme(u16::min, u16::MAX), "max": extreme(u16::max, 0),
                });
            }
            "NORMAL" => {
                let rows: Vec<[f32; 4]> = self
                    .floats::<3>(accessor)?
                    .into_iter()
                    .map(|[x, y, z]| [x, y, z, 0.0])
                    .collect();
                self.octahedral(accessor, &rows, "VEC3")?;
            }
            "TANGENT" => {
                let rows = self.floats::<4>(accessor)?;
                self.octahedral(accessor, &rows, "VEC4")?;
            }
            "TEXCOORD_0" => {
                let rows = self.floats::<2>(accessor)?;
                if rows.iter().flatten().all(|v| (0.0..=1.0).contains(v)) {
                    let rows: Vec<[u16; 2]> = rows.into_iter().map(|r| r.map(unit)).collect();
                    let view = self.attribute(&rows, None)?;
                    self.accessors[accessor] = json!({
                        "bufferView": view, "componentType": U16, "normalized": true, "count": rows.len(), "type": "VEC2",
                    });
                } else {
                    let view = self.attribute(&rows, None)?;
                    self.accessors[accessor]["bufferView"] = json!(view);
                }
            }
            "COLOR_0" => {
                let (bytes, count) = self.bytes(accessor)?;
                let rows = bytes.as_chunks::<4>().0;
                if rows.len() != count {
                    return Err("colours are not four bytes each".into());
                }
                let view = self.attribute(rows, None)?;
                self.accessors[accessor]["bufferView"] = json!(view);
            }
            other => return Err(format!("attribute {other} is not known here")),
        }
        Ok(())
    }

    fn octahedral(&mut self, accessor: usize, rows: &[[f32; 4]], shape: &str) -> Result<(), String> {
        let rows: Vec<[i8; 4]> = meshopt::encode_filter_oct(rows, 8);
        let view = self.attribute(&rows, Some("OCTAHEDRAL"))?;
        self.accessors[accessor] = json!({
            "bufferView": view, "componentType": BYTE, "normalized": true, "count": rows.len(), "type": shape,
        });
        Ok(())
    }

    fn indices(&mut self, accessor: usize, vertices: usize) -> Result<(), String> {
        let (bytes, count) = self.bytes(accessor)?;
        let indices: Vec<u32> = match self.accessors[accessor]["componentType"].as_u64() {
            Some(U16) => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&b| u32::from(u16::from_le_bytes(b)))
                .collect(),
            Some(U32) => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&b| u32::from_le_bytes(b))
                .collect(),
            _ => return Err("indices are neither 16 nor 32 bits".into()),
        };
        if indices.len() != count || !count.is_multiple_of(3) || indices.iter().any(|&i| i as usize >= vertices) {
            return Err("indices are not those of triangles".into());
        }
        let packed = Packed {
            bytes: meshopt::encode_index_buffer(&indices, vertices).map_err(|e| e.to_string())?,
            count,
            stride: if self.accessors[accessor]["componentType"] == json!(U16) {
                2
            } else {
                4
            },
            mode: "TRIANGLES",
            filter: None,
            target: 34963,
        };
        self.accessors[accessor]["bufferView"] = json!(self.packed(&packed));
        Ok(())
    }

    /// Puts the way back to metres into the node of a mesh.
    fn unscale(&mut self, mesh: usize, offset: [f32; 3], scale: f32) -> Result<(), String> {
        let identity = |node: &Value| {
            let is = |name: &str, want: &[f64]| {
                let there = node[name].as_array();
                there.is_none_or(|a| a.iter().map(Value::as_f64).eq(want.iter().map(|&v| Some(v))))
            };
            is("translation", &[0.0; 3]) && is("scale", &[1.0; 3]) && is("rotation", &[0.0, 0.0, 0.0, 1.0])
        };
        let nodes = self.root.get_mut("nodes").and_then(Value::as_array_mut);
        for node in nodes.into_iter().flatten().filter(|n| n["mesh"] == json!(mesh)) {
            if !identity(node) || node.get("children").is_some() {
                return Err("nodes with transforms of their own are not packed".into());
            }
            node["translation"] = json!(offset);
            node["scale"] = json!([scale, scale, scale]);
            if let Some(node) = node.as_object_mut() {
                node.remove("rotation");
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>, String> {
        for name in ["extensionsUsed", "extensionsRequired"] {
            let mut names = list(&self.root, name);
            names.extend([json!(MESHOPT), json!(QUANTIZATION)]);
            if self.root.get("textures").is_some() {
                names.push(json!(BASISU));
            }
            self.root[name] = json!(names);
        }
        self.out.resize(self.out.len().next_multiple_of(4), 0);
        self.root["accessors"] = json!(self.accessors);
        self.root["bufferViews"] = json!(self.out_views);
        self.root["buffers"] = json!([
            {"byteLength": self.out.len()},
            {"byteLength": self.unpacked.max(1), "extensions": {MESHOPT: {"fallback": true}}},
        ]);
        super::glb::assemble(&self.root, self.out)
    }
}

/// The corner and the longest side of the box around positions: one scale for all axes, so that normals stay right.
fn frame(positions: &[[f32; 3]]) -> ([f32; 3], f32) {
    let extreme =
        |pick: fn(f32, f32) -> f32, start: f32| [0, 1, 2].map(|i| positions.iter().fold(start, |a, p| pick(a, p[i])));
    let (min, max) = (extreme(f32::min, f32::INFINITY), extreme(f32::max, f32::NEG_INFINITY));
    let side = (0..3).map(|i| max[i] - min[i]).fold(0.0, f32::max);
    (min, if side > 0.0 { side } else { 1.0 })
}

#[cfg(test)]
#[path = "compress_tests.rs"]
mod tests;
