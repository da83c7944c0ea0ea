//! Coming back in a real browser: the network cut, the tab closed or loaded again. The others see the leaving in time,
//! and who comes back is where they were, in time and without typing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tongyou_protocol::control::{ServerMessage, server_message};
use tongyou_tests::Running;
use tongyou_tests::browser::Page;
use tongyou_tests::square::small_world;
use tongyou_transport::Event;
use tongyou_transport::impair::{Impairment, Proxy};

use crate::browser::page_url;
use crate::peers::{Raw, still_here};

/// The others are told within this time.
const SEEN_MS: f64 = 5000.0;
/// The wearer is back within this time.
const BACK_MS: f64 = 2000.0;
/// Where the visitor stands, not where everybody arrives.
const CELL: u64 = 2;

/// Milliseconds of the machine's wall clock.
fn wall_ms() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs_f64() * 1e3
}

/// One roster as another visitor is told it.
struct Heard {
    at_ms: f64,
    people: Vec<(u32, u32)>,
}

/// Another visitor, who notes who is there.
struct Witness {
    heard: Arc<Mutex<Vec<Heard>>>,
    task: JoinHandle<()>,
}

impl Witness {
    async fn join(server: &Running) -> Self {
        let (mut raw, _) = Raw::join(server, server.code(0), "Witness").await;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = heard.clone();
        let task = tokio::spawn(async move {
            let mut ping = tokio::time::interval(Duration::from_millis(500));
            loop {
                tokio::select! {
                    _ = ping.tick() => raw.datagram(still_here().to_vec()),
                    event = raw.events.recv() => match event {
                        Some(Event::Control(bytes)) => {
                            let body = ServerMessage::from_bytes(&bytes).unwrap();
                            if let server_message::Body::Roster(roster) = body {
                                let people = roster.people.iter().map(|p| (p.headset, p.cell)).collect();
                                notes.lock().unwrap().push(Heard { at_ms: wall_ms(), people });
                            }
                        }
                        Some(_) => {}
                        None => return,
                    },
                }
            }
        });
        Self { heard, task }
    }

    /// When the first roster after an instant came that lacks a headset.
    fn missed_after(&self, headset: u32, after_ms: f64) -> Option<f64> {
        let heard = self.heard.lock().unwrap();
        let mut later = heard.iter().filter(|h| h.at_ms > after_ms);
        later.find(|h| h.people.iter().all(|p| p.0 != headset)).map(|h| h.at_ms)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The visitor, and what has been measured.
struct Visit {
    page: Page,
    headset: u32,
    figures: Vec<Value>,
    faults: Vec<String>,
}

impl Visit {
    fn join(arguments: Value) -> Self {
        let mut page = Page::open("return", arguments);
        page.step(&json!({ "walkAndStay": CELL }));
        let headset = u32::try_from(page.dump()["headset"].as_u64().unwrap()).unwrap();
        Self {
            page,
            headset,
            figures: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Notes what happened; a visitor who came back stands where they stood.
    fn note(&mut self, what: &str, seen_ms: Option<f64>, back_ms: Option<f64>, late_ms: f64) {
        let now = self.page.dump();
        let same = now["cell"] == CELL
            && now["headset"] == self.headset
            && now["lastSet"]["vantage"] == now["placement"]["vantage"];
        if !same {
            let (cell, headset) = (&now["cell"], &now["headset"]);
            self.faults.push(format!(
                "{what}: came back to place {cell} as {headset}, was {CELL} as {}",
                self.headset
            ));
        }
        if seen_ms.is_some_and(|ms| ms > SEEN_MS) {
            self.faults
                .push(format!("{what}: the others were told after {seen_ms:?} ms"));
        }
        if back_ms.is_some_and(|ms| ms > late_ms) {
            self.faults.push(format!("{what}: back after {back_ms:?} ms"));
        }
        let round = |ms: Option<f64>| ms.map(f64::round);
        self.figures
            .push(json!({ "what": what, "others_told_ms": round(seen_ms), "back_ms": round(back_ms) }));
    }
}

async fn cut(visit: &mut Visit, proxy: &Proxy, witness: &Witness, seconds: u64, late_ms: f64) {
    let what = format!("network cut for {seconds} s");
    let before = visit.page.dump()["returns"].as_array().unwrap().len();
    visit.page.step(&json!({ "https": false }));
    let cut_ms = wall_ms();
    proxy.cut(true);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    proxy.cut(false);
    let healed_ms = wall_ms();
    visit.page.step(&json!({ "https": true }));
    let told = witness.missed_after(visit.headset, cut_ms);
    if seconds < 4 {
        // A breath: nobody notices anything.
        visit.page.step(&json!({ "wait": 1500 }));
        let now = visit.page.dump();
        assert_eq!(now["state"], "joined", "{what}");
        assert_eq!(now["returns"].as_array().unwrap().len(), before, "{what}");
        assert!(witness.missed_after(visit.headset, cut_ms).is_none(), "{what}");
        visit.note(&what, None, None, late_ms);
        return;
    }
    let returns = visit.page.step(&json!({ "returned": before + 1 }));
    let back = returns.as_array().unwrap().last().unwrap()["pictureMs"]
        .as_f64()
        .unwrap()
        - healed_ms;
    let told = told.or_else(|| witness.missed_after(visit.headset, cut_ms));
    assert!(told.is_some(), "{what}: the others were never told");
    visit.note(&what, told.map(|ms| ms - cut_ms), Some(back), late_ms);
}

fn gone_and_back(visit: &mut Visit, witness: &Witness, late_ms: f64) {
    let closed = visit.page.step(&json!({ "close": true }))["atMs"].as_f64().unwrap();
    let deadline = wall_ms() + 2.0 * SEEN_MS;
    let told = loop {
        if let Some(at) = witness.missed_after(visit.headset, closed) {
            break at;
        }
        assert!(
            wall_ms() < deadline,
            "the others were never told that the tab was closed"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    let opened = visit.page.step(&json!({ "open": true }))["openedMs"].as_f64();
    visit.note("tab closed and opened again", Some(told - closed), opened, late_ms);
    let again = visit.page.step(&json!({ "again": true }))["openedMs"].as_f64();
    visit.note("page loaded again", None, again, late_ms);
}

async fn come_back(server: Running, cuts_s: &[u64], late_ms: f64) {
    let proxy = Proxy::start(server.addr(), Impairment::default(), Impairment::default(), 1)
        .await
        .unwrap();
    let witness = Witness::join(&server).await;
    let arguments = json!({
        "url": page_url(&server), "code": server.code(0), "port": proxy.addr().port(), "width": 320, "height": 180,
    });
    let mut visit = Visit::join(arguments);
    for seconds in cuts_s {
        cut(&mut visit, &proxy, &witness, *seconds, late_ms).await;
    }
    gone_and_back(&mut visit, &witness, late_ms);
    println!("{}", json!({ "coming_back": visit.figures }));
    assert_eq!(visit.faults, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_cut_off_or_closed_the_tab_comes_back_to_the_same_place() {
    let world = small_world();
    let (tours, scenes) = (world.path().join("tours"), world.path().join("scenes"));
    let server = Running::start_with(&tours, &scenes, &["jiefangbei"], &["--sets-per-s", "2"]);
    come_back(server, &[1, 5, 30], BACK_MS).await;
}

/// The same where software renders the city on the same two cores: its figures are for the report, only the place is
/// asserted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute: cargo test -p tongyou-tests --test suite -- --ignored --nocapture comes_back_in_the_city"]
async fn who_was_cut_off_comes_back_in_the_city() {
    let server = Running::start(&["jiefangbei"], &["--sets-per-s", "4"]);
    come_back(server, &[1, 5, 30], f64::INFINITY).await;
}
