//! One headset against a server of messages, on a virtual clock.

mod ahead;
mod changes;
mod layers;
mod liveness;
mod returning;

use super::*;
use glam::{Quat, Vec3};
use protocol::VantageId;
use protocol::control::{Cell, Commit, Person, Placement, Prepare, Role, Roster, Stop, Welcome, server_message};
use protocol::datagram::Pong;
use protocol::frame::{Codec, Eyes, Header, Lane, Layer, Shape, Tag};

/// Server time is client time plus this.
const OFFSET_US: i64 = 3_000_000;

fn ms(ms: i64) -> ClientTime {
    ClientTime(ms * 1000)
}

fn placement(epoch: u32, cell: u32, vantage: u32) -> Placement {
    let seat = control::Vec3 { x: 2.0, y: 0.0, z: 5.0 };
    Placement {
        epoch,
        cell,
        vantage,
        seat: Some(seat),
        yaw: std::f32::consts::FRAC_PI_2,
        kind: 0,
    }
}

fn person(headset: u32, role: Role) -> Person {
    Person {
        headset,
        role: role.into(),
        may_guide: true,
        ..Person::default()
    }
}

fn tour() -> control::Tour {
    let cell = Cell {
        point: Some(control::Vec3 { x: 0.0, y: 1.6, z: 0.0 }),
        floor_y: 0.0,
    };
    let origin = control::Vec3 { x: 1.0, y: 0.0, z: 1.0 };
    let stop = Stop {
        cells: vec![cell; 3],
        pose_origin: Some(origin),
        ..Stop::default()
    };
    control::Tour {
        stops: vec![stop; 2],
        ..control::Tour::default()
    }
}

fn send(headset: &mut Headset, at: ClientTime, body: server_message::Body) {
    headset.on_control(at, &ServerMessage::from(body).to_bytes());
}

fn welcome() -> server_message::Body {
    server_message::Body::Welcome(Welcome {
        protocol_version: 1,
        headset: 7,
        resume_ticket: vec![9; 16],
        tour: Some(tour()),
        current: Some(Commit {
            epoch: 1,
            stop: 0,
            at_us: 0,
        }),
        placement: Some(placement(1, 0, 4)),
        roster: Some(Roster {
            people: vec![person(7, Role::Tourist), person(8, Role::Guide)],
            lease: 3,
            spectators: 0,
        }),
        capacity: 20,
        ..Welcome::default()
    })
}

/// Welcome, and a clock that is right.
fn on_tour() -> Headset {
    let mut headset = Headset::new(core_config());
    assert!(matches!(said(&mut headset)[..], [client_message::Body::Hello(_)]));
    send(&mut headset, ms(0), welcome());
    let mut t = ms(0);
    for _ in 0..12 {
        answer_pings(&mut headset, t);
        t = headset.clock.next_ping().unwrap();
        headset.on_timeout(t);
    }
    answer_pings(&mut headset, t);
    events(&mut headset);
    headset
}

fn core_config() -> Config {
    Config::new("BCDF-GHJK", "Lin")
}

fn answer_pings(headset: &mut Headset, now: ClientTime) {
    for datagram in datagrams(headset) {
        if let Datagram::Ping(ping) = datagram {
            let server = ServerTime(now.0 + OFFSET_US);
            let pong = Pong {
                seq: ping.seq,
                sent: ping.sent,
                received: server,
                replied: server,
            };
            headset.on_datagram(now, &Datagram::Pong(pong).to_bytes());
        }
    }
}

fn said(headset: &mut Headset) -> Vec<client_message::Body> {
    std::iter::from_fn(|| headset.poll_control())
        .map(|m| ClientMessage::from_bytes(&m).unwrap())
        .collect()
}

fn datagrams(headset: &mut Headset) -> Vec<Datagram> {
    std::iter::from_fn(|| headset.poll_datagram())
        .map(|d| Datagram::from_bytes(&d).unwrap())
        .collect()
}

fn events(headset: &mut Headset) -> Vec<Event> {
    std::iter::from_fn(|| headset.poll_event()).collect()
}

/// A colour and a depth keyframe arrive, and the decoder does its work.
fn set_arrives(headset: &mut Headset, now: ClientTime, set: u32, epoch: u16, vantage: u16) {
    layer_arrives(headset, now, set, (epoch, vantage), Layer::Base);
}

/// The same for any layer; depth comes where it has any.
fn layer_arrives(headset: &mut Headset, now: ClientTime, set: u32, (epoch, vantage): (u16, u16), layer: Layer) {
    let tag = Tag {
        set: SetId(set),
        vantage: VantageId(vantage),
        epoch,
        point: Vec3::ZERO,
        near: 0.1,
        half_tangent: 1.0,
        tour_time: TourTime(0),
        exposure: 1.0,
        ambient: [[0.0; 3]; 9],
        still_ms: [0; 6],
        eyes: Eyes::default(),
    };
    for (lane, codec) in [(Lane::Color, Codec::H264), (Lane::Depth, Codec::Depth1)] {
        let header = Header {
            lane,
            layer,
            shape: Shape::Panorama,
            keyframe: true,
            codec,
            width: 16,
            height: 16,
            group: set,
            index: 0,
            depends_on: SetId(set),
            rendered_at: ServerTime(now.0 + OFFSET_US),
            tag,
        };
        if lane == Lane::Depth && !header.has_depth() {
            continue;
        }
        let payload = Bytes::from_static(b"picture");
        let bytes = [header.to_bytes(&payload), payload].concat();
        headset.on_frame(now, &Bytes::from(bytes));
        while let Some(frame) = headset.poll_decode() {
            headset.on_decoded(now, frame.header.tag.set);
        }
    }
}

/// Lets time pass in steps of 10 ms, with an answering server; the events.
fn pass(headset: &mut Headset, from: i64, to: i64) -> Vec<Event> {
    for t in (from..=to).step_by(10) {
        headset.on_timeout(ms(t));
        answer_pings(headset, ms(t));
    }
    events(headset)
}

#[test]
fn joins_and_knows_where_it_is() {
    let mut headset = Headset::new(core_config());
    let [client_message::Body::Hello(hello)] = &said(&mut headset)[..] else {
        panic!("no Hello")
    };
    assert_eq!(
        (hello.protocol_version, hello.code.as_str(), hello.name.as_str()),
        (1, "BCDF-GHJK", "Lin")
    );
    assert_eq!(headset.poll_timeout(), None, "nothing to do before Welcome");
    send(&mut headset, ms(5), welcome());
    assert_eq!(
        events(&mut headset),
        [Event::Welcome {
            headset: HeadsetId(7),
            resumed: false
        }]
    );
    assert_eq!(headset.capacity(), Some(20));
    assert!(!headset.leads());
    assert!(matches!(datagrams(&mut headset)[..], [Datagram::Ping(_)]));
    assert_eq!(
        headset.shown(),
        Some(StreamId {
            epoch: 1,
            vantage: VantageId(4),
            layer: Layer::Base,
        })
    );
}

#[test]
fn a_stop_change_is_prepared_answered_and_applied_at_the_agreed_instant() {
    let mut headset = on_tour();
    set_arrives(&mut headset, ms(4_000), 10, 1, 4);
    let prepare = Prepare {
        epoch: 2,
        stop: 1,
        placement: Some(placement(2, 1, 5)),
    };
    // Its first set may come before the announcement.
    set_arrives(&mut headset, ms(4_100), 11, 2, 5);
    assert!(said(&mut headset).is_empty());
    send(&mut headset, ms(4_200), server_message::Body::Prepare(prepare));
    let [client_message::Body::Ready(ready)] = said(&mut headset)[..] else {
        panic!("not ready")
    };
    assert_eq!((ready.epoch, ready.set), (2, 11));
    set_arrives(&mut headset, ms(4_250), 12, 2, 5);
    assert!(said(&mut headset).is_empty(), "said once");
    let at_us = 5_000_000 + OFFSET_US;
    send(
        &mut headset,
        ms(4_300),
        server_message::Body::Commit(Commit {
            epoch: 2,
            stop: 1,
            at_us,
        }),
    );
    events(&mut headset);
    let mut now = ms(4_300);
    while headset.current().unwrap().epoch == 1 {
        now = headset
            .poll_timeout()
            .unwrap()
            .max(now + std::time::Duration::from_micros(1));
        headset.on_timeout(now);
        answer_pings(&mut headset, now);
        assert!(now <= ms(5_010), "not applied by {now:?}");
    }
    assert!((now.0 - 5_000_000).abs() < 200, "applied at {now:?}");
    let applied: Vec<StopApplied> = events(&mut headset)
        .into_iter()
        .filter_map(|e| match e {
            Event::StopApplied(a) => Some(a),
            _ => None,
        })
        .collect();
    assert_eq!(applied.len(), 1);
    assert!(applied[0].complete);
    assert_eq!(headset.current().unwrap().placement.vantage, 5);
    assert!(
        headset.receiver.streams().all(|s| s.epoch == 2),
        "the old stop is forgotten"
    );
    assert!(said(&mut headset).is_empty());
    headset.on_presented(now + std::time::Duration::from_millis(8));
    headset.on_presented(now + std::time::Duration::from_millis(16));
    let [client_message::Body::Skew(skew)] = said(&mut headset)[..] else {
        panic!("not reported once")
    };
    assert_eq!(skew.epoch, 2);
    assert!(
        skew.applied_us.abs() < 200 && (7_800..8_300).contains(&skew.presented_us),
        "{skew:?}"
    );
}

#[test]
fn a_straggler_changes_with_the_others_and_says_that_it_has_no_picture() {
    let mut headset = on_tour();
    let prepare = Prepare {
        epoch: 2,
        stop: 1,
        placement: Some(placement(2, 1, 5)),
    };
    send(&mut headset, ms(4_000), server_message::Body::Prepare(prepare));
    let at_us = 4_100_000 + OFFSET_US;
    send(
        &mut headset,
        ms(4_300),
        server_message::Body::Commit(Commit {
            epoch: 2,
            stop: 1,
            at_us,
        }),
    );
    let applied = events(&mut headset)
        .into_iter()
        .any(|e| matches!(e, Event::StopApplied(a) if !a.complete));
    assert!(applied, "at once: the instant has passed");
    set_arrives(&mut headset, ms(4_500), 20, 2, 5);
    headset.on_presented(ms(4_500));
    let all = said(&mut headset);
    assert!(
        all.iter()
            .any(|m| matches!(m, client_message::Body::Skew(s) if s.presented_us > 390_000)),
        "{all:?}"
    );
}

#[test]
fn a_move_is_seen_at_once_and_shown_when_a_picture_of_there_is_complete() {
    let mut headset = on_tour();
    headset.move_to_cell(2);
    assert!(matches!(said(&mut headset)[..], [client_message::Body::MoveToCell(m)] if m.cell == 2 && m.epoch == 1));
    let there = control::Vec3 {
        x: 20.0,
        y: 0.0,
        z: 5.0,
    };
    let to = Placement {
        seat: Some(there),
        ..placement(1, 2, 6)
    };
    datagrams(&mut headset);
    send(&mut headset, ms(4_000), server_message::Body::Placement(to));
    assert_eq!(headset.current().unwrap().placement.cell, 0);
    let head = LocalJoint {
        position: Vec3::Y * 1.6,
        rotation: Quat::IDENTITY,
    };
    let pose = LocalPose {
        head,
        left: None,
        right: None,
        pointer: None,
    };
    headset.set_pose(ms(4_010), &pose);
    let sent = datagrams(&mut headset);
    assert!(
        sent.iter()
            .any(|d| matches!(d, Datagram::Pose(p) if p.body.jump && p.body.head.position.x > 18.0)),
        "{sent:?}"
    );
    set_arrives(&mut headset, ms(4_100), 30, 1, 6);
    assert_eq!(headset.current().unwrap().placement.cell, 2);
}

#[test]
fn poses_are_relative_to_the_stop_and_rest_when_nothing_moves() {
    let mut headset = on_tour();
    let head = LocalJoint {
        position: Vec3::new(0.0, 1.6, -1.0),
        rotation: Quat::IDENTITY,
    };
    let pose = LocalPose {
        head,
        left: None,
        right: None,
        pointer: Some(Vec3::new(11.0, 2.0, 1.0)),
    };
    datagrams(&mut headset);
    let mut sent = Vec::new();
    for t in 4_000..6_000 {
        headset.set_pose(ms(t), &pose);
        sent.extend(datagrams(&mut headset).into_iter().filter_map(|d| match d {
            Datagram::Pose(p) => Some(p.body),
            _ => None,
        }));
    }
    assert!((6..=9).contains(&sent.len()), "{} poses, then silence", sent.len());
    assert_eq!(sent.iter().filter(|b| b.at_rest).count(), 3);
    assert!(sent.last().unwrap().at_rest);
    // Seat (2, 0, 5), facing -X; one metre ahead; the pose origin is (1, 0, 1).
    assert!(
        sent[0].head.position.distance(Vec3::new(0.0, 1.6, 4.0)) < 0.002,
        "{:?}",
        sent[0].head
    );
    assert!(sent[0].pointer.unwrap().distance(Vec3::new(10.0, 2.0, 0.0)) < 0.02);
    let hand = LocalPose {
        right: Some(head),
        ..pose
    };
    for t in 6_000..7_000 {
        let moved = LocalJoint {
            position: head.position + Vec3::X * 0.001 * (t - 6_000) as f32,
            ..head
        };
        headset.set_pose(ms(t), &LocalPose { head: moved, ..hand });
    }
    let moving = datagrams(&mut headset).len();
    assert!((29..=31).contains(&moving), "{moving} poses in a second with hands");
}

#[test]
fn others_are_seen_at_their_stop_only_and_leave_with_the_roster() {
    let mut headset = on_tour();
    let joint = protocol::datagram::Joint {
        position: Vec3::ONE,
        rotation: Quat::IDENTITY,
    };
    let time_100us = jitter::time_100us(4_000_000 + OFFSET_US);
    let body = Body {
        time_100us,
        at_rest: true,
        jump: false,
        head: joint,
        left: None,
        right: None,
        pointer: None,
    };
    for (epoch, id) in [(1, 8), (1, 7), (2, 9)] {
        let avatars = protocol::datagram::Avatars {
            epoch,
            people: vec![(HeadsetId(id), body)],
        };
        headset.on_datagram(ms(4_010), &Datagram::Avatars(avatars).to_bytes());
    }
    let seen = headset.avatars(ms(4_100));
    assert_eq!(seen.len(), 1, "neither itself nor someone at another stop");
    assert_eq!(seen[0].0, HeadsetId(8));
    let roster = Roster {
        people: vec![person(7, Role::Guide)],
        lease: 4,
        spectators: 0,
    };
    send(&mut headset, ms(4_200), server_message::Body::Roster(roster));
    assert!(headset.avatars(ms(4_300)).is_empty());
    assert!(headset.leads());
    headset.go_to_stop(1);
    assert!(matches!(said(&mut headset)[..], [client_message::Body::Guide(g)] if g.lease == 4));
}

#[test]
fn transport_and_protocol_agree() {
    assert_eq!(protocol::ALPN, tongyou_transport::ALPN);
    assert_eq!(control::MAX_BYTES, tongyou_transport::MAX_CONTROL_BYTES);
}

#[test]
fn bad_input_is_named_and_does_no_harm() {
    let mut headset = on_tour();
    set_arrives(&mut headset, ms(3_900), 10, 1, 4);
    events(&mut headset);
    headset.on_control(ms(4_000), b"\xff\xff");
    headset.on_datagram(ms(4_000), b"\x63");
    headset.on_datagram(ms(4_000), &[]);
    headset.on_frame(ms(4_000), &Bytes::from_static(b"\x01\x02"));
    let prepare = Prepare {
        epoch: 2,
        stop: 99,
        placement: None,
    };
    send(&mut headset, ms(4_000), server_message::Body::Prepare(prepare));
    send(
        &mut headset,
        ms(4_000),
        server_message::Body::Commit(Commit {
            epoch: 9,
            stop: 99,
            at_us: 0,
        }),
    );
    send(&mut headset, ms(4_000), welcome());
    let lanes: Vec<&str> = events(&mut headset)
        .into_iter()
        .map(|e| match e {
            Event::Malformed { lane, .. } => lane,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        lanes,
        [
            "control", "datagram", "datagram", "frame", "control", "control", "control"
        ]
    );
    assert_eq!(headset.current().unwrap().epoch, 1);
    let mut newcomer = Headset::new(core_config());
    send(&mut newcomer, ms(0), server_message::Body::Welcome(Welcome::default()));
    assert!(matches!(events(&mut newcomer)[..], [Event::Malformed { .. }]));
}

#[test]
fn a_commit_without_a_place_waits_without_spinning() {
    let mut headset = on_tour();
    send(
        &mut headset,
        ms(4_000),
        server_message::Body::Commit(Commit {
            epoch: 2,
            stop: 1,
            at_us: 0,
        }),
    );
    headset.on_timeout(ms(4_001));
    assert_eq!(headset.current().unwrap().epoch, 1);
    assert!(headset.poll_timeout().unwrap() > ms(4_001));
    send(
        &mut headset,
        ms(4_100),
        server_message::Body::Placement(placement(2, 0, 8)),
    );
    assert_eq!(headset.current().unwrap().epoch, 2);
}
