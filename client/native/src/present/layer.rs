//! One vantage on the GPU: the picture, depth and geometry of its newest set.

use super::layout;
use super::pipelines::{Part, Pipelines};
use super::{FaceMesh, Gpu, Set};
use glam::{Mat4, Quat, Vec2, Vec3, Vec4};
use std::sync::Arc;
use tongyou_protocol::cube::FACES;
use tongyou_protocol::frame::Tag;
use wgpu::util::DeviceExt;
use wgpu::{BufferUsages, Extent3d, TextureFormat, TextureUsages};

/// Extra angle within which a face is drawn: near things move by more than the eye's offset suggests.
const CULL_SLACK: f32 = 0.35;

/// Where a layer stands, and how much of it is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    /// From metres relative to the rendered point to stop-local ones.
    pub(super) world_from_layer: Mat4,
    pub(super) share: Vec2,
    pub(super) brightness: f32,
}

/// What of a vantage is on the GPU.
#[derive(Debug)]
pub struct Layer {
    tag: Tag,
    face_size: u32,
    depth_size: u32,
    luma: wgpu::Texture,
    chroma: wgpu::Texture,
    depth: wgpu::Texture,
    uniform: wgpu::Buffer,
    group: wgpu::BindGroup,
    faces: [Face; 6],
}

/// Buffers of one face.
#[derive(Debug)]
struct Face {
    /// What the buffers were made from.
    mesh: Arc<FaceMesh>,
    vertices: wgpu::Buffer,
    edges: Option<wgpu::Buffer>,
    /// As in [`Part::ALL`] but for the backdrop; `None` where there is nothing to draw.
    indices: [Option<(wgpu::Buffer, u32)>; 3],
}

impl Layer {
    pub(super) fn new(gpu: &Gpu, pipelines: &Pipelines, sampler: &wgpu::Sampler, set: &Set) -> Self {
        let (face, depth_size) = (set.face_size(), depth_size(set));
        let luma = texture(gpu, "luma", (3 * face, 2 * face, 1), TextureFormat::R8Unorm);
        let chroma = texture(gpu, "chroma", (3 * face / 2, face, 1), TextureFormat::Rg8Unorm);
        let depth = texture(gpu, "depth", (depth_size, depth_size, 6), TextureFormat::R16Uint);
        let uniform = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("layer"),
            size: size_of::<layout::Layer>() as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let plain = wgpu::TextureViewDescriptor::default();
        let array = wgpu::TextureViewDescriptor {
            dimension: Some(wgpu::TextureViewDimension::D2Array),
            ..wgpu::TextureViewDescriptor::default()
        };
        let views = [
            luma.create_view(&plain),
            chroma.create_view(&plain),
            depth.create_view(&array),
        ];
        let resources = [
            uniform.as_entire_binding(),
            wgpu::BindingResource::TextureView(&views[0]),
            wgpu::BindingResource::TextureView(&views[1]),
            wgpu::BindingResource::TextureView(&views[2]),
            wgpu::BindingResource::Sampler(sampler),
        ];
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("layer"),
            layout: &pipelines.layer,
            entries: &entries,
        });
        let layer = Self {
            tag: *set.tag(),
            face_size: face,
            depth_size,
            luma,
            chroma,
            depth,
            uniform,
            group,
            faces: std::array::from_fn(|i| Face::new(gpu, &set.meshes()[i])),
        };
        layer.write_picture(gpu, set);
        for face in 0..6 {
            layer.write_depth(gpu, set, face);
        }
        layer
    }

    /// Takes a newer set; false where its sizes differ, so that another layer is needed.
    pub(super) fn replace(&mut self, gpu: &Gpu, set: &Set) -> bool {
        if set.face_size() != self.face_size || depth_size(set) != self.depth_size {
            return false;
        }
        self.write_picture(gpu, set);
        for (i, mesh) in set.meshes().iter().enumerate() {
            if !Arc::ptr_eq(mesh, &self.faces[i].mesh) {
                self.write_depth(gpu, set, i);
                self.faces[i] = Face::new(gpu, mesh);
            }
        }
        self.tag = *set.tag();
        true
    }

    /// Of the set on show.
    #[must_use]
    pub const fn tag(&self) -> &Tag {
        &self.tag
    }

    pub(super) fn place(&self, gpu: &Gpu, placed: Placed) {
        let layer = layout::Layer {
            world_from_layer: placed.world_from_layer,
            layer_from_face: std::array::from_fn(layer_from_face),
            depth_scale: 65_535.0 * self.tag.near,
            half_tangent: self.tag.half_tangent,
            depth_size: side(self.depth_size),
            face_size: side(self.face_size),
            share: placed.share,
            brightness: placed.brightness,
            unused: 0.0,
        };
        gpu.queue.write_buffer(&self.uniform, 0, bytemuck::bytes_of(&layer));
    }

    /// For what is drawn over it.
    pub(super) fn bind(&self, pass: &mut wgpu::RenderPass<'_>) {
        pass.set_bind_group(1, &self.group, &[]);
    }

    /// Draws the faces that a view along `forward`, in the layer's own space, can see.
    pub(super) fn draw(
        &self,
        pass: &mut wgpu::RenderPass<'_>,
        pipelines: &Pipelines,
        fading: bool,
        (forward, half_angle): (Vec3, f32),
    ) {
        pass.set_bind_group(1, &self.group, &[]);
        let visible = |face: usize| {
            let half_diagonal = (self.tag.half_tangent * std::f32::consts::SQRT_2).atan();
            FACES[face].forward.angle_between(forward) < half_angle + half_diagonal + CULL_SLACK
        };
        for (number, part) in Part::ALL.into_iter().enumerate() {
            pass.set_pipeline(pipelines.of(number, fading));
            for index in (0..6).filter(|face| visible(*face)) {
                let instance = u32::try_from(index).unwrap_or(0);
                if part == Part::Backdrop {
                    pass.draw(0..6, instance..instance + 1);
                    continue;
                }
                let face = &self.faces[index];
                let vertices = if part == Part::Edges {
                    face.edges.as_ref()
                } else {
                    Some(&face.vertices)
                };
                let (Some((indices, count)), Some(vertices)) = (&face.indices[number], vertices) else {
                    continue;
                };
                pass.set_vertex_buffer(0, vertices.slice(..));
                pass.set_index_buffer(indices.slice(..), wgpu::IndexFormat::Uint16);
                pass.draw_indexed(0..*count, 0, instance..instance + 1);
            }
        }
    }

    fn write_picture(&self, gpu: &Gpu, set: &Set) {
        let (width, height) = (3 * self.face_size, 2 * self.face_size);
        let (luma, chroma) = set.nv12().split_at(width as usize * height as usize);
        write(gpu, &self.luma, 0, luma, (width, height), width);
        write(gpu, &self.chroma, 0, chroma, (width / 2, height / 2), width);
    }

    fn write_depth(&self, gpu: &Gpu, set: &Set, face: usize) {
        let texels = set.depth().size() * set.depth().size();
        let samples = &set.depth().samples()[face * texels..(face + 1) * texels];
        let size = (self.depth_size, self.depth_size);
        let layer = u32::try_from(face).unwrap_or(0);
        write(
            gpu,
            &self.depth,
            layer,
            bytemuck::cast_slice(samples),
            size,
            2 * self.depth_size,
        );
    }
}

impl Face {
    fn new(gpu: &Gpu, mesh: &Arc<FaceMesh>) -> Self {
        let buffer = |label, contents: &[u8], usage| {
            gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some(label),
                contents,
                usage,
            })
        };
        let indices = |list: &[u16]| {
            let count = u32::try_from(list.len()).ok().filter(|n| *n > 0)?;
            Some((
                buffer("indices", bytemuck::cast_slice(list), BufferUsages::INDEX),
                count,
            ))
        };
        let edges =
            (!mesh.edges.is_empty()).then(|| buffer("edges", bytemuck::cast_slice(&mesh.edges), BufferUsages::VERTEX));
        Self {
            vertices: buffer("grid", bytemuck::cast_slice(&mesh.vertices), BufferUsages::VERTEX),
            edges,
            indices: [
                indices(&mesh.edge_indices()),
                indices(&mesh.surface),
                indices(&mesh.sheet),
            ],
            mesh: Arc::clone(mesh),
        }
    }
}

impl Placed {
    /// As it was rendered.
    pub(super) fn at(tag: &Tag) -> Self {
        Self {
            world_from_layer: Mat4::from_translation(tag.point),
            share: Vec2::new(0.0, 1.0),
            brightness: 1.0,
        }
    }

    /// Turned about its rendered point and set elsewhere.
    pub(super) fn moved(self, point: Vec3, rotation: Quat) -> Self {
        Self {
            world_from_layer: Mat4::from_rotation_translation(rotation, point),
            ..self
        }
    }
}

/// x to the right of the picture, y down, z along the face's axis.
fn layer_from_face(face: usize) -> Mat4 {
    let f = FACES[face];
    Mat4::from_cols(f.right.extend(0.0), -f.up.extend(0.0), f.forward.extend(0.0), Vec4::W)
}

fn depth_size(set: &Set) -> u32 {
    u32::try_from(set.depth().size()).unwrap_or(u32::MAX)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "textures have fewer than 2^24 texels along a side"
)]
const fn side(size: u32) -> f32 {
    size as f32
}

fn texture(gpu: &Gpu, label: &str, (width, height, layers): (u32, u32, u32), format: TextureFormat) -> wgpu::Texture {
    gpu.device.create_texture(&wgpu::TextureDescriptor {
        label: Some(label),
        size: Extent3d {
            width,
            height,
            depth_or_array_layers: layers,
        },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: TextureUsages::TEXTURE_BINDING | TextureUsages::COPY_DST,
        view_formats: &[],
    })
}

fn write(gpu: &Gpu, to: &wgpu::Texture, layer: u32, bytes: &[u8], (width, height): (u32, u32), row: u32) {
    gpu.queue.write_texture(
        wgpu::TexelCopyTextureInfo {
            texture: to,
            mip_level: 0,
            origin: wgpu::Origin3d { x: 0, y: 0, z: layer },
            aspect: wgpu::TextureAspect::All,
        },
        bytes,
        wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(row),
            rows_per_image: Some(height),
        },
        Extent3d {
            width,
            height,
            depth_or_array_layers: 1,
        },
    );
}
