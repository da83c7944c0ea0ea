//! The simulated link on a stopped clock.

use super::*;
use crate::link::Event;

const MS: Duration = Duration::from_millis(1);

fn delayed(ms: u32) -> Impairment {
    Impairment {
        delay: MS * ms,
        ..Impairment::default()
    }
}

fn frame(id: u64, len: usize, expires_in: Duration) -> Frame {
    Frame {
        chunks: vec![vec![1; len / 2].into(), vec![2; len - len / 2].into()],
        priority: 0,
        expires_in,
        id,
    }
}

fn sides(up: Impairment, down: Impairment, seed: u64) -> (Side, Side) {
    pair(Config::server(), Config::client(), up, down, seed)
}

#[tokio::test(start_paused = true)]
async fn every_lane_takes_its_time() {
    let ((server, mut server_events), (client, mut client_events)) = sides(delayed(30), delayed(20), 1);
    let start = Instant::now();
    client.send_control(Bytes::from_static(b"hello")).unwrap();
    assert_eq!(
        server_events.recv().await,
        Some(Event::Control(Bytes::from_static(b"hello")))
    );
    assert_eq!(start.elapsed(), MS * 30);
    server.send_datagram(Bytes::from_static(b"pose")).unwrap();
    assert_eq!(
        client_events.recv().await,
        Some(Event::Datagram(Bytes::from_static(b"pose")))
    );
    assert_eq!(start.elapsed(), MS * 50);
    server.send_frame(frame(4, 10_000, MS * 250)).unwrap();
    assert!(matches!(client_events.recv().await, Some(Event::Frame(bytes)) if bytes.len() == 10_000));
    assert_eq!(
        server_events.recv().await,
        Some(Event::FrameSent {
            id: 4,
            elapsed: MS * 45
        })
    );
    client.send_frame(frame(5, 100, MS * 250)).unwrap();
    assert_eq!(
        client_events.recv().await,
        Some(Event::FrameExpired { id: 5 }),
        "a server takes no frames"
    );
}

#[tokio::test(start_paused = true)]
async fn control_stays_in_order_and_complete_under_loss() {
    let bad = Impairment {
        loss: 0.3,
        jitter: MS * 20,
        reorder: 0.2,
        ..delayed(20)
    };
    let ((_server, mut events), (client, _client_events)) = sides(bad, bad, 9);
    for number in 0..100u8 {
        client
            .send_control(vec![number; 1 + usize::from(number) * 50].into())
            .unwrap();
    }
    for number in 0..100u8 {
        let Some(Event::Control(message)) = events.recv().await else {
            panic!("lost")
        };
        assert_eq!((message[0], message.len()), (number, 1 + usize::from(number) * 50));
    }
    assert!(client.stats().lost_packets > 20, "{:?}", client.stats());
}

#[tokio::test(start_paused = true)]
async fn datagrams_are_lost_alike_for_one_seed() {
    let lossy = Impairment {
        loss: 0.2,
        ..delayed(5)
    };
    let run = async |seed| {
        let ((_server, mut events), (client, _client_events)) = sides(lossy, delayed(5), seed);
        let mut got = Vec::new();
        for number in 0..250u8 {
            client.send_datagram(vec![number].into()).unwrap();
            tokio::time::sleep(MS * 6).await;
            while let Some(event) = events.try_recv() {
                let Event::Datagram(datagram) = event else {
                    panic!("{event:?}")
                };
                got.push(datagram[0]);
            }
        }
        got
    };
    let first = run(3).await;
    assert!((175..225).contains(&first.len()), "{} of 250 at 20 % loss", first.len());
    assert_eq!(first, run(3).await);
    assert_ne!(first, run(4).await);
}

#[tokio::test(start_paused = true)]
async fn a_slow_path_expires_frames_and_bounds_them() {
    // 125 kB take a second at 1 Mbit/s.
    let slow = Impairment {
        rate_bps: Some(1_000_000),
        queue_bytes: 64 << 10,
        ..delayed(10)
    };
    let ((server, mut server_events), (_client, mut client_events)) = sides(delayed(10), slow, 1);
    server.send_frame(frame(1, 10_000, MS * 250)).unwrap();
    server.send_frame(frame(2, 60_000, MS * 250)).unwrap();
    assert!(matches!(client_events.recv().await, Some(Event::Frame(_))));
    assert!(matches!(
        server_events.recv().await,
        Some(Event::FrameSent { id: 1, .. })
    ));
    assert_eq!(server_events.recv().await, Some(Event::FrameExpired { id: 2 }));
    assert!(client_events.try_recv().is_none());
    for id in 0..64 {
        server.send_frame(frame(id, 10, MS)).unwrap();
    }
    assert_eq!(server.send_frame(frame(64, 10, MS)), Err(SendError::Full));
    assert_eq!(server.stats().frames_in_flight, 64);
}

#[tokio::test(start_paused = true)]
async fn both_sides_learn_of_the_close_and_its_last_words() {
    let ((server, mut server_events), (client, mut client_events)) = sides(delayed(10), delayed(10), 1);
    server.send_control(Bytes::from_static(b"bye")).unwrap();
    server.close(7, "over");
    server.close(8, "again");
    assert_eq!(server.send_control(Bytes::new()), Err(SendError::Closed));
    let closed = Some(Event::Closed {
        code: 7,
        reason: "over".to_owned(),
    });
    assert_eq!(
        client_events.recv().await,
        Some(Event::Control(Bytes::from_static(b"bye")))
    );
    assert_eq!(client_events.recv().await, closed);
    assert_eq!(client_events.recv().await, None);
    assert_eq!(server_events.recv().await, closed);
    assert_eq!(client.send_datagram(Bytes::new()), Err(SendError::Closed));

    let ((server, _server_events), (_client, mut client_events)) = sides(delayed(10), delayed(10), 1);
    drop(server);
    assert_eq!(
        client_events.recv().await,
        Some(Event::Closed {
            code: 0,
            reason: String::new()
        })
    );
}
