//! Viewpoints: what is asked for, and the cameras that it takes.

use glam::{Mat3, Quat, UVec2, Vec2, Vec3};
use tongyou_protocol::{TourTime, cube};
use tongyou_scene::Lighting;

use crate::SceneId;

/// Pixels along the longest side that a target may have.
const MAX_SIDE: u32 = 8192;

/// One camera at a vantage's point, drawing into a rectangle of the vantage's target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Columns: right, up and back in the world.
    pub world_from_view: Mat3,
    /// Tangents of half the angles across and up.
    pub half_tangent: Vec2,
    /// Top left pixel in the target.
    pub origin: UVec2,
    /// Pixels across and down.
    pub size: UVec2,
}

/// What shape a vantage's picture has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VantageKind {
    /// The six faces of `tongyou_protocol::cube` in their atlas.
    Panorama,
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
}

impl View {
    /// Where it looks.
    #[must_use]
    pub fn forward(&self) -> Vec3 {
        -self.world_from_view.z_axis
    }

    /// The angle that a pixel in the middle covers, in radians.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "picture sizes are small")]
    pub fn radians_per_pixel(&self) -> f32 {
        2.0 * self.half_tangent.y / self.size.y as f32
    }
}

impl VantageKind {
    /// Pixels across and down of the whole target.
    #[must_use]
    pub const fn size(&self) -> (u32, u32) {
        match *self {
            Self::Panorama => (
                cube::ATLAS_COLUMNS * cube::FACE_SIZE,
                cube::ATLAS_ROWS * cube::FACE_SIZE,
            ),
            Self::Flat { width, height, .. } => (width, height),
        }
    }

    /// Whether this can be drawn at all: sizes that NV12 can hold, a sensible angle.
    pub(crate) fn is_valid(&self) -> bool {
        match *self {
            Self::Panorama => true,
            Self::Flat {
                world_from_camera,
                vertical_fov_rad,
                width,
                height,
            } => {
                world_from_camera.is_finite()
                    && (world_from_camera.length() - 1.0).abs() < 1e-3
                    && (0.01..3.0).contains(&vertical_fov_rad)
                    && (4..=MAX_SIDE).contains(&width)
                    && (2..=MAX_SIDE).contains(&height)
                    && width.is_multiple_of(4)
                    && height.is_multiple_of(2)
            }
        }
    }

    /// The cameras, in the order in which their depths are stored.
    #[expect(clippy::cast_precision_loss, reason = "picture sizes are small")]
    pub(crate) fn views(&self) -> Vec<View> {
        match *self {
            Self::Panorama => (0u32..)
                .zip(cube::FACES)
                .map(|(i, face)| View {
                    world_from_view: Mat3::from_cols(face.right, face.up, -face.forward),
                    half_tangent: Vec2::splat(cube::HALF_TANGENT),
                    origin: cube::atlas_origin(i, cube::FACE_SIZE).into(),
                    size: UVec2::splat(cube::FACE_SIZE),
                })
                .collect(),
            Self::Flat {
                world_from_camera,
                vertical_fov_rad,
                width,
                height,
            } => {
                let up = (vertical_fov_rad * 0.5).tan();
                vec![View {
                    world_from_view: Mat3::from_quat(world_from_camera),
                    half_tangent: Vec2::new(up * width as f32 / height as f32, up),
                    origin: UVec2::ZERO,
                    size: UVec2::new(width, height),
                }]
            }
        }
    }
}
