//! The window: a tour on a screen, with mouse and keys. The network runs on threads of its own; every display frame is
//! drawn here, whatever arrives.

mod aim;
mod app;
mod canvas;
mod gamepad;
mod input;
mod stage;
mod things;
mod view;
mod wearer;

use crate::near::Near;
use crate::ticket::Ticket;
use crate::{net, present};
use app::App;
use std::sync::Arc;
use tokio::sync::watch;
use wearer::{FromNet, Shared};
use winit::event_loop::EventLoop;

/// How the window is opened.
pub struct Options {
    /// Where and how the headset joins; pictures are decoded whatever it says.
    pub net: net::Options,
    /// Pixels of the window's inside, before scaling.
    pub size: (u32, u32),
    /// Closes by itself after so many frames that show the tour.
    pub frames: Option<u32>,
    /// With which the wearer comes back after the program was killed.
    pub ticket: Option<Ticket>,
}

/// Why the window closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The wearer, or the number of frames.
    Left {
        /// Frames that showed the tour.
        frames: u32,
    },
    /// The session is over; the server's words.
    Ended(String),
}

/// Why there is no window, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gives no window.
    #[error("no window: {0}")]
    NoWindow(String),
    /// Nothing can be drawn.
    #[error(transparent)]
    Present(#[from] present::Error),
    /// The tour can not be joined, or the connection was lost.
    #[error(transparent)]
    Net(#[from] net::Error),
}

/// Opens the window and stays until it is closed or the session ends. Must be called on the main thread.
///
/// # Errors
/// Where there is no display, nothing to draw with, or no way to the server.
pub fn run(mut options: Options, runtime: &tokio::runtime::Handle) -> Result<End, Error> {
    let no_window = |e: &dyn std::fmt::Display| Error::NoWindow(e.to_string());
    let event_loop = EventLoop::<FromNet>::with_user_event()
        .build()
        .map_err(|e| no_window(&e))?;
    let shared = Arc::new(Shared::default());
    let (tell, told) = watch::channel(None);
    let (cancel, cancelled) = watch::channel(false);
    let net = net::Options {
        decode: net::Decode::All,
        ..options.net.clone()
    };
    let clock = net.clock;
    let waker = event_loop.create_proxy();
    let near = Near::new(move || {
        // A window that is gone needs no news.
        let _ = waker.send_event(FromNet::Woken);
    });
    let mut wearer = wearer::AtWindow::new(
        Arc::clone(&shared),
        event_loop.create_proxy(),
        told,
        options.ticket.take(),
        Arc::clone(&near),
    );
    let proxy = event_loop.create_proxy();
    let visit = runtime.spawn(async move {
        let end = net::run(net, &mut wearer, cancelled).await;
        wearer.left(&end);
        // A window that is gone needs no news.
        let _ = proxy.send_event(FromNet::Over(end));
    });
    let pad = gamepad::Shared::default();
    let waker = event_loop.create_proxy();
    pad.watch(move || waker.send_event(FromNet::Woken).is_ok());
    let mut app = App::new(&options, clock, shared, tell, (pad, near));
    let looped = event_loop.run_app(&mut app).map_err(|e| no_window(&e));
    // Good-bye is said before the process ends.
    cancel.send_replace(true);
    let _ = runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(2), visit).await });
    looped?;
    app.end()
}
