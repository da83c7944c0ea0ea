//! The scene against its own promises and against its tour.

use std::path::Path;

use glam::{Quat, Vec3};
use tongyou_scene::{Limits, Scene, Tour, read_glb, seats, write_glb};

use super::*;
use crate::Size;

fn tour() -> Tour {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/tours/jiefangbei.toml");
    Tour::load(&path).unwrap()
}

#[test]
fn the_same_program_writes_the_same_loadable_bytes() {
    let bytes = write_glb(&scene().unwrap()).unwrap();
    assert!(bytes == write_glb(&scene().unwrap()).unwrap(), "two builds differ");
    let loaded = read_glb(&bytes, "jiefangbei", &Limits::default()).unwrap();
    let size = Size::of(&loaded);
    assert!((100_000..=250_000).contains(&size.triangles), "{size}");
    assert!(size.texture_bytes <= 32 << 20, "{size}");
    assert!((24..=64).contains(&size.lights), "{size}");
}

/// The turn of a hand in its dial, clockwise from twelve, in 0..1.
fn hand(scene: &Scene, name: &str, at_s: f64) -> f32 {
    let index = scene.nodes.iter().position(|n| n.name == name).unwrap();
    let dial = scene
        .nodes
        .iter()
        .find(|n| name.starts_with(&format!("{}-", n.name)))
        .unwrap();
    let world = scene.world_from_nodes(at_s)[index];
    let (_, rotation, _) = world.to_scale_rotation_translation();
    let tip = dial.rotation.inverse() * rotation * Vec3::Y;
    (tip.x.atan2(tip.y) / std::f32::consts::TAU).rem_euclid(1.0)
}

#[test]
fn all_four_clocks_show_the_tours_time() {
    let scene = scene().unwrap();
    let tour = tour();
    assert_eq!(tour.clock_start.seconds, CLOCK_START_S);
    for side in ["north", "east", "south", "west"] {
        for stop in &tour.stops {
            for tour_time in [0.0, 61.0, 1800.0, 50_000.0] {
                let time = stop.scene_time_s(tour_time);
                let seconds = f64::from(CLOCK_START_S) + time;
                for (kind, round) in [("hour", 43_200.0), ("minute", 3600.0)] {
                    let shown = hand(&scene, &format!("clock-{side}-{kind}"), time);
                    let wanted = (seconds / round).rem_euclid(1.0);
                    let off = (f64::from(shown) - wanted + 0.5).rem_euclid(1.0) - 0.5;
                    assert!(
                        off.abs() < 0.002,
                        "{side} {kind} at {time} s shows {shown}, expected {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_front_looks_north_by_east() {
    let scene = scene().unwrap();
    let north = scene.nodes.iter().find(|n| n.name == "clock-north").unwrap();
    let out = north.rotation * Vec3::Z;
    let compass = out.x.atan2(-out.z).to_degrees();
    assert!((compass - AXIS_DEG).abs() < 0.1, "{compass}");
    assert!(scene.nodes.iter().any(|n| n.rotation != Quat::IDENTITY));
}

#[test]
fn the_mast_is_as_high_as_published() {
    let scene = scene().unwrap();
    let monument = scene.meshes.iter().find(|m| m.name == "monument").unwrap();
    let top = monument
        .primitives
        .iter()
        .flat_map(|p| &p.positions)
        .map(|p| p.y)
        .fold(0.0, f32::max);
    assert!((top - 27.5).abs() < 1e-3, "{top}");
}

#[test]
fn the_train_crosses_behind_the_square_and_hides_where_its_loop_ends() {
    let scene = scene().unwrap();
    let index = scene.nodes.iter().position(|n| n.name == "train").unwrap();
    let at = |t: f64| turn().inverse() * scene.world_from_nodes(t)[index].w_axis.truncate();
    assert!(at(0.0).x < -200.0 && at(39.99).x > 200.0);
    assert!(at(20.0).x.abs() < 1.0 && (70.0..90.0).contains(&at(20.0).z));
    let step = at(10.0).distance(at(11.0));
    assert!((8.0..20.0).contains(&step), "{step} m/s");
}

#[test]
fn groups_of_forty_find_room_on_every_cell() {
    for stop in &tour().stops {
        for cell in &stop.cells {
            let seats = seats(cell, stop.look_at(), 40);
            let free = seats
                .iter()
                .filter(|s| stop.ground_m(s.position.x, s.position.z).is_some())
                .count();
            assert!(
                free >= 30,
                "{}/{}: only {free} of 40 seats stand on walkable ground",
                stop.id,
                cell.id
            );
        }
    }
}

#[test]
fn normals_are_units_and_no_triangle_is_empty() {
    let scene = scene().unwrap();
    let (mut all, mut empty) = (0, 0);
    for primitive in scene.meshes.iter().flat_map(|m| &m.primitives) {
        assert!(primitive.normals.iter().all(|n| (n.length() - 1.0).abs() < 1e-3));
        for t in primitive.indices.chunks_exact(3) {
            let [a, b, c] = [0, 1, 2].map(|k| primitive.positions[t[k] as usize]);
            all += 1;
            empty += usize::from((b - a).cross(c - a).length() < 1e-9);
        }
    }
    assert!(empty * 1000 < all, "{empty} of {all} triangles have no area");
}
