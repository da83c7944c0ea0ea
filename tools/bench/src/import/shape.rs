//! Points and triangles, and how far two of them lie apart: the same measure for every tool.

use glam::{DMat3, DVec3};
use serde::Serialize;

/// Places on each shape from which the distance to the other is taken.
const SAMPLES: usize = 20_000;
/// Rounds in which a shift between two frames is found.
const ROUNDS: usize = 12;
/// Points or triangles in a leaf of the tree.
const LEAF: usize = 8;

/// What a scan is made of.
pub(super) enum Shape {
    Mesh(Vec<[DVec3; 3]>),
    Points(Vec<[DVec3; 3]>),
}

/// Distances in parts per million of the scan's diagonal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distance {
    /// Root of the mean square of both directions.
    pub rms: f64,
    /// The largest found.
    pub max: f64,
}

impl Shape {
    pub(super) const fn mesh(triangles: Vec<[DVec3; 3]>) -> Self {
        Self::Mesh(triangles)
    }

    /// A point is a triangle without extent.
    pub(super) fn points(points: Vec<DVec3>) -> Self {
        Self::Points(points.into_iter().map(|p| [p; 3]).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.triangles().len()
    }

    fn triangles(&self) -> &[[DVec3; 3]] {
        match self {
            Self::Mesh(all) | Self::Points(all) => all,
        }
    }

    /// Places on it: of a mesh by area, of points each so many.
    fn samples(&self) -> Vec<DVec3> {
        match self {
            Self::Points(all) => {
                let every = all.len().div_ceil(SAMPLES).max(1);
                all.iter().step_by(every).map(|p| p[0]).collect()
            }
            Self::Mesh(all) => by_area(all),
        }
    }
}

fn by_area(all: &[[DVec3; 3]]) -> Vec<DVec3> {
    let area = |[a, b, c]: &[DVec3; 3]| (*b - *a).cross(*c - *a).length() / 2.0;
    let step = all.iter().map(area).sum::<f64>() / SAMPLES as f64;
    let (mut out, mut due, mut seed) = (Vec::with_capacity(SAMPLES), step / 2.0, 1_u64);
    let mut random = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(seed >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    };
    for triangle in all {
        due -= area(triangle);
        while due < 0.0 {
            let (mut u, mut v) = (random(), random());
            if u + v > 1.0 {
                (u, v) = (1.0 - u, 1.0 - v);
            }
            out.push(triangle[0] + (triangle[1] - triangle[0]) * u + (triangle[2] - triangle[0]) * v);
            due += step;
        }
    }
    out
}

/// How far an output lies from its source. Tools put the origin and the axes where they like: the best of the usual
/// axes, and the shift between the two, are found first, the same way for each.
pub(super) fn distance(source: &Shape, output: &Shape) -> Distance {
    let (low, high) = bounds(source.triangles());
    let size = (high - low).length().max(1e-12);
    let nothing = Distance { rms: 1e6, max: 1e6 };
    let Some(to_source) = Tree::new(source.triangles().to_vec()) else {
        return nothing;
    };
    let axes = [
        DMat3::IDENTITY,
        DMat3::from_rotation_x(std::f64::consts::FRAC_PI_2),
        DMat3::from_rotation_x(-std::f64::consts::FRAC_PI_2),
        DMat3::from_rotation_x(std::f64::consts::PI),
    ];
    let places = output.samples();
    if places.is_empty() {
        return nothing;
    }
    let few: Vec<DVec3> = places.iter().step_by((places.len() / 1500).max(1)).copied().collect();
    let mut best: Option<(f64, DMat3, DVec3)> = None;
    for turn in axes {
        let (a, b) = bounds_of(output.triangles().iter().flatten().map(|p| turn * *p));
        let shift = (low + high) / 2.0 - (a + b) / 2.0;
        let apart = few.iter().map(|p| to_source.nearest(turn * *p + shift).1).sum::<f64>();
        if best.is_none_or(|(least, ..)| apart < least) {
            best = Some((apart, turn, shift));
        }
    }
    let Some((_, turn, mut shift)) = best else {
        return nothing;
    };
    for _ in 0..ROUNDS {
        let off = few.iter().map(|p| {
            let at = turn * *p + shift;
            to_source.nearest(at).0 - at
        });
        shift += off.sum::<DVec3>() / few.len() as f64;
    }
    let moved: Vec<[DVec3; 3]> = output.triangles().iter().map(|t| t.map(|p| turn * p + shift)).collect();
    let Some(to_output) = Tree::new(moved) else {
        return nothing;
    };
    let there = places.iter().map(|p| to_source.nearest(turn * *p + shift).1);
    let back = source.samples().into_iter().map(|p| to_output.nearest(p).1);
    let (mut squares, mut max, mut count) = (0.0, 0.0_f64, 0.0);
    for apart in there.chain(back) {
        (squares, max, count) = (squares + apart * apart, max.max(apart), count + 1.0);
    }
    let ppm = |v: f64| crate::stats::round(v / size * 1e6, 3);
    Distance {
        rms: ppm((squares / count).sqrt()),
        max: ppm(max),
    }
}

fn bounds(triangles: &[[DVec3; 3]]) -> (DVec3, DVec3) {
    bounds_of(triangles.iter().flatten().copied())
}

fn bounds_of(places: impl Iterator<Item = DVec3>) -> (DVec3, DVec3) {
    places.fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(a, b), p| (a.min(p), b.max(p)))
}

/// Boxes around triangles, halved along the longest side.
struct Tree {
    triangles: Vec<[DVec3; 3]>,
    nodes: Vec<Node>,
}

struct Node {
    low: DVec3,
    high: DVec3,
    /// The other child of an inner box, the first being the next one; 0 for a leaf.
    right: usize,
    from: usize,
    to: usize,
}

impl Tree {
    fn new(triangles: Vec<[DVec3; 3]>) -> Option<Self> {
        let count = triangles.len();
        let mut out = Self {
            triangles,
            nodes: Vec::new(),
        };
        (count > 0).then(|| {
            out.build(0, count);
            out
        })
    }

    fn build(&mut self, from: usize, to: usize) {
        let all = &mut self.triangles[from..to];
        let (low, high) = bounds(all);
        let at = self.nodes.len();
        self.nodes.push(Node {
            low,
            high,
            right: 0,
            from,
            to,
        });
        if to - from <= LEAF {
            return;
        }
        let axis = (high - low).max_position();
        let middle = (to - from) / 2;
        all.select_nth_unstable_by(middle, |a, b| {
            let along = |t: &[DVec3; 3]| t[0][axis] + t[1][axis] + t[2][axis];
            along(a).total_cmp(&along(b))
        });
        self.build(from, from + middle);
        self.nodes[at].right = self.nodes.len();
        self.build(from + middle, to);
    }

    /// The nearest place and its distance.
    fn nearest(&self, p: DVec3) -> (DVec3, f64) {
        let apart = |node: &Node| p.distance(p.clamp(node.low, node.high));
        let (mut best, mut open) = ((p, f64::INFINITY), vec![0]);
        while let Some(at) = open.pop() {
            let node = &self.nodes[at];
            if apart(node) >= best.1 {
                continue;
            }
            if node.right == 0 {
                for triangle in &self.triangles[node.from..node.to] {
                    let place = on_triangle(p, *triangle);
                    let far = p.distance(place);
                    if far < best.1 {
                        best = (place, far);
                    }
                }
                continue;
            }
            let (left, right) = (at + 1, node.right);
            if apart(&self.nodes[left]) < apart(&self.nodes[right]) {
                open.extend([right, left]);
            } else {
                open.extend([left, right]);
            }
        }
        best
    }
}

/// The nearest place of a triangle (Ericson, Real-Time Collision Detection, 5.1.5).
fn on_triangle(p: DVec3, [a, b, c]: [DVec3; 3]) -> DVec3 {
    let (ab, ac, ap) = (b - a, c - a, p - a);
    let (d1, d2) = (ab.dot(ap), ac.dot(ap));
    if d1 <= 0.0 && d2 <= 0.0 {
        return a;
    }
    let bp = p - b;
    let (d3, d4) = (ab.dot(bp), ac.dot(bp));
    if d3 >= 0.0 && d4 <= d3 {
        return b;
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        return a + ab * (d1 / (d1 - d3));
    }
    let cp = p - c;
    let (d5, d6) = (ab.dot(cp), ac.dot(cp));
    if d6 >= 0.0 && d5 <= d6 {
        return c;
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        return a + ac * (d2 / (d2 - d6));
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 >= d3 && d5 >= d6 {
        return b + (c - b) * ((d4 - d3) / ((d4 - d3) + (d5 - d6)));
    }
    let sum = va + vb + vc;
    if sum == 0.0 {
        return a;
    }
    a + ab * (vb / sum) + ac * (vc / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bent sheet.
    fn sheet(n: u16, lift: f64) -> Shape {
        let place = |i: u16, j: u16| {
            let (x, z) = (f64::from(i) / f64::from(n), f64::from(j) / f64::from(n));
            DVec3::new(x * 3.0, (x * 4.0).sin() * 0.3 + z * z * 0.2 + lift * z, z * 2.0)
        };
        let squares = (0..n).flat_map(|i| (0..n).map(move |j| (i, j)));
        Shape::mesh(
            squares
                .flat_map(|(i, j)| {
                    let [a, b, c, d] = [place(i, j), place(i + 1, j), place(i, j + 1), place(i + 1, j + 1)];
                    [[a, b, c], [b, d, c]]
                })
                .collect(),
        )
    }

    #[test]
    fn frames_do_not_count_and_errors_do() {
        let source = sheet(40, 0.0);
        let Shape::Mesh(triangles) = sheet(40, 0.0) else {
            panic!()
        };
        let turn = DMat3::from_rotation_x(-std::f64::consts::FRAC_PI_2);
        let moved = triangles
            .iter()
            .map(|t| t.map(|p| turn * p + DVec3::new(500.0, -3.0, 70.0)))
            .collect();
        let same = distance(&source, &Shape::mesh(moved));
        assert!(same.max < 20.0, "{same:?}");
        let other = distance(&source, &sheet(40, 0.05));
        assert!(other.rms > 1000.0, "{other:?}");
        let coarse = distance(&source, &sheet(6, 0.0));
        assert!(coarse.rms > same.rms * 10.0 && coarse.rms < 50_000.0, "{coarse:?}");
    }

    #[test]
    fn what_is_missing_is_found() {
        let points: Vec<DVec3> = (0..3000_u32)
            .map(|i| DVec3::new(f64::from(i % 60), f64::from(i / 60), 0.0))
            .collect();
        let half = points.iter().copied().filter(|p| p.x < 50.0 || p.y > 2.0).collect();
        let apart = distance(&Shape::points(points.clone()), &Shape::points(half));
        assert!(apart.max > 10_000.0, "{apart:?}");
        let same = distance(&Shape::points(points.clone()), &Shape::points(points));
        assert!(same.max < 1e-3, "{same:?}");
    }
}
