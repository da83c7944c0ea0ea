//! What people in sessions see of each other, and what they do not.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tongyou_bot::Lead;
use tongyou_protocol::ClientTime;
use tongyou_protocol::control::server_message;
use tongyou_protocol::datagram::{Datagram, Ping};
use tongyou_protocol::frame::{Frame, Lane, Tag};
use tongyou_tests::{Running, program};
use tongyou_transport::Event;

use crate::peers::{Raw, bots, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_do_not_see_each_other() {
    let server = Running::start(&["jiefangbei", "jiefangbei"], &[]);
    assert_ne!(server.code(0), server.code(1));
    let config = |session: usize, lead: bool| {
        let mut config = bots(&server, session, 3);
        config.seed = u64::try_from(session).unwrap() + 1;
        config.names = (0..3).map(|i| format!("Session {session} bot {i}")).collect();
        config.duration = Some(Duration::from_secs(12));
        config.lead = lead.then(|| Lead {
            grant: server.grant(session).to_owned(),
            interval: Duration::from_secs(4),
        });
        config
    };
    let (first, second) = tokio::join!(run(config(0, true)), run(config(1, false)));
    assert_eq!(first.problems(), Vec::<String>::new());
    assert_eq!(second.problems(), Vec::<String>::new());
    for report in [&first, &second] {
        assert!(report.sets_complete > 0, "no sets: {report:?}");
        // Three bots see the two others, and nobody of the other session.
        assert!(report.bots.iter().all(|b| b.avatars_seen == 2), "{report:?}");
    }
    assert!(
        first.bots.iter().all(|b| b.stop_changes_applied >= 1),
        "the guide's change reached everyone"
    );
    assert!(
        second.bots.iter().all(|b| b.stop_changes_applied == 0),
        "and nobody of the other session"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_client_is_gone_for_the_others_within_five_seconds() {
    let server = Running::start(&["jiefangbei"], &[]);
    let (mut witness, welcome) = Raw::join(&server, server.code(0), "Witness").await;
    let hash = server.ready["certificate_sha256"].as_str().unwrap();
    let client = Command::new(program("tongyou-bot"))
        .args([
            "--server",
            &server.addr().to_string(),
            "--certificate-sha256",
            hash,
            "--code",
            server.code(0),
            "--quiet",
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut client = Killed(client);
    let me = welcome.headset;
    let others = move |body: server_message::Body| match body {
        server_message::Body::Roster(roster) => Some(
            roster
                .people
                .iter()
                .map(|p| p.headset)
                .filter(|h| *h != me)
                .collect::<BTreeSet<_>>(),
        ),
        _ => None,
    };
    while witness.hear_until(others).await.len() != 1 {}
    client.0.kill().unwrap();
    let killed = Instant::now();
    client.0.wait().unwrap();
    loop {
        witness.datagram(still_here());
        let heard = tokio::time::timeout(Duration::from_secs(1), witness.hear_until(others)).await;
        if heard.is_ok_and(|people| people.is_empty()) {
            break;
        }
        assert!(killed.elapsed() < Duration::from_secs(8), "still on the roster");
    }
    let gone = killed.elapsed();
    println!("{{\"killed_client_gone_after_s\":{:.2}}}", gone.as_secs_f64());
    assert!(gone <= Duration::from_secs(5), "{gone:?}");
}

/// A ping: who says nothing for four seconds is gone.
fn still_here() -> Vec<u8> {
    Datagram::Ping(Ping {
        seq: 1,
        sent: ClientTime(0),
    })
    .to_bytes()
    .to_vec()
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a headset has received: the newest colour set, and the tour time that it shows.
async fn watch(mut raw: Raw, newest: tokio::sync::watch::Sender<Option<Tag>>) {
    let mut ping = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            _ = ping.tick() => raw.datagram(still_here()),
            event = raw.events.recv() => match event {
                Some(Event::Frame(bytes)) => {
                    let header = Frame::from_bytes(&bytes).unwrap().header;
                    if header.lane == Lane::Color {
                        newest.send_replace(Some(header.tag));
                    }
                }
                Some(_) => {}
                None => return,
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_late_sees_what_the_others_see_within_one_set_interval() {
    const INTERVAL: Duration = Duration::from_millis(250);
    let server = Running::start(&["jiefangbei"], &["--sets-per-s", "4"]);
    let (early, _) = Raw::join(&server, server.code(0), "Early").await;
    let (tell, mut early_newest) = tokio::sync::watch::channel(None);
    tokio::spawn(watch(early, tell));
    // The picture is under way, somewhere in the middle of a group.
    for _ in 0..7 {
        tokio::time::timeout(Duration::from_secs(30), early_newest.changed())
            .await
            .unwrap()
            .unwrap();
    }
    let mut worst = Duration::ZERO;
    for round in 0..5 {
        let (late, _) = Raw::join(&server, server.code(0), &format!("Late {round}")).await;
        let welcomed = Instant::now();
        let (tell, mut late_newest) = tokio::sync::watch::channel(None);
        let watching = tokio::spawn(watch(late, tell));
        loop {
            tokio::time::timeout(Duration::from_secs(5), late_newest.changed())
                .await
                .unwrap()
                .unwrap();
            let (early, late): (Tag, Tag) = (
                early_newest.borrow().expect("seen before"),
                late_newest.borrow_and_update().expect("just changed"),
            );
            if late.set >= early.set {
                assert_eq!((late.vantage, late.epoch), (early.vantage, early.epoch));
                break;
            }
        }
        worst = worst.max(welcomed.elapsed());
        watching.abort();
    }
    println!("{{\"late_join_has_the_newest_set_after_ms\":{}}}", worst.as_millis());
    assert!(worst <= INTERVAL, "{worst:?} until the newest set was there");
}
