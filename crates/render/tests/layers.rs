//! Layers beside the base panorama, against pictures drawn in another way: eyes, sharp faces, what lies behind, and
//! nodes that headsets draw themselves.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests fail by panicking; picture coordinates are small"
)]

mod support;

use glam::{Quat, Vec2, Vec3};
use support::{cuboid, dark, day, draw, executor, material, node, panorama, rgb, sheet, unlit};
use tongyou_protocol::cube;
use tongyou_render::behind::{self, ABSENT};
use tongyou_render::{Frame, VantageKind, VantageRequest, rgb_from_nv12};
use tongyou_scene::{Mesh, Scene};

const HALF_IPD: f32 = 0.032;

fn with_kind(kind: VantageKind, request: &VantageRequest) -> VantageRequest {
    VantageRequest {
        kind,
        ..request.clone()
    }
}

fn turned() -> Quat {
    Quat::from_rotation_y(0.5) * Quat::from_rotation_x(0.12)
}

/// One side of a picture that has two side by side.
fn half(rgb: &[u8], width: u32, right: bool) -> Vec<u8> {
    let row = width as usize * 3;
    let from = if right { row / 2 } else { 0 };
    rgb.chunks_exact(row)
        .flat_map(|r| r[from..from + row / 2].to_vec())
        .collect()
}

/// Peak signal to noise ratio in decibels.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    let mean = sum / a.len() as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-6)).log10()
}

/// What an ordinary camera sees where an eye is.
fn flat_of_eye(request: &VantageRequest, side: f32, half_tangent: f32, size: u32) -> VantageRequest {
    let kind = VantageKind::Flat {
        world_from_camera: turned(),
        vertical_fov_rad: 2.0 * half_tangent.atan(),
        width: size,
        height: size,
    };
    VantageRequest {
        point: request.point + turned() * Vec3::X * (side * HALF_IPD),
        ..with_kind(kind, request)
    }
}

fn stereo(foveation: f32, size: u32, depth_size: u32) -> VantageKind {
    VantageKind::Stereo {
        rotation: turned(),
        half_ipd: HALF_IPD,
        half_tangent: 1.2,
        foveation,
        size,
        depth_size,
    }
}

#[test]
fn eyes_that_are_not_foveated_are_two_ordinary_cameras() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&support::square(2)).unwrap();
    let request = panorama(id, Vec3::new(3.0, 1.7, 12.0), day());
    let eyes = draw(&mut executor, &with_kind(stereo(0.0, 256, 128), &request));
    assert_eq!((eyes.width, eyes.height, eyes.drawn_views), (512, 256, 2));
    let depth = eyes.depth.as_ref().unwrap();
    assert_eq!(depth.len(), 2 * 128 * 128);
    for (number, side) in [-1.0, 1.0].into_iter().enumerate() {
        let flat = draw(&mut executor, &flat_of_eye(&request, side, 1.2, 256));
        let seen = half(&rgb(&eyes), 512, number == 1);
        let same = psnr(&seen, &rgb(&flat));
        assert!(same > 45.0, "eye {number}: {same:.1} dB");
        // A flat picture with texels of the same size has the same depth.
        let flat = draw(&mut executor, &flat_of_eye(&request, side, 1.2, 128));
        let flat = flat.depth.unwrap();
        let ours = &depth[number * 128 * 128..][..128 * 128];
        let off = ours.iter().zip(&flat).filter(|(a, b)| a.abs_diff(**b) > 1 + **b / 50);
        let off = off.count();
        assert!(off < 128 * 128 / 50, "eye {number}: {off} depths differ");
    }
    // The two eyes see different things.
    assert!(psnr(&half(&rgb(&eyes), 512, false), &half(&rgb(&eyes), 512, true)) < 40.0);
}

/// A foveated eye's picture put back on even tangents.
fn unwarped(eye: &[u8], size: u32, k: f32, to: u32) -> Vec<u8> {
    let at = |x: u32, y: u32| {
        let tangent = (Vec2::new(x as f32, y as f32) + 0.5) / to as f32 * 2.0 - 1.0;
        let place = |t: f32| ((t * k.sinh()).asinh() / k * 0.5 + 0.5) * size as f32 - 0.5;
        let (px, py) = (place(tangent.x), place(tangent.y));
        let clamp = |v: f32| v.clamp(0.0, (size - 1) as f32);
        let (x0, y0) = (clamp(px.floor()), clamp(py.floor()));
        let (x1, y1) = (clamp(x0 + 1.0), clamp(y0 + 1.0));
        let (fx, fy) = ((px - x0).clamp(0.0, 1.0), (py - y0).clamp(0.0, 1.0));
        let texel = |x: f32, y: f32, c: usize| f32::from(eye[(y as usize * size as usize + x as usize) * 3 + c]);
        [0, 1, 2].map(|c| {
            let upper = texel(x0, y0, c) * (1.0 - fx) + texel(x1, y0, c) * fx;
            let lower = texel(x0, y1, c) * (1.0 - fx) + texel(x1, y1, c) * fx;
            (upper * (1.0 - fy) + lower * fy).round() as u8
        })
    };
    (0..to).flat_map(|y| (0..to).flat_map(move |x| at(x, y))).collect()
}

fn middle(rgb: &[u8], side: u32, part: u32) -> Vec<u8> {
    let from = (side - side / part) / 2;
    let rows = from..from + side / part;
    rows.flat_map(|y| {
        let at = ((y * side + from) * 3) as usize;
        rgb[at..at + (side / part * 3) as usize].to_vec()
    })
    .collect()
}

#[test]
fn a_foveated_eye_is_the_same_picture_and_finer_in_the_middle() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&support::square(4)).unwrap();
    let request = panorama(id, Vec3::new(3.0, 1.7, 12.0), day());
    // The truth, at four times the resolution.
    let fine = rgb(&draw(&mut executor, &flat_of_eye(&request, -1.0, 1.2, 1024)));
    let mut quality = Vec::new();
    for k in [1e-3, 1.5] {
        let eyes = draw(&mut executor, &with_kind(stereo(k, 256, 128), &request));
        let seen = unwarped(&half(&rgb(&eyes), 512, false), 256, k, 1024);
        quality.push((
            psnr(&seen, &fine),
            psnr(&middle(&seen, 1024, 4), &middle(&fine, 1024, 4)),
        ));
    }
    eprintln!("PSNR whole, middle: even {:?}, foveated {:?}", quality[0], quality[1]);
    let ((even, even_middle), (whole, middle)) = (quality[0], quality[1]);
    assert!(whole > even - 1.5 && whole > 20.0, "{quality:?}");
    assert!(middle > even_middle + 0.7, "{quality:?}");
}

#[test]
fn a_sharp_face_is_the_base_with_more_in_it_and_colour_alone() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&support::square(4)).unwrap();
    let request = panorama(id, Vec3::new(3.0, 1.7, 6.0), day());
    let base = draw(&mut executor, &request);
    let pixels = rgb(&base);
    for face in [3u8, 5] {
        let kind = VantageKind::Face { face, size: 1024 };
        let sharp = draw(
            &mut executor,
            &VantageRequest {
                force: true,
                ..with_kind(kind, &request)
            },
        );
        assert_eq!((sharp.width, sharp.height, sharp.drawn_views), (1024, 1024, 1));
        assert!(sharp.depth.is_none());
        assert_eq!(sharp.changed, [true, false, false, false, false, false]);
        let sharp = rgb(&sharp);
        let (ox, oy) = cube::atlas_origin(u32::from(face), 512);
        let (mut small, mut same) = (Vec::new(), Vec::new());
        for y in 0..512u32 {
            for x in 0..512u32 {
                for c in 0..3 {
                    let at = |dx, dy| u32::from(sharp[(((2 * y + dy) * 1024 + 2 * x + dx) * 3 + c) as usize]);
                    small.push(((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8);
                    same.push(pixels[(((oy + y) * base.width + ox + x) * 3 + c) as usize]);
                }
            }
        }
        let found = psnr(&small, &same);
        eprintln!("face {face}: {found:.1} dB");
        assert!(found > 28.0, "face {face}: {found:.1} dB");
    }
}

/// A wall 30 m away, a floor, and a post at 1.5 m, in front of which there may be nothing.
fn post(with: bool) -> Scene {
    let mut scene = Scene {
        name: "post".to_owned(),
        materials: vec![
            unlit("wall", Vec3::new(0.1, 0.4, 0.8)),
            unlit("floor", Vec3::new(0.3, 0.5, 0.1)),
            unlit("post", Vec3::new(0.9, 0.1, 0.1)),
        ],
        ..Scene::default()
    };
    let mut add = |name: &str, primitives| {
        scene.meshes.push(Mesh {
            name: name.to_owned(),
            primitives,
        });
        let mesh = Some(scene.meshes.len() - 1);
        scene.nodes.push(node(name, Vec3::ZERO, mesh));
    };
    let corner = Vec3::new(-40.0, 0.0, -40.0);
    add("floor", vec![sheet(1, corner, Vec3::X * 80.0, Vec3::Z * 80.0, 40, 1.0)]);
    add(
        "wall",
        cuboid(0, Vec3::new(0.0, 5.0, -31.0), Vec3::new(60.0, 10.0, 2.0), 8, 1.0),
    );
    if with {
        add(
            "post",
            cuboid(2, Vec3::new(0.0, 1.5, -1.6), Vec3::new(0.2, 3.0, 0.2), 4, 1.0),
        );
    }
    scene
}

fn eye_before_the_post() -> Vec3 {
    Vec3::new(0.0, 1.6, 0.0)
}

#[test]
fn behind_a_post_lie_its_wall_and_the_floor_at_its_foot() {
    let Some(mut executor) = executor() else { return };
    let [with, without] = [true, false].map(|w| executor.add_scene(&post(w)).unwrap());
    let base = panorama(with, eye_before_the_post(), dark());
    let seen = draw(&mut executor, &base);
    let found = behind::choose(seen.depth.as_ref().unwrap(), 512, base.near).unwrap();
    eprintln!("resolved {:.4}, drawn {:.4}", found.resolved, found.drawn);
    assert!((0.002..0.05).contains(&found.resolved), "{}", found.resolved);
    assert!((found.resolved..0.1).contains(&found.drawn), "{}", found.drawn);

    let only = VantageRequest {
        only: Some(found.mask.clone()),
        ..base.clone()
    };
    let hidden = draw(&mut executor, &only);
    let truth = draw(
        &mut executor,
        &VantageRequest {
            scene: without,
            ..base.clone()
        },
    );
    check_masked(&hidden, &truth, &found.mask);
    // All of the post is gone, its foot at 47° below the horizon included.
    let depth = hidden.depth.as_ref().unwrap();
    let post = |f: &Frame| {
        f.depth
            .as_ref()
            .unwrap()
            .iter()
            .filter(|d| **d > 65535 / 10 && **d < ABSENT)
            .count()
    };
    let near_floor = post(&truth);
    assert!(post(&seen) > near_floor + 1000);
    let left = depth.iter().zip(truth.depth.as_ref().unwrap());
    let left = left
        .filter(|(a, b)| **a != ABSENT && a.abs_diff(**b) > 1 + **b / 50)
        .count();
    assert!(
        left < 650,
        "{left} texels of about 33 thousand are not what lies behind"
    );
}

/// Present in the mask's tiles alone; there, what a scene without the thing before it looks like.
fn check_masked(hidden: &Frame, truth: &Frame, mask: &behind::TileMask) {
    let (a, b) = (rgb(hidden), rgb(truth));
    let (mut off, mut compared) = (0, 0);
    for face in 0..6u32 {
        let tiles = mask.tiles(face as usize).unwrap();
        let (ox, oy) = cube::atlas_origin(face, 512);
        for y in 0..512u32 {
            for x in 0..512u32 {
                let depth = hidden.depth.as_ref().unwrap()[(face * 512 * 512 + y * 512 + x) as usize];
                let at = (((oy + y) * hidden.width + ox + x) * 3) as usize;
                let inside = tiles.contains(glam::UVec2::new(x, y));
                assert_eq!(inside, depth != ABSENT, "face {face}, {x} {y}");
                if inside {
                    compared += 1;
                    off += u32::from((0..3).any(|c| a[at + c].abs_diff(b[at + c]) > 12));
                } else {
                    assert!(a[at..at + 3].iter().all(|c| c.abs_diff(128) < 3), "grey");
                }
            }
        }
    }
    eprintln!("{off} of {compared} colours are off");
    // At the very foot, where post and floor are less than 5 % apart, the post stays.
    assert!(off * 40 < compared, "{off} of {compared}");
}

#[test]
fn where_nothing_is_near_nothing_is_drawn_behind() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&post(false)).unwrap();
    let base = panorama(id, eye_before_the_post(), dark());
    let seen = draw(&mut executor, &base);
    let found = behind::choose(seen.depth.as_ref().unwrap(), 512, base.near);
    assert_eq!(found, None);
    assert_eq!(behind::choose(&[1; 7], 512, base.near), None, "no panorama");
}

#[test]
fn local_nodes_are_left_to_headsets_but_for_their_shadows() {
    let Some(mut executor) = executor() else { return };
    let scene = |local: bool, there: bool| {
        let mut scene = Scene {
            name: "cabin".to_owned(),
            materials: vec![material("floor", Vec3::splat(0.5)), unlit("cabin", Vec3::X)],
            ..Scene::default()
        };
        let corner = Vec3::new(-20.0, 0.0, -20.0);
        let floor = vec![sheet(0, corner, Vec3::X * 40.0, Vec3::Z * 40.0, 8, 1.0)];
        let cabin = cuboid(1, Vec3::new(0.0, 3.0, -6.0), Vec3::splat(1.5), 1, 1.0);
        for (name, primitives) in [("floor", floor), ("cabin", cabin)] {
            scene.meshes.push(Mesh {
                name: name.to_owned(),
                primitives,
            });
        }
        scene.nodes = vec![node("floor", Vec3::ZERO, Some(0)), node("cabin", Vec3::ZERO, None)];
        if there {
            // What hangs from a local node is local too.
            let mut inner = node("cabin's body", Vec3::ZERO, Some(1));
            inner.parent = Some(1);
            scene.nodes.push(inner);
        }
        if local {
            scene.local = vec![1];
        }
        scene
    };
    let [local, drawn, empty] =
        [(true, true), (false, true), (false, false)].map(|(l, t)| executor.add_scene(&scene(l, t)).unwrap());
    let eye = Vec3::new(0.0, 1.6, 0.0);
    let reds = |frame: &Frame| {
        let pixels = rgb_from_nv12(&frame.nv12, frame.width, frame.height).unwrap();
        pixels.chunks(3).filter(|p| p[0] > 200 && p[1] < 60).count()
    };
    let eyes = VantageKind::stereo(Quat::IDENTITY, 0.03);
    for kind in [VantageKind::Panorama, VantageKind::Face { face: 5, size: 256 }, eyes] {
        let [a, b, c] = [local, drawn, empty].map(|s| draw(&mut executor, &with_kind(kind, &panorama(s, eye, day()))));
        assert_eq!((reds(&a), reds(&c)), (0, 0), "{kind:?}");
        assert!(reds(&b) > 200, "{kind:?}");
        // Its shadow is there: other than without it, and the same as with it where the cabin is not.
        let (a, c) = (rgb(&a), rgb(&c));
        let darker = a
            .chunks(3)
            .zip(c.chunks(3))
            .filter(|(a, c)| i32::from(a[1]) + 20 < i32::from(c[1]))
            .count();
        assert!(darker > 100, "{kind:?}: {darker}");
    }
    let flat = |s| support::flat(s, eye, Vec3::new(0.0, 2.0, -6.0), 128, 96, day());
    let [a, b] = [local, drawn].map(|s| reds(&draw(&mut executor, &flat(s))));
    assert!(a > 200 && a == b, "{a}, {b}");
}
