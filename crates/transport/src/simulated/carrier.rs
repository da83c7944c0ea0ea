//! Carries what was sent in one direction and hands it over when its time has come.

use crate::link::{End, Event};
use bytes::{Bytes, BytesMut};
use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Something on its way.
pub(super) struct Parcel {
    pub(super) at: Instant,
    pub(super) sequence: u64,
    pub(super) what: What,
}

pub(super) enum What {
    Control(Bytes),
    Datagram(Bytes),
    Frame(Vec<Bytes>),
    /// For the sender.
    Sent {
        id: u64,
        elapsed: Duration,
    },
    /// For the sender.
    Expired {
        id: u64,
    },
    Close {
        code: u32,
        reason: String,
    },
}

/// What the sender may still add to.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) controls: AtomicUsize,
    pub(super) frames: AtomicU32,
    pub(super) dropped: AtomicU64,
}

pub(super) struct Carrier {
    to: mpsc::Sender<Event>,
    back: mpsc::Sender<Event>,
    to_end: Arc<End>,
    closed: Arc<watch::Sender<bool>>,
    pub(super) counters: Arc<Counters>,
}

impl Carrier {
    pub(super) fn new(
        to: mpsc::Sender<Event>,
        back: mpsc::Sender<Event>,
        to_end: &Arc<End>,
        closed: &Arc<watch::Sender<bool>>,
    ) -> Self {
        Self {
            to,
            back,
            to_end: Arc::clone(to_end),
            closed: Arc::clone(closed),
            counters: Arc::default(),
        }
    }

    pub(super) async fn run(self, mut queue: mpsc::UnboundedReceiver<Parcel>) {
        let mut closed = self.closed.subscribe();
        let mut pending = BinaryHeap::new();
        let carrying = async {
            loop {
                let due = pending.peek().map(|parcel: &Parcel| parcel.at);
                let parcel = tokio::select! {
                    biased;
                    parcel = queue.recv() => parcel,
                    () = wait(due) => {
                        if let Some(parcel) = pending.pop() && self.deliver(parcel.what).await.is_err() {
                            return;
                        }
                        continue;
                    }
                };
                match parcel {
                    Some(parcel) => pending.push(parcel),
                    // The handle is gone, and its close is on the way.
                    None if pending.is_empty() => return,
                    None => {
                        wait(due).await;
                        if let Some(parcel) = pending.pop()
                            && self.deliver(parcel.what).await.is_err()
                        {
                            return;
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = carrying => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
    }

    /// Hands one parcel over; an error ends the link.
    async fn deliver(&self, what: What) -> Result<(), ()> {
        match what {
            What::Control(message) => {
                let _ = self.to.send(Event::Control(message)).await;
                self.counters.controls.fetch_sub(1, Ordering::Relaxed);
            }
            What::Datagram(datagram) => {
                let room = self.to.capacity() > self.to.max_capacity() / 4;
                if !room || self.to.try_send(Event::Datagram(datagram)).is_err() {
                    self.counters.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            What::Frame(chunks) => {
                let mut whole = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
                chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
                let _ = self.to.send(Event::Frame(whole.freeze())).await;
            }
            What::Sent { id, elapsed } => {
                self.counters.frames.fetch_sub(1, Ordering::Relaxed);
                let _ = self.back.send(Event::FrameSent { id, elapsed }).await;
            }
            What::Expired { id } => {
                self.counters.frames.fetch_sub(1, Ordering::Relaxed);
                let _ = self.back.send(Event::FrameExpired { id }).await;
            }
            What::Close { code, reason } => {
                self.to_end.set(code, &reason);
                self.closed.send_replace(true);
                return Err(());
            }
        }
        Ok(())
    }
}

async fn wait(due: Option<Instant>) {
    match due {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The earliest is the greatest, as the heap wants it; then the order of sending.
impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> Order {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Order::Equal
    }
}

impl Eq for Parcel {}
