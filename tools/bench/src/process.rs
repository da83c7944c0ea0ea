//! Other processes: a real server, and workers of this program that obey one line at a time.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tongyou_transport::ServerTrust;

use crate::metrics::Snapshot;

/// Longest time for a server to load its scenes and open its GPU.
const START: Duration = Duration::from_secs(120);
/// Lines of a server's log that an error shows.
const LOG_SHOWN: usize = 30;

/// A program that was built beside this one, or lies where `TONGYOU_BIN` says.
///
/// # Errors
/// When it is not there.
pub fn program(name: &str) -> Result<PathBuf> {
    let folder = match std::env::var_os("TONGYOU_BIN") {
        Some(folder) => PathBuf::from(folder),
        None => std::env::current_exe()?
            .parent()
            .context("this program lies nowhere")?
            .to_owned(),
    };
    let path = folder.join(name);
    ensure!(path.exists(), "{} is missing: run `cargo xtask build`", path.display());
    Ok(path)
}

/// CPU time that all threads of a process have used, milliseconds. Threads that have ended do not count.
///
/// # Errors
/// When the system has no `/proc`, or the process has ended.
pub fn cpu_ms(pid: u32) -> Result<f64> {
    threads_cpu_ms(pid, |_| true)
}

/// CPU time of the threads whose names are `wanted`, milliseconds.
fn threads_cpu_ms(pid: u32, wanted: impl Fn(&str) -> bool) -> Result<f64> {
    let mut sum_ns = 0_u64;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("CPU time is read from /proc: Linux only")? {
        // A thread may end between the listing and the reading.
        let task = task?.path();
        let read = |what| std::fs::read_to_string(task.join(what));
        if let (Ok(text), Ok(name)) = (read("schedstat"), read("comm"))
            && wanted(name.trim_end())
        {
            sum_ns += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "hours of nanoseconds")]
    Ok(sum_ns as f64 / 1e6)
}

/// A server that ends with this value.
pub struct Server {
    child: Child,
    ready: Value,
    log: Arc<Mutex<VecDeque<String>>>,
    _data: tempfile::TempDir,
}

impl Server {
    /// Starts a server with one session of a tour of `content`, on ports of its own.
    ///
    /// # Errors
    /// When it does not get ready; the error has its last words.
    pub fn start(content: &Path, tour: &str, stamps: bool, more: &[&str]) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let ready_file = data.path().join("ready.json");
        let mut command = Command::new(program("tongyou-server")?);
        command
            .args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--open", tour])
            .arg("--data")
            .arg(data.path())
            .arg("--tours")
            .arg(content)
            .arg("--scenes")
            .arg(content)
            .arg("--ready-file")
            .arg(&ready_file)
            .args(more)
            .env("NO_COLOR", "1");
        let stamps = if stamps { ",tongyou_server::stamps=trace" } else { "" };
        command.env("RUST_LOG", format!("info,wgpu=warn,naga=warn{stamps}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let lines = child.stderr.take().context("no stderr")?;
        std::thread::spawn({
            let log = log.clone();
            move || {
                for line in BufReader::new(lines).lines().map_while(Result::ok) {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push_back(line);
                }
            }
        });
        let mut server = Self {
            child,
            ready: Value::Null,
            log,
            _data: data,
        };
        let deadline = Instant::now() + START;
        while !ready_file.exists() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended with {status}:\n{}", server.last_words());
            }
            ensure!(
                Instant::now() < deadline,
                "the server was not ready in time:\n{}",
                server.last_words()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server.ready = serde_json::from_slice(&std::fs::read(&ready_file)?)?;
        Ok(server)
    }

    /// Where QUIC and WebTransport listen.
    ///
    /// # Errors
    /// When the ready file does not say.
    pub fn addr(&self) -> Result<SocketAddr> {
        self.port("port")
    }

    /// How the server is known to be the right one.
    ///
    /// # Errors
    /// When the ready file does not say.
    pub fn trust(&self) -> Result<ServerTrust> {
        let hash = tongyou_client::net::parse_sha256(&self.sha256()?)?;
        Ok(ServerTrust::CertificateHash(hash))
    }

    /// SHA-256 of the certificate in hexadecimal.
    ///
    /// # Errors
    /// When the ready file does not say.
    pub fn sha256(&self) -> Result<String> {
        let text = self.ready["certificate_sha256"].as_str();
        Ok(text.context("the ready file has no certificate_sha256")?.to_owned())
    }

    /// The session's code.
    ///
    /// # Errors
    /// When the ready file does not say.
    pub fn code(&self) -> Result<String> {
        let text = self.ready["sessions"][0]["code"].as_str();
        Ok(text.context("the ready file has no code")?.to_owned())
    }

    /// What the server has counted so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> Result<Snapshot> {
        let mut stream = TcpStream::connect(self.port("metrics_port")?)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer of the metrics")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "the metrics answer {head:?}");
        Snapshot::parse(body)
    }

    /// CPU time of the server so far, milliseconds.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn cpu_ms(&self) -> Result<f64> {
        cpu_ms(self.child.id())
    }

    /// CPU time of the threads that send and decide, but not of those that draw and code, milliseconds.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn sending_cpu_ms(&self) -> Result<f64> {
        threads_cpu_ms(self.child.id(), |name| matches!(name, "network" | "tick"))
    }

    /// The lines that the server has said since the last call.
    #[must_use]
    pub fn take_log(&self) -> Vec<String> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(..)
            .collect()
    }

    fn last_words(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = log.iter().skip(log.len().saturating_sub(LOG_SHOWN));
        shown.cloned().collect::<Vec<_>>().join("\n")
    }

    fn port(&self, key: &str) -> Result<SocketAddr> {
        let port = self.ready[key].as_u64().and_then(|p| u16::try_from(p).ok());
        let port = port.with_context(|| format!("the server's ready file has no {key}"))?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A worker: another process of this program. It reads one command a line and answers each with one line of JSON; it
/// ends when its input does.
pub struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a worker and waits for its first line.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(arguments: &[&str]) -> Result<(Self, Value)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut worker = Self { child, input, output };
        let first = worker.hear().with_context(|| format!("worker {arguments:?}"))?;
        Ok((worker, first))
    }

    /// Says one line and waits for the answer.
    ///
    /// # Errors
    /// When the worker ended, or answers `{"error": …}`.
    pub fn ask(&mut self, line: &str) -> Result<Value> {
        let input = self.input.as_mut().context("the worker has ended")?;
        writeln!(input, "{line}")?;
        self.hear().with_context(|| format!("worker, asked {line:?}"))
    }

    /// CPU time of the worker so far, milliseconds.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_ms(&self) -> Result<f64> {
        cpu_ms(self.child.id())
    }

    fn hear(&mut self) -> Result<Value> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "it ended without an answer");
        let value: Value = serde_json::from_str(&line)?;
        if let Some(error) = value["error"].as_str() {
            bail!("{error}");
        }
        Ok(value)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.input.take());
        let deadline = Instant::now() + Duration::from_secs(3);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.wait();
    }
}

/// The worker's side: hands each line to `obey` until the input ends. An error is an answer too.
///
/// # Errors
/// When standard output is closed.
pub async fn obey<S>(
    first: Value,
    state: &mut S,
    mut command: impl AsyncFnMut(&mut S, &[&str]) -> Result<Value>,
) -> Result<()> {
    let (lines, mut incoming) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    say(&first)?;
    while let Some(line) = incoming.recv().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = command(state, &words).await;
        say(&answer.unwrap_or_else(|e| serde_json::json!({ "error": format!("{e:#}") })))?;
    }
    Ok(())
}

fn say(value: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}
