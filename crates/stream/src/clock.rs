//! Keeps a headset's estimate of server time: offset and skew from pings.
//!
//! The two directions of a ping are independent, so each is judged on its own: the last minute is cut into chunks of
//! about twenty pings, and in each chunk the fastest tenth of either direction gives one point of the line that
//! server time is on. Half of a path's asymmetry can not be seen by any such method and remains.

use protocol::datagram::{Ping, Pong};
use protocol::micros::{round, to_f64};
use protocol::{ClientTime, ServerTime};
use std::collections::VecDeque;
use std::time::Duration;
use tongyou_protocol as protocol;

const BURST: u32 = 8;
const BURST_INTERVAL: Duration = Duration::from_millis(125);
const INTERVAL: Duration = Duration::from_millis(250);
/// Once time is known well; a quarter of what an idle headset costs its server is its pings.
const SETTLED_INTERVAL: Duration = Duration::from_millis(500);
/// An error below this is known well.
const SETTLED_ERROR_US: f64 = 300.0;
/// How long pings are remembered.
const WINDOW_US: i64 = 60_000_000;
const MAX_SAMPLES: usize = 256;
/// Pings that may still be answered.
const MAX_WAITING: usize = 64;
/// Pings in a chunk: a quarter of what there is, within this.
const CHUNK: std::ops::RangeInclusive<usize> = 5..=20;
/// The estimate may jump for this long after the first answer.
const STEP_US: i64 = 1_000_000;
/// It may turn quickly for this long after the first answer.
const START_UP_US: i64 = 5_000_000;
/// Beyond start-up a correction changes the rate by at most this much (1 ms in a second).
const SLEW: f64 = 1e-3;
const START_UP_SLEW: f64 = 5e-2;
/// No clock counts beyond this (285 years fit an f64's mantissa).
const FARTHEST_US: i64 = 1 << 53;
/// A correction is spread over this time where the slew limit allows.
const CORRECTION_US: f64 = 2e6;
/// Clocks of computers run within this of each other: the standard deviation of what is expected before measuring.
const SKEW_PRIOR: f64 = 30e-6;
/// No skew is believed before answers span this time.
const SKEW_SPAN_US: f64 = 3e6;
/// After a silence of this length an error beyond [`SLEPT_ERROR_US`] means that a clock slept: start again.
const SLEPT_US: i64 = 10_000_000;
const SLEPT_ERROR_US: f64 = 50_000.0;

/// Synchronises one headset's clock with the server's.
///
/// ```text
/// loop { if let Some(ping) = sync.poll_ping(now) { send(ping) }   // again at sync.next_ping()
///        on a pong: sync.on_pong(now, pong) }
/// ```
#[derive(Debug, Default)]
pub struct Sync {
    pings_sent: u32,
    next_ping: Option<ClientTime>,
    seq: u16,
    waiting: VecDeque<Ping>,
    samples: VecDeque<Sample>,
    started: Option<ClientTime>,
    line: Option<Line>,
    error_us: f64,
}

/// One answered ping.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: ClientTime,
    /// Server minus client as the way up shows it: true offset plus the delay up.
    up_us: i64,
    /// Likewise on the way down: true offset minus the delay down.
    down_us: i64,
}

/// What is told to the outside: server time as a continuous function of client time, bent once at `until`.
#[derive(Debug, Clone, Copy)]
struct Line {
    from: ClientTime,
    /// Server minus client at `from`.
    offset_us: f64,
    /// Offset gained per microsecond up to `until`.
    rate: f64,
    until: ClientTime,
    /// Offset gained per microsecond after it.
    skew: f64,
}

/// A straight line through the chunks' points.
#[derive(Debug, Clone, Copy)]
struct Fit {
    offset_us: f64,
    skew: f64,
    error_us: f64,
}

impl Sync {
    /// A clock that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A ping to send now, if one is due: eight within the first second, then four a second, and two once the server's
    /// time is known to 0.3 ms.
    pub fn poll_ping(&mut self, now: ClientTime) -> Option<Ping> {
        if self.next_ping.is_some_and(|due| now < due) {
            return None;
        }
        self.pings_sent = self.pings_sent.saturating_add(1);
        let interval = if self.pings_sent < BURST {
            BURST_INTERVAL
        } else if self.is_settled(now) {
            SETTLED_INTERVAL
        } else {
            INTERVAL
        };
        self.next_ping = Some(now + interval);
        let ping = Ping {
            seq: self.seq,
            sent: now,
        };
        self.seq = self.seq.wrapping_add(1);
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(ping);
        Some(ping)
    }

    /// When the next ping is due; `None` before the first, which is due at once.
    #[must_use]
    pub const fn next_ping(&self) -> Option<ClientTime> {
        self.next_ping
    }

    /// Takes an answer. Answers to nothing that was asked, repeated ones and impossible ones are ignored; returns
    /// whether it was used.
    pub fn on_pong(&mut self, now: ClientTime, pong: Pong) -> bool {
        let asked = Ping {
            seq: pong.seq,
            sent: pong.sent,
        };
        let Some(at) = self.waiting.iter().position(|p| *p == asked) else {
            return false;
        };
        self.waiting.remove(at);
        let held_us = pong.replied.0.saturating_sub(pong.received.0);
        let round_us = now.micros_since(pong.sent);
        if pong.received.0.checked_abs().is_none_or(|us| us > FARTHEST_US) || held_us < 0 || round_us < held_us {
            return false;
        }
        let silence_us = self.samples.back().map_or(0, |s| now.micros_since(s.at));
        self.samples.push_back(Sample {
            at: pong.sent + Duration::from_micros(u64::try_from(round_us / 2).unwrap_or(0)),
            up_us: pong.received.0.saturating_sub(pong.sent.0),
            down_us: pong.replied.0.saturating_sub(now.0),
        });
        self.forget_old(now);
        self.update(now, silence_us);
        true
    }

    /// Server time at a client time; `None` before the first answer. Continuous and rising once a second has passed.
    #[must_use]
    pub fn server_at(&self, at: ClientTime) -> Option<ServerTime> {
        self.line
            .map(|line| ServerTime(at.0.saturating_add(round(line.offset_at(at)))))
    }

    /// The client time at which a server time is reached; `None` before the first answer.
    #[must_use]
    pub fn client_at(&self, at: ServerTime) -> Option<ClientTime> {
        let line = self.line?;
        let reference = line.from.0.saturating_add(round(line.offset_us));
        let elapsed = to_f64(at.0.saturating_sub(reference));
        let bend = to_f64(line.until.micros_since(line.from));
        let bend_in_server = bend * (1.0 + line.rate);
        let client_elapsed = if elapsed <= bend_in_server {
            elapsed / (1.0 + line.rate)
        } else {
            bend + (elapsed - bend_in_server) / (1.0 + line.skew)
        };
        Some(ClientTime(line.from.0.saturating_add(round(client_elapsed))))
    }

    /// How far [`Self::server_at`] is likely off (one standard deviation and what is still to be slewed), without the
    /// half of the path's asymmetry. `None` before the first answer.
    #[must_use]
    pub fn error_estimate(&self) -> Option<Duration> {
        self.line
            .map(|_| Duration::from_micros(u64::try_from(round(self.error_us)).unwrap_or(0)))
    }

    /// How much faster the server's clock runs than this one, in parts per million.
    #[must_use]
    pub fn skew_ppm(&self) -> f64 {
        self.line.map_or(0.0, |line| line.skew * 1e6)
    }

    fn is_settled(&self, now: ClientTime) -> bool {
        let started_up = self.started.is_some_and(|at| now.micros_since(at) > START_UP_US);
        started_up && self.error_us < SETTLED_ERROR_US
    }

    fn forget_old(&mut self, now: ClientTime) {
        while self.samples.len() > MAX_SAMPLES
            || self.samples.front().is_some_and(|s| now.micros_since(s.at) > WINDOW_US)
        {
            self.samples.pop_front();
        }
    }

    fn update(&mut self, now: ClientTime, silence_us: i64) {
        let Some(mut fit) = fit(&self.samples, now) else { return };
        let mut off_us = self.line.map_or(0.0, |line| fit.offset_us - line.offset_at(now));
        if silence_us > SLEPT_US && off_us.abs() > SLEPT_ERROR_US {
            self.samples.drain(..self.samples.len() - 1);
            self.started = None;
            let Some(again) = self::fit(&self.samples, now) else {
                return;
            };
            fit = again;
            off_us = 0.0;
        }
        let started = *self.started.get_or_insert(now);
        let age_us = now.micros_since(started);
        self.line = Some(match self.line {
            Some(line) if age_us >= STEP_US => line.bend_towards(now, &fit, off_us, age_us),
            _ => {
                off_us = 0.0;
                Line {
                    from: now,
                    offset_us: fit.offset_us,
                    rate: fit.skew,
                    until: now,
                    skew: fit.skew,
                }
            }
        });
        self.error_us = fit.error_us + off_us.abs();
    }
}

impl Line {
    fn offset_at(&self, at: ClientTime) -> f64 {
        let elapsed = to_f64(at.micros_since(self.from));
        let bend = to_f64(self.until.micros_since(self.from));
        self.offset_us + self.rate * elapsed.min(bend) + self.skew * (elapsed - bend).max(0.0)
    }

    fn bend_towards(self, now: ClientTime, fit: &Fit, off_us: f64, age_us: i64) -> Self {
        let limit = if age_us < START_UP_US { START_UP_SLEW } else { SLEW };
        let correction = (off_us / CORRECTION_US).clamp(-limit, limit);
        let needed_us = if correction == 0.0 { 0.0 } else { off_us / correction };
        Self {
            from: now,
            offset_us: self.offset_at(now),
            rate: fit.skew + correction,
            until: ClientTime(now.0.saturating_add(round(needed_us))),
            skew: fit.skew,
        }
    }
}

/// The line through the best points of each chunk, weighted by how far a chunk's delay is above the least one.
fn fit(samples: &VecDeque<Sample>, now: ClientTime) -> Option<Fit> {
    let first = samples.front()?;
    // Offsets are large (clocks start anywhere): relative to the first they keep their precision in f64.
    let base = first.up_us;
    let chunk = (samples.len() / 4).clamp(*CHUNK.start(), *CHUNK.end());
    let chunks = (samples.len() / chunk).max(1);
    let points: Vec<Point> = (0..chunks)
        .map(|i| {
            let range = i * samples.len() / chunks..(i + 1) * samples.len() / chunks;
            Point::best(samples.range(range), base, now)
        })
        .collect();
    let least = points.iter().map(|p| p.delay_us).fold(f64::INFINITY, f64::min);
    let weight = |p: &Point| 1.0 / (1.0 + ((p.delay_us - least) / (0.01 * least + 500.0)).powi(2));
    let total: f64 = points.iter().map(weight).sum();
    let mean = |value: &dyn Fn(&Point) -> f64| points.iter().map(|p| weight(p) * value(p)).sum::<f64>() / total;
    let (t, o) = (mean(&|p| p.t_us), mean(&|p| p.offset_us));
    let span = points.last()?.t_us - points.first()?.t_us;
    let n = to_f64(i64::try_from(points.len()).ok()?);
    let spread = mean(&|p| p.spread_us);
    let (skew, variance) = if points.len() < 3 || span < SKEW_SPAN_US {
        (0.0, spread * spread)
    } else {
        let txx = mean(&|p| (p.t_us - t).powi(2));
        let txo = mean(&|p| (p.t_us - t) * (p.offset_us - o));
        let raw = txo / txx;
        let residual = mean(&|p| (p.offset_us - o - raw * (p.t_us - t)).powi(2)) * n / (n - 2.0);
        let variance = residual.max(25.0);
        (txo / (txx + variance / n / (SKEW_PRIOR * SKEW_PRIOR)), variance)
    };
    Some(Fit {
        offset_us: to_f64(base) + o - skew * t,
        skew,
        error_us: (variance / n).sqrt() * if points.len() < 3 { 1.0 } else { 2.0 } + 10.0,
    })
}

/// What the fastest pings of a chunk say.
struct Point {
    /// From now, so negative.
    t_us: f64,
    /// Relative to the base.
    offset_us: f64,
    /// Least delay up and down together.
    delay_us: f64,
    /// How uncertain the offset is when nothing but this chunk is known.
    spread_us: f64,
}

impl Point {
    fn best<'a>(samples: impl Iterator<Item = &'a Sample> + Clone, base: i64, now: ClientTime) -> Self {
        let average = |values: &[(i64, i64)]| {
            let n = to_f64(i64::try_from(values.len()).unwrap_or(1)).max(1.0);
            let sum = values
                .iter()
                .fold((0.0, 0.0), |(v, t), x| (v + to_f64(x.0), t + to_f64(x.1)));
            (sum.0 / n, sum.1 / n)
        };
        let fastest = |sign: i64, value: &dyn Fn(&Sample) -> i64| {
            let mut all: Vec<(i64, i64)> = samples
                .clone()
                .map(|s| (sign * value(s).saturating_sub(base), s.at.micros_since(now)))
                .collect();
            all.sort_unstable();
            let n = all.len().div_ceil(10);
            let (best, t) = average(&all[..n]);
            let median = to_f64(all[all.len() / 2].0);
            let scale = to_f64(i64::try_from(all.len()).unwrap_or(1)).max(1.0);
            (best, t, (median - best) / scale)
        };
        let (up, up_t, up_spread) = fastest(1, &|s| s.up_us);
        let (down, down_t, down_spread) = fastest(-1, &|s| s.down_us);
        let delay_us = up + down;
        Self {
            t_us: (up_t + down_t) / 2.0,
            offset_us: (up - down) / 2.0,
            delay_us,
            spread_us: up_spread + down_spread,
        }
    }
}

#[cfg(test)]
mod tests;
