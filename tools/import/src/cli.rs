//! The command line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tongyou_import::fit::{Device, fit};
use tongyou_import::progress::{self, Progress};
use tongyou_import::write::{self, Input, Manifest, Output, Rights};
use tongyou_import::{
    Error, Job, Limits, Options, Placement, Plan, Report, Run, Surface, Up, default_memory, import_all, inspect,
    parse_memory, validate,
};

type Failure = Box<dyn std::error::Error>;

/// Turns scans (LAS, LAZ, COPC, PLY, OBJ, STL, glTF, 3D Tiles, OSGB, E57, PTS, XYZ, SPZ) into glTF scenes
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    import: Import,
}

#[derive(Subcommand)]
enum Command {
    /// Says what is in a file, of any size, in a second
    Inspect {
        /// The scan
        scan: PathBuf,
    },
    /// Says whether a scene is fit to publish
    Validate {
        /// A scene's folder, or a GLB or glTF file
        scene: PathBuf,
    },
    /// Draws a scene with the server's own renderer
    Preview(crate::commands::Preview),
    /// Puts a scene into a tour
    Add(crate::commands::Add),
}

#[derive(Args)]
struct Import {
    /// The scans: several become one scene in one frame
    #[arg(required = true)]
    scans: Vec<PathBuf>,
    /// The scene to write: a folder, or one file where it ends in .glb
    #[arg(long, required = true)]
    out: Option<PathBuf>,
    /// Vertices or surfels to aim for when points are drawn
    #[arg(long, default_value_t = Options::default().vertices)]
    vertices: usize,
    /// How points become something that can be drawn
    #[arg(long, value_enum, default_value_t = Points::Auto)]
    surface: Points,
    /// Refuse scans with more points or splats
    #[arg(long, default_value_t = Limits::default().points)]
    max_points: u64,
    /// Leave out the plain disc below a scan of ground
    #[arg(long)]
    no_base: bool,
    /// Leave out detached pieces of a mesh with a smaller share of its area; 0 keeps all
    #[arg(long, default_value_t = Options::default().fragment_share)]
    fragments: f64,
    /// Write floats and PNG rather than KHR_mesh_quantization, EXT_meshopt_compression and KTX2
    #[arg(long)]
    plain: bool,
    /// Make it fit a device by a coarser level and smaller textures, or say by how much it can not
    #[arg(long, value_enum)]
    budget: Option<Affords>,
    /// The most memory to use; by default half of the machine's
    #[arg(long, value_name = "1GiB", value_parser = parse_memory)]
    max_memory: Option<u64>,
    /// Threads; by default one a core. The outcome does not depend on it
    #[arg(long)]
    threads: Option<usize>,
    /// Go on with what was interrupted
    #[arg(long)]
    resume: bool,
    /// How far it is: on a terminal, as JSON lines on standard error, or not at all
    #[arg(long, value_enum, default_value_t = Tell::Auto)]
    progress: Tell,
    /// How far a point of a tile may move, in metres; by default half a millionth of the scan and at most 0.0005
    #[arg(long, value_name = "METRES", value_parser = metres)]
    precision: Option<f64>,
    /// No tiles of points, however many there are
    #[arg(long)]
    no_tiles: bool,
    /// Whom to name
    #[arg(long, default_value = "")]
    attribution: String,
    /// The scan's licence
    #[arg(long, default_value = "")]
    licence: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Place {
    /// The coordinate system, in place of the file's: EPSG:4544, a PROJ string or WKT
    #[arg(long)]
    crs: Option<String>,
    /// Where the middle of the scan lies: degrees north, degrees east (WGS 84)
    #[arg(long, value_name = "LAT,LON", value_parser = pair, allow_hyphen_values = true)]
    at: Option<(f64, f64)>,
    /// The same, read off a Chinese map (GCJ-02)
    #[arg(long, value_name = "LAT,LON", value_parser = pair, conflicts_with = "at", allow_hyphen_values = true)]
    at_gcj02: Option<(f64, f64)>,
    /// Where the scan's north axis points, in degrees clockwise from north
    #[arg(long, allow_hyphen_values = true)]
    heading: Option<f64>,
    /// Metres in the file's unit, where it has no coordinate system
    #[arg(long)]
    scale: Option<f64>,
    /// The file's upward axis, in place of that of its format
    #[arg(long, value_enum)]
    up: Option<Axis>,
    /// Leave out what lies outside: metres from the middle of the scan
    #[arg(long, value_name = "WEST,SOUTH,EAST,NORTH", value_parser = four, allow_hyphen_values = true)]
    crop: Option<[f64; 4]>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Axis {
    Y,
    Z,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tell {
    Auto,
    Json,
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum Affords {
    Quest3,
    Pico4,
    Pc,
}

impl From<Affords> for Device {
    fn from(from: Affords) -> Self {
        match from {
            Affords::Quest3 => Self::Quest3,
            Affords::Pico4 => Self::Pico4,
            Affords::Pc => Self::Pc,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Points {
    Auto,
    Ground,
    Object,
    Surfels,
}

fn numbers<const N: usize>(text: &str) -> Result<[f64; N], String> {
    let all: Result<Vec<f64>, _> = text.split(',').map(|w| w.trim().parse()).collect();
    let all: [f64; N] = all
        .ok()
        .and_then(|v| v.try_into().ok())
        .ok_or_else(|| format!("needs {N} numbers with commas between them"))?;
    if all.iter().all(|v| v.is_finite()) {
        Ok(all)
    } else {
        Err("has a number that is not finite".into())
    }
}

fn metres(text: &str) -> Result<f64, String> {
    match numbers(text)? {
        [v] if (1e-7..=1.0).contains(&v) => Ok(v),
        _ => Err("must lie between 0.0000001 and 1".into()),
    }
}

fn pair(text: &str) -> Result<(f64, f64), String> {
    numbers(text).map(|[a, b]| (a, b))
}

fn four(text: &str) -> Result<[f64; 4], String> {
    let all: [f64; 4] = numbers(text)?;
    if all[0] < all[2] && all[1] < all[3] {
        Ok(all)
    } else {
        Err("west and south must be the smaller ones".into())
    }
}

impl Place {
    fn is_given(&self) -> bool {
        let numbers = self.heading.is_some() || self.scale.is_some();
        self.crs.is_some() || self.at.or(self.at_gcj02).is_some() || numbers || self.up.is_some() || self.crop.is_some()
    }

    fn placement(self) -> Placement {
        Placement {
            crs: self.crs,
            at: self.at.or(self.at_gcj02),
            at_is_gcj02: self.at_gcj02.is_some(),
            heading_deg: self.heading.unwrap_or(0.0),
            scale: self.scale.unwrap_or(1.0),
            up: self.up.map(|axis| match axis {
                Axis::Y => Up::Y,
                Axis::Z => Up::Z,
            }),
            crop: self.crop,
        }
    }
}

impl Cli {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut out = std::io::stdout().lock();
        match self.command {
            Some(Command::Inspect { scan }) => {
                writeln!(out, "{}", inspect(&scan)?)?;
                Ok(ExitCode::SUCCESS)
            }
            Some(Command::Validate { scene }) => {
                let findings = validate(&scene)?;
                writeln!(out, "{findings}")?;
                Ok(if findings.errors.is_empty() {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::from(2)
                })
            }
            Some(Command::Preview(preview)) => {
                preview.run(&mut out)?;
                Ok(ExitCode::SUCCESS)
            }
            Some(Command::Add(add)) => {
                add.run(&mut out)?;
                Ok(ExitCode::SUCCESS)
            }
            None => {
                self.import.run(&mut out)?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl Import {
    fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let start = Instant::now();
        // The parser asks for both where there is no subcommand.
        let (false, Some(out_path)) = (self.scans.is_empty(), self.out) else {
            return Err("a scan and --out are needed".into());
        };
        let name = out_path
            .file_stem()
            .map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let as_file = out_path.extension().is_some_and(|e| e.eq_ignore_ascii_case("glb"));
        let placement = match (as_file, self.place.is_given()) {
            (false, false) => kept_placement(&out_path, out)?,
            _ => self.place.placement(),
        };
        let options = Options {
            limits: Limits {
                points: self.max_points,
                ..Limits::default()
            },
            // A splat is drawn by two squares, a point by one.
            vertices: self.budget.map_or(self.vertices, |b| {
                self.vertices.min(Device::from(b).budget().triangles / 4)
            }),
            base: !self.no_base,
            surface: match self.surface {
                Points::Auto => Surface::Auto,
                Points::Ground => Surface::Ground,
                Points::Object => Surface::Object,
                Points::Surfels => Surface::Surfels,
            },
            placement,
            fragment_share: self.fragments,
            precision_m: self.precision,
            threads: self.threads.unwrap_or(Options::default().threads).clamp(1, 256),
            memory: self.max_memory.unwrap_or_else(default_memory),
        };
        if !as_file {
            write::may_replace(&out_path)?;
        }
        let plan = Plan::new(&self.scans, &out_path, &options, true)?;
        writeln!(out, "{plan}")?;
        out.flush()?;
        let options = Options {
            threads: plan.threads,
            ..options
        };
        let progress = Progress::new(match self.progress {
            Tell::Auto => progress::Report::Terminal,
            Tell::Json => progress::Report::Json,
            Tell::None => progress::Report::Quiet,
        });
        let job = Job::open(&out_path, &self.scans, &options, self.resume)?;
        on_interrupt(&out_path)?;
        if job.is_resumed() {
            writeln!(out, "resumed   what was interrupted")?;
        }
        let run = Run {
            job: Some(&job),
            tiles: !as_file && !self.no_tiles,
            progress: &progress,
        };
        let made = import_all(&self.scans, &name, &options, &run);
        progress.clear();
        let (scene, report) = match made {
            Ok(made) => made,
            Err(error) => {
                // Nothing of a refused input is worth keeping; a full disk is no fault of the input.
                if !matches!(error, Error::Io { .. }) {
                    job.abandon();
                }
                return Err(error.into());
            }
        };
        writeln!(out, "{report}")?;
        let (scene, report) = match self.budget {
            Some(device) => {
                let (scene, fit) = fit(scene, device.into());
                writeln!(out, "{fit}")?;
                (
                    scene,
                    Report {
                        fit: Some(fit),
                        ..report
                    },
                )
            }
            None => (scene, report),
        };
        progress.stage("write", 0);
        if as_file {
            let bytes = write::glb(&scene, !self.plain)?;
            write::file(&job.out().join("scene.glb"), &bytes)?;
            job.commit_file("scene.glb")?;
            progress.stage("done", 0);
            progress.clear();
            written(out, &out_path, bytes.len(), "", start)?;
            return memory(out, options.memory);
        }
        let output = Output {
            packed: !self.plain,
            rights: Rights {
                attribution: self.attribution,
                licence: self.licence,
            },
        };
        let inputs = self.scans.iter().map(|scan| Input::new(scan, &options.placement));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let manifest = write::fill(&job.out(), inputs, &scene, &report, &output)?;
        if plan.has_room_to_finish() {
            for warning in tongyou_import::finish(&job.out(), true)? {
                writeln!(out, "warning   {warning}")?;
            }
        } else {
            writeln!(
                out,
                "warning   no collision mesh, cells and thumbnail: they take more than --max-memory leaves"
            )?;
        }
        job.commit()?;
        progress.stage("done", 0);
        progress.clear();
        for level in &manifest.level {
            let error = if level.geometric_error_m > 0.0 {
                format!(
                    ", {} triangles, at most {} off",
                    level.triangles,
                    length(level.geometric_error_m)
                )
            } else {
                format!(", {} triangles", level.triangles)
            };
            written(out, &out_path.join(&level.file), level.bytes, &error, start)?;
        }
        memory(out, options.memory)
    }
}

/// On Ctrl-C: the target is as it was. What is finished is kept for `--resume`, else nothing is left.
fn on_interrupt(target: &Path) -> Result<(), Failure> {
    let (folder, target) = (Job::folder_for(target), target.to_owned());
    ctrlc::set_handler(move || {
        let mut error = std::io::stderr();
        // Whoever interrupts may have closed standard error as well.
        let _ = if Job::is_worth_keeping(&folder) {
            writeln!(
                error,
                "\ninterrupted: {} is as it was; --resume goes on, or remove {}",
                target.display(),
                folder.display()
            )
        } else {
            // Other threads may still be writing into it.
            (0..20).any(|_| std::fs::remove_dir_all(&folder).is_ok() || !folder.exists());
            writeln!(error, "\ninterrupted: {} is as it was", target.display())
        };
        std::process::exit(130);
    })?;
    Ok(())
}

fn written(out: &mut impl Write, path: &Path, bytes: usize, more: &str, start: Instant) -> std::io::Result<()> {
    let seconds = start.elapsed().as_secs_f64();
    writeln!(
        out,
        "written   {}, {:.1} MB{more}, in {seconds:.1} s",
        path.display(),
        bytes as f64 / 1e6
    )
}

/// What was used in the end, where the system says so.
fn memory(out: &mut impl Write, limit: u64) -> Result<(), Failure> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    if let Some(kibibytes) = peak.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()) {
        writeln!(
            out,
            "memory    peak {} MiB of {} MiB",
            kibibytes.div_ceil(1024),
            limit >> 20
        )?;
    }
    Ok(())
}

/// A length for people: small things are measured in millimetres.
fn length(metres: f32) -> String {
    if metres < 0.01 {
        format!("{:.3} mm", metres * 1000.0)
    } else {
        format!("{metres:.3} m")
    }
}

/// The placement that a scene's folder keeps from an import before.
fn kept_placement(folder: &Path, out: &mut impl Write) -> Result<Placement, Failure> {
    if !folder.join("scene.toml").is_file() {
        return Ok(Placement::default());
    }
    let placement = Manifest::load(folder)?.placement;
    if placement != Placement::default() {
        writeln!(out, "placement as in {}", folder.join("scene.toml").display())?;
    }
    Ok(placement)
}
