//! What lies behind: which parts of a panorama a second one from the same point should show, and from where on.
//!
//! When a head moves, strips of background appear beside everything near. They lie, in the panorama, under the rim of
//! what hides them. [`choose`] finds those strips in a panorama's depth, and for each texel a *cut*: what is nearer is
//! left out when the second panorama is drawn. A cut lies between the two sides of the edge that it belongs to, so that
//! a post vanishes and the floor at its foot stays, which no single near plane does.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use glam::UVec2;
use tongyou_protocol::cube;

use crate::cull::{Area, TILE, Tiles};

/// Depth where a panorama of what lies behind shows nothing.
pub const ABSENT: u16 = 65535;

/// How far a head moves from the rendered point, in metres.
const REACH_M: f32 = 0.5;
/// A strip is at least so wide, in texels: what is less the headset's continued background fills well enough. So thin is
/// the strip behind what stands 20 m away before the sky.
const NARROWEST: f32 = 6.0;
/// Narrower ones are cut too in a tile that is drawn for another's sake, so far as they are seen at all.
const VISIBLE: f32 = 1.0;
/// And is not followed further than this.
const WIDEST: f32 = 128.0;
/// A cut lies at this part of the way, in inverse depth, from the far side of an edge to the near one.
const CUT: f32 = 0.4;
/// Texels by which a cut exceeds its strip on both sides, against rims of mixed colour.
const MARGIN: usize = 2;
/// Texels of strips that a tile has to have.
const LEAST_IN_TILE: usize = 16;
/// The largest part of a panorama that is drawn again.
const MOST: f32 = 0.3;
/// Strips cover at least this part of the panorama, or nothing is drawn at all.
const LEAST: f32 = 0.002;

/// The tiles of a panorama that show what lies behind, and the cut of each texel in them.
#[derive(Clone, PartialEq, Eq)]
pub struct TileMask {
    faces: Vec<Tiles>,
    /// 65535 near / z beyond which nothing is drawn, 0 = everything is; face after face, rows top to bottom.
    cuts: Vec<u16>,
    /// Stands for both.
    key: u64,
}

impl std::fmt::Debug for TileMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tiles: Vec<usize> = self.faces.iter().map(Tiles::len).collect();
        write!(f, "TileMask({tiles:?} tiles, key {:x})", self.key)
    }
}

/// What [`choose`] found worth drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Behind {
    /// For [`crate::VantageRequest::only`]; the point and the near plane stay the panorama's own.
    pub mask: Arc<TileMask>,
    /// The part of the panorama that its strips cover: what a head uncovers that moves by half a metre each way.
    pub resolved: f32,
    /// The part of the panorama's tiles that are drawn.
    pub drawn: f32,
}

impl TileMask {
    /// A mask of given tiles and cuts; `None` unless there are six faces of a panorama's size.
    #[must_use]
    pub fn new(faces: Vec<Tiles>, cuts: Vec<u16>) -> Option<Self> {
        let view = UVec2::splat(cube::FACE_SIZE);
        let sizes = (faces.len(), cuts.len()) == (cube::FACES.len(), texels(cube::FACE_SIZE));
        if !sizes || faces.iter().any(|t| t.view() != view) {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (&faces, &cuts).hash(&mut hasher);
        let key = hasher.finish();
        Some(Self { faces, cuts, key })
    }

    /// The tiles of a face.
    #[must_use]
    pub fn tiles(&self, face: usize) -> Option<&Tiles> {
        self.faces.get(face)
    }

    pub(crate) fn all_cuts(&self) -> &[u16] {
        &self.cuts
    }

    /// Equal for equal masks.
    pub(crate) const fn key(&self) -> u64 {
        self.key
    }
}

/// Finds what of a panorama is worth drawing behind what. `depth` is its depth, six faces of `face_size`² texels, with
/// `near` metres for scale. `None` when strips cover less than 0.2 % of the panorama, or the depth is not one.
#[must_use]
pub fn choose(depth: &[u16], face_size: u32, near: f32) -> Option<Behind> {
    if face_size != cube::FACE_SIZE || depth.len() != texels(face_size) || !near.is_finite() || near <= 0.0 {
        return None;
    }
    let scan = Scan::new(depth, near);
    let (faces, resolved) = scan.tiles();
    let drawn: usize = faces.iter().map(Tiles::len).sum();
    let all = Tiles::all(UVec2::splat(face_size)).len() * faces.len();
    let resolved = share(resolved, depth.len());
    if resolved < LEAST {
        return None;
    }
    let mask = TileMask::new(faces, scan.cuts())?;
    Some(Behind {
        mask: Arc::new(mask),
        resolved,
        drawn: share(drawn, all),
    })
}

const fn texels(face_size: u32) -> usize {
    cube::FACES.len() * face_size as usize * face_size as usize
}

#[expect(clippy::cast_precision_loss, reason = "counts of texels")]
fn share(part: usize, whole: usize) -> f32 {
    part as f32 / whole as f32
}

/// What the edges of a panorama hide.
struct Scan<'a> {
    depth: &'a [u16],
    side: usize,
    /// Texels of parallax for each step of depth.
    parallax: f32,
    /// The cut of each texel in a strip.
    strips: Vec<u16>,
    /// The cut of each texel beside one, for where its tile is drawn.
    beside: Vec<u16>,
}

impl<'a> Scan<'a> {
    fn new(depth: &'a [u16], near: f32) -> Self {
        let side = cube::FACE_SIZE as usize;
        let focal = share(side, 2) / cube::HALF_TANGENT;
        let mut scan = Self {
            depth,
            side,
            parallax: focal * REACH_M / (65535.0 * near),
            strips: vec![0; depth.len()],
            beside: vec![0; depth.len()],
        };
        for face in 0..cube::FACES.len() {
            for line in 0..side {
                let start = face * side * side;
                scan.line(start + line * side, 1);
                scan.line(start + line, side);
            }
        }
        scan
    }

    /// Looks for edges along a row or a column, `step` texels apart.
    fn line(&mut self, start: usize, step: usize) {
        let d = |i: usize| i32::from(self.depth[start + i * step]);
        let mut edges = Vec::new();
        for i in 1..self.side {
            let (a, b) = (d(i - 1), d(i));
            let (near, far) = (a.max(b), a.min(b));
            // The same measure as the headset's for a cut: 5 %, and off the plane through the neighbours.
            let least = (near / 20).max(4);
            if near - far <= least {
                continue;
            }
            let bend = |m: usize| m > 0 && m + 1 < self.side && (d(m - 1) - 2 * d(m) + d(m + 1)).abs() > least;
            if bend(i - 1) || bend(i) {
                edges.push((i, a > b));
            }
        }
        for (i, to_left) in edges {
            self.edge(start, step, i, to_left);
        }
    }

    /// Follows what hides something from texel `i` of a line, the first behind the edge, to the left or to the right.
    fn edge(&mut self, start: usize, step: usize, i: usize, to_left: bool) {
        let (near_at, far_at) = if to_left { (i - 1, i) } else { (i, i - 1) };
        let [near, far] = [near_at, far_at].map(|i| f32::from(self.depth[start + i * step]));
        let width = ((near - far) * self.parallax).min(WIDEST);
        if width < VISIBLE {
            return;
        }
        let counts = width >= NARROWEST;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 128, and less than near"
        )]
        let (width, cut) = (width.ceil() as usize, (far + CUT * (near - far)).ceil() as u16);
        let along = |from: usize, n: usize, left: bool| {
            let at = if left { from.checked_sub(n) } else { Some(from + n) };
            at.filter(|at| *at < self.side).map(|at| start + at * step)
        };
        let on_near_side: Vec<usize> = (0..)
            .map_while(|n| along(near_at, n, to_left))
            .take(width + 32)
            .collect();
        let on_far_side: Vec<usize> = (0..MARGIN).filter_map(|n| along(far_at, n, !to_left)).collect();
        let mut last_tile = None;
        for (n, at) in on_near_side.into_iter().enumerate() {
            let d = f32::from(self.depth[at]);
            if d <= f32::from(cut) {
                break;
            }
            let tile = self.tile_of(at);
            if n < width {
                let cuts = if counts { &mut self.strips } else { &mut self.beside };
                cuts[at] = cuts[at].max(cut);
                last_tile = Some(tile);
            } else if n < width + MARGIN || (last_tile == Some(tile) && d < near * 1.08) {
                self.beside[at] = self.beside[at].max(cut);
            } else {
                break;
            }
        }
        for at in on_far_side {
            self.beside[at] = self.beside[at].max(cut);
        }
    }

    fn tile_of(&self, at: usize) -> [usize; 3] {
        let [face, y, x] = [at / (self.side * self.side), at / self.side % self.side, at % self.side];
        [face, y / TILE.y as usize, x / TILE.x as usize]
    }

    /// The tiles with the most of strips in them, and the texels of strips that they have together.
    fn tiles(&self) -> (Vec<Tiles>, usize) {
        let view = UVec2::splat(cube::FACE_SIZE);
        let mut found: Vec<(usize, usize, Area)> = Vec::new();
        for face in 0..cube::FACES.len() {
            for area in Tiles::all(view).areas() {
                let rows = area.origin.y..area.origin.y + area.size.y;
                let inside = rows.map(|y| {
                    let at = face * self.side * self.side + y as usize * self.side + area.origin.x as usize;
                    let row = &self.strips[at..at + area.size.x as usize];
                    row.iter().filter(|c| **c > 0).count()
                });
                let inside: usize = inside.sum();
                if inside >= LEAST_IN_TILE {
                    found.push((inside, face, area));
                }
            }
        }
        let all = Tiles::all(view).len() * cube::FACES.len();
        found.sort_by_key(|f| (std::cmp::Reverse(f.0), f.1, f.2.origin.to_array()));
        let most = (0..found.len()).take_while(|n| share(n + 1, all) <= MOST).count();
        found.truncate(most);
        let mut faces = vec![Tiles::none(view); cube::FACES.len()];
        for (_, face, area) in &found {
            faces[*face].add(area);
        }
        (faces, found.iter().map(|f| f.0).sum())
    }

    fn cuts(self) -> Vec<u16> {
        let pairs = self.strips.into_iter().zip(self.beside);
        pairs
            .map(|(strip, beside)| if strip > 0 { strip } else { beside })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: f32 = 0.2;
    const SIDE: usize = cube::FACE_SIZE as usize;

    /// A picture of something `z` metres away, as depth has it.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "near / z < 1")]
    fn word(z: f32) -> u16 {
        (65535.0 * NEAR / z).round() as u16
    }

    /// A wall around at 30 m; in one face what `at` says.
    fn panorama(face: usize, at: impl Fn(usize, usize) -> Option<f32>) -> Vec<u16> {
        let mut depth = vec![word(30.0); texels(cube::FACE_SIZE)];
        for y in 0..SIDE {
            for x in 0..SIDE {
                if let Some(z) = at(x, y) {
                    depth[face * SIDE * SIDE + y * SIDE + x] = word(z);
                }
            }
        }
        depth
    }

    fn choose_in(depth: &[u16]) -> Option<Behind> {
        choose(depth, cube::FACE_SIZE, NEAR)
    }

    #[test]
    fn walls_slopes_and_sky_hide_nothing() {
        assert_eq!(choose_in(&panorama(0, |_, _| None)), None);
        assert_eq!(choose_in(&vec![0; texels(cube::FACE_SIZE)]), None);
        // A floor 1.6 m below, as near as 1.6 m and as far as the horizon.
        let floor =
            |_: usize, y: usize| (y > 257).then(|| 1.6 * 248.0 / (f32::from(u16::try_from(y).unwrap()) - 256.0));
        let depth = panorama(5, |x, y| floor(x, y).map(|z| z.min(30.0)));
        assert_eq!(choose_in(&depth), None);
    }

    #[test]
    fn a_post_is_cut_and_the_cut_lies_between_it_and_the_wall() {
        // 40 texels wide, 2 m away: half a metre uncovers 124 · (1/2 − 1/30) = 58 texels, so all of it.
        let found = choose_in(&panorama(5, |x, _| (200..240).contains(&x).then_some(2.0))).unwrap();
        let post = 40.0 / 512.0 / 6.0;
        assert!(
            (found.resolved - post).abs() < 0.01 * post,
            "{} of {post}",
            found.resolved
        );
        for face in 0..6 {
            let tiles = found.mask.tiles(face).unwrap();
            assert_eq!(tiles.is_empty(), face != 5);
        }
        let tiles = found.mask.tiles(5).unwrap();
        assert!(tiles.contains(UVec2::new(200, 0)) && tiles.contains(UVec2::new(239, 511)));
        assert!(!tiles.contains(UVec2::new(191, 100)) && !tiles.contains(UVec2::new(256, 100)));
        assert!((found.drawn - 2.0 / 16.0 / 6.0).abs() < 1e-6, "{}", found.drawn);
        let cut = found.mask.all_cuts()[5 * SIDE * SIDE + 100 * SIDE + 220];
        assert!(word(30.0) < cut && cut < word(2.0), "{cut}");
    }

    #[test]
    fn of_a_wide_thing_only_the_rims_are_drawn_again() {
        // 124 · (1/4 − 1/30) = 27 texels at either side of a face's whole height.
        let found = choose_in(&panorama(4, |x, _| (100..400).contains(&x).then_some(4.0))).unwrap();
        let rims = 2.0 * 27.0 / 512.0 / 6.0;
        assert!(
            (found.resolved - rims).abs() < 0.05 * rims,
            "{} of {rims}",
            found.resolved
        );
        let tiles = found.mask.tiles(4).unwrap();
        assert!(tiles.contains(UVec2::new(105, 50)) && tiles.contains(UVec2::new(395, 50)));
        assert!(!tiles.contains(UVec2::new(250, 50)));
    }

    #[test]
    fn what_is_no_panorama_is_refused() {
        let depth = panorama(5, |x, _| (200..240).contains(&x).then_some(2.0));
        assert_eq!(choose(&depth[1..], cube::FACE_SIZE, NEAR), None);
        assert_eq!(choose(&depth, 256, NEAR), None);
        for near in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(choose(&depth, cube::FACE_SIZE, near), None);
        }
        let view = UVec2::splat(cube::FACE_SIZE);
        assert_eq!(
            TileMask::new(vec![Tiles::none(view); 5], vec![0; texels(cube::FACE_SIZE)]),
            None
        );
        assert_eq!(TileMask::new(vec![Tiles::none(view); 6], vec![0; 7]), None);
        let other = UVec2::splat(64);
        assert_eq!(
            TileMask::new(vec![Tiles::none(other); 6], vec![0; texels(cube::FACE_SIZE)]),
            None
        );
    }

    #[test]
    fn no_more_than_a_part_of_the_panorama_is_drawn() {
        // Bars everywhere.
        let mut depth = vec![word(30.0); texels(cube::FACE_SIZE)];
        depth
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| i % 32 < 12)
            .for_each(|(_, d)| *d = word(1.5));
        let found = choose_in(&depth).unwrap();
        assert!(found.drawn <= MOST && found.drawn > MOST - 0.01, "{}", found.drawn);
    }
}
