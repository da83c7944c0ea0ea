//! The kinds of pictures beside the shared panorama, from a real server over real QUIC: a view of one's own, sharp faces
//! where somebody looks, what lies behind near things, a projector's camera.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use glam::{Quat, Vec3};
use tokio::sync::watch;
use tongyou_bot::ServerTrust;
use tongyou_client::core::{Config, Event, Headset, LocalJoint, LocalPose};
use tongyou_client::net::{self, Decode, Machine, Moment, Options, Wearer};
use tongyou_protocol::control::{ClientKind, PlacementKind};
use tongyou_protocol::frame::{Header, Layer, Shape};
use tongyou_tests::Running;
use tongyou_tests::square::small_world;

/// What a scout is told, and what it saw.
#[derive(Debug, Default)]
struct Notes {
    /// Told to the headset with the next pose.
    wishes: Vec<Wish>,
    /// How the head is turned, radians about +Y from −Z of the seat.
    turned: f32,
    /// Complete sets of any layer, with their arrival.
    sets: Vec<(Instant, Header)>,
    placed: Vec<PlacementKind>,
    notices: Vec<String>,
    stops: Vec<u32>,
    problems: Vec<String>,
    /// What the others are said to be doing: the numbers of those who roam.
    roaming: Vec<u32>,
    /// Where the server put the wearer: the shown stream's own.
    shown: Option<Header>,
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    To { x: f32, z: f32, heading: f32 },
    Cell(u32),
    Stop(u32),
    Lead,
}

struct Scout(Arc<Mutex<Notes>>);

impl Wearer for Scout {
    fn pose(&mut self, _: Moment, headset: &mut Headset) -> Option<LocalPose> {
        let mut notes = self.0.lock().unwrap();
        for wish in std::mem::take(&mut notes.wishes) {
            match wish {
                Wish::To { x, z, heading } => headset.move_to(x, z, heading),
                Wish::Cell(cell) => headset.move_to_cell(cell),
                Wish::Stop(stop) => headset.go_to_stop(stop),
                Wish::Lead => headset.take_lead(),
            }
        }
        let head = LocalJoint {
            position: Vec3::new(0.0, 1.6, 0.0),
            rotation: Quat::from_rotation_y(notes.turned),
        };
        Some(LocalPose {
            head,
            left: None,
            right: None,
            pointer: None,
        })
    }

    fn on_event(&mut self, _: Moment, event: &Event, headset: &mut Headset) {
        let mut notes = self.0.lock().unwrap();
        notes.roaming = headset
            .roster()
            .iter()
            .filter(|p| p.roaming)
            .map(|p| p.headset)
            .collect();
        match event {
            Event::Complete(set) => {
                notes.sets.push((Instant::now(), set.color));
                if headset.shown() == Some(set.stream) {
                    notes.shown = Some(set.color);
                }
            }
            Event::Placed(placement) => notes.placed.push(placement.kind()),
            Event::Notice { message, .. } => notes.notices.push(message.clone()),
            Event::StopApplied(applied) => notes.stops.push(applied.stop),
            Event::Malformed { lane, message } => notes.problems.push(format!("{lane}: {message}")),
            _ => {}
        }
    }
}

/// A headset or a projector that stays until the sender is dropped.
fn send(server: &Running, name: &str, kind: ClientKind) -> (Arc<Mutex<Notes>>, watch::Sender<bool>) {
    let (stay, cancel) = watch::channel(false);
    let notes = Arc::new(Mutex::new(Notes::default()));
    let mut config = Config::new(server.code(0), name);
    config.kind = kind;
    if matches!(kind, ClientKind::Headset) {
        config.guide_grant = server.grant(0).to_owned();
    }
    let trust = ServerTrust::CertificateHash(server.certificate_sha256());
    let options = Options {
        connect: net::quic(server.addr(), "localhost", trust),
        headset: config,
        clock: Machine::default(),
        decode: Decode::Nothing,
    };
    let mut scout = Scout(notes.clone());
    tokio::spawn(async move {
        if let Err(e) = net::run(options, &mut scout, cancel).await {
            scout.0.lock().unwrap().problems.push(e.to_string());
        }
    });
    (notes, stay)
}

/// Waits until the notes say something; how long that took.
async fn until(what: &str, notes: &Mutex<Notes>, wanted: impl Fn(&Notes) -> bool) -> Duration {
    let began = Instant::now();
    while !wanted(&notes.lock().unwrap()) {
        if began.elapsed() > Duration::from_secs(30) {
            let notes = notes.lock().unwrap();
            panic!(
                "{what} did not happen: placed {:?}, notices {:?}, problems {:?}, {} sets",
                notes.placed,
                notes.notices,
                notes.problems,
                notes.sets.len()
            );
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    began.elapsed()
}

fn small(more: &[&str]) -> (tempfile::TempDir, Running) {
    let world = small_world();
    let mut arguments = vec!["--sets-per-s", "4"];
    arguments.extend(more);
    let server = Running::start_with(
        &world.path().join("tours"),
        &world.path().join("scenes"),
        &["jiefangbei"],
        &arguments,
    );
    (world, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_off_the_rings_has_a_view_of_their_own_and_comes_back() {
    let (_world, server) = small(&[]);
    let (notes, _stay) = send(&server, "Roamer", ClientKind::Headset);
    let (witness, _stay_too) = send(&server, "Witness", ClientKind::Headset);
    until("the first panorama", &notes, |n| n.shown.is_some()).await;
    until("the witness's", &witness, |n| n.shown.is_some()).await;
    let (x, z, heading) = (-6.0, -26.0, 0.4);
    notes.lock().unwrap().wishes.push(Wish::To { x, z, heading });
    let took = until("a view of one's own", &notes, |n| {
        n.shown.is_some_and(|s| s.shape == Shape::Stereo)
    })
    .await;
    until("the roster", &witness, |n| n.roaming.len() == 1).await;
    {
        let notes = notes.lock().unwrap();
        let shown = notes.shown.unwrap();
        assert_eq!(notes.placed.last(), Some(&PlacementKind::Roaming));
        assert_eq!(shown.layer, Layer::Base);
        let off = (shown.tag.point - Vec3::new(x, shown.tag.point.y, z)).length();
        assert!(off < 0.1, "rendered {off} m beside the head");
        assert!(
            (1.2..2.2).contains(&shown.tag.point.y),
            "eyes at {} m",
            shown.tag.point.y
        );
        assert!((0.02..0.05).contains(&shown.tag.eyes.half_ipd));
        let forward = shown.tag.eyes.rotation * Vec3::NEG_Z;
        let wanted = Quat::from_rotation_y(heading) * Vec3::NEG_Z;
        assert!(forward.dot(wanted) > 0.98, "looks along {forward}, not {wanted}");
    }
    // The view follows the head.
    notes.lock().unwrap().turned = 1.2;
    let wanted = Quat::from_rotation_y(heading + 1.2) * Vec3::NEG_Z;
    let turned = until("a turned view", &notes, |n| {
        n.shown
            .is_some_and(|s| (s.tag.eyes.rotation * Vec3::NEG_Z).dot(wanted) > 0.98)
    })
    .await;
    notes.lock().unwrap().wishes.push(Wish::Cell(1));
    let back = until("the shared panorama", &notes, |n| {
        n.shown.is_some_and(|s| s.shape == Shape::Panorama)
    })
    .await;
    until("the roster", &witness, |n| n.roaming.is_empty()).await;
    println!(
        "{{\"own_view_after_ms\":{},\"follows_turn_after_ms\":{},\"back_after_ms\":{}}}",
        took.as_millis(),
        turned.as_millis(),
        back.as_millis()
    );
    assert_eq!(notes.lock().unwrap().problems, Vec::<String>::new());
    assert_eq!(witness.lock().unwrap().problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_floor_no_view() {
    let (_world, server) = small(&[]);
    let (notes, _stay) = send(&server, "Roamer", ClientKind::Headset);
    until("the first panorama", &notes, |n| n.shown.is_some()).await;
    let (x, z, heading) = (4_000.0, 0.0, 0.0);
    notes.lock().unwrap().wishes.push(Wish::To { x, z, heading });
    until("a sentence", &notes, |n| !n.notices.is_empty()).await;
    let notes = notes.lock().unwrap();
    assert_eq!(notes.placed, Vec::new());
    assert!(notes.shown.is_some_and(|s| s.shape == Shape::Panorama));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sharp_face_follows_the_gaze() {
    let (_world, server) = small(&["--faces", "512"]);
    let (notes, _stay) = send(&server, "Looker", ClientKind::Headset);
    let faces = |n: &Notes, since: Instant| -> Vec<u8> {
        let of = |(at, h): &(Instant, Header)| match h.layer {
            Layer::Face(f) if *at >= since => Some(f),
            _ => None,
        };
        n.sets.iter().filter_map(of).collect()
    };
    let began = Instant::now();
    let first = until("a sharp face", &notes, |n| !faces(n, began).is_empty()).await;
    let looked_at = faces(&notes.lock().unwrap(), began);
    // Half a turn: what lies behind the wearer was not sent before.
    notes.lock().unwrap().turned = std::f32::consts::PI;
    let turned_at = Instant::now();
    let switch = until("the face behind", &notes, |n| {
        faces(n, turned_at).iter().any(|f| !looked_at.contains(f))
    })
    .await;
    println!(
        "{{\"first_sharp_after_ms\":{},\"sharp_switch_after_ms\":{}}}",
        first.as_millis(),
        switch.as_millis()
    );
    let notes = notes.lock().unwrap();
    let sharp = notes.sets.iter().filter(|(_, h)| matches!(h.layer, Layer::Face(_)));
    for (_, header) in sharp {
        assert_eq!((header.width, header.height), (512, 512));
    }
    assert_eq!(notes.problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_follows_the_tour_and_takes_no_seat() {
    let (_world, server) = small(&[]);
    let (guide, _stay) = send(&server, "Guide", ClientKind::Headset);
    let (screen, _stay_too) = send(&server, "", ClientKind::Spectator);
    until("the guide's picture", &guide, |n| n.shown.is_some()).await;
    until("the projector's", &screen, |n| {
        n.shown.is_some_and(|s| s.shape == Shape::Flat)
    })
    .await;
    let before = screen.lock().unwrap().shown.unwrap();
    guide.lock().unwrap().wishes.extend([Wish::Lead, Wish::Stop(1)]);
    until("the next stop", &screen, |n| n.stops == [1]).await;
    until("its picture", &screen, |n| {
        n.shown
            .is_some_and(|s| s.tag.epoch != before.tag.epoch && s.shape == Shape::Flat)
    })
    .await;
    assert_eq!(screen.lock().unwrap().problems, Vec::<String>::new());
    assert_eq!(guide.lock().unwrap().problems, Vec::<String>::new());
}
