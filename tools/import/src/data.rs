//! What travels between the stages: points, splats and meshes as plain data, and what a file says about itself.

use std::fmt;

use glam::{DVec3, Quat, Vec2, Vec3};
use serde::{Deserialize, Serialize};
use tongyou_scene::{Image, Material};

use crate::Format;

/// A piece of a file, handed on as soon as it is read.
#[derive(Debug)]
pub enum Chunk {
    /// Some of the points.
    Points(Points),
    /// Some of the Gaussian splats.
    Splats(Vec<Splat>),
    /// Triangles with one material.
    Part(Part),
    /// The materials and images that parts refer to, once, after the last part.
    Look(Look),
    /// Something that the user should know; the import goes on.
    Warning(String),
}

/// Points of a scan. The other arrays are empty or as long as `positions`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Points {
    /// In the file's own coordinates and units.
    pub positions: Vec<DVec3>,
    /// sRGB.
    pub colors: Vec<[u8; 3]>,
    /// How strong the echo was, in the file's unit, where there are no colours.
    pub intensities: Vec<f32>,
    /// Unit normals where the file has them, in the axes of `positions`.
    pub normals: Vec<Vec3>,
    /// Points left out of this chunk that the file itself marks as noise, withheld or invalid.
    pub noise: u64,
}

/// A Gaussian splat as the renderer of `KHR_gaussian_splatting` wants it, in the axes of its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Splat {
    /// Centre.
    pub position: Vec3,
    /// Standard deviations along the local axes: linear, not logarithms.
    pub scale: Vec3,
    /// From local axes to the file's, unit length.
    pub rotation: Quat,
    /// 0..=1, not a logit.
    pub opacity: f32,
    /// sRGB colour of the constant term, not clamped.
    pub color: Vec3,
    /// Spherical harmonics of degree 1 and more: coefficient by coefficient, red, green, blue each.
    pub harmonics: Vec<f32>,
}

/// Indexed triangles with one material; arrays other than `positions` and `indices` are empty or as long as
/// `positions`, every index is below its length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// Group, object or material name.
    pub name: String,
    /// Index into [`Look::materials`].
    pub material: Option<usize>,
    /// In the file's own coordinates and units.
    pub positions: Vec<DVec3>,
    /// Unit normals.
    pub normals: Vec<Vec3>,
    /// glTF's convention: v grows downwards.
    pub tex_coords: Vec<Vec2>,
    /// Linear RGBA, as glTF has it.
    pub colors: Vec<[u8; 4]>,
    /// Three a triangle, counter-clockwise.
    pub indices: Vec<u32>,
}

/// Materials and the images they use.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Materials.
    pub materials: Vec<Material>,
    /// Decoded images.
    pub images: Vec<Image>,
}

/// Axes of a file's coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Up {
    /// x east, y up, z south: glTF, splats, most phone scans.
    Y,
    /// x east, y north, z up: surveying.
    #[default]
    Z,
}

/// What `inspect` finds out without reading more of the file than it must.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The format, by content.
    pub format: Format,
    /// Version or flavour, such as `1.2, compressed` or `binary little-endian`.
    pub flavour: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// How many of what, such as (`points`, 110000).
    pub counts: Vec<(&'static str, u64)>,
    /// Whether counts are estimates from the beginning of a file that does not state them.
    pub estimated: bool,
    /// Smallest and largest corner in the file's coordinates.
    pub bounds: Option<Bounds>,
    /// The coordinate system as the file states it: WKT or `EPSG:…`.
    pub crs: Option<String>,
    /// Degrees north and east of the middle, where the coordinate system gives it a place.
    pub place: Option<(f64, f64)>,
    /// Axes that the format or the file implies.
    pub up: Up,
    /// What each point or vertex carries beside its position.
    pub attributes: Vec<String>,
    /// What the user should know before importing.
    pub warnings: Vec<String>,
}

/// A box in the file's coordinates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Smallest corner.
    pub min: DVec3,
    /// Largest corner.
    pub max: DVec3,
    /// From a sample of the file rather than all of it or its header.
    pub sampled: bool,
}

impl Bounds {
    /// The box around positions; `None` where there are none.
    #[must_use]
    pub fn around(positions: impl IntoIterator<Item = DVec3>) -> Option<Self> {
        let mut out: Option<Self> = None;
        for position in positions {
            let bounds = out.get_or_insert(Self {
                min: position,
                max: position,
                sampled: false,
            });
            bounds.min = bounds.min.min(position);
            bounds.max = bounds.max.max(position);
        }
        out
    }

    /// Extent along each axis.
    #[must_use]
    pub fn size(&self) -> DVec3 {
        self.max - self.min
    }
}

impl Summary {
    /// A summary in which nothing is known yet.
    #[must_use]
    pub fn new(format: Format, bytes: u64) -> Self {
        Self {
            format,
            flavour: String::new(),
            bytes,
            counts: Vec::new(),
            estimated: false,
            bounds: None,
            crs: None,
            place: None,
            up: Up::default(),
            attributes: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "format      {}", self.format)?;
        if !self.flavour.is_empty() {
            write!(f, " ({})", self.flavour)?;
        }
        write!(f, "\nsize        {} bytes", self.bytes)?;
        for (what, count) in &self.counts {
            let about = if self.estimated { "about " } else { "" };
            write!(f, "\n{what:<11} {about}{count}")?;
        }
        if let Some(bounds) = &self.bounds {
            let sampled = if bounds.sampled { " (of a sample)" } else { "" };
            let show = |v: DVec3| format!("{:.3}, {:.3}, {:.3}", v.x, v.y, v.z);
            write!(f, "\nfrom        {}{sampled}", show(bounds.min))?;
            write!(f, "\nto          {}", show(bounds.max))?;
            write!(f, "\nextent      {}", show(bounds.size()))?;
        }
        write!(
            f,
            "\nup          {}",
            match self.up {
                Up::Y => "y",
                Up::Z => "z",
            }
        )?;
        if !self.attributes.is_empty() {
            write!(f, "\nattributes  {}", self.attributes.join(", "))?;
        }
        write!(f, "\ncrs         {}", self.crs.as_deref().unwrap_or("not stated"))?;
        if let Some((lat, lon)) = self.place {
            write!(f, "\nplace       {lat:.6}, {lon:.6}")?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning     {warning}")?;
        }
        Ok(())
    }
}
