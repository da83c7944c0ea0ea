//! STL, binary or text. Corners at the same place become one vertex.

use std::collections::HashMap;
use std::io::{BufRead, Read};

use glam::Vec3;

use super::{Limits, Sink};
use crate::data::{Bounds, Chunk, Part, Summary};
use crate::source::Source;
use crate::{Error, Up};

const RECORD: usize = 50;
/// Bytes of a text file, or triangles of a binary one, that `inspect` looks at.
const GLANCE: u64 = 8 << 20;

/// What is done with a triangle and its two attribute bytes.
type Each<'a> = dyn FnMut([Vec3; 3], u16) -> Result<(), Error> + 'a;

/// Triangles without a colour beside others that have one.
const NO_COLOR: [u8; 4] = [200, 200, 200, 255];

/// The colour of all, as Magics writes it into the title: `COLOR=` and four bytes.
fn whole_color(source: &Source) -> Option<[u8; 4]> {
    binary(source)?;
    let title = source.head.get(..80)?;
    let at = title.windows(6).position(|w| w == b"COLOR=")? + 6;
    title.get(at..at + 4)?.try_into().ok()
}

/// The colour in a triangle's attribute: five bits a channel. Magics counts from red and clears the highest bit of a
/// colour that counts, others count from blue and set it.
fn color(bits: u16, magics: bool) -> Option<[u8; 4]> {
    if (bits & 0x8000 != 0) == magics {
        return None;
    }
    let five = |shift: u16| {
        let five = (bits >> shift & 31).to_le_bytes()[0];
        five << 3 | five >> 2
    };
    let (low, middle, high) = (five(0), five(5), five(10));
    Some(if magics {
        [low, middle, high, 255]
    } else {
        [high, middle, low, 255]
    })
}

/// The count of a binary file; `None` for text.
fn binary(source: &Source) -> Option<u32> {
    let count = u32::from_le_bytes(source.head.get(80..84)?.try_into().ok()?);
    (84 + RECORD as u64 * u64::from(count) == source.bytes).then_some(count)
}

pub(super) fn inspect(source: &Source) -> Result<Summary, Error> {
    let mut out = Summary::new(source.format, source.bytes);
    out.up = Up::Z;
    let mut corners: Option<Bounds> = None;
    let mut seen = 0_u64;
    let read = walk(source, GLANCE, &mut |triangle, _| {
        seen += 1;
        let these = Bounds::around(triangle.map(Vec3::as_dvec3));
        corners = Bounds::around([corners, these].into_iter().flatten().flat_map(|b| [b.min, b.max]));
        Ok(())
    })?;
    let whole = read >= source.bytes;
    let count = binary(source).map_or_else(|| super::text::estimate(seen, source.bytes, read), u64::from);
    out.flavour = if binary(source).is_some() { "binary" } else { "text" }.into();
    out.estimated = !whole && binary(source).is_none();
    out.counts.push(("triangles", count));
    out.bounds = corners.map(|b| Bounds { sampled: !whole, ..b });
    Ok(out)
}

pub(super) fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut part = Part {
        name: "stl".into(),
        ..Part::default()
    };
    let mut known: HashMap<([u32; 3], [u8; 4]), u32> = HashMap::new();
    let mut seen = 0_u64;
    let mut colored = false;
    let whole = whole_color(source);
    walk(source, u64::MAX, &mut |triangle, bits| {
        seen += 1;
        if seen > limits.triangles {
            let fault = format!("is one more than the allowed {}", limits.triangles);
            return Err(source.fault(format!("triangle {seen}"), fault));
        }
        let own = color(bits, whole.is_some());
        colored |= own.is_some() || whole.is_some();
        let color = own.or(whole).unwrap_or(NO_COLOR);
        for corner in triangle {
            // −0 and 0 are one place.
            let key = ((corner + Vec3::ZERO).to_array().map(f32::to_bits), color);
            let next = part.positions.len();
            let index = match known.get(&key) {
                Some(&index) => index,
                None => {
                    let index = u32::try_from(next).map_err(|_| source.fault("file", "has more than 2³² corners"))?;
                    known.insert(key, index);
                    part.positions.push(corner.as_dvec3());
                    part.colors.push(crate::color::linear(color));
                    index
                }
            };
            part.indices.push(index);
        }
        Ok(())
    })?;
    if !colored {
        part.colors.clear();
    }
    if part.indices.is_empty() {
        return Err(source.fault("file", "has no triangles"));
    }
    sink(Chunk::Part(part))
}

/// Walks over the triangles until the end or `glance` bytes; returns the bytes read.
fn walk(source: &Source, glance: u64, each: &mut Each<'_>) -> Result<u64, Error> {
    match binary(source) {
        Some(count) => walk_binary(source, count, glance, each),
        None => walk_text(source, glance, each),
    }
}

fn walk_binary(source: &Source, count: u32, glance: u64, each: &mut Each<'_>) -> Result<u64, Error> {
    let mut reader = source.reader()?;
    let mut record = [0_u8; 84];
    reader.read_exact(&mut record).map_err(|e| source.io(e))?;
    let mut read = 84;
    for index in 0..count {
        if read >= glance {
            break;
        }
        let record = &mut record[..RECORD];
        reader
            .read_exact(record)
            .map_err(|_| source.fault(format!("triangle {index}"), "is cut off"))?;
        read += RECORD as u64;
        let float = |at: usize| f32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
        let triangle = [12, 24, 36].map(|at| Vec3::new(float(at), float(at + 4), float(at + 8)));
        if !triangle.iter().all(|v| v.is_finite()) {
            return Err(source.fault(format!("triangle {index}"), "is not finite"));
        }
        each(triangle, u16::from_le_bytes([record[48], record[49]]))?;
    }
    Ok(read)
}

fn walk_text(source: &Source, glance: u64, each: &mut Each<'_>) -> Result<u64, Error> {
    let mut reader = source.reader()?;
    let (mut line, mut number, mut read) = (Vec::new(), 0_u64, 0_u64);
    let mut corners: Vec<Vec3> = Vec::new();
    while read < glance {
        line.clear();
        let got = (&mut reader)
            .take(4096)
            .read_until(b'\n', &mut line)
            .map_err(|e| source.io(e))?;
        if got == 0 {
            break;
        }
        read += got as u64;
        number += 1;
        let place = || format!("line {number}");
        if got == 4096 {
            return Err(source.fault(place(), "is longer than 4096 bytes"));
        }
        let text = String::from_utf8_lossy(&line);
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some("vertex") => {
                let mut next = || {
                    words
                        .next()
                        .and_then(|w| w.parse::<f32>().ok())
                        .filter(|v| v.is_finite())
                };
                let (Some(x), Some(y), Some(z)) = (next(), next(), next()) else {
                    return Err(source.fault(place(), "is a vertex without three numbers"));
                };
                corners.push(Vec3::new(x, y, z));
                if corners.len() > 3 {
                    return Err(source.fault(place(), "is the fourth corner of a facet"));
                }
            }
            Some("endfacet") => {
                let triangle: [Vec3; 3] = std::mem::take(&mut corners)
                    .try_into()
                    .map_err(|c: Vec<Vec3>| source.fault(place(), format!("ends a facet of {} corners", c.len())))?;
                each(triangle, 0)?;
            }
            Some("solid" | "facet" | "outer" | "endloop" | "endsolid") | None => {}
            Some(_) => {
                let shown: String = text.trim().chars().take(40).collect();
                return Err(source.fault(place(), format!("is not a line of an STL: {shown:?}")));
            }
        }
    }
    if !corners.is_empty() && read < glance {
        return Err(source.fault(format!("line {number}"), "ends the file inside a facet"));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ways_of_writing_colours() {
        assert_eq!(color(0, false), None);
        assert_eq!(color(0x8000 | 31 << 10, false), Some([255, 0, 0, 255]));
        assert_eq!(color(31, true), Some([255, 0, 0, 255]));
        assert_eq!(color(0x8000 | 31, true), None);
    }
}
