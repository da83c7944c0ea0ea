//! Who is sent which frames: one group cache per layer of a vantage, one sender per layer and subscriber.
//!
//! Everything but the links themselves: what is to be handed to them comes out of [`Fanout::due`] and
//! [`Fanout::heartbeats`], and what became of it goes into [`Fanout::finished`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tongyou_protocol::datagram::{Feedback, Still};
use tongyou_protocol::frame::Layer;
use tongyou_protocol::{ServerTime, VantageId};

use crate::adapt::{self, Controller, Estimate, Quality};
use crate::send::{self, EncodedFrame, FrameId, GroupCache, Sender};

/// While no frame is sent of a layer its subscribers are told this often that it stands still.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Quality is not decided more often: reports come twice to four times a second.
const JUDGE_EVERY: Duration = Duration::from_millis(100);

/// A layer of a vantage of a session; `S` names the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<S> {
    /// Numbers of vantages are only unique within it.
    pub session: S,
    /// Which vantage.
    pub vantage: VantageId,
    /// Which of its layers.
    pub layer: Layer,
}

/// A frame for one subscriber, to be handed to its link at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing<S, L> {
    /// Who is to get it.
    pub link: L,
    /// What it belongs to.
    pub key: Key<S>,
    /// Said again in [`Fanout::finished`]; not used twice.
    pub id: u64,
    /// Written one after the other, on a stream of its own.
    pub chunks: [Bytes; 2],
    /// Higher goes first among the streams of a link.
    pub priority: i32,
    /// When the stream is to be reset if it is not delivered.
    pub expires_in: Duration,
}

/// All layers and their subscribers; `L` names a subscriber's link. Sans-IO.
#[derive(Debug)]
pub struct Fanout<S, L> {
    config: send::Config,
    streams: BTreeMap<Key<S>, Stream<L>>,
    /// Which sender a frame in flight on a link belongs to, and its number there.
    in_flight: BTreeMap<L, BTreeMap<u64, (Key<S>, FrameId)>>,
    next_id: u64,
    /// Layers of which somebody needs a new group.
    stale: BTreeSet<Key<S>>,
    /// Counts the calls of [`Self::sync`].
    round: u64,
    quality: BTreeMap<Key<S>, Quality>,
    judged_at: Option<ServerTime>,
}

#[derive(Debug)]
struct Stream<L> {
    cache: GroupCache,
    /// As the last [`Fanout::sync`] said.
    viewers: Vec<L>,
    senders: BTreeMap<L, Sender>,
    controller: Controller,
    /// When its subscribers were last offered a frame, or told that it stands still.
    heard_at: ServerTime,
    /// The last [`Fanout::sync`] that wanted it.
    round: u64,
}

/// Bytes on their way to one link.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    /// Of the base layers.
    base: usize,
    all: usize,
}

impl<S: Copy + Ord, L: Copy + Ord> Fanout<S, L> {
    /// Nobody yet.
    #[must_use]
    pub const fn new(config: send::Config) -> Self {
        Self {
            config,
            streams: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_id: 1,
            stale: BTreeSet::new(),
            round: 0,
            quality: BTreeMap::new(),
            judged_at: None,
        }
    }

    /// Brings subscriptions in line with what is wanted: each layer once, with all who are to be sent it. Who is new is
    /// sent the cached group; a layer that is not named any more is forgotten.
    pub fn sync<'a>(&mut self, now: ServerTime, wanted: impl IntoIterator<Item = (Key<S>, &'a [L])>)
    where
        L: 'a,
    {
        self.round += 1;
        for (key, viewers) in wanted {
            let mut stream = match self.streams.get_mut(&key) {
                // Nearly always: nobody came or went since the tick before.
                Some(stream) if stream.viewers == viewers => {
                    stream.round = self.round;
                    continue;
                }
                Some(_) => self.streams.remove(&key),
                None => None,
            }
            .unwrap_or_else(|| self.new_stream(now, &key));
            stream.round = self.round;
            stream.viewers = viewers.to_vec();
            stream.senders.retain(|link, _| viewers.contains(link));
            for link in viewers {
                stream.senders.entry(*link).or_insert_with(|| {
                    let mut sender = Sender::new(self.config.clone());
                    // The path is the same as to the vantage before: what was learnt of it stays.
                    if let Some(old) = self.streams.values().find_map(|s| s.senders.get(link)) {
                        sender.inherit(old);
                    }
                    sender.subscribe(now, &stream.cache);
                    sender
                });
            }
            self.streams.insert(key, stream);
        }
        let (round, before) = (self.round, self.streams.len());
        self.streams.retain(|_, stream| stream.round == round);
        if self.streams.len() != before {
            let streams = &self.streams;
            self.stale.retain(|key| streams.contains_key(key));
            self.quality.retain(|key, _| streams.contains_key(key));
        }
    }

    /// A layer that starts at the quality which the session's people have now.
    fn new_stream(&mut self, now: ServerTime, key: &Key<S>) -> Stream<L> {
        let known = self
            .streams
            .iter()
            .filter(|(other, _)| other.session == key.session)
            .map(|(_, stream)| stream.controller.quality());
        let adapt = &self.config.adapt;
        let start_bps = known.map(|q| q.bitrate_bps).min().unwrap_or(adapt.start_bps);
        let controller = Controller::new(adapt::Config {
            start_bps,
            ..adapt.clone()
        });
        self.quality.insert(*key, controller.quality());
        Stream {
            cache: GroupCache::default(),
            viewers: Vec::new(),
            senders: BTreeMap::new(),
            controller,
            heard_at: now,
            round: 0,
        }
    }

    /// Offers one set's frames to everyone who is subscribed to the layer.
    pub fn offer(&mut self, now: ServerTime, key: &Key<S>, frames: &[Arc<EncodedFrame>]) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.heard_at = now;
        for frame in frames {
            stream.cache.push(Arc::clone(frame));
            for sender in stream.senders.values_mut() {
                sender.offer(now, Arc::clone(frame));
            }
        }
    }

    /// A frame arrived at its subscriber, or (not `sent`) was given up.
    pub fn finished(&mut self, now: ServerTime, link: L, id: u64, sent: bool) {
        let Some((key, id)) = self.in_flight.get_mut(&link).and_then(|frames| frames.remove(&id)) else {
            return;
        };
        let Some(sender) = self.streams.get_mut(&key).and_then(|s| s.senders.get_mut(&link)) else {
            return;
        };
        if sent {
            sender.on_sent(id, now);
        } else {
            sender.on_expired(id, now);
        }
    }

    /// A subscriber's report on delivery.
    pub fn feedback(&mut self, now: ServerTime, link: L, feedback: &Feedback) {
        for sender in self.streams.values_mut().filter_map(|s| s.senders.get_mut(&link)) {
            sender.on_feedback(now, feedback);
        }
    }

    /// Forgets a link.
    pub fn remove(&mut self, link: L) {
        self.in_flight.remove(&link);
        for stream in self.streams.values_mut() {
            if stream.senders.remove(&link).is_some() {
                stream.viewers.retain(|viewer| *viewer != link);
            }
        }
    }

    /// What is to be handed to the links now: the bases first, the other layers in what those leave of each path.
    pub fn due(&mut self, now: ServerTime) -> Vec<Outgoing<S, L>> {
        let mut due = Vec::new();
        self.poll(now, &mut due, &mut BTreeMap::new(), |layer| layer == Layer::Base);
        if self.streams.keys().all(|key| key.layer == Layer::Base) {
            return due;
        }
        let mut taken = BTreeMap::new();
        for (key, stream) in &self.streams {
            for (link, sender) in &stream.senders {
                let taken: &mut Taken = taken.entry(*link).or_default();
                let bytes = sender.in_flight_bytes();
                taken.all += bytes;
                taken.base += if key.layer == Layer::Base { bytes } else { 0 };
            }
        }
        self.poll(now, &mut due, &mut taken, |layer| layer != Layer::Base);
        due
    }

    fn poll(
        &mut self,
        now: ServerTime,
        due: &mut Vec<Outgoing<S, L>>,
        taken: &mut BTreeMap<L, Taken>,
        which: impl Fn(Layer) -> bool,
    ) {
        for (key, stream) in self.streams.iter_mut().filter(|(key, _)| which(key.layer)) {
            for (link, sender) in &mut stream.senders {
                let mut taken = (key.layer != Layer::Base).then(|| taken.entry(*link).or_default());
                if sender.needs_group(now) {
                    sender.subscribe(now, &stream.cache);
                    if !stream.cache.is_complete() {
                        // In a still scene no new group would come by itself.
                        self.stale.insert(*key);
                    }
                }
                loop {
                    let own = sender.in_flight_bytes();
                    let others = match (key.layer, &taken) {
                        (Layer::Base, _) | (_, None) => 0,
                        (Layer::Behind, Some(taken)) => taken.base,
                        (Layer::Face(_), Some(taken)) => taken.all - own,
                    };
                    let Some(next) = sender.poll_beside(now, others) else {
                        break;
                    };
                    if let Some(taken) = &mut taken {
                        taken.all += sender.in_flight_bytes() - own;
                    }
                    let id = self.next_id;
                    self.next_id += 1;
                    self.in_flight.entry(*link).or_default().insert(id, (*key, next.id));
                    due.push(Outgoing {
                        link: *link,
                        key: *key,
                        id,
                        chunks: next.chunks,
                        priority: next.priority,
                        expires_in: next.expires_in,
                    });
                }
            }
        }
    }

    /// Who is to be told that all is well with a layer in which nothing moves. Call it only while the renderer works: a
    /// picture that stands because nobody draws is not still.
    pub fn heartbeats(&mut self, now: ServerTime) -> Vec<(Still, &[L])> {
        let due = |stream: &mut Stream<L>| {
            let still = stream.cache.still()?;
            (now.saturating_since(stream.heard_at) >= HEARTBEAT).then(|| stream.heard_at = now)?;
            Some(still)
        };
        self.streams
            .values_mut()
            .filter_map(|stream| due(stream).map(|still| (still, stream.viewers.as_slice())))
            .collect()
    }

    /// The layers that must be drawn anew although nothing moves in them, since the last call.
    pub fn take_stale(&mut self) -> BTreeSet<Key<S>> {
        std::mem::take(&mut self.stale)
    }

    /// How each layer should be rendered and coded.
    pub fn quality(&mut self, now: ServerTime) -> &BTreeMap<Key<S>, Quality> {
        if self.judged_at.is_none_or(|at| now.saturating_since(at) >= JUDGE_EVERY) {
            self.judged_at = Some(now);
            for (key, stream) in &mut self.streams {
                let estimates = stream.senders.values().map(Sender::estimate);
                stream.controller.update(now, estimates);
                self.quality.insert(*key, stream.controller.quality());
            }
        }
        &self.quality
    }

    /// What the path to one subscriber of a layer bears.
    #[must_use]
    pub fn estimate(&self, key: &Key<S>, link: L) -> Option<Estimate> {
        Some(self.streams.get(key)?.senders.get(&link)?.estimate())
    }

    /// Whether a joiner of the layer would get a picture at once.
    #[must_use]
    pub fn is_complete(&self, key: &Key<S>) -> bool {
        self.streams.get(key).is_some_and(|s| s.cache.is_complete())
    }
}

#[cfg(test)]
mod tests;
