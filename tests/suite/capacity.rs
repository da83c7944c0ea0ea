//! A session admits exactly as many as it says, also when all come at once.

use tongyou_protocol::control::{RefusedReason, server_message};
use tongyou_tests::Running;

use crate::peers::{Raw, hello};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_race_for_fifty_places() {
    let server = Running::start(&["jiefangbei"], &["--capacity", "50"]);
    let mut links = Vec::new();
    for _ in 0..200 {
        links.push(Raw::connect(&server).await);
    }
    for (i, raw) in links.iter().enumerate() {
        raw.say(hello(server.code(0), &format!("Visitor {i}")));
    }
    let (mut welcome, mut full) = (Vec::new(), 0);
    for raw in &mut links {
        let answer = raw.hear_until(|body| match body {
            server_message::Body::Welcome(w) => Some(Some(w.headset)),
            server_message::Body::Refused(r) => {
                assert_eq!(r.reason(), RefusedReason::RefusedFull, "{}", r.message);
                Some(None)
            }
            _ => None,
        });
        match answer.await {
            Some(headset) => welcome.push(headset),
            None => full += 1,
        }
    }
    assert_eq!((welcome.len(), full), (50, 150));
    welcome.sort_unstable();
    welcome.dedup();
    assert_eq!(welcome.len(), 50, "a headset id was given twice");
}
