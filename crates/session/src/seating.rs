//! Who stands where at one stop, and which vantages that takes.

use std::collections::{BTreeMap, BTreeSet};

use glam::{Vec3, Vec3Swizzles};
use tongyou_protocol::control::{Placement, PlacementKind};
use tongyou_protocol::{HeadsetId, VantageId};
use tongyou_scene::{EYE_HEIGHT_M, Seat, Stop, guide_seat, seats};

use crate::ground::{Ground, people_overlap};

/// The places of one stop on which people can stand.
pub(crate) struct Hall {
    pub(crate) look_at: Vec3,
    pub(crate) cells: Vec<HallCell>,
    pub(crate) ground: Ground,
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
        Self { look_at, cells, ground }
    }

    /// Cells, the nearest to a point on the map first.
    pub(crate) fn by_distance(&self, to: Vec3) -> Vec<usize> {
        let mut cells: Vec<usize> = (0..self.cells.len()).collect();
        cells.sort_by(|a, b| {
            let away_m = |cell: usize| (self.cells[cell].point - to).xz().length();
            away_m(*a).total_cmp(&away_m(*b))
        });
        cells
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
    /// Towards the sight; off the cells where the wearer meant to look.
    pub(crate) yaw: f32,
    number: Number,
}

impl Place {
    /// The cell through whose panorama the person looks; `None` for who has a view of their own.
    pub(crate) fn looks_from(&self) -> Option<usize> {
        (self.number != Number::Own).then_some(self.cell)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Number {
    Guide,
    Of(usize),
    /// There is no ground for so many: shares the best seat of the cell.
    Shared,
    /// Off the cells, with a view of their own; the cell is the nearest.
    Own,
}

/// What a stop has to be rendered from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs {
    pub(crate) cells: BTreeSet<usize>,
    /// Who has a view of their own.
    pub(crate) own: BTreeSet<HeadsetId>,
    /// The spectators' camera.
    pub(crate) flat: bool,
}

/// Hands out vantage ids, each fresh until all have been used.
#[derive(Debug, Clone, Default)]
pub(crate) struct VantageIds(u16);

impl VantageIds {
    pub(crate) fn next(&mut self, in_use: impl Fn(VantageId) -> bool) -> VantageId {
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
    /// Of those who have a view of their own.
    own: BTreeMap<HeadsetId, VantageId>,
    /// The spectators' camera.
    flat: Option<VantageId>,
}

impl Stand {
    pub(crate) const fn new(epoch: u32, stop: usize) -> Self {
        Self {
            epoch,
            stop,
            places: BTreeMap::new(),
            vantages: BTreeMap::new(),
            own: BTreeMap::new(),
            flat: None,
        }
    }

    /// Finds a place where a group arrives, the guide's own for who leads, else the nearest cell with a free seat in
    /// the order of the tour.
    pub(crate) fn arrive(&mut self, hall: &Hall, who: HeadsetId, leads: bool) {
        let found = (0..hall.cells.len()).find_map(|cell| self.free(hall, cell, leads && cell == 0));
        self.places.insert(who, found.unwrap_or_else(|| shared(hall, 0)));
    }

    /// Finds a seat at the cell nearest to a point that has one; who has one there keeps it.
    pub(crate) fn settle_near(&mut self, hall: &Hall, who: HeadsetId, point: Vec3, leads: bool) {
        let cells = hall.by_distance(point);
        let before = self.places.remove(&who);
        let keeps = |cell: usize| before.filter(|p| p.looks_from() == Some(cell));
        let found = cells
            .iter()
            .find_map(|cell| keeps(*cell).or_else(|| self.free(hall, *cell, leads)));
        let nearest = cells.first().copied().unwrap_or_default();
        self.places.insert(who, found.unwrap_or_else(|| shared(hall, nearest)));
    }

    /// Puts a person off the cells; the next [`Self::refresh_vantages`] gives them a fresh vantage.
    pub(crate) fn stand_off(&mut self, hall: &Hall, who: HeadsetId, seat: Vec3, yaw: f32) {
        let place = Place {
            cell: hall.by_distance(seat).first().copied().unwrap_or_default(),
            seat,
            yaw,
            number: Number::Own,
        };
        self.places.insert(who, place);
        self.own.remove(&who);
    }

    /// Whether nobody but `who` stands so near that the two would stand in each other.
    pub(crate) fn is_clear(&self, who: HeadsetId, at: Vec3) -> bool {
        let mut others = self.places.iter().filter(|(id, _)| **id != who);
        others.all(|(_, p)| !people_overlap(p.seat, at))
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

    /// The cells through which some people look.
    pub(crate) fn cells_of(&self, people: impl Iterator<Item = HeadsetId>) -> BTreeSet<usize> {
        people.filter_map(|who| self.place(who)?.looks_from()).collect()
    }

    /// Keeps a vantage for what is needed, and for nothing else. `taken` names ids that are in use elsewhere.
    pub(crate) fn refresh_vantages(&mut self, needs: &Needs, ids: &mut VantageIds, taken: impl Fn(VantageId) -> bool) {
        self.vantages.retain(|cell, _| needs.cells.contains(cell));
        self.own.retain(|who, _| needs.own.contains(who));
        self.flat = self.flat.filter(|_| needs.flat);
        for cell in &needs.cells {
            if !self.vantages.contains_key(cell) {
                let id = ids.next(|id| self.uses(id) || taken(id));
                self.vantages.insert(*cell, id);
            }
        }
        for who in &needs.own {
            if !self.own.contains_key(who) {
                let id = ids.next(|id| self.uses(id) || taken(id));
                self.own.insert(*who, id);
            }
        }
        if needs.flat && self.flat.is_none() {
            self.flat = Some(ids.next(|id| self.uses(id) || taken(id)));
        }
    }

    pub(crate) fn vantages(&self) -> impl Iterator<Item = (usize, VantageId)> {
        self.vantages.iter().map(|(cell, id)| (*cell, *id))
    }

    /// Views of their own.
    pub(crate) fn own_vantages(&self) -> impl Iterator<Item = (HeadsetId, VantageId)> {
        self.own.iter().map(|(who, id)| (*who, *id))
    }

    pub(crate) const fn flat_vantage(&self) -> Option<VantageId> {
        self.flat
    }

    pub(crate) fn vantage_of(&self, cell: usize) -> Option<VantageId> {
        self.vantages.get(&cell).copied()
    }

    /// What a headset is told about its place. Its cell has a vantage once [`Self::refresh_vantages`] ran.
    pub(crate) fn placement(&self, who: HeadsetId) -> Option<Placement> {
        let place = self.place(who)?;
        let (vantage, kind) = match place.looks_from() {
            Some(cell) => (self.vantages.get(&cell)?, PlacementKind::Seat),
            None => (self.own.get(&who)?, PlacementKind::Roaming),
        };
        Some(Placement {
            epoch: self.epoch,
            cell: u32::try_from(place.cell).unwrap_or(u32::MAX),
            vantage: vantage.0.into(),
            seat: Some(place.seat.into()),
            yaw: place.yaw,
            kind: kind.into(),
        })
    }

    /// What a spectator is told: its camera stands where a group arrives.
    pub(crate) fn watching(&self, hall: &Hall) -> Option<Placement> {
        let eye = hall.cells.first()?.point;
        let floor = hall.ground.walk_to(eye).unwrap_or(eye - Vec3::Y * EYE_HEIGHT_M);
        Some(Placement {
            epoch: self.epoch,
            cell: 0,
            vantage: self.flat?.0.into(),
            seat: Some(floor.into()),
            yaw: yaw_towards(hall.look_at - eye),
            kind: PlacementKind::Watching.into(),
        })
    }

    pub(crate) fn uses(&self, id: VantageId) -> bool {
        let all = self.vantages.values().chain(self.own.values()).chain(&self.flat);
        all.into_iter().any(|v| *v == id)
    }

    fn free(&self, hall: &Hall, cell: usize, guide: bool) -> Option<Place> {
        let at = hall.cells.get(cell)?;
        let taken: BTreeSet<Number> = self
            .places
            .values()
            .filter(|p| p.looks_from() == Some(cell))
            .map(|p| p.number)
            .collect();
        // The seats of one cell keep apart by themselves; those of neighbouring cells may lie on the same ground.
        let clear = |seat: &Seat| {
            self.places
                .values()
                .filter(|p| p.looks_from() != Some(cell))
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

/// The best seat of a cell, which others have too.
fn shared(hall: &Hall, cell: usize) -> Place {
    let at = &hall.cells[cell];
    let seat = at.seats.first().map_or(at.point, |s| s.position);
    Place {
        cell,
        seat,
        yaw: yaw_towards(hall.look_at - seat),
        number: Number::Shared,
    }
}

/// Heading counter-clockwise from −Z about +Y.
pub(crate) fn yaw_towards(direction: Vec3) -> f32 {
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
        let refresh = |stand: &mut Stand, ids: &mut VantageIds| {
            let needs = Needs {
                cells: stand.cells_of([who].into_iter()),
                ..Needs::default()
            };
            stand.refresh_vantages(&needs, ids, |_| false);
        };
        stand.arrive(&hall, who, false);
        refresh(&mut stand, &mut ids);
        let first = stand.placement(who).unwrap();
        assert!(stand.move_to(&hall, who, 1, false));
        refresh(&mut stand, &mut ids);
        assert_eq!(stand.vantages().count(), 1);
        assert!(stand.move_to(&hall, who, 0, false));
        refresh(&mut stand, &mut ids);
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
