//! Reads LAS and LAZ in chunks: the header's point count is a promise that is checked, never an allocation.

use std::path::Path;

use glam::DVec3;

use crate::{Error, ScanPoint};

const CHUNK: u64 = 50_000;
/// ASPRS classes for low and high noise.
const NOISE: [u8; 2] = [7, 18];

/// The points of a file and what it says about its coordinates.
pub(crate) struct Scan {
    pub(crate) points: Vec<ScanPoint>,
    /// Points that the file marks as noise or withheld, or that lie outside the bounds in its header.
    pub(crate) noise: usize,
    /// The coordinate system as WKT, where the file has one.
    pub(crate) wkt: Option<String>,
}

/// Name of the thread that decodes; its panics are errors of the file.
pub const DECODER_THREAD: &str = "las-decoder";

/// Reads a file on a thread of its own: the LAZ decoder asserts what a damaged file breaks, and that must not take
/// the importer down.
pub(crate) fn points(path: &Path, max_points: u64) -> Result<Scan, Error> {
    let fault = |fault: String| Error::Scan {
        file: path.to_owned(),
        fault,
    };
    std::thread::scope(|scope| {
        let decoder = std::thread::Builder::new().name(DECODER_THREAD.into());
        let handle = decoder
            .spawn_scoped(scope, || decode(path, max_points))
            .map_err(|e| fault(format!("no thread to decode it: {e}")))?;
        handle
            .join()
            .unwrap_or_else(|_| Err(fault("is damaged: its compressed points can not be decoded".into())))
    })
}

fn decode(path: &Path, max_points: u64) -> Result<Scan, Error> {
    let failed = |source| Error::Las {
        file: path.to_owned(),
        source,
    };
    let fault = |fault: String| Error::Scan {
        file: path.to_owned(),
        fault,
    };
    let mut reader = las::Reader::from_path(path).map_err(failed)?;
    let header = reader.header();
    let promised = header.number_of_points();
    if promised > max_points {
        return Err(fault(format!(
            "promises {promised} points, more than the allowed {max_points}"
        )));
    }
    // A compressed point takes at least some bits; a count far beyond the file's size is forged.
    let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
    if promised > bytes.saturating_mul(64) {
        return Err(fault(format!("promises {promised} points in {bytes} bytes")));
    }
    let wkt = wkt(header);
    let bounds = header.bounds();
    let slack = 1.0
        + 0.01
            * (bounds.max.x - bounds.min.x)
                .abs()
                .max((bounds.max.y - bounds.min.y).abs());
    // What a damaged file decodes to lies anywhere; a sound one keeps to the bounds in its header.
    let inside = |p: DVec3| {
        let apart = |v: f64, from: f64, to: f64| v < from - slack || v > to + slack;
        !apart(p.x, bounds.min.x, bounds.max.x)
            && !apart(p.y, bounds.min.y, bounds.max.y)
            && !apart(p.z, bounds.min.z, bounds.max.z)
    };
    let mut points: Vec<(DVec3, [u16; 3])> = Vec::new();
    let mut noise = 0;
    let mut seen = 0;
    loop {
        let chunk = reader.read_points(CHUNK).map_err(failed)?;
        if chunk.is_empty() {
            break;
        }
        for point in chunk.points() {
            let point = point.map_err(failed)?;
            seen += 1;
            if seen > max_points {
                return Err(fault(format!("has more than the allowed {max_points} points")));
            }
            let position = DVec3::new(point.x, point.y, point.z);
            if !position.is_finite() {
                return Err(fault(format!("point {seen} is not finite")));
            }
            if NOISE.contains(&u8::from(point.classification)) || point.is_withheld || !inside(position) {
                noise += 1;
                continue;
            }
            let color = point.color.map_or([0x8000; 3], |c| [c.red, c.green, c.blue]);
            points.push((position, color));
        }
    }
    if seen < promised {
        return Err(fault(format!("ends after {seen} of {promised} points")));
    }
    if points.len() < 3 {
        return Err(fault(format!("has {} usable points, a surface needs 3", points.len())));
    }
    // Colours are 16 bits by the standard, but many programs write 8.
    let wide = points.iter().any(|(_, c)| c.iter().any(|&v| v > 255));
    let narrow = |v: u16| if wide { (v >> 8) as u8 } else { v.to_le_bytes()[0] };
    let points = points
        .into_iter()
        .map(|(position, c)| ScanPoint {
            position,
            color: c.map(narrow),
        })
        .collect();
    Ok(Scan { points, noise, wkt })
}

/// The WKT record, which old files carry under the same number as new ones.
fn wkt(header: &las::Header) -> Option<String> {
    let record = header.all_vlrs().find(|v| v.record_id == 2112 && !v.data.is_empty())?;
    let text = String::from_utf8_lossy(&record.data);
    Some(text.trim_end_matches('\0').to_owned())
}
