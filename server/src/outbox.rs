//! What the tick thread sends, handed to the network runtime at once.
//!
//! A link wakes its connection's driver for each thing that it is given. From the tick thread that would be a system call
//! each; within the runtime it is a place in a queue, and the driver finds everything of a tick together.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tongyou_session::LinkId;
use tongyou_transport::{Frame, Link};

use crate::clock::Clock;
use crate::event::{Event, Mailbox};
use crate::metrics::Metrics;

/// Batches that wait for the network runtime: a second's.
const QUEUE: usize = 72;

/// The tick thread's end.
pub(crate) struct Outbox {
    batch: Vec<Parcel>,
    batches: mpsc::Sender<Vec<Parcel>>,
    metrics: Arc<Metrics>,
}

/// The network runtime's end.
pub(crate) struct Batches(mpsc::Receiver<Vec<Parcel>>);

struct Parcel {
    handle: Arc<dyn Link>,
    what: What,
}

enum What {
    Datagram(Bytes),
    Frame(LinkId, Frame),
}

/// Both ends.
pub(crate) fn outbox(metrics: Arc<Metrics>) -> (Outbox, Batches) {
    let (batches, waiting) = mpsc::channel(QUEUE);
    let outbox = Outbox {
        batch: Vec::new(),
        batches,
        metrics,
    };
    (outbox, Batches(waiting))
}

impl Outbox {
    /// Sends a datagram with the next [`Self::flush`].
    pub(crate) fn datagram(&mut self, handle: &Arc<dyn Link>, bytes: Bytes) {
        self.metrics.datagram_sent(bytes.len());
        self.batch.push(Parcel {
            handle: Arc::clone(handle),
            what: What::Datagram(bytes),
        });
    }

    /// Likewise a frame; what became of it comes as an event of the link.
    pub(crate) fn frame(&mut self, link: LinkId, handle: &Arc<dyn Link>, frame: Frame) {
        self.metrics.frame_sent(frame.len());
        self.batch.push(Parcel {
            handle: Arc::clone(handle),
            what: What::Frame(link, frame),
        });
    }

    /// Hands over what has gathered.
    pub(crate) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        let room = batch.len();
        match self.batches.try_send(batch) {
            Ok(()) => self.batch.reserve(room),
            // The network does not keep up: frames wait, and their senders with them; datagrams would be stale.
            Err(mpsc::error::TrySendError::Full(mut batch)) => {
                batch.retain(|parcel| matches!(parcel.what, What::Frame(..)));
                self.batch = batch;
            }
            // The server ends.
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }
}

/// Carries out what the tick thread sends, until it ends.
pub(crate) async fn carry_out(mut batches: Batches, clock: Clock, mailbox: Mailbox) {
    while let Some(batch) = batches.0.recv().await {
        for Parcel { handle, what } in batch {
            match what {
                // Datagrams may be lost; the next one is newer.
                What::Datagram(bytes) => drop(handle.send_datagram(bytes)),
                What::Frame(link, frame) => {
                    let id = frame.id;
                    if handle.send_frame(frame).is_err() {
                        let event = tongyou_transport::Event::FrameExpired { id };
                        let at = clock.now();
                        if mailbox.send(Event::Link { link, at, event }).await.is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }
}
