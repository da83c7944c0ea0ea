//! Changes of stop and cell: prepared beside what is shown, then switched.

use super::{Event, StopApplied, Tour};
use std::collections::VecDeque;
use tongyou_protocol::control::{Commit, Placement, PlacementKind, Prepare, Ready, SkewReport};
use tongyou_protocol::frame::Layer;
use tongyou_protocol::{ServerTime, VantageId};
use tongyou_stream::receive::{Receiver, StreamId};

/// A stop change under way.
#[derive(Debug)]
pub(super) struct Prepared {
    epoch: u32,
    stop: u32,
    placement: Option<Placement>,
    ready: bool,
    commit_at: Option<ServerTime>,
}

/// A stop change that was carried out but has not been presented yet.
#[derive(Debug)]
pub(super) struct Applied {
    epoch: u32,
    agreed: ServerTime,
    applied_us: i64,
}

impl Prepared {
    /// When to switch, once that is agreed and the place is known.
    pub(super) fn due(&self) -> Option<ServerTime> {
        self.commit_at.filter(|_| self.placement.is_some())
    }

    /// The answer to give when the first set of the coming stop has become complete.
    pub(super) fn check_ready(&mut self, receiver: &Receiver) -> Option<Ready> {
        let set = receiver.newest_complete(stream_of(self.epoch, self.placement.as_ref()?))?;
        if std::mem::replace(&mut self.ready, true) {
            return None;
        }
        Some(Ready {
            epoch: self.epoch,
            set: set.0,
        })
    }
}

impl Applied {
    pub(super) fn report(&self, presented: ServerTime) -> SkewReport {
        SkewReport {
            epoch: self.epoch,
            applied_us: self.applied_us,
            presented_us: presented.micros_since(self.agreed),
        }
    }
}

impl Tour {
    pub(super) fn prepare(&mut self, prepare: Prepare, events: &mut VecDeque<Event>) {
        let Prepare { epoch, stop, placement } = prepare;
        if epoch <= self.current.epoch || stop as usize >= self.tour.stops.len() {
            let message = format!(
                "Prepare of epoch {epoch}, stop {stop} during epoch {}",
                self.current.epoch
            );
            events.push_back(Event::Malformed {
                lane: "control",
                message,
            });
            return;
        }
        let agreed = match &self.prepared {
            // A datagram that agrees on a change overtakes the control messages before it.
            Some(prepared) if prepared.epoch > epoch => return,
            Some(prepared) if prepared.epoch == epoch => prepared.commit_at,
            _ => None,
        };
        self.ahead = None;
        self.prepared = Some(Prepared {
            epoch,
            stop,
            placement,
            ready: false,
            commit_at: agreed,
        });
        events.push_back(Event::Preparing { epoch, stop });
    }

    pub(super) fn commit(&mut self, commit: Commit, events: &mut VecDeque<Event>) {
        let Commit { epoch, stop, at_us } = commit;
        // What was said already is said again: in datagrams, and by Welcome.
        let known = self.prepared.as_ref();
        let known = known.is_some_and(|p| p.epoch > epoch || (p.epoch == epoch && p.commit_at.is_some()));
        if known || epoch <= self.current.epoch {
            return;
        }
        if stop as usize >= self.tour.stops.len() {
            let message = format!("Commit to stop {stop} of {}", self.tour.stops.len());
            events.push_back(Event::Malformed {
                lane: "control",
                message,
            });
            return;
        }
        let at = ServerTime(at_us);
        match &mut self.prepared {
            Some(prepared) if prepared.epoch == epoch => {
                prepared.stop = stop;
                prepared.commit_at = Some(at);
            }
            other => {
                *other = Some(Prepared {
                    epoch,
                    stop,
                    placement: None,
                    ready: false,
                    commit_at: Some(at),
                })
            }
        }
        events.push_back(Event::Committed { epoch, stop, at });
    }

    /// When the change that is under way was to happen, if this is already the one after it: the server prepares the
    /// next one only once that has happened, so that this headset's clock is late.
    pub(super) fn overtaken_by(&self, prepare: &Prepare) -> Option<ServerTime> {
        self.prepared
            .as_ref()
            .filter(|p| p.epoch < prepare.epoch)
            .and_then(Prepared::due)
    }

    /// Takes a place at the present stop or at the coming one. Whether the wearer is seen elsewhere from now on.
    pub(super) fn place(&mut self, placement: Placement) -> bool {
        if placement.epoch == self.current.epoch {
            self.asked = None;
            self.ahead = None;
            self.moving_to = Some(placement);
            return true;
        }
        if let Some(prepared) = self.prepared.as_mut().filter(|p| p.epoch == placement.epoch) {
            prepared.placement = Some(placement);
        }
        false
    }

    /// Switches to the prepared stop when its instant has come and its place is known.
    pub(super) fn apply_if_due(&mut self, now: ServerTime) -> Option<StopApplied> {
        let prepared = self.prepared.as_ref()?;
        let agreed = prepared.due().filter(|at| now >= *at)?;
        let Prepared {
            epoch,
            stop,
            placement,
            ready,
            ..
        } = self.prepared.take()?;
        self.current.epoch = epoch;
        self.current.stop = stop;
        self.current.placement = placement?;
        (self.moving_to, self.ahead, self.asked) = (None, None, None);
        self.applied = Some(Applied {
            epoch,
            agreed,
            applied_us: now.micros_since(agreed),
        });
        Some(StopApplied {
            epoch,
            stop,
            agreed,
            applied: now,
            complete: ready,
        })
    }

    /// Moves to another cell once a set of there is complete; at once where the picture stays the same.
    pub(super) fn moved(&mut self, receiver: &Receiver) -> bool {
        let Some(to) = &self.moving_to else { return false };
        let stream = stream_of(self.current.epoch, to);
        if to.vantage != self.current.placement.vantage && receiver.newest_complete(stream).is_none() {
            return false;
        }
        if let Some(to) = self.moving_to.take() {
            self.current.placement = to;
        }
        true
    }

    /// What is shown, what it changes to, what is sent ahead, and what was not announced yet but belongs to a later
    /// epoch; each with what lies behind. There are four decoders: while anything but what is shown is on its way,
    /// nothing is decoded for sharp faces.
    pub(super) fn wanted_streams(&self) -> impl Fn(StreamId) -> bool + use<> {
        let shown = stream_of(self.current.epoch, &self.current.placement);
        let moving = self.moving_to.as_ref().map(|p| stream_of(self.current.epoch, p));
        #[expect(clippy::cast_possible_truncation, reason = "the wire has the low 16 bits")]
        let ahead = self.ahead.as_ref().map(|a| StreamId {
            vantage: VantageId(a.vantage as u16),
            ..shown
        });
        let moves = moving.is_some_and(|m| m != shown);
        let has_faces = !moves && ahead.is_none() && self.prepared.is_none();
        move |id| {
            let base = id.base();
            let later = id.epoch != shown.epoch && id.epoch.wrapping_sub(shown.epoch) < 0x8000;
            match id.layer {
                Layer::Face(_) => base == shown && has_faces,
                Layer::Base | Layer::Behind => base == shown || Some(base) == moving || Some(base) == ahead || later,
            }
        }
    }
}

/// Where a placement off the cells is: x, z and heading.
pub(super) fn off(placement: &Placement) -> Option<[f32; 3]> {
    let seat = placement.seat.filter(|_| placement.kind() == PlacementKind::Roaming)?;
    Some([seat.x, seat.z, placement.yaw])
}

/// The stream that a placement in an epoch looks at.
#[expect(clippy::cast_possible_truncation, reason = "the wire has the low 16 bits of both")]
pub(super) const fn stream_of(epoch: u32, placement: &Placement) -> StreamId {
    StreamId {
        epoch: epoch as u16,
        vantage: VantageId(placement.vantage as u16),
        layer: Layer::Base,
    }
}
