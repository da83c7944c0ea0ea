//! Who sees whom, how often, and within which budget.

use super::*;
use crate::relay::ENVELOPE_BYTES;

const TICK_US: i64 = 13_889;

impl Server {
    fn tick(&mut self) {
        self.now = ServerTime(self.now.0 + TICK_US);
        self.registry.tick(self.now);
        self.drain();
    }
}

#[test]
fn poses_are_relayed_with_hands_at_thirty_and_far_heads_at_fifteen() {
    let mut server = Server::new();
    let code = server.session(9);
    let people: Vec<Welcome> = (1..=3).map(|l| server.join(l, code)).collect();
    server.say(
        3,
        client_message::Body::MoveToCell(tongyou_protocol::control::MoveToCell { epoch: 1, cell: 1 }),
    );
    let far = server.placement(3).unwrap();
    server.look_away();
    let placements = [people[0].placement.unwrap(), people[1].placement.unwrap(), far];
    for seq in 0..144 {
        for (i, placement) in placements.iter().enumerate() {
            let pose = pose_at(&people[i], placement, server.now, seq, Vec3::X * 0.01);
            server.send(i as u64 + 1, &Datagram::Pose(pose));
        }
        server.tick();
    }
    let seen = |of: u32| server.avatars(1).iter().filter(|(id, _)| u32::from(*id) == of).count();
    // Two seconds.
    assert!(
        (57..=62).contains(&seen(people[1].headset)),
        "{}",
        seen(people[1].headset)
    );
    assert!(
        (28..=32).contains(&seen(people[2].headset)),
        "{}",
        seen(people[2].headset)
    );
    assert_eq!(seen(people[0].headset), 0, "nobody is sent himself");
    let (_, body) = server
        .avatars(1)
        .into_iter()
        .rfind(|(id, _)| u32::from(*id) == people[1].headset)
        .unwrap();
    let sent = pose_at(&people[1], &placements[1], server.now, 0, Vec3::X * 0.01)
        .body
        .head;
    assert!(body.head.position.distance(sent.position) < 0.002);
}

#[test]
fn hostile_poses_are_not_relayed_and_get_one_notice_a_kind() {
    let mut server = Server::new();
    let code = server.session(9);
    let good = server.join(1, code);
    let evil = server.join(2, code);
    let at = evil.placement.unwrap();
    server.send(2, &Datagram::Pose(pose_at(&evil, &at, server.now, 0, Vec3::ZERO)));
    for seq in 1..200_u16 {
        let far = Vec3::new(0.0, 3.0 + f32::from(seq % 9), 0.0);
        let fast = Vec3::X * if seq % 4 < 2 { 2.5 } else { -2.5 };
        let offset = if seq % 2 == 0 { far } else { fast };
        let mut pose = pose_at(&evil, &at, server.now, seq, offset);
        pose.body.head.rotation = Quat::from_xyzw(f32::NAN, 0.0, 0.0, 0.0);
        server.send(2, &Datagram::Pose(pose));
        server.tick();
    }
    assert_eq!(server.notices(2), [RefusedReason::RefusedNotAllowed; 2]);
    assert!(server.registry.counters().poses_refused > 150);
    let seat: Vec3 = at.seat.unwrap().into();
    let stop = &good.tour.unwrap().stops[0];
    let origin: Vec3 = stop.pose_origin.unwrap().into();
    for (_, body) in server.avatars(1) {
        assert!(body.head.rotation.is_normalized());
        assert!(body.head.position.distance(seat + Vec3::Y * 1.6 - origin) <= 3.001);
    }
    // A pose of another stop is ignored, but counted.
    let mut old = pose_at(&evil, &at, server.now, 500, Vec3::ZERO);
    old.epoch = 7;
    let before = server.registry.counters();
    server.send(2, &Datagram::Pose(old));
    assert_eq!(server.registry.counters().poses_stale, before.poses_stale + 1);
    assert_eq!(server.notices(2).len(), 2);
}

#[test]
fn the_last_pose_at_rest_reaches_everyone_and_latecomers() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join(1, code);
    let quiet = server.join(2, code);
    let at = quiet.placement.unwrap();
    let mut pose = pose_at(&quiet, &at, server.now, 0, Vec3::ZERO);
    pose.body.at_rest = true;
    server.send(2, &Datagram::Pose(pose));
    for _ in 0..72 * 3 {
        for link in [1, 2] {
            server.send(
                link,
                &Datagram::Ping(datagram::Ping {
                    seq: 0,
                    sent: tongyou_protocol::ClientTime(0),
                }),
            );
        }
        server.tick();
    }
    let times = server.avatars(1).len();
    assert!((3..=4).contains(&times), "once, then each second: {times}");
    server.join(3, code);
    server.tick();
    server.tick();
    server.tick();
    assert!(server.avatars(3)[0].1.at_rest);
}

#[test]
fn a_resting_crowd_is_repeated_in_one_datagram_a_second() {
    let mut server = Server::new();
    let code = server.session(20);
    let people: Vec<Welcome> = (1..=20).map(|link| server.join(link, code)).collect();
    // They come to rest one after the other.
    for (link, welcome) in (1..).zip(&people) {
        let mut pose = pose_at(welcome, &welcome.placement.unwrap(), server.now, 0, Vec3::ZERO);
        pose.body.at_rest = true;
        server.send(link, &Datagram::Pose(pose));
        server.tick();
        server.tick();
    }
    server.tick();
    server.look_away();
    for _ in 0..72 * 4 {
        for link in 1..=20 {
            let sent = tongyou_protocol::ClientTime(0);
            server.send(link, &Datagram::Ping(datagram::Ping { seq: 0, sent }));
        }
        server.tick();
    }
    for link in 1..=20 {
        let batches: Vec<usize> = server.datagrams[&LinkId(link)]
            .iter()
            .filter_map(|(_, bytes)| match Datagram::from_bytes(bytes).unwrap() {
                Datagram::Avatars(a) => Some(a.people.len()),
                _ => None,
            })
            .collect();
        assert_eq!(batches, [19; 4], "listener {link}");
    }
}

#[test]
fn two_hundred_stay_within_the_budget_and_the_guide_comes_first() {
    let mut server = Server::new();
    let code = server.session(200);
    let mut people = vec![server.join_guide(0, code)];
    people.extend((1..200).map(|l| server.join(l, code)));
    server.wait(60);
    server.look_away();
    let ticks = 72 * 3;
    for seq in 0..ticks {
        for (link, welcome) in people.iter().enumerate() {
            // Thirty poses a second each, with hands.
            if (seq + u16::try_from(link).unwrap()) % 2 == 0 {
                let mut pose = pose_at(welcome, &welcome.placement.unwrap(), server.now, seq, Vec3::ZERO);
                pose.body.left = Some(pose.body.head);
                pose.body.right = Some(pose.body.head);
                server.send(link as u64, &Datagram::Pose(pose));
            }
        }
        server.tick();
    }
    let me = LinkId(150);
    let sent = &server.datagrams[&me];
    let cost = |(_, bytes): &(ServerTime, Vec<u8>)| bytes.len() + ENVELOPE_BYTES;
    let mut from = 0;
    for to in 0..sent.len() {
        while sent[to].0.micros_since(sent[from].0) >= 1_000_000 {
            from += 1;
        }
        let in_a_second: usize = sent[from..=to].iter().map(cost).sum();
        assert!(in_a_second <= 60_000, "{in_a_second}");
    }
    let total: usize = sent.iter().map(cost).sum();
    assert!(total > 3 * 50_000, "and it is used: {total}");
    let mut counts = BTreeMap::new();
    for (id, _) in server.avatars(150) {
        *counts.entry(u32::from(id)).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 199, "nobody starves");
    assert!(counts[&people[0].headset] > 80, "{}", counts[&people[0].headset]);
    let least = counts.values().min().unwrap();
    assert!(*least >= 3, "{least}");
}

#[test]
fn nothing_of_the_old_stop_is_shown_at_the_new_one() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join_guide(1, code);
    let person = server.join(2, code);
    server.send(
        2,
        &Datagram::Pose(pose_at(&person, &person.placement.unwrap(), server.now, 0, Vec3::ZERO)),
    );
    server.tick();
    assert_eq!(server.avatars(1).len(), 1);
    server.guide(1, 1, guide_command::Body::GoToStop(1));
    for link in [1, 2] {
        server.say(
            link,
            client_message::Body::Ready(tongyou_protocol::control::Ready { epoch: 2, set: 0 }),
        );
    }
    server.wait(300);
    server.look_away();
    for _ in 0..9 {
        server.tick();
    }
    assert!(server.avatars(1).is_empty());
    let placement = Placement {
        epoch: 2,
        ..person.placement.unwrap()
    };
    server.send(
        2,
        &Datagram::Pose(pose_at(&person, &placement, server.now, 1, Vec3::ZERO)),
    );
    for _ in 0..5 {
        server.tick();
    }
    let (_, bytes) = &server.datagrams[&LinkId(1)][0];
    let Datagram::Avatars(avatars) = Datagram::from_bytes(bytes).unwrap() else {
        panic!("no avatars")
    };
    assert_eq!(avatars.epoch, 2);
    assert!(avatars.people[0].1.jump, "nothing to interpolate from");
}

#[test]
fn a_walker_who_has_not_heard_of_its_new_place_yet_commits_no_offence() {
    for (rtt_ms, news_ms) in [(20, 1_000), (800, 1_600)] {
        let mut server = Server::new();
        let code = server.session(9);
        server.join(1, code);
        let walker = server.join(2, code);
        server
            .registry
            .set_rtt(server.now, LinkId(2), Duration::from_millis(rtt_ms));
        let before = walker.placement.unwrap();
        let mut seq = 0;
        let mut pose = |server: &mut Server, placement: &Placement, offset| {
            seq += 1;
            let pose = pose_at(&walker, placement, server.now, seq, offset);
            server.send(2, &Datagram::Pose(pose));
            server.tick();
        };
        pose(&mut server, &before, Vec3::ZERO);
        let to = tongyou_protocol::control::MoveToCell { epoch: 1, cell: 1 };
        server.say(2, client_message::Body::MoveToCell(to));
        let after = server.placement(2).unwrap();
        server.look_away();
        let moved_at = server.now;
        while server.now.micros_since(moved_at) < (news_ms - 20) * 1000 {
            pose(&mut server, &before, Vec3::X * 0.2);
        }
        assert_eq!(server.registry.counters().poses_refused, 0);
        assert!(
            server.avatars(1).is_empty(),
            "nobody sees it at its new place before it is there"
        );
        // Neither here nor there is an offence, and so is the old place after a while.
        pose(&mut server, &before, Vec3::Y * 3.5);
        assert_eq!(server.registry.counters().poses_refused, 1);
        server.tick();
        server.tick();
        pose(&mut server, &before, Vec3::ZERO);
        assert_eq!(server.registry.counters().poses_refused, 2);
        assert_eq!(server.notices(2), [RefusedReason::RefusedNotAllowed]);
        pose(&mut server, &after, Vec3::ZERO);
        (0..4).for_each(|_| server.tick());
        let seen = server.avatars(1);
        assert_eq!(seen.len(), 1);
        assert!(seen[0].1.jump, "it does not fly across the square");
    }
}
