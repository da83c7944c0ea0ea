//! The server's frame side without pictures: one group cache per vantage and one sender per subscriber, as in the
//! server, fed with frames whose payload is noise.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tongyou_protocol::datagram::Feedback;
use tongyou_protocol::frame::{Codec, Eyes, Header, Lane, Layer, Shape, Tag};
use tongyou_protocol::{ServerTime, SetId, TourTime};
use tongyou_session::{ActiveVantage, LinkId, Tick};
use tongyou_stream::send::{Config, EncodedFrame, FrameId, GroupCache, Sender};

use super::FrameSend;

/// Sets of one group: a second at the usual rate.
const GROUP: u16 = 4;

pub(super) struct Cameras {
    keyframe_bytes: usize,
    vantages: BTreeMap<u16, Vantage>,
    in_flight: BTreeMap<u64, (u16, LinkId, FrameId)>,
    next_frame: u64,
    next_set: u32,
}

struct Vantage {
    active: ActiveVantage,
    cache: GroupCache,
    senders: BTreeMap<LinkId, Sender>,
    group: u32,
    index: u16,
    depth_set: Option<SetId>,
}

impl Cameras {
    pub(super) fn new(keyframe_bytes: usize) -> Self {
        Self {
            keyframe_bytes,
            vantages: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_frame: 1,
            next_set: 1,
        }
    }

    /// Brings subscriptions in line with what the session says.
    pub(super) fn sync(&mut self, now: ServerTime, ticks: &[Tick]) {
        let wanted: BTreeMap<u16, &ActiveVantage> = ticks
            .iter()
            .flat_map(|t| &t.vantages)
            .map(|v| (v.vantage.0, v))
            .collect();
        for (key, active) in &wanted {
            let mut vantage = self.vantages.remove(key).unwrap_or_else(|| Vantage {
                active: (*active).clone(),
                cache: GroupCache::default(),
                senders: BTreeMap::new(),
                group: 0,
                index: 0,
                depth_set: None,
            });
            vantage.active = (*active).clone();
            vantage.senders.retain(|link, _| active.viewers.iter().any(|v| v.link == *link));
            for link in active.viewers.iter().map(|v| &v.link) {
                vantage.senders.entry(*link).or_insert_with(|| {
                    let mut sender = Sender::new(Config::default());
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

    /// A new set of every vantage.
    pub(super) fn shoot(&mut self, now: ServerTime, tour_zero: ServerTime) {
        for vantage in self.vantages.values_mut() {
            let set = SetId(self.next_set);
            self.next_set += 1;
            for frame in vantage.frames(set, now, tour_zero, self.keyframe_bytes) {
                vantage.cache.push(frame.clone());
                for sender in vantage.senders.values_mut() {
                    sender.offer(now, frame.clone());
                }
            }
        }
    }

    /// What is to be sent now.
    pub(super) fn poll(&mut self, now: ServerTime) -> Vec<FrameSend> {
        let mut all = Vec::new();
        for (key, vantage) in &mut self.vantages {
            for (link, sender) in &mut vantage.senders {
                if sender.needs_group(now) {
                    sender.subscribe(now, &vantage.cache);
                }
                while let Some(next) = sender.poll(now) {
                    let id = self.next_frame;
                    self.next_frame += 1;
                    self.in_flight.insert(id, (*key, *link, next.id));
                    all.push(FrameSend {
                        link: *link,
                        id,
                        chunks: next.chunks,
                        expires_in: next.expires_in,
                    });
                }
            }
        }
        all
    }

    /// A frame arrived, or was given up.
    pub(super) fn finished(&mut self, now: ServerTime, link: LinkId, id: u64, delivered: bool) {
        let Some((key, of, frame)) = self.in_flight.remove(&id) else {
            return;
        };
        assert_eq!(of, link);
        let Some(sender) = self.vantages.get_mut(&key).and_then(|v| v.senders.get_mut(&link)) else {
            return;
        };
        if delivered {
            sender.on_sent(frame, now);
        } else {
            sender.on_expired(frame, now);
        }
    }

    pub(super) fn feedback(&mut self, now: ServerTime, link: LinkId, feedback: &Feedback) {
        for sender in self.vantages.values_mut().filter_map(|v| v.senders.get_mut(&link)) {
            sender.on_feedback(now, feedback);
        }
    }

    pub(super) fn remove(&mut self, link: LinkId) {
        for vantage in self.vantages.values_mut() {
            vantage.senders.remove(&link);
        }
    }
}

impl Vantage {
    fn frames(
        &mut self,
        set: SetId,
        now: ServerTime,
        tour_zero: ServerTime,
        keyframe_bytes: usize,
    ) -> Vec<Arc<EncodedFrame>> {
        let tag = Tag {
            set,
            vantage: self.active.vantage,
            epoch: u16::try_from(self.active.epoch & 0xffff).unwrap(),
            point: self.active.point,
            near: 0.2,
            half_tangent: 256.0 / 248.0,
            tour_time: TourTime::at(now, tour_zero),
            exposure: 1.0,
            ambient: [[0.0; 3]; 9],
            still_ms: [0; 6],
            eyes: Eyes::default(),
        };
        let header = |lane, keyframe, group, index, depends_on| Header {
            lane,
            layer: Layer::Base,
            shape: Shape::Panorama,
            keyframe,
            codec: if lane == Lane::Color {
                Codec::H264
            } else {
                Codec::Depth1
            },
            width: 512,
            height: 512,
            group,
            index,
            depends_on,
            rendered_at: now,
            tag,
        };
        let encoded = |header: Header, len: usize| {
            let noise = u8::try_from(set.0 & 0xff).unwrap();
            Arc::new(EncodedFrame::new(header, Bytes::from(vec![noise; len])))
        };
        let mut frames = Vec::new();
        // Depth goes first, and stays as it is: nothing moves in depth here.
        let depth_set = *self.depth_set.get_or_insert_with(|| {
            frames.push(encoded(header(Lane::Depth, true, 1, 0, set), keyframe_bytes / 2));
            set
        });
        let keyframe = self.index.is_multiple_of(GROUP);
        if keyframe {
            self.group += 1;
            self.index = 0;
        }
        let len = if keyframe { keyframe_bytes } else { keyframe_bytes / 6 };
        frames.push(encoded(
            header(Lane::Color, keyframe, self.group, self.index, depth_set),
            len,
        ));
        self.index += 1;
        frames
    }
}
