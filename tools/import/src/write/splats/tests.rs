//! Splats come out as the extension wants them.

use glam::{Quat, Vec3};
use serde_json::Value;

use super::*;

fn some(count: u32) -> Vec<Splat> {
    let one = |i: u32| {
        let f = f32::from(u16::try_from(i % 60_000).unwrap());
        Splat {
            position: Vec3::new(
                (f * 0.37).sin() * 20.0,
                (f * 0.011).cos() * 3.0,
                (f * 0.73).cos() * 20.0,
            ),
            scale: Vec3::new(0.05, 0.02 + (f % 7.0) * 0.01, 0.001),
            rotation: Quat::from_axis_angle(Vec3::new(f.sin(), 0.3, f.cos()).normalize(), f),
            opacity: (f % 10.0) / 9.0,
            color: Vec3::new(0.8, (f % 5.0) / 5.0, 1.1),
            harmonics: (0..45_u8).map(|h| (f + f32::from(h)).sin() * 0.3).collect(),
        }
    };
    (0..count).map(one).collect()
}

/// The floats of an attribute of a file, unpacked as a viewer does.
fn attribute(file: &[u8], semantic: &str) -> Vec<Vec<f64>> {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let root: Value = serde_json::from_slice(&file[20..20 + word(12)]).unwrap();
    let blob = &file[28 + word(12)..];
    let number = |v: &Value| usize::try_from(v.as_u64().unwrap()).unwrap();
    let primitive = &root["meshes"][0]["primitives"][0];
    let accessor = &root["accessors"][number(&primitive["attributes"][semantic])];
    let view = &root["bufferViews"][number(&accessor["bufferView"])];
    let (count, stride) = (number(&accessor["count"]), number(&view["byteStride"]));
    let packed = &view["extensions"]["EXT_meshopt_compression"];
    let bytes = if packed.is_null() {
        let at = number(&view["byteOffset"]);
        blob[at..at + number(&view["byteLength"])].to_vec()
    } else {
        let at = number(&packed["byteOffset"]);
        let coded = &blob[at..at + number(&packed["byteLength"])];
        match stride {
            4 => meshopt::decode_vertex_buffer::<[u8; 4]>(coded, count).unwrap().concat(),
            8 => {
                let mut rows: Vec<[i16; 4]> = meshopt::decode_vertex_buffer(coded, count).unwrap();
                meshopt::decode_filter_quat(&mut rows);
                rows.iter().flatten().flat_map(|v| v.to_le_bytes()).collect()
            }
            _ => {
                let mut rows: Vec<[u32; 3]> = meshopt::decode_vertex_buffer(coded, count).unwrap();
                meshopt::decode_filter_exp(&mut rows);
                rows.iter().flatten().flat_map(|v| v.to_le_bytes()).collect()
            }
        }
    };
    let wide = match accessor["type"].as_str().unwrap() {
        "SCALAR" => 1,
        "VEC3" => 3,
        _ => 4,
    };
    let value = |row: &[u8], i: usize| match number(&accessor["componentType"]) {
        5126 => f64::from(f32::from_le_bytes(row[i * 4..i * 4 + 4].try_into().unwrap())),
        5122 => f64::from(i16::from_le_bytes(row[i * 2..i * 2 + 2].try_into().unwrap())) / 32767.0,
        5123 => f64::from(u16::from_le_bytes(row[i * 2..i * 2 + 2].try_into().unwrap())) / 65535.0,
        _ => f64::from(row[i]) / 255.0,
    };
    bytes
        .chunks_exact(stride)
        .map(|row| (0..wide).map(|i| value(row, i)).collect())
        .collect()
}

#[test]
fn files_say_what_splats_are() {
    let splats = some(500);
    let mut sizes = Vec::new();
    for (packed, tolerance) in [(false, 1e-6), (true, 0.002)] {
        let file = glb(&splats, "x", packed).unwrap();
        sizes.push(file.len());
        let near = |semantic: &str, want: &dyn Fn(&Splat) -> Vec<f64>, tolerance: f64| {
            let rows = attribute(&file, semantic);
            assert_eq!(rows.len(), splats.len());
            for (row, splat) in rows.iter().zip(&splats) {
                for (got, want) in row.iter().zip(want(splat)) {
                    assert!((got - want).abs() <= tolerance, "{semantic}: {row:?} {want}");
                }
            }
        };
        let three = |v: Vec3| v.as_dvec3().to_array().to_vec();
        near("POSITION", &|s| three(s.position), tolerance * 0.05);
        near("KHR_gaussian_splatting:SCALE", &|s| three(s.scale), tolerance * 0.05);
        near(
            "KHR_gaussian_splatting:OPACITY",
            &|s| vec![f64::from(s.opacity)],
            tolerance,
        );
        // A quaternion and its negative are one rotation.
        for (row, splat) in attribute(&file, "KHR_gaussian_splatting:ROTATION").iter().zip(&splats) {
            let dot: f64 = row
                .iter()
                .zip(splat.rotation.to_array())
                .map(|(a, b)| a * f64::from(b))
                .sum();
            assert!((dot.abs() - 1.0).abs() <= tolerance, "{row:?} {}", splat.rotation);
        }
        let constant = |s: &Splat| three((s.color - 0.5) / 0.282_094_8);
        near("KHR_gaussian_splatting:SH_DEGREE_0_COEF_0", &constant, tolerance);
        // Degree 2, order -1: the third of five after three of degree 1 and the one before it.
        let second = |s: &Splat| s.harmonics[12..15].iter().map(|&v| f64::from(v)).collect();
        near("KHR_gaussian_splatting:SH_DEGREE_2_COEF_1", &second, tolerance);
        let last = |s: &Splat| s.harmonics[42..45].iter().map(|&v| f64::from(v)).collect();
        near("KHR_gaussian_splatting:SH_DEGREE_3_COEF_6", &last, tolerance);
        assert_eq!(file, glb(&splats, "x", packed).unwrap());
    }
    assert!(sizes[1] * 2 < sizes[0], "{sizes:?}");
    assert!(glb(&[], "x", true).is_err());
}

#[test]
fn coarser_levels_keep_what_there_is() {
    let splats = some(20_000);
    let levels = levels(splats.clone());
    assert!(levels.len() >= 3, "{}", levels.len());
    assert_eq!(levels[0].splats.len(), splats.len());
    let mass = |all: &[Splat]| -> Vec3 { all.iter().map(|s| s.position).sum::<Vec3>() / all.len() as f32 };
    for pair in levels.windows(2) {
        assert!(pair[1].splats.len() as f64 <= pair[0].splats.len() as f64 * SHARE);
        assert!(pair[1].error_m >= pair[0].error_m && pair[1].rms_m <= pair[1].error_m);
        assert!(mass(&pair[1].splats).distance(mass(&splats)) < 2.0);
    }
    for level in &levels {
        for s in &level.splats {
            assert!((0.0..=1.0).contains(&s.opacity) && s.rotation.is_normalized() && s.scale.is_finite());
            assert_eq!(s.harmonics.len(), 45);
        }
        // Half a kilometre of error would be a bug: a cell is as wide as this.
        assert!(level.error_m < 20.0);
    }
}

/// One splat that is larger than the cells stays itself.
#[test]
fn what_is_large_is_not_mixed_with_what_is_small() {
    let mut splats = some(8000);
    splats[100].scale = Vec3::splat(30.0);
    let large = splats[100].clone();
    for level in levels(splats) {
        assert!(level.splats.contains(&large));
    }
}
