//! One session: who is here, and who leads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use glam::Vec3;
use subtle::ConstantTimeEq;
use tongyou_protocol::control::{self, RefusedReason, server_message::Body};
use tongyou_protocol::{HeadsetId, ResumeTicket, ServerTime, SessionCode};
use tongyou_scene::Tour;

use crate::ahead::Ahead;
use crate::bucket::Bucket;
use crate::budget::Budget;
use crate::change::Change;
use crate::lease::{Grant, Lease};
use crate::outbox::Outbox;
use crate::pose::Track;
use crate::relay::Relay;
use crate::roam::Roam;
use crate::seating::{Hall, Needs, Stand, VantageIds};
use crate::watch::{Look, Spectator};
use crate::{Config, Counters, Level, LinkId, SessionKey, name, wire};

/// Rosters of a storm of joins are gathered for so long.
const ROSTER_EVERY: Duration = Duration::from_millis(50);
/// After a stop change everybody reports the skew: the roster waits until most have.
const SKEWS_AFTER: Duration = Duration::from_secs(1);
/// What somebody looks at who is away, perhaps only to load the page anew, is kept up for so long.
const VANTAGE_KEPT: Duration = Duration::from_secs(10);
/// A person who is away is remembered, at most so many for each place of the session.
const AWAY_PER_PLACE: usize = 2;

/// What every call into a session needs.
pub(crate) struct Context<'a> {
    pub(crate) now: ServerTime,
    pub(crate) config: &'a Config,
    pub(crate) out: &'a mut Outbox,
    pub(crate) counters: &'a mut Counters,
    pub(crate) budget: &'a mut Budget,
}

pub(crate) struct Session {
    pub(crate) key: SessionKey,
    pub(crate) code: SessionCode,
    pub(crate) tour: Arc<Tour>,
    pub(crate) capacity: u16,
    pub(crate) tour_zero: ServerTime,
    pub(crate) people: BTreeMap<HeadsetId, Person>,
    /// Their connection broke; they may come back with their ticket.
    away: BTreeMap<HeadsetId, Away>,
    /// They watch, and are not here.
    pub(crate) spectators: BTreeMap<LinkId, Spectator>,
    /// The guide looks at another stop.
    pub(crate) look: Option<Look>,
    pub(crate) grants: VecDeque<Grant>,
    pub(crate) lease: Lease,
    /// The stop that is shown.
    pub(crate) stand: Stand,
    /// When it was, or is, shown from.
    pub(crate) stand_since: ServerTime,
    pub(crate) change: Option<Change>,
    /// The stop to go to once the scheduled change has happened.
    pub(crate) queued: Option<usize>,
    /// By stop.
    pub(crate) halls: Vec<Hall>,
    /// Pose origins by stop.
    pub(crate) origins: Vec<Vec3>,
    pub(crate) vantage_ids: VantageIds,
    pub(crate) last_epoch: u32,
    pub(crate) relay: Relay,
    /// Somebody ended the session, for this reason.
    pub(crate) over: Option<&'static str>,
    pub(crate) wire_tour: control::Tour,
    last_headset: u16,
    roster_changed: bool,
    roster_sent: Option<ServerTime>,
    /// Since when skews wait to be told with the next roster.
    skews_since: Option<ServerTime>,
    empty_since: Option<ServerTime>,
}

pub(crate) struct Person {
    pub(crate) link: LinkId,
    pub(crate) ticket: ResumeTicket,
    pub(crate) name: String,
    pub(crate) simulated: bool,
    /// Holds a grant until then.
    pub(crate) may_guide_until: Option<ServerTime>,
    pub(crate) track: Track,
    pub(crate) moves: Bucket,
    /// What the headset is sent beside its own cell.
    pub(crate) ahead: Option<Ahead>,
    /// Stands off the cells, or would like to.
    pub(crate) roam: Option<Roam>,
    /// Where the person stood before the last move.
    pub(crate) former: Option<Former>,
    /// Round trip of the link, as far as it is known.
    pub(crate) rtt: Option<Duration>,
    /// Reported for the last stop change, microseconds.
    pub(crate) skew_us: Option<i64>,
    /// In the relay.
    pub(crate) slot: usize,
}

/// A place that somebody has left without having heard of it yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Former {
    /// Head of a person who stands there, relative to the pose origin.
    pub(crate) eye: Vec3,
    /// Poses from there are no offence until then.
    pub(crate) until: ServerTime,
}

struct Away {
    person: Person,
    since: ServerTime,
    /// Still holds the seat.
    seated: bool,
    /// The vantage of the seat's cell is still there.
    looked_at: bool,
}

/// A hello that names this session.
pub(crate) struct Admission<'a> {
    pub(crate) link: LinkId,
    pub(crate) name: &'a str,
    pub(crate) simulated: bool,
    /// The ticket as it was said, or empty.
    pub(crate) ticket: &'a [u8],
    /// The grant was checked and is good until then.
    pub(crate) may_guide_until: Option<ServerTime>,
    /// Round trip of the link, as far as it is known.
    pub(crate) rtt: Option<Duration>,
    /// For a new person.
    pub(crate) new_ticket: ResumeTicket,
}

pub(crate) struct Admitted {
    pub(crate) headset: HeadsetId,
    /// The headset's earlier link, which is to be forgotten.
    pub(crate) replaced: Option<LinkId>,
}

pub(crate) type Refusal = (RefusedReason, String);

impl Session {
    pub(crate) fn new(
        ctx: &mut Context<'_>,
        key: SessionKey,
        code: SessionCode,
        tour: Arc<Tour>,
        models: &wire::LocalModels,
        capacity: u16,
    ) -> Self {
        let halls: Vec<Hall> = tour.stops.iter().map(|s| Hall::new(s, capacity)).collect();
        for (stop, hall) in tour.stops.iter().zip(&halls) {
            if hall.seat_count() < usize::from(capacity) {
                let message = format!(
                    "session {}: stop {:?} of {:?} has ground for {} of {capacity} people: the others share a place",
                    key.0,
                    stop.id,
                    tour.id,
                    hall.seat_count()
                );
                ctx.out.log(Level::Warn, message);
            }
        }
        Self {
            key,
            code,
            wire_tour: wire::tour(&tour, models),
            origins: tour.stops.iter().map(wire::pose_origin).collect(),
            halls,
            tour,
            capacity,
            tour_zero: ctx.now,
            people: BTreeMap::new(),
            away: BTreeMap::new(),
            spectators: BTreeMap::new(),
            look: None,
            grants: VecDeque::new(),
            lease: Lease::default(),
            stand: Stand::new(1, 0),
            stand_since: ctx.now,
            change: None,
            queued: None,
            vantage_ids: VantageIds::default(),
            last_epoch: 1,
            relay: Relay::new(ctx.config),
            over: None,
            last_headset: 0,
            roster_changed: false,
            roster_sent: None,
            skews_since: None,
            empty_since: Some(ctx.now),
        }
    }

    /// Whether the ticket belongs to somebody who is here or away.
    pub(crate) fn holder_of(&self, now: ServerTime, config: &Config, ticket: &[u8]) -> Option<HeadsetId> {
        let here = self.people.iter().map(|(id, p)| (*id, p));
        let remembered = |a: &Away| now.saturating_since(a.since) < config.resume_within;
        let away = self
            .away
            .iter()
            .filter(|(_, a)| remembered(a))
            .map(|(id, a)| (*id, &a.person));
        here.chain(away)
            .find(|(_, p)| bool::from(p.ticket.0.as_slice().ct_eq(ticket)))
            .map(|(id, _)| id)
    }

    /// Lets a headset in, at its former place if it shows a ticket. All or nothing.
    pub(crate) fn admit(&mut self, ctx: &mut Context<'_>, hello: &Admission<'_>) -> Result<Admitted, Refusal> {
        let former = self.holder_of(ctx.now, ctx.config, hello.ticket);
        let is_here = former.is_some_and(|id| self.people.contains_key(&id));
        if !is_here && self.places_taken_but_for(former) >= usize::from(self.capacity) {
            let message = format!("this session is full: it admits {}", self.capacity);
            return Err((RefusedReason::RefusedFull, message));
        }
        let others = || self.people.iter().filter(|(id, _)| Some(**id) != former);
        let name = name::accept(hello.name, |n| others().any(|(_, p)| name::same(&p.name, n)))
            .map_err(|why| (RefusedReason::RefusedName, why.to_owned()))?;
        let headset = former.or_else(|| self.fresh_headset()).ok_or_else(|| {
            let message = "too many headsets have been in this session".to_owned();
            (RefusedReason::RefusedFull, message)
        })?;

        let mut replaced = None;
        let (mut person, seated) = if let Some(person) = self.people.remove(&headset) {
            replaced = Some(person.link);
            (person, true)
        } else if let Some(away) = self.away.remove(&headset) {
            let slot = self.relay.join();
            (Person { slot, ..away.person }, away.seated)
        } else {
            let person = Person {
                link: hello.link,
                ticket: hello.new_ticket,
                name: String::new(),
                simulated: false,
                may_guide_until: None,
                track: Track::new(),
                moves: Bucket::new(2.0, 4.0),
                ahead: None,
                roam: None,
                former: None,
                rtt: None,
                skew_us: None,
                slot: self.relay.join(),
            };
            (person, false)
        };
        person.link = hello.link;
        person.name = name;
        person.simulated = hello.simulated;
        person.may_guide_until = hello.may_guide_until.or(person.may_guide_until);
        person.track.reconnect();
        person.former = None;
        person.ahead = None;
        person.rtt = hello.rtt;
        person.roam = person.roam.filter(|_| seated);
        self.look = self.look.filter(|look| look.who != headset);
        self.people.insert(headset, person);
        if self.lease.holder == Some(headset) {
            self.lease.away_until = None;
        }
        self.fill_lease(ctx);
        // Whatever it held of the next stop, it begins anew.
        if let Some(change) = &mut self.change {
            change.ready.remove(&headset);
        }
        self.seat(headset, seated);
        let as_before = self.roam_again(ctx, headset);
        self.refresh_vantages();
        self.welcome(ctx, headset);
        if !as_before {
            self.tell_no_room(ctx, headset);
        }
        self.roster_changed = true;
        self.empty_since = None;
        let verb = if former.is_some() { "came back" } else { "joined" };
        self.log(
            ctx,
            Level::Info,
            &format!("headset {headset} {verb}, {} here", self.people.len()),
        );
        Ok(Admitted { headset, replaced })
    }

    /// A headset is gone: for good when it said so, else it may come back.
    pub(crate) fn remove(&mut self, ctx: &mut Context<'_>, headset: HeadsetId, for_good: bool) {
        let Some(mut person) = self.people.remove(&headset) else {
            return;
        };
        self.relay.leave(person.slot);
        ctx.budget.release(ctx.now, (self.key, headset));
        person.track.reconnect();
        person.ahead = None;
        if for_good {
            self.vacate(headset);
            if self.lease.holder == Some(headset) {
                self.release_lease(ctx);
            }
        } else {
            if self.away.len() >= usize::from(self.capacity) * AWAY_PER_PLACE {
                let longest = self.away.iter().min_by_key(|(_, a)| a.since).map(|(id, _)| *id);
                longest.into_iter().for_each(|id| self.forget(id));
            }
            let since = ctx.now;
            self.away.insert(
                headset,
                Away {
                    person,
                    since,
                    seated: true,
                    looked_at: true,
                },
            );
            if self.lease.holder == Some(headset) {
                self.lease.away_until = Some(ctx.now + ctx.config.lease_grace);
            }
        }
        if let Some(change) = &mut self.change {
            change.ready.remove(&headset);
        }
        self.refresh_vantages();
        self.roster_changed = true;
        if self.people.is_empty() {
            self.empty_since = Some(ctx.now);
        }
        let verb = if for_good { "left" } else { "is gone" };
        self.log(
            ctx,
            Level::Info,
            &format!("headset {headset} {verb}, {} here", self.people.len()),
        );
    }

    /// What time alone changes about people.
    pub(crate) fn expire(&mut self, ctx: &mut Context<'_>) {
        let mut forgotten = Vec::new();
        let mut unseated = Vec::new();
        let mut unlooked = false;
        for (id, away) in &mut self.away {
            let gone_for = ctx.now.saturating_since(away.since);
            if away.looked_at && gone_for >= VANTAGE_KEPT {
                away.looked_at = false;
                unlooked = true;
            }
            if gone_for >= ctx.config.resume_within {
                forgotten.push(*id);
            } else if away.seated && gone_for >= ctx.config.lease_grace {
                away.seated = false;
                unseated.push(*id);
            }
        }
        forgotten.into_iter().for_each(|id| self.forget(id));
        unseated.into_iter().for_each(|id| self.vacate(id));
        if unlooked {
            self.refresh_vantages();
        }
        self.expire_ahead(ctx.now);
        self.expire_look(ctx.now);
        if self.lease.away_until.is_some_and(|until| until <= ctx.now) {
            self.release_lease(ctx);
        }
        let alone_for = self.empty_since.map(|since| ctx.now.saturating_since(since));
        if alone_for.is_some_and(|t| t >= ctx.config.empty_lifetime) {
            self.over = Some("nobody has been here for long");
        }
    }

    /// A headset says how far off it carried out the last stop change.
    pub(crate) fn note_skew(&mut self, now: ServerTime, who: HeadsetId, skew_us: i64) {
        if let Some(person) = self.people.get_mut(&who) {
            person.skew_us = Some(skew_us);
            self.skews_since.get_or_insert(now);
        }
    }

    /// Tells everyone who is here, at once or, in a storm, a little later.
    pub(crate) fn send_roster(&mut self, ctx: &mut Context<'_>) {
        if self
            .skews_since
            .take_if(|at| ctx.now.saturating_since(*at) >= SKEWS_AFTER)
            .is_some()
        {
            self.roster_changed = true;
        }
        let waited = self
            .roster_sent
            .is_none_or(|at| ctx.now.saturating_since(at) >= ROSTER_EVERY);
        if self.roster_changed && waited {
            self.roster_changed = false;
            self.roster_sent = Some(ctx.now);
            let roster = self.roster();
            ctx.out.send_all(self.links(), Body::Roster(roster));
        }
    }

    /// The group goes to another stop, where everybody has a seat.
    pub(crate) fn end_roaming(&mut self, ctx: &mut Context<'_>) {
        let people = self.people.iter_mut().map(|(id, p)| (*id, p));
        for (id, person) in people.chain(self.away.iter_mut().map(|(id, a)| (*id, &mut a.person))) {
            person.roam = None;
            ctx.budget.release(ctx.now, (self.key, id));
        }
    }

    pub(crate) fn note_roster_change(&mut self) {
        self.roster_changed = true;
    }

    /// Of everyone who is here or watches.
    pub(crate) fn links(&self) -> impl Iterator<Item = LinkId> {
        let people = self.people.values().map(|p| p.link);
        people.chain(self.spectators.keys().copied())
    }

    /// Keeps a vantage for each cell in which somebody stands who is here or has just gone, or looks ahead to, for those
    /// who stand off the cells, and for the spectators.
    pub(crate) fn refresh_vantages(&mut self) {
        let next = self.change.as_ref().map(|c| &c.stand);
        let away = || self.away.iter().filter(|(_, a)| a.looked_at).map(|(id, _)| *id);
        let here = || self.people.keys().copied().chain(away());
        let ahead = self.people.values().filter_map(|p| p.ahead).map(|a| a.cell);
        let flat = !self.spectators.is_empty();
        let mut cells = self.stand.cells_of(here());
        cells.extend(ahead);
        let off = |who: &HeadsetId| self.stand.place(*who).is_some_and(|p| p.looks_from().is_none());
        let own = self.people.keys().copied().filter(off).collect();
        let needs = Needs { cells, own, flat };
        let look = self.look_vantage();
        let taken = |id| look == Some(id) || next.is_some_and(|n| n.uses(id));
        self.stand.refresh_vantages(&needs, &mut self.vantage_ids, taken);
        let now = &self.stand;
        if let Some(change) = &mut self.change {
            let needs = Needs {
                cells: change.stand.cells_of(here()),
                flat,
                ..Needs::default()
            };
            let taken = |id| look == Some(id) || now.uses(id);
            change.stand.refresh_vantages(&needs, &mut self.vantage_ids, taken);
        }
    }

    pub(crate) fn log(&self, ctx: &mut Context<'_>, level: Level, message: &str) {
        ctx.out.log(level, format!("session {}: {message}", self.key.0));
    }

    /// Places that `headset` can not have: of those who are here, and of those who are away and still have a seat.
    fn places_taken_but_for(&self, headset: Option<HeadsetId>) -> usize {
        let kept = self.away.iter().filter(|(id, a)| a.seated && Some(**id) != headset);
        self.people.len() + kept.count()
    }

    fn fresh_headset(&mut self) -> Option<HeadsetId> {
        self.last_headset = self.last_headset.checked_add(1)?;
        Some(HeadsetId(self.last_headset))
    }

    /// Finds places at the present stop, unless there is one already, and at the next.
    fn seat(&mut self, headset: HeadsetId, seated: bool) {
        let leads = self.leads(headset);
        if !seated || self.stand.place(headset).is_none() {
            self.stand.arrive(&self.halls[self.stand.stop], headset, leads);
        }
        if let Some(change) = &mut self.change
            && change.stand.place(headset).is_none()
        {
            change.stand.arrive(&self.halls[change.stand.stop], headset, leads);
        }
    }

    fn vacate(&mut self, headset: HeadsetId) {
        self.stand.vacate(headset);
        if let Some(change) = &mut self.change {
            change.stand.vacate(headset);
        }
    }

    fn forget(&mut self, headset: HeadsetId) {
        self.away.remove(&headset);
        self.vacate(headset);
    }

    fn welcome(&self, ctx: &mut Context<'_>, headset: HeadsetId) {
        let Some(person) = self.people.get(&headset) else {
            return;
        };
        let welcome = control::Welcome {
            kind: control::ClientKind::Headset.into(),
            headset: headset.0.into(),
            resume_ticket: person.ticket.0.to_vec(),
            placement: self.stand.placement(headset),
            ..self.welcome_all()
        };
        ctx.out.send(person.link, Body::Welcome(welcome));
        if let Some(change) = &self.change {
            change.tell(ctx, change.stand.placement(headset), person.link);
        }
    }

    pub(crate) fn roster(&self) -> control::Roster {
        let person = |(id, p): (&HeadsetId, &Person)| control::Person {
            headset: id.0.into(),
            name: p.name.clone(),
            role: if self.leads(*id) {
                control::Role::Guide
            } else {
                control::Role::Tourist
            }
            .into(),
            may_guide: p.may_guide_until.is_some(),
            simulated: p.simulated,
            cell: self.stand.place(*id).map_or(0, |place| index(place.cell)),
            skew_us: p.skew_us,
            roaming: self.stand.place(*id).is_some_and(|p| p.looks_from().is_none()),
        };
        control::Roster {
            people: self.people.iter().map(person).collect(),
            lease: self.lease.epoch,
            spectators: index(self.spectators.len()),
        }
    }
}

/// An index on the wire.
pub(crate) fn index(i: usize) -> u32 {
    u32::try_from(i).unwrap_or(u32::MAX)
}
