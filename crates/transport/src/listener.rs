//! The server's socket: one UDP port that takes plain QUIC and WebTransport side by side.

use crate::link::{Config, Events, Link};
use crate::native::{self, Side};
use crate::{ALPN, Error, TlsIdentity, WEBTRANSPORT_PATH, tls};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tracing::debug;

/// Handshakes that run at once; more attempts are refused.
const MAX_HANDSHAKES: usize = 256;
/// With this many handshakes running, a client must first prove its address.
const RETRY_ABOVE: usize = 64;
/// Links that wait for [`Listener::accept`].
const BACKLOG: usize = 64;

type Accepted = (Arc<dyn Link>, Events);

/// Accepts links of both kinds. Dropping it closes the port and all its links.
#[derive(Debug)]
pub struct Listener {
    endpoint: quinn::Endpoint,
    config: Config,
    accepted: Mutex<mpsc::Receiver<Accepted>>,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Binds a port (0 picks one) and starts to accept. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address can not be bound, or the identity does not work.
    pub fn bind(addr: SocketAddr, identity: &TlsIdentity, config: Config) -> Result<Self, Error> {
        let server = server_config(identity, &config)?;
        let endpoint = quinn::Endpoint::server(server, addr).map_err(|source| Error::Socket { addr, source })?;
        let (found, accepted) = mpsc::channel(BACKLOG);
        let task = tokio::spawn(run(endpoint.clone(), config, found));
        Ok(Self {
            endpoint,
            config,
            accepted: Mutex::new(accepted),
            task,
        })
    }

    /// The next link whose handshake is done, and for WebTransport whose path is right. `None` once the listener is
    /// closed. Safe to cancel.
    pub async fn accept(&self) -> Option<Accepted> {
        self.accepted.lock().await.recv().await
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        let addr = SocketAddr::from(([0, 0, 0, 0], 0));
        self.endpoint
            .local_addr()
            .map_err(|source| Error::Socket { addr, source })
    }

    /// Uses another identity for the connections from now on, as when a certificate is rotated.
    ///
    /// # Errors
    /// When the identity does not work; the old one stays.
    pub fn set_identity(&self, identity: &TlsIdentity) -> Result<(), Error> {
        self.endpoint
            .set_server_config(Some(server_config(identity, &self.config)?));
        Ok(())
    }

    /// Connections of any state on this port.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.endpoint.open_connections()
    }

    /// Closes the port and every link, and waits until the peers were told.
    pub async fn close(&self, code: u32, reason: &str) {
        self.task.abort();
        self.endpoint.close(quinn::VarInt::from_u32(code), reason.as_bytes());
        self.endpoint.wait_idle().await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
        self.endpoint.close(quinn::VarInt::from_u32(0), b"the server is gone");
    }
}

fn server_config(identity: &TlsIdentity, config: &Config) -> Result<quinn::ServerConfig, Error> {
    let alpn = [ALPN.to_vec(), wtransport::proto::WEBTRANSPORT_ALPN.to_vec()];
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls::server_config(identity, alpn)?));
    server
        .transport_config(Arc::new(native::transport_config(config)))
        .migration(true);
    Ok(server)
}

async fn run(endpoint: quinn::Endpoint, config: Config, found: mpsc::Sender<Accepted>) {
    let places = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    while let Some(incoming) = endpoint.accept().await {
        if places.available_permits() < MAX_HANDSHAKES - RETRY_ABOVE && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let found = found.clone();
        tokio::spawn(async move {
            let peer = incoming.remote_address();
            match tokio::time::timeout(config.handshake_timeout, handshake(incoming, config)).await {
                Ok(Ok(link)) => drop(found.send(link).await),
                Ok(Err(reason)) => debug!(%peer, reason, "handshake failed"),
                Err(_) => debug!(%peer, "handshake timed out"),
            }
            drop(place);
        });
    }
}

async fn handshake(incoming: quinn::Incoming, config: Config) -> Result<Accepted, String> {
    let mut connecting = incoming.accept().map_err(|error| error.to_string())?;
    let data = connecting.handshake_data().await.map_err(|error| error.to_string())?;
    let data = data
        .downcast::<quinn::crypto::rustls::HandshakeData>()
        .map_err(|_| "unknown handshake data")?;
    if data.protocol.as_deref() == Some(ALPN) {
        let connection = connecting.await.map_err(|error| error.to_string())?;
        return Ok(native::start(
            native::Connection::Quic(connection),
            config,
            Side::Server,
            None,
        ));
    }
    let session = wtransport::endpoint::IncomingSessionFuture::with_quic_connecting(connecting);
    let request = session.await.map_err(|error| error.to_string())?;
    if request.path() != WEBTRANSPORT_PATH {
        let path = request.path().to_owned();
        request.not_found().await;
        return Err(format!("no such path: {path}"));
    }
    let origin = request.origin().map(str::to_owned);
    let connection = request.accept().await.map_err(|error| error.to_string())?;
    Ok(native::start(
        native::Connection::Web(connection),
        config,
        Side::Server,
        origin,
    ))
}
