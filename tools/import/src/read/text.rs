//! PTS and XYZ: lines of numbers, with or without intensity, colours or normals.

use std::io::BufRead;

use glam::{DVec3, Vec3};

use super::{Limits, PointBuffer, Sink};
use crate::data::{Bounds, Summary};
use crate::source::Source;
use crate::{Error, Format, Up, color};

/// A longer line is not one of a point.
const LONGEST_LINE: usize = 4096;
/// Bytes that `inspect` looks at.
const GLANCE: u64 = 8 << 20;

/// What the columns mean, decided on the first line of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Columns {
    Position,
    Intensity,
    Color,
    Normal,
    IntensityColor,
}

impl Columns {
    fn of(numbers: &[f64]) -> Self {
        let bytes = |n: &[f64]| n.iter().all(|v| (0.0..=255.0).contains(v) && v.fract() == 0.0);
        match numbers.len() {
            3 => Self::Position,
            4 | 5 => Self::Intensity,
            6 if bytes(&numbers[3..6]) => Self::Color,
            6 => Self::Normal,
            _ if bytes(&numbers[4..7]) => Self::IntensityColor,
            _ if bytes(&numbers[3..6]) => Self::Color,
            _ => Self::Position,
        }
    }

    fn attributes(self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::Position => &[],
            Self::Intensity => &["intensity"],
            Self::Color => &["colour"],
            Self::Normal => &["normal"],
            Self::IntensityColor => &["intensity", "colour"],
        };
        names.iter().map(|&n| n.to_owned()).collect()
    }
}

/// One line of a file, numbered from 1; the buffer is reused.
struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    read: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end; `None` at the end of the file.
    fn next(&mut self, source: &Source) -> Result<Option<&str>, Error> {
        self.line.clear();
        let mut limited = std::io::Read::take(&mut self.reader, LONGEST_LINE as u64 + 1);
        let read = limited.read_until(b'\n', &mut self.line).map_err(|e| source.io(e))?;
        if read == 0 {
            return Ok(None);
        }
        self.read += read as u64;
        self.number += 1;
        let place = || format!("line {}", self.number);
        if self.line.len() > LONGEST_LINE {
            return Err(source.fault(place(), format!("is longer than {LONGEST_LINE} bytes")));
        }
        let text = std::str::from_utf8(&self.line).map_err(|_| source.fault(place(), "is not text"))?;
        Ok(Some(text.trim_start_matches('\u{feff}').trim()))
    }
}

/// The numbers of a line, at most ten; `None` where a word is not a number.
fn numbers(line: &str, out: &mut Vec<f64>) -> bool {
    out.clear();
    for word in line.split([' ', '\t', ',', ';']).filter(|w| !w.is_empty()).take(10) {
        let Ok(number) = word.parse() else { return false };
        out.push(number);
    }
    true
}

pub(super) fn inspect(source: &Source) -> Result<Summary, Error> {
    let mut out = Summary::new(source.format, source.bytes);
    out.up = Up::Z;
    let mut bounds: Vec<DVec3> = Vec::new();
    let mut seen = 0_u64;
    let mut promised = 0;
    let read = walk(source, u64::MAX, GLANCE, &mut |event| {
        match event {
            Event::Block(count) => promised += count,
            Event::Point { position, columns, .. } => {
                seen += 1;
                if seen == 1 {
                    out.attributes = columns.attributes();
                    bounds = vec![position; 2];
                }
                bounds[0] = bounds[0].min(position);
                bounds[1] = bounds[1].max(position);
            }
        }
        Ok(())
    })?;
    let whole = read >= source.bytes;
    out.estimated = !whole;
    let count = if whole {
        seen
    } else if source.format == Format::Pts && promised > seen {
        promised
    } else {
        estimate(seen, source.bytes, read)
    };
    out.counts.push(("points", count));
    out.bounds = Bounds::around(bounds).map(|b| Bounds { sampled: !whole, ..b });
    Ok(out)
}

/// A count in the whole file from that in its beginning.
pub(super) fn estimate(seen: u64, bytes: u64, read: u64) -> u64 {
    let all = u128::from(seen) * u128::from(bytes) / u128::from(read.max(1));
    u64::try_from(all).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "an intensity needs no more than f32")]
pub(super) fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut out = PointBuffer::new(sink);
    let mut layout = None;
    walk(source, limits.points, u64::MAX, &mut |event| {
        let Event::Point {
            position,
            columns,
            rest,
        } = event
        else {
            return Ok(());
        };
        if layout != Some(columns) {
            // A block with other columns begins a chunk of its own: arrays of one chunk are equally long.
            out.flush()?;
            layout = Some(columns);
        }
        out.points.positions.push(position);
        let channel = |v: f64| color::byte(v / 255.0);
        match columns {
            Columns::Color => out.points.colors.push([rest[0], rest[1], rest[2]].map(channel)),
            Columns::IntensityColor => out.points.colors.push([rest[1], rest[2], rest[3]].map(channel)),
            Columns::Normal => out.points.normals.push(unit([rest[0], rest[1], rest[2]])),
            Columns::Intensity => out.points.intensities.push(rest[0] as f32),
            Columns::Position => {}
        }
        out.turn()
    })?;
    out.flush()
}

fn unit(v: [f64; 3]) -> Vec3 {
    DVec3::from(v).normalize_or(DVec3::Z).as_vec3()
}

enum Event<'a> {
    /// A count of a PTS file.
    Block(u64),
    Point {
        position: DVec3,
        columns: Columns,
        /// The columns after the position.
        rest: &'a [f64],
    },
}

/// Walks over the lines until the end or `glance` bytes; returns the bytes read.
fn walk(
    source: &Source,
    most: u64,
    glance: u64,
    each: &mut dyn FnMut(Event<'_>) -> Result<(), Error>,
) -> Result<u64, Error> {
    let mut lines = Lines {
        reader: source.reader()?,
        line: Vec::new(),
        number: 0,
        read: 0,
    };
    let mut row = Vec::with_capacity(10);
    let mut columns = None;
    // Points that are still to come in this block of a PTS file.
    let mut block: Option<u64> = None;
    let mut seen = 0_u64;
    while lines.read < glance {
        let Some(line) = lines.next(source)? else { break };
        if line.is_empty() || line.starts_with('#') || line.starts_with("//") {
            continue;
        }
        let is_numbers = numbers(line, &mut row);
        let place = format_args!("line {}", lines.number).to_string();
        if source.format == Format::Pts && row.len() == 1 && is_numbers {
            if let Some(missing) = block.filter(|&b| b > 0) {
                return Err(source.fault(
                    place,
                    format!("begins a scan while {missing} points of the last are missing"),
                ));
            }
            let line = std::str::from_utf8(&lines.line).unwrap_or_default().trim();
            let count = line.parse().map_err(|_| source.fault(&place, "is not a count"))?;
            source.believable(&place, "points", count, 48)?;
            (block, columns) = (Some(count), None);
            each(Event::Block(count))?;
            continue;
        }
        if !is_numbers || row.len() < 3 {
            // Column names.
            if seen == 0 && lines.number <= 5 && source.format == Format::Xyz {
                continue;
            }
            return Err(source.fault(place, format!("is not a point: {:?}", shorten(&lines.line))));
        }
        if !row.iter().all(|v| v.is_finite()) {
            return Err(source.fault(place, "has a number that is not finite"));
        }
        let layout = *columns.get_or_insert_with(|| Columns::of(&row));
        let needed = match layout {
            Columns::Position => 3,
            Columns::Intensity => 4,
            Columns::Color | Columns::Normal => 6,
            Columns::IntensityColor => 7,
        };
        if row.len() < needed {
            let fault = format!("has {} columns, the lines before have {needed}", row.len());
            return Err(source.fault(place, fault));
        }
        seen += 1;
        if seen > most {
            return Err(source.fault(place, format!("is one point more than the allowed {most}")));
        }
        if let Some(left) = &mut block {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| source.fault(place, "is beyond the count of its scan"))?;
        }
        each(Event::Point {
            position: DVec3::new(row[0], row[1], row[2]),
            columns: layout,
            rest: &row[3..],
        })?;
    }
    let end = lines.read >= source.bytes;
    if end && let Some(missing) = block.filter(|&b| b > 0) {
        return Err(source.fault(
            format!("line {}", lines.number),
            format!("ends the file, {missing} points early"),
        ));
    }
    Ok(lines.read)
}

fn shorten(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim().chars().take(40).collect()
}
