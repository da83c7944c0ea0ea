//! What went in and what came out, as points or triangles, read by code that is not the importer's.

use std::path::Path;

use anyhow::{Context, Result, bail};
use glam::{DMat4, DVec3};
use serde_json::Value;
use tongyou_scene::{Limits, load_glb, read_points};

use super::Call;
use super::shape::Shape;

/// How an output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One GLB of triangles.
    Mesh,
    /// A folder with `tileset.json`.
    Tiles,
    /// A GLB of splats, or a folder with `splats.glb`.
    Splats,
}

/// Deepest tree of tiles.
const DEEPEST: usize = 64;

/// The scan. Splats are decoded by the peer: an independent reader.
pub(super) fn source(scan: &Path, calls: &[Call], work: &Path) -> Result<Shape> {
    match scan.extension().and_then(|e| e.to_str()) {
        Some("obj") => obj(&std::fs::read_to_string(scan)?),
        Some("laz") => laz(scan),
        Some("spz") => {
            let peer = calls
                .iter()
                .find(|c| c.tool.starts_with("splat-transform"))
                .context("no peer")?;
            let table = work.join("source.csv");
            let status = std::process::Command::new(&peer.program)
                .args(["-q", "-w"])
                .args([scan, &table])
                .stdout(std::io::stderr())
                .status()?;
            if !status.success() {
                bail!("splat-transform can not read {}", scan.display());
            }
            csv(&std::fs::read_to_string(table)?)
        }
        _ => bail!("{} is of no kind that is measured", scan.display()),
    }
}

/// What a program wrote, and its bytes.
pub(super) fn output(kind: Kind, path: &Path) -> Result<(Shape, u64)> {
    match kind {
        Kind::Mesh => Ok((mesh(path)?, std::fs::metadata(path)?.len())),
        Kind::Splats => {
            let inner = path.join("splats.glb");
            let file = if inner.is_file() { inner.as_path() } else { path };
            let bytes = std::fs::read(file)?;
            let size = bytes.len() as u64;
            let points = read_points(&bytes, "splats", &Limits::default())?;
            Ok((
                Shape::points(points.into_iter().map(glam::Vec3::as_dvec3).collect()),
                size,
            ))
        }
        Kind::Tiles => {
            let mut tiles = Tiles::default();
            tiles.tileset(path, "tileset.json", DMat4::IDENTITY, 0)?;
            Ok((Shape::points(tiles.points), tiles.bytes))
        }
    }
}

fn mesh(path: &Path) -> Result<Shape> {
    let scene = load_glb(path, &Limits::default())?;
    let mut triangles = Vec::new();
    for (node, world) in scene.nodes.iter().zip(scene.world_from_nodes(0.0)) {
        for primitive in node.mesh.iter().flat_map(|&m| &scene.meshes[m].primitives) {
            let corner = |i: u32| world.transform_point3(primitive.positions[i as usize]).as_dvec3();
            triangles.extend(primitive.indices.as_chunks::<3>().0.iter().map(|t| t.map(corner)));
        }
    }
    Ok(Shape::mesh(triangles))
}

fn obj(text: &str) -> Result<Shape> {
    let (mut places, mut triangles) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("v") => {
                let numbers: Vec<f64> = words.map(str::parse).collect::<Result<_, _>>()?;
                places.push(DVec3::from_slice(
                    numbers.get(..3).context("a vertex without three numbers")?,
                ));
            }
            Some("f") => {
                let corners: Vec<usize> = words.map(str::parse).collect::<Result<_, _>>()?;
                let corners: [usize; 3] = corners.try_into().ok().context("a face is no triangle")?;
                let place = |i: usize| places.get(i.wrapping_sub(1)).copied().context("a corner is not there");
                triangles.push([place(corners[0])?, place(corners[1])?, place(corners[2])?]);
            }
            _ => {}
        }
    }
    Ok(Shape::mesh(triangles))
}

fn laz(path: &Path) -> Result<Shape> {
    let mut reader = las::Reader::from_path(path)?;
    let mut points = Vec::new();
    let all = reader.read_all()?;
    for point in all.points() {
        let point = point?;
        points.push(DVec3::new(point.x, point.y, point.z));
    }
    Ok(Shape::points(points))
}

fn csv(text: &str) -> Result<Shape> {
    let mut lines = text.lines();
    let head: Vec<&str> = lines
        .next()
        .context("an empty table")?
        .split(',')
        .map(str::trim)
        .collect();
    let column = |name: &str| {
        head.iter()
            .position(|h| *h == name)
            .with_context(|| format!("no column {name}"))
    };
    let columns = [column("x")?, column("y")?, column("z")?];
    let mut points = Vec::new();
    for line in lines.filter(|l| !l.is_empty()) {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |c: usize| -> Result<f64> { Ok(cells.get(c).context("a short row")?.trim().parse()?) };
        points.push(DVec3::new(
            number(columns[0])?,
            number(columns[1])?,
            number(columns[2])?,
        ));
    }
    Ok(Shape::points(points))
}

/// All points that a viewer shows who comes close to everything.
#[derive(Default)]
struct Tiles {
    points: Vec<DVec3>,
    bytes: u64,
}

impl Tiles {
    fn tileset(&mut self, folder: &Path, name: &str, world: DMat4, depth: usize) -> Result<()> {
        let text = std::fs::read_to_string(folder.join(name)).with_context(|| name.to_owned())?;
        self.bytes += text.len() as u64;
        let root: Value = serde_json::from_str(&text)?;
        let folder = folder.join(name);
        let folder = folder.parent().context("no folder")?;
        self.tile(folder, &root["root"], world, true, depth)
    }

    fn tile(&mut self, folder: &Path, tile: &Value, world: DMat4, adds: bool, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            bail!("the tree of tiles is deeper than {DEEPEST}");
        }
        let adds = tile["refine"].as_str().map_or(adds, |r| r.eq_ignore_ascii_case("add"));
        let matrix: Option<Vec<f64>> = tile["transform"]
            .as_array()
            .map(|m| m.iter().filter_map(Value::as_f64).collect());
        let matrix = matrix.and_then(|m| <[f64; 16]>::try_from(m).ok());
        let world = world * matrix.map_or(DMat4::IDENTITY, |m| DMat4::from_cols_array(&m));
        let children = tile["children"].as_array().map_or(&[][..], Vec::as_slice);
        let contents = tile["contents"].as_array().map_or(&[][..], Vec::as_slice);
        for content in contents.iter().chain(tile.get("content")) {
            let uri = content["uri"]
                .as_str()
                .or(content["url"].as_str())
                .context("a content without uri")?;
            self.content(folder, uri, world, adds || children.is_empty(), depth)?;
        }
        for child in children {
            self.tile(folder, child, world, adds, depth + 1)?;
        }
        Ok(())
    }

    fn content(&mut self, folder: &Path, uri: &str, world: DMat4, shown: bool, depth: usize) -> Result<()> {
        if uri.ends_with(".json") {
            return self.tileset(folder, uri, world, depth + 1);
        }
        let bytes = std::fs::read(folder.join(uri)).with_context(|| uri.to_owned())?;
        self.bytes += bytes.len() as u64;
        if !shown {
            return Ok(());
        }
        if bytes.starts_with(b"pnts") {
            self.points.extend(
                pnts(&bytes)
                    .with_context(|| uri.to_owned())?
                    .into_iter()
                    .map(|p| world.transform_point3(p)),
            );
            return Ok(());
        }
        // glTF's y points up, that of tiles to the north.
        let from_gltf = DMat4::from_rotation_x(std::f64::consts::FRAC_PI_2);
        let points = read_points(&bytes, uri, &Limits::default())?;
        self.points.extend(
            points
                .into_iter()
                .map(|p| (world * from_gltf).transform_point3(p.as_dvec3())),
        );
        Ok(())
    }
}

fn pnts(bytes: &[u8]) -> Result<Vec<DVec3>> {
    let word = |at: usize| -> Result<usize> {
        let four = bytes
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .context("is cut off")?;
        Ok(u32::from_le_bytes(four) as usize)
    };
    let text = word(12)?;
    let table: Value = serde_json::from_slice(bytes.get(28..28 + text).context("is cut off")?)?;
    let body = bytes.get(28 + text..).context("is cut off")?;
    let count = table["POINTS_LENGTH"]
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .context("no POINTS_LENGTH")?;
    let start = table["POSITION"]["byteOffset"]
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .context("no POSITION")?;
    let rows = start
        .checked_add(count.saturating_mul(12))
        .and_then(|end| body.get(start..end))
        .context("is cut off")?;
    let center: Vec<f64> = table["RTC_CENTER"]
        .as_array()
        .map_or_else(Vec::new, |c| c.iter().filter_map(Value::as_f64).collect());
    let center = if center.len() == 3 {
        DVec3::from_slice(&center)
    } else {
        DVec3::ZERO
    };
    let float = |b: &[u8; 4]| f64::from(f32::from_le_bytes(*b));
    let floats: Vec<f64> = rows.as_chunks::<4>().0.iter().map(float).collect();
    Ok(floats
        .as_chunks::<3>()
        .0
        .iter()
        .map(|p| center + DVec3::from_array(*p))
        .collect())
}
