//! Three clocks that can not be confused. All count microseconds in an i64.

use std::ops::{Add, Sub};
use std::time::Duration;

macro_rules! clock {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub i64);

        impl $name {
            /// Microseconds from `earlier` to `self`, negative when `earlier` is later.
            #[must_use]
            pub const fn micros_since(self, earlier: Self) -> i64 {
                self.0 - earlier.0
            }

            /// Time from `earlier` to `self`, zero when `earlier` is later.
            #[must_use]
            pub fn saturating_since(self, earlier: Self) -> Duration {
                Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
            }
        }

        impl Add<Duration> for $name {
            type Output = Self;
            fn add(self, rhs: Duration) -> Self {
                Self(self.0.saturating_add(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
            }
        }

        impl Sub<Duration> for $name {
            type Output = Self;
            fn sub(self, rhs: Duration) -> Self {
                Self(self.0.saturating_sub(i64::try_from(rhs.as_micros()).unwrap_or(i64::MAX)))
            }
        }
    };
}

clock!(
    /// The server's monotonic clock.
    ServerTime
);
clock!(
    /// One headset's own monotonic clock.
    ClientTime
);
clock!(
    /// Time on the tour: what moves on rails is a function of it.
    TourTime
);

impl TourTime {
    /// Tour time at a server time, given the server time at which tour time was zero.
    #[must_use]
    pub const fn at(now: ServerTime, tour_zero: ServerTime) -> Self {
        Self(now.0 - tour_zero.0)
    }

    /// Seconds.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "285 years of microseconds fit an f64's mantissa"
    )]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 * 1e-6
    }
}

/// Microseconds as floats, for offsets and drifts of clocks.
pub mod micros {
    /// As a float.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "285 years of microseconds fit an f64's mantissa"
    )]
    pub const fn to_f64(us: i64) -> f64 {
        us as f64
    }

    /// The nearest whole microsecond.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float-to-int cast saturates, and NaN becomes 0"
    )]
    pub fn round(us: f64) -> i64 {
        us.round() as i64
    }
}
