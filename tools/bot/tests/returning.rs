//! Coming back: the address changes, the network is cut, the process is killed. A whole server over real QUIC.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod place;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use place::{Place, Visit};
use tongyou_client::net::{self, Connect};
use tongyou_transport::impair::{Impairment, Proxy};
use tongyou_transport::{Config, Connector, connect_webtransport};

const S: Duration = Duration::from_secs(1);
/// The longest time for a visitor to be let in and see a picture, on a loaded machine.
const ARRIVE: Duration = Duration::from_secs(60);
/// After what happened is over, a visitor sees the next set within this.
const BACK: Duration = Duration::from_secs(2);

async fn proxy(place: &Place) -> Proxy {
    Proxy::start(place.addr, Impairment::default(), Impairment::default(), 1)
        .await
        .unwrap()
}

async fn arrived(visits: &[&Visit]) {
    for visit in visits {
        visit
            .until(ARRIVE, "a picture", |diary| (diary.sets.len() >= 3).then_some(()))
            .await;
    }
}

/// Someone whose address changes goes on in place: one link, one welcome, no gap of more than two seconds.
async fn goes_on(visit: &Visit, moved: Instant, observer: &Visit, name: &str) {
    let next = visit
        .until(BACK, "a set after the move", |diary| diary.set_after(moved))
        .await;
    eprintln!("{name}: the next set {:?} after the move", next - moved);
    // The path that was left would have been given up by then.
    tokio::time::sleep(5 * S).await;
    let diary = visit.diary();
    assert_eq!(
        (diary.links, diary.welcomes.len(), diary.end.clone()),
        (1, 1, None),
        "{name}"
    );
    let mut last = moved;
    for set in diary.sets.iter().filter(|at| **at > moved) {
        assert!(*set - last < BACK, "{name}: a gap of {:?}", *set - last);
        last = *set;
    }
    assert!(last.elapsed() < BACK, "{name}: it has stopped");
    assert_eq!(
        observer.diary().sees(name, false, moved),
        None,
        "nobody saw {name} leave"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_another_address_stays() {
    let Some(place) = Place::start().await else { return };
    let connector = Arc::new(Connector::bind(([127, 0, 0, 1], 0).into(), Config::client()).unwrap());
    let rebinding: Connect = {
        let (connector, addr, trust) = (connector.clone(), place.addr, place.trust.clone());
        Arc::new(move || {
            let (connector, trust) = (connector.clone(), trust.clone());
            Box::pin(async move { connector.connect(addr, "localhost", &trust).await })
        })
    };
    let (quic_path, web_path) = (proxy(&place).await, proxy(&place).await);
    let web: Connect = {
        let (addr, trust) = (web_path.addr(), place.trust.clone());
        Arc::new(move || {
            let trust = trust.clone();
            Box::pin(async move { connect_webtransport(addr, &trust, Config::client()).await })
        })
    };
    let observer = place.visit(
        "observer",
        net::quic(place.addr, "localhost", place.trust.clone()),
        None,
    );
    let socket = place.visit("socket", rebinding, None);
    let quic = place.visit(
        "quic",
        net::quic(quic_path.addr(), "localhost", place.trust.clone()),
        None,
    );
    let page = place.visit("page", web, None);
    arrived(&[&observer, &socket, &quic, &page]).await;
    let before = connector.local_addr().unwrap();
    let moved = Instant::now();
    connector.rebind(([127, 0, 0, 1], 0).into()).unwrap();
    quic_path.move_clients().await;
    web_path.move_clients().await;
    assert_ne!(connector.local_addr().unwrap(), before);
    tokio::join!(
        goes_on(&socket, moved, &observer, "socket"),
        goes_on(&quic, moved, &observer, "quic"),
        goes_on(&page, moved, &observer, "page"),
    );
    drop((observer, socket, quic, page));
    place.stop().await;
}

/// Cuts someone's network for a while and checks what they and an observer see.
async fn cut(place: &Place, observer: &Visit, name: &str, length: Duration) {
    let path = proxy(place).await;
    let visit = place.visit(name, net::quic(path.addr(), "localhost", place.trust.clone()), None);
    arrived(&[&visit]).await;
    let here = visit.diary().welcomes[0].clone();
    let began = Instant::now();
    path.cut(true);
    tokio::time::sleep(length).await;
    path.cut(false);
    let over = Instant::now();
    let next = visit
        .until(10 * S, "a set after the cut", |diary| diary.set_after(over))
        .await;
    eprintln!("{name}: the next set {:?} after the cut", next - over);
    assert!(next - over <= BACK, "{name}: back after {:?}", next - over);
    let diary = visit.diary();
    assert_eq!(diary.end, None);
    let now = diary.welcomes.last().unwrap();
    assert_eq!(
        (now.headset, now.cell, now.seat),
        (here.headset, here.cell, here.seat),
        "the same place"
    );
    assert!(diary.welcomes[1..].iter().all(|w| w.resumed), "nothing was typed");
    let left = observer.diary().sees(name, false, began);
    if length < 4 * S {
        assert_eq!(left, None, "{name}: nobody saw them leave");
        assert_eq!(diary.links, 1, "{name}: the same connection");
        return;
    }
    let left = left.unwrap_or_else(|| panic!("{name}: nobody saw them leave"));
    eprintln!("{name}: the others saw the leaving after {:?}", left - began);
    assert!(left - began <= 5 * S, "{name}: seen leaving after {:?}", left - began);
    let back = observer
        .until(BACK, "the others see the return", |diary| diary.sees(name, true, left))
        .await;
    eprintln!("{name}: the others saw the return {:?} after the cut", back - over);
    assert!(back - over <= BACK, "{name}: seen back after {:?}", back - over);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_for_1_5_and_30_s_comes_back_to_the_same_place() {
    let Some(place) = Place::start().await else { return };
    let observer = place.visit(
        "observer",
        net::quic(place.addr, "localhost", place.trust.clone()),
        None,
    );
    arrived(&[&observer]).await;
    tokio::join!(
        cut(&place, &observer, "one", S),
        cut(&place, &observer, "five", 5 * S),
        cut(&place, &observer, "thirty", 30 * S),
    );
    drop(observer);
    place.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_killed_and_starts_again_comes_back_with_the_ticket_on_disk() {
    let Some(place) = Place::start().await else { return };
    let observer = place.visit(
        "observer",
        net::quic(place.addr, "localhost", place.trust.clone()),
        None,
    );
    arrived(&[&observer]).await;
    let tickets = tempfile::tempdir().unwrap();
    let start = || {
        let mut bot = Command::new(env!("CARGO_BIN_EXE_tongyou-bot"));
        bot.args(["--server", &place.addr.to_string(), "--code", &place.code])
            .args(["--certificate-sha256", &place.certificate_sha256])
            .args(["--names", "bot", "--motion", "still", "--quiet"])
            .arg("--tickets")
            .arg(tickets.path());
        bot.stdout(Stdio::piped()).spawn().unwrap()
    };
    let begin = Instant::now();
    let mut bot = start();
    observer
        .until(ARRIVE, "the bot", |diary| diary.sees("bot", true, begin))
        .await;
    let ticket = tickets.path().join("bot-1.ticket");
    while !ticket.exists() {
        assert!(begin.elapsed() < ARRIVE, "no ticket");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let kept = std::fs::read(&ticket).unwrap();
    // Killed: not a word is said.
    bot.kill().unwrap();
    bot.wait().unwrap();
    let killed = Instant::now();
    let left = observer
        .until(6 * S, "the leaving", |diary| diary.sees("bot", false, killed))
        .await;
    assert!(left - killed <= 5 * S, "seen leaving after {:?}", left - killed);
    let again = Instant::now();
    let mut bot = start();
    let back = observer
        .until(ARRIVE, "the return", |diary| diary.sees("bot", true, again))
        .await;
    eprintln!(
        "killed: seen leaving after {:?}, back {:?} after the start",
        left - killed,
        back - again
    );
    assert!(back - again <= BACK, "seen back after {:?}", back - again);
    assert_eq!(std::fs::read(&ticket).unwrap(), kept, "the same person");
    // Killed once more and started at once, while the server still waits for the first: the same person all the time.
    bot.kill().unwrap();
    bot.wait().unwrap();
    let again = Instant::now();
    let bot = start();
    tokio::time::sleep(5 * S).await;
    assert_eq!(
        observer.diary().sees("bot", false, again),
        None,
        "nobody saw them leave"
    );
    terminate(bot.id());
    let report: serde_json::Value = serde_json::from_slice(&bot.wait_with_output().unwrap().stdout).unwrap();
    let sets = report["bots"][0]["sets"]["complete"].as_u64().unwrap();
    assert!(sets > 10, "{sets} sets after the last start");
    assert_eq!(report["bots"][0]["reconnected"], 1, "it came with a ticket that counts");
    drop(observer);
    place.stop().await;
}

fn terminate(pid: u32) {
    let done = Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    assert!(done.success());
}
