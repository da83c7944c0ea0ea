//! Carries out a plan: per vantage a shadow update, a visibility pass, a shading pass and a copy for the CPU, all
//! vantages in one submission.

use std::collections::BTreeMap;

use glam::{UVec4, Vec3, Vec4};
use tongyou_protocol::TourTime;
use tongyou_scene::{Lighting, Scene};
use wgpu::{
    BindGroup, Buffer, BufferUsages, Color, CommandEncoder, CommandEncoderDescriptor, LoadOp, MapMode, Operations,
    RenderPassColorAttachment, RenderPassDepthStencilAttachment, RenderPassDescriptor, StoreOp,
};

use super::device::{Adapter, Gpu};
use super::layout;
use super::pictures::{Drawn, Picture, Pictures, pixels};
use super::pipelines::{Pipelines, group, raster_index};
use super::scene::{GpuScene, Instant};
use super::shadow::{Casters, ShadowMap};
use super::target::{Readback, Target};
use crate::cull::TILE;
use crate::plan::{PictureKey, RenderPlan, ScenePlan, VantagePlan};
use crate::{Area, Error, Result, SceneId, SceneStore, VantageKey, light};

/// Vantages whose shadow maps are kept; the one that was drawn longest ago goes first.
const KEPT_VANTAGES: usize = 16;

/// The nearer shadow map's place is rounded to this, in metres.
const SHADOW_STEP_M: f32 = 16.0;

/// How an [`Executor`] is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Which adapter to take.
    pub adapter: Adapter,
    /// Larger images are scaled down to this side in pixels, rounded down to a power of two, at least 64. 0 chooses:
    /// 1024 on a GPU, 512 on a software driver.
    pub largest_image: u32,
}

/// Draws plans on one device. Not shared between threads; `plan` may run elsewhere with a clone of [`Self::scenes`].
pub struct Executor {
    gpu: Gpu,
    pipelines: Pipelines,
    largest_image: u32,
    store: SceneStore,
    scenes: Vec<GpuScene>,
    targets: BTreeMap<(u32, u32), Target>,
    vantages: BTreeMap<VantageKey, Vantage>,
    pictures: Pictures,
    /// Counts submissions, to know which vantage was drawn longest ago.
    submissions: u64,
}

/// A finished picture of one vantage.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Whose picture.
    pub key: VantageKey,
    /// The scene's instant that it shows.
    pub time: TourTime,
    /// Seen from here, in metres.
    pub point: Vec3,
    /// The near plane in metres.
    pub near: f32,
    /// Pixels across; a panorama is the atlas of `tongyou_protocol::cube`.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The Y plane, then interleaved U and V; BT.709 limited range, sRGB transfer.
    pub nv12: Vec<u8>,
    /// `round(65535 near / z)` with planar z, 0 for the sky; face after face, rows top to bottom. `None` when it is
    /// the same as in the vantage's last frame.
    pub depth: Option<Vec<u16>>,
    /// Linear factor before tone mapping.
    pub exposure: f32,
    /// The sky's light, see [`crate::ambient_sh`].
    pub ambient_sh: [[f32; 3]; 9],
    /// How many of the vantage's views were drawn for it; the others are as they were.
    pub drawn_views: usize,
}

/// A plan on its way through the device. Give it to [`Executor::collect`].
#[must_use = "frames come out of Executor::collect"]
pub struct Submission {
    index: Option<wgpu::SubmissionIndex>,
    pending: Vec<Pending>,
}

struct Pending {
    /// Everything but the pixels.
    frame: Frame,
    shows: PictureKey,
    /// The picture before, or an empty one.
    picture: Picture,
    drawn: Vec<Drawn>,
    /// Depth goes into the frame.
    with_depth: bool,
    /// Depth was read from the device.
    read_depth: bool,
    /// `None` when nothing was drawn.
    readback: Option<Readback>,
}

/// What is kept of a vantage from set to set.
struct Vantage {
    uniform: Buffer,
    group: BindGroup,
    shadow_near: ShadowMap,
    shadow_far: ShadowMap,
    last_used: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            adapter: Adapter::Best,
            largest_image: 1024,
        }
    }
}

impl Executor {
    /// Opens a device and compiles the pipelines.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`], or [`Error::Gpu`] when the driver refuses a pipeline.
    pub fn new(config: Config) -> Result<Self> {
        let gpu = Gpu::new(config.adapter)?;
        tracing::info!(adapter = %gpu.adapter, "renderer");
        let pipelines = gpu.guarded("compiling pipelines", || Ok(Pipelines::new(&gpu)))?;
        let largest_image = match config.largest_image {
            0 if gpu.software => 512,
            0 => 1024,
            side => side,
        };
        Ok(Self {
            gpu,
            pipelines,
            largest_image: 1 << largest_image.clamp(64, 8192).ilog2(),
            store: SceneStore::new(),
            scenes: Vec::new(),
            targets: BTreeMap::new(),
            vantages: BTreeMap::new(),
            pictures: Pictures::default(),
            submissions: 0,
        })
    }

    /// Gives the device up, as a driver does that resets: for tests of what happens then. Everything after it fails
    /// with [`Error::DeviceLost`].
    #[doc(hidden)]
    pub fn lose_device(&self) {
        self.gpu.device.destroy();
    }

    /// Name, backend and driver of the adapter.
    #[must_use]
    pub fn adapter(&self) -> &str {
        &self.gpu.adapter
    }

    /// Whether the adapter draws on the processor.
    #[must_use]
    pub const fn is_software(&self) -> bool {
        self.gpu.software
    }

    /// The scenes to plan with.
    #[must_use]
    pub const fn scenes(&self) -> &SceneStore {
        &self.store
    }

    /// Uploads a scene.
    ///
    /// # Errors
    /// [`Error::SceneTooLarge`], [`Error::DanglingIndex`], [`Error::OutOfMemory`]; the executor stays usable.
    pub fn add_scene(&mut self, scene: &Scene) -> Result<SceneId> {
        let (prepared, geometry) = SceneStore::prepare(scene)?;
        let gpu_scene = self.gpu.guarded("uploading a scene", || {
            GpuScene::new(&self.gpu, scene, &geometry, self.largest_image)
        })?;
        self.scenes.push(gpu_scene);
        self.store.insert(prepared)
    }

    /// Draws a plan and waits for its frames, in the order of [`RenderPlan::vantages`].
    ///
    /// # Errors
    /// See [`Self::submit`] and [`Self::collect`].
    pub fn execute(&mut self, plan: &RenderPlan) -> Result<Vec<Frame>> {
        let submission = self.submit(plan)?;
        self.collect(submission)
    }

    /// Sends a plan to the device without waiting. Submissions are collected in their order.
    ///
    /// # Errors
    /// [`Error::UnknownScene`], [`Error::OutOfMemory`], [`Error::DeviceLost`], [`Error::Gpu`].
    pub fn submit(&mut self, plan: &RenderPlan) -> Result<Submission> {
        if plan.vantages.is_empty() {
            return Ok(Submission {
                index: None,
                pending: Vec::new(),
            });
        }
        self.submissions += 1;
        for (at, scene) in plan.scenes.iter().enumerate() {
            let id = scene.scene;
            let known = self.store.get(id).zip(self.scenes.get_mut(id.0 as usize));
            let (prepared, gpu_scene) = known.ok_or(Error::UnknownScene(id.0))?;
            let number = instant_number(plan, at);
            self.gpu.guarded("updating a scene", || {
                gpu_scene.update(&self.gpu, &self.pipelines, prepared, scene, number)
            })?;
        }
        let mut encoder = self
            .gpu
            .device
            .create_command_encoder(&CommandEncoderDescriptor { label: Some("plan") });
        let mut pending = Vec::with_capacity(plan.vantages.len());
        for number in 0..plan.vantages.len() {
            pending.push(self.draw(&mut encoder, plan, number)?);
        }
        let index = self.gpu.guarded("submitting", || {
            let index = self.gpu.queue.submit([encoder.finish()]);
            for p in &pending {
                let Some(readback) = &p.readback else { continue };
                // What fails here shows when the range is taken.
                readback.nv12.slice(..).map_async(MapMode::Read, |_| {});
                if p.read_depth {
                    readback.depths.slice(..).map_async(MapMode::Read, |_| {});
                }
            }
            Ok(index)
        })?;
        self.forget_old();
        Ok(Submission {
            index: Some(index),
            pending,
        })
    }

    /// Waits for a submission and reads its frames.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::Gpu`].
    pub fn collect(&mut self, submission: Submission) -> Result<Vec<Frame>> {
        let Some(index) = submission.index else {
            return Ok(Vec::new());
        };
        self.gpu.wait(index)?;
        let mut frames = Vec::with_capacity(submission.pending.len());
        for mut p in submission.pending {
            let mut frame = p.frame;
            if let Some(readback) = p.readback {
                p.picture
                    .take(frame.width, frame.height, &p.drawn, p.read_depth, &readback)?;
                if let Some(target) = self.targets.get_mut(&(frame.width, frame.height)) {
                    target.give_back(readback);
                }
            }
            frame.nv12.clone_from(&p.picture.nv12);
            frame.depth = p.with_depth.then(|| p.picture.depth.clone());
            self.pictures.keep(p.shows, p.picture, self.submissions);
            frames.push(frame);
        }
        Ok(frames)
    }

    fn draw(&mut self, encoder: &mut CommandEncoder, plan: &RenderPlan, number: usize) -> Result<Pending> {
        let vantage = &plan.vantages[number];
        let scene = plan.scenes.get(vantage.scene).ok_or(Error::UnknownScene(u32::MAX))?;
        let id = scene.scene;
        let known = self.store.get(id).zip(self.scenes.get(id.0 as usize));
        let (prepared, gpu_scene) = known.ok_or(Error::UnknownScene(id.0))?;
        let instant = gpu_scene.instant(instant_number(plan, vantage.scene));
        let instant = instant.ok_or(Error::UnknownScene(id.0))?;
        let (gpu, pipelines) = (&self.gpu, &self.pipelines);
        let ambient_sh = light::ambient_sh(&vantage.lighting);
        let size = (vantage.width, vantage.height);
        // Vantages of two sessions may have shown the same.
        let again = plan.vantages[number + 1..].iter().any(|v| v.base == vantage.base);
        let base = vantage.base.and_then(|key| self.pictures.take(key, again));
        let read_depth = vantage.depth || base.is_none();
        let views = vantage.views.iter().enumerate();
        let drawn: Vec<Drawn> = views
            .filter_map(|(number, v)| {
                let area = if base.is_none() {
                    Area::whole(&v.view)
                } else {
                    v.changed?
                };
                Some(Drawn {
                    view: v.view,
                    number,
                    area,
                })
            })
            .collect();
        let whole = base.is_none();
        let mut pending = Pending {
            frame: empty_frame(scene, vantage, ambient_sh, drawn.len()),
            shows: vantage.shows,
            picture: base.unwrap_or_else(|| Picture::new(size.0, size.1)),
            drawn,
            with_depth: vantage.depth,
            read_depth,
            readback: None,
        };
        let Some(first) = pending.drawn.first() else {
            return Ok(pending);
        };
        let drawn = &pending.drawn;
        let depth_bytes = (drawn.len() * pixels(&first.view) * 2) as u64;
        let readback = gpu.guarded("drawing a vantage", || {
            let target = self
                .targets
                .entry(size)
                .or_insert_with(|| Target::new(gpu, size.0, size.1));
            let kept = self
                .vantages
                .entry(vantage.key)
                .or_insert_with(|| Vantage::new(gpu, pipelines));
            kept.last_used = self.submissions;
            let casters = Casters {
                id,
                prepared,
                scene: gpu_scene,
                instant,
                world_from_nodes: &scene.world_from_nodes,
                frame: &kept.group,
            };
            let mut frame = frame_uniform(vantage, drawn, instant, &ambient_sh);
            let l = &vantage.lighting;
            if l.sun != Vec3::ZERO {
                let (near, far) = (&mut kept.shadow_near, &mut kept.shadow_far);
                frame.shadow_near = near.update(gpu, pipelines, encoder, &casters, l.to_sun, vantage.point)?;
                frame.shadow_far = far.update(gpu, pipelines, encoder, &casters, l.to_sun, vantage.point)?;
                frame.shadow_texels = Vec4::new(near.texel_m(), far.texel_m(), 1.0, 0.0);
            }
            gpu.queue.write_buffer(&kept.uniform, 0, bytemuck::bytes_of(&frame));
            target.provide(gpu, drawn.len(), first.view.size);
            for (slot, d) in drawn.iter().enumerate() {
                let planned = &vantage.views[d.number];
                let parts = if whole { &planned.parts } else { &planned.changed_parts };
                raster(pipelines, encoder, target, &casters, parts, (slot, d))?;
            }
            shade(gpu, pipelines, encoder, target, kept, instant, drawn);
            Ok(target.read_back(gpu, encoder, if read_depth { depth_bytes } else { 0 }))
        })?;
        pending.readback = Some(readback);
        Ok(pending)
    }

    fn forget_old(&mut self) {
        while self.vantages.len() > KEPT_VANTAGES {
            let oldest = self.vantages.iter().min_by_key(|(_, v)| v.last_used).map(|(id, _)| *id);
            if let Some(id) = oldest {
                self.vantages.remove(&id);
            }
        }
    }
}

impl Vantage {
    fn new(gpu: &Gpu, pipelines: &Pipelines) -> Self {
        let uniform = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("frame"),
            size: size_of::<layout::Frame>() as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let group = group(gpu, "frame", &pipelines.frame_layout, vec![uniform.as_entire_binding()]);
        Self {
            uniform,
            group,
            shadow_near: ShadowMap::new(gpu, pipelines, 1536, 56.0, SHADOW_STEP_M),
            shadow_far: ShadowMap::new(gpu, pipelines, 1024, 320.0, 64.0),
            last_used: 0,
        }
    }
}

/// How many instants of the same scene go before this one in the plan.
fn instant_number(plan: &RenderPlan, at: usize) -> usize {
    let scene = plan.scenes[at].scene;
    plan.scenes[..at].iter().filter(|s| s.scene == scene).count()
}

fn raster(
    pipelines: &Pipelines,
    encoder: &mut CommandEncoder,
    target: &Target,
    shown: &Casters<'_>,
    parts: &[u32],
    (slot, drawn): (usize, &Drawn),
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
    pass.set_vertex_buffer(0, shown.scene.vertices.slice(..));
    pass.set_index_buffer(shown.scene.indices.slice(..), wgpu::IndexFormat::Uint32);
    let (origin, size) = (drawn.area.origin, drawn.area.size);
    pass.set_scissor_rect(origin.x, origin.y, size.x, size.y);
    let instance_slot = u32::try_from(slot).unwrap_or(0) << 16;
    for (index, pipeline) in pipelines.raster.iter().enumerate() {
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

fn shade(
    gpu: &Gpu,
    pipelines: &Pipelines,
    encoder: &mut CommandEncoder,
    target: &Target,
    kept: &Vantage,
    instant: &Instant,
    drawn: &[Drawn],
) {
    use wgpu::BindingResource::{Sampler, TextureView};
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
        label: Some("shade"),
        timestamp_writes: None,
    });
    pass.set_pipeline(&pipelines.shade);
    pass.set_bind_group(0, &instant.group, &[]);
    pass.set_bind_group(1, &kept.group, &[]);
    for ((d, visibility), slot) in drawn.iter().zip(&target.visibility).zip(&pipelines.slots) {
        let resources = vec![
            TextureView(visibility),
            TextureView(&kept.shadow_near.view),
            TextureView(&kept.shadow_far.view),
            Sampler(&pipelines.shadow_sampler),
            instant.lamps.lamps.as_entire_binding(),
            instant.lamps.cells.as_entire_binding(),
            target.nv12.as_entire_binding(),
            target.depths.as_entire_binding(),
            slot.as_entire_binding(),
        ];
        let shading = group(gpu, "shade", &pipelines.shade_layout, resources);
        pass.set_bind_group(2, &shading, &[]);
        let tiles = (d.area.size + TILE - 1) / TILE;
        pass.dispatch_workgroups(tiles.x, tiles.y, 1);
    }
}

fn frame_uniform(
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
            rect: UVec4::new(v.origin.x, v.origin.y, v.size.x, v.size.y),
            area: UVec4::new(d.area.origin.x, d.area.origin.y, d.area.size.x, d.area.size.y),
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

fn empty_frame(scene: &ScenePlan, vantage: &VantagePlan, ambient_sh: [[f32; 3]; 9], drawn_views: usize) -> Frame {
    Frame {
        key: vantage.key,
        time: scene.time,
        point: vantage.point,
        near: vantage.near,
        width: vantage.width,
        height: vantage.height,
        nv12: Vec::new(),
        depth: None,
        exposure: vantage.lighting.exposure,
        ambient_sh,
        drawn_views,
    }
}
