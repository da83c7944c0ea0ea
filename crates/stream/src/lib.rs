//! Sans-IO delivery: group cache, sender, adaptation, receiver, clock synchronisation, jitter buffer.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod adapt;
pub mod clock;
pub mod faces;
pub mod fanout;
pub mod jitter;
pub mod layers;
pub mod receive;
pub mod send;

#[cfg(test)]
mod test_random;
