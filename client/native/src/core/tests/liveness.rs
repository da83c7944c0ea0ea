//! Heartbeats of a picture in which nothing moves.

use super::*;

#[test]
fn a_heartbeat_tells_still_from_dead() {
    let still = |headset: &mut Headset, now, vantage, set| {
        let still = protocol::datagram::Still {
            epoch: 1,
            vantage: VantageId(vantage),
            layer: Layer::Base,
            set: SetId(set),
        };
        headset.on_datagram(now, &Datagram::Still(still).to_bytes());
    };
    let mut headset = on_tour();
    assert_eq!(headset.picture_age(ms(4_000)), None);
    set_arrives(&mut headset, ms(4_000), 10, 1, 4);
    events(&mut headset);
    for t in (5_000..15_000).step_by(1_000) {
        still(&mut headset, ms(t), 4, 10);
        assert!(pass(&mut headset, t + 10, t + 990).is_empty());
    }
    assert_eq!(
        headset.picture_age(ms(14_500)),
        Some(std::time::Duration::from_millis(500))
    );
    // Another vantage, or one that is not wanted, says nothing about this one.
    still(&mut headset, ms(15_000), 9, 99);
    assert!(headset.receiver.streams().all(|s| s.vantage == VantageId(4)));
    assert_eq!(pass(&mut headset, 15_010, 18_000), [Event::Stalled]);
    assert!(headset.is_stalled());
    assert!(pass(&mut headset, 18_010, 20_000).is_empty(), "said once");
    still(&mut headset, ms(20_010), 4, 11);
    assert_eq!(events(&mut headset), [Event::Resumed]);
    // Alive, but not the newest picture: the server is told.
    assert!(headset.picture_age(ms(20_010)).unwrap().as_millis() > 6_000);
    datagrams(&mut headset);
    still(&mut headset, ms(21_010), 4, 11);
    headset.on_timeout(ms(21_300));
    let missed = datagrams(&mut headset)
        .into_iter()
        .filter_map(|d| match d {
            Datagram::Feedback(f) => Some(f.missed),
            _ => None,
        })
        .sum::<u16>();
    assert_eq!(missed, 1);
    set_arrives(&mut headset, ms(21_400), 11, 1, 4);
    assert_eq!(headset.picture_age(ms(21_400)), Some(std::time::Duration::ZERO));
}
