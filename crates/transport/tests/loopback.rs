//! Every lane over real sockets: plain QUIC and WebTransport on one port.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{frame, listener, next, pair};
use std::time::Duration;
use tongyou_transport::{
    Config, Connector, Event, Kind, MAX_CONTROL_BYTES, MAX_PORTABLE_DATAGRAM, SendError, ServerTrust, close_code,
    connect,
};

#[tokio::test]
async fn every_lane_works_over_quic() {
    let (listener, addr, trust, _) = listener();
    let ((server, mut server_events), (client, mut client_events)) = pair(&listener, addr, &trust).await;
    assert_eq!((server.info().kind, client.info().kind), (Kind::Quic, Kind::Quic));
    assert_eq!(client.info().peer, addr);

    // Control: in order, up to the longest.
    let longest = Bytes::from(vec![9; MAX_CONTROL_BYTES]);
    client.send_control(longest.clone()).unwrap();
    client.send_control(Bytes::new()).unwrap();
    assert_eq!(next(&mut server_events).await, Event::Control(longest));
    assert_eq!(next(&mut server_events).await, Event::Control(Bytes::new()));
    let too_long = Bytes::from(vec![9; MAX_CONTROL_BYTES + 1]);
    assert_eq!(
        server.send_control(too_long),
        Err(SendError::TooLong {
            len: 65_537,
            max: 65_536
        })
    );

    // Frames: whole, and acknowledged.
    let sent = frame(7, 300_000);
    server.send_frame(sent.clone()).unwrap();
    let Event::Frame(got) = next(&mut client_events).await else {
        panic!("not a frame")
    };
    assert_eq!(got, sent.chunks.concat());
    let Event::FrameSent { id: 7, elapsed } = next(&mut server_events).await else {
        panic!("not acknowledged")
    };
    assert!(elapsed < Duration::from_secs(5));
    assert_eq!(server.stats().frames_in_flight, 0);

    // Datagrams, both ways.
    assert!(client.max_datagram_size() >= 1100, "{}", client.max_datagram_size());
    let pose = Bytes::from_static(b"pose");
    client.send_datagram(pose.clone()).unwrap();
    assert_eq!(next(&mut server_events).await, Event::Datagram(pose.clone()));
    server.send_datagram(pose.clone()).unwrap();
    assert_eq!(next(&mut client_events).await, Event::Datagram(pose));
    let huge = Bytes::from(vec![0; 3000]);
    assert!(matches!(
        server.send_datagram(huge),
        Err(SendError::TooLong { len: 3000, .. })
    ));

    let stats = server.stats();
    assert!(
        stats.sent_bytes > 300_000 && stats.rtt > Duration::ZERO && stats.cwnd > 0,
        "{stats:?}"
    );

    // The last words arrive before the close, and the close says why.
    server.send_control(Bytes::from_static(b"bye")).unwrap();
    server.close(42, "the tour is over");
    assert_eq!(server.send_control(Bytes::new()), Err(SendError::Closed));
    assert_eq!(
        next(&mut client_events).await,
        Event::Control(Bytes::from_static(b"bye"))
    );
    let closed = Event::Closed {
        code: 42,
        reason: "the tour is over".to_owned(),
    };
    assert_eq!(next(&mut client_events).await, closed);
    assert_eq!(client_events.recv().await, None);
    assert_eq!(next(&mut server_events).await, closed);
}

#[tokio::test]
async fn webtransport_and_quic_share_the_port() {
    let (listener, addr, trust, identity) = listener();
    let ((quic, _quic_events), (_native, mut native_events)) = pair(&listener, addr, &trust).await;

    let hash = wtransport::tls::Sha256Digest::new(identity.sha256());
    let config = wtransport::ClientConfig::builder()
        .with_bind_default()
        .with_server_certificate_hashes([hash])
        .build();
    let browser = wtransport::Endpoint::client(config).unwrap();
    let url = format!("https://127.0.0.1:{}/tongyou", addr.port());
    let (session, accepted) = tokio::join!(browser.connect(&url), listener.accept());
    let (session, (web, mut web_events)) = (session.unwrap(), accepted.unwrap());
    assert_eq!(web.info().kind, Kind::WebTransport);

    // Control: the browser opens the lane.
    let (mut send, mut receive) = session.open_bi().await.unwrap().await.unwrap();
    send.write_all(&[2, 0, 0, 0, b'h', b'i', 0, 0]).await.unwrap();
    send.write_all(&[0, 0]).await.unwrap();
    assert_eq!(next(&mut web_events).await, Event::Control(Bytes::from_static(b"hi")));
    assert_eq!(next(&mut web_events).await, Event::Control(Bytes::new()));
    web.send_control(Bytes::from_static(b"yo")).unwrap();
    let mut answer = [0; 6];
    receive.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [2, 0, 0, 0, b'y', b'o']);

    // The same shared bytes go to both kinds of link.
    let shared = frame(1, 100_000);
    web.send_frame(shared.clone()).unwrap();
    quic.send_frame(shared.clone()).unwrap();
    let mut stream = session.accept_uni().await.unwrap();
    let mut got = Vec::new();
    let mut piece = [0; 4096];
    while let Some(length) = stream.read(&mut piece).await.unwrap() {
        got.extend_from_slice(&piece[..length]);
    }
    assert_eq!(got, shared.chunks.concat());
    assert_eq!(
        next(&mut native_events).await,
        Event::Frame(shared.chunks.concat().into())
    );
    assert!(matches!(next(&mut web_events).await, Event::FrameSent { id: 1, .. }));

    // Datagrams up to the browser's largest.
    let largest = vec![5; MAX_PORTABLE_DATAGRAM.min(session.max_datagram_size().unwrap())];
    session.send_datagram(&largest).unwrap();
    assert_eq!(next(&mut web_events).await, Event::Datagram(largest.into()));
    web.send_datagram(Bytes::from_static(b"avatars")).unwrap();
    assert_eq!(session.receive_datagram().await.unwrap().payload(), "avatars");

    session.close(3u32.into(), b"left");
    assert_eq!(
        next(&mut web_events).await,
        Event::Closed {
            code: 3,
            reason: "left".to_owned()
        }
    );
}

#[tokio::test]
async fn only_one_path_takes_sessions() {
    let (listener, addr, trust, identity) = listener();
    let hash = wtransport::tls::Sha256Digest::new(identity.sha256());
    let config = wtransport::ClientConfig::builder()
        .with_bind_default()
        .with_server_certificate_hashes([hash])
        .build();
    let browser = wtransport::Endpoint::client(config).unwrap();
    for path in ["", "tongyou/", "other"] {
        let error = browser
            .connect(format!("https://127.0.0.1:{}/{path}", addr.port()))
            .await
            .unwrap_err();
        assert!(
            matches!(error, wtransport::error::ConnectingError::SessionRejected),
            "{path}: {error}"
        );
    }
    // And nothing of it reached the application: the next link is the native one.
    let ((server, _), _client) = pair(&listener, addr, &trust).await;
    assert_eq!(server.info().kind, Kind::Quic);
}

#[tokio::test]
async fn a_wrong_certificate_is_refused() {
    let (listener, addr, trust, _) = listener();
    let ServerTrust::CertificateHash(mut hash) = trust.clone() else {
        unreachable!()
    };
    hash[31] ^= 1;
    for wrong in [ServerTrust::CertificateHash(hash), ServerTrust::System] {
        let error = connect(addr, "localhost", &wrong, Config::client()).await.unwrap_err();
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
    }
    let other = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now();
    let identity = tongyou_transport::TlsIdentity::development(&[], other.path(), now)
        .unwrap()
        .webtransport;
    listener.set_identity(&identity).unwrap();
    assert!(
        connect(addr, "localhost", &trust, Config::client()).await.is_err(),
        "the certificate was rotated"
    );
    pair(&listener, addr, &ServerTrust::CertificateHash(identity.sha256())).await;
}

#[tokio::test]
async fn too_long_a_control_message_closes_the_link() {
    let (listener, addr, trust, identity) = listener();
    // A client that does not keep to the rules, so not one of ours.
    let hash = wtransport::tls::Sha256Digest::new(identity.sha256());
    let config = wtransport::ClientConfig::builder()
        .with_bind_default()
        .with_server_certificate_hashes([hash])
        .build();
    let browser = wtransport::Endpoint::client(config).unwrap();
    let url = format!("https://127.0.0.1:{}/tongyou", addr.port());
    let (session, accepted) = tokio::join!(browser.connect(&url), listener.accept());
    let (session, (_web, mut events)) = (session.unwrap(), accepted.unwrap());
    let (mut send, _receive) = session.open_bi().await.unwrap().await.unwrap();
    send.write_all(&65_537u32.to_le_bytes()).await.unwrap();
    let Event::Closed { code, reason } = next(&mut events).await else {
        panic!("not closed")
    };
    assert_eq!(code, close_code::PROTOCOL);
    assert!(reason.contains("65537"), "{reason}");
    session.closed().await;

    // The others are not touched.
    pair(&listener, addr, &trust).await;
}

#[tokio::test]
async fn a_frame_that_is_too_long_for_the_receiver_closes_the_link() {
    let (listener, addr, trust, _) = listener();
    let small = Config {
        max_frame_bytes: 1000,
        ..Config::client()
    };
    let (client, server) = tokio::join!(connect(addr, "localhost", &trust, small), listener.accept());
    let ((_client, mut events), (server, _server_events)) = (client.unwrap(), server.unwrap());
    server.send_frame(frame(1, 1000)).unwrap();
    assert!(matches!(next(&mut events).await, Event::Frame(bytes) if bytes.len() == 1000));
    server.send_frame(frame(2, 1001)).unwrap();
    assert!(matches!(
        next(&mut events).await,
        Event::Closed {
            code: close_code::PROTOCOL,
            ..
        }
    ));
}

#[tokio::test]
async fn frames_are_bounded_and_come_back() {
    let (listener, addr, trust, _) = listener();
    let ((server, mut server_events), (_client, mut client_events)) = pair(&listener, addr, &trust).await;
    // Nothing runs between these sends: the queue fills to its bound and not beyond.
    for id in 0..64 {
        server.send_frame(frame(id, 100)).unwrap();
    }
    assert_eq!(server.send_frame(frame(64, 100)), Err(SendError::Full));
    assert_eq!(server.stats().frames_in_flight, 64);
    let mut done = 0;
    let mut got = 0;
    while done < 64 || got < 64 {
        tokio::select! {
            event = next(&mut server_events) => { assert!(matches!(event, Event::FrameSent { .. })); done += 1; }
            event = next(&mut client_events) => { assert!(matches!(event, Event::Frame(_))); got += 1; }
        }
    }
    assert_eq!(server.stats().frames_in_flight, 0);
    server.send_frame(frame(65, 100)).unwrap();
}

#[tokio::test]
async fn garbage_on_the_port_hurts_nobody() {
    let (listener, addr, trust, _) = listener();
    let ((server, _se), (_client, mut events)) = pair(&listener, addr, &trust).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for round in 0..2000usize {
        let garbage: Vec<u8> = (0..round % 1400)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed as u8
            })
            .collect();
        // Half look like initial packets of QUIC 1.
        let mut packet = garbage;
        if round % 2 == 0 && packet.len() > 20 {
            packet[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]);
        }
        let _ = socket.send_to(&packet, addr).await;
    }
    server.send_frame(frame(1, 50_000)).unwrap();
    assert!(matches!(next(&mut events).await, Event::Frame(_)), "the old link works");
    pair(&listener, addr, &trust).await;
}

#[tokio::test]
async fn a_link_follows_its_client_to_another_socket() {
    let (listener, addr, trust, _) = listener();
    let connector = Connector::bind("127.0.0.1:0".parse().unwrap(), Config::client()).unwrap();
    let (client, server) = tokio::join!(connector.connect(addr, "localhost", &trust), listener.accept());
    let ((client, _events), (server, mut server_events)) = (client.unwrap(), server.unwrap());
    client.send_control(Bytes::from_static(b"one")).unwrap();
    next(&mut server_events).await;
    let before = server.info().peer;
    connector.rebind("127.0.0.1:0".parse().unwrap()).unwrap();
    client.send_control(Bytes::from_static(b"two")).unwrap();
    assert_eq!(
        next(&mut server_events).await,
        Event::Control(Bytes::from_static(b"two"))
    );
    assert_eq!(server.info().peer, connector.local_addr().unwrap());
    assert_ne!(server.info().peer, before);
}

#[tokio::test]
async fn dropping_the_handle_closes_the_link() {
    let (listener, addr, trust, _) = listener();
    let ((server, _server_events), (_client, mut events)) = pair(&listener, addr, &trust).await;
    drop(server);
    assert_eq!(
        next(&mut events).await,
        Event::Closed {
            code: 0,
            reason: String::new()
        }
    );
}

#[tokio::test]
async fn a_native_client_speaks_webtransport() {
    let (listener, addr, trust, _) = listener();
    let connecting = tongyou_transport::connect_webtransport(addr, &trust, Config::client());
    let (client, server) = tokio::join!(connecting, listener.accept());
    let ((client, mut client_events), (server, mut server_events)) = (client.unwrap(), server.unwrap());
    assert_eq!(server.info().kind, Kind::WebTransport);
    client.send_control(Bytes::from_static(b"hello")).unwrap();
    assert_eq!(
        next(&mut server_events).await,
        Event::Control(Bytes::from_static(b"hello"))
    );
    client.send_datagram(Bytes::from_static(b"pose")).unwrap();
    assert_eq!(
        next(&mut server_events).await,
        Event::Datagram(Bytes::from_static(b"pose"))
    );
    server.send_frame(frame(1, 50_000)).unwrap();
    assert!(matches!(next(&mut client_events).await, Event::Frame(bytes) if bytes.len() == 50_000));
    // A wrong certificate is refused.
    let wrong = ServerTrust::CertificateHash([7; 32]);
    let refused = tongyou_transport::connect_webtransport(addr, &wrong, Config::client()).await;
    assert!(refused.is_err());
}
