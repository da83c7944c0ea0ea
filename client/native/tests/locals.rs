//! Local models off-screen: where they should be, in the picture's light, before and behind the layer, in motion; and
//! how they are fetched.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    dead_code,
    reason = "a test fails by panicking; pixels are few; the support is shared"
)]

mod support;

use std::f32::consts::FRAC_PI_2;
use std::sync::Arc;

use glam::{Mat3, Quat, Vec2, Vec3, Vec4};
use support::{POINT, difference, layer, offscreen, save, see};
use tongyou_client::present::{Eye, Image, Locals, Offscreen};
use tongyou_protocol::cube::FACE_SIZE;
use tongyou_protocol::frame::Tag;
use tongyou_scene::{Alpha, Animation, Channel, Keys, Material, Mesh, Node, Primitive, Scene};

const SIZE: u32 = 400;
const HALF: Vec3 = Vec3::new(0.4, 0.6, 0.3);
const GRAY: f32 = 0.35;

fn material() -> Material {
    Material {
        name: "gray".to_owned(),
        base_color: Vec3::splat(GRAY).extend(1.0),
        base_color_texture: None,
        metallic: 0.0,
        roughness: 1.0,
        metallic_roughness_texture: None,
        normal_texture: None,
        normal_scale: 1.0,
        emissive: Vec3::ZERO,
        emissive_texture: None,
        alpha: Alpha::Opaque,
        double_sided: false,
        unlit: false,
    }
}

/// One side of a box, seen from outside.
fn side(primitive: &mut Primitive, out: Vec3, half: Vec3) {
    let up = if out.y == 0.0 { Vec3::Y } else { Vec3::Z };
    let right = up.cross(out);
    let first = primitive.positions.len() as u32;
    for (x, y) in [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)] {
        primitive.positions.push((out + right * x + up * y) * half);
        primitive.normals.push(out);
        primitive.tex_coords.push(Vec2::new(0.5 + 0.5 * x, 0.5 - 0.5 * y));
    }
    primitive.indices.extend([0, 1, 2, 0, 2, 3].map(|i| first + i));
}

/// A box about its node, which stands there.
fn block(at: Vec3, turn: f32) -> Scene {
    let mut primitive = Primitive {
        material: Some(0),
        ..Primitive::default()
    };
    for out in [Vec3::X, Vec3::Y, Vec3::Z] {
        side(&mut primitive, out, HALF);
        side(&mut primitive, -out, HALF);
    }
    // Scaled and placed by its node, so that both matter.
    let scale = Vec3::new(2.0, 0.5, 1.0);
    primitive.positions.iter_mut().for_each(|p| *p /= scale);
    Scene {
        nodes: vec![Node {
            name: "block".to_owned(),
            parent: None,
            translation: POINT + at,
            rotation: Quat::from_rotation_y(turn),
            scale,
            mesh: Some(0),
            light: None,
        }],
        meshes: vec![Mesh {
            name: "block".to_owned(),
            primitives: vec![primitive],
        }],
        materials: vec![material()],
        ..Scene::default()
    }
}

/// More light from above and from the right.
fn lit() -> Tag {
    let mut tag = support::tag();
    tag.exposure = 1.3;
    let band = [0.9, 0.3, 0.1, 0.25, 0.02, -0.03, 0.04, 0.01, -0.02];
    tag.ambient = band.map(|c| [c; 3]);
    tag
}

/// What the server's tone mapping makes of a gray; rows and columns of its matrices sum to one but for rounding, so
/// that a gray stays one.
fn tone(linear: f32) -> f32 {
    let x = ((linear.max(1e-7).log2() + 12.473_93) / 16.5).clamp(0.0, 1.0);
    let (x2, x4) = (x * x, x * x * x * x);
    let curve = 15.5 * x4 * x2 - 40.14 * x4 * x + 31.96 * x4 - 6.868 * x2 * x + 0.4298 * x2 + 0.1191 * x - 0.002_32;
    curve.max(0.0).powf(1.18).clamp(0.0, 1.0)
}

/// The display value of the box's surface, by the formulas of `docs/presenting.md` and the page.
fn shade(tag: &Tag, n: Vec3) -> u8 {
    let c = tag.ambient.map(|rgb| rgb[0]);
    let mut light = c[0] * 0.282_095 + 2.0 / 3.0 * 0.488_603 * (c[1] * n.y + c[2] * n.z + c[3] * n.x);
    light += 0.25
        * (1.092_548 * (c[4] * n.x * n.y + c[5] * n.y * n.z + c[7] * n.x * n.z)
            + 0.315_392 * c[6] * (3.0 * n.z * n.z - 1.0)
            + 0.546_274 * c[8] * (n.x * n.x - n.y * n.y));
    let key = Vec3::new(3.0 * c[3], 3.0 * c[1].abs() + 0.75 * c[0], 3.0 * c[2]).normalize();
    light = light.max(0.0) + c[0] * 0.282_095 * 0.6 * n.dot(key).max(0.0);
    (tone(GRAY * light * tag.exposure) * 255.0).round() as u8
}

/// Where a ray meets a box: how far, and the normal there.
fn meet(from: Vec3, direction: Vec3, at: Vec3, turn: f32) -> Option<(f32, Vec3)> {
    let world = Mat3::from_rotation_y(turn);
    let (o, d) = (world.transpose() * (from - at), world.transpose() * direction);
    let (a, b) = ((-HALF - o) / d, (HALF - o) / d);
    let (near, far) = (a.min(b), a.max(b));
    let t = near.max_element();
    if t > far.min_element() || t < 0.0 {
        return None;
    }
    let axis = (0..3).find(|i| near[*i] == t)?;
    let mut n = Vec3::ZERO;
    n[axis] = -d[axis].signum();
    Some((t, world * n))
}

/// What the eye should see, and where that is the box.
fn truth(tag: &Tag, eye: Eye, at: Vec3, turn: f32) -> (Vec<u8>, Vec<bool>) {
    (0..SIZE * SIZE)
        .map(|i| {
            let place = |c: u32| (c as f32 + 0.5) / SIZE as f32 * 2.0 - 1.0;
            let direction = eye.ray(place(i % SIZE), -place(i / SIZE));
            let from = eye.position - POINT;
            let (gray, wall) = see(from, direction);
            let to_wall = (wall - from).dot(direction) / direction.length_squared();
            match meet(from, direction, at, turn).filter(|(t, _)| *t < to_wall) {
                Some((_, n)) => (shade(tag, n), true),
                None => (gray, false),
            }
        })
        .unzip()
}

fn eye(offset: Vec3) -> Eye {
    Eye {
        position: POINT + offset,
        rotation: Quat::IDENTITY,
        fov_y: FRAC_PI_2,
        aspect: 1.0,
    }
}

fn room() -> Option<Offscreen> {
    let mut offscreen = offscreen()?;
    let (_, nv12, depth) = layer();
    offscreen.show(lit(), FACE_SIZE, &nv12, &depth).unwrap();
    Some(offscreen)
}

fn look(offscreen: &mut Offscreen, name: &str, scene: &Scene, at_s: f64, offset: Vec3) -> Image {
    let locals = Locals::new(offscreen.gpu(), scene).unwrap();
    offscreen.stand(vec![Arc::new(locals)], at_s);
    let image = offscreen.look(eye(offset), SIZE, SIZE).unwrap();
    save(&format!("locals-{name}"), &image);
    assert_eq!(image.holes(), 0, "{name}");
    image
}

#[test]
fn a_model_stands_where_a_direct_rendering_has_it_before_the_wall_and_behind_the_post() {
    let Some(mut offscreen) = room() else { return };
    let tag = lit();
    // Alone before the wall; and with the post, which stands 2 m ahead, before its middle.
    for (name, at, turn) in [
        ("alone", Vec3::new(-0.9, -0.3, -3.0), 0.5),
        ("post", Vec3::new(0.75, -0.2, -3.0), -0.3),
    ] {
        for offset in [Vec3::ZERO, Vec3::new(0.12, 0.05, -0.1)] {
            let image = look(
                &mut offscreen,
                &format!("{name}-{:.2}", offset.length()),
                &block(at, turn),
                0.0,
                offset,
            );
            let (truth, is_box) = truth(&tag, eye(offset), at, turn);
            let (mean, p95) = difference(&image, &truth);
            let boxed: Vec<u8> = (0..truth.len())
                .filter(|i| is_box[*i])
                .map(|i| image.rgba[4 * i + 1].abs_diff(truth[i]))
                .collect();
            let off = boxed.iter().filter(|d| **d > 2).count();
            eprintln!(
                "{name} {offset}: mean {mean:.3}, p95 {p95}, box {} px, off {off}",
                boxed.len()
            );
            assert!(boxed.len() > 3_000, "{name} {offset}: {}", boxed.len());
            assert!(off * 50 < boxed.len(), "{name} {offset}: {off} of {}", boxed.len());
            assert!(mean < 1.5 && p95 <= 5, "{name} {offset}: mean {mean}, p95 {p95}");
        }
    }
}

#[test]
fn what_is_unlit_shows_its_own_colour() {
    let Some(mut offscreen) = room() else { return };
    let mut scene = block(Vec3::new(0.0, 0.0, -1.5), 0.0);
    scene.materials[0].unlit = true;
    let image = look(&mut offscreen, "unlit", &scene, 0.0, Vec3::ZERO);
    // 0.35 of the light, encoded as sRGB.
    let [r, g, b, _] = image.pixel(SIZE / 2, SIZE / 2);
    assert!([r, g, b].iter().all(|c| c.abs_diff(160) <= 1), "{r} {g} {b}");
}

#[test]
fn behind_the_wall_nothing_is_seen_of_it() {
    let Some(mut offscreen) = room() else { return };
    let without = offscreen.look(eye(Vec3::ZERO), SIZE, SIZE).unwrap();
    let behind = look(
        &mut offscreen,
        "behind",
        &block(Vec3::new(0.0, 0.0, -12.0), 0.2),
        0.0,
        Vec3::ZERO,
    );
    assert!(behind == without);
}

#[test]
fn animations_go_by_tour_time() {
    let Some(mut offscreen) = room() else { return };
    let mut moving = block(Vec3::new(-0.9, -0.3, -3.0), 0.0);
    let from = moving.nodes[0].translation;
    moving.animations.push(Animation {
        name: "ride".to_owned(),
        duration_s: 2.0,
        channels: vec![Channel {
            node: 0,
            times_s: vec![0.0, 2.0],
            keys: Keys::Translation(vec![from, from + Vec3::X]),
            step: false,
        }],
    });
    // It repeats: 4.5 s is 0.5 s, a quarter of the way.
    let there = look(&mut offscreen, "moving", &moving, 4.5, Vec3::ZERO);
    let mut resting = block(Vec3::ZERO, 0.0);
    resting.nodes[0].translation = from + Vec3::X * 0.25;
    let rest = look(&mut offscreen, "resting", &resting, 0.0, Vec3::ZERO);
    let before = look(&mut offscreen, "before", &moving, 0.0, Vec3::ZERO);
    assert!(there == rest);
    assert!(before != rest);
}

#[test]
fn masks_leave_out_and_pictures_colour_and_backs_are_not_seen() {
    let Some(mut offscreen) = room() else { return };
    let without = offscreen.look(eye(Vec3::ZERO), SIZE, SIZE).unwrap();
    let seen = |image: &Image| {
        let pixels = image.rgba.chunks_exact(4).zip(without.rgba.chunks_exact(4));
        pixels.filter(|(a, b)| a != b).count()
    };
    let red = |image: &Image| {
        image
            .rgba
            .chunks_exact(4)
            .filter(|p| p[0] > p[2].saturating_add(60))
            .count()
    };
    // The left half is not there, the right half is red.
    let pixels = (0..64 * 64).flat_map(|i| if i % 64 < 32 { [255, 0, 0, 0] } else { [255, 0, 0, 255] });
    let mut sign = block(Vec3::new(-0.9, 0.0, -3.0), 0.0);
    let mut front = Primitive {
        material: Some(0),
        ..Primitive::default()
    };
    side(&mut front, Vec3::Z, Vec3::new(0.5, 0.5, 0.0));
    front.positions.iter_mut().for_each(|p| p.z = 0.0);
    sign.nodes[0].scale = Vec3::ONE;
    sign.meshes[0].primitives = vec![front];
    let whole = seen(&look(&mut offscreen, "sign", &sign, 0.0, Vec3::ZERO));
    sign.images.push(tongyou_scene::Image {
        name: "half".to_owned(),
        width: 64,
        height: 64,
        pixels: pixels.collect(),
    });
    sign.materials[0].base_color = Vec4::ONE;
    sign.materials[0].base_color_texture = Some(0);
    sign.materials[0].alpha = Alpha::Mask(0.5);
    let half = look(&mut offscreen, "half", &sign, 0.0, Vec3::ZERO);
    // A metre at 3 m is 67 px.
    assert!((4_200..4_700).contains(&whole), "{whole}");
    assert!(seen(&half).abs_diff(whole / 2) < 80, "{} of {whole}", seen(&half));
    assert!(red(&half).abs_diff(whole / 2) < 80, "{} of {whole}", red(&half));
    sign.nodes[0].rotation = Quat::from_rotation_y(std::f32::consts::PI);
    assert_eq!(seen(&look(&mut offscreen, "back", &sign, 0.0, Vec3::ZERO)), 0);
    sign.materials[0].double_sided = true;
    assert!(seen(&look(&mut offscreen, "both", &sign, 0.0, Vec3::ZERO)) > 1_900);
}
