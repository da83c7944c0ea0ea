//! What sending frames costs the server: CPU time of its one thread a frame, beside bare quinn doing the same, in JSON.
//!
//! Linux only (it reads `/proc/thread-self/schedstat`). Arguments: links, frames a second, bytes a frame, seconds.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a measurement stops at the first failure"
)]

use bytes::Bytes;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};
use tongyou_transport::{ALPN, Config, Connector, Event, Frame, Listener, ServerTrust, TlsIdentity};

#[derive(Clone, Copy)]
struct Load {
    links: u32,
    fps: u32,
    bytes: usize,
    seconds: u32,
}

struct Measured {
    cpu_us_per_frame: f64,
    p50_ms: f64,
    p99_ms: f64,
}

fn main() {
    let arguments: Vec<u32> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().unwrap())
        .collect();
    let get = |at: usize, default| arguments.get(at).copied().unwrap_or(default);
    let load = Load {
        links: get(0, 10),
        fps: get(1, 60),
        bytes: get(2, 20_800) as usize,
        seconds: get(3, 3),
    };
    let dir = tempfile::tempdir().unwrap();
    let identity = TlsIdentity::development(&[], dir.path(), SystemTime::now())
        .unwrap()
        .webtransport;
    let link = measure(load, &identity, true);
    let bare = measure(load, &identity, false);
    let mut out = std::io::stdout();
    writeln!(
        out,
        r#"{{"links":{},"fps":{},"frame_bytes":{},"seconds":{},"link_cpu_us_per_frame":{:.1},"bare_quinn_cpu_us_per_frame":{:.1},"ratio":{:.2},"acknowledged_ms_p50":{:.2},"acknowledged_ms_p99":{:.2},"bare_ms_p50":{:.2},"bare_ms_p99":{:.2}}}"#,
        load.links,
        load.fps,
        load.bytes,
        load.seconds,
        link.cpu_us_per_frame,
        bare.cpu_us_per_frame,
        link.cpu_us_per_frame / bare.cpu_us_per_frame,
        link.p50_ms,
        link.p99_ms,
        bare.p50_ms,
        bare.p99_ms,
    )
    .unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Runs clients on one thread and the server on this one.
fn measure(load: Load, identity: &TlsIdentity, through_link: bool) -> Measured {
    let received = Arc::new(AtomicU64::new(0));
    let (addr_sender, addr_receiver) = mpsc::channel::<SocketAddr>();
    let (trust, counter) = (ServerTrust::CertificateHash(identity.sha256()), Arc::clone(&received));
    let clients = std::thread::spawn(move || {
        let server = addr_receiver.recv().unwrap();
        runtime().block_on(receive_all(server, trust, load.links, counter));
    });
    let (cpu, mut times) = runtime().block_on(async {
        if through_link {
            send_by_link(load, identity, &addr_sender).await
        } else {
            send_bare(load, identity, &addr_sender).await
        }
    });
    clients.join().unwrap();
    let frames = u64::from(load.links * load.fps * load.seconds);
    assert_eq!(
        received.load(Ordering::Relaxed),
        frames * load.bytes as u64,
        "every byte must arrive"
    );
    assert_eq!(times.len() as u64, frames);
    times.sort();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    Measured {
        cpu_us_per_frame: cpu.as_secs_f64() * 1e6 / frames as f64,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    }
}

async fn receive_all(server: SocketAddr, trust: ServerTrust, links: u32, received: Arc<AtomicU64>) {
    let connector = Connector::bind("127.0.0.1:0".parse().unwrap(), Config::client()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..links {
        let (link, mut events) = connector.connect(server, "localhost", &trust).await.unwrap();
        let received = Arc::clone(&received);
        tasks.spawn(async move {
            while let Some(event) = events.recv().await {
                if let Event::Frame(bytes) = event {
                    received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
            }
            drop(link);
        });
    }
    tasks.join_all().await;
}

async fn send_by_link(
    load: Load,
    identity: &TlsIdentity,
    addr: &mpsc::Sender<SocketAddr>,
) -> (Duration, Vec<Duration>) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), identity, Config::server()).unwrap();
    addr.send(listener.local_addr().unwrap()).unwrap();
    let mut links = Vec::new();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..load.links {
        let (link, mut events) = listener.accept().await.unwrap();
        links.push(link);
        readers.spawn(async move {
            let mut times = Vec::new();
            while times.len() < (load.fps * load.seconds) as usize {
                match events.recv().await {
                    Some(Event::FrameSent { elapsed, .. }) => times.push(elapsed),
                    other => panic!("{other:?}"),
                }
            }
            times
        });
    }
    let chunk = Bytes::from(vec![1; load.bytes]);
    let before = cpu_time();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / load.fps);
    for id in 0..u64::from(load.fps * load.seconds) {
        ticks.tick().await;
        for link in &links {
            let frame = Frame {
                chunks: vec![chunk.clone()],
                priority: 0,
                expires_in: Duration::from_secs(5),
                id,
            };
            link.send_frame(frame).unwrap();
        }
    }
    let times = readers.join_all().await.into_iter().flatten().collect();
    let cpu = cpu_time() - before;
    listener.close(0, "done").await;
    (cpu, times)
}

async fn send_bare(load: Load, identity: &TlsIdentity, addr: &mpsc::Sender<SocketAddr>) -> (Duration, Vec<Duration>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain().to_vec(), identity.key().clone_key())
        .unwrap();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let mut transport = quinn::TransportConfig::default();
    transport.congestion_controller_factory(Arc::new(quinn::congestion::BbrConfig::default()));
    config.transport_config(Arc::new(transport));
    let endpoint = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    addr.send(endpoint.local_addr().unwrap()).unwrap();
    let mut connections = Vec::new();
    for _ in 0..load.links {
        connections.push(endpoint.accept().await.unwrap().await.unwrap());
    }
    let chunk = Bytes::from(vec![1; load.bytes]);
    let before = cpu_time();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / load.fps);
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..load.fps * load.seconds {
        ticks.tick().await;
        for connection in &connections {
            let (connection, chunk) = (connection.clone(), chunk.clone());
            sending.spawn(async move {
                let start = tokio::time::Instant::now();
                let mut stream = connection.open_uni().await.unwrap();
                stream.write_chunk(chunk).await.unwrap();
                stream.finish().unwrap();
                stream.stopped().await.unwrap();
                start.elapsed()
            });
        }
    }
    let times = sending.join_all().await;
    let cpu = cpu_time() - before;
    endpoint.close(0u32.into(), b"done");
    endpoint.wait_idle().await;
    (cpu, times)
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}
