//! The sans-IO heart of a tour: who is here, roles, playhead, poses, cells.
//!
//! One mutation, then drain: after [`Registry::handle`], [`Registry::tick`] or [`Registry::end_session`] the caller
//! polls until nothing is left, before the next mutation.
//!
//! ```
//! # use tongyou_session::{Config, Input, LinkId, Output, Registry};
//! # use tongyou_protocol::ServerTime;
//! # let (now, link) = (ServerTime(0), LinkId(1));
//! let mut registry = Registry::new(Config::default(), [7; 32]);
//! registry.handle(now, link, Input::Connected { address: [127, 0, 0, 1].into() });
//! while let Some(output) = registry.poll_output(now) {
//!     match output {
//!         Output::Control { link, message } => { /* queue on the control lane of `link` */ }
//!         Output::Datagram { link, bytes } => { /* send, or drop when the queue is full */ }
//!         Output::Close { link, code, reason } => { /* close once the control lane is flushed */ }
//!         Output::Feedback { link, feedback } => { /* to the frame senders of `link` */ }
//!         Output::Skew { .. } | Output::Log { .. } | Output::SessionEnded { .. } => {}
//!     }
//! }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod ahead;
mod attempts;
mod bucket;
mod budget;
mod change;
mod commands;
mod config;
mod ground;
mod io;
mod lease;
mod link;
mod name;
mod outbox;
mod pose;
mod predict;
mod registry;
mod relay;
mod roam;
mod seating;
mod session;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tick;
mod watch;
mod wire;

pub use budget::BudgetConfig;
pub use config::{Config, FlatConfig};
pub use io::{
    ActiveVantage, CloseCode, Counters, Error, Input, Level, LinkId, Output, SessionInfo, SessionKey, Tick,
    VantageKind, Viewer,
};
pub use registry::Registry;
