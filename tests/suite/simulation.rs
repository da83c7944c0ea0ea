//! Many headsets in virtual time: the whole line without sockets, threads, pictures or a real clock.

use std::time::Duration;

use tongyou_session::CloseCode;
use tongyou_tests::simulation::{Outcome, World, run};

use crate::togetherness::percentile;

/// Milliseconds between each headset's change of a stop and the middle of all, over all changes that everyone made.
#[expect(clippy::cast_precision_loss, reason = "differences of microseconds")]
fn skews_ms(outcome: &Outcome, everyone: usize) -> Vec<f64> {
    let complete = outcome.changes.values().filter(|c| c.len() == everyone);
    complete
        .flat_map(|changes| {
            let mut times: Vec<i64> = changes.values().map(|c| c.at_us).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            times.into_iter().map(move |t| (t - middle).abs() as f64 / 1e3)
        })
        .collect()
}

/// What must hold for everybody who is in at the end.
fn all_is_well(outcome: &Outcome, headsets: usize) {
    assert_eq!(outcome.seats.len(), headsets);
    let first = &outcome.seats[0];
    assert!(first.place.is_some());
    for (i, seat) in outcome.seats.iter().enumerate() {
        assert_eq!(seat.refused, None, "headset {i}");
        assert_eq!(seat.malformed, Vec::<String>::new(), "headset {i}");
        assert_eq!(seat.place, first.place, "headset {i} is elsewhere");
        assert_eq!(seat.roster, first.roster, "headset {i} knows others");
        assert_eq!(seat.roster.len(), headsets);
        assert!(seat.sets > 0, "headset {i} never had a picture");
        assert_eq!(seat.avatars, headsets - 1, "headset {i} does not see everyone");
        let off_us = seat.tour_time_off_us.expect("a clock");
        assert!(off_us.abs() < 20_000, "headset {i}: tour time is {off_us} µs off");
    }
}

#[test]
fn forty_headsets_are_together_in_virtual_time() {
    let world = World::default();
    let outcome = run(&world);
    all_is_well(&outcome, world.headsets);
    assert_eq!(outcome.closed, Vec::new(), "no link died");
    let mut skews = skews_ms(&outcome, world.headsets);
    let changes = skews.len() / world.headsets;
    let (p50, p99) = (percentile(&mut skews, 0.5), percentile(&mut skews, 0.99));
    let all = outcome.changes.values().flat_map(|c| c.values());
    let (total, ready) = all.fold((0, 0), |(n, r), c| (n + 1, r + u32::from(c.complete)));
    println!(
        "{{\"simulated_headsets\":{},\"changes\":{changes},\"skew_p50_ms\":{p50:.2},\"skew_p99_ms\":{p99:.2},\"complete_in_time\":{:.3},\"happenings\":{}}}",
        world.headsets,
        f64::from(ready) / f64::from(total),
        outcome.happenings
    );
    assert!(changes >= 15, "only {changes} changes reached everyone");
    assert!(p99 <= 20.0, "skew p99 {p99:.2} ms");
}

/// Without synchronised clocks a change is carried out when its word arrives: the same measure has to notice.
#[test]
fn without_clock_sync_the_simulation_is_not_together() {
    let world = World {
        headsets: 20,
        length: Duration::from_secs(40),
        synced: false,
        ..World::default()
    };
    let outcome = run(&world);
    let mut skews = skews_ms(&outcome, world.headsets);
    let p99 = percentile(&mut skews, 0.99);
    println!("{{\"simulated_skew_without_sync_p99_ms\":{p99:.2}}}");
    assert!(p99 > 20.0, "the measure does not notice missing clocks: {p99:.2} ms");
}

#[test]
fn the_same_seed_is_the_same_tour() {
    let world = |seed| World {
        headsets: 12,
        length: Duration::from_secs(20),
        seed,
        ..World::default()
    };
    let (once, again, other) = (run(&world(7)), run(&world(7)), run(&world(8)));
    assert!(once.happenings > 10_000, "{}", once.happenings);
    assert_eq!((once.trace, once.happenings), (again.trace, again.happenings));
    assert_ne!(once.trace, other.trace);
}

#[test]
fn who_comes_late_and_who_falls_silent_in_virtual_time() {
    let world = World {
        headsets: 20,
        length: Duration::from_secs(40),
        late: Some(Duration::from_secs(15)),
        dies: Some(Duration::from_secs(20)),
        ..World::default()
    };
    let outcome = run(&world);
    all_is_well(&outcome, world.headsets - 1);
    let dead = world.headsets - 2;
    let closed: Vec<_> = outcome.closed.iter().map(|(i, code, _)| (*i, *code)).collect();
    assert_eq!(closed, [(dead, CloseCode::Silent)]);
    let gone = outcome.gone_after.expect("everybody's roster has lost the dead one");
    println!("{{\"simulated_dead_headset_gone_after_s\":{:.2}}}", gone.as_secs_f64());
    assert!(gone <= Duration::from_secs(5), "{gone:?}");
}

#[test]
#[ignore = "minutes: ten minutes of virtual time with a hundred headsets"]
fn a_hundred_headsets_for_ten_minutes() {
    let world = World {
        headsets: 100,
        length: Duration::from_secs(600),
        change_every: Duration::from_secs(10),
        keyframe_bytes: 3_000,
        ..World::default()
    };
    let outcome = run(&world);
    all_is_well(&outcome, world.headsets);
    assert_eq!(outcome.closed, Vec::new(), "no link died");
    let mut skews = skews_ms(&outcome, world.headsets);
    let changes = skews.len() / world.headsets;
    let p99 = percentile(&mut skews, 0.99);
    println!(
        "{{\"simulated_headsets\":100,\"virtual_s\":600,\"changes\":{changes},\"skew_p99_ms\":{p99:.2},\"happenings\":{}}}",
        outcome.happenings
    );
    assert!(changes >= 50, "only {changes} changes reached everyone");
    assert!(p99 <= 20.0, "skew p99 {p99:.2} ms");
}
