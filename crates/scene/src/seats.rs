//! Where people stand around a cell: everyone sees from the cell's eye, the avatars stand on seats around it.

use glam::{Quat, Vec2, Vec3};
use serde::{Deserialize, Serialize};

use crate::Cell;

/// Height of a cell's eye above the ground that people stand on, in metres.
pub const EYE_HEIGHT_M: f32 = 1.6;

/// No seat lies nearer to the cell's eye than this, so that nobody's avatar stands in the shared view.
const CLEAR_M: f32 = 0.95;
/// How much the ends of a row curve towards the sight, so that neighbours come into view.
const CURVE_PER_M: f32 = 0.08;
/// How far the guide stands in front of the group.
const GUIDE_AHEAD_M: f32 = 2.6;

/// How a group stands: rows across the line to the sight, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Formation {
    /// Rows, the first level with the eye and the others behind it.
    pub rows: u32,
    /// Metres between neighbours and between rows.
    pub spacing_m: f32,
}

impl Default for Formation {
    fn default() -> Self {
        Self {
            rows: 4,
            spacing_m: 1.1,
        }
    }
}

/// A place to stand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seat {
    /// On the ground, stop-local metres.
    pub position: Vec3,
    /// Turns −Z, where an avatar looks, towards the sight. A rotation about Y only.
    pub facing: Quat,
}

/// `count` seats of a cell, best first (nearest to the middle), all facing `look_at`. The order is fixed: seat *n*
/// does not move when more people come.
#[must_use]
pub fn seats(cell: &Cell, look_at: Vec3, count: usize) -> Vec<Seat> {
    let (forward, right) = axes(cell, look_at);
    let spacing = cell.formation.spacing_m;
    let rows = cell.formation.rows.max(1) as usize;
    // Wide enough for `count` even if the clear circle swallowed a few seats of every row.
    let half = count.div_ceil(rows) / 2 + 3;
    let mut places: Vec<(f32, Vec2)> = Vec::new();
    for row in 0..rows {
        // Odd rows are shifted by half a seat, so that people look between the heads in front.
        let shift = if row % 2 == 1 { 0.5 } else { 0.0 };
        for column in 0..=2 * half {
            let across = (column as f32 - half as f32 + shift) * spacing;
            let along = across.abs().min(4.0) * across.abs() * CURVE_PER_M - row as f32 * spacing;
            let place = Vec2::new(across, along);
            if place.length() >= CLEAR_M {
                // A tie between left and right goes to the right.
                places.push((place.length() - across.signum() * 1e-3, place));
            }
        }
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    let middle = ground(cell);
    let stand = |place: Vec2| {
        let position = middle + right * place.x + forward * place.y;
        Seat {
            position,
            facing: facing(look_at - position, forward),
        }
    };
    places.into_iter().take(count).map(|(_, place)| stand(place)).collect()
}

/// Where the guide stands: ahead of the group and to the left of the line to the sight, facing the group.
#[must_use]
pub fn guide_seat(cell: &Cell, look_at: Vec3) -> Seat {
    let (forward, right) = axes(cell, look_at);
    let position = ground(cell) + forward * GUIDE_AHEAD_M - right * GUIDE_AHEAD_M * 0.55;
    Seat {
        position,
        facing: facing(ground(cell) - position, -forward),
    }
}

fn ground(cell: &Cell) -> Vec3 {
    Vec3::from(cell.eye) - Vec3::Y * EYE_HEIGHT_M
}

/// Horizontal directions towards the sight and to the right of it; north where the sight is straight above.
fn axes(cell: &Cell, look_at: Vec3) -> (Vec3, Vec3) {
    let towards = (look_at - Vec3::from(cell.eye)) * Vec3::new(1.0, 0.0, 1.0);
    let forward = towards.try_normalize().unwrap_or(Vec3::NEG_Z);
    (forward, forward.cross(Vec3::Y))
}

fn facing(towards: Vec3, otherwise: Vec3) -> Quat {
    let flat = (towards * Vec3::new(1.0, 0.0, 1.0))
        .try_normalize()
        .unwrap_or(otherwise);
    Quat::from_rotation_y((-flat.x).atan2(-flat.z))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell() -> Cell {
        Cell {
            id: "c".into(),
            eye: [3.0, 1.6, 20.0],
            radius_m: 2.0,
            formation: Formation::default(),
        }
    }

    #[test]
    fn seats_face_the_sight_keep_apart_and_keep_clear_of_the_eye() {
        let look_at = Vec3::new(0.0, 12.0, 0.0);
        for count in [0, 1, 2, 20, 60, 200] {
            let all = seats(&cell(), look_at, count);
            assert_eq!(all.len(), count);
            for (i, seat) in all.iter().enumerate() {
                let ahead = seat.facing * Vec3::NEG_Z;
                let wanted = ((look_at - seat.position) * Vec3::new(1.0, 0.0, 1.0)).normalize();
                assert!(ahead.dot(wanted) > 0.9999, "seat {i} looks {ahead}, sight is {wanted}");
                assert!(seat.position.y.abs() < 1e-5);
                let eye = Vec3::new(3.0, 0.0, 20.0);
                assert!(seat.position.distance(eye) >= CLEAR_M - 1e-4);
                for other in &all[..i] {
                    assert!(
                        seat.position.distance(other.position) > 0.9,
                        "seats {i} stand too close"
                    );
                }
            }
        }
    }

    #[test]
    fn a_seat_stays_where_it_is_when_more_people_come() {
        let look_at = Vec3::new(0.0, 12.0, 0.0);
        let few = seats(&cell(), look_at, 5);
        assert_eq!(few, seats(&cell(), look_at, 48)[..5]);
    }

    #[test]
    fn a_sight_straight_above_still_gives_seats() {
        let seats = seats(&cell(), Vec3::new(3.0, 50.0, 20.0), 8);
        assert!(seats.iter().all(|s| s.position.is_finite() && s.facing.is_finite()));
    }

    #[test]
    fn the_guide_faces_the_group() {
        let seat = guide_seat(&cell(), Vec3::ZERO);
        let to_group = (Vec3::new(3.0, 0.0, 20.0) - seat.position).normalize();
        assert!((seat.facing * Vec3::NEG_Z).dot(to_group) > 0.999);
        assert!(seat.position.z < 20.0, "ahead of the group, which looks north");
    }
}
