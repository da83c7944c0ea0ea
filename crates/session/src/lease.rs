//! Who may lead, and who does.

use subtle::ConstantTimeEq;
use tongyou_protocol::{HeadsetId, ServerTime};

use crate::Level;
use crate::session::{Context, Person, Session};

/// Grants that are valid at the same time; the oldest are forgotten.
const MAX_GRANTS: usize = 64;

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lease {
    /// Rises whenever somebody else leads.
    pub(crate) epoch: u32,
    pub(crate) holder: Option<HeadsetId>,
    /// The holder is away, and keeps the lease until then.
    pub(crate) away_until: Option<ServerTime>,
}

/// The right to lead, as a secret.
pub(crate) struct Grant {
    secret: [u8; 16],
    until: ServerTime,
}

impl Session {
    pub(crate) fn add_grant(&mut self, secret: [u8; 16], until: ServerTime) {
        if self.grants.len() == MAX_GRANTS {
            self.grants.pop_front();
        }
        self.grants.push_back(Grant { secret, until });
    }

    /// Until when a grant is good, if it is.
    pub(crate) fn check_grant(&self, now: ServerTime, text: &str) -> Option<ServerTime> {
        let mut secret = [0; 16];
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        for (byte, pair) in secret.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            // `from_str_radix` alone takes a sign.
            if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        self.grants
            .iter()
            .fold(None, |good, g| {
                let right = bool::from(g.secret.ct_eq(&secret));
                if right { Some(g.until) } else { good }
            })
            .filter(|until| *until > now)
    }

    pub(crate) fn leads(&self, headset: HeadsetId) -> bool {
        self.lease.holder == Some(headset)
    }

    /// Gives the lead to a headset, under a new epoch.
    pub(crate) fn lead(&mut self, ctx: &mut Context<'_>, headset: HeadsetId) {
        self.lease = Lease {
            epoch: self.lease.epoch + 1,
            holder: Some(headset),
            away_until: None,
        };
        self.note_roster_change();
        self.log(
            ctx,
            Level::Info,
            &format!("headset {headset} leads, lease {}", self.lease.epoch),
        );
    }

    /// Takes the lead from who had it.
    pub(crate) fn release_lease(&mut self, ctx: &mut Context<'_>) {
        self.lease.holder = None;
        self.lease.away_until = None;
        self.note_roster_change();
        self.fill_lease(ctx);
    }

    /// When nobody leads, the one who has been here longest of those who may.
    pub(crate) fn fill_lease(&mut self, ctx: &mut Context<'_>) {
        if self.lease.holder.is_some() {
            return;
        }
        let may = |p: &Person| p.may_guide_until.is_some_and(|until| until > ctx.now);
        let first = self.people.iter().find(|(_, p)| may(p)).map(|(id, _)| *id);
        first.into_iter().for_each(|id| self.lead(ctx, id));
    }
}
