//! A simulated guide: leads from stop to stop, until a person takes over.

use std::time::Duration;
use tongyou_client::core::Headset;
use tongyou_protocol::ClientTime;
use tongyou_protocol::control::Role;

/// After a command that had no effect it is said again.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Guide {
    interval: Duration,
    next: Option<ClientTime>,
    led: bool,
    retired: bool,
}

impl Guide {
    pub(crate) const fn new(interval: Duration) -> Self {
        Self {
            interval,
            next: None,
            led: false,
            retired: false,
        }
    }

    /// The roster has changed: takes the lead where nobody has it, gives it up for good where another has taken it.
    pub(crate) fn on_roster(&mut self, headset: &mut Headset) {
        if headset.leads() {
            self.led = true;
            return;
        }
        let another = headset.roster().iter().any(|p| p.role() == Role::Guide);
        if self.led && another {
            self.retired = true;
        } else if !another && !self.retired && headset.me().is_some_and(|me| me.may_guide) {
            headset.take_lead();
        }
    }

    /// A stop has begun.
    pub(crate) fn on_stop(&mut self, now: ClientTime) {
        self.next = Some(now + self.interval);
    }

    /// Moves on when it is time.
    pub(crate) fn tick(&mut self, now: ClientTime, headset: &mut Headset) {
        if self.retired || !headset.leads() {
            return;
        }
        let due = *self.next.get_or_insert(now + self.interval);
        let (Some(current), Some(tour)) = (headset.current(), headset.tour()) else {
            return;
        };
        let stops = u32::try_from(tour.stops.len()).unwrap_or(u32::MAX);
        if now >= due && stops > 1 {
            let stop = (current.stop + 1) % stops;
            headset.go_to_stop(stop);
            self.next = Some(now + PATIENCE);
        }
    }

    /// Whether it leads, as far as it wants to.
    pub(crate) const fn retired(&self) -> bool {
        self.retired
    }
}
