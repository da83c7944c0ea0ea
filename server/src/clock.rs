//! The one place where the server reads its monotonic clock.

use std::time::Instant;
use tongyou_protocol::ServerTime;

/// Server time counts from the clock's creation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> ServerTime {
        ServerTime(i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}
