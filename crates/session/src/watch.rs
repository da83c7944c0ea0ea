//! Looking on through flat cameras: spectators, who take no place, and the guide's look at another stop.

use glam::Quat;
use tongyou_protocol::control::{
    self, ClientKind, Preview, Ready, RefusedReason, client_message, server_message::Body,
};
use tongyou_protocol::{HeadsetId, ServerTime, VERSION, VantageId};

use crate::config::FlatConfig;
use crate::seating::{Hall, Stand, yaw_towards};
use crate::session::{Context, Refusal, Session, index};
use crate::{ActiveVantage, Level, LinkId, VantageKind, Viewer};

/// A projector or a wall.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spectator {
    /// Round trip of the link, as far as it is known.
    pub(crate) rtt: Option<std::time::Duration>,
}

/// The guide looks at another stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) who: HeadsetId,
    stop: usize,
    vantage: VantageId,
    until: ServerTime,
}

impl Session {
    /// Lets a spectator in.
    pub(crate) fn admit_spectator(
        &mut self,
        ctx: &mut Context<'_>,
        link: LinkId,
        rtt: Option<std::time::Duration>,
    ) -> Result<(), Refusal> {
        let most = ctx.config.spectators_most;
        if self.spectators.len() >= usize::from(most) {
            let why = format!("this session is full: it admits {most} spectators");
            return Err((RefusedReason::RefusedFull, why));
        }
        self.spectators.insert(link, Spectator { rtt });
        self.refresh_vantages();
        let welcome = control::Welcome {
            kind: ClientKind::Spectator.into(),
            headset: 0,
            resume_ticket: Vec::new(),
            placement: self.stand.watching(&self.halls[self.stand.stop]),
            ..self.welcome_all()
        };
        ctx.out.send(link, Body::Welcome(welcome));
        if let Some(change) = &self.change {
            change.tell(ctx, change.stand.watching(&self.halls[change.stand.stop]), link);
        }
        self.note_roster_change();
        let here = self.spectators.len();
        self.log(ctx, Level::Info, &format!("a spectator joined, {here} watch"));
        Ok(())
    }

    pub(crate) fn remove_spectator(&mut self, ctx: &mut Context<'_>, link: LinkId) {
        if self.spectators.remove(&link).is_none() {
            return;
        }
        if let Some(change) = &mut self.change {
            change.ready_watching.remove(&link);
        }
        self.refresh_vantages();
        self.note_roster_change();
        let here = self.spectators.len();
        self.log(ctx, Level::Info, &format!("a spectator is gone, {here} watch"));
    }

    /// Takes what a spectator says: that it is ready, and no wishes.
    pub(crate) fn spectator_says(&mut self, link: LinkId, message: &client_message::Body) -> Result<(), Refusal> {
        use client_message::Body;
        match message {
            Body::Ready(Ready { epoch, .. }) => {
                if let Some(change) = self.change.as_mut().filter(|c| c.stand.epoch == *epoch) {
                    change.ready_watching.insert(link);
                }
                Ok(())
            }
            Body::Skew(_) | Body::Leave(_) => Ok(()),
            Body::Hello(_) => Err((RefusedReason::RefusedMalformed, "you are in already".to_owned())),
            _ => Err((RefusedReason::RefusedNotAllowed, "a spectator only watches".to_owned())),
        }
    }

    /// Shows the guide another stop.
    pub(crate) fn preview(&mut self, ctx: &mut Context<'_>, who: HeadsetId, to: Preview) -> Result<(), String> {
        if !self.leads(who) {
            return Err("only the guide can look at another stop".to_owned());
        }
        if ctx.config.preview_for.is_zero() {
            return Err("this server shows no previews".to_owned());
        }
        let stop = usize::try_from(to.stop).unwrap_or(usize::MAX);
        if stop >= self.halls.len() {
            let last = index(self.halls.len()).saturating_sub(1);
            return Err(format!("there is no stop {}: they are 0 to {last}", to.stop));
        }
        // A stop change needs the renderer for itself.
        if self.change.is_some() {
            return Err("the group is about to go to another stop".to_owned());
        }
        let Some(person) = self.people.get_mut(&who) else {
            return Ok(());
        };
        let again = self.look.filter(|look| look.who == who && look.stop == stop);
        if again.is_none() && !person.moves.take(ctx.now) {
            return Err("you look around too often".to_owned());
        }
        let link = person.link;
        let vantage = match again {
            Some(look) => look.vantage,
            None => self.vantage_ids.next(|id| self.stand.uses(id)),
        };
        let until = ctx.now + ctx.config.preview_for;
        self.look = Some(Look {
            who,
            stop,
            vantage,
            until,
        });
        let previewing = control::Previewing {
            epoch: self.stand.epoch,
            stop: to.stop,
            vantage: vantage.0.into(),
            until_us: until.0,
        };
        ctx.out.send(link, Body::Previewing(previewing));
        Ok(())
    }

    /// Ends a look that has lasted for its time, or whose guide does not lead any more.
    pub(crate) fn expire_look(&mut self, now: ServerTime) {
        self.look = self.look.filter(|look| look.until > now && self.leads(look.who));
    }

    /// The id of the guide's look, which is no stand's.
    pub(crate) fn look_vantage(&self) -> Option<VantageId> {
        self.look.map(|look| look.vantage)
    }

    /// The spectators' camera at a stand.
    pub(crate) fn watched(&self, stand: &Stand, preparing: bool, camera: FlatConfig) -> Option<ActiveVantage> {
        let viewers = self.spectators.keys().map(|link| Viewer {
            link: *link,
            gaze: None,
        });
        Some(ActiveVantage {
            viewers: viewers.collect(),
            epoch: stand.epoch,
            preparing,
            ..flat(&self.halls[stand.stop], stand.stop, stand.flat_vantage()?, camera)?
        })
    }

    /// What the guide looks at.
    pub(crate) fn looked_at(&self, camera: FlatConfig) -> Option<ActiveVantage> {
        let look = self.look?;
        let link = self.people.get(&look.who)?.link;
        Some(ActiveVantage {
            viewers: vec![Viewer { link, gaze: None }],
            epoch: self.stand.epoch,
            ..flat(&self.halls[look.stop], look.stop, look.vantage, camera)?
        })
    }

    /// What everyone is told who comes in.
    pub(crate) fn welcome_all(&self) -> control::Welcome {
        control::Welcome {
            protocol_version: VERSION,
            code: self.code.to_string(),
            tour: Some(self.wire_tour.clone()),
            tour_zero_us: self.tour_zero.0,
            current: Some(control::Commit {
                epoch: self.stand.epoch,
                stop: index(self.stand.stop),
                at_us: self.stand_since.0,
            }),
            roster: Some(self.roster()),
            capacity: self.capacity.into(),
            ..control::Welcome::default()
        }
    }
}

/// A camera where a group arrives, towards the sight.
fn flat(hall: &Hall, stop: usize, vantage: VantageId, camera: FlatConfig) -> Option<ActiveVantage> {
    let eye = hall.cells.first()?.point;
    let to_sight = hall.look_at - eye;
    let pitch = to_sight.y.atan2(to_sight.x.hypot(to_sight.z));
    Some(ActiveVantage {
        vantage,
        epoch: 0,
        stop,
        cell: 0,
        point: eye,
        kind: VantageKind::Flat {
            rotation: Quat::from_rotation_y(yaw_towards(to_sight)) * Quat::from_rotation_x(pitch),
            vertical_fov_rad: camera.vertical_fov_rad,
            width: camera.width,
            height: camera.height,
        },
        viewers: Vec::new(),
        preparing: false,
    })
}
