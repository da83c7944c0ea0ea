//! Looking ahead: the next cell's picture is here when the wearer goes there.

use super::*;
use protocol::control::Ahead;

fn ahead(cell: u32, vantage: u32, until: ClientTime) -> server_message::Body {
    server_message::Body::Ahead(Ahead {
        epoch: 1,
        cell,
        vantage,
        until_us: until.0 + OFFSET_US,
    })
}

fn streams(headset: &Headset) -> Vec<u16> {
    headset.receiver.streams().map(|s| s.vantage.0).collect()
}

#[test]
fn who_looked_ahead_is_there_at_once() {
    let mut headset = on_tour();
    set_arrives(&mut headset, ms(4_000), 10, 1, 4);
    said(&mut headset);
    headset.look_ahead(2);
    let [client_message::Body::LookAhead(hint)] = said(&mut headset)[..] else {
        panic!("no hint")
    };
    assert_eq!((hint.epoch, hint.cell), (1, 2));
    send(&mut headset, ms(4_010), ahead(2, 6, ms(12_000)));
    assert_eq!(headset.ahead(), Some(2));
    set_arrives(&mut headset, ms(4_050), 11, 1, 6);
    events(&mut headset);
    assert_eq!(headset.shown().unwrap().vantage, VantageId(4), "a hint moves nobody");
    headset.move_to_cell(2);
    send(
        &mut headset,
        ms(5_000),
        server_message::Body::Placement(placement(1, 2, 6)),
    );
    let all = events(&mut headset);
    assert!(
        matches!(&all[..], [Event::Placed(p)] if p.vantage == 6),
        "shown with the answer, no set later: {all:?}"
    );
    assert_eq!(headset.shown().unwrap().vantage, VantageId(6));
    assert_eq!((headset.ahead(), streams(&headset)), (None, vec![6]));
}

#[test]
fn what_was_not_used_is_let_go() {
    let mut headset = on_tour();
    set_arrives(&mut headset, ms(4_000), 10, 1, 4);
    send(&mut headset, ms(4_000), ahead(2, 6, ms(6_000)));
    set_arrives(&mut headset, ms(4_050), 11, 1, 6);
    // Another cell instead; then its time is over.
    send(&mut headset, ms(4_100), ahead(1, 7, ms(6_000)));
    assert_eq!(streams(&headset), [4]);
    set_arrives(&mut headset, ms(4_150), 12, 1, 7);
    pass(&mut headset, 4_200, 5_900);
    assert_eq!(streams(&headset), [4, 7]);
    pass(&mut headset, 5_900, 6_300);
    assert_eq!((headset.ahead(), streams(&headset)), (None, vec![4]));
    // A stop change takes its place, and one of another stop is not taken.
    send(&mut headset, ms(6_400), ahead(2, 6, ms(12_000)));
    let prepare = Prepare {
        epoch: 2,
        stop: 1,
        placement: Some(placement(2, 1, 5)),
    };
    send(&mut headset, ms(6_500), server_message::Body::Prepare(prepare));
    assert_eq!(headset.ahead(), None);
    send(&mut headset, ms(6_600), ahead(2, 6, ms(12_000)));
    assert_eq!(headset.ahead(), None);
    let all = events(&mut headset);
    assert!(!all.iter().any(|e| matches!(e, Event::Malformed { .. })), "{all:?}");
}
