//! Whole sessions through the public interface, on a virtual clock.

mod ahead;
mod joining;
mod leading;
mod poses;
mod random;
mod returning;
mod roaming;
mod watching;

use std::collections::BTreeMap;
use std::time::Duration;

use glam::{Quat, Vec3};
use tongyou_protocol::control::{
    ClientMessage, Commit, GuideCommand, Hello, Placement, Prepare, RefusedReason, Roster, ServerMessage, Welcome,
    client_message, guide_command, server_message::Body,
};
use tongyou_protocol::datagram::{self, Datagram, Joint, Pose};
use tongyou_protocol::{ServerTime, SessionCode, VERSION};

use crate::{Config, Input, LinkId, Output, Registry, Tick, testing};

/// A server with its clock, and what each link was sent since it was last looked at.
struct Server {
    registry: Registry,
    now: ServerTime,
    control: BTreeMap<LinkId, Vec<ServerMessage>>,
    datagrams: BTreeMap<LinkId, Vec<(ServerTime, Vec<u8>)>>,
    closed: Vec<LinkId>,
    log: Vec<String>,
    other: Vec<Output>,
}

impl Server {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let mut registry = Registry::new(config, [3; 32]);
        registry.add_tour(testing::tour()).unwrap();
        Self {
            registry,
            now: ServerTime(1_000_000),
            control: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            closed: Vec::new(),
            log: Vec::new(),
            other: Vec::new(),
        }
    }

    fn session(&mut self, capacity: u16) -> SessionCode {
        self.registry.create_session(self.now, "demo", Some(capacity)).unwrap()
    }

    fn drain(&mut self) {
        while let Some(output) = self.registry.poll_output(self.now) {
            match output {
                Output::Control { link, message } => {
                    assert!(!self.closed.contains(&link), "{link:?} is closed");
                    self.control.entry(link).or_default().push((*message).clone());
                }
                Output::Datagram { link, bytes } => {
                    assert!(bytes.len() <= datagram::MAX_BYTES);
                    self.datagrams.entry(link).or_default().push((self.now, bytes.to_vec()));
                }
                Output::Close { link, .. } => self.closed.push(link),
                Output::Log { message, .. } => self.log.push(message),
                other => self.other.push(other),
            }
        }
    }

    fn input(&mut self, link: u64, input: Input<'_>) {
        self.registry.handle(self.now, LinkId(link), input);
        self.drain();
    }

    fn connect(&mut self, link: u64) {
        self.connect_from(link, "192.0.2.1");
    }

    fn connect_from(&mut self, link: u64, address: &str) {
        let address = address.parse().unwrap();
        self.input(link, Input::Connected { address });
    }

    fn say(&mut self, link: u64, body: client_message::Body) {
        let bytes = ClientMessage::from(body).to_bytes();
        self.input(link, Input::Control(&bytes));
    }

    fn hello(&mut self, link: u64, hello: Hello) {
        self.connect(link);
        self.say(link, client_message::Body::Hello(hello));
    }

    /// Joins and returns the welcome.
    fn join(&mut self, link: u64, code: SessionCode) -> Welcome {
        self.hello(link, hello(code, &format!("Person {link}")));
        self.welcome(link).unwrap()
    }

    fn join_guide(&mut self, link: u64, code: SessionCode) -> Welcome {
        let guide_grant = self.registry.issue_grant(self.now, code).unwrap();
        self.hello(
            link,
            Hello {
                guide_grant,
                ..hello(code, &format!("Guide {link}"))
            },
        );
        self.welcome(link).unwrap()
    }

    fn guide(&mut self, link: u64, lease: u32, body: guide_command::Body) {
        let body = Some(body);
        self.say(link, client_message::Body::Guide(GuideCommand { lease, body }));
    }

    fn send(&mut self, link: u64, datagram: &Datagram) {
        let bytes = datagram.to_bytes();
        self.input(link, Input::Datagram(&bytes));
    }

    fn wait(&mut self, ms: u64) -> Vec<Tick> {
        self.now = self.now + Duration::from_millis(ms);
        let ticks = self.registry.tick(self.now);
        self.drain();
        ticks
    }

    /// Forgets what was sent until now.
    fn look_away(&mut self) {
        self.control.clear();
        self.datagrams.clear();
    }

    fn bodies(&self, link: u64) -> impl Iterator<Item = &Body> {
        let messages = self.control.get(&LinkId(link)).into_iter().flatten();
        messages.filter_map(|m| m.body.as_ref())
    }

    fn last<T>(&self, link: u64, pick: impl Fn(&Body) -> Option<T>) -> Option<T> {
        self.bodies(link).filter_map(pick).last()
    }

    fn welcome(&self, link: u64) -> Option<Welcome> {
        self.last(link, |b| {
            if let Body::Welcome(w) = b {
                Some(w.clone())
            } else {
                None
            }
        })
    }

    fn roster(&self, link: u64) -> Option<Roster> {
        self.last(link, |b| match b {
            Body::Roster(r) => Some(r.clone()),
            Body::Welcome(w) => w.roster.clone(),
            _ => None,
        })
    }

    fn prepare(&self, link: u64) -> Option<Prepare> {
        self.last(link, |b| if let Body::Prepare(p) = b { Some(*p) } else { None })
    }

    fn commit(&self, link: u64) -> Option<Commit> {
        self.last(link, |b| if let Body::Commit(c) = b { Some(*c) } else { None })
    }

    fn placement(&self, link: u64) -> Option<Placement> {
        self.last(link, |b| if let Body::Placement(p) = b { Some(*p) } else { None })
    }

    fn notices(&self, link: u64) -> Vec<RefusedReason> {
        let notice = |b: &Body| {
            if let Body::Notice(n) = b {
                Some(n.reason())
            } else {
                None
            }
        };
        self.bodies(link).filter_map(notice).collect()
    }

    fn refused(&self, link: u64) -> Option<(RefusedReason, String)> {
        assert!(self.closed.contains(&LinkId(link)), "a refusal closes");
        self.last(link, |b| {
            if let Body::Refused(r) = b {
                Some((r.reason(), r.message.clone()))
            } else {
                None
            }
        })
    }

    /// Whom a link was shown, newest last.
    fn avatars(&self, link: u64) -> Vec<(u16, datagram::Body)> {
        let datagrams = self.datagrams.get(&LinkId(link)).into_iter().flatten();
        datagrams
            .filter_map(|(_, bytes)| match Datagram::from_bytes(bytes).unwrap() {
                Datagram::Avatars(a) => Some(a.people),
                _ => None,
            })
            .flatten()
            .map(|(id, body)| (id.0, body))
            .collect()
    }
}

fn hello(code: SessionCode, name: &str) -> Hello {
    Hello {
        protocol_version: VERSION,
        code: code.to_string(),
        name: name.to_owned(),
        client: "test/0".to_owned(),
        ..Hello::default()
    }
}

/// A pose at the seat of a welcome, at eye height, moved by `offset`.
fn pose_at(welcome: &Welcome, placement: &Placement, now: ServerTime, seq: u16, offset: Vec3) -> Pose {
    let stop = &welcome.tour.as_ref().unwrap().stops[0];
    let origin: Vec3 = stop.pose_origin.unwrap().into();
    let seat: Vec3 = placement.seat.unwrap().into();
    let head = Joint {
        position: seat - origin + Vec3::Y * 1.6 + offset,
        rotation: Quat::from_rotation_y(placement.yaw),
    };
    Pose {
        epoch: u16::try_from(placement.epoch).unwrap(),
        seq,
        body: datagram::Body {
            time_100us: u32::try_from(now.0 / 100).unwrap(),
            at_rest: false,
            jump: false,
            head,
            left: None,
            right: None,
            pointer: None,
        },
    }
}
