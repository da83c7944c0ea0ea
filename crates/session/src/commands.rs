//! What a headset that is in says.

use std::time::Duration;

use glam::Vec3;
use tongyou_protocol::control::{GuideCommand, MoveToCell, Ready, RefusedReason, client_message, guide_command};
use tongyou_protocol::datagram::Pose;
use tongyou_protocol::{HeadsetId, ServerTime};
use tongyou_scene::EYE_HEIGHT_M;

use crate::change::Going;
use crate::pose::{Offence, in_reach};
use crate::seating::Place;
use crate::session::{Context, Former, Session, index};
use crate::{Level, Output};

/// For so long a headset may not have heard that it was moved; two round trips where those take longer.
const NEWS: Duration = Duration::from_secs(1);
/// But not for longer than this.
const NEWS_MAX: Duration = Duration::from_secs(4);

impl Session {
    /// Takes a control message. `Err` tells the sender, and the log, why it was refused.
    pub(crate) fn control(
        &mut self,
        ctx: &mut Context<'_>,
        who: HeadsetId,
        message: client_message::Body,
    ) -> Result<(), (RefusedReason, String)> {
        use client_message::Body;
        match message {
            Body::Hello(_) => Err((RefusedReason::RefusedMalformed, "you are in already".to_owned())),
            Body::Ready(ready) => {
                self.ready(who, ready);
                Ok(())
            }
            Body::MoveToCell(to) => self.move_to_cell(ctx, who, to).map_err(not_allowed),
            Body::MoveTo(to) => self.move_to(ctx, who, to).map_err(not_allowed),
            Body::Preview(to) => self.preview(ctx, who, to).map_err(not_allowed),
            Body::LookAhead(to) => self.look_ahead(ctx, who, to).map_err(not_allowed),
            Body::Guide(command) => self.guide(ctx, who, &command).map_err(not_allowed),
            Body::Skew(report) => {
                if report.epoch == self.stand.epoch {
                    self.note_skew(ctx.now, who, report.applied_us);
                }
                let session = self.key;
                ctx.out.push(Output::Skew {
                    session,
                    headset: who,
                    report,
                });
                Ok(())
            }
            // The registry, which knows the link, lets people leave.
            Body::Leave(_) => Ok(()),
        }
    }

    /// Takes a pose; one of another stop is ignored.
    pub(crate) fn pose(&mut self, ctx: &mut Context<'_>, who: HeadsetId, pose: &Pose) -> Result<(), Offence> {
        let (Some(place), Some(person)) = (self.stand.place(who), self.people.get_mut(&who)) else {
            return Ok(());
        };
        if u32::from(pose.epoch) != self.stand.epoch & 0xffff {
            ctx.counters.poses_stale += 1;
            return Ok(());
        }
        let eye = eye_of(place.seat, self.origins[self.stand.stop]);
        match person.track.take(ctx.now, who, eye, pose) {
            Ok(true) => ctx.counters.poses += 1,
            Ok(false) => ctx.counters.poses_stale += 1,
            // The headset has not heard yet that it was moved: the others see it where it stood last until it has.
            Err(Offence::OutOfReach)
                if person
                    .former
                    .is_some_and(|f| ctx.now < f.until && in_reach(f.eye, pose)) =>
            {
                ctx.counters.poses_stale += 1;
            }
            Err(offence) => {
                ctx.counters.poses_refused += 1;
                return Err(offence);
            }
        }
        Ok(())
    }

    fn ready(&mut self, who: HeadsetId, ready: Ready) {
        if let Some(change) = &mut self.change
            && change.stand.epoch == ready.epoch
        {
            change.ready.insert(who);
        }
    }

    pub(crate) fn move_to_cell(&mut self, ctx: &mut Context<'_>, who: HeadsetId, to: MoveToCell) -> Result<(), String> {
        if to.epoch != self.stand.epoch {
            return Err(format!(
                "the group is not at that stop: epoch {}, not {}",
                self.stand.epoch, to.epoch
            ));
        }
        let hall = &self.halls[self.stand.stop];
        let cell = usize::try_from(to.cell).unwrap_or(usize::MAX);
        if cell >= hall.cells.len() {
            return Err(format!(
                "there is no cell {}: this stop has {}",
                to.cell,
                hall.cells.len()
            ));
        }
        let leads = self.leads(who);
        let Some(person) = self.people.get_mut(&who) else {
            return Ok(());
        };
        let before = self.stand.place(who).copied();
        if before.is_none_or(|p| p.looks_from() != Some(cell)) {
            if !person.moves.take(ctx.now) {
                return Err("you move too often".to_owned());
            }
            if !self.stand.move_to(hall, who, cell, leads) {
                return Err("there is no free place at that cell".to_owned());
            }
            ctx.budget.release(ctx.now, (self.key, who));
        }
        if let Some(person) = self.people.get_mut(&who) {
            person.roam = None;
        }
        self.moved(ctx, who, before);
        Ok(())
    }

    /// What somebody leaves behind at their place.
    pub(crate) fn leave_place(&mut self, now: ServerTime, who: HeadsetId, before: Option<Place>) {
        let origin = self.origins[self.stand.stop];
        let Some(person) = self.people.get_mut(&who) else {
            return;
        };
        person.track.reset();
        person.ahead = None;
        let until = now + person.rtt.map_or(NEWS, |rtt| (rtt * 2).clamp(NEWS, NEWS_MAX));
        person.former = before.map(|p| Former {
            eye: eye_of(p.seat, origin),
            until,
        });
    }

    fn guide(&mut self, ctx: &mut Context<'_>, who: HeadsetId, command: &GuideCommand) -> Result<(), String> {
        use guide_command::Body;
        let body = command.body.ok_or("the command says nothing that this version knows")?;
        if body == Body::TakeLead(true) {
            let until = self.people.get(&who).and_then(|p| p.may_guide_until);
            if until.is_none_or(|until| until <= ctx.now) {
                return Err("only who holds a grant from the guide's console can take the lead".to_owned());
            }
            if !self.leads(who) {
                self.lead(ctx, who);
            }
            return Ok(());
        }
        if !self.leads(who) {
            return Err("only the guide can do that".to_owned());
        }
        if command.lease != self.lease.epoch {
            return Err(format!(
                "you led under lease {}, now it is {}",
                command.lease, self.lease.epoch
            ));
        }
        match body {
            Body::GoToStop(stop) => match self.go_to(ctx, usize::try_from(stop).unwrap_or(usize::MAX)) {
                Going::Prepared | Going::Queued => Ok(()),
                Going::AlreadyThere if self.change.is_some() => Ok(()),
                Going::AlreadyThere => Err("the group is at that stop already".to_owned()),
                Going::NoSuchStop => {
                    let last = index(self.tour.stops.len()).saturating_sub(1);
                    Err(format!("there is no stop {stop}: they are 0 to {last}"))
                }
            },
            Body::End(true) => {
                self.log(ctx, Level::Info, "the guide ends it");
                self.over = Some("the guide has ended the tour");
                Ok(())
            }
            Body::End(false) | Body::TakeLead(_) => Err("the command asks for nothing".to_owned()),
        }
    }
}

/// Head of a person who stands at a seat, relative to the pose origin.
fn eye_of(seat: Vec3, origin: Vec3) -> Vec3 {
    seat + Vec3::Y * EYE_HEIGHT_M - origin
}

fn not_allowed(message: String) -> (RefusedReason, String) {
    (RefusedReason::RefusedNotAllowed, message)
}
