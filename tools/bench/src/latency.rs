//! From a pose to a picture, stage by stage, over QUIC and over WebTransport.
//!
//! One headset moves, another one watches; both and the server are real, the display of 72 Hz is a timer. The
//! server's stamps are in its log; the headsets' are on their estimate of server time, which on one machine is right to
//! a tenth of a millisecond.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use glam::{Quat, Vec3};
use serde::Serialize;
use tokio::sync::watch;
use tongyou_client::core::{Config, Event, Headset, LocalJoint, LocalPose};
use tongyou_client::net::{self, Connect, Decode, End, Machine, Moment, Options as Visit, Wearer};
use tongyou_transport as transport;

use crate::content;
use crate::process::Server;
use crate::stamps::Stamps;
use crate::stats::Quantiles;
use crate::watcher::{self, Notes};

/// What happens at first is not what a visit is like: joining, sharpening, setting clocks.
const WARM_UP_US: i64 = 2_000_000;
/// Clocks agree to this; a stage that ends earlier than it began by more is a mistake.
const CLOCKS_AGREE_US: i64 = 3_000;
/// Least share of the poses that must be seen as an avatar: one that is overtaken before its round is not relayed.
const LEAST_RELAYED: f64 = 0.5;
/// Least share of the poses that must have led to a picture.
const LEAST_SHARE: f64 = 0.9;

/// How long to watch.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// For each transport.
    pub length: Duration,
    /// Sets a second that the server is configured for.
    pub sets_per_s: f64,
}

impl Options {
    /// All of it, in less than a minute and a half.
    #[must_use]
    pub const fn full() -> Self {
        Self {
            length: Duration::from_secs(30),
            sets_per_s: 8.0,
        }
    }

    /// Enough to see that it works.
    #[must_use]
    pub const fn quick() -> Self {
        Self {
            length: Duration::from_secs(6),
            sets_per_s: 4.0,
        }
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `quic` and `webtransport`.
    pub transports: BTreeMap<&'static str, Latency>,
}

/// One transport.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// Each stage. Those without a prefix follow each other from the pose to the first picture that was drawn by a tick
    /// which knew it, and add up to the total; those with `avatar_` lead from the pose to the avatar that others see.
    pub stages: BTreeMap<&'static str, Quantiles>,
    /// From the pose to the picture.
    pub total_p50_ms: f64,
    /// Likewise.
    pub total_p95_ms: f64,
    /// Likewise.
    pub total_p99_ms: f64,
}

/// Measures both transports, one after the other, on one server each.
///
/// # Errors
/// When something that arrives is wrong, or stamps are missing.
pub async fn run(options: &Options) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    content::write(folder.path())?;
    let mut transports = BTreeMap::new();
    for name in ["quic", "webtransport"] {
        let rate = options.sets_per_s.to_string();
        let server = Server::start(folder.path(), content::MOVING, true, &["--sets-per-s", &rate])?;
        let latency = measure(&server, name, options.length)
            .await
            .with_context(|| format!("over {name}"))?;
        transports.insert(name, latency);
    }
    Ok(Report { transports })
}

async fn measure(server: &Server, name: &str, length: Duration) -> Result<Latency> {
    let (addr, trust, code) = (server.addr()?, server.trust()?, server.code()?);
    let connect: Connect = if name == "quic" {
        net::quic(addr, "localhost", trust)
    } else {
        Arc::new(move || {
            let trust = trust.clone();
            Box::pin(async move { transport::connect_webtransport(addr, &trust, transport::Config::client()).await })
        })
    };
    let (stop, stopped) = watch::channel(false);
    let mover = tokio::spawn({
        let (connect, code, stopped) = (connect.clone(), code.clone(), stopped.clone());
        async move { moving(connect, code, stopped).await }
    });
    // The mover's link is the first.
    let mut seen = Stamps::default();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut log = Vec::new();
    while seen.poses.is_empty() {
        ensure!(tokio::time::Instant::now() < deadline, "no pose reached the server");
        tokio::time::sleep(Duration::from_millis(50)).await;
        log.extend(server.take_log());
        seen = Stamps::read(&log)?;
    }
    let watching = tokio::spawn(watcher::watch_until(connect().await?, code, stopped));
    tokio::time::sleep(length).await;
    stop.send_replace(true);
    let notes = watching.await??;
    let mover = mover.await??;
    // The last stamps are on their way through a pipe.
    tokio::time::sleep(Duration::from_millis(300)).await;
    log.extend(server.take_log());
    watcher::check(&notes)?;
    Chains::new(&Stamps::read(&log)?, &notes, mover)?.latency(name)
}

/// Durations of all poses, stage by stage.
#[derive(Debug, Default)]
struct Chains {
    stages: BTreeMap<&'static str, Vec<i64>>,
    total: Vec<i64>,
}

impl Chains {
    fn new(stamps: &Stamps, notes: &Notes, mover: u16) -> Result<Self> {
        let begin = stamps.sets.values().map(|s| s.wanted).min().context("no sets")? + WARM_UP_US;
        let link = |of: &mut dyn Iterator<Item = u64>| of.next().context("a link left no stamps");
        let from = link(&mut stamps.poses.keys().map(|k| k.0))?;
        let to = link(&mut stamps.avatars.keys().filter(|k| k.1 == mover).map(|k| k.0))?;
        let last = notes
            .sets
            .iter()
            .filter(|(_, s)| s.presented > 0)
            .map(|(id, _)| *id)
            .max();
        let last = last
            .and_then(|id| stamps.sets.get(&id))
            .context("no set was presented")?
            .wanted;
        let mut chains = Self::default();
        let (mut poses, mut avatars) = (0_u32, 0_u32);
        for ((_, time_100us), pose) in stamps.poses.range((from, 0)..=(from, u32::MAX)) {
            let sent = i64::from(*time_100us) * 100;
            if sent < begin || pose.taken > last {
                continue;
            }
            poses += 1;
            chains.picture(stamps, notes, to, sent, *pose)?;
            if let (Some(relayed), Some((arrived, Some(shown)))) = (
                stamps.avatars.get(&(to, mover, *time_100us)),
                notes.poses.get(&(mover, *time_100us)),
            ) {
                avatars += 1;
                chains.note("avatar_relay", pose.taken, *relayed)?;
                chains.note("avatar_transfer", *relayed, *arrived)?;
                chains.note("avatar_playout_and_display", *arrived, *shown)?;
                chains.note("avatar_total", sent, *shown)?;
            }
        }
        ensure!(poses > 20, "only {poses} poses");
        let share = f64::from(avatars) / f64::from(poses);
        ensure!(
            share >= LEAST_RELAYED,
            "only {share:.2} of the poses were seen as an avatar"
        );
        let share = chains.total.len() as f64 / f64::from(poses);
        ensure!(share >= LEAST_SHARE, "only {share:.2} of the poses led to a picture");
        Ok(chains)
    }

    /// From a pose to the first picture that was presented and was drawn by a tick which knew the pose.
    fn picture(
        &mut self,
        stamps: &Stamps,
        notes: &Notes,
        to: u64,
        sent: i64,
        pose: crate::stamps::PoseTimes,
    ) -> Result<()> {
        let known = |(id, _): &(&u32, &watcher::SetSeen)| stamps.sets.get(id).is_some_and(|s| s.wanted >= pose.taken);
        let presented = notes.sets.iter().filter(|(_, s)| s.presented > 0);
        let Some((id, seen)) = presented.into_iter().find(known) else {
            return Ok(());
        };
        let set = stamps.sets[id];
        let Some(handed) = stamps.frames.get(&(to, *id)).copied() else {
            bail!("set {id} arrived, but was never sent")
        };
        for (stage, from, until) in [
            ("1_uplink", sent, pose.read),
            ("2_wait_for_tick_thread", pose.read, pose.taken),
            ("3_wait_for_drawing", pose.taken, set.started),
            ("4_draw", set.started, set.rendered),
            ("5_encode", set.rendered, set.encoded),
            ("6_hand_over", set.encoded, handed),
            ("7_transfer", handed, seen.complete),
            ("8_decode", seen.complete, seen.decoded),
            ("9_wait_for_display", seen.decoded, seen.presented),
        ] {
            self.note(stage, from, until)?;
        }
        self.total.push(seen.presented - sent);
        Ok(())
    }

    fn note(&mut self, stage: &'static str, from: i64, until: i64) -> Result<()> {
        let took = until - from;
        ensure!(took > -CLOCKS_AGREE_US, "{stage} ended {} µs before it began", -took);
        self.stages.entry(stage).or_default().push(took);
        Ok(())
    }

    fn latency(self, name: &str) -> Result<Latency> {
        let count = self.total.len();
        let total = Quantiles::of_us(self.total).context("no pose led to a picture")?;
        eprintln!(
            "{name}: {count} poses, {:.1} ms p50, {:.1} p95, {:.1} p99 from pose to picture",
            total.p50_ms, total.p95_ms, total.p99_ms
        );
        let stages = self
            .stages
            .into_iter()
            .filter_map(|(stage, us)| Some((stage, Quantiles::of_us(us)?)));
        Ok(Latency {
            stages: stages.collect(),
            total_p50_ms: total.p50_ms,
            total_p95_ms: total.p95_ms,
            total_p99_ms: total.p99_ms,
        })
    }
}

/// Moves head and hands until it is told to stop; returns its id.
async fn moving(connect: Connect, code: String, stopped: watch::Receiver<bool>) -> Result<u16> {
    let options = Visit {
        connect,
        headset: Config {
            simulated: true,
            ..Config::new(code, "Mover")
        },
        clock: Machine::default(),
        decode: Decode::Nothing,
    };
    let mut mover = Mover::default();
    match net::run(options, &mut mover, stopped).await {
        Ok(End::Cancelled) => {}
        other => bail!("the mover left: {other:?}"),
    }
    if let Some(trouble) = mover.trouble {
        bail!("{trouble}");
    }
    mover.headset.context("the mover was never welcome")
}

#[derive(Default)]
struct Mover {
    headset: Option<u16>,
    trouble: Option<String>,
}

impl Wearer for Mover {
    fn pose(&mut self, at: Moment, _headset: &mut Headset) -> Option<LocalPose> {
        #[expect(clippy::cast_possible_truncation, reason = "a phase")]
        let phase = (at.machine_us as f64 * 1e-6).rem_euclid(std::f64::consts::TAU) as f32;
        let joint = |x: f32, y: f32, z: f32| LocalJoint {
            position: Vec3::new(x, y, z),
            rotation: Quat::from_rotation_y(0.3 * phase.sin()),
        };
        Some(LocalPose {
            head: joint(0.02 * phase.sin(), 1.6, 0.0),
            left: Some(joint(-0.25 + 0.1 * (2.0 * phase).sin(), 1.1, -0.3)),
            right: Some(joint(0.25, 1.1 + 0.2 * (2.0 * phase).cos(), -0.3)),
            pointer: None,
        })
    }

    fn on_event(&mut self, _at: Moment, event: &Event, _headset: &mut Headset) {
        match event {
            Event::Welcome { headset, .. } => self.headset = Some(headset.0),
            Event::Malformed { lane, message } => {
                self.trouble.get_or_insert(format!("{lane}: {message}"));
            }
            _ => {}
        }
    }
}
