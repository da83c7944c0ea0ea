//! A small still square in place of a city, for tests that measure time and not pictures: a software renderer that takes
//! every core would measure itself.

use glam::{Quat, Vec3};
use tempfile::TempDir;
use tongyou_scene::{Mesh, Node, Primitive, Scene, write_glb};

use crate::root;

/// Folders `tours` and `scenes` with the tour of 解放碑 led through an empty square with pillars.
#[must_use]
pub fn small_world() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["tours", "scenes"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let tour = std::fs::read_to_string(root().join("assets/tours/jiefangbei.toml")).unwrap();
    let tour = tour.replace("scene = \"jiefangbei\"", "scene = \"square\"");
    assert!(tour.contains("scene = \"square\""));
    std::fs::write(folder.path().join("tours/jiefangbei.toml"), tour).unwrap();
    std::fs::write(folder.path().join("scenes/square.glb"), write_glb(&square()).unwrap()).unwrap();
    folder
}

fn square() -> Scene {
    let mut stones = Primitive::default();
    cuboid(&mut stones, Vec3::new(0.0, -0.5, 0.0), Vec3::new(80.0, 0.5, 80.0));
    for i in 0..12_u8 {
        let (sin, cos) = (f32::from(i) * std::f32::consts::TAU / 12.0).sin_cos();
        let middle = Vec3::new(sin * 45.0, 6.0, cos * 45.0);
        cuboid(&mut stones, middle, Vec3::new(2.0, 6.0, 2.0));
    }
    Scene {
        name: "square".to_owned(),
        nodes: vec![Node {
            name: "stones".to_owned(),
            parent: None,
            translation: Vec3::ZERO,
            rotation: Quat::IDENTITY,
            scale: Vec3::ONE,
            mesh: Some(0),
            light: None,
        }],
        meshes: vec![Mesh {
            name: "stones".to_owned(),
            primitives: vec![stones],
        }],
        ..Scene::default()
    }
}

fn cuboid(to: &mut Primitive, middle: Vec3, half: Vec3) {
    for axis in [Vec3::X, Vec3::Y, Vec3::Z] {
        for side in [1.0, -1.0] {
            let normal = axis * side;
            let u = Vec3::new(axis.z, axis.x, axis.y);
            let v = normal.cross(u);
            let first = u32::try_from(to.positions.len()).unwrap();
            for corner in [-u - v, u - v, u + v, v - u] {
                to.positions.push(middle + (normal + corner) * half);
                to.normals.push(normal);
            }
            to.indices.extend([0, 1, 2, 0, 2, 3].map(|i| first + i));
        }
    }
}
