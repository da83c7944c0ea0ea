//! One direction of a link over a [`Path`]: control in order and complete, frames complete or given up, datagrams as
//! it comes. A lost packet of what is reliable costs a round trip, as on the simulated link.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tongyou_session::{LinkId, SessionKey};
use tongyou_stream::fanout::Outgoing;
use tongyou_transport::impair::{Fate, Impairment, Path};

use super::micros;

/// Payload of one packet of a stream, and what wraps it.
const PAYLOAD: usize = 1160;
const OVERHEAD: usize = 40;

/// What travels.
pub(super) enum Sent {
    Control(Bytes),
    Datagram(Bytes),
    Frame(Bytes),
    /// For the server: a frame has arrived.
    Delivered(u64),
    /// For the server: a frame was given up.
    Expired(u64),
}

pub(super) struct Lanes {
    path: Path,
    round_trip: Duration,
    last_control_us: i64,
}

impl Lanes {
    pub(super) fn new(impairment: Impairment, seed: u64) -> Self {
        Self {
            path: Path::new(impairment, seed),
            round_trip: impairment.delay * 2 + impairment.jitter,
            last_control_us: 0,
        }
    }

    /// When it arrives; `None` when it is lost.
    pub(super) fn arrival(&mut self, now_us: i64, sent: &Sent) -> Option<i64> {
        match sent {
            Sent::Control(bytes) => {
                let at_us = self.reliably(now_us, bytes.len() + 4).max(self.last_control_us);
                self.last_control_us = at_us;
                Some(at_us)
            }
            Sent::Datagram(bytes) => self.packet(now_us, bytes.len() + OVERHEAD),
            Sent::Frame(_) | Sent::Delivered(_) | Sent::Expired(_) => unreachable!("see `frame`"),
        }
    }

    /// When a frame arrives whole, or when it is given up.
    pub(super) fn frame(&mut self, now_us: i64, send: &Outgoing<SessionKey, LinkId>) -> (i64, Sent) {
        let len = send.chunks.iter().map(Bytes::len).sum();
        let at_us = self.reliably(now_us, len);
        let until_us = now_us + micros(send.expires_in) + micros(self.round_trip) / 2;
        if at_us > until_us {
            return (until_us, Sent::Expired(send.id));
        }
        let mut whole = BytesMut::with_capacity(len);
        send.chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
        (at_us, Sent::Frame(whole.freeze()))
    }

    fn packet(&mut self, now_us: i64, len: usize) -> Option<i64> {
        match self
            .path
            .send(Duration::from_micros(u64::try_from(now_us).unwrap()), len)
        {
            Fate::Arrives(at) => Some(micros(at)),
            Fate::Lost | Fate::Overflowed => None,
        }
    }

    fn reliably(&mut self, now_us: i64, len: usize) -> i64 {
        let round_trip_us = micros(self.round_trip);
        let mut last_us = now_us;
        for _ in 0..len.max(1).div_ceil(PAYLOAD) {
            let arrives = (0..64).find_map(|tries| {
                let at_us = self.packet(now_us, PAYLOAD + OVERHEAD)?;
                Some(at_us + tries * round_trip_us)
            });
            last_us = last_us.max(arrives.expect("64 packets lost in a row"));
        }
        last_us
    }
}
