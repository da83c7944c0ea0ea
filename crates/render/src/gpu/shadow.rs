//! The sun's shadow maps: what stands still is drawn once, what moves is drawn over a copy. Vantages that stand close
//! together, and the layers of one, share a map.

use glam::{IVec3, Mat4, Vec3, Vec4};
use tongyou_protocol::TourTime;
use wgpu::{
    BindGroup, Buffer, BufferUsages, CommandEncoder, Extent3d, LoadOp, Operations, RenderPassDepthStencilAttachment,
    RenderPassDescriptor, StoreOp, Texture, TextureDescriptor, TextureDimension, TextureUsages, TextureView,
    TextureViewDescriptor,
};

use super::device::Gpu;
use super::layout::ShadowView;
use super::pipelines::{DEPTH, Pipelines, group};
use super::scene::{GpuScene, Instant};
use crate::SceneId;
use crate::cull::Aabb;
use crate::prepare::Prepared;

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
    /// The instant at which what moves is in it.
    time: TourTime,
    /// The last submission that read it.
    last_used: u64,
}

/// All maps of one size.
pub(crate) struct ShadowMaps {
    maps: Vec<ShadowMap>,
    side: u32,
    radius_m: f32,
    step_m: f32,
}

/// Maps that are kept of a size; the one that was read longest ago goes first.
const KEPT_MAPS: usize = 16;

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
    pub(crate) time: TourTime,
    /// The vantage's frame, which the pipeline layout wants.
    pub(crate) frame: &'a BindGroup,
}

impl ShadowMaps {
    pub(crate) const fn new(side: u32, radius_m: f32, step_m: f32) -> Self {
        Self {
            maps: Vec::new(),
            side,
            radius_m,
            step_m,
        }
    }

    /// A map around a point as a scene is now, and its `clip_from_world`. Draws what is not drawn yet. What this
    /// submission reads stays as it is, but for what moves in it: passes run in their order.
    pub(crate) fn at(
        &mut self,
        gpu: &Gpu,
        pipelines: &Pipelines,
        encoder: &mut CommandEncoder,
        casters: &Casters<'_>,
        (to_sun, point): (Vec3, Vec3),
        submission: u64,
    ) -> (&ShadowMap, Mat4) {
        let key = Key {
            scene: casters.id,
            to_sun,
            cell: (point / self.step_m).round().as_ivec3(),
        };
        let unused = |m: &&ShadowMap| m.last_used < submission;
        let found = self.maps.iter().position(|m| m.key == Some(key)).or_else(|| {
            let oldest = self.maps.iter().filter(unused).map(|m| m.last_used).min()?;
            let full = self.maps.len() >= KEPT_MAPS;
            full.then(|| self.maps.iter().position(|m| m.last_used == oldest))?
        });
        let at = found.unwrap_or_else(|| {
            let map = ShadowMap::new(gpu, pipelines, self.side, self.radius_m, self.step_m);
            self.maps.push(map);
            self.maps.len() - 1
        });
        let map = &mut self.maps[at];
        map.last_used = submission;
        let clip_from_world = map.update(gpu, pipelines, encoder, casters, key);
        (map, clip_from_world)
    }
}

impl ShadowMap {
    fn new(gpu: &Gpu, pipelines: &Pipelines, side: u32, radius_m: f32, step_m: f32) -> Self {
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
            time: TourTime(0),
            last_used: 0,
        }
    }

    /// Side of a texel in metres.
    #[expect(clippy::cast_precision_loss, reason = "a texture's side")]
    pub(crate) fn texel_m(&self) -> f32 {
        2.0 * self.radius_m / self.side as f32
    }

    /// Draws what has to be drawn and returns `clip_from_world`.
    fn update(
        &mut self,
        gpu: &Gpu,
        pipelines: &Pipelines,
        encoder: &mut CommandEncoder,
        casters: &Casters<'_>,
        key: Key,
    ) -> Mat4 {
        let centre = key.cell.as_vec3() * self.step_m;
        let clip_from_world = fit(centre, self.radius_m, key.to_sun, &casters.prepared.bounds);
        let fresh = self.key != Some(key);
        let moves = casters.prepared.parts.iter().any(|p| p.moving);
        if !fresh && (!moves || self.time == casters.time) {
            return clip_from_world;
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
        (self.key, self.time) = (Some(key), casters.time);
        clip_from_world
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

pub(crate) fn texture(gpu: &Gpu, side: u32) -> (Texture, TextureView) {
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
