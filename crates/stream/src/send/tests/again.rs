//! What is sent again to who lacks something while nothing new comes.

use super::*;

fn feedback(missed: u16) -> Feedback {
    Feedback {
        last_set: SetId(0),
        interval_ms: 250,
        complete: 0,
        missed,
        decode_queue: 0,
        delay_ms: 0,
        bytes: 0,
    }
}

#[test]
fn a_headset_that_lacks_something_in_a_still_scene_gets_the_group_again() {
    let mut cache = small_cache();
    cache.push(depth(1002, 0));
    let still = cache.still().unwrap();
    assert_eq!((still.epoch, still.vantage, still.set), (1, VantageId(1), SetId(1002)));
    assert_eq!(GroupCache::default().still(), None);
    let (mut sender, sends) = joined(&cache);
    sends.iter().for_each(|s| sender.on_sent(s.id, at(20)));
    // While something is on its way a missed set is not the end of it.
    sender.on_feedback(at(250), &feedback(1));
    assert!(!sender.needs_group(at(250)));
    sender.on_feedback(at(1_500), &feedback(0));
    assert!(!sender.needs_group(at(1_500)), "nothing is lacking");
    sender.on_feedback(at(2_000), &feedback(1));
    assert!(sender.needs_group(at(2_000)));
    sender.subscribe(at(2_000), &cache);
    let again = drain(&mut sender, at(2_000));
    assert_eq!(
        sets(&again),
        [(Depth, 0), (Depth, 1002), (Color, 1000), (Color, 1001), (Color, 1002)]
    );
    assert!(!sender.needs_group(at(2_000)));
    again.iter().for_each(|s| sender.on_sent(s.id, at(2_020)));
    // Not more often than that, whatever is reported.
    sender.on_feedback(at(2_250), &feedback(9));
    assert!(!sender.needs_group(at(2_250)));
    sender.on_feedback(at(4_000), &feedback(1));
    assert!(sender.needs_group(at(4_000)));
    // What comes by itself is better.
    sender.offer(at(4_010), color(2, 0, 900));
    assert!(!sender.needs_group(at(4_020)));
}

#[test]
fn behind_a_gap_the_whole_group_is_sent_again() {
    let cache = small_cache();
    for gap in [false, true] {
        let (mut sender, sends) = joined(&cache);
        for send in &sends {
            match what(send) {
                (Color, 1001) => sender.on_expired(send.id, at(250)),
                // Without a gap the tail was lost.
                (Color, 1002) if !gap => sender.on_expired(send.id, at(250)),
                _ => sender.on_sent(send.id, at(20)),
            }
        }
        assert!(sender.needs_group(at(2_000)));
        sender.subscribe(at(2_000), &cache);
        let first = if gap { 1000 } else { 1001 };
        let again = sets(&drain(&mut sender, at(2_000)));
        assert_eq!(again, (first..=1002).map(|s| (Color, s)).collect::<Vec<_>>());
    }
}

/// Sender and receiver together: every 50 ms what is due is delivered, except what `lost` names, once; a report every
/// 250 ms, a heartbeat every second. When the newest set was complete.
fn heal(lost: &[(Lane, u32)], breaks_decoder: Option<u32>) -> Option<i64> {
    use crate::receive::{Limits, Now, Receiver, StreamId};
    let mut cache = small_cache();
    cache.push(depth(1002, 0));
    cache.push(frame(Color, 1003, 1, 3, 1002, 100));
    let still = cache.still().unwrap();
    let stream = StreamId {
        epoch: still.epoch,
        vantage: still.vantage,
        layer: still.layer,
    };
    let mut sender = Sender::new(Config::default());
    sender.subscribe(at(0), &cache);
    let mut receiver = Receiver::new(Limits::default());
    let (mut lost, mut breaks_decoder) = (lost.to_vec(), breaks_decoder);
    for ms in (0..15_000).step_by(50) {
        let now = Now {
            client: tongyou_protocol::ClientTime(ms * 1000),
            server: Some(at(ms)),
        };
        if sender.needs_group(at(ms)) {
            sender.subscribe(at(ms), &cache);
        }
        for send in drain(&mut sender, at(ms)) {
            // Acknowledged, and yet the headset has nothing of it.
            sender.on_sent(send.id, at(ms));
            if let Some(i) = lost.iter().position(|l| *l == what(&send)) {
                lost.remove(i);
                continue;
            }
            let bytes: Vec<u8> = send.chunks.concat();
            receiver.on_frame(now, Frame::from_bytes(&bytes.into()).unwrap());
        }
        if receiver.poll_timeout().is_some_and(|due| due <= now.client) {
            receiver.on_timeout(now);
        }
        while let Some(frame) = receiver.poll_decode() {
            let set = frame.header.tag.set;
            if breaks_decoder.take_if(|broken| *broken == set.0).is_some() {
                receiver.on_decode_failed(now, set);
            } else {
                receiver.on_decoded(now, set);
            }
        }
        if ms % 1000 == 950 {
            receiver.on_still(now, stream, still.set);
        }
        if let Some(report) = receiver.poll_feedback(now) {
            sender.on_feedback(at(ms), &report);
        }
        if receiver.newest_complete(stream) == Some(still.set) {
            return Some(ms);
        }
    }
    None
}

#[test]
fn whatever_of_a_still_scene_is_lost_comes_again_within_four_seconds() {
    assert_eq!(heal(&[], None), Some(0));
    let all = [
        (Depth, 0),
        (Depth, 1002),
        (Color, 1000),
        (Color, 1001),
        (Color, 1002),
        (Color, 1003),
    ];
    for set in 1000..=1003 {
        let ms = heal(&[], Some(set)).unwrap();
        assert!(ms <= 4_000, "set {set} broke the decoder: {ms} ms");
    }
    for first in 0..all.len() {
        for last in first..all.len() {
            let ms = heal(&all[first..=last], None).unwrap();
            assert!(ms <= 4_000, "without {:?}: {ms} ms", &all[first..=last]);
        }
    }
}
