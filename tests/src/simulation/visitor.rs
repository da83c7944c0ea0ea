//! One headset of the simulation: the client's core, a clock that is wrong, and a head that moves.

use std::f32::consts::TAU;

use glam::{Quat, Vec3};
use tongyou_client::core::{Config, Event, Headset, LocalJoint, LocalPose};
use tongyou_protocol::ClientTime;

use super::Seat;

pub(super) struct Visitor {
    pub(super) headset: Headset,
    /// Connected and alive.
    pub(super) in_room: bool,
    /// When it is to be woken, true time.
    pub(super) wake_us: Option<i64>,
    offset_us: i64,
    drift_ppm: i64,
    phase: f32,
    next_walk_us: i64,
    random: u64,
    malformed: Vec<String>,
    refused: Option<String>,
}

impl Visitor {
    pub(super) fn new(i: usize, seed: u64, code: &str, grant: &str) -> Self {
        let mut random = seed ^ (i as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95);
        let mut config = Config::new(code, format!("Visitor {i}"));
        grant.clone_into(&mut config.guide_grant);
        // Clocks up to three seconds apart that run away from each other.
        let offset_us = i64::try_from(draw(&mut random) % 3_000_000).unwrap() - 1_500_000;
        let drift_ppm = if i.is_multiple_of(2) { 50 } else { -50 };
        let phase = f32::from(u8::try_from(draw(&mut random) % 256).unwrap()) / 256.0;
        Self {
            headset: Headset::new(config),
            in_room: false,
            wake_us: None,
            offset_us: offset_us + 10_000_000,
            drift_ppm,
            phase,
            next_walk_us: 4_000_000 + i64::try_from(draw(&mut random) % 10_000_000).unwrap(),
            random,
            malformed: Vec::new(),
            refused: None,
        }
    }

    /// What its clock shows.
    pub(super) fn clock(&self, now_us: i64) -> ClientTime {
        ClientTime(now_us + self.offset_us + now_us * self.drift_ppm / 1_000_000)
    }

    /// The first true time at which its clock shows `at` or more.
    fn when(&self, at: ClientTime) -> i64 {
        let mut now_us = (at.0 - self.offset_us) * 1_000_000 / (1_000_000 + self.drift_ppm) - 2;
        while self.clock(now_us) < at {
            now_us += 1;
        }
        now_us
    }

    pub(super) fn next_wake_us(&self, now_us: i64) -> Option<i64> {
        let pose = self.headset.next_pose(self.clock(now_us));
        [self.headset.poll_timeout(), pose]
            .into_iter()
            .flatten()
            .min()
            .map(|at| self.when(at))
    }

    /// The time has come that it waited for.
    pub(super) fn wake(&mut self, now_us: i64) {
        let at = self.clock(now_us);
        self.headset.on_timeout(at);
        if self.headset.next_pose(at).is_some_and(|due| due <= at) {
            let pose = self.pose(now_us);
            self.headset.set_pose(at, &pose);
        }
        if now_us >= self.next_walk_us {
            self.next_walk_us = now_us + 3_000_000 + i64::try_from(draw(&mut self.random) % 20_000_000).unwrap();
            let cells = self.headset.stop().map_or(1, |s| s.cells.len() as u64);
            let cell = u32::try_from(draw(&mut self.random) % cells).unwrap();
            self.headset.move_to_cell(cell);
        }
    }

    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Malformed { lane, message } => self.malformed.push(format!("{lane}: {message}")),
            Event::Refused { message, .. } | Event::Ended { message } => self.refused = Some(message.clone()),
            _ => {}
        }
    }

    pub(super) fn seat(&mut self, now_us: i64, tour_us: i64) -> Seat {
        let at = self.clock(now_us);
        let mut roster: Vec<(u32, i32, u32)> = self
            .headset
            .roster()
            .iter()
            .map(|p| (p.headset, p.role, p.cell))
            .collect();
        roster.sort_unstable();
        Seat {
            place: self.headset.current().map(|c| (c.epoch, c.stop)),
            roster,
            sets: self.headset.counters().complete,
            avatars: self.headset.avatars(at).len(),
            tour_time_off_us: self.headset.tour_time_at(at).map(|t| t.0 - tour_us),
            malformed: self.malformed.clone(),
            refused: self.refused.clone(),
        }
    }

    /// A head that looks about, and a hand that waves.
    fn pose(&self, now_us: i64) -> LocalPose {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of minutes fit")]
        let turn = ((now_us / 1000) as f32 / 7_000.0 + self.phase).fract() * TAU;
        let head = LocalJoint {
            position: Vec3::new(0.1 * turn.sin(), 1.6, 0.1 * turn.cos()),
            rotation: Quat::from_rotation_y(turn.sin()),
        };
        let right = LocalJoint {
            position: Vec3::new(0.3, 1.2 + 0.2 * turn.sin(), -0.3),
            rotation: Quat::IDENTITY,
        };
        LocalPose {
            head,
            left: None,
            right: Some(right),
            pointer: None,
        }
    }
}

/// SplitMix64.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
