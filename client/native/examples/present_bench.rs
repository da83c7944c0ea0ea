//! How long presenting takes off-screen: prints JSON. The room is that of the tests; holes would fail it.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    reason = "a benchmark prints, and fails by panicking; the support is shared with the tests"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use glam::{Quat, Vec3};
use support::{NEAR, POINT, layer};
use tongyou_client::present::{Adapter, Eye, FaceMesh, Offscreen};
use tongyou_protocol::cube::FACE_SIZE;

fn main() {
    let mut offscreen = Offscreen::new(Adapter::Best).unwrap();
    let (tag, nv12, depth) = layer();
    let texels = depth.size() * depth.size();
    let mesh_ms = median(12, |i| {
        let samples = &depth.samples()[i % 6 * texels..(i % 6 + 1) * texels];
        assert!(!FaceMesh::new(samples, depth.size(), NEAR).surface.is_empty());
    });
    offscreen.show(tag, FACE_SIZE, &nv12, &depth).unwrap();
    // Depth stays: only the picture is uploaded.
    let upload_ms = median(10, |_| {
        offscreen.show(tag, FACE_SIZE, &nv12, &depth).unwrap();
        offscreen.gpu().wait("uploading").unwrap();
    });
    let mut frame_ms = |width: u32, height: u32| {
        median(20, |i| {
            let turn = f32::from(u8::try_from(i).unwrap()) * 0.3;
            let eye = Eye {
                position: POINT + Vec3::new(0.1, 0.0, 0.1),
                rotation: Quat::from_rotation_y(turn),
                fov_y: 70.0_f32.to_radians(),
                aspect: 16.0 / 9.0,
            };
            assert_eq!(offscreen.look(eye, width, height).unwrap().holes(), 0);
        })
    };
    let (small, large) = (frame_ms(640, 360), frame_ms(1280, 720));
    println!(
        "{{\"adapter\":{:?},\"mesh_ms_per_face\":{mesh_ms:.2},\"upload_ms\":{upload_ms:.2},\
         \"frame_and_readback_ms\":{{\"640x360\":{small:.2},\"1280x720\":{large:.2}}}}}",
        offscreen.gpu().name()
    );
}

/// Milliseconds of the middle one of so many runs.
fn median(runs: usize, mut run: impl FnMut(usize)) -> f64 {
    let mut all: Vec<f64> = (0..runs)
        .map(|i| {
            let start = Instant::now();
            run(i);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[runs / 2]
}
