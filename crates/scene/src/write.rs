//! Writes a scene as a GLB, byte for byte the same for the same scene.

use glam::{Vec2, Vec3, Vec4};
use gltf::json;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use json::accessor::{ComponentType, GenericComponentType, Type};
use json::extensions::scene::khr_lights_punctual as punctual;
use json::mesh::Semantic;
use json::validation::Checked::Valid;
use json::{Index, buffer, material, texture};

use crate::{Alpha, Error, Image, Keys, Light, LightKind, Material, Node, Primitive, Scene};

/// The scene as a GLB file: PNG images, one binary chunk, only the extensions that it needs.
///
/// # Errors
/// [`Error::Write`] where an index leads nowhere, a primitive is empty, or the file would pass 4 GiB.
pub fn write_glb(scene: &Scene) -> Result<Vec<u8>, Error> {
    let mut out = Writer {
        root: json::Root::default(),
        bin: Vec::new(),
    };
    out.root.asset = json::Asset {
        generator: Some("tongyou".into()),
        version: "2.0".into(),
        ..json::Asset::default()
    };
    out.images(&scene.images)?;
    out.root.materials = scene.materials.iter().map(gltf_material).collect();
    for mesh in &scene.meshes {
        let mut primitives = Vec::new();
        for (at, primitive) in mesh.primitives.iter().enumerate() {
            let place = format!("mesh {:?}, primitive {at}", mesh.name);
            primitives.push(out.primitive(primitive, scene, &place)?);
        }
        out.root.meshes.push(json::Mesh {
            extensions: None,
            extras: None,
            name: Some(mesh.name.clone()),
            primitives,
            weights: None,
        });
    }
    out.nodes(scene)?;
    out.lights(&scene.lights);
    out.animations(scene)?;
    out.finish()
}

fn failed(place: &str, fault: impl Into<String>) -> Error {
    Error::Write {
        place: place.to_owned(),
        fault: fault.into(),
    }
}

struct Writer {
    root: json::Root,
    bin: Vec<u8>,
}

impl Writer {
    fn view(&mut self, bytes: &[u8], target: Option<buffer::Target>) -> Index<buffer::View> {
        self.bin.resize(self.bin.len().next_multiple_of(4), 0);
        let byte_offset = Some(self.bin.len().into());
        self.bin.extend_from_slice(bytes);
        self.root.push(buffer::View {
            buffer: Index::new(0),
            byte_length: bytes.len().into(),
            byte_offset,
            byte_stride: None,
            name: None,
            target: target.map(Valid),
            extensions: None,
            extras: None,
        })
    }

    fn accessor(
        &mut self,
        bytes: &[u8],
        target: Option<buffer::Target>,
        count: usize,
        component: ComponentType,
        shape: Type,
    ) -> Index<json::Accessor> {
        let view = self.view(bytes, target);
        self.root.push(json::Accessor {
            buffer_view: Some(view),
            byte_offset: None,
            count: count.into(),
            component_type: Valid(GenericComponentType(component)),
            extensions: None,
            extras: None,
            type_: Valid(shape),
            min: None,
            max: None,
            name: None,
            normalized: component == ComponentType::U8 && shape == Type::Vec4,
            sparse: None,
        })
    }

    /// An array of floats with its bounds.
    fn floats<const N: usize>(
        &mut self,
        values: &[[f32; N]],
        shape: Type,
        target: Option<buffer::Target>,
        bounds: bool,
    ) -> Result<Index<json::Accessor>, Error> {
        let bytes: Vec<u8> = values.iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
        let index = self.accessor(&bytes, target, values.len(), ComponentType::F32, shape);
        if bounds {
            let extreme = |pick: fn(f32, f32) -> f32, start: f32| {
                let each = values
                    .iter()
                    .fold([start; N], |a, v| std::array::from_fn(|c| pick(a[c], v[c])));
                json::serialize::to_value(each.to_vec()).map_err(|e| failed("bounds", e.to_string()))
            };
            let (min, max) = (extreme(f32::min, f32::INFINITY)?, extreme(f32::max, f32::NEG_INFINITY)?);
            let accessor = &mut self.root.accessors[index.value()];
            (accessor.min, accessor.max) = (Some(min), Some(max));
        }
        Ok(index)
    }

    fn images(&mut self, images: &[Image]) -> Result<(), Error> {
        if images.is_empty() {
            return Ok(());
        }
        let sampler = self.root.push(texture::Sampler {
            mag_filter: Some(Valid(texture::MagFilter::Linear)),
            min_filter: Some(Valid(texture::MinFilter::LinearMipmapLinear)),
            ..texture::Sampler::default()
        });
        for image in images {
            let mut png = Vec::new();
            let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Best, FilterType::Adaptive);
            encoder
                .write_image(&image.pixels, image.width, image.height, ExtendedColorType::Rgba8)
                .map_err(|e| failed(&format!("image {:?}", image.name), e.to_string()))?;
            let view = self.view(&png, None);
            let source = self.root.push(json::Image {
                buffer_view: Some(view),
                mime_type: Some(json::image::MimeType("image/png".into())),
                name: Some(image.name.clone()),
                uri: None,
                extensions: None,
                extras: None,
            });
            self.root.push(json::Texture {
                name: None,
                sampler: Some(sampler),
                source,
                extensions: None,
                extras: None,
            });
        }
        Ok(())
    }

    fn primitive(&mut self, from: &Primitive, scene: &Scene, place: &str) -> Result<json::mesh::Primitive, Error> {
        let count = from.positions.len();
        if count == 0 || from.indices.is_empty() || from.material.is_some_and(|m| m >= scene.materials.len()) {
            return Err(failed(place, "is empty or has no such material"));
        }
        let lengths = [
            from.normals.len(),
            from.tangents.len(),
            from.tex_coords.len(),
            from.colors.len(),
        ];
        if lengths.iter().any(|&l| l != 0 && l != count) || from.indices.iter().any(|&i| i as usize >= count) {
            return Err(failed(
                place,
                "has attributes of different lengths or an index beyond them",
            ));
        }
        let array = Some(buffer::Target::ArrayBuffer);
        let mut attributes = std::collections::BTreeMap::new();
        let positions: Vec<[f32; 3]> = from.positions.iter().map(Vec3::to_array).collect();
        attributes.insert(
            Valid(Semantic::Positions),
            self.floats(&positions, Type::Vec3, array, true)?,
        );
        if !from.normals.is_empty() {
            let normals: Vec<[f32; 3]> = from.normals.iter().map(Vec3::to_array).collect();
            attributes.insert(
                Valid(Semantic::Normals),
                self.floats(&normals, Type::Vec3, array, false)?,
            );
        }
        if !from.tangents.is_empty() {
            let tangents: Vec<[f32; 4]> = from.tangents.iter().map(Vec4::to_array).collect();
            attributes.insert(
                Valid(Semantic::Tangents),
                self.floats(&tangents, Type::Vec4, array, false)?,
            );
        }
        if !from.tex_coords.is_empty() {
            let coords: Vec<[f32; 2]> = from.tex_coords.iter().map(Vec2::to_array).collect();
            attributes.insert(
                Valid(Semantic::TexCoords(0)),
                self.floats(&coords, Type::Vec2, array, false)?,
            );
        }
        if !from.colors.is_empty() {
            let bytes: Vec<u8> = from.colors.iter().flatten().copied().collect();
            let colors = self.accessor(&bytes, array, count, ComponentType::U8, Type::Vec4);
            attributes.insert(Valid(Semantic::Colors(0)), colors);
        }
        Ok(json::mesh::Primitive {
            attributes,
            extensions: None,
            extras: None,
            indices: Some(self.indices(&from.indices, count)),
            material: from.material.map(to_index),
            mode: Valid(json::mesh::Mode::Triangles),
            targets: None,
        })
    }

    fn indices(&mut self, indices: &[u32], vertices: usize) -> Index<json::Accessor> {
        let short: Option<Vec<u16>> = indices.iter().map(|&i| u16::try_from(i).ok()).collect();
        // 65535 restarts primitives on some hardware, so glTF forbids it as a u16 index.
        let (bytes, component) = match short.filter(|_| vertices <= usize::from(u16::MAX)) {
            Some(short) => (
                short.iter().flat_map(|i| i.to_le_bytes()).collect::<Vec<u8>>(),
                ComponentType::U16,
            ),
            None => (
                indices.iter().flat_map(|i| i.to_le_bytes()).collect(),
                ComponentType::U32,
            ),
        };
        self.accessor(
            &bytes,
            Some(buffer::Target::ElementArrayBuffer),
            indices.len(),
            component,
            Type::Scalar,
        )
    }

    fn nodes(&mut self, scene: &Scene) -> Result<(), Error> {
        let mut roots = Vec::new();
        for (index, node) in scene.nodes.iter().enumerate() {
            let place = format!("node {:?}", node.name);
            let mesh_there = node.mesh.is_none_or(|m| m < scene.meshes.len());
            if !mesh_there || node.light.is_some_and(|l| l >= scene.lights.len()) {
                return Err(failed(&place, "refers to a mesh or light that is not there"));
            }
            let mut node_json = gltf_node(node);
            if scene.local.contains(&index) {
                node_json.extras = json::extras::RawValue::from_string(r#"{"local":true}"#.to_owned()).ok();
            }
            self.root.push(node_json);
            match node.parent {
                None => roots.push(to_index(index)),
                Some(parent) if parent < index => {
                    self.root.nodes[parent]
                        .children
                        .get_or_insert_default()
                        .push(to_index(index));
                }
                Some(_) => return Err(failed(&place, "comes before its parent")),
            }
        }
        let name = Some(scene.name.clone());
        let scene = self.root.push(json::Scene {
            extensions: None,
            extras: None,
            name,
            nodes: roots,
        });
        self.root.scene = Some(scene);
        Ok(())
    }

    fn lights(&mut self, lights: &[Light]) {
        if lights.is_empty() {
            return;
        }
        let lights = lights.iter().map(gltf_light).collect();
        self.root.extensions = Some(json::extensions::root::Root {
            khr_lights_punctual: Some(json::extensions::root::KhrLightsPunctual { lights }),
            ..Default::default()
        });
    }

    fn animations(&mut self, scene: &Scene) -> Result<(), Error> {
        for animation in &scene.animations {
            let mut gltf = json::Animation {
                extensions: None,
                extras: None,
                channels: Vec::new(),
                name: Some(animation.name.clone()),
                samplers: Vec::new(),
            };
            for channel in &animation.channels {
                if channel.node >= scene.nodes.len() {
                    return Err(failed(
                        &format!("animation {:?}", animation.name),
                        "moves a node that is not there",
                    ));
                }
                let times: Vec<[f32; 1]> = channel.times_s.iter().map(|&t| [t]).collect();
                let input = self.floats(&times, Type::Scalar, None, true)?;
                let vectors = |keys: &[Vec3]| keys.iter().map(Vec3::to_array).collect::<Vec<[f32; 3]>>();
                let (output, path) = match &channel.keys {
                    Keys::Translation(k) => (
                        self.floats(&vectors(k), Type::Vec3, None, false)?,
                        json::animation::Property::Translation,
                    ),
                    Keys::Scale(k) => (
                        self.floats(&vectors(k), Type::Vec3, None, false)?,
                        json::animation::Property::Scale,
                    ),
                    Keys::Rotation(k) => {
                        let k: Vec<[f32; 4]> = k.iter().map(|q| q.to_array()).collect();
                        (
                            self.floats(&k, Type::Vec4, None, false)?,
                            json::animation::Property::Rotation,
                        )
                    }
                };
                use json::animation::Interpolation::{Linear, Step};
                gltf.samplers.push(json::animation::Sampler {
                    extensions: None,
                    extras: None,
                    input,
                    interpolation: Valid(if channel.step { Step } else { Linear }),
                    output,
                });
                gltf.channels.push(json::animation::Channel {
                    sampler: to_index(gltf.samplers.len() - 1),
                    target: json::animation::Target {
                        extensions: None,
                        extras: None,
                        node: to_index(channel.node),
                        path: Valid(path),
                    },
                    extensions: None,
                    extras: None,
                });
            }
            self.root.animations.push(gltf);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u8>, Error> {
        let used = [
            ("KHR_lights_punctual", self.root.extensions.is_some()),
            (
                "KHR_materials_emissive_strength",
                self.root
                    .materials
                    .iter()
                    .any(|m| extension(m, |e| e.emissive_strength.is_some())),
            ),
            (
                "KHR_materials_unlit",
                self.root.materials.iter().any(|m| extension(m, |e| e.unlit.is_some())),
            ),
        ];
        self.root.extensions_used = used
            .iter()
            .filter(|(_, used)| *used)
            .map(|(name, _)| (*name).to_owned())
            .collect();
        self.bin.resize(self.bin.len().next_multiple_of(4), 0);
        if !self.bin.is_empty() {
            self.root.buffers.push(json::Buffer {
                byte_length: self.bin.len().into(),
                name: None,
                uri: None,
                extensions: None,
                extras: None,
            });
        }
        let mut text = self.root.to_vec().map_err(|e| failed("JSON", e.to_string()))?;
        text.resize(text.len().next_multiple_of(4), b' ');
        let mut out = Vec::with_capacity(28 + text.len() + self.bin.len());
        let chunks: [(&[u8; 4], &[u8]); 2] = [(b"JSON", &text), (b"BIN\0", &self.bin)];
        let total = 28 + text.len() + self.bin.len();
        let word = |n: usize| {
            u32::try_from(n)
                .map(u32::to_le_bytes)
                .map_err(|_| failed("file", "would pass 4 GiB"))
        };
        out.extend_from_slice(b"glTF");
        out.extend_from_slice(&2_u32.to_le_bytes());
        out.extend_from_slice(&word(total)?);
        for (kind, body) in chunks {
            out.extend_from_slice(&word(body.len())?);
            out.extend_from_slice(kind);
            out.extend_from_slice(body);
        }
        Ok(out)
    }
}

fn extension(material: &json::Material, has: impl Fn(&json::extensions::material::Material) -> bool) -> bool {
    material.extensions.as_ref().is_some_and(has)
}

fn to_index<T>(index: usize) -> Index<T> {
    // Every list here was built in memory and is far below 2³² entries.
    Index::new(u32::try_from(index).unwrap_or(u32::MAX))
}

fn gltf_material(from: &Material) -> json::Material {
    let info = |image: Option<usize>| {
        image.map(|i| texture::Info {
            index: to_index(i),
            tex_coord: 0,
            extensions: None,
            extras: None,
        })
    };
    let strength = from.emissive.max_element().max(1.0);
    let mut extensions = json::extensions::material::Material::default();
    if strength > 1.0 {
        extensions.emissive_strength = Some(json::extensions::material::EmissiveStrength {
            emissive_strength: json::extensions::material::EmissiveStrengthFactor(strength),
        });
    }
    if from.unlit {
        extensions.unlit = Some(json::extensions::material::Unlit {});
    }
    let (alpha_mode, alpha_cutoff) = match from.alpha {
        Alpha::Opaque => (material::AlphaMode::Opaque, None),
        Alpha::Mask(cutoff) => (material::AlphaMode::Mask, Some(material::AlphaCutoff(cutoff))),
        Alpha::Blend => (material::AlphaMode::Blend, None),
    };
    json::Material {
        alpha_cutoff,
        alpha_mode: Valid(alpha_mode),
        double_sided: from.double_sided,
        name: Some(from.name.clone()),
        pbr_metallic_roughness: material::PbrMetallicRoughness {
            base_color_factor: material::PbrBaseColorFactor(from.base_color.to_array()),
            base_color_texture: info(from.base_color_texture),
            metallic_factor: material::StrengthFactor(from.metallic),
            roughness_factor: material::StrengthFactor(from.roughness),
            metallic_roughness_texture: info(from.metallic_roughness_texture),
            extensions: None,
            extras: None,
        },
        normal_texture: from.normal_texture.map(|i| material::NormalTexture {
            index: to_index(i),
            scale: from.normal_scale,
            tex_coord: 0,
            extensions: None,
            extras: None,
        }),
        occlusion_texture: None,
        emissive_texture: info(from.emissive_texture),
        emissive_factor: material::EmissiveFactor((from.emissive / strength).to_array()),
        extensions: (strength > 1.0 || from.unlit).then_some(extensions),
        extras: None,
    }
}

fn gltf_node(from: &Node) -> json::Node {
    let light = from.light.map(|l| json::extensions::scene::Node {
        khr_lights_punctual: Some(punctual::KhrLightsPunctual { light: to_index(l) }),
        ..Default::default()
    });
    json::Node {
        extensions: light,
        mesh: from.mesh.map(to_index),
        name: Some(from.name.clone()),
        rotation: Some(json::scene::UnitQuaternion(from.rotation.to_array())),
        scale: Some(from.scale.to_array()),
        translation: Some(from.translation.to_array()),
        ..json::Node::default()
    }
}

fn gltf_light(from: &Light) -> punctual::Light {
    let (type_, spot) = match from.kind {
        LightKind::Directional => (punctual::Type::Directional, None),
        LightKind::Point => (punctual::Type::Point, None),
        LightKind::Spot { inner_rad, outer_rad } => (
            punctual::Type::Spot,
            Some(punctual::Spot {
                inner_cone_angle: inner_rad,
                outer_cone_angle: outer_rad,
            }),
        ),
    };
    punctual::Light {
        color: from.color.to_array(),
        extensions: None,
        extras: None,
        intensity: from.intensity,
        name: None,
        range: from.range_m,
        spot,
        type_: Valid(type_),
    }
}
