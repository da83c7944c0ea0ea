//! Spectators, the guide's look at another stop, and near things that headsets draw themselves.

use super::*;
use crate::{Error, VantageKind};
use client_message::Body as Say;
use guide_command::Body::GoToStop;
use tongyou_protocol::ClientTime;
use tongyou_protocol::control::{
    ClientKind, LocalModel, MoveToCell, PlacementKind, Preview, Previewing, Ready, SkewReport,
};
use tongyou_protocol::datagram::{Feedback, Ping};

fn spectator(code: SessionCode) -> Hello {
    Hello {
        kind: ClientKind::Spectator.into(),
        ..hello(code, "")
    }
}

fn pass(server: &mut Server, ms: u64) -> Tick {
    let mut last = None;
    for _ in (0..ms).step_by(50) {
        for link in 1..20 {
            let ping = Ping {
                seq: 0,
                sent: ClientTime(0),
            };
            server.send(link, &Datagram::Ping(ping));
        }
        last = server.wait(50).into_iter().next();
    }
    last.unwrap()
}

/// Flat vantages: id, stop, epoch, viewers.
fn flats(tick: &Tick) -> Vec<(u32, usize, u32, Vec<u64>)> {
    let flat = tick
        .vantages
        .iter()
        .filter(|v| matches!(v.kind, VantageKind::Flat { .. }));
    flat.map(|v| {
        let viewers = v.viewers.iter().map(|v| v.link.0).collect();
        (u32::from(v.vantage.0), v.stop, v.epoch, viewers)
    })
    .collect()
}

fn previewing(server: &Server, link: u64) -> Option<Previewing> {
    server.last(link, |b| if let Body::Previewing(p) = b { Some(*p) } else { None })
}

#[test]
fn a_spectator_watches_and_is_not_here() {
    let mut server = Server::new();
    let code = server.session(1);
    server.join(1, code);
    for link in [2, 3] {
        server.hello(link, spectator(code));
        let welcome = server.welcome(link).unwrap();
        assert_eq!((welcome.kind(), welcome.headset), (ClientKind::Spectator, 0));
        assert!(welcome.resume_ticket.is_empty());
        let placement = welcome.placement.unwrap();
        assert_eq!(placement.kind(), PlacementKind::Watching);
        assert_eq!(placement.seat, Some(Vec3::new(0.0, 0.0, 20.0).into()));
    }
    let tick = pass(&mut server, 100);
    assert_eq!(tick.vantages.len(), 2, "one camera for all of them");
    let [(_, 0, 1, ref viewers)] = flats(&tick)[..] else {
        panic!("{:?}", tick.vantages)
    };
    assert_eq!(viewers, &[2, 3]);
    let flat = tick.vantages.last().unwrap();
    let VantageKind::Flat { rotation, .. } = flat.kind else {
        panic!()
    };
    let to_sight = (Vec3::new(0.0, 12.0, 0.0) - flat.point).normalize();
    assert!(
        (rotation * Vec3::NEG_Z).distance(to_sight) < 1e-5,
        "it looks at the sight"
    );
    assert!((rotation * Vec3::X).y.abs() < 1e-6, "and stands upright");
    for link in 1..=3 {
        let roster = server.roster(link).unwrap();
        assert_eq!((roster.people.len(), roster.spectators), (1, 2));
    }
    let info = &server.registry.sessions(server.now)[0];
    assert_eq!((info.people, info.spectators), (1, 2));
    // It says what all say, and nothing else is taken.
    let skew = SkewReport {
        epoch: 1,
        applied_us: 5,
        presented_us: 5,
    };
    server.say(2, Say::Skew(skew));
    let feedback = Feedback {
        last_set: tongyou_protocol::SetId(1),
        interval_ms: 250,
        complete: 1,
        missed: 0,
        decode_queue: 0,
        delay_ms: 1,
        bytes: 1,
    };
    server.send(2, &Datagram::Feedback(feedback));
    assert!(
        server
            .other
            .iter()
            .any(|o| matches!(o, Output::Feedback { link: LinkId(2), .. }))
    );
    assert_eq!(server.notices(2), []);
    server.say(2, Say::MoveToCell(MoveToCell { epoch: 1, cell: 1 }));
    server.say(2, Say::Preview(Preview { stop: 1 }));
    server.guide(2, 0, GoToStop(1));
    server.say(2, Say::Hello(hello(code, "Somebody")));
    assert_eq!(server.notices(2).len(), 4);
    let welcome = server.welcome(1).unwrap();
    let pose = pose_at(&welcome, &welcome.placement.unwrap(), server.now, 0, Vec3::ZERO);
    server.send(2, &Datagram::Pose(pose));
    assert_eq!(server.registry.counters().poses_refused, 1);
    assert!(pass(&mut server, 100).vantages.len() == 2 && server.avatars(1).is_empty());
    // They go.
    server.say(2, Say::Leave(Default::default()));
    server.input(3, Input::Disconnected);
    assert_eq!(flats(&pass(&mut server, 100)), []);
    assert_eq!(server.roster(1).unwrap().spectators, 0);
    assert!(server.closed.contains(&LinkId(2)));
}

#[test]
fn spectators_change_the_stop_with_everybody() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join_guide(1, code);
    server.hello(2, spectator(code));
    server
        .registry
        .set_rtt(server.now, LinkId(2), Duration::from_millis(500));
    server.guide(1, 1, GoToStop(1));
    let prepare = server.prepare(2).unwrap();
    let placement = prepare.placement.unwrap();
    assert_eq!((prepare.epoch, placement.kind()), (2, PlacementKind::Watching));
    let flat = flats(&pass(&mut server, 50));
    assert_eq!(flat.len(), 2, "both stops");
    assert_eq!((flat[1].0, flat[1].1, flat[1].2), (placement.vantage, 1, 2));
    assert_ne!(flat[0].0, flat[1].0);
    // One who joins now is told.
    server.hello(3, spectator(code));
    assert_eq!(server.prepare(3).unwrap().placement.unwrap().vantage, placement.vantage);
    server.say(1, Say::Ready(Ready { epoch: 2, set: 1 }));
    server.say(2, Say::Ready(Ready { epoch: 2, set: 1 }));
    assert!(server.commit(1).is_none(), "the third is not ready");
    server.say(3, Say::Ready(Ready { epoch: 1, set: 1 }));
    assert!(server.commit(1).is_none(), "that was another change");
    server.say(3, Say::Ready(Ready { epoch: 2, set: 1 }));
    let commit = server.commit(2).unwrap();
    assert_eq!(Some(commit), server.commit(1));
    assert_eq!(
        commit.at_us,
        server.now.0 + 600_000,
        "the slowest path counts, also a spectator's"
    );
    let copies = server.datagrams[&LinkId(3)].iter();
    assert!(
        copies
            .filter(|(_, b)| matches!(Datagram::from_bytes(b), Ok(Datagram::Commit(_))))
            .count()
            > 0
    );
    let tick = pass(&mut server, 700);
    assert_eq!(flats(&tick), [(placement.vantage, 1, 2, vec![2, 3])]);
}

#[test]
fn spectators_have_limits_and_an_unknown_kind_is_refused() {
    let mut server = Server::with(Config {
        spectators_most: 1,
        ..Config::default()
    });
    let code = server.session(9);
    server.hello(1, spectator(code));
    server.hello(2, spectator(code));
    assert_eq!(server.refused(2).unwrap().0, RefusedReason::RefusedFull);
    let wrong = Hello {
        code: "ZZZZ-ZZZZ".to_owned(),
        ..spectator(code)
    };
    server.hello(3, wrong);
    assert_eq!(server.refused(3).unwrap().0, RefusedReason::RefusedCode);
    let kind = Hello {
        kind: 7,
        ..hello(code, "Somebody")
    };
    server.hello(4, kind);
    let (reason, why) = server.refused(4).unwrap();
    assert_eq!(reason, RefusedReason::RefusedMalformed);
    assert!(why.contains("kind 7"), "{why}");
    // Alone with it the session goes on, and ends for it too.
    assert_eq!(flats(&pass(&mut server, 100)).len(), 1);
    server.registry.end_session(server.now, code).unwrap();
    server.drain();
    assert!(server.closed.contains(&LinkId(1)));
    assert!(server.last(1, |b| matches!(b, Body::Ended(_)).then_some(())).is_some());
    // A silent one is closed like everybody.
    let code = server.session(9);
    server.hello(5, spectator(code));
    server.wait(4_100);
    assert!(server.closed.contains(&LinkId(5)));
    server.hello(6, spectator(code));
    assert!(server.welcome(6).is_some(), "its place is free");
}

#[test]
fn the_guide_alone_looks_at_another_stop_for_a_while() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join_guide(1, code);
    server.join_guide(2, code);
    let look = |server: &mut Server, link, stop| server.say(link, Say::Preview(Preview { stop }));
    look(&mut server, 2, 1);
    assert_eq!(server.notices(2), [RefusedReason::RefusedNotAllowed]);
    look(&mut server, 1, 3);
    assert_eq!(server.notices(1).len(), 1, "there are three stops");
    look(&mut server, 1, 2);
    let first = previewing(&server, 1).unwrap();
    assert_eq!((first.epoch, first.stop), (1, 2));
    assert_eq!(first.until_us, server.now.0 + 30_000_000);
    let tick = pass(&mut server, 50);
    assert_eq!(flats(&tick), [(first.vantage, 2, 1, vec![1])]);
    let size = |tick: &Tick| match tick.vantages.last().unwrap().kind {
        VantageKind::Flat { width, height, .. } => (width, height),
        _ => (0, 0),
    };
    assert_eq!(size(&tick), (640, 360));
    pass(&mut server, 20_000);
    look(&mut server, 1, 2);
    let again = previewing(&server, 1).unwrap();
    assert_eq!(again.vantage, first.vantage, "it goes on");
    pass(&mut server, 20_000);
    // Another stop takes its place.
    look(&mut server, 1, 1);
    let other = previewing(&server, 1).unwrap();
    assert_ne!(other.vantage, first.vantage);
    assert_eq!(flats(&pass(&mut server, 29_900)), [(other.vantage, 1, 1, vec![1])]);
    assert_eq!(flats(&pass(&mut server, 100)), [], "it is over");
    // It ends with the lead and with a stop change, and there is none while one is prepared.
    look(&mut server, 1, 1);
    server.guide(2, 0, guide_command::Body::TakeLead(true));
    assert_eq!(flats(&pass(&mut server, 50)), []);
    look(&mut server, 2, 1);
    assert_eq!(flats(&pass(&mut server, 50)).len(), 1);
    server.guide(2, 2, GoToStop(1));
    assert_eq!(flats(&pass(&mut server, 50)), []);
    server.look_away();
    look(&mut server, 2, 0);
    assert_eq!(server.notices(2).len(), 1);
    assert!(previewing(&server, 2).is_none());
}

#[test]
fn a_restless_guide_is_told_to_wait() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join_guide(1, code);
    for i in 0..20 {
        server.say(1, Say::Preview(Preview { stop: 1 + i % 2 }));
    }
    let seen: std::collections::BTreeSet<u32> = server
        .bodies(1)
        .filter_map(|b| {
            if let Body::Previewing(p) = b {
                Some(p.vantage)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(seen.len(), 4, "a burst of four");
    assert!(server.notices(1).len() >= 8);
    assert_eq!(flats(&pass(&mut server, 50)).len(), 1, "one at a time");
}

#[test]
fn everybody_is_told_which_models_to_draw() {
    let mut server = Server::new();
    let model = LocalModel {
        url_path: "/local/00.glb".to_owned(),
        sha256: vec![0; 32],
        bytes: 1_234,
    };
    let unknown = server
        .registry
        .set_local_models("demo", "dawn", Vec::new())
        .unwrap_err();
    assert_eq!(unknown.to_string(), "tour \"demo\" has no stop \"dawn\"");
    assert!(matches!(
        server.registry.set_local_models("other", "day", Vec::new()),
        Err(Error::UnknownTour(_))
    ));
    let before = server.session(2);
    server
        .registry
        .set_local_models("demo", "dusk", vec![model.clone()])
        .unwrap();
    let code = server.session(2);
    let models = |welcome: Welcome| -> Vec<Vec<LocalModel>> {
        let stops = welcome.tour.unwrap().stops;
        stops.into_iter().map(|s| s.local_models).collect()
    };
    assert_eq!(models(server.join(1, code)), [vec![], vec![model], vec![]]);
    assert_eq!(models(server.join(2, before)), [vec![], vec![], vec![]]);
}
