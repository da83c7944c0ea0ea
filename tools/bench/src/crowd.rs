//! The worker of the crowd: headsets that send poses at the rate of a display and check whose poses they hear.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use glam::{Quat, Vec3};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tongyou_client::net::Machine;
use tongyou_protocol::control::{MoveToCell, ServerMessage, client_message, server_message};
use tongyou_protocol::datagram::{Avatars, Body, Datagram, Joint, Pose};
use tongyou_protocol::frame::Frame;
use tongyou_protocol::{HeadsetId, ServerTime};
use tongyou_stream::clock::Sync;
use tongyou_stream::jitter::{instant_us, time_100us};
use tongyou_transport::{Config, Event, ServerTrust, connect};

use crate::content::CELLS;
use crate::process::obey;
use crate::visitor::Visitor;

/// Poses a second of a display of 72 Hz.
pub const POSE_HZ: f64 = 72.0;
/// Steps of position are 2 mm in each direction, so that half a step in all three is 1.8 mm; the rest is the time's
/// step of 0.1 ms.
const MOST_OFF_M: f32 = 0.0025;
/// One batch in so many is compared with the truth, all are read.
const COMPARED: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(20);
/// Headsets that join at once.
const AT_ONCE: usize = 16;

/// Obeys `add N`, `keep N`, `begin`, `end`, from standard input.
///
/// # Errors
/// When standard output is closed.
pub async fn work(server: SocketAddr, trust: ServerTrust, code: String) -> Result<()> {
    let mut crowd = Crowd {
        server,
        trust,
        code,
        shared: Arc::default(),
        present: Vec::new(),
        tasks: JoinSet::new(),
        began: Instant::now(),
    };
    obey(json!({}), &mut crowd, async |crowd, words| match words {
        ["add", n] => crowd.add(n.parse()?).await,
        ["keep", n] => crowd.keep(n.parse()?).await,
        ["begin"] => Ok(crowd.begin()),
        ["end"] => crowd.end(),
        other => bail!("unknown command {other:?}"),
    })
    .await
}

struct Crowd {
    server: SocketAddr,
    trust: ServerTrust,
    code: String,
    shared: Arc<Shared>,
    present: Vec<(Arc<Mutex<Heard>>, watch::Sender<bool>)>,
    tasks: JoinSet<()>,
    began: Instant,
}

/// Where everybody stands, relative to the stop's pose origin.
#[derive(Debug, Default)]
struct Shared(Mutex<BTreeMap<u16, Vec3>>);

/// What one headset has heard since the window began.
#[derive(Debug, Default)]
struct Heard {
    headset: u16,
    others: BTreeSet<u16>,
    poses_sent: u64,
    entries: u64,
    batches: u64,
    bytes: u64,
    frames: u64,
    off_m: f32,
    problems: Vec<String>,
}

impl Heard {
    fn problem(&mut self, text: String) {
        if self.problems.len() < 3 {
            self.problems.push(text);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a headset is held at an instant: a function of time, so that everybody knows the truth about everybody.
#[expect(clippy::cast_possible_truncation, reason = "a phase of a sway")]
fn truth(headset: u16, seat: Vec3, at: ServerTime) -> Body {
    let wave = |hz: f64, phase: f64| {
        let turns = at.0 as f64 * 1e-6 * hz + phase + f64::from(headset) * 0.137;
        (turns.fract() * std::f64::consts::TAU).sin() as f32
    };
    let head = seat
        + Vec3::new(
            0.02 * wave(0.23, 0.0),
            1.6 + 0.005 * wave(0.31, 0.2),
            0.02 * wave(0.17, 0.4),
        );
    let turn = Quat::from_rotation_y(0.5 * wave(0.11, 0.1));
    let hand = |side: f32| Joint {
        position: head + turn * Vec3::new(side * (0.25 + 0.1 * wave(0.9, 0.3)), -0.4 + 0.2 * wave(0.7, 0.6), -0.3),
        rotation: turn * Quat::from_rotation_x(0.4 * wave(0.7, 0.6)),
    };
    Body {
        time_100us: time_100us(at.0),
        at_rest: false,
        jump: false,
        head: Joint {
            position: head,
            rotation: turn,
        },
        left: Some(hand(-1.0)),
        right: Some(hand(1.0)),
        pointer: None,
    }
}

impl Crowd {
    async fn add(&mut self, n: usize) -> Result<Value> {
        let first = self.present.len();
        let mut numbers = (first..first + n).peekable();
        while numbers.peek().is_some() {
            let batch = numbers.by_ref().take(AT_ONCE);
            let joining: JoinSet<Result<_>> = batch
                .map(|i| {
                    let (server, trust, code) = (self.server, self.trust.clone(), self.code.clone());
                    async move { enter(server, trust, &code, i).await }
                })
                .collect();
            for entered in joining.join_all().await {
                let (visitor, seat, epoch) = entered?;
                let headset = u16::try_from(visitor.welcome.headset)?;
                lock(&self.shared.0).insert(headset, seat);
                let heard = Arc::new(Mutex::new(Heard {
                    headset,
                    ..Heard::default()
                }));
                let (stop, stopped) = watch::channel(false);
                let life = live(
                    visitor,
                    seat,
                    epoch,
                    Arc::clone(&self.shared),
                    Arc::clone(&heard),
                    stopped,
                );
                self.tasks.spawn(life);
                self.present.push((heard, stop));
            }
        }
        self.check()?;
        Ok(json!({ "present": self.present.len() }))
    }

    async fn keep(&mut self, n: usize) -> Result<Value> {
        for (heard, stop) in self.present.drain(n.min(self.present.len())..) {
            stop.send_replace(true);
            lock(&self.shared.0).remove(&lock(&heard).headset);
        }
        while self.tasks.len() > self.present.len() {
            self.tasks.join_next().await.context("no headset is left")??;
        }
        Ok(json!({ "present": self.present.len() }))
    }

    fn begin(&mut self) -> Value {
        self.began = Instant::now();
        for (heard, _) in &self.present {
            let mut heard = lock(heard);
            *heard = Heard {
                headset: heard.headset,
                problems: std::mem::take(&mut heard.problems),
                ..Heard::default()
            };
        }
        json!({})
    }

    fn end(&self) -> Result<Value> {
        let seconds = self.began.elapsed().as_secs_f64();
        self.check()?;
        let all: Vec<MutexGuard<'_, Heard>> = self.present.iter().map(|(heard, _)| lock(heard)).collect();
        let people: BTreeSet<u16> = lock(&self.shared.0).keys().copied().collect();
        let heard = |h: &Heard| h.others.intersection(&people).count();
        let sum = |pick: fn(&Heard) -> u64| all.iter().map(|h| pick(h)).sum::<u64>() as f64;
        let each = seconds * all.len().max(1) as f64;
        Ok(json!({
            "headsets": all.len(),
            "least_heard": all.iter().map(|h| heard(h)).min(),
            "poses_per_s": sum(|h| h.poses_sent) / each,
            "entries_per_s": sum(|h| h.entries) / each,
            "bytes_per_s": sum(|h| h.bytes) / each,
            "frames_per_s": sum(|h| h.frames) / each,
            "off_mm": all.iter().map(|h| h.off_m).fold(0.0, f32::max) * 1e3,
        }))
    }

    fn check(&self) -> Result<()> {
        for (heard, _) in &self.present {
            let heard = lock(heard);
            if let Some(problem) = heard.problems.first() {
                bail!("headset {}: {problem}", heard.headset);
            }
        }
        Ok(())
    }
}

/// Joins and walks to the cell of its number; returns where it stands relative to the pose origin, and the epoch.
async fn enter(server: SocketAddr, trust: ServerTrust, code: &str, i: usize) -> Result<(Visitor, Vec3, u16)> {
    let link = connect(server, "localhost", &trust, Config::client()).await?;
    let mut visitor = Visitor::join(link, code, &format!("Headset {}", i + 1)).await?;
    let current = visitor.welcome.current.context("a welcome without a stop")?;
    let mut placement = visitor.welcome.placement.context("a welcome without a place")?;
    let cell = u32::try_from(i)? % CELLS;
    if placement.cell != cell {
        let epoch = current.epoch;
        visitor.say(client_message::Body::MoveToCell(MoveToCell { epoch, cell }))?;
        let moved = tokio::time::timeout(PATIENCE, async {
            loop {
                match visitor.events.recv().await.context("the link closed")? {
                    Event::Control(bytes) => match ServerMessage::from_bytes(&bytes)? {
                        server_message::Body::Placement(moved) => return Ok(moved),
                        server_message::Body::Notice(notice) => bail!("cell {cell}: {}", notice.message),
                        _ => {}
                    },
                    Event::Closed { reason, .. } => bail!("the link closed: {reason}"),
                    _ => {}
                }
            }
        });
        placement = moved.await.context("not moved in time")??;
        ensure!(placement.cell == cell, "moved to cell {}, not {cell}", placement.cell);
    }
    let tour = visitor.welcome.tour.as_ref().context("a welcome without a tour")?;
    let origin = tour.stops.get(current.stop as usize).and_then(|s| s.pose_origin);
    let seat = Vec3::from(placement.seat.unwrap_or_default()) - Vec3::from(origin.unwrap_or_default());
    let epoch = u16::try_from(current.epoch & 0xffff)?;
    Ok((visitor, seat, epoch))
}

/// Sends poses and hears others until it is told to stop.
async fn live(
    visitor: Visitor,
    seat: Vec3,
    epoch: u16,
    shared: Arc<Shared>,
    heard: Arc<Mutex<Heard>>,
    mut stopped: watch::Receiver<bool>,
) {
    let headset = lock(&heard).headset;
    let mut life = Life {
        visitor,
        seat,
        epoch,
        headset,
        clock: Sync::new(),
        machine: Machine::default(),
        seq: 0,
        received: 0,
        shared,
        heard,
    };
    // Headsets do not show their pictures at the same instant.
    let period = Duration::from_secs_f64(1.0 / POSE_HZ);
    let phase = period * u32::from(headset.wrapping_mul(37) % 64) / 64;
    let mut frames = tokio::time::interval_at(Instant::now() + phase, period);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => {
                life.visitor.link.close(0, "left");
                return;
            }
            _ = frames.tick() => life.send_pose(),
            event = life.visitor.events.recv() => match event {
                Some(event) => life.take(event),
                None => return,
            }
        }
    }
}

struct Life {
    visitor: Visitor,
    seat: Vec3,
    epoch: u16,
    headset: u16,
    clock: Sync,
    machine: Machine,
    seq: u16,
    received: u64,
    shared: Arc<Shared>,
    heard: Arc<Mutex<Heard>>,
}

impl Life {
    fn send_pose(&mut self) {
        let now = self.machine.now().client;
        if let Some(ping) = self.clock.poll_ping(now) {
            // Datagrams may be lost, here as well.
            let _ = self.visitor.link.send_datagram(Datagram::Ping(ping).to_bytes());
        }
        let Some(server) = self.clock.server_at(now) else {
            return;
        };
        self.seq = self.seq.wrapping_add(1);
        let mut body = truth(self.headset, self.seat, server);
        body.jump = self.seq == 1;
        let pose = Pose {
            epoch: self.epoch,
            seq: self.seq,
            body,
        };
        let sent = self.visitor.link.send_datagram(Datagram::Pose(pose).to_bytes());
        let received = self.visitor.link.stats().received_bytes;
        let mut heard = lock(&self.heard);
        match sent {
            Ok(()) => heard.poses_sent += 1,
            Err(e) => heard.problem(format!("pose: {e}")),
        }
        heard.bytes += received - std::mem::replace(&mut self.received, received);
    }

    fn take(&mut self, event: Event) {
        let mut heard = lock(&self.heard);
        match event {
            Event::Datagram(bytes) => match Datagram::from_bytes(&bytes) {
                Ok(Datagram::Pong(pong)) => drop(self.clock.on_pong(self.machine.now().client, pong)),
                Ok(Datagram::Avatars(avatars)) => {
                    drop(heard);
                    self.hear(avatars);
                }
                Ok(_) => {}
                Err(e) => heard.problem(format!("datagram: {e}")),
            },
            Event::Frame(bytes) => match Frame::from_bytes(&bytes) {
                Ok(_) => heard.frames += 1,
                Err(e) => heard.problem(format!("frame: {e}")),
            },
            Event::Control(bytes) => match ServerMessage::from_bytes(&bytes) {
                Ok(server_message::Body::Notice(notice)) => heard.problem(format!("notice: {}", notice.message)),
                Ok(_) => {}
                Err(e) => heard.problem(format!("control: {e}")),
            },
            Event::Closed { code, reason } => heard.problem(format!("the link closed: {reason} ({code:#x})")),
            Event::FrameSent { .. } | Event::FrameExpired { .. } => {}
        }
    }

    fn hear(&self, avatars: Avatars) {
        let now = self.machine.now().client;
        let server = self.clock.server_at(now);
        let mut heard = lock(&self.heard);
        heard.batches += 1;
        heard.entries += avatars.people.len() as u64;
        let compare = heard.batches.is_multiple_of(COMPARED);
        for (HeadsetId(who), body) in avatars.people {
            heard.others.insert(who);
            let Some(server) = server.filter(|_| compare) else {
                continue;
            };
            let Some(seat) = lock(&self.shared.0).get(&who).copied() else {
                continue;
            };
            let is = truth(who, seat, ServerTime(instant_us(server, body.time_100us)));
            let off = |a: Option<Joint>, b: Option<Joint>| match (a, b) {
                (Some(a), Some(b)) => a.position.distance(b.position),
                _ => f32::INFINITY,
            };
            let off_m = off(Some(body.head), Some(is.head))
                .max(off(body.left, is.left))
                .max(off(body.right, is.right));
            heard.off_m = heard.off_m.max(off_m);
            if off_m > MOST_OFF_M {
                heard.problem(format!(
                    "headset {who} is heard {:.1} mm from where it was",
                    off_m * 1e3
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_survives_the_wire_and_differs_from_headset_to_headset() {
        for i in 0..200_i64 {
            let at = ServerTime(i * 100_700);
            let body = truth(7, Vec3::new(3.0, 0.0, -11.0), at);
            let pose = Datagram::Pose(Pose { epoch: 1, seq: 1, body });
            let Ok(Datagram::Pose(read)) = Datagram::from_bytes(&pose.to_bytes()) else {
                panic!("not a pose")
            };
            let is = truth(
                7,
                Vec3::new(3.0, 0.0, -11.0),
                ServerTime(instant_us(at, read.body.time_100us)),
            );
            let off_m = read.body.left.unwrap().position.distance(is.left.unwrap().position);
            assert!(off_m < MOST_OFF_M, "{off_m}");
            let other = truth(8, Vec3::new(3.0, 0.0, -11.0), at);
            assert!(other.left.unwrap().position.distance(body.left.unwrap().position) > MOST_OFF_M);
        }
    }
}
