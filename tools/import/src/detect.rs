//! Which format a file has, by its content; its name is not looked at.

use std::fmt;

/// The formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// LAS, LAZ or COPC.
    Las,
    /// Stanford polygons: meshes, points or splats.
    Ply,
    /// Wavefront OBJ.
    Obj,
    /// Stereolithography, binary or text.
    Stl,
    /// Binary glTF.
    Glb,
    /// glTF as JSON.
    Gltf,
    /// ASTM E57.
    E57,
    /// Leica PTS: a count, then lines of points.
    Pts,
    /// Lines of numbers.
    Xyz,
    /// Gaussian splats, gzip-packed (versions 1 to 3).
    Spz,
    /// Gaussian splats, zstd-packed (version 4).
    Spz4,
    /// 3D Tiles: a tree of files.
    Tileset,
    /// 3D Tiles: glTF with a table of batches.
    B3dm,
    /// 3D Tiles: points.
    Pnts,
    /// 3D Tiles: several contents in one file.
    Cmpt,
    /// OpenSceneGraph's binary format.
    Osgb,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Las => "LAS",
            Self::Ply => "PLY",
            Self::Obj => "OBJ",
            Self::Stl => "STL",
            Self::Glb => "GLB",
            Self::Gltf => "glTF",
            Self::E57 => "E57",
            Self::Pts => "PTS",
            Self::Xyz => "XYZ",
            Self::Spz | Self::Spz4 => "SPZ",
            Self::Tileset => "3D Tiles",
            Self::B3dm => "b3dm",
            Self::Pnts => "pnts",
            Self::Cmpt => "cmpt",
            Self::Osgb => "OSGB",
        })
    }
}

/// Bytes of a binary STL: an 80-byte title, a count, 50 bytes a triangle.
fn is_binary_stl(head: &[u8], bytes: u64) -> bool {
    let Some(count) = head.get(80..84).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes) else {
        return false;
    };
    count > 0 && 84 + 50 * u64::from(count) == bytes
}

/// The format of a file that begins with `head` and has `bytes` bytes.
#[must_use]
pub(crate) fn format(head: &[u8], bytes: u64) -> Option<Format> {
    let starts = |magic: &[u8]| head.starts_with(magic);
    if starts(b"LASF") {
        return Some(Format::Las);
    }
    if starts(b"ASTM-E57") {
        return Some(Format::E57);
    }
    if starts(b"glTF") {
        return Some(Format::Glb);
    }
    if starts(b"ply\n") || starts(b"ply\r") || starts(b"ply ") {
        return Some(Format::Ply);
    }
    for (magic, format) in [
        (b"b3dm", Format::B3dm),
        (b"pnts", Format::Pnts),
        (b"cmpt", Format::Cmpt),
    ] {
        if starts(magic) {
            return Some(format);
        }
    }
    if starts(&[0xA1, 0x0E, 0x91, 0x6C, 0x45, 0x45, 0xFB, 0x1A]) {
        return Some(Format::Osgb);
    }
    if starts(b"NGSP") {
        return Some(Format::Spz4);
    }
    if starts(&[0x1f, 0x8b]) {
        return Some(Format::Spz);
    }
    if is_binary_stl(head, bytes) {
        return Some(Format::Stl);
    }
    text(head)
}

fn text(head: &[u8]) -> Option<Format> {
    // A character may be cut at the end of the head; names and comments may be in any encoding.
    let odd = head
        .iter()
        .filter(|&&b| b == 0 || (b < 32 && !b"\t\n\r\x0c".contains(&b)))
        .count();
    if odd > 0 {
        return None;
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('{') {
        // Only a tileset states an error of its tiles.
        if text.contains("\"geometricError\"") {
            return Some(Format::Tileset);
        }
        // `asset` may come after long lists of the others.
        let keys = [
            "asset",
            "scenes",
            "nodes",
            "meshes",
            "accessors",
            "bufferViews",
            "buffers",
            "extensionsUsed",
        ];
        return keys
            .iter()
            .any(|k| text.contains(&format!("\"{k}\"")))
            .then_some(Format::Gltf);
    }
    if text.starts_with("solid") && (text.contains("facet") || text.contains("endsolid")) {
        return Some(Format::Stl);
    }
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    let is_obj = |line: &str| {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("v" | "vn" | "vt" | "vp" | "f"), Some(number)) => {
                number.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
            }
            (Some("mtllib" | "usemtl" | "o" | "g" | "s"), _) => true,
            _ => false,
        }
    };
    // A comment that fills the head still is an OBJ's: the other text formats seldom have one.
    let comments = text.starts_with('#');
    if lines.clone().any(is_obj) {
        return Some(Format::Obj);
    }
    let numbers = |line: &str| {
        let mut words = line.split([' ', '\t', ',', ';']).filter(|w| !w.is_empty());
        let all = words.clone().count();
        words.all(|w| w.parse::<f64>().is_ok()).then_some(all)
    };
    let first = lines.find(|l| !l.starts_with('#') && !l.starts_with("//"));
    match first {
        Some(line) if numbers(line) == Some(1) && line.parse::<u64>().is_ok() => {
            let next = lines.next().and_then(numbers);
            next.is_some_and(|n| n >= 3).then_some(Format::Pts)
        }
        Some(line) if numbers(line).is_some_and(|n| n >= 3) => Some(Format::Xyz),
        // One line of column names.
        Some(_) => lines
            .next()
            .and_then(numbers)
            .is_some_and(|n| n >= 3)
            .then_some(Format::Xyz),
        None => comments.then_some(Format::Obj),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_content() {
        let check = |head: &[u8], want: Option<Format>| assert_eq!(format(head, head.len() as u64), want);
        check(b"LASF\0\0", Some(Format::Las));
        check(b"ply\nformat ascii 1.0\n", Some(Format::Ply));
        check(b"# Blender\nmtllib a.mtl\nv 0 0 0\n", Some(Format::Obj));
        check(b"solid x\nfacet normal 0 0 1\n", Some(Format::Stl));
        check(b"{ \"asset\": {\"version\":\"2.0\"} }", Some(Format::Gltf));
        check(b"{ \"accessors\": [", Some(Format::Gltf));
        check(
            b"{ \"asset\": {\"version\":\"1.1\"}, \"geometricError\": 5",
            Some(Format::Tileset),
        );
        check(b"b3dm\x01\0\0\0", Some(Format::B3dm));
        check(b"{ \"a\": 1 }", None);
        check(b"3\n0 0 0 12 1 2 3\n", Some(Format::Pts));
        check(b"1.0 2.0 3.0\n", Some(Format::Xyz));
        check(b"1,2,3,255,255,255\n", Some(Format::Xyz));
        check(b"x y z\n1 2 3\n", Some(Format::Xyz));
        check(b"hello, world\nwhat is this\n", None);
        check(&[0, 1, 2, 3], None);
        check(b"", None);
        let mut stl = b"solid but binary".to_vec();
        stl.resize(80, b' ');
        stl.extend([1, 0, 0, 0]);
        stl.resize(134, 0);
        check(&stl, Some(Format::Stl));
    }
}
