//! A picture with depth on the GPU, as it is drawn: the base of a vantage, or what lies behind it.

use super::layout;
use super::pipelines::{Part, Pipelines};
use super::set::Form;
use super::textures::{self, Textures};
use super::{Eye, FaceMesh, Gpu, Set};
use glam::{Mat4, Quat, Vec2, Vec3, Vec4};
use std::sync::Arc;
use tongyou_protocol::cube::FACES;
use tongyou_protocol::frame::{Layer, Shape, Tag};
use wgpu::util::DeviceExt;
use wgpu::{BufferUsages, TextureFormat};

/// Extra angle within which a face is drawn: near things move by more than the eye's offset suggests.
const CULL_SLACK: f32 = 0.35;
/// What lies behind is drawn so much farther away: where both layers show the same thing, the base has it.
const BEHIND_FARTHER: f32 = 1.003;
/// Most faces of a picture.
const FACES_MOST: usize = 6;

/// Where a layer stands, and how bright it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    /// From metres relative to the rendered point to stop-local ones.
    pub(super) world_from_layer: Mat4,
    pub(super) brightness: f32,
    /// By face: how much of the sharp picture is shown, and how many of its places a place of the face is.
    pub(super) sharp: [Vec2; FACES_MOST],
}

/// Colour, depth and geometry of the newest set.
#[derive(Debug)]
pub(super) struct Relief {
    tag: Tag,
    form: Form,
    depth_size: u32,
    colors: Textures,
    depth: wgpu::Texture,
    uniform: wgpu::Buffer,
    group: wgpu::BindGroup,
    faces: Vec<Face>,
}

/// Buffers of one face.
#[derive(Debug)]
struct Face {
    /// What the buffers were made from.
    mesh: Arc<FaceMesh>,
    /// What shows better what the sheet guesses, as the vertices are marked.
    better: Option<Arc<FaceMesh>>,
    vertices: wgpu::Buffer,
    edges: Option<wgpu::Buffer>,
    /// As in [`Part::ALL`] but for the backdrop; `None` where there is nothing to draw.
    indices: [Option<(wgpu::Buffer, u32)>; 3],
}

impl Relief {
    pub(super) fn new(
        gpu: &Gpu,
        pipelines: &Pipelines,
        sampler: &wgpu::Sampler,
        set: &Set,
        sharp: [&wgpu::TextureView; 2],
    ) -> Self {
        let form = set.form();
        let depth_size = depth_size(set);
        let layers = u32::try_from(set.meshes().len()).unwrap_or(0).max(1);
        let colors = Textures::new(gpu, (form.width, form.height), 1);
        let depth = textures::texture(gpu, "depth", (depth_size, depth_size, layers), TextureFormat::R16Uint);
        let uniform = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("layer"),
            size: size_of::<layout::Layer>() as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let group = bind(gpu, pipelines, sampler, (&uniform, &colors, &depth), sharp);
        let relief = Self {
            tag: *set.tag(),
            form,
            depth_size,
            colors,
            depth,
            uniform,
            group,
            faces: set.meshes().iter().map(|mesh| Face::new(gpu, mesh)).collect(),
        };
        relief.colors.write(gpu, 0, set.nv12());
        for face in 0..relief.faces.len() {
            relief.write_depth(gpu, set, face);
        }
        relief
    }

    /// The sharp pictures are elsewhere now.
    pub(super) fn bind_again(
        &mut self,
        gpu: &Gpu,
        pipelines: &Pipelines,
        sampler: &wgpu::Sampler,
        sharp: [&wgpu::TextureView; 2],
    ) {
        self.group = bind(
            gpu,
            pipelines,
            sampler,
            (&self.uniform, &self.colors, &self.depth),
            sharp,
        );
    }

    /// Takes a newer set; false where its sizes differ, so that another one is needed.
    pub(super) fn replace(&mut self, gpu: &Gpu, set: &Set) -> bool {
        if set.form() != self.form || depth_size(set) != self.depth_size || set.meshes().len() != self.faces.len() {
            return false;
        }
        self.colors.write(gpu, 0, set.nv12());
        for (i, mesh) in set.meshes().iter().enumerate() {
            if !Arc::ptr_eq(mesh, &self.faces[i].mesh) {
                self.write_depth(gpu, set, i);
                self.faces[i] = Face::new(gpu, mesh);
            }
        }
        self.tag = *set.tag();
        true
    }

    /// Leaves what the sheet would have to guess to another layer from the same point, where that has something.
    pub(super) fn yield_to(&mut self, gpu: &Gpu, better: Option<&Self>) {
        for (i, face) in self.faces.iter_mut().enumerate() {
            face.yield_to(gpu, better.and_then(|b| b.faces.get(i)).map(|f| &f.mesh));
        }
    }

    /// Of the set on show.
    pub(super) const fn tag(&self) -> &Tag {
        &self.tag
    }

    pub(super) const fn form(&self) -> Form {
        self.form
    }

    pub(super) fn place(&self, gpu: &Gpu, placed: Placed) {
        let (columns, rows) = self.form.atlas();
        let (width, height) = self.form.face();
        let layer = layout::Layer {
            world_from_layer: placed.world_from_layer,
            layer_from_face: std::array::from_fn(|face| layer_from_face(self.form.shape, &self.tag, face)),
            sharp: placed.sharp.map(|s| s.extend(0.0).extend(0.0)),
            depth_scale: 65_535.0 * self.tag.near,
            half_tangent: self.tag.half_tangent,
            depth_size: side(self.depth_size),
            farther: if self.form.layer == Layer::Behind {
                BEHIND_FARTHER
            } else {
                1.0
            },
            face_pixels: Vec2::new(side(width), side(height)),
            atlas: Vec2::new(side(columns), side(rows)),
            foveation: self.tag.eyes.foveation,
            brightness: placed.brightness,
            unused: Vec2::ZERO,
        };
        gpu.queue.write_buffer(&self.uniform, 0, bytemuck::bytes_of(&layer));
    }

    /// For what is drawn over it.
    pub(super) fn bind(&self, pass: &mut wgpu::RenderPass<'_>) {
        pass.set_bind_group(1, &self.group, &[]);
    }

    /// Draws these parts of the faces that are wanted.
    pub(super) fn draw(
        &self,
        pass: &mut wgpu::RenderPass<'_>,
        pipelines: &Pipelines,
        parts: &[Part],
        wanted: impl Fn(usize) -> bool,
    ) {
        pass.set_bind_group(1, &self.group, &[]);
        let (columns, rows) = self.form.atlas();
        for part in parts {
            pass.set_pipeline(pipelines.of(*part));
            for index in (0..columns as usize * rows as usize).filter(|face| wanted(*face)) {
                let instance = u32::try_from(index).unwrap_or(0);
                if *part == Part::Backdrop {
                    pass.draw(0..6, instance..instance + 1);
                    continue;
                }
                let Some(face) = self.faces.get(index) else { continue };
                let vertices = if *part == Part::Edges {
                    face.edges.as_ref()
                } else {
                    Some(&face.vertices)
                };
                let (Some((indices, count)), Some(vertices)) = (&face.indices[*part as usize], vertices) else {
                    continue;
                };
                pass.set_vertex_buffer(0, vertices.slice(..));
                pass.set_index_buffer(indices.slice(..), wgpu::IndexFormat::Uint16);
                pass.draw_indexed(0..*count, 0, instance..instance + 1);
            }
        }
    }

    /// Whether an eye looking along `forward`, which is in the layer's own space like the eye, sees a face.
    pub(super) fn sees(&self, face: usize, eye_in_layer: Vec3, forward: Vec3, half_angle: f32) -> bool {
        match self.form.shape {
            Shape::Flat => true,
            // The nearer eye's face.
            Shape::Stereo => (face == 1) == (eye_in_layer.dot(self.tag.eyes.rotation * Vec3::X) > 0.0),
            Shape::Panorama => {
                let half_diagonal = (self.tag.half_tangent * std::f32::consts::SQRT_2).atan();
                FACES[face].forward.angle_between(forward) < half_angle + half_diagonal + CULL_SLACK
            }
        }
    }

    fn write_depth(&self, gpu: &Gpu, set: &Set, face: usize) {
        let Some(depth) = set.depth() else { return };
        let texels = depth.size() * depth.size();
        let samples = &depth.samples()[face * texels..(face + 1) * texels];
        let size = (self.depth_size, self.depth_size);
        let layer = u32::try_from(face).unwrap_or(0);
        textures::write(
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
        let edges = (!mesh.edges.is_empty())
            .then(|| buffer(gpu, "edges", bytemuck::cast_slice(&mesh.edges), BufferUsages::VERTEX));
        Self {
            vertices: buffer(gpu, "grid", bytemuck::cast_slice(&mesh.vertices), BufferUsages::VERTEX),
            edges,
            indices: [
                indices(gpu, &mesh.edge_indices()),
                indices(gpu, &mesh.surface),
                indices(gpu, &mesh.sheet),
            ],
            mesh: Arc::clone(mesh),
            better: None,
        }
    }

    fn yield_to(&mut self, gpu: &Gpu, better: Option<&Arc<FaceMesh>>) {
        let same = match (&self.better, better) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        if !same {
            self.better = better.cloned();
            let vertices = self.mesh.vertices_beside(better.map(Arc::as_ref));
            self.vertices = buffer(gpu, "grid", bytemuck::cast_slice(&vertices), BufferUsages::VERTEX);
        }
    }
}

impl Placed {
    /// As it was rendered.
    pub(super) fn at(tag: &Tag) -> Self {
        Self {
            world_from_layer: Mat4::from_translation(tag.point),
            brightness: 1.0,
            sharp: [Vec2::ZERO; FACES_MOST],
        }
    }

    /// Turned about its rendered point and set elsewhere.
    pub(super) fn moved(self, point: Vec3, rotation: Quat) -> Self {
        Self {
            world_from_layer: Mat4::from_rotation_translation(rotation, point),
            ..self
        }
    }

    /// An eye's place and where it looks, in the layer's own space.
    pub(super) fn eye_in_layer(&self, eye: Eye) -> (Vec3, Vec3) {
        let layer_from_world = self.world_from_layer.inverse();
        (
            layer_from_world.transform_point3(eye.position),
            layer_from_world.transform_vector3(eye.rotation * Vec3::NEG_Z),
        )
    }
}

fn bind(
    gpu: &Gpu,
    pipelines: &Pipelines,
    sampler: &wgpu::Sampler,
    (uniform, colors, depth): (&wgpu::Buffer, &Textures, &wgpu::Texture),
    [sharp_luma, sharp_chroma]: [&wgpu::TextureView; 2],
) -> wgpu::BindGroup {
    let [luma, chroma] = colors.views(false);
    let depth = textures::view(depth, true);
    let resources = [
        uniform.as_entire_binding(),
        wgpu::BindingResource::TextureView(&luma),
        wgpu::BindingResource::TextureView(&chroma),
        wgpu::BindingResource::TextureView(&depth),
        wgpu::BindingResource::Sampler(sampler),
        wgpu::BindingResource::TextureView(sharp_luma),
        wgpu::BindingResource::TextureView(sharp_chroma),
    ];
    let entries: Vec<_> = (0..)
        .zip(resources)
        .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
        .collect();
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("layer"),
        layout: &pipelines.layer,
        entries: &entries,
    })
}

fn buffer(gpu: &Gpu, label: &str, contents: &[u8], usage: BufferUsages) -> wgpu::Buffer {
    gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: Some(label),
        contents,
        usage,
    })
}

fn indices(gpu: &Gpu, list: &[u16]) -> Option<(wgpu::Buffer, u32)> {
    let count = u32::try_from(list.len()).ok().filter(|n| *n > 0)?;
    let indices = buffer(gpu, "indices", bytemuck::cast_slice(list), BufferUsages::INDEX);
    Some((indices, count))
}

/// x to the right of the picture, y down, z along the face's axis.
fn layer_from_face(shape: Shape, tag: &Tag, face: usize) -> Mat4 {
    if shape == Shape::Panorama {
        let f = FACES[face];
        return Mat4::from_cols(f.right.extend(0.0), -f.up.extend(0.0), f.forward.extend(0.0), Vec4::W);
    }
    let turn = tag.eyes.rotation;
    let side = if face == 0 {
        -tag.eyes.half_ipd
    } else {
        tag.eyes.half_ipd
    };
    Mat4::from_cols(
        (turn * Vec3::X).extend(0.0),
        (turn * Vec3::NEG_Y).extend(0.0),
        (turn * Vec3::NEG_Z).extend(0.0),
        (turn * Vec3::X * side).extend(1.0),
    )
}

fn depth_size(set: &Set) -> u32 {
    set.depth().map_or(1, |d| u32::try_from(d.size()).unwrap_or(u32::MAX))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "textures have fewer than 2^24 texels along a side"
)]
const fn side(size: u32) -> f32 {
    size as f32
}
