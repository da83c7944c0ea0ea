//! The tick thread: owns every session and every sender; everything reaches it as an [`Event`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tongyou_protocol::ServerTime;
use tongyou_protocol::control::server_message::Body;
use tongyou_protocol::control::{Ended, Notice, RefusedReason, ServerMessage};
use tongyou_protocol::frame::Layer;
use tongyou_session::{CloseCode, Input, Level, LinkId, Output, Registry};
use tongyou_transport::Event as LinkEvent;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::event::{Ask, Event, Granted, Inbox};
use crate::fanout::{self, Fanout, Links};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::slot::{SharedSlot, Wanted};
use crate::stamps;
use crate::watch::Watch;

/// Ticks a second: the display rate of a common headset.
const TICK_HZ: f64 = 72.0;
/// A renderer that has not carried out a wish for so long does not work.
const RENDERER_SILENT: Duration = Duration::from_secs(3);
/// How often the sessions are told how long the paths to their headsets are.
const ASK_PATHS: Duration = Duration::from_secs(1);
/// How long a link has to flush its last control messages before it is closed.
const CLOSE_GRACE: Duration = Duration::from_millis(300);

/// The tick thread's state.
pub(crate) struct Tick {
    pub(crate) registry: Registry,
    pub(crate) fanout: Fanout,
    pub(crate) watch: Watch,
    pub(crate) outbox: Outbox,
    pub(crate) clock: Clock,
    pub(crate) slot: SharedSlot,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) capacity: u16,
    links: Links,
    closing: BTreeMap<LinkId, Closing>,
    /// When the paths were last asked how long they are.
    asked_at: ServerTime,
}

/// A link that is closed once its last messages had time to leave.
struct Closing {
    at: ServerTime,
    code: u32,
    reason: String,
}

impl Tick {
    #[expect(clippy::too_many_arguments, reason = "one call")]
    pub(crate) fn new(
        registry: Registry,
        fanout: Fanout,
        watch: Watch,
        outbox: Outbox,
        clock: Clock,
        slot: SharedSlot,
        metrics: Arc<Metrics>,
        capacity: u16,
    ) -> Self {
        Self {
            registry,
            fanout,
            watch,
            outbox,
            clock,
            slot,
            metrics,
            capacity,
            links: BTreeMap::new(),
            closing: BTreeMap::new(),
            asked_at: clock.now(),
        }
    }

    /// Runs until it is told to stop or nobody can send events any more.
    pub(crate) async fn run(mut self, mut events: Inbox) {
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / TICK_HZ));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                // The tick goes first: a flood of events must not hold back time.
                biased;
                due = ticks.tick() => {
                    let began = Instant::now();
                    while let Some(event) = events.with_tick() {
                        self.handle(event);
                    }
                    self.tick();
                    self.metrics.tick_work.record(began.elapsed());
                    self.metrics.tick.record(due.elapsed());
                }
                event = events.recv() => match event {
                    Some(Event::Stop { reason, done }) => {
                        self.stop(&reason).await;
                        let _ = done.send(());
                        return;
                    }
                    Some(event) => {
                        self.handle(event);
                        self.drain();
                    }
                    None => return,
                },
            }
            self.outbox.flush();
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        if now.saturating_since(self.asked_at) >= ASK_PATHS {
            self.asked_at = now;
            for (link, handle) in &self.links {
                self.registry.set_rtt(now, *link, handle.stats().rtt);
            }
        }
        let load = self.slot.load();
        self.registry.set_load(load.share);
        let ticks = self.registry.tick(now);
        self.drain();
        let software = if load.is_software { load.share } else { 0.0 };
        let wanted = self.watch.wanted(now, &ticks, &self.fanout, software);
        self.fanout
            .sync(now, wanted.iter().map(|(key, links)| (*key, links.as_slice())));
        let layers = wanted.iter().map(|(key, _)| *key);
        let layers = layers.filter(|key| key.layer != Layer::Base).collect();
        fanout::send(&mut self.fanout, now, &self.links, &mut self.outbox);
        if self.renderer_works(now) {
            fanout::heartbeat(&mut self.fanout, now, &self.links, &mut self.outbox);
        }
        let quality = self.fanout.quality(now).clone();
        let stale = self.fanout.take_stale();
        self.slot.put(Wanted {
            at: now,
            ticks,
            quality,
            layers,
            stale,
        });
        while let Some((link, _)) = self.closing.iter().find(|(_, c)| c.at <= now).map(|(l, c)| (*l, c.at)) {
            self.close_now(link);
        }
    }

    fn renderer_works(&self, now: ServerTime) -> bool {
        let last = self.slot.last_carried_out();
        last.is_some_and(|last| now.saturating_since(last) < RENDERER_SILENT)
    }

    fn handle(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Connected { link, handle } => {
                let info = handle.info();
                debug!("link {}: {:?} from {}", link.0, info.kind, info.peer);
                self.links.insert(link, handle);
                self.metrics.links_opened.add(1);
                self.registry.handle(
                    now,
                    link,
                    Input::Connected {
                        address: info.peer.ip(),
                    },
                );
            }
            Event::Link { link, at, event } => match event {
                LinkEvent::Control(bytes) => self.registry.handle(at, link, Input::Control(&bytes)),
                LinkEvent::Datagram(bytes) => {
                    self.metrics.datagrams_received.add(1);
                    stamps::datagram_in(link, &bytes, at, now);
                    self.registry.handle(at, link, Input::Datagram(&bytes));
                }
                LinkEvent::FrameSent { id, .. } => {
                    self.metrics.frames_delivered.add(1);
                    self.fanout.finished(now, link, id, true);
                }
                LinkEvent::FrameExpired { id } => {
                    self.metrics.frames_expired.add(1);
                    self.fanout.finished(now, link, id, false);
                }
                LinkEvent::Closed { code, reason } => {
                    debug!("link {} closed: {reason} ({code:#x})", link.0);
                    self.forget(link);
                    self.registry.handle(at, link, Input::Disconnected);
                }
                // The transport refuses frames from headsets.
                LinkEvent::Frame(_) => {}
            },
            Event::Encoded { key, frames } => {
                self.fanout.offer(now, &key, &frames);
                fanout::send(&mut self.fanout, now, &self.links, &mut self.outbox);
            }
            Event::Ask(ask) => self.answer(ask),
            Event::Stop { .. } => {}
        }
    }

    fn answer(&mut self, ask: Ask) {
        let now = self.clock.now();
        // Who asked may have gone away; then the answer has no reader.
        match ask {
            Ask::Sessions(answer) => drop(answer.send(self.registry.sessions(now))),
            Ask::Create { tour, answer } => {
                let created = self.registry.create_session(now, &tour, Some(self.capacity));
                drop(answer.send(created.and_then(|code| self.granted(code))));
            }
            Ask::Grant { code, answer } => drop(answer.send(self.granted(code))),
        }
    }

    fn granted(&mut self, code: tongyou_protocol::SessionCode) -> Result<Granted, tongyou_session::Error> {
        let grant = self.registry.issue_grant(self.clock.now(), code)?;
        Ok(Granted { code, grant })
    }

    fn drain(&mut self) {
        while let Some(output) = self.registry.poll_output(self.clock.now()) {
            match output {
                Output::Control { link, message } => {
                    let Some(handle) = self.links.get(&link) else { continue };
                    if let Err(e) = handle.send_control(message.to_bytes()) {
                        // A headset that can not follow its control lane has lost the tour: it comes back anew.
                        warn!("link {}: control message not sent: {e}", link.0);
                        handle.close(1, "the control lane is full");
                    }
                }
                Output::Datagram { link, bytes } => {
                    if let Some(handle) = self.links.get(&link) {
                        stamps::datagram_out(link, &bytes, self.clock.now());
                        self.outbox.datagram(handle, bytes);
                    }
                }
                Output::Close { link, code, reason } => {
                    self.fanout.remove(link);
                    if let (Some(words), Some(handle)) = (last_words(code, &reason), self.links.get(&link)) {
                        // The link closes anyway; one that is full hears nothing more.
                        let _ = handle.send_control(words.to_bytes());
                    }
                    let at = self.clock.now() + CLOSE_GRACE;
                    self.closing.insert(
                        link,
                        Closing {
                            at,
                            code: code as u32,
                            reason,
                        },
                    );
                }
                Output::Feedback { link, feedback } => self.fanout.feedback(self.clock.now(), link, &feedback),
                Output::Skew {
                    session,
                    headset,
                    report,
                } => debug!(
                    "session {}: headset {headset} applied change {} {} µs from the agreed instant, first picture {} µs",
                    session.0, report.epoch, report.applied_us, report.presented_us
                ),
                Output::Log {
                    level: Level::Debug,
                    message,
                } => debug!("{message}"),
                Output::Log {
                    level: Level::Info,
                    message,
                } => info!("{message}"),
                Output::Log {
                    level: Level::Warn,
                    message,
                } => warn!("{message}"),
                Output::SessionEnded { session } => info!("session {} has ended", session.0),
            }
        }
    }

    fn forget(&mut self, link: LinkId) {
        if self.links.remove(&link).is_some() {
            self.metrics.links_closed.add(1);
        }
        self.closing.remove(&link);
        self.fanout.remove(link);
    }

    fn close_now(&mut self, link: LinkId) {
        if let Some(closing) = self.closing.remove(&link)
            && let Some(handle) = self.links.get(&link)
        {
            handle.close(closing.code, &closing.reason);
        }
    }

    /// Ends every session, gives the last messages time to leave and closes every link.
    async fn stop(&mut self, reason: &str) {
        let now = self.clock.now();
        for session in self.registry.sessions(now) {
            // It was there a moment ago; if not, there is nothing to end.
            let _ = self.registry.end_session(now, session.code);
        }
        self.drain();
        if !self.links.is_empty() {
            tokio::time::sleep(CLOSE_GRACE).await;
        }
        for handle in self.links.values() {
            handle.close(0, reason);
        }
        self.slot.close();
    }
}

/// Why a link is closed, as a message: a browser is not told the reason of a close. `None` where the session has said
/// it before.
fn last_words(code: CloseCode, reason: &str) -> Option<ServerMessage> {
    let message = reason.to_owned();
    match code {
        CloseCode::Done | CloseCode::Refused => None,
        // Who is replaced by another connection, or floods, must not come back by itself.
        CloseCode::Replaced | CloseCode::Flood => Some(Body::Ended(Ended { message }).into()),
        CloseCode::Silent => {
            let reason = RefusedReason::RefusedUnspecified.into();
            Some(Body::Notice(Notice { reason, message }).into())
        }
    }
}

#[cfg(test)]
mod tests;
