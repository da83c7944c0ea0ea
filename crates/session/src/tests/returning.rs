//! Headsets whose connection breaks, and that come back with their ticket.

use super::*;
use tongyou_protocol::ClientTime;
use tongyou_protocol::control::{MoveToCell, Role};
use tongyou_protocol::datagram::Ping;

const GUIDE: u64 = 1;
const WALKER: u64 = 2;
const WITNESS: u64 = 3;

/// A guide, somebody who walked to another cell, and somebody who watches: the session is full.
fn full_house() -> (Server, SessionCode, Welcome, Welcome, Placement) {
    let mut server = Server::new();
    let code = server.session(3);
    let guide = server.join_guide(GUIDE, code);
    let walker = server.join(WALKER, code);
    server.join(WITNESS, code);
    let to = MoveToCell { epoch: 1, cell: 1 };
    server.say(WALKER, client_message::Body::MoveToCell(to));
    let stands = server.placement(WALKER).unwrap();
    let pose = pose_at(&walker, &stands, server.now, 40_000, Vec3::ZERO);
    server.send(WALKER, &Datagram::Pose(pose));
    server.wait(100);
    server.look_away();
    (server, code, guide, walker, stands)
}

/// Lets time pass while `cut` is silent and all others are heard; when the witness first saw it gone.
fn silence(server: &mut Server, cut: u64, ms: u64) -> Option<u64> {
    let people = |server: &Server| server.roster(WITNESS).map_or(3, |r| r.people.len());
    let mut gone_at = None;
    for passed in (0..ms).step_by(50) {
        for link in [GUIDE, WALKER, WITNESS].into_iter().filter(|l| *l != cut) {
            let ping = Ping {
                seq: 0,
                sent: ClientTime(0),
            };
            server.send(link, &Datagram::Ping(ping));
        }
        server.wait(50);
        if people(server) == 2 {
            gone_at.get_or_insert(passed + 50);
        }
    }
    gone_at
}

fn come_back(server: &mut Server, link: u64, code: SessionCode, before: &Welcome, name: &str) -> Welcome {
    let hello = Hello {
        resume_ticket: before.resume_ticket.clone(),
        ..hello(code, name)
    };
    server.hello(link, hello);
    server.welcome(link).unwrap()
}

#[test]
fn a_walker_comes_back_after_one_five_and_thirty_seconds() {
    for seconds in [1, 5, 30] {
        let (mut server, code, _, walker, stands) = full_house();
        let gone_at = silence(&mut server, WALKER, seconds * 1000);
        if seconds == 1 {
            assert_eq!(gone_at, None, "too short to be noticed");
        } else {
            assert!(gone_at.unwrap() <= 5_000, "{gone_at:?}");
        }
        // Its place is not given away meanwhile.
        server.hello(7, hello(code, "Eve"));
        assert_eq!(server.refused(7).unwrap().0, RefusedReason::RefusedFull);
        let back = come_back(&mut server, 8, code, &walker, "Person 2");
        assert_eq!(
            (back.headset, &back.resume_ticket),
            (walker.headset, &walker.resume_ticket)
        );
        let placement = back.placement.unwrap();
        assert_eq!((placement.cell, placement.seat), (stands.cell, stands.seat));
        server.wait(100);
        let roster = server.roster(WITNESS).unwrap();
        assert_eq!(roster.people.len(), 3);
        let again = roster.people.iter().find(|p| p.headset == walker.headset).unwrap();
        assert_eq!((again.cell, again.name.as_str()), (1, "Person 2"));
        // It counts its poses anew, and the others see it where it stands.
        server.look_away();
        let pose = pose_at(&back, &placement, server.now, 0, Vec3::ZERO);
        server.send(8, &Datagram::Pose(pose));
        server.wait(50);
        let seen = server.avatars(WITNESS);
        assert!(
            seen.iter().any(|(id, b)| u32::from(*id) == walker.headset && b.jump),
            "{seen:?}"
        );
    }
}

#[test]
fn a_guide_comes_back_to_the_lead_after_one_five_and_thirty_seconds() {
    for seconds in [1, 5, 30] {
        let (mut server, code, guide, ..) = full_house();
        silence(&mut server, GUIDE, seconds * 1000);
        // No grant: the ticket is enough.
        let back = come_back(&mut server, 8, code, &guide, "Guide 1");
        assert_eq!(back.headset, guide.headset);
        assert_eq!(back.placement, guide.placement);
        let roster = back.roster.as_ref().unwrap();
        assert_eq!(roster.lease, guide.roster.as_ref().unwrap().lease);
        let me = roster.people.iter().find(|p| p.headset == back.headset).unwrap();
        assert_eq!((me.role(), me.may_guide), (Role::Guide, true));
        server.guide(8, roster.lease, guide_command::Body::GoToStop(1));
        assert!(server.notices(8).is_empty());
        assert_eq!(server.prepare(WITNESS).unwrap().stop, 1);
    }
}

#[test]
fn who_stays_away_for_longer_keeps_the_name_but_not_the_place() {
    let (mut server, code, _, walker, _) = full_house();
    silence(&mut server, WALKER, 36_000);
    server.join(7, code);
    server.hello(
        8,
        Hello {
            resume_ticket: walker.resume_ticket.clone(),
            ..hello(code, "Person 2")
        },
    );
    assert_eq!(server.refused(8).unwrap().0, RefusedReason::RefusedFull);
    server.say(7, client_message::Body::Leave(Default::default()));
    let back = come_back(&mut server, 9, code, &walker, "Person 2");
    assert_eq!(back.headset, walker.headset, "the same person, at a place that is free");
    assert_eq!(back.placement.unwrap().cell, 0);
}

#[test]
fn who_was_away_during_a_stop_change_comes_to_where_the_group_is() {
    let (mut server, code, _, walker, _) = full_house();
    silence(&mut server, WALKER, 5_000);
    server.guide(GUIDE, 1, guide_command::Body::GoToStop(2));
    for link in [GUIDE, WITNESS] {
        let ready = tongyou_protocol::control::Ready { epoch: 2, set: 0 };
        server.say(link, client_message::Body::Ready(ready));
    }
    silence(&mut server, WALKER, 2_000);
    let back = come_back(&mut server, 8, code, &walker, "Person 2");
    assert_eq!(back.headset, walker.headset);
    let current = back.current.unwrap();
    assert_eq!((current.epoch, current.stop), (2, 2));
    let placement = back.placement.unwrap();
    assert_eq!((placement.epoch, placement.cell), (2, 0));
}

#[test]
fn a_name_that_was_taken_meanwhile_shuts_nobody_out() {
    let mut server = Server::new();
    let code = server.session(5);
    let first = server.join(WALKER, code);
    server.input(WALKER, Input::Disconnected);
    // The same person on a page without the ticket, or somebody else.
    server.hello(7, hello(code, "Person 2"));
    assert!(server.welcome(7).is_some());
    let back = come_back(&mut server, 8, code, &first, "Person 2");
    assert_eq!(back.headset, first.headset);
    let names: Vec<String> = back.roster.unwrap().people.into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["Person 2 2", "Person 2"], "in the order of their ids");
}

#[test]
fn who_is_away_for_a_moment_finds_the_same_vantage() {
    let (mut server, code, _, walker, stands) = full_house();
    let shown = |ticks: &[Tick]| {
        let vantages = ticks.iter().flat_map(|t| &t.vantages);
        vantages
            .filter(|v| v.cell == 1)
            .map(|v| u32::from(v.vantage.0))
            .collect::<Vec<_>>()
    };
    server.input(WALKER, Input::Disconnected);
    assert_eq!(
        shown(&server.wait(50)),
        [stands.vantage],
        "kept up for who may load a page anew"
    );
    let again = come_back(&mut server, 9, code, &walker, "Walker");
    assert_eq!(again.placement.unwrap().vantage, stands.vantage);
    server.input(9, Input::Disconnected);
    silence(&mut server, WALKER, 9_900);
    assert_eq!(shown(&server.wait(50)), [stands.vantage]);
    assert!(shown(&server.wait(100)).is_empty(), "but not drawn for nobody for long");
}
