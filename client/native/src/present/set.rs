//! A set that is ready for the GPU.

use super::{Error, FaceMesh, Result};
use crate::net::Picture;
use std::sync::Arc;
use tongyou_protocol::cube::{ATLAS_COLUMNS, ATLAS_ROWS};
use tongyou_protocol::depth::Cube;
use tongyou_protocol::frame::Tag;

/// Six faces of one instant: colour, depth, and the geometry made from depth.
#[derive(Debug, Clone)]
pub struct Set {
    tag: Tag,
    face_size: u32,
    nv12: Arc<[u8]>,
    depth: Arc<Cube>,
    meshes: [Arc<FaceMesh>; 6],
}

impl Set {
    /// `nv12`: the atlas, faces of `face_size`² pixels. Geometry of faces whose depth is that of `before` is taken from
    /// there; making it anew takes some milliseconds a face.
    ///
    /// # Errors
    /// [`Error::Set`] where sizes do not fit together.
    pub fn new(
        tag: Tag,
        face_size: u32,
        nv12: impl Into<Arc<[u8]>>,
        depth: Arc<Cube>,
        before: Option<&Self>,
    ) -> Result<Self> {
        let nv12 = nv12.into();
        let wrong = |message: String| Error::Set {
            set: tag.set.0,
            message,
        };
        let pixels = u64::from(face_size) * u64::from(face_size) * u64::from(ATLAS_COLUMNS * ATLAS_ROWS);
        if face_size == 0 || !face_size.is_multiple_of(2) || nv12.len() as u64 != pixels * 3 / 2 {
            return Err(wrong(format!(
                "{} bytes are not NV12 of {ATLAS_COLUMNS} × {ATLAS_ROWS} faces of {face_size}² pixels",
                nv12.len()
            )));
        }
        if depth.size() < 2 || u32::try_from(depth.size()).is_err() {
            return Err(wrong(format!("depth of {}² texels a face", depth.size())));
        }
        if !(tag.near > 0.0 && tag.near.is_finite() && tag.half_tangent > 0.0 && tag.half_tangent.is_finite()) {
            return Err(wrong(format!(
                "near {} and half tangent {}",
                tag.near, tag.half_tangent
            )));
        }
        let same = |b: &&Self| b.depth.size() == depth.size() && b.tag.near.to_bits() == tag.near.to_bits();
        let before = before.filter(same);
        let texels = depth.size() * depth.size();
        let meshes = std::array::from_fn(|face| {
            let range = face * texels..(face + 1) * texels;
            let samples = &depth.samples()[range.clone()];
            match before {
                Some(b) if Arc::ptr_eq(&b.depth, &depth) || b.depth.samples()[range] == *samples => {
                    Arc::clone(&b.meshes[face])
                }
                _ => Arc::new(FaceMesh::new(samples, depth.size(), tag.near)),
            }
        });
        Ok(Self {
            tag,
            face_size,
            nv12,
            depth,
            meshes,
        })
    }

    /// Of a decoded picture.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from_picture(picture: Picture, before: Option<&Self>) -> Result<Self> {
        let tag = picture.header.tag;
        let size = picture.color.size;
        if size.width() * 2 != size.height() * 3 {
            let message = format!("{size:?} is no atlas of 3 × 2 faces");
            return Err(Error::Set {
                set: tag.set.0,
                message,
            });
        }
        let face_size = u32::try_from(size.height() / 2).unwrap_or(0);
        Self::new(tag, face_size, picture.color.nv12, picture.depth, before)
    }

    /// Where and when it was rendered.
    #[must_use]
    pub const fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Pixels along the side of a face.
    #[must_use]
    pub const fn face_size(&self) -> u32 {
        self.face_size
    }

    /// The atlas, NV12.
    #[must_use]
    pub fn nv12(&self) -> &[u8] {
        &self.nv12
    }

    /// Inverse depth.
    #[must_use]
    pub const fn depth(&self) -> &Arc<Cube> {
        &self.depth
    }

    pub(super) const fn meshes(&self) -> &[Arc<FaceMesh>; 6] {
        &self.meshes
    }
}
