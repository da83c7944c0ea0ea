//! Helpers of the tests of the whole line: a real server process on loopback, a browser, pictures to compare.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

pub mod browser;
pub mod pictures;
mod server;
pub mod simulation;
pub mod square;
pub mod truth;

pub use server::{Running, program, root};
