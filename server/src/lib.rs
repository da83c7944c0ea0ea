//! The Tongyou server: configuration, HTTP, threads, event loop. Wiring only.
//!
//! Four kinds of threads: the network runtime (tokio), one tick thread that owns every session and every sender, one
//! render thread that owns the GPU, one encode thread. They meet in bounded channels only; see `ARCHITECTURE.md`.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod certificates;
mod clock;
mod config;
mod content;
mod encode;
mod event;
mod fanout;
mod guide_auth;
mod http;
mod local;
mod metrics;
mod network;
mod outbox;
mod pages;
mod render;
mod server;
mod slot;
mod stamps;
#[cfg(test)]
mod testing;
mod tick;
mod views;
mod watch;

pub use config::{Config, Options};
pub use server::{Server, guide_link};
