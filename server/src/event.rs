//! Everything that can happen to the tick thread, as one closed list.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tongyou_protocol::{ServerTime, SessionCode};
use tongyou_session::{LinkId, SessionInfo};
use tongyou_stream::send::EncodedFrame;
use tongyou_transport::Link;

use crate::fanout::Key;

/// Events that wait for the tick thread; beyond it, links are not read (datagrams then give way in the transport).
pub(crate) const QUEUE: usize = 4096;

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

/// The tick thread's mailbox.
pub(crate) type Mailbox = mpsc::Sender<Event>;
