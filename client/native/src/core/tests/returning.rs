//! Connections that break, and the way back to the same place.

use super::*;

#[test]
fn comes_back_with_its_ticket() {
    let mut headset = on_tour();
    headset.connect_again();
    let [client_message::Body::Hello(hello)] = &said(&mut headset)[..] else {
        panic!("no Hello")
    };
    assert_eq!(hello.resume_ticket, vec![9; 16]);
    assert_eq!(
        headset.server_at(ms(5_000)),
        None,
        "another server may have another clock"
    );
    send(&mut headset, ms(5_000), welcome());
    assert_eq!(
        events(&mut headset),
        [Event::Welcome {
            headset: HeadsetId(7),
            resumed: true
        }]
    );
}

/// What a server says that lets the headset in (again).
fn welcome_to(placement: Placement, ticket: u8) -> server_message::Body {
    let server_message::Body::Welcome(welcome) = welcome() else {
        unreachable!()
    };
    server_message::Body::Welcome(Welcome {
        placement: Some(placement),
        current: Some(Commit {
            epoch: placement.epoch,
            stop: 0,
            at_us: 0,
        }),
        resume_ticket: vec![ticket; 16],
        ..welcome
    })
}

#[test]
fn comes_back_to_the_cell_where_the_wearer_was_after_cuts_of_one_five_and_thirty_seconds() {
    // The cell that is asked for again, if any, by what the server gives.
    for (given, ticket, asks) in [
        (placement(1, 2, 6), 9, None),
        (placement(1, 0, 4), 9, Some(2)),
        (placement(1, 0, 4), 1, Some(2)),
        (placement(2, 0, 4), 9, None),
    ] {
        for cut_ms in [1_000, 5_000, 30_000] {
            let mut headset = on_tour();
            headset.move_to_cell(2);
            send(
                &mut headset,
                ms(4_000),
                server_message::Body::Placement(placement(1, 2, 6)),
            );
            set_arrives(&mut headset, ms(4_100), 30, 1, 6);
            events(&mut headset);
            let (mut stalls, mut t) = (0, 4_200);
            while t < 4_200 + cut_ms {
                t += 10;
                headset.on_timeout(ms(t));
                stalls += events(&mut headset).iter().filter(|e| **e == Event::Stalled).count();
            }
            assert_eq!(stalls, usize::from(cut_ms > 3_000));
            said(&mut headset);
            // Two attempts: the first new connection breaks before there is an answer.
            for _ in 0..2 {
                headset.connect_again();
                let [client_message::Body::Hello(hello)] = &said(&mut headset)[..] else {
                    panic!("no Hello")
                };
                assert_eq!(hello.resume_ticket, vec![9; 16]);
                t += 500;
            }
            send(&mut headset, ms(t), welcome_to(given, ticket));
            let all = events(&mut headset);
            let resumed = ticket == 9;
            assert!(
                matches!(all[..], [Event::Welcome { resumed: r, .. }] if r == resumed),
                "{all:?}"
            );
            assert_eq!(headset.resume_ticket().map(|t| t.0), Some([ticket; 16]));
            let asked: Vec<u32> = said(&mut headset)
                .into_iter()
                .map(|m| match m {
                    client_message::Body::MoveToCell(m) => m.cell,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(asked, Vec::from_iter(asks), "{given:?}");
            set_arrives(
                &mut headset,
                ms(t + 50),
                900,
                u16::try_from(given.epoch).unwrap(),
                u16::try_from(given.vantage).unwrap(),
            );
            let all = events(&mut headset);
            assert_eq!(all.contains(&Event::Resumed), cut_ms > 3_000, "{all:?}");
        }
    }
}

#[test]
fn a_wish_that_the_broken_connection_swallowed_is_said_again() {
    let mut headset = on_tour();
    headset.move_to_cell(1);
    said(&mut headset);
    headset.connect_again();
    said(&mut headset);
    send(&mut headset, ms(5_000), welcome());
    assert!(matches!(said(&mut headset)[..], [client_message::Body::MoveToCell(m)] if m.cell == 1));
    // One that was refused is not.
    let notice = control::Notice {
        message: "there is no free place at that cell".to_owned(),
        ..Default::default()
    };
    send(&mut headset, ms(5_010), server_message::Body::Notice(notice));
    headset.connect_again();
    said(&mut headset);
    send(&mut headset, ms(6_000), welcome());
    assert!(said(&mut headset).is_empty());
}
