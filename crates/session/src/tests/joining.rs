//! Who comes in, stays, leaves and comes back.

use super::*;
use std::collections::BTreeSet;
use tongyou_protocol::datagram::{Feedback, Ping};
use tongyou_protocol::{ClientTime, SetId};

#[test]
fn hello_comes_first() {
    let mut server = Server::new();
    server.session(4);
    server.connect(1);
    server.say(1, client_message::Body::Leave(Default::default()));
    assert_eq!(server.refused(1).unwrap().0, RefusedReason::RefusedMalformed);
    server.connect(2);
    server.input(2, Input::Control(&[0xff; 9]));
    assert_eq!(server.refused(2).unwrap().0, RefusedReason::RefusedMalformed);
    server.connect(3);
    server.wait(4_999);
    assert!(!server.closed.contains(&LinkId(3)));
    server.wait(1);
    assert!(server.closed.contains(&LinkId(3)));
    // What still comes from a closed link is ignored.
    server.say(3, client_message::Body::Leave(Default::default()));
    assert_eq!(server.log.len(), 4, "{:?}", server.log);
}

#[test]
fn what_is_wrong_is_said() {
    let mut server = Server::new();
    let code = server.session(1);
    let other: SessionCode = "BCDF-GHJK".parse().unwrap();
    let grant = "0".repeat(32);
    let ok = hello(code, "Ann");
    let cases = [
        (
            Hello {
                protocol_version: 9,
                ..ok.clone()
            },
            RefusedReason::RefusedVersion,
        ),
        (hello(other, "Ann"), RefusedReason::RefusedCode),
        (
            Hello {
                code: "nonsense".into(),
                ..ok.clone()
            },
            RefusedReason::RefusedCode,
        ),
        (hello(code, "  "), RefusedReason::RefusedName),
        (hello(code, "a\u{202e}b"), RefusedReason::RefusedName),
        (
            Hello {
                guide_grant: grant,
                ..ok.clone()
            },
            RefusedReason::RefusedGrant,
        ),
        (
            Hello {
                guide_grant: "+é".repeat(11),
                ..ok.clone()
            },
            RefusedReason::RefusedGrant,
        ),
    ];
    for (link, (hello, reason)) in (1..).zip(cases) {
        server.hello(link, hello);
        assert_eq!(server.refused(link).unwrap().0, reason);
    }
    let (_, why) = server.refused(1).unwrap();
    assert!(why.contains('9') && why.contains('1'), "{why}");
    server.hello(
        20,
        Hello {
            resume_ticket: vec![1, 2, 3],
            ..ok
        },
    );
    assert!(server.welcome(20).is_some(), "an unknown ticket is no reason");
    server.hello(21, hello(code, "Bob"));
    assert_eq!(server.refused(21).unwrap().0, RefusedReason::RefusedFull);
}

#[test]
fn guessing_is_limited_even_for_the_right_code() {
    let mut server = Server::new();
    let code = server.session(10);
    let guess: SessionCode = "BCDF-GHJK".parse().unwrap();
    let ticket = server.join(500, code).resume_ticket;
    for link in 1..=10 {
        server.hello(link, hello(guess, "Eve"));
        assert_eq!(server.refused(link).unwrap().0, RefusedReason::RefusedCode);
    }
    server.hello(11, hello(code, "Eve"));
    assert_eq!(server.refused(11).unwrap().0, RefusedReason::RefusedTooManyAttempts);
    // Others, and who has been in, are not harmed.
    server.connect_from(12, "192.0.2.99");
    server.say(12, client_message::Body::Hello(hello(code, "Ann")));
    assert!(server.welcome(12).is_some());
    server.hello(
        13,
        Hello {
            resume_ticket: ticket,
            ..hello(code, "Person 500")
        },
    );
    assert!(server.welcome(13).is_some());
    server.now = server.now + Duration::from_secs(11);
    server.hello(14, hello(code, "Eve"));
    assert!(server.welcome(14).is_some());
}

#[test]
fn two_hundred_race_for_places() {
    let mut server = Server::new();
    let code = server.session(60);
    for link in 0..200 {
        server.connect(link);
    }
    for link in 0..200 {
        server.say(link, client_message::Body::Hello(hello(code, "Ann")));
    }
    let welcomes: Vec<Welcome> = (0..200).filter_map(|l| server.welcome(l)).collect();
    assert_eq!(welcomes.len(), 60);
    let refused = (0..200).filter(|l| server.closed.contains(&LinkId(*l)));
    assert!(
        refused
            .clone()
            .all(|l| server.refused(l).unwrap().0 == RefusedReason::RefusedFull)
    );
    assert_eq!(refused.count(), 140);
    server.wait(60);
    let roster = server.roster(0).unwrap();
    assert_eq!(roster.people.len(), 60);
    let ids: BTreeSet<u32> = roster.people.iter().map(|p| p.headset).collect();
    let names: BTreeSet<&str> = roster.people.iter().map(|p| p.name.as_str()).collect();
    assert_eq!((ids.len(), names.len()), (60, 60));
    // One place becomes free: one more comes in.
    server.say(0, client_message::Body::Leave(Default::default()));
    server.join(300, code);
    server.hello(301, hello(code, "Bob"));
    assert_eq!(server.refused(301).unwrap().0, RefusedReason::RefusedFull);
}

#[test]
fn sessions_do_not_see_each_other() {
    let mut server = Server::new();
    let (one, two) = (server.session(9), server.session(9));
    let guide = server.join_guide(1, one);
    let tourist = server.join(2, one);
    server.join_guide(3, two);
    let lonely = server.join(4, two);
    server.wait(60);
    server.look_away();
    server.guide(1, 1, guide_command::Body::GoToStop(1));
    let placement = tourist.placement.unwrap();
    for seq in 0..20 {
        let pose = pose_at(&tourist, &placement, server.now, seq, Vec3::ZERO);
        server.send(2, &Datagram::Pose(pose));
        server.wait(33);
    }
    assert!(server.prepare(2).is_some());
    assert!(
        server
            .avatars(1)
            .iter()
            .any(|(id, _)| u32::from(*id) == tourist.headset)
    );
    for link in [3, 4] {
        assert_eq!(server.bodies(link).count(), 0);
        assert!(server.avatars(link).is_empty());
    }
    assert_ne!(guide.resume_ticket, lonely.resume_ticket);
    // A ticket of one session is worth nothing in the other; neither is a grant.
    server.hello(
        5,
        Hello {
            resume_ticket: tourist.resume_ticket,
            ..hello(two, "Mallory")
        },
    );
    assert_eq!(server.roster(5).unwrap().people.len(), 3);
    let guide_grant = server.registry.issue_grant(server.now, one).unwrap();
    server.hello(
        6,
        Hello {
            guide_grant,
            ..hello(two, "Mallory")
        },
    );
    assert_eq!(server.refused(6).unwrap().0, RefusedReason::RefusedGrant);
    let ticks = server.wait(1);
    assert_eq!(ticks.len(), 2);
    let viewers = |t: &Tick| -> Vec<u64> {
        t.vantages
            .iter()
            .flat_map(|v| v.viewers.iter().map(|l| l.link.0))
            .collect()
    };
    assert!(viewers(&ticks[0]).iter().all(|l| [1, 2].contains(l)));
    assert!(viewers(&ticks[1]).iter().all(|l| [3, 4, 5].contains(l)));
    server.registry.end_session(server.now, one).unwrap();
    server.drain();
    assert!(server.closed.contains(&LinkId(2)) && !server.closed.contains(&LinkId(4)));
    assert_eq!(server.registry.sessions(server.now).len(), 1);
    assert!(server.registry.end_session(server.now, one).is_err());
}

#[test]
fn who_comes_back_stands_where_he_stood() {
    let mut server = Server::new();
    let code = server.session(4);
    server.join(1, code);
    let first = server.join(2, code);
    server.say(
        2,
        client_message::Body::MoveToCell(tongyou_protocol::control::MoveToCell { epoch: 1, cell: 1 }),
    );
    let moved = server.placement(2).unwrap();
    server.wait(60);
    server.wait(60);
    server.look_away();
    server.input(2, Input::Disconnected);
    assert_eq!(server.roster(1).unwrap().people.len(), 1, "gone at once");
    server.now = server.now + Duration::from_secs(3);
    server.send(
        1,
        &Datagram::Ping(Ping {
            seq: 0,
            sent: ClientTime(0),
        }),
    );
    server.hello(
        3,
        Hello {
            resume_ticket: first.resume_ticket.clone(),
            ..hello(code, "Person 2")
        },
    );
    let again = server.welcome(3).unwrap();
    assert_eq!(again.headset, first.headset);
    assert_eq!(again.resume_ticket, first.resume_ticket);
    let placement = again.placement.unwrap();
    assert_eq!((placement.cell, placement.seat), (1, moved.seat));
    // The old connection may still be up: the new one takes its place.
    server.hello(
        4,
        Hello {
            resume_ticket: first.resume_ticket,
            ..hello(code, "Person 2")
        },
    );
    assert_eq!(server.welcome(4).unwrap().headset, first.headset);
    assert!(server.closed.contains(&LinkId(3)));
    server.wait(60);
    let names: Vec<String> = server.roster(1).unwrap().people.into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["Person 1", "Person 2"]);
    server.input(3, Input::Disconnected);
    assert_eq!(
        server.registry.sessions(server.now)[0].people,
        2,
        "the old link means nothing any more"
    );
}

#[test]
fn who_left_has_no_ticket_any_more() {
    let mut server = Server::new();
    let code = server.session(4);
    let first = server.join(1, code);
    server.say(1, client_message::Body::Leave(Default::default()));
    assert!(server.closed.contains(&LinkId(1)));
    server.hello(
        2,
        Hello {
            resume_ticket: first.resume_ticket,
            ..hello(code, "Person 1")
        },
    );
    assert_ne!(server.welcome(2).unwrap().headset, first.headset);
}

#[test]
fn the_silent_are_gone_within_five_seconds() {
    let mut server = Server::new();
    let code = server.session(4);
    server.join(1, code);
    server.join(2, code);
    for _ in 0..45 {
        server.send(
            1,
            &Datagram::Ping(Ping {
                seq: 0,
                sent: ClientTime(0),
            }),
        );
        server.wait(100);
    }
    assert!(server.closed.contains(&LinkId(2)) && !server.closed.contains(&LinkId(1)));
    assert_eq!(server.roster(1).unwrap().people.len(), 1);
}

#[test]
fn pings_are_answered_with_both_times_even_before_the_hello() {
    let mut server = Server::new();
    server.connect(1);
    let ping = Ping {
        seq: 7,
        sent: ClientTime(99),
    };
    server
        .registry
        .handle(server.now, LinkId(1), Input::Datagram(&Datagram::Ping(ping).to_bytes()));
    let received = server.now;
    server.now = server.now + Duration::from_millis(2);
    server.drain();
    let (_, bytes) = &server.datagrams[&LinkId(1)][0];
    let Datagram::Pong(pong) = Datagram::from_bytes(bytes).unwrap() else {
        panic!("no pong")
    };
    assert_eq!((pong.seq, pong.sent), (7, ClientTime(99)));
    assert_eq!((pong.received, pong.replied), (received, server.now));
}

#[test]
fn hostile_bytes_get_one_notice_and_a_log_line() {
    let mut server = Server::new();
    let code = server.session(4);
    server.join(1, code);
    let other = server.join(2, code);
    server.wait(60);
    let lines = server.log.len();
    for len in 0..200_u8 {
        server.input(2, Input::Datagram(&vec![len; usize::from(len)]));
    }
    assert_eq!(server.notices(2), [RefusedReason::RefusedMalformed]);
    assert_eq!(server.log.len(), lines + 1);
    assert!(server.registry.counters().datagrams_malformed > 100);
    server.input(2, Input::Control(b"\xff\xff"));
    assert_eq!(server.notices(2).len(), 1, "not again and again");
    server.hello(9, hello(code, "x"));
    server.say(2, client_message::Body::Hello(hello(code, "again")));
    assert_eq!(
        server
            .roster(1)
            .unwrap()
            .people
            .iter()
            .filter(|p| p.headset == other.headset)
            .count(),
        1
    );
    for _ in 0..100 {
        server.say(2, client_message::Body::Leave(Default::default()));
        server.input(9, Input::Control(b"\xff"));
    }
    assert!(server.closed.contains(&LinkId(9)), "too many");
    assert!(!server.closed.contains(&LinkId(1)));
}

#[test]
fn feedback_is_passed_on() {
    let mut server = Server::new();
    let code = server.session(4);
    server.join(1, code);
    let feedback = Feedback {
        last_set: SetId(4),
        interval_ms: 250,
        complete: 3,
        missed: 1,
        decode_queue: 0,
        delay_ms: 40,
        bytes: 1000,
    };
    server.send(1, &Datagram::Feedback(feedback));
    assert_eq!(
        server.other,
        [Output::Feedback {
            link: LinkId(1),
            feedback
        }]
    );
}

#[test]
fn a_link_number_that_is_used_again_leaves_nobody_behind() {
    let mut server = Server::new();
    let code = server.session(4);
    server.join(1, code);
    server.connect(1);
    assert_eq!(server.registry.sessions(server.now)[0].people, 0);
}

#[test]
fn operators_are_told_what_is_wrong() {
    let mut server = Server::new();
    let asked = |registry: &mut Registry, tour: &str, capacity| {
        registry
            .create_session(ServerTime(0), tour, capacity)
            .unwrap_err()
            .to_string()
    };
    assert!(asked(&mut server.registry, "moon", None).contains("moon"));
    assert!(asked(&mut server.registry, "demo", Some(0)).contains('0'));
    assert!(asked(&mut server.registry, "demo", Some(1001)).contains("1000"));
    let unknown = "BCDF-GHJK".parse().unwrap();
    assert!(
        server
            .registry
            .issue_grant(server.now, unknown)
            .unwrap_err()
            .to_string()
            .contains("BCDF-GHJK")
    );
    let mut tour = (*testing::tour()).clone();
    tour.stops[1].cells.clear();
    let error = server.registry.add_tour(tour.into()).unwrap_err().to_string();
    assert!(error.contains("stops[1].cells"), "{error}");
    // Few places on the ground are worth a line in the log, and no reason to refuse.
    let mut tour = (*testing::tour()).clone();
    tour.stops[0].walkable[0].outline = vec![[-2.0, 15.0], [2.0, 15.0], [2.0, 25.0], [-2.0, 25.0]];
    tour.stops[0].cells.truncate(1);
    server.registry.add_tour(tour.into()).unwrap();
    let code = server.session(40);
    for link in 0..40 {
        server.join(link, code);
    }
    assert!(server.log.iter().any(|l| l.contains("share")), "{:?}", server.log);
}

#[test]
fn grants_and_empty_sessions_end_after_half_a_day() {
    let mut server = Server::new();
    let code = server.session(4);
    let guide_grant = server.registry.issue_grant(server.now, code).unwrap();
    server.join(1, code);
    server.input(1, Input::Disconnected);
    server.wait(12 * 3600 * 1000 - 1);
    assert_eq!(server.registry.sessions(server.now).len(), 1);
    server.now = server.now + Duration::from_millis(1);
    server.hello(
        2,
        Hello {
            guide_grant,
            ..hello(code, "Late")
        },
    );
    assert_eq!(server.refused(2).unwrap().0, RefusedReason::RefusedGrant);
    assert!(server.wait(0).is_empty());
    assert!(matches!(server.other.last(), Some(Output::SessionEnded { .. })));
}
