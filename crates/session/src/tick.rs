//! What a session does at each tick: what is rendered for whom, and who sees whom.

use glam::Vec3;
use tongyou_protocol::TourTime;
use tongyou_scene::EYE_HEIGHT_M;

use crate::relay::Subject;
use crate::seating::Stand;
use crate::session::{Context, Person, Session};
use crate::{ActiveVantage, Tick, VantageKind, Viewer};

impl Session {
    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>) -> Tick {
        self.expire(ctx);
        self.advance(ctx);
        self.send_roster(ctx);
        self.send_poses(ctx);
        let mut vantages = self.vantages_of(&self.stand, false);
        if let Some(change) = &self.change {
            vantages.extend(self.vantages_of(&change.stand, true));
        }
        Tick {
            session: self.key,
            code: self.code,
            tour: self.tour.clone(),
            tour_time: TourTime::at(ctx.now, self.tour_zero),
            tour_zero: self.tour_zero,
            vantages,
        }
    }

    fn vantages_of(&self, stand: &Stand, preparing: bool) -> Vec<ActiveVantage> {
        let hall = &self.halls[stand.stop];
        let viewer = |cell, id, person: &Person| {
            let stands = stand.place(id).is_some_and(|p| p.cell == cell);
            let ahead = person.ahead.filter(|_| !preparing);
            (stands || ahead.is_some_and(|a| a.cell == cell)).then(|| Viewer {
                link: person.link,
                gaze: person.track.gaze().filter(|_| stands && !preparing),
            })
        };
        let viewers = |cell| {
            let people = self.people.iter();
            people.filter_map(|(id, person)| viewer(cell, *id, person)).collect()
        };
        stand
            .vantages()
            .map(|(cell, vantage)| ActiveVantage {
                vantage,
                epoch: stand.epoch,
                stop: stand.stop,
                cell,
                point: hall.cells[cell].point,
                kind: VantageKind::Panorama,
                viewers: viewers(cell),
                preparing,
            })
            .collect()
    }

    fn send_poses(&mut self, ctx: &mut Context<'_>) {
        let origin = self.origins[self.stand.stop];
        let subjects: Vec<Subject<'_>> = self
            .people
            .iter()
            .map(|(id, person)| {
                let last = person.track.last.as_ref();
                let head = last.map(|l| l.body.head);
                let seat = || self.stand.place(*id).map_or(Vec3::ZERO, |p| p.seat - origin);
                Subject {
                    slot: person.slot,
                    link: person.link,
                    leads: self.lease.holder == Some(*id),
                    eye: head.map_or_else(|| seat() + Vec3::Y * EYE_HEIGHT_M, |h| h.position),
                    gaze: person.track.gaze(),
                    last,
                }
            })
            .collect();
        // Poses carry the low 16 bits of the epoch.
        let epoch = u16::try_from(self.stand.epoch & 0xffff).unwrap_or_default();
        self.relay.round(ctx.now, epoch, &subjects, ctx.out);
    }
}
