//! `tileset.json`: 3D Tiles 1.1 over the tiles of an octree.

use std::collections::{BTreeMap, BTreeSet};

use glam::DVec3;
use serde_json::{Value, json};

use super::chunk::Tile;
use super::lattice::{Cell, Lattice};
use crate::Frame;
use crate::georef::Ellipsoid;

/// A tileset. Coordinates are metres east, north and up; where the place is known, the root turns them to Earth.
pub(super) fn json(tiles: &BTreeMap<Cell, Tile>, lattice: &Lattice, frame: &Frame) -> Value {
    let mut occupied: BTreeSet<Cell> = BTreeSet::new();
    for cell in tiles.keys() {
        occupied.extend((0..=cell.depth).map(|depth| cell.ancestor(depth)));
    }
    // What lies above all tiles shows nothing.
    let mut top = Cell::WHOLE;
    while !tiles.contains_key(&top) {
        let mut below = (0..8).map(|octant| top.child(octant)).filter(|c| occupied.contains(c));
        match (below.next(), below.next()) {
            (Some(only), None) => top = only,
            _ => break,
        }
    }
    let (mut root, (min, max)) = node(tiles, &occupied, lattice, top);
    root["refine"] = json!("ADD");
    if let Frame::Earth { lat, lon, height_m, .. } = *frame {
        root["transform"] = json!(earth_from_enu(lat, lon, height_m));
    }
    json!({
        "asset": {"version": "1.1", "generator": concat!("tongyou-import ", env!("CARGO_PKG_VERSION"))},
        // Without any tile the whole is missing.
        "geometricError": (max - min).length(),
        "root": root,
    })
}

/// A tile, those below it, and the box around all.
fn node(
    tiles: &BTreeMap<Cell, Tile>,
    occupied: &BTreeSet<Cell>,
    lattice: &Lattice,
    cell: Cell,
) -> (Value, (DVec3, DVec3)) {
    let tile = tiles.get(&cell);
    let below: Vec<_> = (0..8)
        .map(|octant| cell.child(octant))
        .filter(|child| occupied.contains(child))
        .map(|child| node(tiles, occupied, lattice, child))
        .collect();
    let half = DVec3::splat(lattice.step_m / 2.0);
    let own = tile.map(|t| (lattice.position(t.min) - half, lattice.position(t.max) + half));
    let all = below.iter().map(|(_, bounds)| *bounds).chain(own);
    let (min, max) = all.fold((DVec3::INFINITY, DVec3::NEG_INFINITY), |(a, b), (min, max)| {
        (a.min(min), b.max(max))
    });
    let mut out = json!({
        "boundingVolume": bounds(min, max),
        "geometricError": tile.map_or((max - min).length(), |t| t.error_m),
    });
    if let Some(tile) = tile {
        out["content"] = json!({
            "uri": format!("tiles/{}.glb", cell.path()),
            "extras": {"points": tile.points, "bytes": tile.bytes, "sha256": tile.sha256},
        });
    }
    if !below.is_empty() {
        out["children"] = below.into_iter().map(|(value, _)| value).collect();
    }
    (out, (min, max))
}

fn bounds(min: DVec3, max: DVec3) -> Value {
    let (middle, half) = ((min + max) / 2.0, (max - min) / 2.0);
    json!({"box": [middle.x, middle.y, middle.z, half.x, 0.0, 0.0, 0.0, half.y, 0.0, 0.0, 0.0, half.z]})
}

/// From metres east, north and up of an anchor to earth-centred metres (WGS 84), column by column.
fn earth_from_enu(lat: f64, lon: f64, height_m: f64) -> [f64; 16] {
    let at = Ellipsoid::WGS84.earth(lat, lon, height_m);
    let ((sin, cos), (lon_sin, lon_cos)) = (lat.to_radians().sin_cos(), lon.to_radians().sin_cos());
    [
        -lon_sin,
        lon_cos,
        0.0,
        0.0,
        -sin * lon_cos,
        -sin * lon_sin,
        cos,
        0.0,
        cos * lon_cos,
        cos * lon_sin,
        sin,
        0.0,
        at.x,
        at.y,
        at.z,
        1.0,
    ]
}
