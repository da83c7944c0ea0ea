//! Needs a Vulkan adapter, a software one will do; says SKIPPED without one and fails then when
//! `TONGYOU_REQUIRE_GPU=1`.

use std::sync::mpsc::{Receiver, sync_channel};

use glam::{Quat, Vec3};
use tongyou_protocol::frame::Shape;
use tongyou_protocol::{VantageId, cube};
use tongyou_scene::{Animation, Channel, Keys, Mesh, Node, Primitive};

use super::*;
use crate::testing::session;

/// A wall ahead, 8 m away, that stands 4 m away from second 404 to the end of every thousand.
fn wall() -> Scene {
    let corner = |x: f32, y: f32| Vec3::new(x, y, 0.0);
    let primitive = Primitive {
        positions: vec![corner(-3.0, 0.0), corner(3.0, 0.0), corner(3.0, 4.0), corner(-3.0, 4.0)],
        normals: vec![Vec3::Z; 4],
        indices: vec![0, 1, 2, 0, 2, 3],
        ..Primitive::default()
    };
    let at = |z: f32| Vec3::new(0.0, 0.0, z);
    Scene {
        name: "wall".to_owned(),
        nodes: vec![Node {
            name: "wall".to_owned(),
            parent: None,
            translation: at(-8.0),
            rotation: Quat::IDENTITY,
            scale: Vec3::ONE,
            mesh: Some(0),
            light: None,
        }],
        meshes: vec![Mesh {
            name: "wall".to_owned(),
            primitives: vec![primitive],
        }],
        animations: vec![Animation {
            name: "come".to_owned(),
            duration_s: 1000.0,
            channels: vec![Channel {
                node: 0,
                times_s: vec![0.0, 400.0, 404.0, 1000.0],
                keys: Keys::Translation(vec![at(-8.0), at(-8.0), at(-4.0), at(-4.0)]),
                step: false,
            }],
        }],
        ..Scene::default()
    }
}

struct Fixture {
    renderer: Renderer,
    jobs: SyncSender<Job>,
    queue: Receiver<Job>,
}

fn fixture() -> Option<Fixture> {
    let scenes = BTreeMap::from([("wall".to_owned(), wall())]);
    let settings = Settings {
        sets_per_s: 36.0,
        bitrate_bps: 1_000_000,
        face_size: Some(512),
    };
    match Renderer::new(scenes, Clock::new(), settings, Arc::default()) {
        Ok(renderer) => {
            let (jobs, queue) = sync_channel(8);
            Some(Fixture { renderer, jobs, queue })
        }
        Err(e) if std::env::var_os("TONGYOU_REQUIRE_GPU").is_none_or(|v| v != "1") => {
            eprintln!("SKIPPED: {e:#}");
            None
        }
        Err(e) => panic!("{e:#}"),
    }
}

fn wanted(ticks: Vec<Tick>) -> Wanted {
    Wanted {
        ticks,
        ..Wanted::default()
    }
}

impl Fixture {
    fn sets(&mut self, wanted: &Wanted) -> Vec<Rendered> {
        self.renderer.step(wanted, &self.jobs).unwrap();
        let sets = self.queue.try_iter().filter_map(|job| match job {
            Job::Sets(sets) => Some(sets),
            Job::Alive(_) => None,
        });
        sets.flatten().collect()
    }
}

/// Distance of what lies ahead, metres.
fn ahead(set: &Rendered) -> f32 {
    let face = cube::FACES.iter().position(|f| f.forward == Vec3::NEG_Z).unwrap();
    let size = cube::FACE_SIZE as usize;
    let depth = set.depth.as_ref().unwrap()[face * size * size + size / 2 * size + size / 2];
    NEAR_M * 65535.0 / f32::from(depth)
}

#[test]
fn sessions_and_stops_are_drawn_together_each_at_its_own_instant() {
    let Some(mut fixture) = fixture() else { return };
    // The first session has begun just now, the second long ago; the first one's other stop shows it later.
    let wish = wanted(vec![
        session(1, ServerTime(0), &[(1, 0), (2, 1)]),
        session(2, ServerTime(-500_000_000), &[(1, 0)]),
    ]);
    for one_by_one in [true, false] {
        let gpu = fixture.renderer.gpu.as_mut().unwrap();
        gpu.one_by_one = one_by_one;
        fixture.renderer.memory = Memory::default();
        fixture.renderer.last_drawn.clear();
        fixture.renderer.next_set.clear();
        check(&fixture.sets(&wish));
    }
}

fn check(sets: &[Rendered]) {
    let found: Vec<(u32, u16, f32)> = sets
        .iter()
        .map(|s| (s.key.session.0, s.key.vantage.0, ahead(s)))
        .collect();
    let expected = [(1, 1, 8.0), (1, 2, 4.0), (2, 1, 4.0)];
    assert_eq!(found.len(), 3);
    for ((session, vantage, metres), expected) in found.iter().zip(expected) {
        assert_eq!((*session, *vantage), (expected.0, expected.1));
        assert!((metres - expected.2).abs() < 0.05, "{metres} m, not {} m", expected.2);
    }
    let numbers: Vec<u32> = sets.iter().map(|s| s.tag.set.0).collect();
    assert_eq!(numbers, [1, 2, 1], "sets are numbered in each session");
    assert_eq!(sets[0].times.started, sets[2].times.started, "one instant");
}

#[test]
fn a_sharp_face_is_drawn_for_who_watches_it_and_is_as_new_as_the_base() {
    let Some(mut fixture) = fixture() else { return };
    let north = Key {
        layer: Layer::Face(5),
        ..base(SessionKey(1), VantageId(1))
    };
    let mut wish = wanted(vec![session(1, ServerTime(-100_000_000), &[(1, 0)])]);
    let plain = fixture.sets(&wish);
    assert_eq!(plain.len(), 1);
    wish.layers.insert(north);
    let sets = loop {
        fixture.renderer.last_drawn.clear();
        let sets = fixture.sets(&wish);
        if sets.iter().any(|set| set.key == north) {
            break sets;
        }
    };
    let face = sets.iter().find(|set| set.key == north).unwrap();
    assert_eq!((face.width, face.height, face.depth.is_none()), (512, 512, true));
    assert_eq!(face.nv12.len(), 512 * 512 * 3 / 2);
    let base = plain
        .iter()
        .chain(&sets)
        .rfind(|set| set.key.layer == Layer::Base)
        .unwrap();
    assert!(face.tag.is_sharp_of(5, &base.tag) && face.tag.set != base.tag.set);
    assert!(base.tag.still_ms[5] > 0 || base.tag.tour_time == plain[0].tag.tour_time);
    // What lies behind a wall that fills the view is nothing.
    let behind = Key {
        layer: Layer::Behind,
        ..north
    };
    wish.layers = BTreeSet::from([behind]);
    fixture.renderer.last_drawn.clear();
    assert!(fixture.sets(&wish).iter().all(|set| set.key.layer == Layer::Base));
}

#[test]
fn stereo_and_flat_say_how_they_look() {
    let Some(mut fixture) = fixture() else { return };
    let mut tick = session(1, ServerTime(-100_000_000), &[(1, 0), (2, 0)]);
    let turned = Quat::from_rotation_y(0.5);
    tick.vantages[0].kind = tongyou_session::VantageKind::Stereo {
        rotation: turned,
        half_ipd: 0.032,
    };
    tick.vantages[1].kind = tongyou_session::VantageKind::Flat {
        rotation: turned,
        vertical_fov_rad: 1.0,
        width: 640,
        height: 360,
    };
    let sets = fixture.sets(&wanted(vec![tick]));
    let [stereo, flat] = &sets[..] else {
        panic!("{}", sets.len())
    };
    assert_eq!((stereo.shape, stereo.depth_size), (Shape::Stereo, 512));
    assert_eq!(stereo.depth.as_ref().unwrap().len(), 2 * 512 * 512);
    assert_eq!((stereo.tag.eyes.rotation, stereo.tag.eyes.half_ipd), (turned, 0.032));
    assert!(stereo.tag.eyes.foveation > 0.0 && stereo.width == 2 * stereo.height);
    assert_eq!(
        (flat.shape, flat.width, flat.height, flat.depth.is_none()),
        (Shape::Flat, 640, 360, true)
    );
    assert!((flat.tag.half_tangent - 0.5_f32.tan()).abs() < 1e-6 && flat.tag.eyes.rotation == turned);
}

#[test]
fn a_lost_gpu_is_opened_again_and_everything_is_drawn_anew() {
    let Some(mut fixture) = fixture() else { return };
    let wish = wanted(vec![session(1, ServerTime(-100_000_000), &[(1, 0)])]);
    let first = fixture.sets(&wish);
    assert_eq!(first.len(), 1);
    // It is drawn a few times more, for the encoder, and then no more.
    let rests = |r: &Renderer| r.refined.get(&base(SessionKey(1), VantageId(1))) == Some(&REFINE_SETS);
    while !rests(&fixture.renderer) {
        fixture.sets(&wish);
    }
    let mut pauses = Vec::new();
    for _ in 0..2 {
        let gpu = fixture.renderer.gpu.as_ref().unwrap();
        gpu.executor.lose_device();
        // Who has to draw nothing does not find out.
        let more = wanted(vec![session(1, ServerTime(-100_000_000), &[(1, 0), (2, 1)])]);
        let before = fixture.renderer.clock.now();
        let due = fixture.renderer.step(&more, &fixture.jobs).unwrap();
        assert!(fixture.renderer.gpu.is_none() && fixture.queue.try_iter().all(|j| matches!(j, Job::Alive(_))));
        pauses.push(due.saturating_since(before).as_secs());
        // The pause is over: all is drawn from nothing, equal to what it was.
        let again = fixture.sets(&wish);
        assert!(fixture.renderer.gpu.is_some());
        assert_eq!(again.len(), 1);
        assert_eq!((&again[0].nv12, &again[0].depth), (&first[0].nv12, &first[0].depth));
        assert!(again[0].tag.set > first[0].tag.set, "numbers go on");
    }
    assert_eq!(pauses, [1, 2], "pauses grow while it is lost again and again");
}
