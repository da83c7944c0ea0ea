//! Points at whole steps of a cube.

use bytemuck::{Pod, Zeroable};
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// A point at whole steps from the corner of its [`Lattice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Point {
    pub(crate) at: [u32; 3],
    /// sRGB.
    pub(crate) rgb: [u8; 3],
    pub(crate) pad: u8,
}

/// Bytes of a [`Point`] on disk.
pub(crate) const POINT_BYTES: usize = size_of::<Point>();

impl Point {
    /// A number without a pattern that depends on nothing but the place: in its order points are taken into levels.
    pub(crate) fn chance(&self) -> u64 {
        let [x, y, z] = self.at.map(u64::from);
        let mut h = x | y << 32;
        h = (h ^ z.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        h = (h ^ h >> 29).wrapping_mul(0x94D0_49BB_1331_11EB);
        h ^ h >> 32
    }
}

/// A cube of 2^bits steps a side in local metres: east, north, up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lattice {
    pub(crate) corner: [f64; 3],
    /// A power of two: places are exact in f32 within a tile.
    pub(crate) step_m: f64,
    pub(crate) bits: u32,
}

impl Lattice {
    /// A cube around a box. Along each axis places move by at most half a step: `precision_m`, or half a millionth of
    /// the side and no more than half a millimetre.
    pub(crate) fn around(min: DVec3, max: DVec3, precision_m: Option<f64>) -> Self {
        // Room for what bends out of the box between the places at which it was taken.
        let pad = (max - min).max_element() * 0.02 + 1e-6;
        let side = ((max - min).max_element() + 2.0 * pad).max(1e-3);
        // A power of two; at most 2³⁰ of them fit.
        let wanted = precision_m.map_or((side / 1e6).min(1.0 / 1024.0), |p| p * 2.0);
        let step_m = wanted.max(side / f64::from(1 << 29)).log2().floor().exp2();
        let corner = ((min - pad) / step_m).floor() * step_m;
        let mut bits = 1;
        while f64::from(1_u32 << bits) * step_m < side && bits < 31 {
            bits += 1;
        }
        Self {
            corner: corner.to_array(),
            step_m,
            bits,
        }
    }

    /// The place of a position; `None` outside of the cube.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie within the cube"
    )]
    pub(crate) fn point(&self, p: DVec3, rgb: [u8; 3]) -> Option<Point> {
        let steps = ((p - DVec3::from(self.corner)) / self.step_m).round();
        let most = f64::from((1_u32 << self.bits) - 1);
        let inside = steps.cmpge(DVec3::ZERO).all() && steps.cmple(DVec3::splat(most)).all();
        // Outside the cube the numbers saturate, and are not used.
        inside.then_some(Point {
            at: [steps.x as u32, steps.y as u32, steps.z as u32],
            rgb,
            pad: 0,
        })
    }

    /// Metres east, north, up.
    pub(crate) fn position(&self, at: [u32; 3]) -> DVec3 {
        DVec3::from(self.corner) + DVec3::from(at.map(f64::from)) * self.step_m
    }
}

/// A cube of an octree over a lattice: `depth` halvings below the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) depth: u32,
    pub(crate) at: [u32; 3],
}

impl Cell {
    pub(crate) const WHOLE: Self = Self { depth: 0, at: [0; 3] };

    /// The cell of a place.
    pub(crate) fn of(at: [u32; 3], depth: u32, bits: u32) -> Self {
        Self {
            depth,
            at: at.map(|v| v >> (bits - depth)),
        }
    }

    pub(crate) fn child(self, octant: u32) -> Self {
        let [x, y, z] = self.at;
        Self {
            depth: self.depth + 1,
            at: [x * 2 + (octant & 1), y * 2 + (octant >> 1 & 1), z * 2 + (octant >> 2)],
        }
    }

    pub(crate) fn parent(self) -> Self {
        Self {
            depth: self.depth.saturating_sub(1),
            at: self.at.map(|v| v / 2),
        }
    }

    /// The ancestor at a depth that is not larger than its own.
    pub(crate) fn ancestor(self, depth: u32) -> Self {
        Self {
            depth,
            at: self.at.map(|v| v >> (self.depth - depth)),
        }
    }

    /// Its name: the octants from the whole downwards.
    pub(crate) fn path(self) -> String {
        let digit = |level: u32| {
            let shift = self.depth - 1 - level;
            let [x, y, z] = self.at.map(|v| v >> shift & 1);
            char::from_digit(x | y << 1 | z << 2, 8).unwrap_or('?')
        };
        std::iter::once('r').chain((0..self.depth).map(digit)).collect()
    }
}

/// Bits of three numbers in turn, of each the lower 21.
pub(crate) fn morton([x, y, z]: [u32; 3]) -> u64 {
    let spread = |v: u32| {
        let mut v = u64::from(v) & 0x1F_FFFF;
        v = (v | v << 32) & 0x1F_0000_0000_FFFF;
        v = (v | v << 16) & 0x1F_0000_FF00_00FF;
        v = (v | v << 8) & 0x100F_00F0_0F00_F00F;
        v = (v | v << 4) & 0x10C3_0C30_C30C_30C3;
        (v | v << 2) & 0x1249_2492_4924_9249
    };
    spread(x) | spread(y) << 1 | spread(z) << 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_within_half_a_step() {
        for side in [0.1, 3.0, 900.0, 90_000.0] {
            let lattice = Lattice::around(
                DVec3::splat(-side / 3.0),
                DVec3::new(side, side / 2.0, 1e-3 * side),
                None,
            );
            assert!(lattice.bits <= 28, "{lattice:?}");
            for share in [0.0, 0.31, 0.77, 1.0] {
                let p = DVec3::splat(-side / 3.0) + DVec3::new(side * 4.0 / 3.0, side * 5.0 / 6.0, 0.0) * share;
                let back = lattice.position(lattice.point(p, [0; 3]).unwrap().at);
                assert!(
                    (back - p).abs().max_element() <= lattice.step_m / 2.0 + 1e-9,
                    "{p} {back}"
                );
            }
            assert_eq!(lattice.point(DVec3::splat(side * 4.0), [0; 3]), None);
        }
    }

    #[test]
    fn paths_lead_down() {
        let cell = Cell::WHOLE.child(5).child(2).child(7);
        assert_eq!(cell.path(), "r527");
        assert_eq!(
            (cell.parent().path(), cell.ancestor(1).path()),
            ("r52".into(), "r5".into())
        );
        assert_eq!(Cell::of([0b101, 0b011, 0b101], 3, 3).path(), "r527");
    }
}
