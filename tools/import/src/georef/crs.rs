//! Coordinate systems: EPSG codes, PROJ strings and WKT to degrees on Earth.

use proj4rs::Proj;
use proj4rs::transform::transform;

use super::wkt;

/// A coordinate system whose coordinates can be turned into degrees.
pub struct Crs {
    /// How it was stated: `EPSG:4544`, the name in its WKT, or its PROJ string.
    pub name: String,
    /// Metres in the unit of its plane; 1 for degrees and earth-centred metres.
    pub unit_m: f64,
    /// Metres in the unit of its heights.
    pub up_unit_m: f64,
    /// What its coordinates are.
    pub kind: Kind,
    from: Proj,
    degrees: Proj,
}

/// What coordinates are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Lengths of a plane: east, north.
    Projected,
    /// Degrees: longitude, latitude.
    Geographic,
    /// Earth-centred metres.
    Geocentric,
}

impl std::fmt::Debug for Crs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crs")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Crs {
    /// Reads `EPSG:n`, a PROJ string or WKT 1.
    ///
    /// # Errors
    /// What is wrong with the text, or that its projection is not known here.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('+') {
            return Self::from_proj(text, text.to_owned(), None);
        }
        let code = text.strip_prefix("EPSG:").or_else(|| text.strip_prefix("epsg:"));
        if let Some(code) = code {
            return Self::from_code(code.trim(), None, None);
        }
        let stated = wkt::stated(text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("{shown:?} is neither EPSG:…, a PROJ string nor WKT")
        })?;
        let name = stated.name.clone();
        if let Some(code) = stated.code
            && let Ok(crs) = Self::from_code(&code.to_string(), Some(&name), stated.up_unit_m)
        {
            return Ok(crs);
        }
        let proj = stated
            .proj
            .ok_or_else(|| format!("the projection of {name:?} is not known here; give --crs"))?;
        Self::from_proj(&proj, name, stated.up_unit_m)
    }

    fn from_code(code: &str, name: Option<&str>, up_unit_m: Option<f64>) -> Result<Self, String> {
        let number: u16 = code.parse().map_err(|_| format!("EPSG:{code} is not a code"))?;
        // Compound codes of geographic systems with ellipsoidal heights.
        let number = if number == 4979 { 4326 } else { number };
        let found = crs_definitions::from_code(number).ok_or_else(|| format!("EPSG:{number} is not known here"))?;
        let name = name.map_or_else(|| format!("EPSG:{number}"), |n| format!("EPSG:{number} {n}"));
        Self::from_proj(found.proj4, name, up_unit_m)
    }

    fn from_proj(text: &str, name: String, up_unit_m: Option<f64>) -> Result<Self, String> {
        // Grids would be files beside the program; without them the shift of the datum is left out.
        let text = without_grids(text);
        let from = Proj::from_proj_string(&text).map_err(|e| format!("{name}: {e}"))?;
        let degrees = Proj::from_proj_string("+proj=longlat +datum=WGS84 +no_defs").map_err(|e| e.to_string())?;
        let kind = if from.is_latlong() {
            Kind::Geographic
        } else if from.is_geocent() {
            Kind::Geocentric
        } else {
            Kind::Projected
        };
        let unit_m = if kind == Kind::Projected { from.to_meter() } else { 1.0 };
        if !(1e-4..=1e4).contains(&unit_m) {
            return Err(format!("{name}: says that its unit is {unit_m} m"));
        }
        Ok(Self {
            name,
            unit_m,
            // Where nothing is said about heights they are taken to have the unit of the plane.
            up_unit_m: up_unit_m.unwrap_or(unit_m),
            kind,
            from,
            degrees,
        })
    }

    /// Degrees north, degrees east and metres of height; `None` where the coordinates have no place on Earth.
    #[must_use]
    pub fn lat_lon(&self, x: f64, y: f64, z: f64) -> Option<(f64, f64, f64)> {
        let mut at = match self.kind {
            Kind::Geographic if x.abs() > 360.0 || y.abs() > 90.0 => return None,
            Kind::Geographic => (x.to_radians(), y.to_radians(), 0.0),
            Kind::Projected => (x, y, 0.0),
            Kind::Geocentric => (x, y, z),
        };
        transform(&self.from, &self.degrees, &mut at).ok()?;
        let height = if self.kind == Kind::Geocentric {
            at.2
        } else {
            z * self.up_unit_m
        };
        let (lat, lon) = (at.1.to_degrees(), at.0.to_degrees());
        let sane = lat.abs() <= 90.0 && lon.abs() <= 360.0 && (-12_000.0..100_000.0).contains(&height);
        sane.then_some((lat, lon, height))
    }
}

fn without_grids(text: &str) -> String {
    let kept: Vec<&str> = text
        .split_ascii_whitespace()
        .filter(|w| !w.starts_with("+nadgrids"))
        .collect();
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snyder's worked example (USGS 1395, p. 296): Clarke 1866, parallels 33° and 45°, origin 23° N 96° W.
    #[test]
    fn lambert_agrees_with_snyders_example() {
        let proj = "+proj=lcc +lat_1=33 +lat_2=45 +lat_0=23 +lon_0=-96 +a=6378206.4 +rf=294.9786982";
        let (lat, lon, _) = Crs::parse(proj)
            .unwrap()
            .lat_lon(1_894_410.9, 1_564_649.5, 0.0)
            .unwrap();
        assert!((lat - 35.0).abs() < 1e-6 && (lon + 75.0).abs() < 1e-6, "{lat} {lon}");
    }

    #[test]
    fn cgcs2000_and_feet() {
        // Chongqing lies in the 3-degree zone around 105° E and in that around 108° E: one place, two codes.
        let a = Crs::parse("EPSG:4544").unwrap();
        assert_eq!((a.kind, a.unit_m), (Kind::Projected, 1.0));
        let (lat, lon, h) = a.lat_lon(652_900.0, 3_271_500.0, 240.0).unwrap();
        assert!(
            (lat - 29.55).abs() < 0.05 && (lon - 106.577).abs() < 0.05 && h == 240.0,
            "{lat} {lon}"
        );
        let feet = Crs::parse("EPSG:2994").unwrap();
        assert_eq!((feet.unit_m, feet.up_unit_m), (0.3048, 0.3048));
        let (lat, lon, h) = feet.lat_lon(636_590.0, 849_216.0, 1000.0).unwrap();
        assert!(
            (lat - 44.05).abs() < 0.01 && (lon + 123.07).abs() < 0.01 && (h - 304.8).abs() < 1e-9,
            "{lat} {lon}"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "EPSG:",
            "EPSG:99999",
            "EPSG:1",
            "+proj=nothing",
            "PROJCS[\"x\"]",
            "hello",
        ] {
            assert!(Crs::parse(text).is_err(), "{text}");
        }
        let degrees = Crs::parse("EPSG:4326").unwrap();
        assert_eq!(degrees.lat_lon(515_368.0, 4_918_340.0, 2300.0), None);
        assert!(degrees.lat_lon(106.57, 29.56, 240.0).is_some());
    }
}
