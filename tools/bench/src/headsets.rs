//! The worker of the fan-out: real headsets that stand still, look through one vantage and check what they receive.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use glam::{Quat, Vec3};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tongyou_client::core::{self, Event, Headset, LocalJoint, LocalPose};
use tongyou_client::net::{self, Connect, Decode, End, Machine, Moment, Options, Wearer};
use tongyou_stream::receive::Complete;
use tongyou_transport::ServerTrust;

use crate::process::obey;

/// Longest time for all to join and see a picture.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time after the end of a window in which its sets may still arrive.
const LATE: Duration = Duration::from_millis(700);
const MOST_PROBLEMS: usize = 5;

/// Obeys `add N`, `keep N`, `begin`, `end`, from standard input.
///
/// # Errors
/// When standard output is closed.
pub async fn work(server: SocketAddr, trust: ServerTrust, code: String) -> Result<()> {
    let mut crowd = Crowd {
        connect: net::quic(server, "localhost", trust),
        code,
        present: Vec::new(),
        tasks: JoinSet::new(),
        began: Instant::now(),
    };
    obey(json!({}), &mut crowd, async |crowd, words| match words {
        ["add", n] => crowd.add(n.parse()?).await,
        ["keep", n] => crowd.keep(n.parse()?).await,
        ["begin"] => Ok(crowd.begin()),
        ["end"] => crowd.end().await,
        other => bail!("unknown command {other:?}"),
    })
    .await
}

struct Crowd {
    connect: Connect,
    code: String,
    present: Vec<(Arc<Seen>, watch::Sender<bool>)>,
    tasks: JoinSet<()>,
    began: Instant,
}

/// What one headset has seen.
#[derive(Debug, Default)]
struct Seen(Mutex<Data>);

#[derive(Debug, Default)]
struct Data {
    complete: u64,
    newest: u32,
    /// Since the window began: set, microseconds after the window's begin, age in microseconds.
    sets: Vec<(u32, u128, Option<u64>)>,
    window: Option<Instant>,
    problems: Vec<String>,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Data> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    fn problem(&mut self, text: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(text);
        }
    }
}

impl Crowd {
    async fn add(&mut self, n: usize) -> Result<Value> {
        for _ in 0..n {
            let (stop, stopped) = watch::channel(false);
            let seen = Arc::new(Seen::default());
            let number = self.present.len() + 1;
            let options = Options {
                connect: Arc::clone(&self.connect),
                headset: core::Config {
                    simulated: true,
                    ..core::Config::new(self.code.clone(), format!("Headset {number}"))
                },
                clock: Machine::default(),
                decode: Decode::Nothing,
            };
            let mut still = Still(Arc::clone(&seen));
            self.tasks.spawn(async move {
                match net::run(options, &mut still, stopped).await {
                    Ok(End::Cancelled) => {}
                    other => still.0.lock().problem(format!("it left: {other:?}")),
                }
            });
            self.present.push((seen, stop));
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.present.iter().all(|(seen, _)| seen.lock().complete >= 2) {
            self.check()?;
            ensure!(Instant::now() < deadline, "not all headsets saw a picture in time");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(json!({ "present": self.present.len() }))
    }

    async fn keep(&mut self, n: usize) -> Result<Value> {
        for (_, stop) in self.present.drain(n.min(self.present.len())..) {
            stop.send_replace(true);
        }
        while self.tasks.len() > self.present.len() {
            self.tasks.join_next().await.context("no headset is left")??;
        }
        Ok(json!({ "present": self.present.len() }))
    }

    fn begin(&mut self) -> Value {
        self.began = Instant::now();
        for (seen, _) in &self.present {
            let mut data = seen.lock();
            data.sets.clear();
            data.window = Some(self.began);
        }
        json!({})
    }

    /// Sets count that somebody saw complete within the window; the others may see them a little later.
    async fn end(&mut self) -> Result<Value> {
        let length = self.began.elapsed();
        sleep(LATE).await;
        self.check()?;
        let mut of: Vec<Vec<(u32, u128, Option<u64>)>> = Vec::new();
        for (seen, _) in &self.present {
            let mut data = seen.lock();
            data.window = None;
            of.push(std::mem::take(&mut data.sets));
        }
        let within = |at: u128| at <= length.as_micros();
        let first = of.iter().flatten().filter(|s| within(s.1)).map(|s| s.0);
        let (Some(low), Some(high)) = (first.clone().min(), first.max()) else {
            bail!("nobody saw a picture in {length:?}");
        };
        // Numbers of sets rise by one in a session with one vantage: one that nobody saw is missing for all.
        let all = u64::from(high - low) + 1;
        let seen = |sets: &[(u32, u128, Option<u64>)]| {
            let ids: BTreeSet<u32> = sets.iter().map(|s| s.0).filter(|s| (low..=high).contains(s)).collect();
            ids.len() as u64
        };
        let delivered: u64 = of.iter().map(|sets| seen(sets)).sum();
        let worst = of.iter().map(|sets| seen(sets)).min().unwrap_or(0);
        let ages_us: Vec<u64> = of.iter().flatten().filter_map(|s| s.2).collect();
        Ok(json!({
            "headsets": of.len(), "sets": all, "delivered": delivered, "worst": worst, "ages_us": ages_us,
        }))
    }

    /// An error where a headset had trouble.
    fn check(&self) -> Result<()> {
        for (i, (seen, _)) in self.present.iter().enumerate() {
            if let Some(problem) = seen.lock().problems.first() {
                bail!("headset {}: {problem}", i + 1);
            }
        }
        Ok(())
    }
}

/// Stands still and notes what arrives. Checksums are checked where a frame is read: a wrong one is malformed.
struct Still(Arc<Seen>);

impl Wearer for Still {
    fn pose(&mut self, _at: Moment, _headset: &mut Headset) -> Option<LocalPose> {
        let head = LocalJoint {
            position: Vec3::Y * 1.6,
            rotation: Quat::IDENTITY,
        };
        Some(LocalPose {
            head,
            left: None,
            right: None,
            pointer: None,
        })
    }

    fn on_event(&mut self, _at: Moment, event: &Event, headset: &mut Headset) {
        let mut data = self.0.lock();
        match event {
            Event::Complete(set) => data.complete(set, headset),
            Event::Malformed { lane, message } => data.problem(format!("{lane}: {message}")),
            Event::Refused { message, .. } => data.problem(format!("refused: {message}")),
            _ => {}
        }
    }
}

impl Data {
    fn complete(&mut self, set: &Complete, headset: &Headset) {
        let id = set.color.tag.set.0;
        if id <= self.newest {
            self.problem(format!("set {id} after set {}", self.newest));
        }
        let depth = set.depth.as_ref().map_or(set.color.tag, |d| d.header.tag);
        if depth.set > set.color.tag.set || depth.point != set.color.tag.point {
            self.problem(format!("set {id} has depth of set {} at {}", depth.set, depth.point));
        }
        let point = headset
            .stop()
            .and_then(|s| s.cells.first())
            .and_then(|c| c.point)
            .map(Vec3::from);
        if point.is_none_or(|p| p.distance(set.color.tag.point) > 0.001) {
            self.problem(format!("set {id} is seen from {}, not {point:?}", set.color.tag.point));
        }
        self.newest = id;
        self.complete += 1;
        if let Some(window) = self.window {
            let age_us = set.age.and_then(|a| u64::try_from(a.as_micros()).ok());
            self.sets.push((id, window.elapsed().as_micros(), age_us));
        }
    }
}
