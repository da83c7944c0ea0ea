//! GCJ-02, the shifted coordinates of Chinese maps. Positions may be given in it; geometry is never warped by it.
//! The shift is the published approximation, within a few metres of what the maps do.

use super::enu::Ellipsoid;

/// Krassovsky's ellipsoid, on which the shift is defined.
const AXIS: f64 = 6_378_245.0;
const E2: f64 = 0.006_693_421_622_965_943;

/// Whether a place lies in the box in which such maps are shifted (Hong Kong, Macau and Taiwan are in the box too).
#[must_use]
pub fn in_china(lat: f64, lon: f64) -> bool {
    (0.8293..=55.8271).contains(&lat) && (72.004..=137.8347).contains(&lon)
}

/// GCJ-02 degrees of WGS 84 degrees.
#[must_use]
pub fn from_wgs84(lat: f64, lon: f64) -> (f64, f64) {
    use std::f64::consts::PI;
    if !in_china(lat, lon) {
        return (lat, lon);
    }
    let (x, y) = (lon - 105.0, lat - 35.0);
    let wave = |v: f64, a: f64, b: f64| (a * (v * PI / b).sin()) * 2.0 / 3.0;
    let both = wave(x, 20.0, 1.0 / 6.0) + wave(x, 20.0, 0.5);
    let north = -100.0
        + 2.0 * x
        + 3.0 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * x.abs().sqrt()
        + both
        + wave(y, 20.0, 1.0)
        + wave(y, 40.0, 3.0)
        + wave(y, 160.0, 12.0)
        + wave(y, 320.0, 30.0);
    let east = 300.0
        + x
        + 2.0 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * x.abs().sqrt()
        + both
        + wave(x, 20.0, 1.0)
        + wave(x, 40.0, 3.0)
        + wave(x, 150.0, 12.0)
        + wave(x, 300.0, 30.0);
    let phi = lat.to_radians();
    let magic = 1.0 - E2 * phi.sin().powi(2);
    let per_lat = (AXIS * (1.0 - E2)) / (magic * magic.sqrt());
    let per_lon = AXIS / magic.sqrt() * phi.cos();
    (
        lat + (north / per_lat).to_degrees(),
        lon + (east / per_lon).to_degrees(),
    )
}

/// WGS 84 degrees of GCJ-02 degrees, by iteration.
#[must_use]
pub fn to_wgs84(lat: f64, lon: f64) -> (f64, f64) {
    let (mut at_lat, mut at_lon) = (lat, lon);
    for _ in 0..8 {
        let (shifted_lat, shifted_lon) = from_wgs84(at_lat, at_lon);
        at_lat += lat - shifted_lat;
        at_lon += lon - shifted_lon;
    }
    (at_lat, at_lon)
}

/// Metres by which a map would show a place elsewhere.
#[must_use]
pub fn shift_m(lat: f64, lon: f64) -> f64 {
    let (to_lat, to_lon) = from_wgs84(lat, lon);
    Ellipsoid::WGS84.distance_m((lat, lon), (to_lat, to_lon))
}

/// Whether `given` is where a Chinese map shows `known`: nearer to the shifted place than to the true one.
#[must_use]
pub fn looks_shifted(known: (f64, f64), given: (f64, f64)) -> bool {
    let shift = shift_m(known.0, known.1);
    let shifted = from_wgs84(known.0, known.1);
    shift > 50.0 && Ellipsoid::WGS84.distance_m(shifted, given) < 0.3 * shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        // 解放碑. Maps of 渝中 are off by some four hundred metres or more.
        let place = (29.557_1, 106.577_0);
        let (lat, lon) = from_wgs84(place.0, place.1);
        let shift = shift_m(place.0, place.1);
        assert!((300.0..700.0).contains(&shift), "{shift}");
        let back = to_wgs84(lat, lon);
        assert!(Ellipsoid::WGS84.distance_m(back, place) < 0.001);
        assert!(looks_shifted(place, (lat, lon)) && !looks_shifted(place, place));
        // Published example: Beijing, 39.908823 N 116.397470 E on the map of a GCJ provider is 39.9074, 116.3913 GPS.
        let (lat, lon) = from_wgs84(39.907_4, 116.391_3);
        assert!(
            (lat - 39.908_8).abs() < 2e-4 && (lon - 116.397_5).abs() < 2e-4,
            "{lat} {lon}"
        );
        assert_eq!(from_wgs84(44.05, -123.07), (44.05, -123.07));
    }
}
