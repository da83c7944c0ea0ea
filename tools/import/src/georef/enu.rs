//! Degrees and metres east, north and up of an anchor, through earth-centred coordinates in f64.

use glam::{DMat3, DVec3};

/// An ellipsoid of revolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ellipsoid {
    /// Semi-major axis in metres.
    pub axis_m: f64,
    /// (a − b) / a.
    pub flattening: f64,
}

impl Ellipsoid {
    /// That of GPS.
    pub const WGS84: Self = Self {
        axis_m: 6_378_137.0,
        flattening: 1.0 / 298.257_223_563,
    };

    fn e2(&self) -> f64 {
        self.flattening * (2.0 - self.flattening)
    }

    /// Earth-centred metres of degrees north, degrees east and metres above the ellipsoid.
    #[must_use]
    pub fn earth(&self, lat: f64, lon: f64, height_m: f64) -> DVec3 {
        let (sin, cos) = lat.to_radians().sin_cos();
        let radius = self.axis_m / (1.0 - self.e2() * sin * sin).sqrt();
        let flat = (radius + height_m) * cos;
        let (lon_sin, lon_cos) = lon.to_radians().sin_cos();
        DVec3::new(
            flat * lon_cos,
            flat * lon_sin,
            (radius * (1.0 - self.e2()) + height_m) * sin,
        )
    }

    /// Degrees north, degrees east and metres above the ellipsoid of earth-centred metres (Bowring's formula, made
    /// exact by a few steps).
    #[must_use]
    pub fn degrees(&self, p: DVec3) -> (f64, f64, f64) {
        let flat = p.x.hypot(p.y);
        let e2 = self.e2();
        let mut lat = p.z.atan2(flat * (1.0 - e2));
        for _ in 0..6 {
            let (sin, _) = lat.sin_cos();
            let radius = self.axis_m / (1.0 - e2 * sin * sin).sqrt();
            lat = (p.z + e2 * radius * sin).atan2(flat);
        }
        let (sin, cos) = lat.sin_cos();
        let height = flat * cos + p.z * sin - self.axis_m * (1.0 - e2 * sin * sin).sqrt();
        (lat.to_degrees(), p.y.atan2(p.x).to_degrees(), height)
    }

    /// Metres between two places in degrees, along the chord.
    #[must_use]
    pub fn distance_m(&self, a: (f64, f64), b: (f64, f64)) -> f64 {
        self.earth(a.0, a.1, 0.0).distance(self.earth(b.0, b.1, 0.0))
    }
}

/// The tangent frame at an anchor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tangent {
    anchor_in_earth: DVec3,
    enu_from_earth: DMat3,
}

impl Tangent {
    /// The frame at degrees north, degrees east and metres above the ellipsoid.
    #[must_use]
    pub fn at(lat: f64, lon: f64, height_m: f64) -> Self {
        let (sin, cos) = lat.to_radians().sin_cos();
        let (lon_sin, lon_cos) = lon.to_radians().sin_cos();
        let east = DVec3::new(-lon_sin, lon_cos, 0.0);
        let north = DVec3::new(-sin * lon_cos, -sin * lon_sin, cos);
        let up = DVec3::new(cos * lon_cos, cos * lon_sin, sin);
        Self {
            anchor_in_earth: Ellipsoid::WGS84.earth(lat, lon, height_m),
            enu_from_earth: DMat3::from_cols(east, north, up).transpose(),
        }
    }

    /// Turns earth-centred directions to east, north and up.
    #[must_use]
    pub fn turn(&self) -> DMat3 {
        self.enu_from_earth
    }

    /// Metres east, north and up of the anchor.
    #[must_use]
    pub fn enu(&self, lat: f64, lon: f64, height_m: f64) -> DVec3 {
        self.enu_from_earth * (Ellipsoid::WGS84.earth(lat, lon, height_m) - self.anchor_in_earth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_come_back() {
        for (lat, lon, h) in [
            (29.56, 106.57, 240.0),
            (-33.9, 18.4, -50.0),
            (0.0, -179.0, 8000.0),
            (89.99, 10.0, 5.0),
        ] {
            let (a, b, c) = Ellipsoid::WGS84.degrees(Ellipsoid::WGS84.earth(lat, lon, h));
            assert!(
                (a - lat).abs() < 1e-11 && (b - lon).abs() < 1e-11 && (c - h).abs() < 1e-6,
                "{a} {b} {c}"
            );
        }
    }

    #[test]
    fn known_places() {
        // The poles and the equator are the axes themselves.
        let near = |a: DVec3, b: DVec3| assert!(a.distance(b) < 1e-6, "{a} {b}");
        near(Ellipsoid::WGS84.earth(0.0, 0.0, 0.0), DVec3::X * 6_378_137.0);
        near(Ellipsoid::WGS84.earth(90.0, 0.0, 0.0), DVec3::Z * 6_356_752.314_245_179);
        let frame = Tangent::at(29.56, 106.57, 240.0);
        near(frame.enu(29.56, 106.57, 250.0), DVec3::Z * 10.0);
        // A minute of latitude is 1847 m there; the ground curves away by s² / 2R.
        let north = frame.enu(29.56 + 1.0 / 60.0, 106.57, 240.0);
        assert!(
            (north.y - 1847.3).abs() < 1.0 && north.x.abs() < 1e-6 && (north.z + 0.2675).abs() < 0.005,
            "{north}"
        );
    }
}
