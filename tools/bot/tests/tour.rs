//! Bots on a scripted server: over an impaired simulated link on a stopped clock, and over real QUIC.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod scripted;

use scripted::Scripted;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tongyou_bot::{Config, Motion, ServerTrust};
use tongyou_client::net::Connect;
use tongyou_transport::impair::Impairment;
use tongyou_transport::{Listener, TlsIdentity, simulated};

fn config() -> Config {
    let trust = ServerTrust::CertificateHash([0; 32]);
    Config::new(([127, 0, 0, 1], 1).into(), trust, "BCDF-GHJK")
}

/// Simulated links to a scripted server; each connection has luck of its own.
fn connect(server: &Scripted, path: Impairment, i: usize) -> Connect {
    let server = server.clone();
    let tries = AtomicU64::new(0);
    let id = u16::try_from(i + 1).unwrap();
    Arc::new(move || {
        let seed = u64::from(id) * 1000 + tries.fetch_add(1, Ordering::Relaxed);
        let (near, far) = simulated::pair(
            tongyou_transport::Config::server(),
            tongyou_transport::Config::client(),
            path,
            path,
            seed,
        );
        tokio::spawn(server.clone().serve(id, near.0, near.1));
        Box::pin(async move { Ok(far) })
    })
}

#[tokio::test(start_paused = true)]
async fn bots_change_stops_together_on_a_bad_path_with_clocks_apart() {
    let path = Impairment {
        delay: Duration::from_millis(100),
        jitter: Duration::from_millis(50),
        loss: 0.1,
        ..Impairment::default()
    };
    let server = Scripted::new(4);
    let config = Config {
        count: 4,
        duration: Some(Duration::from_secs(100)),
        clock_offset: Duration::from_secs(3),
        drift_ppm: 50.0,
        ..config()
    };
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let report = tongyou_bot::run_over(config, |i| connect(&server, path, i), cancel).await;
    assert_eq!(report.problems(), Vec::<String>::new());
    assert_eq!(report.joined, 4);
    let mut spreads = Vec::new();
    for epoch in 1..33 {
        let changes: Vec<_> = report
            .bots
            .iter()
            .flat_map(|b| &b.stop_changes)
            .filter(|c| c.epoch == epoch)
            .collect();
        assert_eq!(changes.len(), 4, "every bot carried out epoch {epoch}");
        let times = || changes.iter().map(|c| c.applied_machine_us);
        spreads.push(times().max().unwrap() - times().min().unwrap());
    }
    spreads.sort_unstable();
    eprintln!("stop change spread: median {} µs, most {} µs", spreads[16], spreads[31]);
    assert!(spreads[31] <= 20_000, "{spreads:?}");
    for bot in &report.bots {
        eprintln!(
            "{}: {:?}, age {:?}, clock {:?}",
            bot.name, bot.sets, bot.age_ms, bot.clock
        );
        assert!(bot.sets.complete > 1_000, "{:?}", bot.sets);
        assert!((100.0..1_000.0).contains(&bot.age_ms.p50), "{:?}", bot.age_ms);
        assert_eq!(bot.avatars_seen, 3);
        assert!(
            bot.stop_changes.iter().filter(|c| c.complete).count() >= 28,
            "ready in time"
        );
    }
    let heard = server.heard.lock().unwrap();
    assert!(heard.ready.len() >= 4 * 28 && heard.skews.len() >= 4 * 28);
    assert!(
        heard.skews.iter().all(|s| s.applied_us.abs() <= 2_000),
        "on the bot's own clock it is in time"
    );
    assert!(heard.poses > 4 * 100 * 20, "{} poses", heard.poses);
    assert!(heard.feedback > 4 * 300);
    assert_eq!(heard.left, 0, "the good-byes are still under way, or arrived");
}

#[tokio::test(start_paused = true)]
async fn a_perfect_path_loses_nothing_and_stillness_is_silent() {
    let server = Scripted::new(1);
    let config = Config {
        motion: Motion::Still,
        duration: Some(Duration::from_millis(2_500)),
        ..config()
    };
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let report = tongyou_bot::run_over(config, |i| connect(&server, Impairment::default(), i), cancel).await;
    assert_eq!(report.problems(), Vec::<String>::new());
    assert_eq!((report.sets_missed, report.bots[0].sets.expired_frames), (0, 0));
    assert!(report.distinct_sets >= 48, "{report:?}");
    let poses = server.heard.lock().unwrap().poses;
    assert!((4..12).contains(&poses), "{poses} poses, then rest");
}

#[tokio::test(start_paused = true)]
async fn refused_bots_say_why() {
    let server = Scripted::new(1);
    let config = Config {
        code: "XXXX-XXXX".to_owned(),
        duration: Some(Duration::from_secs(5)),
        ..config()
    };
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let report = tongyou_bot::run_over(config, |i| connect(&server, Impairment::default(), i), cancel).await;
    assert_eq!(report.joined, 0);
    assert_eq!(
        report.problems(),
        ["Bot 1: the server refused: no such session (REFUSED_CODE)"]
    );
}

/// A scripted server behind a real port; the hash of its certificate.
fn real(server: &Scripted) -> (std::net::SocketAddr, [u8; 32]) {
    let dir = tempfile();
    let names = ["localhost".to_owned()];
    let development = TlsIdentity::development(&names, &dir, std::time::SystemTime::now()).unwrap();
    std::fs::remove_dir_all(dir).unwrap();
    let identity = development.webtransport;
    let listener = Listener::bind(
        ([127, 0, 0, 1], 0).into(),
        &identity,
        tongyou_transport::Config::server(),
    )
    .unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = server.clone();
    tokio::spawn(async move {
        let mut id = 0;
        while let Some(accepted) = listener.accept().await {
            let (link, events) = accepted;
            id += 1;
            tokio::spawn(serving.clone().serve(id, link, events));
        }
    });
    (addr, identity.sha256())
}

/// A folder of this test alone.
fn tempfile() -> std::path::PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("tongyou-bot-test-{}-{number}", std::process::id()))
}

#[tokio::test]
async fn real_quic_and_cancellation() {
    let server = Scripted::new(2);
    let (addr, hash) = real(&server);
    let config = Config {
        count: 2,
        ..Config::new(addr, ServerTrust::CertificateHash(hash), "BCDF-GHJK")
    };
    let (stop, cancel) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(tongyou_bot::run(config, cancel));
    // The thing itself: both have said that they are ready for the next stop.
    while server.heard.lock().unwrap().ready.len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.send_replace(true);
    let report = running.await.unwrap();
    assert_eq!(report.problems(), Vec::<String>::new());
    assert_eq!(report.joined, 2);
    assert!(report.sets_complete > 20);
    while server.heard.lock().unwrap().left < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_program_reports_when_it_is_terminated() {
    let server = Scripted::new(2);
    let (addr, hash) = real(&server);
    let hash: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    let bots = tokio::process::Command::new(env!("CARGO_BIN_EXE_tongyou-bot"))
        .args(["--server", &addr.to_string(), "--certificate-sha256", &hash])
        .args(["--code", "BCDF-GHJK", "--count", "2", "--quiet"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    while server.heard.lock().unwrap().ready.len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = bots.id().unwrap().to_string();
    let killed = tokio::process::Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(killed.unwrap().success());
    let output = tokio::time::timeout(Duration::from_secs(20), bots.wait_with_output()).await;
    let output = output.expect("it ends").unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["joined"], &report["bots"][1]["error"]),
        (&2.into(), &serde_json::Value::Null)
    );
    while server.heard.lock().unwrap().left < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_display_presents_at_its_instants() {
    let server = Scripted::new(1);
    let config = Config {
        duration: Some(Duration::from_secs(12)),
        // Instants that drift against the server's changes.
        display_hz: Some(7.3),
        ..config()
    };
    let (_keep, cancel) = tokio::sync::watch::channel(false);
    let report = tongyou_bot::run_over(config, |i| connect(&server, Impairment::default(), i), cancel).await;
    assert_eq!(report.problems(), Vec::<String>::new());
    let changes = &report.bots[0].stop_changes;
    let after: Vec<i64> = changes
        .iter()
        .filter_map(|c| Some(c.presented_machine_us? - c.applied_machine_us))
        .collect();
    assert!(after.len() >= 3, "{changes:?}");
    assert!(
        after.iter().all(|us| (0..160_000).contains(us)),
        "within an interval: {after:?}"
    );
    assert!(after.iter().any(|us| *us > 1_000), "not at once: {after:?}");
}
