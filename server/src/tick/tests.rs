use std::net::SocketAddr;
use std::time::SystemTime;

use tongyou_protocol::control::{ClientMessage, Hello, Leave, client_message};
use tongyou_session::Config;
use tongyou_stream::send;
use tongyou_transport::{Config as LinkConfig, Events, Link, Listener, ServerTrust, TlsIdentity, connect_webtransport};

use super::*;
use crate::event::mailbox;
use crate::network;
use crate::outbox::{carry_out, outbox};
use crate::testing::tour;
use crate::watch::Offer;

/// A page that has connected.
struct Page {
    link: Arc<dyn Link>,
    events: Events,
}

impl Page {
    fn say(&self, body: client_message::Body) {
        let _ = self.link.send_control(ClientMessage::from(body).to_bytes());
    }

    fn hello(&self, code: &str, ticket: &[u8]) {
        self.say(client_message::Body::Hello(Hello {
            protocol_version: tongyou_protocol::VERSION,
            code: code.to_owned(),
            name: "Page".to_owned(),
            resume_ticket: ticket.to_vec(),
            ..Hello::default()
        }));
    }

    /// The next control message; `None` when the link closed.
    async fn next(&mut self) -> Option<Body> {
        loop {
            match self.events.recv().await? {
                LinkEvent::Control(bytes) => return Some(ServerMessage::from_bytes(&bytes).unwrap()),
                LinkEvent::Closed { .. } => return None,
                _ => {}
            }
        }
    }

    async fn joined(&mut self) -> Vec<u8> {
        match self.next().await {
            Some(Body::Welcome(welcome)) => welcome.resume_ticket,
            other => panic!("{other:?}"),
        }
    }

    /// All that is said until the link closes.
    async fn until_closed(&mut self) -> Vec<Body> {
        let mut all = Vec::new();
        while let Some(body) = self.next().await {
            all.push(body);
        }
        all
    }
}

/// Runs a tick thread behind a real port with a session, and pages in front of it over WebTransport, which is never
/// told the reason of a close.
async fn with_pages<const N: usize>(config: Config, scenario: impl AsyncFnOnce(String, [Page; N])) {
    let dir = tempfile::tempdir().unwrap();
    let identity = TlsIdentity::development(&[], dir.path(), SystemTime::now()).unwrap();
    let identity = identity.webtransport;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Arc::new(Listener::bind(any, &identity, LinkConfig::server()).unwrap());
    let addr = listener.local_addr().unwrap();
    let clock = Clock::new();
    let mut registry = Registry::new(config, [1; 32]);
    registry.add_tour(tour()).unwrap();
    let code = registry.create_session(clock.now(), "test", None).unwrap();
    let (mailbox, events) = mailbox();
    let (outbox, batches) = outbox(Arc::default());
    let fanout = Fanout::new(send::Config::default());
    let watch = Watch::new(Offer {
        behind: true,
        faces: true,
    });
    let tick = Tick::new(
        registry,
        fanout,
        watch,
        outbox,
        clock,
        Arc::default(),
        Arc::default(),
        9,
    );
    let carrying = tokio::spawn(carry_out(batches, clock, mailbox.clone()));
    let accepting = tokio::spawn(network::accept(listener, clock, mailbox));
    let trust = ServerTrust::CertificateHash(identity.sha256());
    let scenario = async {
        let mut pages = Vec::new();
        for _ in 0..N {
            let (link, events) = connect_webtransport(addr, &trust, LinkConfig::client()).await.unwrap();
            pages.push(Page { link, events });
        }
        let pages = pages.try_into().ok().unwrap();
        scenario(code.to_string(), pages).await;
    };
    tokio::select! {
        () = tick.run(events) => panic!("the tick thread ended"),
        done = tokio::time::timeout(Duration::from_secs(20), scenario) => done.expect("in time"),
    }
    accepting.abort();
    carrying.abort();
}

#[tokio::test]
async fn a_page_is_told_why_its_link_is_closed() {
    with_pages(
        Config::default(),
        async |code: String, [mut first, mut second, mut flood, mut wrong, mut gone]: [Page; 5]| {
            // The same headset over another connection.
            first.hello(&code, &[]);
            let ticket = first.joined().await;
            second.hello(&code, &ticket);
            second.joined().await;
            let words = first.until_closed().await;
            let replaced = "the headset came back over another connection";
            assert!(
                matches!(words.last(), Some(Body::Ended(e)) if e.message == replaced),
                "{words:?}"
            );

            flood.hello(&code, &[]);
            flood.joined().await;
            for _ in 0..200 {
                flood.hello(&code, &[]);
            }
            let words = flood.until_closed().await;
            assert!(
                matches!(words.last(), Some(Body::Ended(e)) if e.message == "too many messages"),
                "{words:?}"
            );

            wrong.hello("ZZZZ-ZZZZ", &[]);
            let words = wrong.until_closed().await;
            assert!(matches!(words[..], [Body::Refused(_)]), "{words:?}");

            // Who leaves knows why.
            gone.hello(&code, &[]);
            gone.joined().await;
            gone.say(client_message::Body::Leave(Leave {}));
            let words = gone.until_closed().await;
            assert!(
                !words
                    .iter()
                    .any(|w| matches!(w, Body::Ended(_) | Body::Refused(_) | Body::Notice(_))),
                "{words:?}"
            );
        },
    )
    .await;
}

#[tokio::test]
async fn a_page_that_says_nothing_is_told_so_and_may_come_back() {
    let config = Config {
        silence_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    with_pages(config, async |code: String, [mut page]: [Page; 1]| {
        page.hello(&code, &[]);
        page.joined().await;
        let words = page.until_closed().await;
        assert!(
            matches!(words.last(), Some(Body::Notice(n)) if n.message == "nothing was heard from you"),
            "{words:?}"
        );
    })
    .await;
}
