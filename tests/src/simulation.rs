//! A whole session without sockets, threads or a real clock: the server's registry and senders, and any number of
//! headset cores, joined by the seeded paths of the simulated link. Equal worlds give equal traces.

mod camera;
mod lanes;
mod visitor;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use camera::Cameras;
use lanes::{Lanes, Sent};
use tongyou_client::core::Event;
use tongyou_protocol::{ServerTime, SetId};
use tongyou_scene::Tour;
use tongyou_session::{CloseCode, Config, Input, Level, LinkId, Output, Registry};
use tongyou_transport::impair::Impairment;
use visitor::Visitor;

use crate::root;

/// The server's ticks.
const TICK: Duration = Duration::from_micros(13_889);
/// What a decoder takes for a set.
const DECODE: Duration = Duration::from_millis(8);
/// Who leads wants nothing more in this last part, so that everything settles.
const QUIET: Duration = Duration::from_secs(8);
/// First byte of a ping.
const PING: u8 = 1;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct World {
    /// Headsets, the guide's among them.
    pub headsets: usize,
    /// Everything random comes from here.
    pub seed: u64,
    /// Both directions of every path.
    pub path: Impairment,
    /// How long.
    pub length: Duration,
    /// From one wish of the guide to the next.
    pub change_every: Duration,
    /// Changing sets a second.
    pub sets_per_s: f64,
    /// Bytes of a colour keyframe; the others have a sixth of it.
    pub keyframe_bytes: usize,
    /// Whether pings reach the server: the control, without which a small skew proves nothing.
    pub synced: bool,
    /// The last headset comes at this time, not at the start.
    pub late: Option<Duration>,
    /// The last headset but one falls silent at this time.
    pub dies: Option<Duration>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            headsets: 40,
            seed: 1,
            path: Impairment {
                delay: Duration::from_millis(75),
                jitter: Duration::from_millis(50),
                loss: 0.1,
                reorder: 0.02,
                ..Impairment::default()
            },
            length: Duration::from_secs(60),
            change_every: Duration::from_millis(1500),
            sets_per_s: 4.0,
            keyframe_bytes: 12_000,
            synced: true,
            late: None,
            dies: None,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Hash of everything that happened, in order, with its time.
    pub trace: u64,
    /// How much that was.
    pub happenings: u64,
    /// By epoch: for each headset that changed the stop, when, microseconds of true time after the agreed instant.
    pub changes: BTreeMap<u32, BTreeMap<usize, Changed>>,
    /// What each headset holds at the end.
    pub seats: Vec<Seat>,
    /// Links that the server closed, and why.
    pub closed: Vec<(usize, CloseCode, Duration)>,
    /// Warnings of the server.
    pub warnings: Vec<String>,
    /// Stop changes that headsets reported to the server.
    pub skew_reports: usize,
    /// When everybody else's roster had lost the headset that fell silent, after it did.
    pub gone_after: Option<Duration>,
}

/// One headset's stop change.
#[derive(Debug, Clone, Copy)]
pub struct Changed {
    /// True time of the timer callback.
    pub at_us: i64,
    /// The instant that was agreed, server time (which is true time here).
    pub agreed_us: i64,
    /// Whether a complete set of the stop was there.
    pub complete: bool,
}

/// What a headset holds at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Seat {
    /// Where it is: epoch and stop. `None` when it is not in.
    pub place: Option<(u32, u32)>,
    /// Everyone's id, role and cell, as this headset knows them.
    pub roster: Vec<(u32, i32, u32)>,
    /// Sets that were complete.
    pub sets: u64,
    /// Others whose poses it has.
    pub avatars: usize,
    /// Its tour time minus the server's, microseconds.
    pub tour_time_off_us: Option<i64>,
    /// What it did not understand.
    pub malformed: Vec<String>,
    /// Why it was refused, or thrown out.
    pub refused: Option<String>,
}

/// Runs a world to its end.
#[must_use]
pub fn run(world: &World) -> Outcome {
    let mut simulation = Simulation::new(world);
    simulation.run();
    simulation.outcome()
}

/// What is to happen at an instant.
enum Happening {
    Tick,
    Shoot,
    Lead,
    Join(usize),
    Wake(usize),
    Decoded(usize, SetId),
    Up(usize, Sent),
    Down(usize, Sent),
    Died,
}

struct Simulation<'a> {
    world: &'a World,
    now_us: i64,
    agenda: BTreeMap<(i64, u64), Happening>,
    sequence: u64,
    registry: Registry,
    cameras: Cameras,
    grant: String,
    code: String,
    visitors: Vec<Visitor>,
    up: Vec<Lanes>,
    down: Vec<Lanes>,
    trace: DefaultHasher,
    happenings: u64,
    tour_zero: ServerTime,
    tour_stops: u32,
    goal: u32,
    dead: Option<(usize, i64)>,
    outcome: Outcome,
}

impl<'a> Simulation<'a> {
    fn new(world: &'a World) -> Self {
        let tour = Arc::new(Tour::load(&root().join("assets/tours/jiefangbei.toml")).unwrap());
        let mut registry = Registry::new(
            Config::default(),
            [u8::try_from(world.seed & 0xff).unwrap_or_default(); 32],
        );
        registry.add_tour(tour.clone()).unwrap();
        let capacity = u16::try_from(world.headsets).unwrap();
        let code = registry
            .create_session(ServerTime(0), &tour.id, Some(capacity))
            .unwrap();
        let grant = registry.issue_grant(ServerTime(0), code).unwrap();
        let code = code.to_string();
        let visitors = (0..world.headsets)
            .map(|i| Visitor::new(i, world.seed, &code, if i == 0 { &grant } else { "" }))
            .collect();
        let lanes = |direction: u64| -> Vec<Lanes> {
            let seed = |i: usize| world.seed ^ (direction + 2 * i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (0..world.headsets).map(|i| Lanes::new(world.path, seed(i))).collect()
        };
        Self {
            world,
            now_us: 0,
            agenda: BTreeMap::new(),
            sequence: 0,
            registry,
            cameras: Cameras::new(world.keyframe_bytes),
            grant,
            code,
            visitors,
            up: lanes(0),
            down: lanes(1),
            trace: DefaultHasher::new(),
            happenings: 0,
            tour_zero: ServerTime(0),
            tour_stops: u32::try_from(tour.stops.len()).unwrap(),
            goal: 0,
            dead: None,
            outcome: Outcome {
                trace: 0,
                happenings: 0,
                changes: BTreeMap::new(),
                seats: Vec::new(),
                closed: Vec::new(),
                warnings: Vec::new(),
                skew_reports: 0,
                gone_after: None,
            },
        }
    }

    fn plan(&mut self, after: Duration, what: Happening) {
        self.plan_at(self.now_us + micros(after), what);
    }

    fn plan_at(&mut self, at_us: i64, what: Happening) {
        self.sequence += 1;
        self.agenda.insert((at_us.max(self.now_us), self.sequence), what);
    }

    fn run(&mut self) {
        assert!(!self.code.is_empty() && !self.grant.is_empty());
        self.plan(TICK, Happening::Tick);
        self.plan(Duration::from_secs_f64(1.0 / self.world.sets_per_s), Happening::Shoot);
        self.plan(Duration::from_secs(2), Happening::Lead);
        let last = self.world.headsets - 1;
        for i in 0..self.world.headsets {
            let at = match self.world.late {
                Some(at) if i == last => at,
                _ => Duration::from_millis(5) * u32::try_from(i).unwrap(),
            };
            self.plan(at, Happening::Join(i));
        }
        if let Some(at) = self.world.dies {
            self.plan(at, Happening::Died);
        }
        let end_us = micros(self.world.length);
        while let Some(((at_us, _), what)) = self.agenda.pop_first() {
            if at_us > end_us {
                break;
            }
            self.now_us = at_us;
            self.happenings += 1;
            self.happen(what);
        }
    }

    fn happen(&mut self, what: Happening) {
        let now = ServerTime(self.now_us);
        match what {
            Happening::Tick => {
                let ticks = self.registry.tick(now);
                if let Some(tick) = ticks.first() {
                    self.tour_zero = tick.tour_zero;
                }
                self.drain();
                self.cameras.sync(now, &ticks);
                self.send_frames();
                self.plan(TICK, Happening::Tick);
            }
            Happening::Shoot => {
                self.cameras.shoot(now, self.tour_zero);
                self.send_frames();
                self.plan(Duration::from_secs_f64(1.0 / self.world.sets_per_s), Happening::Shoot);
            }
            Happening::Lead => {
                if self.now_us < micros(self.world.length.saturating_sub(QUIET)) {
                    self.goal = (self.goal + 1) % self.tour_stops;
                    self.visitors[0].headset.go_to_stop(self.goal);
                    self.attend(0);
                    self.plan(self.world.change_every, Happening::Lead);
                }
            }
            Happening::Join(i) => {
                let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
                self.registry.handle(now, link(i), Input::Connected { address });
                self.drain();
                self.visitors[i].in_room = true;
                self.attend(i);
            }
            Happening::Wake(i) => {
                if self.visitors[i].wake_us.take_if(|at| *at == self.now_us).is_some() {
                    self.visitors[i].wake(self.now_us);
                    self.attend(i);
                }
            }
            Happening::Decoded(i, set) => {
                let at = self.visitors[i].clock(self.now_us);
                self.visitors[i].headset.on_decoded(at, set);
                self.attend(i);
            }
            Happening::Up(i, sent) => self.arrives_up(i, sent),
            Happening::Down(i, sent) => self.arrives_down(i, sent),
            Happening::Died => {
                let who = self.world.headsets - 2;
                self.visitors[who].in_room = false;
                self.dead = Some((who, self.now_us));
            }
        }
    }

    fn arrives_up(&mut self, i: usize, sent: Sent) {
        let now = ServerTime(self.now_us);
        match sent {
            Sent::Control(bytes) => self.registry.handle(now, link(i), Input::Control(&bytes)),
            Sent::Datagram(bytes) => self.registry.handle(now, link(i), Input::Datagram(&bytes)),
            Sent::Frame(_) => unreachable!("headsets send no frames"),
            Sent::Delivered(id) => self.cameras.finished(now, link(i), id, true),
            Sent::Expired(id) => self.cameras.finished(now, link(i), id, false),
        }
        self.drain();
    }

    fn arrives_down(&mut self, i: usize, sent: Sent) {
        let at = self.visitors[i].clock(self.now_us);
        let headset = &mut self.visitors[i].headset;
        match sent {
            Sent::Control(bytes) => headset.on_control(at, &bytes),
            Sent::Datagram(bytes) => headset.on_datagram(at, &bytes),
            Sent::Frame(bytes) => headset.on_frame(at, &bytes),
            Sent::Delivered(_) | Sent::Expired(_) => unreachable!("headsets send no frames"),
        }
        self.attend(i);
    }

    /// Takes what the server has to say.
    fn drain(&mut self) {
        let now = ServerTime(self.now_us);
        while let Some(output) = self.registry.poll_output(now) {
            match output {
                Output::Control { link, message } => {
                    self.send_down(index(link), Sent::Control(message.to_bytes()));
                }
                Output::Datagram { link, bytes } => self.send_down(index(link), Sent::Datagram(bytes)),
                Output::Close { link, code, .. } => {
                    self.note(&("closed", link.0, code as u32));
                    let at = Duration::from_micros(u64::try_from(self.now_us).unwrap());
                    self.outcome.closed.push((index(link), code, at));
                    self.cameras.remove(link);
                }
                Output::Feedback { link, feedback } => self.cameras.feedback(now, link, &feedback),
                Output::Skew { headset, report, .. } => {
                    self.note(&("skew", headset.0, report.epoch, report.applied_us));
                    self.outcome.skew_reports += 1;
                }
                Output::Log { level, message } => {
                    self.note(&message);
                    if level == Level::Warn {
                        self.outcome.warnings.push(message);
                    }
                }
                Output::SessionEnded { .. } => self.note(&"ended"),
            }
        }
    }

    fn send_frames(&mut self) {
        let now = ServerTime(self.now_us);
        for send in self.cameras.poll(now) {
            let i = index(send.link);
            let (at_us, sent) = self.down[i].frame(self.now_us, &send);
            match sent {
                Sent::Expired(id) => self.plan_at(at_us, Happening::Up(i, Sent::Expired(id))),
                sent => {
                    let back_us = at_us + micros(self.world.path.delay);
                    self.plan_at(at_us, Happening::Down(i, sent));
                    self.plan_at(back_us, Happening::Up(i, Sent::Delivered(send.id)));
                }
            }
        }
    }

    fn send_down(&mut self, i: usize, sent: Sent) {
        if let Some(at_us) = self.down[i].arrival(self.now_us, &sent) {
            self.plan_at(at_us, Happening::Down(i, sent));
        }
    }

    /// After a headset was given something: takes what it says and does, and finds when it wants to be woken.
    fn attend(&mut self, i: usize) {
        if !self.visitors[i].in_room {
            return;
        }
        loop {
            let headset = &mut self.visitors[i].headset;
            if let Some(event) = headset.poll_event() {
                self.on_event(i, &event);
            } else if let Some(frame) = headset.poll_decode() {
                self.plan(DECODE, Happening::Decoded(i, frame.header.tag.set));
            } else if let Some(message) = headset.poll_control() {
                self.send_up(i, Sent::Control(message));
            } else if let Some(datagram) = headset.poll_datagram() {
                if !self.world.synced && datagram.first() == Some(&PING) {
                    continue;
                }
                self.send_up(i, Sent::Datagram(datagram));
            } else {
                break;
            }
        }
        let visitor = &mut self.visitors[i];
        // Time has to pass before the next waking: half a microsecond may lie between two roundings.
        let wake_us = visitor.next_wake_us(self.now_us).map(|at| at.max(self.now_us + 1));
        if visitor.wake_us != wake_us {
            visitor.wake_us = wake_us;
            if let Some(at_us) = wake_us {
                self.plan_at(at_us, Happening::Wake(i));
            }
        }
    }

    fn send_up(&mut self, i: usize, sent: Sent) {
        if let Some(at_us) = self.up[i].arrival(self.now_us, &sent) {
            self.plan_at(at_us, Happening::Up(i, sent));
        }
    }

    fn on_event(&mut self, i: usize, event: &Event) {
        match event {
            Event::Complete(set) => self.note(&(i, "complete", set.color.tag.set.0)),
            Event::StopApplied(applied) => {
                self.note(&(i, "applied", applied.epoch, applied.applied.0));
                let changed = Changed {
                    at_us: self.now_us,
                    agreed_us: applied.agreed.0,
                    complete: applied.complete,
                };
                self.outcome
                    .changes
                    .entry(applied.epoch)
                    .or_default()
                    .insert(i, changed);
                let at = self.visitors[i].clock(self.now_us);
                self.visitors[i].headset.on_presented(at);
            }
            other => {
                self.note(&(i, format!("{other:?}")));
                self.visitors[i].hear(other);
            }
        }
        if let (Event::RosterChanged, Some((who, since_us))) = (event, self.dead) {
            let id = self.visitors[who].headset.id();
            let knows = |v: &Visitor| {
                v.headset
                    .roster()
                    .iter()
                    .any(|p| Some(p.headset) == id.map(|h| u32::from(h.0)))
            };
            if self.outcome.gone_after.is_none() && !self.visitors.iter().any(|v| v.in_room && knows(v)) {
                self.outcome.gone_after = Some(Duration::from_micros(u64::try_from(self.now_us - since_us).unwrap()));
            }
        }
    }

    fn note(&mut self, what: &impl Hash) {
        self.now_us.hash(&mut self.trace);
        what.hash(&mut self.trace);
    }

    fn outcome(mut self) -> Outcome {
        let now_us = self.now_us;
        let tour_us = now_us - self.tour_zero.0;
        self.outcome.seats = self
            .visitors
            .iter_mut()
            .filter(|v| v.in_room)
            .map(|v| v.seat(now_us, tour_us))
            .collect();
        self.outcome.trace = self.trace.finish();
        self.outcome.happenings = self.happenings;
        self.outcome
    }
}

fn link(i: usize) -> LinkId {
    LinkId(i as u64 + 1)
}

fn index(link: LinkId) -> usize {
    usize::try_from(link.0 - 1).unwrap()
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap()
}
