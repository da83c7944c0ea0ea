//! Meshes: attributes, indices, and normals where the file has none.

use glam::{Vec2, Vec3, Vec4};
use gltf::json;
use json::Index;
use json::accessor::Type;
use json::mesh::{Mode, Semantic};
use json::validation::Checked;

use super::{FARTHEST_M, Source, label};
use crate::{Error, Mesh, Primitive};

impl Source<'_> {
    pub(super) fn meshes(&mut self) -> Result<Vec<Mesh>, Error> {
        let root = self.root;
        let mut meshes = Vec::new();
        for (index, mesh) in root.meshes.iter().enumerate() {
            let place = label("mesh", index, mesh.name.as_ref());
            let mut primitives = Vec::new();
            for (at, primitive) in mesh.primitives.iter().enumerate() {
                primitives.push(self.primitive(primitive, &format!("{place}, primitive {at}"))?);
            }
            meshes.push(Mesh {
                name: mesh.name.clone().unwrap_or_default(),
                primitives,
            });
        }
        Ok(meshes)
    }

    /// Positions of the points of a mesh.
    pub(super) fn points(&mut self, mesh: usize) -> Result<Vec<Vec3>, Error> {
        let root = self.root;
        let primitives = &self.get(&root.meshes, mesh, "nodes", "mesh")?.primitives;
        let mut out = Vec::new();
        for (at, primitive) in primitives.iter().enumerate() {
            let place = format!("mesh {mesh}, primitive {at}");
            let position = primitive.attributes.get(&Checked::Valid(Semantic::Positions));
            let Some(position) = position.filter(|_| primitive.mode == Checked::Valid(Mode::Points)) else {
                continue;
            };
            let count = self.elements(position.value(), &place, &[Type::Vec3])?.count;
            self.spent.vertices += count as u64;
            self.within(&place, "points", self.spent.vertices, self.limits.vertices)?;
            out.extend(self.vectors::<Vec3, 3>(position.value(), &place, "POSITION", Type::Vec3, count)?);
        }
        Ok(out)
    }

    fn primitive(&mut self, primitive: &json::mesh::Primitive, place: &str) -> Result<Primitive, Error> {
        let mode = self.valid(&primitive.mode, place, "mode")?;
        if mode != Mode::Triangles {
            return Err(self.fault(place, format!("mode {mode:?} is not supported, only triangles")));
        }
        if primitive.targets.as_ref().is_some_and(|t| !t.is_empty()) {
            return Err(self.fault(place, "morph targets are not supported"));
        }
        if let Some(material) = primitive.material {
            self.get(&self.root.materials, material.value(), place, "material")?;
        }
        let attribute = |semantic: Semantic| primitive.attributes.get(&Checked::Valid(semantic)).map(Index::value);
        let Some(position) = attribute(Semantic::Positions) else {
            return Err(self.fault(place, "has no POSITION"));
        };

        let count = self
            .elements(position, &format!("{place}, POSITION"), &[Type::Vec3])?
            .count;
        self.spent.vertices += count as u64;
        self.within(place, "vertices", self.spent.vertices, self.limits.vertices)?;
        let positions: Vec<Vec3> = self.vectors(position, place, "POSITION", Type::Vec3, count)?;
        if let Some(far) = positions.iter().position(|p| p.abs().max_element() > FARTHEST_M) {
            return Err(self.fault(
                place,
                format!("vertex {far} lies outside the world, at {}", positions[far]),
            ));
        }

        let indices = self.indices(primitive.indices.map(|i| i.value()), count, place)?;
        let normals = match attribute(Semantic::Normals) {
            Some(index) => self
                .vectors::<Vec3, 3>(index, place, "NORMAL", Type::Vec3, count)?
                .into_iter()
                .map(|n| n.try_normalize().unwrap_or(Vec3::Y))
                .collect(),
            None => smooth_normals(&positions, &indices),
        };
        let tangents = match attribute(Semantic::Tangents) {
            Some(index) => self
                .vectors::<Vec4, 4>(index, place, "TANGENT", Type::Vec4, count)?
                .into_iter()
                .map(|t| {
                    t.truncate()
                        .try_normalize()
                        .unwrap_or(Vec3::X)
                        .extend(if t.w < 0.0 { -1.0 } else { 1.0 })
                })
                .collect(),
            None => Vec::new(),
        };
        let tex_coords = match attribute(Semantic::TexCoords(0)) {
            Some(index) => self.vectors::<Vec2, 2>(index, place, "TEXCOORD_0", Type::Vec2, count)?,
            None => Vec::new(),
        };
        let colors = match attribute(Semantic::Colors(0)) {
            Some(index) => self.colors(index, place, count)?,
            None => Vec::new(),
        };
        let material = primitive.material.map(|m| m.value());
        Ok(Primitive {
            material,
            positions,
            normals,
            tangents,
            tex_coords,
            colors,
            indices,
        })
    }

    fn vectors<V: From<[f32; N]>, const N: usize>(
        &self,
        index: usize,
        place: &str,
        name: &str,
        shape: Type,
        count: usize,
    ) -> Result<Vec<V>, Error> {
        let place = format!("{place}, {name}");
        let there = self.elements(index, &place, &[shape])?.count;
        if there != count {
            return Err(self.fault(place, format!("has {there} elements, but POSITION has {count}")));
        }
        Ok(self
            .floats::<N>(index, &place, shape)?
            .into_iter()
            .map(V::from)
            .collect())
    }

    #[expect(clippy::cast_possible_truncation, reason = "clamped to 0..=255")]
    fn colors(&self, index: usize, place: &str, count: usize) -> Result<Vec<[u8; 4]>, Error> {
        let place = format!("{place}, COLOR_0");
        let elements = self.elements(index, &place, &[Type::Vec3, Type::Vec4])?;
        if elements.count != count {
            return Err(self.fault(
                place,
                format!("has {} elements, but POSITION has {count}", elements.count),
            ));
        }
        let width = elements.width();
        let mut out = Vec::with_capacity(count);
        for element in 0..count {
            let channel = |c: usize| if c < width { elements.float(element, c) } else { 1.0 };
            let color: [f32; 4] = std::array::from_fn(channel);
            if !color.iter().all(|v| v.is_finite()) {
                return Err(self.fault(place, format!("element {element} is not finite: {color:?}")));
            }
            out.push(color.map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8));
        }
        Ok(out)
    }

    fn indices(&mut self, accessor: Option<usize>, vertices: usize, place: &str) -> Result<Vec<u32>, Error> {
        let Some(accessor) = accessor else {
            let end = u32::try_from(vertices).map_err(|_| self.fault(place, "has more vertices than 32 bits count"))?;
            self.count_triangles(vertices, place)?;
            return Ok((0..end).collect());
        };
        let place = format!("{place}, indices");
        let count = self.elements(accessor, &place, &[Type::Scalar])?.count;
        self.count_triangles(count, &place)?;
        let elements = self.elements(accessor, &place, &[Type::Scalar])?;
        let mut out = Vec::with_capacity(count);
        for element in 0..count {
            let Some(index) = elements.index(element) else {
                return Err(self.fault(place, format!("{:?} can not be an index", elements.component())));
            };
            if index as usize >= vertices {
                return Err(self.fault(
                    place,
                    format!("index {index} at {element} is beyond the {vertices} vertices"),
                ));
            }
            out.push(index);
        }
        Ok(out)
    }

    fn count_triangles(&mut self, indices: usize, place: &str) -> Result<(), Error> {
        if !indices.is_multiple_of(3) {
            return Err(self.fault(place, format!("{indices} indices are not a whole number of triangles")));
        }
        self.spent.triangles += indices as u64 / 3;
        self.within(place, "triangles", self.spent.triangles, self.limits.triangles)
    }
}

/// Normals of the surrounding triangles, weighted by their areas.
pub(crate) fn smooth_normals(positions: &[Vec3], indices: &[u32]) -> Vec<Vec3> {
    let mut normals = vec![Vec3::ZERO; positions.len()];
    for triangle in indices.chunks_exact(3) {
        let [a, b, c] = [triangle[0] as usize, triangle[1] as usize, triangle[2] as usize];
        let normal = (positions[b] - positions[a]).cross(positions[c] - positions[a]);
        for corner in [a, b, c] {
            normals[corner] += normal;
        }
    }
    normals
        .into_iter()
        .map(|n| n.try_normalize().unwrap_or(Vec3::Y))
        .collect()
}
