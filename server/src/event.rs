//! Everything that can happen to the tick thread, as one closed list.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tongyou_protocol::{ServerTime, SessionCode};
use tongyou_session::{LinkId, SessionInfo};
use tongyou_stream::send::EncodedFrame;
use tongyou_transport::Link;

use crate::fanout::Key;

/// Events that wait for the tick thread; beyond it, links are not read (datagrams then give way in the transport).
const QUEUE: usize = 4096;

/// What happened.
pub(crate) enum Event {
    /// A headset's transport is up.
    Connected { link: LinkId, handle: Arc<dyn Link> },
    /// Something came out of a link, read at `at`.
    Link {
        link: LinkId,
        at: ServerTime,
        event: tongyou_transport::Event,
    },
    /// One set's frames are coded: colour, and depth where it changed.
    Encoded { key: Key, frames: Vec<Arc<EncodedFrame>> },
    /// The guide's console asks something.
    Ask(Ask),
    /// The server is shutting down: say goodbye, then answer.
    Stop { reason: String, done: oneshot::Sender<()> },
}

/// A question of the guide's console. A dropped answer means that the server is shutting down.
pub(crate) enum Ask {
    /// Which sessions there are.
    Sessions(oneshot::Sender<Vec<SessionInfo>>),
    /// Start a session of a tour.
    Create {
        tour: String,
        answer: oneshot::Sender<Result<Granted, tongyou_session::Error>>,
    },
    /// A grant to lead a session.
    Grant {
        code: SessionCode,
        answer: oneshot::Sender<Result<Granted, tongyou_session::Error>>,
    },
}

/// A session and a secret with which a headset may lead it.
pub(crate) struct Granted {
    pub(crate) code: SessionCode,
    pub(crate) grant: String,
}

/// Where everybody leaves events for the tick thread.
#[derive(Clone)]
pub(crate) struct Mailbox {
    at_once: mpsc::Sender<Event>,
    with_tick: mpsc::Sender<Event>,
}

/// The tick thread's end.
pub(crate) struct Inbox {
    at_once: mpsc::Receiver<Event>,
    with_tick: mpsc::Receiver<Event>,
}

/// The tick thread has ended.
#[derive(Debug, thiserror::Error)]
#[error("the tick thread has ended")]
pub(crate) struct Ended;

/// Both ends.
pub(crate) fn mailbox() -> (Mailbox, Inbox) {
    let (at_once, urgent) = mpsc::channel(QUEUE);
    let (with_tick, patient) = mpsc::channel(QUEUE);
    let inbox = Inbox {
        at_once: urgent,
        with_tick: patient,
    };
    (Mailbox { at_once, with_tick }, inbox)
}

impl Mailbox {
    /// Leaves an event, once there is room.
    pub(crate) async fn send(&self, event: Event) -> Result<(), Ended> {
        self.queue(&event).send(event).await.map_err(|_| Ended)
    }

    /// Likewise, from a thread of its own.
    pub(crate) fn blocking_send(&self, event: Event) -> Result<(), Ended> {
        self.queue(&event).blocking_send(event).map_err(|_| Ended)
    }

    /// What comes from headsets many times a second is only looked at with the next tick, which comes within 14 ms: to
    /// wake the thread for each would cost more than to deal with it.
    const fn queue(&self, event: &Event) -> &mpsc::Sender<Event> {
        use tongyou_transport::Event as From;
        match event {
            Event::Link {
                event: From::Datagram(_) | From::FrameSent { .. } | From::FrameExpired { .. },
                ..
            } => &self.with_tick,
            _ => &self.at_once,
        }
    }
}

impl Inbox {
    /// The next event that does not wait for a tick; `None` when nobody can send any more. Safe to cancel.
    pub(crate) async fn recv(&mut self) -> Option<Event> {
        self.at_once.recv().await
    }

    /// The next of those that do, if there is one.
    pub(crate) fn with_tick(&mut self) -> Option<Event> {
        self.with_tick.try_recv().ok()
    }
}
