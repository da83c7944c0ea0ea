//! The sun's shadow maps of a vantage: what stands still is drawn once, what moves is drawn over a copy.

use glam::{IVec3, Mat4, Vec3, Vec4};
use wgpu::{
    BindGroup, Buffer, BufferUsages, CommandEncoder, Extent3d, LoadOp, Operations, RenderPassDepthStencilAttachment,
    RenderPassDescriptor, StoreOp, Texture, TextureDescriptor, TextureDimension, TextureUsages, TextureView,
    TextureViewDescriptor,
};

use super::device::Gpu;
use super::layout::ShadowView;
use super::pipelines::{DEPTH, Pipelines, group};
use super::scene::{GpuScene, Instant};
use crate::cull::Aabb;
use crate::prepare::Prepared;
use crate::{Result, SceneId};

/// One orthographic map around a point.
pub(crate) struct ShadowMap {
    side: u32,
    radius_m: f32,
    /// The point is rounded to this, so that a moving vantage does not redraw at each step.
    step_m: f32,
    /// What stands still; only where something moves.
    still: Option<(Texture, TextureView)>,
    shown: Texture,
    pub(crate) view: TextureView,
    uniform: Buffer,
    group: BindGroup,
    key: Option<Key>,
}

/// What a map was drawn for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Key {
    scene: SceneId,
    to_sun: Vec3,
    cell: IVec3,
}

/// What is needed to draw a scene's casters.
pub(crate) struct Casters<'a> {
    pub(crate) id: SceneId,
    pub(crate) prepared: &'a Prepared,
    pub(crate) scene: &'a GpuScene,
    pub(crate) instant: &'a Instant,
    pub(crate) world_from_nodes: &'a [Mat4],
    /// The vantage's frame, which the pipeline layout wants.
    pub(crate) frame: &'a BindGroup,
}

impl ShadowMap {
    pub(crate) fn new(gpu: &Gpu, pipelines: &Pipelines, side: u32, radius_m: f32, step_m: f32) -> Self {
        let (shown, view) = texture(gpu, side);
        let uniform = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("shadow view"),
            size: size_of::<ShadowView>() as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let group = group(
            gpu,
            "shadow",
            &pipelines.shadow_layout,
            vec![uniform.as_entire_binding()],
        );
        Self {
            side,
            radius_m,
            step_m,
            still: None,
            shown,
            view,
            uniform,
            group,
            key: None,
        }
    }

    /// Side of a texel in metres.
    #[expect(clippy::cast_precision_loss, reason = "a texture's side")]
    pub(crate) fn texel_m(&self) -> f32 {
        2.0 * self.radius_m / self.side as f32
    }

    /// Draws what has to be drawn and returns `clip_from_world`.
    pub(crate) fn update(
        &mut self,
        gpu: &Gpu,
        pipelines: &Pipelines,
        encoder: &mut CommandEncoder,
        casters: &Casters<'_>,
        to_sun: Vec3,
        point: Vec3,
    ) -> Result<Mat4> {
        let cell = (point / self.step_m).round().as_ivec3();
        let centre = cell.as_vec3() * self.step_m;
        let clip_from_world = fit(centre, self.radius_m, to_sun, &casters.prepared.bounds);
        let key = Key {
            scene: casters.id,
            to_sun,
            cell,
        };
        let fresh = self.key != Some(key);
        let moves = casters.prepared.parts.iter().any(|p| p.moving);
        if !fresh && !moves {
            return Ok(clip_from_world);
        }
        let view = ShadowView { clip_from_world };
        gpu.queue.write_buffer(&self.uniform, 0, bytemuck::bytes_of(&view));
        if fresh {
            if moves && self.still.is_none() {
                self.still = Some(texture(gpu, self.side));
            }
            let target = if moves {
                self.still.as_ref().map_or(&self.view, |s| &s.1)
            } else {
                &self.view
            };
            self.draw(
                pipelines,
                encoder,
                casters,
                &clip_from_world,
                target,
                LoadOp::Clear(1.0),
                false,
            );
        }
        if let (true, Some((still, _))) = (moves, &self.still) {
            let size = still.size();
            encoder.copy_texture_to_texture(still.as_image_copy(), self.shown.as_image_copy(), size);
            self.draw(
                pipelines,
                encoder,
                casters,
                &clip_from_world,
                &self.view,
                LoadOp::Load,
                true,
            );
        }
        self.key = Some(key);
        Ok(clip_from_world)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one private call each for still and moving casters"
    )]
    fn draw(
        &self,
        pipelines: &Pipelines,
        encoder: &mut CommandEncoder,
        casters: &Casters<'_>,
        clip_from_world: &Mat4,
        target: &TextureView,
        load: LoadOp<f32>,
        moving: bool,
    ) {
        let mut pass = encoder.begin_render_pass(&RenderPassDescriptor {
            label: Some("shadow"),
            color_attachments: &[],
            depth_stencil_attachment: Some(RenderPassDepthStencilAttachment {
                view: target,
                depth_ops: Some(Operations {
                    load,
                    store: StoreOp::Store,
                }),
                stencil_ops: None,
            }),
            ..RenderPassDescriptor::default()
        });
        pass.set_bind_group(0, &casters.instant.group, &[]);
        pass.set_bind_group(1, casters.frame, &[]);
        pass.set_bind_group(2, &self.group, &[]);
        pass.set_vertex_buffer(0, casters.scene.vertices.slice(..));
        pass.set_index_buffer(casters.scene.indices.slice(..), wgpu::IndexFormat::Uint32);
        for alpha_tested in [false, true] {
            pass.set_pipeline(&pipelines.shadow[usize::from(alpha_tested)]);
            for (index, part) in (0u32..).zip(&casters.prepared.parts) {
                if part.alpha_tested != alpha_tested || part.moving != moving {
                    continue;
                }
                let world = &casters.world_from_nodes[part.node];
                if overlaps(&part.bounds, &(*clip_from_world * *world)) {
                    let range = part.first_index..part.first_index + part.index_count;
                    pass.draw_indexed(range, part.base_vertex.cast_signed(), index..index + 1);
                }
            }
        }
    }
}

fn overlaps(bounds: &Aabb, clip_from_node: &Mat4) -> bool {
    let b = bounds.transformed(clip_from_node);
    b.min.x < 1.0 && b.max.x > -1.0 && b.min.y < 1.0 && b.max.y > -1.0
}

/// Orthographic along the sun's rays: a square of `radius` around `centre`, as deep as the scene.
fn fit(centre: Vec3, radius: f32, to_sun: Vec3, bounds: &Aabb) -> Mat4 {
    let down = -to_sun.normalize_or(Vec3::Y);
    let right = down.any_orthonormal_vector();
    let up = right.cross(down);
    let along = |p: &Vec3| (*p - centre).dot(down);
    let corners = bounds.corners();
    let reach = corners.iter().map(along);
    // What moves may leave the bounds of tour time 0.
    let (low, high) = reach.fold((-radius, radius), |(low, high), d| {
        (low.min(d - radius * 0.5), high.max(d + radius * 0.5))
    });
    let row = |axis: Vec3, scale: f32, offset: f32| (axis * scale).extend(offset - axis.dot(centre) * scale);
    let depth = 1.0 / (high - low);
    Mat4::from_cols(
        row(right, 1.0 / radius, 0.0),
        row(up, 1.0 / radius, 0.0),
        row(down, depth, -low * depth),
        Vec4::W,
    )
    .transpose()
}

fn texture(gpu: &Gpu, side: u32) -> (Texture, TextureView) {
    let texture = gpu.device.create_texture(&TextureDescriptor {
        label: Some("shadow map"),
        size: Extent3d {
            width: side,
            height: side,
            depth_or_array_layers: 1,
        },
        mip_level_count: 1,
        sample_count: 1,
        dimension: TextureDimension::D2,
        format: DEPTH,
        usage: TextureUsages::RENDER_ATTACHMENT
            | TextureUsages::TEXTURE_BINDING
            | TextureUsages::COPY_SRC
            | TextureUsages::COPY_DST,
        view_formats: &[],
    });
    let view = texture.create_view(&TextureViewDescriptor::default());
    (texture, view)
}
