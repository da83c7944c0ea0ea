//! The frame side of [`tongyou_stream::fanout`] for this server's sessions: what that decides goes out through the
//! outbox.

use std::collections::BTreeMap;
use std::sync::Arc;

use tongyou_protocol::ServerTime;
use tongyou_protocol::datagram::Datagram;
use tongyou_session::{LinkId, SessionKey};
use tongyou_stream::fanout;
use tongyou_transport::{Frame, Link};

use crate::outbox::Outbox;
use crate::stamps;

/// One stream of frames: a layer of a vantage of a session.
pub(crate) type Key = fanout::Key<SessionKey>;

/// All of them, and who is sent them.
pub(crate) type Fanout = fanout::Fanout<SessionKey, LinkId>;

/// The links by number.
pub(crate) type Links = BTreeMap<LinkId, Arc<dyn Link>>;

/// Hands what is due to the outbox.
pub(crate) fn send(fanout: &mut Fanout, now: ServerTime, links: &Links, outbox: &mut Outbox) {
    for due in fanout.due(now) {
        let Some(handle) = links.get(&due.link) else {
            fanout.finished(now, due.link, due.id, false);
            continue;
        };
        stamps::frame_out(due.link, &due.chunks, now);
        let frame = Frame {
            chunks: due.chunks.to_vec(),
            priority: due.priority,
            expires_in: due.expires_in,
            id: due.id,
        };
        outbox.frame(due.link, handle, frame);
    }
}

/// Tells the subscribers of what stands still that all is well.
pub(crate) fn heartbeat(fanout: &mut Fanout, now: ServerTime, links: &Links, outbox: &mut Outbox) {
    for (still, viewers) in fanout.heartbeats(now) {
        let bytes = Datagram::Still(still).to_bytes();
        for handle in viewers.iter().filter_map(|link| links.get(link)) {
            // It may be lost like any other; the next comes in a second.
            outbox.datagram(handle, bytes.clone());
        }
    }
}
