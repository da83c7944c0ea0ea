//! Splats as `KHR_gaussian_splatting`: linear scale, opacity 0..=1, xyzw rotations, the kernel of an ellipse.

use meshopt::EncodeExpMode;
use serde_json::{Map, Value, json};

use super::harmonics::degree;
use crate::Splat;
use crate::color::byte;
use crate::write::glb::assemble;

const SPLATTING: &str = "KHR_gaussian_splatting";
const MESHOPT: &str = "EXT_meshopt_compression";
/// The constant function of the spherical harmonics.
const SH_0: f32 = 0.282_094_8;
const FLOAT: u32 = 5126;
const U16: u32 = 5123;
const I16: u32 = 5122;
const U8: u32 = 5121;

/// A GLB with splats that are placed in a scene. `packed` rounds them (positions to 2⁻²⁰ of the largest, sizes to
/// 2⁻¹¹, harmonics to 2⁻⁹ of themselves) and packs them by `EXT_meshopt_compression`.
///
/// # Errors
/// Where there is no splat, or the file would pass 4 GiB.
pub fn glb(splats: &[Splat], name: &str, packed: bool) -> Result<Vec<u8>, String> {
    if splats.is_empty() {
        return Err("has no splats".into());
    }
    let mut out = Out {
        packed,
        blob: Vec::new(),
        unpacked: 0,
        views: Vec::new(),
        accessors: Vec::new(),
        attributes: Map::new(),
    };
    out.positions(splats)?;
    out.colors(splats)?;
    let rotations: Vec<[f32; 4]> = splats.iter().map(|s| super::upright(s.rotation).to_array()).collect();
    if packed {
        let rows = meshopt::encode_filter_quat(&rotations, 12);
        out.rows(&format!("{SPLATTING}:ROTATION"), &rows, I16, "VEC4", Some("QUATERNION"))?;
    } else {
        out.rows(&format!("{SPLATTING}:ROTATION"), &rotations, FLOAT, "VEC4", None)?;
    }
    let scales: Vec<[f32; 3]> = splats.iter().map(|s| s.scale.to_array()).collect();
    out.floats(&format!("{SPLATTING}:SCALE"), &scales, 12, EncodeExpMode::Separate)?;
    out.opacities(splats)?;
    let constant = |s: &Splat| s.color.to_array().map(|v| (v - 0.5) / SH_0);
    let constants: Vec<[f32; 3]> = splats.iter().map(constant).collect();
    out.floats(
        &format!("{SPLATTING}:SH_DEGREE_0_COEF_0"),
        &constants,
        12,
        EncodeExpMode::SharedVector,
    )?;
    // Bands are whole or not there, for all splats alike.
    let degree = splats.iter().map(|s| degree(s.harmonics.len())).min().unwrap_or(0);
    for l in 1..=degree {
        for order in 0..=2 * l {
            let at = (l * l - 1 + order) * 3;
            let rows: Vec<[f32; 3]> = splats
                .iter()
                .map(|s| [s.harmonics[at], s.harmonics[at + 1], s.harmonics[at + 2]])
                .collect();
            let semantic = format!("{SPLATTING}:SH_DEGREE_{l}_COEF_{order}");
            out.floats(&semantic, &rows, 10, EncodeExpMode::SharedVector)?;
        }
    }
    out.finish(name)
}

struct Out {
    packed: bool,
    blob: Vec<u8>,
    /// Bytes of all packed views once they are unpacked.
    unpacked: usize,
    views: Vec<Value>,
    accessors: Vec<Value>,
    attributes: Map<String, Value>,
}

/// Numbers that a view can hold.
trait Number: Copy {
    fn little(self) -> impl IntoIterator<Item = u8>;
}

macro_rules! numbers {
    ($($kind:ty),*) => {$(
        impl Number for $kind {
            fn little(self) -> impl IntoIterator<Item = u8> {
                self.to_le_bytes()
            }
        }
    )*};
}
numbers!(u8, u16, i16, u32, f32);

impl Out {
    fn rows<T: Number, const N: usize>(
        &mut self,
        semantic: &str,
        rows: &[[T; N]],
        component: u32,
        shape: &str,
        filter: Option<&str>,
    ) -> Result<(), String> {
        let stride = size_of::<[T; N]>();
        self.blob.resize(self.blob.len().next_multiple_of(4), 0);
        let at = self.blob.len();
        let mut view = json!({"buffer": 0, "byteOffset": at, "byteStride": stride, "target": 34962});
        if self.packed {
            let packed = meshopt::encode_vertex_buffer_level(rows, 2, Some(0)).map_err(|e| e.to_string())?;
            let mut extension = json!({
                "buffer": 0, "byteOffset": at, "byteLength": packed.len(), "byteStride": stride,
                "count": rows.len(), "mode": "ATTRIBUTES",
            });
            if let Some(filter) = filter {
                extension["filter"] = json!(filter);
            }
            self.blob.extend(packed);
            view["buffer"] = json!(1);
            view["byteOffset"] = json!(self.unpacked);
            view["extensions"] = json!({MESHOPT: extension});
            self.unpacked += size_of_val(rows);
        } else {
            self.blob.extend(rows.iter().flatten().flat_map(|&v| v.little()));
        }
        view["byteLength"] = json!(size_of_val(rows));
        self.views.push(view);
        let mut accessor = json!({
            "bufferView": self.views.len() - 1, "componentType": component, "count": rows.len(), "type": shape,
        });
        if component != FLOAT {
            accessor["normalized"] = json!(true);
        }
        self.accessors.push(accessor);
        self.attributes.insert(semantic.into(), json!(self.accessors.len() - 1));
        Ok(())
    }

    fn floats(&mut self, semantic: &str, rows: &[[f32; 3]], bits: i32, mode: EncodeExpMode) -> Result<(), String> {
        if !self.packed {
            return self.rows(semantic, rows, FLOAT, "VEC3", None);
        }
        let rows = meshopt::encode_filter_exp(rows, bits, mode);
        self.rows(semantic, &rows, FLOAT, "VEC3", Some("EXPONENTIAL"))
    }

    fn positions(&mut self, splats: &[Splat]) -> Result<(), String> {
        let mut rows: Vec<[f32; 3]> = splats.iter().map(|s| s.position.to_array()).collect();
        self.floats("POSITION", &rows, 20, EncodeExpMode::SharedComponent)?;
        if self.packed {
            // The bounds are those of what is unpacked.
            let coded = meshopt::encode_filter_exp(&rows, 20, EncodeExpMode::SharedComponent);
            rows = decoded(&coded);
        }
        let extreme = |pick: fn(f32, f32) -> f32, start: f32| -> Vec<f32> {
            (0..3).map(|i| rows.iter().fold(start, |a, r| pick(a, r[i]))).collect()
        };
        if let Some(accessor) = self.accessors.last_mut() {
            accessor["min"] = json!(extreme(f32::min, f32::INFINITY));
            accessor["max"] = json!(extreme(f32::max, f32::NEG_INFINITY));
        }
        Ok(())
    }

    /// What a viewer that knows no splats shows: points in the constant colour, linear as glTF's vertex colours are.
    fn colors(&mut self, splats: &[Splat]) -> Result<(), String> {
        let color = |s: &Splat| {
            let [r, g, b] = s.color.to_array().map(|v| byte(f64::from(v)));
            crate::color::linear([r, g, b, byte(f64::from(s.opacity))])
        };
        let rows: Vec<[u8; 4]> = splats.iter().map(color).collect();
        self.rows("COLOR_0", &rows, U8, "VEC4", None)
    }

    fn opacities(&mut self, splats: &[Splat]) -> Result<(), String> {
        let semantic = format!("{SPLATTING}:OPACITY");
        if !self.packed {
            let rows: Vec<[f32; 1]> = splats.iter().map(|s| [s.opacity]).collect();
            return self.rows(&semantic, &rows, FLOAT, "SCALAR", None);
        }
        // Rows of attributes are multiples of four bytes.
        let whole = |v: f32| u16::from(byte(f64::from(v))) * 257;
        let rows: Vec<[u16; 2]> = splats.iter().map(|s| [whole(s.opacity), 0]).collect();
        self.rows(&semantic, &rows, U16, "SCALAR", None)
    }

    fn finish(mut self, name: &str) -> Result<Vec<u8>, String> {
        self.blob.resize(self.blob.len().next_multiple_of(4), 0);
        let mut buffers = vec![json!({"byteLength": self.blob.len()})];
        let mut used = vec![SPLATTING];
        let mut required: Vec<&str> = Vec::new();
        if self.packed {
            buffers.push(json!({"byteLength": self.unpacked, "extensions": {MESHOPT: {"fallback": true}}}));
            used.push(MESHOPT);
            required.push(MESHOPT);
        }
        let mut root = json!({
            "asset": {"version": "2.0", "generator": "tongyou"},
            "extensionsUsed": used,
            "scene": 0,
            "scenes": [{"nodes": [0], "name": name}],
            "nodes": [{"mesh": 0, "name": name}],
            "meshes": [{"name": name, "primitives": [{
                "attributes": self.attributes,
                "mode": 0,
                "extensions": {SPLATTING: {
                    "kernel": "ellipse", "colorSpace": "srgb_rec709_display",
                    "sortingMethod": "cameraDistance", "projection": "perspective",
                }},
            }]}],
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": buffers,
        });
        if !required.is_empty() {
            root["extensionsRequired"] = json!(required);
        }
        assemble(&root, self.blob)
    }
}

/// Floats that are kept as a shared exponent of eight bits and a mantissa of 24.
fn decoded(rows: &[[u32; 3]]) -> Vec<[f32; 3]> {
    let float = |v: u32| {
        let (mantissa, exponent) = (v.cast_signed() << 8 >> 8, v.cast_signed() >> 24);
        #[expect(clippy::cast_precision_loss, reason = "24 bits")]
        let mantissa = mantissa as f32;
        mantissa * 2_f32.powi(exponent)
    };
    rows.iter().map(|r| r.map(float)).collect()
}
