//! What is wrong, too fast or made to hurt: a clear word to the sender and in the log, and the tour goes on.

use std::time::{Duration, Instant};

use bytes::Bytes;
use glam::{Quat, Vec3};
use tongyou_protocol::HeadsetId;
use tongyou_protocol::control::{self, RefusedReason, client_message, server_message};
use tongyou_protocol::datagram::{Avatars, Body, Datagram, Joint, Pose, unpack_rotation};
use tongyou_tests::{Running, root};
use tongyou_transport::Event;

use crate::peers::{Raw, bots, hello, run, still_here};

/// What the server refuses with.
async fn refusal(raw: &mut Raw) -> (RefusedReason, String) {
    raw.hear_until(|body| match body {
        server_message::Body::Refused(r) => Some((r.reason(), r.message)),
        other => panic!("not refused: {other:?}"),
    })
    .await
}

/// A session that works: two bots join and see sets.
async fn the_tour_goes_on(server: &mut Running) {
    let mut config = bots(server, 0, 2);
    config.duration = Some(Duration::from_secs(5));
    let report = run(config).await;
    assert!(server.is_alive(), "the server died:\n{}", server.log());
    assert_eq!(report.problems(), Vec::<String>::new());
    assert!(report.bots.iter().all(|b| b.sets.complete > 0), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_told_what_is_wrong() {
    let mut server = Running::start(&["jiefangbei"], &[]);
    let code = server.code(0).to_owned();

    let mut raw = Raw::connect(&server).await;
    raw.say(hello("BCDF-GHJK", "Lost"));
    let (reason, message) = refusal(&mut raw).await;
    assert_eq!(reason, RefusedReason::RefusedCode, "{message}");

    let mut raw = Raw::connect(&server).await;
    let client_message::Body::Hello(mut old) = hello(&code, "Old") else {
        unreachable!()
    };
    old.protocol_version = 999;
    raw.say(client_message::Body::Hello(old));
    let (reason, message) = refusal(&mut raw).await;
    assert_eq!(reason, RefusedReason::RefusedVersion);
    assert!(
        message.contains("999") && message.contains('1'),
        "both versions are named: {message}"
    );

    let mut raw = Raw::connect(&server).await;
    raw.say(hello(&code, "bad\u{202e}name"));
    assert_eq!(refusal(&mut raw).await.0, RefusedReason::RefusedName);

    let mut raw = Raw::connect(&server).await;
    raw.say(client_message::Body::Ready(control::Ready { epoch: 1, set: 1 }));
    assert_eq!(refusal(&mut raw).await.0, RefusedReason::RefusedMalformed);

    let mut raw = Raw::connect(&server).await;
    raw.link.send_control(Bytes::from_static(&[0xff; 64])).unwrap();
    assert_eq!(refusal(&mut raw).await.0, RefusedReason::RefusedMalformed);

    the_tour_goes_on(&mut server).await;
    let log = server.log();
    for reason in ["REFUSED_CODE", "REFUSED_VERSION", "REFUSED_NAME", "REFUSED_MALFORMED"] {
        assert!(log.contains(reason), "nothing about {reason} in the log:\n{log}");
    }
    assert!(
        !log.contains("BCDF-GHJK"),
        "a wrong code may be somebody else's right one"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_codes_is_slowed_down() {
    let server = Running::start(&["jiefangbei"], &[]);
    let mut limited = false;
    for _ in 0..40 {
        let mut raw = Raw::connect(&server).await;
        raw.say(hello("BCDF-GHJK", "Guess"));
        limited |= refusal(&mut raw).await.0 == RefusedReason::RefusedTooManyAttempts;
    }
    assert!(limited, "forty wrong codes and no limit");
    // Even the right code does not help while the address waits.
    let mut raw = Raw::connect(&server).await;
    raw.say(hello(server.code(0), "Guess"));
    assert_eq!(refusal(&mut raw).await.0, RefusedReason::RefusedTooManyAttempts);
}

/// A member of the session who can say anything.
struct Suspect {
    raw: Raw,
    headset: HeadsetId,
    epoch: u16,
    seq: u16,
    /// Head of one who stands on the own seat, relative to the pose origin.
    head: Vec3,
}

impl Suspect {
    async fn join(server: &Running, name: &str) -> Self {
        let (raw, welcome) = Raw::join(server, server.code(0), name).await;
        let current = welcome.current.unwrap();
        let stop = &welcome.tour.as_ref().unwrap().stops[current.stop as usize];
        let origin: Vec3 = stop.pose_origin.unwrap().into();
        let seat: Vec3 = welcome.placement.unwrap().seat.unwrap().into();
        Self {
            raw,
            headset: HeadsetId(u16::try_from(welcome.headset).unwrap()),
            epoch: u16::try_from(current.epoch & 0xffff).unwrap(),
            seq: 0,
            head: seat - origin + Vec3::Y * 1.6,
        }
    }

    /// A pose beside the own seat.
    fn pose(&mut self, offset: Vec3, pointer: Option<Vec3>) -> Vec<u8> {
        self.seq += 1;
        let joint = Joint {
            position: self.head + offset,
            rotation: Quat::IDENTITY,
        };
        let body = Body {
            time_100us: u32::from(self.seq) * 333,
            at_rest: false,
            jump: false,
            head: joint,
            left: Some(joint),
            right: None,
            pointer,
        };
        let pose = Pose {
            epoch: self.epoch,
            seq: self.seq,
            body,
        };
        Datagram::Pose(pose).to_bytes().to_vec()
    }

    /// The sender is told, and the log has it too.
    async fn is_told(&mut self, server: &Running, wanted: RefusedReason, words: &str) {
        let told = self.raw.hear_until(|body| match body {
            server_message::Body::Notice(n) if n.reason() == wanted && n.message.contains(words) => Some(n.message),
            server_message::Body::Prepare(_) => panic!("a tourist moved the tour"),
            _ => None,
        });
        let message = told.await;
        // The log comes through a pipe, and may come a moment later.
        let until = Instant::now() + Duration::from_secs(2);
        while !server.log().contains(&message) {
            assert!(
                Instant::now() < until,
                "{message:?} is not in the log:\n{}",
                server.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What a witness receives of somebody.
async fn seen_by(witness: &mut Raw, who: HeadsetId) -> Option<Body> {
    let next = async {
        loop {
            if let Event::Datagram(bytes) = witness.events.recv().await?
                && let Datagram::Avatars(avatars) = Datagram::from_bytes(&bytes).unwrap()
                && let Some((_, body)) = avatars.people.into_iter().find(|(id, _)| *id == who)
            {
                return Some(body);
            }
        }
    };
    tokio::time::timeout(Duration::from_millis(500), next)
        .await
        .ok()
        .flatten()
}

/// Numbers that are numbers, and a body that can be one.
fn assert_sane(body: &Body, seat: Vec3) {
    for joint in [Some(body.head), body.left, body.right].into_iter().flatten() {
        assert!(joint.position.is_finite() && joint.rotation.is_finite(), "{body:?}");
        assert!((joint.rotation.length() - 1.0).abs() < 1e-3, "{body:?}");
        assert!(joint.position.distance(seat) <= 3.0 + 1.5, "{body:?} is not at {seat}");
    }
    assert!(body.pointer.is_none_or(Vec3::is_finite), "{body:?}");
}

/// Six bytes of a rotation, of every kind that there is: each component left out, at both ends of the others, and noise.
fn rotations() -> Vec<[u8; 6]> {
    let packed = |largest: u64, three: [u64; 3]| {
        let bits = (((largest << 15 | three[0]) << 15 | three[1]) << 15) | three[2];
        <[u8; 6]>::try_from(&bits.to_le_bytes()[..6]).unwrap()
    };
    let mut all = vec![[0; 6], [0xff; 6]];
    for largest in 0..4 {
        for three in [[0; 3], [0x7fff; 3], [0x7fff, 0, 0x4000], [0x3fff, 0x4000, 0x3fff]] {
            all.push(packed(largest, three));
        }
    }
    let mut noise = Noise(7);
    all.extend((0..20).map(|_| std::array::from_fn(|_| noise.byte())));
    all
}

struct Noise(u64);

impl Noise {
    fn byte(&mut self) -> u8 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(self.0 >> 56).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_datagrams_and_flying_poses_hurt_nobody() {
    let mut server = Running::start(&["jiefangbei"], &[]);
    let (mut witness, _) = Raw::join(&server, server.code(0), "Witness").await;
    let keep_alive = |raw: &Raw| {
        let link = raw.link.clone();
        tokio::spawn(async move {
            while link.send_datagram(still_here()).is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        })
    };
    let alive = keep_alive(&witness);

    let mut cutter = Suspect::join(&server, "Cutter").await;
    let good = cutter.pose(Vec3::ZERO, None);
    for cut in 0..good.len() {
        cutter.raw.datagram(good[..cut].to_vec());
    }
    cutter
        .is_told(&server, RefusedReason::RefusedMalformed, "datagram")
        .await;

    let mut noisy = Suspect::join(&server, "Noisy").await;
    let mut noise = Noise(12_345);
    for _ in 0..300 {
        let len = noise.byte() % 60;
        noisy.raw.datagram((0..len).map(|_| noise.byte()).collect());
    }
    noisy
        .is_told(&server, RefusedReason::RefusedMalformed, "datagram")
        .await;
    let pong = Datagram::Avatars(Avatars {
        epoch: 1,
        people: Vec::new(),
    });
    noisy.raw.datagram(pong.to_bytes().to_vec());
    noisy
        .is_told(&server, RefusedReason::RefusedNotAllowed, "only the server")
        .await;

    let mut flyer = Suspect::join(&server, "Flyer").await;
    for i in 0..50_u16 {
        let pose = flyer.pose(Vec3::X * if i % 2 == 0 { 30.0 } else { -30.0 }, None);
        flyer.raw.datagram(pose);
    }
    flyer
        .is_told(&server, RefusedReason::RefusedNotAllowed, "from its seat")
        .await;
    let mut runner = Suspect::join(&server, "Runner").await;
    for i in 0..50_u16 {
        let pose = runner.pose(Vec3::X * if i % 2 == 0 { 2.5 } else { -2.5 }, None);
        runner.raw.datagram(pose);
    }
    runner
        .is_told(&server, RefusedReason::RefusedNotAllowed, "faster")
        .await;

    // A tourist who commands is told that this is the guide's to do.
    runner.raw.say(client_message::Body::Guide(control::GuideCommand {
        lease: 0,
        body: Some(control::guide_command::Body::GoToStop(1)),
    }));
    runner.is_told(&server, RefusedReason::RefusedNotAllowed, "").await;
    runner.raw.link.send_control(Bytes::from_static(&[0xff; 64])).unwrap();
    runner.is_told(&server, RefusedReason::RefusedMalformed, "").await;

    not_a_number_reaches_nobody(&server, &mut witness).await;
    alive.abort();
    the_tour_goes_on(&mut server).await;
}

/// On the wire a pose has no floating-point numbers, so that "not a number" can not be said. Whatever its bits are, the
/// others are shown a body with numbers, near its seat.
async fn not_a_number_reaches_nobody(server: &Running, witness: &mut Raw) {
    let mut suspect = Suspect::join(server, "Twisted").await;
    let seat = suspect.head;
    let mut shown = 0;
    for bits in rotations() {
        let expected = unpack_rotation(bits);
        // Lost datagrams are said again.
        for attempt in 0.. {
            assert!(attempt < 20, "{bits:?} was never shown");
            let mut pose = suspect.pose(Vec3::ZERO, Some(Vec3::splat(f32::NAN)));
            // Kind, epoch, number, flags, time, position; then the rotation.
            let rotation = 1 + 2 + 2 + 1 + 4 + 6;
            pose[rotation..rotation + 6].copy_from_slice(&bits);
            suspect.raw.datagram(pose);
            let Some(body) = seen_by(witness, suspect.headset).await else {
                continue;
            };
            assert_sane(&body, seat);
            if body.head.rotation.dot(expected).abs() > 0.999_99 {
                shown += 1;
                break;
            }
        }
    }
    // Positions at the ends of their range, wherever they are: nobody is seen there.
    let mut noise = Noise(99);
    for i in 0..60 {
        let mut pose = suspect.pose(Vec3::ZERO, Some(Vec3::ZERO));
        for byte in &mut pose[10..] {
            *byte = match i {
                0 => 0xff,
                1 => 0x7f,
                2 => 0x80,
                _ => noise.byte(),
            };
        }
        suspect.raw.datagram(pose);
        if i % 10 == 9
            && let Some(body) = seen_by(witness, suspect.headset).await
        {
            assert_sane(&body, seat);
        }
    }
    println!("{{\"rotations_of_every_kind_shown_as_numbers\":{shown}}}");
    suspect
        .is_told(server, RefusedReason::RefusedNotAllowed, "from its seat")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_scene_does_not_take_the_others_along() {
    let dir = tempfile::tempdir().unwrap();
    let (tours, scenes) = (dir.path().join("tours"), dir.path().join("scenes"));
    std::fs::create_dir_all(&tours).unwrap();
    std::fs::create_dir_all(&scenes).unwrap();
    let good = std::fs::read_to_string(root().join("assets/tours/jiefangbei.toml")).unwrap();
    std::fs::write(tours.join("good.toml"), &good).unwrap();
    std::fs::copy(
        root().join("target/scenes/jiefangbei.glb"),
        scenes.join("jiefangbei.glb"),
    )
    .unwrap();
    let broken = good
        .replace("id = \"jiefangbei\"", "id = \"broken\"")
        .replace("scene = \"jiefangbei\"", "scene = \"bad\"");
    std::fs::write(tours.join("broken.toml"), broken).unwrap();
    let mut glb = std::fs::read(scenes.join("jiefangbei.glb")).unwrap();
    glb.truncate(4000);
    std::fs::write(scenes.join("bad.glb"), glb).unwrap();
    std::fs::write(tours.join("nonsense.toml"), "id = 3\n[[").unwrap();
    let mut server = Running::start_with(&tours, &scenes, &["jiefangbei"], &[]);
    let log = server.log();
    assert!(log.contains("broken.toml") && log.contains("bad.glb"), "{log}");
    assert!(log.contains("nonsense.toml"), "{log}");
    the_tour_goes_on(&mut server).await;
}
