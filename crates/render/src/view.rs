//! Viewpoints: what is asked for, and the cameras that it takes.

use std::sync::Arc;

use glam::{Mat3, Quat, UVec2, Vec2, Vec3};
use tongyou_protocol::{TourTime, cube};
use tongyou_scene::Lighting;

use crate::SceneId;
use crate::behind::TileMask;

/// Pixels along the longest side that a target may have.
const MAX_SIDE: u32 = 4096;
/// tan 52°.
const STEREO_HALF_TANGENT: f32 = 1.279_941_6;
const STEREO_FOVEATION: f32 = 1.5;

/// One camera of a vantage, drawing into a rectangle of the vantage's picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Columns: right, up and back in the world.
    pub world_from_view: Mat3,
    /// Where it is, from the vantage's point, in metres in the world.
    pub offset: Vec3,
    /// Tangents of half the angles across and up.
    pub half_tangent: Vec2,
    /// How much finer colour is in the middle: the place s in −1..=1 shows the tangent
    /// `half_tangent · sinh(k s) / sinh(k)`, along each axis by itself. 0 is an ordinary picture.
    pub foveation: f32,
    /// Top left pixel in the picture.
    pub origin: UVec2,
    /// Pixels of colour across and down.
    pub size: UVec2,
    /// Visibility is found at so many pixels across and down, evenly over the tangents; `size` without foveation.
    pub raster: UVec2,
    /// Texels of depth across and down, evenly over the tangents; 0 for a picture without depth.
    pub depth: UVec2,
}

/// What shape a vantage's picture has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VantageKind {
    /// The six faces of `tongyou_protocol::cube` in their atlas.
    Panorama,
    /// One face of the panorama's cube, with its half tangent, in a picture of its own. Colour alone.
    Face {
        /// Its number in `tongyou_protocol::cube::FACES`.
        face: u8,
        /// Pixels along its side, a multiple of 4.
        size: u32,
    },
    /// Two eyes side by side, the left one first; foveated colour, and depth that is not.
    Stereo {
        /// World from eyes: they look along its −Z.
        rotation: Quat,
        /// The eyes stand so far to each side of the vantage's point, along `rotation`'s X, in metres.
        half_ipd: f32,
        /// Tangent of half an eye's angle, across and up.
        half_tangent: f32,
        /// See [`View::foveation`]; 0 to 4.
        foveation: f32,
        /// Pixels of colour along an eye's side, a multiple of 4.
        size: u32,
        /// Texels of depth along an eye's side, a multiple of 4.
        depth_size: u32,
    },
    /// One ordinary camera at the vantage's point, looking along its −Z.
    Flat {
        /// The camera's rotation.
        world_from_camera: Quat,
        /// The angle between the upper and the lower edge.
        vertical_fov_rad: f32,
        /// Pixels across, a multiple of 4.
        width: u32,
        /// Pixels down, a multiple of 2.
        height: u32,
    },
}

/// Whose picture: a number that the caller chooses, unique among all that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VantageKey(pub u64);

/// A picture that somebody needs.
#[derive(Debug, Clone, PartialEq)]
pub struct VantageRequest {
    /// Whose picture.
    pub key: VantageKey,
    /// What is seen.
    pub scene: SceneId,
    /// The scene's instant.
    pub time: TourTime,
    /// In which light.
    pub lighting: Lighting,
    /// From where, in metres.
    pub point: Vec3,
    /// The near plane in metres; also the scale of depth.
    pub near: f32,
    /// Which shape.
    pub kind: VantageKind,
    /// A frame with depth is needed even if nothing changed. Nothing is drawn for it then: it is the picture before.
    pub force: bool,
    /// For a panorama of what lies behind: these tiles alone are drawn, without what stands before them. The rest is
    /// mid-grey, with [`crate::behind::ABSENT`] for depth.
    pub only: Option<Arc<TileMask>>,
}

impl View {
    /// Where it looks.
    #[must_use]
    pub fn forward(&self) -> Vec3 {
        -self.world_from_view.z_axis
    }

    /// The angle that a pixel in the middle covers, in radians.
    #[must_use]
    pub fn radians_per_pixel(&self) -> f32 {
        2.0 * self.half_tangent.y / self.raster.as_vec2().y
    }

    /// Depth or visibility are at places of their own: it is drawn whole or not at all.
    pub(crate) fn is_undivided(&self) -> bool {
        self.raster != self.size || (self.has_depth() && self.depth != self.size)
    }

    /// Whether it has depth beside its colour.
    pub(crate) fn has_depth(&self) -> bool {
        self.depth != UVec2::ZERO
    }

    /// The depths of a view.
    #[must_use]
    pub const fn depth_len(&self) -> usize {
        self.depth.x as usize * self.depth.y as usize
    }
}

impl VantageKind {
    /// A roamer's picture as it is by default: 2 × 768² pixels, 52° to each side, twice as fine in the middle as at
    /// the edge.
    #[must_use]
    pub const fn stereo(rotation: Quat, half_ipd: f32) -> Self {
        Self::Stereo {
            rotation,
            half_ipd,
            half_tangent: STEREO_HALF_TANGENT,
            foveation: STEREO_FOVEATION,
            size: 768,
            depth_size: 512,
        }
    }

    /// Pixels across and down of the whole picture.
    #[must_use]
    pub const fn size(&self) -> (u32, u32) {
        match *self {
            Self::Panorama => (
                cube::ATLAS_COLUMNS * cube::FACE_SIZE,
                cube::ATLAS_ROWS * cube::FACE_SIZE,
            ),
            Self::Face { size, .. } => (size, size),
            Self::Stereo { size, .. } => (2 * size, size),
            Self::Flat { width, height, .. } => (width, height),
        }
    }

    /// Whether this can be drawn at all: sizes that NV12 can hold, a sensible angle.
    pub(crate) fn is_valid(&self) -> bool {
        let is_turn = |q: Quat| q.is_finite() && (q.length() - 1.0).abs() < 1e-3;
        let is_side = |side: u32| (4..=MAX_SIDE).contains(&side) && side.is_multiple_of(4);
        match *self {
            Self::Panorama => true,
            Self::Face { face, size } => usize::from(face) < cube::FACES.len() && is_side(size),
            Self::Stereo {
                rotation,
                half_ipd,
                half_tangent,
                foveation,
                size,
                depth_size,
            } => {
                is_turn(rotation)
                    && (0.0..=1.0).contains(&half_ipd)
                    && (0.05..=10.0).contains(&half_tangent)
                    && (0.0..=4.0).contains(&foveation)
                    && is_side(2 * size)
                    && is_side(size)
                    && is_side(depth_size)
            }
            Self::Flat {
                world_from_camera,
                vertical_fov_rad,
                width,
                height,
            } => {
                is_turn(world_from_camera)
                    && (0.01..3.0).contains(&vertical_fov_rad)
                    && is_side(width)
                    && (2..=MAX_SIDE).contains(&height)
                    && height.is_multiple_of(2)
            }
        }
    }

    /// Whether nodes that each headset draws itself are drawn too: who looks at a flat picture draws nothing.
    pub(crate) const fn shows_local(&self) -> bool {
        matches!(self, Self::Flat { .. })
    }

    /// The cameras, in the order in which their depths are stored. All have the same sizes.
    pub(crate) fn views(&self) -> Vec<View> {
        match *self {
            Self::Panorama => (0u32..)
                .zip(cube::FACES)
                .map(|(i, face)| View {
                    origin: cube::atlas_origin(i, cube::FACE_SIZE).into(),
                    depth: UVec2::splat(cube::FACE_SIZE),
                    ..face_view(face, cube::FACE_SIZE)
                })
                .collect(),
            Self::Face { face, size } => {
                let face = cube::FACES.get(usize::from(face));
                face.map(|face| face_view(*face, size)).into_iter().collect()
            }
            Self::Stereo {
                rotation,
                half_ipd,
                half_tangent,
                foveation,
                size,
                depth_size,
            } => {
                let eye = |side: f32, origin: UVec2| View {
                    world_from_view: Mat3::from_quat(rotation),
                    offset: rotation * Vec3::X * (side * half_ipd),
                    half_tangent: Vec2::splat(half_tangent),
                    foveation,
                    origin,
                    size: UVec2::splat(size),
                    raster: UVec2::splat(raster_side(size, foveation)),
                    depth: UVec2::splat(depth_size),
                };
                vec![eye(-1.0, UVec2::ZERO), eye(1.0, UVec2::new(size, 0))]
            }
            Self::Flat {
                world_from_camera,
                vertical_fov_rad,
                width,
                height,
            } => {
                let up = (vertical_fov_rad * 0.5).tan();
                let size = UVec2::new(width, height);
                vec![View {
                    world_from_view: Mat3::from_quat(world_from_camera),
                    offset: Vec3::ZERO,
                    half_tangent: Vec2::new(up * size.as_vec2().x / size.as_vec2().y, up),
                    foveation: 0.0,
                    origin: UVec2::ZERO,
                    size,
                    raster: size,
                    depth: size,
                }]
            }
        }
    }
}

/// One face of the cube as a picture of its own, without depth.
fn face_view(face: cube::Face, size: u32) -> View {
    View {
        world_from_view: Mat3::from_cols(face.right, face.up, -face.forward),
        offset: Vec3::ZERO,
        half_tangent: Vec2::splat(cube::HALF_TANGENT),
        foveation: 0.0,
        origin: UVec2::ZERO,
        size: UVec2::splat(size),
        raster: UVec2::splat(size),
        depth: UVec2::ZERO,
    }
}

/// As many pixels of visibility as colour has in the middle, where it is finest; a multiple of 4.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a picture's side"
)]
fn raster_side(size: u32, foveation: f32) -> u32 {
    let finest = if foveation > 0.0 {
        foveation.sinh() / foveation
    } else {
        1.0
    };
    ((size as f32 * finest / 4.0).ceil() as u32 * 4).min(MAX_SIDE)
}
