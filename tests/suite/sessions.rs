//! What people in sessions see of each other, and what they do not.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tongyou_bot::Lead;
use tongyou_protocol::control::server_message;
use tongyou_tests::{Running, program};

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
    // The witness stays alive by its own keep-alives; it says something so that the session does not miss it.
    let ping = tongyou_protocol::datagram::Datagram::Ping(tongyou_protocol::datagram::Ping {
        seq: 1,
        sent: tongyou_protocol::ClientTime(0),
    });
    while witness.hear_until(others).await.len() != 1 {}
    client.0.kill().unwrap();
    let killed = Instant::now();
    client.0.wait().unwrap();
    loop {
        witness.datagram(ping.to_bytes().to_vec());
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

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_late_sees_what_the_others_see() {
    let server = Running::start(&["jiefangbei"], &["--sets-per-s", "4"]);
    let early = {
        let mut config = bots(&server, 0, 2);
        config.duration = Some(Duration::from_secs(14));
        config.motion = tongyou_bot::Motion::Still;
        config
    };
    let late = {
        let mut config = bots(&server, 0, 1);
        config.duration = Some(Duration::from_secs(5));
        config.motion = tongyou_bot::Motion::Still;
        config
    };
    let (early, late) = tokio::join!(run(early), async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        run(late).await
    });
    assert_eq!(early.problems(), Vec::<String>::new());
    // A wrong tour time or a set of the past is one of the problems that a bot reports.
    assert_eq!(late.problems(), Vec::<String>::new());
    let first = late.bots[0].first_set_after_ms.expect("the late one saw nothing");
    println!("{{\"late_join_first_set_ms\":{first:.0}}}");
    assert!(first < 2000.0, "{first} ms");
}
