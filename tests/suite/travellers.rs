//! Headsets with a clock, a display and a diary, for tests that measure when something happened.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use glam::{Quat, Vec3};
use tokio::sync::watch;
use tongyou_client::core::{Config, Event, Headset, LocalJoint, LocalPose};
use tongyou_client::net::{self, Decode, Display, Machine, Moment, Options, Presented, Wearer};
use tongyou_protocol::{ClientTime, SetId};
use tongyou_stream::receive::StreamId;

/// What a headset lived through.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diary {
    pub(crate) changes: Vec<Change>,
    /// What was not as it should be.
    pub(crate) problems: Vec<String>,
    /// When it was let in, machine's monotonic clock.
    pub(crate) welcomed_us: Option<i64>,
    /// Complete sets in the order of their arrival.
    pub(crate) sets: Vec<Seen>,
}

/// A complete set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) machine_us: i64,
    pub(crate) stream: StreamId,
    pub(crate) set: SetId,
    /// Tour time as this headset knows it then, less the machine's clock.
    pub(crate) tour_minus_machine_us: Option<i64>,
}

/// A stop change as one headset carried it out; the machine's monotonic clock, microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) epoch: u32,
    /// In the timer's callback.
    pub(crate) applied_us: i64,
    /// When the display took the first picture of the stop.
    pub(crate) presented_us: Option<i64>,
    /// Whether a complete set of the stop was here in time.
    pub(crate) complete: bool,
}

/// Who travels, and how.
pub(crate) struct Traveller {
    pub(crate) name: String,
    pub(crate) code: String,
    /// Leads with this grant, and stays at a stop for this long.
    pub(crate) lead: Option<(String, Duration)>,
    pub(crate) connect: net::Connect,
    pub(crate) clock: Machine,
    pub(crate) display_hz: f32,
}

impl Traveller {
    /// Travels until cancelled.
    pub(crate) async fn travel(self, diary: Arc<Mutex<Diary>>, cancel: watch::Receiver<bool>) {
        let mut headset = Config::new(self.code, self.name);
        if let Some((grant, _)) = &self.lead {
            headset.guide_grant.clone_from(grant);
        }
        let options = Options {
            connect: self.connect,
            headset,
            clock: self.clock,
            decode: Decode::Nothing,
        };
        let mut head = Head {
            diary,
            stay: self.lead.map(|(_, stay)| stay),
            go_at: None,
            display_hz: self.display_hz,
        };
        if let Err(error) = net::run(options, &mut head, cancel).await {
            head.problem(error.to_string());
        }
    }
}

struct Head {
    diary: Arc<Mutex<Diary>>,
    stay: Option<Duration>,
    go_at: Option<ClientTime>,
    display_hz: f32,
}

impl Head {
    fn problem(&self, text: String) {
        self.diary.lock().unwrap().problems.push(text);
    }

    fn lead(&mut self, at: Moment, headset: &mut Headset) {
        let Some(stay) = self.stay.filter(|_| headset.leads()) else {
            return;
        };
        let due = *self.go_at.get_or_insert(at.client + stay);
        let (Some(current), Some(tour)) = (headset.current(), headset.tour()) else {
            return;
        };
        if at.client >= due {
            let stops = u32::try_from(tour.stops.len()).unwrap();
            headset.go_to_stop((current.stop + 1) % stops);
            // Said again where nothing came of it.
            self.go_at = Some(at.client + Duration::from_secs(10));
        }
    }
}

impl Wearer for Head {
    fn pose(&mut self, at: Moment, headset: &mut Headset) -> Option<LocalPose> {
        self.lead(at, headset);
        let head = LocalJoint {
            position: Vec3::new(0.0, 1.6, 0.0),
            rotation: Quat::IDENTITY,
        };
        Some(LocalPose {
            head,
            left: None,
            right: None,
            pointer: None,
        })
    }

    fn on_event(&mut self, at: Moment, event: &Event, headset: &mut Headset) {
        match event {
            Event::Welcome { .. } => {
                self.diary.lock().unwrap().welcomed_us = Some(at.machine_us);
                if self.stay.is_some() && !headset.leads() {
                    headset.take_lead();
                }
            }
            Event::StopApplied(applied) => {
                self.go_at = self.stay.map(|stay| at.client + stay);
                self.diary.lock().unwrap().changes.push(Change {
                    epoch: applied.epoch,
                    applied_us: at.machine_us,
                    presented_us: None,
                    complete: applied.complete,
                });
            }
            Event::Complete(set) if headset.shown() == Some(set.stream) => {
                let tour = headset.tour_time_at(at.client);
                self.diary.lock().unwrap().sets.push(Seen {
                    machine_us: at.machine_us,
                    stream: set.stream,
                    set: set.color.tag.set,
                    tour_minus_machine_us: tour.map(|t| t.0 - at.machine_us),
                });
            }
            Event::Malformed { lane, message } => self.problem(format!("{lane}: {message}")),
            _ => {}
        }
    }

    fn display(&self) -> Display {
        Display::Every { hz: self.display_hz }
    }

    fn on_presented(&mut self, at: Moment, presented: Presented) {
        let mut diary = self.diary.lock().unwrap();
        if let Some(change) = diary.changes.last_mut()
            && presented.stream.epoch == u16::try_from(change.epoch & 0xffff).unwrap()
        {
            assert!(presented.machine_us <= at.machine_us);
            change.presented_us.get_or_insert(presented.machine_us);
        }
    }
}
