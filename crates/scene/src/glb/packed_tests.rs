//! Packed files: what a packer writes is read back, and no broken one does harm.

use serde_json::{Value, json};

use super::*;

/// A triangle strip of a grid: positions as 16-bit numbers (normalised or not), normals through the octahedral filter.
fn grid(normalized: bool) -> (Value, Vec<u8>) {
    const SIDE: u16 = 40;
    let mut positions: Vec<[u16; 4]> = Vec::new();
    for i in 0..SIDE {
        for j in 0..SIDE {
            positions.push([i * 1600, (i % 3) * 100, j * 1600, 0]);
        }
    }
    let mut indices = Vec::new();
    for i in 0..u32::from(SIDE) - 1 {
        for j in 0..u32::from(SIDE) - 1 {
            let at = i * u32::from(SIDE) + j;
            indices.extend([at, at + 1, at + 40, at + 1, at + 41, at + 40]);
        }
    }
    let normals: Vec<[i8; 4]> = meshopt::encode_filter_oct(&vec![[0.0_f32, 1.0, 0.0, 0.0]; positions.len()], 8);
    let parts = [
        meshopt::encode_vertex_buffer_level(&positions, 2, Some(0)).unwrap(),
        meshopt::encode_vertex_buffer_level(&normals, 2, Some(1)).unwrap(),
        meshopt::encode_index_buffer(&indices, positions.len()).unwrap(),
    ];
    let shapes = [
        (positions.len(), 8, "ATTRIBUTES", "NONE"),
        (positions.len(), 4, "ATTRIBUTES", "OCTAHEDRAL"),
        (indices.len(), 4, "TRIANGLES", "NONE"),
    ];
    let (mut blob, mut views, mut unpacked) = (Vec::new(), Vec::new(), 0);
    for (part, (count, stride, mode, filter)) in parts.iter().zip(shapes) {
        let mut view = json!({
            "buffer": 1, "byteOffset": unpacked, "byteLength": count * stride,
            "extensions": {"EXT_meshopt_compression": {
                "buffer": 0, "byteOffset": blob.len(), "byteLength": part.len(), "byteStride": stride,
                "count": count, "mode": mode, "filter": filter,
            }},
        });
        if mode == "ATTRIBUTES" {
            view["byteStride"] = json!(stride);
        }
        views.push(view);
        unpacked += count * stride;
        blob.extend_from_slice(part);
        blob.resize(blob.len().next_multiple_of(4), 0);
    }
    let root = json!({
        "asset": {"version": "2.0"},
        "extensionsUsed": ["EXT_meshopt_compression", "KHR_mesh_quantization"],
        "extensionsRequired": ["EXT_meshopt_compression", "KHR_mesh_quantization"],
        "buffers": [{"byteLength": blob.len()}, {"byteLength": unpacked, "extensions": {"EXT_meshopt_compression": {"fallback": true}}}],
        "bufferViews": views,
        "accessors": [
            {"bufferView": 0, "componentType": 5123, "normalized": normalized, "count": positions.len(), "type": "VEC3"},
            {"bufferView": 1, "componentType": 5120, "normalized": true, "count": positions.len(), "type": "VEC3"},
            {"bufferView": 2, "componentType": 5125, "count": indices.len(), "type": "SCALAR"},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "NORMAL": 1}, "indices": 2}]}],
        "nodes": [{"mesh": 0, "scale": [2.0, 2.0, 2.0]}], "scenes": [{"nodes": [0]}], "scene": 0,
    });
    (root, blob)
}

fn glb(root: &Value, blob: &[u8]) -> Vec<u8> {
    let mut text = serde_json::to_vec(root).unwrap();
    text.resize(text.len().next_multiple_of(4), b' ');
    let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut out = b"glTF\x02\0\0\0".to_vec();
    out.extend(word(28 + text.len() + blob.len()));
    for (kind, body) in [(b"JSON", text.as_slice()), (b"BIN\0", blob)] {
        out.extend(word(body.len()));
        out.extend(kind);
        out.extend(body);
    }
    out
}

#[test]
fn packed_and_quantised_geometry_is_read() {
    for (normalized, last) in [(true, 39.0 * 1600.0 / 65535.0), (false, 39.0 * 1600.0)] {
        let (root, blob) = grid(normalized);
        let scene = read_glb(&glb(&root, &blob), "grid", &Limits::default()).unwrap();
        let primitive = &scene.meshes[0].primitives[0];
        assert_eq!(
            (primitive.positions.len(), primitive.indices.len()),
            (1600, 39 * 39 * 6)
        );
        let far = primitive.positions[1599];
        assert!(
            (far.x - last).abs() < 1e-6 * last && (far.z - last).abs() < 1e-6 * last,
            "{far}"
        );
        assert!(primitive.normals.iter().all(|n| n.distance(Vec3::Y) < 1e-6));
        // Each triangle is there, whichever corner it begins with.
        assert!(primitive.indices.contains(&1599));
    }
}

#[test]
fn integers_need_the_extension_that_allows_them() {
    let (mut root, blob) = grid(false);
    root["extensionsUsed"] = json!(["EXT_meshopt_compression"]);
    root["extensionsRequired"] = json!(["EXT_meshopt_compression"]);
    let fault = read_glb(&glb(&root, &blob), "grid", &Limits::default())
        .unwrap_err()
        .to_string();
    assert!(fault.contains("expected floats"), "{fault}");
}

#[test]
fn what_a_view_says_is_not_believed() {
    let check = |key: &str, value: Value, want: &str| {
        let (mut root, blob) = grid(true);
        root["bufferViews"][0]["extensions"]["EXT_meshopt_compression"][key] = value.clone();
        // A forger would make the view agree.
        let object = &root["bufferViews"][0]["extensions"]["EXT_meshopt_compression"];
        if let (Some(count), Some(stride)) = (object["count"].as_u64(), object["byteStride"].as_u64()) {
            root["bufferViews"][0]["byteLength"] = json!(count.saturating_mul(stride));
        }
        let fault = read_glb(&glb(&root, &blob), "grid", &Limits::default())
            .unwrap_err()
            .to_string();
        assert!(
            fault.contains("bufferView 0") && fault.contains(want),
            "{key} {value}: {fault}"
        );
    };
    check("count", json!(u32::MAX), "unpacked bytes are more than the allowed");
    check("count", json!(u64::MAX), "unpacked bytes are more than the allowed");
    check("count", json!(40_000_000), "promises");
    check("count", json!(1601), "are not 1601 packed rows");
    check("count", json!(-1), "invalid value");
    check("byteStride", json!(0), "do not fit mode");
    check("byteStride", json!(6), "do not fit mode");
    check("byteStride", json!(256), "do not fit mode");
    check("byteStride", json!(12), "packed rows");
    check("byteOffset", json!(u64::MAX), "outside its buffer");
    check("byteLength", json!(1 << 30), "outside its buffer");
    check("byteLength", json!(3), "packed rows");
    check("buffer", json!(7), "buffer 7");
    check("buffer", json!(1), "outside its buffer");
    check("mode", json!("TRIANGLES"), "do not fit mode");
    check("mode", json!("POINTS"), "unknown variant");
    check("filter", json!("SPIRAL"), "unknown variant");
}

#[test]
fn broken_bytes_are_an_error_or_other_numbers() {
    let (root, blob) = grid(true);
    let whole = glb(&root, &blob);
    let start = whole.len() - blob.len();
    let mut state = 9_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut refused = 0;
    for _ in 0..4000 {
        let mut bytes = whole.clone();
        for _ in 0..=random(6) {
            let at = start + random(blob.len());
            bytes[at] = u8::try_from(random(256)).unwrap();
        }
        refused += usize::from(read_glb(&bytes, "grid", &Limits::default()).is_err());
    }
    assert!(refused > 100, "{refused}");
    for cut in 0..blob.len() {
        assert!(read_glb(&whole[..start + cut], "grid", &Limits::default()).is_err());
    }
}

/// A KTX2 header and one level of UASTC blocks, none of them right.
fn ktx2(width: u32, height: u32) -> Vec<u8> {
    let mut out = vec![
        0xAB, b'K', b'T', b'X', b' ', b'2', b'0', 0xBB, b'\r', b'\n', 0x1A, b'\n',
    ];
    // No file is that large; its header may say so.
    let blocks = u64::from(width.div_ceil(4) & 0xffff) * u64::from(height.div_ceil(4) & 0xffff);
    let words = [0, 1, width, height, 0, 0, 1, 1, 0, 104, 44, 0, 0];
    out.extend(words.iter().flat_map(|w: &u32| w.to_le_bytes()));
    out.extend(
        [0_u64, 0, 148, blocks * 16, blocks * 16]
            .iter()
            .flat_map(|w| w.to_le_bytes()),
    );
    out.resize(148, 0);
    // Data format: 44 bytes, one sample, UASTC, linear.
    out[104..108].copy_from_slice(&44_u32.to_le_bytes());
    out[112..116].copy_from_slice(&[2, 0, 40, 0]);
    out[116..120].copy_from_slice(&[166, 1, 1, 0]);
    out[120..122].copy_from_slice(&[3, 3]);
    out[124] = 16;
    out[132..136].copy_from_slice(&[0, 0, 127, 0]);
    out.resize(148 + usize::try_from(blocks.min(4096)).unwrap() * 16, 0x5A);
    out
}

fn with_image(image: &[u8]) -> Result<Scene, Error> {
    let root = json!({
        "asset": {"version": "2.0"}, "extensionsUsed": ["KHR_texture_basisu"],
        "buffers": [{"byteLength": image.len()}],
        "bufferViews": [{"buffer": 0, "byteLength": image.len()}],
        "images": [{"bufferView": 0, "mimeType": "image/ktx2"}],
        "textures": [{"extensions": {"KHR_texture_basisu": {"source": 0}}}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
    });
    read_glb(&glb(&root, image), "image", &Limits::default())
}

#[test]
fn ktx2_headers_are_not_believed() {
    let check = |image: &[u8], want: &str| {
        let fault = with_image(image).unwrap_err().to_string();
        assert!(fault.contains("image 0") && fault.contains(want), "{fault}");
    };
    check(&ktx2(0, 8), "0 × 8");
    check(&ktx2(u32::MAX, u32::MAX), "pixels on a side");
    check(&ktx2(8, 8)[..39], "ends inside its header");
    let mut forged = ktx2(8, 8);
    forged[96..104].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    check(&forged, "more bytes than its pixels");
    let mut array = ktx2(8, 8);
    array[32] = 3;
    check(&array, "3 layers");
    check(&ktx2(64, 64)[..200], "no Basis Universal texture");
    // Whatever the blocks say, they are pixels or an error.
    let plain = ktx2(16, 16);
    let mut state = 5_u32;
    for _ in 0..3000 {
        let mut bytes = plain.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = 44 + (state >> 8) as usize % (bytes.len() - 44);
            bytes[at] = state.to_le_bytes()[3];
        }
        let _ = with_image(&bytes);
    }
}

#[test]
fn points_are_read_where_they_stand() {
    let (mut root, blob) = grid(false);
    root["meshes"][0]["primitives"][0] = json!({"attributes": {"POSITION": 0}, "mode": 0});
    let points = read_points(&glb(&root, &blob), "points", &Limits::default()).unwrap();
    assert_eq!(points.len(), 1600);
    // The node doubles everything.
    assert_eq!(points[1599], Vec3::new(39.0 * 3200.0, 0.0, 39.0 * 3200.0));
    let scene = read_points(&glb(&grid(false).0, &grid(false).1), "triangles", &Limits::default()).unwrap();
    assert!(scene.is_empty(), "triangles are no points");
}
