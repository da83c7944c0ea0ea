//! What a scene's folder gets beside the scene itself: the collision mesh, the cells, the thumbnail.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tongyou_scene::{Limits, load_glb, write_glb};

use crate::cells::{self, Draft};
use crate::collide::{Collider, Shell};
use crate::write::{self, Manifest};
use crate::{Error, write::hash};

/// The collision mesh of a scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollisionFile {
    /// Name in the folder.
    pub file: String,
    /// Its triangles.
    pub triangles: usize,
    /// Its length.
    pub bytes: usize,
    /// SHA-256.
    pub sha256: String,
}

/// Adds `collision.glb`, `thumbnail.png` and the cells to a scene's folder, and writes its `scene.toml` again. Returns
/// what could not be made, for people. Without `picture` there is no thumbnail: the renderer takes memory of its own.
///
/// # Errors
/// [`Error`] where the folder is not a scene or can not be written.
pub fn finish(folder: &Path, picture: bool) -> Result<Vec<String>, Error> {
    let mut manifest = Manifest::load(folder)?;
    let mut warnings = Vec::new();
    let finest = manifest.level.first().map_or("scene.glb", |l| l.file.as_str());
    let scene = load_glb(&folder.join(finest), &Limits::default())?;
    let shell = Shell::new(&scene);

    let collider = Collider::new(&shell);
    let triangles = collider.indices.len() / 3;
    let bytes = write_glb(&collider.scene())?;
    write::file(&folder.join("collision.glb"), &bytes)?;
    manifest.collision = Some(CollisionFile {
        file: "collision.glb".into(),
        triangles,
        bytes: bytes.len(),
        sha256: hash(&bytes),
    });

    manifest.stop = cells::draft(&shell, None);
    match &manifest.stop {
        None => warnings.push("no place to stand was found: the tour's author has to set cells".into()),
        Some(Draft { own_ground: false, .. }) => {
            warnings.push("the scan has no ground to walk on: people stand on a plane at its foot".into());
        }
        Some(_) => {}
    }

    if !picture {
        warnings.push("no thumbnail: the renderer would pass --max-memory".into());
        write::file(&folder.join("scene.toml"), manifest.to_toml().as_bytes())?;
        return Ok(warnings);
    }
    match crate::preview::thumbnail(&scene, &shell) {
        Ok(picture) => {
            write::file(&folder.join("thumbnail.png"), &picture.png()?)?;
            manifest.thumbnail = Some("thumbnail.png".into());
        }
        // A machine without a graphics driver still imports.
        Err(fault) => warnings.push(format!("no thumbnail: {fault}")),
    }
    write::file(&folder.join("scene.toml"), manifest.to_toml().as_bytes())?;
    Ok(warnings)
}
