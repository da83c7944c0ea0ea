//! One bot: wears a headset, moves, and checks what it sees.

use crate::guide::Guide;
use crate::motion::{Person, Surroundings};
use crate::report::{Ages, BotReport, Clock, Sets, StopChange};
use crate::{Motion, ticket};
use glam::{Quat, Vec3};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tongyou_client::core::{Event, Headset, LocalPose};
use tongyou_client::net::{Display, End, Error, Moment, Picture, Presented, Wearer};
use tongyou_protocol::frame::Layer;
use tongyou_protocol::{ClientTime, SetId};
use tongyou_stream::receive::{Complete, Counters, StreamId};

const MOST_AGES: usize = 20_000;
const MOST_PROBLEMS: usize = 5;
const MOST_CHANGES: usize = 1_000;
/// How far a rendered point may lie from the cell's.
const POINT_TOLERANCE_M: f32 = 0.05;
/// How far in the future a set may seem to be rendered: the clock's error.
const CLOCK_TOLERANCE_US: i64 = 150_000;
/// How far behind the end of rendering the instant shown may lie: rendering takes its time.
const MOST_BEHIND_US: i64 = 20_000_000;
/// Others are looked for this often.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What the bot's task and the report share.
#[derive(Debug, Default)]
pub(crate) struct Shared(Mutex<Data>);

#[derive(Debug, Default)]
struct Data {
    report: BotReport,
    ages_us: VecDeque<u32>,
    shown_ages_us: VecDeque<u32>,
    sets: BTreeSet<u32>,
}

impl Shared {
    pub(crate) fn report(&self) -> BotReport {
        let data = self.lock();
        BotReport {
            age_ms: quantiles(&data.ages_us),
            shown_age_ms: quantiles(&data.shown_ages_us),
            ..data.report.clone()
        }
    }

    pub(crate) fn sets(&self) -> BTreeSet<u32> {
        self.lock().sets.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    fn problem(&mut self, text: String) {
        tracing::warn!(bot = self.report.name, "{text}");
        if self.report.problems.len() < MOST_PROBLEMS {
            self.report.problems.push(text);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Bot {
    shared: Arc<Shared>,
    person: Person,
    display_hz: Option<f32>,
    ticket: Option<PathBuf>,
    guide: Option<Guide>,
    began: Moment,
    stepped: Option<ClientTime>,
    looked: Option<ClientTime>,
    others: Vec<Vec3>,
    newest: BTreeMap<StreamId, SetId>,
    /// Counts of connections before this one.
    earlier: Counters,
    latest: Counters,
}

impl Bot {
    pub(crate) fn new(
        name: String,
        seed: u64,
        motion: Motion,
        display_hz: Option<f32>,
        lead_interval: Option<Duration>,
        shared: Arc<Shared>,
        began: Moment,
    ) -> Self {
        shared.lock().report.name = name;
        Self {
            shared,
            person: Person::new(seed, motion),
            display_hz,
            ticket: None,
            guide: lead_interval.map(Guide::new),
            began,
            stepped: None,
            looked: None,
            others: Vec::new(),
            newest: BTreeMap::new(),
            earlier: Counters::default(),
            latest: Counters::default(),
        }
    }

    /// Keeps its ticket there.
    pub(crate) fn keep_ticket(&mut self, path: Option<PathBuf>) {
        self.ticket = path;
    }

    /// The visit is over.
    pub(crate) fn finish(&self, end: Result<End, Error>) {
        match end {
            Ok(End::Cancelled) => {}
            Ok(End::Ended(message)) => tracing::info!(message, "the session ended"),
            Err(error) => self.shared.lock().report.error = Some(error.to_string()),
        }
    }

    fn since_began_ms(&self, at: Moment) -> f64 {
        Duration::from_micros(u64::try_from(at.machine_us - self.began.machine_us).unwrap_or(0)).as_secs_f64() * 1e3
    }

    fn on_complete(&mut self, at: Moment, set: &Complete, headset: &Headset) {
        let wrong = self.check(at, set, headset);
        let first = self.since_began_ms(at);
        // A display says by itself what it has presented.
        let shown = self.display_hz.is_none() && headset.shown() == Some(set.stream);
        let tour = headset.tour_time_at(at.client);
        let mut data = self.shared.lock();
        let layer = set.stream.layer;
        if layer != Layer::Base {
            *data.report.layers.entry(layer.to_string()).or_default() += 1;
        } else {
            data.sets.insert(set.color.tag.set.0);
        }
        if let Some(tour) = tour.filter(|_| layer == Layer::Base) {
            keep(&mut data.shown_ages_us, tour.saturating_since(set.color.tag.tour_time));
        }
        data.report.first_set_after_ms.get_or_insert(first);
        if let Some(age) = set.age {
            keep(&mut data.ages_us, age);
        }
        if let Some(change) = data.report.stop_changes.last_mut().filter(|_| shown) {
            change.presented_machine_us.get_or_insert(at.machine_us);
        }
        if let Some(wrong) = wrong {
            data.report.wrong_tags += 1;
            data.problem(format!("set {}: {wrong}", set.color.tag.set));
        }
    }

    /// What in the tags contradicts the tour, the placement or the clock.
    fn check(&mut self, at: Moment, set: &Complete, headset: &Headset) -> Option<String> {
        let color = set.color.tag;
        // A layer without depth has nothing that could contradict it.
        let depth = set.depth.as_ref().map_or(color, |d| d.header.tag);
        if let Some(newest) = self.newest.insert(set.stream, color.set)
            && newest >= color.set
        {
            return Some(format!("complete after set {newest}"));
        }
        if self.newest.len() > 16 {
            self.newest.pop_first();
        }
        if depth.vantage != color.vantage || depth.epoch != color.epoch {
            return Some(format!("depth of vantage {} in epoch {}", depth.vantage, depth.epoch));
        }
        if depth.set > color.set {
            return Some(format!("depth of the later set {}", depth.set));
        }
        if depth.point != color.point {
            return Some(format!("colour at {}, depth at {}", color.point, depth.point));
        }
        if let (Some(server), Some(tour)) = (headset.server_at(at.client), headset.tour_time_at(at.client)) {
            let ahead_us = set.color.rendered_at.micros_since(server);
            if ahead_us > CLOCK_TOLERANCE_US {
                return Some(format!("rendered {ahead_us} µs in the future"));
            }
            let tour_time_us = tour.0 + set.color.rendered_at.micros_since(server);
            let off_us = color.tour_time.0 - tour_time_us;
            if !(-MOST_BEHIND_US..=CLOCK_TOLERANCE_US).contains(&off_us) {
                return Some(format!("tour time is {off_us} µs after the end of rendering"));
            }
        }
        self.check_point(set, headset)
    }

    /// The rendered point is that of the cell that the placement said.
    fn check_point(&self, set: &Complete, headset: &Headset) -> Option<String> {
        let current = headset.current()?;
        if headset.shown() != Some(set.stream) {
            return None;
        }
        let cell = headset.stop()?.cells.get(current.placement.cell as usize)?;
        let point: Vec3 = cell.point?.into();
        let off_m = set.color.tag.point.distance(point);
        (off_m > POINT_TOLERANCE_M).then(|| {
            format!(
                "rendered {off_m} m from cell {} of stop {}",
                current.placement.cell, current.stop
            )
        })
    }

    fn surroundings(&mut self, at: Moment, headset: &mut Headset) -> Surroundings {
        let Some((seat, turn)) = seat(headset) else {
            return Surroundings::default();
        };
        let to_room = |p: Vec3| turn.inverse() * (p - seat);
        let origin: Vec3 = headset.stop().and_then(|s| s.pose_origin).unwrap_or_default().into();
        if self.looked.is_none_or(|t| at.client >= t + LOOK_INTERVAL) {
            self.looked = Some(at.client);
            let avatars = headset.avatars(at.client);
            self.others = avatars
                .iter()
                .map(|(_, body)| to_room(body.head.position + origin))
                .collect();
            let mut data = self.shared.lock();
            data.report.avatars_seen = data.report.avatars_seen.max(avatars.len());
            data.report.guide = headset.leads();
            data.report.clock = Clock {
                error_ms: headset.clock().error_estimate().unwrap_or_default().as_secs_f64() * 1e3,
                skew_ppm: headset.clock().skew_ppm(),
            };
        }
        Surroundings {
            sight: headset.stop().and_then(|s| s.look_at).map(|p| to_room(p.into())),
            others: self.others.clone(),
            leads: headset.leads() && !self.guide.as_ref().is_some_and(Guide::retired),
        }
    }

    fn maybe_walk(&mut self, headset: &mut Headset) {
        if !self.person.wants_to_walk() {
            return;
        }
        let (Some(stop), Some(current)) = (headset.stop(), headset.current()) else {
            return;
        };
        let (cells, here) = (stop.cells.len(), current.placement.cell as usize);
        if cells > 1 {
            let ahead = 1 + self.person.pick(cells - 1);
            headset.move_to_cell(u32::try_from((here + ahead) % cells).unwrap_or(0));
        }
    }

    fn count(&mut self, headset: &Headset) {
        let now = headset.counters();
        if now.frames < self.latest.frames {
            self.earlier = sum(self.earlier, self.latest);
        }
        self.latest = now;
        let all = sum(self.earlier, self.latest);
        let report = &mut self.shared.lock().report;
        report.sets = Sets {
            complete: all.complete,
            missed: all.missed,
            expired_frames: all.expired,
        };
        report.frames = all.frames;
        report.bytes = all.bytes;
    }
}

impl Wearer for Bot {
    fn pose(&mut self, at: Moment, headset: &mut Headset) -> Option<LocalPose> {
        if let Some(guide) = &mut self.guide {
            guide.tick(at.client, headset);
        }
        self.maybe_walk(headset);
        let around = self.surroundings(at, headset);
        let dt = self.stepped.map_or(Duration::ZERO, |t| at.client.saturating_since(t));
        self.stepped = Some(at.client);
        let mut pose = self.person.step(dt.as_secs_f32(), &around);
        // The pointer goes out in the stop's coordinates.
        pose.pointer = seat(headset).and_then(|(seat, turn)| pose.pointer.map(|p| seat + turn * p));
        Some(pose)
    }

    fn on_event(&mut self, at: Moment, event: &Event, headset: &mut Headset) {
        match event {
            Event::Welcome { headset: id, resumed } => {
                let after = self.since_began_ms(at);
                let mut data = self.shared.lock();
                data.report.headset = Some(id.0);
                data.report.joined_after_ms.get_or_insert(after);
                data.report.reconnected += u32::from(*resumed);
                drop(data);
                if let (Some(path), Some(ticket)) = (&self.ticket, headset.resume_ticket())
                    && let Err(e) = ticket::write(path, ticket)
                {
                    tracing::warn!("the ticket is not kept in {}: {e}", path.display());
                }
                self.newest.clear();
                self.stop_begins(at, headset);
            }
            Event::RosterChanged => self.roster_changed(headset),
            Event::StopApplied(applied) => {
                let change = StopChange {
                    epoch: applied.epoch,
                    stop: applied.stop,
                    agreed_server_us: applied.agreed.0,
                    applied_server_us: applied.applied.0,
                    applied_machine_us: at.machine_us,
                    presented_machine_us: (applied.complete && self.display_hz.is_none()).then_some(at.machine_us),
                    complete: applied.complete,
                };
                let mut data = self.shared.lock();
                data.report.stop_changes_applied += 1;
                if data.report.stop_changes.len() == MOST_CHANGES {
                    data.report.stop_changes.remove(0);
                }
                data.report.stop_changes.push(change);
                drop(data);
                self.stop_begins(at, headset);
            }
            Event::Placed(_) => self.shared.lock().report.moves += 1,
            Event::Complete(set) => {
                self.on_complete(at, set, headset);
                self.count(headset);
            }
            Event::Notice { message, .. } => tracing::info!(message, "not granted"),
            Event::Malformed { lane, message } => {
                let mut data = self.shared.lock();
                data.report.malformed += 1;
                data.problem(format!("{lane}: {message}"));
            }
            _ => {}
        }
    }

    fn on_picture(&mut self, _at: Moment, _picture: Picture) {
        self.shared.lock().report.decoded += 1;
    }

    fn display(&self) -> Display {
        self.display_hz.map_or(Display::None, |hz| Display::Every { hz })
    }

    fn on_presented(&mut self, _at: Moment, presented: Presented) {
        let mut data = self.shared.lock();
        let change = data.report.stop_changes.last_mut();
        if let Some(change) = change.filter(|c| c.epoch & 0xffff == u32::from(presented.stream.epoch)) {
            change.presented_machine_us.get_or_insert(presented.machine_us);
        }
    }

    fn on_decode_error(&mut self, _at: Moment, message: &str) {
        let mut data = self.shared.lock();
        data.report.decode_errors += 1;
        data.problem(format!("decoding: {message}"));
    }
}

impl Bot {
    fn stop_begins(&mut self, at: Moment, headset: &mut Headset) {
        self.looked = None;
        if let Some(guide) = &mut self.guide {
            guide.on_stop(at.client);
        }
        self.roster_changed(headset);
    }

    fn roster_changed(&mut self, headset: &mut Headset) {
        if let Some(guide) = &mut self.guide {
            guide.on_roster(headset);
        }
    }
}

fn keep(ages: &mut VecDeque<u32>, age: Duration) {
    if ages.len() == MOST_AGES {
        ages.pop_front();
    }
    ages.push_back(u32::try_from(age.as_micros()).unwrap_or(u32::MAX));
}

fn quantiles(ages_us: &VecDeque<u32>) -> Ages {
    let mut ages: Vec<u32> = ages_us.iter().copied().collect();
    ages.sort_unstable();
    let quantile = |percent: usize| {
        let at = (ages.len() * percent / 100).min(ages.len().saturating_sub(1));
        ages.get(at).map_or(0.0, |us| f64::from(*us) / 1e3)
    };
    Ages {
        p50: quantile(50),
        p99: quantile(99),
    }
}

/// The wearer's floor point and heading, stop-local.
fn seat(headset: &Headset) -> Option<(Vec3, Quat)> {
    let placement = headset.seat()?;
    Some((
        placement.seat.unwrap_or_default().into(),
        Quat::from_rotation_y(placement.yaw),
    ))
}

const fn sum(a: Counters, b: Counters) -> Counters {
    Counters {
        frames: a.frames + b.frames,
        bytes: a.bytes + b.bytes,
        complete: a.complete + b.complete,
        missed: a.missed + b.missed,
        complete_beside: a.complete_beside + b.complete_beside,
        missed_beside: a.missed_beside + b.missed_beside,
        expired: a.expired + b.expired,
        repeated: a.repeated + b.repeated,
    }
}
