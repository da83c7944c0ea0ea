//! When a picture counts as presented: with a display, not before its next instant.

use super::Moment;
use crate::core::Headset;
use std::collections::VecDeque;
use tokio::sync::watch;
use tongyou_protocol::{ClientTime, SetId};
use tongyou_stream::receive::StreamId;

/// Streams whose newest set is remembered: what is shown, what is prepared, and some of before.
const MAX_STREAMS: usize = 16;

/// What the wearer looks at.
#[derive(Debug, Clone, Default)]
pub enum Display {
    /// Nothing: a set counts as presented as soon as it is complete.
    #[default]
    None,
    /// A display that takes the newest complete set at its next instant. Instants are multiples of the interval on
    /// the headset's clock. With [`super::Decode::All`] a set is complete once it is decoded.
    Every {
        /// Instants a second, more than 0.
        hz: f32,
    },
    /// A real display, which says what it has presented.
    Real(watch::Receiver<Option<Presented>>),
}

/// A set that a display has presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presented {
    /// The vantage and epoch.
    pub stream: StreamId,
    /// The set.
    pub set: SetId,
    /// When, on the machine's monotonic clock, microseconds.
    pub machine_us: i64,
}

/// A display of which only the rhythm is known.
#[derive(Debug)]
pub(super) struct Cadence {
    interval_us: i64,
    /// The newest complete set of each stream, the last one that changed at the end.
    newest: VecDeque<(StreamId, SetId)>,
    presented: Option<(StreamId, SetId)>,
    due: Option<ClientTime>,
}

impl Display {
    /// The rhythm, where that is what is known.
    pub(super) fn cadence(&self) -> Option<Cadence> {
        match self {
            Self::Every { hz } => Some(Cadence::new(*hz)),
            Self::None | Self::Real(_) => None,
        }
    }

    /// What a real display says.
    pub(super) fn told(&self) -> Option<watch::Receiver<Option<Presented>>> {
        match self {
            Self::Real(told) => Some(told.clone()),
            Self::None | Self::Every { .. } => None,
        }
    }
}

impl Cadence {
    fn new(hz: f32) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float-to-int cast saturates, and the bounds are sensible"
        )]
        let interval_us = (1e6 / f64::from(hz)).clamp(100.0, 1e7) as i64;
        Self {
            interval_us,
            newest: VecDeque::new(),
            presented: None,
            due: None,
        }
    }

    /// A set can be presented from now on.
    pub(super) fn complete(&mut self, stream: StreamId, set: SetId) {
        self.newest.retain(|(id, _)| *id != stream);
        self.newest.push_back((stream, set));
        if self.newest.len() > MAX_STREAMS {
            self.newest.pop_front();
        }
    }

    /// When the display changes its picture next; `None` while it has nothing new to show.
    pub(super) const fn due(&self) -> Option<ClientTime> {
        self.due
    }

    /// Looks whether there is something new to present.
    pub(super) fn update(&mut self, now: ClientTime, headset: &Headset) {
        if self.pending(headset).is_none() {
            self.due = None;
        } else if self.due.is_none() {
            let since = now.0.rem_euclid(self.interval_us);
            self.due = Some(ClientTime(now.0 + self.interval_us - since));
        }
    }

    /// Presents what is due.
    pub(super) fn present(&mut self, at: Moment, headset: &Headset) -> Option<Presented> {
        if self.due.is_none_or(|due| at.client < due) {
            return None;
        }
        self.due = None;
        let (stream, set) = self.pending(headset)?;
        self.presented = Some((stream, set));
        let machine_us = at.machine_us;
        Some(Presented {
            stream,
            set,
            machine_us,
        })
    }

    fn pending(&self, headset: &Headset) -> Option<(StreamId, SetId)> {
        let shown = headset.shown()?;
        let newest = self.newest.iter().find(|(id, _)| *id == shown).copied()?;
        (self.presented != Some(newest)).then_some(newest)
    }
}

#[cfg(test)]
mod tests;
