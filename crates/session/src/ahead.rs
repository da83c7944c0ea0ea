//! The next cell, fetched before its wearer goes there.

use std::collections::BTreeSet;

use tongyou_protocol::control::{self, LookAhead, server_message::Body};
use tongyou_protocol::{HeadsetId, ServerTime};

use crate::session::{Context, Session};

/// A wish to move always finds this many tokens that no hint has taken.
const TOKENS_FOR_MOVES: f64 = 1.0;

/// A cell of the present stop that a headset is sent beside its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ahead {
    pub(crate) cell: usize,
    until: ServerTime,
}

impl Session {
    /// Takes a hint. What can not be had now is not refused: the wearer has not asked for anything yet.
    pub(crate) fn look_ahead(&mut self, ctx: &mut Context<'_>, who: HeadsetId, to: LookAhead) -> Result<(), String> {
        if to.epoch != self.stand.epoch {
            return Ok(());
        }
        let cells = self.halls[self.stand.stop].cells.len();
        let cell = usize::try_from(to.cell).unwrap_or(usize::MAX);
        if cell >= cells {
            return Err(format!("there is no cell {}: this stop has {cells}", to.cell));
        }
        // A stop change needs the renderer and the headset's decoders for itself.
        if self.change.is_some() {
            return Ok(());
        }
        let at_own = self
            .stand
            .place(who)
            .is_none_or(|place| place.looks_from() == Some(cell));
        let has_room = self.has_room_ahead(ctx.config.ahead_vantages, who, cell);
        let Some(person) = self.people.get_mut(&who) else {
            return Ok(());
        };
        if at_own {
            person.ahead = None;
            self.refresh_vantages();
            return Ok(());
        }
        let again = person.ahead.is_some_and(|a| a.cell == cell);
        if !again
            && (!has_room || person.moves.available(ctx.now) < TOKENS_FOR_MOVES + 1.0 || !person.moves.take(ctx.now))
        {
            return Ok(());
        }
        let until = ctx.now + ctx.config.ahead_for;
        person.ahead = Some(Ahead { cell, until });
        let link = person.link;
        self.refresh_vantages();
        if let Some(vantage) = self.stand.vantage_of(cell) {
            let ahead = control::Ahead {
                epoch: self.stand.epoch,
                cell: to.cell,
                vantage: vantage.0.into(),
                until_us: until.0,
            };
            ctx.out.send(link, Body::Ahead(ahead));
        }
        Ok(())
    }

    /// Ends what has lasted for its time.
    pub(crate) fn expire_ahead(&mut self, now: ServerTime) {
        let mut ended = false;
        for person in self.people.values_mut() {
            ended |= person.ahead.take_if(|a| a.until <= now).is_some();
        }
        if ended {
            self.refresh_vantages();
        }
    }

    /// Nobody looks ahead any more.
    pub(crate) fn end_ahead(&mut self) {
        for person in self.people.values_mut() {
            person.ahead = None;
        }
    }

    /// Whether a cell may be rendered for `who`, whose present wish it would replace.
    fn has_room_ahead(&self, most: usize, who: HeadsetId, cell: usize) -> bool {
        let stood_at = |cell| {
            let mut places = self.people.keys().filter_map(|id| self.stand.place(*id));
            places.any(|place| place.looks_from() == Some(cell))
        };
        let others = self.people.iter().filter(|(id, _)| **id != who);
        let mut extra: BTreeSet<usize> = others.filter_map(|(_, p)| p.ahead).map(|a| a.cell).collect();
        extra.insert(cell);
        stood_at(cell) || extra.into_iter().filter(|cell| !stood_at(*cell)).count() <= most
    }
}
