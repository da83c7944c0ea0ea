//! The link over a QUIC connection, plain or under WebTransport: one task for each lane, and one that ends them.

mod connection;
mod flights;
mod lanes;

pub(crate) use connection::Connection;

use crate::link::{Config, End, Event, Events, Frame, Link, LinkInfo, LinkStats, SendError};
use crate::{MAX_CONTROL_BYTES, close_code};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a closing link waits for its last control messages to arrive.
const LINGER: Duration = Duration::from_millis(500);

/// Which end opens the control lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What the tasks of a link share.
struct Shared {
    connection: Connection,
    config: Config,
    end: Arc<End>,
    closing: watch::Sender<bool>,
    datagrams_dropped: AtomicU64,
    flights: flights::Flights,
}

/// A frame on its way, holding its place among those in flight.
struct Job {
    frame: Frame,
    queued: Instant,
    _place: OwnedSemaphorePermit,
}

/// The handle; dropping the last one closes the connection.
struct Handle {
    shared: Arc<Shared>,
    origin: Option<String>,
    control: mpsc::Sender<Bytes>,
    places: Arc<Semaphore>,
}

/// Starts the tasks of a connected link. Must be called inside a tokio runtime.
pub(crate) fn start(
    connection: Connection,
    config: Config,
    side: Side,
    origin: Option<String>,
) -> (Arc<dyn Link>, Events) {
    let (events, queue) = mpsc::channel(config.event_queue.max(8));
    let (control, control_queue) = mpsc::channel(config.control_queue.max(1));
    let end = Arc::new(End::default());
    let shared = Arc::new(Shared {
        connection,
        config,
        end: Arc::clone(&end),
        closing: watch::Sender::new(false),
        datagrams_dropped: AtomicU64::new(0),
        flights: flights::Flights::default(),
    });
    tokio::spawn(run(Arc::clone(&shared), side, events, control_queue));
    let places = Arc::new(Semaphore::new(
        usize::try_from(config.max_frames_in_flight).unwrap_or(64),
    ));
    (
        Arc::new(Handle {
            shared,
            origin,
            control,
            places,
        }),
        Events::new(queue, end),
    )
}

async fn run(shared: Arc<Shared>, side: Side, events: mpsc::Sender<Event>, control: mpsc::Receiver<Bytes>) {
    let mut closing = shared.closing.subscribe();
    let mut control = tokio::spawn(lanes::control(Arc::clone(&shared), side, events.clone(), control));
    let mut others = JoinSet::new();
    others.spawn({
        let (shared, events) = (Arc::clone(&shared), events.clone());
        async move { shared.flights.follow(Arc::clone(&shared), events).await }
    });
    others.spawn(lanes::receive_frames(Arc::clone(&shared), events.clone()));
    let (code, reason) = tokio::select! {
        end = lanes::datagrams(&shared, &events) => end,
        () = begun(&mut closing) => {
            others.abort_all();
            // The control lane sends what was queued before the close.
            let _ = tokio::time::timeout(LINGER, &mut control).await;
            shared.end.get().unwrap_or_default()
        }
    };
    shared.end.set(code, &reason);
    let (code, reason) = shared.end.get().unwrap_or_default();
    shared
        .connection
        .quic()
        .close(quinn::VarInt::from_u32(code), reason.as_bytes());
    control.abort();
    others.shutdown().await;
    // A stream that could not be opened yet holds on to the link.
    shared.flights.forget();
}

/// Waits until the link begins to close.
async fn begun(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

impl Shared {
    /// Begins the end; [`run`] does the rest.
    fn close(&self, code: u32, reason: &str) {
        if self.end.set(code, reason) {
            self.closing.send_replace(true);
        }
    }

    fn is_closed(&self) -> bool {
        self.end.get().is_some()
    }
}

impl Link for Handle {
    fn info(&self) -> LinkInfo {
        let mut peer = self.shared.connection.quic().remote_address();
        peer.set_ip(peer.ip().to_canonical());
        LinkInfo {
            kind: self.shared.connection.kind(),
            peer,
            origin: self.origin.clone(),
        }
    }

    fn send_control(&self, message: Bytes) -> Result<(), SendError> {
        if message.len() > MAX_CONTROL_BYTES {
            return Err(SendError::TooLong {
                len: message.len(),
                max: MAX_CONTROL_BYTES,
            });
        }
        if self.shared.is_closed() {
            return Err(SendError::Closed);
        }
        self.control.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => SendError::Full,
            TrySendError::Closed(_) => SendError::Closed,
        })
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), SendError> {
        if self.shared.is_closed() {
            return Err(SendError::Closed);
        }
        if self.shared.connection.quic().datagram_send_buffer_space() < datagram.len() {
            self.shared.datagrams_dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.connection.send_datagram(datagram)
    }

    fn max_datagram_size(&self) -> usize {
        self.shared.connection.max_datagram_size()
    }

    fn send_frame(&self, frame: Frame) -> Result<(), SendError> {
        if self.shared.is_closed() {
            return Err(SendError::Closed);
        }
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| SendError::Full)?;
        let job = Job {
            frame,
            queued: Instant::now(),
            _place: place,
        };
        self.shared.flights.launch(&self.shared, job);
        Ok(())
    }

    fn close(&self, code: u32, reason: &str) {
        self.shared.close(code, reason);
    }

    fn stats(&self) -> LinkStats {
        let stats = self.shared.connection.quic().stats();
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        LinkStats {
            rtt: stats.path.rtt,
            min_rtt: stats.path.min_rtt,
            cwnd: stats.path.cwnd,
            sent_packets: stats.path.sent_packets,
            lost_packets: stats.path.lost_packets,
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
            mtu: stats.path.current_mtu,
            frames_in_flight: self.shared.config.max_frames_in_flight.saturating_sub(free),
            datagrams_dropped: self.shared.datagrams_dropped.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(0, "");
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Link({:?} {})",
            self.shared.connection.kind(),
            self.shared.connection.quic().remote_address()
        )
    }
}

/// Why a QUIC connection ended, in the terms of a link.
fn end_of(error: &quinn::ConnectionError) -> (u32, String) {
    use quinn::ConnectionError as Error;
    match error {
        Error::ApplicationClosed(close) => {
            let code = u32::try_from(close.error_code.into_inner()).unwrap_or(close_code::GONE);
            (code, String::from_utf8_lossy(&close.reason).into_owned())
        }
        Error::TimedOut => (close_code::TIMED_OUT, "nothing was heard from the peer".to_owned()),
        Error::LocallyClosed => (close_code::LOST, "closed by this side".to_owned()),
        other => (close_code::LOST, other.to_string()),
    }
}

/// QUIC's own settings, the same on both sides.
pub(crate) fn transport_config(config: &Config) -> quinn::TransportConfig {
    // HTTP/3 needs three unidirectional streams for itself, and WebTransport two bidirectional ones.
    let streams: u32 = if config.max_frame_bytes == 0 { 16 } else { 100 };
    let mut mtu = quinn::MtuDiscoveryConfig::default();
    mtu.upper_bound(1452);
    let mut transport = quinn::TransportConfig::default();
    transport
        .congestion_controller_factory(Arc::new(quinn::congestion::BbrConfig::default()))
        .keep_alive_interval(Some(config.keep_alive))
        .max_idle_timeout(quinn::IdleTimeout::try_from(config.max_idle).ok())
        .max_concurrent_uni_streams(streams.into())
        .max_concurrent_bidi_streams(4u32.into())
        .datagram_send_buffer_size(config.datagram_buffer)
        .datagram_receive_buffer_size(Some(256 << 10))
        .initial_mtu(1200)
        .mtu_discovery_config(Some(mtu));
    transport
}
