//! Headsets as tests need them: bots, and a link on which a test says what it likes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tongyou_bot::{Config, Report};
use tongyou_protocol::control::{self, ClientMessage, ServerMessage, client_message, server_message};
use tongyou_protocol::datagram::{Datagram, Ping};
use tongyou_protocol::{ClientTime, VERSION};
use tongyou_tests::Running;
use tongyou_transport::{self as transport, Event, Events, Link, ServerTrust};

/// Longest wait for an answer on loopback.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Bots for a session of a running server.
pub(crate) fn bots(server: &Running, session: usize, count: usize) -> Config {
    let trust = ServerTrust::CertificateHash(server.certificate_sha256());
    Config {
        count,
        ..Config::new(server.addr(), trust, server.code(session))
    }
}

/// Runs bots for their configured time.
pub(crate) async fn run(config: Config) -> Report {
    let (_keep, cancel) = watch::channel(false);
    tongyou_bot::run(config, cancel).await
}

/// A link on which a test says what it likes.
pub(crate) struct Raw {
    pub(crate) link: Arc<dyn Link>,
    pub(crate) events: Events,
}

impl Raw {
    pub(crate) async fn connect(server: &Running) -> Self {
        let trust = ServerTrust::CertificateHash(server.certificate_sha256());
        let (link, events) = transport::connect(server.addr(), "localhost", &trust, transport::Config::client())
            .await
            .unwrap();
        Self { link, events }
    }

    pub(crate) fn say(&self, body: client_message::Body) {
        self.link.send_control(ClientMessage::from(body).to_bytes()).unwrap();
    }

    /// The next control message, whatever else arrives; `None` when the link is closed first.
    pub(crate) async fn hear(&mut self) -> Option<server_message::Body> {
        loop {
            match tokio::time::timeout(PATIENCE, self.events.recv())
                .await
                .expect("no answer in time")?
            {
                Event::Control(bytes) => return Some(ServerMessage::from_bytes(&bytes).unwrap()),
                Event::Closed { .. } => return None,
                _ => {}
            }
        }
    }

    /// Hears until a message satisfies `wanted`.
    pub(crate) async fn hear_until<T>(&mut self, wanted: impl Fn(server_message::Body) -> Option<T>) -> T {
        loop {
            let body = self.hear().await.expect("the link closed before the message came");
            if let Some(found) = wanted(body) {
                return found;
            }
        }
    }

    /// Joins a session.
    pub(crate) async fn join(server: &Running, code: &str, name: &str) -> (Self, control::Welcome) {
        let mut raw = Self::connect(server).await;
        raw.say(hello(code, name));
        let welcome = raw.hear_until(|body| match body {
            server_message::Body::Welcome(welcome) => Some(welcome),
            other => panic!("not welcome: {other:?}"),
        });
        let welcome = welcome.await;
        (raw, welcome)
    }

    pub(crate) fn datagram(&self, bytes: Vec<u8>) {
        self.link.send_datagram(Bytes::from(bytes)).unwrap();
    }
}

/// A ping: who says nothing for four seconds is gone.
pub(crate) fn still_here() -> Bytes {
    Datagram::Ping(Ping {
        seq: 1,
        sent: ClientTime(0),
    })
    .to_bytes()
}

pub(crate) fn hello(code: &str, name: &str) -> client_message::Body {
    client_message::Body::Hello(control::Hello {
        protocol_version: VERSION,
        code: code.to_owned(),
        name: name.to_owned(),
        client: "test/1".to_owned(),
        language: "en".to_owned(),
        ..control::Hello::default()
    })
}
