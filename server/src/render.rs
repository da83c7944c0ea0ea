//! The render thread: draws every active vantage of every session at the set rate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tongyou_protocol::frame::Tag;
use tongyou_protocol::{ServerTime, SetId, TourTime, VantageId, cube};
use tongyou_render::{Executor, Frame, Memory, SceneId, VantageKind, VantageRequest, plan};
use tongyou_session::{SessionKey, Tick};
use tongyou_stream::adapt::Quality;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::content::Content;
use crate::encode::{Job, Rendered};
use crate::fanout::Key;
use crate::metrics::Metrics;
use crate::stamps::SetTimes;

/// The near plane in metres, and with it the scale of depth.
const NEAR_M: f32 = 0.2;
/// Sets that a vantage is still sent after motion ends, so that the encoder sharpens what stands still.
const REFINE_SETS: u32 = 5;
/// Lower priority than network and tick: software rendering takes every core it gets.
const NICE: i32 = 10;

/// What the tick thread last wanted drawn; the newest replaces what was not taken.
#[derive(Default)]
pub(crate) struct Slot {
    state: Mutex<SlotState>,
    changed: Condvar,
}

#[derive(Default)]
struct SlotState {
    wanted: Option<Wanted>,
    closed: bool,
}

/// What is to be drawn.
#[derive(Clone, Default)]
pub(crate) struct Wanted {
    /// The tick that wants it.
    pub(crate) at: ServerTime,
    pub(crate) ticks: Vec<Tick>,
    pub(crate) quality: BTreeMap<Key, Quality>,
    /// To be drawn even if nothing moves.
    pub(crate) stale: BTreeSet<Key>,
}

impl Slot {
    /// Replaces what is wanted.
    pub(crate) fn put(&self, mut wanted: Wanted) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = state.wanted.take() {
            wanted.stale.extend(old.stale);
        }
        state.wanted = Some(wanted);
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the render thread.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_one();
    }

    /// The newest wish, taken no earlier than `clock` says `due`; `None` when the server ends.
    fn take(&self, clock: Clock, due: ServerTime) -> Option<Wanted> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.closed {
                return None;
            }
            let wait = due.saturating_since(clock.now());
            let timeout = if wait.is_zero() {
                if let Some(wanted) = state.wanted.take() {
                    return Some(wanted);
                }
                Duration::from_secs(1)
            } else {
                wait
            };
            (state, _) = self
                .changed
                .wait_timeout(state, timeout)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The render thread's state.
pub(crate) struct Renderer {
    executor: Executor,
    scenes: BTreeMap<String, SceneId>,
    clock: Clock,
    metrics: Arc<Metrics>,
    sets_per_s: f32,
    bitrate_bps: u32,
    /// What was drawn, by session and stop: each has its own instant.
    memories: BTreeMap<(SessionKey, usize), Memory>,
    next_set: BTreeMap<SessionKey, u32>,
    /// Sets since motion ended.
    refined: BTreeMap<Key, u32>,
    last_drawn: BTreeMap<(SessionKey, usize), ServerTime>,
    warned: BTreeSet<Key>,
}

impl Renderer {
    /// Opens the GPU and uploads the scenes. Call it on the thread that will [`Self::run`].
    pub(crate) fn new(
        content: &Content,
        clock: Clock,
        sets_per_s: f32,
        bitrate_bps: u32,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        // A container may forbid it, which only costs smoothness.
        if let Err(e) = rustix::process::nice(NICE) {
            warn!("the render thread keeps its priority: {e}");
        }
        let mut executor = Executor::new(tongyou_render::Config::default())?;
        info!("rendering on {}", executor.adapter());
        let mut scenes = BTreeMap::new();
        for (name, scene) in &content.scenes {
            scenes.insert(name.clone(), executor.add_scene(scene)?);
        }
        Ok(Self {
            executor,
            scenes,
            clock,
            metrics,
            sets_per_s,
            bitrate_bps,
            memories: BTreeMap::new(),
            next_set: BTreeMap::new(),
            refined: BTreeMap::new(),
            last_drawn: BTreeMap::new(),
            warned: BTreeSet::new(),
        })
    }

    /// Draws until the slot closes or the encode thread is gone.
    pub(crate) fn run(mut self, slot: &Slot, jobs: &SyncSender<Job>) {
        let mut due = self.clock.now();
        while let Some(wanted) = slot.take(self.clock, due) {
            let started = self.clock.now();
            self.forget_others(&wanted, jobs);
            for tick in &wanted.ticks {
                let stops: BTreeSet<usize> = tick.vantages.iter().map(|v| v.stop).collect();
                for stop in stops {
                    if let Err(e) = self.draw(tick, stop, &wanted, jobs) {
                        error!("session {}, stop {stop} is not drawn: {e:#}", tick.code);
                    }
                }
            }
            due = started + Duration::from_secs_f32(1.0 / self.sets_per_s);
        }
    }

    fn draw(&mut self, tick: &Tick, stop: usize, wanted: &Wanted, jobs: &SyncSender<Job>) -> anyhow::Result<()> {
        let quality = &wanted.quality;
        let now = self.clock.now();
        let tour_time = TourTime::at(now, tick.tour_zero);
        let Some(place) = tick.tour.stops.get(stop) else {
            anyhow::bail!("the tour has no such stop")
        };
        let Some(&scene) = self.scenes.get(&place.scene) else {
            anyhow::bail!("no scene {:?}", place.scene)
        };
        let lighting = place.light()?;
        let vantages: Vec<_> = tick.vantages.iter().filter(|v| v.stop == stop).collect();
        let keys = || vantages.iter().map(|v| (tick.session, v.vantage));
        let rate = keys()
            .filter_map(|key| quality.get(&key))
            .map(|q| q.sets_per_s)
            .fold(0.0, f32::max);
        let rate = if rate > 0.0 {
            rate.min(self.sets_per_s)
        } else {
            self.sets_per_s
        };
        // A little tolerance, or the rate would fall to the next whole fraction of the loop's.
        let interval = Duration::from_secs_f32(1.0 / rate).saturating_sub(Duration::from_millis(7));
        let fresh = keys().any(|key| !self.refined.contains_key(&key));
        let early = |last: &ServerTime| now.saturating_since(*last) < interval;
        if !fresh && self.last_drawn.get(&(tick.session, stop)).is_some_and(early) {
            return Ok(());
        }
        let requests: Vec<VantageRequest> = vantages
            .iter()
            .map(|v| VantageRequest {
                vantage: v.vantage,
                scene,
                lighting: lighting.clone(),
                point: v.point,
                near: NEAR_M,
                kind: VantageKind::Panorama,
                force: self
                    .refined
                    .get(&(tick.session, v.vantage))
                    .is_some_and(|n| *n < REFINE_SETS),
            })
            .collect();
        let memory = self.memories.entry((tick.session, stop)).or_default();
        #[expect(clippy::cast_possible_truncation, reason = "centuries of microseconds fit")]
        let scene_time = TourTime((place.scene_time_s(tour_time.as_seconds()) * 1e6) as i64);
        let (planned, next) = plan(self.executor.scenes(), memory, scene_time, &requests);
        for (vantage, refusal) in &planned.refused {
            if self.warned.insert((tick.session, *vantage)) {
                warn!("session {}: vantage {vantage} can not be drawn: {refusal}", tick.code);
            }
        }
        let frames = self.executor.execute(&planned)?;
        let drawn: Vec<VantageId> = planned.vantages.iter().map(|v| v.vantage).collect();
        *memory = next;
        let rendered_at = self.clock.now();
        if !drawn.is_empty() {
            self.metrics.sets_rendered.add(drawn.len() as u64);
            self.metrics.render.record(rendered_at.saturating_since(now));
        }
        for request in &requests {
            let key = (tick.session, request.vantage);
            if drawn.contains(&request.vantage) {
                let sets = self.refined.entry(key).or_insert(0);
                *sets = if request.force { *sets + 1 } else { 0 };
                self.last_drawn.insert((tick.session, stop), now);
            }
        }
        for frame in frames {
            let Some(vantage) = tick.vantages.iter().find(|v| v.vantage == frame.vantage) else {
                continue;
            };
            let key = (tick.session, frame.vantage);
            let counter = self.next_set.entry(tick.session).or_insert(0);
            *counter = counter.wrapping_add(1);
            let tag = Tag {
                set: SetId(*counter),
                vantage: frame.vantage,
                epoch: (vantage.epoch & 0xffff) as u16,
                point: vantage.point,
                near: NEAR_M,
                half_tangent: cube::HALF_TANGENT,
                tour_time,
                exposure: frame.exposure,
                ambient: frame.ambient_sh,
            };
            let Frame {
                nv12,
                depth,
                width,
                height,
                ..
            } = frame;
            let (bitrate_bps, sets_per_s) = quality
                .get(&key)
                .map_or((self.bitrate_bps, self.sets_per_s), |q| (q.bitrate_bps, q.sets_per_s));
            let set = Rendered {
                key,
                tag,
                rendered_at,
                times: SetTimes {
                    wanted: wanted.at,
                    started: now,
                },
                width,
                height,
                nv12,
                depth,
                bitrate_bps,
                sets_per_s,
            };
            if jobs.send(Job::Set(Box::new(set))).is_err() {
                anyhow::bail!("the encode thread is gone");
            }
        }
        Ok(())
    }

    /// Drops what is kept for vantages and sessions that are gone.
    fn forget_others(&mut self, wanted: &Wanted, jobs: &SyncSender<Job>) {
        let alive: BTreeSet<Key> = wanted
            .ticks
            .iter()
            .flat_map(|t| t.vantages.iter().map(|v| (t.session, v.vantage)))
            .collect();
        if self.refined.keys().all(|key| alive.contains(key)) {
            return;
        }
        self.refined.retain(|key, _| alive.contains(key));
        self.warned.retain(|key| alive.contains(key));
        let stops: BTreeSet<(SessionKey, usize)> = wanted
            .ticks
            .iter()
            .flat_map(|t| t.vantages.iter().map(|v| (t.session, v.stop)))
            .collect();
        self.memories.retain(|key, _| stops.contains(key));
        self.last_drawn.retain(|key, _| stops.contains(key));
        self.next_set
            .retain(|session, _| wanted.ticks.iter().any(|t| t.session == *session));
        // Only a hint: when the encode thread is busy the next call says it again.
        if let Err(TrySendError::Disconnected(_)) = jobs.try_send(Job::Alive(alive.into_iter().collect())) {
            warn!("the encode thread is gone");
        }
    }
}

/// Shared by the tick and the render thread.
pub(crate) type SharedSlot = Arc<Slot>;
