use super::super::*;
use bytes::Bytes;
use protocol::control::{self, ClientMessage, ServerMessage, client_message, server_message};
use protocol::datagram::{Datagram, Pong};
use protocol::frame::{Codec, Eyes, Header, Lane, Layer, Shape, Tag};
use protocol::{ServerTime, TourTime, VantageId};
use tokio::sync::mpsc;
use tongyou_transport::impair::Impairment;
use tongyou_transport::simulated;

const HZ: f32 = 10.0;
const INTERVAL_US: i64 = 100_000;

/// A picture or depth of a set that is whole but means nothing.
fn frame(lane: Lane, set: u32, epoch: u16) -> transport::Frame {
    let tag = Tag {
        set: SetId(set),
        vantage: VantageId(epoch),
        epoch,
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
        keyframe: true,
        codec: if lane == Lane::Color {
            Codec::H264
        } else {
            Codec::Depth1
        },
        width: 96,
        height: 64,
        group: 0,
        index: 0,
        depends_on: SetId(set),
        rendered_at: ServerTime(0),
        tag,
    };
    let payload = Bytes::from_static(b"payload");
    transport::Frame {
        chunks: vec![header.to_bytes(&payload), payload],
        priority: 0,
        expires_in: Duration::from_secs(1),
        id: u64::from(set),
    }
}

fn send_set(link: &Arc<dyn Link>, set: u32, epoch: u16) {
    for lane in [Lane::Color, Lane::Depth] {
        link.send_frame(frame(lane, set, epoch)).unwrap();
    }
}

fn say(link: &Arc<dyn Link>, body: server_message::Body) {
    link.send_control(ServerMessage::from(body).to_bytes()).unwrap();
}

fn placement(epoch: u32) -> control::Placement {
    control::Placement {
        epoch,
        vantage: epoch,
        ..control::Placement::default()
    }
}

/// Shows a stop, changes to another one at an instant between two of the display, and ends with the first report.
async fn serve(link: Arc<dyn Link>, mut events: Events, reports: mpsc::UnboundedSender<(i64, control::SkewReport)>) {
    let clock = Machine::default();
    let mut agreed = 0;
    while let Some(event) = events.recv().await {
        let now = clock.now().client.0;
        match event {
            transport::Event::Datagram(datagram) => {
                if let Ok(Datagram::Ping(ping)) = Datagram::from_bytes(&datagram) {
                    let pong = Pong {
                        seq: ping.seq,
                        sent: ping.sent,
                        received: ServerTime(now),
                        replied: ServerTime(now),
                    };
                    link.send_datagram(Datagram::Pong(pong).to_bytes()).unwrap();
                }
            }
            transport::Event::Control(message) => match ClientMessage::from_bytes(&message).unwrap() {
                client_message::Body::Hello(_) => {
                    say(&link, server_message::Body::Welcome(welcome()));
                    send_set(&link, 1, 1);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    let prepare = control::Prepare {
                        epoch: 2,
                        stop: 1,
                        placement: Some(placement(2)),
                    };
                    say(&link, server_message::Body::Prepare(prepare));
                    send_set(&link, 2, 2);
                }
                client_message::Body::Ready(_) => {
                    // 30 ms after an instant of the display.
                    agreed = now + 3_000_000 - now.rem_euclid(INTERVAL_US) + 30_000;
                    say(
                        &link,
                        server_message::Body::Commit(control::Commit {
                            epoch: 2,
                            stop: 1,
                            at_us: agreed,
                        }),
                    );
                }
                client_message::Body::Skew(report) => {
                    reports.send((agreed, report)).unwrap();
                    say(
                        &link,
                        server_message::Body::Ended(control::Ended {
                            message: "over".to_owned(),
                        }),
                    );
                }
                _ => {}
            },
            _ => {}
        }
    }
}

fn welcome() -> control::Welcome {
    control::Welcome {
        headset: 3,
        resume_ticket: vec![5; 16],
        tour: Some(control::Tour {
            stops: vec![control::Stop::default(); 2],
            ..control::Tour::default()
        }),
        current: Some(control::Commit {
            epoch: 1,
            stop: 0,
            at_us: 0,
        }),
        placement: Some(placement(1)),
        ..control::Welcome::default()
    }
}

struct Looker {
    display: Display,
    presented: Vec<(Moment, Presented)>,
}

impl Wearer for Looker {
    fn pose(&mut self, _at: Moment, _headset: &mut Headset) -> Option<LocalPose> {
        None
    }

    fn on_event(&mut self, _at: Moment, _event: &Event, _headset: &mut Headset) {}

    fn display(&self) -> Display {
        self.display.clone()
    }

    fn on_presented(&mut self, at: Moment, presented: Presented) {
        self.presented.push((at, presented));
    }
}

/// The server's report, when it was agreed, and what the wearer saw.
async fn change(display: Display) -> (i64, control::SkewReport, Vec<(Moment, Presented)>) {
    let (reports, mut reported) = mpsc::unbounded_channel();
    let path = Impairment {
        delay: Duration::from_millis(20),
        ..Impairment::default()
    };
    let (near, far) = simulated::pair(transport::Config::server(), transport::Config::client(), path, path, 1);
    tokio::spawn(serve(near.0, near.1, reports));
    let far = std::sync::Mutex::new(Some(far));
    let connect: Connect = Arc::new(move || {
        let far = far.lock().unwrap().take();
        Box::pin(async move { Ok(far.unwrap()) })
    });
    let options = Options {
        connect,
        headset: core::Config::new("BCDF-GHJK", "Lin"),
        clock: Machine::default(),
        decode: Decode::Nothing,
    };
    let (_keep, cancel) = watch::channel(false);
    let mut looker = Looker {
        display,
        presented: Vec::new(),
    };
    let end = run(options, &mut looker, cancel).await.unwrap();
    assert_eq!(end, End::Ended("over".to_owned()));
    let (agreed, report) = reported.recv().await.unwrap();
    (agreed, report, looker.presented)
}

#[tokio::test(start_paused = true)]
async fn a_change_is_presented_at_the_next_instant_of_the_display() {
    let (agreed, report, presented) = change(Display::Every { hz: HZ }).await;
    assert!(report.applied_us.abs() < 2_000, "{report:?}");
    // The instant is 70 ms after the agreed one; timers have a resolution of 1 ms.
    assert!((report.presented_us - 70_000).abs() < 4_000, "{report:?}");
    let sets: Vec<u32> = presented.iter().map(|(_, p)| p.set.0).collect();
    assert_eq!(sets, [1, 2]);
    for (at, p) in presented {
        assert_eq!(p.machine_us, at.machine_us);
        assert!(
            at.client.0.rem_euclid(INTERVAL_US) < 2_500,
            "{at:?} is no instant of the display"
        );
        assert!(p.set.0 == 1 || at.machine_us >= agreed);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_display_a_change_counts_at_once() {
    let (_, report, presented) = change(Display::None).await;
    assert_eq!(report.presented_us, report.applied_us);
    assert!(presented.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_real_display_says_when() {
    let (tell, told) = watch::channel(None);
    tokio::spawn(async move {
        let clock = Machine::default();
        let start = clock.now().machine_us;
        // Presents, now and then, whatever may be on show.
        for epoch in [1_u16, 2].into_iter().cycle() {
            tokio::time::sleep(Duration::from_millis(7)).await;
            let machine_us = clock.now().machine_us;
            let stream = StreamId {
                epoch,
                vantage: VantageId(epoch),
                layer: Layer::Base,
            };
            let set = SetId(u32::from(epoch));
            // Too early for the new stop: it says so before the change as well.
            let _ = tell.send(Some(Presented {
                stream,
                set,
                machine_us,
            }));
            if machine_us > start + 60_000_000 {
                return;
            }
        }
    });
    let (_, report, _) = change(Display::Real(told)).await;
    let after = report.presented_us - report.applied_us;
    assert!((0..16_000).contains(&after), "{report:?}");
}
