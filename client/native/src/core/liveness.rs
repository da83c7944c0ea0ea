//! Whether the picture that the wearer sees is known to be current: still is told from dead by heartbeats.

use super::{Event, Headset};
use std::time::Duration;
use tongyou_protocol::ClientTime;
use tongyou_stream::receive::StreamId;

/// Without a set and without a heartbeat of the shown stream for this long, the picture is stalled.
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// What was last told to the outside.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// The shown stream, and since when it is.
    shown: Option<(StreamId, ClientTime)>,
    stalled: bool,
}

impl Liveness {
    /// Another connection: the picture stays, and so does what was said about it.
    pub(super) const fn look_anew(&mut self) {
        self.shown = None;
    }
}

impl Headset {
    /// Whether neither a set nor a heartbeat of the shown picture has come for three seconds: it may be out of date.
    #[must_use]
    pub const fn is_stalled(&self) -> bool {
        self.liveness.stalled
    }

    /// How long ago the shown picture was last known to be the newest there is; `None` while there is no picture.
    #[must_use]
    pub fn picture_age(&self, now: ClientTime) -> Option<Duration> {
        Some(now.saturating_since(self.receiver.current_at(self.shown()?)?))
    }

    /// When the picture stalls unless something is heard.
    pub(super) fn stalls_at(&self) -> Option<ClientTime> {
        let (shown, since) = self.liveness.shown.filter(|_| !self.liveness.stalled)?;
        let heard = self.receiver.alive_at(shown).map_or(since, |at| at.max(since));
        Some(heard + STALLED_AFTER)
    }

    /// Says so when the picture stalls or goes on.
    pub(super) fn watch(&mut self, now: ClientTime) {
        let Some(shown) = self.shown() else {
            self.liveness.shown = None;
            return;
        };
        if self.liveness.shown.is_none_or(|(before, _)| before != shown) {
            self.liveness.shown = Some((shown, now));
        }
        if self.stalls_at().is_some_and(|at| now >= at) {
            self.liveness.stalled = true;
            self.events.push_back(Event::Stalled);
        }
        let heard = self.receiver.alive_at(shown);
        if self.liveness.stalled && heard.is_some_and(|at| now < at + STALLED_AFTER) {
            self.liveness.stalled = false;
            self.events.push_back(Event::Resumed);
        }
    }
}
