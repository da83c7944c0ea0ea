//! All layers over one narrow path, from the fan-out to the receiver: faces never cost the base anything.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use glam::Vec3;
use tongyou_protocol::frame::{Codec, Eyes, Frame, Header, Lane, Layer, Shape, Tag};
use tongyou_protocol::{ClientTime, ServerTime, SetId, TourTime, VantageId, cube};
use tongyou_stream::fanout::{Fanout, Key, Outgoing};
use tongyou_stream::layers::{Layers, Looked};
use tongyou_stream::receive::{Event, Limits, Now, Receiver};
use tongyou_stream::send::EncodedFrame;
use tongyou_stream::{faces, send};

const LINK: u32 = 1;
const ONE_WAY_MS: i64 = 20;

fn at(ms: i64) -> ServerTime {
    ServerTime(ms * 1000)
}

/// A bottleneck that sends what has the highest priority, as QUIC does.
struct Path {
    bits_per_ms: i64,
    waiting: Vec<Waiting>,
    /// What arrives when, and whether whole.
    arriving: Vec<(i64, Outgoing<u8, u32>)>,
    /// What the sender hears when: the frame and whether it was delivered.
    answers: Vec<(i64, u64, bool)>,
}

struct Waiting {
    out: Outgoing<u8, u32>,
    bits: i64,
    until: i64,
}

impl Path {
    fn push(&mut self, ms: i64, out: Outgoing<u8, u32>) {
        let bytes: usize = out.chunks.iter().map(bytes::Bytes::len).sum();
        self.waiting.push(Waiting {
            bits: i64::try_from(bytes * 8).unwrap(),
            until: ms + i64::try_from(out.expires_in.as_millis()).unwrap(),
            out,
        });
    }

    fn step(&mut self, ms: i64) {
        let mut bits = self.bits_per_ms;
        while bits > 0
            && let Some(i) = (0..self.waiting.len()).max_by_key(|i| self.waiting[*i].out.priority)
        {
            let sent = bits.min(self.waiting[i].bits);
            bits -= sent;
            self.waiting[i].bits -= sent;
            if self.waiting[i].bits == 0 {
                let out = self.waiting.remove(i).out;
                self.answers.push((ms + 2 * ONE_WAY_MS, out.id, true));
                self.arriving.push((ms + ONE_WAY_MS, out));
            }
        }
        let (late, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|w| w.until <= ms);
        self.waiting = waiting;
        self.answers
            .extend(Vec::<Waiting>::into_iter(late).map(|w| (ms, w.out.id, false)));
    }
}

/// What a layer's encoder does: groups of a second, ten sets a second.
struct Camera {
    layer: Layer,
    group: u32,
    index: u16,
    keyframe_bytes: usize,
    depth: Option<SetId>,
}

impl Camera {
    fn shoot(&mut self, set: SetId, ms: i64) -> Vec<Arc<EncodedFrame>> {
        let keyframe = self.index == 0;
        let tag = Tag {
            set,
            vantage: VantageId(1),
            epoch: 1,
            point: Vec3::ZERO,
            near: 0.1,
            half_tangent: cube::HALF_TANGENT,
            tour_time: TourTime(ms * 1000),
            exposure: 1.0,
            ambient: [[0.0; 3]; 9],
            still_ms: [0; 6],
            eyes: Eyes::default(),
        };
        let header = |lane, keyframe, index, depends_on| Header {
            lane,
            layer: self.layer,
            shape: Shape::Panorama,
            keyframe,
            codec: if lane == Lane::Color {
                Codec::H264
            } else {
                Codec::Depth1
            },
            width: 512,
            height: 512,
            group: self.group,
            index,
            depends_on,
            rendered_at: at(ms),
            tag,
        };
        let encoded = |header, bytes: usize| Arc::new(EncodedFrame::new(header, vec![7; bytes].into()));
        let mut frames = Vec::new();
        let mut depends_on = set;
        if !matches!(self.layer, Layer::Face(_)) {
            let key = *self.depth.get_or_insert(set);
            let bytes = if key == set { 60_000 } else { 2_000 };
            frames.push(encoded(header(Lane::Depth, key == set, 0, key), bytes));
            depends_on = set;
        }
        let bytes = if keyframe {
            self.keyframe_bytes
        } else {
            self.keyframe_bytes / 4
        };
        frames.push(encoded(header(Lane::Color, keyframe, self.index, depends_on), bytes));
        self.index = (self.index + 1) % 10;
        self.group += u32::from(self.index == 0);
        frames
    }
}

#[derive(Debug)]
struct Outcome {
    base_sets: usize,
    /// Of sets of the base, sorted.
    ages_ms: Vec<u128>,
    face_sets: usize,
    /// What the server believes of the path at the end.
    estimate_bps: u32,
}

/// Twenty seconds in which everything moves, over so many bits a second; the wearer looks between two faces.
fn watch(path_bps: i64, with_faces: bool) -> Outcome {
    let mut fanout: Fanout<u8, u32> = Fanout::new(send::Config::default());
    let mut layers: Layers<u8, u32> = Layers::new(faces::Config::default());
    let mut receiver = Receiver::new(Limits::default());
    let mut path = Path {
        bits_per_ms: path_bps / 1000,
        waiting: Vec::new(),
        arriving: Vec::new(),
        answers: Vec::new(),
    };
    let mut cameras: BTreeMap<Layer, Camera> = BTreeMap::new();
    let looked = [Looked {
        session: 1,
        vantage: VantageId(1),
        behind: true,
        faces: with_faces,
        viewers: vec![(LINK, Some(Vec3::new(1.0, 0.0, -1.0).normalize()))],
    }];
    let mut outcome = Outcome {
        base_sets: 0,
        ages_ms: Vec::new(),
        face_sets: 0,
        estimate_bps: 0,
    };
    let base = Key {
        session: 1,
        vantage: VantageId(1),
        layer: Layer::Base,
    };
    let mut set = 0;
    for ms in 0..20_000_i64 {
        let now = Now {
            client: ClientTime(ms * 1000),
            server: Some(at(ms)),
        };
        if ms % 100 == 0 {
            let wanted = layers.wanted(&fanout, &looked);
            fanout.sync(at(ms), wanted.iter().map(|(key, links)| (*key, links.as_slice())));
            for (key, _) in wanted {
                let camera = cameras.entry(key.layer).or_insert_with(|| Camera {
                    layer: key.layer,
                    group: 1,
                    index: 0,
                    // 2 Mbit/s, 0.3 Mbit/s and 4 Mbit/s a face.
                    keyframe_bytes: match key.layer {
                        Layer::Base => 60_000,
                        Layer::Behind => 10_000,
                        Layer::Face(_) => 150_000,
                    },
                    depth: None,
                });
                set += 1;
                fanout.offer(at(ms), &key, &camera.shoot(SetId(set), ms));
            }
        }
        if ms % 14 == 0 {
            for out in fanout.due(at(ms)) {
                path.push(ms, out);
            }
        }
        path.step(ms);
        path.answers.retain(|(due, id, sent)| {
            if *due <= ms {
                fanout.finished(at(ms), LINK, *id, *sent);
            }
            *due > ms
        });
        path.arriving.retain(|(due, out)| {
            if *due <= ms {
                receiver.on_frame(now, Frame::from_bytes(&out.chunks.concat().into()).unwrap());
            }
            *due > ms
        });
        if receiver.poll_timeout().is_some_and(|due| due <= now.client) {
            receiver.on_timeout(now);
        }
        while let Some(frame) = receiver.poll_decode() {
            receiver.on_decoded(now, frame.header.tag.set);
        }
        while let Some(event) = receiver.poll_event() {
            let Event::Complete(complete) = event else { continue };
            match complete.stream.layer {
                Layer::Base => {
                    outcome.base_sets += 1;
                    outcome.ages_ms.push(complete.age.map_or(0, |age| age.as_millis()));
                }
                Layer::Behind => {}
                Layer::Face(_) => outcome.face_sets += 1,
            }
        }
        if let Some(report) = receiver.poll_feedback(now) {
            fanout.feedback(at(ms), LINK, &report);
        }
    }
    outcome.ages_ms.sort_unstable();
    outcome.estimate_bps = fanout.estimate(&base, LINK).unwrap().bitrate_bps;
    outcome
}

#[test]
fn faces_cost_the_base_nothing() {
    let p95 = |o: &Outcome| Duration::from_millis(u64::try_from(o.ages_ms[o.ages_ms.len() * 95 / 100]).unwrap());
    // Faces want 8 Mbit/s beside the base: too much, a little too much, and room for all.
    for path_bps in [4_000_000, 8_000_000, 20_000_000] {
        let alone = watch(path_bps, false);
        let beside = watch(path_bps, true);
        eprintln!(
            "{} Mbit/s: base {} sets, p95 {:?}, estimate {} kbit/s; with faces {}, {:?}, {}; faces {}",
            path_bps / 1_000_000,
            alone.base_sets,
            p95(&alone),
            alone.estimate_bps / 1000,
            beside.base_sets,
            p95(&beside),
            beside.estimate_bps / 1000,
            beside.face_sets
        );
        assert_eq!(alone.face_sets, 0);
        assert!(beside.base_sets * 100 >= alone.base_sets * 98, "{beside:?} {alone:?}");
        assert!(p95(&beside) <= p95(&alone) + Duration::from_millis(20), "{path_bps}");
        assert!(
            beside.estimate_bps * 10 >= alone.estimate_bps * 8,
            "{path_bps}: what the base may have"
        );
        // 200 sets of two faces are offered.
        let least = if path_bps > 12_000_000 { 380 } else { 10 };
        assert!(beside.face_sets >= least, "{path_bps}: {}", beside.face_sets);
    }
}
