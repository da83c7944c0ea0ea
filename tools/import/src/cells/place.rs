//! What people face, where they stand, and which ground they need for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use glam::{Vec2, Vec3};
use tongyou_scene::{Cell, EYE_HEIGHT_M, Formation, seats};

use super::floor::Floor;
use super::voxels::Columns;

/// Side of the squares in which things are compared by height.
const BLOCK_M: f32 = 2.0;
/// What rises less above the ground is no landmark.
const RISES_M: f32 = 1.5;
/// Nothing farther from ground is taken for the landmark.
const FAR_M: f32 = 80.0;
/// From farther away nobody came for the landmark.
const SEEN_M: f32 = 150.0;
/// Metres between the places that are tried.
const EVERY_M: f32 = 2.0;
/// Seats that a cell is tried with.
const SEATS: usize = 24;
/// Cells are at least so far apart: a step of the cross-fade between two pictures of one place.
const APART_M: f32 = 5.0;
/// Cells at most.
const MOST: usize = 12;
/// Ground kept around a cell: a group of `SEATS` and the guide ahead of it stand within it.
const AROUND_M: f32 = 5.0;
/// Half the width of the ways between cells.
const WAY_M: f32 = 1.0;
/// What the landmark itself hides of itself.
const SIGHT_M: f32 = 2.5;

/// The point that everybody faces: on the thing that rises most above the ground around it.
pub(super) fn landmark(columns: &Columns, floor: &Floor) -> Option<Vec3> {
    let plan = columns.plan;
    let block = |column: usize| {
        let at = (plan.middle(column) - plan.origin) / BLOCK_M;
        #[expect(clippy::cast_possible_truncation, reason = "blocks of a plan")]
        (at.x.floor() as i32, at.y.floor() as i32)
    };
    let mut ground: BTreeMap<(i32, i32), f32> = BTreeMap::new();
    for &column in &floor.columns {
        let low = ground.entry(block(column)).or_insert(f32::INFINITY);
        *low = low.min(floor.height(column).unwrap_or(f32::INFINITY));
    }
    let mut tops: BTreeMap<(i32, i32), (f32, f32, f32)> = BTreeMap::new();
    for column in 0..plan.wide * plan.deep {
        if let Some(span) = columns.at(column).last() {
            let (most, sum, count) = tops.entry(block(column)).or_insert((f32::NEG_INFINITY, 0.0, 0.0));
            (*most, *sum, *count) = (most.max(span.top), *sum + span.top, *count + 1.0);
        }
    }
    // The nearest ground of each block, outwards from the ground.
    let mut queue: VecDeque<((i32, i32), f32)> = ground.iter().map(|(k, v)| (*k, 0.0 * *v)).collect();
    let mut low = ground.clone();
    while let Some(((x, z), far)) = queue.pop_front() {
        let height = low.get(&(x, z)).copied().unwrap_or_default();
        for next in [(x + 1, z), (x - 1, z), (x, z + 1), (x, z - 1)] {
            if far < FAR_M && tops.contains_key(&next) && !low.contains_key(&next) {
                low.insert(next, height);
                queue.push_back((next, far + BLOCK_M));
            }
        }
    }
    let rises = |key: &(i32, i32)| {
        let (_, sum, count) = tops.get(key)?;
        // The mean, so that one stray point on a pole counts little.
        Some((sum / count - low.get(key)?).max(0.0))
    };
    let mut best: Option<(f32, (i32, i32))> = None;
    for &(x, z) in tops.keys() {
        let around = (-1..=1).flat_map(|i| (-1..=1).map(move |j| (x + i, z + j)));
        let score = around.filter_map(|k| rises(&k)).sum::<f32>();
        if rises(&(x, z)).is_some_and(|r| r > RISES_M) && best.is_none_or(|(b, _)| score > b) {
            best = Some((score, (x, z)));
        }
    }
    let (_, key) = best?;
    let (most, ..) = *tops.get(&key)?;
    let base = *low.get(&key)?;
    #[expect(clippy::cast_precision_loss, reason = "blocks of a plan")]
    let at = plan.origin + (Vec2::new(key.0 as f32, key.1 as f32) + 0.5) * BLOCK_M;
    Some(Vec3::new(at.x, base + (most - base) * 0.6, at.y))
}

/// Where people stand, best first.
pub(super) fn cells(columns: &Columns, floor: &Floor, look_at: Vec3) -> Vec<Cell> {
    let plan = columns.plan;
    let sight = Vec2::new(look_at.x, look_at.z);
    let mut tried: Vec<(usize, f32, usize)> = Vec::new();
    let every = stride(plan.step);
    for &column in &floor.columns {
        if !(column % plan.wide).is_multiple_of(every) || !(column / plan.wide).is_multiple_of(every) {
            continue;
        }
        let far = plan.middle(column).distance(sight);
        if !(3.0..=SEEN_M).contains(&far) {
            continue;
        }
        let free = usable(columns, floor, look_at, column);
        if free > 0 {
            tried.push((free, far, column));
        }
    }
    // Room for a group first, then the distance from which a thing is seen whole: about twice its height.
    let best_far = (2.0 * (look_at.y - floor_near(floor, columns, sight)).abs()).clamp(8.0, 40.0);
    let most = tried.iter().map(|t| t.0).max().unwrap_or(0);
    let enough = (SEATS / 2).min(most);
    tried.retain(|t| t.0 >= enough);
    tried.sort_by(|a, b| {
        let off = |t: &(usize, f32, usize)| (t.1 - best_far).abs() + (SEATS - t.0) as f32;
        off(a).total_cmp(&off(b)).then(a.2.cmp(&b.2))
    });
    let area = floor.columns.len() as f32 * plan.step * plan.step;
    let apart = (area / MOST as f32).sqrt().clamp(APART_M, 20.0);
    let mut chosen: Vec<usize> = Vec::new();
    for (_, _, column) in tried {
        let at = plan.middle(column);
        if chosen.len() < MOST && chosen.iter().all(|c| plan.middle(*c).distance(at) >= apart) {
            chosen.push(column);
        }
    }
    let radius = (apart / 2.0).clamp(1.0, 3.0);
    let each = (1..).zip(chosen);
    each.map(|(number, column)| cell(columns, floor, column, number, radius))
        .collect()
}

/// A cell over a column of the ground.
pub(super) fn cell(columns: &Columns, floor: &Floor, column: usize, number: usize, radius_m: f32) -> Cell {
    let at = columns.plan.middle(column);
    let height = floor.height(column).unwrap_or_default() + EYE_HEIGHT_M;
    Cell {
        id: format!("cell-{number}"),
        eye: [at.x, height, at.y],
        radius_m,
        formation: Formation::default(),
    }
}

/// Seats of a cell that stand on ground and see the landmark; 0 also where the cell itself does not see it.
fn usable(columns: &Columns, floor: &Floor, look_at: Vec3, column: usize) -> usize {
    let cell = cell(columns, floor, column, 0, 1.0);
    let eye = Vec3::from(cell.eye);
    if columns.hides(eye, look_at, 0.5, SIGHT_M) {
        return 0;
    }
    let free = seats(&cell, look_at, SEATS).into_iter().filter(|seat| {
        let at = seat.position;
        let ground = columns.plan.column(Vec2::new(at.x, at.z)).and_then(|c| floor.height(c));
        ground.is_some_and(|ground| {
            let eye = Vec3::new(at.x, ground + EYE_HEIGHT_M, at.z);
            (ground - at.y).abs() < 0.8 && !columns.hides(eye, look_at, 0.5, SIGHT_M)
        })
    });
    free.count()
}

/// Columns of ground.
#[derive(Debug, Clone, Default)]
pub(super) struct Needed {
    /// Around the cells and their ways.
    pub(super) wanted: BTreeSet<usize>,
    /// The ways between neighbouring cells, cells included.
    pub(super) ways: BTreeSet<usize>,
}

/// The ground that the cells need: around each, and ways that connect them all.
pub(super) fn needed(columns: &Columns, floor: &Floor, cells: &[Cell]) -> Needed {
    let plan = columns.plan;
    let places: Vec<Vec2> = cells.iter().map(|c| Vec2::new(c.eye[0], c.eye[2])).collect();
    let mut out = Needed::default();
    for &at in &places {
        widen(columns, floor, at, AROUND_M, &mut out.wanted);
        out.ways.extend(plan.column(at));
    }
    for (from, to) in neighbours(&places) {
        let ends = (plan.column(places[from]), plan.column(places[to]));
        let (Some(from), Some(to)) = ends else { continue };
        for column in floor.way(columns, from, to).into_iter().flatten() {
            widen(columns, floor, plan.middle(column), WAY_M, &mut out.wanted);
            out.ways.insert(column);
        }
    }
    out
}

/// Pairs that connect all places with the least length (Prim's tree).
pub(crate) fn neighbours(places: &[Vec2]) -> Vec<(usize, usize)> {
    let mut inside: Vec<usize> = (!places.is_empty()).then_some(0).into_iter().collect();
    let mut out = Vec::new();
    while inside.len() < places.len() {
        let pairs = inside.iter().flat_map(|&a| (0..places.len()).map(move |b| (a, b)));
        let outside = pairs.filter(|(_, b)| !inside.contains(b));
        let apart = |(a, b): &(usize, usize)| places[*a].distance_squared(places[*b]);
        let Some(pair) = outside.min_by(|x, y| apart(x).total_cmp(&apart(y)).then(x.cmp(y))) else {
            break;
        };
        inside.push(pair.1);
        out.push(pair);
    }
    out
}

fn widen(columns: &Columns, floor: &Floor, at: Vec2, radius: f32, out: &mut BTreeSet<usize>) {
    let plan = columns.plan;
    let mut z = -radius;
    while z <= radius {
        let mut x = -radius;
        while x <= radius {
            let place = at + Vec2::new(x, z);
            if x.hypot(z) <= radius
                && let Some(column) = plan.column(place)
                && floor.height(column).is_some()
            {
                out.insert(column);
            }
            x += plan.step;
        }
        z += plan.step;
    }
}

/// Columns between places that are tried.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few columns")]
fn stride(step: f32) -> usize {
    (EVERY_M / step).round().max(1.0) as usize
}

fn floor_near(floor: &Floor, columns: &Columns, at: Vec2) -> f32 {
    let apart = |c: &&usize| columns.plan.middle(**c).distance_squared(at);
    let nearest = floor.columns.iter().min_by(|a, b| apart(a).total_cmp(&apart(b)));
    nearest.and_then(|c| floor.height(*c)).unwrap_or_default()
}
