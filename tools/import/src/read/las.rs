//! LAS, LAZ and COPC (which is LAZ with a hierarchy beside the points), in chunks.

use glam::DVec3;

use super::{Limits, PointBuffer, Sink};
use crate::data::{Bounds, Chunk, Summary};
use crate::georef::geokeys;
use crate::source::Source;
use crate::{Error, Up};

const CHUNK: u64 = 50_000;
/// ASPRS classes for low and high noise.
const NOISE: [u8; 2] = [7, 18];
/// Chunks in which a colour above 255 is looked for, to tell 16-bit colours from 8-bit ones.
const COLOR_SAMPLE: usize = 1 << 18;

fn open(source: &Source) -> Result<las::Reader, Error> {
    las::Reader::from_path(&source.path).map_err(|e| source.fault("header", e.to_string()))
}

/// The WKT record, which old files carry under the same number as new ones, or the GeoTIFF keys.
fn crs(header: &las::Header) -> Option<String> {
    let wkt = header.all_vlrs().find(|v| v.record_id == 2112 && !v.data.is_empty());
    if let Some(record) = wkt {
        let text = String::from_utf8_lossy(&record.data);
        return Some(text.trim_end_matches('\0').trim().to_owned()).filter(|t| !t.is_empty());
    }
    let record = |id: u16| header.all_vlrs().find(|v| v.record_id == id).map(|v| v.data.as_slice());
    geokeys::describe(record(34735)?)
}

pub(super) fn inspect(source: &Source) -> Result<Summary, Error> {
    let reader = open(source)?;
    let header = reader.header();
    let mut out = Summary::new(source.format, source.bytes);
    let version = header.version();
    let format = header.point_format();
    let copc = header.all_vlrs().any(|v| v.user_id == "copc");
    let packed = match (copc, format.is_compressed) {
        (true, _) => ", cloud-optimised, compressed",
        (false, true) => ", compressed",
        (false, false) => "",
    };
    out.flavour = format!("{}.{}{packed}", version.major, version.minor);
    let count = header.number_of_points();
    out.counts.push(("points", count));
    let bounds = header.bounds();
    out.bounds = Some(Bounds {
        min: DVec3::new(bounds.min.x, bounds.min.y, bounds.min.z),
        max: DVec3::new(bounds.max.x, bounds.max.y, bounds.max.z),
        sampled: false,
    });
    out.up = Up::Z;
    out.attributes = vec!["intensity".into(), "class".into(), "returns".into()];
    for (there, name) in [
        (format.has_gps_time, "time"),
        (format.has_color, "colour"),
        (format.has_nir, "infrared"),
        (format.has_waveform, "waveform"),
    ] {
        if there {
            out.attributes.push(name.into());
        }
    }
    out.crs = crs(header);
    if count > source.bytes.saturating_mul(64) {
        out.warnings
            .push(format!("promises {count} points in {} bytes", source.bytes));
    }
    Ok(out)
}

pub(super) fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut reader = open(source)?;
    let header = reader.header();
    let promised = header.number_of_points();
    if promised > limits.points {
        let fault = format!("promises {promised} points, more than the allowed {}", limits.points);
        return Err(source.fault("header", fault));
    }
    // A compressed point takes at least some bits; a count far beyond the file's size is forged.
    if promised > source.bytes.saturating_mul(64) {
        return Err(source.fault(
            "header",
            format!("promises {promised} points in {} bytes", source.bytes),
        ));
    }
    let inside = inside(header.bounds());
    let colored = header.point_format().has_color;
    let mut out = PointBuffer::new(sink);
    let (mut seen, mut narrow) = (0_u64, Narrow::default());
    loop {
        let chunk = reader
            .read_points(CHUNK)
            .map_err(|e| source.fault(format!("after point {seen}"), e.to_string()))?;
        if chunk.is_empty() {
            break;
        }
        for point in chunk.points() {
            seen += 1;
            let point = point.map_err(|e| source.fault(format!("point {seen}"), e.to_string()))?;
            if seen > limits.points {
                let fault = format!("is one more than the allowed {}", limits.points);
                return Err(source.fault(format!("point {seen}"), fault));
            }
            let position = DVec3::new(point.x, point.y, point.z);
            if !position.is_finite() {
                return Err(source.fault(format!("point {seen}"), "is not finite"));
            }
            if NOISE.contains(&u8::from(point.classification)) || point.is_withheld || !inside(position) {
                out.points.noise += 1;
                continue;
            }
            out.points.positions.push(position);
            if colored {
                let color = point.color.map_or([0; 3], |c| [c.red, c.green, c.blue]);
                narrow.pending.push(color);
            } else {
                out.points.intensities.push(point.intensity.into());
            }
        }
        if colored {
            narrow.settle(&mut out)?;
        } else {
            out.turn()?;
        }
    }
    narrow.finish(&mut out)?;
    out.flush()?;
    if seen < promised {
        return Err(source.fault(
            format!("after point {seen}"),
            format!("ends, but promises {promised} points"),
        ));
    }
    if !colored {
        let text = "the points have no colours: they are grey by their intensity";
        (out.sink)(Chunk::Warning(text.into()))?;
    }
    Ok(())
}

/// Whether a position keeps to the bounds in the header: what a damaged file decodes to lies anywhere.
fn inside(bounds: las::Bounds) -> impl Fn(DVec3) -> bool {
    let width = (bounds.max.x - bounds.min.x)
        .abs()
        .max((bounds.max.y - bounds.min.y).abs());
    let slack = 1.0 + 0.01 * width;
    move |p| {
        let apart = |v: f64, from: f64, to: f64| v < from - slack || v > to + slack;
        !apart(p.x, bounds.min.x, bounds.max.x)
            && !apart(p.y, bounds.min.y, bounds.max.y)
            && !apart(p.z, bounds.min.z, bounds.max.z)
    }
}

/// Colours are 16 bits by the standard, but many programs write 8. Points are held back until a wide colour has
/// been seen or enough narrow ones.
#[derive(Default)]
struct Narrow {
    pending: Vec<[u16; 3]>,
    wide: Option<bool>,
}

impl Narrow {
    fn settle(&mut self, out: &mut PointBuffer<'_, '_>) -> Result<(), Error> {
        if self.wide.is_none() {
            if self.pending.iter().flatten().any(|&v| v > 255) {
                self.wide = Some(true);
            } else if self.pending.len() > COLOR_SAMPLE {
                self.wide = Some(false);
            } else {
                return Ok(());
            }
        }
        self.finish(out)
    }

    fn finish(&mut self, out: &mut PointBuffer<'_, '_>) -> Result<(), Error> {
        let wide = self.wide.unwrap_or(false);
        let narrow = |v: u16| {
            if wide {
                v.to_be_bytes()[0]
            } else {
                u8::try_from(v).unwrap_or(255)
            }
        };
        out.points.colors.extend(self.pending.drain(..).map(|c| c.map(narrow)));
        out.turn()
    }
}
