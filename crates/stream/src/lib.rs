//! Sans-IO delivery: group cache, sender, adaptation, receiver, clock synchronisation, jitter buffer.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod adapt;
pub mod clock;
pub mod jitter;
pub mod receive;
pub mod send;

#[cfg(test)]
mod test_random;
