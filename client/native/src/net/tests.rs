use super::decode::{Decoded, Decoding};
use super::*;
use bytes::Bytes;
use protocol::control::{self, ClientMessage, ServerMessage, client_message, server_message};
use protocol::depth::Cube;
use protocol::frame::{Codec, Eyes, Frame, Header, Lane, Layer, Shape, Tag};
use protocol::{ServerTime, SetId, TourTime, VantageId};
use std::sync::Mutex;
use tongyou_media::Size;
use tongyou_media::encode::{self, Backend, OpenH264};
use tongyou_stream::receive::{Complete, StreamId};
use transport::impair::Impairment;
use transport::simulated;

fn frame(lane: Lane, set: u32, keyframe: bool, payload: Bytes) -> Frame {
    let tag = Tag {
        set: SetId(set),
        vantage: VantageId(1),
        epoch: 1,
        point: glam::Vec3::ZERO,
        near: 0.1,
        half_tangent: 1.0,
        tour_time: TourTime(0),
        exposure: 1.0,
        ambient: [[0.0; 3]; 9],
        still_ms: [0; 6],
        eyes: Eyes::default(),
    };
    let header = Header {
        lane,
        layer: Layer::Base,
        shape: Shape::Panorama,
        keyframe,
        codec: if lane == Lane::Color {
            Codec::H264
        } else {
            Codec::Depth1
        },
        width: 96,
        height: 64,
        group: 0,
        index: 0,
        depends_on: SetId(0),
        rendered_at: ServerTime(0),
        tag,
    };
    Frame { header, payload }
}

#[tokio::test]
async fn colour_and_depth_are_decoded_and_damage_is_said() {
    let size = Size::new(96, 64).unwrap();
    let mut encoder = OpenH264::new(encode::Config::new(size)).unwrap();
    let key_cube = Cube::new(32, vec![900; 6 * 32 * 32]).unwrap();
    let mut samples = key_cube.samples().to_vec();
    samples[40] = 7;
    let cube = Cube::new(32, samples).unwrap();
    let depth_key = frame(Lane::Depth, 0, true, key_cube.encode_keyframe(3).unwrap());
    let depth = frame(
        Lane::Depth,
        1,
        false,
        cube.encode_changes(&key_cube, 3).unwrap().unwrap(),
    );
    let mut decoding = Decoding::new(Decode::All);
    for set in 0..2_u32 {
        let luma = u8::try_from(60 + 80 * set).unwrap();
        let nv12: Vec<u8> = (0..size.nv12_len())
            .map(|i| if i < size.luma_len() { luma } else { 128 })
            .collect();
        let picture = frame(Lane::Color, set, set == 0, encoder.encode(&nv12, set).unwrap().data);
        assert_eq!(decoding.color(picture.clone()), None);
        assert!(matches!(
            decoding.recv().await,
            Some(Decoded::Color { result: Ok(()), .. })
        ));
        let (depth, depth_keyframe) = if set == 0 {
            (depth_key.clone(), None)
        } else {
            (depth.clone(), Some(depth_key.clone()))
        };
        let stream = StreamId::of(&picture.header);
        decoding.complete(&Complete {
            stream,
            color: picture.header,
            depth: Some(depth),
            depth_keyframe,
            age: None,
        });
        let Some(Decoded::Picture(Ok(shown))) = decoding.recv().await else {
            panic!("not decoded")
        };
        assert!(shown.color.nv12[..size.luma_len()].iter().all(|y| y.abs_diff(luma) < 4));
        assert_eq!(
            **shown.depth.as_ref().unwrap(),
            if set == 0 { key_cube.clone() } else { cube.clone() }
        );
    }
    assert_eq!(decoding.in_flight(), 0);
    decoding.color(frame(Lane::Color, 2, false, Bytes::from_static(b"not a picture")));
    let Some(Decoded::Color {
        set: SetId(2),
        result: Err(message),
    }) = decoding.recv().await
    else {
        panic!("damage was taken")
    };
    assert!(message.starts_with("set 2: "), "{message}");
}

/// Notes what happens, and does nothing.
struct Nobody;

impl Wearer for Nobody {
    fn pose(&mut self, _at: Moment, _headset: &mut Headset) -> Option<LocalPose> {
        None
    }

    fn on_event(&mut self, _at: Moment, _event: &Event, _headset: &mut Headset) {}
}

fn welcome() -> control::Welcome {
    control::Welcome {
        headset: 3,
        resume_ticket: vec![5; 16],
        tour: Some(control::Tour {
            stops: vec![control::Stop::default()],
            ..control::Tour::default()
        }),
        current: Some(control::Commit::default()),
        placement: Some(control::Placement::default()),
        ..control::Welcome::default()
    }
}

/// Welcomes; then the first link breaks, and on the second the session ends.
async fn serve(link: Arc<dyn Link>, mut events: Events, first: bool, hellos: Arc<Mutex<Vec<control::Hello>>>) {
    let say = |body: server_message::Body| link.send_control(ServerMessage::from(body).to_bytes()).unwrap();
    while let Some(event) = events.recv().await {
        let transport::Event::Control(message) = event else {
            continue;
        };
        let client_message::Body::Hello(hello) = ClientMessage::from_bytes(&message).unwrap() else {
            continue;
        };
        hellos.lock().unwrap().push(hello);
        say(server_message::Body::Welcome(welcome()));
        tokio::time::sleep(Duration::from_secs(2)).await;
        if first {
            link.close(9, "the server was killed");
            return;
        }
        say(server_message::Body::Ended(control::Ended {
            message: "good night".to_owned(),
        }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_made_again_with_the_ticket() {
    let hellos = Arc::new(Mutex::new(Vec::new()));
    let (seen, tries) = (Arc::clone(&hellos), Arc::new(Mutex::new(0)));
    let connect: Connect = Arc::new(move || {
        let (seen, tries) = (Arc::clone(&seen), Arc::clone(&tries));
        Box::pin(async move {
            let attempt = {
                let mut tries = tries.lock().unwrap();
                *tries += 1;
                *tries
            };
            // The server needs a while to come up again.
            if attempt == 2 {
                let reason = "refused".to_owned();
                return Err(transport::Error::Connect {
                    addr: ([127, 0, 0, 1], 1).into(),
                    reason,
                });
            }
            let path = Impairment::default();
            let (near, far) = simulated::pair(
                transport::Config::server(),
                transport::Config::client(),
                path,
                path,
                attempt,
            );
            tokio::spawn(serve(near.0, near.1, attempt == 1, seen));
            Ok(far)
        })
    });
    let options = Options {
        connect,
        headset: core::Config::new("BCDF-GHJK", "Lin"),
        clock: Machine::default(),
        decode: Decode::Nothing,
    };
    let (_keep, cancel) = watch::channel(false);
    let end = run(options, &mut Nobody, cancel).await.unwrap();
    assert_eq!(end, End::Ended("good night".to_owned()));
    let tickets: Vec<Vec<u8>> = hellos.lock().unwrap().iter().map(|h| h.resume_ticket.clone()).collect();
    assert_eq!(tickets, [vec![], vec![5; 16]]);
}

#[tokio::test(start_paused = true)]
async fn who_is_replaced_does_not_come_back() {
    let tries = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&tries);
    let connect: Connect = Arc::new(move || {
        *counted.lock().unwrap() += 1;
        Box::pin(async move {
            let path = Impairment::default();
            let (near, far) = simulated::pair(transport::Config::server(), transport::Config::client(), path, path, 1);
            tokio::spawn(async move {
                let (link, mut events) = near;
                while let Some(event) = events.recv().await {
                    if matches!(event, transport::Event::Control(_)) {
                        let body = server_message::Body::Welcome(welcome());
                        link.send_control(ServerMessage::from(body).to_bytes()).unwrap();
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        link.close(2, "here from elsewhere");
                    }
                }
            });
            Ok(far)
        })
    });
    let options = Options {
        connect,
        headset: core::Config::new("BCDF-GHJK", "Lin"),
        clock: Machine::default(),
        decode: Decode::Nothing,
    };
    let (_keep, cancel) = watch::channel(false);
    let error = run(options, &mut Nobody, cancel).await.unwrap_err();
    assert!(matches!(error, Error::Lost { code: 2, .. }), "{error}");
    assert_eq!(*tries.lock().unwrap(), 1);
}

#[test]
fn fingerprints_are_read_as_people_paste_them() {
    let hex = "0123456789abcdef".repeat(4);
    let bytes = parse_sha256(&hex).unwrap();
    assert_eq!(bytes[..4], [0x01, 0x23, 0x45, 0x67]);
    let pairs: Vec<&str> = (0..32).map(|i| &hex[2 * i..2 * i + 2]).collect();
    assert_eq!(parse_sha256(&pairs.join(":").to_uppercase()), Ok(bytes));
    for bad in ["", "01", &hex[1..], &format!("{hex}0"), &hex.replace('a', "g")] {
        assert_eq!(parse_sha256(bad), Err(BadSha256), "{bad}");
    }
}
