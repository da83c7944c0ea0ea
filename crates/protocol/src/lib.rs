//! What travels between server and headset: messages, codecs, typed ids and clocks. No I/O.
//!
//! The layouts are specified in `docs/protocol.md`; the golden vectors in `vectors/` are tested here and by the web
//! client, so neither side can drift.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod bytes_io;
pub mod code;
pub mod control;
pub mod cube;
pub mod datagram;
pub mod depth;
pub mod foveation;
pub mod frame;
mod ids;
mod time;

pub use code::SessionCode;
pub use ids::{HeadsetId, ResumeTicket, SetId, VantageId};
pub use time::{ClientTime, ServerTime, TourTime, micros};

/// The version of everything in this crate. A peer with another one is refused with a clear message.
pub const VERSION: u32 = 1;

/// ALPN of the raw QUIC binding. `tongyou_transport::ALPN` says the same: it knows bytes, not this crate. A test of the
/// native client, which knows both, compares them.
pub const ALPN: &[u8] = b"tongyou/1";

/// A message that does not follow the layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than the layout needs.
    #[error("{what}: needs {needed} bytes, has {available}")]
    Truncated {
        /// Which layout.
        what: &'static str,
        /// Bytes needed.
        needed: usize,
        /// Bytes there.
        available: usize,
    },
    /// Bytes after the end of the layout.
    #[error("{what}: {extra} bytes too many")]
    TooLong {
        /// Which layout.
        what: &'static str,
        /// Bytes left over.
        extra: usize,
    },
    /// A field has a value that the layout does not allow.
    #[error("{what}: {field} is {value}")]
    Invalid {
        /// Which layout.
        what: &'static str,
        /// Which field.
        field: &'static str,
        /// What it was.
        value: String,
    },
    /// The checksum does not match.
    #[error("{what}: checksum is {actual:08x}, expected {expected:08x}")]
    Checksum {
        /// Which layout.
        what: &'static str,
        /// As computed.
        actual: u32,
        /// As stated.
        expected: u32,
    },
    /// zstd refused the data.
    #[error("{what}: {message}")]
    Compression {
        /// Which layout.
        what: &'static str,
        /// zstd's words.
        message: String,
    },
    /// A control message is not valid protobuf.
    #[error("control message: {0}")]
    Control(String),
}
