//! Scenes that survive a round trip, and files that must be refused with a clear message.

use glam::{Quat, Vec2, Vec3, Vec4};
use proptest::prelude::*;

use super::*;
use crate::{Alpha, Animation, Channel, Image, Keys, Light, LightKind, Material, Mesh, Node, Primitive, write_glb};

fn sample() -> Scene {
    let quad = Primitive {
        material: Some(0),
        positions: vec![Vec3::ZERO, Vec3::X, Vec3::new(1.0, 1.0, 0.0), Vec3::Y],
        normals: vec![Vec3::Z; 4],
        tangents: vec![Vec4::new(1.0, 0.0, 0.0, -1.0); 4],
        tex_coords: vec![Vec2::ZERO, Vec2::X, Vec2::ONE, Vec2::Y],
        colors: vec![[255, 128, 3, 255]; 4],
        indices: vec![0, 1, 2, 0, 2, 3],
    };
    let node = |name: &str, parent, mesh, light| Node {
        name: name.into(),
        parent,
        translation: Vec3::new(1.0, 2.0, 3.0),
        rotation: Quat::from_rotation_y(0.5),
        scale: Vec3::splat(2.0),
        mesh,
        light,
    };
    let material = Material {
        name: "glow".into(),
        base_color: Vec4::new(0.5, 0.25, 0.125, 1.0),
        base_color_texture: Some(0),
        metallic: 0.0,
        roughness: 0.75,
        metallic_roughness_texture: Some(0),
        normal_texture: Some(0),
        normal_scale: 0.5,
        emissive: Vec3::new(4.0, 2.0, 1.0),
        emissive_texture: Some(0),
        alpha: Alpha::Mask(0.25),
        double_sided: true,
        unlit: false,
    };
    Scene {
        name: "sample".into(),
        nodes: vec![
            node("root", None, None, None),
            node("hand", Some(0), Some(0), None),
            node("lamp", Some(0), None, Some(0)),
        ],
        meshes: vec![Mesh {
            name: "quad".into(),
            primitives: vec![quad],
        }],
        materials: vec![material],
        images: vec![Image {
            name: "px".into(),
            width: 2,
            height: 1,
            pixels: vec![1, 2, 3, 255, 4, 5, 6, 128],
        }],
        lights: vec![Light {
            kind: LightKind::Point,
            color: Vec3::ONE,
            intensity: 40.0,
            range_m: Some(12.0),
        }],
        animations: vec![Animation {
            name: "turn".into(),
            duration_s: 2.0,
            channels: vec![Channel {
                node: 1,
                times_s: vec![0.0, 1.0, 2.0],
                keys: Keys::Rotation(vec![
                    Quat::IDENTITY,
                    Quat::from_rotation_z(2.0),
                    Quat::from_rotation_z(4.0),
                ]),
                step: false,
            }],
        }],
        local: vec![1],
    }
}

fn load(bytes: &[u8]) -> Result<Scene, Error> {
    read_glb(bytes, "sample", &Limits::default())
}

#[test]
fn a_scene_survives_the_round_trip() {
    let before = sample();
    let bytes = write_glb(&before).unwrap();
    assert_eq!(bytes, write_glb(&before).unwrap(), "the same bytes for the same scene");
    assert_eq!(format!("{before:?}"), format!("{:?}", load(&bytes).unwrap()));
}

#[test]
fn missing_normals_are_computed() {
    let mut scene = sample();
    scene.meshes[0].primitives[0].normals.clear();
    let loaded = load(&write_glb(&scene).unwrap()).unwrap();
    assert_eq!(loaded.meshes[0].primitives[0].normals, vec![Vec3::Z; 4]);
}

/// Replaces text in the JSON chunk and repairs the lengths.
fn edited(from: &str, to: &str) -> Vec<u8> {
    let bytes = write_glb(&sample()).unwrap();
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let text = std::str::from_utf8(&bytes[20..20 + length]).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    with_json(&text.replacen(from, to, 1), &bytes[20 + length..])
}

fn with_json(text: &str, rest: &[u8]) -> Vec<u8> {
    let text = format!("{text:<width$}", width = text.len().next_multiple_of(4));
    let mut out = b"glTF\x02\0\0\0".to_vec();
    out.extend(u32::try_from(20 + text.len() + rest.len()).unwrap().to_le_bytes());
    out.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    out.extend(b"JSON");
    out.extend(text.as_bytes());
    out.extend(rest);
    out
}

#[track_caller]
fn refused(from: &str, to: &str, expected: &[&str]) {
    let message = load(&edited(from, to)).unwrap_err().to_string();
    for part in expected {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn hostile_files_get_an_error_that_names_place_and_fault() {
    refused(
        "\"count\":4",
        "\"count\":400000000",
        &[
            "sample: mesh 0 \"quad\", primitive 0, POSITION, accessor 0",
            "do not fit",
        ],
    );
    refused("\"count\":4", "\"count\":18446744073709551615", &["do not fit"]);
    refused("\"POSITION\":0", "\"POSITION\":77", &["mesh 0", "accessor 77"]);
    refused("\"bufferView\":1", "\"bufferView\":99", &["bufferView 99"]);
    refused("\"material\":0", "\"material\":3", &["primitive 0", "material 3"]);
    refused("\"mesh\":0", "\"mesh\":5", &["node 1 \"hand\"", "mesh 5"]);
    refused(
        "\"children\":[1,2]",
        "\"children\":[1,0]",
        &["node 0 \"root\"", "reached twice"],
    );
    refused(
        "\"children\":[1,2]",
        "\"children\":[1,1]",
        &["node 1 \"hand\"", "reached twice"],
    );
    refused(
        "\"children\":[1,2]",
        "\"children\":[1,9]",
        &["node 0 \"root\"", "node 9"],
    );
    refused("\"byteLength\":48", "\"byteLength\":4800000", &["outside its buffer"]);
    refused(
        "\"rotation\":[0.0,0.24740396,0.0,0.9689124]",
        "\"rotation\":[0.0,0.0,0.0,0.0]",
        &["unit quaternion"],
    );
    refused(
        "\"scale\":[2.0,2.0,2.0]",
        "\"scale\":[1e30,2.0,2.0]",
        &["node 0 \"root\"", "scale"],
    );
    refused(
        "\"translation\":[1.0,2.0,3.0]",
        "\"translation\":[1e39,2.0,3.0]",
        &["sample"],
    );
    refused("\"intensity\":40.0", "\"intensity\":-1.0", &["light 0", "negative"]);
    refused(
        "\"roughnessFactor\":0.75",
        "\"roughnessFactor\":7.5",
        &["material 0 \"glow\"", "between 0 and 1"],
    );
    refused(
        "\"interpolation\":\"LINEAR\"",
        "\"interpolation\":\"CUBICSPLINE\"",
        &["animation 0 \"turn\", channel 0"],
    );
    refused(
        "\"interpolation\":\"LINEAR\"",
        "\"interpolation\":\"SMOOTH\"",
        &["interpolation"],
    );
    refused("\"node\":1", "\"node\":12", &["animation 0", "node 12"]);
    refused(
        "\"extensionsUsed\":",
        "\"extensionsRequired\":[\"KHR_draco_mesh_compression\"],\"extensionsUsed\":",
        &["KHR_draco"],
    );
}

#[test]
fn a_long_cycle_is_refused() {
    let nodes: Vec<String> = (0..5000)
        .map(|i| format!("{{\"children\":[{}]}}", (i + 1) % 5000))
        .collect();
    let text = format!(
        r#"{{"asset":{{"version":"2.0"}},"scene":0,"scenes":[{{"nodes":[0]}}],"nodes":[{}]}}"#,
        nodes.join(",")
    );
    let message = load(text.as_bytes()).unwrap_err().to_string();
    assert!(message.contains("node 0") && message.contains("cycle"), "{message}");
}

#[test]
fn uris_stay_in_the_folder() {
    let folder = std::env::temp_dir().join(format!("tongyou-scene-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("tri.bin"), [0_u8; 36]).unwrap();
    let check = |uri: &str| {
        let text = format!(
            r#"{{"asset":{{"version":"2.0"}},"buffers":[{{"byteLength":36,"uri":"{uri}"}}],
            "bufferViews":[{{"buffer":0,"byteLength":36}}],"accessors":[{{"bufferView":0,"componentType":5126,"count":3,"type":"VEC3"}}],
            "meshes":[{{"primitives":[{{"attributes":{{"POSITION":0}}}}]}}],"nodes":[{{"mesh":0}}]}}"#
        );
        let path = folder.join("scene.gltf");
        std::fs::write(&path, text).unwrap();
        load_glb(&path, &Limits::default())
    };
    assert_eq!(check("tri.bin").unwrap().meshes[0].primitives[0].positions.len(), 3);
    for uri in [
        "../tri.bin",
        "/etc/passwd",
        "http://example.com/tri.bin",
        "file:///etc/passwd",
        "..",
        ".",
        "a/b",
        "a\\\\b",
        "%2e%2e%2ftri.bin",
    ] {
        let message = check(uri).unwrap_err().to_string();
        assert!(
            message.contains("buffer 0") && message.contains("plain file name"),
            "{uri}: {message}"
        );
    }
    let absent = check("absent.bin").unwrap_err();
    assert!(matches!(absent, Error::Read { .. }));
    assert!(
        std::error::Error::source(&absent).is_none(),
        "the reason is part of the message, and printed once"
    );
    #[cfg(unix)]
    {
        let link = folder.join("link.bin");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert!(
            check("link.bin")
                .unwrap_err()
                .to_string()
                .contains("not a regular file")
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn limits_are_kept() {
    let bytes = write_glb(&sample()).unwrap();
    let check = |limits: Limits| read_glb(&bytes, "sample", &limits).unwrap_err().to_string();
    assert!(
        check(Limits {
            vertices: 3,
            ..Limits::default()
        })
        .contains("4 vertices are more than the allowed 3")
    );
    assert!(
        check(Limits {
            triangles: 1,
            ..Limits::default()
        })
        .contains("2 triangles")
    );
    assert!(
        check(Limits {
            nodes: 2,
            ..Limits::default()
        })
        .contains("3 nodes")
    );
    assert!(
        check(Limits {
            pixels: 1,
            ..Limits::default()
        })
        .contains("2 pixels")
    );
    assert!(
        check(Limits {
            image_side: 1,
            ..Limits::default()
        })
        .contains("2 pixels on a side")
    );
    assert!(
        check(Limits {
            lights: 0,
            ..Limits::default()
        })
        .contains("1 lights")
    );
    assert!(
        check(Limits {
            keys: 2,
            ..Limits::default()
        })
        .contains("3 animation keys")
    );
}

#[test]
fn every_truncation_is_refused() {
    let bytes = write_glb(&sample()).unwrap();
    for end in 0..bytes.len() {
        assert!(load(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_nan_in_the_data_is_found() {
    let mut scene = sample();
    scene.meshes[0].primitives[0].positions[2].y = f32::NAN;
    let message = load(&write_glb(&scene).unwrap()).unwrap_err().to_string();
    assert!(
        message.contains("element 2") && message.contains("not finite"),
        "{message}"
    );
}

#[test]
fn an_index_beyond_the_vertices_is_found() {
    let bytes = write_glb(&sample()).unwrap();
    let needle: Vec<u8> = [0_u16, 1, 2, 0, 2, 3].iter().flat_map(|i| i.to_le_bytes()).collect();
    let at = bytes.windows(needle.len()).position(|w| w == needle).unwrap();
    let mut broken = bytes;
    broken[at + 4] = 9;
    let message = load(&broken).unwrap_err().to_string();
    assert!(message.contains("index 9 at 2 is beyond the 4 vertices"), "{message}");
}

/// Whatever a loader accepts must hold what `model.rs` promises.
fn check_promises(scene: &Scene) {
    for (index, node) in scene.nodes.iter().enumerate() {
        assert!(node.parent.is_none_or(|p| p < index));
        assert!(node.mesh.is_none_or(|m| m < scene.meshes.len()));
        assert!(node.light.is_none_or(|l| l < scene.lights.len()));
        assert!((node.rotation.length() - 1.0).abs() < 1e-3);
    }
    for primitive in scene.meshes.iter().flat_map(|m| &m.primitives) {
        let count = primitive.positions.len();
        assert!(primitive.material.is_none_or(|m| m < scene.materials.len()));
        assert!(primitive.indices.iter().all(|&i| (i as usize) < count) && primitive.indices.len().is_multiple_of(3));
        assert!(primitive.positions.iter().all(|p| p.is_finite()));
        assert_eq!(primitive.normals.len(), count);
        assert!(primitive.normals.iter().all(|n| (n.length() - 1.0).abs() < 1e-3));
        for length in [
            primitive.tangents.len(),
            primitive.tex_coords.len(),
            primitive.colors.len(),
        ] {
            assert!(length == 0 || length == count);
        }
    }
    for image in &scene.images {
        assert_eq!(image.pixels.len(), image.width as usize * image.height as usize * 4);
    }
    for at in [0.0, 0.7, 1e9, -3.0] {
        assert_eq!(scene.world_from_nodes(at).len(), scene.nodes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// No mutation panics, and what is accepted keeps the promises of the model.
    #[test]
    fn mutants_are_refused_or_sound(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), cut in any::<Option<prop::sample::Index>>()) {
        let mut bytes = write_glb(&sample()).unwrap();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut.filter(|c| c.index(4) == 0) {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(scene) = load(&bytes) {
            check_promises(&scene);
        }
    }

    /// Numbers in the JSON are replaced by other numbers: the structure stays, the meaning breaks.
    #[test]
    fn forged_numbers_are_refused_or_sound(picks in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec!["0", "1", "2", "3", "7", "255", "65536", "4294967295", "18446744073709551615", "-1", "1e38", "0.5"])), 1..4)) {
        let bytes = write_glb(&sample()).unwrap();
        let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        let mut text = std::str::from_utf8(&bytes[20..20 + length]).unwrap().to_owned();
        for (pick, value) in picks {
            let numbers: Vec<(usize, usize)> = numbers(&text);
            let (start, end) = numbers[pick.index(numbers.len())];
            text.replace_range(start..end, value);
        }
        if let Ok(scene) = load(&with_json(&text, &bytes[20 + length..])) {
            check_promises(&scene);
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(load(&bytes).is_err());
        let glb = [b"glTF\x02\0\0\0".as_slice(), &bytes].concat();
        prop_assert!(load(&glb).is_err());
    }
}

/// Where the numbers are that follow `:`, `[` or `,`.
fn numbers(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let digit = |b: &u8| b.is_ascii_digit() || b"-+.eE".contains(b);
    let starts =
        (1..bytes.len()).filter(|&i| b":[,".contains(&bytes[i - 1]) && (bytes[i].is_ascii_digit() || bytes[i] == b'-'));
    starts
        .map(|i| (i, i + bytes[i..].iter().take_while(|b| digit(b)).count()))
        .collect()
}
