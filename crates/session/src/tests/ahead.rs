//! Looking ahead: the picture of the next cell comes before its wearer does.

use super::*;
use crate::Viewer;
use client_message::Body as Say;
use std::collections::BTreeSet;
use tongyou_protocol::control::{Ahead, LookAhead, MoveToCell};

fn hint(server: &mut Server, link: u64, cell: u32) {
    server.say(link, Say::LookAhead(LookAhead { epoch: 1, cell }));
}

fn walk(server: &mut Server, link: u64, cell: u32) {
    server.say(link, Say::MoveToCell(MoveToCell { epoch: 1, cell }));
}

fn aheads(server: &Server, link: u64) -> Vec<Ahead> {
    let ahead = |b: &Body| if let Body::Ahead(a) = b { Some(*a) } else { None };
    server.bodies(link).filter_map(ahead).collect()
}

/// A headset that says nothing for four seconds is gone.
fn alive(server: &mut Server, link: u64) {
    let sent = tongyou_protocol::ClientTime(0);
    server.send(link, &Datagram::Ping(datagram::Ping { seq: 0, sent }));
}

/// Of the first session: each rendered cell, with who is sent it.
fn seen(server: &mut Server) -> Vec<(usize, Vec<u64>)> {
    let tick = server.wait(1).remove(0);
    let links = |viewers: &[Viewer]| viewers.iter().map(|v| v.link.0).collect();
    tick.vantages.iter().map(|v| (v.cell, links(&v.viewers))).collect()
}

#[test]
fn the_picture_is_there_before_the_wearer_and_nobody_else_notices() {
    let mut server = Server::new();
    let code = server.session(4);
    server.join(1, code);
    let welcome = server.join(2, code);
    server.wait(60);
    server.look_away();
    hint(&mut server, 2, 2);
    let [ahead] = aheads(&server, 2)[..] else {
        panic!("{:?}", server.control)
    };
    assert_eq!((ahead.epoch, ahead.cell), (1, 2));
    assert_eq!(ahead.until_us, server.now.0 + 8_000_000);
    assert_ne!(ahead.vantage, welcome.placement.unwrap().vantage);
    assert_eq!(seen(&mut server), [(0, vec![1, 2]), (2, vec![2])]);
    server.wait(60);
    assert_eq!(
        server.bodies(1).count(),
        0,
        "no roster, no seat: the others hear nothing"
    );
    assert!(server.placement(2).is_none());
    walk(&mut server, 2, 2);
    assert_eq!(
        server.placement(2).unwrap().vantage,
        ahead.vantage,
        "the same stream goes on"
    );
    assert_eq!(seen(&mut server), [(0, vec![1]), (2, vec![2])]);
    for _ in 0..4 {
        server.wait(2_500);
        alive(&mut server, 1);
        alive(&mut server, 2);
    }
    assert_eq!(seen(&mut server).len(), 2, "where somebody stands nothing expires");
}

#[test]
fn it_ends_by_itself_and_lasts_longer_when_said_again() {
    let mut server = Server::new();
    let code = server.session(4);
    server.join(1, code);
    hint(&mut server, 1, 1);
    for _ in 0..3 {
        server.wait(2_000);
        alive(&mut server, 1);
    }
    hint(&mut server, 1, 1);
    let [first, again] = aheads(&server, 1)[..] else {
        panic!()
    };
    assert_eq!(first.vantage, again.vantage);
    for _ in 0..3 {
        server.wait(2_500);
        alive(&mut server, 1);
    }
    assert_eq!(seen(&mut server), [(0, vec![1]), (1, vec![1])]);
    server.wait(500);
    assert_eq!(seen(&mut server), [(0, vec![1])]);
    // The own cell ends it at once.
    hint(&mut server, 1, 1);
    hint(&mut server, 1, 0);
    assert_eq!(seen(&mut server), [(0, vec![1])]);
}

#[test]
fn two_cells_are_rendered_ahead_for_all_together_and_one_for_each() {
    let mut server = Server::new();
    let code = server.session(6);
    for link in 1..=3 {
        server.join(link, code);
    }
    hint(&mut server, 1, 1);
    hint(&mut server, 1, 2);
    assert_eq!(seen(&mut server), [(0, vec![1, 2, 3]), (2, vec![1])], "one for each");
    hint(&mut server, 2, 2);
    assert_eq!(seen(&mut server), [(0, vec![1, 2, 3]), (2, vec![1, 2])], "shared");
    let mut server = Server::with(Config {
        ahead_vantages: 1,
        ..Config::default()
    });
    let code = server.session(6);
    let other = server.session(6);
    for link in 1..=3 {
        server.join(link, code);
    }
    server.join(9, other);
    hint(&mut server, 1, 1);
    hint(&mut server, 2, 2);
    assert_eq!(aheads(&server, 2), [], "no room, and no complaint");
    assert_eq!(server.notices(2), []);
    hint(&mut server, 1, 2);
    assert_eq!(
        seen(&mut server),
        [(0, vec![1, 2, 3]), (2, vec![1])],
        "the own one gives way"
    );
    hint(&mut server, 9, 1);
    assert_eq!(aheads(&server, 9).len(), 1, "another session has its own room");
    walk(&mut server, 3, 1);
    hint(&mut server, 2, 1);
    assert_eq!(aheads(&server, 2).len(), 1, "where somebody stands it costs nothing");
}

#[test]
fn hints_leave_a_move_its_token() {
    let mut server = Server::new();
    let code = server.session(4);
    server.join(1, code);
    for i in 0..20 {
        hint(&mut server, 1, 1 + i % 2);
    }
    let vantages: BTreeSet<u32> = aheads(&server, 1).iter().map(|a| a.vantage).collect();
    assert_eq!(vantages.len(), 3, "a burst of four, one of them for the move");
    walk(&mut server, 1, 1);
    assert_eq!(server.placement(1).unwrap().cell, 1);
    assert_eq!(server.notices(1), []);
    hint(&mut server, 1, 7);
    assert_eq!(server.notices(1), [RefusedReason::RefusedNotAllowed]);
    server.say(1, Say::LookAhead(LookAhead { epoch: 5, cell: 2 }));
    assert_eq!(server.notices(1).len(), 1, "a hint that comes too late is no offence");
}

#[test]
fn a_stop_change_and_a_new_connection_end_it() {
    let mut server = Server::new();
    let code = server.session(4);
    let guide = server.join_guide(1, code);
    let lease = guide.roster.unwrap().lease;
    let ticket = server.join(2, code).resume_ticket;
    hint(&mut server, 2, 2);
    let resume_ticket = ticket;
    server.hello(
        3,
        Hello {
            resume_ticket,
            ..hello(code, "Person 2")
        },
    );
    assert_eq!(seen(&mut server), [(0, vec![1, 3])]);
    hint(&mut server, 3, 2);
    assert_eq!(seen(&mut server).len(), 2);
    server.guide(1, lease, guide_command::Body::GoToStop(1));
    let tick = server.wait(1).remove(0);
    let cells: Vec<(bool, usize)> = tick.vantages.iter().map(|v| (v.preparing, v.cell)).collect();
    assert_eq!(cells, [(false, 0), (true, 0)]);
    hint(&mut server, 3, 2);
    assert_eq!(server.wait(1)[0].vantages.len(), 2, "not while a change is prepared");
}
