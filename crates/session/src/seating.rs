//! Who stands where at one stop, and which vantages that takes.

use std::collections::{BTreeMap, BTreeSet};

use glam::Vec3;
use tongyou_protocol::control::Placement;
use tongyou_protocol::{HeadsetId, VantageId};
use tongyou_scene::{Seat, Stop, guide_seat, seats};

use crate::ground::{Ground, people_overlap};

/// The places of one stop on which people can stand.
#[derive(Debug, Clone)]
pub(crate) struct Hall {
    pub(crate) look_at: Vec3,
    pub(crate) cells: Vec<HallCell>,
}

#[derive(Debug, Clone)]
pub(crate) struct HallCell {
    /// The rendered point.
    pub(crate) point: Vec3,
    /// Best first, on real ground, with the sight in view.
    seats: Vec<Seat>,
    /// Ahead of the group, where there is ground.
    guide: Option<Seat>,
}

impl Hall {
    /// Finds places for `capacity` people at each cell of a stop, where there is ground for so many.
    pub(crate) fn new(stop: &Stop, capacity: u16) -> Self {
        let ground = Ground::new(stop);
        let look_at = stop.look_at();
        let grounded = |seat: Seat| {
            let position = ground.stand_at(seat.position)?;
            Some(Seat { position, ..seat })
        };
        // Some candidates lie on no ground, or where the guide stands.
        let candidates = usize::from(capacity) * 2 + 16;
        let cells = stop
            .cells
            .iter()
            .map(|cell| {
                let guide = grounded(guide_seat(cell, look_at));
                let free = |s: &Seat| guide.is_none_or(|g| !people_overlap(g.position, s.position));
                HallCell {
                    point: cell.eye.into(),
                    seats: seats(cell, look_at, candidates)
                        .into_iter()
                        .filter_map(grounded)
                        .filter(free)
                        .take(capacity.into())
                        .collect(),
                    guide,
                }
            })
            .collect();
        Self { look_at, cells }
    }

    /// People for whom there are seats in all cells together.
    pub(crate) fn seat_count(&self) -> usize {
        self.cells.iter().map(|c| c.seats.len()).sum()
    }
}

/// A person's place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) cell: usize,
    /// On the ground.
    pub(crate) seat: Vec3,
    /// Towards the sight.
    yaw: f32,
    number: Number,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    Guide,
    Of(usize),
    /// There is no ground for so many: shares the best seat of the cell.
    Shared,
}

/// Hands out vantage ids, each fresh until all have been used.
#[derive(Debug, Clone, Default)]
pub(crate) struct VantageIds(u16);

impl VantageIds {
    fn next(&mut self, in_use: impl Fn(VantageId) -> bool) -> VantageId {
        loop {
            self.0 = self.0.wrapping_add(1);
            if !in_use(VantageId(self.0)) {
                return VantageId(self.0);
            }
        }
    }
}

/// One stop, shown or being prepared, with everyone on it.
#[derive(Debug, Clone)]
pub(crate) struct Stand {
    pub(crate) epoch: u32,
    pub(crate) stop: usize,
    places: BTreeMap<HeadsetId, Place>,
    /// By cell.
    vantages: BTreeMap<usize, VantageId>,
}

impl Stand {
    pub(crate) const fn new(epoch: u32, stop: usize) -> Self {
        Self {
            epoch,
            stop,
            places: BTreeMap::new(),
            vantages: BTreeMap::new(),
        }
    }

    /// Finds a place where a group arrives, the guide's own for who leads, else the nearest cell with a free seat in
    /// the order of the tour.
    pub(crate) fn arrive(&mut self, hall: &Hall, who: HeadsetId, leads: bool) {
        let found = (0..hall.cells.len()).find_map(|cell| self.free(hall, cell, leads && cell == 0));
        let place = found.unwrap_or_else(|| {
            let cell = &hall.cells[0];
            let seat = cell.seats.first().map_or(cell.point, |s| s.position);
            Place {
                cell: 0,
                seat,
                yaw: yaw_towards(hall.look_at - seat),
                number: Number::Shared,
            }
        });
        self.places.insert(who, place);
    }

    /// Moves a person to another cell; `false` when no seat is free there.
    pub(crate) fn move_to(&mut self, hall: &Hall, who: HeadsetId, cell: usize, leads: bool) -> bool {
        // Nobody is in his own way.
        let before = self.places.remove(&who);
        let place = self.free(hall, cell, leads);
        if let Some(next) = place.or(before) {
            self.places.insert(who, next);
        }
        place.is_some()
    }

    pub(crate) fn vacate(&mut self, who: HeadsetId) {
        self.places.remove(&who);
    }

    pub(crate) fn place(&self, who: HeadsetId) -> Option<&Place> {
        self.places.get(&who)
    }

    /// Keeps a vantage for each cell in which one of `present` stands and for the cells `ahead`, and for no other.
    pub(crate) fn refresh_vantages(
        &mut self,
        present: impl Iterator<Item = HeadsetId>,
        ahead: impl Iterator<Item = usize>,
        ids: &mut VantageIds,
        others: Option<&Self>,
    ) {
        let stood_at = present.filter_map(|who| Some(self.place(who)?.cell));
        let wanted: BTreeSet<usize> = stood_at.chain(ahead).collect();
        self.vantages.retain(|cell, _| wanted.contains(cell));
        for cell in wanted {
            if !self.vantages.contains_key(&cell) {
                let id = ids.next(|id| self.uses(id) || others.is_some_and(|o| o.uses(id)));
                self.vantages.insert(cell, id);
            }
        }
    }

    pub(crate) fn vantages(&self) -> impl Iterator<Item = (usize, VantageId)> {
        self.vantages.iter().map(|(cell, id)| (*cell, *id))
    }

    pub(crate) fn vantage_of(&self, cell: usize) -> Option<VantageId> {
        self.vantages.get(&cell).copied()
    }

    /// What a headset is told about its place. Its cell has a vantage once [`Self::refresh_vantages`] ran.
    pub(crate) fn placement(&self, who: HeadsetId) -> Option<Placement> {
        let place = self.place(who)?;
        Some(Placement {
            epoch: self.epoch,
            cell: u32::try_from(place.cell).unwrap_or(u32::MAX),
            vantage: self.vantages.get(&place.cell)?.0.into(),
            seat: Some(place.seat.into()),
            yaw: place.yaw,
            kind: 0,
        })
    }

    fn uses(&self, id: VantageId) -> bool {
        self.vantages.values().any(|v| *v == id)
    }

    fn free(&self, hall: &Hall, cell: usize, guide: bool) -> Option<Place> {
        let at = hall.cells.get(cell)?;
        let taken: BTreeSet<Number> = self
            .places
            .values()
            .filter(|p| p.cell == cell)
            .map(|p| p.number)
            .collect();
        // The seats of one cell keep apart by themselves; those of neighbouring cells may lie on the same ground.
        let clear = |seat: &Seat| {
            self.places
                .values()
                .filter(|p| p.cell != cell)
                .all(|p| !people_overlap(p.seat, seat.position))
        };
        let make = |seat: &Seat, number| Place {
            cell,
            seat: seat.position,
            yaw: yaw_towards(hall.look_at - seat.position),
            number,
        };
        if let Some(seat) = at.guide.as_ref()
            && guide
            && !taken.contains(&Number::Guide)
            && clear(seat)
        {
            return Some(make(seat, Number::Guide));
        }
        at.seats
            .iter()
            .enumerate()
            .find(|(i, seat)| !taken.contains(&Number::Of(*i)) && clear(seat))
            .map(|(i, seat)| make(seat, Number::Of(i)))
    }
}

/// Heading counter-clockwise from −Z about +Y.
fn yaw_towards(direction: Vec3) -> f32 {
    if direction.x == 0.0 && direction.z == 0.0 {
        0.0
    } else {
        (-direction.x).atan2(-direction.z)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn everyone_gets_an_own_place_on_the_ground_and_the_rest_share() {
        let stop = testing::stop("day");
        let hall = Hall::new(&stop, 60);
        let mut stand = Stand::new(1, 0);
        for i in 0..200 {
            stand.arrive(&hall, HeadsetId(i), i == 0);
        }
        let own: Vec<Place> = stand
            .places
            .values()
            .filter(|p| p.number != Number::Shared)
            .copied()
            .collect();
        assert_eq!(own.len(), hall.seat_count() + 1, "all seats and the guide's");
        assert!(own.len() > 150, "{}", own.len());
        for (i, a) in own.iter().enumerate() {
            assert!((stop.ground_m(a.seat.x, a.seat.z).unwrap() - a.seat.y).abs() < 1e-4);
            for b in &own[..i] {
                assert!(!people_overlap(a.seat, b.seat), "{a:?} {b:?}");
            }
        }
        assert_eq!(stand.place(HeadsetId(0)).unwrap().number, Number::Guide);
    }

    #[test]
    fn neighbouring_cells_do_not_share_ground() {
        let mut stop = testing::stop("day");
        stop.cells[1].eye = [0.4, 1.6, 20.2];
        let hall = Hall::new(&stop, 30);
        let mut stand = Stand::new(1, 0);
        for i in 0..40 {
            let cell = usize::from(i % 2);
            assert!(i > 20 || stand.move_to(&hall, HeadsetId(i), cell, false), "{i}");
        }
        let places: Vec<&Place> = stand.places.values().collect();
        for (i, a) in places.iter().enumerate() {
            assert!(places[..i].iter().all(|b| !people_overlap(a.seat, b.seat)));
        }
    }

    #[test]
    fn a_vantage_lives_as_long_as_its_cell_is_occupied() {
        let hall = Hall::new(&testing::stop("day"), 4);
        let mut ids = VantageIds::default();
        let mut stand = Stand::new(1, 0);
        let who = HeadsetId(1);
        stand.arrive(&hall, who, false);
        stand.refresh_vantages([who].into_iter(), std::iter::empty(), &mut ids, None);
        let first = stand.placement(who).unwrap();
        assert!(stand.move_to(&hall, who, 1, false));
        stand.refresh_vantages([who].into_iter(), std::iter::empty(), &mut ids, None);
        assert_eq!(stand.vantages().count(), 1);
        assert!(stand.move_to(&hall, who, 0, false));
        stand.refresh_vantages([who].into_iter(), std::iter::empty(), &mut ids, None);
        let again = stand.placement(who).unwrap();
        assert_eq!((first.cell, first.seat), (again.cell, again.seat));
        assert_ne!(first.vantage, again.vantage, "ids are fresh");
    }

    #[test]
    fn ids_in_use_are_skipped_when_they_wrap() {
        let mut ids = VantageIds(u16::MAX - 1);
        assert_eq!(ids.next(|_| false), VantageId(u16::MAX));
        assert_eq!(ids.next(|id| id.0 == 0), VantageId(1));
    }

    #[test]
    fn yaw_turns_minus_z_towards_the_sight() {
        for sight in [Vec3::new(3.0, 1.0, -2.0), Vec3::new(-5.0, 0.0, 4.0), Vec3::Z] {
            let ahead = glam::Quat::from_rotation_y(yaw_towards(sight)) * Vec3::NEG_Z;
            let wanted = (sight * Vec3::new(1.0, 0.0, 1.0)).normalize();
            assert!(ahead.distance(wanted) < 1e-5, "{ahead} {wanted}");
        }
        assert_eq!(yaw_towards(Vec3::Y), 0.0);
    }
}
