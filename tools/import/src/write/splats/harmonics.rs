//! Real spherical harmonics of degree 0 to 3 as splats use them (Condon–Shortley phase), and how their coefficients
//! change when axes are turned.

use std::f64::consts::PI;

use glam::{DMat3, DVec3};

/// Functions of all degrees.
const COUNT: usize = 16;
/// Gauss–Legendre nodes and weights: exact to degree 7, products of two harmonics of degree 3 have 6.
const NODES: [(f64, f64); 4] = [
    (-0.861_136_311_594_052_6, 0.347_854_845_137_453_85),
    (-0.339_981_043_584_856_26, 0.652_145_154_862_546_1),
    (0.339_981_043_584_856_26, 0.652_145_154_862_546_1),
    (0.861_136_311_594_052_6, 0.347_854_845_137_453_85),
];
/// Places around a circle of latitude, for the same exactness.
const AROUND: u32 = 8;

/// All functions in a unit direction, by degree and then order -l..=l.
pub(super) fn basis(direction: DVec3) -> [f64; COUNT] {
    let DVec3 { x, y, z } = direction;
    let (xx, yy, zz) = (x * x, y * y, z * z);
    [
        0.282_094_791_773_878_14,
        -0.488_602_511_902_919_9 * y,
        0.488_602_511_902_919_9 * z,
        -0.488_602_511_902_919_9 * x,
        1.092_548_430_592_079_2 * x * y,
        -1.092_548_430_592_079_2 * y * z,
        0.315_391_565_252_520_05 * (2.0 * zz - xx - yy),
        -1.092_548_430_592_079_2 * x * z,
        0.546_274_215_296_039_6 * (xx - yy),
        -0.590_043_589_926_643_5 * y * (3.0 * xx - yy),
        2.890_611_442_640_554 * x * y * z,
        -0.457_045_799_464_465_8 * y * (4.0 * zz - xx - yy),
        0.373_176_332_590_115_4 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy),
        -0.457_045_799_464_465_8 * x * (4.0 * zz - xx - yy),
        1.445_305_721_320_277 * z * (xx - yy),
        -0.590_043_589_926_643_5 * x * (xx - 3.0 * yy),
    ]
}

/// How coefficients of degree 1 to 3 change when space is turned: Wigner's matrices in the real basis.
pub(super) struct Turn {
    matrix: Box<[[f64; COUNT]; COUNT]>,
}

impl Turn {
    /// For an orthogonal matrix, a mirroring one included.
    pub(super) fn new(new_from_old: DMat3) -> Self {
        // An element is the integral over all directions of one function times another one, turned.
        let mut matrix = Box::new([[0.0; COUNT]; COUNT]);
        let old_from_new = new_from_old.transpose();
        for (z, weight) in NODES {
            for step in 0..AROUND {
                let around = 2.0 * PI * f64::from(step) / f64::from(AROUND);
                let r = (1.0 - z * z).sqrt();
                let direction = DVec3::new(r * around.cos(), r * around.sin(), z);
                let (new, old) = (basis(direction), basis(old_from_new * direction));
                let weight = weight * 2.0 * PI / f64::from(AROUND);
                for degree in 1..=3 {
                    let band = degree * degree..(degree + 1) * (degree + 1);
                    for m in band.clone() {
                        for n in band.clone() {
                            matrix[m][n] += weight * new[m] * old[n];
                        }
                    }
                }
            }
        }
        Self { matrix }
    }

    /// Coefficients of degree 1 and more, red, green, blue each; whole bands up to degree 3 are kept.
    #[expect(clippy::cast_possible_truncation, reason = "back to the precision of the file")]
    pub(super) fn apply(&self, harmonics: &[f32]) -> Vec<f32> {
        let degree = degree(harmonics.len());
        let mut out = Vec::with_capacity(whole(degree));
        for l in 1..=degree {
            let band = l * l..(l + 1) * (l + 1);
            for m in band.clone() {
                for channel in 0..3 {
                    let turned = band
                        .clone()
                        .map(|n| self.matrix[m][n] * f64::from(harmonics[(n - 1) * 3 + channel]));
                    out.push(turned.sum::<f64>() as f32);
                }
            }
        }
        out
    }
}

/// The degree, at most 3, whose bands are whole in so many numbers.
pub(super) fn degree(numbers: usize) -> usize {
    (1..=3).take_while(|&l| whole(l) <= numbers).count()
}

/// Numbers of all coefficients beyond the constant one, to a degree.
pub(super) fn whole(degree: usize) -> usize {
    degree * (degree + 2) * 3
}

#[cfg(test)]
mod tests {
    use glam::DQuat;

    use super::*;

    #[test]
    fn functions_are_orthonormal() {
        let itself = Turn::new(DMat3::IDENTITY);
        for m in 1..COUNT {
            for n in 1..COUNT {
                let want = f64::from(u8::from(m == n));
                assert!((itself.matrix[m][n] - want).abs() < 1e-12, "{m} {n}");
            }
        }
    }

    /// What is seen of a turned splat from a turned direction is what was seen before.
    #[test]
    fn a_turned_splat_looks_the_same_from_a_turned_direction() {
        let harmonics: Vec<f32> = (0..45_u8).map(|i| (f32::from(i) * 1.7).sin()).collect();
        let seen = |harmonics: &[f32], from: DVec3, channel: usize| -> f64 {
            let all = basis(from);
            (1..COUNT)
                .map(|i| all[i] * f64::from(harmonics[(i - 1) * 3 + channel]))
                .sum()
        };
        let turns = [
            DMat3::from_quat(DQuat::from_axis_angle(DVec3::new(1.0, 2.0, -0.5).normalize(), 1.1)),
            DMat3::from_rotation_x(-PI / 2.0),
            DMat3::from_rotation_z(2.5),
            // Mirrored, and through the centre.
            DMat3::from_diagonal(DVec3::new(1.0, -1.0, 1.0)) * DMat3::from_rotation_y(0.3),
            DMat3::from_diagonal(-DVec3::ONE),
        ];
        for turn in turns {
            let turned = Turn::new(turn).apply(&harmonics);
            assert_eq!(turned.len(), 45);
            for i in 0..40 {
                let i = f64::from(i);
                let from = DVec3::new((i * 2.3).sin(), (i * 1.1).cos(), (i * 0.7).sin() + 0.1).normalize();
                for channel in 0..3 {
                    let (before, after) = (seen(&harmonics, from, channel), seen(&turned, turn * from, channel));
                    assert!((before - after).abs() < 1e-5, "{turn}: {before} {after}");
                }
            }
        }
    }

    #[test]
    fn half_a_band_is_left_out() {
        for (numbers, want) in [(0, 0), (8, 0), (9, 1), (23, 1), (24, 2), (44, 2), (45, 3), (72, 3)] {
            assert_eq!(degree(numbers), want, "{numbers}");
        }
        assert_eq!(Turn::new(DMat3::IDENTITY).apply(&[1.0; 20]).len(), 9);
    }
}
