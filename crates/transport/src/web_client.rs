//! A native client that speaks WebTransport as a browser does: for measurements and tests of that path.

use crate::link::{Config, Events, Link};
use crate::native::{self, Side};
use crate::{Error, ServerTrust, WEBTRANSPORT_PATH, tls};
use std::net::SocketAddr;
use std::sync::Arc;

/// Connects to one server over WebTransport, from a socket of its own. Must be called inside a tokio runtime.
///
/// # Errors
/// When the socket can not be bound, trust can not be set up, the handshake fails or the server refuses the session.
pub async fn connect_webtransport(
    server: SocketAddr,
    trust: &ServerTrust,
    config: Config,
) -> Result<(Arc<dyn Link>, Events), Error> {
    let failed = |reason: String| Error::Connect { addr: server, reason };
    let tls = tls::client_config(trust, wtransport::proto::WEBTRANSPORT_ALPN)?;
    let mut quic = quinn::ClientConfig::new(Arc::new(tls));
    quic.transport_config(Arc::new(native::transport_config(&config)));
    let client = wtransport::ClientConfig::builder()
        .with_bind_default()
        .build_with_quic_config(quic);
    let endpoint = wtransport::Endpoint::client(client).map_err(|source| Error::Socket { addr: server, source })?;
    let connecting = endpoint.connect(format!("https://{server}{WEBTRANSPORT_PATH}"));
    let connection = tokio::time::timeout(config.handshake_timeout, connecting)
        .await
        .map_err(|_| failed(format!("no answer within {:?}", config.handshake_timeout)))?
        .map_err(|error| failed(error.to_string()))?;
    Ok(native::start(
        native::Connection::Web(connection),
        config,
        Side::Client,
        None,
    ))
}
