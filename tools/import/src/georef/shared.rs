//! Several inputs in one frame.

use glam::{DMat3, DVec3};

use super::{Crs, Kind, Local, Tangent, Way, placed};
use crate::data::{Bounds, Up};

impl Local {
    /// The way of another input to the same frame; `bounds` are upright ones. With a coordinate system it is placed by
    /// that, else its coordinates are taken for those of the frame's own plane.
    ///
    /// # Errors
    /// Why it has no place in this frame.
    pub fn beside(&self, stated: Option<&str>, up: Up, bounds: Bounds) -> Result<Self, String> {
        let way = match (&self.way, stated) {
            (Way::Earth(_, tangent), Some(stated)) => {
                let crs = Crs::parse(stated)?;
                let middle = (bounds.min + bounds.max) / 2.0;
                if placed(&crs, &bounds, middle).is_none() {
                    return Err(format!("its coordinates have no place in {}", crs.name));
                }
                let turn = turned(&crs, tangent, middle);
                return Ok(Self {
                    frame: self.frame.clone(),
                    warnings: Vec::new(),
                    up,
                    way: Way::Earth(Box::new(crs), *tangent),
                    turn,
                });
            }
            (Way::Earth(..), None) => return Err("states no coordinate system".into()),
            (Way::Plane { origin, linear }, _) => Way::Plane {
                origin: *origin,
                linear: *linear,
            },
        };
        Ok(Self {
            frame: self.frame.clone(),
            warnings: Vec::new(),
            up,
            way,
            turn: self.turn,
        })
    }

    /// Whether the frame has a place on Earth through a coordinate system.
    #[must_use]
    pub fn is_on_earth(&self) -> bool {
        matches!(self.way, Way::Earth(..))
    }
}

/// How a frame is turned against a file's grid, from steps of about a metre.
pub(super) fn turned(crs: &Crs, tangent: &Tangent, middle: DVec3) -> DMat3 {
    let enu = |p: DVec3| crs.lat_lon(p.x, p.y, p.z).map(|(lat, lon, h)| tangent.enu(lat, lon, h));
    let step = if crs.kind == Kind::Geographic {
        1e-5
    } else {
        1.0 / crs.unit_m
    };
    let column = |axis: DVec3| {
        let there = enu(middle + axis).zip(enu(middle)).map(|(a, b)| a - b);
        there.and_then(DVec3::try_normalize).unwrap_or(axis.normalize())
    };
    let up = if crs.kind == Kind::Geographic { 1.0 } else { step };
    DMat3::from_cols(column(DVec3::X * step), column(DVec3::Y * step), column(DVec3::Z * up))
}
