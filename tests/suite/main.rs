//! Tests of the whole line: real server processes, real QUIC, a real browser, compared pictures.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and says what it measured"
)]

mod browser;
mod capacity;
mod hostile;
mod layers_page;
mod peers;
mod return_native;
mod return_page;
mod sessions;
mod simulation;
mod together_pages;
mod togetherness;
mod travellers;
mod truth;
mod truth_page;
mod vantages;
