//! One surface over the plan: a Delaunay triangulation of east and north, with the heights on top.

use std::collections::BTreeMap;

use glam::{Vec2, Vec3, Vec4};
use spade::{DelaunayTriangulation, HasPosition, Point2, Triangulation};
use tongyou_scene::{Alpha, Material, Primitive, Scene};

use super::foliage::{self, Leaf};
use crate::import::add;
use crate::source::Source;
use crate::{Error, ScanPoint};

/// Triangles with a longer side bridge a gap in the scan and are left out, in cells of the thinning grid.
const LONGEST_CELLS: f64 = 14.0;
/// The surface is cut into squares of this side, so that what is out of sight costs nothing.
const TILE_M: f32 = 64.0;
/// Radius of the base disc.
const BASE_M: f32 = 1500.0;

struct Corner {
    at: Point2<f64>,
    index: usize,
}

impl HasPosition for Corner {
    type Scalar = f64;
    fn position(&self) -> Point2<f64> {
        self.at
    }
}

/// The scene and the number of triangles of the scan.
pub(crate) fn scene(
    points: &[ScanPoint],
    foliage: &[ScanPoint],
    cell_m: f64,
    name: &str,
    base: bool,
    source: &Source,
) -> Result<(Scene, usize), Error> {
    let fault = |fault: String| source.fault("surface", fault);
    let corners = points
        .iter()
        .enumerate()
        .map(|(index, p)| Corner {
            at: Point2::new(p.position.x, p.position.y),
            index,
        })
        .collect();
    let mesh = DelaunayTriangulation::<Corner>::bulk_load(corners).map_err(|e| fault(e.to_string()))?;
    let positions: Vec<Vec3> = points.iter().map(to_scene).collect();
    let longest = LONGEST_CELLS * cell_m.max(0.5);
    let mut triangles: Vec<[usize; 3]> = Vec::new();
    for face in mesh.inner_faces() {
        let corners = face.vertices().map(|v| v.data().index);
        let far = |a: usize, b: usize| {
            let gap = points[a].position - points[b].position;
            gap.x.hypot(gap.y) > longest
        };
        if !far(corners[0], corners[1]) && !far(corners[1], corners[2]) && !far(corners[2], corners[0]) {
            triangles.push(corners);
        }
    }
    if triangles.is_empty() {
        return Err(fault(
            "no triangle is left: the points lie on one line, or far from each other".into(),
        ));
    }
    let normals = normals(&positions, &triangles);
    let colors: Vec<[u8; 4]> = points.iter().map(|p| linear(p.color)).collect();
    let mut count = triangles.len();
    let primitives = tiles(&triangles, &positions, &normals, &colors);

    let mut out = Scene {
        name: name.to_owned(),
        materials: vec![material()],
        ..Scene::default()
    };
    for (index, primitive) in primitives.into_iter().enumerate() {
        add(&mut out, format!("scan-{index}"), primitive);
    }
    for (index, primitive) in (0..).zip(foliage_tiles(foliage, points)) {
        count += primitive.indices.len() / 3;
        add(&mut out, format!("foliage-{index}"), primitive);
    }
    if base {
        let low = positions.iter().map(|p| p.y).fold(f32::INFINITY, f32::min);
        add(&mut out, "base, not part of the scan".into(), disc(low - 0.6));
    }
    Ok((out, count))
}

fn to_scene(point: &ScanPoint) -> Vec3 {
    crate::import::to_scene(point.position)
}

fn normals(positions: &[Vec3], triangles: &[[usize; 3]]) -> Vec<Vec3> {
    let mut sums = vec![Vec3::ZERO; positions.len()];
    for &[a, b, c] in triangles {
        let normal = (positions[b] - positions[a]).cross(positions[c] - positions[a]);
        for corner in [a, b, c] {
            sums[corner] += normal;
        }
    }
    sums.into_iter().map(|n| n.normalize_or(Vec3::Y)).collect()
}

/// One primitive for each square of the plan, its vertices renumbered.
#[expect(
    clippy::cast_possible_truncation,
    reason = "squares within 100 km, vertices far below 2³²"
)]
fn tiles(triangles: &[[usize; 3]], positions: &[Vec3], normals: &[Vec3], colors: &[[u8; 4]]) -> Vec<Primitive> {
    let mut tiles: BTreeMap<(i32, i32), (Primitive, BTreeMap<usize, u32>)> = BTreeMap::new();
    for corners in triangles {
        let middle = corners.iter().map(|&c| positions[c]).sum::<Vec3>() / 3.0;
        let key = ((middle.x / TILE_M).floor() as i32, (middle.z / TILE_M).floor() as i32);
        let (primitive, known) = tiles.entry(key).or_default();
        primitive.material = Some(0);
        for &corner in corners {
            let index = *known.entry(corner).or_insert_with(|| {
                primitive.positions.push(positions[corner]);
                primitive.normals.push(normals[corner]);
                primitive.colors.push(colors[corner]);
                (primitive.positions.len() - 1) as u32
            });
            primitive.indices.push(index);
        }
    }
    tiles.into_values().map(|(primitive, _)| primitive).collect()
}

/// The tufts of each square of the plan.
#[expect(clippy::cast_possible_truncation, reason = "squares within 100 km")]
fn foliage_tiles(foliage: &[ScanPoint], surface: &[ScanPoint]) -> Vec<Primitive> {
    let mut tiles: BTreeMap<(i32, i32), Vec<Leaf>> = BTreeMap::new();
    for (point, low) in foliage.iter().zip(foliage::low(foliage, surface)) {
        let at = to_scene(point);
        let key = ((at.x / TILE_M).floor() as i32, (at.z / TILE_M).floor() as i32);
        tiles.entry(key).or_default().push((at, linear(point.color), low));
    }
    tiles
        .into_values()
        .map(|points| {
            let mut primitive = Primitive {
                material: Some(0),
                ..Primitive::default()
            };
            foliage::tufts(&points, &mut primitive);
            primitive
        })
        .collect()
}

fn disc(y: f32) -> Primitive {
    const SIDES: u32 = 48;
    let mut positions = vec![Vec3::new(0.0, y, 0.0)];
    positions.extend((0..SIDES).map(|i| {
        let angle = i as f32 / SIDES as f32 * std::f32::consts::TAU;
        let flat = Vec2::from_angle(angle) * BASE_M;
        Vec3::new(flat.x, y, -flat.y)
    }));
    let indices = (0..SIDES).flat_map(|i| [0, 1 + i, 1 + (i + 1) % SIDES]).collect();
    let count = positions.len();
    Primitive {
        material: Some(0),
        normals: vec![Vec3::Y; count],
        colors: vec![[44, 46, 38, 255]; count],
        positions,
        indices,
        ..Primitive::default()
    }
}

/// The material of what a scan saw.
pub(crate) fn material() -> Material {
    Material {
        name: "scan".into(),
        base_color: Vec4::ONE,
        base_color_texture: None,
        metallic: 0.0,
        roughness: 0.95,
        metallic_roughness_texture: None,
        normal_texture: None,
        normal_scale: 1.0,
        emissive: Vec3::ZERO,
        emissive_texture: None,
        alpha: Alpha::Opaque,
        double_sided: true,
        unlit: false,
    }
}

fn linear([r, g, b]: [u8; 3]) -> [u8; 4] {
    crate::color::linear([r, g, b, 255])
}
