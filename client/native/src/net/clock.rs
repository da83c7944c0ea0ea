//! The machine's clock, and the headset's clock made from it.

use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::Instant;
use tongyou_protocol::ClientTime;
use tongyou_protocol::micros::{round, to_f64};

/// An instant on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The headset's clock.
    pub client: ClientTime,
    /// The machine's monotonic clock, microseconds: the same for all processes of one machine.
    pub machine_us: i64,
}

/// A headset's clock: the machine's, set off and drifting as a test wants.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    offset_us: i64,
    drift_ppm: f64,
    /// Drift counts from here.
    start_us: i64,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new(0, 0.0)
    }
}

impl Machine {
    /// A clock that is `offset_us` ahead of the machine's now, and gains `drift_ppm` microseconds a second.
    #[must_use]
    pub fn new(offset_us: i64, drift_ppm: f64) -> Self {
        Self {
            offset_us,
            drift_ppm,
            start_us: machine_us(),
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        let machine_us = machine_us();
        Moment {
            client: self.client_at(machine_us),
            machine_us,
        }
    }

    /// What this clock shows when the machine's shows `machine_us`.
    #[must_use]
    pub fn client_at(&self, machine_us: i64) -> ClientTime {
        let drift_us = to_f64(machine_us - self.start_us) * self.drift_ppm * 1e-6;
        ClientTime(machine_us + self.offset_us + round(drift_us))
    }

    /// When this clock will show `at`.
    #[must_use]
    pub fn instant(&self, at: ClientTime) -> Instant {
        let client_us = to_f64(at.0 - self.offset_us - self.start_us);
        let since_start_us = round(client_us / (1.0 + self.drift_ppm * 1e-6));
        let (base, base_us) = base();
        let since_base_us = self.start_us - base_us + since_start_us;
        base + Duration::from_micros(u64::try_from(since_base_us).unwrap_or(0))
    }
}

/// The machine's monotonic clock. Follows tokio's clock, which is the same one unless a test has stopped it.
fn machine_us() -> i64 {
    let (base, base_us) = base();
    base_us + i64::try_from(Instant::now().duration_since(base).as_micros()).unwrap_or(i64::MAX)
}

/// One instant on both.
fn base() -> (Instant, i64) {
    static BASE: OnceLock<(Instant, i64)> = OnceLock::new();
    *BASE.get_or_init(|| (Instant::now(), monotonic_us()))
}

#[cfg(unix)]
fn monotonic_us() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// Counts from the first call: comparable within one process only.
#[cfg(not(unix))]
fn monotonic_us() -> i64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_the_inverse() {
        let clock = Machine::new(3_000_000, 50.0);
        let now = clock.now();
        let (base, base_us) = base();
        let ahead = clock.instant(now.client + Duration::from_secs(100)) - base;
        let expected = 100e6 / (1.0 + 50e-6) + to_f64(now.machine_us - base_us);
        assert!((ahead.as_secs_f64() * 1e6 - expected).abs() < 3.0);
        assert!((now.client.0 - now.machine_us - 3_000_000).abs() < 10);
    }
}
