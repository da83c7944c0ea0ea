//! What each subscriber is sent next, from one cached group per vantage.
//!
//! Per vantage: one [`GroupCache`]; push every encoded frame. Per vantage and subscriber: one [`Sender`].
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
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tongyou_protocol::ServerTime;
use tongyou_protocol::datagram::Feedback;
use tongyou_protocol::frame::{Header, Lane};

/// A frame that is encoded once and shared by all subscribers.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedFrame {
    /// What it is.
    pub header: Header,
    /// The header's bytes, then the payload.
    pub chunks: [Bytes; 2],
}

impl EncodedFrame {
    /// Writes the header once.
    #[must_use]
    pub fn new(header: Header, payload: Bytes) -> Self {
        let chunks = [header.to_bytes(&payload), payload];
        Self { header, chunks }
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }
}

/// What a joiner needs: the current group of colour, the depth keyframe and the newest depth.
#[derive(Debug, Default)]
pub struct GroupCache {
    color: Vec<Arc<EncodedFrame>>,
    depth_keyframe: Option<Arc<EncodedFrame>>,
    depth_newest: Option<Arc<EncodedFrame>>,
}

/// Colour frames of a group beyond this are not cached; joiners then wait for the next group.
const MAX_GROUP: usize = 256;

impl GroupCache {
    /// Takes every frame of the vantage in the order of encoding.
    pub fn push(&mut self, frame: Arc<EncodedFrame>) {
        let header = &frame.header;
        match (header.lane, header.keyframe) {
            (Lane::Color, true) => self.color = vec![frame],
            (Lane::Color, false) => {
                let follows = self.color.last().is_some_and(|l| {
                    l.header.group == header.group && l.header.index.checked_add(1) == Some(header.index)
                });
                if follows && self.color.len() < MAX_GROUP {
                    self.color.push(frame);
                } else {
                    self.color.clear();
                }
            }
            (Lane::Depth, true) => {
                self.depth_keyframe = Some(frame);
                self.depth_newest = None;
            }
            (Lane::Depth, false) => {
                let key = self.depth_keyframe.as_ref().map(|k| k.header.tag.set);
                if key == Some(header.depends_on) {
                    self.depth_newest = Some(frame);
                }
            }
        }
    }

    /// Whether a joiner would get a picture from it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.color.is_empty() && self.depth_keyframe.is_some()
    }

    /// Bytes held.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        let depth = self.depth_keyframe.iter().chain(&self.depth_newest);
        self.color.iter().chain(depth).map(|f| f.wire_bytes()).sum()
    }
}

/// When frames are dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// A colour frame that has not arrived by then is given up.
    pub color_expiry: Duration,
    /// A frame of the cached group likewise: it is sent in a burst.
    pub catch_up_expiry: Duration,
    /// A depth keyframe likewise: nothing can be shown without it.
    pub depth_keyframe_expiry: Duration,
    /// Another depth frame likewise.
    pub depth_expiry: Duration,
    /// A frame that waits longer before it is sent is dropped, with the rest of its group.
    pub max_queue_age: Duration,
    /// Seconds of the estimated bitrate that may be on their way.
    pub in_flight_s: f64,
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
            max_queue_age: Duration::from_millis(250),
            in_flight_s: 0.25,
            min_in_flight_bytes: 96 * 1024,
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
#[derive(Debug)]
pub struct Sender {
    config: Config,
    queue: VecDeque<Arc<EncodedFrame>>,
    in_flight: BTreeMap<u64, usize>,
    next_id: u64,
    stats: Stats,
    estimator: crate::adapt::Estimator,
}

impl Sender {
    /// For a new subscriber; [`Self::subscribe`] starts it.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            estimator: crate::adapt::Estimator::new(&config.adapt),
            config,
            queue: VecDeque::new(),
            in_flight: BTreeMap::new(),
            next_id: 0,
            stats: Stats::default(),
        }
    }

    /// Starts with the cached group. Also answers [`Self::needs_group`].
    pub fn subscribe(&mut self, now: ServerTime, cache: &GroupCache) {
        let _ = now;
        self.queue
            .extend(cache.depth_keyframe.iter().chain(&cache.depth_newest).cloned());
        self.queue.extend(cache.color.iter().cloned());
    }

    /// Takes a new frame of the vantage.
    pub fn offer(&mut self, now: ServerTime, frame: Arc<EncodedFrame>) {
        let _ = now;
        self.queue.push_back(frame);
    }

    /// The frame has been delivered, or at least wholly handed to the network.
    pub fn on_sent(&mut self, id: FrameId, now: ServerTime) {
        let _ = now;
        self.in_flight.remove(&id.0);
        self.stats.delivered += 1;
    }

    /// The frame's stream was reset, because it expired or the peer stopped it.
    pub fn on_expired(&mut self, id: FrameId, now: ServerTime) {
        let _ = now;
        self.in_flight.remove(&id.0);
        self.stats.expired += 1;
    }

    /// The headset's report.
    pub fn on_feedback(&mut self, now: ServerTime, feedback: &Feedback) {
        self.estimator.update(now, feedback);
    }

    /// The next frame to be sent now.
    pub fn poll(&mut self, now: ServerTime) -> Option<Send> {
        let _ = now;
        let frame = self.queue.pop_front()?;
        let id = self.next_id;
        self.next_id += 1;
        self.in_flight.insert(id, frame.wire_bytes());
        self.stats.sent += 1;
        Some(Send {
            id: FrameId(id),
            chunks: frame.chunks.clone(),
            priority: 0,
            expires_in: self.config.color_expiry,
        })
    }

    /// Whether the subscriber has no decodable group and none has started for a while, as in a still scene: the
    /// caller then calls [`Self::subscribe`] again. Ask a few times a second.
    #[must_use]
    pub fn needs_group(&self, now: ServerTime) -> bool {
        let _ = now;
        false
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
}
