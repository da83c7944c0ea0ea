//! A set that is ready for the GPU.

use super::mesh::Relief;
use super::{Error, FaceMesh, Result};
use crate::net::Picture;
use std::sync::Arc;
use tongyou_protocol::cube::{ATLAS_COLUMNS, ATLAS_ROWS};
use tongyou_protocol::depth::Cube;
use tongyou_protocol::frame::{Header, Layer, Shape, Tag};

/// What a picture is, and of how many pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Which layer of its vantage.
    pub layer: Layer,
    /// What it shows.
    pub shape: Shape,
    /// Pixels of the whole picture.
    pub width: u32,
    /// Likewise.
    pub height: u32,
}

/// One instant of a layer: colour, and where it has depth, that and the geometry made from it.
#[derive(Debug, Clone)]
pub struct Set {
    tag: Tag,
    form: Form,
    nv12: Arc<[u8]>,
    depth: Option<Arc<Cube>>,
    /// One for each face that has depth.
    meshes: Vec<Arc<FaceMesh>>,
}

impl Form {
    /// The base of a panorama with faces of so many pixels along the side.
    #[must_use]
    pub const fn panorama(face_size: u32) -> Self {
        Self {
            layer: Layer::Base,
            shape: Shape::Panorama,
            width: ATLAS_COLUMNS * face_size,
            height: ATLAS_ROWS * face_size,
        }
    }

    /// Faces across and down.
    #[must_use]
    pub const fn atlas(&self) -> (u32, u32) {
        match (self.layer, self.shape) {
            (Layer::Face(_), _) | (_, Shape::Flat) => (1, 1),
            (_, Shape::Stereo) => (2, 1),
            (_, Shape::Panorama) => (ATLAS_COLUMNS, ATLAS_ROWS),
        }
    }

    /// Pixels of one face.
    #[must_use]
    pub const fn face(&self) -> (u32, u32) {
        let (columns, rows) = self.atlas();
        (self.width / columns, self.height / rows)
    }

    /// How many faces have depth.
    const fn relief_faces(&self) -> usize {
        match (self.layer, self.shape) {
            (Layer::Face(_), _) | (_, Shape::Flat) => 0,
            (_, Shape::Stereo) => 2,
            (_, Shape::Panorama) => 6,
        }
    }

    fn check(&self) -> std::result::Result<(), String> {
        let (columns, rows) = self.atlas();
        let (width, height) = self.face();
        let fits = width * columns == self.width && height * rows == self.height;
        let is_square = self.shape == Shape::Flat || width == height;
        if width == 0 || !fits || !is_square || !width.is_multiple_of(2) || !height.is_multiple_of(2) {
            return Err(format!(
                "{} × {} pixels are no atlas of {columns} × {rows} faces of {:?} {}",
                self.width, self.height, self.shape, self.layer
            ));
        }
        Ok(())
    }
}

impl From<&Header> for Form {
    fn from(header: &Header) -> Self {
        Self {
            layer: header.layer,
            shape: header.shape,
            width: header.width.into(),
            height: header.height.into(),
        }
    }
}

impl Set {
    /// The base of a panorama. `nv12`: the atlas, faces of `face_size`² pixels. Geometry of faces whose depth is that of
    /// `before` is taken from there; making it anew takes some milliseconds a face.
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
        Self::of(Form::panorama(face_size), tag, nv12, Some(depth), before)
    }

    /// Of any layer; `depth` where it has any.
    ///
    /// # Errors
    /// [`Error::Set`] where sizes do not fit together.
    pub fn of(
        form: Form,
        tag: Tag,
        nv12: impl Into<Arc<[u8]>>,
        depth: Option<Arc<Cube>>,
        before: Option<&Self>,
    ) -> Result<Self> {
        let nv12 = nv12.into();
        let wrong = |message: String| Error::Set {
            set: tag.set.0,
            message,
        };
        form.check().map_err(wrong)?;
        let pixels = u64::from(form.width) * u64::from(form.height);
        if nv12.len() as u64 != pixels * 3 / 2 {
            return Err(wrong(format!(
                "{} bytes are not NV12 of {} × {} pixels",
                nv12.len(),
                form.width,
                form.height
            )));
        }
        if !(tag.near > 0.0 && tag.near.is_finite() && tag.half_tangent > 0.0 && tag.half_tangent.is_finite()) {
            return Err(wrong(format!(
                "near {} and half tangent {}",
                tag.near, tag.half_tangent
            )));
        }
        let faces = depth.as_ref().map_or(0, |d| usize::from(d.faces()));
        if faces != form.relief_faces() {
            return Err(wrong(format!(
                "depth of {faces} faces for {:?} {}",
                form.shape, form.layer
            )));
        }
        let meshes = match &depth {
            Some(depth) => meshes(form, &tag, depth, before).map_err(wrong)?,
            None => Vec::new(),
        };
        Ok(Self {
            tag,
            form,
            nv12,
            depth,
            meshes,
        })
    }

    /// Of a decoded picture.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn from_picture(picture: Picture, before: Option<&Self>) -> Result<Self> {
        let form = Form::from(&picture.header);
        let before = before.filter(|b| (b.form.layer, b.form.shape) == (form.layer, form.shape));
        Self::of(form, picture.header.tag, picture.color.nv12, picture.depth, before)
    }

    /// Where and when it was rendered.
    #[must_use]
    pub const fn tag(&self) -> &Tag {
        &self.tag
    }

    /// What it is.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Pixels along the side of a face; across where it is not square.
    #[must_use]
    pub const fn face_size(&self) -> u32 {
        self.form.face().0
    }

    /// The picture, NV12.
    #[must_use]
    pub fn nv12(&self) -> &[u8] {
        &self.nv12
    }

    /// Inverse depth.
    #[must_use]
    pub const fn depth(&self) -> Option<&Arc<Cube>> {
        self.depth.as_ref()
    }

    pub(super) fn meshes(&self) -> &[Arc<FaceMesh>] {
        &self.meshes
    }
}

/// Geometry, face by face, as far as it is not that of `before`.
fn meshes(
    form: Form,
    tag: &Tag,
    depth: &Arc<Cube>,
    before: Option<&Set>,
) -> std::result::Result<Vec<Arc<FaceMesh>>, String> {
    let size = depth.size();
    if size < 2 || u32::try_from(size).is_err() {
        return Err(format!("depth of {size}² texels a face"));
    }
    let bits = |t: &Tag| (t.near.to_bits(), t.half_tangent.to_bits());
    let before = before.and_then(|b| Some((b, b.depth.as_ref()?)));
    let faces = usize::from(depth.faces());
    let before = before.filter(|(b, d)| d.size() == size && bits(&b.tag) == bits(tag) && b.meshes.len() == faces);
    let relief = Relief {
        near: tag.near,
        half_tangent: tag.half_tangent,
        has_holes: form.layer == Layer::Behind,
    };
    let texels = size * size;
    let mesh = |face: usize| {
        let range = face * texels..(face + 1) * texels;
        let samples = &depth.samples()[range.clone()];
        match before {
            Some((b, d)) if Arc::ptr_eq(d, depth) || d.samples()[range] == *samples => Arc::clone(&b.meshes[face]),
            _ => Arc::new(FaceMesh::of(samples, size, relief)),
        }
    };
    Ok((0..faces).map(mesh).collect())
}
