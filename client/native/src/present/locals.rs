//! Local models: near things of a stop that are drawn here, not by the server, in the light that the picture carries.

mod pictures;

use super::layout::{LocalNode, LocalVertex, Sun, Surface};
use super::pipelines::{self, Pipelines};
use super::{Gpu, Result};
use glam::{Mat4, Vec3, Vec4};
use pictures::Pictures;
use std::ops::Range;
use tongyou_protocol::frame::Tag;
use tongyou_scene::{Alpha, Material, Primitive, Scene};
use tongyou_shaders::Shader;
use wgpu::{BufferUsages, RenderPipeline, TextureFormat, VertexFormat, VertexStepMode};

/// A model on the GPU, and how its nodes move.
#[derive(Debug)]
pub struct Locals {
    /// Nodes and animations; what is on the GPU is left out.
    scene: Scene,
    vertices: wgpu::Buffer,
    indices: wgpu::Buffer,
    nodes: wgpu::Buffer,
    sun: wgpu::Buffer,
    /// Without what is seen through, then that.
    draws: Vec<Draw>,
}

#[derive(Debug)]
struct Draw {
    node: usize,
    indices: Range<u32>,
    material: wgpu::BindGroup,
    is_clear: bool,
}

impl Locals {
    /// Puts a model on the GPU: all nodes that have a mesh.
    ///
    /// # Errors
    /// [`super::Error::Gpu`], where the device has no room for it.
    pub fn new(gpu: &Gpu, scene: &Scene) -> Result<Self> {
        let sun = filled(gpu, "sun", &[0; size_of::<Sun>()], BufferUsages::UNIFORM);
        let mut pictures = Pictures::new(gpu, scene, &sun);
        let materials: Vec<_> = scene.materials.iter().map(|m| pictures.material(gpu, m)).collect();
        let plain = pictures.material(gpu, &plain());
        let mut vertices: Vec<LocalVertex> = Vec::new();
        let mut indices: Vec<u32> = Vec::new();
        // By mesh: the part of the indices that each of its primitives has.
        let mut meshes: Vec<Vec<Range<u32>>> = Vec::new();
        for mesh in &scene.meshes {
            let mut parts = Vec::new();
            for primitive in &mesh.primitives {
                let (first, start) = (count(vertices.len()), count(indices.len()));
                vertices.extend(vertices_of(primitive));
                indices.extend(primitive.indices.iter().map(|i| i.saturating_add(first)));
                parts.push(start..count(indices.len()));
            }
            meshes.push(parts);
        }
        let mut draws = Vec::new();
        for (node, mesh) in scene.nodes.iter().enumerate().filter_map(|(i, n)| Some((i, n.mesh?))) {
            for (primitive, range) in scene.meshes[mesh].primitives.iter().zip(&meshes[mesh]) {
                let material = primitive
                    .material
                    .and_then(|m| Some((scene.materials.get(m)?, materials.get(m)?)));
                draws.push(Draw {
                    node,
                    indices: range.clone(),
                    material: material.map_or(&plain, |(_, group)| group).clone(),
                    is_clear: material.is_some_and(|(m, _)| m.alpha == Alpha::Blend),
                });
            }
        }
        draws.sort_by_key(|draw| draw.is_clear);
        let locals = Self {
            scene: Scene {
                nodes: scene.nodes.clone(),
                animations: scene.animations.clone(),
                ..Scene::default()
            },
            vertices: filled(
                gpu,
                "local vertices",
                bytemuck::cast_slice(&vertices),
                BufferUsages::VERTEX,
            ),
            indices: filled(
                gpu,
                "local indices",
                bytemuck::cast_slice(&indices),
                BufferUsages::INDEX,
            ),
            nodes: filled(
                gpu,
                "local nodes",
                &vec![0; draws.len() * size_of::<LocalNode>()],
                BufferUsages::VERTEX,
            ),
            sun,
            draws,
        };
        gpu.check("uploading a local model")?;
        Ok(locals)
    }

    /// Whether it looks different at another time.
    #[must_use]
    pub fn moves(&self) -> bool {
        !self.scene.animations.is_empty()
    }

    /// Puts its nodes where they are at a tour time, seconds.
    fn place(&self, gpu: &Gpu, at_s: f64) {
        let world = self.scene.world_from_nodes(at_s);
        let nodes: Vec<LocalNode> = self.draws.iter().map(|draw| node(world[draw.node])).collect();
        gpu.queue.write_buffer(&self.nodes, 0, bytemuck::cast_slice(&nodes));
    }
}

/// Pipelines.
#[derive(Debug)]
pub(super) struct Artist {
    solid: RenderPipeline,
    clear: RenderPipeline,
}

impl Artist {
    pub(super) fn new(gpu: &Gpu, pipelines: &Pipelines, format: TextureFormat) -> Self {
        let layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("locals"),
            bind_group_layouts: &[
                Some(&pipelines.eye),
                Some(&pipelines.layer),
                Some(&pictures::layout(gpu)),
            ],
            immediate_size: 0,
        });
        let module = pipelines::module(gpu, Shader::PresentLocals);
        Self {
            solid: pipeline(gpu, &layout, &module, format, true),
            clear: pipeline(gpu, &layout, &module, format, false),
        }
    }

    /// Puts light and places on the GPU. `presence`: how much of the layer that they stand in is there.
    pub(super) fn prepare(gpu: &Gpu, locals: &[&Locals], at_s: f64, tag: &Tag, presence: f32) {
        let sun = sun_of(tag, presence);
        for local in locals {
            gpu.queue.write_buffer(&local.sun, 0, bytemuck::bytes_of(&sun));
            local.place(gpu, at_s);
        }
    }

    /// Draws them; groups 0 and 1 are set.
    pub(super) fn draw(&self, pass: &mut wgpu::RenderPass<'_>, locals: &[&Locals]) {
        for (clear, pipeline) in [(false, &self.solid), (true, &self.clear)] {
            for local in locals {
                let draws = (0..).zip(&local.draws).filter(|(_, draw)| draw.is_clear == clear);
                for (number, draw) in draws {
                    pass.set_pipeline(pipeline);
                    pass.set_bind_group(2, &draw.material, &[]);
                    pass.set_vertex_buffer(0, local.vertices.slice(..));
                    pass.set_vertex_buffer(1, local.nodes.slice(..));
                    pass.set_index_buffer(local.indices.slice(..), wgpu::IndexFormat::Uint32);
                    pass.draw_indexed(draw.indices.clone(), 0, number..number + 1);
                }
            }
        }
    }
}

/// The light that a picture carries, as the page guesses it: the picture does not say where the sun is, so most light
/// comes from where the ambient has most, and from above.
fn sun_of(tag: &Tag, presence: f32) -> Sun {
    let [mean, y, z, x, ..] = tag.ambient.map(Vec3::from);
    let sum = Vec3::element_sum;
    let key = Vec3::new(sum(x), sum(y).abs() + 0.25 * sum(mean), sum(z));
    Sun {
        ambient: tag.ambient.map(|rgb| Vec3::from(rgb).extend(0.0)),
        key: key.normalize_or(Vec3::Y).extend(tag.exposure),
        key_light: (mean * (0.282_095 * 0.6)).extend(presence),
    }
}

fn node(world_from_node: Mat4) -> LocalNode {
    let [x, y, z] = [0, 1, 2].map(|i| world_from_node.col(i).truncate());
    let mirrored = if x.dot(y.cross(z)) < 0.0 { -1.0 } else { 1.0 };
    // Cofactors: the inverse transposed, times a factor, also where there is no inverse.
    let normal = [y.cross(z), z.cross(x), x.cross(y)].map(|c| (c * mirrored).extend(mirrored));
    LocalNode {
        world_from_node,
        normal,
    }
}

fn vertices_of(primitive: &Primitive) -> impl Iterator<Item = LocalVertex> {
    primitive.positions.iter().enumerate().map(|(i, position)| LocalVertex {
        position: position.to_array(),
        normal: primitive.normals.get(i).copied().unwrap_or(Vec3::Y).to_array(),
        tangent: primitive.tangents.get(i).copied().unwrap_or(Vec4::ZERO).to_array(),
        place: primitive.tex_coords.get(i).copied().unwrap_or_default().to_array(),
        tint: primitive.colors.get(i).copied().unwrap_or([255; 4]),
    })
}

/// glTF's default material.
fn plain() -> Material {
    Material {
        name: String::new(),
        base_color: Vec4::ONE,
        base_color_texture: None,
        metallic: 1.0,
        roughness: 1.0,
        metallic_roughness_texture: None,
        normal_texture: None,
        normal_scale: 1.0,
        emissive: Vec3::ZERO,
        emissive_texture: None,
        alpha: Alpha::Opaque,
        double_sided: false,
        unlit: false,
    }
}

fn surface_of(material: &Material) -> Surface {
    let flag = |is: bool| f32::from(u8::from(is));
    let alpha = if material.alpha == Alpha::Opaque {
        1.0
    } else {
        material.base_color.w
    };
    let scale = material.normal_texture.map_or(0.0, |_| material.normal_scale);
    Surface {
        base_color: material.base_color.truncate().extend(alpha),
        emissive: material.emissive.extend(scale),
        alpha_cutoff: match material.alpha {
            Alpha::Mask(cutoff) => cutoff,
            // Nothing has less.
            Alpha::Opaque | Alpha::Blend => -1.0,
        },
        double_sided: flag(material.double_sided),
        unlit: flag(material.unlit),
        unused: 0.0,
    }
}

/// A buffer may not be empty.
fn filled(gpu: &Gpu, label: &str, bytes: &[u8], usage: BufferUsages) -> wgpu::Buffer {
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size: bytes.len().max(4) as u64,
        usage: usage | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue.write_buffer(&buffer, 0, bytes);
    buffer
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn pipeline(
    gpu: &Gpu,
    layout: &wgpu::PipelineLayout,
    module: &wgpu::ShaderModule,
    format: TextureFormat,
    is_solid: bool,
) -> RenderPipeline {
    let vertex =
        wgpu::vertex_attr_array![0 => Float32x3, 1 => Float32x3, 2 => Float32x4, 3 => Float32x2, 4 => Unorm8x4];
    let node = [0, 1, 2, 3, 4, 5, 6].map(|i| wgpu::VertexAttribute {
        format: VertexFormat::Float32x4,
        offset: u64::from(i) * VertexFormat::Float32x4.size(),
        shader_location: 5 + i,
    });
    let step = |size: usize, step_mode, attributes| {
        Some(wgpu::VertexBufferLayout {
            array_stride: size as u64,
            step_mode,
            attributes,
        })
    };
    gpu.device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("locals"),
        layout: Some(layout),
        vertex: wgpu::VertexState {
            module,
            entry_point: Some("vs_local"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[
                step(size_of::<LocalVertex>(), VertexStepMode::Vertex, &vertex),
                step(size_of::<LocalNode>(), VertexStepMode::Instance, &node),
            ],
        },
        // Which side is the front depends on the node: the shader leaves out the back.
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: Some(pipelines::depth_test(is_solid)),
        multisample: wgpu::MultisampleState::default(),
        fragment: Some(wgpu::FragmentState {
            module,
            entry_point: Some("fs_local"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(wgpu::ColorTargetState {
                format,
                blend: (!is_solid).then_some(wgpu::BlendState::ALPHA_BLENDING),
                write_mask: wgpu::ColorWrites::ALL,
            })],
        }),
        multiview_mask: None,
        cache: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::Quat;

    #[test]
    fn normals_stand_on_their_surface_however_the_node_is_scaled_or_mirrored() {
        for scale in [Vec3::ONE, Vec3::new(4.0, 0.5, 1.0), Vec3::new(-1.0, 2.0, 0.3)] {
            let world = Mat4::from_scale_rotation_translation(scale, Quat::from_rotation_z(0.7), Vec3::X);
            let node = node(world);
            // A plane through two directions, and its normal.
            let (a, b) = (Vec3::new(1.0, 1.0, 0.0), Vec3::Z);
            let normal = a.cross(b);
            let turned = node.normal[0].truncate() * normal.x
                + node.normal[1].truncate() * normal.y
                + node.normal[2].truncate() * normal.z;
            for along in [a, b] {
                let dot = turned.normalize().dot(world.transform_vector3(along).normalize());
                assert!(dot.abs() < 1e-5, "{scale}: {dot}");
            }
            // It points to the same side of it as before.
            assert!(turned.dot(world.transform_vector3(normal)) > 0.0, "{scale}");
            assert_eq!(node.normal[0].w < 0.0, scale.x < 0.0);
        }
    }
}
