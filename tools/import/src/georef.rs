//! From the file's coordinates to metres east, north and up of a point on Earth.

use std::path::Path;

use glam::DVec3;

use crate::read::Scan;
use crate::{Error, ScanPoint};

/// Where the scene's origin lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Frame {
    /// A known place: degrees north, degrees east, metres of height.
    Earth {
        /// Degrees north.
        lat: f64,
        /// Degrees east.
        lon: f64,
        /// Height of the origin in metres, as the file counts heights.
        height_m: f64,
        /// Metres in the file's unit.
        unit_m: f64,
    },
    /// Metres of a plane whose place is not known; its y axis is taken for north.
    Plane {
        /// Metres in the file's unit.
        unit_m: f64,
    },
}

/// Lambert's conformal conic projection with two standard parallels, on an ellipsoid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lambert {
    /// Semi-major axis in metres.
    pub axis_m: f64,
    /// 1 / flattening.
    pub inverse_flattening: f64,
    /// Standard parallels in degrees.
    pub parallels_deg: [f64; 2],
    /// Latitude and longitude of the origin in degrees.
    pub origin_deg: [f64; 2],
    /// False easting and northing in metres.
    pub false_m: [f64; 2],
}

impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Earth {
                lat,
                lon,
                height_m,
                unit_m,
            } => {
                write!(
                    f,
                    "origin at {lat:.6}, {lon:.6}, {height_m:.2} m (Lambert conformal conic, {unit_m} m a unit)"
                )
            }
            Self::Plane { unit_m } => write!(f, "place not known, {unit_m} m a unit, y taken for north"),
        }
    }
}

impl Lambert {
    /// Degrees north and east of a place given in metres east and north, by Snyder's formulas (USGS 1395, p. 107).
    #[must_use]
    pub fn lat_lon(&self, east_m: f64, north_m: f64) -> (f64, f64) {
        let flattening = 1.0 / self.inverse_flattening;
        let e = (flattening * (2.0 - flattening)).sqrt();
        let [p1, p2] = self.parallels_deg.map(f64::to_radians);
        let [lat0, lon0] = self.origin_deg.map(f64::to_radians);
        let m = |lat: f64| lat.cos() / (1.0 - (e * lat.sin()).powi(2)).sqrt();
        let half_pi = std::f64::consts::FRAC_PI_2;
        let t = |lat: f64| {
            let s = e * lat.sin();
            ((half_pi - lat) / 2.0).tan() / ((1.0 - s) / (1.0 + s)).powf(e / 2.0)
        };
        let n = if (p1 - p2).abs() < 1e-12 {
            p1.sin()
        } else {
            (m(p1) / m(p2)).ln() / (t(p1) / t(p2)).ln()
        };
        let scale = m(p1) / (n * t(p1).powf(n));
        let radius = |t: f64| self.axis_m * scale * t.powf(n);
        let (x, y) = (east_m - self.false_m[0], radius(t(lat0)) - (north_m - self.false_m[1]));
        let rho = x.hypot(y) * n.signum();
        let theta = (x * n.signum()).atan2(y * n.signum());
        let t_here = (rho / (self.axis_m * scale)).powf(1.0 / n);
        let mut lat = half_pi - 2.0 * t_here.atan();
        for _ in 0..12 {
            let s = e * lat.sin();
            lat = half_pi - 2.0 * (t_here * ((1.0 - s) / (1.0 + s)).powf(e / 2.0)).atan();
        }
        (lat.to_degrees(), (theta / n + lon0).to_degrees())
    }

    /// Metres of one radian of latitude and of longitude at a latitude in degrees.
    fn metres_per_radian(&self, lat_deg: f64) -> (f64, f64) {
        let lat = lat_deg.to_radians();
        let flattening = 1.0 / self.inverse_flattening;
        let e2 = flattening * (2.0 - flattening);
        let w = (1.0 - e2 * lat.sin().powi(2)).sqrt();
        (self.axis_m * (1.0 - e2) / w.powi(3), self.axis_m / w * lat.cos())
    }

    /// Reads the projection out of WKT 1; `None` where it is another one. Lengths in the WKT's unit become metres.
    #[must_use]
    pub fn from_wkt(wkt: &str, unit_m: f64) -> Option<Self> {
        if !wkt.contains("Lambert_Conformal_Conic") {
            return None;
        }
        let parameter = |name: &str| number_after(wkt, &format!("PARAMETER[\"{name}\","));
        let spheroid = &wkt[wkt.find("SPHEROID[\"")? + 10..];
        let mut figures = spheroid.get(spheroid.find('"')? + 2..)?.split([',', ']']);
        let axis_m = figures.next()?.trim().parse().ok()?;
        let inverse_flattening = figures.next()?.trim().parse().ok()?;
        let first = parameter("standard_parallel_1")?;
        let lambert = Self {
            axis_m,
            inverse_flattening,
            parallels_deg: [first, parameter("standard_parallel_2").unwrap_or(first)],
            origin_deg: [parameter("latitude_of_origin")?, parameter("central_meridian")?],
            false_m: [
                parameter("false_easting")? * unit_m,
                parameter("false_northing")? * unit_m,
            ],
        };
        let sane = (6.0e6..7.0e6).contains(&lambert.axis_m)
            && (200.0..400.0).contains(&lambert.inverse_flattening)
            && lambert.parallels_deg.iter().all(|p| (1.0..85.0).contains(&p.abs()))
            && lambert.origin_deg[0].abs() < 85.0
            && lambert.origin_deg[1].abs() <= 180.0
            && lambert.false_m.iter().all(|v| v.is_finite());
        sane.then_some(lambert)
    }
}

/// The number that follows a text, up to a comma or bracket.
fn number_after(wkt: &str, text: &str) -> Option<f64> {
    let rest = &wkt[wkt.find(text)? + text.len()..];
    rest.split([',', ']']).next()?.trim().parse().ok()
}

/// Metres in the unit of the WKT's projected coordinates: its last UNIT, or that of the PROJCS.
fn unit_of(wkt: &str) -> Option<f64> {
    let at = wkt.rfind("UNIT[\"")?;
    let rest = &wkt[at + 6..];
    rest.get(rest.find('"')? + 2..)?
        .split([',', ']'])
        .next()?
        .trim()
        .parse()
        .ok()
}

/// Points in local metres: x east, y north, z up, the origin in the middle at the height of low ground.
pub(crate) fn local(scan: &Scan, path: &Path) -> Result<(Frame, Vec<ScanPoint>), Error> {
    let fault = |fault: String| Error::Scan {
        file: path.to_owned(),
        fault,
    };
    let wkt = scan.wkt.as_deref().unwrap_or_default();
    let projected = wkt.starts_with("PROJCS");
    let unit_m = if projected { unit_of(wkt).unwrap_or(1.0) } else { 1.0 };
    if !(1e-4..=1e4).contains(&unit_m) {
        return Err(fault(format!("says that its unit is {unit_m} m")));
    }
    let (min, max) = crate::bounds(&scan.points);
    let middle = (min + max) / 2.0;
    let mut heights: Vec<f64> = scan.points.iter().map(|p| p.position.z).collect();
    let place = heights.len() / 10;
    let low = *heights.select_nth_unstable_by(place, f64::total_cmp).1;
    // Heights have no unit of their own in this WKT; they are taken to have that of the plane.
    let up = |z: f64| (z - low) * unit_m;
    let size = (max - min) * unit_m;
    if size.max_element() > 100_000.0 {
        return Err(fault(format!("spans {:.0} m, more than 100 km", size.max_element())));
    }
    let Some(lambert) = projected.then(|| Lambert::from_wkt(wkt, unit_m)).flatten() else {
        let each = scan.points.iter().map(|p| {
            let flat = (p.position - middle) * unit_m;
            ScanPoint {
                position: DVec3::new(flat.x, flat.y, up(p.position.z)),
                ..*p
            }
        });
        return Ok((Frame::Plane { unit_m }, each.collect()));
    };
    let (lat, lon) = lambert.lat_lon(middle.x * unit_m, middle.y * unit_m);
    if !(lat.is_finite() && lon.is_finite()) {
        return Err(fault(
            "its coordinates have no place on Earth in its projection".to_owned(),
        ));
    }
    let (per_lat, per_lon) = lambert.metres_per_radian(lat);
    let each = scan.points.iter().map(|p| {
        let (here_lat, here_lon) = lambert.lat_lon(p.position.x * unit_m, p.position.y * unit_m);
        let east = (here_lon - lon).to_radians() * per_lon;
        let north = (here_lat - lat).to_radians() * per_lat;
        ScanPoint {
            position: DVec3::new(east, north, up(p.position.z)),
            ..*p
        }
    });
    Ok((
        Frame::Earth {
            lat,
            lon,
            height_m: low * unit_m,
            unit_m,
        },
        each.collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snyder's worked example (USGS 1395, p. 296): Clarke 1866, parallels 33° and 45°, origin 23° N 96° W.
    #[test]
    fn lambert_agrees_with_snyders_example() {
        let lambert = Lambert {
            axis_m: 6_378_206.4,
            inverse_flattening: 294.978_698_2,
            parallels_deg: [33.0, 45.0],
            origin_deg: [23.0, -96.0],
            false_m: [0.0, 0.0],
        };
        let (lat, lon) = lambert.lat_lon(1_894_410.9, 1_564_649.5);
        assert!((lat - 35.0).abs() < 1e-6 && (lon + 75.0).abs() < 1e-6, "{lat} {lon}");
    }

    #[test]
    fn units_and_broken_wkt() {
        let wkt = r#"PROJCS["x",GEOGCS["g",UNIT["degree",0.0174]],UNIT["foot",0.3048,AUTHORITY["EPSG","9002"]]]"#;
        assert_eq!(unit_of(wkt), Some(0.3048));
        assert_eq!(unit_of("UNIT[\""), None);
        assert_eq!(Lambert::from_wkt("Lambert_Conformal_Conic SPHEROID[\"", 1.0), None);
    }
}
