//! The native client's side: one socket, any number of links.

use crate::link::{Config, Events, Link};
use crate::native::{self, Side};
use crate::{ALPN, Error, tls};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// How a client knows that the server is the right one.
#[derive(Debug, Clone)]
pub enum ServerTrust {
    /// The SHA-256 of the certificate's DER, as for a browser's `serverCertificateHashes`. The name in the
    /// certificate and its dates do not matter then.
    CertificateHash([u8; 32]),
    /// Certificates that must have signed the server's, or be it.
    Roots(rustls::RootCertStore),
    /// What the operating system trusts.
    System,
}

/// A client socket. Links that it has made live on without it.
#[derive(Debug)]
pub struct Connector {
    endpoint: quinn::Endpoint,
    config: Config,
}

/// Connects to one server from a socket of its own.
///
/// # Errors
/// When the socket can not be bound, trust can not be set up or the handshake fails.
pub async fn connect(
    server: SocketAddr,
    server_name: &str,
    trust: &ServerTrust,
    config: Config,
) -> Result<(Arc<dyn Link>, Events), Error> {
    Connector::bind(unspecified(server), config)?
        .connect(server, server_name, trust)
        .await
}

impl Connector {
    /// Binds a client socket; port 0 picks one. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address can not be bound.
    pub fn bind(addr: SocketAddr, config: Config) -> Result<Self, Error> {
        let endpoint = quinn::Endpoint::client(addr).map_err(|source| Error::Socket { addr, source })?;
        Ok(Self { endpoint, config })
    }

    /// Connects to a server; its certificate must be good for `server_name` unless trust is a hash.
    ///
    /// # Errors
    /// When trust can not be set up or the handshake fails.
    pub async fn connect(
        &self,
        server: SocketAddr,
        server_name: &str,
        trust: &ServerTrust,
    ) -> Result<(Arc<dyn Link>, Events), Error> {
        let failed = |reason: String| Error::Connect { addr: server, reason };
        let mut config = quinn::ClientConfig::new(Arc::new(tls::client_config(trust, ALPN)?));
        config.transport_config(Arc::new(native::transport_config(&self.config)));
        let connecting = self
            .endpoint
            .connect_with(config, server, server_name)
            .map_err(|error| failed(error.to_string()))?;
        let connection = tokio::time::timeout(self.config.handshake_timeout, connecting)
            .await
            .map_err(|_| failed(format!("no answer within {:?}", self.config.handshake_timeout)))?
            .map_err(|error| failed(error.to_string()))?;
        Ok(native::start(
            native::Connection::Quic(connection),
            self.config,
            Side::Client,
            None,
        ))
    }

    /// Moves all links to a new socket, as a phone does between networks; they live on.
    ///
    /// # Errors
    /// When the address can not be bound.
    pub fn rebind(&self, addr: SocketAddr) -> Result<(), Error> {
        let failed = |source| Error::Socket { addr, source };
        self.endpoint
            .rebind(std::net::UdpSocket::bind(addr).map_err(failed)?)
            .map_err(failed)
    }

    /// The socket's address.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.endpoint.local_addr().map_err(|source| Error::Socket {
            addr: unspecified_v4(),
            source,
        })
    }
}

/// The wildcard address of the same family.
fn unspecified(server: SocketAddr) -> SocketAddr {
    match server.ip() {
        IpAddr::V4(_) => unspecified_v4(),
        IpAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
    }
}

fn unspecified_v4() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)
}
