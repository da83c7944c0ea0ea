//! PLY: text and both binaries; meshes, points and Gaussian splats.

mod header;
mod mesh;
mod rows;

use std::io::BufRead;

use glam::{DVec3, Quat, Vec3};
use header::{Coding, Element, Header};
use mesh::Corners;
use rows::{Row, Rows};

use super::{Limits, PointBuffer, Sink, SplatBuffer};
use crate::data::{Bounds, Chunk, Part, Splat, Summary};
use crate::source::Source;
use crate::{Error, Up, color};

/// Rows that `inspect` looks at.
const SAMPLE: u64 = 50_000;
/// The first basis function of the spherical harmonics, 1 / (2 √π).
const SH_0: f32 = 0.282_094_8;

/// Which properties of the vertices mean what.
struct Layout {
    position: [usize; 3],
    normal: Option<[usize; 3]>,
    color: Option<[usize; 3]>,
    alpha: Option<usize>,
    tex_coord: Option<[usize; 2]>,
    /// What full brightness is.
    full: f64,
}

impl Layout {
    fn of(element: &Element, source: &Source) -> Result<Self, Error> {
        let all = |names: [&[&str]; 3]| -> Option<[usize; 3]> {
            let [a, b, c] = names.map(|n| element.find(n).filter(|&at| element.properties[at].list.is_none()));
            Some([a?, b?, c?])
        };
        let position =
            all([&["x"], &["y"], &["z"]]).ok_or_else(|| source.fault("element \"vertex\"", "has no x, y and z"))?;
        let color = all([
            &["red", "r", "diffuse_red"],
            &["green", "g", "diffuse_green"],
            &["blue", "b", "diffuse_blue"],
        ]);
        let tex_coord = [["s", "u", "texture_u"], ["t", "v", "texture_v"]].map(|names| element.find(&names));
        Ok(Self {
            position,
            normal: all([&["nx"], &["ny"], &["nz"]]),
            color,
            alpha: element.find(&["alpha", "a"]).filter(|_| color.is_some()),
            tex_coord: match tex_coord {
                [Some(u), Some(v)] => Some([u, v]),
                _ => None,
            },
            full: color.map_or(1.0, |[red, ..]| element.properties[red].kind.full()),
        })
    }

    fn position(&self, row: &Row) -> DVec3 {
        DVec3::from(self.position.map(|at| row.one(at)))
    }

    fn normal(&self, row: &Row) -> Option<Vec3> {
        let normal = DVec3::from(self.normal?.map(|at| row.one(at)));
        Some(if normal.is_finite() {
            normal.normalize_or(DVec3::Z).as_vec3()
        } else {
            Vec3::Z
        })
    }

    fn color(&self, row: &Row) -> Option<[u8; 3]> {
        Some(self.color?.map(|at| color::byte(row.one(at) / self.full)))
    }

    fn attributes(&self) -> Vec<String> {
        let all = [
            (self.normal.is_some(), "normal"),
            (self.color.is_some(), "colour"),
            (self.alpha.is_some(), "alpha"),
            (self.tex_coord.is_some(), "texture coordinate"),
        ];
        all.iter()
            .filter(|(there, _)| *there)
            .map(|(_, name)| (*name).to_owned())
            .collect()
    }
}

fn vertices<'h>(header: &'h Header, source: &Source) -> Result<&'h Element, Error> {
    let vertex = header.elements.iter().find(|e| e.name == "vertex");
    vertex.ok_or_else(|| source.fault("header", "has no element \"vertex\""))
}

fn faces(header: &Header) -> u64 {
    let those = ["face", "tristrips"];
    let all = header.elements.iter().filter(|e| those.contains(&e.name.as_str()));
    all.map(|e| e.count).sum()
}

pub(super) fn inspect(source: &Source) -> Result<Summary, Error> {
    let mut reader = source.reader()?;
    let header = Header::read(source, &mut reader)?;
    let vertex = vertices(&header, source)?;
    let layout = Layout::of(vertex, source)?;
    let mut out = Summary::new(source.format, source.bytes);
    out.flavour = match header.coding {
        Coding::Text => "text",
        Coding::Little => "binary little-endian",
        Coding::Big => "binary big-endian",
    }
    .into();
    out.attributes = layout.attributes();
    if vertex.is_splats() {
        out.counts.push(("splats", vertex.count));
        out.attributes = vec![format!("spherical harmonics of degree {}", degree(vertex.harmonics()))];
        out.up = Up::Y;
    } else if faces(&header) > 0 {
        out.counts
            .extend([("vertices", vertex.count), ("faces", faces(&header))]);
        out.up = Up::Y;
    } else {
        out.counts.push(("points", vertex.count));
    }
    out.bounds = sample(source, &header, vertex, &layout, reader)?;
    Ok(out)
}

fn degree(coefficients: usize) -> usize {
    (1..5).take_while(|d| d * (d + 2) <= coefficients).count()
}

/// The box around some of the vertices, spread over the file where rows are equally long.
fn sample<R: BufRead + std::io::Seek>(
    source: &Source,
    header: &Header,
    vertex: &Element,
    layout: &Layout,
    reader: R,
) -> Result<Option<Bounds>, Error> {
    if header.elements.first() != Some(vertex) {
        return Ok(None);
    }
    let mut rows = Rows::new(source, reader, header.coding);
    let mut row = Row::default();
    let fixed = header.coding != Coding::Text && vertex.properties.iter().all(|p| p.list.is_none());
    let bytes: u64 = vertex.properties.iter().map(|p| p.kind.bytes() as u64).sum();
    let mut positions = Vec::new();
    // A few thousand places in a large file, a run of rows at each: seeking costs more than reading.
    let (runs, length) = if fixed && vertex.count > SAMPLE {
        (SAMPLE / 50, 50)
    } else {
        (1, vertex.count.min(SAMPLE))
    };
    for run in 0..runs {
        let first = (vertex.count - length.min(vertex.count)) / runs.max(1) * run;
        if runs > 1 {
            rows.seek(header.body + first * bytes)?;
        }
        for number in first..first + length {
            rows.next(vertex, number, &mut row)?;
            positions.push(layout.position(&row));
        }
    }
    let sampled = vertex.count > SAMPLE;
    let finite = positions.into_iter().filter(|p| p.is_finite());
    Ok(Bounds::around(finite).map(|b| Bounds { sampled, ..b }))
}

pub(super) fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut reader = source.reader()?;
    let header = Header::read(source, &mut reader)?;
    let vertex = vertices(&header, source)?;
    let layout = Layout::of(vertex, source)?;
    let is_mesh = faces(&header) > 0;
    let (limit, what) = if is_mesh {
        (limits.vertices, "vertices")
    } else {
        (limits.points, "points")
    };
    if vertex.count > limit {
        let fault = format!("promises {} {what}, more than the allowed {limit}", vertex.count);
        return Err(source.fault("header", fault));
    }
    let mut rows = Rows::new(source, reader, header.coding);
    let mut row = Row::default();
    let mut part = Part {
        name: "ply".into(),
        ..Part::default()
    };
    let mut corners = Corners::default();
    for element in &header.elements {
        match element.name.as_str() {
            "vertex" if vertex.is_splats() => splats(&mut rows, element, &layout, sink)?,
            "vertex" if is_mesh => mesh::vertices(&mut rows, element, &layout, &mut part)?,
            "vertex" => points(&mut rows, element, &layout, sink)?,
            "face" => corners.faces(&mut rows, element, limits)?,
            "tristrips" => corners.strips(&mut rows, element, limits)?,
            _ => {
                for number in 0..element.count {
                    rows.next(element, number, &mut row)?;
                }
            }
        }
    }
    if !is_mesh {
        return Ok(());
    }
    corners.give(&mut part, source)?;
    mesh::texture(source, &header, limits, &mut part, sink)?;
    sink(Chunk::Part(part))
}

fn points<R: BufRead>(
    rows: &mut Rows<'_, R>,
    element: &Element,
    layout: &Layout,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let mut row = Row::default();
    let mut out = PointBuffer::new(sink);
    for number in 0..element.count {
        rows.next(element, number, &mut row)?;
        let position = layout.position(&row);
        if !position.is_finite() {
            // Scanners write a pixel without an echo as not-a-number.
            out.points.noise += 1;
            continue;
        }
        out.points.positions.push(position);
        out.points.normals.extend(layout.normal(&row));
        out.points.colors.extend(layout.color(&row));
        out.turn()?;
    }
    out.flush()
}

/// Splats as the trainers write them: logarithms of scales, logits of opacities, w first, harmonics channel by
/// channel.
#[expect(clippy::cast_possible_truncation, reason = "splats are f32 in these files")]
fn splats<R: BufRead>(
    rows: &mut Rows<'_, R>,
    element: &Element,
    layout: &Layout,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let find = |name: &str| {
        let at = element.find(&[name]);
        at.ok_or_else(|| {
            rows.source
                .fault("element \"vertex\"", format!("is of splats, but has no {name}"))
        })
    };
    let opacity = find("opacity")?;
    let color = [find("f_dc_0")?, find("f_dc_1")?, find("f_dc_2")?];
    let scale = [find("scale_0")?, find("scale_1")?, find("scale_2")?];
    let rotation = [find("rot_1")?, find("rot_2")?, find("rot_3")?, find("rot_0")?];
    let coefficients = element.harmonics();
    let rest = (0..coefficients * 3)
        .map(|i| find(&format!("f_rest_{i}")))
        .collect::<Result<Vec<usize>, Error>>()?;
    let mut row = Row::default();
    let mut out = SplatBuffer {
        splats: Vec::new(),
        sink,
    };
    for number in 0..element.count {
        rows.next(element, number, &mut row)?;
        if !row.values.iter().all(|v| v.is_finite()) {
            return Err(rows.fault(element, number, "is not finite"));
        }
        let vector = |at: [usize; 3]| Vec3::from(at.map(|at| row.one(at) as f32));
        let logit = row.one(opacity) as f32;
        let rotation = Quat::from_array(rotation.map(|at| row.one(at) as f32));
        // In the file all of red comes first, then green, then blue.
        let harmonics = (0..coefficients)
            .flat_map(|k| [k, k + coefficients, k + 2 * coefficients])
            .map(|at| row.one(rest[at]) as f32)
            .collect();
        out.push(Splat {
            position: layout.position(&row).as_vec3(),
            scale: vector(scale).map(f32::exp),
            rotation: if rotation.length_squared() > 1e-12 {
                rotation.normalize()
            } else {
                Quat::IDENTITY
            },
            opacity: 1.0 / (1.0 + (-logit).exp()),
            color: vector(color) * SH_0 + Vec3::splat(0.5),
            harmonics,
        })?;
    }
    out.flush()
}
