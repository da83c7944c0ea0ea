//! A simulated guide: leads from stop to stop, until a person takes over.

use std::time::Duration;
use tongyou_client::core::Headset;
use tongyou_protocol::ClientTime;
use tongyou_protocol::control::Role;

/// After a command that had no effect it is said again.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Guide {
    interval: Duration,
    next: Option<ClientTime>,
    led: bool,
    retired: bool,
}

impl Guide {
    pub(crate) const fn new(interval: Duration) -> Self {
        Self {
            interval,
            next: None,
            led: false,
            retired: false,
        }
    }

    /// The roster has changed: takes the lead where nobody has it, gives it up for good where another has taken it.
    pub(crate) fn on_roster(&mut self, headset: &mut Headset) {
        if headset.leads() {
            self.led = true;
            return;
        }
        let another = headset.roster().iter().any(|p| p.role() == Role::Guide);
        if self.led && another {
            self.retired = true;
        } else if !another && !self.retired && headset.me().is_some_and(|me| me.may_guide) {
            headset.take_lead();
        }
    }

    /// A stop has begun.
    pub(crate) fn on_stop(&mut self, now: ClientTime) {
        self.next = Some(now + self.interval);
    }

    /// Moves on when it is time.
    pub(crate) fn tick(&mut self, now: ClientTime, headset: &mut Headset) {
        if self.retired || !headset.leads() {
            return;
        }
        let due = *self.next.get_or_insert(now + self.interval);
        let (Some(current), Some(tour)) = (headset.current(), headset.tour()) else {
            return;
        };
        let stops = u32::try_from(tour.stops.len()).unwrap_or(u32::MAX);
        if now >= due && stops > 1 {
            let stop = (current.stop + 1) % stops;
            headset.go_to_stop(stop);
            self.next = Some(now + PATIENCE);
        }
    }

    /// Whether it leads, as far as it wants to.
    pub(crate) const fn retired(&self) -> bool {
        self.retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tongyou_client::core::Config;
    use tongyou_protocol::control::{
        ClientMessage, Commit, Person, Placement, Roster, ServerMessage, Stop, Tour, Welcome, client_message,
        guide_command, server_message,
    };

    fn roster(me: Role, other: Role) -> Roster {
        let person = |headset: u32, role: Role| Person {
            headset,
            role: role.into(),
            may_guide: true,
            ..Person::default()
        };
        Roster {
            people: vec![person(1, me), person(2, other)],
            lease: 6,
            spectators: 0,
        }
    }

    fn send(headset: &mut Headset, body: server_message::Body) {
        headset.on_control(ClientTime(0), &ServerMessage::from(body).to_bytes());
    }

    fn commands(headset: &mut Headset) -> Vec<guide_command::Body> {
        std::iter::from_fn(|| headset.poll_control())
            .filter_map(|m| match ClientMessage::from_bytes(&m).unwrap() {
                client_message::Body::Guide(command) => command.body,
                _ => None,
            })
            .collect()
    }

    #[test]
    fn takes_the_lead_walks_the_tour_and_gives_way_to_a_person() {
        let mut headset = Headset::new(Config::new("BCDF-GHJK", "Guide"));
        let welcome = Welcome {
            headset: 1,
            tour: Some(Tour {
                stops: vec![Stop::default(); 3],
                ..Tour::default()
            }),
            current: Some(Commit {
                epoch: 1,
                stop: 2,
                at_us: 0,
            }),
            placement: Some(Placement::default()),
            roster: Some(roster(Role::Tourist, Role::Tourist)),
            ..Welcome::default()
        };
        send(&mut headset, server_message::Body::Welcome(welcome));
        let mut guide = Guide::new(Duration::from_secs(10));
        guide.on_roster(&mut headset);
        assert_eq!(commands(&mut headset), [guide_command::Body::TakeLead(true)]);
        guide.tick(ClientTime(20_000_000), &mut headset);
        assert!(commands(&mut headset).is_empty(), "who does not lead does not command");
        send(
            &mut headset,
            server_message::Body::Roster(roster(Role::Guide, Role::Tourist)),
        );
        guide.on_roster(&mut headset);
        guide.on_stop(ClientTime(20_000_000));
        guide.tick(ClientTime(29_000_000), &mut headset);
        assert!(commands(&mut headset).is_empty(), "not yet");
        guide.tick(ClientTime(30_000_000), &mut headset);
        guide.tick(ClientTime(31_000_000), &mut headset);
        assert_eq!(
            commands(&mut headset),
            [guide_command::Body::GoToStop(0)],
            "round and once"
        );
        send(
            &mut headset,
            server_message::Body::Roster(roster(Role::Tourist, Role::Guide)),
        );
        guide.on_roster(&mut headset);
        send(
            &mut headset,
            server_message::Body::Roster(roster(Role::Tourist, Role::Tourist)),
        );
        guide.on_roster(&mut headset);
        guide.tick(ClientTime(90_000_000), &mut headset);
        assert!(commands(&mut headset).is_empty(), "a tourist for good");
        assert!(guide.retired());
    }
}
