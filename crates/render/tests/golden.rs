//! Pictures that are compared with ones in the tree. `TONGYOU_GOLDEN=write` writes them anew.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::path::PathBuf;

use glam::{Quat, Vec3};
use support::{draw, executor, flat, rgb, write_png};
use tongyou_render::{VantageKind, VantageRequest};

const WIDTH: u32 = 240;
const HEIGHT: u32 = 160;

#[test]
fn the_square_by_day_and_at_dusk() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&support::square(4)).unwrap();
    let mut pictures = Vec::new();
    for (name, light) in [("day", support::day()), ("dusk", support::dusk())] {
        let request = flat(
            id,
            Vec3::new(3.0, 1.7, 12.0),
            Vec3::new(0.0, 9.0, -22.0),
            WIDTH,
            HEIGHT,
            light,
        );
        let picture = rgb(&draw(&mut executor, &request));
        compare(name, &picture);
        pictures.push(picture);
    }
    assert!(
        difference(&pictures[0], &pictures[1]).0 > 10.0,
        "day and dusk must differ"
    );
}

#[test]
fn two_eyes_foveated() {
    let Some(mut executor) = executor() else { return };
    let id = executor.add_scene(&support::square(4)).unwrap();
    let kind = VantageKind::Stereo {
        rotation: Quat::from_rotation_x(0.2),
        half_ipd: 0.032,
        half_tangent: 1.28,
        foveation: 1.5,
        size: 160,
        depth_size: 64,
    };
    let request = VantageRequest {
        kind,
        ..support::panorama(id, Vec3::new(3.0, 1.7, 12.0), support::day())
    };
    let frame = draw(&mut executor, &request);
    assert_eq!((frame.width, frame.height), (320, 160));
    compare_sized("eyes", &rgb(&frame), (320, 160));
}

fn compare(name: &str, picture: &[u8]) {
    compare_sized(name, picture, (WIDTH, HEIGHT));
}

fn compare_sized(name: &str, picture: &[u8], (width, height): (u32, u32)) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.png"));
    if std::env::var("TONGYOU_GOLDEN").is_ok_and(|v| v == "write") {
        write_png(&path, picture, width, height);
        return;
    }
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("no golden image {}: {e}", path.display()));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
    let mut golden = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut golden).unwrap();
    let (mean, worst) = difference(picture, &golden);
    if mean > 1.0 || worst > 24.0 {
        let actual = std::env::temp_dir().join(format!("tongyou-{name}.png"));
        write_png(&actual, picture, width, height);
        panic!(
            "{name} differs: mean {mean:.2}, 99th percentile {worst:.0} of 255; see {}",
            actual.display()
        );
    }
}

/// Mean and 99th percentile of the differences of all bytes.
fn difference(a: &[u8], b: &[u8]) -> (f64, f64) {
    assert_eq!(a.len(), b.len());
    let mut all: Vec<u8> = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).collect();
    all.sort_unstable();
    let sum: f64 = all.iter().copied().map(f64::from).sum();
    (
        sum / f64::from(u32::try_from(all.len()).unwrap()),
        f64::from(all[all.len() * 99 / 100]),
    )
}
