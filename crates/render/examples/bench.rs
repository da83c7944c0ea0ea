//! Draws panoramas of a square made of code (or of the GLB that `SCENE` names) and prints what a set costs, as JSON:
//! drawn afresh, and drawn where something moved in the 250 ms since the last one. `POINT` is "x y z" in metres;
//! `FRESH=0` leaves the former out.
//! With a folder as argument it also writes the pictures there. `DETAIL` and `RUNS` are the square's fineness and the
//! number of timed sets.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a benchmark prints its result and stops when something is wrong"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::time::Instant;

use glam::Vec3;
use tongyou_protocol::TourTime;
use tongyou_render::{Config, Executor, Memory, VantageRequest, plan};

/// Tour time between sets, in microseconds.
const STEP_US: i64 = 250_000;

/// Kernel ticks a second of `/proc/self/stat`.
const TICKS: f64 = 100.0;

fn main() {
    let folder = std::env::args().nth(1).map(PathBuf::from);
    let detail: u32 = std::env::var("DETAIL").map_or(12, |v| v.parse().unwrap());
    let runs: u32 = std::env::var("RUNS").map_or(5, |v| v.parse().unwrap());
    let scene = match std::env::var("SCENE") {
        Ok(path) => tongyou_scene::load_glb(path.as_ref(), &tongyou_scene::Limits::default()).unwrap(),
        Err(_) => support::square(detail),
    };
    let triangles: usize = scene
        .nodes
        .iter()
        .filter_map(|n| n.mesh)
        .flat_map(|m| &scene.meshes[m].primitives)
        .map(|p| p.indices.len() / 3)
        .sum();
    let mut executor = Executor::new(Config::default()).unwrap();
    let id = executor.add_scene(&scene).unwrap();
    let point = std::env::var("POINT").map_or(Vec3::new(3.0, 1.7, 6.0), |v| {
        let numbers: Vec<f32> = v.split_whitespace().map(|n| n.parse().unwrap()).collect();
        Vec3::from_slice(&numbers)
    });
    for (name, lighting) in [("day", support::day()), ("dusk", support::dusk())] {
        let request = VantageRequest {
            force: true,
            ..support::panorama(id, point, lighting.clone())
        };
        let mut memory = Memory::default();
        let (first_plan, next) = plan(executor.scenes(), &memory, std::slice::from_ref(&request));
        memory = next;
        let frame = executor.execute(&first_plan).unwrap().remove(0);
        let depth = frame.depth.as_ref().unwrap();
        let covered = depth.iter().filter(|d| **d > 0).count() as f64 / depth.len() as f64;
        assert!((0.3..0.99).contains(&covered), "{covered} of the picture is not sky");
        if let Some(folder) = &folder {
            support::write_png(
                &folder.join(format!("{name}.png")),
                &support::rgb(&frame),
                frame.width,
                frame.height,
            );
            let flat = support::flat(id, point, Vec3::new(0.0, 9.0, -22.0), 1024, 768, lighting);
            let flat = support::draw(&mut executor, &flat);
            support::write_png(
                &folder.join(format!("{name}_flat.png")),
                &support::rgb(&flat),
                1024,
                768,
            );
        }
        let kinds: &[bool] = if std::env::var_os("FRESH").is_some_and(|v| v == "0") {
            &[false]
        } else {
            &[true, false]
        };
        for &fresh in kinds {
            let (cpu, start) = (cpu_s(), Instant::now());
            let (mut views, mut pixels) = (0, 0.0);
            for run in 1..=runs {
                let from = if fresh { &Memory::default() } else { &memory };
                let request = VantageRequest {
                    time: TourTime(i64::from(run) * STEP_US),
                    ..request.clone()
                };
                let (p, next) = plan(executor.scenes(), from, &[request]);
                pixels += p.vantages[0]
                    .views
                    .iter()
                    .flat_map(|v| v.changed.areas())
                    .map(|a| f64::from(a.size.x * a.size.y))
                    .sum::<f64>();
                views += executor.execute(&p).unwrap()[0].drawn_views;
                memory = next;
            }
            println!(
                "{{\"adapter\":\"{}\",\"scene\":\"{}\",\"light\":\"{name}\",\"triangles\":{triangles},\"covered\":{covered:.3},\
                 \"fresh\":{fresh},\"views_per_set\":{:.2},\"drawn\":{:.3},\"wall_ms_per_set\":{:.1},\"cpu_ms_per_set\":{:.1}}}",
                executor.adapter(),
                scene.name,
                f64::from(u32::try_from(views).unwrap()) / f64::from(runs),
                pixels / f64::from(runs) / f64::from(frame.width * frame.height),
                start.elapsed().as_secs_f64() * 1e3 / f64::from(runs),
                (cpu_s() - cpu) * 1e3 / f64::from(runs),
            );
        }
    }
}

/// Processor seconds of this process, all threads.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
}
