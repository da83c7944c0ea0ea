//! How fast and how well a vantage is rendered, from what its subscribers report.
//!
//! Per subscriber an [`Estimator`] turns delivery feedback into what that headset can bear; per vantage a
//! [`Controller`] turns the estimates of all its subscribers into one [`Quality`].

use std::collections::VecDeque;
use std::time::Duration;

use tongyou_protocol::ServerTime;
use tongyou_protocol::datagram::Feedback;

/// What one headset can bear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Bits a second that arrive without a growing queue.
    pub bitrate_bps: u32,
    /// Sets a second that its decoder keeps up with.
    pub sets_per_s: f32,
}

/// How a vantage is rendered and encoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Most sets a second.
    pub sets_per_s: f32,
    /// What the encoder aims at, colour and depth together.
    pub bitrate_bps: u32,
    /// Index into [`Config::set_bits`]: 0 is the full size.
    pub size_step: usize,
}

/// Bounds of quality.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Never below.
    pub min_bps: u32,
    /// Never above.
    pub max_bps: u32,
    /// Before there is any feedback.
    pub start_bps: u32,
    /// Below this rate the size is lowered instead.
    pub min_sets_per_s: f32,
    /// Most sets a second.
    pub max_sets_per_s: f32,
    /// Bits that a set should have at each size, largest first; not empty.
    pub set_bits: Vec<u32>,
    /// The share of subscribers that may be left to skip sets: 0.2 serves the other 80 %.
    pub left_behind: f32,
    /// Time without trouble before quality rises.
    pub calm: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_bps: 500_000,
            max_bps: 25_000_000,
            start_bps: 6_000_000,
            min_sets_per_s: 4.0,
            max_sets_per_s: 36.0,
            set_bits: vec![400_000, 180_000],
            left_behind: 0.2,
            calm: Duration::from_secs(2),
        }
    }
}

/// Reports that the standing queue is taken from: at four a second, one second.
const QUEUE_REPORTS: usize = 4;
/// The shortest delay is looked for in this time, in two halves.
const BASE_WINDOW: Duration = Duration::from_secs(20);
/// A standing queue below this is none.
const QUEUE_CLEAR_MS: f64 = 20.0;
/// A standing queue above this is too long.
const QUEUE_LONG_MS: f64 = 50.0;
/// What is kept of the rate that arrived when the queue is too long, so that it empties.
const BACK_OFF: f64 = 0.85;
/// The rate is not lowered again before the last time has shown.
const BACK_OFF_EVERY: Duration = Duration::from_millis(750);
/// Growth a second while all is well.
const GROWTH_PER_S: f64 = 0.08;
/// More frames than this waiting for the decoder are too many.
const DECODE_QUEUE: u8 = 4;

/// Estimates one headset's path and decoder.
///
/// The delay of a set is that of its largest frame, so that a keyframe alone looks like a queue: what counts is the
/// shortest delay of the last second over the shortest of the last twenty.
#[derive(Debug, Clone)]
pub struct Estimator {
    min_bps: f64,
    max_bps: f64,
    max_sets_per_s: f64,
    calm: Duration,
    bitrate_bps: f64,
    sets_per_s: f64,
    /// The newest delays, milliseconds.
    delays: VecDeque<u16>,
    base: Base,
    last: Option<ServerTime>,
    path_trouble: Option<ServerTime>,
    decoder_trouble: Option<ServerTime>,
    backed_off: Option<ServerTime>,
}

/// The shortest delay of a sliding window.
#[derive(Debug, Clone, Default)]
struct Base {
    older: Option<u16>,
    newer: Option<u16>,
    turned: Option<ServerTime>,
}

impl Base {
    /// The shortest delay, this one included.
    fn update(&mut self, now: ServerTime, delay_ms: u16) -> u16 {
        let turned = *self.turned.get_or_insert(now);
        if now.saturating_since(turned) >= BASE_WINDOW / 2 {
            self.older = self.newer.take();
            self.turned = Some(now);
        }
        let newer = self.newer.map_or(delay_ms, |d| d.min(delay_ms));
        self.newer = Some(newer);
        self.older.map_or(newer, |d| d.min(newer))
    }
}

impl Estimator {
    /// Starts at the configured rate.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            min_bps: config.min_bps.into(),
            max_bps: config.max_bps.into(),
            max_sets_per_s: config.max_sets_per_s.into(),
            calm: config.calm,
            bitrate_bps: config.start_bps.into(),
            sets_per_s: config.max_sets_per_s.into(),
            delays: VecDeque::new(),
            base: Base::default(),
            last: None,
            path_trouble: None,
            decoder_trouble: None,
            backed_off: None,
        }
    }

    /// Takes one report of the headset. A report that covers no time says nothing.
    pub fn update(&mut self, now: ServerTime, feedback: &Feedback) -> Estimate {
        if feedback.interval_ms == 0 {
            return self.estimate();
        }
        let reported_s = f64::from(feedback.interval_ms) / 1000.0;
        // Reports that come in a bunch, or a headset that claims hours, do not speed anything up.
        let passed_s = self.last.map_or(0.0, |last| now.saturating_since(last).as_secs_f64());
        let growth_s = passed_s.min(reported_s).min(1.0);
        self.last = Some(now);
        let received_bps = f64::from(feedback.bytes) * 8.0 / reported_s;
        self.follow_path(now, feedback, received_bps, growth_s);
        self.follow_decoder(now, feedback, f64::from(feedback.complete) / reported_s, growth_s);
        self.estimate()
    }

    /// The present estimate.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between bounds that are a u32 and an f32"
    )]
    pub const fn estimate(&self) -> Estimate {
        Estimate {
            bitrate_bps: self.bitrate_bps as u32,
            sets_per_s: self.sets_per_s as f32,
        }
    }

    fn follow_path(&mut self, now: ServerTime, feedback: &Feedback, received_bps: f64, growth_s: f64) {
        let queue_ms = (feedback.complete > 0).then(|| self.standing_queue_ms(now, feedback.delay_ms));
        let late = feedback.missed > 0 && feedback.missed.saturating_mul(4) >= feedback.complete;
        if late || queue_ms.is_some_and(|q| q > QUEUE_LONG_MS) {
            self.path_trouble = Some(now);
            if since(now, self.backed_off, BACK_OFF_EVERY) {
                self.backed_off = Some(now);
                // What arrived is what the path carries, unless little was sent.
                let carried = received_bps.max(self.bitrate_bps / 2.0).min(self.bitrate_bps);
                self.bitrate_bps = carried * BACK_OFF;
            }
        } else if queue_ms.is_none_or(|q| q > QUEUE_CLEAR_MS) {
            // Neither good nor bad, or nothing to judge by.
        } else if since(now, self.path_trouble, self.calm) && received_bps * 1.5 + 500_000.0 > self.bitrate_bps {
            // A rate that is not used proves nothing about a higher one.
            self.bitrate_bps *= 1.0 + GROWTH_PER_S * growth_s;
        }
        self.bitrate_bps = self.bitrate_bps.clamp(self.min_bps, self.max_bps.max(self.min_bps));
    }

    fn standing_queue_ms(&mut self, now: ServerTime, delay_ms: u16) -> f64 {
        if self.delays.len() == QUEUE_REPORTS {
            self.delays.pop_front();
        }
        self.delays.push_back(delay_ms);
        let base = self.base.update(now, delay_ms);
        let shortest = self.delays.iter().copied().min().unwrap_or(delay_ms);
        f64::from(shortest.saturating_sub(base))
    }

    fn follow_decoder(&mut self, now: ServerTime, feedback: &Feedback, complete_per_s: f64, growth_s: f64) {
        if feedback.decode_queue > DECODE_QUEUE {
            if since(now, self.decoder_trouble, BACK_OFF_EVERY) {
                self.decoder_trouble = Some(now);
                self.sets_per_s = complete_per_s.max(self.sets_per_s / 2.0).min(self.sets_per_s) * BACK_OFF;
            }
        } else if since(now, self.decoder_trouble, self.calm) {
            self.sets_per_s *= 1.0 + GROWTH_PER_S * growth_s;
        }
        self.sets_per_s = self.sets_per_s.clamp(1.0, self.max_sets_per_s.max(1.0));
    }
}

/// Whether something is at least so long ago, or never was.
fn since(now: ServerTime, then: Option<ServerTime>, long: Duration) -> bool {
    then.is_none_or(|t| now.saturating_since(t) >= long)
}

/// A change of quality that is smaller than this share is not worth it.
const WORTH: f32 = 0.05;
/// The most by which quality rises at once.
const STEP_UP: f32 = 1.15;
/// Time between two rises.
const STEP_UP_EVERY: Duration = Duration::from_secs(1);
/// A larger size is chosen only when it leaves this much more than the least rate.
const SIZE_MARGIN: f32 = 1.5;

/// Chooses the quality of one vantage: falls at once, rises slowly; first the rate falls, then the size.
#[derive(Debug, Clone)]
pub struct Controller {
    config: Config,
    quality: Quality,
    /// When quality last fell.
    fell: Option<ServerTime>,
    /// When it last rose.
    rose: Option<ServerTime>,
}

impl Controller {
    /// Starts at the configured rate. A configuration without sizes has one, of any number of bits.
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        if config.set_bits.is_empty() {
            config.set_bits.push(0);
        }
        config.max_bps = config.max_bps.max(config.min_bps);
        config.max_sets_per_s = config.max_sets_per_s.max(config.min_sets_per_s).max(1.0);
        let bitrate_bps = config.start_bps.clamp(config.min_bps, config.max_bps);
        let mut controller = Self {
            quality: Quality {
                sets_per_s: config.max_sets_per_s,
                bitrate_bps,
                size_step: 0,
            },
            config,
            fell: None,
            rose: None,
        };
        let size_step = controller.smaller_size(bitrate_bps);
        controller.quality.size_step = size_step;
        controller.quality.sets_per_s = controller.sets_at(bitrate_bps, size_step);
        controller
    }

    /// Takes the estimates of all present subscribers, a few times a second; returns the quality when it has changed.
    /// Without subscribers it stays as it is.
    pub fn update(&mut self, now: ServerTime, estimates: impl IntoIterator<Item = Estimate>) -> Option<Quality> {
        let estimates: Vec<Estimate> = estimates.into_iter().collect();
        let left_behind = f64::from(self.config.left_behind.clamp(0.0, 1.0));
        let at = |mut of: Vec<f32>| {
            of.sort_by(f32::total_cmp);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a length"
            )]
            let skipped = (of.len() as f64 * left_behind) as usize;
            of.get(skipped.min(of.len().saturating_sub(1))).copied()
        };
        let bitrate = at(estimates.iter().map(|e| e.bitrate_bps as f32).collect())?;
        let decoders = at(estimates.iter().map(|e| e.sets_per_s).collect())?;

        let before = self.quality;
        let bitrate_bps = self.follow(now, bitrate);
        let size_step = self.size(now, bitrate_bps);
        if size_step > before.size_step {
            self.fell = Some(now);
        }
        let sets_per_s = self.sets_at(bitrate_bps, size_step).min(decoders.max(1.0));
        let after = Quality {
            sets_per_s,
            bitrate_bps,
            size_step,
        };
        let differs = |a: f32, b: f32| (a - b).abs() > WORTH * b.abs();
        let worth = size_step != before.size_step
            || bitrate_bps != before.bitrate_bps
            || differs(sets_per_s, before.sets_per_s);
        worth.then(|| {
            self.quality = after;
            after
        })
    }

    /// The present quality.
    #[must_use]
    pub const fn quality(&self) -> Quality {
        self.quality
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates"
    )]
    fn follow(&mut self, now: ServerTime, wanted_bps: f32) -> u32 {
        let present_bps = self.quality.bitrate_bps as f32;
        let calm = since(now, self.fell, self.config.calm) && since(now, self.rose, STEP_UP_EVERY);
        let next_bps = if wanted_bps < present_bps * (1.0 - WORTH) {
            self.fell = Some(now);
            wanted_bps
        } else if wanted_bps > present_bps * (1.0 + WORTH) && calm {
            self.rose = Some(now);
            wanted_bps.min(present_bps * STEP_UP)
        } else {
            return self.quality.bitrate_bps;
        };
        (next_bps as u32).clamp(self.config.min_bps, self.config.max_bps)
    }

    fn size(&self, now: ServerTime, bitrate_bps: u32) -> usize {
        let smaller = self.smaller_size(bitrate_bps);
        let present = self.quality.size_step;
        if smaller > present {
            return smaller;
        }
        let larger = present.saturating_sub(1);
        let room = self.raw_sets(bitrate_bps, larger) >= self.config.min_sets_per_s * SIZE_MARGIN;
        if room && since(now, self.fell, self.config.calm) {
            larger
        } else {
            present
        }
    }

    /// The largest size that leaves the least rate, from the present one on.
    fn smaller_size(&self, bitrate_bps: u32) -> usize {
        let last = self.config.set_bits.len() - 1;
        (self.quality.size_step..last)
            .find(|step| self.raw_sets(bitrate_bps, *step) >= self.config.min_sets_per_s)
            .unwrap_or(last)
    }

    fn sets_at(&self, bitrate_bps: u32, size_step: usize) -> f32 {
        self.raw_sets(bitrate_bps, size_step)
            .clamp(1.0, self.config.max_sets_per_s)
    }

    fn raw_sets(&self, bitrate_bps: u32, size_step: usize) -> f32 {
        let bits = self.config.set_bits.get(size_step).copied().unwrap_or_default();
        bitrate_bps as f32 / bits.max(1) as f32
    }
}

#[cfg(test)]
mod tests;
