//! Standing off the cells, with a view of one's own while there is room for it.

use super::*;
use crate::{BudgetConfig, VantageKind};
use client_message::Body as Say;
use tongyou_protocol::ClientTime;
use tongyou_protocol::control::{MoveTo, MoveToCell, PlacementKind, Ready};
use tongyou_protocol::datagram::Ping;

fn go(server: &mut Server, link: u64, x: f32, z: f32) {
    let to = MoveTo {
        epoch: 1,
        x,
        z,
        heading: 0.5,
    };
    server.say(link, Say::MoveTo(to));
}

/// Lets time pass in ticks of 50 ms; everyone is heard.
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

fn stands_at(placement: &Placement, x: f32, z: f32) -> bool {
    let seat: Vec3 = placement.seat.unwrap().into();
    seat.distance(Vec3::new(x, 0.0, z)) < 1e-5
}

/// Own views: the link, the point and where it looks.
fn own(tick: &Tick) -> Vec<(u64, Vec3, Quat)> {
    let vantages = tick.vantages.iter().filter_map(|v| match v.kind {
        VantageKind::Stereo { rotation, .. } => Some((v.viewers[0].link.0, v.point, rotation)),
        _ => None,
    });
    vantages.collect()
}

fn roamers(tick: &Tick) -> Vec<u64> {
    own(tick).into_iter().map(|(link, ..)| link).collect()
}

fn with_budget(change: impl FnOnce(&mut BudgetConfig)) -> Server {
    let mut config = Config::default();
    change(&mut config.budget);
    Server::with(config)
}

#[test]
fn who_walks_off_the_cells_gets_a_view_of_their_own() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join(1, code);
    let walker = server.join(2, code);
    server.wait(60);
    server.look_away();
    go(&mut server, 2, 10.0, 12.0);
    let placement = server.placement(2).unwrap();
    assert_eq!((placement.kind(), placement.cell), (PlacementKind::Roaming, 0));
    assert!(stands_at(&placement, 10.0, 12.0));
    assert!((placement.yaw - 0.5).abs() < 1e-6);
    let tick = pass(&mut server, 100);
    let [(2, point, rotation)] = own(&tick)[..] else {
        panic!("{:?}", tick.vantages)
    };
    assert!(point.distance(Vec3::new(10.0, 1.6, 12.0)) < 1e-5);
    assert!(rotation.angle_between(Quat::from_rotation_y(0.5)) < 1e-3);
    let stereo = tick.vantages.iter().find(|v| v.viewers[0].link == LinkId(2)).unwrap();
    assert_eq!(u32::from(stereo.vantage.0), placement.vantage);
    assert_eq!(tick.vantages.len(), 2, "and nothing else is rendered for them");
    let person = |server: &Server| {
        let people = server.roster(1).unwrap().people;
        people.into_iter().find(|p| p.headset == walker.headset).unwrap()
    };
    assert!(person(&server).roaming && person(&server).cell == 0);
    // The point follows the head; the others see it there.
    let pose = pose_at(&walker, &placement, server.now, 1, Vec3::new(0.3, -0.1, 0.0));
    server.send(2, &Datagram::Pose(pose));
    let tick = pass(&mut server, 100);
    assert!(
        own(&tick)[0].1.distance(Vec3::new(10.3, 1.5, 12.0)) < 0.01,
        "{:?}",
        own(&tick)
    );
    assert_eq!(server.registry.counters().poses_refused, 0);
    let origin: Vec3 = walker.tour.as_ref().unwrap().stops[0].pose_origin.unwrap().into();
    let seen = server.avatars(1).last().unwrap().1.head.position + origin;
    assert!(seen.distance(Vec3::new(10.3, 1.5, 12.0)) < 0.01, "{seen}");
    // Poses are checked against where they stand.
    let far = pose_at(&walker, &placement, server.now, 2, Vec3::X * 3.2);
    server.send(2, &Datagram::Pose(far));
    assert_eq!(server.registry.counters().poses_refused, 1);
    // Another point is another vantage, so that the picture can cross-fade; a cell ends it.
    go(&mut server, 2, -10.0, 12.0);
    let next = server.placement(2).unwrap();
    assert_ne!(next.vantage, placement.vantage);
    assert_eq!(roamers(&pass(&mut server, 50)), [2]);
    pass(&mut server, 2_000);
    server.say(2, Say::MoveToCell(MoveToCell { epoch: 1, cell: 0 }));
    let seated = server.placement(2).unwrap();
    assert_eq!((seated.kind(), seated.cell), (PlacementKind::Seat, 0));
    assert_eq!(
        roamers(&pass(&mut server, 5_000)),
        [0; 0],
        "and nobody waits for a view"
    );
    assert!(!person(&server).roaming);
}

#[test]
fn at_a_cell_it_is_the_cell() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join(1, code);
    go(&mut server, 1, 19.7, 0.3);
    let placement = server.placement(1).unwrap();
    assert_eq!((placement.kind(), placement.cell), (PlacementKind::Seat, 1));
    go(&mut server, 1, 19.0, 0.3);
    assert_eq!(
        server.placement(1).unwrap().kind(),
        PlacementKind::Roaming,
        "0.5 m away"
    );
}

#[test]
fn where_nobody_can_stand_nobody_is_let() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join(1, code);
    let other = server.join(2, code).placement.unwrap().seat.unwrap();
    server.wait(60);
    server.look_away();
    let nowhere = [
        (f32::NAN, 0.0),
        (0.0, f32::INFINITY),
        (f32::MAX, f32::MIN),
        (1.0e9, 0.0),
        (0.0, 0.0),
        (5.1, 0.0),
        (29.9, 0.0),
        (40.0, 12.0),
        (other.x, other.z),
    ];
    for (x, z) in nowhere {
        go(&mut server, 1, x, z);
        pass(&mut server, 600);
    }
    let heading = MoveTo {
        epoch: 1,
        x: 10.0,
        z: 12.0,
        heading: f32::NAN,
    };
    server.say(1, Say::MoveTo(heading));
    server.say(1, Say::MoveTo(MoveTo { epoch: 7, ..heading }));
    assert_eq!(server.notices(1).len(), nowhere.len() + 2);
    assert!(server.placement(1).is_none(), "nobody was moved");
    assert_eq!(roamers(&pass(&mut server, 100)), [0; 0]);
    // A heading of many turns is one.
    server.say(
        1,
        Say::MoveTo(MoveTo {
            heading: 1.0e6,
            ..heading
        }),
    );
    assert!((0.0..7.0).contains(&server.placement(1).unwrap().yaw));
    for _ in 0..20 {
        go(&mut server, 1, 10.0, 13.0);
    }
    assert!(
        server.notices(1).len() > nowhere.len() + 10,
        "not twenty times a second"
    );
}

#[test]
fn people_far_from_the_middle_could_not_be_seen() {
    let mut tour = (*testing::tour()).clone();
    let far = [[-200.0, -30.0], [200.0, -30.0], [200.0, 30.0], [-200.0, 30.0]];
    tour.stops[0].walkable[0].outline = far.into();
    let mut server = Server::new();
    server.registry.add_tour(std::sync::Arc::new(tour)).unwrap();
    let code = server.session(9);
    server.join(1, code);
    go(&mut server, 1, 59.0, 0.0);
    assert_eq!(server.placement(1).unwrap().kind(), PlacementKind::Roaming);
    server.look_away();
    go(&mut server, 1, 61.0, 0.0);
    assert_eq!(server.notices(1).len(), 1);
}

#[test]
fn without_room_one_stands_at_the_nearest_cell_and_gets_the_view_later() {
    let mut server = with_budget(|b| b.stereo_most = 1);
    let code = server.session(9);
    server.join(1, code);
    server.join(2, code);
    go(&mut server, 1, 10.0, 12.0);
    server.look_away();
    go(&mut server, 2, 12.0, 10.0);
    assert_eq!(server.notices(2), [RefusedReason::RefusedNoRoom]);
    let placement = server.placement(2).unwrap();
    assert_eq!((placement.kind(), placement.cell), (PlacementKind::Seat, 1));
    server.look_away();
    assert_eq!(roamers(&pass(&mut server, 5_000)), [1]);
    // The first one goes to a cell: after a while the second gets its turn.
    server.say(1, Say::MoveToCell(MoveToCell { epoch: 1, cell: 0 }));
    assert_eq!(roamers(&pass(&mut server, 1_900)), [0; 0]);
    assert_eq!(roamers(&pass(&mut server, 200)), [2]);
    let placement = server.placement(2).unwrap();
    assert_eq!(placement.kind(), PlacementKind::Roaming);
    assert!(stands_at(&placement, 12.0, 10.0));
    assert_eq!(server.notices(2), [], "good news needs no notice");
}

#[test]
fn at_overload_views_are_taken_back_the_last_one_first_and_given_back_in_turn() {
    let mut server = Server::new();
    let codes = [server.session(9), server.session(9)];
    for link in 1..=3 {
        server.join(link, codes[usize::from(link == 2)]);
        go(
            &mut server,
            link,
            10.0,
            12.0 + 2.0 * f32::from(u8::try_from(link).unwrap()),
        );
    }
    let all = |server: &mut Server, ms: u64| {
        let mut found: Vec<u64> = Vec::new();
        pass(server, ms - 50);
        for link in 1..20 {
            let ping = Ping {
                seq: 0,
                sent: ClientTime(0),
            };
            server.send(link, &Datagram::Ping(ping));
        }
        for tick in server.wait(50) {
            found.extend(roamers(&tick));
        }
        found.sort_unstable();
        found
    };
    assert_eq!(all(&mut server, 100), [1, 2, 3]);
    server.look_away();
    server.registry.set_load(0.9);
    assert_eq!(all(&mut server, 2_000), [1, 2, 3]);
    assert_eq!(all(&mut server, 100), [1, 2]);
    assert_eq!(server.notices(3), [RefusedReason::RefusedNoRoom]);
    assert_eq!(server.placement(3).unwrap().kind(), PlacementKind::Seat);
    assert_eq!(server.notices(1), []);
    assert_eq!(all(&mut server, 2_000), [1], "across sessions");
    server.registry.set_load(0.7);
    assert_eq!(all(&mut server, 10_000), [1], "between the thresholds nothing changes");
    go(&mut server, 3, 10.0, 15.0);
    assert_eq!(all(&mut server, 100), [1], "nor by asking again");
    server.registry.set_load(0.2);
    assert_eq!(all(&mut server, 1_900), [1]);
    assert_eq!(all(&mut server, 200), [1, 2], "who has waited for longest");
    assert_eq!(all(&mut server, 1_900), [1, 2], "one at a time");
    assert_eq!(all(&mut server, 200), [1, 2, 3]);
    let back = server.placement(3).unwrap();
    assert!(stands_at(&back, 10.0, 15.0), "where it last wanted to be");
}

#[test]
fn shared_panoramas_are_never_given_up() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join(1, code);
    server.join(2, code);
    go(&mut server, 2, 10.0, 12.0);
    server.registry.set_load(5.0);
    let tick = pass(&mut server, 20_000);
    assert_eq!(tick.vantages.len(), 1);
    assert_eq!(tick.vantages[0].kind, VantageKind::Panorama);
    assert_eq!(tick.vantages[0].viewers.len(), 2, "who roamed stands with the others");
}

#[test]
fn nobody_is_seated_where_somebody_stands() {
    let mut server = Server::new();
    let code = server.session(9);
    server.join(1, code);
    let seat = |server: &mut Server, link| server.join(link, code).placement.unwrap().seat.unwrap();
    // The seat that comes next, found by somebody who then leaves.
    let next = seat(&mut server, 2);
    server.say(2, Say::Leave(Default::default()));
    go(&mut server, 1, next.x, next.z);
    assert_eq!(server.placement(1).unwrap().kind(), PlacementKind::Roaming);
    let given: Vec3 = seat(&mut server, 3).into();
    assert!(given.distance(next.into()) > 0.4, "{given}");
}

#[test]
fn a_stop_change_puts_everybody_back_into_seats() {
    let mut server = with_budget(|b| b.stereo_most = 1);
    let code = server.session(9);
    server.join_guide(1, code);
    server.join(2, code);
    server.join(3, code);
    go(&mut server, 2, 10.0, 12.0);
    go(&mut server, 3, 12.0, 10.0);
    server.guide(1, 1, guide_command::Body::GoToStop(1));
    let prepared = server.prepare(2).unwrap().placement.unwrap();
    assert_eq!(prepared.kind(), PlacementKind::Seat);
    assert_eq!(roamers(&pass(&mut server, 100)), [2], "until the change happens");
    server.look_away();
    go(&mut server, 2, 10.0, 14.0);
    assert_eq!(server.notices(2).len(), 1, "not while the group is leaving");
    for link in 1..=3 {
        server.say(link, Say::Ready(Ready { epoch: 2, set: 1 }));
    }
    let tick = pass(&mut server, 400);
    assert_eq!(tick.vantages.iter().map(|v| v.epoch).collect::<Vec<_>>(), [2]);
    assert_eq!(roamers(&pass(&mut server, 6_000)), [0; 0], "who waited waits no longer");
    // The budget is free again.
    let to = MoveTo {
        epoch: 2,
        x: 10.0,
        z: 12.0,
        heading: 0.0,
    };
    server.say(3, Say::MoveTo(to));
    assert_eq!(server.placement(3).unwrap().kind(), PlacementKind::Roaming);
}

#[test]
fn a_roamer_comes_back_to_where_it_stood() {
    for room in [true, false] {
        let mut server = with_budget(|b| b.stereo_most = 1);
        let code = server.session(9);
        server.join(1, code);
        let roamer = server.join(2, code);
        go(&mut server, 2, 10.0, 12.0);
        let before = server.placement(2).unwrap();
        server.input(2, Input::Disconnected);
        assert_eq!(
            roamers(&pass(&mut server, 1_000)),
            [0; 0],
            "for nobody nothing is rendered"
        );
        if !room {
            go(&mut server, 1, 15.0, 12.0);
            assert_eq!(server.placement(1).unwrap().kind(), PlacementKind::Roaming);
        }
        let resume_ticket = roamer.resume_ticket.clone();
        server.hello(
            3,
            Hello {
                resume_ticket,
                ..hello(code, "Person 2")
            },
        );
        let after = server.welcome(3).unwrap().placement.unwrap();
        if room {
            assert_eq!((after.kind(), after.seat), (PlacementKind::Roaming, before.seat));
            assert_ne!(after.vantage, before.vantage);
            assert_eq!(roamers(&pass(&mut server, 100)), [3]);
        } else {
            assert_eq!((after.kind(), after.cell), (PlacementKind::Seat, 0));
            assert_eq!(server.notices(3), [RefusedReason::RefusedNoRoom]);
            // And gets its view when there is room again.
            server.say(1, Say::MoveToCell(MoveToCell { epoch: 1, cell: 0 }));
            assert_eq!(roamers(&pass(&mut server, 2_200)), [3]);
        }
        // A stop change while it is away forgets what it wanted.
        server.input(3, Input::Disconnected);
        server.join_guide(4, code);
        server.guide(4, 1, guide_command::Body::GoToStop(1));
        pass(&mut server, 4_000);
        let resume_ticket = roamer.resume_ticket;
        server.hello(
            5,
            Hello {
                resume_ticket,
                ..hello(code, "Person 2")
            },
        );
        assert_eq!(
            server.welcome(5).unwrap().placement.unwrap().kind(),
            PlacementKind::Seat
        );
        assert_eq!(roamers(&pass(&mut server, 6_000)), [0; 0]);
    }
}

#[test]
fn the_view_is_rendered_ahead_of_the_head() {
    let mut server = Server::new();
    let code = server.session(9);
    let walker = server.join(1, code);
    go(&mut server, 1, 10.0, 12.0);
    let placement = server.placement(1).unwrap();
    server
        .registry
        .set_rtt(server.now, LinkId(1), Duration::from_millis(60));
    let mut seq = 0;
    let mut yaw = 0.0;
    let mut newest = None;
    for _ in 0..40 {
        server.now = server.now + Duration::from_millis(14);
        seq += 1;
        yaw = f32::from(seq) * 0.028;
        let mut pose = pose_at(&walker, &placement, server.now, seq, Vec3::ZERO);
        pose.body.head.rotation = Quat::from_rotation_y(yaw);
        server.send(1, &Datagram::Pose(pose));
        newest = server.wait(0).into_iter().next();
    }
    // Two radians a second, 50 ms and half of 60 ms ahead.
    let (_, _, rotation) = own(&newest.unwrap())[0];
    let ahead = rotation.angle_between(Quat::from_rotation_y(yaw));
    assert!((ahead - 0.16).abs() < 0.02, "{ahead}");
}
