//! Standing off the cells: anywhere on the stop's floor, with a view of one's own while there is room for it.

use glam::Vec3;
use tongyou_protocol::control::{MoveTo, MoveToCell, RefusedReason, server_message::Body};
use tongyou_protocol::{HeadsetId, ServerTime};

use crate::Level;
use crate::seating::Place;
use crate::session::{Context, Session, index};

/// Nearer to a cell's eye than this one means the cell, metres.
const AT_CELL_M: f32 = 0.5;
/// Poses reach 65 m from their origin, and who stands may lean: farther from it nobody stands, metres.
const POSES_REACH_M: f32 = 60.0;
const NO_ROOM: &str = "there is no room for a view of your own now; you stand at the nearest place";

/// Where somebody stands off the cells, or waits to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roam {
    /// On the floor.
    seat: Vec3,
    yaw: f32,
    /// Since when the wearer has waited for a view there.
    since: ServerTime,
}

impl Session {
    pub(crate) fn move_to(&mut self, ctx: &mut Context<'_>, who: HeadsetId, to: MoveTo) -> Result<(), String> {
        if to.epoch != self.stand.epoch {
            return Err(format!(
                "the group is not at that stop: epoch {}, not {}",
                self.stand.epoch, to.epoch
            ));
        }
        if ![to.x, to.z, to.heading].iter().all(|v| v.is_finite()) {
            return Err(format!("{} {} {} is no place", to.x, to.z, to.heading));
        }
        if self.change.is_some() {
            return Err("the group is about to go to another stop".to_owned());
        }
        let hall = &self.halls[self.stand.stop];
        let wanted = Vec3::new(to.x, 0.0, to.z);
        let near = |cell: &usize| {
            let eye = hall.cells[*cell].point;
            (eye.x - to.x).hypot(eye.z - to.z) <= AT_CELL_M
        };
        if let Some(cell) = hall.by_distance(wanted).first().filter(|cell| near(cell)) {
            let (epoch, cell) = (to.epoch, index(*cell));
            return self.move_to_cell(ctx, who, MoveToCell { epoch, cell });
        }
        let before = self.stand.place(who).copied();
        // The floor at the wearer's height, where there are several.
        let levels = [before.map(|p| p.seat.y), hall.ground.top(to.x, to.z)];
        let mut places = levels.iter().flatten().map(|y| Vec3::new(to.x, *y, to.z));
        let seat = places
            .find_map(|place| hall.ground.walk_to(place))
            .ok_or("nobody can stand there")?;
        let from_origin = (seat - self.origins[self.stand.stop]).abs();
        if from_origin.max_element() > POSES_REACH_M {
            return Err("that is too far from the middle of this stop".to_owned());
        }
        if !self.stand.is_clear(who, seat) {
            return Err("somebody stands there".to_owned());
        }
        let Some(person) = self.people.get_mut(&who) else {
            return Ok(());
        };
        if !person.moves.take(ctx.now) {
            return Err("you move too often".to_owned());
        }
        person.roam = Some(Roam {
            seat,
            yaw: to.heading.rem_euclid(std::f32::consts::TAU),
            since: ctx.now,
        });
        let holder = (self.key, who);
        let held = ctx.budget.holds(holder);
        if held || ctx.budget.may_grant(ctx.now, &ctx.config.budget) {
            if !held {
                ctx.budget.grant(ctx.now, holder);
            }
            self.stand_off(ctx, who);
        } else {
            self.stand_near(ctx, who);
        }
        Ok(())
    }

    /// Who has waited for a view of their own for longest, and since when.
    pub(crate) fn waits_longest(&self) -> Option<(ServerTime, HeadsetId)> {
        if self.change.is_some() {
            return None;
        }
        let waits = self.people.iter().filter_map(|(id, person)| {
            let roam = person.roam?;
            let seated = self.stand.place(*id)?.looks_from().is_some();
            (seated && self.stand.is_clear(*id, roam.seat)).then_some((roam.since, *id))
        });
        waits.min()
    }

    /// Gives somebody who waits a view of their own, where they wanted to stand.
    pub(crate) fn give_view(&mut self, ctx: &mut Context<'_>, who: HeadsetId) {
        ctx.budget.grant(ctx.now, (self.key, who));
        self.log(ctx, Level::Info, &format!("headset {who} gets a view of its own"));
        self.stand_off(ctx, who);
    }

    /// Takes it away: the renderer has too much to do.
    pub(crate) fn take_view(&mut self, ctx: &mut Context<'_>, who: HeadsetId) {
        ctx.budget.release(ctx.now, (self.key, who));
        self.log(ctx, Level::Info, &format!("headset {who} loses its view: load is high"));
        if let Some(person) = self.people.get_mut(&who) {
            if let Some(roam) = &mut person.roam {
                roam.since = ctx.now;
            }
            self.stand_near(ctx, who);
        }
    }

    /// Somebody who stood off the cells is back: there again, if there is room. `false` when there is none.
    pub(crate) fn roam_again(&mut self, ctx: &mut Context<'_>, who: HeadsetId) -> bool {
        let Some(place) = self.stand.place(who).filter(|p| p.looks_from().is_none()) else {
            return true;
        };
        let (seat, holder) = (place.seat, (self.key, who));
        if ctx.budget.holds(holder) {
            return true;
        }
        let room = ctx.budget.may_grant(ctx.now, &ctx.config.budget);
        if room {
            ctx.budget.grant(ctx.now, holder);
        } else {
            let leads = self.leads(who);
            self.stand.settle_near(&self.halls[self.stand.stop], who, seat, leads);
        }
        room
    }

    pub(crate) fn tell_no_room(&self, ctx: &mut Context<'_>, who: HeadsetId) {
        if let Some(person) = self.people.get(&who) {
            ctx.out.notice(person.link, RefusedReason::RefusedNoRoom, NO_ROOM);
        }
    }

    /// Puts somebody who has been granted a view where they want to stand.
    fn stand_off(&mut self, ctx: &mut Context<'_>, who: HeadsetId) {
        let Some(roam) = self.people.get(&who).and_then(|p| p.roam) else {
            return;
        };
        let before = self.stand.place(who).copied();
        let hall = &self.halls[self.stand.stop];
        self.stand.stand_off(hall, who, roam.seat, roam.yaw);
        self.moved(ctx, who, before);
    }

    /// Puts somebody at the cell nearest to where they want to stand, and tells them why.
    fn stand_near(&mut self, ctx: &mut Context<'_>, who: HeadsetId) {
        let Some(roam) = self.people.get(&who).and_then(|p| p.roam) else {
            return;
        };
        let before = self.stand.place(who).copied();
        let leads = self.leads(who);
        let hall = &self.halls[self.stand.stop];
        self.stand.settle_near(hall, who, roam.seat, leads);
        self.tell_no_room(ctx, who);
        self.moved(ctx, who, before);
    }

    /// What follows when somebody has another place than `before`, and the answer to them in any case.
    pub(crate) fn moved(&mut self, ctx: &mut Context<'_>, who: HeadsetId, before: Option<Place>) {
        if self.stand.place(who).copied() != before {
            self.leave_place(ctx.now, who, before);
            self.refresh_vantages();
            self.note_roster_change();
        }
        if let (Some(placement), Some(person)) = (self.stand.placement(who), self.people.get(&who)) {
            ctx.out.send(person.link, Body::Placement(placement));
        }
    }
}
