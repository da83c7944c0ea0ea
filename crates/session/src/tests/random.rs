//! Any order of events keeps the invariants, and the same seed gives the same outputs.

use super::*;
use client_message::Body as Say;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use tongyou_protocol::control::{LookAhead, MoveToCell, Ready, Role};

const LINKS: u64 = 8;
const CAPACITY: u16 = 5;

#[derive(Debug, Clone)]
enum Op {
    Join { session: bool, with_grant: bool },
    Resume { ticket_of: u64 },
    Leave,
    Drop,
    Move { epoch: u32, cell: u32 },
    Ahead { epoch: u32, cell: u32 },
    Ready { epoch: u32 },
    Go { lease: u32, stop: u32 },
    Take,
    Pose { seq: u16, x: i8, epoch: u32 },
    Garbage { bytes: Vec<u8>, control: bool },
    Wait { ms: u16 },
}

fn op() -> impl Strategy<Value = (u64, Op)> {
    let op = prop_oneof![
        4 => (any::<bool>(), any::<bool>()).prop_map(|(session, with_grant)| Op::Join { session, with_grant }),
        2 => (0..LINKS).prop_map(|ticket_of| Op::Resume { ticket_of }),
        1 => Just(Op::Leave),
        1 => Just(Op::Drop),
        2 => (0..4_u32, 0..4_u32).prop_map(|(epoch, cell)| Op::Move { epoch, cell }),
        2 => (0..4_u32, 0..4_u32).prop_map(|(epoch, cell)| Op::Ahead { epoch, cell }),
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

struct World {
    server: Server,
    codes: [SessionCode; 2],
    /// Who is connected where, by link, as the headsets know it.
    inside: BTreeMap<u64, (SessionCode, u32)>,
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
        let mut server = Server::new();
        let codes = [server.session(CAPACITY), server.session(CAPACITY)];
        Self {
            server,
            codes,
            inside: BTreeMap::new(),
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
            Op::Ready { epoch } => self.server.say(link, Say::Ready(Ready { epoch: *epoch, set: 1 })),
            Op::Go { lease, stop } => self.server.guide(link, *lease, guide_command::Body::GoToStop(*stop)),
            Op::Take => self.server.guide(link, 0, guide_command::Body::TakeLead(true)),
            Op::Pose { seq, x, epoch } => {
                if let Some(welcome) = self.server.welcome(link) {
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
        let closed = &self.server.closed;
        self.inside.retain(|link, _| !closed.contains(&LinkId(*link)));
    }

    fn enter(&mut self, who: u64, code: SessionCode, hello: Hello) {
        let link = self.next_link;
        self.next_link += 1;
        self.link_of.insert(who, link);
        self.server.hello(link, hello);
        if let Some(welcome) = self.server.welcome(link) {
            self.inside.insert(link, (code, welcome.headset));
            self.tickets.insert(who, (code, welcome.resume_ticket));
        }
    }

    fn check(&mut self) {
        // Rosters of a storm are gathered for 50 ms.
        let ticks = self.server.wait(50);
        let closed = &self.server.closed;
        self.inside.retain(|link, _| !closed.contains(&LinkId(*link)));
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
            let mut ids = BTreeSet::new();
            for epoch in tick.vantages.iter().map(|v| v.epoch).collect::<BTreeSet<_>>() {
                let viewers = tick
                    .vantages
                    .iter()
                    .filter(|v| v.epoch == epoch)
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
                let cells = roster.iter().flat_map(|r| &r.people).map(|p| p.cell);
                cells.collect::<BTreeSet<_>>().len()
            };
            let shown = tick.vantages.iter().filter(|v| !v.preparing).count();
            assert!(
                shown <= stood_at + departures + 2,
                "no more than two cells are rendered ahead"
            );
            for (link, headset) in &here {
                let roster = self.server.roster(*link).unwrap();
                let listed: BTreeSet<u32> = roster.people.iter().map(|p| p.headset).collect();
                assert_eq!(listed.len(), roster.people.len(), "headset ids are unique");
                assert_eq!(listed, here.values().copied().collect(), "roster == connected");
                assert!(listed.contains(headset));
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
        format!("{:?}{:?}{:?}", ticks, self.server.control, self.server.datagrams).hash(&mut self.outputs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
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
