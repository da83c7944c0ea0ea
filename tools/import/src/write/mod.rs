//! Writes scenes: one GLB, or a folder with its levels, `scene.toml` and `report.json`. The same scene gives the same
//! bytes; nothing appears under its name before it is whole.

mod compress;
pub(crate) mod glb;
mod ktx2;
mod manifest;
pub mod splats;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

pub use compress::compress;
pub use ktx2::{Content, ktx2};
pub use manifest::{Input, LevelFile, Manifest, Rights, SplatFile};
use sha2::{Digest, Sha256};
use tongyou_scene::{Scene, write_glb};

use crate::simplify::{self, Level};
use crate::{Error, Report, Work};

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

/// Writes a folder: `scene.glb`, coarser levels of meshes, `scene.toml`, `report.json`. A folder that is there is
/// replaced once the new one is whole. Returns the manifest.
///
/// # Errors
/// [`Error`] where the scene can not be expressed or the folder not be written.
pub fn folder(out: &Path, input: Input, scene: &Scene, report: &Report, output: &Output) -> Result<Manifest, Error> {
    let io = |source| Error::Io {
        file: out.to_owned(),
        source,
    };
    if out.exists() && !out.join(manifest::NAME).is_file() && fs::read_dir(out).map_err(io)?.next().is_some() {
        // A slip of the keyboard must not cost a folder of something else.
        let fault = format!("{} is there and is not a scene", out.display());
        return Err(Error::Option { option: "--out", fault });
    }
    let levels = match report.work {
        Work::Meshes(_) | Work::Ground(_) => simplify::levels(scene),
        // Squares that touch nothing can not be simplified as a mesh.
        Work::Surfels(_) => Vec::new(),
    };
    let mut files: Vec<(String, Vec<u8>)> = vec![("scene.glb".into(), glb(scene, output.packed)?)];
    let mut listed = vec![listing(&files[0], simplify::triangles(scene), 0.0, 0.0)];
    for (number, level) in (1..).zip(&levels) {
        let Level {
            triangles,
            error_m,
            rms_m,
            ..
        } = *level;
        let entry = (format!("level{number}.glb"), glb(&level.scene, output.packed)?);
        listed.push(listing(&entry, triangles, error_m, rms_m));
        files.push(entry);
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
    let manifest = Manifest::new(input, report, listed, splats, output);
    files.push((manifest::NAME.into(), manifest.to_toml().into_bytes()));
    let mut json = serde_json::to_vec_pretty(report).map_err(|e| io(e.into()))?;
    json.push(b'\n');
    files.push(("report.json".into(), json));

    if let Some(parent) = out.parent() {
        fs::create_dir_all(parent).map_err(io)?;
    }
    let (partial, old) = (beside(out, "partial"), beside(out, "old"));
    let written = (|| {
        fs::create_dir_all(&partial)?;
        for (name, bytes) in &files {
            fs::write(partial.join(name), bytes)?;
        }
        if out.exists() {
            fs::rename(out, &old)?;
        }
        fs::rename(&partial, out)
    })();
    if let Err(source) = written {
        // What was there comes back; the first fault is the one to report.
        if old.exists() && !out.exists() {
            let _ = fs::rename(&old, out);
        }
        let _ = fs::remove_dir_all(&partial);
        return Err(io(source));
    }
    if old.exists() {
        fs::remove_dir_all(&old).map_err(io)?;
    }
    Ok(manifest)
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
