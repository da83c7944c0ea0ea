//! Any order of events keeps the invariants, and the same seed gives the same outputs.

use super::*;
use client_message::Body as Say;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use tongyou_protocol::control::{ClientKind, LookAhead, MoveTo, MoveToCell, Preview, Ready, Role};

use crate::{ActiveVantage, VantageKind};

const LINKS: u64 = 8;
const CAPACITY: u16 = 5;
const STEREO_MOST: usize = 3;

#[derive(Debug, Clone)]
enum Op {
    Join { session: bool, with_grant: bool },
    Resume { ticket_of: u64 },
    Leave,
    Drop,
    Move { epoch: u32, cell: u32 },
    Ahead { epoch: u32, cell: u32 },
    Roam { epoch: u32, x: f32, z: f32, heading: f32 },
    Watch { session: bool },
    Preview { stop: u32 },
    Load { load: f32 },
    Ready { epoch: u32 },
    Go { lease: u32, stop: u32 },
    Take,
    Pose { seq: u16, x: i8, epoch: u32 },
    Garbage { bytes: Vec<u8>, control: bool },
    Wait { ms: u16 },
}

fn op() -> impl Strategy<Value = (u64, Op)> {
    let op = prop_oneof![
        8 => (any::<bool>(), any::<bool>()).prop_map(|(session, with_grant)| Op::Join { session, with_grant }),
        2 => (0..LINKS).prop_map(|ticket_of| Op::Resume { ticket_of }),
        1 => Just(Op::Leave),
        1 => Just(Op::Drop),
        2 => (epoch(), 0..4_u32).prop_map(|(epoch, cell)| Op::Move { epoch, cell }),
        2 => (epoch(), 0..4_u32).prop_map(|(epoch, cell)| Op::Ahead { epoch, cell }),
        8 => (epoch(), place(), place(), place())
            .prop_map(|(epoch, x, z, heading)| Op::Roam { epoch, x, z, heading }),
        1 => any::<bool>().prop_map(|session| Op::Watch { session }),
        2 => (0..4_u32).prop_map(|stop| Op::Preview { stop }),
        1 => prop_oneof![Just(0.1_f32), Just(0.7), Just(0.95), any::<f32>()].prop_map(|load| Op::Load { load }),
        2 => (0..5_u32).prop_map(|epoch| Op::Ready { epoch }),
        2 => (0..5_u32, 0..4_u32).prop_map(|(lease, stop)| Op::Go { lease, stop }),
        1 => Just(Op::Take),
        3 => (any::<u16>(), any::<i8>(), 0..4_u32).prop_map(|(seq, x, epoch)| Op::Pose { seq, x, epoch }),
        1 => (prop::collection::vec(any::<u8>(), 0..60), any::<bool>())
            .prop_map(|(bytes, control)| Op::Garbage { bytes, control }),
        4 => (0..4000_u16).prop_map(|ms| Op::Wait { ms }),
    ];
    (0..LINKS, op)
}

/// Mostly that of the first stop.
fn epoch() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(1_u32), 2 => 0..4_u32]
}

/// Mostly on the square, sometimes anything.
fn place() -> impl Strategy<Value = f32> {
    prop_oneof![6 => -28.0_f32..28.0, 1 => any::<f32>()]
}

struct World {
    server: Server,
    codes: [SessionCode; 2],
    /// Who is connected where, by link, as the headsets know it.
    inside: BTreeMap<u64, (SessionCode, u32)>,
    /// Spectators, likewise.
    watching: BTreeMap<u64, SessionCode>,
    tickets: BTreeMap<u64, (SessionCode, Vec<u8>)>,
    /// Links are not reused: the next number for each of the eight people.
    link_of: BTreeMap<u64, u64>,
    next_link: u64,
    leases: BTreeMap<SessionCode, u32>,
    /// Who was inside at the last check, and when people have gone since.
    known: BTreeMap<u64, SessionCode>,
    departures: Vec<(SessionCode, ServerTime)>,
    outputs: DefaultHasher,
}

impl World {
    fn new() -> Self {
        let mut config = Config::default();
        config.budget.stereo_most = STEREO_MOST;
        let mut server = Server::with(config);
        let codes = [server.session(CAPACITY), server.session(CAPACITY)];
        Self {
            server,
            codes,
            inside: BTreeMap::new(),
            watching: BTreeMap::new(),
            tickets: BTreeMap::new(),
            link_of: BTreeMap::new(),
            next_link: 1,
            leases: BTreeMap::new(),
            known: BTreeMap::new(),
            departures: Vec::new(),
            outputs: DefaultHasher::new(),
        }
    }

    fn apply(&mut self, who: u64, op: &Op) {
        let link = self.link_of.get(&who).copied().unwrap_or(0);
        match op {
            Op::Join { session, with_grant } => {
                let code = self.codes[usize::from(*session)];
                let guide_grant = if *with_grant {
                    self.server.registry.issue_grant(self.server.now, code).unwrap()
                } else {
                    String::new()
                };
                let hello = Hello {
                    guide_grant,
                    ..hello(code, "Same name")
                };
                self.enter(who, code, hello);
            }
            Op::Resume { ticket_of } => {
                if let Some((code, resume_ticket)) = self.tickets.get(ticket_of).cloned() {
                    let hello = Hello {
                        resume_ticket,
                        ..hello(code, "Same name")
                    };
                    self.enter(who, code, hello);
                }
            }
            Op::Leave => self.server.say(link, Say::Leave(Default::default())),
            Op::Drop => {
                self.server.input(link, Input::Disconnected);
                self.inside.remove(&link);
                self.watching.remove(&link);
            }
            Op::Move { epoch, cell } => {
                self.server.say(
                    link,
                    Say::MoveToCell(MoveToCell {
                        epoch: *epoch,
                        cell: *cell,
                    }),
                );
            }
            Op::Ahead { epoch, cell } => {
                let (epoch, cell) = (*epoch, *cell);
                self.server.say(link, Say::LookAhead(LookAhead { epoch, cell }));
            }
            Op::Roam { epoch, x, z, heading } => {
                let (epoch, x, z, heading) = (*epoch, *x, *z, *heading);
                self.server.say(link, Say::MoveTo(MoveTo { epoch, x, z, heading }));
            }
            Op::Watch { session } => {
                let code = self.codes[usize::from(*session)];
                let hello = Hello {
                    kind: ClientKind::Spectator.into(),
                    ..hello(code, "")
                };
                self.enter(who, code, hello);
            }
            Op::Preview { stop } => self.server.say(link, Say::Preview(Preview { stop: *stop })),
            Op::Load { load } => self.server.registry.set_load(*load),
            Op::Ready { epoch } => self.server.say(link, Say::Ready(Ready { epoch: *epoch, set: 1 })),
            Op::Go { lease, stop } => self.server.guide(link, *lease, guide_command::Body::GoToStop(*stop)),
            Op::Take => self.server.guide(link, 0, guide_command::Body::TakeLead(true)),
            Op::Pose { seq, x, epoch } => {
                let welcome = self.server.welcome(link).filter(|w| w.headset > 0);
                if let Some(welcome) = welcome {
                    let placement = Placement {
                        epoch: *epoch,
                        ..welcome.placement.unwrap()
                    };
                    let offset = Vec3::X * f32::from(*x) / 30.0;
                    let pose = pose_at(&welcome, &placement, self.server.now, *seq, offset);
                    self.server.send(link, &Datagram::Pose(pose));
                }
            }
            Op::Garbage { bytes, control } => {
                let input = if *control {
                    Input::Control(bytes)
                } else {
                    Input::Datagram(bytes)
                };
                self.server.input(link, input);
            }
            Op::Wait { ms } => {
                self.server.wait(u64::from(*ms));
            }
        }
        self.forget_closed();
    }

    fn enter(&mut self, who: u64, code: SessionCode, hello: Hello) {
        let link = self.next_link;
        self.next_link += 1;
        self.link_of.insert(who, link);
        self.server.hello(link, hello);
        if let Some(welcome) = self.server.welcome(link) {
            if welcome.kind() == ClientKind::Spectator {
                self.watching.insert(link, code);
                return;
            }
            self.inside.insert(link, (code, welcome.headset));
            self.tickets.insert(who, (code, welcome.resume_ticket));
        }
    }

    fn forget_closed(&mut self) {
        let closed = &self.server.closed;
        self.inside.retain(|link, _| !closed.contains(&LinkId(*link)));
        self.watching.retain(|link, _| !closed.contains(&LinkId(*link)));
    }

    fn check(&mut self) {
        // Rosters of a storm are gathered for 50 ms.
        let ticks = self.server.wait(50);
        self.forget_closed();
        let now = self.server.now;
        let gone = self.known.iter().filter(|(link, _)| !self.inside.contains_key(link));
        self.departures.extend(gone.map(|(_, code)| (*code, now)));
        self.known = self.inside.iter().map(|(link, (code, _))| (*link, *code)).collect();
        for code in self.codes {
            let lately = |at: ServerTime| now.saturating_since(at) <= Duration::from_secs(10);
            let departures = self
                .departures
                .iter()
                .filter(|(c, at)| *c == code && lately(*at))
                .count();
            let here: BTreeMap<u64, u32> = self
                .inside
                .iter()
                .filter(|(_, (c, _))| *c == code)
                .map(|(l, (_, h))| (*l, *h))
                .collect();
            let info = self
                .server
                .registry
                .sessions(self.server.now)
                .into_iter()
                .find(|s| s.code == code)
                .unwrap();
            assert_eq!(usize::from(info.people), here.len());
            assert!(here.len() <= usize::from(CAPACITY));
            let tick = ticks.iter().find(|t| t.code == code).unwrap();
            let watching: Vec<u64> = self
                .watching
                .iter()
                .filter(|(_, c)| **c == code)
                .map(|(l, _)| *l)
                .collect();
            assert_eq!(usize::from(info.spectators), watching.len());
            let kinds = |flat: bool| {
                let is = move |v: &&ActiveVantage| matches!(v.kind, VantageKind::Flat { .. }) == flat;
                tick.vantages.iter().filter(is)
            };
            let links = |v: &ActiveVantage| v.viewers.iter().map(|v| v.link.0).collect::<Vec<u64>>();
            // The spectators' cameras, and at most one preview for one of those who are here.
            let (cameras, previews): (Vec<_>, Vec<_>) = kinds(true).partition(|v| links(v) == watching);
            let expected = usize::from(!watching.is_empty());
            assert!(cameras.iter().filter(|v| !v.preparing).count() == expected && previews.len() <= 1);
            assert!(
                previews
                    .iter()
                    .all(|v| links(v).len() == 1 && here.contains_key(&links(v)[0]))
            );
            let own: Vec<&ActiveVantage> = kinds(false).filter(|v| v.kind != VantageKind::Panorama).collect();
            for view in &own {
                assert!(view.viewers.len() == 1 && !view.preparing, "alone");
                let on_square = |m: f32| m.abs() <= 30.0 + 3.5;
                assert!(on_square(view.point.x) && on_square(view.point.z), "{}", view.point);
                let VantageKind::Stereo { rotation, .. } = view.kind else {
                    unreachable!()
                };
                assert!(rotation.is_normalized(), "{rotation}");
            }
            let mut ids = BTreeSet::new();
            for epoch in tick.vantages.iter().map(|v| v.epoch).collect::<BTreeSet<_>>() {
                let viewers = tick
                    .vantages
                    .iter()
                    .filter(|v| v.epoch == epoch && !matches!(v.kind, VantageKind::Flat { .. }))
                    .flat_map(|v| &v.viewers);
                let viewers: Vec<u64> = viewers.map(|v| v.link.0).collect();
                for link in here.keys() {
                    let count = viewers.iter().filter(|l| *l == link).count();
                    assert!(
                        (1..=2).contains(&count),
                        "everyone looks through one vantage of each epoch, and at most one ahead"
                    );
                }
                assert!(viewers.iter().all(|l| here.contains_key(l)));
            }
            for vantage in &tick.vantages {
                assert!(ids.insert(vantage.vantage), "vantage ids are unique");
            }
            let for_nobody = tick
                .vantages
                .iter()
                .filter(|v| v.viewers.is_empty() && !v.preparing)
                .count();
            assert!(
                for_nobody <= departures,
                "only what somebody looked at who has just gone"
            );
            let stood_at: usize = {
                let roster = here.keys().next().map(|link| self.server.roster(*link).unwrap());
                let cells = roster
                    .iter()
                    .flat_map(|r| &r.people)
                    .filter(|p| !p.roaming)
                    .map(|p| p.cell);
                cells.collect::<BTreeSet<_>>().len()
            };
            let panoramas = || tick.vantages.iter().filter(|v| v.kind == VantageKind::Panorama);
            let shown = panoramas().filter(|v| !v.preparing).count();
            assert!(
                shown <= stood_at + departures + 2,
                "no more than two cells are rendered ahead"
            );
            for link in &watching {
                let roster = self.server.roster(*link).unwrap();
                assert_eq!(roster.people.len(), here.len(), "spectators see the same roster");
            }
            for (link, headset) in &here {
                let roster = self.server.roster(*link).unwrap();
                let listed: BTreeSet<u32> = roster.people.iter().map(|p| p.headset).collect();
                assert_eq!(listed.len(), roster.people.len(), "headset ids are unique");
                assert_eq!(listed, here.values().copied().collect(), "roster == connected");
                assert!(listed.contains(headset));
                assert_eq!(roster.people.iter().filter(|p| p.roaming).count(), own.len());
                assert_eq!(usize::try_from(roster.spectators).unwrap(), watching.len());
                assert!(
                    roster.people.iter().filter(|p| p.role() == Role::Guide).count() <= 1,
                    "one leader"
                );
                let names: BTreeSet<&str> = roster.people.iter().map(|p| p.name.as_str()).collect();
                assert_eq!(names.len(), roster.people.len(), "names are unique");
                let lease = self.leases.entry(code).or_default();
                assert!(roster.lease >= *lease, "leases rise");
                *lease = roster.lease;
            }
        }
        let views: usize = ticks
            .iter()
            .flat_map(|t| &t.vantages)
            .filter(|v| matches!(v.kind, VantageKind::Stereo { .. }))
            .count();
        assert!(views <= STEREO_MOST, "over all sessions");
        format!("{:?}{:?}{:?}", ticks, self.server.control, self.server.datagrams).hash(&mut self.outputs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_order_of_events_keeps_the_invariants(ops in prop::collection::vec(op(), 1..60)) {
        let run = || {
            let mut world = World::new();
            for (who, op) in &ops {
                world.apply(*who, op);
                world.check();
            }
            world.outputs.finish()
        };
        prop_assert_eq!(run(), run(), "equal seeds and inputs give equal outputs");
    }
}

#[test]
fn another_seed_gives_other_secrets() {
    let secrets = |seed| {
        let mut registry = Registry::new(Config::default(), [seed; 32]);
        registry.add_tour(testing::tour()).unwrap();
        let code = registry.create_session(ServerTime(0), "demo", None).unwrap();
        (code, registry.issue_grant(ServerTime(0), code).unwrap())
    };
    assert_eq!(secrets(1), secrets(1));
    assert_ne!(secrets(1).0, secrets(2).0);
    assert_ne!(secrets(1).1, secrets(2).1);
}
