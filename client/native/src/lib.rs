//! The headset's core without a browser: joins a tour over QUIC; headless or in a window.
//!
//! [`core`] is the sans-IO heart, [`net`] drives it over a real or simulated link, [`present`] warps what arrives to an
//! eye, [`window`] shows that, and [`poses`] writes it as files. Things that stand [`near`] are drawn here. With a [`ticket`] on disk a visitor comes back.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod core;
pub mod near;
pub mod net;
pub mod poses;
pub mod present;
pub mod ticket;
pub mod window;
