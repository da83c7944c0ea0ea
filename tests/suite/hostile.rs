//! What is wrong, too fast or made to hurt: a clear word to the sender and in the log, and the tour goes on.

use glam::{Quat, Vec3};
use tongyou_protocol::control::{self, RefusedReason, client_message, server_message};
use tongyou_protocol::datagram::{Body, Datagram, Joint, Pose};
use tongyou_tests::{Running, root};

use crate::peers::{Raw, bots, hello, run};

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
    config.duration = Some(std::time::Duration::from_secs(5));
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
    raw.link.send_control(bytes::Bytes::from_static(&[0xff; 64])).unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_datagrams_and_flying_poses_hurt_nobody() {
    let mut server = Running::start(&["jiefangbei"], &[]);
    let code = server.code(0).to_owned();
    let (mut raw, welcome) = Raw::join(&server, &code, "Flyer").await;
    let epoch = u16::try_from(welcome.current.unwrap().epoch & 0xffff).unwrap();
    let pose = |seq: u16, x: f32| {
        let head = Joint {
            position: Vec3::new(x, 1.6, 0.0),
            rotation: Quat::IDENTITY,
        };
        let body = Body {
            time_100us: u32::from(seq) * 333,
            at_rest: false,
            jump: false,
            head,
            left: None,
            right: None,
            pointer: None,
        };
        Datagram::Pose(Pose { epoch, seq, body }).to_bytes()
    };
    let good = pose(1, 0.0);
    for cut in 0..good.len() {
        raw.datagram(good[..cut].to_vec());
    }
    let mut noise = 12_345_u32;
    for _ in 0..300 {
        let bytes = (0..noise % 60).map(|i| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223 + i);
            u8::try_from(noise >> 24).unwrap()
        });
        let bytes: Vec<u8> = bytes.collect();
        noise = noise.wrapping_add(7);
        raw.datagram(bytes);
    }
    for seq in 0..50_u16 {
        raw.datagram(pose(seq + 2, if seq % 2 == 0 { 30.0 } else { -30.0 }).to_vec());
    }
    raw.say(client_message::Body::Ready(control::Ready { epoch: 1, set: 1 }));
    let noticed = raw.hear_until(|body| match body {
        server_message::Body::Notice(notice) => Some(notice.message),
        _ => None,
    });
    let message = noticed.await;
    assert!(!message.is_empty());
    // A tourist who commands is told that this is the guide's to do.
    raw.say(client_message::Body::Guide(control::GuideCommand {
        lease: 0,
        body: Some(control::guide_command::Body::GoToStop(1)),
    }));
    let reason = raw.hear_until(|body| match body {
        server_message::Body::Notice(n) if n.reason() == RefusedReason::RefusedNotAllowed => Some(n.message),
        server_message::Body::Prepare(_) => panic!("a tourist moved the tour"),
        _ => None,
    });
    assert!(!reason.await.is_empty());
    the_tour_goes_on(&mut server).await;
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
