use glam::Vec3;
use tongyou_protocol::SetId;
use tongyou_protocol::TourTime;
use tongyou_protocol::frame::{Codec, Eyes, Header, Lane, Shape, Tag};

use super::*;

type Out = Fanout<u8, u32>;

fn key(session: u8, vantage: u16) -> Key<u8> {
    Key {
        session,
        vantage: VantageId(vantage),
        layer: Layer::Base,
    }
}

fn frame(key: &Key<u8>, lane: Lane, set: u32) -> Arc<EncodedFrame> {
    let header = Header {
        lane,
        layer: key.layer,
        shape: Shape::Panorama,
        keyframe: true,
        codec: if lane == Lane::Color {
            Codec::H264
        } else {
            Codec::Depth1
        },
        width: 64,
        height: 64,
        group: set,
        index: 0,
        depends_on: SetId(set),
        rendered_at: ServerTime(0),
        tag: Tag {
            set: SetId(set),
            vantage: key.vantage,
            epoch: 3,
            point: Vec3::ZERO,
            near: 0.2,
            half_tangent: 1.0,
            tour_time: TourTime(0),
            exposure: 1.0,
            ambient: [[0.0; 3]; 9],
            still_ms: [0; 6],
            eyes: Eyes::default(),
        },
    };
    Arc::new(EncodedFrame::new(header, Bytes::from_static(b"pixels")))
}

fn set(key: &Key<u8>, number: u32) -> [Arc<EncodedFrame>; 2] {
    [frame(key, Lane::Depth, number), frame(key, Lane::Color, number)]
}

fn at(ms: i64) -> ServerTime {
    ServerTime(ms * 1000)
}

fn fanout() -> Out {
    Fanout::new(send::Config::default())
}

/// Who is to be sent how many frames.
fn counts(due: &[Outgoing<u8, u32>]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for out in due {
        *counts.entry(out.link).or_default() += 1;
    }
    counts
}

#[test]
fn all_who_look_get_the_same_bytes_and_a_joiner_the_cached_group() {
    let mut fanout = fanout();
    let (here, there) = (key(1, 1), key(1, 2));
    fanout.sync(at(0), [(here, &[1, 2][..]), (there, &[3][..])]);
    assert!(fanout.due(at(0)).is_empty());
    fanout.offer(at(10), &here, &set(&here, 1));
    let due = fanout.due(at(10));
    assert_eq!(counts(&due), BTreeMap::from([(1, 2), (2, 2)]));
    let color = |link| due.iter().filter(move |o| o.link == link).map(|o| o.chunks[1].as_ptr());
    assert!(color(1).eq(color(2)), "one allocation for all");
    let ids: BTreeSet<u64> = due.iter().map(|o| o.id).collect();
    assert_eq!(ids.len(), due.len());
    assert!(fanout.due(at(10)).is_empty(), "once");
    // One more, and one who goes.
    fanout.sync(at(20), [(here, &[2, 4][..]), (there, &[3][..])]);
    assert_eq!(counts(&fanout.due(at(20))), BTreeMap::from([(4, 2)]));
    fanout.offer(at(30), &here, &set(&here, 2));
    assert_eq!(counts(&fanout.due(at(30))), BTreeMap::from([(2, 2), (4, 2)]));
    assert!(fanout.is_complete(&here) && !fanout.is_complete(&there));
    // A layer that nobody wants any more is forgotten; frames of it are nobody's.
    fanout.sync(at(40), [(there, &[3][..])]);
    fanout.offer(at(50), &here, &set(&here, 3));
    assert!(fanout.due(at(50)).is_empty() && !fanout.is_complete(&here));
    assert_eq!(fanout.quality(at(50)).keys().copied().collect::<Vec<_>>(), [there]);
}

#[test]
fn a_lost_link_is_forgotten_and_may_come_back_under_its_number() {
    let mut fanout = fanout();
    let here = key(1, 1);
    fanout.sync(at(0), [(here, &[1, 2][..])]);
    fanout.offer(at(0), &here, &set(&here, 1));
    let due = fanout.due(at(0));
    fanout.remove(2);
    for out in &due {
        fanout.finished(at(5), out.link, out.id, true);
        // Twice says nothing new.
        fanout.finished(at(6), out.link, out.id, false);
    }
    assert!(fanout.due(at(200)).is_empty());
    fanout.sync(at(300), [(here, &[1, 2][..])]);
    assert_eq!(counts(&fanout.due(at(300))), BTreeMap::from([(2, 2)]));
}

#[test]
fn what_is_lost_of_a_still_scene_comes_again() {
    let mut fanout = fanout();
    let here = key(1, 1);
    fanout.sync(at(0), [(here, &[1][..])]);
    fanout.offer(at(0), &here, &set(&here, 1));
    for out in fanout.due(at(0)) {
        fanout.finished(at(300), out.link, out.id, false);
    }
    let mut again = Vec::new();
    for ms in 300..5_000 {
        again.extend(fanout.due(at(ms)));
    }
    assert_eq!(counts(&again), BTreeMap::from([(1, 2)]));
    assert!(fanout.take_stale().is_empty(), "the cache had it");
    // Nothing was ever drawn of another: it must be.
    let there = key(1, 2);
    fanout.sync(at(5_000), [(here, &[1][..]), (there, &[1][..])]);
    for ms in 5_000..7_000 {
        assert!(fanout.due(at(ms)).is_empty());
    }
    assert_eq!(fanout.take_stale(), BTreeSet::from([there]));
    assert!(fanout.take_stale().is_empty());
}

#[test]
fn a_layer_in_which_nothing_moves_says_so_once_a_second() {
    let mut fanout = fanout();
    let here = key(1, 1);
    fanout.sync(at(0), [(here, &[1, 2][..])]);
    // Without a picture there is nothing to say.
    assert!(fanout.heartbeats(at(1_500)).is_empty());
    fanout.offer(at(2_000), &here, &set(&here, 9));
    assert!(fanout.heartbeats(at(2_999)).is_empty());
    let mut said = Vec::new();
    for ms in 3_000..6_000 {
        said.extend(
            fanout
                .heartbeats(at(ms))
                .into_iter()
                .map(|(still, to)| (still.set, to.to_vec())),
        );
    }
    assert_eq!(said, vec![(SetId(9), vec![1, 2]); 3]);
    // A frame says as much as a heartbeat.
    fanout.offer(at(6_500), &here, &set(&here, 10));
    assert!(fanout.heartbeats(at(7_499)).is_empty());
    fanout.remove(2);
    let said = fanout.heartbeats(at(7_500));
    assert_eq!((said[0].0.set, said[0].1), (SetId(10), &[1][..]));
}

#[test]
fn a_new_vantage_begins_as_its_people_were_served_before() {
    let mut fanout = fanout();
    let (here, other) = (key(1, 1), key(2, 1));
    fanout.sync(at(0), [(here, &[1][..]), (other, &[2][..])]);
    let start = fanout.quality(at(0))[&here];
    for ms in (0..8_000).step_by(250) {
        let late = Feedback {
            last_set: SetId(1),
            interval_ms: 250,
            complete: 1,
            missed: 4,
            decode_queue: 0,
            delay_ms: 400,
            bytes: 10_000,
        };
        fanout.feedback(at(ms), 1, &late);
        fanout.quality(at(ms));
    }
    let low = fanout.quality(at(8_000))[&here];
    assert!(low.bitrate_bps < start.bitrate_bps / 2, "{low:?}");
    assert!(fanout.quality(at(8_000))[&other].bitrate_bps == start.bitrate_bps);
    let next = key(1, 7);
    fanout.sync(at(8_010), [(here, &[1][..]), (next, &[1][..]), (other, &[2][..])]);
    let begins = fanout.quality(at(8_010))[&next];
    assert_eq!(begins.bitrate_bps, low.bitrate_bps);
    assert!(fanout.estimate(&next, 1).unwrap().bitrate_bps < start.bitrate_bps / 2);
}

#[test]
fn what_the_base_needs_of_a_path_no_other_layer_takes() {
    let mut fanout = fanout();
    let base = key(1, 1);
    let [behind, face] = [Layer::Behind, Layer::Face(2)].map(|layer| Key { layer, ..base });
    let large = |key: &Key<u8>, set| {
        let header = frame(key, Lane::Color, set).header;
        [Arc::new(EncodedFrame::new(header, vec![0; 50_000].into()))]
    };
    let layers = |due: &[Outgoing<u8, u32>]| due.iter().map(|o| o.key.layer).collect::<Vec<_>>();
    fanout.sync(at(0), [base, behind, face].map(|key| (key, &[1][..])));
    fanout.offer(at(10), &face, &large(&face, 3));
    fanout.offer(at(10), &behind, &large(&behind, 2));
    fanout.offer(at(10), &base, &large(&base, 1));
    // 6 Mbit/s for 120 ms are 90 kB: the base leaves room for what is behind, the two together none for a face.
    let first = fanout.due(at(10));
    assert_eq!(layers(&first), [Layer::Base, Layer::Behind]);
    fanout.offer(at(20), &base, &large(&base, 4));
    assert_eq!(
        layers(&fanout.due(at(20))),
        [Layer::Base],
        "what is behind does not hold up the base"
    );
    for out in &first {
        fanout.finished(at(50), out.link, out.id, true);
    }
    assert_eq!(layers(&fanout.due(at(50))), [Layer::Face(2)]);
}
