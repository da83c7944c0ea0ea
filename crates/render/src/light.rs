//! The sky's light as spherical harmonics.

use glam::Vec3;
use tongyou_scene::Lighting;

/// Directions in which the sky is sampled.
const SAMPLES: u16 = 1024;

/// The sky's and the ground's radiance, **without the sun**, projected on the nine real spherical harmonics up to
/// L2: linear RGB in the order Y00, Y1−1, Y10, Y11, Y2−2, Y2−1, Y20, Y21, Y22 with y, z, x as first-order axes
/// (three.js's `SphericalHarmonics3`). Not multiplied by the exposure.
#[must_use]
pub fn ambient_sh(lighting: &Lighting) -> [[f32; 3]; 9] {
    let mut sum = [Vec3::ZERO; 9];
    let golden = std::f32::consts::PI * (3.0 - 5.0_f32.sqrt());
    for i in 0..SAMPLES {
        let y = 1.0 - (f32::from(i) + 0.5) * 2.0 / f32::from(SAMPLES);
        let (sin, cos) = (golden * f32::from(i)).sin_cos();
        let r = (1.0 - y * y).sqrt();
        let d = Vec3::new(cos * r, y, sin * r);
        let radiance = sky_gradient(lighting, d);
        for (s, b) in sum.iter_mut().zip(basis(d)) {
            *s += radiance * b;
        }
    }
    let solid_angle = 4.0 * std::f32::consts::PI / f32::from(SAMPLES);
    sum.map(|s| (s * solid_angle).to_array())
}

/// Radiance of the sky in a unit direction, sun and clouds left out: the gradient of `sky.wgsl`.
#[must_use]
pub fn sky_gradient(lighting: &Lighting, direction: Vec3) -> Vec3 {
    let h = 1.0 - direction.y.clamp(0.0, 1.0);
    let mu = direction.dot(lighting.to_sun).max(0.0);
    let low = (1.0 - lighting.to_sun.y * 2.5).clamp(0.0, 1.0);
    let gradient = lighting.sky_zenith.lerp(lighting.sky_horizon, h.powi(4));
    let scattered = lighting.sky_horizon * (low * 0.8 * mu.powi(4) * h * h);
    let t = (direction.y / -0.25).clamp(0.0, 1.0);
    (gradient + scattered).lerp(lighting.ground, t * t * (3.0 - 2.0 * t))
}

/// Factors that turn radiance coefficients into the polynomial of irradiance over pi that `light.wgsl` evaluates.
pub(crate) fn irradiance_over_pi(sh: &[[f32; 3]; 9]) -> [Vec3; 9] {
    // Cosine lobe over pi (1, 2/3, 1/4) times the basis constants.
    const FACTORS: [f32; 9] = [
        0.282_095,
        0.488_603 * 2.0 / 3.0,
        0.488_603 * 2.0 / 3.0,
        0.488_603 * 2.0 / 3.0,
        1.092_548 / 4.0,
        1.092_548 / 4.0,
        0.315_392 / 4.0,
        1.092_548 / 4.0,
        0.546_274 / 4.0,
    ];
    std::array::from_fn(|i| Vec3::from(sh[i]) * FACTORS[i])
}

fn basis(d: Vec3) -> [f32; 9] {
    [
        0.282_095,
        0.488_603 * d.y,
        0.488_603 * d.z,
        0.488_603 * d.x,
        1.092_548 * d.x * d.y,
        1.092_548 * d.y * d.z,
        0.315_392 * (3.0 * d.z * d.z - 1.0),
        1.092_548 * d.x * d.z,
        0.546_274 * (d.x * d.x - d.y * d.y),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even(c: Vec3) -> Lighting {
        Lighting {
            to_sun: Vec3::Y,
            sun: Vec3::ONE,
            sky_zenith: c,
            sky_horizon: c,
            ground: c,
            lamps: 0.0,
            emissive: 0.0,
            exposure: 1.0,
            haze_per_m: 0.0,
        }
    }

    #[test]
    fn an_even_sky_lights_evenly() {
        let c = Vec3::new(0.2, 0.5, 0.9);
        let sh = ambient_sh(&even(c));
        let e = irradiance_over_pi(&sh);
        assert!((e[0] - c).length() < 2e-3, "{e:?}");
        for higher in &e[1..] {
            assert!(higher.length() < 5e-3, "{e:?}");
        }
    }

    #[test]
    fn what_faces_up_gets_the_sky_and_what_faces_down_the_ground() {
        let mut lighting = even(Vec3::new(0.1, 0.2, 0.8));
        lighting.ground = Vec3::new(0.5, 0.1, 0.0);
        let sh = ambient_sh(&lighting);
        let e = irradiance_over_pi(&sh);
        let at = |y: f32| e[0] + e[1] * y - e[6] - e[8] * (y * y);
        assert!(at(1.0).z > 0.6 && at(1.0).x < 0.25, "{}", at(1.0));
        assert!(at(-1.0).x > 0.35 && at(-1.0).z < 0.3, "{}", at(-1.0));
    }
}
