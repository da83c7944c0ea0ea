//! Pictures that are put together from views drawn at different instants equal pictures drawn at once.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use glam::Vec3;
use support::{cuboid, day, dusk, executor, material, node, panorama};
use tongyou_protocol::TourTime;
use tongyou_render::{Error, Executor, Frame, Memory, VantageKey, VantageRequest, plan};
use tongyou_scene::{Animation, Channel, Keys, Light, LightKind, Mesh, Node, Scene};

/// Seconds between sets.
const STEP_S: f64 = 0.25;

/// The square, and a box with a lamp on it that passes overhead from one face through a second into a third, 6 m up,
/// so that its shadow runs along the ground.
fn scene() -> Scene {
    let mut scene = support::square(1);
    scene.materials.push(material("train", Vec3::new(0.7, 0.1, 0.1)));
    scene.meshes.push(Mesh {
        name: "train".to_owned(),
        primitives: cuboid(scene.materials.len() - 1, Vec3::ZERO, Vec3::new(3.0, 1.5, 1.5), 1, 1.0),
    });
    scene.lights.push(Light {
        kind: LightKind::Point,
        color: Vec3::ONE,
        intensity: 40.0,
        range_m: Some(3.0),
    });
    let train = scene.nodes.len();
    scene.nodes.push(Node {
        light: Some(scene.lights.len() - 1),
        ..node("train", Vec3::ZERO, Some(scene.meshes.len() - 1))
    });
    let ends = vec![Vec3::new(-9.0, 6.0, 17.0), Vec3::new(32.0, 6.0, 13.0)];
    scene.animations.push(Animation {
        name: "ride".to_owned(),
        duration_s: 10.0,
        channels: vec![Channel {
            node: train,
            times_s: vec![0.0, 10.0],
            keys: Keys::Translation(ends),
            step: false,
        }],
    });
    scene
}

fn at(step: u32) -> TourTime {
    #[expect(clippy::cast_possible_truncation, reason = "a few seconds")]
    TourTime((f64::from(step) * STEP_S * 1e6) as i64)
}

fn then(time: TourTime, request: &VantageRequest) -> VantageRequest {
    VantageRequest {
        time,
        ..request.clone()
    }
}

fn step(executor: &mut Executor, memory: &mut Memory, time: TourTime, request: &VantageRequest) -> Option<Frame> {
    let (planned, next) = plan(executor.scenes(), memory, &[then(time, request)]);
    let frames = executor.execute(&planned).unwrap();
    *memory = next;
    frames.into_iter().next()
}

fn assert_same(a: &Frame, b: &Frame, what: &str) {
    let count = |n: usize| format!("{what}: {n} differ");
    let colours = a.nv12.iter().zip(&b.nv12).filter(|(a, b)| a.abs_diff(**b) > 1).count();
    assert_eq!((a.nv12.len(), colours), (b.nv12.len(), 0), "{}", count(colours));
    let (a, b) = (a.depth.as_ref().unwrap(), b.depth.as_ref().unwrap());
    let depths = a.iter().zip(b).filter(|(a, b)| a != b).count();
    assert_eq!((a.len(), depths), (b.len(), 0), "{}", count(depths));
}

#[test]
fn after_twenty_steps_the_picture_is_what_a_fresh_one_is() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&scene()).unwrap();
    for (name, light) in [("day", day()), ("dusk", dusk())] {
        let request = panorama(id, Vec3::new(3.0, 1.7, 6.0), light);
        let mut memory = Memory::default();
        let mut drawn = Vec::new();
        let mut last = None;
        let mut behind = 0;
        for number in 0..=20 {
            let (planned, _) = plan(executor.scenes(), &memory, &[then(at(number), &request)]);
            behind += u32::from(!planned.vantages[0].views[5].changed.is_empty());
            let frame = step(&mut executor, &mut memory, at(number), &request).unwrap();
            drawn.push(frame.drawn_views);
            if number % 7 == 6 || number == 20 {
                let fresh = step(&mut executor, &mut Memory::default(), at(number), &request).unwrap();
                assert_eq!(fresh.drawn_views, 6);
                assert_same(&frame, &fresh, &format!("{name}, step {number}"));
                last = Some(frame);
            }
        }
        assert_eq!(drawn[0], 6);
        assert!(drawn[1..].iter().all(|n| (1..=4).contains(n)), "{name}: {drawn:?}");
        assert!(drawn[1..].iter().any(|n| *n < 4), "{name}: {drawn:?}");
        assert_eq!(behind, 1, "{name}: the face that looks away is drawn once");
        // Nothing moves within no time: nothing is drawn, and who asks gets the same picture.
        let forced = VantageRequest {
            force: true,
            ..request.clone()
        };
        assert!(step(&mut executor, &mut memory.clone(), at(20), &request).is_none());
        let again = step(&mut executor, &mut memory, at(20), &forced).unwrap();
        assert_eq!(again.drawn_views, 0);
        assert_same(&again, last.as_ref().unwrap(), "forced");
    }
}

#[test]
fn other_light_keeps_the_depth_for_later() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&scene()).unwrap();
    let request = |light| panorama(id, Vec3::new(3.0, 1.7, 6.0), light);
    let mut memory = Memory::default();
    step(&mut executor, &mut memory, at(0), &request(day())).unwrap();
    let lit = step(&mut executor, &mut memory, at(0), &request(dusk())).unwrap();
    assert_eq!((lit.drawn_views, lit.depth), (6, None));
    let moved = step(&mut executor, &mut memory, at(3), &request(dusk())).unwrap();
    assert!(moved.drawn_views < 6);
    let fresh = step(&mut executor, &mut Memory::default(), at(3), &request(dusk())).unwrap();
    assert_same(&moved, &fresh, "after the light");
}

#[test]
fn callers_with_the_same_key_get_their_own_pictures_and_what_is_lost_is_drawn() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&scene()).unwrap();
    let here = panorama(id, Vec3::new(3.0, 1.7, 6.0), day());
    let there = panorama(id, Vec3::new(-3.0, 1.7, 2.0), day());
    let mut memories = [Memory::default(), Memory::default(), Memory::default()];
    // The third stands where the first does, and shares its first picture until either goes on.
    for number in 0..4 {
        for (memory, request) in memories.iter_mut().zip([&here, &there, &here]) {
            let frame = step(&mut executor, memory, at(number), request).unwrap();
            let fresh = step(&mut executor, &mut Memory::default(), at(number), request).unwrap();
            assert_same(&frame, &fresh, &format!("step {number}"));
        }
    }
    // A submission whose frames nobody collects takes its pictures with it.
    let (planned, lost) = plan(executor.scenes(), &memories[1], &[then(at(5), &there)]);
    assert!(planned.vantages[0].base.is_some());
    drop(executor.submit(&planned).unwrap());
    let mut memory = lost;
    let frame = step(&mut executor, &mut memory, at(6), &there).unwrap();
    assert_eq!((frame.key, frame.drawn_views), (VantageKey(1), 6));
    let fresh = step(&mut executor, &mut Memory::default(), at(6), &there).unwrap();
    assert_same(&frame, &fresh, "after a loss");
}

#[test]
fn a_vantage_may_change_its_shape() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&scene()).unwrap();
    let point = Vec3::new(3.0, 1.7, 6.0);
    let small = support::flat(id, point, Vec3::new(0.0, 6.0, 17.0), 64, 48, day());
    let mut memory = Memory::default();
    for request in [&small, &panorama(id, point, day()), &small] {
        let frame = step(&mut executor, &mut memory, at(0), request).unwrap();
        let fresh = step(&mut executor, &mut Memory::default(), at(0), request).unwrap();
        assert_same(&frame, &fresh, "another shape");
    }
}

/// Exactly equal.
fn assert_equal(a: &Frame, b: &Frame, what: &str) {
    let differ = a.nv12.iter().zip(&b.nv12).filter(|(a, b)| a != b).count();
    assert_eq!((a.nv12.len(), differ), (b.nv12.len(), 0), "{what}: bytes of colour");
    assert!(a == b, "{what}: depth or description");
}

#[test]
fn one_scene_at_two_instants_in_one_submission_equals_each_alone() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&scene()).unwrap();
    let (here, there) = (Vec3::new(3.0, 1.7, 6.0), Vec3::new(-3.0, 1.7, 2.0));
    for (name, light) in [("day", day()), ("dusk", dusk())] {
        // The same place in two sessions, of which the second is ahead by seconds; and somebody elsewhere in the first.
        let request = |key, point, step| VantageRequest {
            key: VantageKey(key),
            time: at(step),
            ..support::flat(id, point, Vec3::new(8.0, 4.0, 16.0), 256, 160, light.clone())
        };
        let requests = |a, b| [request(1, here, a), request(2, here, b), request(3, there, a)];
        let mut memory = Memory::default();
        let mut alone = [Memory::default(), Memory::default(), Memory::default()];
        // In the last the two change places: what each has of the one before must not serve the other.
        for (a, b) in [(8, 18), (9, 19), (19, 9)] {
            let requests = requests(a, b);
            let (planned, next) = plan(executor.scenes(), &memory, &requests);
            assert_eq!(planned.scenes.len(), 2);
            let together = executor.execute(&planned).unwrap();
            memory = next;
            assert_ne!(together[0].nv12, together[1].nv12, "{name}: the train is elsewhere");
            let split = planned.split();
            assert_eq!(split.len(), 3);
            for (frame, plan) in together.iter().zip(&split) {
                assert_same(frame, &executor.execute(plan).unwrap()[0], &format!("{name}, split"));
            }
            for ((frame, request), memory) in together.iter().zip(&requests).zip(&mut alone) {
                let what = format!("{name}, steps {a} and {b}, {:?}", frame.key);
                let fresh = step(&mut executor, &mut Memory::default(), request.time, request).unwrap();
                assert_same(frame, &fresh, &format!("{what}, afresh"));
                let single = step(&mut executor, memory, request.time, request).unwrap();
                assert_equal(frame, &single, &what);
            }
        }
    }
    // Six faces likewise.
    let request = |key, step| VantageRequest {
        key: VantageKey(key),
        time: at(step),
        ..panorama(id, here, day())
    };
    let requests = [request(1, 7), request(2, 15)];
    let (planned, _) = plan(executor.scenes(), &Memory::default(), &requests);
    let together = executor.execute(&planned).unwrap();
    for (frame, request) in together.iter().zip(&requests) {
        let single = step(&mut executor, &mut Memory::default(), request.time, request).unwrap();
        assert_equal(frame, &single, &format!("panorama {:?}", frame.key));
    }
}

#[test]
fn two_sessions_that_showed_the_same_both_go_on_from_that_picture() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&scene()).unwrap();
    let requests = |step| {
        [1, 2].map(|key| VantageRequest {
            key: VantageKey(key),
            time: at(step),
            ..panorama(id, Vec3::new(3.0, 1.7, 6.0), day())
        })
    };
    let mut memory = Memory::default();
    for number in 0..3 {
        let (planned, next) = plan(executor.scenes(), &memory, &requests(number));
        memory = next;
        let frames = executor.execute(&planned).unwrap();
        assert_eq!(frames[0].nv12, frames[1].nv12);
        assert_eq!(frames[0].depth, frames[1].depth);
        let drawn = [frames[0].drawn_views, frames[1].drawn_views];
        assert!(number == 0 || drawn.iter().all(|n| *n < 6), "{drawn:?} views");
    }
}

#[test]
fn a_lost_device_says_so_and_another_draws_the_same() {
    let Some(mut executor) = executor() else { return };
    let scene = scene();
    let id = executor.add_scene(&scene).unwrap();
    let request = panorama(id, Vec3::new(3.0, 1.7, 6.0), day());
    let before = step(&mut executor, &mut Memory::default(), at(3), &request).unwrap();
    let (planned, _) = plan(executor.scenes(), &Memory::default(), &[then(at(3), &request)]);
    let under_way = executor.submit(&planned).unwrap();
    executor.lose_device();
    // What was under way may have been finished before; then all is well with it.
    match executor.collect(under_way) {
        Ok(frames) => assert_equal(&frames[0], &before, "under way"),
        Err(e) => assert!(matches!(e, Error::DeviceLost(_)), "{e:?}"),
    }
    for _ in 0..2 {
        let error = executor.execute(&planned).unwrap_err();
        assert!(matches!(error, Error::DeviceLost(_)), "{error:?}");
    }
    let error = executor.add_scene(&scene).unwrap_err();
    assert!(matches!(error, Error::DeviceLost(_)), "{error:?}");
    drop(executor);
    let mut executor = support::executor().unwrap();
    assert_eq!(executor.add_scene(&scene).unwrap(), id);
    let after = step(&mut executor, &mut Memory::default(), at(3), &request).unwrap();
    assert_equal(&before, &after, "after a new start");
}
