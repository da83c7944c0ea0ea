//! The network runtime's tasks: accept links, and carry what they say to the tick thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tongyou_session::LinkId;
use tongyou_transport::{Events, Link, Listener};

use crate::clock::Clock;
use crate::event::{Event, Mailbox};

/// Accepts links until the listener or the tick thread is gone.
pub(crate) async fn accept(listener: Arc<Listener>, clock: Clock, mailbox: Mailbox) {
    let next = AtomicU64::new(1);
    while let Some((handle, events)) = listener.accept().await {
        let link = LinkId(next.fetch_add(1, Ordering::Relaxed));
        tokio::spawn(carry(link, handle, events, clock, mailbox.clone()));
    }
}

/// Carries what comes out of one link until either end is gone.
pub(crate) async fn carry(link: LinkId, handle: Arc<dyn Link>, mut events: Events, clock: Clock, mailbox: Mailbox) {
    if mailbox.send(Event::Connected { link, handle }).await.is_err() {
        return;
    }
    while let Some(event) = events.recv().await {
        if mailbox
            .send(Event::Link {
                link,
                at: clock.now(),
                event,
            })
            .await
            .is_err()
        {
            return;
        }
    }
}
