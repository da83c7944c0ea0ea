//! Randomness that is the same on every machine: integer hashes and value noise that tiles.

/// A hash of integers, uniform in 0..1.
pub(crate) fn hash(seed: u32, x: i32, y: i32) -> f32 {
    let mut h = seed
        .wrapping_mul(0x9E37_79B9)
        .wrapping_add(x.cast_unsigned().wrapping_mul(0x85EB_CA6B))
        .wrapping_add(y.cast_unsigned().wrapping_mul(0xC2B2_AE35));
    h ^= h >> 16;
    h = h.wrapping_mul(0x7FEB_352D);
    h ^= h >> 15;
    h = h.wrapping_mul(0x846C_A68B);
    h ^= h >> 16;
    (h >> 8) as f32 / (1 << 24) as f32
}

/// Smooth noise in 0..1 that repeats every `period` cells.
#[expect(clippy::cast_possible_truncation, reason = "cells are few")]
pub(crate) fn noise(seed: u32, x: f32, y: f32, period: i32) -> f32 {
    let (fx, fy) = (x.floor(), y.floor());
    let (ix, iy) = (fx as i32, fy as i32);
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x - fx), smooth(y - fy));
    let at = |dx: i32, dy: i32| hash(seed, (ix + dx).rem_euclid(period), (iy + dy).rem_euclid(period));
    let low = at(0, 0) + (at(1, 0) - at(0, 0)) * u;
    let high = at(0, 1) + (at(1, 1) - at(0, 1)) * u;
    low + (high - low) * v
}

/// Several octaves of [`noise`] over 0..1, in 0..1, starting at `cells` a side.
pub(crate) fn fractal(seed: u32, u: f32, v: f32, cells: i32, octaves: u32) -> f32 {
    let (mut sum, mut weight, mut amplitude, mut period) = (0.0, 0.0, 1.0, cells);
    for octave in 0..octaves {
        sum += amplitude * noise(seed + octave, u * period as f32, v * period as f32, period);
        weight += amplitude;
        amplitude *= 0.5;
        period *= 2;
    }
    sum / weight
}

/// A small generator for scattering things.
pub(crate) struct Random(u32, i32);

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Self(seed, 0)
    }

    /// Uniform in `from..to`.
    pub(crate) fn range(&mut self, from: f32, to: f32) -> f32 {
        self.1 += 1;
        from + (to - from) * hash(self.0, self.1, 77)
    }
}
