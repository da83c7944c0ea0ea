//! All sessions of one server: which session an input belongs to.

mod hello;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use subtle::ConstantTimeEq;
use tongyou_protocol::control::{ClientMessage, Ended, LocalModel, RefusedReason, client_message, server_message};
use tongyou_protocol::datagram::{Datagram, Pose};
use tongyou_protocol::{HeadsetId, ServerTime, SessionCode};
use tongyou_scene::Tour;

use crate::attempts::Attempts;
use crate::budget::Budget;
use crate::link::{Complaint, Link, Who};
use crate::outbox::Outbox;
use crate::pose::{MAX_SPEED_MPS, Offence, REACH_M};
use crate::session::{Context, Session};
use crate::wire::LocalModels;
use crate::{CloseCode, Config, Counters, Error, Input, Level, LinkId, Output, SessionInfo, SessionKey, Tick};

/// All sessions of one server, isolated from each other.
///
/// One mutation, then drain: see the crate's documentation.
pub struct Registry {
    config: Config,
    random: StdRng,
    tours: BTreeMap<String, Arc<Tour>>,
    sessions: BTreeMap<SessionKey, Session>,
    links: BTreeMap<LinkId, Link>,
    attempts: Attempts,
    budget: Budget,
    models: BTreeMap<String, LocalModels>,
    out: Outbox,
    counters: Counters,
    last_session: u32,
}

impl Registry {
    /// No sessions yet. Everything random comes from the seed, which is secret: equal seeds and inputs give equal
    /// outputs.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            attempts: Attempts::new(&config),
            config,
            random: StdRng::from_seed(seed),
            budget: Budget::default(),
            models: BTreeMap::new(),
            tours: BTreeMap::new(),
            sessions: BTreeMap::new(),
            links: BTreeMap::new(),
            out: Outbox::default(),
            counters: Counters::default(),
            last_session: 0,
        }
    }

    /// Makes a tour available; one with the same id is replaced for sessions created from now on.
    ///
    /// # Errors
    /// When the tour has a fault that [`Tour::load`] would have found.
    pub fn add_tour(&mut self, tour: Arc<Tour>) -> Result<(), Error> {
        tour.validate().map_err(|e| Error::InvalidTour(e.to_string()))?;
        self.tours.insert(tour.id.clone(), tour);
        Ok(())
    }

    /// Names the near things of a stop that headsets draw themselves, for sessions created from now on.
    ///
    /// # Errors
    /// When there is no such tour or stop.
    pub fn set_local_models(&mut self, tour_id: &str, stop_id: &str, models: Vec<LocalModel>) -> Result<(), Error> {
        let tour = self.tours.get(tour_id);
        let tour = tour.ok_or_else(|| Error::UnknownTour(tour_id.to_owned()))?;
        if tour.stop(stop_id).is_none() {
            let (tour, stop) = (tour_id.to_owned(), stop_id.to_owned());
            return Err(Error::UnknownStop { tour, stop });
        }
        let of_tour = self.models.entry(tour_id.to_owned()).or_default();
        of_tour.insert(stop_id.to_owned(), models);
        Ok(())
    }

    /// The share of real time that rendering takes, as a mean over a second or so: it decides, with hysteresis, who has
    /// a view of their own.
    pub fn set_load(&mut self, load: f32) {
        self.budget.set_load(load);
    }

    /// Starts a session, at the first stop and tour time zero; `None` for the default capacity.
    ///
    /// # Errors
    /// When the tour is not known or the capacity out of range.
    pub fn create_session(
        &mut self,
        now: ServerTime,
        tour_id: &str,
        capacity: Option<u16>,
    ) -> Result<SessionCode, Error> {
        let tour = self.tours.get(tour_id).cloned();
        let tour = tour.ok_or_else(|| Error::UnknownTour(tour_id.to_owned()))?;
        let asked = capacity.unwrap_or(self.config.capacity_default);
        let max = self.config.capacity_max;
        if !(1..=max).contains(&asked) {
            return Err(Error::Capacity { asked, max });
        }
        let code = self.fresh_code();
        self.last_session += 1;
        let key = SessionKey(self.last_session);
        let mut ctx = Context {
            now,
            config: &self.config,
            out: &mut self.out,
            counters: &mut self.counters,
            budget: &mut self.budget,
        };
        let none = LocalModels::new();
        let models = self.models.get(tour_id).unwrap_or(&none);
        let session = Session::new(&mut ctx, key, code, tour, models, asked);
        session.log(
            &mut ctx,
            Level::Info,
            &format!("created for tour {tour_id:?}, {asked} places"),
        );
        self.sessions.insert(key, session);
        Ok(code)
    }

    /// A grant: 32 hexadecimal digits with which a headset may take the lead of this session. It is a secret.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn issue_grant(&mut self, now: ServerTime, code: SessionCode) -> Result<String, Error> {
        let mut secret = [0; 16];
        self.random.fill_bytes(&mut secret);
        let until = now + self.config.grant_lifetime;
        let key = self.find(&code.to_string()).ok_or(Error::UnknownSession(code))?;
        if let Some(session) = self.sessions.get_mut(&key) {
            session.add_grant(secret, until);
        }
        Ok(secret.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// All sessions in the order of their creation.
    #[must_use]
    pub fn sessions(&self, now: ServerTime) -> Vec<SessionInfo> {
        let _ = now;
        let info = |session: &Session| {
            let guide = session.lease.holder.and_then(|id| session.people.get(&id));
            SessionInfo {
                session: session.key,
                code: session.code,
                tour: session.tour.id.clone(),
                people: u16::try_from(session.people.len()).unwrap_or(u16::MAX),
                spectators: u16::try_from(session.spectators.len()).unwrap_or(u16::MAX),
                capacity: session.capacity,
                guide: guide.map(|p| p.name.clone()),
                guide_simulated: guide.is_some_and(|p| p.simulated),
            }
        };
        self.sessions.values().map(info).collect()
    }

    /// Ends a session for everyone.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn end_session(&mut self, now: ServerTime, code: SessionCode) -> Result<(), Error> {
        let key = self.find(&code.to_string()).ok_or(Error::UnknownSession(code))?;
        if let Some(session) = self.sessions.get_mut(&key) {
            session.over = Some("the tour has been ended");
        }
        self.finish(now, key);
        Ok(())
    }

    /// Takes what happened on a link at `now`; then drain [`Self::poll_output`].
    pub fn handle(&mut self, now: ServerTime, link: LinkId, input: Input<'_>) {
        if let Input::Connected { address } = input {
            // A number that is used again means another connection: nobody stays behind on the one before.
            self.disconnect(now, link, false);
            self.links.insert(link, Link::new(now, address));
            return;
        }
        // What a link that was closed still had on its way is nobody's business any more.
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        state.heard_at = now;
        match input {
            Input::Connected { .. } => {}
            Input::Control(bytes) => {
                if state.control.take(now) {
                    self.control(now, link, bytes);
                } else {
                    self.out
                        .log(Level::Warn, format!("link {}: too many control messages", link.0));
                    self.out.close(link, CloseCode::Flood, "too many messages");
                    self.disconnect(now, link, false);
                }
            }
            Input::Datagram(bytes) => {
                if state.datagrams.take(now) {
                    self.datagram(now, link, bytes);
                } else {
                    self.counters.datagrams_dropped += 1;
                }
            }
            Input::Disconnected => self.disconnect(now, link, false),
        }
    }

    /// The transport's estimate of a link's round trip, about once a second: an instant that all shall keep is agreed
    /// so far ahead that the slowest hears of it.
    pub fn set_rtt(&mut self, now: ServerTime, link: LinkId, rtt: Duration) {
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        state.rtt = Some(rtt);
        if let Some((key, who)) = state.member {
            self.within(now, key, |session, _| {
                let known = match who {
                    Who::Person(id) => session.people.get_mut(&id).map(|p| &mut p.rtt),
                    Who::Spectator => session.spectators.get_mut(&link).map(|s| &mut s.rtt),
                };
                if let Some(known) = known {
                    *known = Some(rtt);
                }
            });
        }
    }

    /// Lets time pass: at the tick rate (72 Hz), at least 30 Hz; then drain [`Self::poll_output`].
    pub fn tick(&mut self, now: ServerTime) -> Vec<Tick> {
        self.close_silent_links(now);
        self.spend_budget(now);
        let mut ticks = Vec::with_capacity(self.sessions.len());
        let mut ctx = Context {
            now,
            config: &self.config,
            out: &mut self.out,
            counters: &mut self.counters,
            budget: &mut self.budget,
        };
        let mut over = Vec::new();
        for session in self.sessions.values_mut() {
            let tick = session.tick(&mut ctx);
            if session.over.is_some() {
                over.push(session.key);
            } else {
                ticks.push(tick);
            }
        }
        over.into_iter().for_each(|key| self.finish(now, key));
        ticks
    }

    /// What the caller has to do next. `now` stamps the answers to pings, so read the clock for each call.
    pub fn poll_output(&mut self, now: ServerTime) -> Option<Output> {
        self.out.next(now)
    }

    /// What was counted since the start.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn control(&mut self, now: ServerTime, link: LinkId, bytes: &[u8]) {
        let message = ClientMessage::from_bytes(bytes);
        let member = self.links.get(&link).and_then(|l| l.member);
        match (member, message) {
            (None, Ok(client_message::Body::Hello(hello))) => self.hello(now, link, &hello),
            (None, Ok(_)) => self.refuse(now, link, RefusedReason::RefusedMalformed, "say hello first"),
            (None, Err(e)) => {
                self.counters.control_malformed += 1;
                self.refuse(now, link, RefusedReason::RefusedMalformed, &e.to_string());
            }
            (Some(_), Ok(client_message::Body::Leave(_))) => {
                self.disconnect(now, link, true);
                self.out.close(link, CloseCode::Done, "goodbye");
            }
            (Some((key, who)), Ok(message)) => self.command(now, link, key, who, message),
            (Some(_), Err(e)) => {
                self.counters.control_malformed += 1;
                self.complain(now, link, Complaint::Malformed, &e.to_string());
            }
        }
    }

    /// Takes a view of its own away from somebody, or gives one back.
    fn spend_budget(&mut self, now: ServerTime) {
        self.budget.tick(now, &self.config.budget);
        if let Some((key, who)) = self.budget.overdue(now, &self.config.budget) {
            self.within(now, key, |session, ctx| session.take_view(ctx, who));
        } else if self.budget.may_regrant(now, &self.config.budget) {
            let waits = self.sessions.values().filter_map(|session| {
                let (since, who) = session.waits_longest()?;
                Some((since, session.key, who))
            });
            if let Some((_, key, who)) = waits.min() {
                self.within(now, key, |session, ctx| session.give_view(ctx, who));
            }
        }
    }

    fn command(&mut self, now: ServerTime, link: LinkId, key: SessionKey, who: Who, message: client_message::Body) {
        let refused = self.within(now, key, |session, ctx| {
            session.advance(ctx);
            let result = match who {
                Who::Person(id) => session.control(ctx, id, message),
                Who::Spectator => session.spectator_says(link, &message),
            };
            session.advance(ctx);
            session.send_roster(ctx);
            let (reason, why) = result.err()?;
            session.log(ctx, Level::Warn, &format!("{who}: {why}"));
            Some((reason, why))
        });
        if let Some((reason, why)) = refused.flatten() {
            self.counters.commands_refused += 1;
            self.out.notice(link, reason, &why);
        }
        self.finish(now, key);
    }

    fn datagram(&mut self, now: ServerTime, link: LinkId, bytes: &[u8]) {
        let member = self.links.get(&link).and_then(|l| l.member);
        match (Datagram::from_bytes(bytes), member) {
            // A clock may be read before the hello, which a datagram may overtake.
            (Ok(Datagram::Ping(ping)), _) => self.out.pong(link, ping, now),
            (_, None) => self.counters.datagrams_dropped += 1,
            (Ok(Datagram::Pose(pose)), Some((key, Who::Person(id)))) => self.pose(now, link, key, id, &pose),
            (Ok(Datagram::Pose(_)), Some((_, Who::Spectator))) => {
                self.counters.poses_refused += 1;
                self.complain(now, link, Complaint::NotAllowed, "a spectator has no pose");
            }
            (Ok(Datagram::Feedback(feedback)), Some(_)) => self.out.push(Output::Feedback { link, feedback }),
            (Ok(Datagram::Pong(_) | Datagram::Avatars(_) | Datagram::Commit(_) | Datagram::Still(_)), Some(_)) => {
                self.counters.datagrams_malformed += 1;
                self.complain(now, link, Complaint::NotAllowed, "only the server sends such datagrams");
            }
            (Err(e), Some(_)) => {
                self.counters.datagrams_malformed += 1;
                self.complain(now, link, Complaint::Malformed, &e.to_string());
            }
        }
    }

    fn pose(&mut self, now: ServerTime, link: LinkId, key: SessionKey, who: HeadsetId, pose: &Pose) {
        let taken = self.within(now, key, |session, ctx| {
            session.advance(ctx);
            session.pose(ctx, who, pose)
        });
        match taken.unwrap_or(Ok(())) {
            Ok(()) => {}
            Err(Offence::OutOfReach) => {
                let why = format!("a pose lies more than {REACH_M} m from its seat");
                self.complain(now, link, Complaint::OutOfReach, &why);
            }
            Err(Offence::TooFast) => {
                let why = format!("a pose moves faster than {MAX_SPEED_MPS} m/s");
                self.complain(now, link, Complaint::TooFast, &why);
            }
        }
    }

    /// Tells a sender, and the log, what is wrong, but not again and again.
    fn complain(&mut self, now: ServerTime, link: LinkId, about: Complaint, why: &str) {
        let Some(state) = self.links.get_mut(&link) else {
            return;
        };
        if state.may_complain(now, about) {
            let reason = match about {
                Complaint::Malformed => RefusedReason::RefusedMalformed,
                _ => RefusedReason::RefusedNotAllowed,
            };
            self.out.notice(link, reason, why);
            self.out.log(Level::Warn, format!("link {}: {why}", link.0));
        }
    }

    fn disconnect(&mut self, now: ServerTime, link: LinkId, for_good: bool) {
        let Some(state) = self.links.remove(&link) else {
            return;
        };
        let Some((key, who)) = state.member else { return };
        self.within(now, key, |session, ctx| {
            match who {
                Who::Person(id) => session.remove(ctx, id, for_good),
                Who::Spectator => session.remove_spectator(ctx, link),
            }
            session.advance(ctx);
            session.send_roster(ctx);
        });
    }

    /// Does something in a session, if there is such a one.
    fn within<R>(
        &mut self,
        now: ServerTime,
        key: SessionKey,
        act: impl FnOnce(&mut Session, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let session = self.sessions.get_mut(&key)?;
        let mut ctx = Context {
            now,
            config: &self.config,
            out: &mut self.out,
            counters: &mut self.counters,
            budget: &mut self.budget,
        };
        Some(act(session, &mut ctx))
    }

    fn close_silent_links(&mut self, now: ServerTime) {
        let (hello, silence) = (self.config.hello_timeout, self.config.silence_timeout);
        let silent: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, l)| match l.member {
                Some(_) => now.saturating_since(l.heard_at) >= silence,
                None => now.saturating_since(l.connected_at) >= hello,
            })
            .map(|(id, _)| *id)
            .collect();
        for link in silent {
            self.out
                .log(Level::Info, format!("link {}: nothing heard, closed", link.0));
            self.out.close(link, CloseCode::Silent, "nothing was heard from you");
            self.disconnect(now, link, false);
        }
    }

    /// Takes down a session that is over.
    fn finish(&mut self, now: ServerTime, key: SessionKey) {
        let Some(reason) = self.sessions.get(&key).and_then(|s| s.over) else {
            return;
        };
        let Some(session) = self.sessions.remove(&key) else {
            return;
        };
        let mut ctx = Context {
            now,
            config: &self.config,
            out: &mut self.out,
            counters: &mut self.counters,
            budget: &mut self.budget,
        };
        session.log(&mut ctx, Level::Info, &format!("ended: {reason}"));
        ctx.budget.release_all(key);
        let message = reason.to_owned();
        self.out
            .send_all(session.links(), server_message::Body::Ended(Ended { message }));
        for link in session.links() {
            self.links.remove(&link);
            self.out.close(link, CloseCode::Done, reason);
        }
        self.out.push(Output::SessionEnded { session: key });
    }

    /// The session with a code, in a time that does not depend on how much of the code is right.
    fn find(&self, code: &str) -> Option<SessionKey> {
        self.sessions.values().fold(None, |found, session| {
            let right = bool::from(session.code.to_string().as_bytes().ct_eq(code.as_bytes()));
            if right { Some(session.key) } else { found }
        })
    }

    fn fresh_code(&mut self) -> SessionCode {
        loop {
            let mut bytes = [0; 32];
            self.random.fill_bytes(&mut bytes);
            if let Some(code) = SessionCode::from_random(&bytes)
                && self.find(&code.to_string()).is_none()
            {
                return code;
            }
        }
    }
}
