//! Coming back in the native client: the process killed and started again alike, the network cut. Who comes back is
//! where they were, in time and without typing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tongyou_tests::square::small_world;
use tongyou_tests::{Running, program};
use tongyou_transport::impair::{Impairment, Proxy};

use crate::peers::Raw;

/// The wearer is back within this time.
const BACK: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
/// Counted from 1: where the visitor walks to, not where everybody arrives.
const CELL: &str = "3";

/// A visit of the native client, and what it has said, line by line.
struct Visitor {
    child: Child,
    said: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Visitor {
    fn start(server: &Running, port: u16, state: &Path) -> Self {
        let hex: String = server.certificate_sha256().iter().map(|b| format!("{b:02x}")).collect();
        let mut child = Command::new(program("tongyou-client"))
            .args(["--server", &format!("127.0.0.1:{port}"), "--certificate-sha256", &hex])
            .args(["--code", server.code(0), "--name", "小林"])
            .args(["--headless", "--walk-to", CELL, "--state-dir"])
            .arg(state)
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn({
            let said = said.clone();
            move || {
                for line in lines.map_while(Result::ok) {
                    said.lock().unwrap().push((Instant::now(), line));
                }
            }
        });
        Self { child, said }
    }

    fn count(&self) -> usize {
        self.said.lock().unwrap().len()
    }

    /// The first line with all these words from a line on: when it came, and itself.
    fn hear(&self, from: usize, words: &[&str]) -> (Instant, String) {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.said.lock().unwrap().clone();
            let found = said
                .iter()
                .skip(from)
                .find(|(_, line)| words.iter().all(|w| line.contains(w)));
            if let Some(found) = found {
                return found.clone();
            }
            assert!(Instant::now() < until, "never said {words:?}: {said:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn kill(mut self) {
        // SIGKILL: nothing is said any more.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `name=` and what follows it in a line.
fn field(line: &str, name: &str) -> String {
    let at = line
        .find(&format!(" {name}="))
        .unwrap_or_else(|| panic!("no {name} in {line}"))
        + name.len()
        + 2;
    line[at..].split_whitespace().next().unwrap().to_owned()
}

fn identity(line: &str) -> [String; 4] {
    ["headset", "cell", "seat.x", "seat.z"].map(|name| field(line, name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_killed_or_cut_off_comes_back_to_the_same_place_without_typing() {
    let world = small_world();
    let (tours, scenes) = (world.path().join("tours"), world.path().join("scenes"));
    let server = Running::start_with(&tours, &scenes, &["jiefangbei"], &["--sets-per-s", "2"]);
    let proxy = Proxy::start(server.addr(), Impairment::default(), Impairment::default(), 1)
        .await
        .unwrap();
    let state = tempfile::tempdir().unwrap();
    let (_first, _) = Raw::join(&server, server.code(0), "First").await;
    let visitor = Visitor::start(&server, proxy.addr().port(), state.path());
    let (_, line) = visitor.hear(0, &[" in ", "resumed=false"]);
    let headset = field(&line, "headset");
    visitor.hear(0, &["Placed"]);
    let mut figures = Vec::new();

    visitor.kill();
    // Somebody else comes in between, and does not get the place.
    let (_second, _) = Raw::join(&server, server.code(0), "Second").await;
    let started = Instant::now();
    let visitor = Visitor::start(&server, proxy.addr().port(), state.path());
    let (_, line) = visitor.hear(0, &[" in "]);
    let (picture, _) = visitor.hear(0, &["a picture"]);
    let back = picture - started;
    let place = identity(&line);
    assert_eq!((&place[0], &place[1]), (&headset, &"2".to_owned()), "{line}");
    assert!(line.contains("resumed=true"), "{line}");
    figures.push(json!({ "what": "killed and started again", "back_ms": back.as_millis() }));
    assert!(back < BACK, "a picture {back:?} after the start");

    for seconds in [1, 5, 30] {
        let from = visitor.count();
        proxy.cut(true);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        proxy.cut(false);
        let healed = Instant::now();
        if seconds < 4 {
            // A breath: nobody notices anything.
            tokio::time::sleep(Duration::from_millis(1500)).await;
            assert!(
                !visitor.said.lock().unwrap()[from..]
                    .iter()
                    .any(|(_, l)| l.contains(" in "))
            );
            continue;
        }
        let (_, line) = visitor.hear(from, &[" in ", "resumed=true"]);
        let (picture, _) = visitor.hear(from, &["a picture"]);
        assert_eq!(identity(&line), place, "after {seconds} s");
        let back = picture.saturating_duration_since(healed);
        figures.push(json!({ "what": format!("network cut for {seconds} s"), "back_ms": back.as_millis() }));
        assert!(
            back < BACK,
            "{seconds} s: a picture {back:?} after the network was back"
        );
    }
    println!("{}", json!({ "coming_back_native": figures }));
}
