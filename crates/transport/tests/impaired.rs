//! Links through the impairment proxy: loss, cuts, moves, expiry.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{frame, listener, next, pair};
use std::time::{Duration, Instant};
use tongyou_transport::impair::{Impairment, Proxy};
use tongyou_transport::{Event, Frame, close_code};

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn frames_survive_loss_and_the_loss_is_the_seeds() {
    let (listener, addr, trust, _) = listener();
    let bad = Impairment {
        delay: 5 * MS,
        jitter: 2 * MS,
        loss: 0.05,
        ..Impairment::default()
    };
    let proxy = Proxy::start(addr, bad, bad, 42).await.unwrap();
    let ((server, mut server_events), (_client, mut events)) = pair(&listener, proxy.addr(), &trust).await;
    let sent = frame(0, 20_000);
    for id in 0..60 {
        server.send_frame(Frame { id, ..sent.clone() }).unwrap();
        let Event::Frame(got) = next(&mut events).await else {
            panic!("not a frame")
        };
        assert_eq!(got.len(), 20_000);
        let Event::FrameSent { .. } = next(&mut server_events).await else {
            panic!("frame {id} is lost")
        };
    }
    let stats = proxy.stats().await;
    let share = stats.down.lost as f64 / (stats.down.lost + stats.down.passed) as f64;
    assert!(stats.down.passed > 900, "{stats:?}");
    assert!(
        (0.025..0.08).contains(&share),
        "{stats:?}: {share:.3} lost, 0.05 wanted"
    );
    assert_eq!(stats.down.overflowed + stats.down.cut, 0);
    // The same number of packets through the model alone meets the same fate.
    let mut path = tongyou_transport::impair::Path::new(bad, 42 ^ 0x5bd1_e995);
    let packets = stats.down.lost + stats.down.passed;
    let lost = (0..packets)
        .filter(|_| path.send(Duration::ZERO, 1) == tongyou_transport::impair::Fate::Lost)
        .count();
    assert_eq!(lost as u64, stats.down.lost);
}

#[tokio::test]
async fn a_frame_that_is_late_expires_and_the_link_lives() {
    let (listener, addr, trust, _) = listener();
    let proxy = Proxy::start(addr, Impairment::default(), Impairment::default(), 1)
        .await
        .unwrap();
    let ((server, mut server_events), (_client, mut events)) = pair(&listener, proxy.addr(), &trust).await;
    let slow = Impairment {
        rate_bps: Some(400_000),
        queue_bytes: 30_000,
        ..Impairment::default()
    };
    proxy.set(Impairment::default(), slow);
    // A second's worth of bytes that must be there within a tenth.
    server
        .send_frame(Frame {
            expires_in: 100 * MS,
            ..frame(1, 50_000)
        })
        .unwrap();
    let start = Instant::now();
    assert_eq!(next(&mut server_events).await, Event::FrameExpired { id: 1 });
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    proxy.set(Impairment::default(), Impairment::default());
    server.send_frame(frame(2, 5_000)).unwrap();
    let Event::Frame(got) = next(&mut events).await else {
        panic!("not a frame")
    };
    assert_eq!(got.len(), 5_000, "the late one never arrives");
    assert!(matches!(next(&mut server_events).await, Event::FrameSent { id: 2, .. }));
}

#[tokio::test]
async fn a_link_follows_its_client_to_another_network() {
    let (listener, addr, trust, _) = listener();
    let proxy = Proxy::start(addr, Impairment::default(), Impairment::default(), 1)
        .await
        .unwrap();
    let ((server, mut server_events), (client, mut events)) = pair(&listener, proxy.addr(), &trust).await;
    let before = server.info().peer;
    proxy.move_clients().await;
    client.send_control(Bytes::from_static(b"from elsewhere")).unwrap();
    assert_eq!(
        next(&mut server_events).await,
        Event::Control(Bytes::from_static(b"from elsewhere"))
    );
    server.send_frame(frame(1, 30_000)).unwrap();
    assert!(matches!(next(&mut events).await, Event::Frame(_)));
    assert_ne!(server.info().peer, before);
}

/// The one test that waits in real time: nothing but silence tells that a client was killed.
#[tokio::test]
async fn a_killed_client_is_gone_within_five_seconds() {
    let (listener, addr, trust, _) = listener();
    let proxy = Proxy::start(addr, Impairment::default(), Impairment::default(), 1)
        .await
        .unwrap();
    let ((_server, mut server_events), _client) = pair(&listener, proxy.addr(), &trust).await;
    proxy.cut(true);
    let start = Instant::now();
    assert!(matches!(
        next(&mut server_events).await,
        Event::Closed {
            code: close_code::TIMED_OUT,
            ..
        }
    ));
    let elapsed = start.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(5)).contains(&elapsed),
        "{elapsed:?}"
    );
}
