//! Builds the scenes of Yuzhong's sights from published dimensions.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod builder;
mod jiefangbei;
mod lettering;
mod noise;
mod shapes;
mod textures;

pub use jiefangbei::CLOCK_START_S;
use tongyou_scene::{Error, Scene};

/// Makes a scene.
pub type Make = fn() -> Result<Scene, Error>;

/// Every scene: its name, which is its file's name too, and what makes it.
pub const SCENES: [(&str, Make); 1] = [("jiefangbei", jiefangbei::scene)];

/// What a scene costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Triangles, each mesh counted once.
    pub triangles: usize,
    /// Bytes of all images as RGBA, without mip levels.
    pub texture_bytes: usize,
    /// Punctual lights.
    pub lights: usize,
}

impl Size {
    /// Counts a scene.
    #[must_use]
    pub fn of(scene: &Scene) -> Self {
        let primitives = scene.meshes.iter().flat_map(|m| &m.primitives);
        Self {
            triangles: primitives.map(|p| p.indices.len() / 3).sum(),
            texture_bytes: scene.images.iter().map(|i| i.pixels.len()).sum(),
            lights: scene.nodes.iter().filter(|n| n.light.is_some()).count(),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let megabytes = self.texture_bytes as f64 / 1e6;
        write!(
            f,
            "{} triangles, {megabytes:.1} MB of textures, {} lights",
            self.triangles, self.lights
        )
    }
}
