//! What an import did, for people and for `report.json`.

use glam::DVec3;
use serde::{Serialize, Serializer};

use crate::fit::Fit;
use crate::{Frame, Splat};

/// What an import did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The formats of the inputs.
    pub format: String,
    /// What was made of it: meshes, then splats, then points.
    pub work: Vec<Work>,
    /// Tiles of points, where they were too many for one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tiles: Option<Tiles>,
    /// Triangles of the scene, the base disc not counted.
    pub triangles: usize,
    /// Smallest corner in local metres: east, north, up.
    #[serde(serialize_with = "three")]
    pub min: DVec3,
    /// Largest corner in local metres.
    #[serde(serialize_with = "three")]
    pub max: DVec3,
    /// Where the scene's origin lies, where that is known.
    pub frame: Frame,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Gaussian splats in the axes of the scene, to be written beside the squares that stand for them.
    #[serde(skip)]
    pub splats: Vec<Splat>,
    /// How it fits the device that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
}

/// What was made of the input.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// One surface over the plan.
    Ground(Ground),
    /// A square for each point or splat.
    Surfels(Surfels),
    /// A surface around an object.
    Object(Object),
    /// Meshes, cleaned.
    Meshes(Meshes),
}

/// Of tiles of points.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tiles {
    /// Points in the tiles.
    pub points: u64,
    /// How many tiles.
    pub tiles: usize,
    /// Bytes of all tiles.
    pub bytes: u64,
    /// Points at a place that has one already.
    pub duplicates: u64,
    /// Points marked as noise, or alone.
    pub outliers: u64,
    /// Points outside of the crop or without a place on Earth.
    pub outside: u64,
    /// How far a point stands from where it was measured, at most.
    pub moved_m: f64,
}

/// Of a surface over the plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ground {
    /// Points in the file.
    pub points: usize,
    /// Points that are there twice.
    pub duplicates: usize,
    /// Points marked as noise, or alone in the air.
    pub outliers: usize,
    /// Points of the surface after thinning.
    pub kept: usize,
    /// Points of trees and shrubs.
    pub foliage: usize,
    /// Of these, how many are drawn as tufts after thinning.
    pub tufts: usize,
    /// Peaks and pits taken out of the surface.
    pub spikes: usize,
    /// Side of the thinning grid in metres.
    pub cell_m: f64,
}

/// Of a surface around an object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Object {
    /// Points in the file.
    pub points: usize,
    /// Points that are there twice.
    pub duplicates: usize,
    /// Points marked as noise or without company.
    pub outliers: usize,
    /// Vertices of the surface.
    pub vertices: usize,
    /// Side of the grid's cells in metres.
    pub cell_m: f64,
    /// The largest measured distance from a point to the surface.
    pub error_m: f32,
    /// Root of the mean square of these distances.
    pub rms_error_m: f32,
}

/// Of squares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Surfels {
    /// Points or splats in the file.
    pub points: usize,
    /// Points that are there twice.
    pub duplicates: usize,
    /// Points marked as noise or without company, splats that are nearly clear.
    pub outliers: usize,
    /// Squares drawn.
    pub kept: usize,
    /// Side of the thinning grid in metres; 0 where nothing was thinned.
    pub cell_m: f64,
}

/// Of meshes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Meshes {
    /// Parts, one for each material or node.
    pub parts: usize,
    /// Vertices in the file.
    pub vertices: usize,
    /// Triangles in the file.
    pub triangles: usize,
    /// Triangles without an area.
    pub degenerate: usize,
    /// Triangles that are there twice.
    pub duplicates: usize,
    /// Detached pieces that were left out.
    pub fragments: usize,
    /// Their triangles.
    pub fragment_triangles: usize,
    /// Triangles outside the crop.
    pub cropped: usize,
}

fn three<S: Serializer>(v: &DVec3, to: S) -> Result<S::Ok, S::Error> {
    v.to_array().serialize(to)
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.max - self.min;
        writeln!(f, "frame     {}", self.frame)?;
        writeln!(
            f,
            "extent    {:.1} m east, {:.1} m north, {:.1} m up",
            size.x, size.y, size.z
        )?;
        if let Some(tiles) = &self.tiles {
            writeln!(
                f,
                "tiles     {} points in {} tiles, {:.1} MB; {} duplicates and {} outliers dropped, {} outside",
                tiles.points,
                tiles.tiles,
                tiles.bytes as f64 / 1e6,
                tiles.duplicates,
                tiles.outliers,
                tiles.outside
            )?;
        }
        for work in &self.work {
            work.fmt(f)?;
        }
        write!(f, "triangles {}", self.triangles)?;
        for warning in &self.warnings {
            write!(f, "\nwarning   {warning}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ground(ground) => {
                writeln!(
                    f,
                    "points    {} read, {} duplicates and {} outliers dropped",
                    ground.points, ground.duplicates, ground.outliers
                )?;
                writeln!(
                    f,
                    "surface   {} points kept, one a {:.2} m cell, {} spikes removed",
                    ground.kept, ground.cell_m, ground.spikes
                )?;
                writeln!(
                    f,
                    "foliage   {} points, {} drawn as tufts",
                    ground.foliage, ground.tufts
                )?;
            }
            Self::Surfels(surfels) => {
                writeln!(
                    f,
                    "points    {} read, {} duplicates and {} outliers dropped",
                    surfels.points, surfels.duplicates, surfels.outliers
                )?;
                writeln!(
                    f,
                    "surfels   {} squares, one a {:.3} m cell",
                    surfels.kept, surfels.cell_m
                )?;
            }
            Self::Object(object) => {
                writeln!(
                    f,
                    "points    {} read, {} duplicates and {} outliers dropped",
                    object.points, object.duplicates, object.outliers
                )?;
                writeln!(
                    f,
                    "surface   {} vertices, one a {:.4} m cell; points lie {:.5} m off, at most {:.5} m",
                    object.vertices, object.cell_m, object.rms_error_m, object.error_m
                )?;
            }
            Self::Meshes(meshes) => {
                writeln!(f, "mesh      {} triangles in {} parts", meshes.triangles, meshes.parts)?;
                writeln!(
                    f,
                    "cleaned   {} degenerate, {} duplicate, {} detached pieces of {} triangles, {} outside the crop",
                    meshes.degenerate, meshes.duplicates, meshes.fragments, meshes.fragment_triangles, meshes.cropped
                )?;
            }
        }
        Ok(())
    }
}
