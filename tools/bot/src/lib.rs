//! Headless headsets over real QUIC that move like people and check what they receive.
//!
//! ```no_run
//! # async fn example(config: tongyou_bot::Config) {
//! let (stop, stopped) = tokio::sync::watch::channel(false);
//! let report = tongyou_bot::run(config, stopped).await;
//! assert_eq!(report.problems(), Vec::<String>::new());
//! # drop(stop);
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod bot;
mod guide;
pub mod motion;
mod report;
mod ticket;

pub use report::{Ages, BotReport, Clock, Report, Sets, StopChange};
pub use tongyou_transport::ServerTrust;

use bot::{Bot, Shared};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tongyou_client::core;
use tongyou_client::net::{self, Connect, Decode, Machine, Options};

/// How bots move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Motion {
    /// Like people: they look about, sway, gesture and walk; the same for the same seed.
    #[default]
    Seeded,
    /// Not at all: after the first poses they rest.
    Still,
}

/// How a bot with a guide's grant leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// The grant of the guide's console.
    pub grant: String,
    /// Time at each stop.
    pub interval: Duration,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server's address.
    pub server: SocketAddr,
    /// The name that its certificate is for; without meaning where trust is a hash.
    pub server_name: String,
    /// How the server is known to be the right one.
    pub trust: ServerTrust,
    /// The session code.
    pub code: String,
    /// How many bots.
    pub count: usize,
    /// Names, in order; beyond them bots are numbered.
    pub names: Vec<String>,
    /// How they move.
    pub motion: Motion,
    /// Of all that is random.
    pub seed: u64,
    /// How long they stay; until cancelled where there is no time.
    pub duration: Option<Duration>,
    /// The time over which they arrive.
    pub join_over: Duration,
    /// The first bot leads.
    pub lead: Option<Lead>,
    /// Bot `i`'s clock is `i` times this ahead of the machine's.
    pub clock_offset: Duration,
    /// Bots' clocks drift by this, every second one the other way.
    pub drift_ppm: f64,
    /// Decode colour and depth, not only check checksums.
    pub decode: bool,
    /// Instants a second at which each bot's display takes the newest complete set; without it a set counts as presented
    /// as soon as it is complete.
    pub display_hz: Option<f32>,
    /// Where each bot keeps its ticket: one that is killed and started again comes back to its place.
    pub tickets: Option<PathBuf>,
    /// Say on stderr once a second how it goes.
    pub progress: bool,
}

impl Config {
    /// One bot that moves like a person until it is cancelled.
    #[must_use]
    pub fn new(server: SocketAddr, trust: ServerTrust, code: impl Into<String>) -> Self {
        Self {
            server,
            server_name: "localhost".to_owned(),
            trust,
            code: code.into(),
            count: 1,
            names: Vec::new(),
            motion: Motion::default(),
            seed: 1,
            duration: None,
            join_over: Duration::ZERO,
            lead: None,
            clock_offset: Duration::ZERO,
            drift_ppm: 0.0,
            decode: false,
            display_hz: None,
            tickets: None,
            progress: false,
        }
    }
}

/// Runs all bots until the time is over or `cancel` becomes true, and reports. A bot that can not join, or is thrown
/// out, says so in its report; the others go on.
pub async fn run(config: Config, cancel: watch::Receiver<bool>) -> Report {
    let connect = net::quic(config.server, config.server_name.clone(), config.trust.clone());
    run_over(config, |_| Arc::clone(&connect), cancel).await
}

/// Likewise, over links that the caller makes for each bot by its number; the addresses in `config` do not matter.
pub async fn run_over(config: Config, connect: impl Fn(usize) -> Connect, mut cancel: watch::Receiver<bool>) -> Report {
    let (stop, stopped) = watch::channel(false);
    let started = tokio::time::Instant::now();
    let mut shared = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..config.count {
        let each = Arc::new(Shared::default());
        shared.push(Arc::clone(&each));
        tasks.spawn(visit(config.clone(), i, connect(i), each, stopped.clone()));
    }
    let end = config.duration.map(|d| tokio::time::Instant::now() + d);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            biased;
            Ok(_) = cancel.wait_for(|c| *c) => break,
            () = at(end) => break,
            done = tasks.join_next() => if done.is_none() { break },
            _ = ticks.tick() => if config.progress {
                eprintln!("{}", report::progress(started.elapsed(), &collect(&shared)));
            },
        }
    }
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    Report::new(started.elapsed(), collect(&shared), shared.iter().map(|s| s.sets()))
}

async fn at(end: Option<tokio::time::Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn collect(shared: &[Arc<Shared>]) -> Vec<BotReport> {
    shared.iter().map(|s| s.report()).collect()
}

/// One bot's visit.
async fn visit(config: Config, i: usize, connect: Connect, shared: Arc<Shared>, stopped: watch::Receiver<bool>) {
    let share = u32::try_from(i).unwrap_or(u32::MAX);
    let count = u32::try_from(config.count.max(1)).unwrap_or(u32::MAX);
    let wait = config.join_over * share / count;
    if !wait.is_zero()
        && tokio::time::timeout(wait, stopped.clone().wait_for(|c| *c))
            .await
            .is_ok()
    {
        return;
    }
    let name = config.names.get(i).cloned().unwrap_or_else(|| format!("Bot {}", i + 1));
    let lead = config.lead.clone().filter(|_| i == 0);
    let ticket = config
        .tickets
        .as_ref()
        .map(|folder| folder.join(format!("bot-{}.ticket", i + 1)));
    let headset = core::Config {
        resume_ticket: ticket.as_deref().and_then(ticket::read),
        client: concat!("bot/", env!("CARGO_PKG_VERSION")).to_owned(),
        simulated: true,
        guide_grant: lead.as_ref().map(|l| l.grant.clone()).unwrap_or_default(),
        ..core::Config::new(config.code.clone(), name.clone())
    };
    let offset_us = i64::try_from(config.clock_offset.as_micros()).unwrap_or(0) * i64::from(share);
    let drift_ppm = if i.is_multiple_of(2) {
        config.drift_ppm
    } else {
        -config.drift_ppm
    };
    let clock = Machine::new(offset_us, drift_ppm);
    let options = Options {
        connect,
        headset,
        clock,
        decode: if config.decode { Decode::All } else { Decode::Nothing },
    };
    let seed = config.seed.wrapping_mul(0x9e37_79b9).wrapping_add(u64::from(share));
    let mut bot = Bot::new(
        name,
        seed,
        config.motion,
        config.display_hz,
        lead.map(|l| l.interval),
        Arc::clone(&shared),
        clock.now(),
    );
    bot.keep_ticket(ticket);
    let end = net::run(options, &mut bot, stopped).await;
    bot.finish(end);
}
