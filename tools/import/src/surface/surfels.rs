//! Draws points as small squares, turned as their neighbours lie, and splats as squares along their long axes.

use std::collections::BTreeMap;

use glam::{DMat3, DVec3, Vec3};
use tongyou_scene::{Primitive, Scene};

use super::ground::material;
use crate::data::Splat;
use crate::import::{add, to_scene};
use crate::{ScanPoint, color};

/// Squares in a mesh, so that what is out of sight costs nothing.
const PER_MESH: usize = 8192;
/// Splats that let more light through are not drawn.
const CLEAR: f32 = 0.25;
/// Standard deviations of a splat that its square reaches.
const REACH: f32 = 1.4;
/// Half the side of a square in cells: neighbours overlap, so that no holes show between them.
const COVER: f64 = 0.75;
/// Neighbours that decide how a square is turned.
const NEIGHBOURS: usize = 48;

/// A cube of a grid.
pub(super) type Voxel = (i64, i64, i64);

/// Squares, ready to draw.
pub(crate) struct Made {
    pub(crate) primitives: Vec<Primitive>,
    pub(crate) squares: usize,
    pub(crate) outliers: usize,
    pub(crate) cell_m: f64,
}

impl Made {
    /// The box around the squares: east, north, up.
    pub(crate) fn bounds(&self) -> Option<(DVec3, DVec3)> {
        let all = self.primitives.iter().flat_map(|p| &p.positions);
        let bounds = crate::data::Bounds::around(all.map(|p| DVec3::new(p.x.into(), (-p.z).into(), p.y.into())));
        bounds.map(|b| (b.min, b.max))
    }
}

/// The scene of squares.
pub(crate) fn scene(primitives: Vec<Primitive>, name: &str) -> Scene {
    let mut out = Scene {
        name: name.to_owned(),
        materials: vec![material()],
        ..Scene::default()
    };
    for (index, primitive) in primitives.into_iter().enumerate() {
        add(&mut out, format!("scan-{index}"), primitive);
    }
    out
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "metres within 100 km, cells of a millimetre or more"
)]
pub(super) fn voxel(p: DVec3, side: f64) -> Voxel {
    let cell = (p / side).floor();
    (cell.x as i64, cell.y as i64, cell.z as i64)
}

/// The side of cubes that leave about `most` of the points.
pub(super) fn side_for(points: &[ScanPoint], most: usize) -> f64 {
    let (min, max) = crate::bounds(points);
    let size = max - min;
    // Each square stands for more than one point, or its neighbours would not cover what lies between them.
    let most = most.min(points.len() * 3 / 5).max(8);
    // Points lie on surfaces: begin with the area of the box's largest face.
    let area = (size.x * size.y).max(size.y * size.z).max(size.z * size.x);
    let mut side = (area / most as f64).sqrt().max(size.max_element() * 1e-5) * 0.5;
    let mut cells = Vec::with_capacity(points.len());
    loop {
        cells.clear();
        cells.extend(points.iter().map(|p| voxel(p.position, side)));
        cells.sort_unstable();
        cells.dedup();
        if cells.len() <= most {
            return side;
        }
        // The count falls with about the square of the side.
        side *= (cells.len() as f64 / most as f64).sqrt().clamp(1.05, 2.0);
    }
}

/// Squares for points in local metres; `normals` is empty or as long.
pub(crate) fn of_points(points: Vec<ScanPoint>, normals: Vec<Vec3>, most: usize) -> Made {
    let side = side_for(&points, most);
    let mut cells: BTreeMap<Voxel, Vec<usize>> = BTreeMap::new();
    for (index, point) in points.iter().enumerate() {
        cells.entry(voxel(point.position, side)).or_default().push(index);
    }
    let around = |(x, y, z): Voxel| {
        (-1..=1).flat_map(move |dx| (-1..=1).flat_map(move |dy| (-1..=1).map(move |dz| (x + dx, y + dy, z + dz))))
    };
    let mut squares = Squares::default();
    let mut outliers = 0;
    let mut near = Vec::with_capacity(NEIGHBOURS);
    for (&cell, inside) in &cells {
        let count = inside.len() as f64;
        let middle = inside.iter().map(|&i| points[i].position).sum::<DVec3>() / count;
        near.clear();
        let mut company = 0;
        for there in around(cell).filter_map(|c| cells.get(&c)) {
            company += there.len();
            let step = there.len().div_ceil(NEIGHBOURS / 8).max(1);
            near.extend(there.iter().step_by(step).map(|&i| points[i].position));
        }
        // Alone in the air; in a sparse cloud of few points everything is.
        if company < 2 && points.len() > 1000 {
            outliers += inside.len();
            continue;
        }
        let stated: Vec3 = inside.iter().filter_map(|&i| normals.get(i)).sum();
        let normal = stated.as_dvec3().try_normalize().unwrap_or_else(|| plane(&near));
        let mean = |channel: usize| {
            let sum: u64 = inside.iter().map(|&i| u64::from(points[i].color[channel])).sum();
            u8::try_from(sum / inside.len() as u64).unwrap_or(255)
        };
        let (right, up) = normal.any_orthonormal_pair();
        squares.add(
            middle,
            right * side * COVER,
            up * side * COVER,
            [mean(0), mean(1), mean(2)],
        );
    }
    squares.made(outliers, side)
}

/// The direction in which points near each other vary least, upwards where it can.
pub(super) fn plane(points: &[DVec3]) -> DVec3 {
    if points.len() < 3 {
        return DVec3::Z;
    }
    let middle = points.iter().sum::<DVec3>() / points.len() as f64;
    let mut spread = DMat3::ZERO;
    for p in points {
        let d = *p - middle;
        spread += DMat3::from_cols(d * d.x, d * d.y, d * d.z);
    }
    let normal = least(spread);
    if normal.z < 0.0 { -normal } else { normal }
}

/// The eigenvector of the least eigenvalue of a symmetric matrix: power iteration on what is left of its trace.
fn least(matrix: DMat3) -> DVec3 {
    let trace = matrix.x_axis.x + matrix.y_axis.y + matrix.z_axis.z;
    if trace <= 0.0 || !trace.is_finite() {
        return DVec3::Z;
    }
    let turned = DMat3::IDENTITY * trace - matrix;
    let mut at = DVec3::new(0.31, 0.23, 0.92);
    for _ in 0..24 {
        at = (turned * at).normalize_or(DVec3::Z);
    }
    // The iteration separates slowly where two eigenvalues are alike; squaring the matrix makes up for it.
    let squared = turned * turned * (1.0 / (trace * trace));
    let fourth = squared * squared;
    for _ in 0..24 {
        at = (fourth * at).normalize_or(DVec3::Z);
    }
    at
}

/// Squares for the splats that show most, at most so many. `linear` turns and scales the file's axes to local metres.
pub(crate) fn of_splats(splats: &[Splat], place: impl Fn(DVec3) -> Option<DVec3>, linear: DMat3, most: usize) -> Made {
    let two = |splat: &Splat| {
        let mut axes = [0, 1, 2];
        axes.sort_unstable_by(|&a, &b| splat.scale[b].total_cmp(&splat.scale[a]).then(a.cmp(&b)));
        [axes[0], axes[1]]
    };
    let mut shown: Vec<(f32, usize)> = Vec::new();
    for (index, splat) in splats.iter().enumerate() {
        if splat.opacity >= CLEAR {
            let [a, b] = two(splat);
            shown.push((splat.opacity * splat.scale[a] * splat.scale[b], index));
        }
    }
    shown.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    shown.truncate(most);
    shown.sort_unstable_by_key(|&(_, index)| index);
    let mut squares = Squares::default();
    for &(_, index) in &shown {
        let splat = &splats[index];
        let Some(middle) = place(splat.position.as_dvec3()) else {
            continue;
        };
        let axes = two(splat).map(|axis| {
            let along = splat.rotation * Vec3::AXES[axis] * splat.scale[axis] * REACH * splat.opacity.sqrt();
            linear * along.as_dvec3()
        });
        let color = splat.color.to_array().map(|v| color::byte(f64::from(v)));
        squares.add(middle, axes[0], axes[1], color);
    }
    let outliers = splats.len() - squares.count;
    squares.made(outliers, 0.0)
}

/// Squares being gathered, in one mesh for each so many.
#[derive(Default)]
struct Squares {
    primitives: Vec<Primitive>,
    count: usize,
}

impl Squares {
    /// A square around a place, from half of its sides: east, north, up.
    fn add(&mut self, middle: DVec3, right: DVec3, up: DVec3, rgb: [u8; 3]) {
        if self.count.is_multiple_of(PER_MESH) {
            self.primitives.push(Primitive {
                material: Some(0),
                ..Primitive::default()
            });
        }
        let Some(primitive) = self.primitives.last_mut() else {
            return;
        };
        self.count += 1;
        let first = u32::try_from(primitive.positions.len()).unwrap_or(u32::MAX);
        let [r, g, b] = rgb;
        let normal = to_scene(right.cross(up)).normalize_or(Vec3::Y);
        for (x, y) in [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)] {
            primitive.positions.push(to_scene(middle + right * x + up * y));
            primitive.normals.push(normal);
            primitive.colors.push(color::linear([r, g, b, 255]));
        }
        primitive
            .indices
            .extend([first, first + 1, first + 2, first, first + 2, first + 3]);
    }

    fn made(self, outliers: usize, cell_m: f64) -> Made {
        Made {
            primitives: self.primitives,
            squares: self.count,
            outliers,
            cell_m,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_lie_in_the_plane_of_their_points() {
        // A wall that leans: its normal is known.
        let normal = DVec3::new(1.0, 0.2, 0.4).normalize();
        let (right, up) = normal.any_orthonormal_pair();
        let mut points = Vec::new();
        for i in 0..60 {
            for j in 0..60 {
                let position = right * f64::from(i) * 0.05 + up * f64::from(j) * 0.05;
                points.push(ScanPoint {
                    position,
                    color: [200, 100, 50],
                });
            }
        }
        let made = of_points(points, Vec::new(), 200);
        assert!(
            (100..=200).contains(&made.squares) && made.outliers == 0,
            "{}",
            made.squares
        );
        let want = to_scene(normal);
        for n in made.primitives.iter().flat_map(|p| &p.normals) {
            assert!(n.dot(want).abs() > 0.999, "{n}");
        }
    }

    #[test]
    fn splats_follow_their_axes() {
        let splat = Splat {
            position: Vec3::new(1.0, 2.0, 3.0),
            scale: Vec3::new(0.5, 0.001, 0.2),
            rotation: glam::Quat::IDENTITY,
            opacity: 1.0,
            color: Vec3::splat(0.5),
            harmonics: Vec::new(),
        };
        // y is up in the file: the square lies flat.
        let from_file = DMat3::from_cols(DVec3::X, DVec3::Z, -DVec3::Y);
        let made = of_splats(&[splat.clone(), Splat { opacity: 0.1, ..splat }], Some, from_file, 10);
        assert_eq!((made.squares, made.outliers), (1, 1));
        assert!(
            made.primitives[0].normals[0].y.abs() > 0.999,
            "{:?}",
            made.primitives[0].normals
        );
    }
}
