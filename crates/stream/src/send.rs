//! What each subscriber is sent next, from one cached group per layer of a vantage.
//!
//! Per layer: one [`GroupCache`]; push every encoded frame. Per layer and subscriber: one [`Sender`].
//!
//! ```
//! # use tongyou_stream::send::{Config, GroupCache, Sender};
//! # use tongyou_protocol::ServerTime;
//! # let now = ServerTime(0);
//! let mut cache = GroupCache::default();
//! // cache.push(frame.clone()); then for each subscriber: sender.offer(now, frame.clone());
//! let mut sender = Sender::new(Config::default());
//! sender.subscribe(now, &cache);
//! while let Some(send) = sender.poll(now) {
//!     // open a stream with send.priority, write send.chunks, finish; reset it after send.expires_in;
//!     // then sender.on_sent(send.id, now) when all is acknowledged, or sender.on_expired(send.id, now)
//! }
//! if sender.needs_group(now) {
//!     sender.subscribe(now, &cache); // a still scene: no new group would come by itself
//! }
//! // Once a second while nothing was offered: send `cache.still()` to every subscriber as a datagram.
//! ```

mod cache;

pub use cache::{EncodedFrame, GroupCache};

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tongyou_protocol::ServerTime;
use tongyou_protocol::datagram::Feedback;
use tongyou_protocol::frame::{Header, Lane, Layer};

/// Depth that was lost is not sent again sooner.
const DEPTH_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// When frames are dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// A colour frame that has not arrived by then is given up, with the rest of its group.
    pub color_expiry: Duration,
    /// A frame of the cached group likewise: it is sent in a burst.
    pub catch_up_expiry: Duration,
    /// A depth keyframe likewise: nothing can be shown without it.
    pub depth_keyframe_expiry: Duration,
    /// Another depth frame likewise.
    pub depth_expiry: Duration,
    /// The longest time that a colour keyframe is given on a path that was too slow for the one before.
    pub longest_keyframe_expiry: Duration,
    /// A frame that waits longer before it is sent is dropped, with the rest of its group.
    pub max_queue_age: Duration,
    /// Time's worth of the estimated bitrate that may wait in the network, beside what the path itself holds.
    pub in_flight: Duration,
    /// The least number of bytes that may be on their way.
    pub min_in_flight_bytes: usize,
    /// A headset without a decodable group asks for the cached one after this time without a new group.
    pub regroup_after: Duration,
    /// Bounds of the estimate.
    pub adapt: crate::adapt::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            color_expiry: Duration::from_millis(250),
            catch_up_expiry: Duration::from_millis(1000),
            depth_keyframe_expiry: Duration::from_secs(5),
            depth_expiry: Duration::from_millis(1000),
            longest_keyframe_expiry: Duration::from_secs(4),
            max_queue_age: Duration::from_millis(250),
            in_flight: Duration::from_millis(120),
            min_in_flight_bytes: 16 * 1024,
            regroup_after: Duration::from_millis(1200),
            adapt: crate::adapt::Config::default(),
        }
    }
}

/// One frame on its way to one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u64);

/// A frame to be sent now on a stream of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Send {
    /// Said again in [`Sender::on_sent`] or [`Sender::on_expired`].
    pub id: FrameId,
    /// Written one after the other, then the stream is finished.
    pub chunks: [Bytes; 2],
    /// Higher goes first among the streams of a connection.
    pub priority: i32,
    /// When the stream is reset if it is not delivered.
    pub expires_in: Duration,
}

/// What happened to the frames of one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Frames handed out by [`Sender::poll`].
    pub sent: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// Frames delivered.
    pub delivered: u64,
    /// Frames reset because they were late.
    pub expired: u64,
    /// Frames that were not sent at all.
    pub dropped: u64,
    /// How often the rest of a group was given up.
    pub broken_groups: u64,
}

/// Decides what one subscriber of one vantage is sent. Sans-IO: one call that changes something, then
/// [`Sender::poll`] until it is empty.
///
/// Frames are dropped whole and before they are sent. What follows a lost colour frame in its group can not be
/// decoded, so that nothing more is sent of that group. A depth keyframe is sent until it has arrived.
#[derive(Debug)]
pub struct Sender {
    config: Config,
    /// Colour and depth in the order of encoding; the depth keyframe goes before all.
    queue: VecDeque<Queued>,
    in_flight: BTreeMap<u64, Flying>,
    /// Bytes in flight of what is counted.
    flying_bytes: usize,
    next_id: u64,
    chain: Chain,
    /// The present depth keyframe, and whether it is on its way or there.
    depth_keyframe: Option<(Arc<EncodedFrame>, bool)>,
    /// The newest depth frame after it, likewise.
    depth_newest: Option<(Arc<EncodedFrame>, bool)>,
    /// Depth that was lost is sent again, but not before this: a link that is down loses it at once.
    depth_again_at: Option<ServerTime>,
    /// Time that the next colour keyframe is given.
    keyframe_expiry: Duration,
    /// From sending to delivery on the empty path, as far as it is known.
    latency: Option<Duration>,
    /// When the cached group was last asked for.
    regrouped_at: Option<ServerTime>,
    /// The last frame of the group that has been delivered: its group and index.
    delivered: Option<(u32, u16)>,
    /// When something was last offered or sent.
    busy_at: Option<ServerTime>,
    /// The headset lacks something although all was delivered: it is sent the whole group again.
    lacking: bool,
    stats: Stats,
    estimator: crate::adapt::Estimator,
}

#[derive(Debug)]
struct Queued {
    frame: Arc<EncodedFrame>,
    at: ServerTime,
    /// From the cache: older than what is live, and sent in a burst.
    catch_up: bool,
}

#[derive(Debug)]
struct Flying {
    frame: Arc<EncodedFrame>,
    at: ServerTime,
}

/// What the subscriber can decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chain {
    /// Nothing before the next keyframe.
    Waiting { since: Option<ServerTime> },
    /// This group goes on with this index.
    Live { group: u32, next: u16 },
    /// Nothing of this group from this index on.
    Broken { group: u32, from: u16, since: ServerTime },
}

impl Sender {
    /// For a new subscriber; [`Self::subscribe`] starts it.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            estimator: crate::adapt::Estimator::new(&config.adapt),
            keyframe_expiry: config.color_expiry,
            config,
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            flying_bytes: 0,
            next_id: 0,
            chain: Chain::Waiting { since: None },
            depth_keyframe: None,
            depth_newest: None,
            depth_again_at: None,
            latency: None,
            regrouped_at: None,
            delivered: None,
            busy_at: None,
            lacking: false,
            stats: Stats::default(),
        }
    }

    /// Believes of the path what the sender of another vantage to the same headset has learnt: at a stop change, or
    /// when the wearer walks to another cell.
    pub fn inherit(&mut self, other: &Self) {
        self.estimator = other.estimator.clone();
        self.latency = other.latency;
        self.keyframe_expiry = other.keyframe_expiry;
    }

    /// Starts with the cached group. Also answers [`Self::needs_group`]: what the subscriber has of the group is not
    /// sent again, unless it reports that it lacks something. While a group is being sent it does nothing.
    pub fn subscribe(&mut self, now: ServerTime, cache: &GroupCache) {
        let lacking = std::mem::take(&mut self.lacking);
        if matches!(self.chain, Chain::Live { .. }) && !lacking {
            return;
        }
        self.regrouped_at = Some(now);
        self.busy_at = Some(now);
        if lacking {
            (self.depth_keyframe, self.depth_newest) = (None, None);
        }
        if let Some(keyframe) = &cache.depth_keyframe {
            self.take_depth_keyframe(Arc::clone(keyframe));
        }
        if let Some(newest) = &cache.depth_newest {
            self.take_depth(now, Arc::clone(newest), true);
        }
        let Some(last) = cache.color.last().map(|f| &f.header) else {
            if let Chain::Waiting { since } = &mut self.chain {
                since.get_or_insert(now);
            }
            return;
        };
        let from = match self.chain {
            Chain::Broken { group, from, .. }
                if group == last.group && !lacking && self.delivered <= Some((group, from)) =>
            {
                from
            }
            // Behind a gap the headset has given up its group, and needs all of it to begin again.
            _ => 0,
        };
        let missing = cache.color.iter().filter(|f| f.header.index >= from);
        self.queue.extend(missing.map(|frame| Queued {
            frame: Arc::clone(frame),
            at: now,
            catch_up: true,
        }));
        self.chain = Chain::Live {
            group: last.group,
            next: last.index.saturating_add(1),
        };
    }

    /// Takes a new frame of the vantage.
    pub fn offer(&mut self, now: ServerTime, frame: Arc<EncodedFrame>) {
        self.busy_at = Some(now);
        let header = &frame.header;
        match (header.lane, header.keyframe) {
            (Lane::Depth, true) => self.take_depth_keyframe(frame),
            (Lane::Depth, false) => self.take_depth(now, frame, false),
            (Lane::Color, true) => {
                // What is left of the group before is overtaken.
                self.drop_queued_color();
                self.lacking = false;
                self.chain = Chain::Live {
                    group: header.group,
                    next: header.index.saturating_add(1),
                };
                self.enqueue(now, frame);
            }
            (Lane::Color, false) => match &mut self.chain {
                Chain::Live { group, next } if *group == header.group && *next == header.index => {
                    *next = next.saturating_add(1);
                    self.enqueue(now, frame);
                }
                Chain::Live { group, next } if *group == header.group && header.index < *next => {
                    // The cache held it already.
                }
                Chain::Live { group, next } => {
                    let (group, from) = (*group, *next);
                    self.stats.dropped += 1;
                    self.break_group(now, group, from);
                }
                Chain::Waiting { .. } | Chain::Broken { .. } => self.stats.dropped += 1,
            },
        }
    }

    /// The frame has been delivered, or at least wholly handed to the network.
    pub fn on_sent(&mut self, id: FrameId, now: ServerTime) {
        let Some(flying) = self.land(id) else {
            return;
        };
        self.stats.delivered += 1;
        let took = now.saturating_since(flying.at);
        // The shortest counts; a path that became longer is believed little by little.
        self.latency = Some(
            self.latency
                .map_or(took, |l| took.min(l + took.saturating_sub(l) / 256)),
        );
        let header = &flying.frame.header;
        if header.lane == Lane::Color {
            self.delivered = self.delivered.max(Some((header.group, header.index)));
        }
        if header.lane == Lane::Color && header.keyframe {
            self.keyframe_expiry = (took * 2).clamp(self.config.color_expiry, self.longest_expiry());
        }
    }

    /// The frame's stream was reset, because it expired or the peer stopped it.
    pub fn on_expired(&mut self, id: FrameId, now: ServerTime) {
        let Some(flying) = self.land(id) else {
            return;
        };
        self.stats.expired += 1;
        let header = &flying.frame.header;
        match (header.lane, header.keyframe) {
            (Lane::Color, keyframe) => {
                if keyframe {
                    // Otherwise a path on which a keyframe takes longer would never see one.
                    let longer = self.keyframe_expiry * 2;
                    self.keyframe_expiry = longer.min(self.longest_expiry());
                }
                match self.chain {
                    Chain::Live { group, .. } if group == header.group => {
                        self.break_group(now, group, header.index);
                    }
                    Chain::Broken { group, from, since } if group == header.group => {
                        let from = from.min(header.index);
                        self.chain = Chain::Broken { group, from, since };
                    }
                    _ => {}
                }
            }
            (Lane::Depth, _) => {
                self.depth_again_at = Some(now + DEPTH_AGAIN_AFTER);
                for slot in [&mut self.depth_keyframe, &mut self.depth_newest] {
                    if let Some((frame, sent)) = slot
                        && frame.header.tag.set == header.tag.set
                    {
                        *sent = false;
                    }
                }
            }
        }
    }

    /// The headset's report. One that misses sets long after the last one was delivered asks for the group again.
    pub fn on_feedback(&mut self, now: ServerTime, feedback: &Feedback) {
        self.estimator.update(now, feedback);
        let quiet = self
            .busy_at
            .is_some_and(|at| now.saturating_since(at) >= self.config.regroup_after);
        self.lacking |= feedback.missed > 0 && quiet && self.queue.is_empty() && self.in_flight.is_empty();
    }

    /// The next frame to be sent now.
    pub fn poll(&mut self, now: ServerTime) -> Option<Send> {
        self.poll_beside(now, 0)
    }

    /// As [`Self::poll`], while so many bytes of more important layers are on their way to the same headset: what they
    /// leave of the path's room is used.
    pub fn poll_beside(&mut self, now: ServerTime, others_bytes: usize) -> Option<Send> {
        let depth_may_go = self.depth_again_at.is_none_or(|at| now >= at);
        if let Some((frame, sent @ false)) = &mut self.depth_keyframe
            && depth_may_go
        {
            *sent = true;
            let frame = Arc::clone(frame);
            return Some(self.send(now, frame, self.config.depth_keyframe_expiry));
        }
        self.drop_late(now);
        if !self.may_send(others_bytes) {
            return None;
        }
        let goes_with = |set| {
            let front = self.queue.front();
            front.is_none_or(|q| q.catch_up || q.frame.header.depends_on == set)
        };
        let queued_depth = self.queue.iter().any(|q| q.frame.header.lane == Lane::Depth);
        if let Some((frame, false)) = &self.depth_newest
            && depth_may_go
            && !queued_depth
            && matches!(self.chain, Chain::Live { .. })
            && goes_with(frame.header.tag.set)
        {
            let frame = Arc::clone(frame);
            self.depth_newest = Some((Arc::clone(&frame), true));
            return Some(self.send(now, frame, self.config.depth_expiry));
        }
        let Queued { frame, catch_up, .. } = self.queue.pop_front()?;
        let header = &frame.header;
        let expiry = match header.lane {
            Lane::Depth => self.config.depth_expiry,
            Lane::Color if header.keyframe => self.keyframe_expiry,
            Lane::Color => self.config.color_expiry,
        };
        if let Some((newest, sent)) = &mut self.depth_newest
            && newest.header.tag.set == header.tag.set
            && header.lane == Lane::Depth
        {
            *sent = true;
        }
        let expiry = if catch_up {
            expiry.max(self.config.catch_up_expiry)
        } else {
            expiry
        };
        Some(self.send(now, frame, expiry))
    }

    /// Whether the subscriber has no decodable group and none has started for a while, as in a still scene, or lacks
    /// something of it: the caller then calls [`Self::subscribe`] again. Ask a few times a second.
    #[must_use]
    pub fn needs_group(&self, now: ServerTime) -> bool {
        if self.lacking {
            return true;
        }
        let since = match self.chain {
            Chain::Live { .. } => return false,
            Chain::Waiting { since } => since,
            Chain::Broken { since, .. } => Some(since),
        };
        let long_ago = |t: ServerTime| now.saturating_since(t) >= self.config.regroup_after;
        // What is still on its way would only be sent again.
        since.is_some_and(long_ago) && self.regrouped_at.is_none_or(long_ago) && self.in_flight_color() == 0
    }

    /// Bytes on their way, without depth keyframes.
    #[must_use]
    pub const fn in_flight_bytes(&self) -> usize {
        self.flying_bytes
    }

    /// What the subscriber can bear.
    #[must_use]
    pub fn estimate(&self) -> crate::adapt::Estimate {
        self.estimator.estimate()
    }

    /// Counters since the start.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    fn send(&mut self, now: ServerTime, frame: Arc<EncodedFrame>, expires_in: Duration) -> Send {
        let id = self.next_id;
        self.next_id += 1;
        self.busy_at = Some(now);
        self.stats.sent += 1;
        self.stats.sent_bytes += frame.wire_bytes() as u64;
        let chunks = frame.chunks.clone();
        let class = class(&frame.header);
        self.flying_bytes += counted_bytes(&frame);
        self.in_flight.insert(id, Flying { frame, at: now });
        // Within a class, what was sent first goes first.
        let place = i32::try_from(id & 0x00ff_ffff).unwrap_or_default();
        Send {
            id: FrameId(id),
            chunks,
            priority: (class << 24) - place,
            expires_in,
        }
    }

    /// Whether the path has room.
    fn may_send(&self, others_bytes: usize) -> bool {
        let flying = self.flying_bytes + others_bytes;
        let held = self.config.in_flight + self.latency.unwrap_or_default();
        let estimated = f64::from(self.estimate().bitrate_bps) / 8.0 * held.as_secs_f64();
        (flying as f64) < estimated.max(self.config.min_in_flight_bytes as f64)
    }

    /// A frame is no longer on its way.
    fn land(&mut self, id: FrameId) -> Option<Flying> {
        let flying = self.in_flight.remove(&id.0)?;
        self.flying_bytes -= counted_bytes(&flying.frame);
        Some(flying)
    }

    fn longest_expiry(&self) -> Duration {
        self.config.longest_keyframe_expiry.max(self.config.color_expiry)
    }

    fn in_flight_color(&self) -> usize {
        let color = |f: &&Flying| f.frame.header.lane == Lane::Color;
        self.in_flight.values().filter(color).count()
    }

    fn enqueue(&mut self, at: ServerTime, frame: Arc<EncodedFrame>) {
        self.queue.push_back(Queued {
            frame,
            at,
            catch_up: false,
        });
    }

    fn take_depth_keyframe(&mut self, frame: Arc<EncodedFrame>) {
        let set = frame.header.tag.set;
        if self
            .depth_keyframe
            .as_ref()
            .is_some_and(|(k, _)| k.header.tag.set == set)
        {
            return;
        }
        // Depth that builds upon the keyframe before can still go with the pictures in the queue.
        self.depth_newest = None;
        self.depth_keyframe = Some((frame, false));
    }

    fn take_depth(&mut self, now: ServerTime, frame: Arc<EncodedFrame>, from_cache: bool) {
        let set = frame.header.tag.set;
        let known = |slot: &Option<(Arc<EncodedFrame>, bool)>| slot.as_ref().map(|(f, _)| f.header.tag.set);
        if known(&self.depth_keyframe) != Some(frame.header.depends_on) || known(&self.depth_newest) == Some(set) {
            return;
        }
        self.depth_newest = Some((Arc::clone(&frame), false));
        // Without a picture that it goes with, it waits until there is one again.
        if !from_cache && matches!(self.chain, Chain::Live { .. }) {
            self.enqueue(now, frame);
        }
    }

    /// Gives up the group when its oldest waiting frame is late.
    fn drop_late(&mut self, now: ServerTime) {
        // Behind a keyframe that takes long, the others wait as long.
        let longest = self.config.max_queue_age.max(self.keyframe_expiry);
        let late = |q: &Queued| !q.catch_up && now.saturating_since(q.at) > longest;
        let color = |q: &&Queued| q.frame.header.lane == Lane::Color;
        let Some(first) = self.queue.iter().find(color).filter(|q| late(q)) else {
            return;
        };
        let frame = Arc::clone(&first.frame);
        let Header {
            group, index, keyframe, ..
        } = frame.header;
        if !keyframe {
            self.break_group(now, group, index);
        } else if matches!(self.chain, Chain::Live { .. }) {
            // A keyframe is not given up: it is the way back, unless the next one replaces it before it is sent.
            self.break_group(now, group, index.saturating_add(1));
            self.stats.dropped -= 1;
            self.enqueue(now, frame);
        }
    }

    fn break_group(&mut self, now: ServerTime, group: u32, from: u16) {
        self.stats.broken_groups += 1;
        self.drop_queued_color();
        self.chain = Chain::Broken {
            group,
            from,
            since: now,
        };
    }

    /// Empties the queue. The newest depth is kept beside it.
    fn drop_queued_color(&mut self) {
        self.stats.dropped += self.queue.len() as u64;
        self.queue.clear();
    }
}

/// What a frame takes of the path's room. A depth keyframe is large, and rare: it is not counted.
fn counted_bytes(frame: &EncodedFrame) -> usize {
    if frame.header.lane == Lane::Depth && frame.header.keyframe {
        0
    } else {
        frame.wire_bytes()
    }
}

/// Which frames of a connection go first: the base, then what is behind it, then sharp faces; within a layer depth
/// before colour, and its keyframe before all.
const fn class(header: &Header) -> i32 {
    let within = match (header.lane, header.keyframe) {
        (Lane::Depth, true) => 2,
        (Lane::Depth, false) => 1,
        (Lane::Color, _) => 0,
    };
    match header.layer {
        Layer::Base => 7 + within,
        Layer::Behind => 4 + within,
        Layer::Face(_) => 1 + within,
    }
}

#[cfg(test)]
mod tests;
