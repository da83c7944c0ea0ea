//! From the file's coordinates to metres east, north and up of an anchor, in f64.

mod crs;
mod enu;
pub mod gcj;
pub(crate) mod geokeys;
mod shared;
mod wkt;

pub use crs::{Crs, Kind};
pub use enu::{Ellipsoid, Tangent};
use glam::{DMat3, DVec3, Vec3};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::{Bounds, Up};
use crate::source::Source;

/// A scene spans at most this much.
const WIDEST_M: f64 = 100_000.0;

/// What the user says about place and axes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Placement {
    /// The coordinate system, in place of the file's: `EPSG:…`, a PROJ string or WKT.
    pub crs: Option<String>,
    /// Where the middle of the scan lies: degrees north and east (WGS 84).
    pub at: Option<(f64, f64)>,
    /// `at` is in GCJ-02, as read off a Chinese map.
    pub at_is_gcj02: bool,
    /// Where the scan's north axis points: degrees clockwise from north.
    pub heading_deg: f64,
    /// Metres in the file's unit, where it has no coordinate system.
    pub scale: f64,
    /// The file's axes, in place of those of its format.
    pub up: Option<Up>,
    /// What lies outside is left out: metres west, south, east and north of the anchor, in the scene.
    pub crop: Option<[f64; 4]>,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            crs: None,
            at: None,
            at_is_gcj02: false,
            heading_deg: 0.0,
            scale: 1.0,
            up: None,
            crop: None,
        }
    }
}

/// Where the scene's origin lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Frame {
    /// A known place: degrees north, degrees east, metres of height.
    Earth {
        /// Degrees north (WGS 84).
        lat: f64,
        /// Degrees east (WGS 84).
        lon: f64,
        /// Height of the origin in metres, as the file counts heights.
        height_m: f64,
        /// Metres in the file's unit.
        unit_m: f64,
        /// The coordinate system, or how else the place is known.
        crs: String,
    },
    /// Metres of a plane whose place is not known; its y axis is taken for north.
    Plane {
        /// Metres in the file's unit.
        unit_m: f64,
    },
}

impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Earth {
                lat,
                lon,
                height_m,
                unit_m,
                crs,
            } => write!(
                f,
                "origin at {lat:.6}, {lon:.6}, {height_m:.2} m ({crs}, {unit_m} m a unit)"
            ),
            Self::Plane { unit_m } => write!(
                f,
                "place not known, {unit_m} m a unit, the scan's north taken for north"
            ),
        }
    }
}

/// The way from a file's coordinates to metres east, north and up of the scene's origin.
#[derive(Debug)]
pub struct Local {
    /// Where the origin lies.
    pub frame: Frame,
    /// What the user should know.
    pub warnings: Vec<String>,
    up: Up,
    way: Way,
    /// Turns directions as `place` turns positions near the origin.
    turn: DMat3,
}

#[derive(Debug)]
enum Way {
    Earth(Box<Crs>, Tangent),
    Plane { origin: DVec3, linear: DMat3 },
}

/// East, north and up in the file's own units.
fn upright(up: Up, p: DVec3) -> DVec3 {
    match up {
        Up::Z => p,
        Up::Y => DVec3::new(p.x, -p.z, p.y),
    }
}

impl Local {
    /// Decides on the frame of a scan from its bounds, the height of its low ground, and what file and user say.
    /// Bounds and height are upright: see [`Local::upright_bounds`].
    ///
    /// # Errors
    /// An option that makes no sense, or a scan that spans more than 100 km.
    pub fn new(
        source: &Source,
        stated: Option<&str>,
        up: Up,
        bounds: Bounds,
        low: f64,
        placement: &Placement,
    ) -> Result<Self, Error> {
        let mut warnings = Vec::new();
        let option = |option: &'static str, fault: String| Error::Option { option, fault };
        if !(1e-6..=1e6).contains(&placement.scale) {
            return Err(option(
                "--scale",
                format!("{} is not between 0.000001 and 1000000", placement.scale),
            ));
        }
        if !placement.heading_deg.is_finite() {
            return Err(option("--heading", "is not a number of degrees".into()));
        }
        let at = placement
            .at
            .map(|at| position(at, placement.at_is_gcj02, &mut warnings))
            .transpose()?;
        let crs = match (&placement.crs, stated) {
            (Some(given), _) => Some(Crs::parse(given).map_err(|fault| option("--crs", fault))?),
            (None, Some(stated)) => match Crs::parse(stated) {
                Ok(crs) => Some(crs),
                Err(fault) => {
                    warnings.push(format!("the coordinate system is not used: {fault}"));
                    None
                }
            },
            (None, None) => None,
        };
        let middle = (bounds.min + bounds.max) / 2.0;
        let anchor_in_file = DVec3::new(middle.x, middle.y, low);
        if let Some(crs) = crs {
            let place = placed(&crs, &bounds, anchor_in_file);
            match place {
                Some(place) => return Self::on_earth(source, crs, place, up, bounds, at, placement, warnings),
                None if placement.crs.is_some() => {
                    let fault = format!("the coordinates {:.1} to {:.1} have no place in {}", bounds.min, bounds.max, crs.name);
                    return Err(option("--crs", fault));
                }
                None => warnings.push(format!(
                    "the file says {}, but its coordinates, {:.1} to {:.1}, have no place in it: taken for metres of a plane",
                    crs.name, bounds.min, bounds.max
                )),
            }
        }
        let unit_m = placement.scale;
        let frame = match at {
            Some((lat, lon)) => Frame::Earth {
                lat,
                lon,
                height_m: low * unit_m,
                unit_m,
                crs: "position given".into(),
            },
            None => Frame::Plane { unit_m },
        };
        let turn = DMat3::from_rotation_z(-placement.heading_deg.to_radians());
        let way = Way::Plane {
            origin: anchor_in_file,
            linear: turn * unit_m,
        };
        check_width(source, bounds.size() * unit_m)?;
        Ok(Self {
            frame,
            warnings,
            up,
            way,
            turn,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one decision, used once")]
    fn on_earth(
        source: &Source,
        crs: Crs,
        (lat, lon, height_m): (f64, f64, f64),
        up: Up,
        bounds: Bounds,
        at: Option<(f64, f64)>,
        placement: &Placement,
        mut warnings: Vec<String>,
    ) -> Result<Self, Error> {
        if let Some(given) = at {
            let apart = Ellipsoid::WGS84.distance_m((lat, lon), given);
            if gcj::looks_shifted((lat, lon), given) {
                warnings.push(format!(
                    "the position given is {apart:.0} m from that of the file's coordinate system, just where a Chinese map shows it: it looks like GCJ-02 (say --at-gcj02); the file's is used"
                ));
            } else {
                warnings.push(format!(
                    "the file's coordinate system is used, not the position given, {apart:.0} m away"
                ));
            }
        }
        if placement.scale != 1.0 || placement.heading_deg != 0.0 {
            warnings.push("--scale and --heading are not used: the file has a coordinate system".into());
        }
        let tangent = Tangent::at(lat, lon, height_m);
        let middle = (bounds.min + bounds.max) / 2.0;
        let enu = |p: DVec3| crs.lat_lon(p.x, p.y, p.z).map(|(lat, lon, h)| tangent.enu(lat, lon, h));
        let corners = Bounds::around([bounds.min, bounds.max].into_iter().filter_map(enu));
        check_width(source, corners.map_or(DVec3::ZERO, |b| b.size()))?;
        let turn = shared::turned(&crs, &tangent, middle);
        Ok(Self {
            frame: Frame::Earth {
                lat,
                lon,
                height_m,
                unit_m: crs.unit_m,
                crs: crs.name.clone(),
            },
            warnings,
            up,
            way: Way::Earth(Box::new(crs), tangent),
            turn,
        })
    }

    /// The box around positions as [`Local::new`] wants it.
    #[must_use]
    pub fn upright_bounds(up: Up, positions: impl IntoIterator<Item = DVec3>) -> Option<Bounds> {
        Bounds::around(positions.into_iter().map(|p| upright(up, p)))
    }

    /// The height of a position in the file's units.
    #[must_use]
    pub fn height(up: Up, p: DVec3) -> f64 {
        upright(up, p).z
    }

    /// Metres east, north and up of the origin; `None` where the coordinates have no place on Earth.
    #[must_use]
    pub fn place(&self, p: DVec3) -> Option<DVec3> {
        let p = upright(self.up, p);
        match &self.way {
            Way::Plane { origin, linear } => Some(*linear * (p - *origin)),
            Way::Earth(crs, tangent) => {
                let (lat, lon, height_m) = crs.lat_lon(p.x, p.y, p.z)?;
                Some(tangent.enu(lat, lon, height_m))
            }
        }
    }

    /// A unit direction east, north and up.
    #[must_use]
    pub fn direction(&self, n: Vec3) -> Vec3 {
        (self.turn * upright(self.up, n.as_dvec3()))
            .normalize_or(DVec3::Z)
            .as_vec3()
    }

    /// From the file's axes to east, north and up, lengths included, near the origin.
    #[must_use]
    pub fn linear(&self) -> DMat3 {
        let from_file = DMat3::from_cols(
            upright(self.up, DVec3::X),
            upright(self.up, DVec3::Y),
            upright(self.up, DVec3::Z),
        );
        let unit = match &self.way {
            Way::Plane { linear, .. } => return *linear * from_file,
            Way::Earth(crs, _) => crs.unit_m,
        };
        self.turn * from_file * unit
    }
}

/// Where the anchor lies, if all corners of a scan have a place in a coordinate system.
fn placed(crs: &Crs, bounds: &Bounds, anchor: DVec3) -> Option<(f64, f64, f64)> {
    for x in [bounds.min.x, bounds.max.x] {
        for y in [bounds.min.y, bounds.max.y] {
            for z in [bounds.min.z, bounds.max.z] {
                crs.lat_lon(x, y, z)?;
            }
        }
    }
    crs.lat_lon(anchor.x, anchor.y, anchor.z)
}

/// The position that the user gives, in WGS 84.
fn position((lat, lon): (f64, f64), is_gcj02: bool, warnings: &mut Vec<String>) -> Result<(f64, f64), Error> {
    if !(lat.abs() <= 89.9 && lon.abs() <= 180.0) {
        return Err(Error::Option {
            option: "--at",
            fault: format!("{lat},{lon} is not degrees north, degrees east"),
        });
    }
    if is_gcj02 {
        return Ok(gcj::to_wgs84(lat, lon));
    }
    if gcj::in_china(lat, lon) {
        warnings.push(format!(
            "the position lies where Chinese maps are shifted, by {:.0} m there: if it was read off such a map, give --at-gcj02",
            gcj::shift_m(lat, lon)
        ));
    }
    Ok((lat, lon))
}

fn check_width(source: &Source, size: DVec3) -> Result<(), Error> {
    let widest = size.abs().max_element();
    if widest <= WIDEST_M {
        return Ok(());
    }
    Err(source.fault("bounds", format!("span {widest:.0} m, more than 100 km")))
}
