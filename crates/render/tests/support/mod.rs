//! Small scenes made of code, and pictures of them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::unwrap_used,
    reason = "each user takes what it needs; colours are clamped by construction"
)]

use glam::{Quat, Vec2, Vec3};
use tongyou_protocol::{TourTime, cube};
use tongyou_render::{
    Config, Error, Executor, Frame, Memory, SceneId, VantageKey, VantageKind, VantageRequest, plan, rgb_from_nv12,
};
use tongyou_scene::{Alpha, Image, Light, LightKind, Lighting, Material, Mesh, Node, Primitive, Scene};

/// An executor, or `None` (with a word on stderr) where there is no adapter and none is required.
pub fn executor() -> Option<Executor> {
    match Executor::new(Config::default()) {
        Ok(executor) => Some(executor),
        Err(Error::NoAdapter(why)) if std::env::var_os("TONGYOU_REQUIRE_GPU").is_none_or(|v| v != "1") => {
            eprintln!("SKIPPED: {why}");
            None
        }
        Err(e) => panic!("{e}"),
    }
}

/// Draws one vantage afresh.
pub fn draw(executor: &mut Executor, request: &VantageRequest) -> Frame {
    let (plan, _) = plan(executor.scenes(), &Memory::default(), std::slice::from_ref(request));
    assert!(plan.refused.is_empty(), "{:?}", plan.refused);
    executor.execute(&plan).unwrap().remove(0)
}

pub fn panorama(scene: SceneId, point: Vec3, lighting: Lighting) -> VantageRequest {
    VantageRequest {
        key: VantageKey(1),
        scene,
        time: TourTime(0),
        lighting,
        point,
        near: 0.2,
        kind: VantageKind::Panorama,
        force: false,
        only: None,
    }
}

/// A camera that looks from `point` to `target`.
pub fn flat(scene: SceneId, point: Vec3, target: Vec3, width: u32, height: u32, lighting: Lighting) -> VantageRequest {
    let back = (point - target).normalize();
    let right = Vec3::Y.cross(back).normalize();
    let world_from_camera = Quat::from_mat3(&glam::Mat3::from_cols(right, back.cross(right), back));
    let kind = VantageKind::Flat {
        world_from_camera,
        vertical_fov_rad: 0.9,
        width,
        height,
    };
    VantageRequest {
        kind,
        ..panorama(scene, point, lighting)
    }
}

pub fn rgb(frame: &Frame) -> Vec<u8> {
    rgb_from_nv12(&frame.nv12, frame.width, frame.height).unwrap()
}

/// The colour of a pixel.
pub fn pixel(frame: &Frame, x: u32, y: u32) -> [u8; 3] {
    let at = (y * frame.width + x) as usize * 3;
    rgb(frame)[at..at + 3].try_into().unwrap()
}

pub fn write_png(path: &std::path::Path, rgb: &[u8], width: u32, height: u32) {
    let file = std::fs::File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    encoder.write_header().unwrap().write_image_data(rgb).unwrap();
}

/// Nothing shines; unlit materials alone are seen.
pub fn dark() -> Lighting {
    Lighting {
        to_sun: Vec3::Y,
        sun: Vec3::ZERO,
        sky_zenith: Vec3::ZERO,
        sky_horizon: Vec3::ZERO,
        ground: Vec3::ZERO,
        lamps: 0.0,
        emissive: 0.0,
        exposure: 1.0,
        haze_per_m: 0.0,
    }
}

pub fn day() -> Lighting {
    Lighting {
        to_sun: Vec3::new(0.45, 0.62, 0.4).normalize(),
        sun: Vec3::new(3.1, 2.85, 2.45),
        sky_zenith: Vec3::new(0.16, 0.32, 0.72),
        sky_horizon: Vec3::new(0.62, 0.74, 0.9),
        ground: Vec3::new(0.2, 0.19, 0.17),
        lamps: 0.0,
        emissive: 0.3,
        exposure: 1.0,
        haze_per_m: 0.0008,
    }
}

pub fn dusk() -> Lighting {
    Lighting {
        to_sun: Vec3::new(-0.9, 0.02, 0.35).normalize(),
        sun: Vec3::ZERO,
        sky_zenith: Vec3::new(0.035, 0.06, 0.17),
        sky_horizon: Vec3::new(0.34, 0.2, 0.16),
        ground: Vec3::new(0.03, 0.028, 0.03),
        lamps: 1.0,
        emissive: 1.0,
        exposure: 2.0,
        haze_per_m: 0.001,
    }
}

pub fn material(name: &str, base_color: Vec3) -> Material {
    Material {
        name: name.to_owned(),
        base_color: base_color.extend(1.0),
        base_color_texture: None,
        metallic: 0.0,
        roughness: 0.8,
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

pub fn unlit(name: &str, base_color: Vec3) -> Material {
    Material {
        unlit: true,
        ..material(name, base_color)
    }
}

pub fn node(name: &str, translation: Vec3, mesh: Option<usize>) -> Node {
    Node {
        name: name.to_owned(),
        parent: None,
        translation,
        rotation: Quat::IDENTITY,
        scale: Vec3::ONE,
        mesh,
        light: None,
    }
}

/// A grid of `n` × `n` quads over a parallelogram; it faces `across × down` reversed, so that `across` right and
/// `down` down is seen from the front. Texture coordinates are metres times `uv_per_m`.
pub fn sheet(material: usize, corner: Vec3, across: Vec3, down: Vec3, n: u32, uv_per_m: f32) -> Primitive {
    let mut p = Primitive {
        material: Some(material),
        ..Primitive::default()
    };
    let normal = down.cross(across).normalize();
    for j in 0..=n {
        for i in 0..=n {
            let (u, v) = (i as f32 / n as f32, j as f32 / n as f32);
            p.positions.push(corner + across * u + down * v);
            p.normals.push(normal);
            p.tex_coords
                .push(Vec2::new(u * across.length(), v * down.length()) * uv_per_m);
        }
    }
    for j in 0..n {
        for i in 0..n {
            let a = j * (n + 1) + i;
            p.indices.extend([a, a + n + 1, a + 1, a + 1, a + n + 1, a + n + 2]);
        }
    }
    p
}

/// A box of sheets, seen from outside.
pub fn cuboid(material: usize, centre: Vec3, size: Vec3, n: u32, uv_per_m: f32) -> Vec<Primitive> {
    let (x, y, z) = (Vec3::X * size.x, Vec3::Y * size.y, Vec3::Z * size.z);
    let c = centre - size * 0.5;
    [
        (c + y + z, x, -y),
        (c + x + y, -x, -y),
        (c + x + y + z, -z, -y),
        (c + y, z, -y),
        (c + y, x, z),
        (c + z, x, -z),
    ]
    .map(|(corner, across, down)| sheet(material, corner, across, down, n, uv_per_m))
    .into()
}

pub fn sphere(material: usize, centre: Vec3, radius: f32, n: u32) -> Primitive {
    let mut p = Primitive {
        material: Some(material),
        ..Primitive::default()
    };
    for j in 0..=n {
        for i in 0..=2 * n {
            let (theta, phi) = (
                j as f32 / n as f32 * std::f32::consts::PI,
                i as f32 / n as f32 * std::f32::consts::PI,
            );
            let d = Vec3::new(theta.sin() * phi.cos(), theta.cos(), theta.sin() * phi.sin());
            p.positions.push(centre + d * radius);
            p.normals.push(d);
            p.tex_coords.push(Vec2::new(phi, theta));
        }
    }
    let w = 2 * n + 1;
    for j in 0..n {
        for i in 0..2 * n {
            let a = j * w + i;
            p.indices.extend([a, a + 1, a + w, a + 1, a + w + 1, a + w]);
        }
    }
    p
}

pub fn scene_of(materials: Vec<Material>, primitives: Vec<Primitive>) -> Scene {
    Scene {
        name: "test".to_owned(),
        nodes: vec![node("root", Vec3::ZERO, Some(0))],
        meshes: vec![Mesh {
            name: "mesh".to_owned(),
            primitives,
        }],
        materials,
        ..Scene::default()
    }
}

fn hash(mut v: u32) -> f32 {
    v = v.wrapping_mul(0x9e37_79b1) ^ 0x85eb_ca6b;
    v ^= v >> 15;
    v = v.wrapping_mul(0x2c1b_3c6d);
    v ^= v >> 12;
    v = v.wrapping_mul(0x297a_2d39);
    (v ^ v >> 15) as f32 / u32::MAX as f32
}

fn image(name: &str, side: u32, color: impl Fn(u32, u32) -> [u8; 4]) -> Image {
    let pixels = (0..side * side).flat_map(|i| color(i % side, i / side)).collect();
    Image {
        name: name.to_owned(),
        width: side,
        height: side,
        pixels,
    }
}

/// A square with paving, towers with lit windows, a tower of marble with a golden dome, trees and lamps; `detail`
/// is the number of quads along each side of a wall (8 makes about 60 thousand triangles).
pub fn square(detail: u32) -> Scene {
    let paving = image("paving", 256, |x, y| {
        let joint = x % 64 < 2 || (y + (x / 64 % 2) * 32) % 64 < 2;
        let stone = 150.0 + 40.0 * hash(x / 64 * 31 + (y + (x / 64 % 2) * 32) / 64 * 17) + 14.0 * hash(y * 256 + x);
        let v = if joint { 85.0 } else { stone } as u8;
        [v, (f32::from(v) * 0.96) as u8, (f32::from(v) * 0.9) as u8, 255]
    });
    let paving_normal = image("paving normal", 256, |x, y| {
        let at = |p: u32| {
            if p < 2 {
                255
            } else if (2..4).contains(&p) {
                60
            } else {
                128
            }
        };
        [at(x % 64), at((y + (x / 64 % 2) * 32) % 64), 230, 255]
    });
    let is_window = |x: u32, y: u32| (8..24).contains(&(x % 32)) && (6..26).contains(&(y % 32));
    let facade = image("facade", 256, |x, y| {
        let grain = (hash(y * 256 + x) * 12.0) as u8;
        if is_window(x, y) {
            [60, 72, 84, 255]
        } else {
            [200 - grain, 190 - grain, 176 - grain, 255]
        }
    });
    let windows = image("windows", 256, |x, y| {
        let lit = hash(x / 32 * 13 + y / 32 * 101 + 7) > 0.45;
        if is_window(x, y) && lit {
            [255, 214, 150, 255]
        } else {
            [0, 0, 0, 255]
        }
    });
    let shine = image("facade shine", 256, |x, y| {
        if is_window(x, y) {
            [0, 40, 0, 255]
        } else {
            [0, 220, 0, 255]
        }
    });
    let leaves = image("leaves", 128, |x, y| {
        let (dx, dy) = (x as f32 % 16.0 - 8.0, y as f32 % 16.0 - 8.0);
        let r = 4.0 + 4.0 * hash(x / 16 * 7 + y / 16 * 113);
        let inside = dx * dx + dy * dy < r * r;
        [
            70,
            (105.0 + 60.0 * hash(x / 16 + y / 16 * 9)) as u8,
            40,
            if inside { 255 } else { 0 },
        ]
    });
    let materials = vec![
        Material {
            base_color_texture: Some(0),
            normal_texture: Some(1),
            roughness: 0.7,
            ..material("paving", Vec3::ONE)
        },
        Material {
            base_color_texture: Some(2),
            emissive: Vec3::splat(1.6),
            emissive_texture: Some(3),
            metallic_roughness_texture: Some(4),
            roughness: 1.0,
            ..material("facade", Vec3::ONE)
        },
        Material {
            roughness: 0.5,
            ..material("marble", Vec3::new(0.85, 0.82, 0.76))
        },
        Material {
            metallic: 1.0,
            roughness: 0.3,
            ..material("gold", Vec3::new(1.0, 0.76, 0.33))
        },
        Material {
            base_color_texture: Some(5),
            alpha: Alpha::Mask(0.5),
            double_sided: true,
            ..material("leaves", Vec3::ONE)
        },
        material("bark", Vec3::new(0.16, 0.1, 0.06)),
        Material {
            emissive: Vec3::new(6.0, 4.6, 3.0),
            ..material("lamp", Vec3::ONE)
        },
        Material {
            emissive: Vec3::new(4.0, 0.25, 0.2),
            ..material("sign", Vec3::new(0.6, 0.05, 0.04))
        },
    ];
    let mut scene = Scene {
        name: "square".to_owned(),
        materials,
        images: vec![paving, paving_normal, facade, windows, shine, leaves],
        lights: vec![Light {
            kind: LightKind::Point,
            color: Vec3::new(1.0, 0.78, 0.5),
            intensity: 9.0,
            range_m: Some(18.0),
        }],
        ..Scene::default()
    };
    let mut add = |name: &str, at: Vec3, primitives: Vec<Primitive>| {
        scene.meshes.push(Mesh {
            name: name.to_owned(),
            primitives,
        });
        scene.nodes.push(node(name, at, Some(scene.meshes.len() - 1)));
    };
    let corner = Vec3::new(-150.0, 0.0, -150.0);
    add(
        "ground",
        Vec3::ZERO,
        vec![sheet(0, corner, Vec3::X * 300.0, Vec3::Z * 300.0, 8 * detail, 0.5)],
    );
    for i in 0..36u32 {
        let angle = i as f32 / 36.0 * std::f32::consts::TAU;
        let radius = 46.0 + 60.0 * hash(i) * f32::from(u8::from(i % 3 == 0)) + (i % 2) as f32 * 14.0;
        let size = Vec3::new(
            11.0 + 6.0 * hash(i + 100),
            18.0 + 62.0 * hash(i + 200),
            11.0 + 6.0 * hash(i + 300),
        );
        let at = Vec3::new(angle.cos() * radius, size.y * 0.5, angle.sin() * radius);
        add(&format!("tower {i}"), at, cuboid(1, Vec3::ZERO, size, detail, 0.04));
        if i % 5 == 0 {
            let sign = Vec3::new(-angle.cos(), 0.0, -angle.sin()) * 9.5 + Vec3::Y * (9.0 - size.y * 0.5);
            add(
                &format!("sign {i}"),
                at,
                cuboid(7, sign, Vec3::new(2.5, 5.0, 2.5), 1, 1.0),
            );
        }
    }
    let mut tower = cuboid(2, Vec3::new(0.0, 12.0, 0.0), Vec3::new(6.0, 24.0, 6.0), detail, 1.0);
    tower.extend(cuboid(
        2,
        Vec3::new(0.0, 0.6, 0.0),
        Vec3::new(10.0, 1.2, 10.0),
        detail,
        1.0,
    ));
    tower.extend(cuboid(
        2,
        Vec3::new(0.0, 24.3, 0.0),
        Vec3::new(7.0, 0.6, 7.0),
        detail,
        1.0,
    ));
    tower.push(sphere(3, Vec3::new(0.0, 26.0, 0.0), 2.6, 4 * detail));
    add("monument", Vec3::new(0.0, 0.0, -22.0), tower);
    for i in 0..16u32 {
        let (x, z) = ((i % 4) as f32 * 14.0 - 21.0, (i / 4) as f32 * 14.0 - 21.0);
        if x.abs() + z.abs() < 20.0 {
            continue;
        }
        let mut tree = cuboid(5, Vec3::new(0.0, 1.5, 0.0), Vec3::new(0.3, 3.0, 0.3), 1, 1.0);
        let mut crown = sphere(4, Vec3::new(0.0, 4.6, 0.0), 2.2, 2 * detail);
        crown.tex_coords.iter_mut().for_each(|t| *t *= 2.0);
        tree.push(crown);
        add(&format!("tree {i}"), Vec3::new(x, 0.0, z), tree);
        let mut pole = cuboid(5, Vec3::new(0.0, 2.0, 0.0), Vec3::new(0.12, 4.0, 0.12), 1, 1.0);
        pole.push(sphere(6, Vec3::new(0.0, 4.2, 0.0), 0.25, 8));
        add(&format!("lamp {i}"), Vec3::new(x + 5.0, 0.0, z + 5.0), pole);
    }
    let lit: Vec<Vec3> = scene
        .nodes
        .iter()
        .filter(|n| n.name.starts_with("lamp"))
        .map(|n| n.translation)
        .collect();
    for at in lit {
        scene.nodes.push(Node {
            light: Some(0),
            ..node("light", at + Vec3::Y * 4.2, None)
        });
    }
    scene
}

/// Texels that a head uncovers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Uncovered {
    /// That eyes beside the rendered point see at all.
    pub all: usize,
    /// That the panorama does not have, since something stands before them.
    pub hidden: usize,
    /// Those of them that what lies behind has.
    pub there: usize,
}

/// Looks from `by` metres to each of six sides of a panorama, and asks for each texel whether the panorama has it, or
/// else its picture of what lies behind.
pub fn uncovered(executor: &mut Executor, base: &VantageRequest, seen: &Frame, behind: &Frame, by: f32) -> Uncovered {
    let side = cube::FACE_SIZE;
    let mut found = Uncovered::default();
    for away in cube::FACES.map(|f| (f.forward + f.right * 0.3).normalize() * by) {
        let moved = VantageRequest {
            point: base.point + away,
            ..base.clone()
        };
        let truth = draw(executor, &moved).depth.unwrap();
        for (i, d) in truth.iter().enumerate().filter(|(_, d)| **d > 0) {
            let i = i as u32;
            let (face, y, x) = (i / (side * side), i / side % side, i % side);
            let place = |t: u32| (t as f32 + 0.5) / side as f32 * 2.0 - 1.0;
            let z = base.near * 65535.0 / f32::from(*d);
            let from_eye = cube::FACES[face as usize].direction(place(x), place(y), cube::HALF_TANGENT) * z;
            let at = from_eye + away;
            let (other, u, v) = cube::locate(at, cube::HALF_TANGENT).unwrap();
            let expected = 65535.0 * base.near / at.dot(cube::FACES[other].forward);
            let texel = |t: f32| ((t * 0.5 + 0.5) * side as f32).clamp(1.0, side as f32 - 2.0) as usize;
            let around = |depth: &[u16], fits: &dyn Fn(f32) -> bool| {
                let rows = texel(v) - 1..=texel(v) + 1;
                let mut all = rows.flat_map(|y| (texel(u) - 1..=texel(u) + 1).map(move |x| (x, y)));
                all.any(|(x, y)| fits(f32::from(depth[(other * side as usize + y) * side as usize + x])))
            };
            found.all += 1;
            let is_it = |d: f32| (d - expected).abs() <= 2.0 + expected * 0.05;
            if !around(seen.depth.as_ref().unwrap(), &|d| d <= expected * 1.05 + 2.0) {
                found.hidden += 1;
                found.there += usize::from(around(behind.depth.as_ref().unwrap(), &is_it));
            }
        }
    }
    found
}
