//! glTF contents: turned upright, with what moves them far away taken off in f64 first.

use std::path::Path;

use glam::DVec3;
use serde_json::{Value, json};
use tongyou_scene::{Scene, read_glb};

use super::super::{Limits, embedded, gltf, prepare};
use crate::Error;
use crate::source::{Source, input};
use crate::write::glb::assemble;

/// Translations beyond this lose millimetres in f32.
const FAR_M: f64 = 1e4;

/// The scene of a content, z up (3D Tiles turns glTF's y to z), and where it is to be moved. A content's further files
/// lie beside it.
pub(super) fn scene(path: &Path, bytes: &[u8], limits: &Limits) -> Result<(Scene, DVec3), Error> {
    let fault = |place: &str, fault: String| input(path, place, fault);
    let unpacked;
    let bytes = if bytes.starts_with(b"glTF") {
        bytes
    } else {
        let source = Source::open(path)?;
        unpacked = embedded::always(&source)?;
        &unpacked
    };
    let (mut root, blob) = embedded::split(bytes).map_err(|f| fault("glTF", f))?;
    let hitch = unhitch(&mut root);
    upright(&mut root);
    let again = assemble(&root, blob.to_vec()).map_err(|f| fault("glTF", f))?;
    let (again, _) = prepare::prepared(again).map_err(|f| fault("glTF", f))?;
    let name = path.display().to_string();
    Ok((read_glb(&again, &name, &gltf::limits(limits))?, hitch))
}

fn number(value: Option<&Value>) -> f64 {
    value.and_then(Value::as_f64).unwrap_or(0.0)
}

/// Takes a large translation that all roots share off them, and `CESIUM_RTC`; returns it with z up.
fn unhitch(root: &mut Value) -> DVec3 {
    let three = |v: &Value, at: usize| DVec3::new(number(v.get(at)), number(v.get(at + 1)), number(v.get(at + 2)));
    let mut out = DVec3::ZERO;
    if let Some(center) = root.pointer("/extensions/CESIUM_RTC/center") {
        out += three(center, 0);
        for list in ["extensionsUsed", "extensionsRequired"] {
            if let Some(names) = root.get_mut(list).and_then(Value::as_array_mut) {
                names.retain(|n| n != "CESIUM_RTC");
            }
        }
    }
    let roots = roots(root);
    let translation = |node: &Value| match node.get("matrix") {
        Some(matrix) => three(matrix, 12),
        None => three(&node["translation"], 0),
    };
    let at: Vec<DVec3> = roots.iter().map(|&i| translation(&root["nodes"][i])).collect();
    let Some(&first) = at.first().filter(|f| f.length() > FAR_M) else {
        return out;
    };
    if at
        .iter()
        .any(|other| !other.is_finite() || other.distance(first) > FAR_M)
    {
        return out;
    }
    for (&index, at) in roots.iter().zip(at) {
        let moved = at - first;
        let node = &mut root["nodes"][index];
        if let Some(matrix) = node.get_mut("matrix").and_then(Value::as_array_mut) {
            for (slot, value) in matrix.iter_mut().skip(12).zip(moved.to_array()) {
                *slot = json!(value);
            }
        } else {
            node["translation"] = json!(moved.to_array());
        }
    }
    out + DVec3::new(first.x, -first.z, first.y)
}

/// The root nodes of the scene that is shown.
fn roots(root: &Value) -> Vec<usize> {
    let scene = usize::try_from(root["scene"].as_u64().unwrap_or(0)).unwrap_or(0);
    let count = root["nodes"].as_array().map_or(0, Vec::len);
    let nodes = root["scenes"][scene]["nodes"].as_array().into_iter().flatten();
    let nodes = nodes.filter_map(|n| usize::try_from(n.as_u64()?).ok());
    nodes.filter(|&n| n < count).collect()
}

/// Puts the roots under a node that turns y to z.
fn upright(root: &mut Value) {
    let roots = roots(root);
    let scene = usize::try_from(root["scene"].as_u64().unwrap_or(0)).unwrap_or(0);
    let half = std::f64::consts::FRAC_1_SQRT_2;
    let Some(nodes) = root.get_mut("nodes").and_then(Value::as_array_mut) else {
        return;
    };
    nodes.push(json!({"rotation": [half, 0.0, 0.0, half], "children": roots}));
    let turned = nodes.len() - 1;
    if let Some(scene) = root.pointer_mut(&format!("/scenes/{scene}")) {
        scene["nodes"] = json!([turned]);
    }
}
