//! How many headsets with poses at the rate of a display one tour holds, spread over eight cells.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::content;
use crate::crowd::POSE_HZ;
use crate::process::{Server, Worker};
use crate::stats::round;

/// A tick lasts so long at 72 Hz; one that ends later than this after it was due is late for a display frame.
pub const MOST_TICK_MS: f64 = 13.9;
/// Least share of the poses that headsets must really have sent: below it the machine is full, not the server.
const LEAST_POSES: f64 = 0.9;
/// Least share of the ticks that must have happened.
const LEAST_TICKS: f64 = 0.9;

/// How to search.
#[derive(Debug, Clone)]
pub struct Options {
    /// The first number of headsets.
    pub first: usize,
    /// How many come at a time, until it is too much; then half as many go, and so on.
    pub step: usize,
    /// Never more.
    pub most: usize,
    /// What is neither too little nor too much by this is good enough.
    pub exact: usize,
    /// Time that each number is watched.
    pub window: Duration,
    /// No new number is tried after this.
    pub give_up: Duration,
    /// Times decide what is too much. Otherwise only what is heard is checked.
    pub timed: bool,
}

impl Options {
    /// All of it, in at most five minutes.
    #[must_use]
    pub const fn full() -> Self {
        Self {
            first: 40,
            step: 40,
            most: 800,
            exact: 10,
            window: Duration::from_secs(6),
            give_up: Duration::from_secs(270),
            timed: true,
        }
    }

    /// Enough to see that it works.
    #[must_use]
    pub const fn quick() -> Self {
        Self {
            first: 16,
            step: 1,
            most: 16,
            exact: 1,
            window: Duration::from_secs(3),
            give_up: Duration::from_secs(20),
            timed: false,
        }
    }
}

/// What is printed: of the largest number of headsets at which the tick was in time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Report {
    /// How many.
    pub headsets: usize,
    /// From the instant at which a tick was due to its end.
    pub tick_p99_ms: f64,
    /// Cores of the machine, which server and headsets share.
    pub cpu_cores: usize,
    /// Bytes that a headset receives, everything below UDP not counted.
    pub bytes_per_listener_s: f64,
}

/// Searches, checking at each number that everybody hears everybody where they are.
///
/// # Errors
/// When a headset hears something wrong, or not even the first number can be held.
pub async fn run(options: &Options) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    content::write(folder.path())?;
    let capacity = (options.most + 8).min(1000).to_string();
    let server = Server::start(folder.path(), content::STILL, false, &["--capacity", &capacity])?;
    let (at, sha, code) = (server.addr()?.to_string(), server.sha256()?, server.code()?);
    let (mut crowd, _) = Worker::start(&["crowd", "--server", &at, "--sha256", &sha, "--code", &code])?;
    let began = Instant::now();
    let (mut good, mut bad): (Option<Report>, Option<usize>) = (None, None);
    let (mut present, mut wanted) = (0, options.first);
    loop {
        if wanted > present {
            crowd.ask(&format!("add {}", wanted - present))?;
        } else {
            crowd.ask(&format!("keep {wanted}"))?;
        }
        present = wanted;
        settle(&server).await?;
        let mut seen = watch(&server, &mut crowd, present, options).await?;
        if let Err(why) = &seen {
            // Something else on the machine may have been in the way.
            eprintln!("     {why}: once more");
            seen = watch(&server, &mut crowd, present, options).await?;
        }
        match seen {
            Ok(report) => good = Some(report),
            Err(why) => {
                eprintln!("     {why}");
                bad = Some(present);
            }
        }
        let low = good.map_or(0, |g| g.headsets);
        wanted = match bad {
            None => (low + options.step).min(options.most),
            Some(high) => usize::midpoint(low, high),
        };
        let near = bad.is_some_and(|high| high - low <= options.exact);
        if near || low == options.most || wanted == 0 || began.elapsed() > options.give_up {
            break;
        }
    }
    good.context("not even the first number of headsets was held in time")
}

/// Waits until rosters are told, clocks are set, and the pictures of newly occupied cells are sharp and delivered.
async fn settle(server: &Server) -> Result<()> {
    let mut before = server.metrics()?;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let after = server.metrics()?;
        if after.since(&before, "tongyou_frames_sent_total")? == 0.0 {
            break;
        }
        before = after;
    }
    Ok(())
}

/// Watches for a while: the report, or why it was too much.
async fn watch(
    server: &Server,
    crowd: &mut Worker,
    headsets: usize,
    options: &Options,
) -> Result<Result<Report, String>> {
    crowd.ask("begin")?;
    let (before, cpu, bots, began) = (server.metrics()?, server.cpu_ms()?, crowd.cpu_ms()?, Instant::now());
    tokio::time::sleep(options.window).await;
    let after = server.metrics()?;
    let seconds = began.elapsed().as_secs_f64();
    let (cpu, bots) = (server.cpu_ms()? - cpu, crowd.cpu_ms()? - bots);
    let said = crowd.ask("end")?;
    let number = |key: &str| {
        said[key]
            .as_f64()
            .with_context(|| format!("the crowd did not say {key}"))
    };
    let (tick_p99_ms, ticks) = after.quantile_ms(&before, "tongyou_tick_seconds", 0.99)?;
    let (work_p99_ms, _) = after.quantile_ms(&before, "tongyou_tick_work_seconds", 0.99)?;
    let poses = number("poses_per_s")?;
    let arrived = after.since(&before, "tongyou_datagrams_received_total")? / seconds / headsets as f64;
    eprintln!(
        "{headsets:4} headsets: tick p99 {tick_p99_ms:.1} ms (its work {work_p99_ms:.1}), each sends {poses:.1} poses/s \
         ({arrived:.1} datagrams/s arrive), hears {:.0} poses/s in {:.1} kB/s, off by at most {:.1} mm; CPU ms/s: server \
         {:.0}, headsets {:.0}",
        number("entries_per_s")?,
        number("bytes_per_s")? / 1e3,
        number("off_mm")?,
        cpu / seconds,
        bots / seconds,
    );
    ensure!(number("headsets")? == headsets as f64, "headsets are missing");
    if options.timed && tick_p99_ms > MOST_TICK_MS {
        return Ok(Err(format!("the tick's p99 passes {MOST_TICK_MS} ms")));
    }
    if options.timed && ticks < LEAST_TICKS * 72.0 * seconds {
        return Ok(Err(format!("only {:.1} ticks a second", ticks / seconds)));
    }
    if options.timed && poses.min(arrived) < LEAST_POSES * POSE_HZ {
        return Ok(Err("the headsets can not keep up: the machine is full".to_owned()));
    }
    // Enough time for the least important to have been told of.
    ensure!(
        number("least_heard")? == (headsets - 1) as f64,
        "somebody heard only {} of {} others in {seconds:.1} s",
        number("least_heard")?,
        headsets - 1
    );
    Ok(Ok(Report {
        headsets,
        tick_p99_ms: round(tick_p99_ms, 2),
        cpu_cores: std::thread::available_parallelism()?.get(),
        bytes_per_listener_s: number("bytes_per_s")?.round(),
    }))
}
