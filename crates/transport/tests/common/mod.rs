//! What the tests of real sockets share.
#![allow(dead_code, reason = "each test file uses its part")]

use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tongyou_transport::{Config, Event, Events, Frame, Link, Listener, ServerTrust, TlsIdentity, connect};

pub(crate) type Side = (Arc<dyn Link>, Events);

/// A listener on a free port of the loopback, with its address and how to trust it.
pub(crate) fn listener() -> (Listener, SocketAddr, ServerTrust, TlsIdentity) {
    let dir = tempfile::tempdir().unwrap();
    let identity = TlsIdentity::development(&[], dir.path(), SystemTime::now())
        .unwrap()
        .webtransport;
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), &identity, Config::server()).unwrap();
    let addr = listener.local_addr().unwrap();
    (
        listener,
        addr,
        ServerTrust::CertificateHash(identity.sha256()),
        identity,
    )
}

/// A connected pair: the server's side, then the client's. Both have exchanged one control message.
pub(crate) async fn pair(listener: &Listener, addr: SocketAddr, trust: &ServerTrust) -> (Side, Side) {
    let client = connect(addr, "localhost", trust, Config::client());
    let (client, server) = tokio::join!(client, listener.accept());
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    client.0.send_control(Bytes::from_static(b"hello")).unwrap();
    assert_eq!(next(&mut server.1).await, Event::Control(Bytes::from_static(b"hello")));
    server.0.send_control(Bytes::from_static(b"welcome")).unwrap();
    assert_eq!(
        next(&mut client.1).await,
        Event::Control(Bytes::from_static(b"welcome"))
    );
    (server, client)
}

/// The next event, which must come within ten seconds.
pub(crate) async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(Duration::from_secs(10), events.recv())
        .await
        .expect("no event in time")
        .expect("no more events")
}

/// A frame of two chunks.
pub(crate) fn frame(id: u64, len: usize) -> Frame {
    let bytes: Bytes = (0..len).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
    let middle = len / 3;
    Frame {
        chunks: vec![bytes.slice(..middle), bytes.slice(middle..)],
        priority: 0,
        expires_in: Duration::from_secs(5),
        id,
    }
}
