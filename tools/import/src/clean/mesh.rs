//! Cleans meshes: triangles without area, triangles that are there twice, pieces that float beside the scan.

use std::collections::{HashMap, HashSet};

use glam::DVec3;

use crate::data::{Bounds, Part};
use crate::report::Meshes;

/// A detached piece is left out only if its box is also this much smaller than the whole one.
const SMALL_SHARE: f64 = 0.05;

/// Cleans parts that are in metres. `keep` says whether a place is inside the crop. Pieces with less than
/// `fragment_share` of the whole area are left out, where they are small as well.
pub(crate) fn clean(mut parts: Vec<Part>, fragment_share: f64, keep: impl Fn(DVec3) -> bool) -> (Vec<Part>, Meshes) {
    let mut report = Meshes {
        parts: parts.len(),
        ..Meshes::default()
    };
    let mut places = Places::default();
    let welded: Vec<Vec<u32>> = parts
        .iter()
        .map(|part| part.positions.iter().map(|&p| places.of(p)).collect())
        .collect();
    let mut seen: HashSet<[u32; 3]> = HashSet::new();
    for (part, welded) in parts.iter_mut().zip(&welded) {
        report.vertices += part.positions.len();
        let mut kept = Vec::with_capacity(part.indices.len());
        for &triangle in part.indices.as_chunks::<3>().0 {
            report.triangles += 1;
            let [a, b, c] = triangle.map(|i| part.positions[i as usize]);
            let mut key = triangle.map(|i| welded[i as usize]);
            key.sort_unstable();
            if key[0] == key[1] || key[1] == key[2] || (b - a).cross(c - a).length_squared() <= 0.0 {
                report.degenerate += 1;
            } else if !seen.insert(key) {
                report.duplicates += 1;
            } else if !keep((a + b + c) / 3.0) {
                report.cropped += 1;
            } else {
                kept.extend(triangle);
            }
        }
        part.indices = kept;
    }
    drop(seen);
    if fragment_share > 0.0 {
        drop_fragments(&mut parts, &welded, places.count(), fragment_share, &mut report);
    }
    smooth(&mut parts, &welded, places.count());
    for part in &mut parts {
        compact(part);
    }
    parts.retain(|part| !part.indices.is_empty());
    (parts, report)
}

/// Numbers for places: vertices that seams have split are one place.
#[derive(Default)]
struct Places {
    known: HashMap<[u64; 3], u32>,
}

impl Places {
    fn of(&mut self, p: DVec3) -> u32 {
        // −0 and 0 are one place.
        let key = (p + DVec3::ZERO).to_array().map(f64::to_bits);
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        *self.known.entry(key).or_insert(next)
    }

    fn count(&self) -> usize {
        self.known.len()
    }
}

/// Sets of places that triangles connect.
struct Pieces {
    parent: Vec<u32>,
}

impl Pieces {
    fn root(&mut self, mut at: u32) -> u32 {
        while self.parent[at as usize] != at {
            let above = self.parent[self.parent[at as usize] as usize];
            self.parent[at as usize] = above;
            at = above;
        }
        at
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        // The smaller number wins, so that the outcome does not depend on the order.
        self.parent[a.max(b) as usize] = a.min(b);
    }
}

fn drop_fragments(parts: &mut [Part], welded: &[Vec<u32>], places: usize, share: f64, report: &mut Meshes) {
    let mut pieces = Pieces {
        parent: (0..u32::try_from(places).unwrap_or(u32::MAX)).collect(),
    };
    for (part, welded) in parts.iter().zip(welded) {
        for triangle in part.indices.as_chunks::<3>().0 {
            let [a, b, c] = triangle.map(|i| welded[i as usize]);
            pieces.join(a, b);
            pieces.join(b, c);
        }
    }
    // Area and box of each piece, by its root.
    let mut sizes: HashMap<u32, (f64, DVec3, DVec3)> = HashMap::new();
    for (part, welded) in parts.iter().zip(welded) {
        for triangle in part.indices.as_chunks::<3>().0 {
            let [a, b, c] = triangle.map(|i| part.positions[i as usize]);
            let root = pieces.root(welded[triangle[0] as usize]);
            let size = sizes.entry(root).or_insert((0.0, a, a));
            size.0 += (b - a).cross(c - a).length() / 2.0;
            size.1 = size.1.min(a.min(b).min(c));
            size.2 = size.2.max(a.max(b).max(c));
        }
    }
    let all = parts
        .iter()
        .flat_map(|p| p.indices.iter().map(|&i| p.positions[i as usize]));
    let Some(whole) = Bounds::around(all) else { return };
    let widest = whole.size().max_element();
    let mut roots: Vec<u32> = sizes.keys().copied().collect();
    roots.sort_unstable();
    let total: f64 = roots.iter().map(|r| sizes[r].0).sum();
    let small = |&(area, min, max): &(f64, DVec3, DVec3)| {
        area < share * total && (max - min).max_element() < SMALL_SHARE * widest
    };
    let fragments: HashSet<u32> = roots.into_iter().filter(|r| small(&sizes[r])).collect();
    report.fragments = fragments.len();
    for (part, welded) in parts.iter_mut().zip(welded) {
        let mut kept = Vec::with_capacity(part.indices.len());
        for triangle in part.indices.as_chunks::<3>().0 {
            if fragments.contains(&pieces.root(welded[triangle[0] as usize])) {
                report.fragment_triangles += 1;
            } else {
                kept.extend(triangle);
            }
        }
        part.indices = kept;
    }
}

/// Gives parts without normals those of the triangles around each place, weighted by area: a seam of texture
/// coordinates does not show.
fn smooth(parts: &mut [Part], welded: &[Vec<u32>], places: usize) {
    if parts.iter().all(|part| !part.normals.is_empty()) {
        return;
    }
    let mut sums = vec![DVec3::ZERO; places];
    for (part, welded) in parts.iter().zip(welded) {
        for triangle in part.indices.as_chunks::<3>().0 {
            let [a, b, c] = triangle.map(|i| part.positions[i as usize]);
            let normal = (b - a).cross(c - a);
            for index in triangle {
                sums[welded[*index as usize] as usize] += normal;
            }
        }
    }
    for (part, welded) in parts.iter_mut().zip(welded).filter(|(part, _)| part.normals.is_empty()) {
        let normal = |&place: &u32| sums[place as usize].normalize_or(DVec3::Z).as_vec3();
        part.normals = welded.iter().map(normal).collect();
    }
}

/// Drops vertices that no triangle uses.
fn compact(part: &mut Part) {
    const UNUSED: u32 = u32::MAX;
    let mut new = vec![UNUSED; part.positions.len()];
    let mut order: Vec<usize> = Vec::new();
    for index in &mut part.indices {
        let old = *index as usize;
        if new[old] == UNUSED {
            new[old] = u32::try_from(order.len()).unwrap_or(UNUSED);
            order.push(old);
        }
        *index = new[old];
    }
    part.positions = order.iter().map(|&i| part.positions[i]).collect();
    pick(&mut part.normals, &order);
    pick(&mut part.tex_coords, &order);
    pick(&mut part.colors, &order);
}

fn pick<T: Copy>(values: &mut Vec<T>, order: &[usize]) {
    if !values.is_empty() {
        *values = order.iter().map(|&i| values[i]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flat sheet of `n` by `n` squares.
    fn sheet(n: u32) -> Part {
        let mut part = Part::default();
        for y in 0..=n {
            for x in 0..=n {
                part.positions.push(DVec3::new(f64::from(x), f64::from(y), 0.0));
            }
        }
        for y in 0..n {
            for x in 0..n {
                let at = y * (n + 1) + x;
                part.indices
                    .extend([at, at + 1, at + n + 2, at, at + n + 2, at + n + 1]);
            }
        }
        part
    }

    #[test]
    fn known_dirt_is_found_and_nothing_else() {
        let mut part = sheet(40);
        let sound = part.indices.len() / 3;
        // Twice the same triangle, once turned round; one without area; a speck far above.
        part.indices.extend([0, 1, 42, 42, 1, 0]);
        part.indices.extend([5, 5, 6]);
        let first = u32::try_from(part.positions.len()).unwrap();
        for corner in [DVec3::ZERO, DVec3::X * 0.2, DVec3::Y * 0.2] {
            part.positions.push(DVec3::new(20.0, 20.0, 9.0) + corner);
        }
        part.indices.extend([first, first + 1, first + 2]);
        // A vertex of no triangle.
        part.positions.push(DVec3::splat(1e6));
        let (parts, report) = clean(vec![part], 2e-4, |_| true);
        assert_eq!((report.degenerate, report.duplicates), (1, 2));
        assert_eq!((report.fragments, report.fragment_triangles, report.cropped), (1, 1, 0));
        assert_eq!(parts[0].indices.len() / 3, sound);
        assert_eq!(parts[0].positions.len(), 41 * 41);
    }

    #[test]
    fn seams_do_not_make_fragments() {
        // Two sheets that touch along an edge, with vertices of their own.
        let (a, mut b) = (sheet(40), sheet(1));
        for p in &mut b.positions {
            p.x += 40.0;
        }
        let (parts, report) = clean(vec![a.clone(), b.clone()], 1e-2, |_| true);
        assert_eq!((parts.len(), report.fragments), (2, 0));
        for p in &mut b.positions {
            p.x += 0.5;
        }
        let (parts, report) = clean(vec![a, b], 1e-2, |p| p.x < 100.0);
        assert_eq!((parts.len(), report.fragments), (1, 1));
    }
}
