//! How often codes may be guessed, per address and in all.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tongyou_protocol::ServerTime;

use crate::Config;
use crate::bucket::Bucket;

/// Addresses that are remembered; beyond it those that waited longest are forgotten.
const MAX_ADDRESSES: usize = 10_000;
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Counts wrong codes. Right ones cost nothing, so that a whole group can join from behind one address.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    all: Bucket,
    by_address: BTreeMap<IpAddr, Record>,
    free: u32,
    forgiven_every: Duration,
    first_wait: Duration,
}

#[derive(Debug, Clone)]
struct Record {
    wrong: u32,
    last: ServerTime,
    blocked_until: ServerTime,
}

impl Attempts {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            all: Bucket::new(config.attempts_per_s, config.attempts_burst),
            by_address: BTreeMap::new(),
            free: config.attempts_per_address,
            forgiven_every: config.attempt_forgiven_every,
            first_wait: config.attempt_wait,
        }
    }

    /// How long this address has to wait before any code of it is looked at.
    pub(crate) fn wait(&mut self, now: ServerTime, address: IpAddr) -> Option<Duration> {
        let own = self
            .by_address
            .get(&network(address))
            .map_or(Duration::ZERO, |r| r.blocked_until.saturating_since(now));
        let wait = own.max(self.all.wait(now));
        (wait > Duration::ZERO).then_some(wait)
    }

    pub(crate) fn wrong(&mut self, now: ServerTime, address: IpAddr) {
        self.all.take(now);
        if self.by_address.len() >= MAX_ADDRESSES {
            self.forget(now);
        }
        let record = self.by_address.entry(network(address)).or_insert(Record {
            wrong: 0,
            last: now,
            blocked_until: now,
        });
        let forgiven = now.saturating_since(record.last).as_micros() / self.forgiven_every.as_micros().max(1);
        record.wrong = record
            .wrong
            .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
            .saturating_add(1);
        record.last = now;
        if let Some(over) = record.wrong.checked_sub(self.free) {
            let wait = self.first_wait.saturating_mul(1 << over.min(16)).min(LONGEST_WAIT);
            record.blocked_until = now + wait;
        }
    }

    /// Drops the half that is blocked the least.
    fn forget(&mut self, now: ServerTime) {
        let mut until: Vec<ServerTime> = self.by_address.values().map(|r| r.blocked_until.max(r.last)).collect();
        until.sort_unstable();
        let middle = until.get(until.len() / 2).copied().unwrap_or(now);
        self.by_address.retain(|_, r| r.blocked_until.max(r.last) > middle);
    }
}

/// One household of IPv6 has a /64 of addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> ServerTime {
        ServerTime(s * 1_000_000)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_waits_longer_each_time_and_is_forgiven_slowly() {
        let mut attempts = Attempts::new(&Config::default());
        let (bad, good) = (ip("10.0.0.1"), ip("10.0.0.2"));
        for _ in 0..9 {
            attempts.wrong(at(0), bad);
            assert_eq!(attempts.wait(at(0), bad), None);
        }
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..4 {
            attempts.wrong(now, bad);
            let wait = attempts.wait(now, bad).unwrap();
            waits.push(wait.as_secs());
            assert_eq!(attempts.wait(now, good), None);
            now = now + wait;
            assert_eq!(attempts.wait(now, bad), None);
        }
        assert_eq!(waits, [10, 20, 40, 80]);
        attempts.wrong(now + Duration::from_secs(600), bad);
        assert_eq!(attempts.wait(now + Duration::from_secs(600), bad), None, "forgiven");
    }

    #[test]
    fn a_flood_doubles_up_to_an_hour() {
        let mut attempts = Attempts::new(&Config {
            attempt_wait: Duration::from_secs(1),
            ..Config::default()
        });
        for _ in 0..40 {
            attempts.wrong(at(0), ip("10.0.0.1"));
        }
        assert_eq!(attempts.wait(at(0), ip("10.0.0.1")), Some(LONGEST_WAIT));
    }

    #[test]
    fn many_addresses_are_limited_together() {
        let mut attempts = Attempts::new(&Config::default());
        for i in 0..100_u32 {
            attempts.wrong(at(0), IpAddr::V4(i.into()));
        }
        let wait = attempts.wait(at(0), ip("10.0.0.9")).unwrap();
        assert!(wait <= Duration::from_secs(1));
        assert_eq!(attempts.wait(at(1), ip("10.0.0.9")), None);
    }

    #[test]
    fn a_network_counts_as_one_and_memory_is_bounded() {
        let mut attempts = Attempts::new(&Config {
            attempts_burst: 1e9,
            ..Config::default()
        });
        for i in 0..10_u16 {
            attempts.wrong(at(0), Ipv6Addr::new(0x2001, 0xdb8, 0, 1, i, 0, 0, i).into());
        }
        assert!(attempts.wait(at(0), ip("2001:db8:0:1::77")).is_some());
        assert!(attempts.wait(at(0), ip("2001:db8:0:2::77")).is_none());
        for i in 0..50_000_u32 {
            attempts.wrong(at(1), IpAddr::V4(i.into()));
        }
        assert!(attempts.by_address.len() <= MAX_ADDRESSES);
        assert!(
            attempts.wait(at(1), ip("2001:db8:0:1::77")).is_some(),
            "the worst are remembered"
        );
    }
}
