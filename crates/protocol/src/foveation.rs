//! Where a stereo pair's colour is sharp: each axis of a face is stretched towards the middle.
//!
//! A place `s` in −1..=1 of the coded picture shows the tangent `t = half_tangent · sinh(k s) / sinh(k)`, so that the
//! middle has `sinh(k) / k` times the samples of an even grid. `k = 0` is the even grid. Depth is not foveated.

/// More than this is not accepted: the rim would have less than a thousandth of the middle's samples.
pub const MAX: f32 = 8.0;
/// Below this the formula divides rounding errors by rounding errors; the even grid differs by less than 2 · 10⁻⁷.
const EVEN: f32 = 1e-3;

/// The tangent that a place `s` in −1..=1 shows.
#[must_use]
pub fn tangent(s: f32, half_tangent: f32, k: f32) -> f32 {
    if k < EVEN {
        return half_tangent * s;
    }
    half_tangent * (k * s).sinh() / k.sinh()
}

/// The place in −1..=1 that shows a tangent; the inverse of [`tangent`].
#[must_use]
pub fn place(tangent: f32, half_tangent: f32, k: f32) -> f32 {
    let share = tangent / half_tangent;
    if k < EVEN {
        return share;
    }
    (share * k.sinh()).asinh() / k
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rim_stays_and_the_middle_gets_more() {
        for k in [0.0, 0.0009, 0.0011, 0.5, 1.5, MAX] {
            for s in [-1.0, -0.7, -0.01, 0.0, 0.3, 1.0] {
                let t = tangent(s, 1.28, k);
                assert!((place(t, 1.28, k) - s).abs() < 1e-5, "{k} {s}");
                assert!(t.abs() <= s.abs() * 1.28 + 1e-6, "{k} {s}");
            }
            assert!((tangent(1.0, 1.28, k) - 1.28).abs() < 1e-6);
        }
        let finer = 0.01 / tangent(0.01, 1.0, 1.5);
        assert!((finer - 1.5_f32.sinh() / 1.5).abs() < 1e-3, "{finer}");
    }
}
