//! A scene on the GPU: geometry, materials and images once; transforms and lamps for each instant that is shown.

use bytemuck::cast_slice;
use glam::Vec4;
use tongyou_scene::{Alpha, Scene};
use wgpu::{BindGroup, Buffer, BufferUsages};

use super::device::Gpu;
use super::layout::{MATERIAL_BLEND, MATERIAL_UNLIT, Material, NO_TEXTURE, PART_MIRRORED, Part};
use super::pipelines::Pipelines;
use super::textures::Textures;
use crate::lamps::{Grid, Lamp};
use crate::plan::ScenePlan;
use crate::prepare::{Geometry, Prepared, is_mirrored, too_large};
use crate::{Error, Result};

/// One scene's buffers.
pub(crate) struct GpuScene {
    pub(crate) vertices: Buffer,
    pub(crate) indices: Buffer,
    materials: Buffer,
    textures: Textures,
    /// One for each instant at which a submission shows the scene, kept for the next.
    instants: Vec<Instant>,
}

/// What of a scene depends on time.
pub(crate) struct Instant {
    pub(crate) group: BindGroup,
    pub(crate) lamps: Lamps,
    parts: Buffer,
    /// Per part, whether its transform turns triangles inside out.
    pub(crate) mirrored: Vec<bool>,
}

/// Lamps and their grid.
pub(crate) struct Lamps {
    pub(crate) lamps: Buffer,
    pub(crate) cells: Buffer,
    pub(crate) grid: Grid,
    held: Vec<Lamp>,
}

impl GpuScene {
    pub(crate) fn new(gpu: &Gpu, scene: &Scene, geometry: &Geometry, largest_image: u32) -> Result<Self> {
        let limit = gpu.device.limits().max_storage_buffer_binding_size;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        for (what, bytes) in [
            ("bytes of vertices", size_of_val(geometry.vertices.as_slice())),
            ("bytes of indices", size_of_val(geometry.indices.as_slice())),
        ] {
            if bytes > limit {
                return Err(too_large(scene, what, bytes, limit));
            }
        }
        let textures = Textures::new(gpu, scene, largest_image)?;
        let materials = materials(scene, &textures);
        let vertices = buffer(gpu, "vertices", cast_slice(&geometry.vertices), BufferUsages::VERTEX);
        let indices = buffer(gpu, "indices", cast_slice(&geometry.indices), BufferUsages::INDEX);
        let materials = buffer(gpu, "materials", cast_slice(&materials), BufferUsages::empty());
        Ok(Self {
            vertices,
            indices,
            materials,
            textures,
            instants: Vec::new(),
        })
    }

    /// Uploads transforms and lamps of an instant; `number` tells the instants of one submission apart.
    pub(crate) fn update(
        &mut self,
        gpu: &Gpu,
        pipelines: &Pipelines,
        prepared: &Prepared,
        plan: &ScenePlan,
        number: usize,
    ) -> Result<()> {
        if plan.world_from_nodes.len() != prepared.skeleton.nodes.len() {
            return Err(Error::UnknownScene(plan.scene.0));
        }
        while self.instants.len() <= number {
            let instant = self.new_instant(gpu, pipelines, prepared);
            self.instants.push(instant);
        }
        self.instants[number].update(gpu, prepared, plan);
        Ok(())
    }

    /// What was uploaded for this submission under `number`.
    pub(crate) fn instant(&self, number: usize) -> Option<&Instant> {
        self.instants.get(number)
    }

    fn new_instant(&self, gpu: &Gpu, pipelines: &Pipelines, prepared: &Prepared) -> Instant {
        let empty = vec![0; prepared.parts.len() * size_of::<Part>()];
        let parts = buffer(gpu, "parts", &empty, BufferUsages::empty());
        let (vertices, indices) = (&self.vertices, &self.indices);
        Instant {
            group: pipelines.scene_group(gpu, vertices, indices, &parts, &self.materials, &self.textures),
            lamps: Lamps::new(gpu, Vec::new()),
            parts,
            mirrored: Vec::new(),
        }
    }
}

impl Instant {
    fn update(&mut self, gpu: &Gpu, prepared: &Prepared, plan: &ScenePlan) {
        self.mirrored.clear();
        let mut parts = Vec::with_capacity(prepared.parts.len());
        for part in &prepared.parts {
            let world = plan.world_from_nodes[part.node];
            let mirrored = is_mirrored(&world);
            self.mirrored.push(mirrored);
            parts.push(Part {
                world_from_node_x: world.row(0),
                world_from_node_y: world.row(1),
                world_from_node_z: world.row(2),
                first_index: part.first_index,
                base_vertex: part.base_vertex,
                material: part.material,
                flags: if mirrored { PART_MIRRORED } else { 0 },
            });
        }
        gpu.queue.write_buffer(&self.parts, 0, cast_slice(&parts));
        if self.lamps.held != plan.lamps {
            self.lamps = Lamps::new(gpu, plan.lamps.clone());
        }
    }
}

impl Lamps {
    fn new(gpu: &Gpu, lamps: Vec<Lamp>) -> Self {
        let grid = Grid::new(&lamps);
        Self {
            lamps: buffer(gpu, "lamps", cast_slice(&lamps), BufferUsages::empty()),
            cells: buffer(gpu, "lamp cells", cast_slice(&grid.words), BufferUsages::empty()),
            grid,
            held: lamps,
        }
    }
}

/// A storage buffer; never empty, since a binding may not be.
fn buffer(gpu: &Gpu, label: &'static str, bytes: &[u8], usage: BufferUsages) -> Buffer {
    let contents = if bytes.is_empty() { &[0; 256] } else { bytes };
    gpu.filled_buffer(label, contents, usage | BufferUsages::STORAGE)
}

/// glTF's default material, then the scene's.
fn materials(scene: &Scene, textures: &Textures) -> Vec<Material> {
    let default = Material {
        base_color: Vec4::ONE,
        emissive: Vec4::ZERO,
        metallic: 0.0,
        roughness: 1.0,
        normal_scale: 1.0,
        flags: 0,
        base_color_texture: NO_TEXTURE,
        metallic_roughness_texture: NO_TEXTURE,
        normal_texture: NO_TEXTURE,
        emissive_texture: NO_TEXTURE,
    };
    let scene_materials = scene.materials.iter().map(|m| {
        let cutoff = if let Alpha::Mask(cutoff) = m.alpha { cutoff } else { 0.5 };
        let blend = if m.alpha == Alpha::Blend { MATERIAL_BLEND } else { 0 };
        Material {
            base_color: m.base_color,
            emissive: m.emissive.extend(cutoff),
            metallic: m.metallic,
            roughness: m.roughness,
            normal_scale: m.normal_scale,
            flags: blend | if m.unlit { MATERIAL_UNLIT } else { 0 },
            base_color_texture: textures.color(m.base_color_texture),
            metallic_roughness_texture: textures.data(m.metallic_roughness_texture),
            normal_texture: textures.data(m.normal_texture),
            emissive_texture: textures.color(m.emissive_texture),
        }
    });
    std::iter::once(default).chain(scene_materials).collect()
}
