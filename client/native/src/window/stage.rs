//! What is on show: the layer of the present vantage, the one before it while they cross-fade, those being prepared.

use super::aim::Ground;
use crate::present::{Eye, Gpu, Layer, Locals, Presenter, Scene, Set, Shown, Target, Things};
use glam::{Quat, Vec3};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tongyou_protocol::SetId;
use tongyou_stream::receive::StreamId;

/// Walking from cell to cell, and a change of stop.
const CELL_FADE: Duration = Duration::from_millis(350);
const STOP_FADE: Duration = Duration::from_millis(200);
/// A change of stop begins with this part of it done: its first frame already shows the new place.
const STOP_FIRST_PART: f32 = 0.4;
/// Layers that wait or are past, beside the one on show.
const MOST_LAYERS: usize = 6;

/// The layers.
pub(super) struct Stage {
    /// By the stream of the vantage's base.
    layers: BTreeMap<StreamId, Layer>,
    shown: Option<StreamId>,
    leaving: Option<Leaving>,
    /// Depth of what is on show.
    grounds: BTreeMap<StreamId, Ground>,
}

/// A layer that fades out.
struct Leaving {
    stream: StreamId,
    since: Instant,
    fade: Duration,
    /// The part that was done at the beginning.
    from: f32,
    /// Heading of the view after the change, minus before.
    turned: f32,
}

/// What else a frame needs.
pub(super) struct Frame<'a> {
    pub(super) now: Instant,
    /// 0 black, 1 as rendered.
    pub(super) brightness: f32,
    pub(super) things: Things<'a>,
    /// What stands near, and when, seconds of tour time.
    pub(super) locals: (&'a [&'a Locals], f64),
}

/// How the view is to change with what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing else is shown.
    None,
    /// Another cell: the heading stays.
    Cell,
    /// Another stop: the view faces the sight.
    Stop,
}

impl Stage {
    pub(super) const fn new() -> Self {
        Self {
            layers: BTreeMap::new(),
            shown: None,
            leaving: None,
            grounds: BTreeMap::new(),
        }
    }

    /// Takes a set of any layer; the newest of a stream wins.
    pub(super) fn push(&mut self, gpu: &Gpu, presenter: &Presenter, stream: StreamId, set: &Set) {
        if let Some(ground) = Ground::of(set).filter(|_| stream == stream.base()) {
            self.grounds.insert(stream, ground);
        }
        let stream = stream.base();
        presenter.upload(gpu, self.layers.entry(stream).or_default(), set);
        let leaving = self.leaving.as_ref().map(|l| l.stream);
        while self.layers.len() > MOST_LAYERS {
            // Keys are ordered by epoch: the first are the oldest, but for those that are seen.
            let seen = |s: &StreamId| Some(*s) == self.shown || Some(*s) == leaving || *s == stream;
            let Some(old) = self.layers.keys().find(|s| !seen(s)).copied() else {
                return;
            };
            self.layers.remove(&old);
            self.grounds.remove(&old);
        }
    }

    /// Shows the stream that is to be shown, once a set of it is there. `turned`: how the view would turn for a new stop.
    pub(super) fn show(&mut self, wanted: StreamId, now: Instant, turned: f32) -> Change {
        if self.shown == Some(wanted) || self.layers.get(&wanted).and_then(Layer::tag).is_none() {
            return Change::None;
        }
        let before = self.shown.replace(wanted);
        let is_stop = before.is_none_or(|b| b.epoch != wanted.epoch);
        self.leaving = before.map(|stream| Leaving {
            stream,
            since: now,
            fade: if is_stop { STOP_FADE } else { CELL_FADE },
            from: if is_stop { STOP_FIRST_PART } else { 0.0 },
            turned: if is_stop { turned } else { 0.0 },
        });
        if is_stop { Change::Stop } else { Change::Cell }
    }

    /// The set on show, and its rendered point.
    pub(super) fn shown(&self) -> Option<(StreamId, SetId, Vec3)> {
        let stream = self.shown?;
        let tag = self.layers.get(&stream)?.tag()?;
        Some((stream, tag.set, tag.point))
    }

    /// The light and point of what is on show.
    pub(super) fn layer(&self) -> Option<&Layer> {
        self.layers.get(&self.shown?)
    }

    /// What a ray meets of what is on show.
    pub(super) fn hit(&self, from: Vec3, direction: Vec3) -> Option<Vec3> {
        self.grounds.get(&self.shown?)?.hit(from, direction)
    }

    /// Time goes on: sharp faces come in. Whether that goes on.
    pub(super) fn advance(&mut self, seconds: f32) -> bool {
        let shown = self.shown.and_then(|stream| self.layers.get_mut(&stream));
        shown.is_some_and(|layer| layer.advance(seconds))
    }

    pub(super) const fn is_fading(&self) -> bool {
        self.leaving.is_some()
    }

    /// Draws what an eye sees.
    pub(super) fn draw(
        &mut self,
        gpu: &Gpu,
        presenter: &mut Presenter,
        (color, target): (&wgpu::TextureView, &Target),
        eye: Eye,
        frame: &Frame<'_>,
    ) {
        let now = frame.now;
        self.leaving = self.leaving.take().filter(|l| l.done(now) < 1.0);
        let part = self.leaving.as_ref().map_or(1.0, |l| smooth(l.done(now)));
        let Some(layer) = self.layer() else {
            presenter.draw(gpu, (color, target), eye, Scene::default());
            return;
        };
        let leaving = self.leaving.as_ref().and_then(|leaving| {
            // Laid over the one that comes: the eye stands and looks in it as it did.
            let moved = (layer.tag()?.point, Quat::from_rotation_y(leaving.turned));
            let shown = Shown {
                layer: self.layers.get(&leaving.stream)?,
                moved: Some(moved),
                brightness: frame.brightness,
            };
            Some((shown, 1.0 - part))
        });
        let scene = Scene {
            shown: Some(Shown {
                brightness: frame.brightness,
                ..Shown::whole(layer)
            }),
            leaving,
            things: frame.things,
            locals: frame.locals.0,
            locals_at_s: frame.locals.1,
        };
        presenter.draw(gpu, (color, target), eye, scene);
    }
}

impl Leaving {
    /// The part of the cross-fade that is done.
    fn done(&self, now: Instant) -> f32 {
        self.from + now.saturating_duration_since(self.since).as_secs_f32() / self.fade.as_secs_f32()
    }
}

/// Begins and ends gently.
fn smooth(part: f32) -> f32 {
    part * part * (3.0 - 2.0 * part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tongyou_protocol::VantageId;

    #[test]
    fn a_stop_begins_half_way_and_a_cell_at_nothing() {
        let since = Instant::now();
        let leaving = |fade, from| Leaving {
            stream: StreamId {
                epoch: 1,
                vantage: VantageId(1),
                layer: tongyou_protocol::frame::Layer::Base,
            },
            since,
            fade,
            from,
            turned: 0.0,
        };
        let stop = leaving(STOP_FADE, STOP_FIRST_PART);
        assert!((smooth(stop.done(since)) - 0.352).abs() < 1e-3);
        assert!(stop.done(since + STOP_FADE.mul_f32(0.6)) >= 0.999);
        let cell = leaving(CELL_FADE, 0.0);
        assert_eq!(smooth(cell.done(since)), 0.0);
        assert!((smooth(cell.done(since + CELL_FADE / 2)) - 0.5).abs() < 1e-3);
    }
}
