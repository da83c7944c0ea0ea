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
