//! Points of a tile as a GLB: whole steps as floats through meshopt's exponential filter, colours in bytes.

use glam::DVec3;
use serde_json::json;

use super::lattice::{Lattice, Point};
use crate::{color, write};

const MESHOPT: &str = "EXT_meshopt_compression";

/// A GLB of points. Places are exact multiples of the lattice's step around the node's translation, as long as the
/// tile is less than 2²⁴ steps wide; a larger one loses the bits that f32 has not got.
pub(super) fn encode(lattice: &Lattice, points: &[Point]) -> Result<Vec<u8>, String> {
    let (mut min, mut max) = ([u32::MAX; 3], [0; 3]);
    for point in points {
        for axis in 0..3 {
            min[axis] = min[axis].min(point.at[axis]);
            max[axis] = max[axis].max(point.at[axis]);
        }
    }
    let widest = (0..3).map(|a| max[a].saturating_sub(min[a])).max().unwrap_or_default();
    let middle = [0, 1, 2].map(|a| min[a] / 2 + max[a] / 2);
    // 24-bit mantissas, one of them the sign.
    let lost = (u32::BITS - widest.leading_zeros()).saturating_sub(24);
    #[expect(clippy::cast_possible_truncation, reason = "a power of two between -20 and 0")]
    let exponent = lattice.step_m.log2().round() as i32 + lost.cast_signed();
    // Scene axes: x east, y up, z south.
    let steps = |point: &Point| {
        let [east, north, up] = [0, 1, 2].map(|a| i64::from(point.at[a]) - i64::from(middle[a]));
        [east, up, -north].map(|v| (v >> lost).clamp(-(1 << 23), (1 << 23) - 1))
    };
    let scale = f64::from(exponent).exp2();
    let mut rows: Vec<[u32; 3]> = Vec::with_capacity(points.len());
    let mut colors: Vec<[u8; 4]> = Vec::with_capacity(points.len());
    let (mut low, mut high) = ([i64::MAX; 3], [i64::MIN; 3]);
    for point in points {
        let place = steps(point);
        for axis in 0..3 {
            low[axis] = low[axis].min(place[axis]);
            high[axis] = high[axis].max(place[axis]);
        }
        rows.push(place.map(|v| pack(v, exponent)));
        let [r, g, b] = point.rgb;
        // Padded to four bytes; the accessor reads three.
        let [r, g, b, _] = color::linear([r, g, b, 0]);
        colors.push([r, g, b, 0]);
    }
    let packed_rows = meshopt::encode_vertex_buffer_level(&rows, 2, Some(0)).map_err(|e| e.to_string())?;
    let packed_colors = meshopt::encode_vertex_buffer_level(&colors, 2, Some(0)).map_err(|e| e.to_string())?;
    let count = points.len();
    let colors_at = packed_rows.len().next_multiple_of(4);
    let view = |offset: usize, length: usize, stride: usize, unpacked: usize, filter: Option<&str>| {
        let mut packed = json!({
            "buffer": 0, "byteOffset": offset, "byteLength": length, "byteStride": stride, "count": count,
            "mode": "ATTRIBUTES",
        });
        if let Some(filter) = filter {
            packed["filter"] = json!(filter);
        }
        json!({
            "buffer": 1, "byteOffset": unpacked, "byteLength": count * stride, "byteStride": stride, "target": 34962,
            "extensions": {MESHOPT: packed},
        })
    };
    #[expect(clippy::cast_precision_loss, reason = "at most 24 bits")]
    let metres = |v: [i64; 3]| v.map(|v| v as f64 * scale);
    let at = lattice.position(middle);
    let translation = DVec3::new(at.x, at.z, -at.y).to_array();
    let root = json!({
        "asset": {"version": "2.0", "generator": concat!("tongyou-import ", env!("CARGO_PKG_VERSION"))},
        "extensionsUsed": [MESHOPT],
        "extensionsRequired": [MESHOPT],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "translation": translation}],
        "meshes": [{"primitives": [{"mode": 0, "attributes": {"POSITION": 0, "COLOR_0": 1}}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": count, "min": metres(low), "max": metres(high)},
            {"bufferView": 1, "componentType": 5121, "normalized": true, "type": "VEC3", "count": count},
        ],
        "bufferViews": [
            view(0, packed_rows.len(), 12, 0, Some("EXPONENTIAL")),
            view(colors_at, packed_colors.len(), 4, count * 12, None),
        ],
        "buffers": [
            {"byteLength": (colors_at + packed_colors.len()).next_multiple_of(4)},
            {"byteLength": count * 16, "extensions": {MESHOPT: {"fallback": true}}},
        ],
    });
    let mut blob = packed_rows;
    blob.resize(colors_at, 0);
    blob.extend_from_slice(&packed_colors);
    write::glb::assemble(&root, blob)
}

/// A number as meshopt's exponential filter has it: exponent in the upper byte, mantissa in the lower three.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "24 bits of a mantissa and 8 of an exponent, both as two's complement"
)]
fn pack(mantissa: i64, exponent: i32) -> u32 {
    (exponent as u32) << 24 | (mantissa as u32 & 0xFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_decodes_to_the_places_it_was_made_of() {
        let lattice = Lattice::around(DVec3::new(-300.0, 100.0, -5.0), DVec3::new(200.0, 420.0, 40.0), None);
        let points: Vec<Point> = (0..5000_u32)
            .map(|i| {
                let t = f64::from(i) / 5000.0;
                let p = DVec3::new(
                    -300.0 + 500.0 * t,
                    100.0 + 320.0 * (t * 9.0).fract(),
                    -5.0 + 45.0 * t * t,
                );
                lattice.point(p, [255, 128, 0]).unwrap()
            })
            .collect();
        let glb = encode(&lattice, &points).unwrap();
        assert!(glb.len() < 5000 * 12, "{} bytes", glb.len());
        let length = |at: usize| u32::from_le_bytes(glb[at..at + 4].try_into().unwrap()) as usize;
        let json: serde_json::Value = serde_json::from_slice(&glb[20..20 + length(12)]).unwrap();
        let blob = &glb[28 + length(12)..];
        let view = &json["bufferViews"][0]["extensions"][MESHOPT];
        let size = usize::try_from(view["byteLength"].as_u64().unwrap()).unwrap();
        let rows: Vec<[u32; 3]> = meshopt::decode_vertex_buffer(&blob[..size], points.len()).unwrap();
        let translation: Vec<f64> = serde_json::from_value(json["nodes"][0]["translation"].clone()).unwrap();
        for (row, point) in rows.iter().zip(&points) {
            // The filter as the extension's text has it.
            let float = |v: u32| f64::from((v << 8).cast_signed() >> 8) * f64::from(v.cast_signed() >> 24).exp2();
            let p = DVec3::from(row.map(float)) + DVec3::from_slice(&translation);
            let want = lattice.position(point.at);
            assert_eq!(DVec3::new(p.x, -p.z, p.y), want);
        }
    }
}
