//! Scenes and tours of the benches, built in code: a square with towers around it; in one of them crates turn in
//! three faces of the cube for ever, the other stands still.

use std::f32::consts::TAU;
use std::path::Path;

use anyhow::Result;
use glam::{Quat, Vec2, Vec3, Vec4};
use tongyou_scene::{Alpha, Animation, Channel, Image, Keys, Material, Mesh, Node, Primitive, Scene, write_glb};

/// A tour with one cell, in which crates turn in three faces.
pub const MOVING: &str = "moving";
/// A tour with eight cells, in which nothing moves.
pub const STILL: &str = "still";
/// Cells of [`STILL`].
pub const CELLS: u32 = 8;

/// Pixels along a side of the textures.
const TEXTURE: u32 = 128;
/// A full turn of a crate.
const TURN_S: f32 = 6.0;

/// Writes both tours and their scenes into one folder.
///
/// # Errors
/// When the folder can not be written.
pub fn write(folder: &Path) -> Result<()> {
    for (name, moves) in [(MOVING, true), (STILL, false)] {
        std::fs::write(folder.join(format!("{name}.glb")), write_glb(&scene(name, moves))?)?;
    }
    std::fs::write(folder.join("moving.toml"), tour(MOVING, &[[0.0, 0.0]]))?;
    let cells: Vec<[f32; 2]> = (0..CELLS)
        .map(|i| [-24.0 + 16.0 * (i % 4) as f32, if i < 4 { -12.0 } else { 12.0 }])
        .collect();
    std::fs::write(folder.join("still.toml"), tour(STILL, &cells))?;
    Ok(())
}

fn tour(name: &str, cells: &[[f32; 2]]) -> String {
    let mut text = format!(
        r##"id = "{name}"
title = {{ zh = "测量", en = "Bench" }}
summary = {{ zh = "测量", en = "Bench" }}
credit = {{ zh = "本项目", en = "This project" }}
clock_start = "12:00:00"
anchor = {{ lat = 29.56, lon = 106.57, height_m = 249.0 }}

[[stops]]
id = "square"
title = {{ zh = "测量", en = "Bench" }}
text = {{ zh = "测量", en = "Bench" }}
scene = "{name}"
look_at = [0.0, 4.0, -40.0]
# An overcast day: in the sun the crates' shadows would have half of the picture drawn anew for each set.
lighting = {{ preset = "day", sun = {{ color = "#ffffff", strength = 0.0 }}, exposure = 2.5 }}

[[stops.walkable]]
ground_m = 0.0
outline = [[-55.0, -45.0], [55.0, -45.0], [55.0, 45.0], [-55.0, 45.0]]
"##
    );
    for (i, [x, z]) in cells.iter().enumerate() {
        text += &format!(
            "\n[[stops.cells]]\nid = \"c{i}\"\neye = [{x:.1}, 1.6, {z:.1}]\nradius_m = 4.0\nformation = {{ rows = 8, spacing_m = 1.1 }}\n"
        );
    }
    text
}

fn scene(name: &str, moves: bool) -> Scene {
    let mut scene = Scene {
        name: name.to_owned(),
        images: (0..3).map(picture).collect(),
        materials: (0..3).map(material).collect(),
        meshes: (0..3).map(cuboid).collect(),
        ..Scene::default()
    };
    let mut place = |at: Vec3, size: Vec3, turn: f32, mesh: usize| {
        scene.nodes.push(Node {
            name: format!("node {}", scene.nodes.len()),
            parent: None,
            translation: at,
            rotation: Quat::from_rotation_y(turn),
            scale: size,
            mesh: Some(mesh),
            light: None,
        });
        scene.nodes.len() - 1
    };
    place(Vec3::new(0.0, -0.5, 0.0), Vec3::new(140.0, 1.0, 140.0), 0.0, 0);
    for i in 0..24_u8 {
        let angle = f32::from(i) / 24.0 * TAU;
        let height = 8.0 + f32::from(i * 7 % 5) * 5.0;
        let at = Vec3::new(62.0 * angle.sin(), height / 2.0, 62.0 * angle.cos());
        place(at, Vec3::new(9.0, height, 9.0), angle, 1);
    }
    let crates = [
        Vec3::new(0.0, 1.8, -6.5),
        Vec3::new(6.5, 1.8, 0.0),
        Vec3::new(-6.5, 1.8, 0.0),
    ];
    for at in crates {
        let node = place(at, Vec3::splat(2.8), 0.0, 2);
        if moves {
            scene.animations.push(turning(node, at));
        }
    }
    scene
}

/// Turns, and swings to and fro across the face.
fn turning(node: usize, at: Vec3) -> Animation {
    let quarter = |i: u8| f32::from(i) / 4.0;
    let times_s: Vec<f32> = (0..=4).map(|i| quarter(i) * TURN_S).collect();
    let across = Vec3::new(at.z, 0.0, -at.x).normalize_or(Vec3::X);
    let swing = [0.0, 1.0, 0.0, -1.0, 0.0].map(|s| at + across * s).to_vec();
    let turn = (0..=4).map(|i| Quat::from_rotation_y(quarter(i) * TAU)).collect();
    let channel = |keys| Channel {
        node,
        times_s: times_s.clone(),
        keys,
        step: false,
    };
    Animation {
        name: format!("crate {node}"),
        duration_s: TURN_S.into(),
        channels: vec![channel(Keys::Rotation(turn)), channel(Keys::Translation(swing))],
    }
}

/// A unit cube, its texture on each side (many times over on the ground).
fn cuboid(material: u8) -> Mesh {
    let repeat = if material == 0 { 40.0 } else { 2.0 };
    let mut primitive = Primitive {
        material: Some(material.into()),
        ..Primitive::default()
    };
    for normal in [Vec3::X, Vec3::NEG_X, Vec3::Y, Vec3::NEG_Y, Vec3::Z, Vec3::NEG_Z] {
        let right = if normal.y == 0.0 {
            Vec3::Y.cross(normal)
        } else {
            Vec3::X
        };
        let up = normal.cross(right);
        let first = u32::try_from(primitive.positions.len()).unwrap_or(0);
        for (u, v) in [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)] {
            primitive.positions.push(normal * 0.5 + right * u + up * v);
            primitive.normals.push(normal);
            primitive.tex_coords.push(Vec2::new(u + 0.5, 0.5 - v) * repeat);
        }
        primitive.indices.extend([0, 1, 2, 0, 2, 3].map(|i| first + i));
    }
    Mesh {
        name: format!("cuboid {material}"),
        primitives: vec![primitive],
    }
}

fn material(texture: u8) -> Material {
    Material {
        name: format!("material {texture}"),
        base_color: Vec4::ONE,
        base_color_texture: Some(texture.into()),
        metallic: 0.0,
        roughness: 0.9,
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

/// Tiles of uneven brightness with joints between them: as much to code as plaster, brick or painted wood.
fn picture(seed: u8) -> Image {
    let tones = [[150, 148, 140], [190, 160, 130], [200, 90, 60]];
    let mut pixels = Vec::new();
    for y in 0..TEXTURE {
        for x in 0..TEXTURE {
            let joint = x % 32 < 2 || y % 16 < 2;
            let tile = hash(x / 32, y / 16, seed) % 50;
            let grain = hash(x / 2, y / 2, seed) % 24;
            let down = if joint { 80 } else { tile + grain };
            let down = u8::try_from(down).unwrap_or(u8::MAX);
            pixels.extend(tones[usize::from(seed)].map(|tone: u8| tone.saturating_sub(down)));
            pixels.push(255);
        }
    }
    Image {
        name: format!("picture {seed}"),
        width: TEXTURE,
        height: TEXTURE,
        pixels,
    }
}

fn hash(x: u32, y: u32, seed: u8) -> u32 {
    let mut z = x.wrapping_mul(0x9e37_79b9) ^ y.wrapping_mul(0x85eb_ca6b) ^ u32::from(seed).wrapping_mul(0xc2b2_ae35);
    z = (z ^ (z >> 15)).wrapping_mul(0x2c1b_3c6d);
    z ^ (z >> 13)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tongyou_scene::{Limits, Tour, load_glb};

    #[test]
    fn what_is_written_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        for (name, cells, animations) in [(MOVING, 1, 3), (STILL, 8, 0)] {
            let tour = Tour::load(&folder.path().join(format!("{name}.toml"))).unwrap();
            assert_eq!(tour.stops[0].cells.len(), cells);
            let scene = load_glb(&folder.path().join(format!("{name}.glb")), &Limits::default()).unwrap();
            assert_eq!(scene.animations.len(), animations);
        }
    }

    #[test]
    fn crates_move_between_any_two_sets() {
        let scene = scene(MOVING, true);
        for i in 0..60 {
            let at = |s: f64| scene.world_from_nodes(s);
            let (before, after) = (at(f64::from(i) * 0.1), at(f64::from(i) * 0.1 + 0.05));
            let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert_eq!(moved, 3);
        }
    }
}
