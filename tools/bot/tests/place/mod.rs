//! A whole server in this process, with a small place in which something always moves, and visitors who keep a diary.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use glam::{Quat, Vec3};
use tokio::sync::watch;
use tongyou_bot::ServerTrust;
use tongyou_client::core::{self, Event, Headset, LocalJoint, LocalPose};
use tongyou_client::net::{self, Connect, Decode, Machine, Moment, Options, Wearer};
use tongyou_protocol::frame::Layer;
use tongyou_protocol::{HeadsetId, ResumeTicket};
use tongyou_scene::{Animation, Channel, Keys, Mesh, Node, Primitive, Scene, write_glb};
use tongyou_server::{Config, Server};
use tongyou_transport::Link;

const TOUR: &str = r#"
id = "place"
title = { zh = "试", en = "Place" }
summary = { zh = "试", en = "Place" }
credit = { zh = "试", en = "Place" }
clock_start = "12:00:00"
anchor = { lat = 29.5, lon = 106.5, height_m = 200.0 }
[[stops]]
id = "one"
title = { zh = "一", en = "One" }
text = { zh = "一", en = "One" }
scene = "place"
look_at = [0.0, 2.0, -8.0]
lighting = { preset = "day", sun_azimuth_deg = 180.0, sun_elevation_deg = 45.0 }
cells = [
  { id = "a", eye = [0.0, 1.6, 0.0], radius_m = 4.0, formation = { rows = 3, spacing_m = 1.1 } },
  { id = "b", eye = [8.0, 1.6, 0.0], radius_m = 4.0, formation = { rows = 3, spacing_m = 1.1 } },
]
walkable = [{ ground_m = 0.0, outline = [[-20.0, -20.0], [20.0, -20.0], [20.0, 20.0], [-20.0, 20.0]] }]
"#;

/// A board that swings to and fro, eight metres ahead.
fn scene() -> Scene {
    let corner = |x: f32, y: f32| Vec3::new(x, y, 0.0);
    let primitive = Primitive {
        positions: vec![corner(-3.0, 0.0), corner(3.0, 0.0), corner(3.0, 4.0), corner(-3.0, 4.0)],
        normals: vec![Vec3::Z; 4],
        indices: vec![0, 1, 2, 0, 2, 3],
        ..Primitive::default()
    };
    let at = |x: f32| Vec3::new(x, 0.0, -8.0);
    Scene {
        name: "place".to_owned(),
        nodes: vec![Node {
            name: "board".to_owned(),
            parent: None,
            translation: at(0.0),
            rotation: Quat::IDENTITY,
            scale: Vec3::ONE,
            mesh: Some(0),
            light: None,
        }],
        meshes: vec![Mesh {
            name: "board".to_owned(),
            primitives: vec![primitive],
        }],
        animations: vec![Animation {
            name: "swing".to_owned(),
            duration_s: 4.0,
            channels: vec![Channel {
                node: 0,
                times_s: vec![0.0, 1.0, 3.0, 4.0],
                keys: Keys::Translation(vec![at(0.0), at(2.0), at(-2.0), at(0.0)]),
                step: false,
            }],
        }],
        ..Scene::default()
    }
}

/// A server with one session.
pub(crate) struct Place {
    server: Server,
    pub(crate) addr: SocketAddr,
    pub(crate) trust: ServerTrust,
    pub(crate) certificate_sha256: String,
    pub(crate) code: String,
    _folder: tempfile::TempDir,
}

impl Place {
    /// `None` without a Vulkan adapter, unless `TONGYOU_REQUIRE_GPU=1`.
    pub(crate) async fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("place.glb"), write_glb(&scene()).unwrap()).unwrap();
        std::fs::write(folder.path().join("place.toml"), TOUR).unwrap();
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: folder.path().join("data"),
            certificate: None,
            tours: folder.path().to_owned(),
            scenes: folder.path().to_owned(),
            names: Vec::new(),
            open: vec!["place".to_owned()],
            ready_file: None,
            metrics: None,
            capacity: 20,
            sets_per_s: 6.0,
            bitrate_bps: 3_000_000,
            group_ms: 1000,
            encode_threads: 1,
            faces: None,
            behind: false,
        };
        let server = match Server::start(config).await {
            Ok(server) => server,
            Err(e) if std::env::var_os("TONGYOU_REQUIRE_GPU").is_none_or(|v| v != "1") => {
                eprintln!("SKIPPED: {e:#}");
                return None;
            }
            Err(e) => panic!("{e:#}"),
        };
        let ready = server.ready_json();
        let certificate_sha256 = ready["certificate_sha256"].as_str().unwrap().to_owned();
        Some(Self {
            addr: SocketAddr::from(([127, 0, 0, 1], server.port())),
            trust: ServerTrust::CertificateHash(net::parse_sha256(&certificate_sha256).unwrap()),
            certificate_sha256,
            code: ready["sessions"][0]["code"].as_str().unwrap().to_owned(),
            server,
            _folder: folder,
        })
    }

    pub(crate) async fn stop(self) {
        self.server.stop("the test is over").await;
    }

    /// Someone who stands in the place until the visit is dropped, or ends by itself.
    pub(crate) fn visit(&self, name: &str, connect: Connect, ticket: Option<ResumeTicket>) -> Visit {
        let diary = Arc::new(Mutex::new(Diary::default()));
        let (cancel, cancelled) = watch::channel(false);
        let options = Options {
            connect,
            headset: core::Config {
                simulated: true,
                resume_ticket: ticket,
                ..core::Config::new(self.code.clone(), name)
            },
            clock: Machine::default(),
            decode: Decode::Nothing,
        };
        let mut wearer = Someone(Arc::clone(&diary));
        let task = tokio::spawn(async move {
            let end = net::run(options, &mut wearer, cancelled).await;
            wearer.0.lock().unwrap().end = Some(format!("{end:?}"));
        });
        Visit {
            diary,
            task,
            _cancel: cancel,
        }
    }
}

/// One visit; dropping it ends it without a word.
pub(crate) struct Visit {
    pub(crate) diary: Arc<Mutex<Diary>>,
    task: tokio::task::JoinHandle<()>,
    _cancel: watch::Sender<bool>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What one visitor lived through.
#[derive(Debug, Default, Clone)]
pub(crate) struct Diary {
    /// Links that were made.
    pub(crate) links: usize,
    pub(crate) welcomes: Vec<Welcomed>,
    /// When base sets were complete.
    pub(crate) sets: Vec<Instant>,
    /// Who is here, by name, each time that it changed.
    pub(crate) rosters: Vec<(Instant, Vec<String>)>,
    pub(crate) ticket: Option<ResumeTicket>,
    pub(crate) end: Option<String>,
}

/// Where somebody was let in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Welcomed {
    pub(crate) at: Instant,
    pub(crate) headset: HeadsetId,
    pub(crate) resumed: bool,
    pub(crate) cell: u32,
    pub(crate) seat: Vec3,
}

impl Diary {
    /// The first base set after an instant.
    pub(crate) fn set_after(&self, then: Instant) -> Option<Instant> {
        self.sets.iter().copied().find(|at| *at > then)
    }

    /// When somebody was first there, or not, after an instant.
    pub(crate) fn sees(&self, name: &str, here: bool, then: Instant) -> Option<Instant> {
        let mut after = self.rosters.iter().filter(|(at, _)| *at > then);
        after
            .find(|(_, names)| names.iter().any(|n| n == name) == here)
            .map(|(at, _)| *at)
    }
}

impl Visit {
    pub(crate) fn diary(&self) -> Diary {
        self.diary.lock().unwrap().clone()
    }

    /// Waits until the diary says something.
    pub(crate) async fn until<T>(&self, most: Duration, what: &str, mut found: impl FnMut(&Diary) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(t) = found(&self.diary.lock().unwrap()) {
                return t;
            }
            assert!(begin.elapsed() < most, "not within {most:?}: {what}; {:?}", self.last());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn last(&self) -> String {
        let diary = self.diary();
        let roster = diary.rosters.last().map(|(_, names)| names.clone());
        format!(
            "{} links, {} sets, roster {roster:?}, end {:?}",
            diary.links,
            diary.sets.len(),
            diary.end
        )
    }
}

struct Someone(Arc<Mutex<Diary>>);

impl Wearer for Someone {
    fn pose(&mut self, _at: Moment, _headset: &mut Headset) -> Option<LocalPose> {
        let head = LocalJoint {
            position: Vec3::Y * 1.6,
            rotation: Quat::IDENTITY,
        };
        Some(LocalPose {
            head,
            left: None,
            right: None,
            pointer: None,
        })
    }

    fn on_event(&mut self, _at: Moment, event: &Event, headset: &mut Headset) {
        let mut diary = self.0.lock().unwrap();
        let at = Instant::now();
        match event {
            Event::Welcome { headset: id, resumed } => {
                let placement = headset.seat().copied().unwrap();
                diary.ticket = headset.resume_ticket();
                diary.welcomes.push(Welcomed {
                    at,
                    headset: *id,
                    resumed: *resumed,
                    cell: placement.cell,
                    seat: placement.seat.unwrap_or_default().into(),
                });
                note_roster(&mut diary, at, headset);
            }
            Event::RosterChanged => note_roster(&mut diary, at, headset),
            Event::Complete(set) if set.stream.layer == Layer::Base => diary.sets.push(at),
            _ => {}
        }
    }

    fn on_link(&mut self, _link: &Arc<dyn Link>) {
        self.0.lock().unwrap().links += 1;
    }
}

fn note_roster(diary: &mut Diary, at: Instant, headset: &Headset) {
    let names = headset.roster().iter().map(|person| person.name.clone()).collect();
    diary.rosters.push((at, names));
}
