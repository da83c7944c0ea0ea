//! Drives a [`Headset`] over a link: sockets, timers and decoders.

mod clock;
mod decode;
mod display;
#[cfg(test)]
mod tests;

pub use clock::{Machine, Moment};
pub use decode::{Decode, Picture};
pub use display::{Display, Presented};

use crate::core::{self, Event, Headset, LocalPose};
use decode::{Decoded, Decoding};
use display::Cadence;
use protocol::control::RefusedReason;
use protocol::{ClientTime, SetId};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use stream::receive::StreamId;
use tokio::sync::watch;
use tongyou_protocol as protocol;
use tongyou_stream as stream;
use tongyou_transport as transport;
use transport::{Events, Link, ServerTrust};

/// How long a lost connection is tried again.
const RECONNECT_FOR: Duration = Duration::from_secs(60);
/// Attempts begin so often, and go on beside each other: one that has begun in a dead network repeats itself ever more
/// slowly, and would notice late that it is back.
const RECONNECT_EVERY: Duration = Duration::from_millis(500);
/// The first one waits for so long: a server that is being restarted refuses at once.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
/// A server from which nothing is heard for so long, not even answers to pings, is not there any more.
const SILENT: Duration = Duration::from_millis(4500);
/// When a wearer who gave no pose is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(67);
/// Close codes of a server that does not want this headset back: refused, and replaced by another connection of it.
const FINAL_CODES: [u32; 2] = [1, 2];
/// Frames at the decoder at once; the rest waits where it can still be skipped.
const MOST_DECODING: usize = 8;

/// A link that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = Result<(Arc<dyn Link>, Events), transport::Error>> + Send>>;
/// Makes a link to the server, and another one when that is lost.
pub type Connect = Arc<dyn Fn() -> Connecting + Send + Sync>;

/// Connects over QUIC. `server_name` is what the certificate is for; it does not matter where trust is a hash.
#[must_use]
pub fn quic(server: SocketAddr, server_name: impl Into<String>, trust: ServerTrust) -> Connect {
    let server_name = server_name.into();
    Arc::new(move || {
        let (server_name, trust) = (server_name.clone(), trust.clone());
        Box::pin(async move { transport::connect(server, &server_name, &trust, transport::Config::client()).await })
    })
}

/// Where and how a headset joins.
#[derive(Clone)]
pub struct Options {
    /// The way to the server.
    pub connect: Connect,
    /// What the headset says about itself.
    pub headset: core::Config,
    /// The headset's own clock.
    pub clock: Machine,
    /// What is done with pictures.
    pub decode: Decode,
}

/// The one who wears the headset: a person at a window, or a program.
pub trait Wearer: Send {
    /// How head and hands are held now; asked when a pose is due. `None` sends nothing.
    fn pose(&mut self, at: Moment, headset: &mut Headset) -> Option<LocalPose>;

    /// Something happened; wishes can be said to the headset.
    fn on_event(&mut self, at: Moment, event: &Event, headset: &mut Headset);

    /// A complete set has been decoded; only with [`Decode::All`].
    fn on_picture(&mut self, _at: Moment, _picture: Picture) {}

    /// What the wearer looks at; asked once for each link.
    fn display(&self) -> Display {
        Display::None
    }

    /// The display has presented another set; only with [`Display::Every`].
    fn on_presented(&mut self, _at: Moment, _presented: Presented) {}

    /// A picture or its depth can not be decoded.
    fn on_decode_error(&mut self, _at: Moment, _message: &str) {}

    /// A link stands, the first one or a later one.
    fn on_link(&mut self, _link: &Arc<dyn Link>) {}
}

/// Why a headset did not stay.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server can not be reached.
    #[error(transparent)]
    Transport(#[from] transport::Error),
    /// The server does not admit this headset.
    #[error("the server refused: {message} ({})", reason.as_str_name())]
    Refused {
        /// Why.
        reason: RefusedReason,
        /// Why, for a person.
        message: String,
    },
    /// The connection was lost and could not be made again.
    #[error("the connection was lost (code {code:#x}): {reason}")]
    Lost {
        /// The close code.
        code: u32,
        /// What the link said.
        reason: String,
    },
}

/// How a visit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The caller wanted to leave.
    Cancelled,
    /// The session is over; the server's words.
    Ended(String),
}

/// Joins, stays until the session ends or `cancel` becomes true, and comes back when the connection is lost.
///
/// # Errors
/// When the server can not be reached, refuses, or stays away for half a minute.
pub async fn run(options: Options, wearer: &mut dyn Wearer, cancel: watch::Receiver<bool>) -> Result<End, Error> {
    let mut headset = Headset::new(options.headset.clone());
    let mut cancelled = cancel.clone();
    let mut link = tokio::select! {
        biased;
        Ok(_) = cancelled.wait_for(|c| *c) => return Ok(End::Cancelled),
        link = (options.connect)() => link?,
    };
    loop {
        match drive(
            link,
            &mut headset,
            wearer,
            &options.clock,
            options.decode,
            cancel.clone(),
        )
        .await
        {
            Left::Cancelled => return Ok(End::Cancelled),
            Left::Ended(message) => return Ok(End::Ended(message)),
            Left::Refused { reason, message } => return Err(Error::Refused { reason, message }),
            Left::Closed { code, reason } => {
                let may_return = headset.resume_ticket().is_some() || headset.watches();
                if !may_return || FINAL_CODES.contains(&code) {
                    return Err(Error::Lost { code, reason });
                }
                tracing::warn!(code, reason, "connection lost, trying again");
                let Some(again) = connect_again(&options.connect, &cancel).await else {
                    return if *cancel.borrow() {
                        Ok(End::Cancelled)
                    } else {
                        Err(Error::Lost { code, reason })
                    };
                };
                link = again;
                headset.connect_again();
            }
        }
    }
}

async fn connect_again(connect: &Connect, cancel: &watch::Receiver<bool>) -> Option<(Arc<dyn Link>, Events)> {
    let begin = tokio::time::Instant::now();
    let mut due = tokio::time::interval_at(begin + RECONNECT_FIRST, RECONNECT_EVERY);
    let mut cancelled = cancel.clone();
    let mut attempts = tokio::task::JoinSet::new();
    while begin.elapsed() < RECONNECT_FOR {
        tokio::select! {
            biased;
            Ok(_) = cancelled.wait_for(|c| *c) => return None,
            Some(Ok(attempt)) = attempts.join_next() => match attempt {
                Ok(link) => return Some(link),
                Err(error) => tracing::debug!(%error, "still no connection"),
            },
            _ = due.tick() => { attempts.spawn(connect()); }
        }
    }
    None
}

/// How a link was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The caller wanted it.
    Cancelled,
    /// The session is over.
    Ended(String),
    /// Not admitted.
    Refused {
        /// Why.
        reason: RefusedReason,
        /// Why, for a person.
        message: String,
    },
    /// The link is gone.
    Closed {
        /// The close code.
        code: u32,
        /// What the link said.
        reason: String,
    },
}

/// Drives a headset over one link until it ends. Cheap to wait: one timer, no polling.
pub async fn drive(
    (link, mut events): (Arc<dyn Link>, Events),
    headset: &mut Headset,
    wearer: &mut dyn Wearer,
    clock: &Machine,
    decode: Decode,
    mut cancel: watch::Receiver<bool>,
) -> Left {
    wearer.on_link(&link);
    let display = wearer.display();
    let mut told = display.told();
    let mut driver = Driver {
        link,
        cadence: display.cadence(),
        at_once: matches!(display, Display::None),
        ask_from: clock.now().client,
        heard: clock.now().client,
        decode,
        headset,
        wearer,
        clock,
        decoding: Decoding::new(decode),
        left: None,
    };
    driver.drain(clock.now());
    loop {
        let timer = tokio::time::sleep_until(driver.wake_at());
        tokio::select! {
            biased;
            () = cancelled(&mut cancel) => {
                driver.headset.leave();
                driver.drain(clock.now());
                driver.link.close(0, "left");
                return Left::Cancelled;
            }
            () = timer => driver.on_timer(),
            Some(decoded) = driver.decoding.recv() => driver.on_decoded(decoded),
            presented = next_presented(&mut told) => driver.on_told(presented),
            event = events.recv() => {
                driver.on_link_event(event);
                // What arrived together is taken together.
                for _ in 0..32 {
                    let Some(event) = events.try_recv() else { break };
                    driver.on_link_event(Some(event));
                }
            }
        }
        if let Some(left) = driver.left.take() {
            driver.link.close(0, "over");
            return left;
        }
    }
}

async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    // When nobody is left who could cancel, nobody does.
    if cancel.wait_for(|c| *c).await.is_err() {
        std::future::pending().await
    }
}

/// What a real display presents next.
async fn next_presented(told: &mut Option<watch::Receiver<Option<Presented>>>) -> Presented {
    while let Some(display) = told {
        if display.changed().await.is_err() {
            *told = None;
        } else if let Some(presented) = *display.borrow_and_update() {
            return presented;
        }
    }
    std::future::pending().await
}

struct Driver<'a> {
    link: Arc<dyn Link>,
    /// A display of which only the rhythm is known.
    cadence: Option<Cadence>,
    /// There is no display.
    at_once: bool,
    /// A wearer who gave no pose is not asked again before this.
    ask_from: ClientTime,
    /// When something came from the server last.
    heard: ClientTime,
    decode: Decode,
    headset: &'a mut Headset,
    wearer: &'a mut dyn Wearer,
    clock: &'a Machine,
    decoding: Decoding,
    left: Option<Left>,
}

impl Driver<'_> {
    fn wake_at(&self) -> tokio::time::Instant {
        let now = self.clock.now().client;
        let idle = now + Duration::from_secs(1);
        let display = self.cadence.as_ref().and_then(Cadence::due);
        let silent = Some(self.heard + SILENT);
        let wake = [self.headset.poll_timeout(), self.pose_due(now), display, silent]
            .into_iter()
            .flatten()
            .fold(idle, ClientTime::min);
        self.clock.instant(wake)
    }

    /// When the wearer is asked for the next pose.
    fn pose_due(&self, now: ClientTime) -> Option<ClientTime> {
        self.headset.next_pose(now).map(|due| due.max(self.ask_from))
    }

    fn on_timer(&mut self) {
        let at = self.clock.now();
        if at.client >= self.heard + SILENT {
            self.leave(Left::Closed {
                code: transport::close_code::LOST,
                reason: "nothing is heard of the server".to_owned(),
            });
            return;
        }
        self.headset.on_timeout(at.client);
        self.drain(at);
        if self.pose_due(at.client).is_some_and(|due| due <= at.client) {
            match self.wearer.pose(at, self.headset) {
                Some(pose) if !self.headset.watches() => self.headset.set_pose(at.client, &pose),
                _ => self.ask_from = at.client + ASK_AGAIN,
            }
        }
        self.drain(at);
        if let Some(presented) = self.cadence.as_mut().and_then(|c| c.present(at, self.headset)) {
            self.headset.on_presented(at.client);
            self.wearer.on_presented(at, presented);
            self.drain(at);
        }
    }

    fn on_told(&mut self, presented: Presented) {
        // What was presented before a change says nothing about what came after it.
        if self.headset.shown() == Some(presented.stream) {
            self.headset.on_presented(self.clock.client_at(presented.machine_us));
        }
        self.drain(self.clock.now());
    }

    fn on_link_event(&mut self, event: Option<transport::Event>) {
        let at = self.clock.now();
        self.heard = at.client;
        match event {
            Some(transport::Event::Control(message)) => self.headset.on_control(at.client, &message),
            Some(transport::Event::Datagram(datagram)) => self.headset.on_datagram(at.client, &datagram),
            Some(transport::Event::Frame(frame)) => self.headset.on_frame(at.client, &frame),
            Some(transport::Event::FrameSent { .. } | transport::Event::FrameExpired { .. }) => {}
            Some(transport::Event::Closed { code, reason }) => self.leave(Left::Closed { code, reason }),
            None => self.leave(Left::Closed {
                code: transport::close_code::LOST,
                reason: "no link".to_owned(),
            }),
        }
        self.drain(at);
    }

    fn on_decoded(&mut self, decoded: Decoded) {
        let at = self.clock.now();
        match decoded {
            Decoded::Color { set, result: Ok(()) } => self.headset.on_decoded(at.client, set),
            Decoded::Color {
                set,
                result: Err(message),
            } => {
                self.wearer.on_decode_error(at, &message);
                self.headset.on_decode_failed(at.client, set);
            }
            Decoded::Picture(Ok(picture)) => {
                self.complete(picture.stream, picture.header.tag.set);
                self.wearer.on_picture(at, *picture);
            }
            Decoded::Picture(Err(message)) => self.wearer.on_decode_error(at, &message),
        }
        self.drain(at);
    }

    /// The first reason stays.
    fn leave(&mut self, left: Left) {
        self.left.get_or_insert(left);
    }

    fn drain(&mut self, at: Moment) {
        loop {
            if let Some(event) = self.headset.poll_event() {
                self.on_event(at, &event);
            } else if self.decoding.in_flight() < MOST_DECODING
                && let Some(frame) = self.headset.poll_decode()
            {
                if let Some(set) = self.decoding.color(frame) {
                    self.headset.on_decoded(at.client, set);
                }
            } else if let Some(message) = self.headset.poll_control() {
                if let Err(error) = self.link.send_control(message) {
                    self.leave(Left::Closed {
                        code: transport::close_code::LOST,
                        reason: error.to_string(),
                    });
                }
            } else if let Some(datagram) = self.headset.poll_datagram() {
                // Datagrams may be lost, here as well.
                let _ = self.link.send_datagram(datagram);
            } else {
                break;
            }
        }
        if let Some(cadence) = &mut self.cadence {
            cadence.update(at.client, self.headset);
        }
    }

    fn complete(&mut self, stream: StreamId, set: SetId) {
        if let Some(cadence) = &mut self.cadence {
            cadence.complete(stream, set);
        }
    }

    fn on_event(&mut self, at: Moment, event: &Event) {
        self.wearer.on_event(at, event, self.headset);
        match event {
            Event::StopApplied(applied) if self.at_once && applied.complete => self.headset.on_presented(at.client),
            Event::Complete(set) => {
                if self.at_once && self.headset.shown() == Some(set.stream) {
                    self.headset.on_presented(at.client);
                }
                if self.decode == Decode::Nothing {
                    self.complete(set.stream, set.color.tag.set);
                }
                self.decoding.complete(set);
            }
            Event::PictureDropped { set, .. } => self.decoding.forget(*set),
            Event::Refused { reason, message } => {
                self.leave(Left::Refused {
                    reason: *reason,
                    message: message.clone(),
                });
            }
            Event::Ended { message } => self.leave(Left::Ended(message.clone())),
            Event::Malformed { lane, message } => tracing::warn!(lane, message, "ignored"),
            _ => {}
        }
    }
}

/// Reads a SHA-256 in hexadecimal, as fingerprints are shown: 64 digits, colons and spaces do not matter.
///
/// # Errors
/// When it is not one.
pub fn parse_sha256(text: &str) -> Result<[u8; 32], BadSha256> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(BadSha256))
        .collect::<Result<_, _>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 {
        bytes.try_into().map_err(|_| BadSha256)
    } else {
        Err(BadSha256)
    }
}

/// The text is not a SHA-256 in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 has 64 hexadecimal digits")]
pub struct BadSha256;
