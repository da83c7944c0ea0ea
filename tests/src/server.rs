//! A real `tongyou-server` process on loopback.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program that `cargo xtask build` has made: `TONGYOU_BIN` names the folder, else it lies beside the test.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("TONGYOU_BIN").map_or_else(
        || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned(),
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: run `cargo xtask build`", path.display());
    path
}

/// A server that ends with the test.
pub struct Running {
    child: Child,
    /// What the server wrote when it was ready: addresses, codes and grants.
    pub ready: Value,
    log: Arc<Mutex<Vec<String>>>,
    _data: tempfile::TempDir,
}

impl Running {
    /// Starts a server with sessions of these tours, on a port of its own.
    #[must_use]
    pub fn start(tours: &[&str], more: &[&str]) -> Self {
        Self::start_with(&root().join("assets/tours"), &root().join("target/scenes"), tours, more)
    }

    /// The same with other folders of tours and scenes.
    #[must_use]
    pub fn start_with(tours_dir: &Path, scenes_dir: &Path, tours: &[&str], more: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let ready_file = data.path().join("ready.json");
        let mut command = Command::new(program("tongyou-server"));
        command.args(["--listen", "127.0.0.1:0"]).arg("--data").arg(data.path());
        command.arg("--tours").arg(tours_dir).arg("--scenes").arg(scenes_dir);
        command.arg("--ready-file").arg(&ready_file);
        for tour in tours {
            command.args(["--open", tour]);
        }
        command.args(more).env(
            "RUST_LOG",
            "debug,wgpu=warn,naga=warn,quinn=warn,rustls=warn,hyper=warn,h2=warn",
        );
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn({
            let log = log.clone();
            move || {
                lines
                    .map_while(Result::ok)
                    .for_each(|line| log.lock().unwrap().push(line))
            }
        });
        let mut running = Self {
            child,
            ready: Value::Null,
            log,
            _data: data,
        };
        let deadline = Instant::now() + Duration::from_secs(120);
        while !ready_file.exists() {
            if let Some(status) = running.child.try_wait().unwrap() {
                panic!("the server ended with {status}:\n{}", running.log());
            }
            assert!(
                Instant::now() < deadline,
                "the server was not ready in time:\n{}",
                running.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        running.ready = serde_json::from_slice(&std::fs::read(&ready_file).unwrap()).unwrap();
        running
    }

    /// Where QUIC and HTTPS listen.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((
            [127, 0, 0, 1],
            u16::try_from(self.ready["port"].as_u64().unwrap()).unwrap(),
        ))
    }

    /// SHA-256 of the QUIC certificate.
    #[must_use]
    pub fn certificate_sha256(&self) -> [u8; 32] {
        let hex = self.ready["certificate_sha256"].as_str().unwrap();
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    }

    /// The code of a session that was opened at the start.
    #[must_use]
    pub fn code(&self, session: usize) -> &str {
        self.ready["sessions"][session]["code"].as_str().unwrap()
    }

    /// The grant of a session that was opened at the start.
    #[must_use]
    pub fn grant(&self, session: usize) -> &str {
        self.ready["sessions"][session]["grant"].as_str().unwrap()
    }

    /// Everything the server has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Memory that the process holds, bytes.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Whether the process is still there.
    #[must_use]
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
