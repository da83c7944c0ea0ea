//! The commands that come after an import: `preview` and `add`.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use clap::Args;
use tongyou_import::{Addition, add};
use tongyou_import::{Angles, preview, walk};

type Failure = Box<dyn Error>;

/// How long a server may take until it can be joined.
const START: Duration = Duration::from_secs(60);

/// Draws a scene with the server's own renderer.
#[derive(Args)]
pub(crate) struct Preview {
    /// A scene's folder, or a GLB
    scene: PathBuf,
    /// The picture: PNG, or JPEG where it ends in .jpg
    #[arg(long, required_unless_present = "open")]
    out: Option<PathBuf>,
    /// Pixels across and down
    #[arg(long, default_value = "1280x720", value_parser = size)]
    size: (u32, u32),
    /// From where: degrees clockwise from north
    #[arg(long, allow_hyphen_values = true)]
    azimuth: Option<f32>,
    /// From how high: degrees above the horizon
    #[arg(long, allow_hyphen_values = true)]
    elevation: Option<f32>,
    /// Draw cells, walkable ground and colliders too
    #[arg(long)]
    cells: bool,
    /// Walk in it alone, cells, ground and colliders drawn: starts a server and the window beside this program
    #[arg(long)]
    open: bool,
}

/// Puts a scene into a tour.
#[derive(Args)]
pub(crate) struct Add {
    /// A scene's folder
    scene: PathBuf,
    /// The tour's file, with or without .toml; made where it is not there
    #[arg(long)]
    tour: PathBuf,
    /// Folder that the server reads scenes from; by default the one that the scene's folder is in
    #[arg(long)]
    scenes: Option<PathBuf>,
    /// The stop's id; by default the scene's name. A stop that is there keeps texts and light
    #[arg(long)]
    stop: Option<String>,
    /// What everybody faces, metres east, up and south of the scene's origin; by default what rises most
    #[arg(long, value_name = "X,Y,Z", value_parser = three, allow_hyphen_values = true)]
    look_at: Option<[f32; 3]>,
    /// What visitors read, in Chinese
    #[arg(long, requires = "title_en")]
    title_zh: Option<String>,
    /// What visitors read, in English
    #[arg(long, requires = "title_zh")]
    title_en: Option<String>,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let pair = text
        .split_once('x')
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let usual = pair.filter(|(w, h)| (16..=4096).contains(w) && (16..=4096).contains(h));
    usual.ok_or_else(|| "is not a size like 1280x720, 16 to 4096 a side".to_owned())
}

fn three(text: &str) -> Result<[f32; 3], String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    let numbers = numbers.and_then(|n| <[f32; 3]>::try_from(n).ok());
    let finite = numbers.filter(|n| n.iter().all(|v| v.is_finite()));
    finite.ok_or_else(|| "needs three numbers with commas between them".to_owned())
}

impl Add {
    pub(crate) fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let addition = Addition {
            tour: self.tour,
            scenes: self.scenes,
            stop: self.stop,
            look_at: self.look_at,
            title: self.title_zh.zip(self.title_en),
        };
        let added = add(&self.scene, &addition)?;
        let done = if added.replaced { "brought up to date" } else { "added" };
        writeln!(out, "stop      {:?} {done} in {}", added.stop, added.tour.display())?;
        writeln!(out, "scene     {}", added.scene.display())?;
        for warning in &added.warnings {
            writeln!(out, "warning   {warning}")?;
        }
        let folder = |p: &Path| p.parent().map_or_else(|| ".".to_owned(), |p| p.display().to_string());
        let (tours, scenes) = (folder(&added.tour), folder(&added.scene));
        writeln!(out, "rehearse  tongyou-server --tours {tours} --scenes {scenes}")?;
        Ok(())
    }
}

impl Preview {
    pub(crate) fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        if let Some(path) = &self.out {
            let angles = Angles {
                azimuth_deg: self.azimuth,
                elevation_deg: self.elevation,
            };
            let start = Instant::now();
            preview(&self.scene, self.size, angles, self.cells)?.save(path)?;
            writeln!(
                out,
                "written   {}, in {:.1} s",
                path.display(),
                start.elapsed().as_secs_f64()
            )?;
        }
        if self.open {
            walk_in(&self.scene, out)?;
        }
        Ok(())
    }
}

/// Starts a server with this scene alone and the window, and ends both when the window is closed.
fn walk_in(scene: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let (glb, tour) = walk(scene, "preview")?;
    let folder = Folder(std::env::temp_dir().join(format!("tongyou-preview-{}", std::process::id())));
    let at = |name: &str| folder.0.join(name);
    for inner in ["tours", "scenes", "data"] {
        std::fs::create_dir_all(at(inner))?;
    }
    std::fs::write(at("scenes/preview.glb"), glb)?;
    std::fs::write(at("tours/preview.toml"), tour)?;
    let mut server = Command::new(beside("tongyou-server")?);
    server
        .arg("--tours")
        .arg(at("tours"))
        .arg("--scenes")
        .arg(at("scenes"))
        .arg("--data")
        .arg(at("data"));
    server
        .args(["--listen", "127.0.0.1:0", "--open", "preview"])
        .arg("--ready-file")
        .arg(at("ready.json"));
    let mut server = Program(server.stdout(std::process::Stdio::null()).spawn()?);
    let deadline = Instant::now() + START;
    while !at("ready.json").exists() {
        if let Some(status) = server.0.try_wait()? {
            return Err(format!("the server ended with {status}").into());
        }
        if Instant::now() > deadline {
            return Err(format!("the server was not ready within {} s", START.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let ready: serde_json::Value = serde_json::from_slice(&std::fs::read(at("ready.json"))?)?;
    let text = |v: &serde_json::Value| {
        v.as_str()
            .map(str::to_owned)
            .ok_or("the server's ready file lacks a field")
    };
    let (hash, code) = (
        text(&ready["certificate_sha256"])?,
        text(&ready["sessions"][0]["code"])?,
    );
    let address = format!("127.0.0.1:{}", ready["port"]);
    writeln!(out, "open      session {code} on {address}; close the window to end")?;
    let client = beside("tongyou-client")?;
    let mut window = Command::new(client);
    window.args([
        "--server",
        &address,
        "--certificate-sha256",
        &hash,
        "--code",
        &code,
        "--name",
        "preview",
    ]);
    let status = Program(window.spawn()?).0.wait()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the window ended with {status}").into())
    }
}

/// A program that was built beside this one.
fn beside(name: &str) -> Result<PathBuf, Failure> {
    let path = std::env::current_exe()?.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is not there: `cargo xtask build` makes it", path.display()).into())
}

/// A program that ends with its owner.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder that goes with its owner.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is the system's temporary folder's to clear.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
