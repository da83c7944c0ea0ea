//! Strips, texture coordinates of faces, opacity maps, colours of facets: what few files have and some need.

use std::path::Path;

use serde_json::{Value, json};
use tongyou_import::{Chunk, Limits, Look, Part, Source, read, write};
use tongyou_scene::{Alpha, Primitive, Scene, write_glb};

use crate::formats::file;

fn all(path: &Path) -> (Vec<Part>, Look) {
    let (mut parts, mut look) = (Vec::new(), Look::default());
    read(&Source::open(path).unwrap(), &Limits::default(), &mut |chunk| {
        match chunk {
            Chunk::Part(part) => parts.push(part),
            Chunk::Look(l) => look = l,
            _ => {}
        }
        Ok(())
    })
    .unwrap();
    (parts, look)
}

fn png(pixels: &[[u8; 4]], width: u32) -> Vec<u8> {
    let height = u32::try_from(pixels.len()).unwrap() / width;
    let image = image::RgbaImage::from_raw(width, height, pixels.concat()).unwrap();
    let mut out = std::io::Cursor::new(Vec::new());
    image.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

#[test]
fn strips_of_a_ply() {
    let text = "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\n\
                element tristrips 1\nproperty list int int vertex_indices\nend_header\n\
                0 0 0\n1 0 0\n0 1 0\n1 1 0\n2 2 0\n8 0 1 2 3 -1 2 3 4\n";
    let (_folder, path) = file("strips.ply", text.as_bytes());
    let (parts, _) = all(&path);
    assert_eq!(parts[0].indices, [0, 1, 2, 2, 1, 3, 2, 3, 4]);
}

#[test]
fn texture_coordinates_of_the_corners_of_faces() {
    let text = "ply\nformat ascii 1.0\ncomment TextureFile wall.png\nelement vertex 4\nproperty float x\n\
                property float y\nproperty float z\nelement face 2\nproperty list uchar int vertex_indices\n\
                property list uchar float texcoord\nend_header\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n\
                3 0 1 2 6 0 0 1 0 1 1\n3 0 2 3 6 0.5 0 1 1 0 1\n";
    let (folder, path) = file("wall.ply", text.as_bytes());
    std::fs::write(folder.path().join("wall.png"), png(&[[9, 8, 7, 255]], 1)).unwrap();
    let (parts, look) = all(&path);
    // Vertex 0 has two coordinates, vertex 2 the same one twice.
    assert_eq!((parts[0].positions.len(), parts[0].tex_coords.len()), (5, 5));
    assert_eq!(parts[0].indices, [0, 1, 2, 3, 2, 4]);
    assert_eq!(parts[0].tex_coords[3].to_array(), [0.5, 1.0]);
    assert_eq!(
        (parts[0].material, look.materials[0].base_color_texture),
        (Some(0), Some(0))
    );
    assert_eq!(look.images[0].pixels, [9, 8, 7, 255]);
}

#[test]
fn an_opacity_map_becomes_alpha() {
    let obj = "mtllib leaf.mtl\nusemtl leaf\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n";
    let check = |mask: &[[u8; 4]], want: &[u8], alpha: Alpha| {
        let (folder, path) = file("leaf.obj", obj.as_bytes());
        let library = "newmtl leaf\nmap_Kd leaf.png\nmap_d mask.png\n";
        std::fs::write(folder.path().join("leaf.mtl"), library).unwrap();
        std::fs::write(folder.path().join("leaf.png"), png(&[[10, 200, 30, 255]; 4], 2)).unwrap();
        std::fs::write(folder.path().join("mask.png"), png(mask, 2)).unwrap();
        let (_, look) = all(&path);
        let material = &look.materials[0];
        assert_eq!(material.alpha, alpha);
        let image = &look.images[material.base_color_texture.unwrap()];
        let got: Vec<u8> = image.pixels.as_chunks::<4>().0.iter().map(|p| p[3]).collect();
        assert_eq!(got, want);
        assert_eq!(image.pixels[..3], [10, 200, 30]);
    };
    let grey = |v: u8| [v, v, v, 255];
    check(
        &[grey(0), grey(255), grey(255), grey(0)],
        &[0, 255, 255, 0],
        Alpha::Mask(0.5),
    );
    check(&[grey(100); 4], &[100; 4], Alpha::Blend);
    check(&[[255, 255, 255, 0]; 4], &[0; 4], Alpha::Mask(0.5));
}

#[test]
fn facets_have_colours() {
    let mut bytes = vec![b' '; 80];
    bytes.extend(2_u32.to_le_bytes());
    for attribute in [0x8000 | 31 << 10, 0_u16] {
        bytes.extend([0; 12]);
        let corners = [[0.0_f32, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        bytes.extend(corners.iter().flatten().flat_map(|v| v.to_le_bytes()));
        bytes.extend(attribute.to_le_bytes());
    }
    let (_folder, path) = file("two.stl", &bytes);
    let (parts, _) = all(&path);
    // One place, two colours: two vertices.
    assert_eq!(parts[0].positions.len(), 6);
    assert_eq!(parts[0].colors[0], [255, 0, 0, 255]);
    assert_ne!(parts[0].colors[3], parts[0].colors[0]);
    // Magics: a colour of all, and one of a facet.
    let mut title = bytes.clone();
    title[..10].copy_from_slice(b"COLOR=\x00\xff\x00\xff");
    let (_folder, path) = file("magics.stl", &title);
    let (parts, _) = all(&path);
    assert!(parts[0].colors.contains(&[0, 255, 0, 255]), "{:?}", parts[0].colors);
}

/// The JSON of a GLB changed and put together again.
fn changed(glb: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(glb[at..at + 4].try_into().unwrap()) as usize;
    let mut root: Value = serde_json::from_slice(&glb[20..20 + word(12)]).unwrap();
    change(&mut root);
    let mut text = serde_json::to_vec(&root).unwrap();
    text.resize(text.len().next_multiple_of(4), b' ');
    let rest = &glb[20 + word(12)..];
    let size = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut out = b"glTF\x02\0\0\0".to_vec();
    out.extend(size(20 + text.len() + rest.len()));
    out.extend(size(text.len()));
    out.extend(b"JSON");
    [out, text, rest.to_vec()].concat()
}

#[test]
fn strips_and_second_coordinates_of_gltf() {
    let mut scene = Scene::default();
    let primitive = Primitive {
        positions: [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
            .map(|[x, y]: [f32; 2]| glam::Vec3::new(x, y, 0.0))
            .to_vec(),
        normals: vec![glam::Vec3::Z; 4],
        tex_coords: [0.0, 0.25, 0.5, 0.75].map(glam::Vec2::splat).to_vec(),
        indices: vec![0, 1, 2, 0, 1, 2],
        ..Primitive::default()
    };
    scene.meshes.push(tongyou_scene::Mesh {
        name: "m".into(),
        primitives: vec![primitive],
    });
    scene.nodes.push(tongyou_scene::Node {
        name: "n".into(),
        parent: None,
        translation: glam::Vec3::ZERO,
        rotation: glam::Quat::IDENTITY,
        scale: glam::Vec3::ONE,
        mesh: Some(0),
        light: None,
    });
    let glb = write_glb(&scene).unwrap();
    for (mode, want) in [(5, vec![0, 1, 2, 2, 1, 3]), (6, vec![0, 1, 2, 0, 2, 3])] {
        let strip = changed(&glb, |root| {
            root["meshes"][0]["primitives"][0]["mode"] = json!(mode);
            root["meshes"][0]["primitives"][0]
                .as_object_mut()
                .unwrap()
                .remove("indices");
        });
        let (_folder, path) = file("strip.glb", &strip);
        assert_eq!(all(&path).0[0].indices, want);
        // A strip by indices: three corners of the six are one triangle, the others turn.
        let indexed = changed(&glb, |root| root["meshes"][0]["primitives"][0]["mode"] = json!(mode));
        let (_folder, path) = file("indexed.glb", &indexed);
        assert!(!all(&path).0[0].indices.is_empty());
    }
    let second = changed(&glb, |root| {
        let attributes = &mut root["meshes"][0]["primitives"][0]["attributes"];
        attributes["TEXCOORD_1"] = attributes["TEXCOORD_0"].clone();
        attributes["TEXCOORD_0"] = attributes["TEXCOORD_1"].clone();
        attributes.as_object_mut().unwrap().remove("TEXCOORD_0");
        root["meshes"][0]["primitives"][0]["material"] = json!(0);
        root["images"] = json!([{"uri": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}]);
        root["textures"] = json!([{"source": 0}]);
        root["materials"] = json!([{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0, "texCoord": 1}}}]);
    });
    // Images by address are for files of JSON: the same as one.
    let word = |at: usize| u32::from_le_bytes(second[at..at + 4].try_into().unwrap()) as usize;
    let mut root: Value = serde_json::from_slice(&second[20..20 + word(12)]).unwrap();
    let (folder, path) = file("second.gltf", b"");
    std::fs::write(folder.path().join("b.bin"), &second[28 + word(12)..]).unwrap();
    root["buffers"][0]["uri"] = json!("b.bin");
    std::fs::write(&path, serde_json::to_vec(&root).unwrap()).unwrap();
    let (parts, look) = all(&path);
    assert_eq!(parts[0].tex_coords[3].to_array(), [0.75, 0.75]);
    assert_eq!(look.materials[0].base_color_texture, Some(0));
}

/// What carries a normal map is written with tangents, and what is packed comes back with them.
#[test]
fn normal_maps_are_written_with_tangents() {
    let obj = "mtllib wall.mtl\nusemtl wall\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n";
    let (folder, path) = file("wall.obj", obj.as_bytes());
    std::fs::write(folder.path().join("wall.mtl"), "newmtl wall\nmap_Bump n.png\n").unwrap();
    std::fs::write(folder.path().join("n.png"), png(&[[128, 128, 255, 255]; 16], 4)).unwrap();
    let (scene, _) = tongyou_import::import(&path, "wall", &tongyou_import::Options::default()).unwrap();
    for packed in [false, true] {
        let bytes = write::glb(&scene, packed).unwrap();
        let again = tongyou_scene::read_glb(&bytes, "wall", &tongyou_scene::Limits::default()).unwrap();
        let tangents = &again.meshes[0].primitives[0].tangents;
        assert_eq!(tangents.len(), 3, "packed: {packed}");
        assert!(
            tangents
                .iter()
                .all(|t| t.truncate().distance(glam::Vec3::X) < 0.02 && t.w == 1.0),
            "{tangents:?}"
        );
    }
}

/// A header that a widely used program wrote wrongly.
#[test]
fn a_comment_without_its_word() {
    let text = "ply\nformat ascii 1.0\nCreated by Blender3D 247 - www.blender.org, source file: \nelement vertex 1\n\
                property float x\nproperty float y\nproperty float z\nend_header\n0 0 0\n";
    let (_folder, path) = file("w.ply", text.as_bytes());
    assert_eq!(tongyou_import::inspect(&path).unwrap().counts, [("points", 1)]);
}

#[test]
fn a_budget_is_met_and_said() {
    let (folder, path) = file("mesh", &crate::samples::ply_mesh(crate::samples::Coding::Little));
    let out = folder.path().join("scene");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tongyou-import"))
        .arg(&path)
        .args(["--budget", "pico4", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("Pico4: ") && said.contains("fits"),
        "{said}"
    );
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["fit"]["budget"]["triangles"], 300_000);
}
