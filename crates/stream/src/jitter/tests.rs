use super::*;
use crate::test_random::Random;
use protocol::datagram::{Datagram, Pose};
use std::f64::consts::TAU;

/// A person who talks with both hands: a reach of 40 cm a second, gestures at 1 to 2 Hz and a tremor, up to about
/// 1.5 m/s and 10 m/s².
fn motion(at_us: i64) -> Body {
    let t = to_f64(at_us) * 1e-6;
    let wave = |hz: f64, metres: f64, phase: f64| metres * (TAU * (hz * t + phase)).sin();
    let point = |x: f64, y: f64, z: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "a test")]
        Vec3::new(x as f32, y as f32, z as f32)
    };
    let hand = |side: f64| Joint {
        position: point(
            0.25 * side + wave(0.5, 0.2, side) + wave(1.3, 0.06, 0.2),
            1.1 + wave(0.7, 0.15, 0.4 * side) + wave(1.9, 0.03, 0.7),
            -0.35 + wave(0.4, 0.12, 0.9) + wave(4.0, 0.002, side),
        ),
        rotation: {
            #[expect(clippy::cast_possible_truncation, reason = "a test")]
            Quat::from_euler(
                glam::EulerRot::YXZ,
                wave(0.6, 0.8, 0.0) as f32,
                wave(0.9, 0.5, side) as f32,
                0.1,
            )
        },
    };
    let head = Joint {
        position: point(wave(0.3, 0.05, 0.1), 1.6 + wave(0.5, 0.01, 0.3), wave(0.25, 0.05, 0.6)),
        rotation: {
            #[expect(clippy::cast_possible_truncation, reason = "a test")]
            Quat::from_rotation_y(wave(0.3, 1.0, 0.0) as f32)
        },
    };
    Body {
        time_100us: time_100us(at_us),
        at_rest: false,
        jump: false,
        head,
        left: Some(hand(-1.0)),
        right: Some(hand(1.0)),
        pointer: None,
    }
}

fn quantised(body: Body) -> Body {
    match Datagram::from_bytes(&Datagram::Pose(Pose { epoch: 0, seq: 0, body }).to_bytes()).unwrap() {
        Datagram::Pose(pose) => pose.body,
        other => panic!("{other:?}"),
    }
}

struct Path {
    hz: i64,
    loss: f64,
    jitter_us: f64,
}

/// 95th percentiles of the hands' errors (mm) and the head's turn (degrees), at 90 Hz over 40 s after 2 s.
fn errors(path: &Path) -> (f64, f64) {
    let mut random = Random::new(7);
    let start = 1_000_000_000_000;
    let mut arrivals: Vec<(i64, Body)> = (0..42 * path.hz)
        .map(|i| start + i * 1_000_000 / path.hz)
        .filter_map(|at| {
            let late = 80_000 + round(random.unit() * path.jitter_us);
            (random.unit() >= path.loss).then(|| (at + late, quantised(motion(at))))
        })
        .collect();
    arrivals.sort_by_key(|a| a.0);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut buffer = Buffer::new();
    let (mut hands, mut turns) = (Vec::new(), Vec::new());
    for now in (start..start + 42_000_000).step_by(11_111) {
        while arrivals.peek().is_some_and(|a| a.0 <= now) {
            let (at, body) = arrivals.next().unwrap();
            buffer.push(ServerTime(at), body);
        }
        let Some(shown) = buffer.sample(ServerTime(now)) else {
            continue;
        };
        if now < start + 2_000_000 {
            continue;
        }
        let delay = i64::try_from(buffer.delay().as_micros()).unwrap();
        assert!(
            (80_000 + 45_000..=80_000 + 155_000 + round(path.jitter_us)).contains(&delay),
            "{delay}"
        );
        let truth = motion(now - delay);
        for (a, b) in [(shown.left, truth.left), (shown.right, truth.right)] {
            hands.push(f64::from(a.unwrap().position.distance(b.unwrap().position)) * 1e3);
        }
        turns.push(f64::from(shown.head.rotation.angle_between(truth.head.rotation)).to_degrees());
    }
    let p95 = |mut v: Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v[v.len() * 95 / 100]
    };
    (p95(hands), p95(turns))
}

#[test]
fn hands_are_where_they_were() {
    for (name, path, most_mm) in [
        (
            "30 Hz",
            Path {
                hz: 30,
                loss: 0.0,
                jitter_us: 0.0,
            },
            3.0,
        ),
        (
            "30 Hz, 5 % loss, 30 ms jitter",
            Path {
                hz: 30,
                loss: 0.05,
                jitter_us: 30_000.0,
            },
            10.0,
        ),
        (
            "15 Hz",
            Path {
                hz: 15,
                loss: 0.0,
                jitter_us: 0.0,
            },
            10.0,
        ),
    ] {
        let (mm, degrees) = errors(&path);
        eprintln!("{name}: hands p95 {mm:.2} mm, head p95 {degrees:.2}°");
        assert!(mm <= most_mm, "{name}: hands {mm} mm");
        assert!(degrees <= 2.0, "{name}: head {degrees}°");
    }
}

#[test]
fn rest_ends_exactly_at_the_final_pose_and_is_left_without_creeping() {
    let mut buffer = Buffer::new();
    let at = |us: i64| ServerTime(5_000_000 + us);
    for i in 0..10 {
        buffer.push(at(i * 33_300), motion(at(i * 33_300).0));
    }
    let last = Body {
        at_rest: true,
        ..quantised(motion(at(333_000).0))
    };
    buffer.push(at(333_000), last);
    for us in [500_000, 900_000, 4_000_000] {
        assert_eq!(buffer.sample(at(us)).unwrap(), last, "{us}");
    }
    let moved = Joint {
        position: last.head.position + Vec3::X,
        ..last.head
    };
    buffer.push(
        at(5_000_000),
        Body {
            time_100us: time_100us(at(5_000_000).0),
            at_rest: false,
            head: moved,
            ..last
        },
    );
    let delay = i64::try_from(buffer.delay().as_micros()).unwrap();
    let shown = buffer.sample(at(4_900_000 + delay)).unwrap();
    assert_eq!(shown.head, last.head, "still resting 100 ms before the move");
}

#[test]
fn a_jump_is_shown_at_once_and_what_was_before_is_forgotten() {
    let mut buffer = Buffer::new();
    for i in 0..10 {
        buffer.push(ServerTime(i * 33_300), motion(i * 33_300));
    }
    let far = Joint {
        position: Vec3::new(9.0, 1.6, 0.0),
        rotation: Quat::IDENTITY,
    };
    buffer.push(
        ServerTime(333_000),
        Body {
            jump: true,
            head: far,
            ..motion(333_000)
        },
    );
    buffer.push(ServerTime(334_000), motion(299_000));
    assert_eq!(
        buffer.sample(ServerTime(335_000)).unwrap().head,
        far,
        "a straggler from before is ignored"
    );
}

#[test]
fn motion_goes_on_for_a_tenth_of_a_second_then_stands() {
    let mut buffer = Buffer::new();
    let at = |us: i64, x: f32| Body {
        time_100us: time_100us(us),
        left: None,
        right: None,
        head: Joint {
            position: Vec3::new(x, 0.0, 0.0),
            rotation: Quat::from_rotation_y(x),
        },
        ..motion(0)
    };
    for i in 0..20_u8 {
        buffer.push(
            ServerTime(i64::from(i) * 50_000),
            at(i64::from(i) * 50_000, f32::from(i) * 0.05),
        );
    }
    let end = buffer.sample(ServerTime(3_000_000)).unwrap().head;
    assert!((end.position.x - 1.05).abs() < 1e-4, "{end:?}");
    assert!(end.rotation.angle_between(Quat::from_rotation_y(1.05)) < 1e-3);
    assert_eq!(buffer.sample(ServerTime(9_000_000)).unwrap().head, end);
}

#[test]
fn times_wrap() {
    for us in [0, 1_234_500, 119 * 3_600_000_000, 500 * 3_600_000_000] {
        for off in [-3_000_000_i64, 0, 3_000_000] {
            assert_eq!(instant_us(ServerTime(us + off), time_100us(us)), us);
        }
    }
}

#[test]
fn any_times_are_survived_and_memory_is_bounded() {
    let mut random = Random::new(3);
    let mut buffer = Buffer::new();
    for i in 0..3_000 {
        let at = round(random.unit() * 4e11);
        buffer.push(
            ServerTime(i * 10_000),
            Body {
                at_rest: i % 7 == 0,
                jump: i % 50 == 0,
                ..motion(at)
            },
        );
        let _ = buffer.sample(ServerTime(round(random.unit() * 4e11)));
        assert!(buffer.poses.len() <= MAX_POSES + 1);
    }
}
