//! All sessions of one server.

use std::sync::Arc;

use tongyou_protocol::{ServerTime, SessionCode};
use tongyou_scene::Tour;

use crate::{Config, Error, Input, LinkId, Output, SessionInfo, Tick};

/// All sessions of one server, isolated from each other.
pub struct Registry;

#[expect(clippy::unused_self, clippy::needless_pass_by_value, reason = "signatures first")]
impl Registry {
    /// No sessions yet. Everything random comes from the seed: equal seeds and inputs give equal outputs.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let _ = (config, seed);
        Self
    }

    /// Makes a tour available; a tour with the same id is replaced for sessions created from now on.
    pub fn add_tour(&mut self, tour: Arc<Tour>) {
        let _ = tour;
    }

    /// Starts a session; `None` for the default capacity.
    ///
    /// # Errors
    /// When the tour is not known or the capacity out of range.
    pub fn create_session(
        &mut self,
        now: ServerTime,
        tour_id: &str,
        capacity: Option<u16>,
    ) -> Result<SessionCode, Error> {
        let _ = (now, capacity);
        Err(Error::UnknownTour(tour_id.to_owned()))
    }

    /// A grant: 32 hexadecimal digits with which a headset may take the lead of this session.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn issue_grant(&mut self, now: ServerTime, code: SessionCode) -> Result<String, Error> {
        let _ = now;
        Err(Error::UnknownSession(code))
    }

    /// All sessions in the order of their creation.
    #[must_use]
    pub fn sessions(&self, now: ServerTime) -> Vec<SessionInfo> {
        let _ = now;
        Vec::new()
    }

    /// Ends a session for everyone.
    ///
    /// # Errors
    /// When there is no such session.
    pub fn end_session(&mut self, now: ServerTime, code: SessionCode) -> Result<(), Error> {
        let _ = now;
        Err(Error::UnknownSession(code))
    }

    /// Takes what happened on a link at `now`; then drain [`Self::poll_output`].
    pub fn handle(&mut self, now: ServerTime, link: LinkId, input: Input<'_>) {
        let _ = (now, link, input);
    }

    /// Lets time pass: at the tick rate (72 Hz), at least 30 Hz; then drain [`Self::poll_output`].
    pub fn tick(&mut self, now: ServerTime) -> Vec<Tick> {
        let _ = now;
        Vec::new()
    }

    /// What the caller has to do next. `now` stamps the answers to pings, so read the clock for each call.
    pub fn poll_output(&mut self, now: ServerTime) -> Option<Output> {
        let _ = now;
        None
    }
}
