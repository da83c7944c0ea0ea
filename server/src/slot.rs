//! Where the tick thread leaves its newest wish for pictures, and the render thread a sign of life.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tongyou_protocol::ServerTime;
use tongyou_session::Tick;
use tongyou_stream::adapt::Quality;

use crate::clock::Clock;
use crate::fanout::Key;

/// What the tick thread last wanted drawn; the newest replaces what was not taken.
#[derive(Default)]
pub(crate) struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}

/// Shared by the tick and the render thread.
pub(crate) type SharedSlot = Arc<Slot>;

#[derive(Default)]
struct State {
    wanted: Option<Wanted>,
    carried_out: Option<ServerTime>,
    load: Load,
    closed: bool,
}

/// How busy the render thread is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    /// The share of the time that it works or waits for the encode thread.
    pub(crate) share: f32,
    /// There is no GPU: what it draws everything else goes without.
    pub(crate) is_software: bool,
}

/// What is to be drawn.
#[derive(Clone, Default)]
pub(crate) struct Wanted {
    /// The tick that wants it.
    pub(crate) at: ServerTime,
    pub(crate) ticks: Vec<Tick>,
    pub(crate) quality: BTreeMap<Key, Quality>,
    /// The layers beside the bases that somebody is to be sent.
    pub(crate) layers: BTreeSet<Key>,
    /// To be drawn even if nothing moves.
    pub(crate) stale: BTreeSet<Key>,
}

impl Slot {
    /// Replaces what is wanted.
    pub(crate) fn put(&self, mut wanted: Wanted) {
        let mut state = self.lock();
        if let Some(old) = state.wanted.take() {
            wanted.stale.extend(old.stale);
        }
        state.wanted = Some(wanted);
        drop(state);
        self.changed.notify_one();
    }

    /// Ends the render thread.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// The newest wish, taken no earlier than `clock` says `due`; `None` when the server ends.
    pub(crate) fn take(&self, clock: Clock, due: ServerTime) -> Option<Wanted> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let wait = due.saturating_since(clock.now());
            let timeout = if wait.is_zero() {
                if let Some(wanted) = state.wanted.take() {
                    return Some(wanted);
                }
                Duration::from_secs(1)
            } else {
                wait
            };
            (state, _) = self
                .changed
                .wait_timeout(state, timeout)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A wish was carried out: every picture shows what it should, be it by not changing.
    pub(crate) fn carried_out(&self, now: ServerTime, share: f32, is_software: bool) {
        let mut state = self.lock();
        state.carried_out = Some(now);
        state.load = Load { share, is_software };
    }

    /// How busy the render thread was then.
    pub(crate) fn load(&self) -> Load {
        self.lock().load
    }

    /// When that was last so; `None` before the first time.
    pub(crate) fn last_carried_out(&self) -> Option<ServerTime> {
        self.lock().carried_out
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
