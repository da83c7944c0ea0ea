//! The seam: what every kind of link can do, and what comes out of it.

use bytes::Bytes;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;

/// One connection. All sends return at once: what can not be queued is an error.
pub trait Link: Send + Sync + Debug {
    /// Who and what this link is.
    fn info(&self) -> LinkInfo;

    /// Queues a control message; they arrive in order, each whole.
    ///
    /// # Errors
    /// When it is too long, the queue is full, or the link is closed.
    fn send_control(&self, message: Bytes) -> Result<(), SendError>;

    /// Sends a datagram, which may be lost. When the send buffer is full the oldest datagrams give way, which
    /// [`LinkStats::datagrams_dropped`] counts.
    ///
    /// # Errors
    /// When it is too long for the path, the peer takes none, or the link is closed.
    fn send_datagram(&self, datagram: Bytes) -> Result<(), SendError>;

    /// The longest datagram that fits now, in bytes; it can change with the path.
    fn max_datagram_size(&self) -> usize;

    /// Queues a frame on its own stream. [`Event::FrameSent`] or [`Event::FrameExpired`] follows, unless the link
    /// closes first.
    ///
    /// # Errors
    /// When too many frames are in flight, or the link is closed.
    fn send_frame(&self, frame: Frame) -> Result<(), SendError>;

    /// Closes the link; the first code and reason stay. Both sides get [`Event::Closed`].
    fn close(&self, code: u32, reason: &str);

    /// Counters and estimates, cheap enough to ask ten times a second.
    fn stats(&self) -> LinkStats;
}

/// What carries a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Plain QUIC, native clients.
    Quic,
    /// WebTransport over HTTP/3, browsers.
    WebTransport,
    /// In process.
    Simulated,
}

/// Who and what a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// What carries it.
    pub kind: Kind,
    /// The peer's address as seen now; it changes when the peer migrates.
    pub peer: SocketAddr,
    /// The `Origin` of the page that opened a WebTransport session.
    pub origin: Option<String>,
}

/// A frame to send: its chunks are sent one after the other, without being copied.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The bytes, in pieces that other links may share.
    pub chunks: Vec<Bytes>,
    /// Streams of higher priority go first. The control lane is above all frames.
    pub priority: i32,
    /// The frame is given up when the peer has not acknowledged all of it after this time and one round trip.
    pub expires_in: Duration,
    /// Comes back in the events; chosen by the sender.
    pub id: u64,
}

impl Frame {
    /// Bytes in all chunks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    /// Whether there is not one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.iter().all(Bytes::is_empty)
    }
}

/// Why something was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The lane's queue is full: the peer or the path is too slow.
    #[error("the queue is full")]
    Full,
    /// Longer than the lane takes.
    #[error("{len} bytes, at most {max} can be sent")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The peer has no such lane.
    #[error("the peer takes no datagrams")]
    Unsupported,
    /// The link is closed or closing.
    #[error("the link is closed")]
    Closed,
}

/// What a link reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A control message, in order.
    Control(Bytes),
    /// A datagram, in any order.
    Datagram(Bytes),
    /// A whole frame, in the order of completion.
    Frame(Bytes),
    /// The peer has acknowledged all of a frame.
    FrameSent {
        /// As given in [`Frame::id`].
        id: u64,
        /// From [`Link::send_frame`] to the last acknowledgement.
        elapsed: Duration,
    },
    /// A frame was given up: too late, or the peer stopped it.
    FrameExpired {
        /// As given in [`Frame::id`].
        id: u64,
    },
    /// The link is gone; the last event.
    Closed {
        /// The code of the side that closed, or one of [`close_code`].
        code: u32,
        /// Why, for people.
        reason: String,
    },
}

/// Codes that the transport itself closes with, far from those of the application.
pub mod close_code {
    /// The peer broke the rules of the lanes.
    pub const PROTOCOL: u32 = 0x7400;
    /// Nothing was heard for the idle time.
    pub const TIMED_OUT: u32 = 0x7401;
    /// The connection broke: reset, refused or violated below this crate.
    pub const LOST: u32 = 0x7402;
    /// The peer closed without saying why.
    pub const GONE: u32 = 0x7403;
}

/// Counters and estimates of one link.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LinkStats {
    /// Smoothed round trip time.
    pub rtt: Duration,
    /// Shortest round trip time seen.
    pub min_rtt: Duration,
    /// Congestion window in bytes.
    pub cwnd: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets deemed lost.
    pub lost_packets: u64,
    /// UDP payload bytes sent.
    pub sent_bytes: u64,
    /// UDP payload bytes received.
    pub received_bytes: u64,
    /// Path MTU in bytes.
    pub mtu: u16,
    /// Frames queued or not yet acknowledged.
    pub frames_in_flight: u32,
    /// Datagrams that gave way in the send buffer or were not collected from [`Events`] in time.
    pub datagrams_dropped: u64,
}

/// Limits and times of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The longest frame that is received, in bytes; 0 refuses all frames.
    pub max_frame_bytes: usize,
    /// Frames queued or unacknowledged at once, for sending.
    pub max_frames_in_flight: u32,
    /// Control messages queued for sending.
    pub control_queue: usize,
    /// Events waiting to be collected; datagrams beyond are dropped, the rest waits.
    pub event_queue: usize,
    /// How often an idle link is probed.
    pub keep_alive: Duration,
    /// When a silent peer counts as gone.
    pub max_idle: Duration,
    /// Bytes of datagrams waiting to be sent.
    pub datagram_buffer: usize,
    /// Longest time for a handshake.
    pub handshake_timeout: Duration,
}

impl Config {
    /// For a client: receives frames up to 8 MiB.
    #[must_use]
    pub fn client() -> Self {
        Self {
            max_frame_bytes: 8 << 20,
            max_frames_in_flight: 64,
            control_queue: 256,
            event_queue: 512,
            keep_alive: Duration::from_secs(1),
            max_idle: Duration::from_secs(4),
            datagram_buffer: 256 << 10,
            handshake_timeout: Duration::from_secs(5),
        }
    }

    /// For a server: receives no frames.
    #[must_use]
    pub fn server() -> Self {
        Self {
            max_frame_bytes: 0,
            ..Self::client()
        }
    }
}

/// The receiving end of a link.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
    end: Arc<End>,
    finished: bool,
}

impl Events {
    pub(crate) fn new(queue: mpsc::Receiver<Event>, end: Arc<End>) -> Self {
        Self {
            queue,
            end,
            finished: false,
        }
    }

    /// The next event; [`Event::Closed`] comes once, last, after everything that arrived before it. `None` after
    /// that. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Event> {
        match self.queue.recv().await {
            Some(event) => Some(event),
            None => self.closed(),
        }
    }

    /// The next event if there is one already.
    pub fn try_recv(&mut self) -> Option<Event> {
        match self.queue.try_recv() {
            Ok(event) => Some(event),
            Err(mpsc::error::TryRecvError::Empty) => None,
            Err(mpsc::error::TryRecvError::Disconnected) => self.closed(),
        }
    }

    fn closed(&mut self) -> Option<Event> {
        if std::mem::replace(&mut self.finished, true) {
            return None;
        }
        let (code, reason) = self
            .end
            .get()
            .unwrap_or((close_code::LOST, "the link was dropped".to_owned()));
        Some(Event::Closed { code, reason })
    }
}

/// Why a link ended; the first reason stays.
#[derive(Debug, Default)]
pub(crate) struct End(OnceLock<(u32, String)>);

impl End {
    pub(crate) fn set(&self, code: u32, reason: &str) -> bool {
        self.0.set((code, reason.to_owned())).is_ok()
    }

    pub(crate) fn get(&self) -> Option<(u32, String)> {
        self.0.get().cloned()
    }
}
