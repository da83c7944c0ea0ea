//! A server over real QUIC with one session of one stop: the room of `support`, coded as a server codes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tongyou_media::Size;
use tongyou_media::encode::{self, Backend, OpenH264};
use tongyou_protocol::ServerTime;
use tongyou_protocol::control::{
    self, Cell, ClientMessage, Commit, Person, Placement, Refused, RefusedReason, Roster, ServerMessage, Stop, Text,
    Welcome, client_message, server_message,
};
use tongyou_protocol::cube::FACE_SIZE;
use tongyou_protocol::datagram::{Datagram, Pong};
use tongyou_protocol::frame::{Codec, Header, Lane, Layer, Shape};
use tongyou_transport::{Config, Event, Events, Frame, Link, Listener, TlsIdentity};

use crate::support::{POINT, layer};

pub(crate) const CODE: &str = "BCDF-GHJK";

/// Runs until it is dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) certificate_sha256: String,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let identity = TlsIdentity::development(&[], folder.path(), SystemTime::now())
            .unwrap()
            .webtransport;
        let hex = identity.sha256().iter().map(|b| format!("{b:02x}")).collect();
        let frames = Arc::new(frames());
        let listener = runtime
            .block_on(async { Listener::bind(([127, 0, 0, 1], 0).into(), &identity, Config::server()).unwrap() });
        let addr = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Some((link, events)) = listener.accept().await {
                tokio::spawn(serve(link, events, Arc::clone(&frames)));
            }
        });
        Self {
            addr,
            certificate_sha256: hex,
            _runtime: runtime,
        }
    }

    /// The client's program, told where to go.
    pub(crate) fn client(&self, code: &str) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tongyou-client"));
        command
            .args(["--server", &self.addr.to_string(), "--code", code, "--name", "Lin"])
            .args(["--certificate-sha256", &self.certificate_sha256])
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1");
        command
    }
}

/// Colour and depth of one set, as they go on the wire.
fn frames() -> [Bytes; 2] {
    let (tag, nv12, depth) = layer();
    let mut config = encode::Config::new(Size::new(3 * FACE_SIZE, 2 * FACE_SIZE).unwrap());
    config.bitrate_bps = 40_000_000;
    let color = OpenH264::new(config).unwrap().encode(&nv12, 0).unwrap().data;
    let header = |lane, codec, width: u32, height: u32| Header {
        lane,
        layer: Layer::Base,
        shape: Shape::Panorama,
        keyframe: true,
        codec,
        width: width as u16,
        height: height as u16,
        group: 0,
        index: 0,
        depends_on: tag.set,
        rendered_at: ServerTime(0),
        tag,
    };
    let whole = |header: Header, payload: &[u8]| Bytes::from([&header.to_bytes(payload)[..], payload].concat());
    let depth = depth.encode_keyframe(1).unwrap();
    [
        whole(header(Lane::Color, Codec::H264, 3 * FACE_SIZE, 2 * FACE_SIZE), &color),
        whole(header(Lane::Depth, Codec::Depth1, FACE_SIZE, FACE_SIZE), &depth),
    ]
}

async fn serve(link: Arc<dyn Link>, mut events: Events, frames: Arc<[Bytes; 2]>) {
    let start = Instant::now();
    while let Some(event) = events.recv().await {
        match event {
            Event::Control(message) => {
                let Ok(client_message::Body::Hello(hello)) = ClientMessage::from_bytes(&message) else {
                    continue;
                };
                let known = hello.code == CODE;
                let body = if known {
                    server_message::Body::Welcome(welcome())
                } else {
                    refused()
                };
                link.send_control(ServerMessage::from(body).to_bytes()).unwrap();
                for (id, frame) in (0..).zip(frames.iter().filter(|_| known)) {
                    let frame = Frame {
                        chunks: vec![frame.clone()],
                        priority: 0,
                        expires_in: Duration::from_secs(10),
                        id,
                    };
                    link.send_frame(frame).unwrap();
                }
            }
            Event::Datagram(datagram) => {
                if let Ok(Datagram::Ping(ping)) = Datagram::from_bytes(&datagram) {
                    let now = ServerTime(i64::try_from(start.elapsed().as_micros()).unwrap());
                    let pong = Pong {
                        seq: ping.seq,
                        sent: ping.sent,
                        received: now,
                        replied: now,
                    };
                    let _ = link.send_datagram(Datagram::Pong(pong).to_bytes());
                }
            }
            _ => {}
        }
    }
}

fn refused() -> server_message::Body {
    server_message::Body::Refused(Refused {
        reason: RefusedReason::RefusedCode.into(),
        message: "there is no such session".to_owned(),
    })
}

fn welcome() -> Welcome {
    let text = |zh: &str| {
        Some(Text {
            zh: zh.to_owned(),
            en: zh.to_owned(),
        })
    };
    let vec3 = |v: glam::Vec3| control::Vec3 { x: v.x, y: v.y, z: v.z };
    let stop = Stop {
        title: text("房间"),
        cells: vec![Cell {
            point: Some(vec3(POINT)),
            floor_y: 0.0,
        }],
        pose_origin: Some(vec3(POINT)),
        ..Stop::default()
    };
    Welcome {
        protocol_version: tongyou_protocol::VERSION,
        headset: 1,
        resume_ticket: vec![7; 16],
        tour: Some(control::Tour {
            title: text("试"),
            stops: vec![stop],
            ..control::Tour::default()
        }),
        current: Some(Commit {
            epoch: 1,
            stop: 0,
            at_us: 0,
        }),
        placement: Some(Placement {
            epoch: 1,
            cell: 0,
            vantage: 1,
            seat: Some(vec3(POINT - glam::Vec3::Y * 1.6)),
            yaw: 0.0,
            kind: 0,
        }),
        roster: Some(Roster {
            people: vec![Person {
                headset: 1,
                ..Person::default()
            }],
            ..Roster::default()
        }),
        capacity: 4,
        ..Welcome::default()
    }
}
