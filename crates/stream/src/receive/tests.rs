use super::*;
use proptest::prelude::*;
use protocol::TourTime;
use protocol::frame::{Codec, Eyes, Layer, Shape, Tag};

fn now(ms: i64) -> Now {
    Now {
        client: ClientTime(ms * 1000),
        server: Some(ServerTime(ms * 1000)),
    }
}

fn frame(lane: Lane, set: u32, group: u32, index: u16, keyframe: bool, depends_on: u32) -> Frame {
    let tag = Tag {
        set: SetId(set),
        vantage: VantageId(1),
        epoch: 1,
        point: glam::Vec3::ZERO,
        near: 0.1,
        half_tangent: 1.0,
        tour_time: TourTime(0),
        exposure: 1.0,
        ambient: [[0.0; 3]; 9],
        still_ms: [0; 6],
        eyes: Eyes::default(),
    };
    let header = Header {
        lane,
        layer: Layer::Base,
        shape: Shape::Panorama,
        keyframe,
        codec: if lane == Lane::Color {
            Codec::H264
        } else {
            Codec::Depth1
        },
        width: 1536,
        height: 1024,
        group,
        index,
        depends_on: SetId(depends_on),
        rendered_at: ServerTime(i64::from(set) * 25_000),
        tag,
    };
    Frame {
        header,
        payload: Bytes::from(vec![0; if keyframe { 2000 } else { 200 }]),
    }
}

/// Groups of ten sets, 25 ms apart; the depth keyframe comes with each twentieth set, changes with every second one.
fn set_frames(set: u32) -> Vec<Frame> {
    let depth = set - set % 2;
    let index = u16::try_from(set % 10).unwrap();
    let mut frames = vec![frame(Lane::Color, set, set / 10, index, set.is_multiple_of(10), depth)];
    if set == depth {
        frames.push(frame(Lane::Depth, set, 0, 0, set.is_multiple_of(20), set - set % 20));
    }
    frames
}

#[derive(Debug, Default)]
struct Outcome {
    decoded: Vec<(u32, u16, u32)>,
    complete: Vec<u32>,
    dropped: Vec<u32>,
    feedback: Vec<Feedback>,
    most_bytes: usize,
}

/// Delivers frames at their times (ms), decoding at once, with timers, and checks what must always hold.
fn deliver(receiver: &mut Receiver, mut arrivals: Vec<(i64, Frame)>) -> Outcome {
    arrivals.sort_by_key(|a| a.0);
    let end = arrivals.last().map_or(0, |a| a.0) + 600;
    let mut arrivals = arrivals.into_iter().peekable();
    let mut out = Outcome::default();
    for t in 0..end {
        if receiver.poll_timeout().is_some_and(|at| at <= now(t).client) {
            receiver.on_timeout(now(t));
        }
        while arrivals.peek().is_some_and(|a| a.0 <= t) {
            receiver.on_frame(now(t), arrivals.next().unwrap().1);
            drain(receiver, t, &mut out);
        }
        drain(receiver, t, &mut out);
        out.feedback.extend(receiver.poll_feedback(now(t)));
        out.most_bytes = out.most_bytes.max(receiver.bytes_held());
    }
    out
}

fn drain(receiver: &mut Receiver, t: i64, out: &mut Outcome) {
    while let Some(frame) = receiver.poll_decode() {
        let h = frame.header;
        if let Some(&(group, index, _)) = out.decoded.last() {
            let continues = (h.group, h.index) == (group, index + 1);
            assert!(
                continues || (h.keyframe && h.group > group),
                "{group}.{index} then {}.{}",
                h.group,
                h.index
            );
        } else {
            assert!(h.keyframe, "the first frame is a keyframe");
        }
        out.decoded.push((h.group, h.index, h.tag.set.0));
        receiver.on_decoded(now(t), h.tag.set);
    }
    while let Some(event) = receiver.poll_event() {
        match event {
            Event::Complete(c) => {
                let depth = c.depth.as_ref().unwrap();
                assert_eq!(depth.header.tag.set, c.color.depends_on);
                let base = c.depth_keyframe.as_ref().unwrap_or(depth);
                assert!(base.header.keyframe);
                assert_eq!(base.header.tag.set, depth.header.depends_on);
                out.complete.push(c.color.tag.set.0);
            }
            Event::Dropped { set, .. } => out.dropped.push(set.0),
        }
    }
}

#[test]
fn everything_completes_on_a_perfect_path() {
    let mut receiver = Receiver::new(Limits::default());
    let arrivals = (0..100).flat_map(|s| set_frames(s).into_iter().map(move |f| (i64::from(s) * 25 + 40, f)));
    let out = deliver(&mut receiver, arrivals.collect());
    assert_eq!(out.complete, (0..100).collect::<Vec<_>>());
    let counters = receiver.counters();
    assert_eq!(
        (counters.complete, counters.missed, counters.expired, counters.repeated),
        (100, 0, 0, 0)
    );
    let report = out.feedback[3];
    assert_eq!(
        (report.interval_ms, report.complete, report.missed, report.delay_ms),
        (500, 20, 0, 40)
    );
    let reported: u32 = out.feedback.iter().map(|f| f.bytes).sum();
    assert_eq!(u64::from(reported), counters.bytes);
    assert_eq!(out.feedback.last().unwrap().last_set, SetId(99));
    assert!(out.most_bytes < 20_000, "old depth is forgotten: {}", out.most_bytes);
}

#[test]
fn a_gap_is_given_up_after_250_ms_and_the_next_group_goes_on() {
    let mut receiver = Receiver::new(Limits::default());
    for set in 0..8 {
        for f in set_frames(set)
            .into_iter()
            .filter(|f| f.header.index != 3 || f.header.lane == Lane::Depth)
        {
            receiver.on_frame(now(0), f);
        }
    }
    let mut out = Outcome::default();
    drain(&mut receiver, 0, &mut out);
    assert_eq!(out.complete, [0, 1, 2]);
    assert_eq!(receiver.poll_timeout(), Some(ClientTime(250_000)));
    receiver.on_timeout(now(249));
    assert_eq!(receiver.counters().missed, 0, "not yet");
    receiver.on_timeout(now(250));
    assert_eq!(receiver.counters().missed, 5, "set 3 and the four that stand on it");
    assert_eq!(receiver.poll_timeout(), None);
    for set in [3, 8, 10, 11] {
        set_frames(set).into_iter().for_each(|f| receiver.on_frame(now(300), f));
    }
    drain(&mut receiver, 300, &mut out);
    assert_eq!(out.complete, [0, 1, 2, 10, 11]);
    assert_eq!(receiver.counters().expired, 2, "colour 3 and 8 came too late");
}

#[test]
fn a_group_that_was_given_up_can_be_sent_again() {
    let mut receiver = Receiver::new(Limits::default());
    let group = || (0..8).flat_map(set_frames).collect::<Vec<_>>();
    for f in group() {
        if f.header.index != 3 || f.header.lane == Lane::Depth {
            receiver.on_frame(now(0), f);
        }
    }
    let mut out = Outcome::default();
    drain(&mut receiver, 0, &mut out);
    receiver.on_timeout(now(250));
    // In a still scene no later group comes; the keyframe is the largest and so arrives last.
    group().into_iter().rev().for_each(|f| receiver.on_frame(now(400), f));
    let mut again = Outcome::default();
    drain(&mut receiver, 400, &mut again);
    assert_eq!(again.decoded.len(), 8);
    assert_eq!(again.complete, [3, 4, 5, 6, 7]);
    assert_eq!(again.dropped, [0, 1, 2], "they were complete before");
}

#[test]
fn a_frame_that_is_only_late_is_waited_for() {
    let mut receiver = Receiver::new(Limits::default());
    let arrivals = (0..10).flat_map(|s| {
        set_frames(s)
            .into_iter()
            .map(move |f| (if s == 3 { 240 } else { i64::from(s) }, f))
    });
    let out = deliver(&mut receiver, arrivals.collect());
    assert_eq!(out.complete.len(), 10);
    assert_eq!(receiver.counters().missed, 0);
}

#[test]
fn a_failed_decode_waits_for_the_next_keyframe() {
    let mut receiver = Receiver::new(Limits::default());
    (0..5).flat_map(set_frames).for_each(|f| receiver.on_frame(now(0), f));
    for set in 0..3 {
        assert_eq!(receiver.poll_decode().unwrap().header.tag.set, SetId(set));
    }
    receiver.on_decoded(now(1), SetId(0));
    receiver.on_decode_failed(now(1), SetId(1));
    assert_eq!(receiver.poll_decode(), None);
    (10..12).flat_map(set_frames).for_each(|f| receiver.on_frame(now(2), f));
    assert_eq!(receiver.poll_decode().unwrap().header.tag.set, SetId(10));
    receiver.on_decoded(now(3), SetId(10));
    receiver.on_decoded(now(3), SetId(77));
    let mut out = Outcome {
        decoded: vec![(1, 0, 10)],
        ..Outcome::default()
    };
    drain(&mut receiver, 3, &mut out);
    assert_eq!(out.complete, [0, 10, 11]);
}

#[test]
fn pictures_wait_for_their_depth_but_not_too_many() {
    let mut receiver = Receiver::new(Limits::default());
    let (depths, colors): (Vec<_>, Vec<_>) = (0..20).flat_map(set_frames).partition(|f| f.header.lane == Lane::Depth);
    let mut out = Outcome::default();
    for f in colors {
        receiver.on_frame(now(0), f);
        drain(&mut receiver, 0, &mut out);
    }
    assert_eq!((out.complete.len(), out.dropped.len()), (0, 12));
    for f in depths.into_iter().rev() {
        receiver.on_frame(now(1), f);
        drain(&mut receiver, 1, &mut out);
    }
    assert_eq!(
        out.complete,
        (12..20).collect::<Vec<_>>(),
        "the keyframe came last and completed them all"
    );
}

#[test]
fn streams_and_bytes_are_bounded() {
    let limits = Limits {
        streams: 4,
        bytes: 10_000,
        ..Limits::default()
    };
    let mut receiver = Receiver::new(limits);
    for i in 0..2_000_u32 {
        let mut f = frame(Lane::Color, i, i / 100, u16::try_from(i % 100).unwrap() + 1, false, i);
        f.header.tag.epoch = u16::try_from(i % 8).unwrap();
        receiver.on_frame(now(i.into()), f.clone());
        f.header.lane = Lane::Depth;
        receiver.on_frame(now(i.into()), f);
        assert!(receiver.bytes_held() <= 4 * 2 * 10_000);
        assert!(receiver.streams().count() <= 4);
    }
    receiver.retain(|_| false);
    assert_eq!(receiver.bytes_held(), 0);
}

proptest! {
    #[test]
    fn loss_and_disorder_never_break_the_order(
        fate in prop::collection::vec((0_u8..100, 0_i64..60), 400), loss in 0_u8..30, repeats in 0_u8..10,
    ) {
        let mut receiver = Receiver::new(Limits::default());
        let mut fates = fate.into_iter().cycle();
        let mut arrivals = Vec::new();
        for set in 0..200_u32 {
            for f in set_frames(set) {
                let (luck, jitter) = fates.next().unwrap();
                // The last group arrives whole: whatever happened before, it must be shown.
                if luck >= loss || set >= 180 {
                    arrivals.push((i64::from(set) * 25 + jitter, f.clone()));
                }
                if luck >= 100 - repeats {
                    arrivals.push((i64::from(set) * 25 + 2 * jitter, f));
                }
            }
        }
        let out = deliver(&mut receiver, arrivals);
        prop_assert!(out.complete.is_sorted());
        prop_assert_eq!(out.complete.last(), Some(&199));
        let c = receiver.counters();
        prop_assert_eq!(c.complete, out.complete.len() as u64);
        prop_assert!(c.complete + c.missed <= 200, "no set is counted twice: {:?}", c);
        prop_assert!(out.most_bytes < 60_000, "{}", out.most_bytes);
        let reported: u64 = out.feedback.iter().map(|f| u64::from(f.complete)).sum();
        prop_assert_eq!(reported, c.complete);
        if loss == 0 {
            // Only a set whose group was overtaken by the next keyframe can be lost.
            prop_assert!(c.complete >= 150, "{:?}", c);
        }
    }
}

#[test]
fn a_set_that_two_heartbeats_name_in_vain_counts_as_missed() {
    let stream = StreamId {
        epoch: 1,
        vantage: VantageId(1),
        layer: Layer::Base,
    };
    let mut receiver = Receiver::new(Limits::default());
    let arrivals = (0..5).flat_map(set_frames).map(|f| (0, f)).collect();
    deliver(&mut receiver, arrivals);
    assert_eq!(receiver.newest_complete(stream), Some(SetId(4)));
    for ms in [1_000, 2_000, 3_000] {
        receiver.on_still(now(ms), stream, SetId(4));
        assert_eq!(receiver.current_at(stream), Some(now(ms).client));
    }
    assert_eq!(receiver.counters().missed, 0);
    receiver.on_still(now(4_000), stream, SetId(5));
    receiver.poll_feedback(now(4_500));
    assert_eq!(receiver.counters().missed, 0, "it may be on its way");
    receiver.on_still(now(5_000), stream, SetId(5));
    let report = receiver.poll_feedback(now(5_250)).unwrap();
    assert_eq!((report.missed, report.complete), (1, 0));
    assert_eq!(receiver.alive_at(stream), Some(now(5_000).client));
    assert_eq!(receiver.current_at(stream), Some(now(3_000).client));
    receiver.on_still(now(6_000), stream, SetId(5));
    receiver.on_still(now(7_000), stream, SetId(5));
    assert_eq!(receiver.counters().missed, 2, "asked for until it is here");
    // The group once more, and with it the set.
    for frame in (0..6).flat_map(set_frames) {
        receiver.on_frame(now(7_500), frame);
    }
    let decoded = receiver.poll_decode().unwrap().header.tag.set;
    assert_eq!((decoded, receiver.poll_decode()), (SetId(5), None));
    receiver.on_decoded(now(7_500), decoded);
    assert_eq!(receiver.newest_complete(stream), Some(SetId(5)));
    receiver.on_still(now(8_000), stream, SetId(5));
    receiver.on_still(now(9_000), stream, SetId(5));
    assert_eq!(receiver.counters().missed, 2);
}

#[test]
fn reports_come_twice_as_often_while_something_is_wrong() {
    let mut receiver = Receiver::new(Limits::default());
    let arrivals = (0..10).flat_map(set_frames).map(|f| (0, f)).collect();
    let due = |receiver: &Receiver| receiver.next_feedback().unwrap().0 / 1000;
    deliver(&mut receiver, arrivals);
    let report = receiver.poll_feedback(now(1_000)).unwrap();
    assert_eq!((report.missed, due(&receiver)), (0, 1_500), "all is well");
    assert_eq!(receiver.poll_feedback(now(1_499)), None);
    // With a ping it goes earlier, but not at once again.
    assert_eq!(receiver.poll_feedback_along(now(1_249)), None);
    assert!(receiver.poll_feedback_along(now(1_250)).is_some());
    assert_eq!(due(&receiver), 1_750);
    // Three frames that the decoder has not taken yet.
    for frame in (10..13).flat_map(set_frames) {
        receiver.on_frame(now(1_300), frame);
    }
    assert_eq!(due(&receiver), 1_500);
    assert_eq!(receiver.poll_feedback(now(1_500)).unwrap().decode_queue, 3);
    while let Some(frame) = receiver.poll_decode() {
        receiver.on_decoded(now(1_600), frame.header.tag.set);
    }
    assert_eq!(due(&receiver), 1_750, "they took 1.3 s");
    receiver.poll_feedback(now(1_750)).unwrap();
    // A group that is overtaken.
    for set in [13, 15, 20] {
        for frame in set_frames(set) {
            receiver.on_frame(now(1_800), frame);
        }
    }
    while let Some(frame) = receiver.poll_decode() {
        receiver.on_decoded(now(1_800), frame.header.tag.set);
    }
    assert_eq!(due(&receiver), 2_000);
    assert!(receiver.poll_feedback(now(2_000)).unwrap().missed > 0);
    assert_eq!(due(&receiver), 2_500);
}

#[test]
fn who_has_received_nothing_at_all_reports_it() {
    let stream = StreamId {
        epoch: 1,
        vantage: VantageId(1),
        layer: Layer::Base,
    };
    let mut receiver = Receiver::new(Limits::default());
    assert_eq!(receiver.next_feedback(), None);
    receiver.on_still(now(0), stream, SetId(9));
    receiver.on_still(now(1_000), stream, SetId(9));
    assert_eq!(receiver.poll_feedback(now(1_100)).unwrap().missed, 1);
    // What the decoder has is not lost.
    receiver.on_frame(now(1_200), frame(Lane::Color, 9, 0, 0, true, 9));
    let frame = receiver.poll_decode().unwrap();
    for ms in [2_000, 3_000, 4_000, 5_000] {
        receiver.on_still(now(ms), stream, SetId(9));
    }
    assert_eq!(receiver.counters().missed, 1);
    // Decoded, but its depth never came.
    receiver.on_decoded(now(5_100), frame.header.tag.set);
    receiver.on_still(now(6_000), stream, SetId(9));
    receiver.on_still(now(7_000), stream, SetId(9));
    assert_eq!(receiver.counters().missed, 2);
}

/// A picture of a layer other than the base.
fn layer_frame(layer: Layer, set: u32, index: u16) -> Frame {
    let mut f = frame(Lane::Color, set, 1, index, index == 0, 0);
    f.header.layer = layer;
    f
}

fn completed(receiver: &mut Receiver, t: i64) -> Vec<(Layer, u32, bool)> {
    while let Some(frame) = receiver.poll_decode() {
        receiver.on_decoded(now(t), frame.header.tag.set);
    }
    std::iter::from_fn(|| receiver.poll_event())
        .filter_map(|event| match event {
            Event::Complete(c) => Some((c.stream.layer, c.color.tag.set.0, c.depth.is_some())),
            Event::Dropped { .. } => None,
        })
        .collect()
}

#[test]
fn faces_and_flat_pictures_are_complete_without_depth_and_the_others_are_not() {
    let mut receiver = Receiver::new(Limits::default());
    let faces = [Layer::Face(0), Layer::Face(5)];
    for (i, layer) in faces.into_iter().enumerate() {
        receiver.on_frame(now(0), layer_frame(layer, 10 + u32::try_from(i).unwrap(), 0));
    }
    assert_eq!(
        completed(&mut receiver, 0),
        [(faces[0], 10, false), (faces[1], 11, false)]
    );
    let mut flat = layer_frame(Layer::Base, 12, 0);
    flat.header.shape = Shape::Flat;
    flat.header.tag.vantage = VantageId(2);
    receiver.on_frame(now(0), flat);
    assert_eq!(completed(&mut receiver, 0), [(Layer::Base, 12, false)]);
    // Base and behind wait, each for depth of its own.
    for (layer, set) in [(Layer::Base, 20), (Layer::Behind, 21)] {
        let mut color = layer_frame(layer, set, 0);
        color.header.depends_on = SetId(set);
        receiver.on_frame(now(0), color);
    }
    assert_eq!(completed(&mut receiver, 0), []);
    for (layer, set) in [(Layer::Behind, 20), (Layer::Behind, 21), (Layer::Base, 20)] {
        let mut depth = frame(Lane::Depth, set, 0, 0, true, set);
        depth.header.layer = layer;
        receiver.on_frame(now(10), depth);
    }
    assert_eq!(
        completed(&mut receiver, 10),
        [(Layer::Behind, 21, true), (Layer::Base, 20, true)]
    );
    let streams: Vec<StreamId> = receiver.streams().collect();
    assert_eq!(streams.len(), 5);
    assert!(streams.iter().all(|s| s.base().layer == Layer::Base));
    assert_eq!(receiver.newest_complete(streams[0].base()), Some(SetId(20)));
}

#[test]
fn a_layer_that_breaks_does_not_hold_up_the_others() {
    let mut receiver = Receiver::new(Limits::default());
    let face = Layer::Face(3);
    receiver.on_frame(now(0), layer_frame(face, 1, 0));
    receiver.on_frame(now(0), layer_frame(face, 3, 2));
    for f in set_frames(0).into_iter().chain(set_frames(1)) {
        let mut f = f;
        f.header.tag.set = SetId(f.header.tag.set.0 + 100);
        f.header.depends_on = SetId(f.header.depends_on.0 + 100);
        receiver.on_frame(now(0), f);
    }
    let done = completed(&mut receiver, 0);
    assert_eq!(
        done,
        [(Layer::Base, 100, true), (Layer::Base, 101, true), (face, 1, false)]
    );
    assert_eq!(receiver.poll_timeout(), Some(now(250).client));
    receiver.on_timeout(now(250));
    assert_eq!(completed(&mut receiver, 250), []);
    let mut again = layer_frame(face, 9, 0);
    again.header.group = 2;
    receiver.on_frame(now(300), again);
    assert_eq!(completed(&mut receiver, 300), [(face, 9, false)]);
    // That a face starves is no news of the path: the base has all it needs.
    let counters = receiver.counters();
    assert_eq!((counters.complete, counters.missed), (2, 0));
    assert_eq!((counters.complete_beside, counters.missed_beside), (2, 2));
    let report = receiver.poll_feedback(now(600)).unwrap();
    assert_eq!((report.complete, report.missed, report.last_set), (2, 0, SetId(101)));
    // One that does not come at all in a still scene is asked for.
    let stream = StreamId::of(&layer_frame(face, 20, 0).header);
    receiver.on_still(now(1_000), stream, SetId(20));
    receiver.on_still(now(2_000), stream, SetId(20));
    assert_eq!(receiver.poll_feedback(now(2_500)).unwrap().missed, 1);
}

#[test]
fn faces_give_way_first_and_never_push_out_a_base() {
    let limits = Limits {
        streams: 3,
        ..Limits::default()
    };
    let mut receiver = Receiver::new(limits);
    let held = |receiver: &Receiver| receiver.streams().map(|s| s.layer).collect::<Vec<_>>();
    let arrivals = [Layer::Face(1), Layer::Face(2), Layer::Base, Layer::Behind];
    for (ms, layer) in (0..).zip(arrivals) {
        receiver.on_frame(now(ms), layer_frame(layer, 1, 0));
    }
    assert_eq!(
        held(&receiver),
        [Layer::Base, Layer::Behind, Layer::Face(2)],
        "the older face went"
    );
    let mut other = layer_frame(Layer::Base, 2, 0);
    other.header.tag.epoch = 2;
    receiver.on_frame(now(10), other.clone());
    other.header.tag.epoch = 3;
    receiver.on_frame(now(11), other);
    assert_eq!(held(&receiver), [Layer::Base; 3]);
    receiver.on_frame(now(12), layer_frame(Layer::Face(0), 3, 0));
    receiver.on_still(
        now(12),
        StreamId {
            epoch: 1,
            vantage: VantageId(1),
            layer: Layer::Behind,
        },
        SetId(3),
    );
    assert_eq!(held(&receiver), [Layer::Base; 3]);
    assert_eq!(receiver.counters().expired, 1);
}

#[test]
fn all_streams_together_are_bounded() {
    let limits = Limits {
        total_bytes: 5_000,
        ..Limits::default()
    };
    let mut receiver = Receiver::new(limits);
    for (ms, layer) in (0..).zip(Layer::all().chain(Layer::all())) {
        // Nothing is taken from them: a hostile server, or a decoder that stands.
        receiver.on_frame(now(ms), layer_frame(layer, 1, u16::try_from(ms).unwrap()));
        receiver.on_frame(now(ms), layer_frame(layer, 2, u16::try_from(ms).unwrap() + 1));
        assert!(receiver.bytes_held() <= 5_000, "{}", receiver.bytes_held());
        assert!(receiver.streams().any(|s| s.layer == Layer::Base), "the base stays");
    }
}
