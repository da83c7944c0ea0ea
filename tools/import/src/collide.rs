//! The collision mesh: what a person would bump into or stand on, in few triangles.

use std::collections::BTreeMap;

use glam::{Vec2, Vec3};
use meshopt::{SimplifyOptions, VertexDataAdapter};
use tongyou_scene::{Mesh, Node, Primitive, Scene};

use crate::cells::{Columns, Plan};

/// The mesh leaves the scene's surface by at most about this where it was simplified.
const ERROR_M: f32 = 0.02;
/// Corners nearer than this are one.
const WELD_M: f32 = 1e-3;
/// The disc that an import lays below ground is no part of the scan.
const BASE: &str = "base, not part of the scan";
/// With a larger share of open edges a scene is loose pieces, such as the squares of points.
const LOOSE: f64 = 0.5;
/// Side of the boxes that stand for loose pieces.
const BOX_M: f32 = 0.25;
/// Boxes' columns at most.
const MOST_COLUMNS: usize = 1_000_000;
/// Triangles of boxes at most; where there are more the boxes are larger.
const MOST_BOX_TRIANGLES: usize = 60_000;

/// All triangles of a scene where they stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shell {
    pub(crate) triangles: Vec<[Vec3; 3]>,
    /// Where the triangles of each node end.
    ends: Vec<usize>,
}

/// Indexed triangles.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Collider {
    pub(crate) vertices: Vec<Vec3>,
    pub(crate) indices: Vec<u32>,
}

impl Shell {
    pub(crate) fn new(scene: &Scene) -> Self {
        let (mut triangles, mut ends) = (Vec::new(), Vec::new());
        for (node, world) in scene.nodes.iter().zip(scene.world_from_nodes(0.0)) {
            let Some(mesh) = node.mesh.filter(|_| node.name != BASE) else {
                continue;
            };
            for primitive in &scene.meshes[mesh].primitives {
                let corner = |i: u32| world.transform_point3(primitive.positions[i as usize]);
                triangles.extend(primitive.indices.as_chunks::<3>().0.iter().map(|t| t.map(corner)));
            }
            ends.push(triangles.len());
        }
        Self { triangles, ends }
    }

    /// Of one thing.
    #[cfg(test)]
    pub(crate) fn of(triangles: Vec<[Vec3; 3]>) -> Self {
        let ends = vec![triangles.len()];
        Self { triangles, ends }
    }

    /// The triangles of each node: ground may be a surface while the trees on it are loose pieces.
    fn parts(&self) -> impl Iterator<Item = &[[Vec3; 3]]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.triangles[start..*end])
    }

    /// The box around it; `None` where there is nothing.
    pub(crate) fn bounds(&self) -> Option<(Vec3, Vec3)> {
        bounds(&self.triangles)
    }
}

fn bounds(triangles: &[[Vec3; 3]]) -> Option<(Vec3, Vec3)> {
    let start = (Vec3::INFINITY, Vec3::NEG_INFINITY);
    let corners = triangles.iter().flatten();
    let (low, high) = corners.fold(start, |(a, b), p| (a.min(*p), b.max(*p)));
    low.is_finite().then_some((low, high))
}

impl Collider {
    /// The mesh of a scene: its own surfaces, welded and simplified; boxes where it is loose pieces.
    pub(crate) fn new(shell: &Shell) -> Self {
        let size = shell.bounds().map_or(0.0, |(low, high)| (high - low).max_element());
        let mut all = Self::default();
        for triangles in shell.parts() {
            let welded = Self::welded(triangles);
            all.add(if welded.is_loose() {
                Self::boxes(triangles).simplified(0.0)
            } else {
                // Small things are kept to a thousandth of their size.
                welded.simplified(ERROR_M.min(size / 1000.0))
            });
        }
        all
    }

    fn add(&mut self, other: Self) {
        #[expect(clippy::cast_possible_truncation, reason = "meshes have fewer than 2³² vertices")]
        let first = self.vertices.len() as u32;
        self.vertices.extend(other.vertices);
        self.indices.extend(other.indices.into_iter().map(|i| first + i));
    }

    /// As a scene of one mesh.
    pub(crate) fn scene(self) -> Scene {
        let normals = vec![Vec3::Y; self.vertices.len()];
        let primitive = Primitive {
            positions: self.vertices,
            normals,
            indices: self.indices,
            ..Primitive::default()
        };
        Scene {
            name: "collision".into(),
            nodes: vec![Node {
                name: "collision".into(),
                parent: None,
                translation: Vec3::ZERO,
                rotation: glam::Quat::IDENTITY,
                scale: Vec3::ONE,
                mesh: Some(0),
                light: None,
            }],
            meshes: vec![Mesh {
                name: "collision".into(),
                primitives: vec![primitive],
            }],
            ..Scene::default()
        }
    }

    fn welded(triangles: &[[Vec3; 3]]) -> Self {
        let mut known: BTreeMap<[i32; 3], u32> = BTreeMap::new();
        let mut out = Self::default();
        for triangle in triangles {
            #[expect(clippy::cast_possible_truncation, reason = "saturates beyond a million metres")]
            let corners = triangle.map(|p| {
                let key = (p / WELD_M).round().to_array().map(|v| v as i32);
                *known.entry(key).or_insert_with(|| {
                    out.vertices.push(p);
                    (out.vertices.len() - 1) as u32
                })
            });
            if corners[0] != corners[1] && corners[1] != corners[2] && corners[0] != corners[2] {
                out.indices.extend(corners);
            }
        }
        out
    }

    /// Whether most edges belong to one triangle only, the diagonals of squares not counted.
    fn is_loose(&self) -> bool {
        let mut edges: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for &[a, b, c] in self.indices.as_chunks::<3>().0 {
            for (from, to) in [(a, b), (b, c), (c, a)] {
                *edges.entry((from.min(to), from.max(to))).or_default() += 1;
            }
        }
        let open = edges.values().filter(|uses| **uses == 1).count();
        open as f64 > edges.len() as f64 * LOOSE
    }

    /// Boxes on a grid that stand for loose pieces.
    fn boxes(triangles: &[[Vec3; 3]]) -> Self {
        let Some((low, high)) = bounds(triangles) else {
            return Self::default();
        };
        let (flat_low, flat_high) = (Vec2::new(low.x, low.z), Vec2::new(high.x, high.z));
        let extent = (flat_high - flat_low).max_element();
        let mut step = BOX_M.min(extent / 64.0).max(1e-3);
        loop {
            let plan = Plan::over(flat_low, flat_high, step, MOST_COLUMNS);
            if let Some(columns) = Columns::new(plan, triangles) {
                let faces = box_faces(&columns);
                if faces.len() <= MOST_BOX_TRIANGLES {
                    return Self::welded(&faces);
                }
            }
            step = plan.step * 2.0;
        }
    }

    fn simplified(mut self, error_m: f32) -> Self {
        let positions: Vec<f32> = self.vertices.iter().flat_map(|p| p.to_array()).collect();
        let Ok(vertices) = VertexDataAdapter::new(meshopt::typed_to_bytes(&positions), 12, 0) else {
            return self;
        };
        let indices = meshopt::simplify(
            &self.indices,
            &vertices,
            0,
            error_m,
            SimplifyOptions::ErrorAbsolute | SimplifyOptions::Prune,
            None,
        );
        if indices.is_empty() {
            return self;
        }
        let mut primitive = Primitive {
            positions: self.vertices,
            indices,
            ..Primitive::default()
        };
        crate::simplify::optimise(&mut primitive);
        self.vertices = primitive.positions;
        self.indices = primitive.indices;
        self
    }
}

/// The outer faces of the boxes of a heightfield.
fn box_faces(columns: &Columns) -> Vec<[Vec3; 3]> {
    let plan = columns.plan;
    let mut faces: Vec<[Vec3; 3]> = Vec::new();
    let mut face = |a: Vec3, b: Vec3, c: Vec3, d: Vec3| faces.extend([[a, b, c], [a, c, d]]);
    for column in 0..plan.wide * plan.deep {
        let (m, h) = (plan.middle(column), plan.step / 2.0);
        for span in columns.at(column) {
            let at = |x: f32, y: f32, z: f32| Vec3::new(m.x + x * h, y, m.y + z * h);
            let (t, b) = (span.top, span.bottom);
            face(at(-1.0, t, -1.0), at(-1.0, t, 1.0), at(1.0, t, 1.0), at(1.0, t, -1.0));
            face(at(-1.0, b, -1.0), at(1.0, b, -1.0), at(1.0, b, 1.0), at(-1.0, b, 1.0));
            for (east, south, from, to) in [
                (1, 0, (1.0, 1.0), (1.0, -1.0)),
                (-1, 0, (-1.0, -1.0), (-1.0, 1.0)),
                (0, 1, (-1.0, 1.0), (1.0, 1.0)),
                (0, -1, (1.0, -1.0), (-1.0, -1.0)),
            ] {
                let beside = plan.beside(column, (east, south));
                let covered = beside.is_some_and(|c| columns.at(c).iter().any(|s| s.bottom <= b && s.top >= t));
                if !covered {
                    let ((x0, z0), (x1, z1)) = (from, to);
                    face(at(x0, b, z0), at(x1, b, z1), at(x1, t, z1), at(x0, t, z0));
                }
            }
        }
    }
    faces
}

impl Collider {
    /// A direction away from the surface for each vertex.
    pub(crate) fn normals(&self) -> Vec<Vec3> {
        let mut sums = vec![Vec3::ZERO; self.vertices.len()];
        for triangle in self.indices.as_chunks::<3>().0 {
            let [a, b, c] = triangle.map(|i| self.vertices[i as usize]);
            for corner in triangle {
                sums[*corner as usize] += (b - a).cross(c - a);
            }
        }
        sums.into_iter().map(|n| n.normalize_or(Vec3::Y)).collect()
    }
}
