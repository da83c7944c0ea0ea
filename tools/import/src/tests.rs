//! The real scan, and files that lie.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tongyou_scene::{Limits, read_glb, write_glb};

use super::*;

fn scan() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/scans/autzen_trim.laz")
}

#[test]
fn autzen_becomes_a_scene_in_metres_at_its_place() {
    let (scene, report) = import(&scan(), "autzen-scan", &Options::default()).unwrap();
    let [Work::Ground(ground)] = &report.work[..] else {
        panic!("not ground: {report}")
    };
    assert_eq!(ground.points, 110_000);
    let size = report.max - report.min;
    // 1177 ft × 563 ft, less the turn of the grid against north.
    assert!(
        (355.0..365.0).contains(&size.x) && (155.0..180.0).contains(&size.y),
        "{size}"
    );
    let Frame::Earth { lat, lon, unit_m, .. } = report.frame else {
        panic!("no place: {}", report.frame)
    };
    assert_eq!(report.warnings, Vec::<String>::new());
    // Eugene, Oregon, beside the stadium at 44.058, -123.069.
    assert!((lat - 44.05).abs() < 0.01 && (lon + 123.07).abs() < 0.01, "{lat} {lon}");
    assert_eq!(unit_m, 0.3048);
    assert!(ground.foliage > 5_000 && ground.kept > 30_000, "{report}");
    assert!((50_000..250_000).contains(&report.triangles), "{report}");

    let bytes = write_glb(&scene).unwrap();
    let again = import(&scan(), "autzen-scan", &Options::default()).unwrap();
    assert!(bytes == write_glb(&again.0).unwrap(), "two imports differ");
    let loaded = read_glb(&bytes, "autzen-scan", &Limits::default()).unwrap();
    let surface = loaded
        .meshes
        .iter()
        .filter(|m| m.name.starts_with("scan"))
        .flat_map(|m| &m.primitives);
    let (mut up, mut all) = (0, 0);
    for primitive in surface {
        assert_eq!(primitive.colors.len(), primitive.positions.len());
        for t in primitive.indices.chunks_exact(3) {
            let [a, b, c] = [0, 1, 2].map(|k| primitive.positions[t[k] as usize]);
            all += 1;
            up += usize::from((b - a).cross(c - a).y > 0.0);
        }
    }
    assert_eq!(up, all, "a 2.5D surface faces up everywhere");
}

#[test]
fn the_tour_stands_on_the_surface() {
    let (scene, _) = import(&scan(), "autzen-scan", &Options::default()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/tours/autzen-scan.toml");
    let tour = tongyou_scene::Tour::load(&path).unwrap();
    assert!(tour.notice.is_some(), "a scan is labelled");
    let vertices = || {
        let scans = scene.meshes.iter().filter(|m| m.name.starts_with("scan"));
        scans.flat_map(|m| &m.primitives).flat_map(|p| &p.positions)
    };
    for stop in &tour.stops {
        for cell in &stop.cells {
            let [x, y, z] = cell.eye;
            let mut near: Vec<f32> = vertices()
                .filter(|p| (p.x - x).hypot(p.z - z) < 1.5)
                .map(|p| p.y)
                .collect();
            near.sort_by(f32::total_cmp);
            let ground = near[near.len() / 2];
            assert!(
                (y - 1.6 - ground).abs() < 0.4,
                "{}/{}: ground {ground}, eye {y}",
                stop.id,
                cell.id
            );
        }
    }
}

fn import_bytes(bytes: &[u8], tag: &str) -> Result<Report, Error> {
    let path = std::env::temp_dir().join(format!("tongyou-import-{}-{tag}.laz", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let out = import(
        &path,
        "x",
        &Options {
            vertices: 500,
            ..Options::default()
        },
    )
    .map(|(_, report)| report);
    std::fs::remove_file(&path).unwrap();
    out
}

#[test]
fn lies_about_the_count_are_told() {
    let bytes = std::fs::read(scan()).unwrap();
    for count in [u32::MAX, 49_999_999, 200_000] {
        let mut forged = bytes.clone();
        forged[107..111].copy_from_slice(&count.to_le_bytes());
        let message = import_bytes(&forged, &format!("count-{count}"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("tongyou-import-"), "the file is named: {message}");
    }
    assert!(import_bytes(b"LASF", "short").is_err());
    assert!(import_bytes(b"", "empty").is_err());
    assert!(import_bytes(&bytes[..bytes.len() / 2], "half").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// A changed byte in the header, the records or the first chunk: an error or a scene, never a panic.
    #[test]
    fn mutants_do_not_panic(at in 0_usize..6000, value: u8, cut in 2_200_usize..60_000, case: u64) {
        let mut bytes = std::fs::read(scan()).unwrap();
        bytes[at] = value;
        bytes.truncate(cut);
        let _ = import_bytes(&bytes, &format!("mutant-{case}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Damage anywhere in the whole file, so that the decoder itself meets it.
    #[test]
    fn damaged_points_do_not_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), case: u64) {
        let mut bytes = std::fs::read(scan()).unwrap();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(report) = import_bytes(&bytes, &format!("damaged-{case}")) {
            prop_assert!(report.triangles > 0);
        }
    }
}

proptest! {
    // Most of these files are still sound and are imported whole, which takes its time.
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Damage in the header and the records before the points, in a file that is otherwise whole.
    #[test]
    fn damaged_headers_do_not_panic(at in 0_usize..2200, value: u8, case: u64) {
        let mut bytes = std::fs::read(scan()).unwrap();
        bytes[at] = value;
        let _ = import_bytes(&bytes, &format!("header-{case}"));
    }
}
