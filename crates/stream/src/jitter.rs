//! Plays the poses of others smoothly from packets that arrive unevenly.
//!
//! One [`Buffer`] per person. Playback runs behind the fastest packets by an adaptive delay, on server time: between
//! two poses positions follow a cubic through the neighbours and rotations turn evenly; after the last one motion
//! goes on for at most 100 ms.

use glam::{Quat, Vec3};
use protocol::ServerTime;
use protocol::datagram::{Body, Joint};
use protocol::micros::{round, to_f64};
use std::collections::VecDeque;
use std::time::Duration;
use tongyou_protocol as protocol;

/// The least playback delay behind the fastest packets.
pub const LEAST_DELAY: Duration = Duration::from_millis(50);
/// The largest one.
pub const LARGEST_DELAY: Duration = Duration::from_millis(150);
/// How far motion is continued when packets stay away.
pub const EXTRAPOLATION: Duration = Duration::from_millis(100);

const MAX_POSES: usize = 64;
const MAX_LAGS: usize = 90;
/// Playback time may run this much slower or faster while the delay adapts.
const ADAPT_RATE: f64 = 0.1;
/// Poses are sent at least this often while something moves.
const SLOWEST_INTERVAL_US: i64 = 70_000;

/// The poses of one person, ready to be played.
#[derive(Debug, Default)]
pub struct Buffer {
    poses: VecDeque<Timed>,
    lags_us: VecDeque<i64>,
    newest_interval_us: i64,
    /// Nothing before this is of the present place.
    not_before: Option<i64>,
    playout: Option<Playout>,
}

#[derive(Debug, Clone, Copy)]
struct Timed {
    at_us: i64,
    body: Body,
}

/// How far behind server time playback is, and when that was decided.
#[derive(Debug, Clone, Copy)]
struct Playout {
    at: ServerTime,
    delay_us: f64,
}

impl Buffer {
    /// A person of whom nothing has been heard.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a pose that arrived at `now`.
    pub fn push(&mut self, now: ServerTime, body: Body) {
        let at_us = instant_us(now, body.time_100us);
        if self.not_before.is_some_and(|t| at_us < t) {
            return;
        }
        if body.jump {
            self.poses.clear();
            self.not_before = Some(at_us);
        }
        let place = self.poses.partition_point(|p| p.at_us < at_us);
        if self.poses.get(place).is_some_and(|p| p.at_us == at_us) {
            return;
        }
        self.note_lag(now.0 - at_us);
        if place == self.poses.len() {
            self.continue_from_rest(at_us);
        }
        let place = self.poses.partition_point(|p| p.at_us < at_us);
        self.poses.insert(place, Timed { at_us, body });
        if self.poses.len() > MAX_POSES {
            self.poses.pop_front();
        }
    }

    /// The pose to show at `now`, at the playback time; `None` before the first.
    pub fn sample(&mut self, now: ServerTime) -> Option<Body> {
        self.poses.front()?;
        let at_us = now.0 - self.adapt(now);
        // What playback has passed is kept only as a neighbour.
        while self.poses.get(2).is_some_and(|p| p.at_us <= at_us) {
            self.poses.pop_front();
        }
        self.at(at_us)
    }

    /// Playback delay behind server time, the path's own delay included.
    #[must_use]
    pub fn delay(&self) -> Duration {
        Duration::from_micros(
            self.playout
                .map_or(0, |p| u64::try_from(round(p.delay_us)).unwrap_or(0)),
        )
    }

    /// When the newest pose was taken.
    #[must_use]
    pub fn newest(&self) -> Option<ServerTime> {
        self.poses.back().map(|p| ServerTime(p.at_us))
    }

    /// Forgets all poses, as after a change of stop.
    pub fn clear(&mut self) {
        self.poses.clear();
        self.not_before = None;
    }

    /// The pose at an instant on the sender's track.
    fn at(&self, at_us: i64) -> Option<Body> {
        let next = self.poses.partition_point(|p| p.at_us <= at_us);
        let Some(before) = next.checked_sub(1).map(|i| self.poses[i]) else {
            return self.poses.front().map(|p| p.body);
        };
        let Some(after) = self.poses.get(next) else {
            return Some(self.beyond(before, at_us));
        };
        let share = ratio(at_us - before.at_us, after.at_us - before.at_us);
        let earlier = next.checked_sub(2).map(|i| &self.poses[i]);
        let later = self.poses.get(next + 1);
        let nearer = if share < 0.5 { &before.body } else { &after.body };
        let joint = |pick: &dyn Fn(&Body) -> Option<Joint>| {
            let (Some(a), Some(b)) = (pick(&before.body), pick(&after.body)) else {
                return pick(nearer);
            };
            let neighbour = |p: Option<&Timed>| p.and_then(|p| pick(&p.body).map(|j| (p.at_us, j.position)));
            let (a_at, b_at) = ((before.at_us, a.position), (after.at_us, b.position));
            let from = if before.body.at_rest {
                Vec3::ZERO
            } else {
                velocity(neighbour(earlier), a_at, Some(b_at))
            };
            let to = if after.body.at_rest {
                Vec3::ZERO
            } else {
                velocity(Some(a_at), b_at, neighbour(later))
            };
            Some(Joint {
                position: cubic(a_at, from, b_at, to, share),
                rotation: turn(a.rotation, b.rotation, share),
            })
        };
        Some(Body {
            time_100us: time_100us(at_us),
            at_rest: before.body.at_rest && after.body.at_rest,
            jump: false,
            head: joint(&|b| Some(b.head)).unwrap_or(nearer.head),
            left: joint(&|b| b.left),
            right: joint(&|b| b.right),
            pointer: match (before.body.pointer, after.body.pointer) {
                (Some(a), Some(b)) => Some(a.lerp(b, share)),
                _ => nearer.pointer,
            },
        })
    }

    /// Motion goes on evenly for a while, then stands still.
    fn beyond(&self, last: Timed, at_us: i64) -> Body {
        let before = self.poses.len().checked_sub(2).map(|i| self.poses[i]);
        let Some(before) = before.filter(|_| !last.body.at_rest && at_us > last.at_us) else {
            return last.body;
        };
        let most = i64::try_from(EXTRAPOLATION.as_micros()).unwrap_or(i64::MAX);
        let ahead_us = (at_us - last.at_us).min(most);
        let share = ratio(ahead_us, last.at_us - before.at_us);
        let joint = |a: Joint, b: Joint| Joint {
            position: b.position + (b.position - a.position) * share,
            rotation: extend(a.rotation, b.rotation, share),
        };
        let hand = |a: Option<Joint>, b: Option<Joint>| Some(a.map_or(b?, |a| b.map_or(a, |b| joint(a, b))));
        Body {
            time_100us: time_100us(last.at_us + ahead_us),
            head: joint(before.body.head, last.body.head),
            left: hand(before.body.left, last.body.left),
            right: hand(before.body.right, last.body.right),
            ..last.body
        }
    }

    /// Whoever rested until now did not creep all that time: the rest ends one interval before the next pose.
    fn continue_from_rest(&mut self, at_us: i64) {
        let Some(last) = self.poses.back().copied() else { return };
        if last.body.at_rest {
            let end_us = at_us - SLOWEST_INTERVAL_US;
            if end_us > last.at_us {
                let body = Body {
                    time_100us: time_100us(end_us),
                    ..last.body
                };
                self.poses.push_back(Timed { at_us: end_us, body });
            }
        } else if at_us - last.at_us <= 4 * SLOWEST_INTERVAL_US {
            self.newest_interval_us = at_us - last.at_us;
        }
    }

    fn note_lag(&mut self, lag_us: i64) {
        if self.lags_us.len() == MAX_LAGS {
            self.lags_us.pop_front();
        }
        self.lags_us.push_back(lag_us);
    }

    /// The delay that lets 95 of 100 packets arrive before the interval that they end is played.
    fn wanted_delay_us(&self) -> i64 {
        let mut lags: Vec<i64> = self.lags_us.iter().copied().collect();
        lags.sort_unstable();
        let Some(&least) = lags.first() else { return 0 };
        let late = lags[(lags.len() * 95 / 100).min(lags.len() - 1)] - least;
        let within = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        least + (late + self.newest_interval_us + 5_000).clamp(within(LEAST_DELAY), within(LARGEST_DELAY))
    }

    /// Moves the playback delay towards the wanted one without jumps, and returns it.
    fn adapt(&mut self, now: ServerTime) -> i64 {
        let wanted = to_f64(self.wanted_delay_us());
        let delay_us = self.playout.map_or(wanted, |was| {
            let most = to_f64(now.0.saturating_sub(was.at.0).max(0)) * ADAPT_RATE;
            // After a long silence nothing that plays could be disturbed.
            if most > 1e6 {
                wanted
            } else {
                was.delay_us + (wanted - was.delay_us).clamp(-most, most)
            }
        });
        self.playout = Some(Playout { at: now, delay_us });
        round(delay_us)
    }
}

/// The instant that a wrapped time means: the one nearest to the present.
#[must_use]
pub fn instant_us(now: ServerTime, time_100us: u32) -> i64 {
    let now_100us = now.0.div_euclid(100);
    let wrapped = now_100us.rem_euclid(1 << 32);
    let mut ahead = i64::from(time_100us) - wrapped;
    if ahead > 1 << 31 {
        ahead -= 1 << 32;
    } else if ahead < -(1 << 31) {
        ahead += 1 << 32;
    }
    (now_100us + ahead) * 100
}

/// The wrapped time of an instant, as poses carry it.
#[must_use]
pub fn time_100us(at_us: i64) -> u32 {
    u32::try_from(at_us.div_euclid(100).rem_euclid(1 << 32)).unwrap_or(0)
}

/// Metres per microsecond at the middle point: the slope there of the parabola through all three.
fn velocity(before: Option<(i64, Vec3)>, at: (i64, Vec3), after: Option<(i64, Vec3)>) -> Vec3 {
    let slope = |a: (i64, Vec3), b: (i64, Vec3)| (b.1 - a.1) / span(b.0 - a.0);
    match (before, after) {
        (Some(before), Some(after)) => {
            let (h0, h1) = (span(at.0 - before.0), span(after.0 - at.0));
            (slope(before, at) * h1 + slope(at, after) * h0) / (h0 + h1)
        }
        (Some(before), None) => slope(before, at),
        (None, Some(after)) => slope(at, after),
        (None, None) => Vec3::ZERO,
    }
}

/// Cubic Hermite: through both points with the given velocities.
fn cubic(a: (i64, Vec3), va: Vec3, b: (i64, Vec3), vb: Vec3, s: f32) -> Vec3 {
    let h = span(b.0 - a.0);
    let (s2, s3) = (s * s, s * s * s);
    a.1 * (2.0 * s3 - 3.0 * s2 + 1.0)
        + va * (h * (s3 - 2.0 * s2 + s))
        + b.1 * (3.0 * s2 - 2.0 * s3)
        + vb * (h * (s3 - s2))
}

/// The short way from `a` to `b`.
fn turn(a: Quat, b: Quat, s: f32) -> Quat {
    a.slerp(if a.dot(b) < 0.0 { -b } else { b }, s)
}

/// Goes on turning beyond `b` as from `a` to `b`.
fn extend(a: Quat, b: Quat, share: f32) -> Quat {
    let step = b * a.inverse();
    let (axis, angle) = (if step.w < 0.0 { -step } else { step }).to_axis_angle();
    (Quat::from_axis_angle(axis, angle * share) * b).normalize()
}

#[expect(clippy::cast_precision_loss, reason = "intervals are short")]
const fn span(us: i64) -> f32 {
    if us < 1 { 1.0 } else { us as f32 }
}

fn ratio(part_us: i64, whole_us: i64) -> f32 {
    span(part_us.max(0)) * if part_us <= 0 { 0.0 } else { 1.0 } / span(whole_us)
}

#[cfg(test)]
mod tests;
