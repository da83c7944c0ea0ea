//! Who may come in.

use rand::Rng;
use tongyou_protocol::control::{ClientKind, Hello, RefusedReason};
use tongyou_protocol::{ResumeTicket, ServerTime, SessionCode, VERSION};

use super::Registry;
use crate::link::Who;
use crate::session::{Admission, Context, Refusal};
use crate::{CloseCode, Level, LinkId};

impl Registry {
    pub(super) fn hello(&mut self, now: ServerTime, link: LinkId, hello: &Hello) {
        match self.admit(now, link, hello) {
            Ok(()) => {}
            Err((reason, why)) => self.refuse(now, link, reason, &why),
        }
    }

    fn admit(&mut self, now: ServerTime, link: LinkId, hello: &Hello) -> Result<(), Refusal> {
        let refuse = |reason, why: &str| Err((reason, why.to_owned()));
        let Some((address, rtt)) = self.links.get(&link).map(|l| (l.address, l.rtt)) else {
            return Ok(());
        };
        if hello.protocol_version != VERSION {
            let why = format!(
                "this server speaks version {VERSION} of the protocol, the client version {}",
                hello.protocol_version
            );
            return Err((RefusedReason::RefusedVersion, why));
        }
        let key = hello
            .code
            .parse()
            .ok()
            .and_then(|code: SessionCode| self.find(&code.to_string()));
        let comes_back = key
            .and_then(|key| self.sessions.get(&key))
            .is_some_and(|session| session.holder_of(now, &self.config, &hello.resume_ticket).is_some());
        // Who shows a ticket has been in: the limit is there for those who guess.
        if !comes_back && let Some(wait) = self.attempts.wait(now, address) {
            let why = format!("too many wrong codes: try again in {} s", wait.as_secs() + 1);
            return Err((RefusedReason::RefusedTooManyAttempts, why));
        }
        let kind = ClientKind::try_from(hello.kind).map_err(|_| {
            let why = format!("this server does not know clients of kind {}", hello.kind);
            (RefusedReason::RefusedMalformed, why)
        })?;
        let Some(session) = key.and_then(|key| self.sessions.get_mut(&key)) else {
            self.attempts.wrong(now, address);
            return refuse(RefusedReason::RefusedCode, "there is no session with this code");
        };
        let mut may_guide_until = None;
        if kind == ClientKind::Headset && !hello.guide_grant.is_empty() {
            may_guide_until = session.check_grant(now, &hello.guide_grant);
            if may_guide_until.is_none() {
                self.attempts.wrong(now, address);
                return refuse(
                    RefusedReason::RefusedGrant,
                    "the grant is not valid for this session, or has expired",
                );
            }
        }
        let mut ticket = [0; 16];
        self.random.fill_bytes(&mut ticket);
        let mut ctx = Context {
            now,
            config: &self.config,
            out: &mut self.out,
            counters: &mut self.counters,
            budget: &mut self.budget,
        };
        session.advance(&mut ctx);
        if kind == ClientKind::Spectator {
            session.admit_spectator(&mut ctx, link, rtt)?;
            session.send_roster(&mut ctx);
            let member = (session.key, Who::Spectator);
            if let Some(state) = self.links.get_mut(&link) {
                state.member = Some(member);
            }
            return Ok(());
        }
        let admitted = session.admit(
            &mut ctx,
            &Admission {
                link,
                name: &hello.name,
                simulated: hello.simulated,
                ticket: &hello.resume_ticket,
                may_guide_until,
                rtt,
                new_ticket: ResumeTicket(ticket),
            },
        )?;
        let member = (session.key, Who::Person(admitted.headset));
        session.send_roster(&mut ctx);
        if let Some(old) = admitted.replaced {
            self.links.remove(&old);
            self.out.close(
                old,
                CloseCode::Replaced,
                "the headset came back over another connection",
            );
        }
        if let Some(state) = self.links.get_mut(&link) {
            state.member = Some(member);
        }
        Ok(())
    }

    /// Refuses a link that is not in, and forgets it.
    pub(super) fn refuse(&mut self, now: ServerTime, link: LinkId, reason: RefusedReason, why: &str) {
        self.counters.hellos_refused += 1;
        let name = reason.as_str_name();
        self.out.log(Level::Warn, format!("link {}: {name}: {why}", link.0));
        self.out.refuse(link, reason, why);
        self.disconnect(now, link, false);
    }
}
