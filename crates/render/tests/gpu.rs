//! What the executor draws, checked against geometry that is worked out by hand. Needs a Vulkan adapter, a software
//! one will do; says SKIPPED without one and fails then when `TONGYOU_REQUIRE_GPU=1`.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking; picture coordinates are small"
)]

mod support;

use glam::{Quat, Vec3};
use support::{cuboid, dark, day, draw, executor, flat, material, node, panorama, pixel, scene_of, sheet, unlit};
use tongyou_protocol::{TourTime, cube};
use tongyou_render::{Frame, Memory, VantageKey, VantageKind, VantageRequest, plan};
use tongyou_scene::{Alpha, Image, Light, LightKind, Material, Mesh, Node, Primitive, Scene};

const NEAR: f32 = 0.2;

/// A camera at the origin that looks along −Z with a half tangent of 1.
fn ahead(request: VantageRequest, side: u32) -> VantageRequest {
    let kind = VantageKind::Flat {
        world_from_camera: Quat::IDENTITY,
        vertical_fov_rad: std::f32::consts::FRAC_PI_2,
        width: side,
        height: side,
    };
    VantageRequest { kind, ..request }
}

fn depth(frame: &Frame) -> &[u16] {
    frame.depth.as_deref().unwrap()
}

#[test]
fn a_triangle_covers_its_area_and_the_rest_is_sky() {
    let Some(mut executor) = executor() else { return };
    let triangle = Primitive {
        material: Some(0),
        positions: vec![
            Vec3::new(-1.0, -1.0, -2.0),
            Vec3::new(1.0, -1.0, -2.0),
            Vec3::new(-1.0, 1.0, -2.0),
        ],
        normals: vec![Vec3::Z; 3],
        indices: vec![0, 1, 2],
        ..Primitive::default()
    };
    let mut back = triangle.clone();
    back.indices = vec![0, 2, 1];
    let scene = scene_of(vec![unlit("red", Vec3::X)], vec![triangle]);
    let id = executor.add_scene(&scene).unwrap();
    let frame = draw(&mut executor, &ahead(panorama(id, Vec3::ZERO, dark()), 256));
    let covered = depth(&frame).iter().filter(|d| **d > 0).count();
    // A right triangle with legs of 128 px; pixels along its edges may go either way.
    assert!(covered.abs_diff(128 * 128 / 2) < 200, "{covered}");
    assert!(depth(&frame)[..256 * 60].iter().all(|d| *d == 0));
    assert_eq!(
        depth(&frame)[(150 * 256 + 80) as usize],
        (65535.0_f32 * NEAR / 2.0).round() as u16
    );
    assert_eq!(pixel(&frame, 80, 150)[0], 255);
    assert_eq!(pixel(&frame, 200, 60), [0, 0, 0]);

    let id = executor
        .add_scene(&scene_of(vec![unlit("red", Vec3::X)], vec![back]))
        .unwrap();
    let frame = draw(&mut executor, &ahead(panorama(id, Vec3::ZERO, dark()), 256));
    assert!(depth(&frame).iter().all(|d| *d == 0), "a back face is not seen");
}

#[test]
fn depth_of_a_slanted_plane_is_right_to_one_quantum() {
    let Some(mut executor) = executor() else { return };
    // n·p = -3 with a normal that is no axis.
    let n = Vec3::new(0.3, 0.5, 1.0).normalize();
    let right = n.any_orthonormal_vector();
    let down = right.cross(n) * 4000.0;
    let corner = n * -3.0 - right * 2000.0 - down * 0.5;
    let mut wall = sheet(0, corner, right * 4000.0, down, 700, 1.0);
    if wall.normals[0].dot(n) < 0.0 {
        wall.indices
            .as_chunks_mut::<3>()
            .0
            .iter_mut()
            .for_each(|t| t.swap(1, 2));
    }
    let id = executor
        .add_scene(&scene_of(vec![unlit("wall", Vec3::ONE)], vec![wall]))
        .unwrap();
    let frame = draw(&mut executor, &ahead(panorama(id, Vec3::ZERO, dark()), 128));
    let mut worst = 0;
    for y in 0..128u16 {
        for x in 0..128u16 {
            let d = Vec3::new(
                (f32::from(x) + 0.5) / 64.0 - 1.0,
                1.0 - (f32::from(y) + 0.5) / 64.0,
                -1.0,
            );
            let expected = (65535.0 * NEAR * n.dot(d) / -3.0).round().clamp(0.0, 65535.0) as u16;
            let got = depth(&frame)[usize::from(y) * 128 + usize::from(x)];
            if expected > 0 {
                worst = worst.max(got.abs_diff(expected));
            }
        }
    }
    assert!(worst <= 1, "{worst} quanta");
}

#[test]
fn each_face_looks_along_its_axis_the_right_way_up() {
    let Some(mut executor) = executor() else { return };
    let eye = Vec3::new(5.0, -3.0, 11.0);
    let colors = [
        Vec3::X,
        Vec3::Y,
        Vec3::Z,
        Vec3::new(1.0, 1.0, 0.0),
        Vec3::new(1.0, 0.0, 1.0),
        Vec3::new(0.0, 1.0, 1.0),
    ];
    let mut materials: Vec<Material> = colors.iter().map(|c| unlit("axis", *c)).collect();
    materials.push(unlit("mark", Vec3::ONE));
    let mut primitives = Vec::new();
    for (i, face) in cube::FACES.iter().enumerate() {
        primitives.extend(cuboid(i, eye + face.forward * 10.0, Vec3::splat(2.0), 1, 1.0));
        let mark = face.forward * 10.0 + face.right * 6.0 + face.up * 3.0;
        primitives.extend(cuboid(6, eye + mark, Vec3::splat(1.5), 1, 1.0));
    }
    let id = executor.add_scene(&scene_of(materials, primitives)).unwrap();
    let frame = draw(&mut executor, &panorama(id, eye, dark()));
    for (i, face) in (0u32..).zip(cube::FACES) {
        let at = |direction: Vec3| {
            let (found, u, v) = cube::locate(direction, cube::HALF_TANGENT).unwrap();
            assert_eq!(found, i as usize);
            let (ox, oy) = cube::atlas_origin(i, cube::FACE_SIZE);
            let across = |w: f32| ((w * 0.5 + 0.5) * 512.0) as u32;
            (
                pixel(&frame, ox + across(u), oy + across(v)),
                (across(v) * 512 + across(u)) as usize,
            )
        };
        let (color, in_face) = at(face.forward);
        let expected = (colors[i as usize] * 255.0).to_array().map(|c| c as u8);
        assert!(close(color, expected, 3), "face {i} shows {color:?}, not {expected:?}");
        let depths = &depth(&frame)[i as usize * 512 * 512..][..512 * 512];
        assert_eq!(depths[in_face], (65535.0_f32 * NEAR / 9.0).round() as u16);
        let (mark, _) = at(face.forward * 10.0 + face.right * 6.0 + face.up * 3.0);
        assert!(close(mark, [255; 3], 3), "face {i} has {mark:?} where its mark is");
        for wrong in [
            face.forward * 10.0 - face.right * 6.0 + face.up * 3.0,
            face.forward * 10.0 + face.right * 6.0 - face.up * 3.0,
        ] {
            assert_eq!(at(wrong).0, [0, 0, 0], "face {i}");
        }
    }
}

#[test]
fn faces_agree_where_they_overlap() {
    let Some(mut executor) = executor() else { return };
    // A room whose walls change colour smoothly.
    let mut room = cuboid(0, Vec3::ZERO, Vec3::new(9.0, 7.0, 8.0), 24, 1.0);
    for p in &mut room {
        p.indices.as_chunks_mut::<3>().0.iter_mut().for_each(|t| t.swap(1, 2));
        p.colors = p
            .positions
            .iter()
            .map(|p| [p.x, p.y, p.z, 4.5].map(|c| ((c / 9.0 + 0.5) * 255.0) as u8))
            .collect();
    }
    let id = executor
        .add_scene(&scene_of(vec![unlit("wall", Vec3::ONE)], room))
        .unwrap();
    let frame = draw(&mut executor, &panorama(id, Vec3::new(0.4, -0.3, 0.2), dark()));
    let sample = |face: usize, d: Vec3| {
        let f = cube::FACES[face];
        let z = d.dot(f.forward);
        let at = |w: f32| (((w / (z * cube::HALF_TANGENT)) * 0.5 + 0.5) * 512.0) as u32;
        let (x, y) = (at(d.dot(f.right)), at(-d.dot(f.up)));
        assert!(x < 512 && y < 512);
        let (ox, oy) = cube::atlas_origin(face as u32, 512);
        let depth = depth(&frame)[face * 512 * 512 + (y * 512 + x) as usize];
        (
            pixel(&frame, ox + x, oy + y),
            NEAR * 65535.0 / f32::from(depth) * d.length() / z,
        )
    };
    let mut compared = 0;
    for a in 0..6 {
        for b in 0..a {
            let (fa, fb) = (cube::FACES[a].forward, cube::FACES[b].forward);
            if fa == -fb {
                continue;
            }
            for along in [-0.8, -0.35, 0.1, 0.6_f32] {
                let d = fa + fb + fa.cross(fb) * along;
                let ((ca, da), (cb, db)) = (sample(a, d), sample(b, d));
                assert!(close(ca, cb, 6), "faces {a} and {b}: {ca:?}, {cb:?}");
                assert!((da / db - 1.0).abs() < 0.02, "faces {a} and {b}: {da} m, {db} m");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 12 * 4);
}

#[test]
fn unlit_colours_survive_nv12() {
    let Some(mut executor) = executor() else { return };
    for srgb in [
        [255, 255, 255],
        [0, 0, 0],
        [200, 30, 40],
        [10, 180, 90],
        [128, 128, 128],
        [250, 200, 20],
    ] {
        let linear = srgb.map(|c: u8| {
            let v = f32::from(c) / 255.0;
            if v <= 0.04045 {
                v / 12.92
            } else {
                ((v + 0.055) / 1.055).powf(2.4)
            }
        });
        let wall = sheet(0, Vec3::new(-9.0, 9.0, -2.0), Vec3::X * 18.0, Vec3::Y * -18.0, 1, 1.0);
        let id = executor
            .add_scene(&scene_of(vec![unlit("wall", linear.into())], vec![wall]))
            .unwrap();
        let frame = draw(&mut executor, &ahead(panorama(id, Vec3::ZERO, day()), 16));
        let got = pixel(&frame, 8, 8);
        assert!(close(got, srgb, 3), "{srgb:?} became {got:?}");
    }
}

#[test]
fn cut_outs_mirrors_and_double_sides() {
    let Some(mut executor) = executor() else { return };
    // Left half of the image transparent.
    let pixels = (0..64 * 64)
        .flat_map(|i| [255, 255, 255, if i % 64 < 32 { 0 } else { 255 }])
        .collect();
    let image = Image {
        name: "half".to_owned(),
        width: 64,
        height: 64,
        pixels,
    };
    let cut = Material {
        alpha: Alpha::Mask(0.5),
        base_color_texture: Some(0),
        ..unlit("cut", Vec3::ONE)
    };
    let wall = |m| sheet(m, Vec3::new(-2.0, 2.0, 0.0), Vec3::X * 4.0, Vec3::Y * -4.0, 1, 0.25);
    let mut scene = scene_of(vec![cut, unlit("red", Vec3::X)], vec![wall(0)]);
    scene.images.push(image);
    scene.nodes[0].translation.z = -3.0;
    let id = executor.add_scene(&scene).unwrap();
    let frame = draw(&mut executor, &ahead(panorama(id, Vec3::ZERO, dark()), 64));
    assert_eq!(pixel(&frame, 24, 32), [0, 0, 0]);
    assert!(close(pixel(&frame, 40, 32), [255; 3], 3));
    assert_eq!(depth(&frame)[32 * 64 + 24], 0);

    // Mirrored by its node: what is left is right, and it still faces us.
    scene.nodes[0].scale.x = -1.0;
    let id = executor.add_scene(&scene).unwrap();
    let frame = draw(&mut executor, &ahead(panorama(id, Vec3::ZERO, dark()), 64));
    assert!(close(pixel(&frame, 24, 32), [255; 3], 3));
    assert_eq!(pixel(&frame, 40, 32), [0, 0, 0]);

    // Turned round: seen only where it is double-sided.
    for double_sided in [false, true] {
        let mut scene = scene_of(
            vec![Material {
                double_sided,
                ..unlit("red", Vec3::X)
            }],
            vec![wall(0)],
        );
        scene.nodes[0].translation.z = -3.0;
        scene.nodes[0].rotation = Quat::from_rotation_y(std::f32::consts::PI);
        let id = executor.add_scene(&scene).unwrap();
        let frame = draw(&mut executor, &ahead(panorama(id, Vec3::ZERO, dark()), 64));
        assert_eq!(depth(&frame)[32 * 64 + 32] > 0, double_sided);
    }
}

#[test]
fn the_sun_casts_shadows_and_lamps_shine() {
    let Some(mut executor) = executor() else { return };
    let ground = sheet(0, Vec3::new(-30.0, 0.0, -30.0), Vec3::X * 60.0, Vec3::Z * 60.0, 1, 1.0);
    let mut primitives = cuboid(0, Vec3::new(0.0, 6.0, -10.0), Vec3::new(4.0, 0.5, 4.0), 1, 1.0);
    primitives.push(ground);
    let mut scene = scene_of(vec![material("grey", Vec3::splat(0.5))], primitives);
    scene.lights.push(Light {
        kind: LightKind::Point,
        color: Vec3::X,
        intensity: 30.0,
        range_m: Some(8.0),
    });
    scene.nodes.push(Node {
        light: Some(0),
        ..node("lamp", Vec3::new(10.0, 2.0, -10.0), None)
    });
    let id = executor.add_scene(&scene).unwrap();
    let mut light = day();
    light.to_sun = Vec3::Y;
    light.haze_per_m = 0.0;
    let luma = |p: [u8; 3]| p.map(u32::from).iter().sum::<u32>();
    let mut look = |to: Vec3, light| {
        let frame = draw(&mut executor, &flat(id, Vec3::new(0.0, 3.0, 0.0), to, 64, 64, light));
        pixel(&frame, 32, 32)
    };
    let under = look(Vec3::new(0.0, 0.0, -10.0), light.clone());
    let beside = look(Vec3::new(7.0, 0.0, -10.0), light.clone());
    assert!(
        luma(beside) > luma(under) + 150,
        "{under:?} under the roof, {beside:?} beside it"
    );
    let night = tongyou_scene::Lighting { lamps: 1.0, ..dark() };
    let lit = look(Vec3::new(10.0, 0.0, -10.0), night.clone());
    assert!(lit[0] > 60 && lit[2] < lit[0] / 2, "{lit:?}");
    assert!(
        luma(look(Vec3::new(-8.0, 0.0, -10.0), night.clone())) < 12,
        "out of the lamp's range"
    );
    assert!(
        luma(look(Vec3::new(10.0, 0.0, -10.0), dark())) < 12,
        "lamps switched off"
    );
}

#[test]
fn several_vantages_in_one_submission_equal_each_alone() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&support::square(1)).unwrap();
    let a = flat(id, Vec3::new(0.0, 2.0, 8.0), Vec3::new(0.0, 8.0, -20.0), 64, 48, day());
    let mut b = flat(
        id,
        Vec3::new(9.0, 3.0, 0.0),
        Vec3::new(0.0, 2.0, 0.0),
        64,
        48,
        support::dusk(),
    );
    b.key = VantageKey(2);
    let (both, memory) = plan(executor.scenes(), &Memory::default(), &[a.clone(), b.clone()]);
    let frames = executor.execute(&both).unwrap();
    assert_eq!(
        frames.iter().map(|f| f.key).collect::<Vec<_>>(),
        [VantageKey(1), VantageKey(2)]
    );
    assert_eq!(frames[0], draw(&mut executor, &a));
    assert_eq!(frames[1], draw(&mut executor, &b));
    assert_ne!(frames[0].nv12, frames[1].nv12);
    // Two submissions in flight.
    let first = executor.submit(&both).unwrap();
    let second = executor.submit(&both).unwrap();
    assert_eq!(executor.collect(first).unwrap(), frames);
    assert_eq!(executor.collect(second).unwrap(), frames);
    let later = [a, b].map(|r| VantageRequest {
        time: TourTime(1_000_000),
        ..r
    });
    let (still, _) = plan(executor.scenes(), &memory, &later);
    assert!(executor.execute(&still).unwrap().is_empty());
}

#[test]
fn an_empty_scene_is_sky_and_a_broken_one_an_error() {
    let Some(mut executor) = executor() else { return };
    let id = executor
        .add_scene(&Scene {
            name: "void".to_owned(),
            ..Scene::default()
        })
        .unwrap();
    let frame = draw(&mut executor, &ahead(panorama(id, Vec3::ZERO, day()), 32));
    assert!(depth(&frame).iter().all(|d| *d == 0));
    let mut broken = scene_of(vec![], vec![]);
    broken.nodes[0].mesh = Some(7);
    let message = executor.add_scene(&broken).unwrap_err().to_string();
    assert_eq!(message, "scene test: node 0 (root) refers to mesh 7, there are 1");
    let mut broken = scene_of(vec![], vec![]);
    broken.meshes.push(Mesh {
        name: "m".to_owned(),
        primitives: vec![Primitive {
            indices: vec![0, 1, 2],
            ..Primitive::default()
        }],
    });
    assert!(executor.add_scene(&broken).is_err());
}

fn close(a: [u8; 3], b: [u8; 3], tolerance: u8) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= tolerance)
}
