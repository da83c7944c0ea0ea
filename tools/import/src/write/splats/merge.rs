//! Several Gaussians as one that has the same moments.

use glam::{DMat3, DQuat, DVec3, Vec3};

use crate::data::Splat;

/// The thinnest axis that counts for a splat's volume, as a share of its longest: discs have a weight too.
const THINNEST: f64 = 1e-3;

/// One splat for several, at least one of them. Weighted by opacity times volume: the mean of positions and colours,
/// and the covariance within and between. What it covers times its opacity stays the sum of what they cover.
pub(super) fn merge(all: &[&Splat]) -> Splat {
    let weights: Vec<f64> = all.iter().map(|s| f64::from(s.opacity) * volume(s)).collect();
    let sum: f64 = weights.iter().sum();
    let shares: Vec<f64> = if sum.is_finite() && sum > 0.0 {
        weights.iter().map(|w| w / sum).collect()
    } else {
        vec![1.0 / all.len() as f64; all.len()]
    };
    let parts = || all.iter().zip(&shares);
    let mean: DVec3 = parts().map(|(s, w)| s.position.as_dvec3() * *w).sum();
    let mut covariance = DMat3::ZERO;
    for (splat, share) in parts() {
        let apart = splat.position.as_dvec3() - mean;
        let between = DMat3::from_cols(apart * apart.x, apart * apart.y, apart * apart.z);
        covariance += (covariance_of(splat) + between) * *share;
    }
    let (scale, rotation) = axes(covariance);
    let covered: f64 = all
        .iter()
        .map(|s| f64::from(s.opacity) * surface(s.scale.as_dvec3()))
        .sum();
    let longest = all.iter().map(|s| s.harmonics.len()).max().unwrap_or(0);
    let mut harmonics = vec![0.0_f64; longest];
    for (splat, share) in parts() {
        for (sum, value) in harmonics.iter_mut().zip(&splat.harmonics) {
            *sum += f64::from(*value) * share;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "back to the precision of splats")]
    Splat {
        position: mean.as_vec3(),
        scale: scale.as_vec3(),
        rotation: rotation.as_quat().normalize(),
        opacity: (covered / surface(scale).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0) as f32,
        color: parts().map(|(s, w)| s.color * *w as f32).sum::<Vec3>(),
        harmonics: harmonics.into_iter().map(|v| v as f32).collect(),
    }
}

/// A splat's volume but for a factor that all share.
fn volume(splat: &Splat) -> f64 {
    let scale = splat.scale.as_dvec3();
    scale
        .max(DVec3::splat(scale.max_element() * THINNEST))
        .element_product()
}

pub(super) fn covariance_of(splat: &Splat) -> DMat3 {
    let axes = DMat3::from_quat(splat.rotation.as_dquat().normalize());
    let squares = splat.scale.as_dvec3() * splat.scale.as_dvec3();
    axes * DMat3::from_diagonal(squares) * axes.transpose()
}

/// The surface of an ellipsoid (Thomsen's formula, within 1.1 %) but for a factor.
fn surface(scale: DVec3) -> f64 {
    const P: f64 = 1.6075;
    let pair = |a: f64, b: f64| (a * b).powf(P);
    ((pair(scale.x, scale.y) + pair(scale.x, scale.z) + pair(scale.y, scale.z)) / 3.0).powf(1.0 / P)
}

/// Standard deviations along the axes of a covariance, and the rotation to it from them (Jacobi's method).
pub(super) fn axes(covariance: DMat3) -> (DVec3, DQuat) {
    let mut a = covariance.to_cols_array_2d();
    let mut v = DMat3::IDENTITY.to_cols_array_2d();
    for _ in 0..12 {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if a[p][q].abs() <= f64::MIN_POSITIVE {
                continue;
            }
            // The rotation in the plane of two axes that makes their product zero.
            let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
            let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
            let c = 1.0 / t.hypot(1.0);
            let s = t * c;
            for row in &mut a {
                (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
            }
            for k in 0..3 {
                (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]);
                // Columns of the rotation are kept as rows here.
                (v[p][k], v[q][k]) = (c * v[p][k] - s * v[q][k], s * v[p][k] + c * v[q][k]);
            }
        }
    }
    let variances = DVec3::new(a[0][0], a[1][1], a[2][2]).max(DVec3::ZERO);
    let mut columns = DMat3::from_cols_array_2d(&v);
    if columns.determinant() < 0.0 {
        columns.z_axis = -columns.z_axis;
    }
    (
        DVec3::from(variances.to_array().map(f64::sqrt)),
        DQuat::from_mat3(&columns),
    )
}

#[cfg(test)]
mod tests {
    use glam::Quat;

    use super::*;

    fn splat(position: Vec3, scale: Vec3, opacity: f32) -> Splat {
        Splat {
            position,
            scale,
            rotation: Quat::IDENTITY,
            opacity,
            color: Vec3::splat(opacity),
            harmonics: vec![opacity; 9],
        }
    }

    fn near(a: DMat3, b: DMat3) {
        assert!(a.abs_diff_eq(b, 1e-5 * b.col(0).length().max(1.0)), "{a} {b}");
    }

    #[test]
    fn covariances_come_back() {
        let turned = Quat::from_axis_angle(Vec3::new(1.0, 2.0, 3.0).normalize(), 0.9);
        for (scale, rotation) in [
            (Vec3::new(3.0, 2.0, 1.0), turned),
            (Vec3::new(1.0, 1.0, 1.0), turned),
            (Vec3::new(0.5, 0.5, 0.0), turned),
            (Vec3::new(1.0, 4.0, 2.0), Quat::IDENTITY),
        ] {
            let given = Splat {
                rotation,
                ..splat(Vec3::ZERO, scale, 1.0)
            };
            let (scale, rotation) = axes(covariance_of(&given));
            let again = Splat {
                scale: scale.as_vec3(),
                rotation: rotation.as_quat(),
                ..given.clone()
            };
            near(covariance_of(&again), covariance_of(&given));
        }
    }

    #[test]
    fn one_stays_as_it_is() {
        let one = splat(Vec3::new(1.0, 2.0, 3.0), Vec3::new(0.3, 0.2, 0.1), 0.4);
        let merged = merge(&[&one]);
        near(covariance_of(&merged), covariance_of(&one));
        assert!((merged.opacity - 0.4).abs() < 1e-5 && merged.position == one.position);
        assert!((merged.harmonics[8] - 0.4).abs() < 1e-6);
    }

    /// Two equal ones 2 apart: the variance between them is 1 along the line, the others are theirs.
    #[test]
    fn moments_of_two_are_those_of_one() {
        let at = |x: f32| splat(Vec3::new(x, 5.0, 0.0), Vec3::new(0.5, 0.25, 0.125), 0.5);
        let merged = merge(&[&at(-1.0), &at(1.0)]);
        assert!(merged.position.abs_diff_eq(Vec3::new(0.0, 5.0, 0.0), 1e-6));
        near(
            covariance_of(&merged),
            DMat3::from_diagonal(DVec3::new(1.25, 0.0625, 0.015_625)),
        );
        // Unequal ones: 8 times the volume, a quarter of the opacity, so twice the weight.
        let (small, large) = (
            splat(Vec3::ZERO, Vec3::splat(0.1), 0.8),
            splat(Vec3::new(3.0, 0.0, 0.0), Vec3::splat(0.2), 0.2),
        );
        let merged = merge(&[&small, &large]);
        assert!((merged.position.x - 2.0).abs() < 1e-5, "{}", merged.position);
        let within = (0.01 + 2.0 * 0.04) / 3.0;
        let between = (4.0 + 2.0 * 1.0) / 3.0;
        near(
            covariance_of(&merged),
            DMat3::from_diagonal(DVec3::new(within + between, within, within)),
        );
        assert!((merged.color.x - (0.8 + 2.0 * 0.2) / 3.0).abs() < 1e-5);
    }

    /// The moments of many turned ones, against a sum over points drawn from them.
    #[test]
    fn moments_of_many_are_those_of_what_they_contain() {
        let mut all = Vec::new();
        for i in 0..7_u8 {
            let i = f32::from(i);
            let rotation = Quat::from_axis_angle(Vec3::new(i.sin(), 1.0, i.cos()).normalize(), i);
            let position = Vec3::new(i.cos(), i * 0.3, i.sin()) * 2.0;
            all.push(Splat {
                rotation,
                ..splat(position, Vec3::new(0.3, 0.1 + 0.05 * i, 0.2), 0.1 + 0.1 * i)
            });
        }
        let merged = merge(&all.iter().collect::<Vec<_>>());
        // Six points a splat have its mean and covariance: √3 deviations along each axis, both ways.
        let (mut points, mut total) = (Vec::new(), 0.0);
        for s in &all {
            let weight = f64::from(s.opacity) * s.scale.as_dvec3().element_product();
            total += weight;
            for axis in [DVec3::X, DVec3::Y, DVec3::Z] {
                for sign in [-1.0, 1.0] {
                    let offset = s.rotation.as_dquat() * (axis * s.scale.as_dvec3()) * sign * 3.0_f64.sqrt();
                    points.push((s.position.as_dvec3() + offset, weight / 6.0));
                }
            }
        }
        let mean: DVec3 = points.iter().map(|(p, w)| *p * *w).sum::<DVec3>() / total;
        let mut covariance = DMat3::ZERO;
        for (p, w) in &points {
            let d = *p - mean;
            covariance += DMat3::from_cols(d * d.x, d * d.y, d * d.z) * (*w / total);
        }
        assert!(merged.position.as_dvec3().abs_diff_eq(mean, 1e-5));
        near(covariance_of(&merged), covariance);
    }

    /// A wall of discs side by side, each opaque, is an opaque disc.
    #[test]
    fn what_covers_goes_on_covering() {
        let mut all = Vec::new();
        for x in 0..8_u8 {
            for y in 0..8_u8 {
                all.push(splat(
                    Vec3::new(f32::from(x), f32::from(y), 0.0),
                    Vec3::new(0.6, 0.6, 0.01),
                    0.9,
                ));
            }
        }
        let merged = merge(&all.iter().collect::<Vec<_>>());
        assert!(merged.opacity > 0.9, "{}", merged.opacity);
        let clear: Vec<Splat> = all.into_iter().map(|s| Splat { opacity: 0.05, ..s }).collect();
        let merged = merge(&clear.iter().collect::<Vec<_>>());
        assert!((0.02..0.5).contains(&merged.opacity), "{}", merged.opacity);
    }

    #[test]
    fn nothing_to_weigh_is_still_merged() {
        let flat = |x: f32| splat(Vec3::new(x, 0.0, 0.0), Vec3::ZERO, 0.0);
        let merged = merge(&[&flat(0.0), &flat(2.0)]);
        assert!(merged.position.x == 1.0 && merged.opacity == 0.0 && merged.scale.is_finite());
        assert!(merged.rotation.is_normalized());
    }
}
