//! `Link`: one connection between a server and a headset, the same over QUIC, WebTransport and a simulated network.
//!
//! A link has three lanes: `control` (reliable, ordered, small messages), `frames` (one stream per frame, with a
//! priority and an expiry) and `datagrams` (unreliable). Sending never blocks; what arrives comes out of [`Events`].
//! The client opens the control lane with its first message; until then the server's messages wait.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod client;
mod control;
pub mod impair;
mod link;
mod listener;
mod native;
pub mod simulated;
mod tls;
mod web_client;

pub use client::{Connector, ServerTrust, connect};
pub use control::MAX_CONTROL_BYTES;
pub use link::{Config, Event, Events, Frame, Kind, Link, LinkInfo, LinkStats, SendError, close_code};
pub use listener::Listener;
pub use tls::{CertificateDetails, Development, TlsIdentity};
pub use web_client::connect_webtransport;

/// The protocol that native clients negotiate.
pub const ALPN: &[u8] = b"tongyou/1";
/// The only path that WebTransport sessions are accepted on.
pub const WEBTRANSPORT_PATH: &str = "/tongyou";
/// Datagrams up to this length fit every path and browser (the largest of Chromium, in bytes).
pub const MAX_PORTABLE_DATAGRAM: usize = 1211;

/// Why a link, a listener or an identity can not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket can not be bound or asked.
    #[error("UDP socket on {addr}")]
    Socket {
        /// The address to bind.
        addr: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of an identity can not be read or written.
    #[error("identity file {path}")]
    File {
        /// Which file.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key that can not be used.
    #[error("TLS identity: {0}")]
    Identity(String),
    /// TLS can not be set up with these certificates or roots.
    #[error("TLS configuration: {0}")]
    Tls(String),
    /// The handshake failed.
    #[error("can not connect to {addr}: {reason}")]
    Connect {
        /// The server's address.
        addr: std::net::SocketAddr,
        /// What went wrong.
        reason: String,
    },
}
