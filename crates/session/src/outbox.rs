//! What waits to be drained.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tongyou_protocol::ServerTime;
use tongyou_protocol::control::{Notice, Refused, RefusedReason, ServerMessage, server_message::Body};
use tongyou_protocol::datagram::{Datagram, Ping, Pong};

use crate::{CloseCode, Level, LinkId, Output};

#[derive(Debug, Default)]
pub(crate) struct Outbox(VecDeque<Waiting>);

#[derive(Debug)]
enum Waiting {
    Output(Output),
    /// Stamped when it is drained.
    Pong {
        link: LinkId,
        ping: Ping,
        received: ServerTime,
    },
}

impl Outbox {
    pub(crate) fn next(&mut self, now: ServerTime) -> Option<Output> {
        Some(match self.0.pop_front()? {
            Waiting::Output(output) => output,
            Waiting::Pong { link, ping, received } => Output::Datagram {
                link,
                bytes: Datagram::Pong(Pong {
                    seq: ping.seq,
                    sent: ping.sent,
                    received,
                    replied: now.max(received),
                })
                .to_bytes(),
            },
        })
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.0.push_back(Waiting::Output(output));
    }

    pub(crate) fn pong(&mut self, link: LinkId, ping: Ping, received: ServerTime) {
        self.0.push_back(Waiting::Pong { link, ping, received });
    }

    pub(crate) fn send(&mut self, link: LinkId, body: Body) {
        self.send_shared(link, Arc::new(body.into()));
    }

    /// The same message to many.
    pub(crate) fn send_all(&mut self, links: impl Iterator<Item = LinkId>, body: Body) {
        let message = Arc::new(ServerMessage::from(body));
        for link in links {
            self.send_shared(link, Arc::clone(&message));
        }
    }

    pub(crate) fn send_shared(&mut self, link: LinkId, message: Arc<ServerMessage>) {
        self.push(Output::Control { link, message });
    }

    pub(crate) fn datagram(&mut self, link: LinkId, bytes: Bytes) {
        self.push(Output::Datagram { link, bytes });
    }

    pub(crate) fn close(&mut self, link: LinkId, code: CloseCode, reason: &str) {
        let reason = reason.to_owned();
        self.push(Output::Close { link, code, reason });
    }

    pub(crate) fn refuse(&mut self, link: LinkId, reason: RefusedReason, message: &str) {
        let refused = Refused {
            reason: reason.into(),
            message: message.to_owned(),
        };
        self.send(link, Body::Refused(refused));
        self.close(link, CloseCode::Refused, message);
    }

    pub(crate) fn notice(&mut self, link: LinkId, reason: RefusedReason, message: &str) {
        let notice = Notice {
            reason: reason.into(),
            message: message.to_owned(),
        };
        self.send(link, Body::Notice(notice));
    }

    pub(crate) fn log(&mut self, level: Level, message: String) {
        self.push(Output::Log { level, message });
    }
}
