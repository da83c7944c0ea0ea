//! A surface around an object: signed distances on a sparse grid, from points whose normals agree with their
//! neighbours' (Hoppe et al. 1992; weights as in Öztireli et al. 2009), drawn out by surface nets (Gibson 1998).

use std::collections::{BTreeMap, HashMap};

use glam::{DVec3, Vec3};
use tongyou_scene::{Primitive, Scene};

use super::ground::material;
use super::surfels::{self, Voxel, voxel};
use crate::import::{add, to_scene};
use crate::{ScanPoint, color, measure};

/// How far a point reaches, in cells.
const REACH: f64 = 2.4;
/// A place of the grid with less weight of points near it is too far from any.
const LEAST: f64 = 0.01;
/// Cells around one in which its neighbours are.
const RING: i64 = 2;
/// Points from which the distance to the surface is measured.
const MEASURED: usize = 20_000;

/// A surface around points.
pub(crate) struct Made {
    pub(crate) scene: Scene,
    pub(crate) triangles: usize,
    pub(crate) vertices: usize,
    /// Points that are alone.
    pub(crate) outliers: usize,
    pub(crate) cell_m: f64,
    /// Distances from points to the surface.
    pub(crate) apart: measure::Distance,
}

/// What stands for the points of a cell.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: DVec3,
    normal: DVec3,
    rgb: DVec3,
    count: f64,
}

/// A surface around points in local metres with about so many vertices; `normals` is empty or as long, and then says
/// which side is outside. `None` where the points make none.
pub(crate) fn around(points: &[ScanPoint], normals: &[Vec3], vertices: usize, name: &str) -> Option<Made> {
    let side = surfels::side_for(points, vertices);
    let (samples, cells, outliers) = samples(points, normals, side);
    let field = Field::of(&samples, side);
    let (primitive, cell_m) = (field.surface(), side);
    drop(cells);
    if primitive.indices.is_empty() {
        return None;
    }
    let (triangles, vertices) = (primitive.indices.len() / 3, primitive.positions.len());
    let mut scene = Scene {
        name: name.to_owned(),
        materials: vec![material()],
        ..Scene::default()
    };
    add(&mut scene, "scan-0".into(), primitive);
    let step = points.len().div_ceil(MEASURED).max(1);
    let places = points.iter().step_by(step).map(|p| to_scene(p.position));
    let apart = measure::from_points(places, &scene);
    Some(Made {
        scene,
        triangles,
        vertices,
        outliers,
        cell_m,
        apart,
    })
}

/// One sample a cell, with normals that point to one side.
fn samples(points: &[ScanPoint], stated: &[Vec3], side: f64) -> (Vec<Sample>, BTreeMap<Voxel, usize>, usize) {
    let mut sums: BTreeMap<Voxel, Sample> = BTreeMap::new();
    for (at, point) in points.iter().enumerate() {
        let sum = sums.entry(voxel(point.position, side)).or_insert(Sample {
            at: DVec3::ZERO,
            normal: DVec3::ZERO,
            rgb: DVec3::ZERO,
            count: 0.0,
        });
        sum.at += point.position;
        sum.rgb += DVec3::from(point.color.map(f64::from));
        sum.normal += stated.get(at).map_or(DVec3::ZERO, |n| n.as_dvec3());
        sum.count += 1.0;
    }
    let mut cells: BTreeMap<Voxel, usize> = BTreeMap::new();
    let mut out: Vec<Sample> = Vec::with_capacity(sums.len());
    for (cell, sum) in sums {
        cells.insert(cell, out.len());
        out.push(Sample {
            at: sum.at / sum.count,
            normal: sum.normal,
            rgb: sum.rgb / sum.count,
            count: sum.count,
        });
    }
    // Each cell's neighbours, for planes and for agreement.
    let near: Vec<Vec<u32>> = cells
        .keys()
        .map(|&(x, y, z)| {
            let mut near = Vec::new();
            for dx in -RING..=RING {
                for dy in -RING..=RING {
                    for dz in -RING..=RING {
                        if let Some(&there) = cells.get(&(x + dx, y + dy, z + dz)) {
                            near.push(u32::try_from(there).unwrap_or(u32::MAX));
                        }
                    }
                }
            }
            near
        })
        .collect();
    let all_stated = out.iter().all(|s| s.normal.length_squared() > 1e-6) && !stated.is_empty();
    let planes: Vec<DVec3> = (0..out.len())
        .map(|at| {
            if all_stated {
                return out[at].normal.normalize();
            }
            let around: Vec<DVec3> = near[at].iter().map(|&i| out[i as usize].at).collect();
            surfels::plane(&around)
        })
        .collect();
    for (sample, plane) in out.iter_mut().zip(planes) {
        sample.normal = plane;
    }
    // A sample that has only one other near it is of no surface.
    let lone: Vec<bool> = near.iter().map(|n| n.len() < 3).collect();
    if !all_stated {
        agree(&mut out, &near);
    }
    let outliers: f64 = out.iter().zip(&lone).filter(|(_, l)| **l).map(|(s, _)| s.count).sum();
    let mut keep = lone.iter();
    out.retain(|_| !keep.next().copied().unwrap_or_default());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
    let outliers = outliers as usize;
    (out, cells, outliers)
}

/// Turns normals so that neighbours agree: along a tree of the flattest steps, from the highest place of each piece,
/// where outside is above.
fn agree(samples: &mut [Sample], near: &[Vec<u32>]) {
    let mut done = vec![false; samples.len()];
    let mut seeds: Vec<usize> = (0..samples.len()).collect();
    seeds.sort_by(|&a, &b| samples[b].at.z.total_cmp(&samples[a].at.z).then(a.cmp(&b)));
    // The flattest step first; of equals the one to the smaller number.
    let mut open: std::collections::BinaryHeap<(u64, std::cmp::Reverse<u32>, u32)> =
        std::collections::BinaryHeap::new();
    for seed in seeds {
        if done[seed] {
            continue;
        }
        done[seed] = true;
        if samples[seed].normal.z < 0.0 {
            samples[seed].normal = -samples[seed].normal;
        }
        let mut next = seed;
        loop {
            let from = samples[next].normal;
            for &there in &near[next] {
                if !done[there as usize] {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1")]
                    let flat = (from.dot(samples[there as usize].normal).abs() * 1e9) as u64;
                    let number = u32::try_from(next).unwrap_or(u32::MAX);
                    open.push((flat, std::cmp::Reverse(there), number));
                }
            }
            let found = loop {
                match open.pop() {
                    Some((_, std::cmp::Reverse(there), from)) if !done[there as usize] => break Some((there, from)),
                    Some(_) => {}
                    None => break None,
                }
            };
            let Some((there, from)) = found else { break };
            let from = samples[from as usize].normal;
            let sample = &mut samples[there as usize];
            if from.dot(sample.normal) < 0.0 {
                sample.normal = -sample.normal;
            }
            done[there as usize] = true;
            next = there as usize;
        }
    }
}

/// Signed distances at places of a grid near samples.
struct Field {
    side: f64,
    /// Weight, weighted distance, weighted colour.
    nodes: HashMap<Voxel, (f64, f64, DVec3)>,
}

impl Field {
    #[expect(clippy::cast_possible_truncation, reason = "cells within 100 km")]
    fn of(samples: &[Sample], side: f64) -> Self {
        let mut nodes: HashMap<Voxel, (f64, f64, DVec3)> = HashMap::new();
        let reach = REACH * side;
        for sample in samples {
            let low = ((sample.at - reach) / side).ceil();
            let high = ((sample.at + reach) / side).floor();
            for x in low.x as i64..=high.x as i64 {
                for y in low.y as i64..=high.y as i64 {
                    for z in low.z as i64..=high.z as i64 {
                        let place = DVec3::new(x as f64, y as f64, z as f64) * side;
                        let away = place - sample.at;
                        let share = away.length_squared() / (reach * reach);
                        if share >= 1.0 {
                            continue;
                        }
                        let weight = (1.0 - share).powi(4);
                        let node = nodes.entry((x, y, z)).or_default();
                        node.0 += weight;
                        node.1 += weight * sample.normal.dot(away);
                        node.2 += sample.rgb * weight;
                    }
                }
            }
        }
        nodes.retain(|_, node| node.0 > LEAST);
        Self { side, nodes }
    }

    fn distance(&self, at: Voxel) -> Option<f64> {
        self.nodes.get(&at).map(|(weight, sum, _)| sum / weight)
    }

    /// Surface nets: a vertex in each cell whose corners lie on both sides, a square across each edge that does.
    fn surface(&self) -> Primitive {
        let mut out = Primitive {
            material: Some(0),
            ..Primitive::default()
        };
        let mut order: Vec<Voxel> = self.nodes.keys().copied().collect();
        order.sort_unstable();
        let mut cells: HashMap<Voxel, u32> = HashMap::new();
        for &cell in &order {
            if let Some((place, rgb)) = self.vertex(cell) {
                cells.insert(cell, u32::try_from(out.positions.len()).unwrap_or(u32::MAX));
                out.positions.push(to_scene(place));
                let [r, g, b] = (rgb / 255.0).to_array().map(color::byte);
                out.colors.push(color::linear([r, g, b, 255]));
            }
        }
        for &(x, y, z) in &order {
            let Some(here) = self.distance((x, y, z)) else { continue };
            // The cells around an edge along an axis, in turn.
            let edges = [
                (
                    (x + 1, y, z),
                    [(x, y - 1, z - 1), (x, y, z - 1), (x, y, z), (x, y - 1, z)],
                ),
                (
                    (x, y + 1, z),
                    [(x - 1, y, z - 1), (x - 1, y, z), (x, y, z), (x, y, z - 1)],
                ),
                (
                    (x, y, z + 1),
                    [(x - 1, y - 1, z), (x, y - 1, z), (x, y, z), (x - 1, y, z)],
                ),
            ];
            for (end, around) in edges {
                let Some(there) = self.distance(end) else { continue };
                if (here < 0.0) == (there < 0.0) {
                    continue;
                }
                let [Some(&a), Some(&b), Some(&c), Some(&d)] = around.map(|cell| cells.get(&cell)) else {
                    continue;
                };
                let square = if here < 0.0 { [a, b, c, d] } else { [d, c, b, a] };
                // Divided along the shorter diagonal.
                let p = square.map(|i| out.positions[i as usize]);
                let [a, b, c, d] = square;
                if p[0].distance_squared(p[2]) <= p[1].distance_squared(p[3]) {
                    out.indices.extend([a, b, c, a, c, d]);
                } else {
                    out.indices.extend([a, b, d, b, c, d]);
                }
            }
        }
        let mut sums = vec![Vec3::ZERO; out.positions.len()];
        for t in out.indices.as_chunks::<3>().0 {
            let [a, b, c] = t.map(|i| out.positions[i as usize]);
            for &i in t {
                sums[i as usize] += (b - a).cross(c - a);
            }
        }
        out.normals = sums.into_iter().map(|n| n.normalize_or(Vec3::Y)).collect();
        crate::simplify::optimise(&mut out);
        out
    }

    /// Where the surface crosses a cell, in the middle of where it crosses its edges, and its colour.
    fn vertex(&self, (x, y, z): Voxel) -> Option<(DVec3, DVec3)> {
        let mut distances = [0.0; 8];
        let (mut weight, mut rgb) = (0.0, DVec3::ZERO);
        for (corner, distance) in (0_i64..8).zip(&mut distances) {
            let node = self
                .nodes
                .get(&(x + (corner & 1), y + (corner >> 1 & 1), z + (corner >> 2)))?;
            *distance = node.1 / node.0;
            weight += node.0;
            rgb += node.2;
        }
        let inside = distances.iter().filter(|&&d| d < 0.0).count();
        if inside == 0 || inside == 8 {
            return None;
        }
        let offset = |corner: usize| DVec3::new((corner & 1) as f64, (corner >> 1 & 1) as f64, (corner >> 2) as f64);
        let (mut sum, mut count) = (DVec3::ZERO, 0.0);
        for from in 0..8_usize {
            for axis in [1, 2, 4] {
                let to = from | axis;
                let (a, b) = (distances[from], distances[to]);
                if to != from && (a < 0.0) != (b < 0.0) {
                    sum += offset(from).lerp(offset(to), a / (a - b));
                    count += 1.0;
                }
            }
        }
        let place = DVec3::new(x as f64, y as f64, z as f64) + sum / count;
        Some((place * self.side, rgb / weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points of a sphere of radius 1, spread evenly, off by up to `noise`.
    fn sphere(count: u32, noise: f64) -> Vec<ScanPoint> {
        (0..count)
            .map(|i| {
                let z = 1.0 - 2.0 * (f64::from(i) + 0.5) / f64::from(count);
                let angle = f64::from(i) * 2.399_963_229_728_653;
                let flat = (1.0 - z * z).sqrt();
                let off = 1.0 + noise * ((f64::from(i) * 0.754_877).fract() * 2.0 - 1.0);
                ScanPoint {
                    position: DVec3::new(flat * angle.cos(), flat * angle.sin(), z) * off,
                    color: [200, 100, 50],
                }
            })
            .collect()
    }

    #[test]
    fn a_sphere_is_closed_round_and_faces_outwards() {
        let made = around(&sphere(40_000, 0.004), &[], 6000, "sphere").unwrap();
        let p = &made.scene.meshes[0].primitives[0];
        assert!((2000..=8000).contains(&made.vertices), "{}", made.vertices);
        let worst = p.positions.iter().map(|v| (v.length() - 1.0).abs()).fold(0.0, f32::max);
        assert!(worst < 0.01, "{worst} at cells of {}", made.cell_m);
        assert!(made.apart.rms_m < 0.004 && made.apart.max_m < 0.015, "{:?}", made.apart);
        let mut edges: BTreeMap<(u32, u32), i32> = BTreeMap::new();
        for t in p.indices.as_chunks::<3>().0 {
            for (a, b) in [(t[0], t[1]), (t[1], t[2]), (t[2], t[0])] {
                *edges.entry((a.min(b), a.max(b))).or_default() += if a < b { 1 } else { -1 };
            }
        }
        assert!(
            edges.values().all(|&n| n == 0),
            "every edge has a triangle on both sides, turned alike"
        );
        let outwards = p
            .positions
            .iter()
            .zip(&p.normals)
            .filter(|(v, n)| v.normalize().dot(**n) > 0.9)
            .count();
        assert!(
            outwards * 1000 > p.positions.len() * 999,
            "{outwards} of {}",
            p.positions.len()
        );
    }
}
