//! Writes scenes: one GLB, or a folder with its levels, `scene.toml` and `report.json`. The same scene gives the same
//! bytes; nothing appears under its name before it is whole.

mod compress;
pub(crate) mod glb;
mod ktx2;
mod manifest;
pub mod splats;
mod tangents;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

pub use compress::compress;
pub use ktx2::{Content, ktx2};
pub use manifest::{Input, LevelFile, Manifest, Rights, SplatFile, TilesetFile};
use sha2::{Digest, Sha256};
pub use tangents::tangents;
use tongyou_scene::{Scene, write_glb};

use crate::{Error, Report, Work, parallel, simplify};

/// How a folder is written.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Quantised (`KHR_mesh_quantization`), packed (`EXT_meshopt_compression`), textures as KTX2 (`KHR_texture_basisu`).
    pub packed: bool,
    /// Who made the scan and what may be done with it.
    pub rights: Rights,
}

/// The hash of bytes, as hexadecimal digits.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut out, byte| {
        // Writing to a string can not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The hash of a file, read in pieces.
///
/// # Errors
/// [`Error::Io`].
pub fn hash_file(path: &Path) -> Result<String, Error> {
    let io = |source| Error::Io {
        file: path.to_owned(),
        source,
    };
    let mut hasher = Sha256::new();
    let mut file = fs::File::open(path).map_err(io)?;
    let mut buffer = vec![0_u8; 1 << 18];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).map_err(io)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    Ok(hasher.finalize().iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    }))
}

/// A scene as the bytes of a GLB.
///
/// # Errors
/// [`Error::Scene`] where the scene can not be expressed.
pub fn glb(scene: &Scene, packed: bool) -> Result<Vec<u8>, Error> {
    if tangents::are_needed(scene) {
        let mut with = scene.clone();
        tangents(&mut with);
        return glb(&with, packed);
    }
    if !packed {
        return Ok(write_glb(scene)?);
    }
    compress(scene).map_err(|fault| Error::Option {
        option: "--packed",
        fault,
    })
}

/// Writes a file so that a reader never sees half of it.
///
/// # Errors
/// [`Error::Io`].
pub fn file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let io = |source| Error::Io {
        file: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    let partial = beside(path, "partial");
    let done = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    done.inspect_err(|_| {
        // The first fault is the one to report.
        let _ = fs::remove_file(&partial);
    })
    .map_err(io)
}

/// A name beside a path that no other run uses.
fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    path.with_file_name(format!(".{name}.{what}-{}", std::process::id()))
}

/// Whether a scene's folder may be written at a path: there is nothing, or a scene.
///
/// # Errors
/// [`Error`] where there is something else: a slip of the keyboard must not cost it.
pub fn may_replace(out: &Path) -> Result<(), Error> {
    let io = |source| Error::Io {
        file: out.to_owned(),
        source,
    };
    if out.exists() && !out.join(manifest::NAME).is_file() && fs::read_dir(out).map_err(io)?.next().is_some() {
        let fault = format!("{} is there and is not a scene", out.display());
        return Err(Error::Option { option: "--out", fault });
    }
    Ok(())
}

/// Writes into a folder: `scene.glb`, coarser levels of meshes, splats, `scene.toml`, `report.json`; lists a
/// `tileset.json` that is there. Returns the manifest.
///
/// # Errors
/// [`Error`] where the scene can not be expressed or the folder not be written.
pub fn fill(
    folder: &Path,
    inputs: Vec<Input>,
    scene: &Scene,
    report: &Report,
    output: &Output,
) -> Result<Manifest, Error> {
    let io = |source| Error::Io {
        file: folder.to_owned(),
        source,
    };
    // Squares that touch nothing can not be simplified as a mesh.
    let squares = report.work.iter().any(|w| matches!(w, Work::Surfels(_)));
    let levels = if squares { Vec::new() } else { simplify::levels(scene) };
    // Each on a core of its own.
    let scenes: Vec<&Scene> = std::iter::once(scene).chain(levels.iter().map(|l| &l.scene)).collect();
    let packed = parallel::map(parallel::cores(), &scenes, |_, scene| glb(scene, output.packed))?;
    let names = std::iter::once("scene.glb".to_owned()).chain((1..).map(|number| format!("level{number}.glb")));
    let mut files: Vec<(String, Vec<u8>)> = names.zip(packed).collect();
    let mut listed = vec![listing(&files[0], simplify::triangles(scene), 0.0, 0.0)];
    for (entry, level) in files[1..].iter().zip(&levels) {
        listed.push(listing(entry, level.triangles, level.error_m, level.rms_m));
    }
    let mut splats = Vec::new();
    for (number, level) in splats::levels(report.splats.clone()).iter().enumerate() {
        let name = if number == 0 {
            "splats.glb".to_owned()
        } else {
            format!("splats{number}.glb")
        };
        let bytes = splats::glb(&level.splats, &scene.name, output.packed)
            .map_err(|fault| Error::Option { option: "--out", fault })?;
        splats.push(SplatFile {
            file: name.clone(),
            splats: level.splats.len(),
            bytes: bytes.len(),
            sha256: hash(&bytes),
            geometric_error_m: level.error_m,
            rms_error_m: level.rms_m,
        });
        files.push((name, bytes));
    }
    let manifest = Manifest {
        tileset: tileset(folder, report)?,
        ..Manifest::new(inputs, report, listed, splats, output)
    };
    files.push((manifest::NAME.into(), manifest.to_toml().into_bytes()));
    let mut json = serde_json::to_vec_pretty(report).map_err(|e| io(e.into()))?;
    json.push(b'\n');
    files.push(("report.json".into(), json));

    for (name, bytes) in &files {
        fs::write(folder.join(name), bytes).map_err(io)?;
    }
    Ok(manifest)
}

/// The tileset that was written while points were read.
fn tileset(folder: &Path, report: &Report) -> Result<Option<TilesetFile>, Error> {
    let Some(tiles) = &report.tiles else {
        return Ok(None);
    };
    Ok(Some(TilesetFile {
        file: "tileset.json".into(),
        tiles: tiles.tiles,
        points: tiles.points,
        bytes: tiles.bytes,
        sha256: hash_file(&folder.join("tileset.json"))?,
    }))
}

fn listing((name, bytes): &(String, Vec<u8>), triangles: usize, error_m: f32, rms_m: f32) -> LevelFile {
    LevelFile {
        file: name.clone(),
        triangles,
        bytes: bytes.len(),
        sha256: hash(bytes),
        geometric_error_m: error_m,
        rms_error_m: rms_m,
    }
}
