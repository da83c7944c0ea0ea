//! The tasks of a link, one for each lane and direction. Each ends when the connection does.

use super::connection::{Gone, RecvStream, SendStream};
use super::{Shared, Side, begun};
use crate::link::Event;
use crate::{close_code, control};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Frames that are received at once.
const MAX_INCOMING_FRAMES: usize = 64;
/// How long a peer may take to close after it ended its control lane.
const FAREWELL: Duration = Duration::from_secs(1);
/// The code that a stream is refused with.
const REFUSED: quinn::VarInt = quinn::VarInt::from_u32(0x7411);

/// Receives datagrams until the connection ends, and says why it did.
pub(super) async fn datagrams(shared: &Shared, events: &mpsc::Sender<Event>) -> (u32, String) {
    loop {
        match shared.connection.read_datagram().await {
            Ok(datagram) => {
                // A quarter of the queue stays free for what may not be dropped.
                let room = events.capacity() > events.max_capacity() / 4;
                if !room || events.try_send(Event::Datagram(datagram)).is_err() {
                    shared.datagrams_dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(end) => return end,
        }
    }
}

/// Both directions of the control lane.
pub(super) async fn control(
    shared: Arc<Shared>,
    side: Side,
    events: mpsc::Sender<Event>,
    queue: mpsc::Receiver<Bytes>,
) {
    let mut closing = shared.closing.subscribe();
    let opening = async {
        match side {
            Side::Client => shared.connection.open_bi().await,
            Side::Server => shared.connection.accept_bi().await,
        }
    };
    let (mut send, receive) = tokio::select! {
        streams = opening => match streams {
            Ok(streams) => streams,
            Err(Gone) => return,
        },
        () = begun(&mut closing) => return,
    };
    let _ = send.quic().set_priority(i32::MAX);
    let reading = async {
        read_control(&shared, receive, events).await;
        std::future::pending::<()>().await;
    };
    let refusing = async {
        if let Ok(_extra) = shared.connection.accept_bi().await {
            shared.close(close_code::PROTOCOL, "a second bidirectional stream");
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = write_control(send, queue, closing) => {}
        () = reading => {}
        () = refusing => {}
    }
}

async fn write_control(mut send: SendStream, mut queue: mpsc::Receiver<Bytes>, mut closing: watch::Receiver<bool>) {
    loop {
        let message = tokio::select! {
            biased;
            message = queue.recv() => message,
            () = begun(&mut closing) => None,
        };
        let Some(message) = message else { break };
        let Ok(prefix) = control::prefix(&message) else {
            continue;
        };
        if send.quic().write_all_chunks(&mut [prefix, message]).await.is_err() {
            return;
        }
    }
    // Closing: wait until the peer has everything, so that a last message arrives.
    begun(&mut closing).await;
    if send.quic().finish().is_ok() {
        let _ = send.quic().stopped().await;
    }
}

async fn read_control(shared: &Shared, mut receive: RecvStream, events: mpsc::Sender<Event>) {
    let mut reader = control::Reader::default();
    loop {
        loop {
            match reader.poll() {
                Ok(Some(message)) => {
                    if events.send(Event::Control(message)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => return shared.close(close_code::PROTOCOL, &error.to_string()),
            }
        }
        match receive.quic().read_chunk(64 << 10, true).await {
            Ok(Some(chunk)) => reader.push(&chunk.bytes),
            Ok(None) | Err(quinn::ReadError::Reset(_)) => break,
            Err(_) => return,
        }
    }
    tokio::time::sleep(FAREWELL).await;
    shared.close(close_code::GONE, "the peer ended the control lane");
}

/// Receives whole frames.
pub(super) async fn receive_frames(shared: Arc<Shared>, events: mpsc::Sender<Event>) {
    let places = Arc::new(Semaphore::new(MAX_INCOMING_FRAMES));
    let mut receiving = JoinSet::new();
    let limit = shared.config.max_frame_bytes;
    loop {
        while receiving.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok(mut stream) = shared.connection.accept_uni().await else {
            return;
        };
        if limit == 0 {
            let _ = stream.quic().stop(REFUSED);
            continue;
        }
        let (shared, events) = (Arc::clone(&shared), events.clone());
        receiving.spawn(async move {
            match stream.quic().read_to_end(limit).await {
                Ok(bytes) => drop(events.send(Event::Frame(bytes.into())).await),
                Err(quinn::ReadToEndError::TooLong) => {
                    shared.close(close_code::PROTOCOL, &format!("a frame of more than {limit} bytes"));
                }
                // Reset by the sender: it was late.
                Err(quinn::ReadToEndError::Read(_)) => {}
            }
            drop(place);
        });
    }
}
