//! Carries out a plan: per vantage a shadow update, a visibility pass, a shading pass and a copy for the CPU, all
//! vantages in one submission.

use std::collections::{BTreeMap, HashMap};

use glam::{Vec3, Vec4};
use tongyou_protocol::TourTime;
use tongyou_scene::Scene;
use wgpu::{CommandEncoder, CommandEncoderDescriptor, MapMode};

use super::device::{Adapter, Gpu};
use super::passes;
use super::pictures::{Drawn, Picture, Pictures};
use super::pipelines::Pipelines;
use super::scene::GpuScene;
use super::shadow::{Casters, ShadowMaps};
use super::target::{Readback, Shape, Target};
use super::vantage::Vantage;
use crate::behind::TileMask;
use crate::plan::{PictureKey, RenderPlan, ScenePlan, VantagePlan};
use crate::{Error, Result, SceneId, SceneStore, Tiles, VantageKey, light};

/// Vantages whose buffers are kept; the one that was drawn longest ago goes first.
const KEPT_VANTAGES: usize = 64;

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
    targets: HashMap<Shape, Target>,
    vantages: BTreeMap<VantageKey, Vantage>,
    shadows_near: ShadowMaps,
    shadows_far: ShadowMaps,
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
    /// `round(65535 near / z)` with planar z, 0 for the sky; view after view, rows top to bottom. `None` when it is
    /// the same as in the vantage's last frame, and for a face. [`crate::behind::ABSENT`] outside a mask.
    pub depth: Option<Vec<u16>>,
    /// Linear factor before tone mapping.
    pub exposure: f32,
    /// The sky's light, see [`crate::ambient_sh`].
    pub ambient_sh: [[f32; 3]; 9],
    /// How many of the vantage's views were drawn for it; the others are as they were.
    pub drawn_views: usize,
    /// For each of the vantage's views, whether its colours differ from the last frame's.
    pub changed: [bool; 6],
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
    shape: Shape,
    masked: bool,
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
            targets: HashMap::new(),
            vantages: BTreeMap::new(),
            shadows_near: ShadowMaps::new(1536, 56.0, 16.0),
            shadows_far: ShadowMaps::new(1024, 320.0, 64.0),
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
                let size = (frame.width, frame.height);
                p.picture.take(size, &p.drawn, p.read_depth, p.masked, &readback)?;
                if let Some(target) = self.targets.get_mut(&p.shape) {
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
        // Vantages of two sessions may have shown the same.
        let again = plan.vantages[number + 1..].iter().any(|v| v.base == vantage.base);
        let base = vantage.base.and_then(|key| self.pictures.take(key, again));
        let whole = base.is_none();
        let drawn = drawn(vantage, whole);
        let shape = Shape::of(vantage);
        let depths = vantage.views.iter().map(|v| v.view.depth_len()).sum();
        let masked = vantage.only.is_some();
        let mut pending = Pending {
            frame: empty_frame(scene, vantage, ambient_sh, drawn.len()),
            shows: vantage.shows,
            shape,
            masked,
            picture: base.unwrap_or_else(|| Picture::new(vantage.width, vantage.height, depths, masked)),
            drawn,
            with_depth: vantage.depth,
            read_depth: depths > 0 && (vantage.depth || whole),
            readback: None,
        };
        let drawn = &pending.drawn;
        let Some(first) = drawn.first() else {
            return Ok(pending);
        };
        let depth_bytes = (drawn.len() * first.view.depth_len() * 2) as u64;
        let readback = gpu.guarded("drawing a vantage", || {
            let target = self.targets.entry(shape).or_insert_with(|| Target::new(gpu, shape));
            let kept = self
                .vantages
                .entry(vantage.key)
                .or_insert_with(|| Vantage::new(gpu, pipelines));
            kept.last_used = self.submissions;
            kept.prepare(gpu, drawn, vantage.only.as_deref());
            let casters = Casters {
                id,
                prepared,
                scene: gpu_scene,
                instant,
                world_from_nodes: &scene.world_from_nodes,
                time: scene.time,
                frame: &kept.group,
            };
            let mut frame = passes::frame_uniform(vantage, drawn, instant, &ambient_sh);
            let l = &vantage.lighting;
            let [near, far] = if l.sun == Vec3::ZERO {
                [&pipelines.no_shadow; 2]
            } else {
                let (sun, now) = ((l.to_sun, vantage.point), self.submissions);
                let (near, clip) = self.shadows_near.at(gpu, pipelines, encoder, &casters, sun, now);
                frame.shadow_near = clip;
                let (far, clip) = self.shadows_far.at(gpu, pipelines, encoder, &casters, sun, now);
                frame.shadow_far = clip;
                frame.shadow_texels = Vec4::new(near.texel_m(), far.texel_m(), 1.0, 0.0);
                [&near.view, &far.view]
            };
            gpu.queue.write_buffer(&kept.uniform, 0, bytemuck::bytes_of(&frame));
            target.provide(gpu, drawn.len());
            for (slot, d) in drawn.iter().enumerate() {
                let planned = &vantage.views[d.number];
                let parts = if whole && !masked {
                    &planned.parts
                } else {
                    &planned.changed_parts
                };
                let cuts = kept.cuts(gpu, pipelines, d.number);
                passes::raster(pipelines, encoder, target, &casters, parts, (slot, d), cuts.as_ref())?;
            }
            passes::shade(gpu, pipelines, encoder, target, kept, instant, drawn, [near, far]);
            let depth_bytes = if pending.read_depth { depth_bytes } else { 0 };
            Ok(target.read_back(gpu, encoder, depth_bytes))
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

/// How many instants of the same scene go before this one in the plan.
fn instant_number(plan: &RenderPlan, at: usize) -> usize {
    let scene = plan.scenes[at].scene;
    plan.scenes[..at].iter().filter(|s| s.scene == scene).count()
}

/// What of a vantage is drawn: what changed, or, where there is no picture before, all that is to be seen of it.
fn drawn(vantage: &VantagePlan, whole: bool) -> Vec<Drawn> {
    let only = |number| vantage.only.as_deref().and_then(|mask: &TileMask| mask.tiles(number));
    let views = vantage.views.iter().enumerate().map(|(number, v)| {
        let tiles = match (whole, only(number)) {
            (false, _) => v.changed.clone(),
            (true, Some(only)) => only.clone(),
            (true, None) => Tiles::all(v.view.size),
        };
        let view = v.view;
        Drawn { view, number, tiles }
    });
    views.filter(|d| !d.tiles.is_empty()).collect()
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
        changed: std::array::from_fn(|i| vantage.views.get(i).is_some_and(|v| !v.changed.is_empty())),
    }
}
