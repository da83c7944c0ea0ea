use super::*;
use crate::test_random::Random;

/// A path and two clocks: server time is the true time, the client's starts `offset_us` away and drifts.
#[derive(Clone, Copy)]
struct World {
    offset_us: f64,
    drift_ppm: f64,
    one_way_us: f64,
    jitter: Jitter,
    loss: f64,
}

#[derive(Clone, Copy)]
enum Jitter {
    Uniform(f64),
    Exponential(f64),
}

impl World {
    fn client(&self, true_us: f64) -> ClientTime {
        ClientTime(round(true_us * (1.0 + self.drift_ppm * 1e-6) + self.offset_us))
    }

    fn delay(&self, random: &mut Random) -> f64 {
        self.one_way_us
            + match self.jitter {
                Jitter::Uniform(most) => random.unit() * most,
                Jitter::Exponential(mean) => -mean * (1.0 - random.unit()).ln(),
            }
    }

    /// Absolute errors in µs, sampled every 50 ms of `seconds`, with the true time of each.
    fn simulate(&self, seed: u64, seconds: f64) -> Vec<(f64, f64)> {
        let mut random = Random::new(seed);
        let mut sync = Sync::new();
        let mut answers: Vec<(f64, Pong)> = Vec::new();
        let mut errors = Vec::new();
        let mut before: Option<(f64, i64)> = None;
        let mut t = 0.0;
        while t < seconds * 1e6 {
            let now = self.client(t);
            if let Some(ping) = sync.poll_ping(now)
                && random.unit() >= self.loss
            {
                let received = t + self.delay(&mut random);
                let replied = received + random.unit() * 300.0;
                if random.unit() >= self.loss {
                    let pong = Pong {
                        seq: ping.seq,
                        sent: ping.sent,
                        received: ServerTime(round(received)),
                        replied: ServerTime(round(replied)),
                    };
                    answers.push((replied + self.delay(&mut random), pong));
                }
            }
            answers.sort_by(|a, b| b.0.total_cmp(&a.0));
            while answers.last().is_some_and(|a| a.0 <= t) {
                let (at, pong) = answers.pop().unwrap();
                assert!(sync.on_pong(self.client(at), pong));
                assert!(!sync.on_pong(self.client(at), pong), "a repeated answer is ignored");
            }
            if let Some(server) = sync.server_at(now) {
                if let Some((then, told)) = before
                    && t > 2.5e6
                {
                    let gained = to_f64(server.0 - told) - (t - then);
                    let most = if t < 7e6 { START_UP_SLEW } else { SLEW + 250e-6 };
                    assert!(gained.abs() <= (t - then) * most + 2.0, "stepped by {gained} µs at {t}");
                }
                before = Some((t, server.0));
                let round_trip = sync.client_at(server).unwrap();
                assert!((round_trip.0 - now.0).abs() <= 2, "client_at is the inverse");
                errors.push((t, (to_f64(server.0) - t).abs()));
            }
            t += 5_000.0;
        }
        errors
    }

    /// The 95th percentile of the error in ms over twenty seeds, from `after_s` on.
    fn p95_ms(&self, after_s: f64, seconds: f64) -> f64 {
        let mut all: Vec<f64> = (0..20)
            .flat_map(|seed| self.simulate(seed, seconds))
            .filter(|(t, _)| *t > after_s * 1e6)
            .map(|(_, e)| e / 1e3)
            .collect();
        all.sort_by(f64::total_cmp);
        all[all.len() * 95 / 100]
    }
}

const LAN: World = World {
    offset_us: 3e6,
    drift_ppm: 50.0,
    one_way_us: 200.0,
    jitter: Jitter::Exponential(80.0),
    loss: 0.0,
};
const WIFI: World = World {
    offset_us: -3e6,
    drift_ppm: -50.0,
    one_way_us: 2_000.0,
    jitter: Jitter::Exponential(4_000.0),
    loss: 0.02,
};
const WAN: World = World {
    offset_us: 3e6,
    drift_ppm: 50.0,
    one_way_us: 100_000.0,
    jitter: Jitter::Uniform(50_000.0),
    loss: 0.1,
};

#[test]
fn errors_stay_small_on_each_kind_of_path() {
    let exponential = World {
        jitter: Jitter::Exponential(25_000.0),
        ..WAN
    };
    for (name, world, early_ms, late_ms) in [
        ("LAN", LAN, 0.2, 0.08),
        ("Wi-Fi", WIFI, 3.0, 0.4),
        ("WAN", WAN, 10.0, 2.5),
        ("WAN, exponential", exponential, 10.0, 2.5),
    ] {
        let early = world.p95_ms(2.0, 10.0);
        let late = world.p95_ms(60.0, 150.0);
        eprintln!("{name}: p95 {early:.3} ms from 2 to 10 s, {late:.3} ms from 60 s on");
        assert!(early < early_ms, "{name}: {early} ms in the first ten seconds");
        assert!(late < late_ms, "{name}: {late} ms later");
    }
}

#[test]
fn half_of_the_asymmetry_remains_and_no_more() {
    let errors = LAN.simulate(3, 30.0);
    assert!(errors.last().unwrap().1 < 100.0);
    let mut sync = Sync::new();
    let mut t = 0;
    for _ in 0..40 {
        let now = ClientTime(t);
        let ping = sync.poll_ping(now).unwrap();
        let pong = Pong {
            seq: ping.seq,
            sent: ping.sent,
            received: ServerTime(t + 30_000),
            replied: ServerTime(t + 30_000),
        };
        assert!(sync.on_pong(ClientTime(t + 40_000), pong));
        t = sync.next_ping().unwrap().0;
    }
    let off = sync.server_at(ClientTime(t)).unwrap().0 - t;
    assert!((off - 10_000).abs() < 100, "(30 − 10) / 2 ms, not {off} µs");
}

#[test]
fn a_burst_then_four_a_second() {
    let mut sync = Sync::new();
    let sent: Vec<i64> = (0..3_000_000)
        .step_by(1_000)
        .filter(|t| sync.poll_ping(ClientTime(*t)).is_some())
        .collect();
    assert_eq!(sent.iter().filter(|t| **t < 1_000_000).count(), 8);
    assert_eq!(sent.iter().filter(|t| (1_000_000..3_000_000).contains(*t)).count(), 8);
}

#[test]
fn half_as_often_once_time_is_known() {
    let pings = |jitter_us: f64| {
        let mut random = Random::new(1);
        let mut delay_us = || 2_000 + round(random.unit() * jitter_us);
        let mut sync = Sync::new();
        let mut sent = 0;
        for t in (0..20_000_000).step_by(1_000) {
            let Some(ping) = sync.poll_ping(ClientTime(t)) else {
                continue;
            };
            sent += usize::from(t >= 10_000_000);
            let server = ServerTime(t + delay_us());
            let pong = Pong {
                seq: ping.seq,
                sent: ping.sent,
                received: server,
                replied: server,
            };
            sync.on_pong(ClientTime(server.0 + delay_us()), pong);
        }
        sent
    };
    assert_eq!(pings(1_000.0), 20, "in ten seconds of a quiet path");
    assert_eq!(pings(120_000.0), 40, "in ten seconds of a restless one");
}

#[test]
fn impossible_answers_are_ignored() {
    let mut sync = Sync::new();
    let ping = sync.poll_ping(ClientTime(1_000)).unwrap();
    let good = Pong {
        seq: ping.seq,
        sent: ping.sent,
        received: ServerTime(5),
        replied: ServerTime(6),
    };
    assert!(!sync.on_pong(ClientTime(2_000), Pong { seq: 99, ..good }));
    assert!(
        !sync.on_pong(
            ClientTime(2_000),
            Pong {
                replied: ServerTime(4),
                ..good
            }
        ),
        "answered before asked"
    );
    assert_eq!(sync.server_at(ClientTime(0)), None);
    let ping = sync.poll_ping(ClientTime(200_000)).unwrap();
    let hostile = Pong {
        seq: ping.seq,
        sent: ping.sent,
        received: ServerTime(i64::MIN),
        replied: ServerTime(i64::MIN),
    };
    sync.on_pong(ClientTime(201_000), hostile);
    let _ = (
        sync.server_at(ClientTime(300_000)),
        sync.client_at(ServerTime(0)),
        sync.error_estimate(),
    );
}

#[test]
fn a_clock_that_slept_starts_again() {
    let mut sync = Sync::new();
    let answer = |sync: &mut Sync, t: i64, offset: i64| {
        let ping = sync.poll_ping(ClientTime(t)).unwrap();
        let server = ServerTime(t + 500 + offset);
        let pong = Pong {
            seq: ping.seq,
            sent: ping.sent,
            received: server,
            replied: server,
        };
        assert!(sync.on_pong(ClientTime(t + 1_000), pong));
    };
    for i in 0..40 {
        answer(&mut sync, i * 500_000, 0);
    }
    answer(&mut sync, 30_000_000, 7_000_000);
    let told = sync.server_at(ClientTime(30_001_000)).unwrap();
    assert!((told.0 - 37_001_000).abs() < 1_000, "{told:?}");
}
