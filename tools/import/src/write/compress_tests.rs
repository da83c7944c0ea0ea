//! What a viewer unpacks is what was packed.

use glam::{Vec2, Vec3};
use tongyou_scene::Primitive;

use super::*;

/// What a viewer does: unpacks positions, normals, texture coordinates and indices.
#[test]
fn what_is_unpacked_is_what_was_packed() {
    let mut primitive = Primitive::default();
    for i in 0..50_u16 {
        for j in 0..50_u16 {
            let at = Vec2::new(f32::from(i), f32::from(j)) / 49.0;
            primitive
                .positions
                .push(Vec3::new(at.x * 30.0 - 5.0, (at.x * 6.0).sin(), at.y * 10.0 + 100.0));
            primitive
                .normals
                .push(Vec3::new(-(at.x * 6.0).cos(), 5.0, 0.0).normalize());
            primitive.tex_coords.push(at);
            primitive.colors.push([10, 200, u8::try_from(i).unwrap(), 255]);
        }
    }
    for i in 0..49_u32 {
        for j in 0..49_u32 {
            let at = i * 50 + j;
            primitive
                .indices
                .extend([at, at + 1, at + 50, at + 1, at + 51, at + 50]);
        }
    }
    let mut scene = Scene::default();
    crate::import::add(&mut scene, "hill".into(), primitive.clone());
    let plain = write_glb(&scene).unwrap();
    let packed = compress(&scene).unwrap();
    assert!(packed.len() * 4 < plain.len(), "{} of {}", packed.len(), plain.len());
    assert_eq!(packed, compress(&scene).unwrap());

    let (root, blob) = split(&packed).unwrap();
    assert_eq!(root["extensionsRequired"], json!([MESHOPT, QUANTIZATION]));
    let node = &root["nodes"][0];
    let float = |v: &Value| v.as_f64().unwrap();
    let view = |accessor: &Value| {
        let accessor = &root["accessors"][number(accessor).unwrap()];
        let view = &root["bufferViews"][number(&accessor["bufferView"]).unwrap()];
        let e = &view["extensions"][MESHOPT];
        let at = number(&e["byteOffset"]).unwrap();
        (
            &blob[at..at + number(&e["byteLength"]).unwrap()],
            number(&e["count"]).unwrap(),
        )
    };
    let attributes = &root["meshes"][0]["primitives"][0]["attributes"];
    let (bytes, count) = view(&attributes["POSITION"]);
    let rows: Vec<[u16; 4]> = meshopt::decode_vertex_buffer(bytes, count).unwrap();
    for (row, want) in rows.iter().zip(&primitive.positions) {
        for i in 0..3 {
            let got = f64::from(row[i]) / 65535.0 * float(&node["scale"][i]) + float(&node["translation"][i]);
            assert!((got - f64::from(want[i])).abs() < 30.0 / 131_000.0, "{row:?} {want}");
        }
    }
    let (bytes, count) = view(&attributes["NORMAL"]);
    let mut rows: Vec<[i8; 4]> = meshopt::decode_vertex_buffer(bytes, count).unwrap();
    meshopt::decode_filter_oct(&mut rows);
    for (row, want) in rows.iter().zip(&primitive.normals) {
        let got = Vec3::new(f32::from(row[0]), f32::from(row[1]), f32::from(row[2])).normalize();
        assert!(got.dot(*want) > 0.999, "{got} {want}");
    }
    let (bytes, count) = view(&root["meshes"][0]["primitives"][0]["indices"]);
    let indices: Vec<u16> = meshopt::decode_index_buffer(bytes, count).unwrap();
    // The codec may begin a triangle at another corner.
    let sorted = |all: Vec<u32>| -> Vec<[u32; 3]> {
        let turn = |t: &[u32; 3]| {
            let first = (0..3).min_by_key(|&i| t[i]).unwrap();
            [t[first], t[(first + 1) % 3], t[(first + 2) % 3]]
        };
        let mut all: Vec<[u32; 3]> = all.as_chunks::<3>().0.iter().map(turn).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(
        sorted(indices.into_iter().map(u32::from).collect()),
        sorted(primitive.indices)
    );
}

/// An image that is both colour and normal map is written once for each, and materials find theirs.
#[test]
fn images_become_textures_for_their_use() {
    let mut primitive = Primitive::default();
    for (x, z) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)] {
        primitive.positions.push(Vec3::new(x, 0.0, z));
        primitive.normals.push(Vec3::Y);
        primitive.tex_coords.push(Vec2::new(x, z));
    }
    primitive.indices = vec![0, 2, 1];
    primitive.material = Some(1);
    let mut scene = Scene::default();
    crate::import::add(&mut scene, "floor".into(), primitive);
    let image = |name: &str| Image {
        name: name.into(),
        width: 20,
        height: 12,
        pixels: [200, 100, 50, 128].repeat(240),
    };
    scene.images = vec![image("unused"), image("both")];
    let plain = crate::surface::ground::material();
    scene.materials = vec![
        tongyou_scene::Material {
            alpha: Alpha::Blend,
            base_color_texture: Some(1),
            ..plain.clone()
        },
        tongyou_scene::Material {
            normal_texture: Some(1),
            base_color_texture: Some(1),
            ..plain
        },
    ];
    let packed = compress(&scene).unwrap();
    let (root, blob) = split(&packed).unwrap();
    let required = root["extensionsRequired"].as_array().unwrap();
    assert!(required.contains(&json!(BASISU)), "{required:?}");
    // Colour with alpha, colour without, directions; the unused one is gone.
    assert_eq!(root["images"].as_array().unwrap().len(), 3);
    let pixel = |texture: &Value| {
        let texture = &root["textures"][number(&texture["index"]).unwrap()];
        assert!(texture.get("source").is_none());
        let image = &root["images"][number(&texture["extensions"][BASISU]["source"]).unwrap()];
        assert_eq!(image["mimeType"], "image/ktx2");
        let view = &root["bufferViews"][number(&image["bufferView"]).unwrap()];
        let at = number(&view["byteOffset"]).unwrap();
        let file = &blob[at..at + number(&view["byteLength"]).unwrap()];
        let texture = basisu::Transcoder::new(file).unwrap();
        let flags = basisu::DecodeFlags::default();
        let pixels = texture.transcode(0, basisu::TargetFormat::Rgba32, flags).unwrap();
        (texture.source_format(), [pixels[0], pixels[1], pixels[2], pixels[3]])
    };
    let near = |got: [u8; 4], want: [u8; 4]| assert!((0..4).all(|i| got[i].abs_diff(want[i]) < 8), "{got:?}");
    let (format, color) = pixel(&root["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]);
    assert_eq!(format, basisu::SourceFormat::Etc1s);
    near(color, [200, 100, 50, 128]);
    let (_, color) = pixel(&root["materials"][1]["pbrMetallicRoughness"]["baseColorTexture"]);
    near(color, [200, 100, 50, 255]);
    let (format, color) = pixel(&root["materials"][1]["normalTexture"]);
    assert_eq!(format, basisu::SourceFormat::UastcLdr);
    near(color, [200, 100, 50, 255]);
    assert_eq!(packed, compress(&scene).unwrap());
}
