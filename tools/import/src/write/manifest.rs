//! `scene.toml`: what a scene is made of, where it stands, whose it is.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Output;
use crate::{Error, Frame, Placement, Report};

/// The name of the manifest in a scene's folder.
pub(super) const NAME: &str = "scene.toml";

/// What a scene is made of, where it stands, whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this file's layout.
    pub version: u32,
    /// Its files are quantised and packed.
    pub packed: bool,
    /// Smallest corner in metres east, north and up of the anchor.
    pub min_m: [f64; 3],
    /// Largest corner.
    pub max_m: [f64; 3],
    /// A small picture of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<String>,
    /// What it was made of.
    pub source: Vec<Input>,
    /// Where the origin lies.
    pub anchor: Frame,
    /// Whose it is.
    pub rights: Rights,
    /// What the user said about its place; used again when the scene is imported again.
    pub placement: Placement,
    /// Its files, finest first.
    pub level: Vec<LevelFile>,
    /// Files of Gaussian splats (`KHR_gaussian_splatting`), finest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splats: Vec<SplatFile>,
    /// 3D Tiles over the points, where they were too many for one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tileset: Option<TilesetFile>,
    /// What people bump into and stand on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collision: Option<crate::CollisionFile>,
    /// What geometry says about a stop at this scene.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<crate::Draft>,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name without its folder.
    pub file: String,
    /// SHA-256.
    pub sha256: String,
    /// Length.
    pub bytes: u64,
    /// What the user said about its place.
    #[serde(skip)]
    pub placement: Placement,
}

impl Input {
    /// Hashes an input.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(path: &Path, placement: &Placement) -> Result<Self, Error> {
        let bytes = std::fs::metadata(path).map_err(|source| Error::Io {
            file: path.to_owned(),
            source,
        })?;
        Ok(Self {
            file: path
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into_owned()),
            sha256: super::hash_file(path)?,
            bytes: bytes.len(),
            placement: placement.clone(),
        })
    }
}

/// Who made a scan and what may be done with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// Whom to name.
    pub attribution: String,
    /// An SPDX expression or the licence's name.
    pub licence: String,
}

/// A file of a scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelFile {
    /// Name in the folder.
    pub file: String,
    /// Its triangles.
    pub triangles: usize,
    /// Its length.
    pub bytes: usize,
    /// SHA-256.
    pub sha256: String,
    /// The largest measured distance to the finest level.
    pub geometric_error_m: f32,
    /// Root of the mean square of the distances.
    pub rms_error_m: f32,
}

/// A tileset of points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TilesetFile {
    /// Name in the folder.
    pub file: String,
    /// Its tiles; each is listed in the tileset with its hash.
    pub tiles: usize,
    /// Points of all tiles.
    pub points: u64,
    /// Bytes of all tiles.
    pub bytes: u64,
    /// SHA-256 of the tileset.
    pub sha256: String,
}

/// A file of splats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplatFile {
    /// Name in the folder.
    pub file: String,
    /// Its splats.
    pub splats: usize,
    /// Its length.
    pub bytes: usize,
    /// SHA-256.
    pub sha256: String,
    /// How far the centre of a splat of the finest level lies from the one that stands for it, at most.
    pub geometric_error_m: f32,
    /// Root of the mean square of these distances.
    pub rms_error_m: f32,
}

impl Manifest {
    pub(super) fn new(
        source: Vec<Input>,
        report: &Report,
        level: Vec<LevelFile>,
        splats: Vec<SplatFile>,
        output: &Output,
    ) -> Self {
        Self {
            version: 1,
            packed: output.packed,
            min_m: report.min.to_array(),
            max_m: report.max.to_array(),
            placement: source.first().map(|s| s.placement.clone()).unwrap_or_default(),
            source,
            anchor: report.frame.clone(),
            rights: output.rights.clone(),
            level,
            splats,
            tileset: None,
            thumbnail: None,
            collision: None,
            stop: None,
        }
    }

    /// As the text of a `scene.toml`.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Strings, numbers and tables of them: nothing that TOML could not express.
        toml::to_string(self).unwrap_or_default()
    }

    /// Reads the manifest of a scene's folder.
    ///
    /// # Errors
    /// [`Error`] where it is not there or not one.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(NAME);
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Io {
            file: path.clone(),
            source,
        })?;
        toml::from_str(&text).map_err(|e| crate::source::input(&path, "manifest", e.to_string().trim_end()))
    }
}
