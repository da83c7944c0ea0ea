//! Layers beside the base, standing off the cells, and watching.

use super::*;
use protocol::control::{ClientKind, PlacementKind};

/// The layers of vantage 4 of which something is kept.
fn kept(headset: &Headset) -> Vec<Layer> {
    let of_shown = headset.receiver.streams().filter(|s| s.vantage == VantageId(4));
    of_shown.map(|s| s.layer).collect()
}

fn completed(headset: &mut Headset) -> Vec<(u32, Layer)> {
    let one = |e| match e {
        Event::Complete(c) => Some((c.color.tag.set.0, c.stream.layer)),
        _ => None,
    };
    events(headset).into_iter().filter_map(one).collect()
}

#[test]
fn other_layers_complete_beside_the_base_and_are_not_shown_for_it() {
    let mut headset = on_tour();
    layer_arrives(&mut headset, ms(4_000), 10, (1, 4), Layer::Behind);
    layer_arrives(&mut headset, ms(4_010), 11, (1, 4), Layer::Face(4));
    assert_eq!(completed(&mut headset), [(10, Layer::Behind), (11, Layer::Face(4))]);
    assert_eq!(headset.picture_age(ms(4_020)), None, "there is no base yet");
    set_arrives(&mut headset, ms(4_030), 12, 1, 4);
    assert_eq!(completed(&mut headset), [(12, Layer::Base)]);
    assert_eq!(headset.shown().unwrap().layer, Layer::Base);
}

#[test]
fn while_something_else_is_on_its_way_no_face_is_decoded() {
    let mut headset = on_tour();
    set_arrives(&mut headset, ms(4_000), 10, 1, 4);
    layer_arrives(&mut headset, ms(4_000), 11, (1, 4), Layer::Behind);
    layer_arrives(&mut headset, ms(4_000), 12, (1, 4), Layer::Face(0));
    assert_eq!(kept(&headset), [Layer::Base, Layer::Behind, Layer::Face(0)]);
    let ahead = control::Ahead {
        epoch: 1,
        cell: 2,
        vantage: 6,
        until_us: 6_000_000 + OFFSET_US,
    };
    send(&mut headset, ms(4_100), server_message::Body::Ahead(ahead));
    assert_eq!(kept(&headset), [Layer::Base, Layer::Behind]);
    layer_arrives(&mut headset, ms(4_200), 13, (1, 4), Layer::Face(0));
    assert_eq!(kept(&headset), [Layer::Base, Layer::Behind], "not even when it comes");
    layer_arrives(&mut headset, ms(4_200), 14, (1, 6), Layer::Behind);
    pass(&mut headset, 4_300, 6_300);
    layer_arrives(&mut headset, ms(6_400), 15, (1, 4), Layer::Face(0));
    assert_eq!(kept(&headset), [Layer::Base, Layer::Behind, Layer::Face(0)]);
    // Faces of another cell are of no use.
    layer_arrives(&mut headset, ms(6_400), 16, (1, 9), Layer::Face(0));
    assert!(headset.receiver.streams().all(|s| s.vantage == VantageId(4)));
}

#[test]
fn who_stands_off_the_cells_comes_back_there() {
    let mut headset = on_tour();
    headset.move_to(3.0, -7.5, 0.25);
    let [client_message::Body::MoveTo(to)] = said(&mut headset)[..] else {
        panic!("no MoveTo")
    };
    assert_eq!((to.epoch, to.x, to.z, to.heading), (1, 3.0, -7.5, 0.25));
    let roaming = Placement {
        kind: PlacementKind::Roaming.into(),
        seat: Some(control::Vec3 {
            x: 3.0,
            y: 0.4,
            z: -7.5,
        }),
        yaw: 0.25,
        ..placement(1, 2, 8)
    };
    send(&mut headset, ms(4_000), server_message::Body::Placement(roaming));
    set_arrives(&mut headset, ms(4_100), 20, 1, 8);
    assert_eq!(headset.shown().unwrap().vantage, VantageId(8));
    assert_eq!(headset.eye_height_m(), 1.6);
    headset.connect_again();
    said(&mut headset);
    // The server gives the nearest cell: the wearer was elsewhere.
    send(&mut headset, ms(5_000), welcome());
    assert!(matches!(said(&mut headset)[..], [client_message::Body::MoveTo(m)] if m.x == 3.0 && m.heading == 0.25));
}

#[test]
fn a_projector_pings_but_has_no_pose_and_no_seat() {
    let mut headset = Headset::new(Config {
        kind: ClientKind::Spectator,
        ..Config::new("BCDF-GHJK", "")
    });
    let [client_message::Body::Hello(hello)] = &said(&mut headset)[..] else {
        panic!("no Hello")
    };
    assert_eq!(hello.kind(), ClientKind::Spectator);
    let server_message::Body::Welcome(welcome) = welcome() else {
        unreachable!()
    };
    let watching = Welcome {
        headset: 0,
        resume_ticket: Vec::new(),
        kind: ClientKind::Spectator.into(),
        placement: Some(Placement {
            kind: PlacementKind::Watching.into(),
            seat: None,
            ..placement(1, 0, 30)
        }),
        ..welcome
    };
    send(&mut headset, ms(0), server_message::Body::Welcome(watching));
    assert!(headset.watches() && headset.resume_ticket().is_none());
    pass(&mut headset, 10, 2_000);
    let joint = LocalJoint {
        position: Vec3::Y,
        rotation: Quat::IDENTITY,
    };
    let pose = LocalPose {
        head: joint,
        left: None,
        right: None,
        pointer: None,
    };
    headset.set_pose(ms(2_010), &pose);
    headset.on_timeout(ms(4_000));
    let sent = datagrams(&mut headset);
    assert!(sent.iter().any(|d| matches!(d, Datagram::Ping(_))));
    assert!(!sent.iter().any(|d| matches!(d, Datagram::Pose(_))), "{sent:?}");
}
