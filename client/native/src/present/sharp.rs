//! Sharp pictures of single faces: which of them are true of the base's set, and how they come in.

use super::textures::Textures;
use super::{Gpu, Set};
use glam::Vec2;
use tongyou_protocol::frame::{Layer, Tag};

/// A sharp picture takes this long to come in, seconds.
const BLEND_S: f32 = 0.15;

/// Six places for them, of one size.
#[derive(Debug)]
pub(super) struct Sharp {
    textures: Textures,
    faces: [Option<Face>; 6],
}

#[derive(Debug, Clone, Copy)]
struct Face {
    tag: Tag,
    /// How much of it is shown, before it is made gentle.
    part: f32,
}

impl Sharp {
    /// Empty, for pictures of the size of this one.
    pub(super) fn new(gpu: &Gpu, set: &Set) -> Self {
        Self {
            textures: Textures::new(gpu, set.form().face(), 6),
            faces: [None; 6],
        }
    }

    /// Takes a newer picture of a face; false where its size differs.
    pub(super) fn replace(&mut self, gpu: &Gpu, set: &Set) -> bool {
        let Layer::Face(face) = set.form().layer else {
            return true;
        };
        if set.form().face() != self.textures.size() {
            return false;
        }
        self.textures.write(gpu, face.into(), set.nv12());
        let slot = &mut self.faces[usize::from(face)];
        let part = slot.map_or(0.0, |f| f.part);
        *slot = Some(Face { tag: *set.tag(), part });
        true
    }

    pub(super) fn views(&self) -> [wgpu::TextureView; 2] {
        self.textures.views(true)
    }

    /// Time goes on: what is true of the base's set comes in, everything else is gone at once.
    pub(super) fn advance(&mut self, base: &Tag, seconds: f32) {
        for (number, slot) in (0..).zip(&mut self.faces) {
            if let Some(face) = slot {
                let is_true = face.tag.is_sharp_of(number, base);
                face.part = if is_true {
                    (face.part + seconds / BLEND_S).min(1.0)
                } else {
                    0.0
                };
            }
        }
    }

    /// Whether some picture is on its way in.
    pub(super) fn is_coming(&self, base: &Tag) -> bool {
        (0..)
            .zip(&self.faces)
            .any(|(number, slot)| slot.is_some_and(|f| f.part < 1.0 && f.tag.is_sharp_of(number, base)))
    }

    /// By face: how much of it is shown, and how many of its places a place of the base's face is.
    pub(super) fn shown(&self, base: &Tag) -> [Vec2; 6] {
        self.faces.map(|slot| {
            slot.map_or(Vec2::ZERO, |f| {
                let part = f.part * f.part * (3.0 - 2.0 * f.part);
                Vec2::new(part, base.half_tangent / f.tag.half_tangent)
            })
        })
    }
}
