//! A UDP proxy on the loopback that treats packets as a [`Path`] says. For tests and benches.

use super::{Fate, Impairment, Path};
use crate::Error;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A running proxy; dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProxyStats {
    /// From clients to the server.
    pub up: DirectionStats,
    /// From the server to clients.
    pub down: DirectionStats,
}

/// Packets of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirectionStats {
    /// Passed on, or about to be.
    pub passed: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Dropped in front of a full queue.
    pub overflowed: u64,
    /// Dropped while the path was cut.
    pub cut: u64,
}

enum Command {
    Set(Impairment, Impairment),
    Cut(bool),
    Move(oneshot::Sender<()>),
    Stats(oneshot::Sender<ProxyStats>),
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `target`; `up` is towards the target.
    ///
    /// # Errors
    /// When no socket can be bound.
    pub async fn start(target: SocketAddr, up: Impairment, down: Impairment, seed: u64) -> Result<Self, Error> {
        let socket = bind().await?;
        let addr = socket.local_addr().map_err(|source| Error::Socket {
            addr: loopback(),
            source,
        })?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let (arrivals, arrived) = mpsc::channel(4096);
        let worker = Worker {
            socket,
            target,
            start: Instant::now(),
            up: Path::new(up, seed),
            down: Path::new(down, seed ^ 0x5bd1_e995),
            cut: false,
            clients: BTreeMap::new(),
            pending: BinaryHeap::new(),
            sequence: 0,
            arrivals,
            stats: ProxyStats::default(),
        };
        Ok(Self {
            addr,
            commands,
            task: tokio::spawn(worker.run(receiver, arrived)),
        })
    }

    /// Where clients should connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Changes both directions from now on.
    pub fn set(&self, up: Impairment, down: Impairment) {
        let _ = self.commands.send(Command::Set(up, down));
    }

    /// Drops everything (`true`) or lets it pass again.
    pub fn cut(&self, cut: bool) {
        let _ = self.commands.send(Command::Cut(cut));
    }

    /// Lets the server see every client at another address from now on, as after a change of networks.
    pub async fn move_clients(&self) {
        let (done, wait) = oneshot::channel();
        let _ = self.commands.send(Command::Move(done));
        let _ = wait.await;
    }

    /// Packets so far.
    pub async fn stats(&self) -> ProxyStats {
        let (answer, wait) = oneshot::channel();
        let _ = self.commands.send(Command::Stats(answer));
        wait.await.unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A packet on its way, ordered by arrival.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    at: Duration,
    sequence: u64,
    upward: bool,
    client: SocketAddr,
    bytes: Vec<u8>,
}

/// The server's view of one client.
struct Client {
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

struct Worker {
    socket: UdpSocket,
    target: SocketAddr,
    start: Instant,
    up: Path,
    down: Path,
    cut: bool,
    clients: BTreeMap<SocketAddr, Client>,
    pending: BinaryHeap<Reverse<Packet>>,
    sequence: u64,
    arrivals: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    stats: ProxyStats,
}

impl Worker {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut arrived: mpsc::Receiver<(SocketAddr, Vec<u8>)>,
    ) {
        let mut buffer = vec![0; 65_536];
        loop {
            let next = self.pending.peek().map(|packet| self.start + packet.0.at);
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                received = self.socket.recv_from(&mut buffer) => {
                    // An error here is the echo of an earlier packet to a closed port.
                    if let Ok((len, client)) = received {
                        self.schedule(true, client, buffer[..len].to_vec());
                    }
                }
                Some((client, bytes)) = arrived.recv() => self.schedule(false, client, bytes),
                () = due => {}
            }
            self.deliver().await;
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Set(up, down) => {
                self.up.set(up);
                self.down.set(down);
            }
            Command::Cut(cut) => {
                self.cut = cut;
                self.pending.clear();
            }
            Command::Move(done) => {
                let addrs: Vec<SocketAddr> = self.clients.keys().copied().collect();
                for addr in addrs {
                    if let Some(client) = self.connect(addr).await {
                        self.clients.insert(addr, client);
                    }
                }
                let _ = done.send(());
            }
            Command::Stats(answer) => drop(answer.send(self.stats)),
        }
    }

    fn schedule(&mut self, upward: bool, client: SocketAddr, bytes: Vec<u8>) {
        let now = self.start.elapsed();
        let (path, stats) = if upward {
            (&mut self.up, &mut self.stats.up)
        } else {
            (&mut self.down, &mut self.stats.down)
        };
        if self.cut {
            stats.cut += 1;
            return;
        }
        match path.send(now, bytes.len()) {
            Fate::Arrives(at) => {
                stats.passed += 1;
                self.sequence += 1;
                self.pending.push(Reverse(Packet {
                    at,
                    sequence: self.sequence,
                    upward,
                    client,
                    bytes,
                }));
            }
            Fate::Lost => stats.lost += 1,
            Fate::Overflowed => stats.overflowed += 1,
        }
    }

    async fn deliver(&mut self) {
        let now = self.start.elapsed();
        while self.pending.peek().is_some_and(|packet| packet.0.at <= now) {
            let Some(Reverse(packet)) = self.pending.pop() else {
                return;
            };
            if !packet.upward {
                let _ = self.socket.send_to(&packet.bytes, packet.client).await;
                continue;
            }
            if !self.clients.contains_key(&packet.client)
                && let Some(client) = self.connect(packet.client).await
            {
                self.clients.insert(packet.client, client);
            }
            if let Some(client) = self.clients.get(&packet.client) {
                let _ = client.socket.send(&packet.bytes).await;
            }
        }
    }

    /// A socket towards the target that stands for one client.
    async fn connect(&self, client: SocketAddr) -> Option<Client> {
        let socket = Arc::new(bind().await.ok()?);
        socket.connect(self.target).await.ok()?;
        let (reading, arrivals) = (Arc::clone(&socket), self.arrivals.clone());
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                match reading.recv(&mut buffer).await {
                    Ok(len) => {
                        if arrivals.send((client, buffer[..len].to_vec())).await.is_err() {
                            return;
                        }
                    }
                    // The target's port is closed for the moment; the pause keeps this from spinning.
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        });
        Some(Client { socket, reader })
    }
}

async fn bind() -> Result<UdpSocket, Error> {
    UdpSocket::bind(loopback()).await.map_err(|source| Error::Socket {
        addr: loopback(),
        source,
    })
}

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
