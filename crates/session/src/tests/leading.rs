//! Who leads, and how the group moves on.

use super::*;
use client_message::Body as Say;
use guide_command::Body::{End, GoToStop, TakeLead};
use tongyou_protocol::control::{MoveToCell, Ready, Role, SkewReport};

fn ready(server: &mut Server, link: u64, epoch: u32) {
    server.say(link, Say::Ready(Ready { epoch, set: 1 }));
}

fn leaders(server: &Server, link: u64) -> Vec<String> {
    let roster = server.roster(link).unwrap();
    roster
        .people
        .into_iter()
        .filter(|p| p.role() == Role::Guide)
        .map(|p| p.name)
        .collect()
}

#[test]
fn one_leads_and_only_with_the_present_lease() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join(1, code);
    assert!(leaders(&server, 1).is_empty());
    server.guide(1, 0, GoToStop(1));
    server.guide(1, 0, TakeLead(true));
    assert_eq!(server.notices(1), [RefusedReason::RefusedNotAllowed; 2]);
    let first = server.join_guide(2, code);
    assert_eq!(first.roster.unwrap().lease, 1);
    server.join_guide(3, code);
    server.wait(60);
    assert_eq!(leaders(&server, 1), ["Guide 2"], "who may lead does not lead yet");
    server.guide(3, 1, GoToStop(1));
    assert_eq!(server.notices(3).len(), 1);
    server.wait(60);
    server.guide(3, 0, TakeLead(true));
    server.wait(60);
    assert_eq!(leaders(&server, 1), ["Guide 3"]);
    assert_eq!(server.roster(1).unwrap().lease, 2);
    server.guide(2, 1, GoToStop(1));
    server.guide(3, 1, GoToStop(1));
    server.guide(3, 2, GoToStop(77));
    server.guide(3, 2, End(false));
    server.guide(3, 2, GoToStop(0));
    assert_eq!(
        server.notices(3).len(),
        5,
        "old lease, no such stop, nothing, there already"
    );
    assert!(server.prepare(1).is_none(), "nothing of that moved the tour");
    assert!(server.registry.counters().commands_refused >= 6);
    assert!(server.log.iter().any(|l| l.contains("only the guide")));
    server.guide(3, 2, GoToStop(1));
    assert!(server.prepare(1).is_some());
    let info = &server.registry.sessions(server.now)[0];
    assert_eq!(
        (info.guide.as_deref(), info.guide_simulated, info.people),
        (Some("Guide 3"), false, 3)
    );
    server.guide(3, 2, End(true));
    assert!([1, 2, 3].iter().all(|l| server.closed.contains(&LinkId(*l))));
    assert!(matches!(server.other.last(), Some(Output::SessionEnded { .. })));
}

#[test]
fn a_lost_guide_keeps_the_lead_for_a_while() {
    let mut server = Server::new();
    let code = server.session(2);
    let guide = server.join_guide(1, code);
    server.join(2, code);
    server.input(1, Input::Disconnected);
    server.wait(60);
    // The place is kept for the guide.
    server.hello(5, hello(code, "Eve"));
    assert_eq!(server.refused(5).unwrap().0, RefusedReason::RefusedFull);
    server.hello(
        3,
        Hello {
            resume_ticket: guide.resume_ticket.clone(),
            ..hello(code, "Guide 1")
        },
    );
    let back = server.welcome(3).unwrap();
    assert_eq!(back.roster.as_ref().unwrap().lease, 1, "the same lease goes on");
    assert_eq!(leaders(&server, 3), ["Guide 1"]);
    server.guide(3, 1, GoToStop(1));
    assert!(server.notices(3).is_empty());
    // After half a minute it is free, and goes to who may have it.
    server.input(3, Input::Disconnected);
    let keep_alive = |server: &mut Server| {
        for _ in 0..31 {
            server.send(
                2,
                &Datagram::Ping(datagram::Ping {
                    seq: 0,
                    sent: tongyou_protocol::ClientTime(0),
                }),
            );
            server.wait(1000);
        }
    };
    keep_alive(&mut server);
    assert!(leaders(&server, 2).is_empty());
    let next = server.join_guide(4, code);
    assert_eq!(next.roster.unwrap().lease, 2);
}

#[test]
fn a_stop_change_has_two_phases() {
    let mut server = Server::new();
    let code = server.session(20);
    server.join_guide(1, code);
    for link in 2..=10 {
        server.join(link, code);
    }
    let before = server.wait(60).remove(0);
    assert_eq!(before.vantages.len(), 1);
    server.look_away();
    server.guide(1, 1, GoToStop(2));
    let prepare = server.prepare(7).unwrap();
    assert_eq!((prepare.epoch, prepare.stop), (2, 2));
    let during = server.wait(10).remove(0);
    let states: Vec<(u32, usize, bool, usize)> = during
        .vantages
        .iter()
        .map(|v| (v.epoch, v.stop, v.preparing, v.viewers.len()))
        .collect();
    assert_eq!(states, [(1, 0, false, 10), (2, 2, true, 10)]);
    assert_eq!(
        u32::from(during.vantages[1].vantage.0),
        prepare.placement.unwrap().vantage
    );
    assert_ne!(during.vantages[0].vantage, during.vantages[1].vantage);
    // Nine of ten are enough; wrong epochs and repetitions are not.
    for link in 1..=8 {
        ready(&mut server, link, 2);
        ready(&mut server, link, 2);
    }
    ready(&mut server, 9, 1);
    assert!(server.commit(1).is_none());
    ready(&mut server, 9, 2);
    let commit = server.commit(10).unwrap();
    assert_eq!((commit.epoch, commit.stop), (2, 2));
    assert_eq!(commit.at_us, server.now.0 + 300_000);
    assert_eq!(server.wait(299)[0].vantages.len(), 2);
    let after = server.wait(1).remove(0);
    assert_eq!(after.vantages.len(), 1);
    assert_eq!((after.vantages[0].stop, after.vantages[0].preparing), (2, false));
    assert_eq!(after.vantages[0].vantage, during.vantages[1].vantage);
    assert_eq!(after.vantages[0].viewers.len(), 10, "the straggler follows");
    let late = server.join(20, code);
    assert_eq!(late.current.unwrap(), commit);
}

#[test]
fn stragglers_are_waited_for_three_seconds_and_the_gone_not_at_all() {
    let mut server = Server::new();
    let code = server.session(20);
    server.join_guide(1, code);
    server.join(2, code);
    server.guide(1, 1, GoToStop(1));
    ready(&mut server, 1, 2);
    server.wait(2_999);
    assert!(server.commit(1).is_none());
    server.wait(1);
    assert_eq!(server.commit(2).unwrap().at_us, server.now.0 + 300_000);
    server.wait(300);
    server.look_away();
    server.guide(1, 1, GoToStop(2));
    ready(&mut server, 1, 3);
    assert!(server.commit(1).is_none());
    server.input(2, Input::Disconnected);
    assert!(server.commit(1).is_some(), "all who are here are ready");
}

#[test]
fn another_wish_replaces_what_is_prepared_and_waits_for_what_is_agreed() {
    let mut server = Server::new();
    let code = server.session(20);
    server.join_guide(1, code);
    server.guide(1, 1, GoToStop(1));
    server.guide(1, 1, GoToStop(1));
    assert_eq!(server.prepare(1).unwrap().epoch, 2, "twice the same is once");
    server.guide(1, 1, GoToStop(2));
    assert_eq!(
        (server.prepare(1).unwrap().epoch, server.prepare(1).unwrap().stop),
        (3, 2)
    );
    let tick = server.wait(1).remove(0);
    assert_eq!(tick.vantages.iter().map(|v| v.epoch).collect::<Vec<_>>(), [1, 3]);
    ready(&mut server, 1, 2);
    assert!(server.commit(1).is_none());
    ready(&mut server, 1, 3);
    assert_eq!(server.commit(1).unwrap().epoch, 3);
    server.guide(1, 1, GoToStop(1));
    server.guide(1, 1, GoToStop(0));
    assert!(server.notices(1).is_empty());
    assert_eq!(server.prepare(1).unwrap().epoch, 3, "agreed is agreed");
    server.wait(300);
    assert_eq!(
        (server.prepare(1).unwrap().epoch, server.prepare(1).unwrap().stop),
        (4, 0)
    );
    // Back to where the group stands, before anything is agreed.
    server.guide(1, 1, GoToStop(2));
    assert_eq!(
        (server.prepare(1).unwrap().epoch, server.prepare(1).unwrap().stop),
        (5, 2)
    );
}

#[test]
fn who_joins_during_a_change_is_told_all() {
    let mut server = Server::new();
    let code = server.session(20);
    server.join_guide(1, code);
    server.guide(1, 1, GoToStop(1));
    let late = server.join(2, code);
    assert_eq!(late.current.unwrap().epoch, 1);
    assert_eq!(server.prepare(2).unwrap().epoch, 2);
    assert!(server.commit(2).is_none());
    ready(&mut server, 1, 2);
    ready(&mut server, 2, 2);
    let later = server.join(3, code);
    assert_eq!(later.current.unwrap().epoch, 1);
    assert!(server.prepare(3).is_some());
    assert_eq!(server.commit(3), server.commit(1));
    let tick = server.wait(0).remove(0);
    assert!(tick.vantages.iter().all(|v| v.viewers.len() == 3));
    let latest = {
        server.wait(300);
        server.join(4, code)
    };
    assert_eq!(latest.current.unwrap().epoch, 2);
    assert!(server.prepare(4).is_none());
    assert_eq!(latest.tour_zero_us, late.tour_zero_us);
}

#[test]
fn who_comes_back_during_a_change_has_to_get_ready_again() {
    let mut server = Server::new();
    let code = server.session(20);
    server.join_guide(1, code);
    let tourist = server.join(2, code);
    server.guide(1, 1, GoToStop(1));
    ready(&mut server, 2, 2);
    let resume_ticket = tourist.resume_ticket;
    server.hello(
        3,
        Hello {
            resume_ticket,
            ..hello(code, "Person 2")
        },
    );
    assert_eq!(server.prepare(3).unwrap().epoch, 2);
    ready(&mut server, 1, 2);
    assert!(server.commit(1).is_none());
    ready(&mut server, 3, 2);
    assert_eq!(server.commit(3), server.commit(1));
    assert!(server.commit(3).is_some());
}

#[test]
fn a_person_walks_from_cell_to_cell() {
    let mut server = Server::new();
    let code = server.session(2);
    server.join(1, code);
    let welcome = server.join(2, code);
    let go = |server: &mut Server, epoch, cell| server.say(2, Say::MoveToCell(MoveToCell { epoch, cell }));
    go(&mut server, 1, 2);
    let placement = server.placement(2).unwrap();
    assert_eq!((placement.epoch, placement.cell), (1, 2));
    assert_ne!(placement.vantage, welcome.placement.unwrap().vantage);
    server.wait(60);
    let cells: Vec<u32> = server.roster(1).unwrap().people.iter().map(|p| p.cell).collect();
    assert_eq!(cells, [0, 2]);
    let tick = server.wait(1).remove(0);
    assert_eq!(
        tick.vantages
            .iter()
            .map(|v| (v.cell, v.viewers.len()))
            .collect::<Vec<_>>(),
        [(0, 1), (2, 1)]
    );
    go(&mut server, 1, 2);
    assert_eq!(
        server.placement(2),
        Some(placement),
        "there already: told again, not moved"
    );
    go(&mut server, 2, 0);
    go(&mut server, 1, 3);
    assert_eq!(server.notices(2), [RefusedReason::RefusedNotAllowed; 2]);
    for i in 0..10 {
        go(&mut server, 1, i % 2);
    }
    assert!(server.notices(2).len() > 2, "not too often");
}

#[test]
fn an_agreed_change_is_said_in_three_datagrams_as_well() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join_guide(1, code);
    server.join(2, code);
    server.guide(1, 1, GoToStop(1));
    server.wait(14);
    server.look_away();
    ready(&mut server, 1, 2);
    ready(&mut server, 2, 2);
    let agreed = server.now;
    for _ in 0..20 {
        server.wait(14);
    }
    for link in [1, 2] {
        let commit = server.commit(link).unwrap();
        let copies: Vec<(i64, datagram::Commit)> = server.datagrams[&LinkId(link)]
            .iter()
            .filter_map(|(at, bytes)| match Datagram::from_bytes(bytes).unwrap() {
                Datagram::Commit(copy) => Some((at.micros_since(agreed) / 1000, copy)),
                _ => None,
            })
            .collect();
        assert_eq!(copies.iter().map(|(ms, _)| *ms).collect::<Vec<_>>(), [0, 42, 84]);
        for (_, copy) in copies {
            assert_eq!(
                (copy.epoch, copy.stop, copy.at.0),
                (commit.epoch, commit.stop, commit.at_us)
            );
        }
    }
    // A headset does not say such things.
    let copy = datagram::Commit {
        epoch: 9,
        stop: 0,
        at: server.now,
    };
    server.send(2, &Datagram::Commit(copy));
    assert_eq!(server.notices(2), [RefusedReason::RefusedNotAllowed]);
    server.wait(60);
    assert!(server.prepare(2).is_none_or(|p| p.epoch < 9));
}

#[test]
fn the_instant_is_so_far_ahead_that_the_slowest_hears_of_it() {
    for (rtts, lead_ms) in [
        ([5, 10], 300),
        ([5, 199], 300),
        ([5, 400], 500),
        ([900, 20], 1_000),
        ([5, 9_000], 1_500),
    ] {
        let mut server = Server::new();
        let code = server.session(9);
        server.connect(1);
        let rtt = |ms: u64| Duration::from_millis(ms);
        // Known before the hello, and once more after it.
        server.registry.set_rtt(server.now, LinkId(1), rtt(rtts[0]));
        let guide_grant = server.registry.issue_grant(server.now, code).unwrap();
        let hello = Hello {
            guide_grant,
            ..hello(code, "Guide")
        };
        server.say(1, Say::Hello(hello));
        server.join(2, code);
        server.registry.set_rtt(server.now, LinkId(2), rtt(rtts[1]));
        server.registry.set_rtt(server.now, LinkId(77), rtt(1_400));
        // Who is gone holds nobody up.
        server.join(3, code);
        server.registry.set_rtt(server.now, LinkId(3), rtt(1_300));
        server.input(3, Input::Disconnected);
        server.guide(1, 1, GoToStop(1));
        ready(&mut server, 1, 2);
        ready(&mut server, 2, 2);
        let ahead = server.commit(1).unwrap().at_us - server.now.0;
        assert_eq!(ahead, lead_ms * 1000, "{rtts:?}");
    }
}

#[test]
fn the_roster_tells_how_far_off_each_headset_changed_the_stop() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join_guide(1, code);
    server.join(2, code);
    server.guide(1, 1, GoToStop(1));
    let epoch = server.prepare(1).unwrap().epoch;
    let report = |epoch, applied_us| {
        Say::Skew(SkewReport {
            epoch,
            applied_us,
            presented_us: applied_us + 9_000,
        })
    };
    server.say(2, report(epoch, 77));
    ready(&mut server, 1, epoch);
    ready(&mut server, 2, epoch);
    server.wait(400);
    server.say(1, report(epoch, -120));
    server.say(2, report(epoch, 24_500));
    server.say(2, report(epoch + 1, 5));
    server.wait(1_100);
    let skews: Vec<_> = server.roster(1).unwrap().people.iter().map(|p| p.skew_us).collect();
    assert_eq!(skews, [Some(-120), Some(24_500)], "of the present stop alone");
}
