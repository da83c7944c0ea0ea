//! How far two triangle meshes lie apart, measured, not estimated.

use glam::Vec3;
use tongyou_scene::Scene;

/// Places on each mesh from which the distance to the other is taken.
const SAMPLES: usize = 20_000;
/// Distances between two meshes in metres.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Distance {
    /// The largest found, of both directions.
    pub(crate) max_m: f32,
    /// Root of the mean square, of both directions.
    pub(crate) rms_m: f32,
}

/// The distance between the meshes of two scenes whose nodes have no transforms.
pub(crate) fn distance(a: &Scene, b: &Scene) -> Distance {
    Finest::new(a).distance(b)
}

/// A mesh from which the distance to several others is measured.
pub(crate) struct Finest {
    triangles: Vec<[Vec3; 3]>,
    tree: Option<Tree>,
}

impl Finest {
    /// The meshes of a scene whose nodes have no transforms.
    pub(crate) fn new(scene: &Scene) -> Self {
        let triangles = triangles(scene);
        let tree = Tree::new(&triangles);
        Self { triangles, tree }
    }

    /// The distance to the meshes of another scene, of both directions.
    pub(crate) fn distance(&self, other: &Scene) -> Distance {
        let b = triangles(other);
        let (Some(to_a), Some(to_b)) = (&self.tree, &Tree::new(&b)) else {
            return Distance::default();
        };
        apart([(&self.triangles, to_b), (&b, to_a)])
    }
}

fn apart(ways: [(&Vec<[Vec3; 3]>, &Tree); 2]) -> Distance {
    let (mut max, mut squares, mut count) = (0.0_f32, 0.0_f64, 0.0_f64);
    for (from, to) in ways {
        let step = from.len().div_ceil(SAMPLES).max(1);
        for triangle in from.iter().step_by(step) {
            // Corners are where simplification moves a surface most; the middle is where it bridges.
            for place in [triangle[0], triangle.iter().sum::<Vec3>() / 3.0] {
                let distance = to.distance(place);
                max = max.max(distance);
                squares += f64::from(distance) * f64::from(distance);
                count += 1.0;
            }
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "a distance in a scene of 100 km")]
    let rms_m = (squares / count).sqrt() as f32;
    Distance { max_m: max, rms_m }
}

/// The distances from places to the meshes of a scene whose nodes have no transforms.
pub(crate) fn from_points(places: impl Iterator<Item = Vec3>, scene: &Scene) -> Distance {
    let Some(tree) = Tree::new(&triangles(scene)) else {
        return Distance::default();
    };
    let (mut max, mut squares, mut count) = (0.0_f32, 0.0_f64, 0.0_f64);
    for place in places {
        let distance = tree.distance(place);
        max = max.max(distance);
        squares += f64::from(distance) * f64::from(distance);
        count += 1.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a distance in a scene of 100 km")]
    let rms_m = (squares / count.max(1.0)).sqrt() as f32;
    Distance { max_m: max, rms_m }
}

fn triangles(scene: &Scene) -> Vec<[Vec3; 3]> {
    let primitives = scene.meshes.iter().flat_map(|m| &m.primitives);
    let each = primitives.flat_map(|p| {
        p.indices
            .as_chunks::<3>()
            .0
            .iter()
            .map(|t| t.map(|i| p.positions[i as usize]))
    });
    each.collect()
}

/// Triangles in a leaf.
const LEAF: usize = 8;

/// A tree of boxes around triangles, halved along the longest side.
struct Tree {
    triangles: Vec<[Vec3; 3]>,
    /// Boxes; the children of an inner one at `at` are the next one and `right`.
    nodes: Vec<Node>,
}

struct Node {
    min: Vec3,
    max: Vec3,
    /// The other child of an inner box; 0 for a leaf.
    right: usize,
    from: usize,
    to: usize,
}

impl Tree {
    fn new(triangles: &[[Vec3; 3]]) -> Option<Self> {
        if triangles.is_empty() {
            return None;
        }
        let mut out = Self {
            triangles: triangles.to_vec(),
            nodes: Vec::new(),
        };
        out.build(0, triangles.len());
        Some(out)
    }

    /// Halving keeps this as deep as the logarithm of the count.
    fn build(&mut self, from: usize, to: usize) {
        let all = &mut self.triangles[from..to];
        let start = (Vec3::INFINITY, Vec3::NEG_INFINITY);
        let corners = all.iter().flatten();
        let (min, max) = corners.fold(start, |(a, b), p| (a.min(*p), b.max(*p)));
        let at = self.nodes.len();
        self.nodes.push(Node {
            min,
            max,
            right: 0,
            from,
            to,
        });
        if to - from <= LEAF {
            return;
        }
        let axis = (max - min).max_position();
        let middle = (to - from) / 2;
        all.select_nth_unstable_by(middle, |a, b| {
            let along = |t: &[Vec3; 3]| t[0][axis] + t[1][axis] + t[2][axis];
            along(a).total_cmp(&along(b))
        });
        self.build(from, from + middle);
        self.nodes[at].right = self.nodes.len();
        self.build(from + middle, to);
    }

    fn distance(&self, p: Vec3) -> f32 {
        let apart = |node: &Node| (p - p.clamp(node.min, node.max)).length();
        let mut best = f32::INFINITY;
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            let node = &self.nodes[at];
            if apart(node) >= best {
                continue;
            }
            if node.right == 0 {
                let near = self.triangles[node.from..node.to].iter().map(|&t| to_triangle(p, t));
                best = near.fold(best, f32::min);
                continue;
            }
            let (left, right) = (at + 1, node.right);
            // The nearer one is looked at first: it is on top.
            if apart(&self.nodes[left]) < apart(&self.nodes[right]) {
                open.extend([right, left]);
            } else {
                open.extend([left, right]);
            }
        }
        best
    }
}

/// The distance to a triangle (Ericson, Real-Time Collision Detection, 5.1.5).
fn to_triangle(p: Vec3, [a, b, c]: [Vec3; 3]) -> f32 {
    let (ab, ac, ap) = (b - a, c - a, p - a);
    let (d1, d2) = (ab.dot(ap), ac.dot(ap));
    if d1 <= 0.0 && d2 <= 0.0 {
        return p.distance(a);
    }
    let bp = p - b;
    let (d3, d4) = (ab.dot(bp), ac.dot(bp));
    if d3 >= 0.0 && d4 <= d3 {
        return p.distance(b);
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        return p.distance(a + ab * (d1 / (d1 - d3)));
    }
    let cp = p - c;
    let (d5, d6) = (ab.dot(cp), ac.dot(cp));
    if d6 >= 0.0 && d5 <= d6 {
        return p.distance(c);
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        return p.distance(a + ac * (d2 / (d2 - d6)));
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 - d3 >= 0.0 && d5 - d6 >= 0.0 {
        return p.distance(b + (c - b) * ((d4 - d3) / ((d4 - d3) + (d5 - d6))));
    }
    let sum = va + vb + vc;
    if sum == 0.0 {
        return p.distance(a);
    }
    p.distance(a + ab * (vb / sum) + ac * (vc / sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_to_a_triangle() {
        let triangle = [Vec3::ZERO, Vec3::X, Vec3::Y];
        let check = |p: [f32; 3], want: f32| {
            let got = to_triangle(Vec3::from(p), triangle);
            assert!((got - want).abs() < 1e-6, "{p:?}: {got}");
        };
        check([0.2, 0.2, 0.5], 0.5);
        check([-3.0, -4.0, 0.0], 5.0);
        check([2.0, 0.0, 0.0], 1.0);
        check([0.5, -2.0, 0.0], 2.0);
        check([1.0, 1.0, 0.0], std::f32::consts::FRAC_1_SQRT_2);
    }

    #[test]
    fn a_known_gap_is_measured() {
        let sheet = |y: f32, n: u16| {
            let mut p = tongyou_scene::Primitive::default();
            for i in 0..=n {
                for j in 0..=n {
                    p.positions
                        .push(Vec3::new(f32::from(i) / f32::from(n), y, f32::from(j) / f32::from(n)));
                }
            }
            let wide = u32::from(n) + 1;
            for i in 0..u32::from(n) {
                for j in 0..u32::from(n) {
                    let at = i * wide + j;
                    p.indices
                        .extend([at, at + 1, at + wide, at + 1, at + wide + 1, at + wide]);
                }
            }
            let mut scene = Scene::default();
            scene.meshes.push(tongyou_scene::Mesh {
                name: String::new(),
                primitives: vec![p],
            });
            scene
        };
        let apart = Finest::new(&sheet(0.0, 1)).distance(&sheet(0.25, 30));
        assert!(
            (apart.max_m - 0.25).abs() < 1e-6 && (apart.rms_m - 0.25).abs() < 1e-6,
            "{apart:?}"
        );
        assert!(Finest::new(&sheet(0.0, 7)).distance(&sheet(0.0, 3)).max_m < 1e-6);
    }
}
