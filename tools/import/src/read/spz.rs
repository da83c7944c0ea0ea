//! SPZ: Gaussian splats packed attribute by attribute. Versions 1 to 3 are one gzip stream, version 4 is a zstd
//! stream for each attribute. Right, up, back: the axes of a scene.

use std::io::{Read, Seek, SeekFrom};

use flate2::read::GzDecoder;
use glam::{Quat, Vec3};

use super::{Limits, Sink, SplatBuffer};
use crate::data::{Bounds, Splat, Summary};
use crate::source::Source;
use crate::{Error, Format, Up};

const MAGIC: &[u8] = b"NGSP";
/// Bytes of the header of versions 1 to 3, and of version 4.
const OLD_HEADER: usize = 16;
const HEADER: usize = 32;
/// Splats that `inspect` looks at.
const SAMPLE: u64 = 100_000;
/// The byte of a colour spans this many units of the first basis function's coefficient.
const COLOR_SCALE: f32 = 0.15;
const SH_0: f32 = 0.282_094_8;

#[derive(Debug, Clone, Copy)]
struct Header {
    version: u32,
    count: u64,
    degree: u8,
    fractional_bits: u8,
    flags: u8,
    streams: u8,
    toc: u64,
}

impl Header {
    fn parse(bytes: &[u8], source: &Source) -> Result<Self, Error> {
        let word = |at: usize| {
            bytes
                .get(at..at + 4)
                .and_then(|b| b.try_into().ok())
                .map(u32::from_le_bytes)
        };
        if !bytes.starts_with(MAGIC) {
            return Err(source.fault("header", "is packed, but not an SPZ: it does not begin with NGSP"));
        }
        let (Some(version), Some(count), Some(&[degree, fractional_bits, flags, streams])) = (
            word(4),
            word(8),
            bytes.get(12..16).and_then(|b| <&[u8; 4]>::try_from(b).ok()),
        ) else {
            return Err(source.fault("header", "is cut off"));
        };
        let known = if source.format == Format::Spz4 { 4..=4 } else { 1..=3 };
        if !known.contains(&version) {
            return Err(source.fault(
                "header",
                format!("is of version {version}, which is not supported here"),
            ));
        }
        if degree > 4 || fractional_bits > 23 || count == 0 {
            let fault = format!("has {count} splats of degree {degree} with {fractional_bits} bits after the point");
            return Err(source.fault("header", fault));
        }
        Ok(Self {
            version,
            count: u64::from(count),
            degree,
            fractional_bits,
            flags,
            streams,
            toc: word(16).map_or(0, u64::from),
        })
    }

    /// Coefficients of the harmonics beyond the constant one.
    fn coefficients(&self) -> usize {
        let degree = usize::from(self.degree);
        degree * (degree + 2)
    }

    /// Bytes a splat takes in each attribute: positions, opacities, colours, scales, rotations, harmonics.
    fn widths(&self) -> [usize; 6] {
        let position = if self.version == 1 { 6 } else { 9 };
        let rotation = if self.version >= 3 { 4 } else { 3 };
        [position, 1, 3, 3, rotation, self.coefficients() * 3]
    }
}

fn header(source: &Source) -> Result<Header, Error> {
    let mut reader = source.reader()?;
    let mut bytes = [0_u8; HEADER];
    let got = if source.format == Format::Spz4 {
        reader.read_exact(&mut bytes)
    } else {
        GzDecoder::new(reader).read_exact(&mut bytes[..OLD_HEADER])
    };
    got.map_err(|e| source.fault("header", format!("is cut off or damaged: {e}")))?;
    Header::parse(&bytes, source)
}

pub(super) fn inspect(source: &Source) -> Result<Summary, Error> {
    let header = header(source)?;
    let mut out = Summary::new(source.format, source.bytes);
    out.flavour = format!("version {}", header.version);
    out.up = Up::Y;
    out.counts.push(("splats", header.count));
    out.attributes = vec![format!("spherical harmonics of degree {}", header.degree)];
    if header.flags & 2 != 0 {
        out.warnings.push("has extensions, which are skipped".into());
    }
    if header.count > believable(source) {
        out.warnings
            .push(format!("promises {} splats in {} bytes", header.count, source.bytes));
        return Ok(out);
    }
    let mut positions = Stream::open(source, &header, 0)?;
    let mut row = vec![0_u8; header.widths()[0]];
    let seen = header.count.min(SAMPLE);
    let mut all = Vec::new();
    for number in 0..seen {
        positions.next(number, &mut row)?;
        all.push(position(&row, &header).as_dvec3());
    }
    let sampled = seen < header.count;
    out.bounds = Bounds::around(all).map(|b| Bounds { sampled, ..b });
    Ok(out)
}

/// The most splats that a file of this size can hold: both packers make at best a thousandth of 19 bytes.
fn believable(source: &Source) -> u64 {
    source.bytes.saturating_mul(1032) / 19
}

/// One attribute, unpacked as it is read.
struct Stream<'a> {
    source: &'a Source,
    reader: Box<dyn Read>,
    name: &'static str,
}

impl<'a> Stream<'a> {
    /// The attribute with this number. A gzip stream is unpacked once for each, so that memory stays small.
    fn open(source: &'a Source, header: &Header, attribute: usize) -> Result<Self, Error> {
        let name = ["positions", "opacities", "colours", "scales", "rotations", "harmonics"][attribute];
        let damaged = |e: std::io::Error| source.fault(name, format!("are cut off or damaged: {e}"));
        let widths = header.widths();
        let mut file = source.reader()?;
        let reader: Box<dyn Read> = if source.format == Format::Spz {
            let before: u64 = widths[..attribute].iter().map(|&w| w as u64 * header.count).sum();
            let mut reader = GzDecoder::new(file);
            let skip = before + OLD_HEADER as u64;
            let skipped = std::io::copy(&mut (&mut reader).take(skip), &mut std::io::sink()).map_err(damaged)?;
            if skipped < skip {
                return Err(source.fault(name, "are cut off"));
            }
            Box::new(reader)
        } else {
            let (at, bytes) = Self::place(source, header, attribute, name)?;
            file.seek(SeekFrom::Start(at)).map_err(|e| source.io(e))?;
            let mut reader = zstd::stream::read::Decoder::new(file.take(bytes)).map_err(damaged)?;
            // A window beyond 128 MiB would be allocated on the word of the file.
            reader.window_log_max(27).map_err(damaged)?;
            Box::new(std::io::BufReader::new(reader))
        };
        Ok(Self { source, reader, name })
    }

    /// Where an attribute's stream lies in a version 4 file: its offset and its packed length.
    fn place(source: &Source, header: &Header, attribute: usize, name: &str) -> Result<(u64, u64), Error> {
        let toc_bytes = u64::from(header.streams) * 16;
        if header.toc < HEADER as u64 || header.toc + toc_bytes > source.bytes {
            return Err(source.fault("table of contents", "lies outside the file"));
        }
        let mut file = source.reader()?;
        file.seek(SeekFrom::Start(header.toc)).map_err(|e| source.io(e))?;
        let mut toc = vec![0_u8; usize::from(header.streams) * 16];
        file.read_exact(&mut toc).map_err(|e| source.io(e))?;
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| toc[at + i]));
        let mut at = header.toc + toc_bytes;
        for stream in 0..usize::from(header.streams) {
            let (packed, unpacked) = (long(stream * 16), long(stream * 16 + 8));
            let end = at.checked_add(packed).filter(|&end| end <= source.bytes);
            let Some(end) = end else {
                return Err(source.fault(
                    format!("stream {stream}"),
                    format!("of {packed} bytes lies outside the file"),
                ));
            };
            if stream == attribute {
                let wanted = header.widths()[attribute] as u64 * header.count;
                if unpacked != wanted {
                    let fault = format!("say that they unpack to {unpacked} bytes, but {wanted} are needed");
                    return Err(source.fault(name, fault));
                }
                return Ok((at, packed));
            }
            at = end;
        }
        Err(source.fault("table of contents", format!("has no stream of {name}")))
    }

    fn next(&mut self, number: u64, row: &mut [u8]) -> Result<(), Error> {
        self.reader.read_exact(row).map_err(|e| {
            let place = format!("{} of splat {number}", self.name);
            self.source.fault(place, format!("are cut off or damaged: {e}"))
        })
    }
}

pub(super) fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    let header = header(source)?;
    if header.count > limits.points {
        let fault = format!(
            "promises {} splats, more than the allowed {}",
            header.count, limits.points
        );
        return Err(source.fault("header", fault));
    }
    if header.count > believable(source) {
        let fault = format!("promises {} splats in {} bytes", header.count, source.bytes);
        return Err(source.fault("header", fault));
    }
    let widths = header.widths();
    let mut streams = Vec::new();
    for (attribute, &width) in widths.iter().enumerate().filter(|(_, w)| **w > 0) {
        streams.push((Stream::open(source, &header, attribute)?, vec![0_u8; width]));
    }
    let mut out = SplatBuffer {
        splats: Vec::new(),
        sink,
    };
    for number in 0..header.count {
        for (stream, row) in &mut streams {
            stream.next(number, row)?;
        }
        let splat = splat(&streams, &header);
        if !(splat.position.is_finite() && splat.scale.is_finite()) {
            return Err(source.fault(format!("splat {number}"), "is not finite"));
        }
        out.push(splat)?;
    }
    out.flush()
}

fn splat(rows: &[(Stream<'_>, Vec<u8>)], header: &Header) -> Splat {
    let unit = |b: u8| f32::from(b) / 255.0;
    let row = |at: usize| rows.get(at).map_or(&[][..], |(_, row)| row.as_slice());
    let three = |at: usize, map: &dyn Fn(u8) -> f32| Vec3::new(map(row(at)[0]), map(row(at)[1]), map(row(at)[2]));
    let coefficient = |b: u8| (unit(b) - 0.5) / COLOR_SCALE;
    Splat {
        position: position(row(0), header),
        opacity: unit(row(1)[0]),
        color: three(2, &|b| coefficient(b) * SH_0 + 0.5),
        scale: three(3, &|b| (f32::from(b) / 16.0 - 10.0).exp()),
        rotation: if header.version >= 3 {
            smallest_three(row(4))
        } else {
            first_three(row(4))
        },
        harmonics: row(5).iter().map(|&b| (f32::from(b) - 128.0) / 128.0).collect(),
    }
}

fn position(row: &[u8], header: &Header) -> Vec3 {
    if header.version == 1 {
        return Vec3::from([0, 2, 4].map(|at| half(u16::from_le_bytes([row[at], row[at + 1]]))));
    }
    let scale = 1.0 / (1_u32 << header.fractional_bits) as f32;
    // The sign is that of the highest of the three bytes.
    let fixed = |at: usize| i32::from_le_bytes([0, row[at], row[at + 1], row[at + 2]]) >> 8;
    Vec3::from([0, 3, 6].map(|at| fixed(at) as f32 * scale))
}

/// IEEE half precision.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f32.powi(-24),
        31 => f32::INFINITY,
        _ => (1.0 + fraction / 1024.0) * 2_f32.powi(exponent - 15),
    }
}

/// x, y and z as bytes, w what is missing to unit length.
fn first_three(row: &[u8]) -> Quat {
    let xyz = Vec3::from([0, 1, 2].map(|at| f32::from(row[at]) / 127.5 - 1.0));
    let w = (1.0 - xyz.length_squared()).max(0.0).sqrt();
    Quat::from_xyzw(xyz.x, xyz.y, xyz.z, w).normalize()
}

/// Two bits name the largest component, the others follow from w down: nine bits and a sign each.
fn smallest_three(row: &[u8]) -> Quat {
    let mut bits = u32::from_le_bytes([row[0], row[1], row[2], row[3]]);
    let largest = (bits >> 30) as usize;
    let mut out = [0.0_f32; 4];
    let mut squares = 0.0;
    for at in (0..4).rev().filter(|&at| at != largest) {
        let size = std::f32::consts::FRAC_1_SQRT_2 * (bits & 511) as f32 / 511.0;
        out[at] = if bits & 512 == 0 { size } else { -size };
        squares += size * size;
        bits >>= 10;
    }
    out[largest] = (1.0 - squares).max(0.0).sqrt();
    Quat::from_array(out).normalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_and_rotations() {
        assert_eq!([0x3C00, 0xC000, 0x3555].map(half), [1.0, -2.0, 0.333_251_95]);
        // All three small ones zero, the largest is w.
        assert_eq!(smallest_three(&[0, 0, 0, 0xC0]), Quat::IDENTITY);
        let back = smallest_three(&(511_u32 | 3 << 30).to_le_bytes());
        assert!((back.z - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-6 && (back.w - back.z).abs() < 1e-3);
        assert!(first_three(&[128, 128, 128]).w > 0.999);
    }
}
