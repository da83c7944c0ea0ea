//! What was measured, and whether it is good enough.

use nv_flip::{FlipImageFloat, FlipPool};
use serde_json::{Value, json};

use super::BINS_M;

/// Turning only: the client's error against the same warp of uncompressed faces.
const MOST_OF_UNCOMPRESSED: f32 = 1.25;
/// Anywhere else: against a warp that knows no depth.
const MOST_OF_ROTATION_ONLY: f32 = 0.5;

/// Ways to show a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warp {
    /// What the client shows.
    Client,
    /// The same of faces that were not compressed.
    Uncompressed,
    /// All depth is far away: only turning the head is right.
    RotationOnly,
}

impl Warp {
    /// In the order of what is measured.
    pub const ALL: [Self; 3] = [Self::Client, Self::Uncompressed, Self::RotationOnly];
}

/// What all eyes in one bin saw.
#[derive(Default)]
pub struct Bin {
    pools: [FlipPool; Warp::ALL.len()],
    holes: usize,
    pictures: usize,
}

/// What all eyes saw, bin by bin.
#[derive(Default)]
pub struct Report {
    bins: [Bin; BINS_M.len()],
}

impl Bin {
    /// Mean FLIP.
    #[must_use]
    pub fn mean(&self, warp: Warp) -> f32 {
        self.pools[warp as usize].mean()
    }
}

impl Report {
    /// Adds what one eye saw: errors as in [`Warp::ALL`], and the client's pixels that show nothing.
    pub fn add(&mut self, bin: usize, errors: &[FlipImageFloat; Warp::ALL.len()], holes: usize) {
        let bin = &mut self.bins[bin];
        for (pool, error) in bin.pools.iter_mut().zip(errors) {
            pool.update_with_image(error);
        }
        bin.holes += holes;
        bin.pictures += 1;
    }

    /// All bins.
    #[must_use]
    pub const fn bins(&self) -> &[Bin; BINS_M.len()] {
        &self.bins
    }

    /// What is not as it must be, in words.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (bin, metres) in self.bins.iter().zip(BINS_M) {
            let [client, uncompressed, rotation_only] = Warp::ALL.map(|warp| bin.mean(warp));
            if bin.holes > 0 {
                faults.push(format!("{metres} m: {} pixels show nothing", bin.holes));
            }
            if metres == 0.0 && client > MOST_OF_UNCOMPRESSED * uncompressed {
                faults.push(format!(
                    "turning only: {client:.4} of {uncompressed:.4} without compression"
                ));
            }
            if metres > 0.0 && client > MOST_OF_ROTATION_ONLY * rotation_only {
                faults.push(format!(
                    "{metres} m: {client:.4} of {rotation_only:.4} by rotation only"
                ));
            }
        }
        faults
    }

    /// One object a bin.
    pub fn json(&mut self) -> Value {
        let round = |v: f32| (f64::from(v) * 1e4).round() / 1e4;
        let bins = self.bins.iter_mut().zip(BINS_M).map(|(bin, metres)| {
            let mut p95 = |warp: Warp| round(bin.pools[warp as usize].get_percentile(0.95, true));
            let p95 = Warp::ALL.map(&mut p95);
            let mean = Warp::ALL.map(|warp| bin.mean(warp));
            json!({
                "offset_m": (f64::from(metres) * 100.0).round() / 100.0,
                "pictures": bin.pictures,
                "holes": bin.holes,
                "client": { "mean": round(mean[0]), "p95": p95[0] },
                "uncompressed": { "mean": round(mean[1]), "p95": p95[1] },
                "rotation_only": { "mean": round(mean[2]), "p95": p95[2] },
                "of_uncompressed": round(mean[0] / mean[1]),
                "of_rotation_only": round(mean[0] / mean[2]),
            })
        });
        bins.collect()
    }
}
