//! What the server says.

use super::{Current, Event, Headset, Phase, Tour, Whereabouts};
use tongyou_protocol::control::{self, server_message};
use tongyou_protocol::datagram::{self, Body};
use tongyou_protocol::{ClientTime, HeadsetId, ResumeTicket, ServerTime};
use tongyou_stream::receive::StreamId;

impl Headset {
    /// `server` is the present on the server's clock, as far as it is known.
    pub(super) fn on_message(&mut self, server: Option<ServerTime>, body: server_message::Body) {
        match (body, &mut self.phase) {
            (server_message::Body::Welcome(welcome), Phase::Joining) => self.on_welcome(welcome),
            (server_message::Body::Refused(refused), _) => {
                self.phase = Phase::Over;
                self.events.push_back(Event::Refused {
                    reason: refused.reason(),
                    message: refused.message,
                });
            }
            (server_message::Body::Ended(ended), _) => {
                self.phase = Phase::Over;
                self.events.push_back(Event::Ended { message: ended.message });
            }
            (server_message::Body::Notice(notice), phase) => {
                if let Phase::On(tour) = phase {
                    tour.asked = None;
                }
                self.events.push_back(Event::Notice {
                    reason: notice.reason(),
                    message: notice.message,
                });
            }
            (server_message::Body::Roster(roster), Phase::On(tour)) => {
                tour.roster = roster;
                let here = |id: HeadsetId| tour.roster.people.iter().any(|p| p.headset == u32::from(id.0));
                self.avatars.retain(|id, _| here(*id));
                self.events.push_back(Event::RosterChanged);
            }
            (server_message::Body::Prepare(prepare), Phase::On(tour)) => {
                let overtaken = tour.overtaken_by(&prepare);
                if let Some(agreed) = overtaken {
                    self.apply(server.map_or(agreed, |now| now.max(agreed)));
                }
                if let Phase::On(tour) = &mut self.phase {
                    tour.prepare(prepare, &mut self.events);
                }
            }
            (server_message::Body::Commit(commit), Phase::On(tour)) => tour.commit(commit, &mut self.events),
            (server_message::Body::Placement(placement), Phase::On(tour)) => {
                if tour.place(placement) {
                    self.up.jump();
                }
            }
            (server_message::Body::Ahead(ahead), Phase::On(tour)) => {
                if ahead.epoch == tour.current.epoch && tour.prepared.is_none() {
                    tour.ahead = Some(ahead);
                    self.receiver.retain(tour.wanted_streams());
                }
            }
            // Only a guide's console asks for one.
            (server_message::Body::Previewing(_), Phase::On(_)) => {}
            (other, _) => self.malformed("control", &format!("out of turn: {}", kind(&other))),
        }
    }

    pub(super) fn on_welcome(&mut self, welcome: control::Welcome) {
        let (Ok(id), Some(tour), Some(current), Some(placement)) = (
            u16::try_from(welcome.headset),
            welcome.tour,
            welcome.current,
            welcome.placement,
        ) else {
            self.malformed("control", &"Welcome without tour, place or a valid headset id");
            return;
        };
        if current.stop as usize >= tour.stops.len() {
            self.malformed(
                "control",
                &format!("Welcome to stop {} of {}", current.stop, tour.stops.len()),
            );
            return;
        }
        let ticket = <[u8; 16]>::try_from(welcome.resume_ticket.as_slice())
            .ok()
            .map(ResumeTicket);
        // A ticket that the server does not know (any more) is answered with another one.
        let resumed = ticket.is_some() && self.ticket == ticket;
        self.ticket = ticket;
        let here = Whereabouts {
            epoch: current.epoch,
            stop: current.stop,
            cell: placement.cell,
            off: super::off(&placement),
        };
        let was = self.was.take();
        self.up.jump();
        self.phase = Phase::On(Box::new(Tour {
            headset: HeadsetId(id),
            tour,
            tour_zero: ServerTime(welcome.tour_zero_us),
            current: Current {
                epoch: current.epoch,
                stop: current.stop,
                placement,
            },
            moving_to: None,
            ahead: None,
            asked: None,
            prepared: None,
            applied: None,
            roster: welcome.roster.unwrap_or_default(),
            capacity: welcome.capacity,
        }));
        self.events.push_back(Event::Welcome {
            headset: HeadsetId(id),
            resumed,
        });
        match was.filter(|w| (w.epoch, w.stop) == (here.epoch, here.stop)) {
            Some(Whereabouts {
                off: Some([x, z, heading]),
                ..
            }) if here.off.is_none() => self.move_to(x, z, heading),
            Some(Whereabouts { cell, off: None, .. }) if cell != here.cell || here.off.is_some() => {
                self.move_to_cell(cell);
            }
            _ => {}
        }
    }

    pub(super) fn on_avatars(&mut self, now: ClientTime, epoch: u16, people: Vec<(HeadsetId, Body)>) {
        let Some(server) = self.clock.server_at(now) else {
            return;
        };
        // Coordinates of another stop mean nothing here.
        if self.shown().is_none_or(|s| s.epoch != epoch) {
            return;
        }
        for (id, body) in people {
            if Some(id) != self.id() {
                self.avatars.entry(id).or_default().push(server, body);
            }
        }
    }

    /// The datagram that says what a control message says as well; before `Welcome` it says nothing new.
    pub(super) fn on_commit(&mut self, commit: datagram::Commit) {
        if let Phase::On(tour) = &mut self.phase {
            let datagram::Commit { epoch, stop, at } = commit;
            let commit = control::Commit {
                epoch,
                stop,
                at_us: at.0,
            };
            tour.commit(commit, &mut self.events);
        }
    }

    pub(super) fn on_still(&mut self, now: ClientTime, still: datagram::Still) {
        let id = StreamId {
            epoch: still.epoch,
            vantage: still.vantage,
            layer: still.layer,
        };
        if self.on().is_some_and(|tour| tour.wanted_streams()(id)) {
            self.receiver.on_still(self.moment(now), id, still.set);
        }
    }
}

const fn kind(body: &server_message::Body) -> &'static str {
    match body {
        server_message::Body::Welcome(_) => "Welcome",
        server_message::Body::Refused(_) => "Refused",
        server_message::Body::Roster(_) => "Roster",
        server_message::Body::Prepare(_) => "Prepare",
        server_message::Body::Commit(_) => "Commit",
        server_message::Body::Placement(_) => "Placement",
        server_message::Body::Ended(_) => "Ended",
        server_message::Body::Notice(_) => "Notice",
        server_message::Body::Ahead(_) => "Ahead",
        server_message::Body::Previewing(_) => "Previewing",
    }
}
