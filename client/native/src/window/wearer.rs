//! The network's side of the window: what it knows, for the window, and what the wearer wants, for the server.

use super::input::Wish;
use super::view::View;
use crate::core::{Event, Headset, LocalJoint, LocalPose};
use crate::near::Near;
use crate::net::{self, Display, Moment, Picture, Presented, Wearer};
use crate::present::{self, Set};
use crate::ticket::Ticket;
use glam::{Quat, Vec3};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tongyou_protocol::HeadsetId;
use tongyou_protocol::control::{self, Placement};
use tongyou_protocol::datagram::Body;
use tongyou_stream::receive::StreamId;
use tongyou_transport::Link;
use winit::event_loop::EventLoopProxy;

/// What the network's side says to the window.
pub(super) enum FromNet {
    /// A complete set, ready for the GPU.
    Set(StreamId, Box<Set>),
    /// Something of [`Known`] has changed.
    News,
    /// A gamepad was used, or a local model has come.
    Woken,
    /// The visit is over.
    Over(Result<net::End, net::Error>),
}

/// What both sides look at.
#[derive(Default)]
pub(super) struct Shared {
    known: Mutex<Known>,
    wanted: Mutex<Wanted>,
}

/// What the network's side knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) tour: String,
    pub(super) stop: Option<control::Stop>,
    /// Index of the stop, and how many there are.
    pub(super) stops: (u32, u32),
    pub(super) placement: Option<Placement>,
    pub(super) shown: Option<StreamId>,
    pub(super) people: Vec<control::Person>,
    pub(super) me: Option<HeadsetId>,
    pub(super) leads: bool,
    pub(super) is_stalled: bool,
    /// A projector.
    pub(super) watches: bool,
    /// From the floor to the eyes, metres.
    pub(super) eye_height_m: f32,
    /// The last words of the server to this wearer.
    pub(super) notice: Option<String>,
    /// The others, relative to the stop's pose origin, and when they were so, machine µs.
    pub(super) others: (i64, Vec<(HeadsetId, Body)>),
    /// A machine time and the tour time then, µs.
    pub(super) tour_time: Option<(i64, i64)>,
}

impl Known {
    /// Tour time at a machine time, seconds.
    pub(super) fn tour_time_s(&self, machine_us: i64) -> Option<f64> {
        let (machine, tour) = self.tour_time?;
        #[expect(clippy::cast_precision_loss, reason = "285 years of microseconds fit")]
        Some((tour + machine_us - machine) as f64 / 1e6)
    }
}

/// What the wearer does.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) view: View,
    /// Where the wearer points, stop-local metres.
    pub(super) pointer: Option<Vec3>,
    pub(super) wishes: Vec<Wish>,
}

impl Shared {
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        // What a panic elsewhere left is as good as anything.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A person at the window.
pub(super) struct AtWindow {
    shared: Arc<Shared>,
    proxy: EventLoopProxy<FromNet>,
    told: watch::Receiver<Option<Presented>>,
    pictures: Sender<Picture>,
    ticket: Option<Ticket>,
    near: Arc<Near>,
}

impl AtWindow {
    pub(super) fn new(
        shared: Arc<Shared>,
        proxy: EventLoopProxy<FromNet>,
        told: watch::Receiver<Option<Presented>>,
        ticket: Option<Ticket>,
        near: Arc<Near>,
    ) -> Self {
        let (pictures, queue) = channel();
        let to = proxy.clone();
        std::thread::spawn(move || prepare(&queue, &to));
        Self {
            shared,
            proxy,
            told,
            pictures,
            ticket,
            near,
        }
    }

    /// Who left gives up the place; who lost it may come back.
    pub(super) fn left(&mut self, end: &Result<net::End, net::Error>) {
        if let (Some(ticket), Ok(_)) = (&mut self.ticket, end) {
            ticket.keep(None);
        }
    }

    fn tell(&self, at: Moment, headset: &mut Headset) {
        let others = headset.avatars(at.client);
        let mut known = self.shared.known();
        known.others = (at.machine_us, others);
        if let Some(tour) = headset.tour_time_at(at.client) {
            known.tour_time = Some((at.machine_us, tour.0));
        }
        let title = |text: Option<&control::Text>| text.map(|t| t.zh.clone()).unwrap_or_default();
        if let Some(tour) = headset.tour() {
            known.tour = title(tour.title.as_ref());
            known.stops.1 = u32::try_from(tour.stops.len()).unwrap_or(u32::MAX);
        }
        known.stop = headset.stop().cloned();
        if let Some(current) = headset.current() {
            known.stops.0 = current.stop;
            known.placement = Some(current.placement);
        }
        // While a lost connection is made again, what was shown stays.
        known.shown = headset.shown().or(known.shown);
        known.people = headset.roster().to_vec();
        known.me = headset.id();
        known.leads = headset.leads();
        known.is_stalled = headset.is_stalled();
        known.watches = headset.watches();
        known.eye_height_m = headset.eye_height_m();
        drop(known);
        // A window that is gone needs no news.
        let _ = self.proxy.send_event(FromNet::News);
    }

    fn carry_out(&self, headset: &mut Headset) {
        let wishes = std::mem::take(&mut self.shared.wanted().wishes);
        let (stop, stops) = self.shared.known().stops;
        for wish in wishes {
            match wish {
                Wish::Cell(cell) => headset.move_to_cell(cell),
                Wish::Floor { x, z, heading } => headset.move_to(x, z, heading),
                Wish::LookAhead(cell) => headset.look_ahead(cell),
                Wish::Next if stop + 1 < stops => headset.go_to_stop(stop + 1),
                Wish::Previous if stop > 0 => headset.go_to_stop(stop - 1),
                Wish::Next | Wish::Previous | Wish::Recentre | Wish::Leave | Wish::Go => {}
            }
        }
    }
}

impl Wearer for AtWindow {
    fn pose(&mut self, at: Moment, headset: &mut Headset) -> Option<LocalPose> {
        self.carry_out(headset);
        self.tell(at, headset);
        if headset.watches() {
            return None;
        }
        let (view, pointer) = {
            let wanted = self.shared.wanted();
            (wanted.view, wanted.pointer)
        };
        let placement = *headset.seat()?;
        let height = headset.eye_height_m();
        let room_from_world = Quat::from_rotation_y(-placement.yaw);
        let head = LocalJoint {
            position: Vec3::Y * height + room_from_world * view.offset,
            rotation: room_from_world * view.rotation(),
        };
        Some(LocalPose {
            head,
            left: None,
            right: None,
            pointer,
        })
    }

    fn on_event(&mut self, at: Moment, event: &Event, headset: &mut Headset) {
        if let Some(ticket) = &mut self.ticket {
            ticket.on_event(event, headset);
        }
        if matches!(event, Event::Welcome { .. } | Event::StopApplied(_)) {
            self.near.want(&models(headset));
        }
        match event {
            Event::Complete(_) | Event::PictureDropped { .. } => return,
            Event::Notice { message, .. } => {
                tracing::info!(message, "the server says");
                self.shared.known().notice = Some(message.clone());
            }
            Event::StopApplied(_) => self.shared.known().notice = None,
            _ => {}
        }
        self.tell(at, headset);
    }

    fn on_picture(&mut self, _at: Moment, picture: Picture) {
        // The thread ends with the window only.
        let _ = self.pictures.send(picture);
    }

    fn on_link(&mut self, link: &Arc<dyn Link>) {
        self.near.on_link(link.as_ref());
    }

    fn display(&self) -> Display {
        Display::Real(self.told.clone())
    }

    fn on_decode_error(&mut self, _at: Moment, message: &str) {
        tracing::error!(message, "decoding");
    }
}

/// The local models of the present stop, and of the next one, to which the guide will probably go.
fn models(headset: &Headset) -> Vec<control::LocalModel> {
    let next = headset.current().map(|c| c.stop as usize + 1);
    let next = headset.tour().and_then(|tour| tour.stops.get(next?));
    let stops = headset.stop().into_iter().chain(next);
    stops.flat_map(|stop| stop.local_models.clone()).collect()
}

/// Makes sets of pictures, the newest of each stream, until nobody sends any or wants any.
fn prepare(queue: &Receiver<Picture>, to: &EventLoopProxy<FromNet>) {
    let mut before: BTreeMap<StreamId, Set> = BTreeMap::new();
    while let Ok(first) = queue.recv() {
        let mut newest = BTreeMap::from([(first.stream, first)]);
        while let Ok(picture) = queue.try_recv() {
            newest.insert(picture.stream, picture);
        }
        // Geometry is taken over from a set of the same stream; others are of the past.
        before.retain(|stream, _| newest.keys().all(|n| n.epoch == stream.epoch) || newest.contains_key(stream));
        for (stream, picture) in newest {
            match Set::from_picture(picture, before.get(&stream)) {
                Ok(set) => {
                    before.insert(stream, set.clone());
                    if to.send_event(FromNet::Set(stream, Box::new(set))).is_err() {
                        return;
                    }
                }
                Err(error) => log(&error),
            }
        }
    }
}

fn log(error: &present::Error) {
    tracing::error!(%error, "a set can not be shown");
}
