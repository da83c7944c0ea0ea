//! Bare quinn that sends the same frames at the same rate: what one more headset costs at least.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use quinn::{Connection, Endpoint};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tongyou_transport::{ALPN, TlsIdentity};

use crate::process::obey;

const PATIENCE: Duration = Duration::from_secs(10);

/// Frames of one period, to be sent again and again: microseconds after its begin, bytes.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Rhythm {
    /// Length of the period, microseconds.
    pub period_us: u64,
    /// Datagrams beside the frames, evenly spread: how many a second, and bytes of each.
    pub datagrams: (f64, usize),
    /// Frames in the order of time.
    pub frames: Vec<(u64, usize)>,
}

impl Rhythm {
    /// Bytes of frames a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "megabytes and seconds")]
    pub fn bytes_per_s(&self) -> f64 {
        let bytes: usize = self.frames.iter().map(|f| f.1).sum();
        bytes as f64 / (self.period_us as f64 / 1e6)
    }

    /// The same frames, each so much larger.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bytes of a frame"
    )]
    pub fn scaled(&self, factor: f64) -> Self {
        let scale = |(at, bytes): &(u64, usize)| (*at, (*bytes as f64 * factor).round() as usize);
        Self {
            period_us: self.period_us,
            datagrams: self.datagrams,
            frames: self.frames.iter().map(scale).collect(),
        }
    }
}

/// The same settings of congestion control and packet size as the server's, everything else as quinn has it.
fn transport() -> Arc<quinn::TransportConfig> {
    let mut mtu = quinn::MtuDiscoveryConfig::default();
    mtu.upper_bound(1452);
    let mut transport = quinn::TransportConfig::default();
    transport
        .congestion_controller_factory(Arc::new(quinn::congestion::BbrConfig::default()))
        .keep_alive_interval(Some(Duration::from_secs(1)))
        .initial_mtu(1200)
        .mtu_discovery_config(Some(mtu));
    Arc::new(transport)
}

struct Sender {
    endpoint: Endpoint,
    connections: Vec<(Connection, mpsc::UnboundedSender<Bytes>)>,
    running: Vec<JoinHandle<()>>,
    /// Bytes handed to quinn.
    sent: Arc<AtomicU64>,
}

/// The sender's worker: obeys `accept N`, `start RHYTHM`, `stop`, `sent`.
///
/// # Errors
/// When no socket can be opened, or standard output is closed.
pub async fn send() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let identity = TlsIdentity::development(&[], folder.path(), SystemTime::now())?.webtransport;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key().clone_key())?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport());
    let certificate = folder.path().join("raw.der");
    std::fs::write(&certificate, identity.chain().first().context("no certificate")?)?;
    let endpoint = Endpoint::server(config, SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let first = json!({ "port": endpoint.local_addr()?.port(), "certificate": certificate });
    let mut sender = Sender {
        endpoint,
        connections: Vec::new(),
        running: Vec::new(),
        sent: Arc::default(),
    };
    obey(first, &mut sender, async |sender, words| match words {
        ["accept", n] => sender.accept(n.parse()?).await,
        ["start", rhythm] => sender.start(serde_json::from_str(rhythm)?),
        ["stop"] => {
            for task in sender.running.drain(..) {
                task.abort();
            }
            Ok(json!({}))
        }
        ["sent"] => Ok(json!({ "bytes": sender.sent.load(Ordering::Relaxed) })),
        other => bail!("unknown command {other:?}"),
    })
    .await
}

impl Sender {
    async fn accept(&mut self, n: usize) -> Result<Value> {
        while self.connections.len() < n {
            let incoming = timeout(PATIENCE, self.endpoint.accept()).await?;
            let connection = incoming.context("the endpoint is closed")?.await?;
            let (frames, queue) = mpsc::unbounded_channel();
            tokio::spawn(send_frames(connection.clone(), queue, Arc::clone(&self.sent)));
            self.connections.push((connection, frames));
        }
        Ok(json!({ "connections": self.connections.len() }))
    }

    fn start(&mut self, rhythm: Rhythm) -> Result<Value> {
        ensure!(self.running.is_empty(), "it runs already");
        let longest = rhythm.frames.iter().map(|f| f.1).max().context("no frames")?;
        let bytes = Bytes::from((0..longest).map(|i| (i % 251).to_le_bytes()[0]).collect::<Vec<u8>>());
        let connections: Vec<_> = self.connections.iter().map(|c| c.1.clone()).collect();
        let (per_s, len) = rhythm.datagrams;
        if per_s > 0.0 {
            let datagram = Bytes::from(vec![7; len]);
            for (i, (connection, _)) in self.connections.iter().enumerate() {
                let (connection, datagram) = (connection.clone(), datagram.clone());
                let every = Duration::from_secs_f64(1.0 / per_s);
                // Headsets are not told of others at the same instant.
                let phase = every * u32::try_from(i % 64).unwrap_or(0) / 64;
                self.running.push(tokio::spawn(async move {
                    let mut ticks = tokio::time::interval_at(Instant::now() + phase, every);
                    loop {
                        ticks.tick().await;
                        // Datagrams may be lost.
                        let _ = connection.send_datagram(datagram.clone());
                    }
                }));
            }
        }
        self.running.push(tokio::spawn(async move {
            let mut begin = Instant::now();
            loop {
                for (at_us, len) in &rhythm.frames {
                    sleep_until(begin + Duration::from_micros(*at_us)).await;
                    for connection in &connections {
                        // Who has gone is not counted by the receiver either.
                        let _ = connection.send(bytes.slice(..*len));
                    }
                }
                begin += Duration::from_micros(rhythm.period_us);
            }
        }));
        Ok(json!({}))
    }
}

async fn send_frames(connection: Connection, mut queue: mpsc::UnboundedReceiver<Bytes>, sent: Arc<AtomicU64>) {
    while let Some(frame) = queue.recv().await {
        let bytes = frame.len() as u64;
        let Ok(mut stream) = connection.open_uni().await else {
            return;
        };
        if stream.write_chunk(frame).await.is_err() || stream.finish().is_err() {
            return;
        }
        sent.fetch_add(bytes, Ordering::Relaxed);
    }
}

struct Receiver {
    config: quinn::ClientConfig,
    server: SocketAddr,
    connections: Vec<Connection>,
    received: Arc<AtomicU64>,
    frames: Arc<AtomicU64>,
}

/// The receiver's worker: obeys `connect N` and `received`.
///
/// # Errors
/// When no socket can be opened, or standard output is closed.
pub async fn receive(server: SocketAddr, certificate: &std::path::Path) -> Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(std::fs::read(certificate)?.into())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(transport());
    let mut receiver = Receiver {
        config,
        server,
        connections: Vec::new(),
        received: Arc::default(),
        frames: Arc::default(),
    };
    obey(json!({}), &mut receiver, async |receiver, words| match words {
        ["connect", n] => receiver.connect(n.parse()?).await,
        ["received"] => Ok(json!({
            "bytes": receiver.received.load(Ordering::Relaxed), "frames": receiver.frames.load(Ordering::Relaxed),
        })),
        other => bail!("unknown command {other:?}"),
    })
    .await
}

impl Receiver {
    async fn connect(&mut self, n: usize) -> Result<Value> {
        while self.connections.len() < n {
            // A socket each, as headsets have: what comes from one socket is received more cheaply.
            let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            let connecting = endpoint.connect_with(self.config.clone(), self.server, "localhost")?;
            let connection = timeout(PATIENCE, connecting).await??;
            let (received, frames) = (Arc::clone(&self.received), Arc::clone(&self.frames));
            let link = connection.clone();
            tokio::spawn(async move {
                while let Ok(mut stream) = link.accept_uni().await {
                    let (received, frames) = (Arc::clone(&received), Arc::clone(&frames));
                    tokio::spawn(async move {
                        if let Ok(bytes) = stream.read_to_end(16 << 20).await {
                            received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                            frames.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            self.connections.push(connection);
        }
        Ok(json!({ "connections": self.connections.len() }))
    }
}
