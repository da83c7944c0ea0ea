//! The render thread: draws all active vantages of all sessions that are due, on a GPU in one submission, and opens
//! the GPU anew when it is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use anyhow::Context;
use tongyou_protocol::frame::{Layer, Tag};
use tongyou_protocol::{ServerTime, SetId, TourTime, VantageId};
use tongyou_render::{Executor, Frame, Memory, SceneId, VantageKey, VantageRequest, plan};
use tongyou_scene::Scene;
use tongyou_session::{ActiveVantage, SessionKey, Tick};
use tongyou_stream::adapt::Quality;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::encode::{Job, Rendered};
use crate::fanout::Key;
use crate::metrics::Metrics;
use crate::slot::{Slot, Wanted};
use crate::stamps::SetTimes;
use crate::views::{self, Views};

/// The near plane in metres, and with it the scale of depth.
pub(crate) const NEAR_M: f32 = 0.2;
/// Sets that a vantage is still sent after motion ends, so that the encoder sharpens what stands still.
const REFINE_SETS: u32 = 5;
/// Load is averaged over about so many wishes.
const LOAD_SHARE: f32 = 0.1;
/// Lower priority than network and tick: software rendering takes every core it gets.
const NICE: i32 = 10;
/// From the loss of a GPU to the first try to open it again; doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A GPU that has worked for so long is lost for the first time again.
const TRUSTED_AFTER: Duration = Duration::from_secs(60);

/// The render thread's state.
pub(crate) struct Renderer {
    scenes: BTreeMap<String, Scene>,
    settings: Settings,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// `None` while it is lost.
    gpu: Option<Gpu>,
    pause: Duration,
    lost_at: Option<ServerTime>,
    /// What every vantage of every session showed.
    memory: Memory,
    next_set: BTreeMap<SessionKey, u32>,
    /// Sets since motion ended.
    refined: BTreeMap<Key, u32>,
    last_drawn: BTreeMap<(SessionKey, usize), ServerTime>,
    /// What was already complained about.
    warned: BTreeSet<(SessionKey, String)>,
    /// The encode thread has not been told what is gone.
    untold: bool,
    views: Views,
    /// The share of the time that drawing and waiting for the encoder take.
    load: f32,
    stepped_at: Option<ServerTime>,
}

/// Limits of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) sets_per_s: f32,
    pub(crate) bitrate_bps: u32,
    /// Pixels along the side of a sharp face.
    pub(crate) face_size: Option<u16>,
}

struct Gpu {
    executor: Executor,
    scenes: BTreeMap<String, SceneId>,
    /// Nothing is gained by one submission: each picture is coded while the next is drawn.
    one_by_one: bool,
}

/// A picture that is due.
struct Due<'a> {
    tick: &'a Tick,
    vantage: &'a ActiveVantage,
    layer: Layer,
    tour_time: TourTime,
    request: VantageRequest,
}

/// Why a wish was not carried out.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Gpu(#[from] tongyou_render::Error),
    #[error("the encode thread is gone")]
    NoEncoder,
}

impl Gpu {
    fn open(scenes: &BTreeMap<String, Scene>) -> Result<Self, tongyou_render::Error> {
        let mut executor = Executor::new(tongyou_render::Config::default())?;
        let mut ids = BTreeMap::new();
        for (name, scene) in scenes {
            ids.insert(name.clone(), executor.add_scene(scene)?);
        }
        Ok(Self {
            one_by_one: executor.is_software(),
            executor,
            scenes: ids,
        })
    }
}

impl Due<'_> {
    fn key(&self) -> Key {
        Key {
            layer: self.layer,
            ..self.base()
        }
    }

    fn base(&self) -> Key {
        base(self.tick.session, self.vantage.vantage)
    }
}

impl Renderer {
    /// Opens the GPU and uploads the scenes. Call it on the thread that will [`Self::run`].
    pub(crate) fn new(
        scenes: BTreeMap<String, Scene>,
        clock: Clock,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        // A container may forbid it, which only costs smoothness.
        if let Err(e) = rustix::process::nice(NICE) {
            warn!("the render thread keeps its priority: {e}");
        }
        let gpu = Gpu::open(&scenes).context("can not render")?;
        info!("rendering on {}", gpu.executor.adapter());
        Ok(Self {
            scenes,
            settings,
            clock,
            metrics,
            gpu: Some(gpu),
            pause: FIRST_PAUSE,
            lost_at: None,
            memory: Memory::default(),
            next_set: BTreeMap::new(),
            refined: BTreeMap::new(),
            last_drawn: BTreeMap::new(),
            warned: BTreeSet::new(),
            untold: false,
            views: Views::default(),
            load: 0.0,
            stepped_at: None,
        })
    }

    /// There is no GPU; or none any more.
    pub(crate) fn is_software(&self) -> bool {
        self.gpu.as_ref().is_none_or(|gpu| gpu.one_by_one)
    }

    /// Draws until the slot closes or the encode thread is gone.
    pub(crate) fn run(mut self, slot: &Slot, jobs: &SyncSender<Job>) {
        let mut due = self.clock.now();
        while let Some(wanted) = slot.take(self.clock, due) {
            let began = self.clock.now();
            match self.step(&wanted, jobs) {
                Ok(next) => {
                    let load = self.measure(began);
                    if let Some(gpu) = &self.gpu {
                        slot.carried_out(self.clock.now(), load, gpu.one_by_one);
                    }
                    due = next;
                }
                Err(e) => {
                    error!("rendering ends: {e}");
                    return;
                }
            }
        }
    }

    /// The load after a wish that was begun then.
    fn measure(&mut self, began: ServerTime) -> f32 {
        let worked = self.clock.now().saturating_since(began).as_secs_f32();
        if let Some(before) = self.stepped_at.replace(began) {
            let passed = began.saturating_since(before).as_secs_f32().max(worked).max(1e-6);
            self.load += LOAD_SHARE * (worked / passed - self.load);
        }
        self.load
    }

    /// Carries out one wish, or deals with a lost GPU. Returns when the next wish is due.
    fn step(&mut self, wanted: &Wanted, jobs: &SyncSender<Job>) -> Result<ServerTime, Failure> {
        let started = self.clock.now();
        self.forget_others(wanted, jobs);
        let Some(gpu) = self.gpu.take().or_else(|| self.reopen()) else {
            return Ok(self.clock.now() + self.pause);
        };
        match self.draw(gpu, wanted, jobs) {
            Ok(()) => Ok(started + Duration::from_secs_f32(1.0 / self.settings.sets_per_s)),
            Err(Failure::Gpu(e)) => Ok(self.lose(&e)),
            Err(e) => Err(e),
        }
    }

    /// The GPU failed and has been dropped. Returns when to open it again.
    fn lose(&mut self, e: &tongyou_render::Error) -> ServerTime {
        let now = self.clock.now();
        let recent = |lost: ServerTime| now.saturating_since(lost) < TRUSTED_AFTER;
        self.pause = if self.lost_at.is_some_and(recent) {
            (self.pause * 2).min(LONGEST_PAUSE)
        } else {
            FIRST_PAUSE
        };
        self.lost_at = Some(now);
        error!(
            "the GPU is lost: {e}. Headsets keep their last picture; it is opened again in {} s",
            self.pause.as_secs()
        );
        now + self.pause
    }

    fn reopen(&mut self) -> Option<Gpu> {
        match Gpu::open(&self.scenes) {
            Ok(gpu) => {
                info!("rendering again on {}", gpu.executor.adapter());
                Some(gpu)
            }
            Err(e) => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                error!(
                    "the GPU can not be opened: {e}. Tried again in {} s",
                    self.pause.as_secs()
                );
                None
            }
        }
    }

    /// Draws what is due and hands it to the encode thread. Gives the GPU back unless it failed.
    fn draw(&mut self, mut gpu: Gpu, wanted: &Wanted, jobs: &SyncSender<Job>) -> Result<(), Failure> {
        let now = self.clock.now();
        let due = self.due(now, wanted, &gpu.scenes);
        let requests: Vec<VantageRequest> = due.iter().map(|d| d.request.clone()).collect();
        let (planned, mut next) = plan(gpu.executor.scenes(), &self.memory, &requests);
        for (key, refusal) in &planned.refused {
            if let Some(d) = due.iter().find(|d| d.request.key == *key) {
                let what = format!("vantage {} can not be drawn: {refusal}", d.vantage.vantage);
                self.complain(d.tick, what);
            }
        }
        let times = SetTimes {
            wanted: wanted.at,
            started: now,
        };
        let plans = if gpu.one_by_one || self.memory.suspects(&planned) {
            planned.split()
        } else {
            vec![planned]
        };
        for plan in plans {
            let frames = gpu.executor.execute(&plan).inspect_err(|_| self.memory.lost(&plan))?;
            next.drawn(&plan);
            let sets: Vec<Rendered> = frames
                .into_iter()
                .filter_map(|frame| {
                    let d = due.iter().find(|d| d.request.key == frame.key)?;
                    Some(self.rendered(d, frame, times, wanted))
                })
                .collect();
            if sets.is_empty() {
                continue;
            }
            let bases = sets.iter().filter(|set| set.key.layer == Layer::Base).count();
            self.metrics.sets_rendered.add(bases as u64);
            self.metrics.layers_rendered.add((sets.len() - bases) as u64);
            self.metrics.render.record(self.clock.now().saturating_since(now));
            jobs.send(Job::Sets(sets)).map_err(|_| Failure::NoEncoder)?;
        }
        self.memory = next;
        self.gpu = Some(gpu);
        Ok(())
    }

    /// What is to be drawn now: each stop of each session at its own rate and instant.
    fn due<'a>(&mut self, now: ServerTime, wanted: &'a Wanted, scenes: &BTreeMap<String, SceneId>) -> Vec<Due<'a>> {
        let mut all = Vec::new();
        for tick in &wanted.ticks {
            let stops: BTreeSet<usize> = tick.vantages.iter().map(|v| v.stop).collect();
            for stop in stops {
                let vantages = tick.vantages.iter().filter(|v| v.stop == stop);
                if !self.is_due(now, tick.session, stop, vantages.clone(), &wanted.quality) {
                    continue;
                }
                let tour_time = TourTime::at(now, tick.tour_zero);
                match self.requests(tick, stop, tour_time, scenes, wanted) {
                    Ok(requests) => all.extend(requests),
                    Err(e) => self.complain(tick, format!("stop {stop} is not drawn: {e:#}")),
                }
            }
        }
        for behind in all.iter().filter(|due| due.layer == Layer::Behind) {
            self.views.asked_behind(now, &behind.base());
        }
        all
    }

    fn is_due<'a>(
        &self,
        now: ServerTime,
        session: SessionKey,
        stop: usize,
        vantages: impl Iterator<Item = &'a ActiveVantage> + Clone,
        quality: &BTreeMap<Key, Quality>,
    ) -> bool {
        let mut keys = vantages.map(|v| base(session, v.vantage));
        let rates = keys.clone().filter_map(|key| quality.get(&key)).map(|q| q.sets_per_s);
        let rate = rates.fold(0.0, f32::max);
        let rate = if rate > 0.0 {
            rate.min(self.settings.sets_per_s)
        } else {
            self.settings.sets_per_s
        };
        // A little tolerance, or the rate would fall to the next whole fraction of the loop's.
        let interval = Duration::from_secs_f32(1.0 / rate).saturating_sub(Duration::from_millis(7));
        let fresh = keys.any(|key| !self.refined.contains_key(&key));
        let last = self.last_drawn.get(&(session, stop));
        fresh || last.is_none_or(|last| now.saturating_since(*last) >= interval)
    }

    /// The pictures of one stop of a session: all bases first, then sharp faces, last what lies behind.
    fn requests<'a>(
        &self,
        tick: &'a Tick,
        stop: usize,
        tour_time: TourTime,
        scenes: &BTreeMap<String, SceneId>,
        wanted: &Wanted,
    ) -> anyhow::Result<Vec<Due<'a>>> {
        let place = tick.tour.stops.get(stop).context("the tour has no such stop")?;
        let scene = *scenes
            .get(&place.scene)
            .with_context(|| format!("no scene {:?}", place.scene))?;
        let lighting = place.light()?;
        #[expect(clippy::cast_possible_truncation, reason = "centuries of microseconds fit")]
        let time = TourTime((place.scene_time_s(tour_time.as_seconds()) * 1e6) as i64);
        let now = self.clock.now();
        let request = |vantage: &'a ActiveVantage, layer: Layer| {
            let base = base(tick.session, vantage.vantage);
            let key = Key { layer, ..base };
            if layer != Layer::Base && !wanted.layers.contains(&key) {
                return None;
            }
            let force = wanted.stale.contains(&key) || self.refined.get(&key).is_some_and(|n| *n < REFINE_SETS);
            let only = match layer {
                Layer::Behind => Some(self.views.behind(now, &base, wanted.stale.contains(&key))?),
                _ => None,
            };
            Some(Due {
                tick,
                vantage,
                layer,
                tour_time,
                request: VantageRequest {
                    key: vantage_key(key),
                    scene,
                    time,
                    lighting: lighting.clone(),
                    point: vantage.point,
                    near: NEAR_M,
                    kind: views::render_kind(vantage.kind, layer, self.settings.face_size)?,
                    only,
                    force,
                },
            })
        };
        let mut all = Vec::new();
        for layer in Layer::all()
            .filter(|layer| *layer != Layer::Behind)
            .chain([Layer::Behind])
        {
            let here = tick.vantages.iter().filter(|v| v.stop == stop);
            all.extend(here.filter_map(|vantage| request(vantage, layer)));
        }
        Ok(all)
    }

    /// Takes note of a picture and describes it.
    fn rendered(&mut self, due: &Due<'_>, frame: Frame, times: SetTimes, wanted: &Wanted) -> Rendered {
        let now = self.clock.now();
        self.last_drawn
            .insert((due.tick.session, due.vantage.stop), times.started);
        let sets = self.refined.entry(due.key()).or_insert(0);
        *sets = if due.request.force { *sets + 1 } else { 0 };
        let counter = self.next_set.entry(due.tick.session).or_insert(0);
        *counter = counter.wrapping_add(1);
        let set = SetId(*counter);
        let kind = &due.request.kind;
        let panorama = due.layer == Layer::Base && *kind == tongyou_render::VantageKind::Panorama;
        let still_ms = if panorama {
            let behind = Key {
                layer: Layer::Behind,
                ..due.base()
            };
            let behind = wanted.layers.contains(&behind);
            let depth = frame.depth.as_deref();
            self.views
                .base(now, due.base(), due.tour_time, frame.changed, depth, behind)
        } else {
            [0; 6]
        };
        let (bitrate_bps, sets_per_s) = wanted
            .quality
            .get(&due.base())
            .map_or((self.settings.bitrate_bps, self.settings.sets_per_s), |q| {
                (q.bitrate_bps, q.sets_per_s)
            });
        let says = views::says(kind);
        Rendered {
            key: due.key(),
            shape: says.shape,
            depth_size: says.depth_size,
            tag: Tag {
                set,
                vantage: due.vantage.vantage,
                epoch: (due.vantage.epoch & 0xffff) as u16,
                point: due.vantage.point,
                near: NEAR_M,
                half_tangent: says.half_tangent,
                tour_time: due.tour_time,
                exposure: frame.exposure,
                ambient: frame.ambient_sh,
                still_ms,
                eyes: says.eyes,
            },
            rendered_at: now,
            times,
            width: frame.width,
            height: frame.height,
            nv12: frame.nv12,
            // A flat picture is drawn with depth, and shown without.
            depth: frame.depth.filter(|_| says.depth_size > 0),
            bitrate_bps: views::bitrate_bps(kind, due.layer, bitrate_bps),
            sets_per_s,
        }
    }

    /// Says something once.
    fn complain(&mut self, tick: &Tick, what: String) {
        let key = (tick.session, what);
        if !self.warned.contains(&key) {
            warn!("session {}: {}", tick.code, key.1);
            self.warned.insert(key);
        }
    }

    /// Drops what is kept for vantages and sessions that are gone.
    fn forget_others(&mut self, wanted: &Wanted, jobs: &SyncSender<Job>) {
        let alive: BTreeSet<Key> = wanted
            .ticks
            .iter()
            .flat_map(|t| t.vantages.iter().map(|v| base(t.session, v.vantage)))
            .chain(wanted.layers.iter().copied())
            .collect();
        if !self.untold && self.refined.keys().all(|key| alive.contains(key)) {
            return;
        }
        self.refined.retain(|key, _| alive.contains(key));
        self.views.retain(|key| alive.contains(key));
        let kept: BTreeSet<VantageKey> = alive.iter().copied().map(vantage_key).collect();
        self.memory.retain(|key| kept.contains(&key));
        let stops: BTreeSet<(SessionKey, usize)> = wanted
            .ticks
            .iter()
            .flat_map(|t| t.vantages.iter().map(|v| (t.session, v.stop)))
            .collect();
        self.last_drawn.retain(|key, _| stops.contains(key));
        let sessions: BTreeSet<SessionKey> = wanted.ticks.iter().map(|t| t.session).collect();
        self.next_set.retain(|session, _| sessions.contains(session));
        self.warned.retain(|(session, _)| sessions.contains(session));
        // When the encode thread is busy the next call says it.
        let told = jobs.try_send(Job::Alive(alive.into_iter().collect()));
        self.untold = matches!(told, Err(TrySendError::Full(_)));
    }
}

/// One number for a vantage of a session.
fn vantage_key(key: Key) -> VantageKey {
    VantageKey(u64::from(key.session.0) << 24 | u64::from(key.vantage.0) << 8 | u64::from(key.layer.number()))
}

/// The base layer of a vantage.
const fn base(session: SessionKey, vantage: VantageId) -> Key {
    Key {
        session,
        vantage,
        layer: Layer::Base,
    }
}

#[cfg(test)]
mod tests;
