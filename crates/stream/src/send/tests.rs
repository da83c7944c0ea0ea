//! What is sent to joiners, on paths that lose frames, and on paths that are too slow.

mod again;
mod layers;

use super::*;
use crate::adapt::{self, Controller};
use tongyou_protocol::frame::{Codec, Eyes, Frame, Layer, Shape, Tag};
use tongyou_protocol::{SetId, TourTime, VantageId};

use Lane::{Color, Depth};

fn at(ms: i64) -> ServerTime {
    ServerTime(ms * 1000)
}

fn frame(lane: Lane, set: u32, group: u32, index: u16, depends_on: u32, bytes: usize) -> Arc<EncodedFrame> {
    let header = Header {
        lane,
        layer: Layer::Base,
        shape: Shape::Panorama,
        keyframe: index == 0,
        codec: if lane == Color { Codec::H264 } else { Codec::Depth1 },
        width: 64,
        height: 64,
        group,
        index,
        depends_on: SetId(depends_on),
        rendered_at: ServerTime(0),
        tag: Tag {
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
        },
    };
    Arc::new(EncodedFrame::new(header, vec![0; bytes].into()))
}

/// Colour of a group whose depth never changes after set 0.
fn color(group: u32, index: u16, bytes: usize) -> Arc<EncodedFrame> {
    frame(Color, group * 1000 + u32::from(index), group, index, 0, bytes)
}

fn depth_key(set: u32) -> Arc<EncodedFrame> {
    frame(Depth, set, 0, 0, set, 5000)
}

fn depth(set: u32, key: u32) -> Arc<EncodedFrame> {
    frame(Depth, set, 0, 1, key, 500)
}

/// Lane and set of a frame as it is sent.
fn what(send: &Send) -> (Lane, u32) {
    let bytes: Vec<u8> = send.chunks.concat();
    let frame = Frame::from_bytes(&bytes.into()).unwrap();
    (frame.header.lane, frame.header.tag.set.0)
}

fn drain(sender: &mut Sender, now: ServerTime) -> Vec<Send> {
    std::iter::from_fn(|| sender.poll(now)).collect()
}

fn sets(sends: &[Send]) -> Vec<(Lane, u32)> {
    sends.iter().map(what).collect()
}

fn joined(cache: &GroupCache) -> (Sender, Vec<Send>) {
    let mut sender = Sender::new(Config::default());
    sender.subscribe(at(0), cache);
    let sends = drain(&mut sender, at(0));
    (sender, sends)
}

fn small_cache() -> GroupCache {
    let mut cache = GroupCache::default();
    for f in [depth_key(0), color(1, 0, 900), color(1, 1, 100), color(1, 2, 100)] {
        cache.push(f);
    }
    cache
}

#[test]
fn the_cache_holds_the_current_group_and_the_newest_depth() {
    let mut cache = small_cache();
    assert!(cache.is_complete());
    cache.push(depth(1001, 0));
    cache.push(depth(1002, 0));
    cache.push(depth(1003, 77));
    assert_eq!(
        sets(&joined(&cache).1),
        [(Depth, 0), (Depth, 1002), (Color, 1000), (Color, 1001), (Color, 1002)]
    );
    cache.push(color(2, 0, 900));
    assert_eq!(sets(&joined(&cache).1), [(Depth, 0), (Depth, 1002), (Color, 2000)]);
    cache.push(depth_key(2000));
    assert_eq!(sets(&joined(&cache).1), [(Depth, 2000), (Color, 2000)]);
    cache.push(color(2, 2, 900));
    assert!(!cache.is_complete(), "a hole in the group: nothing to decode");
}

#[test]
fn a_joiner_gets_the_cached_group_then_live_frames_once() {
    let cache = small_cache();
    let (mut sender, sends) = joined(&cache);
    assert_eq!(sends.len(), 4);
    assert_eq!(sends[0].expires_in, Duration::from_secs(5));
    assert!(sends[0].priority > sends[1].priority && sends[1].priority > sends[2].priority);
    // The newest frame was cached and is then offered as well.
    sender.offer(at(1), color(1, 2, 100));
    sender.offer(at(1), color(1, 3, 100));
    assert_eq!(sets(&drain(&mut sender, at(1))), [(Color, 1003)]);
    sender.subscribe(at(2), &cache);
    assert!(drain(&mut sender, at(2)).is_empty(), "it has all of that");
}

#[test]
fn who_joins_before_there_is_anything_waits_for_a_keyframe() {
    let (mut sender, sends) = joined(&GroupCache::default());
    assert!(sends.is_empty());
    sender.offer(at(1), color(1, 5, 100));
    assert!(drain(&mut sender, at(1)).is_empty());
    sender.offer(at(2), depth_key(2000));
    sender.offer(at(2), color(2, 0, 100));
    assert_eq!(sets(&drain(&mut sender, at(2))), [(Depth, 2000), (Color, 2000)]);
}

#[test]
fn nothing_follows_a_lost_frame_until_the_next_group() {
    let (mut sender, sends) = joined(&small_cache());
    sender.offer(at(10), color(1, 3, 100));
    sender.on_expired(sends[2].id, at(250));
    assert!(drain(&mut sender, at(250)).is_empty());
    sender.offer(at(260), color(1, 4, 100));
    assert!(drain(&mut sender, at(260)).is_empty());
    assert_eq!(sender.stats().broken_groups, 1);
    assert_eq!(sender.stats().dropped, 2);
    sender.offer(at(300), color(2, 0, 100));
    sender.offer(at(310), color(2, 1, 100));
    assert_eq!(sets(&drain(&mut sender, at(310))), [(Color, 2000), (Color, 2001)]);
    // What is lost of a group that is over does no harm.
    sender.on_expired(sends[3].id, at(320));
    sender.offer(at(320), color(2, 2, 100));
    assert_eq!(sets(&drain(&mut sender, at(320))), [(Color, 2002)]);
}

#[test]
fn a_hole_in_what_is_offered_ends_the_group() {
    let (mut sender, _) = joined(&small_cache());
    sender.offer(at(1), color(1, 5, 100));
    sender.offer(at(1), color(1, 6, 100));
    assert!(drain(&mut sender, at(1)).is_empty());
}

#[test]
fn in_a_still_scene_the_rest_of_the_group_comes_from_the_cache() {
    let cache = small_cache();
    let (mut sender, sends) = joined(&cache);
    sender.on_sent(sends[0].id, at(20));
    sender.on_sent(sends[1].id, at(20));
    sender.on_expired(sends[2].id, at(250));
    assert!(!sender.needs_group(at(251)));
    assert!(!sender.needs_group(at(1451)), "one frame is still on its way");
    sender.on_expired(sends[3].id, at(1452));
    assert!(sender.needs_group(at(1453)));
    sender.subscribe(at(1453), &cache);
    assert!(!sender.needs_group(at(1453)));
    assert_eq!(sets(&drain(&mut sender, at(1453))), [(Color, 1001), (Color, 1002)]);
}

#[test]
fn a_depth_keyframe_is_sent_until_it_is_there() {
    let (mut sender, sends) = joined(&small_cache());
    sender.on_expired(sends[0].id, at(5000));
    assert!(drain(&mut sender, at(5099)).is_empty());
    let again = drain(&mut sender, at(5100));
    assert_eq!(sets(&again), [(Depth, 0)]);
    sender.on_sent(again[0].id, at(5100));
    assert!(drain(&mut sender, at(5100)).is_empty());
    // One that was replaced is not sent again.
    sender.offer(at(5200), depth_key(1002));
    sender.offer(at(5300), depth_key(1003));
    let newest = drain(&mut sender, at(5300));
    assert_eq!(sets(&newest), [(Depth, 1003)]);
}

#[test]
fn the_newest_depth_survives_a_broken_group() {
    let (mut sender, sends) = joined(&small_cache());
    sender.on_expired(sends[1].id, at(250));
    sender.offer(at(260), depth(1003, 0));
    sender.offer(at(270), depth(1004, 0));
    assert!(drain(&mut sender, at(270)).is_empty(), "no picture goes with it yet");
    sender.offer(at(300), frame(Color, 2000, 2, 0, 1004, 100));
    assert_eq!(sets(&drain(&mut sender, at(300))), [(Depth, 1004), (Color, 2000)]);
    // Depth that was lost is sent again while it is the newest.
    let mut sender_two = joined(&small_cache()).0;
    sender_two.offer(at(1), depth(1003, 0));
    let sent = drain(&mut sender_two, at(1));
    assert_eq!(sets(&sent), [(Depth, 1003)]);
    sender_two.on_expired(sent[0].id, at(1001));
    assert_eq!(sets(&drain(&mut sender_two, at(1101))), [(Depth, 1003)]);
}

#[test]
fn a_link_that_is_down_does_not_keep_the_caller_busy() {
    let mut sender = Sender::new(Config::default());
    sender.subscribe(at(0), &small_cache());
    let mut polls = 0;
    while let Some(send) = sender.poll(at(0)) {
        sender.on_expired(send.id, at(0));
        polls += 1;
        assert!(polls < 10);
    }
}

#[test]
fn the_receiver_shows_most_of_what_a_lossy_path_lets_through() {
    use crate::receive::{self, Event, Receiver};
    use tongyou_protocol::ClientTime;
    use tongyou_protocol::frame::Frame;

    let mut random = crate::test_random::Random::new(11);
    let mut sender = Sender::new(Config::default());
    let mut receiver = Receiver::new(receive::Limits::default());
    let mut cache = GroupCache::default();
    // Arrival, or loss, of what is on its way.
    let mut flying: Vec<(i64, Send, bool)> = Vec::new();
    let (mut shown, mut last_shown, mut longest_ms) = (Vec::new(), 0, 0);
    const END: i64 = 30_000;
    for ms in 0..END {
        if ms % 50 == 0 {
            // Groups of twenty; the depth changes with each fifth set and starts anew with each hundredth.
            let set = u32::try_from(ms / 50).unwrap();
            let (key, newest) = (set - set % 100, set - set % 5);
            let mut frames = Vec::new();
            if set == newest {
                frames.push(if set == key { depth_key(set) } else { depth(set, key) });
            }
            let index = u16::try_from(set % 20).unwrap();
            frames.push(frame(Color, set, set / 20, index, newest, 3000));
            for f in frames {
                cache.push(Arc::clone(&f));
                // The headset comes in the middle of a group.
                if ms >= 1400 {
                    sender.offer(at(ms), f);
                }
            }
        }
        if ms == 1400 {
            sender.subscribe(at(ms), &cache);
        }
        while let Some(send) = sender.poll(at(ms)) {
            // One in fifty is lost in the end.
            let lost = random.unit() < 0.02;
            let takes = if lost { 250 } else { 20 };
            flying.push((ms + takes, send, lost));
        }
        let now = receive::Now {
            client: ClientTime(ms * 1000),
            server: Some(at(ms)),
        };
        for (_, send, lost) in flying.extract_if(.., |(due, ..)| *due <= ms) {
            if lost {
                sender.on_expired(send.id, at(ms));
            } else {
                sender.on_sent(send.id, at(ms));
                receiver.on_frame(now, Frame::from_bytes(&send.chunks.concat().into()).unwrap());
            }
        }
        if receiver.poll_timeout().is_some_and(|due| due <= now.client) {
            receiver.on_timeout(now);
        }
        while let Some(f) = receiver.poll_decode() {
            receiver.on_decoded(now, f.header.tag.set);
        }
        while let Some(event) = receiver.poll_event() {
            if let Event::Complete(complete) = event {
                shown.push(complete.color.tag.set.0);
                longest_ms = longest_ms.max(ms - last_shown);
                last_shown = ms;
            }
        }
        if let Some(feedback) = receiver.poll_feedback(now) {
            sender.on_feedback(at(ms), &feedback);
        }
    }
    assert!(shown.is_sorted() && shown.len() > 300, "{}", shown.len());
    assert!(longest_ms < 2500, "{longest_ms}");
    assert!(sender.stats().broken_groups > 3, "the path is lossy");
}

#[test]
fn a_full_path_drops_before_sending() {
    let (mut sender, sends) = joined(&small_cache());
    for s in &sends {
        sender.on_sent(s.id, at(5));
    }
    // 6 Mbit/s for 125 ms are 93,750 bytes.
    for i in 3..20 {
        sender.offer(at(10), color(1, i, 50_000));
    }
    let burst = drain(&mut sender, at(10));
    assert_eq!(burst.len(), 2);
    sender.on_sent(burst[0].id, at(100));
    assert_eq!(drain(&mut sender, at(100)).len(), 1);
    assert!(
        drain(&mut sender, at(300)).is_empty(),
        "what waited for too long is gone, with its group"
    );
    assert_eq!(sender.stats().broken_groups, 1);
    assert_eq!(sender.stats().expired, 0);
    // The keyframe waits for room, and the next one takes its place.
    sender.offer(at(400), color(2, 0, 90_000));
    sender.offer(at(450), color(2, 1, 100));
    assert!(drain(&mut sender, at(700)).is_empty());
    sender.offer(at(1400), color(3, 0, 90_000));
    for s in &burst[1..] {
        sender.on_sent(s.id, at(1450));
    }
    assert_eq!(sets(&drain(&mut sender, at(1450))), [(Color, 3000)]);
}

#[test]
fn keyframes_get_more_time_on_a_slow_path() {
    let (mut sender, sends) = joined(&small_cache());
    sender.on_expired(sends[1].id, at(250));
    let mut times = Vec::new();
    for group in 2..9 {
        let now = at(i64::from(group) * 1000);
        sender.offer(now, color(group, 0, 100));
        let sent = drain(&mut sender, now);
        times.push(sent[0].expires_in.as_millis());
        sender.on_expired(sent[0].id, now);
    }
    assert_eq!(times, [500, 1000, 2000, 4000, 4000, 4000, 4000]);
    for (group, expected) in [(20, 4000), (21, 250), (22, 250)] {
        let now = at(i64::from(group) * 1000);
        sender.offer(now, color(group, 0, 100));
        let sent = drain(&mut sender, now);
        assert_eq!(sent[0].expires_in.as_millis(), expected);
        sender.on_sent(sent[0].id, now);
    }
}

#[test]
fn another_vantage_of_the_headset_starts_with_what_is_known() {
    let (mut old, sends) = joined(&small_cache());
    old.on_expired(sends[1].id, at(250));
    let mut feedback = Feedback {
        last_set: SetId(0),
        interval_ms: 250,
        complete: 1,
        missed: 4,
        decode_queue: 0,
        delay_ms: 100,
        bytes: 1000,
    };
    for i in 1..20 {
        feedback.delay_ms += 10;
        old.on_feedback(at(i * 250), &feedback);
    }
    let mut new = Sender::new(Config::default());
    assert!(new.estimate().bitrate_bps > old.estimate().bitrate_bps);
    new.inherit(&old);
    assert_eq!(new.estimate(), old.estimate());
    new.subscribe(at(9000), &GroupCache::default());
    new.offer(at(9000), color(7, 0, 100));
    assert_eq!(drain(&mut new, at(9000))[0].expires_in.as_millis(), 500);
}

#[test]
fn what_is_not_known_is_ignored() {
    let (mut sender, _) = joined(&small_cache());
    sender.on_sent(FrameId(99), at(1));
    sender.on_expired(FrameId(99), at(1));
    assert_eq!(sender.stats().delivered, 0);
}

/// A link of a fixed rate with a queue, 20 ms long, and a headset at its end.
struct Path {
    rate_bps: f64,
    /// Id, frame, bytes left, deadline.
    queue: VecDeque<(FrameId, Arc<EncodedFrame>, f64, i64)>,
    expects: Option<(u32, u16)>,
    report: Feedback,
}

/// What a simulated minute came to.
#[derive(Debug, Default)]
struct Outcome {
    offered: u32,
    decodable: u32,
    worst_delay_ms: i64,
    longest_gap_ms: i64,
    final_bps: u32,
    expired: u64,
}

/// A vantage that follows its controller, to one subscriber over a path. The last half counts.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes of a simulated frame"
)]
fn simulate(rate_bps: f64, adaptive: bool) -> Outcome {
    let adapt = adapt::Config {
        start_bps: 20_000_000,
        ..adapt::Config::default()
    };
    let mut controller = Controller::new(adapt.clone());
    let mut sender = Sender::new(Config {
        adapt,
        ..Config::default()
    });
    let mut cache = GroupCache::default();
    cache.push(depth_key(0));
    sender.subscribe(at(0), &cache);
    let mut path = Path {
        rate_bps,
        queue: VecDeque::new(),
        expects: None,
        report: Feedback {
            last_set: SetId(0),
            interval_ms: 250,
            complete: 0,
            missed: 0,
            decode_queue: 0,
            delay_ms: 0,
            bytes: 0,
        },
    };
    let mut outcome = Outcome::default();
    let (mut set, mut group, mut index, mut next_set_ms, mut last_good) = (0, 0, 0_u16, 0.0, 0);
    let mut random = crate::test_random::Random::new(5);
    const END: i64 = 60_000;
    for ms in 0..END {
        let counts = ms >= END / 2;
        if ms as f64 >= next_set_ms {
            let quality = controller.quality();
            next_set_ms += 1000.0 / f64::from(quality.sets_per_s);
            set += 1;
            if index == 0 || f64::from(index) >= f64::from(quality.sets_per_s) {
                (group, index) = (group + 1, 0);
            }
            // A keyframe takes four times the bits of the others.
            let frames = f64::from(quality.sets_per_s).max(1.0);
            let share = if index == 0 { 4.0 } else { 1.0 } / (frames + 3.0);
            let bytes = f64::from(quality.bitrate_bps) / 8.0 * share * (0.8 + 0.4 * random.unit());
            let mut f = (*frame(Color, set, group, index, 0, bytes as usize)).clone();
            f.header.rendered_at = at(ms);
            let f = Arc::new(f);
            index += 1;
            cache.push(Arc::clone(&f));
            sender.offer(at(ms), f);
            outcome.offered += u32::from(counts);
        }
        while let Some(send) = sender.poll(at(ms)) {
            let f = Arc::clone(&sender.in_flight[&send.id.0].frame);
            let bytes = f.wire_bytes() as f64;
            path.queue.push_back((
                send.id,
                f,
                bytes,
                ms + i64::try_from(send.expires_in.as_millis()).unwrap(),
            ));
        }
        let mut room = path.rate_bps / 8.0 / 1000.0;
        while let Some((id, f, left, deadline)) = path.queue.front_mut() {
            if ms > *deadline {
                sender.on_expired(*id, at(ms));
                path.queue.pop_front();
                continue;
            }
            let part = left.min(room);
            *left -= part;
            room -= part;
            path.report.bytes += part as u32;
            if *left > 0.0 {
                break;
            }
            let header = f.header;
            sender.on_sent(*id, at(ms));
            path.queue.pop_front();
            let delay = ms + 20 - header.rendered_at.0 / 1000;
            if header.lane == Color {
                let place = (header.group, header.index);
                if header.index == 0 || path.expects == Some(place) {
                    path.expects = Some((header.group, header.index + 1));
                    path.report.complete += 1;
                    path.report.delay_ms = path.report.delay_ms.max(u16::try_from(delay).unwrap());
                    if counts {
                        outcome.decodable += 1;
                        outcome.worst_delay_ms = outcome.worst_delay_ms.max(delay);
                        outcome.longest_gap_ms = outcome.longest_gap_ms.max(ms - last_good);
                    }
                    last_good = ms;
                } else {
                    path.report.missed += 1;
                }
            }
        }
        if ms % 250 == 249 {
            sender.on_feedback(at(ms), &path.report);
            path.report = Feedback {
                complete: 0,
                missed: 0,
                delay_ms: 0,
                bytes: 0,
                ..path.report
            };
            if adaptive {
                controller.update(at(ms), [sender.estimate()]);
            }
            if sender.needs_group(at(ms)) {
                sender.subscribe(at(ms), &cache);
            }
        }
    }
    outcome.final_bps = controller.quality().bitrate_bps;
    outcome.expired = sender.stats().expired;
    outcome
}

#[test]
fn a_bottleneck_is_found_and_used_without_livelock() {
    let outcome = simulate(8_000_000.0, true);
    let share = f64::from(outcome.decodable) / f64::from(outcome.offered);
    assert!(share > 0.97, "{share}: {outcome:?}");
    assert!((4_000_000..8_000_000).contains(&outcome.final_bps), "{outcome:?}");
    assert!(outcome.worst_delay_ms < 300, "{outcome:?}");
    assert!(outcome.longest_gap_ms < 1000, "{outcome:?}");
}

#[test]
fn a_narrow_path_still_shows_pictures() {
    let outcome = simulate(1_200_000.0, true);
    let share = f64::from(outcome.decodable) / f64::from(outcome.offered);
    assert!(share > 0.8, "{share}: {outcome:?}");
    assert!(outcome.longest_gap_ms < 2500, "{outcome:?}");
}

#[test]
fn a_subscriber_that_is_left_behind_skips_but_goes_on() {
    // The others can bear 20 Mbit/s, this one 8: quality does not follow it.
    let outcome = simulate(8_000_000.0, false);
    let share = f64::from(outcome.decodable) / f64::from(outcome.offered);
    assert!(share > 0.2, "{share}: {outcome:?}");
    assert!(outcome.longest_gap_ms < 2500, "{outcome:?}");
}
