//! The cube around a vantage: which way each face looks and where it lies in the atlas.
//!
//! Stop-local space is right-handed, Y up, x = east, z = south. Seen from inside the cube, a face's image has
//! `right` to the right and `up` to the top, so `right × up = −forward` holds for each face.

use glam::Vec3;

/// Pixels along the side of a face of the base layer.
pub const FACE_SIZE: u32 = 512;
/// Half the field of view's tangent: 8 px of gutter on each side repeat what the neighbour shows.
pub const HALF_TANGENT: f32 = 256.0 / 248.0;
/// Faces across the atlas.
pub const ATLAS_COLUMNS: u32 = 3;
/// Faces down the atlas.
pub const ATLAS_ROWS: u32 = 2;

/// Which way one face looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// The face's axis.
    pub forward: Vec3,
    /// Towards the right edge of the image.
    pub right: Vec3,
    /// Towards the top edge of the image.
    pub up: Vec3,
}

/// +X, −X, +Y, −Y, +Z, −Z; the index is the face's number on the wire.
pub const FACES: [Face; 6] = [
    Face {
        forward: Vec3::X,
        right: Vec3::Z,
        up: Vec3::Y,
    },
    Face {
        forward: Vec3::NEG_X,
        right: Vec3::NEG_Z,
        up: Vec3::Y,
    },
    Face {
        forward: Vec3::Y,
        right: Vec3::X,
        up: Vec3::Z,
    },
    Face {
        forward: Vec3::NEG_Y,
        right: Vec3::X,
        up: Vec3::NEG_Z,
    },
    Face {
        forward: Vec3::Z,
        right: Vec3::NEG_X,
        up: Vec3::Y,
    },
    Face {
        forward: Vec3::NEG_Z,
        right: Vec3::X,
        up: Vec3::Y,
    },
];

impl Face {
    /// The direction (not normalised, planar z = 1) seen at `u`, `v` in −1..=1, u to the right, v **down**.
    #[must_use]
    pub fn direction(&self, u: f32, v: f32, half_tangent: f32) -> Vec3 {
        self.forward + self.right * (u * half_tangent) - self.up * (v * half_tangent)
    }
}

/// The face that a direction falls on, and where: `(face, u, v)` as [`Face::direction`] takes them.
/// `None` for the zero vector and for non-finite ones.
#[must_use]
pub fn locate(direction: Vec3, half_tangent: f32) -> Option<(usize, f32, f32)> {
    let a = direction.abs();
    if !direction.is_finite() || a.max_element() == 0.0 {
        return None;
    }
    let face = if a.x >= a.y && a.x >= a.z {
        usize::from(direction.x < 0.0)
    } else if a.y >= a.z {
        2 + usize::from(direction.y < 0.0)
    } else {
        4 + usize::from(direction.z < 0.0)
    };
    let Face { forward, right, up } = FACES[face];
    let z = direction.dot(forward) * half_tangent;
    Some((face, direction.dot(right) / z, -direction.dot(up) / z))
}

/// The top left pixel of a face in the atlas.
#[must_use]
pub const fn atlas_origin(face: u32, face_size: u32) -> (u32, u32) {
    (face % ATLAS_COLUMNS * face_size, face / ATLAS_COLUMNS * face_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_are_not_mirrored_and_cover_all_axes() {
        for face in FACES {
            assert_eq!(face.right.cross(face.up), -face.forward);
        }
        let sum: Vec3 = FACES.iter().map(|f| f.forward).sum();
        assert_eq!(sum, Vec3::ZERO);
    }

    #[test]
    fn locate_inverts_direction() {
        for (i, face) in FACES.iter().enumerate() {
            for (u, v) in [(0.0, 0.0), (0.9, -0.3), (-0.5, 0.95)] {
                let (found, fu, fv) = locate(face.direction(u, v, HALF_TANGENT) * 3.0, HALF_TANGENT).unwrap();
                assert_eq!(found, i);
                assert!((fu - u).abs() < 1e-5 && (fv - v).abs() < 1e-5);
            }
        }
        assert_eq!(locate(Vec3::ZERO, 1.0), None);
        assert_eq!(locate(Vec3::new(f32::NAN, 0.0, 1.0), 1.0), None);
    }
}
