//! The tree of a tileset: which files are the finest, and how each is placed.

use std::path::{Path, PathBuf};

use glam::{DMat4, DVec3};
use serde::Deserialize;

use super::{EARTH_M, degrees};
use crate::Error;
use crate::data::Bounds;
use crate::read::{embedded, mtl};
use crate::source::{Source, input};

/// Bytes of a tileset's JSON, tiles of all sets, sets within sets.
const MOST_JSON: u64 = 64 << 20;
const MOST_TILES: u64 = 1 << 20;
const MOST_SETS: u64 = 4096;
const DEEPEST_SET: usize = 24;

#[derive(Deserialize)]
struct Set {
    asset: Asset,
    root: Tile,
    #[serde(default, rename = "extensionsRequired")]
    required: Vec<String>,
}

#[derive(Deserialize)]
struct Asset {
    version: String,
    #[serde(default, rename = "gltfUpAxis")]
    up: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tile {
    #[serde(default)]
    bounding_volume: Volume,
    #[serde(default)]
    refine: Option<String>,
    #[serde(default)]
    transform: Option<Vec<f64>>,
    #[serde(default)]
    content: Option<Named>,
    #[serde(default)]
    contents: Vec<Named>,
    #[serde(default)]
    children: Vec<Self>,
    #[serde(default)]
    implicit_tiling: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default, Clone)]
struct Volume {
    #[serde(default)]
    region: Option<Vec<f64>>,
    #[serde(default, rename = "box")]
    cuboid: Option<Vec<f64>>,
    #[serde(default)]
    sphere: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(alias = "url")]
    uri: String,
}

/// What a walk through all tiles found.
pub(super) struct Walk {
    pub(super) version: String,
    pub(super) tiles: u64,
    pub(super) sets: u64,
    /// Files with something to show, and how each is placed.
    pub(super) contents: Vec<(PathBuf, DMat4)>,
    pub(super) warnings: Vec<String>,
    volume: Volume,
    transform: DMat4,
    /// The folder that nothing may lead out of.
    folder: PathBuf,
    /// Sets that are being read, outermost first.
    open: Vec<PathBuf>,
}

impl Walk {
    pub(super) fn over(source: &Source) -> Result<Self, Error> {
        let path = source.path.canonicalize().map_err(|e| source.io(e))?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let mut out = Self {
            version: String::new(),
            tiles: 0,
            sets: 0,
            contents: Vec::new(),
            warnings: Vec::new(),
            volume: Volume::default(),
            transform: DMat4::IDENTITY,
            folder,
            open: Vec::new(),
        };
        out.set(&path, DMat4::IDENTITY)?;
        Ok(out)
    }

    fn set(&mut self, path: &Path, transform: DMat4) -> Result<(), Error> {
        let fault = |place: &str, fault: String| input(path, place, fault);
        if self.open.iter().any(|p| p == path) {
            return Err(fault("tileset", "refers to itself, by way of its tiles".into()));
        }
        if self.open.len() >= DEEPEST_SET || self.sets >= MOST_SETS {
            return Err(fault(
                "tileset",
                format!("is one of more than {MOST_SETS}, or more than {DEEPEST_SET} deep"),
            ));
        }
        let bytes = mtl::load(path, MOST_JSON)?;
        let set: Set = serde_json::from_slice(&bytes).map_err(|e| fault("JSON", e.to_string()))?;
        if !["0.0", "1.0", "1.1"].contains(&set.asset.version.as_str()) {
            return Err(fault(
                "asset",
                format!("is of version {:?}; 1.0 and 1.1 are known", set.asset.version),
            ));
        }
        let unknown = |name: &&String| !["3DTILES_content_gltf", "3DTILES_multiple_contents"].contains(&name.as_str());
        if let Some(name) = set.required.iter().find(unknown) {
            return Err(fault("extensionsRequired", format!("{name:?} is not supported")));
        }
        if set.asset.up.as_deref().is_some_and(|up| !up.eq_ignore_ascii_case("y")) {
            return Err(fault(
                "asset",
                "its contents are not y-up, which is not supported".into(),
            ));
        }
        if self.open.is_empty() {
            self.version = set.asset.version;
            self.volume = set.root.bounding_volume.clone();
            self.transform = own(&set.root, path, "root")?;
        }
        self.sets += 1;
        self.open.push(path.to_owned());
        self.tile(path, &set.root, transform, false, "root")?;
        self.open.pop();
        Ok(())
    }

    /// Whether anything was found in the tile or below.
    fn tile(&mut self, path: &Path, tile: &Tile, parent: DMat4, adds: bool, place: &str) -> Result<bool, Error> {
        self.tiles += 1;
        if self.tiles > MOST_TILES {
            return Err(input(path, place, format!("is one of more than {MOST_TILES} tiles")));
        }
        if tile.implicit_tiling.is_some() {
            return Err(input(
                path,
                place,
                "is tiled implicitly, which is not read yet; convert it to explicit tiles",
            ));
        }
        let transform = parent * own(tile, path, place)?;
        let adds = match tile.refine.as_deref() {
            Some(refine) => refine.eq_ignore_ascii_case("add"),
            None => adds,
        };
        let mut below = false;
        for (index, child) in tile.children.iter().enumerate() {
            // Names of places stay short however deep the tree is.
            let place = if place.len() < 60 {
                format!("{place}/{index}")
            } else {
                place.to_owned()
            };
            below |= self.tile(path, child, transform, adds, &place)?;
        }
        // Children that replace a tile show all that it shows, and finer.
        if below && !adds {
            return Ok(true);
        }
        let mut found = below;
        for named in tile.content.iter().chain(&tile.contents) {
            found = true;
            let file = self.inside(path, place, &named.uri)?;
            if is_set(&file)? {
                self.set(&file, transform)?;
            } else {
                self.contents.push((file, transform));
            }
        }
        Ok(found)
    }

    /// A file that a tile names: in the folder of the first set or below, links resolved.
    fn inside(&self, set: &Path, place: &str, uri: &str) -> Result<PathBuf, Error> {
        let shown: String = uri.chars().take(80).collect();
        let fault = |fault: &str| input(set, place, format!("refers to {shown:?}, {fault}"));
        if uri.contains("://") || uri.starts_with("//") || uri.starts_with("data:") {
            return Err(fault("which is not a file; nothing is fetched from a network"));
        }
        let name = embedded::percent(uri.split(['?', '#']).next().unwrap_or(uri));
        if name.is_empty() || name.len() > 1024 || name.contains('\0') {
            return Err(fault("which is not the name of a file"));
        }
        let folder = set.parent().unwrap_or(&self.folder);
        let path = folder.join(name.replace('\\', "/")).canonicalize();
        let path = path.map_err(|_| fault("which is not there"))?;
        if path.starts_with(&self.folder) && path.is_file() {
            return Ok(path);
        }
        Err(fault("which is not a file in the folder of the scan"))
    }

    /// Whether positions are earth-centred: a region says so, or the volume lies that far from the origin.
    pub(super) fn on_earth(&self) -> bool {
        let middle = match (&self.volume.cuboid, &self.volume.sphere) {
            _ if self.volume.region.is_some() => return true,
            (Some(v), _) | (None, Some(v)) => three(v, 0),
            (None, None) => None,
        };
        let at = self.transform.transform_point3(middle.unwrap_or_default());
        EARTH_M.contains(&at.length())
    }

    /// The box around the first tile, in degrees where it lies on Earth.
    pub(super) fn bounds(&self, earth: bool) -> Option<Bounds> {
        let corners: Vec<DVec3> = if let Some(&[west, south, east, north, low, high]) = self.volume.region.as_deref() {
            let at = |lon: f64, lat: f64, h| DVec3::new(lon.to_degrees(), lat.to_degrees(), h);
            vec![at(west, south, low), at(east, north, high)]
        } else if let Some(v) = &self.volume.cuboid {
            let (middle, x, y, z) = (three(v, 0)?, three(v, 3)?, three(v, 6)?, three(v, 9)?);
            let sign = |i: u32, bit: u32| if i >> bit & 1 == 0 { -1.0 } else { 1.0 };
            let corner = |i| middle + x * sign(i, 0) + y * sign(i, 1) + z * sign(i, 2);
            (0..8).map(corner).map(|p| self.transform.transform_point3(p)).collect()
        } else {
            let v = self.volume.sphere.as_ref()?;
            let (middle, radius) = (three(v, 0)?, *v.get(3)?);
            [-radius, radius]
                .map(|r| self.transform.transform_point3(middle + r))
                .to_vec()
        };
        let is_region = self.volume.region.is_some();
        let corners = corners
            .into_iter()
            .map(|p| if earth && !is_region { degrees(p) } else { p });
        let corners: Vec<DVec3> = corners.filter(|p| p.is_finite()).collect();
        Bounds::around(corners).map(|b| Bounds { sampled: true, ..b })
    }
}

fn three(all: &[f64], at: usize) -> Option<DVec3> {
    all.get(at..at + 3).map(DVec3::from_slice)
}

/// A tile's own transform, column by column.
fn own(tile: &Tile, path: &Path, place: &str) -> Result<DMat4, Error> {
    let Some(all) = &tile.transform else {
        return Ok(DMat4::IDENTITY);
    };
    let matrix = <[f64; 16]>::try_from(all.as_slice())
        .ok()
        .map(|m| DMat4::from_cols_array(&m));
    matrix
        .filter(|m| m.is_finite() && m.determinant().abs() > 1e-12)
        .ok_or_else(|| {
            input(
                path,
                place,
                "its transform is not 16 numbers of a matrix that can be inverted",
            )
        })
}

/// Whether a file is a tileset rather than a content.
fn is_set(path: &Path) -> Result<bool, Error> {
    let format = Source::open(path).map(|s| s.format);
    Ok(format.is_ok_and(|f| f == crate::Format::Tileset))
}
