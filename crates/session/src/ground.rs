//! Where a person can stand at a stop: rapier queries against the walkable ground and what rises from it.

use glam::{Vec2, Vec3};
use rapier3d::math::{Pose, Vector};
use rapier3d::parry::query::intersection_test;
use rapier3d::parry::shape::Capsule;
use rapier3d::prelude::{
    BroadPhaseBvh, ColliderBuilder, ColliderSet, CollisionPipeline, IslandManager, NarrowPhase, QueryFilter,
    QueryPipeline, Ray, RigidBodySet,
};
use tongyou_scene::{EYE_HEIGHT_M, Stop};

/// Half the width of a person, metres.
const RADIUS_M: f32 = 0.25;
/// Height of a person, metres.
const HEIGHT_M: f32 = 1.8;
/// What can not be walked on rises this high: a kerb, a bed, the base of a monument. It does not hide the sight.
const OBSTACLE_M: f32 = 1.0;
/// A step that a seat may lie above or below the ground under its neighbours.
const STEP_M: f32 = 0.3;

/// No ground of a stop lies higher above its origin, or deeper below.
const TOP_M: f32 = 1000.0;

const FLOOR: u128 = 0;
const OBSTACLE: u128 = 1;
/// An obstacle that carries what people came to see: it does not hide itself.
const SIGHT: u128 = 2;

/// The ground of one stop.
pub(crate) struct Ground {
    bodies: RigidBodySet,
    colliders: ColliderSet,
    broad_phase: BroadPhaseBvh,
    narrow_phase: NarrowPhase,
    look_at: Vec3,
}

impl Ground {
    pub(crate) fn new(stop: &Stop) -> Self {
        let look_at = stop.look_at();
        let mut colliders = ColliderSet::new();
        for area in &stop.walkable {
            let corners: Vec<Vec2> = area.outline.iter().copied().map(Vec2::from).collect();
            let (vertices, indices) = area.relief_mesh().unwrap_or_else(|| {
                let level = corners.iter().map(|c| Vec3::new(c.x, area.ground_m, c.y));
                (level.collect(), triangulate(&corners))
            });
            let vertices = vertices.into_iter().map(rapier).collect();
            // An outline without surface has no ground: nobody can stand there.
            if let Ok(floor) = ColliderBuilder::trimesh(vertices, indices) {
                colliders.insert(floor.user_data(FLOOR));
            }
            for hole in &area.holes {
                let corners: Vec<Vec2> = hole.iter().copied().map(Vec2::from).collect();
                let triangles = triangulate(&corners);
                let under_sight = triangles.iter().any(|t| {
                    let at = |i: usize| corners[t[i] as usize];
                    in_triangle(Vec2::new(look_at.x, look_at.z), at(0), at(1), at(2))
                });
                for triangle in &triangles {
                    let prism: Vec<Vector> = triangle
                        .iter()
                        .map(|&i| corners[i as usize])
                        .flat_map(|c| [-0.1, OBSTACLE_M].map(|height| Vector::new(c.x, area.ground_m + height, c.y)))
                        .collect();
                    if let Some(prism) = ColliderBuilder::convex_hull(&prism) {
                        colliders.insert(prism.user_data(if under_sight { SIGHT } else { OBSTACLE }));
                    }
                }
            }
        }
        let mut ground = Self {
            bodies: RigidBodySet::new(),
            colliders,
            broad_phase: BroadPhaseBvh::new(),
            narrow_phase: NarrowPhase::new(),
            look_at,
        };
        CollisionPipeline::new().step(
            0.0,
            &mut IslandManager::new(),
            &mut ground.broad_phase,
            &mut ground.narrow_phase,
            &mut ground.bodies,
            &mut ground.colliders,
            &(),
            &(),
        );
        ground
    }

    /// The place on the ground at or below `near` where a person can stand with the sight in view, or `None`.
    pub(crate) fn stand_at(&self, near: Vec3) -> Option<Vec3> {
        self.walk_to(near).filter(|place| self.sees(*place))
    }

    /// The highest ground at a point, or `None` where there is none.
    pub(crate) fn top(&self, x: f32, z: f32) -> Option<f32> {
        let from = Vec3::new(x, TOP_M, z);
        let ray = Ray::new(rapier(from), -Vector::Y);
        let is_floor = |_, c: &rapier3d::geometry::Collider| c.user_data == FLOOR;
        let (_, down) = self
            .query(QueryFilter::new().predicate(&is_floor))
            .cast_ray(&ray, 2.0 * TOP_M, true)?;
        Some(from.y - down)
    }

    /// The place on the ground at or below `near` where a person can stand, or `None`.
    pub(crate) fn walk_to(&self, near: Vec3) -> Option<Vec3> {
        let height = self.height(near)?;
        let rim = [Vec3::X, Vec3::NEG_X, Vec3::Z, Vec3::NEG_Z].map(|side| near + side * RADIUS_M);
        let firm = rim
            .iter()
            .all(|p| self.height(*p).is_some_and(|h| (h - height).abs() <= STEP_M));
        let place = Vec3::new(near.x, height, near.z);
        (firm && !self.bumps(place)).then_some(place)
    }

    fn height(&self, near: Vec3) -> Option<f32> {
        let from = near + Vec3::Y * (HEIGHT_M / 2.0);
        let ray = Ray::new(rapier(from), -Vector::Y);
        let is_floor = |_, c: &rapier3d::geometry::Collider| c.user_data == FLOOR;
        let (_, down) = self
            .query(QueryFilter::new().predicate(&is_floor))
            .cast_ray(&ray, 3.0, true)?;
        Some(from.y - down)
    }

    /// A person here would stand in something.
    fn bumps(&self, place: Vec3) -> bool {
        let person = Capsule::new_y(HEIGHT_M / 2.0 - RADIUS_M, RADIUS_M);
        // Lifted a little, so that the ground itself is not bumped into.
        let pose = Pose::from_translation(rapier(place + Vec3::Y * (HEIGHT_M / 2.0 + 0.05)));
        let is_obstacle = |_, c: &rapier3d::geometry::Collider| c.user_data != FLOOR;
        self.query(QueryFilter::new().predicate(&is_obstacle))
            .intersect_shape(pose, &person)
            .next()
            .is_some()
    }

    fn sees(&self, place: Vec3) -> bool {
        let eye = place + Vec3::Y * EYE_HEIGHT_M;
        let to_sight = self.look_at - eye;
        let Some(direction) = to_sight.try_normalize() else {
            return true;
        };
        let ray = Ray::new(rapier(eye), rapier(direction));
        let hides = |_, c: &rapier3d::geometry::Collider| c.user_data == OBSTACLE;
        self.query(QueryFilter::new().predicate(&hides))
            .cast_ray(&ray, to_sight.length() * 0.95, true)
            .is_none()
    }

    fn query<'a>(&'a self, filter: QueryFilter<'a>) -> QueryPipeline<'a> {
        self.broad_phase.as_query_pipeline(
            self.narrow_phase.query_dispatcher(),
            &self.bodies,
            &self.colliders,
            filter,
        )
    }
}

/// Whether people on two places would stand in each other.
pub(crate) fn people_overlap(a: Vec3, b: Vec3) -> bool {
    let person = Capsule::new_y(HEIGHT_M / 2.0 - RADIUS_M, RADIUS_M);
    let pose = |at: Vec3| Pose::from_translation(rapier(at));
    // Two capsules are always supported by parry.
    intersection_test(&pose(a), &person, &pose(b), &person).is_ok_and(|hit| hit.intersecting)
}

/// rapier has its own version of glam.
fn rapier(v: Vec3) -> Vector {
    Vector::new(v.x, v.y, v.z)
}

/// Ear clipping; an outline that crosses itself gives what triangles there are.
fn triangulate(corners: &[Vec2]) -> Vec<[u32; 3]> {
    let Ok(count) = u32::try_from(corners.len()) else {
        return Vec::new();
    };
    let at = |i: u32| corners[i as usize];
    let doubled_area: f32 = (0..count).map(|i| at(i).perp_dot(at((i + 1) % count))).sum();
    let mut left: Vec<u32> = if doubled_area < 0.0 {
        (0..count).rev().collect()
    } else {
        (0..count).collect()
    };
    let mut triangles = Vec::new();
    while left.len() > 2 {
        let n = left.len();
        let ear = (0..n).find(|&i| {
            let [a, b, c] = [left[(i + n - 1) % n], left[i], left[(i + 1) % n]];
            let convex = (at(b) - at(a)).perp_dot(at(c) - at(b)) > 0.0;
            let empty = || {
                left.iter()
                    .filter(|&&p| p != a && p != b && p != c)
                    .all(|&p| !in_triangle(at(p), at(a), at(b), at(c)))
            };
            convex && empty()
        });
        // Corners in one line have no ear between them, and are left out without loss.
        let i = ear.unwrap_or(0);
        if ear.is_some() {
            triangles.push([left[(i + n - 1) % n], left[i], left[(i + 1) % n]]);
        }
        left.remove(i);
    }
    triangles
}

fn in_triangle(p: Vec2, a: Vec2, b: Vec2, c: Vec2) -> bool {
    let sides = [(a, b), (b, c), (c, a)].map(|(from, to)| (to - from).perp_dot(p - from));
    sides.iter().all(|s| *s >= 0.0) || sides.iter().all(|s| *s <= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_person_stands_on_the_ground_and_not_in_things() {
        let mut stop = testing::stop("day");
        stop.walkable[0].ground_m = 0.5;
        let ground = Ground::new(&stop);
        assert_eq!(
            ground.stand_at(Vec3::new(0.0, 0.4, 20.0)),
            Some(Vec3::new(0.0, 0.5, 20.0))
        );
        assert_eq!(ground.stand_at(Vec3::new(0.0, 0.4, 0.0)), None, "in the hole");
        assert_eq!(ground.stand_at(Vec3::new(5.1, 0.4, 0.0)), None, "half in the hole");
        assert!(ground.stand_at(Vec3::new(5.4, 0.4, 0.0)).is_some());
        assert_eq!(ground.stand_at(Vec3::new(29.9, 0.4, 0.0)), None, "on the rim");
        assert_eq!(ground.stand_at(Vec3::new(40.0, 0.4, 0.0)), None, "outside");
        assert_eq!(ground.stand_at(Vec3::new(0.0, 9.0, 20.0)), None, "in the air");
    }

    #[test]
    fn what_rises_hides_a_low_sight() {
        let mut stop = testing::stop("day");
        stop.look_at = [0.0, 0.2, -25.0];
        let ground = Ground::new(&stop);
        // The hole of the square, 10 m across, rises to 1 m between the seat and a low sight behind it.
        assert_eq!(ground.stand_at(Vec3::new(0.0, 0.0, 20.0)), None);
        assert!(ground.stand_at(Vec3::new(20.0, 0.0, -20.0)).is_some());
        // What is looked at does not hide itself.
        stop.look_at = [0.0, 0.2, 0.0];
        assert!(Ground::new(&stop).stand_at(Vec3::new(0.0, 0.0, 20.0)).is_some());
    }

    #[test]
    fn triangles_cover_a_concave_outline_in_either_direction() {
        let mut corners: Vec<Vec2> = [[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]]
            .map(|[x, y]: [i16; 2]| Vec2::new(x.into(), y.into()))
            .into();
        for _ in 0..2 {
            let area: f32 = triangulate(&corners)
                .iter()
                .map(|t| {
                    let [a, b, c] = t.map(|i| corners[i as usize]);
                    (b - a).perp_dot(c - a).abs() / 2.0
                })
                .sum();
            assert!((area - 10.0).abs() < 1e-4, "{area}");
            corners.reverse();
        }
        assert!(triangulate(&[Vec2::ZERO; 5]).is_empty());
    }

    #[test]
    fn people_keep_apart() {
        assert!(people_overlap(Vec3::ZERO, Vec3::new(0.3, 0.0, 0.3)));
        assert!(!people_overlap(Vec3::ZERO, Vec3::new(0.4, 0.0, 0.4)));
    }
}
