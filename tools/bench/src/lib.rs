//! What one more headset costs, how many a tour holds, how long a pose takes to a picture: against real servers over
//! real QUIC, as JSON. Nothing is printed before what was received has been checked.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod content;
pub mod crowd;
pub mod faces;
pub mod fanout;
pub mod headsets;
pub mod import;
pub mod latency;
pub mod load;
pub mod metrics;
pub mod process;
pub mod raw;
pub mod stamps;
pub mod stats;
pub mod visitor;
pub mod watcher;
