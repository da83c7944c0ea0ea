//! OSGB (OpenSceneGraph's binary format) through `osgconv`, a child with limits: memory, time, size of files, no
//! network, and nothing to write to but a folder of its own, as far as the system lets an ordinary user say so.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Limits, Sink, obj};
use crate::data::{Chunk, Summary};
use crate::source::Source;
use crate::{Error, Format, Up};

/// What the child may use.
const MEMORY_KIB: u64 = 4 << 20;
const SECONDS: u64 = 300;
const FILE_BLOCKS: u64 = 8 << 20;
/// Names of finer files are looked for in so many bytes.
const GLANCE: u64 = 64 << 20;
const MISSING: &str =
    "is OSGB, which osgconv of OpenSceneGraph reads; it is not there (Debian: apt install openscenegraph)";

/// Makes all mounts but the folder `$1` read-only, then runs the rest within limits. The folder is a mount of its own.
const ALONE: &str = r#"mount --bind "$1" "$1" || exit 97
while read -r _ at _; do [ "$at" = "$1" ] || mount -o remount,bind,ro "$at" 2>/dev/null; done </proc/self/mounts
( : >"$1/../.tongyou-osgb-$$" ) 2>/dev/null && { rm -f "$1/../.tongyou-osgb-$$"; exit 97; }
cd "$1" && shift && exec sh -c "$@""#;

pub(super) fn inspect(source: &Source) -> Result<Summary, Error> {
    let mut out = Summary::new(source.format, source.bytes);
    out.up = Up::Z;
    out.flavour = "read through osgconv".into();
    if !is_there() {
        out.warnings.push(MISSING.into());
    }
    out.warnings.extend(finer(source)?);
    Ok(out)
}

pub(super) fn read(source: &Source, limits: &Limits, sink: &mut Sink<'_>) -> Result<(), Error> {
    if !is_there() {
        return Err(source.fault("file", MISSING));
    }
    let folder = Folder::new().map_err(|e| source.io(e))?;
    let scan = source.path.canonicalize().map_err(|e| source.io(e))?;
    let out = folder.0.join("out.obj");
    let alone = convert(source, &folder.0, &scan, &out, true)?;
    if !alone {
        // Where names in the file could lead out of the folder, no image is written under them.
        sink(Chunk::Warning(
            "textures are left out: this system does not let osgconv be kept to a folder (user namespaces are off)"
                .into(),
        ))?;
        convert(source, &folder.0, &scan, &out, false)?;
    }
    if let Some(warning) = finer(source)? {
        sink(Chunk::Warning(warning))?;
    }
    let made = Source::open(&out).ok().filter(|made| made.format == Format::Obj);
    let made = made.ok_or_else(|| source.fault("file", "osgconv makes no mesh of it: it is damaged, or has none"))?;
    // What is wrong in the child's file is wrong with the scan.
    obj::read(&made, limits, sink).map_err(|error| match error {
        Error::Input { place, fault, .. } => source.fault(format!("as OBJ by osgconv, {place}"), fault),
        other => other,
    })
}

/// Whether the child can be started at all.
fn is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("osgconv").is_file())
}

/// Runs the child; false where it can not be kept alone and was not started.
fn convert(source: &Source, folder: &Path, scan: &Path, out: &Path, alone: bool) -> Result<bool, Error> {
    let limits =
        format!("ulimit -v {MEMORY_KIB}; ulimit -t {SECONDS}; ulimit -f {FILE_BLOCKS}; ulimit -c 0; exec \"$@\"");
    let images = if alone { "OutputTextureFiles " } else { "" };
    let options = format!("{images}noRotation precision=12");
    let mut command = if alone {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", ALONE, "sh"]);
        command.arg(folder).args([limits.as_str(), "sh"]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", &limits, "sh"]);
        command
    };
    command.args(["osgconv", "-O", &options]).arg(scan).arg(out);
    let log = File::create(folder.join("log")).map_err(|e| source.io(e))?;
    let errors = log.try_clone().map_err(|e| source.io(e))?;
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        // Where the network can not be taken away, fetching goes to a port where nobody answers.
        .envs([
            ("OSG_CURL_PROXY", "127.0.0.1"),
            ("OSG_CURL_PROXYPORT", "9"),
            ("OSG_NOTIFY_LEVEL", "FATAL"),
        ])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    let child = match command.spawn() {
        Ok(child) => child,
        // No `unshare` on this system.
        Err(_) if alone => return Ok(false),
        Err(e) => return Err(source.io(e)),
    };
    match wait(child, Duration::from_secs(SECONDS)).map_err(|e| source.io(e))? {
        None => Err(source.fault("file", format!("osgconv takes more than {SECONDS} s over it"))),
        Some(status) if status.success() && out.is_file() => Ok(true),
        Some(status) if alone && matches!(status.code(), Some(1 | 97)) && !out.is_file() && !can_be_alone() => {
            Ok(false)
        }
        Some(status) => {
            let log = fs::read(folder.join("log")).unwrap_or_default();
            let said = String::from_utf8_lossy(&log[..log.len().min(200)]).replace('\n', " ");
            Err(source.fault("file", format!("osgconv does not read it ({status}): {}", said.trim())))
        }
    }
}

/// Whether an ordinary user may have namespaces here.
fn can_be_alone() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "true"]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Waits for a child; one that takes too long is ended.
fn wait(mut child: Child, most: Duration) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > most {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(Duration::from_millis(10));
    }
}

/// Says which finer files a file of a pyramid names: they are scans of their own.
fn finer(source: &Source) -> Result<Option<String>, Error> {
    use std::io::Read;
    let mut bytes = Vec::new();
    source
        .reader()?
        .take(GLANCE)
        .read_to_end(&mut bytes)
        .map_err(|e| source.io(e))?;
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"_-+./".contains(b);
    let mut names: Vec<String> = Vec::new();
    for (at, _) in bytes.windows(5).enumerate().filter(|(_, w)| *w == b".osgb") {
        let from = bytes[..at].iter().rposition(|b| !is_name(b)).map_or(0, |p| p + 1);
        let name = String::from_utf8_lossy(&bytes[from.max(at.saturating_sub(200))..at + 5]).into_owned();
        if !names.contains(&name) && names.len() < 1000 {
            names.push(name);
        }
    }
    Ok(names.first().map(|first| {
        format!(
            "is the coarse level of {} finer files such as {first}: import those for more detail",
            names.len()
        )
    }))
}

/// A folder that nobody else may look into, gone with its value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tongyou-osgb-{}-{number}", std::process::id());
        let path = std::env::temp_dir().canonicalize()?.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the system's folder for such things is not worth an error.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Look, Part};

    /// A sheet with a texture as OSGB, made by the same tool; `None` where it is not there.
    fn sample(folder: &Path, image: &str) -> Option<PathBuf> {
        if !is_there() {
            eprintln!("SKIPPED: osgconv is not there (Debian: apt install openscenegraph)");
            return None;
        }
        let obj = "mtllib m.mtl\nusemtl w\nv 0 0 0\nv 4 0 0\nv 0 3.000001 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n";
        fs::write(folder.join("m.obj"), obj).unwrap();
        fs::write(folder.join("m.mtl"), format!("newmtl w\nKd 1 1 1\nmap_Kd {image}\n")).unwrap();
        let mut png = std::io::Cursor::new(Vec::new());
        let pixels = image::RgbaImage::from_pixel(8, 8, image::Rgba([200, 100, 50, 255]));
        pixels.write_to(&mut png, image::ImageFormat::Png).unwrap();
        fs::write(folder.join(image), png.into_inner()).unwrap();
        let osgb = folder.join("m.osgb");
        let done = Command::new("osgconv")
            .args(["-O", "noRotation", "m.obj", "m.osgb"])
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(osgb.is_file(), "{done:?}");
        Some(osgb)
    }

    fn all(path: &Path) -> Result<(Vec<Part>, Look, Vec<String>), Error> {
        let (mut parts, mut look, mut warnings) = (Vec::new(), Look::default(), Vec::new());
        let source = Source::open(path)?;
        assert_eq!(source.format, Format::Osgb);
        read(&source, &Limits::default(), &mut |chunk| {
            match chunk {
                Chunk::Part(part) => parts.push(part),
                Chunk::Look(l) => look = l,
                Chunk::Warning(text) => warnings.push(text),
                _ => {}
            }
            Ok(())
        })?;
        Ok((parts, look, warnings))
    }

    #[test]
    fn a_sheet_with_its_texture() {
        let folder = tempfile::tempdir().unwrap();
        let Some(path) = sample(folder.path(), "t.png") else {
            return;
        };
        let (parts, look, warnings) = all(&path).unwrap();
        assert_eq!((parts.len(), parts[0].indices.len()), (1, 3));
        // Six digits after the point survive.
        let far = parts[0].positions.iter().map(|p| p.y).fold(0.0, f64::max);
        assert!((far - 3.000_001).abs() < 1e-6, "{far}");
        if can_be_alone() {
            assert_eq!(look.images[0].pixels[..4], [200, 100, 50, 255]);
        } else {
            eprintln!("SKIPPED: without user namespaces there are no textures");
            assert!(!warnings.is_empty());
        }
    }

    /// The name of an image leads out of the folder: nothing is written there.
    #[test]
    fn names_in_the_file_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let Some(path) = sample(folder.path(), "t.png") else {
            return;
        };
        let mut bytes = fs::read(&path).unwrap();
        let name = b"t.png";
        let goal = std::env::temp_dir().join("tongyou-escaped.png");
        let _ = fs::remove_file(&goal);
        // The length before a name is a word; a longer name needs a longer file.
        let escaped = b"../tongyou-escaped.png";
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(5).position(|w| w == name).map(|p| p + at) {
            let length = u32::try_from(escaped.len()).unwrap().to_le_bytes();
            bytes.splice(found - 4..found + 5, length.into_iter().chain(*escaped));
            at = found + escaped.len();
        }
        fs::write(&path, bytes).unwrap();
        // It is read or refused; both are well.
        let _ = all(&path);
        assert!(!goal.exists());
    }

    #[test]
    fn damaged_ones_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let Some(path) = sample(folder.path(), "t.png") else {
            return;
        };
        let bytes = fs::read(&path).unwrap();
        for cut in [9, 20, 40, 200] {
            fs::write(&path, &bytes[..cut]).unwrap();
            let fault = all(&path).unwrap_err().to_string();
            assert!(fault.contains("m.osgb") && fault.contains("osgconv"), "{fault}");
        }
    }
}
