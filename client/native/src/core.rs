//! One headset's part in a tour, without a socket, a clock or a decoder.
//!
//! ```text
//! input:   on_control, on_datagram, on_frame, on_decoded, on_timeout, set_pose, ...      (one at a time)
//! drain:   poll_control, poll_datagram, poll_decode, poll_event                          (until empty)
//! wait:    until poll_timeout, next_pose, or the next input
//! ```

mod change;
mod config;
mod event;
mod incoming;
mod liveness;
mod pose;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use event::{Event, StopApplied};
pub use pose::{LocalJoint, LocalPose};

use bytes::Bytes;
use change::{Applied, Prepared, off, stream_of};
use liveness::Liveness;
use pose::Up;
use protocol::control::{self, ClientMessage, ServerMessage, client_message, guide_command};
use protocol::datagram::{Body, Datagram};
use protocol::frame::{Frame, Layer};
use protocol::{ClientTime, HeadsetId, ResumeTicket, ServerTime, SetId, TourTime};
use std::collections::{BTreeMap, VecDeque};
use stream::clock::Sync;
use stream::jitter;
use stream::receive::{self, Counters, Limits, Now, Receiver, StreamId};
use tongyou_protocol as protocol;
use tongyou_stream as stream;

/// Of who stands where no cell says how high eyes are.
const EYE_HEIGHT_M: f32 = 1.6;

/// The sans-IO headset.
#[derive(Debug)]
pub struct Headset {
    config: Config,
    ticket: Option<ResumeTicket>,
    phase: Phase,
    clock: Sync,
    receiver: Receiver,
    up: Up,
    avatars: BTreeMap<HeadsetId, jitter::Buffer>,
    liveness: Liveness,
    /// Where the wearer was when the connection broke, until the server has said where the wearer is.
    was: Option<Whereabouts>,
    control: VecDeque<Bytes>,
    datagrams: VecDeque<Bytes>,
    events: VecDeque<Event>,
}

/// How far the headset has come.
#[derive(Debug)]
enum Phase {
    /// Hello is said, Welcome is awaited.
    Joining,
    /// On the tour.
    On(Box<Tour>),
    /// Refused, ended or left.
    Over,
}

/// What is known on the tour.
#[derive(Debug)]
struct Tour {
    headset: HeadsetId,
    tour: control::Tour,
    tour_zero: ServerTime,
    current: Current,
    /// Where the wearer moves to once a set of there is complete.
    moving_to: Option<control::Placement>,
    /// What is sent beside the own cell, so that it is here when the wearer goes there.
    ahead: Option<control::Ahead>,
    /// The cell that the wearer asked for, until the server has answered.
    asked: Option<u32>,
    prepared: Option<Prepared>,
    /// The last stop change, until its first frame has been presented.
    applied: Option<Applied>,
    roster: control::Roster,
    capacity: u32,
}

/// Where the wearer is, or is about to be.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Whereabouts {
    epoch: u32,
    stop: u32,
    cell: u32,
    /// Off the cells: x, z and heading.
    off: Option<[f32; 3]>,
}

/// Where the wearer is.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    /// Counts stop changes.
    pub epoch: u32,
    /// Index of the stop within the tour.
    pub stop: u32,
    /// Cell, vantage and seat.
    pub placement: control::Placement,
}

impl Headset {
    /// A headset that is about to join: `Hello` waits in [`Self::poll_control`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut headset = Self {
            ticket: config.resume_ticket,
            config,
            phase: Phase::Over,
            clock: Sync::new(),
            receiver: Receiver::new(Limits::default()),
            up: Up::default(),
            avatars: BTreeMap::new(),
            liveness: Liveness::default(),
            was: None,
            control: VecDeque::new(),
            datagrams: VecDeque::new(),
            events: VecDeque::new(),
        };
        headset.connect_again();
        headset
    }

    /// A new connection stands: says `Hello` again, with the ticket of the place where the wearer was. If the server
    /// gives another cell of the same stop, the wearer asks for the former one.
    pub fn connect_again(&mut self) {
        if let Phase::On(tour) = &self.phase {
            self.was = Some(tour.whereabouts());
        }
        self.phase = Phase::Joining;
        self.clock = Sync::new();
        self.receiver = Receiver::new(Limits::default());
        self.avatars.clear();
        self.liveness.look_anew();
        self.control.clear();
        self.datagrams.clear();
        let hello = self.config.hello(self.ticket);
        self.say(client_message::Body::Hello(hello));
    }

    /// Takes a control message.
    pub fn on_control(&mut self, now: ClientTime, message: &[u8]) {
        match ServerMessage::from_bytes(message) {
            Ok(body) => self.on_message(self.clock.server_at(now), body),
            Err(error) => self.malformed("control", &error),
        }
        self.tick(now);
    }

    /// Takes a datagram.
    pub fn on_datagram(&mut self, now: ClientTime, datagram: &[u8]) {
        match Datagram::from_bytes(datagram) {
            Ok(Datagram::Pong(pong)) => {
                self.clock.on_pong(now, pong);
            }
            Ok(Datagram::Avatars(avatars)) => self.on_avatars(now, avatars.epoch, avatars.people),
            Ok(Datagram::Commit(commit)) => self.on_commit(commit),
            Ok(Datagram::Still(still)) => self.on_still(now, still),
            Ok(other) => self.malformed("datagram", &format!("the server does not send {other:?}")),
            Err(error) => self.malformed("datagram", &error),
        }
        self.tick(now);
    }

    /// Takes a whole frame.
    pub fn on_frame(&mut self, now: ClientTime, frame: &Bytes) {
        match Frame::from_bytes(frame) {
            Ok(frame) => {
                let stream = StreamId::of(&frame.header);
                let is_face = matches!(stream.layer, Layer::Face(_));
                if !is_face || self.on().is_some_and(|tour| tour.wanted_streams()(stream)) {
                    self.receiver.on_frame(self.moment(now), frame);
                }
            }
            Err(error) => self.malformed("frame", &error),
        }
        self.tick(now);
    }

    /// A frame from [`Self::poll_decode`] has been decoded.
    pub fn on_decoded(&mut self, now: ClientTime, set: SetId) {
        self.receiver.on_decoded(self.moment(now), set);
        self.tick(now);
    }

    /// A frame from [`Self::poll_decode`] could not be decoded.
    pub fn on_decode_failed(&mut self, now: ClientTime, set: SetId) {
        self.receiver.on_decode_failed(self.moment(now), set);
        self.tick(now);
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn on_timeout(&mut self, now: ClientTime) {
        self.receiver.on_timeout(self.moment(now));
        self.tick(now);
    }

    /// How the wearer holds head and hands now. Sent when it is due; call it as often as it is known.
    pub fn set_pose(&mut self, now: ClientTime, pose: &LocalPose) {
        if self.watches() {
            return;
        }
        if let (Phase::On(tour), Some(server)) = (&self.phase, self.clock.server_at(now)) {
            let origin = tour.stop().and_then(|s| s.pose_origin).unwrap_or_default();
            let seat = pose::Seat::new(tour.seat(), origin.into());
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the wire has the low 16 bits of the epoch"
            )]
            let epoch = tour.current.epoch as u16;
            if let Some(up) = self.up.offer(now, server, epoch, &seat, pose) {
                self.datagrams.push_back(Datagram::Pose(up).to_bytes());
            }
        }
    }

    /// The first frame of the present stop has been presented: reports the skew, once for each stop change.
    pub fn on_presented(&mut self, now: ClientTime) {
        let Some(server) = self.clock.server_at(now) else {
            return;
        };
        let Phase::On(tour) = &mut self.phase else { return };
        if let Some(applied) = tour.applied.take() {
            self.say(client_message::Body::Skew(applied.report(server)));
        }
    }

    /// Asks to stand at another cell of the present stop.
    pub fn move_to_cell(&mut self, cell: u32) {
        if let Phase::On(tour) = &mut self.phase {
            let epoch = tour.current.epoch;
            tour.asked = Some(cell);
            self.say(client_message::Body::MoveToCell(control::MoveToCell { epoch, cell }));
        }
    }

    /// Asks to stand on this point of the present stop's floor, stop-local metres, and to look along `heading`, radians
    /// counter-clockwise from −Z about +Y. Near a cell that is where the wearer goes; elsewhere the wearer gets a view of
    /// its own, or, where there is no room for one, goes to the nearest cell.
    pub fn move_to(&mut self, x: f32, z: f32, heading: f32) {
        if let Phase::On(tour) = &mut self.phase {
            let epoch = tour.current.epoch;
            // It may end at any cell.
            tour.asked = None;
            let to = control::MoveTo { epoch, x, z, heading };
            self.say(client_message::Body::MoveTo(to));
        }
    }

    /// The wearer may soon ask for this cell of the present stop: lets its picture come beside the one on show, for
    /// about eight seconds from the last hint. The server may leave it unanswered; nobody else notices.
    pub fn look_ahead(&mut self, cell: u32) {
        if let Phase::On(tour) = &self.phase {
            let epoch = tour.current.epoch;
            self.say(client_message::Body::LookAhead(control::LookAhead { epoch, cell }));
        }
    }

    /// The cell whose picture is being sent beside the one on show.
    #[must_use]
    pub fn ahead(&self) -> Option<u32> {
        Some(self.on()?.ahead.as_ref()?.cell)
    }

    /// As the guide: moves everyone to a stop.
    pub fn go_to_stop(&mut self, stop: u32) {
        self.command(guide_command::Body::GoToStop(stop));
    }

    /// As the holder of a grant: takes over the lead.
    pub fn take_lead(&mut self) {
        self.command(guide_command::Body::TakeLead(true));
    }

    /// As the guide: ends the session for everyone.
    pub fn end_session(&mut self) {
        self.command(guide_command::Body::End(true));
    }

    /// Says good-bye; nothing is wanted any more.
    pub fn leave(&mut self) {
        if !matches!(self.phase, Phase::Over) {
            self.say(client_message::Body::Leave(control::Leave {}));
            self.phase = Phase::Over;
        }
    }

    /// A control message to send.
    pub fn poll_control(&mut self) -> Option<Bytes> {
        self.control.pop_front()
    }

    /// A datagram to send.
    pub fn poll_datagram(&mut self) -> Option<Bytes> {
        self.datagrams.pop_front()
    }

    /// A colour frame to decode, in order within its stream.
    pub fn poll_decode(&mut self) -> Option<Frame> {
        self.receiver.poll_decode()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::on_timeout`] is to be called; `None` when there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<ClientTime> {
        let Phase::On(tour) = &self.phase else { return None };
        let commit = tour
            .prepared
            .as_ref()
            .and_then(Prepared::due)
            .and_then(|at| self.clock.client_at(at));
        [
            self.clock.next_ping(),
            self.receiver.poll_timeout(),
            self.receiver.next_feedback(),
            self.stalls_at(),
            commit,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When [`Self::set_pose`] sends the next pose; `None` while none can be sent.
    #[must_use]
    pub fn next_pose(&self, now: ClientTime) -> Option<ClientTime> {
        self.server_at(now)
            .filter(|_| matches!(self.phase, Phase::On(_)))
            .map(|_| self.up.next().unwrap_or(now))
    }

    /// Server time as this headset estimates it.
    #[must_use]
    pub fn server_at(&self, now: ClientTime) -> Option<ServerTime> {
        self.clock.server_at(now)
    }

    /// Tour time, likewise.
    #[must_use]
    pub fn tour_time_at(&self, now: ClientTime) -> Option<TourTime> {
        Some(TourTime::at(self.clock.server_at(now)?, self.on()?.tour_zero))
    }

    /// The clock, for its error and skew.
    #[must_use]
    pub const fn clock(&self) -> &Sync {
        &self.clock
    }

    /// The id in the session, once welcome.
    #[must_use]
    pub fn id(&self) -> Option<HeadsetId> {
        self.on().map(|t| t.headset)
    }

    /// The tour.
    #[must_use]
    pub fn tour(&self) -> Option<&control::Tour> {
        self.on().map(|t| &t.tour)
    }

    /// Where the wearer is.
    #[must_use]
    pub fn current(&self) -> Option<&Current> {
        self.on().map(|t| &t.current)
    }

    /// The present stop.
    #[must_use]
    pub fn stop(&self) -> Option<&control::Stop> {
        self.on()?.stop()
    }

    /// Where the others see the wearer: at another cell from the moment that the server says so, although the
    /// wearer's own picture follows when it is complete.
    #[must_use]
    pub fn seat(&self) -> Option<&control::Placement> {
        self.on().map(Tour::seat)
    }

    /// From the floor to the wearer's eyes where the wearer stands, metres.
    #[must_use]
    pub fn eye_height_m(&self) -> f32 {
        let seat = self.seat().filter(|p| p.kind() == control::PlacementKind::Seat);
        let cell = seat.and_then(|p| self.stop()?.cells.get(p.cell as usize));
        cell.and_then(|c| Some(c.point?.y - c.floor_y)).unwrap_or(EYE_HEIGHT_M)
    }

    /// Whether this is a projector or a wall: it watches, and is nowhere.
    #[must_use]
    pub const fn watches(&self) -> bool {
        matches!(self.config.kind, control::ClientKind::Spectator)
    }

    /// The stream that the wearer looks at.
    #[must_use]
    pub fn shown(&self) -> Option<StreamId> {
        self.on().map(|t| stream_of(t.current.epoch, &t.current.placement))
    }

    /// Everyone who is here.
    #[must_use]
    pub fn roster(&self) -> &[control::Person] {
        self.on().map_or(&[], |t| &t.roster.people)
    }

    /// Whether this headset leads the tour.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.me().is_some_and(|p| p.role() == control::Role::Guide)
    }

    /// What the roster says about this headset.
    #[must_use]
    pub fn me(&self) -> Option<&control::Person> {
        let id = self.id()?;
        self.roster().iter().find(|p| p.headset == u32::from(id.0))
    }

    /// Most headsets that the session admits.
    #[must_use]
    pub fn capacity(&self) -> Option<u32> {
        self.on().map(|t| t.capacity)
    }

    /// How others are to be shown now, positions relative to the stop's pose origin.
    pub fn avatars(&mut self, now: ClientTime) -> Vec<(HeadsetId, Body)> {
        let Some(server) = self.clock.server_at(now) else {
            return Vec::new();
        };
        self.avatars
            .iter_mut()
            .filter_map(|(id, buffer)| Some((*id, buffer.sample(server)?)))
            .collect()
    }

    /// Of whom poses have arrived at this stop.
    pub fn avatar_ids(&self) -> impl Iterator<Item = HeadsetId> {
        self.avatars.keys().copied()
    }

    /// Counts of frames and sets on this connection.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.receiver.counters()
    }

    /// The secret with which this headset comes back to its place.
    #[must_use]
    pub const fn resume_ticket(&self) -> Option<ResumeTicket> {
        self.ticket
    }

    /// Whether the tour is over for this headset: refused, ended or left.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    fn on(&self) -> Option<&Tour> {
        match &self.phase {
            Phase::On(tour) => Some(tour),
            _ => None,
        }
    }

    fn moment(&self, now: ClientTime) -> Now {
        Now {
            client: now,
            server: self.clock.server_at(now),
        }
    }

    fn say(&mut self, body: client_message::Body) {
        self.control.push_back(ClientMessage::from(body).to_bytes());
    }

    fn command(&mut self, body: guide_command::Body) {
        if let Phase::On(tour) = &self.phase {
            let lease = tour.roster.lease;
            self.say(client_message::Body::Guide(control::GuideCommand {
                lease,
                body: Some(body),
            }));
        }
    }

    fn malformed(&mut self, lane: &'static str, error: &dyn std::fmt::Display) {
        self.events.push_back(Event::Malformed {
            lane,
            message: error.to_string(),
        });
    }

    /// Everything that is due now.
    fn tick(&mut self, now: ClientTime) {
        while let Some(event) = self.receiver.poll_event() {
            self.events.push_back(match event {
                receive::Event::Complete(set) => Event::Complete(set),
                receive::Event::Dropped { stream, set } => Event::PictureDropped { stream, set },
            });
        }
        let server = self.clock.server_at(now);
        let Phase::On(tour) = &mut self.phase else { return };
        let ping = self.clock.poll_ping(now);
        let ready = tour.prepared.as_mut().and_then(|p| p.check_ready(&self.receiver));
        // Without a clock a change is better carried out at once than never.
        if let Some(at) = server.or_else(|| tour.prepared.as_ref().and_then(Prepared::due)) {
            self.apply(at);
        }
        self.arrive();
        self.end_ahead(server);
        if let Some(ready) = ready {
            self.events.push_back(Event::Ready {
                epoch: ready.epoch,
                set: SetId(ready.set),
            });
            self.say(client_message::Body::Ready(ready));
        }
        self.watch(now);
        let moment = self.moment(now);
        let feedback = match ping {
            // One packet carries both.
            Some(_) => self.receiver.poll_feedback_along(moment),
            None => self.receiver.poll_feedback(moment),
        };
        let due = ping
            .map(Datagram::Ping)
            .into_iter()
            .chain(feedback.map(Datagram::Feedback));
        self.datagrams.extend(due.map(|datagram| datagram.to_bytes()));
    }

    /// Carries out the stop change whose instant has come.
    fn apply(&mut self, at: ServerTime) {
        let Phase::On(tour) = &mut self.phase else { return };
        let Some(applied) = tour.apply_if_due(at) else { return };
        self.receiver.retain(tour.wanted_streams());
        self.avatars.clear();
        self.events.push_back(Event::StopApplied(applied));
        self.up.jump();
    }

    /// Shows another cell once a picture of there is complete.
    fn arrive(&mut self) {
        let Phase::On(tour) = &mut self.phase else { return };
        if tour.moved(&self.receiver) {
            self.receiver.retain(tour.wanted_streams());
            self.events.push_back(Event::Placed(tour.current.placement));
        }
    }

    /// Lets go of what was sent ahead and is not any more.
    fn end_ahead(&mut self, server: Option<ServerTime>) {
        let (Phase::On(tour), Some(now)) = (&mut self.phase, server) else {
            return;
        };
        if tour.ahead.take_if(|a| now.0 > a.until_us).is_some() {
            self.receiver.retain(tour.wanted_streams());
        }
    }
}

impl Tour {
    fn seat(&self) -> &control::Placement {
        self.moving_to.as_ref().unwrap_or(&self.current.placement)
    }

    fn whereabouts(&self) -> Whereabouts {
        Whereabouts {
            epoch: self.current.epoch,
            stop: self.current.stop,
            cell: self.asked.unwrap_or(self.seat().cell),
            off: off(self.seat()).filter(|_| self.asked.is_none()),
        }
    }

    fn stop(&self) -> Option<&control::Stop> {
        self.tour.stops.get(self.current.stop as usize)
    }
}
