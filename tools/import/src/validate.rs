//! Is a scene fit to publish?

use std::path::Path;

use tongyou_scene::{Limits, Scene, load_glb};

use crate::source::input;
use crate::write::{Manifest, hash_file};
use crate::{Error, Frame, simplify};

/// A side of a texture that headsets still like.
const LARGE_SIDE: u32 = 4096;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What keeps a scene from being published.
    pub errors: Vec<String>,
    /// What a person should decide on.
    pub warnings: Vec<String>,
    /// What was looked at.
    pub notes: Vec<String>,
}

/// Looks at a scene's folder, or at one GLB or glTF file.
///
/// # Errors
/// [`Error`] where there is no scene to look at.
pub fn validate(path: &Path) -> Result<Findings, Error> {
    let mut out = Findings::default();
    if path.is_dir() {
        folder(path, &mut out)?;
    } else {
        let scene = load_glb(path, &Limits::default())?;
        look(&scene, "scene", &mut out);
    }
    Ok(out)
}

fn folder(path: &Path, out: &mut Findings) -> Result<(), Error> {
    let manifest = Manifest::load(path)?;
    if manifest.version != 1 {
        return Err(input(
            &path.join("scene.toml"),
            "version",
            format!("{} is not known here", manifest.version),
        ));
    }
    if manifest.level.is_empty() {
        out.errors.push("scene.toml lists no files".into());
    }
    for (what, text) in [
        ("attribution", &manifest.rights.attribution),
        ("licence", &manifest.rights.licence),
    ] {
        if text.trim().is_empty() {
            out.warnings.push(format!("no {what} is stated: --{what}"));
        }
    }
    if matches!(manifest.anchor, Frame::Plane { .. }) {
        out.warnings.push("its place on Earth is not known: --at".into());
    }
    let mut last = None;
    for level in &manifest.level {
        let plain = !level.file.is_empty() && !level.file.contains(['/', '\\']) && !level.file.starts_with('.');
        if !plain {
            out.errors.push(format!("{:?} is not a plain file name", level.file));
            continue;
        }
        let file = path.join(&level.file);
        if hash_file(&file)? != level.sha256 {
            out.errors.push(format!(
                "{} is not the file that was written: its hash differs",
                level.file
            ));
            continue;
        }
        if last.is_some_and(|(triangles, error)| level.triangles >= triangles || level.geometric_error_m < error) {
            out.errors
                .push(format!("{} is not coarser than the level before", level.file));
        }
        last = Some((level.triangles, level.geometric_error_m));
        let scene = load_glb(&file, &Limits::default())?;
        let triangles = simplify::triangles(&scene);
        if triangles != level.triangles {
            out.errors.push(format!(
                "{} has {triangles} triangles, not {}",
                level.file, level.triangles
            ));
        }
        look(&scene, &level.file, out);
    }
    Ok(())
}

fn look(scene: &Scene, file: &str, out: &mut Findings) {
    let primitives = || scene.meshes.iter().flat_map(|m| &m.primitives);
    let triangles = simplify::triangles(scene);
    if triangles == 0 {
        out.errors.push(format!("{file} has no triangles"));
    }
    let (mut degenerate, mut vertices) = (0_usize, 0_usize);
    for primitive in primitives() {
        vertices += primitive.positions.len();
        for triangle in primitive.indices.as_chunks::<3>().0 {
            let [a, b, c] = triangle.map(|i| primitive.positions[i as usize]);
            degenerate += usize::from((b - a).cross(c - a).length_squared() <= 0.0);
        }
    }
    if degenerate > 0 {
        // Points that f32 metres can not tell apart; the renderer skips them.
        out.warnings
            .push(format!("{file}: {degenerate} of {triangles} triangles have no area"));
    }
    for image in &scene.images {
        if image.width.max(image.height) > LARGE_SIDE {
            out.warnings.push(format!(
                "{file}: image {:?} has {} × {} pixels",
                image.name, image.width, image.height
            ));
        }
    }
    let megabytes = scene.images.iter().map(|i| i.pixels.len()).sum::<usize>() >> 20;
    out.notes.push(format!(
        "{file}: {triangles} triangles, {vertices} vertices, {} materials, {megabytes} MiB of pixels",
        scene.materials.len()
    ));
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (kind, texts) in [
            ("error", &self.errors),
            ("warning", &self.warnings),
            ("note", &self.notes),
        ] {
            for text in texts {
                writeln!(f, "{kind:<9} {text}")?;
            }
        }
        let verdict = if self.errors.is_empty() { "fit" } else { "not fit" };
        write!(
            f,
            "{verdict} to publish: {} errors, {} warnings",
            self.errors.len(),
            self.warnings.len()
        )
    }
}
