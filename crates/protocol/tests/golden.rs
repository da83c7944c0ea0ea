//! The golden vectors in `vectors/golden.json`: the same file is read by the web client's tests.
//! `TONGYOU_BLESS=1` writes it anew; the change is then for a person to look at.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use glam::{Quat, Vec3};
use serde_json::{Value, json};
use std::fmt::Write as _;
use tongyou_protocol::control::{self, client_message, server_message};
use tongyou_protocol::datagram::{
    Avatars, Body, Commit, Datagram, Feedback, Joint, Ping, Pong, Pose, Still, pack_rotation, unpack_rotation,
};
use tongyou_protocol::frame::{Codec, Eyes, Frame, Header, Lane, Layer, Shape, Tag};
use tongyou_protocol::{
    ClientTime, HeadsetId, ServerTime, SessionCode, SetId, TourTime, VantageId, cube, depth, foveation,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut s, b| {
        write!(s, "{b:02x}").unwrap();
        s
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn joint(x: f32, yaw: f32) -> Joint {
    Joint {
        position: Vec3::new(x, 1.6, -0.25),
        rotation: Quat::from_euler(glam::EulerRot::YXZ, yaw, 0.3, -0.1),
    }
}

fn joint_json(j: &Joint) -> Value {
    json!({ "position": j.position.to_array(), "rotation_xyzw": j.rotation.to_array() })
}

fn body_json(b: &Body) -> Value {
    json!({
        "time_100us": b.time_100us, "at_rest": b.at_rest, "jump": b.jump, "head": joint_json(&b.head),
        "left": b.left.as_ref().map(joint_json), "right": b.right.as_ref().map(joint_json),
        "pointer": b.pointer.map(|p| p.to_array()),
    })
}

fn bodies() -> [Body; 2] {
    let still = Body {
        time_100us: 4_000_000_000,
        at_rest: true,
        jump: false,
        head: joint(1.25, 0.7),
        left: None,
        right: None,
        pointer: None,
    };
    let pointing = Body {
        time_100us: 12_345,
        at_rest: false,
        jump: true,
        head: joint(-30.5, 3.0),
        left: Some(joint(0.2, -2.0)),
        right: Some(joint(0.4, 1.5)),
        pointer: Some(Vec3::new(-12.5, 27.5, 300.0)),
    };
    [still, pointing]
}

fn datagrams() -> Vec<(&'static str, Datagram, Value)> {
    let [still, pointing] = bodies();
    let ping = Ping {
        seq: 65_535,
        sent: ClientTime(-1_234_567_890_123),
    };
    let pong = Pong {
        seq: 7,
        sent: ClientTime(1),
        received: ServerTime(1 << 40),
        replied: ServerTime((1 << 40) + 250),
    };
    let feedback = Feedback {
        last_set: SetId(70_000),
        interval_ms: 250,
        complete: 4,
        missed: 1,
        decode_queue: 2,
        delay_ms: 87,
        bytes: 123_456,
    };
    let avatars = Avatars {
        epoch: 3,
        people: vec![(HeadsetId(1), still), (HeadsetId(513), pointing)],
    };
    let commit = Commit {
        epoch: 70_002,
        stop: 3,
        at: ServerTime((1 << 40) + 300_000),
    };
    let vantage_still = Still {
        epoch: 4_466,
        vantage: VantageId(513),
        layer: Layer::Behind,
        set: SetId(70_003),
    };
    // What the wire holds, so after one trip: positions and rotations are quantised.
    let wire = |d: &Datagram| Datagram::from_bytes(&d.to_bytes()).unwrap();
    let body_of = |b: Body| {
        let Datagram::Pose(p) = wire(&Datagram::Pose(Pose {
            epoch: 0,
            seq: 0,
            body: b,
        })) else {
            unreachable!()
        };
        body_json(&p.body)
    };
    vec![
        (
            "ping",
            Datagram::Ping(ping),
            json!({ "seq": ping.seq, "sent_us": ping.sent.0 }),
        ),
        (
            "pong",
            Datagram::Pong(pong),
            json!({ "seq": 7, "sent_us": 1, "received_us": pong.received.0, "replied_us": pong.replied.0 }),
        ),
        (
            "pose at rest",
            Datagram::Pose(Pose {
                epoch: 2,
                seq: 9,
                body: still,
            }),
            json!({ "epoch": 2, "seq": 9, "body": body_of(still) }),
        ),
        (
            "pose pointing",
            Datagram::Pose(Pose {
                epoch: 65_535,
                seq: 10,
                body: pointing,
            }),
            json!({ "epoch": 65_535, "seq": 10, "body": body_of(pointing) }),
        ),
        (
            "avatars",
            Datagram::Avatars(avatars),
            json!({ "epoch": 3, "people": [
                { "headset": 1, "body": body_of(still) }, { "headset": 513, "body": body_of(pointing) } ] }),
        ),
        (
            "feedback",
            Datagram::Feedback(feedback),
            json!({ "last_set": 70_000, "interval_ms": 250, "complete": 4, "missed": 1, "decode_queue": 2,
                    "delay_ms": 87, "bytes": 123_456 }),
        ),
        (
            "commit",
            Datagram::Commit(commit),
            json!({ "epoch": 70_002, "stop": 3, "at_us": commit.at.0 }),
        ),
        (
            "still",
            Datagram::Still(vantage_still),
            json!({ "epoch": 4_466, "vantage": 513, "layer": 1, "set": 70_003 }),
        ),
    ]
}

/// One frame of each shape, and of each kind of layer.
fn frames() -> [Frame; 4] {
    let mut ambient = [[0.0; 3]; 9];
    for (i, v) in ambient.as_flattened_mut().iter_mut().enumerate() {
        *v = f32::from(u8::try_from(i).unwrap()) * 0.125 - 1.0;
    }
    let tag = Tag {
        set: SetId(70_001),
        vantage: VantageId(300),
        epoch: 5,
        point: Vec3::new(12.5, 1.625, -8.0),
        near: 0.25,
        half_tangent: cube::HALF_TANGENT,
        tour_time: TourTime(61_000_000),
        exposure: 1.5,
        ambient,
        still_ms: [0, 250, u32::MAX, 61_000, 1, 40],
        eyes: Eyes::default(),
    };
    let header = Header {
        lane: Lane::Color,
        layer: Layer::Base,
        shape: Shape::Panorama,
        keyframe: true,
        codec: Codec::H264,
        width: 1536,
        height: 1024,
        group: 17,
        index: 0,
        depends_on: SetId(69_999),
        rendered_at: ServerTime(5_000_000_123),
        tag,
    };
    let turned = |half_ipd, foveation| Eyes {
        rotation: Quat::from_xyzw(0.5, -0.5, 0.5, 0.5),
        half_ipd,
        foveation,
    };
    let stereo = Header {
        lane: Lane::Depth,
        shape: Shape::Stereo,
        codec: Codec::Depth1,
        width: 512,
        height: 512,
        tag: Tag {
            half_tangent: 1.28,
            still_ms: [0; 6],
            eyes: turned(0.032, 1.5),
            ..tag
        },
        ..header
    };
    let flat = Header {
        shape: Shape::Flat,
        keyframe: false,
        index: 3,
        width: 1280,
        height: 720,
        tag: Tag {
            eyes: turned(0.0, 0.0),
            half_tangent: 0.577,
            ..stereo.tag
        },
        ..header
    };
    let face = Header {
        layer: Layer::Face(4),
        width: 1024,
        tag: Tag {
            still_ms: [0; 6],
            ..tag
        },
        ..header
    };
    [header, stereo, flat, face].map(|header| Frame {
        header,
        payload: Bytes::from_static(b"\x00\x00\x00\x01\x67payload"),
    })
}

fn frame_json(frame: &Frame) -> Value {
    let (h, t) = (frame.header, frame.header.tag);
    let mut bytes = h.to_bytes(&frame.payload).to_vec();
    bytes.extend(&frame.payload);
    json!({
        "hex": hex(&bytes), "payload_hex": hex(&frame.payload),
        "lane": if h.lane == Lane::Color { "color" } else { "depth" },
        "layer": h.layer.number(),
        "shape": match h.shape { Shape::Panorama => "panorama", Shape::Stereo => "stereo", Shape::Flat => "flat" },
        "keyframe": h.keyframe, "codec": if h.codec == Codec::H264 { "h264" } else { "depth1" },
        "width": h.width, "height": h.height, "group": h.group, "index": h.index, "depends_on": h.depends_on.0,
        "rendered_at_us": h.rendered_at.0,
        "tag": { "set": t.set.0, "vantage": t.vantage.0, "epoch": t.epoch, "point": t.point.to_array(),
                 "near": t.near, "half_tangent": t.half_tangent, "tour_time_us": t.tour_time.0,
                 "exposure": t.exposure, "ambient": t.ambient, "still_ms": t.still_ms,
                 "rotation_xyzw": t.eyes.rotation.to_array(), "half_ipd": t.eyes.half_ipd,
                 "foveation": t.eyes.foveation },
    })
}

fn depth_cases() -> (depth::Cube, depth::Cube) {
    let at = |i: usize| {
        u16::try_from(if i % 32 < 3 {
            0
        } else {
            (i * 37 + i / 1024 * 11) % 65_536
        })
        .unwrap()
    };
    let key = depth::Cube::new(32, (0..6 * 1024).map(at).collect()).unwrap();
    let mut samples = key.samples().to_vec();
    samples[2 * 1024 + 5] = 40_000;
    (key, depth::Cube::new(32, samples).unwrap())
}

fn fnv(samples: &[u16]) -> String {
    let hash = samples.iter().fold(0x811c_9dc5_u32, |h, s| {
        s.to_le_bytes()
            .iter()
            .fold(h, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
    });
    format!("{hash:08x}")
}

fn golden() -> Value {
    let datagrams: Vec<Value> = datagrams()
        .into_iter()
        .map(|(name, d, fields)| json!({ "name": name, "hex": hex(&d.to_bytes()), "fields": fields }))
        .collect();
    let rotations: Vec<Value> = [
        Quat::IDENTITY,
        Quat::from_xyzw(0.5, -0.5, 0.5, -0.5),
        Quat::from_xyzw(-0.8, 0.6, 0.0, 0.0),
        Quat::from_xyzw(0.1, 0.2, -0.3, -0.9).normalize(),
    ]
    .iter()
    .map(|q| {
        let packed = pack_rotation(*q);
        json!({ "xyzw": q.to_array(), "hex": hex(&packed), "unpacked_xyzw": unpack_rotation(packed).to_array() })
    })
    .collect();
    let directions: Vec<Value> = (0..6)
        .flat_map(|face| [(0.0, 0.0), (0.5, -0.25), (-0.75, 0.875)].map(|(u, v)| (face, u, v)))
        .map(|(face, u, v)| {
            json!({ "face": face, "u": u, "v": v,
                    "direction": cube::FACES[face].direction(u, v, cube::HALF_TANGENT).to_array(),
                    "atlas_origin": cube::atlas_origin(u32::try_from(face).unwrap(), cube::FACE_SIZE) })
        })
        .collect();
    let foveated: Vec<Value> = [(0.0, 0.5), (1.5, -1.0), (1.5, 0.25), (1.5, 0.75), (3.0, 0.5)]
        .map(|(k, s)| json!({ "k": k, "s": s, "half_tangent": 1.25, "tangent": foveation::tangent(s, 1.25, k) }))
        .into();
    let (key, moved) = depth_cases();
    let pair = depth::Cube::new(32, key.samples()[..2 * 1024].to_vec()).unwrap();
    let hello = control::ClientMessage::from(client_message::Body::Hello(control::Hello {
        protocol_version: 1,
        code: "BCDF-GHJK".into(),
        name: "小明".into(),
        client: "web/0.1.0".into(),
        language: "zh-CN".into(),
        ..Default::default()
    }));
    let commit = control::ServerMessage::from(server_message::Body::Commit(control::Commit {
        epoch: 2,
        stop: 1,
        at_us: 9_876_543_210,
    }));
    let look_ahead = control::ClientMessage::from(client_message::Body::LookAhead(control::LookAhead {
        epoch: 2,
        cell: 3,
    }));
    let ahead = control::ServerMessage::from(server_message::Body::Ahead(control::Ahead {
        epoch: 2,
        cell: 3,
        vantage: 300,
        until_us: 9_876_543_210,
    }));
    let move_to = control::ClientMessage::from(client_message::Body::MoveTo(control::MoveTo {
        epoch: 2,
        x: -3.5,
        z: 12.25,
        heading: 0.5,
    }));
    let spectator = control::ClientMessage::from(client_message::Body::Hello(control::Hello {
        protocol_version: 1,
        code: "BCDF-GHJK".into(),
        kind: control::ClientKind::Spectator.into(),
        ..Default::default()
    }));
    let preview = control::ClientMessage::from(client_message::Body::Preview(control::Preview { stop: 2 }));
    let previewing = control::ServerMessage::from(server_message::Body::Previewing(control::Previewing {
        epoch: 2,
        stop: 2,
        vantage: 301,
        until_us: 9_876_543_210,
    }));
    let roaming = control::ServerMessage::from(server_message::Body::Placement(control::Placement {
        epoch: 2,
        cell: 1,
        vantage: 302,
        seat: Some(Vec3::new(-3.5, 0.25, 12.25).into()),
        yaw: 0.5,
        kind: control::PlacementKind::Roaming.into(),
    }));
    json!({
        "protocol_version": tongyou_protocol::VERSION,
        "datagrams": datagrams,
        "frames": frames().iter().map(frame_json).collect::<Vec<_>>(),
        "foveation": foveated,
        "rotations": rotations,
        "cube": directions,
        "depth": {
            "size": 32, "keyframe_hex": hex(&key.encode_keyframe(3).unwrap()), "keyframe_fnv1a": fnv(key.samples()),
            "changes_hex": hex(&moved.encode_changes(&key, 3).unwrap().unwrap()), "changes_fnv1a": fnv(moved.samples()),
            "pair_hex": hex(&pair.encode_keyframe(3).unwrap()), "pair_fnv1a": fnv(pair.samples()),
        },
        "codes": [
            { "typed": "bcdf ghjk", "shown": "BCDF-GHJK" }, { "typed": "ABCD-EFGH", "shown": null },
            { "typed": "BCDFGHJ", "shown": null }, { "typed": " z-x-w v t s r q", "shown": "ZXWV-TSRQ" },
        ],
        "control": [
            { "name": "hello", "hex": hex(&hello.to_bytes()) },
            { "name": "commit", "hex": hex(&commit.to_bytes()) },
            { "name": "lookAhead", "hex": hex(&look_ahead.to_bytes()) },
            { "name": "ahead", "hex": hex(&ahead.to_bytes()) },
            { "name": "moveTo", "hex": hex(&move_to.to_bytes()) },
            { "name": "spectator", "hex": hex(&spectator.to_bytes()) },
            { "name": "preview", "hex": hex(&preview.to_bytes()) },
            { "name": "previewing", "hex": hex(&previewing.to_bytes()) },
            { "name": "roaming", "hex": hex(&roaming.to_bytes()) },
        ],
    })
}

#[test]
fn the_golden_vectors_are_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/golden.json");
    let now = serde_json::to_string_pretty(&golden()).unwrap() + "\n";
    if std::env::var_os("TONGYOU_BLESS").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap();
    assert!(
        stored == now,
        "vectors/golden.json differs from what this code writes; see TONGYOU_BLESS in this file"
    );
}

#[test]
fn the_stored_vectors_read_back() {
    let stored: Value = serde_json::from_str(include_str!("../vectors/golden.json")).unwrap();
    for case in stored["datagrams"].as_array().unwrap() {
        let bytes = unhex(case["hex"].as_str().unwrap());
        let read = Datagram::from_bytes(&bytes).unwrap();
        assert_eq!(read.to_bytes(), bytes, "{}", case["name"]);
        for cut in 0..bytes.len() {
            assert!(
                Datagram::from_bytes(&bytes[..cut]).is_err(),
                "{} cut at {cut}",
                case["name"]
            );
        }
    }
    let cases = stored["frames"].as_array().unwrap();
    assert_eq!(cases.len(), frames().len());
    for (case, frame) in cases.iter().zip(frames()) {
        let bytes = Bytes::from(unhex(case["hex"].as_str().unwrap()));
        assert_eq!(Frame::from_bytes(&bytes).unwrap(), frame);
        for cut in 0..bytes.len() {
            assert!(Frame::from_bytes(&bytes.slice(..cut)).is_err(), "frame cut at {cut}");
        }
        let mut damaged = bytes.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(
            Frame::from_bytes(&damaged.into()),
            Err(tongyou_protocol::Error::Checksum { .. })
        ));
    }
    for case in stored["codes"].as_array().unwrap() {
        let shown = case["typed"]
            .as_str()
            .unwrap()
            .parse::<SessionCode>()
            .ok()
            .map(|c| c.to_string());
        assert_eq!(shown.as_deref(), case["shown"].as_str());
    }
    let (key, moved) = depth_cases();
    let bytes = |name: &str| unhex(stored["depth"][name].as_str().unwrap());
    assert_eq!(depth::Cube::decode(&bytes("keyframe_hex"), None).unwrap(), key);
    assert_eq!(depth::Cube::decode(&bytes("changes_hex"), Some(&key)).unwrap(), moved);
    let pair = depth::Cube::decode(&bytes("pair_hex"), None).unwrap();
    assert_eq!((pair.faces(), pair.samples()), (2, &key.samples()[..2 * 1024]));
}
