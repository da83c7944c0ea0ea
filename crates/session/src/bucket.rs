//! A token bucket.

use std::time::Duration;

use tongyou_protocol::ServerTime;

/// Holds at most `burst` tokens, `per_s` come back each second.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    per_s: f64,
    burst: f64,
    tokens: f64,
    filled_at: Option<ServerTime>,
}

impl Bucket {
    pub(crate) const fn new(per_s: f64, burst: f64) -> Self {
        Self {
            per_s,
            burst,
            tokens: burst,
            filled_at: None,
        }
    }

    /// Takes one token; `false` when there is none.
    pub(crate) fn take(&mut self, now: ServerTime) -> bool {
        self.take_many(now, 1.0)
    }

    /// Takes `count` tokens; `false` when there are not so many.
    pub(crate) fn take_many(&mut self, now: ServerTime, count: f64) -> bool {
        let enough = self.available(now) >= count;
        if enough {
            self.tokens -= count;
        }
        enough
    }

    pub(crate) fn available(&mut self, now: ServerTime) -> f64 {
        let since = now.saturating_since(self.filled_at.unwrap_or(now));
        self.tokens = (self.tokens + since.as_secs_f64() * self.per_s).min(self.burst);
        self.filled_at = Some(self.filled_at.unwrap_or(now).max(now));
        self.tokens
    }

    /// Time until there is a token.
    pub(crate) fn wait(&mut self, now: ServerTime) -> Duration {
        let missing = 1.0 - self.available(now);
        if missing <= 0.0 {
            Duration::ZERO
        } else {
            // A hair longer, so that rounding does not leave 0.9999 of a token.
            Duration::try_from_secs_f64(missing / self.per_s + 1e-5).unwrap_or(Duration::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::new(2.0, 3.0);
        let now = ServerTime(5_000_000);
        assert!((0..3).all(|_| bucket.take(now)));
        assert!(!bucket.take(now));
        let later = now + bucket.wait(now);
        assert!(later.micros_since(now) < 510_000);
        assert!(bucket.take(later) && !bucket.take(later));
        let much_later = now + Duration::from_secs(1000);
        assert!((bucket.available(much_later) - 3.0).abs() < 1e-9);
        assert!(bucket.available(now) > 2.9, "time that goes back fills nothing");
    }
}
