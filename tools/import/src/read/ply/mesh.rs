//! Meshes of a PLY: polygons, triangle strips, texture coordinates of vertices or of the corners of faces.

use std::collections::HashMap;
use std::io::BufRead;

use glam::{DVec2, Vec2};

use super::Layout;
use super::header::{Element, Header};
use super::rows::{Row, Rows};
use crate::data::{Chunk, Look, Part};
use crate::read::{Limits, Sink, mtl, prepare};
use crate::source::Source;
use crate::{Error, color};

pub(super) fn vertices<R: BufRead>(
    rows: &mut Rows<'_, R>,
    element: &Element,
    layout: &Layout,
    part: &mut Part,
) -> Result<(), Error> {
    let mut row = Row::default();
    for number in 0..element.count {
        rows.next(element, number, &mut row)?;
        let position = layout.position(&row);
        if !position.is_finite() {
            return Err(rows.fault(element, number, "is not finite"));
        }
        part.positions.push(position);
        part.normals.extend(layout.normal(&row));
        if let Some([r, g, b]) = layout.color(&row) {
            let alpha = layout.alpha.map_or(255, |at| color::byte(row.one(at) / layout.full));
            part.colors.push(color::linear([r, g, b, alpha]));
        }
        if let Some(at) = layout.tex_coord {
            let [u, v] = at.map(|at| row.one(at));
            part.tex_coords.push(coordinate(u, v));
        }
    }
    Ok(())
}

/// PLY's v grows upwards, glTF's downwards.
fn coordinate(u: f64, v: f64) -> Vec2 {
    let finite = |v: f64| if v.is_finite() { v } else { 0.0 };
    DVec2::new(finite(u), 1.0 - finite(v)).as_vec2()
}

/// A whole number below 2³² that a row holds.
fn index(value: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number below 2³²"
    )]
    let index = value as u32;
    (f64::from(index) == value && index < u32::MAX).then_some(index)
}

/// Triangles, and for each of their corners a texture coordinate where faces have them.
#[derive(Default)]
pub(super) struct Corners {
    indices: Vec<u32>,
    coordinates: Vec<Vec2>,
}

impl Corners {
    pub(super) fn faces<R: BufRead>(
        &mut self,
        rows: &mut Rows<'_, R>,
        element: &Element,
        limits: &Limits,
    ) -> Result<(), Error> {
        let is_list = |at: &usize| element.properties[*at].list.is_some();
        let list = element.find(&["vertex_indices", "vertex_index"]).filter(is_list);
        let Some(list) = list else {
            return Err(rows.source.fault("element \"face\"", "has no list of vertices"));
        };
        let coordinates = element.find(&["texcoord", "texcoords"]).filter(is_list);
        let mut row = Row::default();
        for number in 0..element.count {
            rows.next(element, number, &mut row)?;
            let corners = row.of(list);
            if corners.len() < 3 {
                continue;
            }
            let mut around = Vec::with_capacity(corners.len());
            for &value in corners {
                let fault = || rows.fault(element, number, &format!("refers to vertex {value}"));
                around.push(index(value).ok_or_else(fault)?);
            }
            // Two numbers a corner; a face with others has none.
            let pairs = coordinates.map_or(&[][..], |at| row.of(at)).as_chunks::<2>().0;
            let pairs = if pairs.len() == around.len() { pairs } else { &[] };
            for at in 2..around.len() {
                let fan = [0, at - 1, at];
                self.indices.extend(fan.map(|i| around[i]));
                if coordinates.is_some() {
                    let pair = |i: usize| pairs.get(i).map_or(Vec2::ZERO, |&[u, v]| coordinate(u, v));
                    self.coordinates.extend(fan.map(pair));
                }
            }
            self.within(rows, element, number, limits)?;
        }
        Ok(())
    }

    /// Strips of triangles, one after another with -1 between them.
    pub(super) fn strips<R: BufRead>(
        &mut self,
        rows: &mut Rows<'_, R>,
        element: &Element,
        limits: &Limits,
    ) -> Result<(), Error> {
        let list = element.find(&["vertex_indices", "vertex_index"]);
        let Some(list) = list.filter(|&at| element.properties[at].list.is_some()) else {
            return Err(rows.source.fault("element \"tristrips\"", "has no list of vertices"));
        };
        if !self.coordinates.is_empty() {
            return Err(rows
                .source
                .fault("element \"tristrips\"", "stands beside faces with texture coordinates"));
        }
        let mut row = Row::default();
        for number in 0..element.count {
            rows.next(element, number, &mut row)?;
            for strip in row.of(list).split(|&value| value < 0.0) {
                let mut corners = Vec::with_capacity(strip.len());
                for &value in strip {
                    let fault = || rows.fault(element, number, &format!("refers to vertex {value}"));
                    corners.push(index(value).ok_or_else(fault)?);
                }
                self.indices.extend(prepare::triangles(&corners, false));
            }
            self.within(rows, element, number, limits)?;
        }
        Ok(())
    }

    fn within<R: BufRead>(
        &self,
        rows: &Rows<'_, R>,
        element: &Element,
        number: u64,
        limits: &Limits,
    ) -> Result<(), Error> {
        if self.indices.len() as u64 / 3 <= limits.triangles {
            return Ok(());
        }
        let fault = format!("makes more than the allowed {} triangles", limits.triangles);
        Err(rows.fault(element, number, &fault))
    }

    /// Gives a part its triangles; a vertex with several texture coordinates becomes several.
    pub(super) fn give(self, part: &mut Part, source: &Source) -> Result<(), Error> {
        let there = part.positions.len();
        if let Some(at) = self.indices.iter().position(|&i| i as usize >= there) {
            let fault = format!("refers to vertex {}, but there are {there}", self.indices[at]);
            return Err(source.fault(format!("triangle {}", at / 3), fault));
        }
        part.indices = self.indices;
        if self.coordinates.is_empty() {
            return Ok(());
        }
        let old = std::mem::take(part);
        let mut known: HashMap<(u32, [u32; 2]), u32> = HashMap::new();
        for (&vertex, at) in old.indices.iter().zip(&self.coordinates) {
            let key = (vertex, at.to_array().map(f32::to_bits));
            let next = u32::try_from(part.positions.len()).map_err(|_| source.fault("file", "has 2³² corners"))?;
            let index = *known.entry(key).or_insert(next);
            if index == next {
                let from = vertex as usize;
                part.positions.push(old.positions[from]);
                part.normals.extend(old.normals.get(from));
                part.colors.extend(old.colors.get(from));
                part.tex_coords.push(*at);
            }
            part.indices.push(index);
        }
        part.name = old.name;
        Ok(())
    }
}

/// The texture that a comment names, as MeshLab and others write it.
pub(super) fn texture(
    source: &Source,
    header: &Header,
    limits: &Limits,
    part: &mut Part,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let name = header.comments.iter().find_map(|c| c.strip_prefix("TextureFile "));
    let Some(name) = name.filter(|_| !part.tex_coords.is_empty()) else {
        return Ok(());
    };
    match mtl::texture(source, limits, name.trim()) {
        Ok(look) => {
            part.material = Some(0);
            sink(Chunk::Look(look))
        }
        Err(fault) => {
            sink(Chunk::Warning(fault))?;
            sink(Chunk::Look(Look::default()))
        }
    }
}
