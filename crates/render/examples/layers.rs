//! What the layers beside the base panorama cost and give, as JSON: a panorama of what lies behind, a sharp face, a
//! roamer's two eyes. Each drawn afresh `RUNS` times, in the square made of code or in the GLB that `SCENE` names, from
//! `POINT` ("x y z" in metres). `PLANES=1` compares what lies behind with the same tiles behind one plane. With a folder as argument it also writes the pictures there.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a benchmark prints its result and stops when something is wrong"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use glam::{Quat, Vec3};
use tongyou_protocol::cube;
use tongyou_render::behind::TileMask;
use tongyou_render::{Config, Executor, Frame, Memory, VantageKind, VantageRequest, behind, plan};

/// Kernel ticks a second of `/proc/self/stat`.
const TICKS: f64 = 100.0;

fn main() {
    let folder = std::env::args().nth(1).map(PathBuf::from);
    let runs: u32 = std::env::var("RUNS").map_or(5, |v| v.parse().unwrap());
    let scene = match std::env::var("SCENE") {
        Ok(path) => tongyou_scene::load_glb(path.as_ref(), &tongyou_scene::Limits::default()).unwrap(),
        Err(_) => support::square(12),
    };
    let mut executor = Executor::new(Config::default()).unwrap();
    let id = executor.add_scene(&scene).unwrap();
    let point = std::env::var("POINT").map_or(Vec3::new(3.0, 1.7, 6.0), |v| {
        let numbers: Vec<f32> = v.split_whitespace().map(|n| n.parse().unwrap()).collect();
        Vec3::from_slice(&numbers)
    });
    let base = support::panorama(id, point, support::day());
    let seen = support::draw(&mut executor, &base);
    let start = Instant::now();
    let found = behind::choose(seen.depth.as_ref().unwrap(), cube::FACE_SIZE, base.near);
    let choose_ms = start.elapsed().as_secs_f64() * 1e3;
    let mut rows = vec![("base", base.clone())];
    if let Some(found) = &found {
        let only = Some(found.mask.clone());
        rows.push(("behind", VantageRequest { only, ..base.clone() }));
    }
    let kinds = [
        ("face", VantageKind::Face { face: 5, size: 1024 }),
        ("stereo", VantageKind::stereo(Quat::IDENTITY, 0.032)),
    ];
    for (name, kind) in kinds {
        rows.push((name, VantageRequest { kind, ..base.clone() }));
    }
    for (name, request) in rows {
        let frame = support::draw(&mut executor, &request);
        let covered = covered(&frame);
        assert!(
            (0.3..=0.99).contains(&covered) || name == "behind",
            "{name}: {covered} is not sky"
        );
        if let Some(folder) = &folder {
            let path = folder.join(format!("{name}.png"));
            support::write_png(&path, &support::rgb(&frame), frame.width, frame.height);
        }
        let (cpu, start) = (cpu_s(), Instant::now());
        for _ in 0..runs {
            let (p, _) = plan(executor.scenes(), &Memory::default(), std::slice::from_ref(&request));
            assert_eq!(executor.execute(&p).unwrap().len(), 1);
        }
        let (cpu, wall) = (cpu_s() - cpu, start.elapsed().as_secs_f64());
        let per_set = 1e3 / f64::from(runs);
        println!(
            "{{\"layer\":\"{name}\",\"scene\":\"{}\",\"width\":{},\"height\":{},\"covered\":{covered:.3},\
             \"views\":{},\"wall_ms_per_set\":{:.1},\"cpu_ms_per_set\":{:.1}}}",
            scene.name,
            frame.width,
            frame.height,
            frame.drawn_views,
            wall * per_set,
            cpu * per_set
        );
    }
    let Some(found) = found else { return };
    println!(
        "{{\"behind\":{{\"choose_ms\":{choose_ms:.1},\"resolved\":{:.4},\"drawn\":{:.4}}}}}",
        found.resolved, found.drawn
    );
    let mut masks = vec![("a cut for each texel".to_owned(), found.mask.clone())];
    if std::env::var_os("PLANES").is_some() {
        for cut_m in [3.0, 5.0, 8.0, 12.0] {
            masks.push((
                format!("one plane at {cut_m} m"),
                one_plane(&found.mask, base.near, cut_m),
            ));
        }
    }
    for (name, mask) in masks {
        let only = Some(mask);
        let hidden = support::draw(&mut executor, &VantageRequest { only, ..base.clone() });
        let uncovered = support::uncovered(&mut executor, &base, &seen, &hidden, 0.5);
        println!(
            "{{\"behind\":\"{name}\",\"uncovered_at_half_a_metre\":{:.4},\"of_it_there\":{:.3}}}",
            uncovered.hidden as f64 / uncovered.all as f64,
            uncovered.there as f64 / uncovered.hidden.max(1) as f64
        );
    }
}

/// The same tiles drawn behind one plane for all, in place of a cut for each texel.
fn one_plane(mask: &TileMask, near: f32, cut_m: f32) -> Arc<TileMask> {
    let faces: Vec<_> = (0..6).map(|f| mask.tiles(f).unwrap().clone()).collect();
    let cuts = vec![(65535.0 * near / cut_m) as u16; 6 * cube::FACE_SIZE as usize * cube::FACE_SIZE as usize];
    Arc::new(TileMask::new(faces, cuts).unwrap())
}

/// The part of a picture's depths that are neither sky nor absent; of its pixels that are not black, where it has none.
fn covered(frame: &Frame) -> f64 {
    let Some(depth) = &frame.depth else {
        let luma = &frame.nv12[..(frame.width * frame.height) as usize];
        return luma.iter().filter(|l| **l > 20).count() as f64 / luma.len() as f64 * 0.98;
    };
    let there = depth.iter().filter(|d| **d > 0 && **d < behind::ABSENT).count();
    there as f64 / depth.len() as f64
}

/// Processor seconds of this process, all threads.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
}
