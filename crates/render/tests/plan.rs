//! Planning without a GPU: what is drawn, what is left out, and what is refused.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::fmt::Write;
use std::sync::Arc;

use glam::{Quat, Vec3};
use support::{cuboid, day, dusk, flat, material, node, panorama, sheet};
use tongyou_protocol::TourTime;
use tongyou_render::behind::TileMask;
use tongyou_render::{
    Memory, Refusal, RenderPlan, SceneId, SceneStore, Tiles, VantageKey, VantageKind, VantageRequest, plan,
};
use tongyou_scene::{Animation, Channel, Keys, Light, LightKind, Mesh, Scene};

/// A box in front, a box behind that turns during seconds 2 to 4 of every ten.
fn scene() -> Scene {
    let mut scene = Scene {
        name: "two".to_owned(),
        materials: vec![material("m", Vec3::ONE)],
        ..Scene::default()
    };
    for (name, z) in [("front", -10.0), ("behind", 10.0)] {
        scene.meshes.push(Mesh {
            name: name.to_owned(),
            primitives: cuboid(0, Vec3::ZERO, Vec3::splat(2.0), 1, 1.0),
        });
        scene
            .nodes
            .push(node(name, Vec3::new(0.0, 0.0, z), Some(scene.meshes.len() - 1)));
    }
    let turned = Quat::from_rotation_y(1.0);
    scene.animations.push(Animation {
        name: "turn".to_owned(),
        duration_s: 10.0,
        channels: vec![Channel {
            node: 1,
            times_s: vec![0.0, 2.0, 4.0, 10.0],
            keys: Keys::Rotation(vec![Quat::IDENTITY, Quat::IDENTITY, turned, turned]),
            step: false,
        }],
    });
    scene
}

fn store() -> (SceneStore, SceneId) {
    let mut store = SceneStore::new();
    let id = store.add(&scene()).unwrap();
    (store, id)
}

fn seconds(s: f64) -> TourTime {
    #[expect(clippy::cast_possible_truncation, reason = "a few seconds")]
    TourTime((s * 1e6) as i64)
}

/// The same at an instant.
fn at(time: f64, requests: &[VantageRequest]) -> Vec<VantageRequest> {
    let at = |r: &VantageRequest| VantageRequest {
        time: seconds(time),
        ..r.clone()
    };
    requests.iter().map(at).collect()
}

fn describe(plan: &RenderPlan) -> String {
    let mut text = String::new();
    for v in &plan.vantages {
        writeln!(
            text,
            "{:?} {}x{} depth={} scene={:?}",
            v.key, v.width, v.height, v.depth, plan.scenes[v.scene].scene
        )
        .unwrap();
        for p in &v.views {
            writeln!(
                text,
                "  {} looks {} at {} size {} sees {:?}",
                if p.changed.is_empty() { "same" } else { "changed" },
                p.view.forward(),
                p.view.origin,
                p.view.size,
                p.parts
            )
            .unwrap();
        }
    }
    writeln!(text, "still {:?} refused {:?}", plan.still, plan.refused).unwrap();
    text
}

#[test]
fn a_panorama_sees_each_part_in_the_faces_that_show_it() {
    let (store, id) = store();
    let (plan, _) = plan(&store, &Memory::default(), &[panorama(id, Vec3::ZERO, day())]);
    insta::assert_snapshot!(describe(&plan));
}

#[test]
fn a_flat_view_of_what_stands_still_is_still_while_something_turns_behind_it() {
    let (store, id) = store();
    let mut light = day();
    light.sun = Vec3::ZERO;
    let request = flat(id, Vec3::ZERO, Vec3::NEG_Z, 64, 48, light);
    let (first, memory) = plan(&store, &Memory::default(), &at(2.5, std::slice::from_ref(&request)));
    assert!(first.vantages[0].depth);
    let (second, memory) = plan(&store, &memory, &at(3.0, std::slice::from_ref(&request)));
    assert_eq!((second.vantages.len(), &second.still[..]), (0, &[VantageKey(1)][..]));
    assert!(second.scenes.is_empty());
    let forced = VantageRequest { force: true, ..request };
    let (third, after) = plan(&store, &memory, &at(3.5, &[forced]));
    assert!(third.vantages[0].depth);
    assert!(
        third.vantages[0].views[0].changed.is_empty(),
        "the picture before will do"
    );
    assert_eq!(third.vantages[0].base, Some(third.vantages[0].shows));
    assert_eq!(third.vantages[0].shows, first.vantages[0].shows);
    assert_eq!(after, memory);
}

/// A small box that moves from `from` to `to` in ten seconds, above a floor at `floor`.
fn sliding(from: Vec3, to: Vec3, floor: f32) -> Scene {
    let mut scene = scene();
    let corner = Vec3::new(-90.0, floor, -90.0);
    scene.meshes[0].primitives = vec![sheet(0, corner, Vec3::X * 180.0, Vec3::Z * 180.0, 1, 1.0)];
    scene.meshes[1].primitives = cuboid(0, Vec3::ZERO, Vec3::ONE, 1, 1.0);
    scene.nodes[0].translation = Vec3::ZERO;
    scene.nodes[1].translation = from;
    scene.animations[0].channels = vec![Channel {
        node: 1,
        times_s: vec![0.0, 10.0],
        keys: Keys::Translation(vec![from, to]),
        step: false,
    }];
    scene
}

/// The faces that change in each step of a second.
fn changed_faces(scene: &Scene, lighting: &tongyou_scene::Lighting) -> Vec<Vec<usize>> {
    let mut store = SceneStore::new();
    let id = store.add(scene).unwrap();
    let request = [panorama(id, Vec3::ZERO, lighting.clone())];
    let mut memory = Memory::default();
    let steps = (0..10).map(|second| {
        let (plan, next) = plan(&store, &memory, &at(f64::from(second), &request));
        memory = next;
        let views = plan.vantages[0].views.iter().enumerate();
        views.filter(|(_, v)| !v.changed.is_empty()).map(|(i, _)| i).collect()
    });
    let all: Vec<Vec<usize>> = steps.collect();
    assert_eq!(all[0], [0, 1, 2, 3, 4, 5], "the first is drawn whole");
    all[1..].to_vec()
}

#[test]
fn what_moves_in_one_face_changes_that_face_and_those_it_crosses_into() {
    let mut light = day();
    light.sun = Vec3::ZERO;
    let steps = changed_faces(
        &sliding(Vec3::new(20.0, 0.0, 0.0), Vec3::new(0.0, 0.0, 20.0), -30.0),
        &light,
    );
    // At x = z the box lies in both, and where it was a step before must be drawn over.
    let expected: [&[usize]; 9] = [&[0], &[0], &[0], &[0], &[0, 4], &[0, 4], &[4], &[4], &[4]];
    assert_eq!(steps, expected);
}

#[test]
fn a_shadow_changes_the_faces_that_it_falls_into() {
    let mut light = day();
    light.to_sun = Vec3::new(1.0, 0.5, 0.0).normalize();
    let scene = sliding(Vec3::new(0.0, 20.0, 0.0), Vec3::new(0.0, 20.0, 1.0), -2.0);
    for faces in changed_faces(&scene, &light) {
        assert_eq!(faces, [1, 2], "overhead, and its shadow towards -X");
    }
    light.sun = Vec3::ZERO;
    for faces in changed_faces(&scene, &light) {
        assert_eq!(faces, [2]);
    }
}

#[test]
fn a_lamp_changes_the_faces_that_it_reaches() {
    let mut scene = sliding(Vec3::new(20.0, 0.0, 0.0), Vec3::new(20.0, 0.0, 0.5), -30.0);
    scene.nodes[1].mesh = None;
    scene.nodes[1].light = Some(0);
    scene.lights.push(Light {
        kind: LightKind::Point,
        color: Vec3::ONE,
        intensity: 10.0,
        range_m: Some(4.0),
    });
    for faces in changed_faces(&scene, &dusk()) {
        assert_eq!(faces, [0]);
    }
}

#[test]
fn pictures_have_one_key_for_one_content() {
    let (store, id) = store();
    let key = |time: f64, point: Vec3, vantage: u64| {
        let request = VantageRequest {
            key: VantageKey(vantage),
            ..panorama(id, point, day())
        };
        plan(&store, &Memory::default(), &at(time, &[request])).0.vantages[0].shows
    };
    assert_eq!(key(2.5, Vec3::ZERO, 1), key(2.5, Vec3::ZERO, 2));
    assert_eq!(key(0.5, Vec3::ZERO, 1), key(1.5, Vec3::ZERO, 1), "nothing turns then");
    assert_ne!(key(2.5, Vec3::ZERO, 1), key(3.0, Vec3::ZERO, 1));
    assert_ne!(key(2.5, Vec3::ZERO, 1), key(2.5, Vec3::X, 1));
}

#[test]
fn a_panorama_is_drawn_while_something_moves_and_then_no_more() {
    let (store, id) = store();
    let request = [panorama(id, Vec3::ZERO, day())];
    let mut memory = Memory::default();
    let mut drawn = Vec::new();
    for tenth in 0..100 {
        let (plan, next) = plan(&store, &memory, &at(f64::from(tenth) * 0.1, &request));
        memory = next;
        if let Some(v) = plan.vantages.first() {
            drawn.push(tenth);
            assert!(v.depth);
        }
    }
    let turning: Vec<i32> = std::iter::once(0).chain(21..=40).collect();
    assert_eq!(drawn, turning);
}

#[test]
fn slow_motion_adds_up_until_it_shows() {
    let (store, id) = store();
    let request = [panorama(id, Vec3::ZERO, day())];
    let (_, mut memory) = plan(&store, &Memory::default(), &at(2.0, &request));
    let mut drawn = 0;
    // Steps of a fiftieth of a millisecond: each far below a tenth of a pixel.
    for step in 1..=2000 {
        let (plan, next) = plan(&store, &memory, &at(2.0 + f64::from(step) * 2e-5, &request));
        memory = next;
        drawn += plan.vantages.len();
    }
    // 0.02 rad of a box whose corners are 1.4 m from its axis, 9 m away: about 8 tenths of a pixel.
    assert!((2..20).contains(&drawn), "{drawn}");
}

#[test]
fn other_light_needs_a_new_picture_but_no_depth() {
    let (store, id) = store();
    let (_, memory) = plan(&store, &Memory::default(), &[panorama(id, Vec3::ZERO, day())]);
    let (changed, _) = plan(&store, &memory, &at(0.1, &[panorama(id, Vec3::ZERO, dusk())]));
    assert!(!changed.vantages[0].depth);
    let (moved, _) = plan(&store, &memory, &at(0.1, &[panorama(id, Vec3::X, day())]));
    assert!(moved.vantages[0].depth);
}

#[test]
fn plans_are_equal_for_equal_arguments() {
    let (store, id) = store();
    let requests = [
        panorama(id, Vec3::ZERO, day()),
        VantageRequest {
            key: VantageKey(2),
            ..panorama(id, Vec3::X, dusk())
        },
    ];
    let a = plan(&store, &Memory::default(), &at(3.3, &requests));
    assert_eq!(a, plan(&store, &Memory::default(), &at(3.3, &requests)));
    assert_eq!(a.0.scenes.len(), 1, "one scene is evaluated once");
}

#[test]
fn a_scene_is_evaluated_once_for_each_instant() {
    let (store, id) = store();
    let request = |key, time: f64| VantageRequest {
        key: VantageKey(key),
        time: seconds(time),
        ..panorama(id, Vec3::ZERO, day())
    };
    // Two sessions, of which one has somebody at two stops.
    let requests = [request(1, 1.0), request(2, 3.0), request(3, 1.0)];
    let (both, memory) = plan(&store, &Memory::default(), &requests);
    let times: Vec<TourTime> = both.scenes.iter().map(|s| s.time).collect();
    assert_eq!(times, [seconds(1.0), seconds(3.0)]);
    let scenes: Vec<usize> = both.vantages.iter().map(|v| v.scene).collect();
    assert_eq!(scenes, [0, 1, 0]);
    assert_ne!(both.scenes[0].world_from_nodes, both.scenes[1].world_from_nodes);
    assert_eq!(both.vantages[0].shows, both.vantages[2].shows);
    // Each moves on at its own time: what turns in 2..4 is still for who is at 1.
    let requests = [request(1, 1.5), request(2, 3.5), request(3, 1.5)];
    let (later, _) = plan(&store, &memory, &requests);
    assert_eq!(later.still, [VantageKey(1), VantageKey(3)]);
    assert_eq!((later.vantages[0].key, later.vantages[0].scene), (VantageKey(2), 0));
    assert_eq!(later.scenes.len(), 1);
}

#[test]
fn who_is_not_asked_for_is_remembered_until_forgotten() {
    let (store, id) = store();
    let here = panorama(id, Vec3::ZERO, day());
    let there = VantageRequest {
        key: VantageKey(2),
        ..panorama(id, Vec3::X, day())
    };
    let (_, memory) = plan(&store, &Memory::default(), &[here.clone(), there.clone()]);
    let (_, mut memory) = plan(&store, &memory, &[here]);
    let (still, _) = plan(&store, &memory, std::slice::from_ref(&there));
    assert_eq!(still.still, [VantageKey(2)]);
    memory.retain(|key| key != VantageKey(2));
    let (fresh, _) = plan(&store, &memory, &[there]);
    assert_eq!((fresh.still.len(), fresh.vantages.len()), (0, 1));
}

#[test]
fn what_can_not_be_drawn_is_refused_and_the_rest_goes_on() {
    let (store, id) = store();
    let good = panorama(id, Vec3::ZERO, day());
    let with = |vantage: u64, change: &dyn Fn(&mut VantageRequest)| {
        let mut request = VantageRequest {
            key: VantageKey(vantage),
            ..good.clone()
        };
        change(&mut request);
        request
    };
    let flat = |width, vertical_fov_rad| VantageKind::Flat {
        world_from_camera: Quat::IDENTITY,
        vertical_fov_rad,
        width,
        height: 64,
    };
    let requests = [
        with(2, &|r| r.point.x = f32::NAN),
        with(3, &|r| r.lighting.exposure = f32::INFINITY),
        with(4, &|r| r.near = 0.0),
        with(5, &|r| r.kind = flat(63, 1.0)),
        with(6, &|r| r.kind = flat(64, 3.5)),
        with(7, &|r| r.scene = SceneId(9)),
        good.clone(),
        good.clone(),
    ];
    let (plan, _) = plan(&store, &Memory::default(), &at(0.0, &requests));
    assert_eq!(plan.vantages.len(), 1);
    let refused: Vec<(u64, Refusal)> = plan.refused.iter().map(|(v, r)| (v.0, *r)).collect();
    assert_eq!(
        refused,
        [
            (2, Refusal::NotFinite),
            (3, Refusal::NotFinite),
            (4, Refusal::Near),
            (5, Refusal::Shape),
            (6, Refusal::Shape),
            (7, Refusal::UnknownScene(SceneId(9))),
            (1, Refusal::Twice),
        ]
    );
}

#[test]
fn only_a_panorama_has_a_mask() {
    let (store, id) = store();
    let view = glam::UVec2::splat(512);
    let mask = TileMask::new(vec![Tiles::none(view); 6], vec![0; 6 * 512 * 512]).map(Arc::new);
    assert!(mask.is_some());
    let only = |request: VantageRequest| VantageRequest {
        only: mask.clone(),
        ..request
    };
    let requests = [
        only(flat(id, Vec3::ZERO, Vec3::NEG_Z, 64, 48, day())),
        VantageRequest {
            key: VantageKey(2),
            ..only(panorama(id, Vec3::ZERO, day()))
        },
    ];
    let (planned, memory) = plan(&store, &Memory::default(), &requests);
    assert_eq!(planned.refused, [(VantageKey(1), Refusal::Mask)]);
    assert_eq!(planned.vantages.len(), 1);
    assert!(
        planned.vantages[0].views.iter().all(|v| v.changed.is_empty()),
        "an empty mask"
    );
    // Whatever moves, it is seen in none of the tiles.
    let (planned, _) = plan(&store, &memory, &at(3.0, &requests[1..]));
    assert_eq!(planned.still, [VantageKey(2)]);
}

#[test]
fn who_loses_the_device_alone_twice_is_refused_until_forgotten() {
    let (store, id) = store();
    let request = |key| VantageRequest {
        key: VantageKey(key),
        ..panorama(id, Vec3::ZERO, day())
    };
    let requests = [request(1), request(2)];
    let mut memory = Memory::default();
    let (together, drawn) = plan(&store, &memory, &requests);
    assert!(!memory.suspects(&together));
    memory = drawn;
    memory.lost(&together);
    // All is drawn anew, one by one.
    let (again, _) = plan(&store, &memory, &requests);
    assert_eq!((again.vantages.len(), memory.suspects(&again)), (2, true));
    let alone = again.split();
    memory.drawn(&alone[0]);
    for refused in [false, true] {
        memory.lost(&alone[1]);
        let (planned, _) = plan(&store, &memory, &requests);
        let expected = refused.then_some((VantageKey(2), Refusal::LosesDevice));
        assert_eq!(planned.refused, Vec::from_iter(expected));
        assert_eq!(planned.vantages.len(), if refused { 1 } else { 2 });
        assert_eq!(memory.suspects(&planned), !refused, "the other one is trusted");
    }
    memory.retain(|key| key != VantageKey(2));
    assert!(plan(&store, &memory, &requests).0.refused.is_empty());
}

#[test]
fn eyes_and_faces_of_a_wrong_shape_are_refused() {
    let (store, id) = store();
    let eyes = |half_ipd, half_tangent, foveation, size| VantageKind::Stereo {
        rotation: Quat::IDENTITY,
        half_ipd,
        half_tangent,
        foveation,
        size,
        depth_size: 512,
    };
    let turned = VantageKind::stereo(Quat::from_xyzw(0.0, 0.0, 0.0, 2.0), 0.03);
    for kind in [
        eyes(f32::NAN, 1.0, 1.0, 768),
        eyes(0.03, 0.0, 1.0, 768),
        eyes(0.03, 1.0, 9.0, 768),
        eyes(0.03, 1.0, 1.0, 766),
        eyes(0.03, 1.0, 1.0, 4096),
        turned,
        VantageKind::Face { face: 6, size: 512 },
        VantageKind::Face { face: 1, size: 510 },
    ] {
        let request = VantageRequest {
            kind,
            ..panorama(id, Vec3::ZERO, day())
        };
        let (planned, _) = plan(&store, &Memory::default(), &[request]);
        assert_eq!(planned.refused, [(VantageKey(1), Refusal::Shape)], "{kind:?}");
    }
}
