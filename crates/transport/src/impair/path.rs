//! One direction of a network path, as a pure function of a seed, the time and the packets.

use std::time::Duration;

/// What a path does to packets. The default does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Impairment {
    /// Time that every packet takes.
    pub delay: Duration,
    /// Up to this much more, evenly distributed; the order is kept.
    pub jitter: Duration,
    /// Share of packets that vanish, 0 to 1.
    pub loss: f64,
    /// Share of packets that come late enough to be overtaken, 0 to 1.
    pub reorder: f64,
    /// Bits a second that fit through; `None` is no limit.
    pub rate_bps: Option<u64>,
    /// Bytes that may wait in front of the limit; what comes on top is dropped.
    pub queue_bytes: usize,
}

/// What becomes of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at this time, on the clock that it was sent by.
    Arrives(Duration),
    /// It was lost by chance.
    Lost,
    /// The queue was full.
    Overflowed,
}

/// One direction. The n-th packet meets the same luck for the same seed, whatever the times are.
#[derive(Debug, Clone)]
pub struct Path {
    impairment: Impairment,
    random: u64,
    /// When the limited link will have sent all that it took.
    free_at: Duration,
    last_arrival: Duration,
}

impl Path {
    /// A path that has carried nothing yet.
    #[must_use]
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            impairment,
            random: seed,
            free_at: Duration::ZERO,
            last_arrival: Duration::ZERO,
        }
    }

    /// Changes what happens to packets from now on; luck goes on where it was.
    pub fn set(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// What happens to packets.
    #[must_use]
    pub fn impairment(&self) -> Impairment {
        self.impairment
    }

    /// Sends a packet of `len` bytes at `now`, which must not run backwards.
    pub fn send(&mut self, now: Duration, len: usize) -> Fate {
        // Always three draws, so that no setting shifts the luck of later packets.
        let (loss, jitter, reorder) = (self.draw(), self.draw(), self.draw());
        let Impairment {
            delay,
            rate_bps,
            queue_bytes,
            ..
        } = self.impairment;
        let mut sent = now;
        if let Some(rate_bps) = rate_bps {
            let begins = self.free_at.max(now);
            let waiting_bytes = (begins - now).as_secs_f64() * rate(rate_bps) / 8.0;
            if waiting_bytes + small(len) > small(queue_bytes.max(len)) {
                return Fate::Overflowed;
            }
            sent = begins + Duration::from_secs_f64(small(len) * 8.0 / rate(rate_bps));
            self.free_at = sent;
        }
        if loss < self.impairment.loss {
            return Fate::Lost;
        }
        let arrival = sent + delay + self.impairment.jitter.mul_f64(jitter);
        if reorder < self.impairment.reorder {
            return Fate::Arrives(arrival + delay.mul_f64(0.5) + self.impairment.jitter + Duration::from_millis(2));
        }
        self.last_arrival = self.last_arrival.max(arrival);
        Fate::Arrives(self.last_arrival)
    }

    /// Sends a packet of a stream whose sender waits instead of overflowing the queue.
    pub(crate) fn send_held_back(&mut self, now: Duration, len: usize) -> Fate {
        let queue_bytes = std::mem::replace(&mut self.impairment.queue_bytes, usize::MAX);
        let fate = self.send(now, len);
        self.impairment.queue_bytes = queue_bytes;
        fate
    }

    /// SplitMix64, scaled to 0..1.
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        f64::from(u32::try_from(mixed >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
    }
}

fn rate(bps: u64) -> f64 {
    f64::from(u32::try_from(bps.max(1)).unwrap_or(u32::MAX))
}

fn small(len: usize) -> f64 {
    f64::from(u32::try_from(len).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn fates(impairment: Impairment, seed: u64, count: u32) -> Vec<Fate> {
        let mut path = Path::new(impairment, seed);
        (0..count).map(|at| path.send(MS * at, 1000)).collect()
    }

    #[test]
    fn nothing_happens_by_default() {
        for (at, fate) in (0..).zip(fates(Impairment::default(), 1, 100)) {
            assert_eq!(fate, Fate::Arrives(MS * at));
        }
    }

    #[test]
    fn luck_depends_on_the_seed_alone() {
        let lossy = Impairment {
            loss: 0.1,
            ..Impairment::default()
        };
        let slow = Impairment {
            delay: MS * 50,
            jitter: MS * 30,
            reorder: 0.1,
            ..lossy
        };
        let lost = |impairment, seed| -> Vec<usize> {
            let fates = fates(impairment, seed, 5000);
            (0..5000).filter(|at| fates[*at] == Fate::Lost).collect()
        };
        assert_eq!(lost(lossy, 7), lost(lossy, 7));
        assert_eq!(lost(lossy, 7), lost(slow, 7), "other settings do not shift it");
        assert_ne!(lost(lossy, 7), lost(lossy, 8));
        let count = lost(lossy, 7).len();
        assert!((430..570).contains(&count), "{count} of 5000 lost at 10 %");
        assert_eq!(lost(Impairment { loss: 1.0, ..lossy }, 7).len(), 5000);
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jittery = Impairment {
            delay: MS * 20,
            jitter: MS * 10,
            ..Impairment::default()
        };
        let arrivals = |impairment| -> Vec<Duration> {
            let arrival = |fate| {
                if let Fate::Arrives(at) = fate {
                    at
                } else {
                    panic!("{fate:?}")
                }
            };
            fates(impairment, 3, 1000).into_iter().map(arrival).collect()
        };
        let in_order = arrivals(jittery);
        assert!(in_order.is_sorted());
        for (at, arrival) in (0..).zip(&in_order) {
            assert!(
                (MS * (at + 20)..=MS * (at + 30)).contains(arrival),
                "packet {at} at {arrival:?}"
            );
        }
        let overtaken = arrivals(Impairment {
            reorder: 0.05,
            ..jittery
        })
        .windows(2)
        .filter(|two| two[1] < two[0])
        .count();
        assert!((30..75).contains(&overtaken), "{overtaken} of 1000 overtaken at 5 %");
    }

    #[test]
    fn the_rate_and_the_queue_limit() {
        // 1000 bytes at 1 Mbit/s take 8 ms; three fit into the queue.
        let limited = Impairment {
            rate_bps: Some(1_000_000),
            queue_bytes: 3000,
            ..Impairment::default()
        };
        let mut path = Path::new(limited, 1);
        let burst: Vec<Fate> = (0..5).map(|_| path.send(Duration::ZERO, 1000)).collect();
        let arrives = |ms| Fate::Arrives(MS * ms);
        assert_eq!(
            burst,
            [arrives(8), arrives(16), arrives(24), Fate::Overflowed, Fate::Overflowed]
        );
        assert_eq!(path.send(MS * 10, 1000), arrives(32), "one has gone");
        assert_eq!(path.send(MS * 100, 1000), arrives(108), "and all have");
    }
}
