//! A server that follows a script: 20 sets a second, a stop change every three seconds, poses relayed as they come.

use bytes::Bytes;
use glam::Vec3;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tongyou_protocol::control::{
    self, Cell, ClientMessage, Commit, Person, Placement, Prepare, Role, Roster, ServerMessage, Stop, Welcome,
    client_message, server_message,
};
use tongyou_protocol::datagram::{Avatars, Body, Datagram, Pong};
use tongyou_protocol::frame::{Codec, Eyes, Frame, Header, Lane, Layer, Shape, Tag};
use tongyou_protocol::{HeadsetId, ServerTime, SetId, TourTime, VantageId};
use tongyou_transport::{Event, Events, Link};

const SET_US: i64 = 50_000;
const GROUP: i64 = 20;
const EPOCH_US: i64 = 3_000_000;
/// From Prepare to Commit, and from Commit to the agreed instant: a message may be lost twice in a row.
const PREPARE_US: i64 = 1_200_000;
const AHEAD_US: i64 = 1_000_000;
pub(crate) const STOPS: u32 = 3;

/// What the server has been told.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub ready: Vec<(u16, u32)>,
    pub skews: Vec<control::SkewReport>,
    pub moves: usize,
    pub poses: usize,
    pub pointers: usize,
    pub feedback: usize,
    pub left: usize,
}

#[derive(Clone)]
pub(crate) struct Scripted {
    start: Instant,
    people: u32,
    pub(crate) heard: Arc<Mutex<Heard>>,
    poses: broadcast::Sender<(u16, u16, Body)>,
}

impl Scripted {
    pub(crate) fn new(people: u32) -> Self {
        Self {
            start: Instant::now(),
            people,
            heard: Arc::default(),
            poses: broadcast::channel(1024).0,
        }
    }

    fn now(&self) -> ServerTime {
        ServerTime(i64::try_from(self.start.elapsed().as_micros()).unwrap())
    }

    /// Serves one headset until its link ends.
    pub(crate) async fn serve(self, id: u16, link: Arc<dyn Link>, mut events: Events) {
        let mut poses = self.poses.subscribe();
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let mut seat: Option<Seat> = None;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Control(message)) => {
                        if let Some(reply) = self.on_control(id, ClientMessage::from_bytes(&message).unwrap(), &mut seat) {
                            link.send_control(ServerMessage::from(reply).to_bytes()).unwrap();
                        }
                    }
                    Some(Event::Datagram(datagram)) => self.on_datagram(id, &link, &datagram),
                    Some(Event::Closed { .. }) | None => return,
                    Some(_) => {}
                },
                Ok((who, epoch, body)) = poses.recv() => {
                    if who != id {
                        let avatars = Avatars { epoch, people: vec![(HeadsetId(who), body)] };
                        let _ = link.send_datagram(Datagram::Avatars(avatars).to_bytes());
                    }
                }
                _ = ticks.tick() => {
                    if let Some(seat) = &mut seat {
                        seat.tick(self.now(), link.as_ref());
                    }
                }
            }
        }
    }

    fn on_control(&self, id: u16, body: client_message::Body, seat: &mut Option<Seat>) -> Option<server_message::Body> {
        let mut heard = self.heard.lock().unwrap();
        match body {
            client_message::Body::Hello(hello) => {
                assert!(hello.simulated);
                if hello.code != "BCDF-GHJK" {
                    let refused = control::Refused {
                        reason: control::RefusedReason::RefusedCode.into(),
                        message: "no such session".to_owned(),
                    };
                    return Some(server_message::Body::Refused(refused));
                }
                let epoch = epoch_at(self.now());
                *seat = Some(Seat {
                    announced: epoch,
                    committed: epoch,
                    cell: 0,
                    next: first_set(epoch, self.now()),
                });
                return Some(server_message::Body::Welcome(self.welcome(id, epoch)));
            }
            client_message::Body::Ready(ready) => heard.ready.push((id, ready.epoch)),
            client_message::Body::MoveToCell(to) => {
                heard.moves += 1;
                let seat = seat.as_mut().unwrap();
                if to.epoch == seat.committed {
                    seat.cell = to.cell;
                    return Some(server_message::Body::Placement(placement(seat.committed, to.cell)));
                }
            }
            client_message::Body::Skew(report) => heard.skews.push(report),
            client_message::Body::Leave(_) => heard.left += 1,
            // Bots do not aim before they walk, and stay on the cells.
            other @ (client_message::Body::LookAhead(_)
            | client_message::Body::MoveTo(_)
            | client_message::Body::Preview(_)) => panic!("{other:?}"),
            client_message::Body::Guide(command) => panic!("{command:?}"),
        }
        None
    }

    fn on_datagram(&self, id: u16, link: &Arc<dyn Link>, bytes: &Bytes) {
        let mut heard = self.heard.lock().unwrap();
        match Datagram::from_bytes(bytes).unwrap() {
            Datagram::Ping(ping) => {
                let (received, replied) = (self.now(), self.now());
                let pong = Pong {
                    seq: ping.seq,
                    sent: ping.sent,
                    received,
                    replied,
                };
                let _ = link.send_datagram(Datagram::Pong(pong).to_bytes());
            }
            Datagram::Pose(pose) => {
                heard.poses += 1;
                heard.pointers += usize::from(pose.body.pointer.is_some());
                let _ = self.poses.send((id, pose.epoch, pose.body));
            }
            Datagram::Feedback(_) => heard.feedback += 1,
            other => panic!("{other:?}"),
        }
    }

    fn welcome(&self, id: u16, epoch: u32) -> Welcome {
        let point = |x: f32| Some(control::Vec3 { x, y: 1.6, z: 0.0 });
        let cells = (0..3_u8)
            .map(|i| Cell {
                point: point(f32::from(i) * 4.0),
                floor_y: 0.0,
            })
            .collect();
        let stop = Stop {
            cells,
            look_at: Some(Vec3::new(3.0, 10.0, -30.0).into()),
            ..Stop::default()
        };
        let people = (1..=self.people).map(|headset| Person {
            headset,
            role: Role::Tourist.into(),
            ..Person::default()
        });
        Welcome {
            protocol_version: 1,
            headset: id.into(),
            resume_ticket: vec![1; 16],
            tour: Some(control::Tour {
                stops: vec![stop; STOPS as usize],
                ..control::Tour::default()
            }),
            current: Some(Commit {
                epoch,
                stop: epoch % STOPS,
                at_us: 0,
            }),
            placement: Some(placement(epoch, 0)),
            roster: Some(Roster {
                people: people.collect(),
                lease: 1,
                spectators: 0,
            }),
            capacity: 32,
            ..Welcome::default()
        }
    }
}

/// What one headset is owed.
struct Seat {
    announced: u32,
    committed: u32,
    cell: u32,
    /// Number of the next set to send.
    next: i64,
}

impl Seat {
    fn tick(&mut self, now: ServerTime, link: &dyn Link) {
        // Who has just left is told nothing any more.
        let control = |body: server_message::Body| {
            let _ = link.send_control(ServerMessage::from(body).to_bytes());
        };
        let coming = self.committed + 1;
        let prepare_at = i64::from(coming) * EPOCH_US - PREPARE_US - AHEAD_US;
        if self.announced < coming && now.0 >= prepare_at {
            self.announced = coming;
            let placement = Some(placement(coming, 0));
            control(server_message::Body::Prepare(Prepare {
                epoch: coming,
                stop: coming % STOPS,
                placement,
            }));
        }
        if self.announced == coming && now.0 >= i64::from(coming) * EPOCH_US - AHEAD_US {
            self.committed = coming;
            self.cell = 0;
            let at_us = i64::from(coming) * EPOCH_US;
            control(server_message::Body::Commit(Commit {
                epoch: coming,
                stop: coming % STOPS,
                at_us,
            }));
        }
        while self.next * SET_US <= now.0 {
            // The present stop until it is over, the coming one from its announcement on.
            let rendered = self.next * SET_US;
            for epoch in epoch_at(ServerTime(rendered))..=self.announced {
                for cell in 0..if epoch == self.committed { 3 } else { 1 } {
                    if self.next >= begin(epoch) && (cell == 0 || cell == self.cell) {
                        send_set(link, self.next, epoch, cell);
                    }
                }
            }
            self.next += 1;
        }
    }
}

fn epoch_at(now: ServerTime) -> u32 {
    u32::try_from(now.0.div_euclid(EPOCH_US)).unwrap()
}

/// Number of the first set of a stop.
fn begin(epoch: u32) -> i64 {
    (i64::from(epoch) * EPOCH_US - PREPARE_US - AHEAD_US).max(0) / SET_US
}

/// The keyframe of the present group.
fn first_set(epoch: u32, now: ServerTime) -> i64 {
    let since = now.0 / SET_US - begin(epoch);
    begin(epoch) + since - since % GROUP
}

fn placement(epoch: u32, cell: u32) -> Placement {
    let seat = Vec3::new(4.0, 0.0, 6.0);
    Placement {
        epoch,
        cell,
        vantage: epoch * 4 % 4000 + cell,
        seat: Some(seat.into()),
        yaw: 0.3,
        kind: 0,
    }
}

fn send_set(link: &dyn Link, n: i64, epoch: u32, cell: u32) {
    let set = |n: i64| SetId(u32::try_from(n).unwrap() * 16 + (epoch % 4) * 4 + cell);
    let since = n - begin(epoch);
    let key = n - since % GROUP;
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let point = Vec3::new(cell as f32 * 4.0, 1.6, 0.0);
    let tag = Tag {
        set: set(n),
        vantage: VantageId(u16::try_from(epoch * 4 % 4000 + cell).unwrap()),
        epoch: u16::try_from(epoch).unwrap(),
        point,
        near: 0.1,
        half_tangent: 1.03,
        tour_time: TourTime(n * SET_US),
        exposure: 1.0,
        ambient: [[0.1; 3]; 9],
        still_ms: [0; 6],
        eyes: Eyes::default(),
    };
    let keyframe = since % GROUP == 0;
    let mut lanes = vec![(Lane::Color, Codec::H264, if keyframe { 20_000 } else { 3_000 })];
    if keyframe {
        lanes.push((Lane::Depth, Codec::Depth1, 10_000));
    }
    for (lane, codec, len) in lanes {
        let header = Header {
            lane,
            layer: Layer::Base,
            shape: Shape::Panorama,
            keyframe,
            codec,
            width: 1536,
            height: 1024,
            group: u32::try_from(since / GROUP).unwrap(),
            index: u16::try_from(since % GROUP).unwrap(),
            depends_on: set(key),
            rendered_at: ServerTime(n * SET_US),
            tag,
        };
        let payload = Bytes::from(vec![7; len]);
        assert!(Frame::from_bytes(&Bytes::from([header.to_bytes(&payload), payload.clone()].concat())).is_ok());
        let frame = tongyou_transport::Frame {
            chunks: vec![header.to_bytes(&payload), payload],
            priority: i32::from(keyframe),
            expires_in: Duration::from_millis(250),
            id: u64::from(tag.set.0),
        };
        let _ = link.send_frame(frame);
    }
}
