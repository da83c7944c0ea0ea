//! The two phases of a stop change: prepare, then commit at an instant that all know beforehand.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tongyou_protocol::control::{Commit, Placement, Prepare, server_message::Body};
use tongyou_protocol::datagram::{self, Datagram};
use tongyou_protocol::{HeadsetId, ServerTime};

use crate::seating::Stand;
use crate::session::{Context, Session, index};
use crate::{Config, Level, LinkId};

/// How often an agreed change is said in datagrams, beside the control message.
const COPIES: u8 = 3;
/// From one of them to the next: losses come in bursts.
const COPY_EVERY: Duration = Duration::from_millis(40);
/// What the instant is ahead beside a round trip: time for the copies, and for jitter.
const LEAD_MARGIN: Duration = Duration::from_millis(100);

/// A stop change on its way.
pub(crate) struct Change {
    pub(crate) stand: Stand,
    /// Who holds a complete set of it.
    pub(crate) ready: BTreeSet<HeadsetId>,
    /// Spectators who do.
    pub(crate) ready_watching: BTreeSet<LinkId>,
    deadline: ServerTime,
    /// Agreed with everyone.
    commit_at: Option<ServerTime>,
    copies: Copies,
}

/// Datagrams that still have to say it.
#[derive(Debug, Clone, Copy)]
struct Copies {
    left: u8,
    due: ServerTime,
}

/// What became of the wish to go somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Going {
    /// It is being prepared; a change that was being prepared and not yet agreed is dropped.
    Prepared,
    /// An agreed change happens first.
    Queued,
    /// The group is there, or on its way there.
    AlreadyThere,
    NoSuchStop,
}

impl Change {
    /// What somebody has to know who joins while the change is on its way.
    pub(crate) fn tell(&self, ctx: &mut Context<'_>, placement: Option<Placement>, link: LinkId) {
        let prepare = Prepare {
            epoch: self.stand.epoch,
            stop: index(self.stand.stop),
            placement,
        };
        ctx.out.send(link, Body::Prepare(prepare));
        if let Some(at) = self.commit_at {
            ctx.out.send(link, Body::Commit(self.commit(at)));
        }
    }

    /// The datagram that says it once more, when it is time.
    fn copy(&mut self, now: ServerTime) -> Option<Bytes> {
        let at = self.commit_at?;
        if self.copies.left == 0 || now < self.copies.due {
            return None;
        }
        self.copies.left -= 1;
        self.copies.due = now + COPY_EVERY;
        let Commit { epoch, stop, .. } = self.commit(at);
        Some(Datagram::Commit(datagram::Commit { epoch, stop, at }).to_bytes())
    }

    fn commit(&self, at: ServerTime) -> Commit {
        Commit {
            epoch: self.stand.epoch,
            stop: index(self.stand.stop),
            at_us: at.0,
        }
    }
}

impl Session {
    /// Takes everyone to a stop. While another stop is being prepared it takes that one's place; once the other is
    /// agreed, it waits until that has happened, and only the last wish counts.
    pub(crate) fn go_to(&mut self, ctx: &mut Context<'_>, stop: usize) -> Going {
        if stop >= self.tour.stops.len() {
            return Going::NoSuchStop;
        }
        match &self.change {
            None if self.stand.stop == stop => Going::AlreadyThere,
            Some(change) if change.stand.stop == stop => {
                self.queued = None;
                Going::AlreadyThere
            }
            Some(change) if change.commit_at.is_some() => {
                self.queued = Some(stop);
                Going::Queued
            }
            _ => {
                self.prepare(ctx, stop);
                Going::Prepared
            }
        }
    }

    /// Lets a change go on: agrees when enough are ready or the time is up, and applies what was agreed.
    pub(crate) fn advance(&mut self, ctx: &mut Context<'_>) {
        let Some(change) = &mut self.change else { return };
        let here = self.people.len() + self.spectators.len();
        if change.commit_at.is_none() {
            // 90 %, rounded up; with nobody here there is nobody to wait for.
            let ready = change.ready.len() + change.ready_watching.len();
            let enough = ready * 10 >= here * 9;
            if !enough && ctx.now < change.deadline {
                return;
            }
            let paths = self.people.values().map(|p| p.rtt);
            let at = ctx.now + lead(ctx.config, paths.chain(self.spectators.values().map(|s| s.rtt)));
            change.commit_at = Some(at);
            let commit = change.commit(at);
            ctx.out.send_all(self.links(), Body::Commit(commit));
            let message = format!("epoch {}: {ready} of {here} are ready, change agreed", commit.epoch);
            self.log(ctx, Level::Info, &message);
        }
        if let Some(bytes) = self.change.as_mut().and_then(|c| c.copy(ctx.now)) {
            for link in self.links() {
                ctx.out.datagram(link, bytes.clone());
            }
        }
        self.apply(ctx);
    }

    fn prepare(&mut self, ctx: &mut Context<'_>, stop: usize) {
        self.last_epoch = self.last_epoch.wrapping_add(1);
        let mut stand = Stand::new(self.last_epoch, stop);
        let hall = &self.halls[stop];
        // Who leads chooses first, so that nobody stands in the guide's place.
        for leads in [true, false] {
            for id in self.people.keys().filter(|id| self.leads(**id) == leads) {
                stand.arrive(hall, *id, leads);
            }
        }
        self.change = Some(Change {
            stand,
            ready: BTreeSet::new(),
            ready_watching: BTreeSet::new(),
            deadline: ctx.now + ctx.config.prepare_timeout,
            commit_at: None,
            copies: Copies {
                left: COPIES,
                due: ctx.now,
            },
        });
        self.end_ahead();
        self.look = None;
        self.refresh_vantages();
        if let Some(change) = &self.change {
            for (id, person) in &self.people {
                change.tell(ctx, change.stand.placement(*id), person.link);
            }
            for link in self.spectators.keys() {
                change.tell(ctx, change.stand.watching(&self.halls[stop]), *link);
            }
        }
        let message = format!(
            "epoch {}: preparing stop {:?}",
            self.last_epoch, self.tour.stops[stop].id
        );
        self.log(ctx, Level::Info, &message);
    }

    fn apply(&mut self, ctx: &mut Context<'_>) {
        let due = |at: ServerTime| at <= ctx.now;
        let Some(change) = self.change.take_if(|c| c.commit_at.is_some_and(due)) else {
            return;
        };
        self.stand_since = change.commit_at.unwrap_or(ctx.now);
        self.stand = change.stand;
        for person in self.people.values_mut() {
            person.track.reset();
        }
        self.end_roaming(ctx);
        self.relay.reset();
        self.refresh_vantages();
        self.note_roster_change();
        let next = self.queued.take().filter(|stop| *stop != self.stand.stop);
        if let Some(stop) = next {
            self.prepare(ctx, stop);
        }
    }
}

/// From the decision to the change, so that it reaches the slowest in time, however a packet fares.
fn lead(config: &Config, paths: impl Iterator<Item = Option<Duration>>) -> Duration {
    let slowest = paths.flatten().max();
    let needed = slowest.map_or(Duration::ZERO, |rtt| rtt.saturating_add(LEAD_MARGIN));
    needed.min(config.commit_lead_max).max(config.commit_lead)
}
