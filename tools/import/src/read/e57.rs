//! ASTM E57: cartesian and spherical points of any number of scans, each put in its place by its pose.

use std::fs::File;
use std::io::BufReader;

use e57::{CartesianCoordinate, E57Reader, PointCloud, RecordDataType};
use glam::{DQuat, DVec3};

use super::{Limits, PointBuffer, Sink};
use crate::data::{Bounds, Summary};
use crate::source::Source;
use crate::{Error, Up, color};

/// Packets without a point that are passed over in a row.
const EMPTY_PACKETS: u32 = 1 << 20;

fn open(source: &Source) -> Result<E57Reader<BufReader<File>>, Error> {
    E57Reader::new(source.reader()?).map_err(|e| source.fault("header", e.to_string()))
}

/// Whether a record takes no bits: each of its values is the same.
fn is_constant(kind: &RecordDataType) -> bool {
    match kind {
        RecordDataType::Integer { min, max } | RecordDataType::ScaledInteger { min, max, .. } => min == max,
        RecordDataType::Single { .. } | RecordDataType::Double { .. } => false,
    }
}

/// Refuses scans that the decoder would believe.
fn check(source: &Source, cloud: &PointCloud, place: &str) -> Result<(), Error> {
    if !(cloud.has_cartesian() || cloud.has_spherical()) {
        return Err(source.fault(place, "has no coordinates"));
    }
    if cloud.prototype.len() > 256 {
        return Err(source.fault(place, format!("has {} records a point", cloud.prototype.len())));
    }
    if cloud.prototype.iter().all(|r| is_constant(&r.data_type)) {
        // Nothing in the file would say where such points end.
        return Err(source.fault(place, "has only records that never change"));
    }
    source.believable(place, "points", cloud.records, 1)
}

pub(super) fn inspect(source: &Source) -> Result<Summary, Error> {
    let reader = open(source)?;
    let clouds = reader.pointclouds();
    let mut out = Summary::new(source.format, source.bytes);
    let header = reader.header();
    out.flavour = format!("{}.{}", header.major, header.minor);
    out.up = Up::Z;
    let points = clouds.iter().fold(0_u64, |sum, c| sum.saturating_add(c.records));
    out.counts = vec![("points", points), ("scans", clouds.len() as u64)];
    let images = reader.images().len() as u64;
    if images > 0 {
        out.counts.push(("images", images));
    }
    let all = |has: fn(&PointCloud) -> bool| clouds.iter().any(has);
    for (there, name) in [
        (all(PointCloud::has_cartesian), "cartesian"),
        (all(PointCloud::has_spherical), "spherical"),
        (all(PointCloud::has_color), "colour"),
        (all(PointCloud::has_intensity), "intensity"),
        (all(PointCloud::has_row_column), "rows and columns"),
        (all(PointCloud::has_timestamp), "time"),
    ] {
        if there {
            out.attributes.push(name.into());
        }
    }
    out.crs = reader
        .coordinate_metadata()
        .map(str::trim)
        .filter(|t| !t.is_empty())
        .map(str::to_owned);
    out.bounds = Bounds::around(clouds.iter().filter_map(corners).flatten());
    if out.bounds.is_none() && points > 0 {
        out.warnings.push("the file does not state its bounds".into());
    }
    for (index, cloud) in clouds.iter().enumerate() {
        if let Err(e) = check(source, cloud, &format!("scan {index}")) {
            out.warnings.push(e.to_string());
        }
    }
    Ok(out)
}

/// The corners of a scan's box, put in its place by its pose.
fn corners(cloud: &PointCloud) -> Option<[DVec3; 8]> {
    let bounds = cloud.get_cartesian_bounds()?;
    let min = DVec3::new(bounds.x_min?, bounds.y_min?, bounds.z_min?);
    let max = DVec3::new(bounds.x_max?, bounds.y_max?, bounds.z_max?);
    let pose = cloud.transform.as_ref();
    let turn = pose.map_or(DQuat::IDENTITY, |t| {
        DQuat::from_xyzw(t.rotation.x, t.rotation.y, t.rotation.z, t.rotation.w)
    });
    let shift = pose.map_or(DVec3::ZERO, |t| {
        DVec3::new(t.translation.x, t.translation.y, t.translation.z)
    });
    let pick = |index: usize, bit: usize, a: f64, b: f64| if index & bit == 0 { a } else { b };
    let corner = |i| {
        DVec3::new(
            pick(i, 1, min.x, max.x),
            pick(i, 2, min.y, max.y),
            pick(i, 4, min.z, max.z),
        )
    };
    Some(std::array::from_fn(|i| turn * corner(i) + shift)).filter(|c: &[DVec3; 8]| c.iter().all(|p| p.is_finite()))
}

pub(super) fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut reader = open(source)?;
    let clouds = reader.pointclouds();
    if clouds.is_empty() {
        return Err(source.fault("file", "has no scans"));
    }
    let mut seen = 0_u64;
    for (index, cloud) in clouds.iter().enumerate() {
        let place = match &cloud.name {
            Some(name) => format!("scan {index} {name:?}"),
            None => format!("scan {index}"),
        };
        check(source, cloud, &place)?;
        seen = seen.saturating_add(cloud.records);
        if seen > limits.points {
            return Err(source.fault(place, format!("promises point {seen}, allowed are {}", limits.points)));
        }
        let failed = |e: e57::Error| source.fault(&place, e.to_string());
        let colored = cloud.has_color() || cloud.has_intensity();
        let points = reader.pointcloud_simple(cloud).map_err(failed)?;
        let mut out = PointBuffer::new(sink);
        let mut empty = 0;
        let mut number = 0_u64;
        for point in points {
            let point = match point {
                Ok(point) => point,
                // A packet without points, such as an index: the next one may have some.
                Err(e57::Error::Internal { .. }) if empty < EMPTY_PACKETS => {
                    empty += 1;
                    continue;
                }
                Err(e) => return Err(source.fault(format!("{place}, point {number}"), e.to_string())),
            };
            number += 1;
            empty = 0;
            let CartesianCoordinate::Valid { x, y, z } = point.cartesian else {
                out.points.noise += 1;
                continue;
            };
            let position = DVec3::new(x, y, z);
            if !position.is_finite() {
                return Err(source.fault(format!("{place}, point {number}"), "is not finite"));
            }
            out.points.positions.push(position);
            if colored {
                let color = point.color.map_or([0.5; 3], |c| [c.red, c.green, c.blue]);
                out.points.colors.push(color.map(|v| color::byte(f64::from(v))));
            }
            out.turn()?;
        }
        out.flush()?;
    }
    Ok(())
}
