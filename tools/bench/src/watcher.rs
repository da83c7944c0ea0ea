//! A headset that notes when what arrived, was decoded and was shown, on its estimate of server time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::watch;
use tongyou_client::core::{Config, Event as Happened, Headset};
use tongyou_client::net::Machine;
use tongyou_media::decode::{Decoder, OpenH264, Picture};
use tongyou_protocol::datagram::Datagram;
use tongyou_protocol::depth::Cube;
use tongyou_protocol::frame::{Frame, Layer};
use tongyou_protocol::{ClientTime, SetId};
use tongyou_stream::jitter::instant_us;
use tongyou_stream::receive::{Complete, StreamId};
use tongyou_transport::{Event, Events, Link};

use crate::faces;

/// Refreshes a second of the display.
const DISPLAY_HZ: f64 = 72.0;

/// When one set was where, microseconds of server time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetSeen {
    /// Its last frame was here.
    pub complete: i64,
    /// Colour and depth were decoded.
    pub decoded: i64,
    /// The display's first refresh after that.
    pub presented: i64,
}

/// Everything that was noted.
#[derive(Debug, Default)]
pub struct Notes {
    /// The headset's id.
    pub headset: u16,
    /// Sets that were presented.
    pub sets: BTreeMap<u32, SetSeen>,
    /// When a pose arrived first, and when it was shown: by headset and time of the pose in units of 100 µs.
    pub poses: BTreeMap<(u16, u32), (i64, Option<i64>)>,
    /// Least number of faces in which something moved from one picture to the next.
    pub least_moving: Option<usize>,
    /// The clock's own estimate of its error, microseconds.
    pub clock_error_us: u128,
}

struct Watcher {
    link: Arc<dyn Link>,
    headset: Headset,
    machine: Machine,
    notes: Notes,
    arrived: BTreeMap<SetId, i64>,
    /// One for each layer, as in a headset.
    decoders: BTreeMap<StreamId, OpenH264>,
    pictures: BTreeMap<SetId, Picture>,
    cubes: BTreeMap<SetId, Arc<Cube>>,
    shown: Option<Picture>,
    /// Decoded and not presented yet.
    next: Option<SetId>,
    /// Of each person, the time of the pose that was shown last.
    played: BTreeMap<u16, i64>,
}

/// Watches until it is told to stop.
///
/// # Errors
/// When something that arrives is wrong or can not be decoded.
pub async fn watch_until(
    (link, mut events): (Arc<dyn Link>, Events),
    code: String,
    mut stopped: watch::Receiver<bool>,
) -> Result<Notes> {
    let config = Config {
        simulated: true,
        ..Config::new(code, "Watcher")
    };
    let mut watcher = Watcher {
        link,
        headset: Headset::new(config),
        machine: Machine::default(),
        notes: Notes::default(),
        arrived: BTreeMap::new(),
        decoders: BTreeMap::new(),
        pictures: BTreeMap::new(),
        cubes: BTreeMap::new(),
        shown: None,
        next: None,
        played: BTreeMap::new(),
    };
    let mut display = tokio::time::interval(Duration::from_secs_f64(1.0 / DISPLAY_HZ));
    display.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    watcher.drain()?;
    loop {
        let now = watcher.now();
        let wake = watcher
            .headset
            .poll_timeout()
            .unwrap_or(now + Duration::from_millis(50));
        tokio::select! {
            biased;
            _ = stopped.wait_for(|s| *s) => break,
            _ = display.tick() => watcher.present(),
            () = tokio::time::sleep_until(watcher.machine.instant(wake)) => {
                let now = watcher.now();
                watcher.headset.on_timeout(now);
            }
            event = events.recv() => watcher.take(event.context("the link is gone")?)?,
        }
        watcher.drain()?;
    }
    watcher.link.close(0, "left");
    let clock = watcher
        .headset
        .clock()
        .error_estimate()
        .context("the clock was never set")?;
    watcher.notes.clock_error_us = clock.as_micros();
    watcher.notes.headset = watcher.headset.id().context("never welcome")?.0;
    Ok(watcher.notes)
}

impl Watcher {
    fn now(&self) -> ClientTime {
        self.machine.now().client
    }

    fn server_us(&self) -> Option<i64> {
        Some(self.headset.server_at(self.now())?.0)
    }

    fn take(&mut self, event: Event) -> Result<()> {
        let now = self.now();
        match event {
            Event::Control(bytes) => self.headset.on_control(now, &bytes),
            Event::Datagram(bytes) => {
                self.headset.on_datagram(now, &bytes);
                if let (Ok(Datagram::Avatars(avatars)), Some(server)) =
                    (Datagram::from_bytes(&bytes), self.headset.server_at(now))
                {
                    for (who, body) in avatars.people {
                        let key = (who.0, body.time_100us);
                        self.notes.poses.entry(key).or_insert((server.0, None));
                    }
                }
            }
            Event::Frame(bytes) => {
                if let Some(server) = self.headset.server_at(now) {
                    let set = Frame::from_bytes(&bytes)?.header.tag.set;
                    let arrived = self.arrived.entry(set).or_insert(server.0);
                    *arrived = (*arrived).max(server.0);
                }
                self.headset.on_frame(now, &bytes);
            }
            Event::Closed { reason, .. } => bail!("the link closed: {reason}"),
            Event::FrameSent { .. } | Event::FrameExpired { .. } => {}
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        loop {
            if let Some(event) = self.headset.poll_event() {
                match event {
                    Happened::Complete(set) => self.complete(&set)?,
                    Happened::Malformed { lane, message } => bail!("{lane}: {message}"),
                    Happened::Refused { message, .. } => bail!("refused: {message}"),
                    _ => {}
                }
            } else if let Some(frame) = self.headset.poll_decode() {
                let set = frame.header.tag.set;
                self.decode(&frame)?;
                self.headset.on_decoded(self.machine.now().client, set);
            } else if let Some(message) = self.headset.poll_control() {
                self.link.send_control(message)?;
            } else if let Some(datagram) = self.headset.poll_datagram() {
                // Datagrams may be lost.
                let _ = self.link.send_datagram(datagram);
            } else {
                return Ok(());
            }
        }
    }

    fn decode(&mut self, frame: &Frame) -> Result<()> {
        let stream = StreamId::of(&frame.header);
        if !self.decoders.contains_key(&stream) {
            // Layers of a vantage that is not shown any more come no more.
            self.decoders
                .retain(|of, _| (of.epoch, of.vantage) == (stream.epoch, stream.vantage));
            self.decoders.insert(stream, OpenH264::new()?);
        }
        let decoder = self.decoders.get_mut(&stream).context("no decoder")?;
        let picture = decoder.decode(&frame.payload)?;
        // What is measured is the base; the other layers only cost their decoding.
        if stream.layer != Layer::Base {
            return Ok(());
        }
        self.pictures.insert(frame.header.tag.set, picture);
        if self.pictures.len() > 16 {
            self.pictures.pop_first();
        }
        Ok(())
    }

    fn complete(&mut self, set: &Complete) -> Result<()> {
        let id = set.color.tag.set;
        if set.stream.layer != Layer::Base {
            return Ok(());
        }
        let keyframe = set.depth_keyframe.as_ref().map(|f| self.cube(f, None)).transpose()?;
        let depth = set.depth.as_ref().with_context(|| format!("set {id} has no depth"))?;
        self.cube(depth, keyframe.as_deref())?;
        let picture = self
            .pictures
            .remove(&id)
            .with_context(|| format!("set {id} has no picture"))?;
        let arrived = self.arrived.remove(&id);
        if let (Some(complete), Some(decoded)) = (arrived, self.server_us()) {
            let seen = SetSeen {
                complete,
                decoded,
                presented: 0,
            };
            self.notes.sets.insert(id.0, seen);
            // One that is overtaken before the display's refresh is never presented.
            if let Some(overtaken) = self.next.replace(id) {
                self.notes.sets.remove(&overtaken.0);
            }
        }
        if let Some(before) = self.shown.replace(picture)
            && let Some(after) = &self.shown
        {
            let moving = faces::moving_faces(&before, after);
            let least = self.notes.least_moving.get_or_insert(moving);
            *least = moving.min(*least);
        }
        Ok(())
    }

    fn cube(&mut self, frame: &Frame, keyframe: Option<&Cube>) -> Result<Arc<Cube>> {
        let set = frame.header.tag.set;
        if let Some(cube) = self.cubes.get(&set) {
            return Ok(Arc::clone(cube));
        }
        let cube = Arc::new(Cube::decode(&frame.payload, keyframe)?);
        self.cubes.insert(set, Arc::clone(&cube));
        if self.cubes.len() > 4 {
            self.cubes.pop_first();
        }
        Ok(cube)
    }

    /// A refresh of the display.
    fn present(&mut self) {
        let now = self.now();
        let Some(server) = self.headset.server_at(now) else {
            return;
        };
        if let Some(seen) = self.next.take().and_then(|set| self.notes.sets.get_mut(&set.0)) {
            seen.presented = server.0;
        }
        for (who, body) in self.headset.avatars(now) {
            let at_us = instant_us(server, body.time_100us);
            let from_us = self.played.insert(who.0, at_us).unwrap_or(at_us);
            // All poses between the one that was shown last and this one are shown now.
            let bounds = |us: i64| u32::try_from(us / 100).unwrap_or(0);
            let (low, high) = (bounds(from_us), bounds(at_us));
            if low < high {
                for (_, (_, shown)) in self.notes.poses.range_mut((who.0, low + 1)..=(who.0, high)) {
                    shown.get_or_insert(server.0);
                }
            }
        }
    }
}

/// Notes whose every number is there.
///
/// # Errors
/// When too little was seen.
pub fn check(notes: &Notes) -> Result<()> {
    let moving = notes.least_moving.context("no pictures were compared")?;
    ensure!(moving >= 2, "only in {moving} faces something moves between two sets");
    ensure!(
        notes.clock_error_us < 5_000,
        "the clock may be wrong by {} µs",
        notes.clock_error_us
    );
    Ok(())
}
