//! Links in one process, over two seeded [`Path`]s, on tokio's clock (which tests can stop and turn).
//!
//! Datagrams are lost as the path says. Control messages and frames are cut into packets and are reliable: a lost
//! packet costs a round trip. Priorities have no effect: the path is first in, first out.

mod carrier;

use crate::impair::{Fate, Impairment, Path};
use crate::link::{Config, End, Events, Frame, Kind, Link, LinkInfo, LinkStats, SendError, close_code};
use crate::{MAX_CONTROL_BYTES, MAX_PORTABLE_DATAGRAM};
use bytes::Bytes;
use carrier::{Carrier, Counters, Parcel, What};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Payload of one packet of a stream, and what wraps it.
const PAYLOAD: usize = 1160;
const OVERHEAD: usize = 40;

/// One end of a simulated link.
pub type Side = (Arc<dyn Link>, Events);

/// Makes two connected links: the server's side, then the client's. `up` is from the client to the server. Must be
/// called inside a tokio runtime.
#[must_use]
pub fn pair(server: Config, client: Config, up: Impairment, down: Impairment, seed: u64) -> (Side, Side) {
    let (server_events, server_queue) = mpsc::channel(server.event_queue.max(8));
    let (client_events, client_queue) = mpsc::channel(client.event_queue.max(8));
    let (server_end, client_end) = (Arc::new(End::default()), Arc::new(End::default()));
    let closed = Arc::new(watch::Sender::new(false));
    let start = Instant::now();
    let make = |path: Path, back: Duration, from: &Config, to: &Config, port, end: &Arc<End>, carrier: Carrier| {
        let (parcels, queue) = mpsc::unbounded_channel();
        let counters = Arc::clone(&carrier.counters);
        tokio::spawn(carrier.run(queue));
        let rtt = path.impairment().delay + back;
        Arc::new(Simulated {
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            config: *from,
            peer_frame_limit: to.max_frame_bytes,
            sending: Mutex::new(Sending {
                path,
                last_control: Duration::ZERO,
                sequence: 0,
                stats: LinkStats::default(),
            }),
            start,
            rtt,
            parcels,
            counters,
            end: Arc::clone(end),
        })
    };
    let down_carrier = Carrier::new(client_events.clone(), server_events.clone(), &client_end, &closed);
    let up_carrier = Carrier::new(server_events, client_events, &server_end, &closed);
    let down_path = Path::new(down, seed ^ 0x5bd1_e995);
    let server_link = make(down_path, up.delay, &server, &client, 2, &server_end, down_carrier);
    let client_link = make(
        Path::new(up, seed),
        down.delay,
        &client,
        &server,
        1,
        &client_end,
        up_carrier,
    );
    (
        (server_link, Events::new(server_queue, server_end)),
        (client_link, Events::new(client_queue, client_end)),
    )
}

struct Simulated {
    peer: SocketAddr,
    config: Config,
    peer_frame_limit: usize,
    sending: Mutex<Sending>,
    start: Instant,
    rtt: Duration,
    parcels: mpsc::UnboundedSender<Parcel>,
    counters: Arc<Counters>,
    end: Arc<End>,
}

struct Sending {
    path: Path,
    last_control: Duration,
    sequence: u64,
    stats: LinkStats,
}

impl Simulated {
    fn sending(&self) -> Result<MutexGuard<'_, Sending>, SendError> {
        if self.end.get().is_some() {
            return Err(SendError::Closed);
        }
        Ok(self.sending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn post(&self, sending: &mut Sending, at: Duration, what: What) {
        sending.sequence += 1;
        let _ = self.parcels.send(Parcel {
            at: self.start + at,
            sequence: sending.sequence,
            what,
        });
    }
}

impl Sending {
    fn packet(&mut self, now: Duration, len: usize, reliable: bool) -> Fate {
        let fate = if reliable {
            self.path.send_held_back(now, len)
        } else {
            self.path.send(now, len)
        };
        self.stats.sent_packets += 1;
        self.stats.sent_bytes += u64::try_from(len).unwrap_or(0);
        self.stats.lost_packets += u64::from(!matches!(fate, Fate::Arrives(_)));
        fate
    }

    /// When the last packet of a reliable message arrives.
    fn reliably(&mut self, now: Duration, len: usize, rtt: Duration) -> Duration {
        let mut last = now;
        let mut left = len.max(1);
        while left > 0 {
            let part = left.min(PAYLOAD);
            left -= part;
            // Each loss costs a round trip; a path that loses everything stalls for long, not forever.
            let late = (0..100).find_map(|tries| match self.packet(now, part + OVERHEAD, true) {
                Fate::Arrives(at) => Some(at + rtt.max(Duration::from_millis(1)) * tries),
                Fate::Lost | Fate::Overflowed => None,
            });
            last = last.max(late.unwrap_or(now + Duration::from_secs(3600)));
        }
        last
    }
}

impl Link for Simulated {
    fn info(&self) -> LinkInfo {
        LinkInfo {
            kind: Kind::Simulated,
            peer: self.peer,
            origin: None,
        }
    }

    fn send_control(&self, message: Bytes) -> Result<(), SendError> {
        if message.len() > MAX_CONTROL_BYTES {
            return Err(SendError::TooLong {
                len: message.len(),
                max: MAX_CONTROL_BYTES,
            });
        }
        let mut sending = self.sending()?;
        if self.counters.controls.load(Ordering::Relaxed) >= self.config.control_queue {
            return Err(SendError::Full);
        }
        self.counters.controls.fetch_add(1, Ordering::Relaxed);
        let at = sending
            .reliably(self.start.elapsed(), message.len() + 4, self.rtt)
            .max(sending.last_control);
        sending.last_control = at;
        self.post(&mut sending, at, What::Control(message));
        Ok(())
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<(), SendError> {
        let mut sending = self.sending()?;
        if datagram.len() > MAX_PORTABLE_DATAGRAM {
            return Err(SendError::TooLong {
                len: datagram.len(),
                max: MAX_PORTABLE_DATAGRAM,
            });
        }
        if let Fate::Arrives(at) = sending.packet(self.start.elapsed(), datagram.len() + OVERHEAD, false) {
            self.post(&mut sending, at, What::Datagram(datagram));
        }
        Ok(())
    }

    fn max_datagram_size(&self) -> usize {
        MAX_PORTABLE_DATAGRAM
    }

    fn send_frame(&self, frame: Frame) -> Result<(), SendError> {
        let mut sending = self.sending()?;
        if self.counters.frames.load(Ordering::Relaxed) >= self.config.max_frames_in_flight {
            return Err(SendError::Full);
        }
        self.counters.frames.fetch_add(1, Ordering::Relaxed);
        let now = self.start.elapsed();
        let arrival = sending.reliably(now, frame.len(), self.rtt);
        let acknowledged = arrival + self.rtt / 2;
        let deadline = now + frame.expires_in + self.rtt;
        let id = frame.id;
        if self.peer_frame_limit == 0 {
            self.post(&mut sending, acknowledged, What::Expired { id });
        } else if frame.len() > self.peer_frame_limit {
            let reason = format!("a frame of more than {} bytes", self.peer_frame_limit);
            self.post(
                &mut sending,
                arrival,
                What::Close {
                    code: close_code::PROTOCOL,
                    reason,
                },
            );
        } else if acknowledged > deadline {
            self.post(&mut sending, deadline, What::Expired { id });
        } else {
            self.post(&mut sending, arrival, What::Frame(frame.chunks));
            self.post(
                &mut sending,
                acknowledged,
                What::Sent {
                    id,
                    elapsed: acknowledged - now,
                },
            );
        }
        Ok(())
    }

    fn close(&self, code: u32, reason: &str) {
        let Ok(mut sending) = self.sending() else { return };
        if self.end.set(code, reason) {
            let at = (self.start.elapsed() + sending.path.impairment().delay).max(sending.last_control);
            self.post(
                &mut sending,
                at,
                What::Close {
                    code,
                    reason: reason.to_owned(),
                },
            );
        }
    }

    fn stats(&self) -> LinkStats {
        let sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        LinkStats {
            rtt: self.rtt,
            min_rtt: self.rtt,
            mtu: 1200,
            frames_in_flight: self.counters.frames.load(Ordering::Relaxed),
            datagrams_dropped: self.counters.dropped.load(Ordering::Relaxed),
            ..sending.stats
        }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.close(0, "");
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Link(Simulated {})", self.peer)
    }
}

#[cfg(test)]
mod tests;
