use bytes::Bytes;
use glam::Vec3;
use tongyou_protocol::datagram::Still;
use tongyou_protocol::frame::{Codec, Eyes, Header, Lane, Layer, Shape, Tag};
use tongyou_protocol::{SetId, TourTime};
use tongyou_session::{ActiveVantage, Viewer};
use tongyou_transport::{Config, Event, Events, impair::Impairment, simulated};

use super::*;
use crate::testing::session;

const KEY: Key = (SessionKey(1), VantageId(7));

fn frame(lane: Lane, set: u32) -> Arc<EncodedFrame> {
    let header = Header {
        lane,
        layer: Layer::Base,
        shape: Shape::Panorama,
        keyframe: true,
        codec: if lane == Lane::Color {
            Codec::H264
        } else {
            Codec::Depth1
        },
        width: 64,
        height: 64,
        group: set,
        index: 0,
        depends_on: SetId(set),
        rendered_at: ServerTime(0),
        tag: Tag {
            set: SetId(set),
            vantage: KEY.1,
            epoch: 3,
            point: Vec3::ZERO,
            near: 0.2,
            half_tangent: 1.0,
            tour_time: TourTime(0),
            exposure: 1.0,
            ambient: [[0.0; 3]; 9],
            still_ms: [0; 6],
            eyes: Eyes::default(),
        },
    };
    Arc::new(EncodedFrame::new(header, Bytes::from_static(b"pixels")))
}

/// The heartbeats that have come.
async fn stills(near: &Arc<dyn Link>, events: &mut Events) -> Vec<Still> {
    // What is sent last arrives last on a path without delay.
    let end = Bytes::from_static(b"end");
    near.send_datagram(end.clone()).unwrap();
    let mut found = Vec::new();
    loop {
        match events.recv().await.expect("the link is open") {
            Event::Datagram(bytes) if bytes == end => return found,
            Event::Datagram(bytes) => match Datagram::from_bytes(&bytes).unwrap() {
                Datagram::Still(still) => found.push(still),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_vantage_in_which_nothing_moves_says_so_once_a_second() {
    let path = Impairment::default();
    let mut links = Links::new();
    let mut ends = Vec::new();
    for number in 1..=2 {
        let (near, far) = simulated::pair(Config::server(), Config::client(), path, path, number);
        ends.push((near.0.clone(), far.1, near.1, far.0));
        links.insert(LinkId(number), near.0);
    }
    let mut fanout = Fanout::new(adapt::Config::default(), Arc::default());
    let mut tick = session(1, ServerTime(0), &[(7, 0)]);
    tick.vantages = vec![ActiveVantage {
        epoch: 3,
        viewers: [1, 2]
            .map(|l| Viewer {
                link: LinkId(l),
                gaze: None,
            })
            .into(),
        ..tick.vantages.remove(0)
    }];
    let at = |ms: i64| ServerTime(ms * 1000);
    let ticks = [tick];
    fanout.sync(at(0), &ticks);
    // Without a picture there is nothing to say.
    fanout.heartbeat(at(1500), &links);
    fanout.offer(at(2000), KEY, &[frame(Lane::Depth, 9), frame(Lane::Color, 9)]);
    fanout.heartbeat(at(2999), &links);
    for (near, events, ..) in &mut ends {
        assert_eq!(stills(near, events).await, []);
    }
    let still = |set| Still {
        epoch: 3,
        vantage: KEY.1,
        layer: Layer::Base,
        set: SetId(set),
    };
    for ms in 3000..6000 {
        fanout.heartbeat(at(ms), &links);
    }
    for (near, events, ..) in &mut ends {
        assert_eq!(stills(near, events).await, [still(9); 3]);
    }
    // A frame says as much as a heartbeat.
    fanout.offer(at(6500), KEY, &[frame(Lane::Color, 10)]);
    for ms in 6500..8000 {
        fanout.heartbeat(at(ms), &links);
    }
    fanout.remove(LinkId(2));
    fanout.heartbeat(at(8500), &links);
    for ((near, events, ..), times) in ends.iter_mut().zip([2, 1]) {
        assert_eq!(stills(near, events).await, vec![still(10); times]);
    }
}
