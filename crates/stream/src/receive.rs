//! Puts frames together into complete sets.
//!
//! A set is complete when its colour has been decoded and its depth is here, if it has any. Colour frames of one
//! stream (a layer of a vantage in an epoch) are handed out in decoding order; what can not be decoded any more is
//! skipped to the next group.
//!
//! ```text
//! on a frame:    receiver.on_frame(now, frame)
//! on a decoder:  receiver.on_decoded(now, set) or receiver.on_decode_failed(now, set)
//! on the timer:  receiver.on_timeout(now)          // at receiver.poll_timeout()
//! on a heartbeat: receiver.on_still(now, stream, set)
//! then always:   while let Some(frame) = receiver.poll_decode() { decoder.push(frame) }
//!                while let Some(event) = receiver.poll_event() { .. }
//! ```

mod depths;
mod stream;

use bytes::Bytes;
use protocol::datagram::Feedback;
use protocol::frame::{Frame, Header, Lane, Layer};
use protocol::{ClientTime, ServerTime, SetId, VantageId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use stream::Stream;
use tongyou_protocol as protocol;

/// Between two reports while something is wrong, and at least.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(250);
/// Between two reports while all is well.
const CALM_INTERVAL: Duration = Duration::from_millis(500);
/// More frames than this waiting for the decoder are worth a report.
const DECODE_QUEUE: usize = 2;
/// So is a set that took so much longer than those of the report before.
const DELAY_GREW: Duration = Duration::from_millis(50);

/// The present, on the headset's clock and on the server's where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The headset's clock.
    pub client: ClientTime,
    /// Its estimate of the server's clock.
    pub server: Option<ServerTime>,
}

/// Frames that are decoded one after the other: a layer of a vantage within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Low 16 bits of the epoch.
    pub epoch: u16,
    /// Which vantage.
    pub vantage: VantageId,
    /// Which layer of it.
    pub layer: Layer,
}

impl StreamId {
    /// The stream that a frame belongs to.
    #[must_use]
    pub const fn of(header: &Header) -> Self {
        Self {
            epoch: header.tag.epoch,
            vantage: header.tag.vantage,
            layer: header.layer,
        }
    }

    /// The base layer of the same vantage.
    #[must_use]
    pub const fn base(self) -> Self {
        Self {
            layer: Layer::Base,
            ..self
        }
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Streams at once: base, behind and two faces, as much of a cell that is fetched ahead, and a preview. Of those
    /// with the least important layer the one that was silent for longest gives way.
    pub streams: usize,
    /// Bytes of frames that wait in all streams together; streams give way likewise.
    pub total_bytes: usize,
    /// Bytes of frames that wait in one stream, colour and depth each.
    pub bytes: usize,
    /// Colour frames that wait in one stream.
    pub frames: usize,
    /// Decoded pictures that wait for their depth in one stream.
    pub pictures: usize,
    /// A frame missing for this long is given up.
    pub gap: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: 10,
            total_bytes: 64 << 20,
            bytes: 16 << 20,
            frames: 128,
            pictures: 8,
            gap: Duration::from_millis(250),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A set can be presented.
    Complete(Box<Complete>),
    /// A decoded picture will not be presented: a newer set is complete, or too many wait for their depth.
    Dropped {
        /// Which stream.
        stream: StreamId,
        /// Which set.
        set: SetId,
    },
}

/// A complete set: the decoded picture of `color.tag.set`, and the depth that goes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Complete {
    /// Which stream.
    pub stream: StreamId,
    /// What the colour frame said.
    pub color: Header,
    /// The depth frame of the picture; `None` for a layer without depth.
    pub depth: Option<Frame>,
    /// The depth keyframe that `depth` builds upon, unless it is one itself.
    pub depth_keyframe: Option<Frame>,
    /// From the end of rendering to now, where the server's time is known.
    pub age: Option<Duration>,
}

/// Counts since the start. Of sets, those of base layers are what the reports tell: other layers only get what the base
/// leaves of the path, and that they starve says nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames taken.
    pub frames: u64,
    /// Bytes of payload taken.
    pub bytes: u64,
    /// Sets completed of base layers.
    pub complete: u64,
    /// Sets of base layers known to exist that will never be complete, and sets of any layer that heartbeats named in
    /// vain.
    pub missed: u64,
    /// Sets completed of other layers.
    pub complete_beside: u64,
    /// Sets of other layers that will never be complete.
    pub missed_beside: u64,
    /// Frames that came too late to be of use.
    pub expired: u64,
    /// Frames that were there already.
    pub repeated: u64,
}

/// Receives the frames of one headset.
#[derive(Debug)]
pub struct Receiver {
    limits: Limits,
    streams: BTreeMap<StreamId, Stream>,
    decoding: BTreeMap<SetId, StreamId>,
    events: VecDeque<Event>,
    counters: Counters,
    report: Option<Report>,
}

/// Where the running feedback interval began.
#[derive(Debug, Clone, Copy)]
struct Report {
    since: ClientTime,
    counters: Counters,
    last_set: SetId,
    delay: Duration,
    /// Likewise of the report before.
    delay_before: Duration,
}

impl Receiver {
    /// A receiver that has nothing.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            streams: BTreeMap::new(),
            decoding: BTreeMap::new(),
            events: VecDeque::new(),
            counters: Counters {
                frames: 0,
                bytes: 0,
                complete: 0,
                missed: 0,
                complete_beside: 0,
                missed_beside: 0,
                expired: 0,
                repeated: 0,
            },
            report: None,
        }
    }

    /// Takes a frame.
    pub fn on_frame(&mut self, now: Now, frame: Frame) {
        let id = StreamId::of(&frame.header);
        self.counters.frames += 1;
        self.counters.bytes += frame.payload.len() as u64;
        let (limits, mut counters) = (self.limits, self.counters);
        if !self.make_room(id, frame.payload.len()) {
            self.counters.expired += 1;
            return;
        }
        let stream = self.stream(now, id);
        match frame.header.lane {
            Lane::Color => stream.push_color(now.client, frame, &limits, &mut counters),
            Lane::Depth => stream.depths.push(frame, limits.bytes, &mut counters),
        }
        self.count(id, counters);
        self.settle(now, id);
    }

    /// The server says that nothing moves in a stream, whose newest set is this one. A set that is lacking at two of
    /// these in a row, with nothing of it at the decoder, counts as missed: the report then says so, and the server
    /// sends its group again.
    pub fn on_still(&mut self, now: Now, id: StreamId, newest: SetId) {
        if self.make_room(id, 0) && self.stream(now, id).still(now.client, newest) {
            self.counters.missed += 1;
        }
    }

    /// The next colour frame for the decoder of its stream, in decoding order: it continues the frame before, or is a
    /// keyframe.
    pub fn poll_decode(&mut self) -> Option<Frame> {
        let mut counters = self.counters;
        let (id, frame) = self
            .streams
            .iter_mut()
            .find_map(|(id, s)| Some((*id, s.next_color(&mut counters)?)))?;
        self.count(id, counters);
        self.decoding.insert(frame.header.tag.set, id);
        Some(frame)
    }

    /// A frame from [`Self::poll_decode`] has been decoded.
    pub fn on_decoded(&mut self, now: Now, set: SetId) {
        let Some(id) = self.decoding.remove(&set) else { return };
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.decoded(set) {
            self.settle(now, id);
        } else {
            self.events.push_back(Event::Dropped { stream: id, set });
        }
    }

    /// A frame from [`Self::poll_decode`] could not be decoded: its stream goes on at the next keyframe.
    pub fn on_decode_failed(&mut self, now: Now, set: SetId) {
        let Some(id) = self.decoding.remove(&set) else { return };
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let mut counters = self.counters;
        stream.decode_failed(set, &mut counters);
        self.count(id, counters);
        self.settle(now, id);
    }

    /// What happened since the last call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::on_timeout`] is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<ClientTime> {
        self.streams
            .values()
            .filter_map(|s| s.gap_since.map(|at| at + self.limits.gap))
            .min()
    }

    /// Gives up what has been missing for too long.
    pub fn on_timeout(&mut self, now: Now) {
        let late = |s: &Stream| s.gap_since.is_some_and(|at| now.client >= at + self.limits.gap);
        let late: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, s)| late(s))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            let mut counters = self.counters;
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.give_up_gap(now.client, &mut counters);
            }
            self.count(id, counters);
        }
    }

    /// A report for the server when one is due: every 500 ms from the first frame on, every 250 ms while something is
    /// missed, waits for the decoder or takes longer than before.
    pub fn poll_feedback(&mut self, now: Now) -> Option<Feedback> {
        self.next_feedback().filter(|due| now.client >= *due)?;
        self.feedback(now)
    }

    /// A report that leaves together with something else, so that the two are one packet: half as old is old enough.
    pub fn poll_feedback_along(&mut self, now: Now) -> Option<Feedback> {
        let since = self.report?.since;
        (now.client >= since + FEEDBACK_INTERVAL).then(|| self.feedback(now))?
    }

    /// When [`Self::poll_feedback`] has something.
    #[must_use]
    pub fn next_feedback(&self) -> Option<ClientTime> {
        let report = self.report?;
        let missed = self.counters.missed > report.counters.missed;
        let late = report.delay > report.delay_before + DELAY_GREW;
        let wrong = missed || late || self.waiting() > DECODE_QUEUE;
        Some(report.since + if wrong { FEEDBACK_INTERVAL } else { CALM_INTERVAL })
    }

    fn feedback(&mut self, now: Now) -> Option<Feedback> {
        let report = self.report?;
        let interval = now.client.saturating_since(report.since);
        let (was, is) = (report.counters, self.counters);
        self.report = Some(Report {
            since: now.client,
            counters: is,
            delay: Duration::ZERO,
            delay_before: report.delay,
            ..report
        });
        Some(Feedback {
            last_set: report.last_set,
            interval_ms: saturate(interval.as_millis()),
            complete: saturate((is.complete - was.complete).into()),
            missed: saturate((is.missed - was.missed).into()),
            decode_queue: u8::try_from(self.waiting()).unwrap_or(u8::MAX),
            delay_ms: saturate(report.delay.as_millis()),
            bytes: u32::try_from(is.bytes - was.bytes).unwrap_or(u32::MAX),
        })
    }

    /// Frames at the decoder, or ready for it.
    fn waiting(&self) -> usize {
        self.decoding.len() + self.streams.values().map(Stream::ready).sum::<usize>()
    }

    /// Counts since the start.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The newest complete set of a stream.
    #[must_use]
    pub fn newest_complete(&self, stream: StreamId) -> Option<SetId> {
        self.streams.get(&stream)?.newest_complete
    }

    /// When something was last known of a stream: a set was completed, or the server said that it is still.
    #[must_use]
    pub fn alive_at(&self, stream: StreamId) -> Option<ClientTime> {
        self.streams.get(&stream)?.alive_at
    }

    /// When the newest complete set of a stream was last known to be the newest there is.
    #[must_use]
    pub fn current_at(&self, stream: StreamId) -> Option<ClientTime> {
        self.streams.get(&stream)?.current_at
    }

    /// Streams of which something is kept.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.streams.keys().copied()
    }

    /// Forgets all streams but those that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(StreamId) -> bool) {
        self.streams.retain(|id, _| keep(*id));
        let streams = &self.streams;
        self.decoding.retain(|_, id| streams.contains_key(id));
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.streams.values().map(Stream::bytes).sum()
    }

    /// The stream of which something has been heard, and with the first one the reports begin.
    fn stream(&mut self, now: Now, id: StreamId) -> &mut Stream {
        self.report(now);
        let stream = self.streams.entry(id).or_default();
        stream.heard = now.client;
        stream
    }

    /// Makes room for so many bytes of a stream; `false` when only more important layers are left to give way.
    fn make_room(&mut self, newcomer: StreamId, bytes: usize) -> bool {
        loop {
            let is_new = !self.streams.contains_key(&newcomer);
            let too_many = is_new && self.streams.len() >= self.limits.streams.max(1);
            // A stream alone has bounds of its own.
            let others = self.streams.len() > usize::from(!is_new);
            let too_much = others && self.bytes_held() + bytes > self.limits.total_bytes;
            if !too_many && !too_much {
                return true;
            }
            let others = self.streams.iter().filter(|(id, _)| **id != newcomer);
            let least = others.max_by_key(|(id, s)| (rank(id.layer), std::cmp::Reverse(s.heard)));
            let Some(least) = least
                .map(|(id, _)| *id)
                .filter(|id| rank(id.layer) >= rank(newcomer.layer))
            else {
                return false;
            };
            self.retain(|id| id != least);
        }
    }

    /// Takes over what has been counted for a stream.
    const fn count(&mut self, id: StreamId, counted: Counters) {
        let before = self.counters;
        self.counters = counted;
        if !matches!(id.layer, Layer::Base) {
            self.counters.missed = before.missed;
            self.counters.missed_beside += counted.missed - before.missed;
        }
    }

    fn report(&mut self, now: Now) -> &mut Report {
        let counters = Counters {
            frames: 0,
            bytes: 0,
            ..self.counters
        };
        self.report.get_or_insert(Report {
            since: now.client,
            counters,
            last_set: SetId(0),
            delay: Duration::ZERO,
            delay_before: Duration::ZERO,
        })
    }

    /// Completes what can be completed.
    fn settle(&mut self, now: Now, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let mut complete = Vec::new();
        let dropped = stream.settle(now.client, self.limits.pictures, |color, depth, depth_keyframe| {
            let age = now.server.map(|server| server.saturating_since(color.rendered_at));
            complete.push(Complete {
                stream: id,
                color,
                depth,
                depth_keyframe,
                age,
            });
        });
        for set in dropped {
            let missed = self.counters.missed + 1;
            self.count(
                id,
                Counters {
                    missed,
                    ..self.counters
                },
            );
            self.events.push_back(Event::Dropped { stream: id, set });
        }
        for set in complete {
            if id.layer == Layer::Base {
                self.counters.complete += 1;
                let report = self.report(now);
                report.last_set = report.last_set.max(set.color.tag.set);
                report.delay = report.delay.max(set.age.unwrap_or_default());
            } else {
                self.counters.complete_beside += 1;
            }
            self.events.push_back(Event::Complete(Box::new(set)));
        }
    }
}

/// How dispensable a layer is.
const fn rank(layer: Layer) -> u8 {
    match layer {
        Layer::Base => 0,
        Layer::Behind => 1,
        Layer::Face(_) => 2,
    }
}

fn saturate(n: u128) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

fn total_bytes<'a>(payloads: impl Iterator<Item = &'a Bytes>) -> usize {
    payloads.map(Bytes::len).sum()
}

#[cfg(test)]
mod tests;
