//! Frames on their way: each is written where it is sent, and then looked after until it is acknowledged or late.
//!
//! Nothing is woken for a single acknowledgement: one task per link looks at all frames together, some milliseconds
//! after they were sent. A task and two wakes for each frame would cost a tenth of sending it.

use super::connection::{Gone, SendStream};
use super::{Job, Shared};
use crate::link::Event;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

/// How often frames are looked at, on a short path.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// And on a long one, of which this share of the round trip is waited.
const LOOK_SELDOM: Duration = Duration::from_millis(50);
const ROUND_TRIP_SHARE: u32 = 4;
/// The code that an expired frame's stream is reset with.
const EXPIRED: quinn::VarInt = quinn::VarInt::from_u32(0x7410);

/// All frames of a link that are on their way, oldest first.
#[derive(Default)]
pub(super) struct Flights {
    list: Mutex<Vec<Flight>>,
    begun: Notify,
}

struct Flight {
    job: Job,
    deadline: Instant,
    stage: Stage,
}

enum Stage {
    Opening(Pin<Box<dyn Future<Output = Result<SendStream, Gone>> + Send>>),
    /// Open; ended once all of the frame was handed over.
    Open {
        stream: SendStream,
        ended: bool,
    },
}

enum Fate {
    Sent,
    Expired,
}

impl Flights {
    /// Sends as much of a frame as the path takes at once; [`Self::follow`] does the rest.
    pub(super) fn launch(&self, shared: &Arc<Shared>, job: Job) {
        let owned = Arc::clone(shared);
        let mut flight = Flight {
            // What reaches the peer in time is acknowledged here a little later.
            deadline: job.queued + job.frame.expires_in + shared.connection.quic().rtt(),
            job,
            stage: Stage::Opening(Box::pin(async move { owned.connection.open_uni().await })),
        };
        // What goes wrong at once is found by the next look.
        let _ = flight.go_on();
        let mut list = self.list();
        if list.is_empty() {
            self.begun.notify_one();
        }
        list.push(flight);
        drop(list);
        if shared.is_closed() {
            self.forget();
        }
    }

    /// The link has ended: nobody asks any more what became of its frames.
    pub(super) fn forget(&self) {
        self.list().clear();
    }

    /// Follows all frames; ends with the link.
    pub(super) async fn follow(&self, shared: Arc<Shared>, events: mpsc::Sender<Event>) {
        loop {
            self.begun.notified().await;
            while !self.list().is_empty() {
                let round_trip = shared.connection.quic().rtt();
                sleep((round_trip / ROUND_TRIP_SHARE).clamp(LOOK_EVERY, LOOK_SELDOM)).await;
                for event in self.look() {
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes out the frames that have arrived or are late.
    fn look(&self) -> Vec<Event> {
        let now = Instant::now();
        let mut events = Vec::new();
        self.list().retain_mut(|flight| {
            let fate = flight.go_on().or_else(|| flight.expire(now));
            events.extend(fate.as_ref().map(|fate| flight.event(fate)));
            fate.is_none()
        });
        events
    }

    fn list(&self) -> MutexGuard<'_, Vec<Flight>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Opens, writes and ends the stream as far as that is possible without waiting.
    fn go_on(&mut self) -> Option<Fate> {
        if let Stage::Opening(opening) = &mut self.stage {
            match at_once(opening.as_mut())? {
                Ok(mut stream) => {
                    // It can only fail when the peer has already stopped the stream, which writing finds.
                    let _ = stream.quic().set_priority(self.job.frame.priority);
                    self.stage = Stage::Open { stream, ended: false };
                }
                Err(Gone) => return Some(Fate::Expired),
            }
        }
        let Stage::Open { stream, ended } = &mut self.stage else {
            return None;
        };
        if !*ended {
            let chunks = &mut self.job.frame.chunks;
            while !chunks.is_empty() {
                let Ok(written) = at_once(pin!(stream.quic().write_chunks(chunks)))? else {
                    return Some(Fate::Expired);
                };
                chunks.drain(..written.chunks);
            }
            if stream.quic().finish().is_err() {
                return Some(Fate::Expired);
            }
            *ended = true;
        }
        match at_once(pin!(stream.quic().stopped()))? {
            Ok(None) => Some(Fate::Sent),
            _ => Some(Fate::Expired),
        }
    }

    fn expire(&mut self, now: Instant) -> Option<Fate> {
        if now < self.deadline {
            return None;
        }
        if let Stage::Open { stream, .. } = &mut self.stage {
            // One that has just been acknowledged can not be reset any more; it is late all the same.
            let _ = stream.quic().reset(EXPIRED);
        }
        Some(Fate::Expired)
    }

    fn event(&self, fate: &Fate) -> Event {
        let id = self.job.frame.id;
        match fate {
            Fate::Sent => Event::FrameSent {
                id,
                elapsed: self.job.queued.elapsed(),
            },
            Fate::Expired => Event::FrameExpired { id },
        }
    }
}

/// What a future gives now, if it need not wait. Nobody is woken for it: it is asked again.
fn at_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
