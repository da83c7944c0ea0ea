//! The passes of one vantage: visibility of each view, then colour and depth.

use glam::{UVec4, Vec3, Vec4};
use tongyou_scene::Lighting;
use wgpu::{
    BindGroup, Color, CommandEncoder, LoadOp, Operations, RenderPassColorAttachment, RenderPassDepthStencilAttachment,
    RenderPassDescriptor, StoreOp, TextureView,
};

use super::device::Gpu;
use super::layout;
use super::pictures::Drawn;
use super::pipelines::{Pipelines, group, raster_index};
use super::scene::Instant;
use super::shadow::Casters;
use super::target::Target;
use super::vantage::Vantage;
use crate::plan::VantagePlan;
use crate::{Error, Result, light};

/// Finds which triangles a view sees, `slot` being its number among those that are drawn.
pub(crate) fn raster(
    pipelines: &Pipelines,
    encoder: &mut CommandEncoder,
    target: &Target,
    shown: &Casters<'_>,
    parts: &[u32],
    (slot, drawn): (usize, &Drawn),
    cuts: Option<&BindGroup>,
) -> Result<()> {
    let (Some(visibility), Some(depth)) = (target.visibility.get(slot), &target.depth) else {
        return Ok(());
    };
    let mut pass = encoder.begin_render_pass(&RenderPassDescriptor {
        label: Some("visibility"),
        color_attachments: &[Some(RenderPassColorAttachment {
            view: visibility,
            depth_slice: None,
            resolve_target: None,
            ops: Operations {
                load: LoadOp::Clear(Color::TRANSPARENT),
                store: StoreOp::Store,
            },
        })],
        depth_stencil_attachment: Some(RenderPassDepthStencilAttachment {
            view: depth,
            depth_ops: Some(Operations {
                load: LoadOp::Clear(0.0),
                store: StoreOp::Discard,
            }),
            stencil_ops: None,
        }),
        ..RenderPassDescriptor::default()
    });
    pass.set_bind_group(0, &shown.instant.group, &[]);
    pass.set_bind_group(1, shown.frame, &[]);
    pass.set_bind_group(2, cuts, &[]);
    pass.set_vertex_buffer(0, shown.scene.vertices.slice(..));
    pass.set_index_buffer(shown.scene.indices.slice(..), wgpu::IndexFormat::Uint32);
    if let Some(bounds) = drawn.tiles.bounds().filter(|_| !drawn.view.is_undivided()) {
        pass.set_scissor_rect(bounds.origin.x, bounds.origin.y, bounds.size.x, bounds.size.y);
    }
    let instance_slot = u32::try_from(slot).unwrap_or(0) << 16;
    let set = if cuts.is_some() {
        &pipelines.raster_behind
    } else {
        &pipelines.raster
    };
    for (index, pipeline) in set.iter().enumerate() {
        let mut bound = false;
        for &p in parts {
            let part = shown
                .prepared
                .parts
                .get(p as usize)
                .ok_or(Error::UnknownScene(u32::MAX))?;
            if raster_index(part.alpha_tested, part.double_sided, shown.instant.mirrored[p as usize]) != index {
                continue;
            }
            if !bound {
                pass.set_pipeline(pipeline);
                bound = true;
            }
            let instance = instance_slot | p;
            let range = part.first_index..part.first_index + part.index_count;
            pass.draw_indexed(range, part.base_vertex.cast_signed(), instance..instance + 1);
        }
    }
    Ok(())
}

/// Shades the tiles of all views that are drawn, and writes their depths.
#[expect(
    clippy::too_many_arguments,
    reason = "one call; each is another thing of the executor's"
)]
pub(crate) fn shade(
    gpu: &Gpu,
    pipelines: &Pipelines,
    encoder: &mut CommandEncoder,
    target: &Target,
    kept: &Vantage,
    instant: &Instant,
    drawn: &[Drawn],
    [shadow_near, shadow_far]: [&TextureView; 2],
) {
    use wgpu::BindingResource::{Buffer, Sampler, TextureView};
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
        label: Some("shade"),
        timestamp_writes: None,
    });
    pass.set_bind_group(0, &instant.group, &[]);
    pass.set_bind_group(1, &kept.group, &[]);
    for (slot, (d, visibility)) in drawn.iter().zip(&target.visibility).enumerate() {
        let Some(work) = kept.work(slot) else { continue };
        let resources = vec![
            TextureView(visibility),
            TextureView(shadow_near),
            TextureView(shadow_far),
            Sampler(&pipelines.shadow_sampler),
            instant.lamps.lamps.as_entire_binding(),
            instant.lamps.cells.as_entire_binding(),
            target.nv12.as_entire_binding(),
            target.depths.as_entire_binding(),
            Buffer(work),
        ];
        let shading = group(gpu, "shade", &pipelines.shade_layout, resources);
        pass.set_bind_group(2, &shading, &[]);
        let tiles = u32::try_from(d.tiles.len()).unwrap_or(0);
        let [color_of_eye, depth_of_eye] = &pipelines.shade_eye;
        let undivided = d.view.is_undivided();
        pass.set_pipeline(if undivided { color_of_eye } else { &pipelines.shade });
        pass.dispatch_workgroups(tiles, 1, 1);
        if undivided {
            pass.set_pipeline(depth_of_eye);
            // A workgroup does 16 x 8 texels.
            pass.dispatch_workgroups(d.view.depth.x.div_ceil(16), d.view.depth.y.div_ceil(8), 1);
        }
    }
}

/// Everything of a vantage that the shaders read, but for its shadows.
pub(crate) fn frame_uniform(
    vantage: &VantagePlan,
    drawn: &[Drawn],
    instant: &Instant,
    ambient_sh: &[[f32; 3]; 9],
) -> layout::Frame {
    let l: &Lighting = &vantage.lighting;
    let mut frame: layout::Frame = bytemuck::Zeroable::zeroed();
    for (to, d) in frame.views.iter_mut().zip(drawn) {
        let v = &d.view;
        *to = layout::View {
            right: v.world_from_view.x_axis.extend(v.half_tangent.x),
            up: v.world_from_view.y_axis.extend(v.half_tangent.y),
            forward: v.forward().extend(0.0),
            eye: (vantage.point + v.offset).extend(v.foveation),
            rect: UVec4::new(v.origin.x, v.origin.y, v.size.x, v.size.y),
        };
    }
    frame.point = vantage.point.extend(vantage.near);
    frame.to_sun = l.to_sun.normalize_or(Vec3::Y).extend(0.0);
    frame.sun = l.sun.extend(0.0);
    frame.sky_zenith = l.sky_zenith.extend(0.0);
    frame.sky_horizon = l.sky_horizon.extend(0.0);
    frame.ground = l.ground.extend(0.0);
    frame.ambient = light::irradiance_over_pi(ambient_sh).map(|c| c.extend(0.0));
    frame.lamps = l.lamps;
    frame.emissive = l.emissive;
    frame.exposure = l.exposure;
    frame.haze_per_m = l.haze_per_m;
    let grid = &instant.lamps.grid;
    frame.grid = Vec4::new(grid.x, grid.z, grid.cells_per_m, 0.0);
    frame.sizes = UVec4::new(grid.cells_x, grid.cells_z, vantage.width, vantage.height);
    frame
}
