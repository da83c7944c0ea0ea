//! Every edge of the estimate and of the quality, as tables.

use super::*;
use tongyou_protocol::SetId;

fn at(ms: i64) -> ServerTime {
    ServerTime(ms * 1000)
}

fn report(kbps: u32, delay_ms: u16) -> Feedback {
    Feedback {
        last_set: SetId(0),
        interval_ms: 250,
        complete: 5,
        missed: 0,
        decode_queue: 0,
        delay_ms,
        bytes: kbps * 1000 / 8 / 4,
    }
}

/// The estimate, in kbit/s, after each of the reports, four a second.
fn run(reports: &[(Feedback, usize)]) -> Vec<u32> {
    let mut estimator = Estimator::new(&Config::default());
    let mut now = 0;
    reports
        .iter()
        .map(|(feedback, times)| {
            for _ in 0..*times {
                now += 250;
                estimator.update(at(now), feedback);
            }
            estimator.estimate().bitrate_bps / 1000
        })
        .collect()
}

#[test]
fn a_used_and_empty_path_lets_the_rate_grow_slowly() {
    let rates = run(&[(report(6000, 30), 40)]);
    assert!((9_000..9_800).contains(&rates[0]), "{rates:?}");
    // Received 6 Mbit/s: growth ends at one and a half times that.
    assert!(run(&[(report(6000, 30), 4000)])[0] < 10_500);
    assert_eq!(run(&[(report(30_000, 30), 4000)])[0], 25_000, "the upper bound");
}

#[test]
fn a_rate_that_is_not_used_proves_nothing_but_stays() {
    assert_eq!(run(&[(report(100, 30), 400)]), [6000]);
    let silent = Feedback {
        complete: 0,
        bytes: 0,
        delay_ms: 0,
        ..report(0, 0)
    };
    assert_eq!(run(&[(silent, 400)]), [6000]);
}

#[test]
fn a_standing_queue_lowers_it_at_once_and_a_keyframe_alone_does_not() {
    let good = report(6000, 30);
    let rates = run(&[(good, 8), (report(4000, 130), 4), (report(4000, 130), 40)]);
    assert!(rates[0] >= 6000);
    assert!(rates[1] <= 3500, "{rates:?}");
    assert_eq!(rates[2], 500, "down to the lower bound while it stands");
    let mut mixed = Vec::new();
    for _ in 0..10 {
        mixed.extend([(good, 3), (report(6000, 200), 1)]);
    }
    assert!(
        *run(&mixed).last().unwrap() > 6500,
        "one late keyframe a second is no queue"
    );
    // Between good and bad it stays.
    let hold = run(&[(good, 8), (report(6000, 65), 4), (report(6000, 65), 8)]);
    assert_eq!(hold[1], hold[2]);
}

#[test]
fn missed_sets_count_where_they_are_many() {
    let few = Feedback {
        missed: 1,
        ..report(6000, 30)
    };
    assert!(run(&[(few, 40)])[0] > 6000);
    let many = Feedback {
        missed: 2,
        ..report(3000, 30)
    };
    let rates = run(&[(report(6000, 30), 8), (many, 1), (many, 1), (many, 3)]);
    assert!(rates[1] < 3500, "half of it, and less: {rates:?}");
    assert_eq!(rates[1], rates[2], "what was done must show first");
    assert!(rates[3] < rates[2]);
}

#[test]
fn after_trouble_it_waits_before_it_grows() {
    let good = report(6000, 30);
    let rates = run(&[(good, 8), (report(5000, 150), 4), (good, 4), (good, 8), (good, 20)]);
    assert!(rates[1] < 5000 && rates[2] <= rates[1], "{rates:?}");
    assert!(rates[4] > rates[2], "{rates:?}");
}

#[test]
fn a_path_that_became_longer_is_believed_in_the_end() {
    let mut reports = vec![(report(6000, 30), 8)];
    reports.push((report(6000, 100), 160));
    let rates = run(&reports);
    assert!(rates[1] > 600, "the base moves with the path: {rates:?}");
}

#[test]
fn reports_that_lie_change_little() {
    let mut estimator = Estimator::new(&Config::default());
    for feedback in [
        Feedback {
            interval_ms: 0,
            ..report(99_999, 0)
        },
        Feedback {
            interval_ms: u16::MAX,
            bytes: u32::MAX,
            ..report(0, 0)
        },
        Feedback {
            interval_ms: 1,
            bytes: u32::MAX,
            complete: u16::MAX,
            ..report(0, 0)
        },
        Feedback {
            interval_ms: u16::MAX,
            bytes: u32::MAX,
            ..report(0, 0)
        },
    ] {
        estimator.update(at(1), &feedback);
    }
    assert_eq!(estimator.estimate().bitrate_bps, 6_000_000);
    let worst = Feedback {
        missed: u16::MAX,
        complete: u16::MAX,
        delay_ms: u16::MAX,
        decode_queue: u8::MAX,
        bytes: 0,
        ..report(0, 0)
    };
    for i in 0..1000 {
        estimator.update(at(i * 250), &worst);
    }
    let least = estimator.estimate();
    assert_eq!(least.bitrate_bps, 500_000);
    assert!((least.sets_per_s - 1.0).abs() < 1e-6);
}

#[test]
fn a_slow_decoder_lowers_the_rate_of_sets_alone() {
    let mut estimator = Estimator::new(&Config::default());
    let slow = Feedback {
        decode_queue: 9,
        complete: 5,
        ..report(6000, 30)
    };
    let estimate = (1..=12).map(|i| estimator.update(at(i * 250), &slow)).last().unwrap();
    assert!((4.0..20.1).contains(&estimate.sets_per_s), "{estimate:?}");
    assert!(estimate.bitrate_bps >= 6_000_000);
    let fine = (20..=200)
        .map(|i| estimator.update(at(i * 250), &report(6000, 30)))
        .last()
        .unwrap();
    assert!(fine.sets_per_s > 35.0, "{fine:?}");
}

fn estimate(kbps: u32) -> Estimate {
    Estimate {
        bitrate_bps: kbps * 1000,
        sets_per_s: 36.0,
    }
}

#[test]
fn quality_serves_most_and_leaves_the_slowest_behind() {
    let check = |kbps: &[u32], expected: u32| {
        let mut controller = Controller::new(Config {
            start_bps: 25_000_000,
            ..Config::default()
        });
        let quality = controller.update(at(0), kbps.iter().map(|k| estimate(*k)));
        assert_eq!(quality.map(|q| q.bitrate_bps / 1000), Some(expected), "{kbps:?}");
    };
    check(&[5000], 5000);
    check(&[5000, 9000], 5000);
    check(&[600, 9000, 9000, 9000], 600);
    check(&[600, 9000, 9000, 9000, 8000], 8000);
    check(&[100], 500);
    let mut controller = Controller::new(Config::default());
    assert_eq!(controller.update(at(0), []), None, "nobody there");
}

#[test]
fn quality_falls_at_once_and_rises_slowly() {
    let mut controller = Controller::new(Config {
        start_bps: 8_000_000,
        ..Config::default()
    });
    assert_eq!(controller.update(at(0), [estimate(8000)]), None);
    assert_eq!(controller.update(at(10), [estimate(7700)]), None, "not worth it");
    assert_eq!(
        controller.update(at(20), [estimate(4000)]).unwrap().bitrate_bps,
        4_000_000
    );
    assert_eq!(
        controller.update(at(30), [estimate(3000)]).unwrap().bitrate_bps,
        3_000_000
    );
    let mut rises = Vec::new();
    for i in 1..=40 {
        if let Some(q) = controller.update(at(30 + i * 250), [estimate(20_000)]) {
            rises.push((30 + i * 250, q.bitrate_bps));
        }
    }
    assert_eq!(rises[0], (2030, 3_450_000), "after two calm seconds");
    assert!(rises.windows(2).all(|w| w[1].0 - w[0].0 >= 1000 && w[1].1 > w[0].1));
}

#[test]
fn first_the_rate_falls_then_the_size_and_it_comes_back_with_a_margin() {
    let config = Config {
        start_bps: 8_000_000,
        set_bits: vec![400_000, 200_000],
        ..Config::default()
    };
    let mut controller = Controller::new(config);
    assert_eq!(
        (controller.quality().sets_per_s, controller.quality().size_step),
        (20.0, 0)
    );
    let mut step = |ms, kbps| {
        controller.update(at(ms), [estimate(kbps)]);
        let q = controller.quality();
        (q.sets_per_s, q.size_step)
    };
    assert_eq!(step(0, 1600), (4.0, 0));
    assert_eq!(step(100, 1500), (7.5, 1));
    assert_eq!(step(200, 600), (3.0, 1), "the smallest size goes below the least rate");
    let mut ms = 200;
    let mut sizes = Vec::new();
    for _ in 0..200 {
        ms += 250;
        sizes.push(step(ms, 2000).1);
    }
    assert!(
        sizes.iter().all(|s| *s == 1),
        "2000 kbit/s is 5 large sets a second: not enough of a margin"
    );
    for _ in 0..40 {
        ms += 250;
        sizes.push(step(ms, 2600).1);
    }
    assert_eq!(sizes.last(), Some(&0));
    let turns = sizes.windows(2).filter(|w| w[0] != w[1]).count();
    assert_eq!(turns, 1, "it does not swing");
}

#[test]
fn slow_decoders_lower_the_sets_alone() {
    let mut controller = Controller::new(Config {
        start_bps: 8_000_000,
        ..Config::default()
    });
    let slow = Estimate {
        bitrate_bps: 8_000_000,
        sets_per_s: 6.0,
    };
    let quality = controller.update(at(0), [slow, slow]).unwrap();
    assert_eq!(
        quality,
        Quality {
            sets_per_s: 6.0,
            bitrate_bps: 8_000_000,
            size_step: 0
        }
    );
}

#[test]
fn odd_configurations_do_not_panic() {
    let odd = Config {
        min_bps: 9,
        max_bps: 1,
        start_bps: 0,
        min_sets_per_s: f32::NAN,
        max_sets_per_s: -1.0,
        set_bits: vec![],
        left_behind: 7.0,
        calm: Duration::ZERO,
    };
    let mut controller = Controller::new(odd.clone());
    controller.update(at(0), [estimate(1), estimate(2)]);
    assert_eq!(controller.quality().bitrate_bps, 9);
    Estimator::new(&odd).update(at(0), &report(1, 1));
}
