//! Tilesets that are sound, and some that are not.

use std::fs;
use std::path::{Path, PathBuf};

use glam::{DVec3, Vec3};
use serde_json::{Value, json};
use tongyou_scene::{Primitive, Scene, write_glb};

use super::*;
use crate::Part;

/// A triangle of glTF: one unit east and one up of its corner.
fn triangle(at: Vec3) -> Vec<u8> {
    let mut scene = Scene::default();
    let primitive = Primitive {
        positions: vec![at, at + Vec3::X, at + Vec3::Y],
        normals: vec![Vec3::Z; 3],
        indices: vec![0, 1, 2],
        ..Primitive::default()
    };
    crate::import::add(&mut scene, "t".into(), primitive);
    write_glb(&scene).unwrap()
}

/// A b3dm, pnts or cmpt around what it holds.
fn wrapped(magic: &[u8; 4], table: &Value, arrays: &[u8], body: &[u8]) -> Vec<u8> {
    let mut table = if table.is_null() {
        Vec::new()
    } else {
        serde_json::to_vec(table).unwrap()
    };
    table.resize(table.len().next_multiple_of(8), b' ');
    let mut out = magic.to_vec();
    let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    out.extend(word(1));
    out.extend(word(28 + table.len() + arrays.len() + body.len()));
    for length in [table.len(), arrays.len(), 0, 0] {
        out.extend(word(length));
    }
    [out, table, arrays.to_vec(), body.to_vec()].concat()
}

fn composite(tiles: &[Vec<u8>]) -> Vec<u8> {
    let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let body = tiles.concat();
    let mut out = b"cmpt".to_vec();
    for n in [1, 16 + body.len(), tiles.len()] {
        out.extend(word(n));
    }
    [out, body].concat()
}

fn points(center: [f64; 3]) -> Vec<u8> {
    let positions: Vec<u8> = [[0.0_f32, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 2.0]]
        .iter()
        .flatten()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let colors = [255, 0, 0, 0, 255, 0, 0, 0, 255];
    let table = json!({
        "POINTS_LENGTH": 3, "RTC_CENTER": center, "POSITION": {"byteOffset": 0}, "RGB": {"byteOffset": 36},
    });
    wrapped(b"pnts", &table, &[positions.as_slice(), &colors].concat(), &[])
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let out = Self(tempfile::tempdir().unwrap());
        for (name, bytes) in files {
            let path = out.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        out
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn all(path: &Path) -> Result<(Vec<Part>, Vec<DVec3>, Look), Error> {
    let (mut parts, mut points, mut look) = (Vec::new(), Vec::new(), Look::default());
    crate::read(&Source::open(path)?, &Limits::default(), &mut |chunk| {
        match chunk {
            Chunk::Part(part) => parts.push(part),
            Chunk::Points(p) => points.extend(p.positions),
            Chunk::Look(l) => look = l,
            _ => {}
        }
        Ok(())
    })?;
    Ok((parts, points, look))
}

fn tileset(root: &Value) -> Vec<u8> {
    serde_json::to_vec(&json!({"asset": {"version": "1.0"}, "geometricError": 100, "root": root})).unwrap()
}

const BOX: [f64; 12] = [0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 10.0];

#[test]
fn the_finest_tiles_are_read_where_their_transforms_put_them() {
    let moved = |x: f64| json!([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x, 0, 0, 1]);
    let root = json!({
        "boundingVolume": {"box": BOX}, "geometricError": 10, "refine": "REPLACE", "transform": moved(100.0),
        "content": {"uri": "coarse.glb"},
        "children": [
            {"boundingVolume": {"box": BOX}, "geometricError": 0, "transform": moved(10.0), "content": {"uri": "a/fine.b3dm"}},
            {"boundingVolume": {"box": BOX}, "geometricError": 5, "refine": "ADD", "content": {"uri": "more.json"},
             "children": [{"boundingVolume": {"box": BOX}, "geometricError": 0, "content": {"url": "two%20things.cmpt"}}]},
        ],
    });
    let inner = json!({"boundingVolume": {"box": BOX}, "geometricError": 0, "content": {"uri": "deep.glb"}});
    let b3dm = wrapped(
        b"b3dm",
        &json!({"BATCH_LENGTH": 0, "RTC_CENTER": [0, 0, 1000]}),
        &[],
        &triangle(Vec3::ZERO),
    );
    let folder = Folder::new(&[
        ("tileset.json", tileset(&root)),
        ("coarse.glb", triangle(Vec3::splat(-5.0))),
        ("a/fine.b3dm", b3dm.clone()),
        ("more.json", tileset(&inner)),
        ("deep.glb", triangle(Vec3::splat(3.0))),
        ("two things.cmpt", composite(&[b3dm, points([0.0, 7.0, 0.0])])),
    ]);
    let (parts, points, _) = all(&folder.path("tileset.json")).unwrap();
    let corners: Vec<DVec3> = parts.iter().map(|p| p.positions[0]).collect();
    // Not the coarse one. glTF's y is up, 3D Tiles' z is.
    let want = [
        DVec3::new(110.0, 0.0, 1000.0),
        DVec3::new(100.0, 0.0, 1000.0),
        DVec3::new(103.0, -3.0, 3.0),
    ];
    assert_eq!(corners.len(), 3);
    for corner in want {
        assert!(corners.iter().any(|c| c.distance(corner) < 1e-4), "{corners:?}");
    }
    assert!(
        (parts[0].positions[2] - parts[0].positions[0]).distance(DVec3::Z) < 1e-4,
        "up is up"
    );
    assert!(parts[0].normals[0].distance(Vec3::NEG_Y) < 1e-4);
    assert_eq!(points.len(), 3);
    assert!(points[2].distance(DVec3::new(100.0, 7.0, 2.0)) < 1e-6);
    let summary = crate::inspect(&folder.path("tileset.json")).unwrap();
    assert_eq!(summary.counts, [("tiles", 5), ("tilesets", 2), ("files", 3)]);
    assert_eq!(summary.crs, None);
}

/// A tile above Chongqing, placed by its transform: millimetres survive, and up is up.
#[test]
fn what_lies_on_earth_is_found_there() {
    let (lat, lon, h) = (29.5601, 106.5734, 240.0);
    let tangent = Tangent::at(lat, lon, h);
    let earth_from_enu = tangent.turn().transpose();
    let at = Ellipsoid::WGS84.earth(lat, lon, h);
    let columns = [earth_from_enu.x_axis, earth_from_enu.y_axis, earth_from_enu.z_axis, at];
    let last = [0.0, 0.0, 0.0, 1.0];
    let matrix: Vec<f64> = columns.iter().zip(last).flat_map(|(c, w)| [c.x, c.y, c.z, w]).collect();
    let root = json!({
        "boundingVolume": {"box": BOX}, "geometricError": 0, "transform": matrix, "content": {"uri": "t.glb"},
    });
    let folder = Folder::new(&[
        ("tileset.json", tileset(&root)),
        ("t.glb", triangle(Vec3::new(1.0, 2.0, -3.0))),
    ]);
    let check = |path: &Path| {
        let summary = crate::inspect(path).unwrap();
        assert_eq!(summary.crs.as_deref(), Some("EPSG:4979"));
        let (parts, ..) = all(path).unwrap();
        let p = parts[0].positions[0];
        let enu = tangent.enu(p.y, p.x, p.z);
        assert!(enu.distance(DVec3::new(1.0, 3.0, 2.0)) < 1e-3, "{enu}");
        assert!(parts[0].normals[0].distance(Vec3::NEG_Y) < 1e-4);
        let (_, report) = crate::import(path, "x", &crate::Options::default()).unwrap();
        match report.frame {
            crate::Frame::Earth { lat: a, lon: b, .. } => assert!((a - lat).abs() < 1e-4 && (b - lon).abs() < 1e-4),
            other => panic!("{other}"),
        }
    };
    check(&folder.path("tileset.json"));
    // The same by a node of its glTF, in f64, under a region.
    let glb = triangle(Vec3::new(1.0, 2.0, -3.0));
    let (mut gltf, blob) = super::super::embedded::split(&glb).unwrap();
    // glTF's axes: z up becomes y up.
    let to_y = |v: DVec3| [v.x, v.z, -v.y];
    let y_up = [columns[0], columns[2], -columns[1], columns[3]];
    let matrix: Vec<f64> = y_up
        .iter()
        .zip(last)
        .flat_map(|(c, w)| to_y(*c).into_iter().chain([w]))
        .collect();
    gltf["nodes"][0] = json!({"mesh": 0, "matrix": matrix});
    let glb = crate::write::glb::assemble(&gltf, blob.to_vec()).unwrap();
    let (s, w) = (lat.to_radians(), lon.to_radians());
    let region = [w - 1e-5, s - 1e-5, w + 1e-5, s + 1e-5, 230.0, 260.0];
    let root = json!({"boundingVolume": {"region": region}, "geometricError": 0, "content": {"uri": "t.glb"}});
    let folder = Folder::new(&[("tileset.json", tileset(&root)), ("t.glb", glb)]);
    check(&folder.path("tileset.json"));
}

#[test]
fn one_file_alone() {
    let center = Ellipsoid::WGS84.earth(29.56, 106.57, 200.0);
    let folder = Folder::new(&[
        ("p.pnts", points(center.to_array())),
        ("b.b3dm", {
            wrapped(b"b3dm", &json!({"BATCH_LENGTH": 0}), &[], &triangle(Vec3::ZERO))
        }),
    ]);
    let (_, points, _) = all(&folder.path("p.pnts")).unwrap();
    assert!(
        (points[0] - DVec3::new(106.57, 29.56, 200.0)).length() < 1e-6,
        "{points:?}"
    );
    assert_eq!(
        crate::inspect(&folder.path("p.pnts")).unwrap().crs.as_deref(),
        Some("EPSG:4979")
    );
    let (parts, ..) = all(&folder.path("b.b3dm")).unwrap();
    assert_eq!(parts[0].positions[1], DVec3::X);
}

#[test]
fn quantised_points_and_packed_colours() {
    let table = json!({
        "POINTS_LENGTH": 2, "POSITION_QUANTIZED": {"byteOffset": 0}, "QUANTIZED_VOLUME_OFFSET": [10, 20, 30],
        "QUANTIZED_VOLUME_SCALE": [1, 2, 4], "RGB565": {"byteOffset": 12}, "NORMAL_OCT16P": {"byteOffset": 16},
    });
    let quantized = [0_u16, 0, 0, 65535, 65535, 65535];
    let arrays: Vec<u8> = quantized.iter().flat_map(|v| v.to_le_bytes()).collect();
    let colors: Vec<u8> = [0xF800_u16, 0x07E0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let arrays = [arrays, colors, vec![128, 128, 255, 128]].concat();
    let file = wrapped(b"pnts", &table, &arrays, &[]);
    let points = points::read(&Content::parse(&file).unwrap(), 10).unwrap();
    assert_eq!(
        points.positions,
        [DVec3::new(10.0, 20.0, 30.0), DVec3::new(11.0, 22.0, 34.0)]
    );
    assert_eq!(points.colors, [[255, 0, 0], [0, 255, 0]]);
    assert!(points.normals[0].distance(Vec3::Z) < 0.02 && points.normals[1].distance(Vec3::X) < 0.02);
}

/// What each of them is refused for.
#[test]
fn hostile_sets() {
    let leaf = |uri: &str| json!({"boundingVolume": {"box": BOX}, "geometricError": 0, "content": {"uri": uri}});
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.glb"), triangle(Vec3::ZERO)).unwrap();
    let secret = outside.path().join("secret.glb").display().to_string();
    let check = |files: &[(&str, Vec<u8>)], first: &str, want: &str| {
        let folder = Folder::new(files);
        std::os::unix::fs::symlink(&secret, folder.path("link.glb")).unwrap();
        let fault = all(&folder.path(first)).unwrap_err().to_string();
        assert!(fault.contains(want), "{first}: {fault}, not {want}");
    };
    let set = |uri: &str| [("tileset.json", tileset(&leaf(uri)))];
    check(&set("tileset.json"), "tileset.json", "refers to itself");
    let cycle = [
        ("tileset.json", tileset(&leaf("b.json"))),
        ("b.json", tileset(&leaf("tileset.json"))),
    ];
    check(&cycle, "tileset.json", "refers to itself");
    check(&set("missing.glb"), "tileset.json", "not there");
    check(&set("../secret.glb"), "tileset.json", "which is not");
    check(&set(&secret), "tileset.json", "not a file in the folder");
    check(&set("link.glb"), "tileset.json", "not a file in the folder");
    check(&set("%2e%2e/x.glb"), "tileset.json", "which is not");
    check(&set("https://example.org/x.glb"), "tileset.json", "network");
    check(&set("//example.org/x.glb"), "tileset.json", "network");
    let mut chain: Vec<(String, Vec<u8>)> = Vec::new();
    for i in 0..40 {
        chain.push((format!("{i}.json"), tileset(&leaf(&format!("{}.json", i + 1)))));
    }
    let chain: Vec<(&str, Vec<u8>)> = chain.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    check(&chain, "0.json", "deep");
    // Deeper than JSON is read.
    let mut tile = leaf("x.glb");
    for _ in 0..200 {
        tile = json!({"boundingVolume": {"box": BOX}, "geometricError": 0, "children": [tile]});
    }
    check(&[("tileset.json", tileset(&tile))], "tileset.json", "recursion");
    let flat = json!({"boundingVolume": {"box": BOX}, "geometricError": 0, "transform": vec![0; 16]});
    check(&[("tileset.json", tileset(&flat))], "tileset.json", "transform");
    let implicit = json!({"boundingVolume": {"box": BOX}, "geometricError": 0, "implicitTiling": {}});
    check(&[("tileset.json", tileset(&implicit))], "tileset.json", "implicitly");
    let empty = json!({"boundingVolume": {"box": BOX}, "geometricError": 0});
    check(&[("tileset.json", tileset(&empty))], "tileset.json", "no tile");
    // Composites.
    let mut bomb = composite(&[points([0.0; 3])]);
    for _ in 0..12 {
        bomb = composite(&[bomb]);
    }
    check(&[("x.cmpt", bomb)], "x.cmpt", "deep");
    let patched = |at: usize, value: u32| {
        let mut bytes = composite(&[points([0.0; 3])]);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    for (at, value, want) in [
        (12, u32::MAX, "are said to be"),
        (12, 2, "cut off"),
        (8, u32::MAX, "says it has"),
        (24, 0, "says it has"),
        (24, u32::MAX, "says it has"),
        (28, u32::MAX, "says that table"),
        (4, 9, "version 9"),
    ] {
        check(&[("x.cmpt", patched(at, value))], "x.cmpt", want);
    }
    for (table, want) in [
        (
            json!({"POINTS_LENGTH": 4_000_000_000_u64, "POSITION": {"byteOffset": 0}}),
            "more than the allowed",
        ),
        (
            json!({"POINTS_LENGTH": 4_000_000, "POSITION": {"byteOffset": 0}}),
            "lie outside",
        ),
        (
            json!({"POINTS_LENGTH": 1, "POSITION": {"byteOffset": u64::MAX}}),
            "lie outside",
        ),
        (json!({"POINTS_LENGTH": 1}), "neither POSITION"),
        (json!({"POINTS_LENGTH": 1, "RTC_CENTER": [1, 2]}), "RTC_CENTER"),
    ] {
        check(&[("x.pnts", wrapped(b"pnts", &table, &[0; 12], &[]))], "x.pnts", want);
    }
}
