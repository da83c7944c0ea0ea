//! The server's frame side without pictures: the fan-out of the server itself, fed with frames whose payload is noise.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tongyou_protocol::datagram::Feedback;
use tongyou_protocol::frame::{Codec, Eyes, Header, Lane, Layer, Shape, Tag};
use tongyou_protocol::{ServerTime, SetId, TourTime};
use tongyou_session::{ActiveVantage, LinkId, SessionKey, Tick};
use tongyou_stream::fanout::{Fanout, Key, Outgoing};
use tongyou_stream::send::{Config, EncodedFrame};

/// Sets of one group: a second at the usual rate.
const GROUP: u16 = 4;

pub(super) struct Cameras {
    keyframe_bytes: usize,
    vantages: BTreeMap<Key<SessionKey>, Vantage>,
    fanout: Fanout<SessionKey, LinkId>,
    next_set: u32,
}

struct Vantage {
    active: ActiveVantage,
    group: u32,
    index: u16,
    depth_set: Option<SetId>,
}

impl Cameras {
    pub(super) fn new(keyframe_bytes: usize) -> Self {
        Self {
            keyframe_bytes,
            vantages: BTreeMap::new(),
            fanout: Fanout::new(Config::default()),
            next_set: 1,
        }
    }

    /// Brings subscriptions in line with what the session says.
    pub(super) fn sync(&mut self, now: ServerTime, ticks: &[Tick]) {
        let base = |tick: &Tick, vantage: &ActiveVantage| Key {
            session: tick.session,
            vantage: vantage.vantage,
            layer: Layer::Base,
        };
        let active = ticks
            .iter()
            .flat_map(|t| t.vantages.iter().map(move |v| (base(t, v), v)));
        let wanted: BTreeMap<Key<SessionKey>, &ActiveVantage> = active.collect();
        self.vantages.retain(|key, _| wanted.contains_key(key));
        for (key, active) in &wanted {
            let vantage = self.vantages.entry(*key).or_insert_with(|| Vantage {
                active: (*active).clone(),
                group: 0,
                index: 0,
                depth_set: None,
            });
            vantage.active = (*active).clone();
        }
        let links: Vec<(Key<SessionKey>, Vec<LinkId>)> = wanted
            .iter()
            .map(|(key, v)| (*key, v.viewers.iter().map(|v| v.link).collect()))
            .collect();
        self.fanout
            .sync(now, links.iter().map(|(key, links)| (*key, links.as_slice())));
    }

    /// A new set of every vantage.
    pub(super) fn shoot(&mut self, now: ServerTime, tour_zero: ServerTime) {
        for (key, vantage) in &mut self.vantages {
            let set = SetId(self.next_set);
            self.next_set += 1;
            let frames = vantage.frames(set, now, tour_zero, self.keyframe_bytes);
            self.fanout.offer(now, key, &frames);
        }
    }

    /// What is to be sent now.
    pub(super) fn poll(&mut self, now: ServerTime) -> Vec<Outgoing<SessionKey, LinkId>> {
        self.fanout.due(now)
    }

    /// A frame arrived, or was given up.
    pub(super) fn finished(&mut self, now: ServerTime, link: LinkId, id: u64, delivered: bool) {
        self.fanout.finished(now, link, id, delivered);
    }

    pub(super) fn feedback(&mut self, now: ServerTime, link: LinkId, feedback: &Feedback) {
        self.fanout.feedback(now, link, feedback);
    }

    pub(super) fn remove(&mut self, link: LinkId) {
        self.fanout.remove(link);
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
