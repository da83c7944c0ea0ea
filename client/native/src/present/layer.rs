//! One vantage on the GPU: its base, what lies behind, and sharp faces, each of its newest set.

use super::pipelines::{Part, Pipelines};
use super::relief::{Placed, Relief};
use super::set::Form;
use super::sharp::Sharp;
use super::{Eye, Gpu, Set};
use glam::Vec2;
use tongyou_protocol::frame::{Layer as Number, Shape, Tag};

/// What of a vantage is on the GPU.
#[derive(Debug, Default)]
pub struct Layer {
    base: Option<Relief>,
    behind: Option<Relief>,
    sharp: Option<Sharp>,
}

/// What all layers are made with.
pub(super) struct Maker<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) pipelines: &'a Pipelines,
    pub(super) sampler: &'a wgpu::Sampler,
    /// Where there is no sharp picture.
    pub(super) blunt: &'a [wgpu::TextureView; 2],
}

impl Layer {
    /// Takes a newer set of any layer of this vantage.
    pub(super) fn take(&mut self, make: &Maker<'_>, set: &Set) {
        match set.form().layer {
            Number::Base => {
                if !self.base.as_mut().is_some_and(|b| b.replace(make.gpu, set)) {
                    self.base = Some(self.relief(make, set));
                }
            }
            Number::Behind => {
                if !self.behind.as_mut().is_some_and(|b| b.replace(make.gpu, set)) {
                    self.behind = Some(self.relief(make, set));
                }
            }
            Number::Face(_) => self.take_face(make, set),
        }
        if let Some(base) = &mut self.base {
            let behind = self.behind.as_ref().filter(|b| is_of(b.tag(), base.tag()));
            base.yield_to(make.gpu, behind);
        }
    }

    /// The base's newest set, once there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.base.as_ref().map(Relief::tag)
    }

    /// What the base is.
    #[must_use]
    pub fn form(&self) -> Option<Form> {
        self.base.as_ref().map(Relief::form)
    }

    /// Whether there is something behind the base.
    #[must_use]
    pub fn has_behind(&self) -> bool {
        self.behind().is_some()
    }

    /// By face, how much of a sharp picture is shown.
    #[must_use]
    pub fn sharpness(&self) -> [f32; 6] {
        match (self.tag(), &self.sharp) {
            (Some(tag), Some(sharp)) => sharp.shown(tag).map(|s| s.x),
            _ => [0.0; 6],
        }
    }

    /// Time goes on; whether something is still changing.
    pub fn advance(&mut self, seconds: f32) -> bool {
        let (Some(base), Some(sharp)) = (&self.base, &mut self.sharp) else {
            return false;
        };
        sharp.advance(base.tag(), seconds);
        sharp.is_coming(base.tag())
    }

    /// Where the base stands as it was rendered.
    pub(super) fn placed(&self) -> Option<Placed> {
        let tag = self.tag()?;
        let sharp = self.sharp.as_ref().map_or([Vec2::ZERO; 6], |s| s.shown(tag));
        Some(Placed {
            sharp,
            ..Placed::at(tag)
        })
    }

    pub(super) fn place(&self, gpu: &Gpu, placed: Placed) {
        if let Some(base) = &self.base {
            base.place(gpu, placed);
        }
        if let Some(behind) = self.behind() {
            let sharp = [Vec2::ZERO; 6];
            behind.place(gpu, Placed { sharp, ..placed });
        }
    }

    /// For what is drawn over it.
    pub(super) fn bind(&self, pass: &mut wgpu::RenderPass<'_>) {
        if let Some(base) = &self.base {
            base.bind(pass);
        }
    }

    /// Draws what an eye sees.
    pub(super) fn draw(&self, pass: &mut wgpu::RenderPass<'_>, pipelines: &Pipelines, placed: Placed, eye: Eye) {
        let Some(base) = &self.base else { return };
        let (position, forward) = placed.eye_in_layer(eye);
        let half_angle = eye.half_diagonal();
        let sees = |face| base.sees(face, position, forward, half_angle);
        base.draw(pass, pipelines, &Part::GEOMETRY, sees);
        if let Some(behind) = self.behind() {
            behind.draw(pass, pipelines, &Part::GEOMETRY, sees);
        }
        base.draw(pass, pipelines, &[Part::Backdrop], sees);
    }

    /// What lies behind, where that is what the base's set hides.
    fn behind(&self) -> Option<&Relief> {
        let base = self.base.as_ref().filter(|b| b.form().shape == Shape::Panorama)?;
        self.behind.as_ref().filter(|b| is_of(b.tag(), base.tag()))
    }

    fn relief(&self, make: &Maker<'_>, set: &Set) -> Relief {
        let views = self.sharp.as_ref().map(Sharp::views);
        let [luma, chroma] = views.as_ref().unwrap_or(make.blunt);
        Relief::new(make.gpu, make.pipelines, make.sampler, set, [luma, chroma])
    }

    fn take_face(&mut self, make: &Maker<'_>, set: &Set) {
        if self.sharp.as_mut().is_some_and(|s| s.replace(make.gpu, set)) {
            return;
        }
        let mut sharp = Sharp::new(make.gpu, set);
        sharp.replace(make.gpu, set);
        if let Some(base) = &mut self.base {
            let [luma, chroma] = &sharp.views();
            base.bind_again(make.gpu, make.pipelines, make.sampler, [luma, chroma]);
        }
        self.sharp = Some(sharp);
    }
}

/// Whether two layers were rendered from one point.
fn is_of(behind: &Tag, base: &Tag) -> bool {
    (behind.vantage, behind.epoch, behind.point) == (base.vantage, base.epoch, base.point)
}
