//! What each format says is what the scene shows.

use std::path::PathBuf;

use glam::{DVec3, Vec3};
use tongyou_import::{Chunk, Limits, Options, Report, Source, Splat, Surface, Work, import, inspect, read};
use tongyou_scene::{Scene, write_glb};

use crate::samples::{self, Coding, TRIANGLES, VERTICES};

/// A file in a folder of its own.
pub(crate) fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn imported(bytes: &[u8]) -> (Scene, Report) {
    let (_folder, path) = file("sample", bytes);
    import(&path, "sample", &Options::default()).unwrap()
}

fn triangles(scene: &Scene) -> Vec<[Vec3; 3]> {
    let primitives = scene.meshes.iter().flat_map(|m| &m.primitives);
    primitives
        .flat_map(|p| {
            p.indices
                .as_chunks::<3>()
                .0
                .iter()
                .map(|t| t.map(|i| p.positions[i as usize]))
        })
        .collect()
}

#[test]
fn inspect_knows_each_format_and_its_count() {
    for (name, bytes) in samples::all() {
        let (_folder, path) = file("sample", &bytes);
        let summary = inspect(&path).unwrap();
        let count = summary.counts[0].1;
        let want = match name {
            "e57" | "pts" => 2 * VERTICES,
            "stl-binary" | "stl-text" => TRIANGLES,
            _ => VERTICES,
        };
        assert_eq!(count, want as u64, "{name}: {summary}");
        assert!(!summary.estimated, "{name}");
        // A mesh in a GLB says its bounds before its node's transform; the writer of the E57 computes none.
        let size = summary.bounds.map(|b| b.size().max_element());
        let wide = match name {
            "e57" => size.is_none_or(|s| s > 12.0),
            "pts" => size == Some(32.0),
            _ => size == Some(12.0),
        };
        assert!(wide, "{name}: {summary}");
        let known = ["LAS", "PLY", "OBJ", "STL", "GLB", "glTF", "E57", "PTS", "XYZ", "SPZ"];
        assert!(known.contains(&summary.format.to_string().as_str()), "{name}");
    }
}

#[test]
fn the_three_codings_of_ply_are_one_scene() {
    let text = imported(&samples::ply_mesh(Coding::Text));
    assert_eq!(text.1.triangles, TRIANGLES);
    let bytes = write_glb(&text.0).unwrap();
    for coding in [Coding::Little, Coding::Big] {
        assert!(write_glb(&imported(&samples::ply_mesh(coding)).0).unwrap() == bytes);
    }
    let primitive = &text.0.meshes[0].primitives[0];
    assert_eq!(
        (primitive.positions.len(), primitive.colors.len()),
        (VERTICES, VERTICES)
    );
    // sRGB 100 is linear 0.127.
    assert!(primitive.colors.iter().all(|c| c[1] == 32), "{:?}", primitive.colors[0]);
}

#[test]
fn both_kinds_of_stl_are_one_scene() {
    let (binary, report) = imported(&samples::stl_binary());
    let (text, _) = imported(&samples::stl_text());
    assert!(write_glb(&binary).unwrap() == write_glb(&text).unwrap());
    assert_eq!(
        (report.triangles, binary.meshes[0].primitives[0].positions.len()),
        (TRIANGLES, VERTICES)
    );
    // z is up in an STL: the sheet lies.
    assert!((report.max.z - report.min.z - 0.75).abs() < 1e-9, "{report}");
    let up = triangles(&binary)
        .iter()
        .all(|[a, b, c]| (*b - *a).cross(*c - *a).y > 0.0);
    assert!(up, "the sheet faces up");
}

#[test]
fn materials_and_textures_of_an_obj() {
    let (folder, path) = file("sample.obj", &samples::obj());
    let library = "newmtl stone\nKd 0.5 0.25 1\nd 0.5\nmap_Kd -s 1 1 1 images\\wall.png\nmap_Ke ../outside.png\n";
    std::fs::write(folder.path().join("sample.mtl"), library).unwrap();
    std::fs::create_dir(folder.path().join("images")).unwrap();
    image::RgbaImage::from_pixel(4, 2, image::Rgba([1, 2, 3, 255]))
        .save(folder.path().join("images/wall.png"))
        .unwrap();
    let (scene, report) = import(&path, "x", &Options::default()).unwrap();
    assert_eq!(report.warnings.len(), 1, "{report}");
    assert!(report.warnings[0].contains("outside.png"), "{report}");
    let material = &scene.materials[scene.meshes[0].primitives[0].material.unwrap()];
    assert_eq!(material.base_color.to_array(), [0.5, 0.25, 1.0, 0.5]);
    assert_eq!(
        (material.base_color_texture, material.emissive_texture),
        (Some(0), None)
    );
    assert_eq!(
        (scene.images[0].width, scene.images[0].height, scene.images[0].pixels[2]),
        (4, 2, 3)
    );
    let primitive = &scene.meshes[0].primitives[0];
    // v of an OBJ grows upwards, that of glTF downwards; an OBJ is y up, so its y is the scene's y.
    for (t, p) in primitive.tex_coords.iter().zip(&primitive.positions) {
        let low = primitive.positions.iter().map(|p| p.y).fold(f32::INFINITY, f32::min);
        assert!(((1.0 - t.y) * 12.0 - (p.y - low)).abs() < 1e-4, "{t} {p}");
    }
    // Without the library the shape is there, and a warning.
    std::fs::remove_file(folder.path().join("sample.mtl")).unwrap();
    let (_, report) = import(&path, "x", &Options::default()).unwrap();
    assert!(report.triangles == TRIANGLES && report.warnings.len() == 2, "{report}");
}

#[test]
#[cfg(unix)]
fn a_link_out_of_the_folder_is_not_followed() {
    let (_outside, secret) = file("secret.mtl", b"newmtl stone\nKd 0 1 0\n");
    let (folder, path) = file("sample.obj", &samples::obj());
    std::os::unix::fs::symlink(&secret, folder.path().join("sample.mtl")).unwrap();
    let (_, report) = import(&path, "x", &Options::default()).unwrap();
    assert!(report.warnings.iter().any(|w| w.contains("sample.mtl")), "{report}");
}

#[test]
fn nodes_of_a_gltf_are_flattened() {
    let (scene, report) = imported(&samples::glb());
    assert_eq!(report.triangles, TRIANGLES);
    let size = report.max - report.min;
    assert!(size.distance(DVec3::new(24.0, 24.0, 1.5)) < 1e-4, "{size}");
    // The node mirrors: the sheet still faces up.
    assert!(
        triangles(&scene)
            .iter()
            .all(|[a, b, c]| (*b - *a).cross(*c - *a).y > 0.0)
    );
}

#[test]
fn scans_of_an_e57_stand_where_their_poses_put_them() {
    let (_folder, path) = file("sample", &samples::e57());
    let mut positions = Vec::new();
    let mut colors = Vec::new();
    read(&Source::open(&path).unwrap(), &Limits::default(), &mut |chunk| {
        if let Chunk::Points(points) = chunk {
            positions.extend(points.positions);
            colors.extend(points.colors);
        }
        Ok(())
    })
    .unwrap();
    assert_eq!((positions.len(), colors.len()), (2 * VERTICES, 2 * VERTICES));
    for (index, [x, y, z]) in samples::positions().into_iter().map(|p| p.map(f64::from)).enumerate() {
        assert!(positions[index].distance(DVec3::new(x, y, z)) < 1e-9);
        // A quarter turn takes x to y and y to −x.
        assert!(positions[VERTICES + index].distance(DVec3::new(50.0 - y, x, z)) < 1e-9);
        assert_eq!(colors[index], [u8::try_from(index % 256).unwrap(), 100, 50]);
    }
}

#[test]
fn points_become_squares_or_a_surface() {
    for bytes in [samples::pts(), samples::xyz(), samples::ply_points()] {
        let (_folder, path) = file("sample", &bytes);
        let (scene, report) = import(&path, "x", &Options::default()).unwrap();
        let [Work::Surfels(surfels)] = &report.work[..] else {
            panic!("{report}")
        };
        assert!(surfels.kept > 60 && surfels.outliers == 0, "{report}");
        assert_eq!(triangles(&scene).len(), report.triangles);
        let options = Options {
            surface: Surface::Ground,
            base: false,
            ..Options::default()
        };
        let (_, report) = import(&path, "x", &options).unwrap();
        assert!(matches!(report.work[..], [Work::Ground(_)]), "{report}");
    }
}

fn splats(bytes: &[u8]) -> Vec<Splat> {
    let (_folder, path) = file("sample", bytes);
    let mut out = Vec::new();
    read(&Source::open(&path).unwrap(), &Limits::default(), &mut |chunk| {
        if let Chunk::Splats(splats) = chunk {
            out.extend(splats);
        }
        Ok(())
    })
    .unwrap();
    out
}

#[test]
fn all_versions_of_spz_hold_the_same_splats() {
    let two = splats(&samples::gzip(&samples::spz_unpacked(2)));
    let three = splats(&samples::gzip(&samples::spz_unpacked(3)));
    let four = splats(&samples::spz4());
    assert_eq!((two.len(), three == four), (VERTICES, true));
    for ((a, b), want) in two.iter().zip(&three).zip(samples::positions()) {
        assert_eq!((a.position, b.position), (Vec3::from(want), Vec3::from(want)));
        assert!(a.rotation.dot(b.rotation) > 0.9999 && a.opacity == 1.0);
        // 160 / 16 − 10 is 0, whose exponential is 1; 80 gives e⁻⁵.
        assert!(a.scale.distance(Vec3::new(1.0, 1.0, (-5.0_f32).exp())) < 1e-6);
    }
}

#[test]
fn splats_of_a_trainer_are_made_linear() {
    let splats = splats(&samples::ply_splats(Coding::Big));
    assert_eq!(splats.len(), VERTICES);
    let splat = &splats[0];
    assert!((splat.opacity - 0.880_797).abs() < 1e-5, "{}", splat.opacity);
    assert!(
        splat.scale.distance(Vec3::new(0.135_335, 0.367_879, 0.002_479)) < 1e-5,
        "{}",
        splat.scale
    );
    assert!((splat.color.x - 0.641_047).abs() < 1e-5, "{}", splat.color);
    // The file has red's three first, then green's, then blue's.
    let want = [0.0, 0.3, 0.6, 0.1, 0.4, 0.7, 0.2, 0.5, 0.8];
    assert!(
        splat.harmonics.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6),
        "{:?}",
        splat.harmonics
    );
}

#[test]
fn every_sample_becomes_a_scene_that_the_server_loads_twice_the_same() {
    for (name, bytes) in samples::all() {
        let (scene, report) = imported(&bytes);
        let glb = write_glb(&scene).unwrap();
        let loaded = tongyou_scene::read_glb(&glb, name, &tongyou_scene::Limits::default()).unwrap();
        assert_eq!(triangles(&loaded).len(), triangles(&scene).len(), "{name}");
        assert!(report.triangles > 100, "{name}: {report}");
        assert!(
            write_glb(&imported(&bytes).0).unwrap() == glb,
            "{name}: two imports differ"
        );
    }
}

/// The same GLB as a glTF with its buffer inside the JSON, or in a folder below.
#[test]
fn a_gltf_may_carry_its_buffer() {
    let want = imported(&samples::glb());
    let embedded = samples::gltf();
    let (scene, _) = imported(&embedded);
    assert_eq!(triangles(&scene), triangles(&want.0));

    let mut root: serde_json::Value = serde_json::from_slice(&embedded).unwrap();
    let (_, blob) = samples::glb_chunks();
    root["buffers"][0]["uri"] = serde_json::json!("my%20data/sheet.bin");
    let (folder, path) = file("sample.gltf", &serde_json::to_vec(&root).unwrap());
    let missing = import(&path, "x", &Options::default()).unwrap_err().to_string();
    assert!(missing.contains("my data/sheet.bin"), "{missing}");
    std::fs::create_dir(folder.path().join("my data")).unwrap();
    std::fs::write(folder.path().join("my data/sheet.bin"), &blob).unwrap();
    let (scene, _) = import(&path, "x", &Options::default()).unwrap();
    assert_eq!(triangles(&scene), triangles(&want.0));
    root["buffers"][0]["uri"] = serde_json::json!("../sheet.bin");
    std::fs::write(&path, serde_json::to_vec(&root).unwrap()).unwrap();
    assert!(import(&path, "x", &Options::default()).is_err());
}

#[test]
fn points_without_colours_are_grey_by_their_intensity() {
    let mut text = String::new();
    for (index, [x, y, z]) in samples::positions().into_iter().enumerate() {
        text += &format!("{x} {y} {z} {}\n", if index % 13 < 6 { -2000 } else { 1800 });
    }
    let (scene, _) = imported(text.as_bytes());
    let colors = scene.meshes.iter().flat_map(|m| &m.primitives).flat_map(|p| &p.colors);
    let (dark, bright) = colors.fold((255, 0), |(a, b), c| (c[0].min(a), c[0].max(b)));
    // 0.2 and 0.9 of full sRGB, linear.
    assert_eq!((dark, bright), (8, 200));
}
