//! Stop changes that are agreed on in messages and datagrams, in any order.

use super::*;

fn commit_datagram(headset: &mut Headset, now: ClientTime, epoch: u32, at: ServerTime) {
    let commit = protocol::datagram::Commit { epoch, stop: 1, at };
    headset.on_datagram(now, &Datagram::Commit(commit).to_bytes());
}

fn prepare(epoch: u32, vantage: u32) -> server_message::Body {
    server_message::Body::Prepare(Prepare {
        epoch,
        stop: 1,
        placement: Some(placement(epoch, 1, vantage)),
    })
}

fn commit(epoch: u32, at: ServerTime) -> server_message::Body {
    server_message::Body::Commit(Commit {
        epoch,
        stop: 1,
        at_us: at.0,
    })
}

#[test]
fn a_commit_counts_once_whether_it_comes_as_datagram_or_message() {
    let at = ServerTime(5_000_000 + OFFSET_US);
    for first in ["message", "datagram"] {
        let mut headset = on_tour();
        send(&mut headset, ms(4_000), prepare(2, 5));
        if first == "message" {
            send(&mut headset, ms(4_200), commit(2, at));
        }
        for t in [4_200, 4_240, 4_280] {
            commit_datagram(&mut headset, ms(t), 2, at);
        }
        // The control lane had to repeat it: it comes after the instant.
        let mut all = pass(&mut headset, 4_300, 5_100);
        if first == "datagram" {
            send(&mut headset, ms(5_100), commit(2, at));
            all.extend(events(&mut headset));
        }
        let agreed = all.iter().filter(|e| matches!(e, Event::Committed { .. })).count();
        let applied = all.iter().filter(|e| matches!(e, Event::StopApplied(_))).count();
        assert_eq!((agreed, applied), (1, 1), "{all:?}");
        assert_eq!(headset.current().unwrap().epoch, 2);
        assert!(!all.iter().any(|e| matches!(e, Event::Malformed { .. })), "{all:?}");
    }
}

#[test]
fn a_commit_that_overtakes_its_prepare_is_kept() {
    let mut headset = on_tour();
    let at = ServerTime(5_000_000 + OFFSET_US);
    commit_datagram(&mut headset, ms(4_100), 3, at);
    // An earlier wish that was replaced, then the one that was agreed on.
    send(&mut headset, ms(4_200), prepare(2, 5));
    send(&mut headset, ms(4_200), prepare(3, 6));
    pass(&mut headset, 4_210, 4_990);
    assert_eq!(headset.current().unwrap().epoch, 1);
    pass(&mut headset, 5_000, 5_010);
    assert_eq!(headset.current().unwrap().epoch, 3);
    assert_eq!(headset.current().unwrap().placement.vantage, 6);
    // Late copies, and one before Welcome, say nothing new.
    commit_datagram(&mut headset, ms(5_020), 3, at);
    commit_datagram(&mut headset, ms(5_020), 2, at);
    let mut newcomer = Headset::new(core_config());
    commit_datagram(&mut newcomer, ms(0), 3, at);
    assert!(events(&mut headset).is_empty() && events(&mut newcomer).is_empty());
}

#[test]
fn the_next_change_does_not_swallow_one_that_this_clock_still_waits_for() {
    let mut headset = on_tour();
    let at = ServerTime(5_000_000 + OFFSET_US);
    send(&mut headset, ms(4_000), prepare(2, 5));
    send(&mut headset, ms(4_200), commit(2, at));
    pass(&mut headset, 4_210, 4_990);
    // The server's clock is a little ahead of this estimate.
    send(&mut headset, ms(4_999), prepare(3, 6));
    assert_eq!(headset.current().unwrap().epoch, 2);
    let all = events(&mut headset);
    assert!(
        matches!(all[..], [Event::StopApplied(a), Event::Preparing { epoch: 3, .. }] if a.applied == at),
        "{all:?}"
    );
}
