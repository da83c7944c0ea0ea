//! Wavefront OBJ: a part for each material, corners with the same indices become one vertex.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Read};

use glam::{DVec2, DVec3, Vec2, Vec3};

use super::{Limits, Sink, mtl, text};
use crate::data::{Bounds, Chunk, Part, Summary};
use crate::source::Source;
use crate::{Error, Up, color};

/// A longer line, continuations included, is damage.
const LONGEST_LINE: u64 = 1 << 20;
/// Bytes that `inspect` looks at.
const GLANCE: u64 = 24 << 20;

pub(super) fn inspect(source: &Source) -> Result<Summary, Error> {
    let mut out = Summary::new(source.format, source.bytes);
    out.up = Up::Y;
    let mut lines = Lines::new(source)?;
    let mut bounds: Option<[DVec3; 2]> = None;
    let (mut vertices, mut faces, mut coords, mut normals) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut colored = false;
    let mut libraries: Vec<String> = Vec::new();
    while lines.read < GLANCE && lines.next()? {
        let text = lines.text();
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some("v") => {
                vertices += 1;
                let rest: Vec<f64> = words.filter_map(|w| w.parse().ok()).take(7).collect();
                colored |= rest.len() >= 6;
                if let [x, y, z, ..] = rest[..] {
                    let at = DVec3::new(x, y, z);
                    let [min, max] = bounds.get_or_insert([at; 2]);
                    (*min, *max) = (min.min(at), max.max(at));
                }
            }
            Some("vt") => coords += 1,
            Some("vn") => normals += 1,
            Some("f") => faces += 1,
            Some("mtllib") => libraries.push(words.collect::<Vec<_>>().join(" ")),
            _ => {}
        }
    }
    let whole = lines.read >= source.bytes;
    out.estimated = !whole;
    let scale = |n: u64| {
        if whole {
            n
        } else {
            text::estimate(n, source.bytes, lines.read)
        }
    };
    out.counts = vec![("vertices", scale(vertices)), ("faces", scale(faces))];
    for (there, name) in [
        (colored, "colour"),
        (normals > 0, "normal"),
        (coords > 0, "texture coordinate"),
    ] {
        if there {
            out.attributes.push(name.into());
        }
    }
    out.attributes
        .extend(libraries.iter().map(|l| format!("materials of {l:?}")));
    out.bounds = bounds.and_then(Bounds::around).map(|b| Bounds { sampled: !whole, ..b });
    Ok(out)
}

/// Lines with continuations joined; the buffer is reused.
struct Lines<'a> {
    source: &'a Source,
    reader: std::io::BufReader<std::fs::File>,
    line: Vec<u8>,
    number: u64,
    read: u64,
}

impl<'a> Lines<'a> {
    fn new(source: &'a Source) -> Result<Self, Error> {
        Ok(Self {
            source,
            reader: source.reader()?,
            line: Vec::new(),
            number: 0,
            read: 0,
        })
    }

    fn next(&mut self) -> Result<bool, Error> {
        self.line.clear();
        loop {
            let room = LONGEST_LINE + 1 - (self.line.len() as u64).min(LONGEST_LINE);
            let got = (&mut self.reader)
                .take(room)
                .read_until(b'\n', &mut self.line)
                .map_err(|e| self.source.io(e))?;
            self.read += got as u64;
            if self.line.len() as u64 > LONGEST_LINE {
                return Err(self.fault(format!("is longer than {LONGEST_LINE} bytes")));
            }
            if got == 0 {
                return Ok(!self.line.is_empty());
            }
            self.number += 1;
            while self.line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
                self.line.pop();
            }
            if self.line.last() != Some(&b'\\') {
                return Ok(true);
            }
            self.line.pop();
        }
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.line)
    }

    fn fault(&self, fault: impl Into<String>) -> Error {
        self.source.fault(format!("line {}", self.number.max(1)), fault)
    }
}

/// A part that is being put together.
#[derive(Default)]
struct Building {
    part: Part,
    known: HashMap<[u32; 3], u32>,
    /// Whether every corner so far has a texture coordinate and a normal.
    complete: [bool; 2],
}

/// What an OBJ has so far.
struct Model<'a> {
    source: &'a Source,
    limits: &'a Limits,
    positions: Vec<DVec3>,
    /// sRGB.
    colors: Vec<[u8; 3]>,
    tex_coords: Vec<Vec2>,
    normals: Vec<Vec3>,
    parts: BTreeMap<String, Building>,
    triangles: u64,
    corners: u64,
}

/// "No such index" in a corner.
const NONE: u32 = u32::MAX;

pub(super) fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut model = Model {
        source,
        limits,
        positions: Vec::new(),
        colors: Vec::new(),
        tex_coords: Vec::new(),
        normals: Vec::new(),
        parts: BTreeMap::new(),
        triangles: 0,
        corners: 0,
    };
    let mut material = String::new();
    let mut libraries: Vec<String> = Vec::new();
    let mut lines = Lines::new(source)?;
    while lines.next()? {
        let text = lines.text();
        let (keyword, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        let done = match keyword {
            "v" => model.vertex(rest),
            "vt" => model.tex_coord(rest),
            "vn" => model.normal(rest),
            "f" => model.face(&material, rest),
            "usemtl" => {
                material = rest.trim().to_owned();
                Ok(())
            }
            "mtllib" => {
                let name = rest.trim().to_owned();
                if libraries.len() < 64 && !libraries.contains(&name) {
                    libraries.push(name);
                }
                Ok(())
            }
            // Groups, smoothing, lines, curves and comments make no triangles.
            _ => Ok(()),
        };
        done.map_err(|fault| lines.fault(fault))?;
    }
    if model.parts.is_empty() {
        return model.points(sink);
    }
    let (look, names) = mtl::read(source, limits, &libraries, sink)?;
    for (name, building) in model.parts {
        let mut part = building.part;
        part.material = names.get(&name).copied();
        if !name.is_empty() && part.material.is_none() {
            sink(Chunk::Warning(format!(
                "material {name:?} is not defined: its part is grey"
            )))?;
        }
        part.name = if name.is_empty() { "obj".into() } else { name };
        if !building.complete[0] {
            part.tex_coords.clear();
        }
        if !building.complete[1] {
            part.normals.clear();
        }
        sink(Chunk::Part(part))?;
    }
    sink(Chunk::Look(look))
}

fn numbers<const N: usize>(rest: &str, needed: usize) -> Result<([f64; N], usize), String> {
    let mut out = [0.0; N];
    let mut count = 0;
    for (slot, word) in out.iter_mut().zip(rest.split_ascii_whitespace()) {
        let shown = || word.chars().take(40).collect::<String>();
        *slot = word
            .parse()
            .ok()
            .filter(|v: &f64| v.is_finite())
            .ok_or_else(|| format!("has {:?} for a number", shown()))?;
        count += 1;
    }
    if count < needed {
        return Err(format!("has {count} numbers, {needed} are needed"));
    }
    Ok((out, count))
}

impl Model<'_> {
    fn vertex(&mut self, rest: &str) -> Result<(), String> {
        let ([x, y, z, r, g, b], count) = numbers::<6>(rest, 3)?;
        if self.positions.len() as u64 >= self.limits.vertices {
            return Err(format!("is one vertex more than the allowed {}", self.limits.vertices));
        }
        self.positions.push(DVec3::new(x, y, z));
        if count == 6 {
            // Colours begin with the first vertex or are not there.
            if self.colors.len() + 1 == self.positions.len() {
                let full = if r.max(g).max(b) > 1.0 { 255.0 } else { 1.0 };
                self.colors
                    .push([color::byte(r / full), color::byte(g / full), color::byte(b / full)]);
            }
        }
        Ok(())
    }

    fn tex_coord(&mut self, rest: &str) -> Result<(), String> {
        let ([u, v], _) = numbers::<2>(rest, 1)?;
        if self.tex_coords.len() as u64 >= self.limits.vertices {
            return Err("is one texture coordinate too many".into());
        }
        self.tex_coords.push(DVec2::new(u, 1.0 - v).as_vec2());
        Ok(())
    }

    fn normal(&mut self, rest: &str) -> Result<(), String> {
        let ([x, y, z], _) = numbers::<3>(rest, 3)?;
        if self.normals.len() as u64 >= self.limits.vertices {
            return Err("is one normal too many".into());
        }
        self.normals.push(DVec3::new(x, y, z).normalize_or(DVec3::Y).as_vec3());
        Ok(())
    }

    fn face(&mut self, material: &str, rest: &str) -> Result<(), String> {
        let mut corners = Vec::with_capacity(4);
        for word in rest.split_ascii_whitespace() {
            corners.push(self.corner(word)?);
            if corners.len() > 4096 {
                return Err("is a face of more than 4096 corners".into());
            }
        }
        if corners.len() < 3 {
            return Err(format!("is a face of {} corners", corners.len()));
        }
        self.triangles += corners.len() as u64 - 2;
        self.corners += corners.len() as u64;
        if self.triangles > self.limits.triangles {
            return Err(format!(
                "makes more than the allowed {} triangles",
                self.limits.triangles
            ));
        }
        if !self.parts.contains_key(material) {
            if self.parts.len() >= 4096 {
                return Err("uses the 4097th material".into());
            }
            let fresh = Building {
                complete: [true; 2],
                ..Building::default()
            };
            self.parts.insert(material.to_owned(), fresh);
        }
        let Some(building) = self.parts.get_mut(material) else {
            return Ok(());
        };
        let colored = self.colors.len() == self.positions.len();
        let mut index = |corner: [u32; 3]| -> Result<u32, String> {
            if let Some(&index) = building.known.get(&corner) {
                return Ok(index);
            }
            let part = &mut building.part;
            let index = u32::try_from(part.positions.len()).map_err(|_| "is corner 2³² of its material")?;
            let [position, tex_coord, normal] = corner;
            part.positions.push(self.positions[position as usize]);
            building.complete[0] &= tex_coord != NONE;
            building.complete[1] &= normal != NONE;
            part.tex_coords
                .push(self.tex_coords.get(tex_coord as usize).copied().unwrap_or_default());
            part.normals
                .push(self.normals.get(normal as usize).copied().unwrap_or(Vec3::Y));
            if colored {
                let [r, g, b] = self.colors[position as usize];
                part.colors.push(color::linear([r, g, b, 255]));
            }
            building.known.insert(corner, index);
            Ok(index)
        };
        let first = index(corners[0])?;
        let mut last = index(corners[1])?;
        let mut fan = Vec::with_capacity(corners.len() * 3);
        for &corner in &corners[2..] {
            let next = index(corner)?;
            fan.extend([first, last, next]);
            last = next;
        }
        building.part.indices.extend(fan);
        // Colours that stop in the middle of the file are of no use to a part that has them.
        if building.part.colors.len() != building.part.positions.len() {
            building.part.colors.clear();
        }
        Ok(())
    }

    /// `7`, `7/2`, `7//3`, `7/2/3`; negative numbers count from the end.
    fn corner(&self, word: &str) -> Result<[u32; 3], String> {
        let lists = [
            (self.positions.len(), "vertex"),
            (self.tex_coords.len(), "texture coordinate"),
            (self.normals.len(), "normal"),
        ];
        let mut out = [NONE; 3];
        for ((slot, (there, what)), number) in out.iter_mut().zip(lists).zip(word.split('/')) {
            if number.is_empty() && what != "vertex" {
                continue;
            }
            let number: i64 = number.parse().map_err(|_| {
                let shown: String = word.chars().take(40).collect();
                format!("has the corner {shown:?}")
            })?;
            let count = i64::try_from(there).unwrap_or(i64::MAX);
            let index = if number < 0 {
                count.saturating_add(number)
            } else {
                number - 1
            };
            let found = u32::try_from(index).ok().filter(|&i| (i as usize) < there);
            *slot = found.ok_or_else(|| format!("refers to {what} {number}, the file has {there} so far"))?;
        }
        Ok(out)
    }

    /// A file without faces is a cloud of points.
    fn points(self, sink: &mut Sink<'_>) -> Result<(), Error> {
        if self.positions.is_empty() {
            return Err(self.source.fault("file", "has no vertices"));
        }
        let mut out = super::PointBuffer::new(sink);
        let colored = self.colors.len() == self.positions.len();
        for (index, position) in self.positions.into_iter().enumerate() {
            out.points.positions.push(position);
            if colored {
                out.points.colors.push(self.colors[index]);
            }
            out.turn()?;
        }
        out.flush()
    }
}
