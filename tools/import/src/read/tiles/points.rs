//! Points of a pnts.

use glam::{DVec3, Vec3};

use super::content::Content;
use crate::data::Points;

/// Reads all points, as they lie relative to the content's centre.
pub(super) fn read(content: &Content<'_>, most: u64) -> Result<Points, String> {
    if content.table["extensions"]
        .get("3DTILES_draco_point_compression")
        .is_some()
    {
        return Err("is packed by Draco, which is not read".into());
    }
    let count = content.count("POINTS_LENGTH").ok_or("states no POINTS_LENGTH")?;
    if count > most {
        return Err(format!("promises {count} points, more than the allowed {most}"));
    }
    let table = &content.table;
    let array = |name: &str, each: u64| -> Result<Option<&[u8]>, String> {
        let Some(at) = table[name]["byteOffset"].as_u64() else {
            return Ok(None);
        };
        let bytes = count.checked_mul(each).ok_or("promises too many points")?;
        content
            .array(at, bytes)
            .map(Some)
            .map_err(|fault| format!("{name}: {fault}"))
    };
    let mut out = Points {
        positions: positions(content, array("POSITION", 12)?, array("POSITION_QUANTIZED", 6)?)?,
        ..Points::default()
    };
    if let Some(bytes) = array("RGB", 3)? {
        out.colors = bytes.as_chunks::<3>().0.to_vec();
    } else if let Some(bytes) = array("RGBA", 4)? {
        out.colors = bytes.as_chunks::<4>().0.iter().map(|&[r, g, b, _]| [r, g, b]).collect();
    } else if let Some(bytes) = array("RGB565", 2)? {
        out.colors = bytes
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&b| wide(u16::from_le_bytes(b)))
            .collect();
    } else if let Some(all) = table["CONSTANT_RGBA"].as_array() {
        let byte = |i: usize| {
            all.get(i)
                .and_then(serde_json::Value::as_u64)
                .and_then(|v| u8::try_from(v).ok())
        };
        if let (Some(r), Some(g), Some(b)) = (byte(0), byte(1), byte(2)) {
            out.colors = vec![[r, g, b]; out.positions.len()];
        }
    }
    if let Some(bytes) = array("NORMAL", 12)? {
        let normal = |b: &[u8; 12]| floats(b).as_vec3().normalize_or(Vec3::Z);
        out.normals = bytes.as_chunks::<12>().0.iter().map(normal).collect();
    } else if let Some(bytes) = array("NORMAL_OCT16P", 2)? {
        out.normals = bytes.as_chunks::<2>().0.iter().map(|&b| octahedral(b)).collect();
    }
    Ok(out)
}

fn floats(bytes: &[u8; 12]) -> DVec3 {
    let at = |i: usize| f64::from(f32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]));
    DVec3::new(at(0), at(4), at(8))
}

fn positions(content: &Content<'_>, plain: Option<&[u8]>, quantized: Option<&[u8]>) -> Result<Vec<DVec3>, String> {
    let all: Vec<DVec3> = if let Some(bytes) = plain {
        bytes.as_chunks::<12>().0.iter().map(floats).collect()
    } else if let Some(bytes) = quantized {
        let named = |name: &str| {
            content
                .three(&content.table[name])
                .map_err(|fault| format!("{name} {fault}"))
        };
        let (offset, scale) = (named("QUANTIZED_VOLUME_OFFSET")?, named("QUANTIZED_VOLUME_SCALE")?);
        let unit = |low: u8, high: u8| f64::from(u16::from_le_bytes([low, high])) / 65535.0;
        let one = |b: &[u8; 6]| DVec3::new(unit(b[0], b[1]), unit(b[2], b[3]), unit(b[4], b[5]));
        bytes
            .as_chunks::<6>()
            .0
            .iter()
            .map(|b| offset + one(b) * scale)
            .collect()
    } else {
        return Err("has neither POSITION nor POSITION_QUANTIZED".into());
    };
    match all.iter().position(|p| !p.is_finite()) {
        Some(number) => Err(format!("point {number} is not finite")),
        None => Ok(all),
    }
}

/// Five, six and five bits as bytes.
fn wide(v: u16) -> [u8; 3] {
    let part = |shift: u32, bits: u32| {
        let most = (1_u16 << bits) - 1;
        let value = u32::from(v >> shift & most) * 255 / u32::from(most);
        value.to_le_bytes()[0]
    };
    [part(11, 5), part(5, 6), part(0, 5)]
}

/// A direction from two bytes on the faces of an octahedron.
pub(super) fn octahedral([x, y]: [u8; 2]) -> Vec3 {
    let unit = |v: u8| f32::from(v) / 127.5 - 1.0;
    let (x, y) = (unit(x), unit(y));
    let z = 1.0 - x.abs() - y.abs();
    let fold = (-z).max(0.0);
    Vec3::new(x - fold * x.signum(), y - fold * y.signum(), z).normalize_or(Vec3::Z)
}
