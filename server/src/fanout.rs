//! Who is sent which frames: one group cache per vantage, one sender per vantage and subscriber.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tongyou_protocol::datagram::{Datagram, Feedback};
use tongyou_protocol::{ServerTime, VantageId};
use tongyou_session::{ActiveVantage, LinkId, SessionKey, Tick};
use tongyou_stream::adapt::{self, Controller, Quality};
use tongyou_stream::send::{self, EncodedFrame, FrameId, GroupCache, Sender};
use tongyou_transport::{Frame, Link};

use crate::metrics::Metrics;
use crate::stamps;

/// A vantage of a session: `VantageId`s are only unique within one.
pub(crate) type Key = (SessionKey, VantageId);

/// The links by number.
pub(crate) type Links = BTreeMap<LinkId, Arc<dyn Link>>;

/// While no frame is sent of a vantage its subscribers are told this often that it stands still.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// All vantages and their subscribers.
pub(crate) struct Fanout {
    adapt: adapt::Config,
    metrics: Arc<Metrics>,
    vantages: BTreeMap<Key, Vantage>,
    /// Which sender a frame in flight on a link belongs to, and its number there.
    in_flight: BTreeMap<LinkId, BTreeMap<u64, (Key, FrameId)>>,
    next_frame: u64,
    /// Vantages of which somebody needs a new group.
    stale: BTreeSet<Key>,
}

struct Vantage {
    cache: GroupCache,
    senders: BTreeMap<LinkId, Sender>,
    controller: Controller,
    /// When its subscribers were last offered a frame, or told that it stands still.
    heard_at: ServerTime,
}

impl Fanout {
    pub(crate) fn new(adapt: adapt::Config, metrics: Arc<Metrics>) -> Self {
        Self {
            adapt,
            metrics,
            vantages: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_frame: 1,
            stale: BTreeSet::new(),
        }
    }

    /// Brings subscriptions in line with what the sessions say; who is new is sent the cached group.
    pub(crate) fn sync(&mut self, now: ServerTime, ticks: &[Tick]) {
        let links = |v: &ActiveVantage| v.viewers.iter().map(|v| v.link).collect::<Vec<_>>();
        let wanted: BTreeMap<Key, Vec<LinkId>> = ticks
            .iter()
            .flat_map(|t| t.vantages.iter().map(|v| ((t.session, v.vantage), links(v))))
            .collect();
        for (key, viewers) in &wanted {
            let mut vantage = self
                .vantages
                .remove(key)
                .unwrap_or_else(|| self.new_vantage(now, key.0));
            vantage.senders.retain(|link, _| viewers.contains(link));
            for link in viewers {
                vantage.senders.entry(*link).or_insert_with(|| {
                    let config = send::Config {
                        adapt: self.adapt.clone(),
                        ..send::Config::default()
                    };
                    let mut sender = Sender::new(config);
                    // The path is the same as to the vantage before: what was learnt of it stays.
                    if let Some(old) = self.vantages.values().find_map(|v| v.senders.get(link)) {
                        sender.inherit(old);
                    }
                    sender.subscribe(now, &vantage.cache);
                    sender
                });
            }
            self.vantages.insert(*key, vantage);
        }
        self.vantages.retain(|key, _| wanted.contains_key(key));
    }

    /// A vantage that starts at the quality which the session's people have now.
    fn new_vantage(&self, now: ServerTime, session: SessionKey) -> Vantage {
        let known = self
            .vantages
            .iter()
            .filter(|(key, _)| key.0 == session)
            .map(|(_, v)| v.controller.quality());
        let start_bps = known.map(|q| q.bitrate_bps).min().unwrap_or(self.adapt.start_bps);
        Vantage {
            cache: GroupCache::default(),
            heard_at: now,
            senders: BTreeMap::new(),
            controller: Controller::new(adapt::Config {
                start_bps,
                ..self.adapt.clone()
            }),
        }
    }

    /// Offers one set's frames to everyone who looks through the vantage.
    pub(crate) fn offer(&mut self, now: ServerTime, key: Key, frames: &[Arc<EncodedFrame>]) {
        let Some(vantage) = self.vantages.get_mut(&key) else {
            return;
        };
        vantage.heard_at = now;
        for frame in frames {
            vantage.cache.push(frame.clone());
            for sender in vantage.senders.values_mut() {
                sender.offer(now, frame.clone());
            }
        }
    }

    /// A frame arrived at its subscriber, or was given up.
    pub(crate) fn finished(&mut self, now: ServerTime, link: LinkId, id: u64, sent: bool) {
        let counter = if sent {
            &self.metrics.frames_delivered
        } else {
            &self.metrics.frames_expired
        };
        counter.add(1);
        let Some((key, id)) = self.in_flight.get_mut(&link).and_then(|frames| frames.remove(&id)) else {
            return;
        };
        let Some(sender) = self.vantages.get_mut(&key).and_then(|v| v.senders.get_mut(&link)) else {
            return;
        };
        if sent {
            sender.on_sent(id, now);
        } else {
            sender.on_expired(id, now);
        }
    }

    /// A subscriber's report on delivery.
    pub(crate) fn feedback(&mut self, now: ServerTime, link: LinkId, feedback: &Feedback) {
        for sender in self.vantages.values_mut().filter_map(|v| v.senders.get_mut(&link)) {
            sender.on_feedback(now, feedback);
        }
    }

    /// Forgets a link.
    pub(crate) fn remove(&mut self, link: LinkId) {
        self.in_flight.remove(&link);
        for vantage in self.vantages.values_mut() {
            vantage.senders.remove(&link);
        }
    }

    /// Hands what is due to the links.
    pub(crate) fn send(&mut self, now: ServerTime, links: &Links) {
        for (key, vantage) in &mut self.vantages {
            for (link, sender) in &mut vantage.senders {
                let Some(handle) = links.get(link) else { continue };
                if sender.needs_group(now) {
                    sender.subscribe(now, &vantage.cache);
                    if !vantage.cache.is_complete() {
                        // In a still scene no new group would come by itself.
                        self.stale.insert(*key);
                    }
                }
                while let Some(next) = sender.poll(now) {
                    let id = self.next_frame;
                    self.next_frame += 1;
                    let frame = Frame {
                        chunks: next.chunks.to_vec(),
                        priority: next.priority,
                        expires_in: next.expires_in,
                        id,
                    };
                    let bytes = frame.len();
                    stamps::frame_out(*link, &frame.chunks, now);
                    match handle.send_frame(frame) {
                        Ok(()) => {
                            self.metrics.frame_sent(bytes);
                            self.in_flight.entry(*link).or_default().insert(id, (*key, next.id));
                        }
                        Err(_) => {
                            self.metrics.frames_expired.add(1);
                            sender.on_expired(next.id, now);
                        }
                    }
                }
            }
        }
    }

    /// Tells the subscribers of vantages in which nothing moves that all is well. Call it only while the renderer works:
    /// a picture that stands because nobody draws is not still.
    pub(crate) fn heartbeat(&mut self, now: ServerTime, links: &Links) {
        for vantage in self.vantages.values_mut() {
            if now.saturating_since(vantage.heard_at) < HEARTBEAT {
                continue;
            }
            let Some(still) = vantage.cache.still() else { continue };
            vantage.heard_at = now;
            let bytes = Datagram::Still(still).to_bytes();
            for handle in vantage.senders.keys().filter_map(|link| links.get(link)) {
                // It may be lost like any other; the next comes in a second.
                if handle.send_datagram(bytes.clone()).is_ok() {
                    self.metrics.datagram_sent(bytes.len());
                }
            }
        }
    }

    /// The vantages that must be drawn anew although nothing moves in them, since the last call.
    pub(crate) fn take_stale(&mut self) -> BTreeSet<Key> {
        std::mem::take(&mut self.stale)
    }

    /// How each vantage should be rendered and coded.
    pub(crate) fn quality(&mut self, now: ServerTime) -> BTreeMap<Key, Quality> {
        let quality = |v: &mut Vantage| {
            v.controller.update(now, v.senders.values().map(Sender::estimate));
            v.controller.quality()
        };
        self.vantages.iter_mut().map(|(key, v)| (*key, quality(v))).collect()
    }
}

#[cfg(test)]
mod tests;
