//! Whose pose is sent to whom, within each listener's byte budget.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use glam::Vec3;
use tongyou_protocol::ServerTime;
use tongyou_protocol::datagram::MAX_BYTES;

use crate::bucket::Bucket;
use crate::outbox::Outbox;
use crate::pose::{BATCH_HEADER_BYTES, Last, batch_header};
use crate::{Config, LinkId};

/// What a datagram costs beside its payload: IP, UDP and QUIC.
pub(crate) const ENVELOPE_BYTES: usize = 32;
/// Share of a second's budget that may go out at once.
const BURST: f64 = 0.1;
/// Nearer than this, people see each other's fingers, metres.
const NEAR_M: f32 = 5.0;
/// Cosine of the angle from the gaze within which somebody is being looked at (20°).
const GAZE_COS: f32 = 0.94;
/// Hands that are near or point are sent at the full rate, the others at half of it.
const SLOW: u32 = 2;
/// Who is at rest is repeated so often: datagrams get lost, and people come late.
const REPEAT: Duration = Duration::from_secs(1);

/// Importance per second of waiting. The guide comes before anybody who has waited for a few seconds.
const GUIDE: f32 = 64.0;
const NEAR: f32 = 4.0;
const LOOKED_AT: f32 = 2.0;
const CROWD: f32 = 1.0;

/// One person in one round.
pub(crate) struct Subject<'a> {
    /// Of the person, below the number of slots.
    pub(crate) slot: usize,
    pub(crate) link: LinkId,
    pub(crate) leads: bool,
    /// The head, or the seat at eye height while there is no pose, relative to the pose origin.
    pub(crate) eye: Vec3,
    /// Where the wearer looks, as far as it is known.
    pub(crate) gaze: Option<Vec3>,
    pub(crate) last: Option<&'a Last>,
}

/// What was sent to whom.
pub(crate) struct Relay {
    interval: Duration,
    budget: Bucket,
    /// By the listener's slot.
    listeners: Vec<Listener>,
    free: Vec<usize>,
    /// Reused from round to round.
    due: Vec<(f32, usize)>,
}

struct Listener {
    budget: Bucket,
    next_round: Option<ServerTime>,
    /// By the subject's slot.
    sent: Vec<Sent>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    /// `None` when nothing was sent yet.
    at: Option<ServerTime>,
    version: u32,
}

impl Relay {
    pub(crate) fn new(config: &Config) -> Self {
        let bytes = f64::from(config.byte_budget_per_s);
        let burst = (bytes * BURST).max((MAX_BYTES + ENVELOPE_BYTES) as f64);
        Self {
            interval: Duration::from_secs_f32(1.0 / config.avatar_rate_hz.clamp(1.0, 120.0)),
            // Burst and refill together stay within the budget in every second.
            budget: Bucket::new((bytes - burst).max(0.0), burst),
            listeners: Vec::new(),
            free: Vec::new(),
            due: Vec::new(),
        }
    }

    /// A slot for a new person.
    pub(crate) fn join(&mut self) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slots = self.listeners.len() + 1;
            for listener in &mut self.listeners {
                listener.sent.resize(slots, Sent::default());
            }
            self.listeners.push(Listener {
                budget: self.budget.clone(),
                next_round: None,
                sent: vec![Sent::default(); slots],
            });
            slots - 1
        });
        for listener in &mut self.listeners {
            listener.sent[slot] = Sent::default();
        }
        self.listeners[slot].sent.fill(Sent::default());
        self.listeners[slot].budget = self.budget.clone();
        self.listeners[slot].next_round = None;
        slot
    }

    pub(crate) fn leave(&mut self, slot: usize) {
        self.free.push(slot);
    }

    /// The coordinates mean something else: nothing of what was sent counts.
    pub(crate) fn reset(&mut self) {
        for listener in &mut self.listeners {
            listener.sent.fill(Sent::default());
        }
    }

    /// Sends each listener whose turn it is the poses that matter most to it; called once a tick.
    pub(crate) fn round(&mut self, now: ServerTime, epoch: u16, subjects: &[Subject<'_>], out: &mut Outbox) {
        let header = batch_header(epoch);
        for me in subjects {
            let listener = &mut self.listeners[me.slot];
            if !listener.is_due(now, self.interval, me.slot) {
                continue;
            }
            self.due.clear();
            let repeat_since = repeat_since(me, now);
            for (i, subject) in subjects.iter().enumerate() {
                let Some(last) = subject.last else { continue };
                if subject.slot == me.slot {
                    continue;
                }
                if let Some(score) = score(
                    now,
                    self.interval,
                    repeat_since,
                    me,
                    subject,
                    last,
                    listener.sent[subject.slot],
                ) {
                    self.due.push((score, i));
                }
            }
            self.due
                .sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            listener.send(now, me.link, header, &self.due, subjects, out);
        }
    }
}

impl Listener {
    /// Whether the listener's round is due. Listeners take turns, so that ticks are equally long.
    fn is_due(&mut self, now: ServerTime, interval: Duration, slot: usize) -> bool {
        let phase = interval * u32::try_from(slot % 12).unwrap_or(0) / 12;
        let next = *self.next_round.get_or_insert(now + phase);
        if now < next {
            return false;
        }
        // Rounds keep their average rate on a coarser tick, but are not made up for after a pause.
        self.next_round = Some((next + interval).max(now));
        true
    }

    /// Fills datagrams in order of importance until the budget is spent.
    fn send(
        &mut self,
        now: ServerTime,
        link: LinkId,
        header: [u8; BATCH_HEADER_BYTES],
        due: &[(f32, usize)],
        subjects: &[Subject<'_>],
        out: &mut Outbox,
    ) {
        let mut budget = self.budget.available(now);
        let mut batch = BytesMut::new();
        let mut count = 0_u8;
        let mut spent = 0;
        for (_, i) in due {
            let subject = &subjects[*i];
            let Some(last) = subject.last else { continue };
            if count == u8::MAX || batch.len() + last.entry.len() > MAX_BYTES {
                out.datagram(link, finish(&mut batch, count));
                count = 0;
            }
            let opens = if count == 0 {
                ENVELOPE_BYTES + BATCH_HEADER_BYTES
            } else {
                0
            };
            let cost = last.entry.len() + opens;
            budget -= cost as f64;
            if budget < 0.0 {
                break;
            }
            spent += cost;
            if count == 0 {
                batch.reserve(MAX_BYTES);
                batch.put_slice(&header);
            }
            batch.put_slice(&last.entry);
            count += 1;
            self.sent[subject.slot] = Sent {
                at: Some(now),
                version: last.version,
            };
        }
        if count > 0 {
            out.datagram(link, finish(&mut batch, count));
        }
        self.budget.take_many(now, spent as f64);
    }
}

/// Who rests and was last sent to this listener before this instant is repeated: all together, or a resting crowd
/// would cost each listener a datagram in every round. Listeners take turns.
fn repeat_since(me: &Subject<'_>, now: ServerTime) -> ServerTime {
    let phase_us = i64::try_from(me.slot % 64).unwrap_or(0) * 15_625;
    let every_us = i64::try_from(REPEAT.as_micros()).unwrap_or(i64::MAX);
    ServerTime(now.0 - (now.0 + phase_us).rem_euclid(every_us))
}

fn finish(batch: &mut BytesMut, count: u8) -> Bytes {
    batch[BATCH_HEADER_BYTES - 1] = count;
    batch.split().freeze()
}

/// How much it matters that `me` gets the pose of `subject` now; `None` when it is not its turn.
fn score(
    now: ServerTime,
    interval: Duration,
    repeat_since: ServerTime,
    me: &Subject<'_>,
    subject: &Subject<'_>,
    last: &Last,
    sent: Sent,
) -> Option<f32> {
    // Most pairs of a resting crowd end here.
    let pending = sent.at.is_none() || sent.version != last.version;
    let repeated = last.body.at_rest && sent.at.is_none_or(|at| at < repeat_since);
    if !pending && !repeated {
        return None;
    }
    let to = subject.eye - me.eye;
    let near = to.length_squared() <= NEAR_M * NEAR_M;
    // What has never been sent has waited for long.
    let age = sent.at.map_or(REPEAT, |at| now.saturating_since(at));
    let quick = subject.leads || near || last.body.pointer.is_some();
    // A round may come up to half an interval early.
    let waited = |every: Duration| age + interval / 2 >= every;
    let due = match (pending, quick) {
        (true, true) => waited(interval),
        (true, false) => waited(interval * SLOW),
        (false, _) => true,
    };
    if !due {
        return None;
    }
    let weight = if subject.leads {
        GUIDE
    } else if near {
        NEAR
    } else if me.gaze.is_some_and(|gaze| to.dot(gaze) > GAZE_COS * to.length()) {
        LOOKED_AT
    } else {
        CROWD
    };
    Some(weight * age.as_secs_f32())
}
