//! Rewrites a GLB so that the server's loader reads it: triangle strips and fans become lists, a material's textures
//! use the first set of coordinates, points and lines beside meshes are left out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::embedded::split;
use crate::write::glb::assemble;

const LIST: u64 = 4;
const STRIP: u64 = 5;
const FAN: u64 = 6;
const TEXTURES: [&str; 5] = [
    "/pbrMetallicRoughness/baseColorTexture",
    "/pbrMetallicRoughness/metallicRoughnessTexture",
    "/normalTexture",
    "/emissiveTexture",
    "/occlusionTexture",
];

/// Whether there is something to rewrite.
pub(super) fn is_needed(root: &Value) -> bool {
    let odd = |p: &Value| mode(p) != LIST;
    let far = |m: &Value| TEXTURES.iter().any(|path| set(m, path).is_some_and(|set| set != 0));
    list(root, "meshes").flat_map(|m| list(m, "primitives")).any(odd) || list(root, "materials").any(far)
}

/// A GLB without them, and what was left out.
pub(super) fn prepared(glb: Vec<u8>) -> Result<(Vec<u8>, Vec<String>), String> {
    let (mut root, blob) = split(&glb)?;
    if !is_needed(&root) {
        return Ok((glb, Vec::new()));
    }
    let mut blob = blob.to_vec();
    let mut warnings = Vec::new();
    drop_lines(&mut root, &mut warnings);
    strips(&mut root, &mut blob)?;
    coordinates(&mut root, &mut warnings);
    if let Some(buffer) = root.pointer_mut("/buffers/0") {
        buffer["byteLength"] = json!(blob.len());
    }
    Ok((assemble(&root, blob)?, warnings))
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

fn mode(primitive: &Value) -> u64 {
    primitive.get("mode").map_or(LIST, |m| m.as_u64().unwrap_or(u64::MAX))
}

fn primitives(root: &mut Value) -> impl Iterator<Item = &mut Vec<Value>> {
    let meshes = root
        .get_mut("meshes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten();
    meshes.filter_map(|m| m.get_mut("primitives")?.as_array_mut())
}

/// Leaves out points and lines where a mesh has triangles too; a mesh of nothing else stays for the loader to refuse.
fn drop_lines(root: &mut Value, warnings: &mut Vec<String>) {
    let mut dropped = 0;
    for all in primitives(root) {
        if all.iter().any(|p| (LIST..=FAN).contains(&mode(p))) {
            let before = all.len();
            all.retain(|p| mode(p) >= LIST);
            dropped += before - all.len();
        }
    }
    if dropped > 0 {
        warnings.push(format!(
            "{dropped} primitives of points or lines are left out: the file has triangles"
        ));
    }
}

fn strips(root: &mut Value, blob: &mut Vec<u8>) -> Result<(), String> {
    let mut found: Vec<(usize, usize, Vec<u32>)> = Vec::new();
    for (m, mesh) in list(root, "meshes").enumerate() {
        for (p, primitive) in list(mesh, "primitives").enumerate() {
            let kind = mode(primitive);
            if kind == STRIP || kind == FAN {
                let place = |fault: &str| format!("mesh {m}, primitive {p}: {fault}");
                let corners = corners(root, primitive, blob).map_err(|f| place(&f))?;
                found.push((m, p, triangles(&corners, kind == FAN)));
            }
        }
    }
    for (m, p, indices) in found {
        blob.resize(blob.len().next_multiple_of(4), 0);
        let at = blob.len();
        blob.extend(indices.iter().flat_map(|i| i.to_le_bytes()));
        let view = push(
            root,
            "bufferViews",
            json!({"buffer": 0, "byteOffset": at, "byteLength": indices.len() * 4}),
        );
        let accessor = json!({"bufferView": view, "componentType": 5125, "count": indices.len(), "type": "SCALAR"});
        let accessor = push(root, "accessors", accessor);
        let primitive = &mut root["meshes"][m]["primitives"][p];
        primitive["indices"] = json!(accessor);
        primitive["mode"] = json!(LIST);
    }
    Ok(())
}

fn push(root: &mut Value, name: &str, value: Value) -> usize {
    if !root[name].is_array() {
        root[name] = json!([]);
    }
    let all = root[name].as_array_mut();
    all.map_or(0, |all| {
        all.push(value);
        all.len() - 1
    })
}

fn number(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// The corners of a primitive in their order.
fn corners(root: &Value, primitive: &Value, blob: &[u8]) -> Result<Vec<u32>, String> {
    let accessor = |index: &Value| number(index).and_then(|i| root["accessors"].get(i));
    let Some(indices) = primitive.get("indices") else {
        let count = accessor(&primitive["attributes"]["POSITION"]).and_then(|a| number(&a["count"]));
        // As many corners as there are positions: their bytes are the loader's to check, here they bound memory.
        let count = count.filter(|&c| c <= blob.len()).and_then(|c| u32::try_from(c).ok());
        return Ok((0..count.ok_or("has no positions, or more than there are bytes")?).collect());
    };
    let accessor = accessor(indices).ok_or("has no such indices")?;
    let view = number(&accessor["bufferView"]).and_then(|v| root["bufferViews"].get(v));
    let view = view.ok_or("has indices without bytes")?;
    if view.get("extensions").is_some() || number(&view["buffer"]) != Some(0) || accessor.get("sparse").is_some() {
        return Err("has a strip whose indices are packed, which is not read".into());
    }
    let width = match accessor["componentType"].as_u64() {
        Some(5121) => 1,
        Some(5123) => 2,
        Some(5125) => 4,
        _ => return Err("has indices that are not whole numbers".into()),
    };
    let offset = |v: &Value| v.get("byteOffset").map_or(Some(0), number);
    let bytes = || {
        let at = offset(view)?.checked_add(offset(accessor)?)?;
        let length = number(&accessor["count"])?.checked_mul(width)?;
        blob.get(at..at.checked_add(length)?)
    };
    let bytes = bytes().ok_or("has indices outside of its buffer")?;
    let one = |b: &[u8]| b.iter().rev().fold(0, |all, &b| all << 8 | u32::from(b));
    Ok(bytes.chunks_exact(width).map(one).collect())
}

/// Triangles of a strip or a fan, those that only turn a corner left out.
pub(super) fn triangles(corners: &[u32], is_fan: bool) -> Vec<u32> {
    let mut out = Vec::with_capacity(corners.len().saturating_sub(2) * 3);
    for at in 2..corners.len() {
        let triangle = match (is_fan, at % 2) {
            (true, _) => [corners[0], corners[at - 1], corners[at]],
            (false, 0) => [corners[at - 2], corners[at - 1], corners[at]],
            (false, _) => [corners[at - 1], corners[at - 2], corners[at]],
        };
        let [a, b, c] = triangle;
        if a != b && b != c && a != c {
            out.extend(triangle);
        }
    }
    out
}

/// The set of coordinates that a material's texture uses.
fn set(material: &Value, path: &str) -> Option<u64> {
    let texture = material.pointer(path)?;
    Some(texture.get("texCoord").and_then(Value::as_u64).unwrap_or(0))
}

/// Makes the set of a material's first texture the first set of all that have the material.
fn coordinates(root: &mut Value, warnings: &mut Vec<String>) {
    let mut sets: BTreeMap<u64, u64> = BTreeMap::new();
    let materials = root.get_mut("materials").and_then(Value::as_array_mut);
    for (index, material) in (0..).zip(materials.into_iter().flatten()) {
        let Some(main) = TEXTURES.iter().find_map(|path| set(material, path)) else {
            continue;
        };
        for path in TEXTURES {
            let Some(own) = set(material, path) else { continue };
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let parent = material.pointer_mut(parent).and_then(Value::as_object_mut);
            let Some(parent) = parent else { continue };
            if own == main {
                if let Some(texture) = parent.get_mut(name).and_then(Value::as_object_mut) {
                    texture.remove("texCoord");
                }
            } else {
                parent.remove(name);
                // Occlusion is not drawn anyway.
                if name != "occlusionTexture" {
                    warnings.push(format!(
                        "material {index}: {name} uses texture coordinates {own}, the first texture {main}: it is left out"
                    ));
                }
            }
        }
        if main != 0 {
            sets.insert(index, main);
        }
    }
    for primitive in primitives(root).flatten() {
        let set = primitive["material"].as_u64().and_then(|m| sets.get(&m));
        if let (Some(set), Some(attributes)) = (set, primitive["attributes"].as_object_mut()) {
            match attributes.get(&format!("TEXCOORD_{set}")).cloned() {
                Some(accessor) => attributes.insert("TEXCOORD_0".into(), accessor),
                None => attributes.remove("TEXCOORD_0"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_keep_their_sides() {
        assert_eq!(triangles(&[0, 1, 2, 3, 4], false), [0, 1, 2, 2, 1, 3, 2, 3, 4]);
        // A corner twice joins two strips.
        assert_eq!(
            triangles(&[0, 1, 2, 2, 5, 5, 5, 6, 7], false),
            [0, 1, 2, 5, 6, 7].map(|i| i)
        );
        assert_eq!(triangles(&[9, 1, 2, 3], true), [9, 1, 2, 9, 2, 3]);
        assert!(triangles(&[1, 2], false).is_empty());
    }
}
