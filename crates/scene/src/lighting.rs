//! How a tour's author writes light: a preset, angles and colours as people know them.

use glam::Vec3;
use serde::{Deserialize, Serialize};

use crate::Lighting;

/// A colour with a strength: `{ color = "#ffd9a0", strength = 2.5 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paint {
    /// sRGB, `#rrggbb`.
    pub color: String,
    /// Multiplies the colour once it is linear.
    #[serde(default = "one")]
    pub strength: f32,
}

fn one() -> f32 {
    1.0
}

/// Light to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// A clear afternoon with a little haze; lamps are off.
    Day,
    /// A quarter of an hour after sunset: blue sky, warm horizon, lamps and signs lit.
    Dusk,
}

/// `[stops.lighting]`: a preset, and what differs from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopLighting {
    /// Light to start from.
    pub preset: Preset,
    /// Compass direction of the sun in degrees: 0 north, 90 east.
    pub sun_azimuth_deg: Option<f32>,
    /// Height of the sun above the horizon in degrees.
    pub sun_elevation_deg: Option<f32>,
    /// Light of the sun.
    pub sun: Option<Paint>,
    /// Sky straight up.
    pub sky_zenith: Option<Paint>,
    /// Sky at the horizon; haze takes this colour too.
    pub sky_horizon: Option<Paint>,
    /// Light that comes from below.
    pub ground: Option<Paint>,
    /// Factor on street lamps.
    pub lamps: Option<f32>,
    /// Factor on shining materials: signs, windows, screens.
    pub emissive: Option<f32>,
    /// Factor before tone mapping.
    pub exposure: Option<f32>,
    /// Extinction of the haze per metre.
    pub haze_per_m: Option<f32>,
}

impl StopLighting {
    /// A preset as it is.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        Self {
            preset,
            sun_azimuth_deg: None,
            sun_elevation_deg: None,
            sun: None,
            sky_zenith: None,
            sky_horizon: None,
            ground: None,
            lamps: None,
            emissive: None,
            exposure: None,
            haze_per_m: None,
        }
    }

    /// The light that the renderer takes.
    ///
    /// # Errors
    /// The key that makes no sense, and why.
    pub fn resolve(&self) -> Result<Lighting, (&'static str, String)> {
        let base = base(self.preset);
        let paint = |key, paint: &Option<Paint>, otherwise: Vec3| match paint {
            Some(p) => p.linear().map_err(|fault| (key, fault)),
            None => Ok(otherwise),
        };
        let number = |key, value: Option<f32>, otherwise: f32, most: f32| {
            let value = value.unwrap_or(otherwise);
            if (0.0..=most).contains(&value) {
                Ok(value)
            } else {
                Err((key, format!("{value} is not between 0 and {most}")))
            }
        };
        let (azimuth, elevation) = base.sun_deg;
        let azimuth = number("sun_azimuth_deg", self.sun_azimuth_deg, azimuth, 360.0)?;
        let elevation = self.sun_elevation_deg.unwrap_or(elevation);
        if !(-90.0..=90.0).contains(&elevation) {
            return Err(("sun_elevation_deg", format!("{elevation} is not between -90 and 90")));
        }
        Ok(Lighting {
            to_sun: direction(azimuth, elevation),
            sun: paint("sun", &self.sun, base.light.sun)?,
            sky_zenith: paint("sky_zenith", &self.sky_zenith, base.light.sky_zenith)?,
            sky_horizon: paint("sky_horizon", &self.sky_horizon, base.light.sky_horizon)?,
            ground: paint("ground", &self.ground, base.light.ground)?,
            lamps: number("lamps", self.lamps, base.light.lamps, 100.0)?,
            emissive: number("emissive", self.emissive, base.light.emissive, 100.0)?,
            exposure: number("exposure", self.exposure, base.light.exposure, 100.0)?,
            haze_per_m: number("haze_per_m", self.haze_per_m, base.light.haze_per_m, 1.0)?,
        })
    }
}

impl Paint {
    fn linear(&self) -> Result<Vec3, String> {
        let hex = self.color.strip_prefix('#').filter(|h| h.len() == 6 && h.is_ascii());
        let channel = |at: usize| hex.and_then(|h| u8::from_str_radix(&h[at..at + 2], 16).ok());
        let (Some(r), Some(g), Some(b)) = (channel(0), channel(2), channel(4)) else {
            return Err(format!("{:?} is not a colour like \"#ffd9a0\"", self.color));
        };
        if !(0.0..=1000.0).contains(&self.strength) {
            return Err(format!("strength {} is not between 0 and 1000", self.strength));
        }
        Ok(Vec3::new(srgb_to_linear(r), srgb_to_linear(g), srgb_to_linear(b)) * self.strength)
    }
}

/// Decodes one sRGB channel.
fn srgb_to_linear(value: u8) -> f32 {
    let v = f32::from(value) / 255.0;
    if v <= 0.04045 {
        v / 12.92
    } else {
        ((v + 0.055) / 1.055).powf(2.4)
    }
}

/// Unit vector towards a compass direction and height, in x = east, y = up, z = south.
fn direction(azimuth_deg: f32, elevation_deg: f32) -> Vec3 {
    let (azimuth, elevation) = (azimuth_deg.to_radians(), elevation_deg.to_radians());
    Vec3::new(
        azimuth.sin() * elevation.cos(),
        elevation.sin(),
        -azimuth.cos() * elevation.cos(),
    )
    .normalize()
}

struct Base {
    /// Azimuth and elevation.
    sun_deg: (f32, f32),
    light: Lighting,
}

fn base(preset: Preset) -> Base {
    let up = Vec3::Y;
    match preset {
        Preset::Day => Base {
            sun_deg: (248.0, 38.0),
            light: Lighting {
                to_sun: up,
                sun: Vec3::new(4.9, 4.05, 3.0),
                sky_zenith: Vec3::new(0.15, 0.28, 0.54),
                sky_horizon: Vec3::new(0.57, 0.66, 0.77),
                ground: Vec3::new(0.20, 0.18, 0.15),
                lamps: 0.0,
                emissive: 0.25,
                exposure: 1.15,
                haze_per_m: 0.0006,
            },
        },
        Preset::Dusk => Base {
            sun_deg: (262.0, 2.0),
            light: Lighting {
                to_sun: up,
                sun: Vec3::new(0.05, 0.025, 0.012),
                sky_zenith: Vec3::new(0.018, 0.034, 0.085),
                sky_horizon: Vec3::new(0.21, 0.13, 0.115),
                ground: Vec3::new(0.03, 0.024, 0.02),
                lamps: 1.0,
                emissive: 1.0,
                exposure: 2.2,
                haze_per_m: 0.0011,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compass_angles_point_where_they_say() {
        assert!(direction(90.0, 0.0).abs_diff_eq(Vec3::X, 1e-6), "east");
        assert!(direction(180.0, 0.0).abs_diff_eq(Vec3::Z, 1e-6), "south");
        assert!(direction(0.0, 90.0).abs_diff_eq(Vec3::Y, 1e-6), "up");
    }

    #[test]
    fn overrides_replace_the_preset_and_nonsense_names_its_key() {
        let mut light = StopLighting::preset(Preset::Day);
        light.sun = Some(Paint {
            color: "#ff0000".into(),
            strength: 2.0,
        });
        let resolved = light.resolve().unwrap();
        assert_eq!(resolved.sun, Vec3::new(2.0, 0.0, 0.0));
        light.sun = Some(Paint {
            color: "#ff00".into(),
            strength: 2.0,
        });
        assert_eq!(light.resolve().unwrap_err().0, "sun");
        let mut light = StopLighting::preset(Preset::Dusk);
        light.exposure = Some(f32::NAN);
        assert_eq!(light.resolve().unwrap_err().0, "exposure");
    }
}
