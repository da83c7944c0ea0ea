//! Which layers of a vantage are made, and who is sent them, in the terms of [`tongyou_stream::layers`].

use std::time::Duration;

use tongyou_protocol::{ServerTime, VantageId};
use tongyou_session::{LinkId, SessionKey, Tick, VantageKind};
use tongyou_stream::faces;
use tongyou_stream::layers::{Layers, Looked};

use crate::fanout::{Fanout, Key};

/// Gaze is looked at so often; a face takes longer to be drawn and sent.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// In software, faces are drawn while rendering and coding take less than this share of the time,
const AFFORDABLE: f32 = 0.5;
/// and no longer once they take more than this.
const TOO_MUCH: f32 = 0.75;

/// What the operator wants made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    /// What lies behind near things.
    pub(crate) behind: bool,
    /// Sharp faces.
    pub(crate) faces: bool,
}

/// Decides it, on the tick thread.
pub(crate) struct Watch {
    offer: Offer,
    layers: Layers<SessionKey, LinkId>,
    /// The vantages and viewers for which `wanted` was found, and when.
    of: Vec<(SessionKey, VantageId, Vec<LinkId>)>,
    wanted: Wanted,
    looked_at: Option<ServerTime>,
    affordable: bool,
}

/// Streams, each with those who are sent it.
pub(crate) type Wanted = Vec<(Key, Vec<LinkId>)>;

impl Watch {
    pub(crate) fn new(offer: Offer) -> Self {
        Self {
            offer,
            layers: Layers::new(faces::Config::default()),
            of: Vec::new(),
            wanted: Vec::new(),
            looked_at: None,
            affordable: true,
        }
    }

    /// All streams that are wanted now. `load` is the share of the time that software rendering takes; 0 on a GPU.
    pub(crate) fn wanted(&mut self, now: ServerTime, ticks: &[Tick], fanout: &Fanout, load: f32) -> &Wanted {
        let of: Vec<_> = ticks
            .iter()
            .flat_map(|tick| tick.vantages.iter().map(move |v| (tick.session, v)))
            .map(|(session, v)| (session, v.vantage, v.viewers.iter().map(|viewer| viewer.link).collect()))
            .collect();
        let due = self.looked_at.is_none_or(|at| now.saturating_since(at) >= LOOK_EVERY);
        if due || of != self.of {
            self.looked_at = Some(now);
            self.of = of;
            self.affordable = load < if self.affordable { TOO_MUCH } else { AFFORDABLE };
            self.wanted = self.layers.wanted(fanout, &self.looked(ticks));
        }
        &self.wanted
    }

    fn looked(&self, ticks: &[Tick]) -> Vec<Looked<SessionKey, LinkId>> {
        ticks
            .iter()
            .flat_map(|tick| tick.vantages.iter().map(move |v| (tick.session, v)))
            .map(|(session, v)| {
                let panorama = v.kind == VantageKind::Panorama;
                Looked {
                    session,
                    vantage: v.vantage,
                    behind: panorama && self.offer.behind,
                    // Faces of a place where nobody stands yet would be drawn for nothing.
                    faces: panorama && self.offer.faces && self.affordable && !v.preparing,
                    viewers: v.viewers.iter().map(|viewer| (viewer.link, viewer.gaze)).collect(),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use glam::Vec3;
    use tongyou_protocol::frame::Layer;
    use tongyou_session::Viewer;
    use tongyou_stream::send;

    use super::*;
    use crate::testing::session;

    fn tick(gazes: &[Option<Vec3>]) -> Tick {
        let mut tick = session(1, ServerTime(0), &[(7, 0)]);
        let viewer = |(i, gaze): (u64, &Option<Vec3>)| Viewer {
            link: LinkId(i),
            gaze: *gaze,
        };
        tick.vantages[0].viewers = (1..).zip(gazes).map(viewer).collect();
        tick
    }

    fn streams(wanted: &Wanted) -> Vec<(Layer, Vec<u64>)> {
        let mut all: Vec<(Layer, Vec<u64>)> = wanted
            .iter()
            .map(|(key, links)| (key.layer, links.iter().map(|l| l.0).collect()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn everybody_gets_base_and_behind_and_who_looks_gets_a_face() {
        let offer = Offer {
            behind: true,
            faces: true,
        };
        let mut fanout = Fanout::new(send::Config::default());
        let mut watch = Watch::new(offer);
        let ticks = [tick(&[Some(Vec3::NEG_Z), Some(Vec3::X), None])];
        let at = |ms: i64| ServerTime(ms * 1000);
        let mut seen = Vec::new();
        let loads = [(0, 0.1), (100, 0.1), (200, 0.7), (300, 0.8), (400, 0.6), (500, 0.4)];
        for (ms, load) in loads {
            let wanted = watch.wanted(at(ms), &ticks, &fanout, load).clone();
            fanout.sync(at(ms), wanted.iter().map(|(key, links)| (*key, links.as_slice())));
            seen.push(streams(&wanted));
        }
        let plain = vec![(Layer::Base, vec![1, 2, 3]), (Layer::Behind, vec![1, 2, 3])];
        let mut sharp = plain.clone();
        sharp.extend([(Layer::Face(0), vec![2]), (Layer::Face(5), vec![1])]);
        assert_eq!(seen[0], plain, "nothing is known of the paths");
        assert_eq!(seen[1..3], [sharp.clone(), sharp.clone()]);
        assert_eq!(
            seen[3..5],
            [plain.clone(), plain.clone()],
            "too much, and not yet little enough"
        );
        assert_eq!(seen[5], sharp);
        let gone = [tick(&[])];
        assert_eq!(
            streams(watch.wanted(at(501), &gone, &fanout, 0.1)),
            [(Layer::Base, vec![])],
            "at once"
        );
        let mut off = Watch::new(Offer {
            behind: false,
            faces: false,
        });
        assert_eq!(streams(off.wanted(at(0), &ticks, &fanout, 0.0)), plain[..1]);
    }
}
