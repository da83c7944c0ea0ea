//! What a session does at each tick: what is rendered for whom, and who sees whom.

use glam::{Quat, Vec3};
use tongyou_protocol::{HeadsetId, ServerTime, TourTime, VantageId};
use tongyou_scene::EYE_HEIGHT_M;

use crate::relay::Subject;
use crate::seating::Stand;
use crate::session::{Context, Person, Session};
use crate::{ActiveVantage, Config, Tick, VantageKind, Viewer};

impl Session {
    pub(crate) fn tick(&mut self, ctx: &mut Context<'_>) -> Tick {
        self.expire(ctx);
        self.advance(ctx);
        self.send_roster(ctx);
        self.send_poses(ctx);
        let mut vantages = self.vantages_of(&self.stand, false);
        vantages.extend(self.own_views(ctx.now, ctx.config));
        vantages.extend(self.watched(&self.stand, false, ctx.config.spectator));
        vantages.extend(self.looked_at(ctx.config.preview));
        if let Some(change) = &self.change {
            vantages.extend(self.vantages_of(&change.stand, true));
            vantages.extend(self.watched(&change.stand, true, ctx.config.spectator));
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
            let stands = stand.place(id).is_some_and(|p| p.looks_from() == Some(cell));
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

    /// Of those who stand off the cells: around the head, where it will be when the picture is shown.
    fn own_views(&self, now: ServerTime, config: &Config) -> Vec<ActiveVantage> {
        let origin = self.origins[self.stand.stop];
        let view = |(who, vantage): (HeadsetId, VantageId)| {
            let (person, place) = (self.people.get(&who)?, self.stand.place(who)?);
            let shown_at = now + config.stereo_ahead + person.rtt.unwrap_or_default() / 2;
            let head = person.track.predicted(shown_at);
            Some(ActiveVantage {
                vantage,
                epoch: self.stand.epoch,
                stop: self.stand.stop,
                cell: place.cell,
                point: head.map_or(place.seat + Vec3::Y * EYE_HEIGHT_M, |h| h.position + origin),
                kind: VantageKind::Stereo {
                    rotation: head.map_or(Quat::from_rotation_y(place.yaw), |h| h.rotation),
                    half_ipd: config.half_ipd_m,
                },
                viewers: vec![Viewer {
                    link: person.link,
                    gaze: person.track.gaze(),
                }],
                preparing: false,
            })
        };
        self.stand.own_vantages().filter_map(view).collect()
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
