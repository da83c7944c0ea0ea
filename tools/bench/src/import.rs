//! `bench import`: the importer beside the tools that people use for each kind of scan: time, peak memory, size and
//! measured error, in one run. An outcome is measured and judged before its time is printed.

mod peers;
mod reading;
mod shape;
mod timed;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use self::peers::Peers;
use self::shape::{Distance, Shape};
use crate::stats::{median, round};

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How often each program runs; the median counts.
    pub runs: usize,
    /// What is longer is ended and told.
    pub limit: Duration,
    /// Folder with the scans that are not in this repository (`lone-star.laz`, `fourth_st.spz`); cases without their
    /// scan are told as left out.
    pub scans: Option<PathBuf>,
    /// Only the smallest case, to see that it works.
    pub quick: bool,
}

impl Options {
    /// Three runs of everything.
    #[must_use]
    pub fn full() -> Self {
        Self {
            runs: 3,
            limit: Duration::from_secs(60),
            scans: None,
            quick: false,
        }
    }
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Processor cores that the programs had.
    pub cores: usize,
    /// Versions of the peers.
    pub peers: Vec<String>,
    /// By scan and program.
    pub rows: Vec<Row>,
    /// Cases whose scan is not there.
    pub left_out: Vec<String>,
}

/// One program on one scan.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The scan.
    pub scan: String,
    /// The program and how it was called.
    pub tool: String,
    /// Wall time, median, seconds.
    pub seconds: Option<f64>,
    /// Processor time of the program and all that it started, median, seconds.
    pub cpu_seconds: Option<f64>,
    /// Most memory of the program and all that it started at one time, MB.
    pub peak_mb: Option<f64>,
    /// What it wrote, MB.
    pub output_mb: Option<f64>,
    /// Triangles, points or splats in the input and in the output.
    pub counts: Option<[usize; 2]>,
    /// Distance between input and output, both ways, as a share of the scan's size (parts per million).
    pub error_ppm: Option<Distance>,
    /// Why there are no numbers, or what is odd about them.
    pub note: Option<String>,
}

/// A program's call and how its output is read.
struct Call {
    tool: String,
    program: PathBuf,
    arguments: Vec<String>,
    /// What it writes: a file or a folder.
    output: PathBuf,
    /// What of it a viewer downloads.
    read: reading::Kind,
}

/// Installs the peers, runs everything and measures it.
///
/// # Errors
/// Where a peer can not be installed, a scan not be read, or our own output is wrong.
pub fn run(options: &Options) -> Result<Outcome> {
    let importer = crate::process::program("tongyou-import")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let peers = Peers::install(&root.join("target/import-peers"))?;
    let work = peers.folder.join("work");
    // What an interrupted run left would be measured with this one.
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    let mut outcome = Outcome {
        cores: std::thread::available_parallelism()?.get(),
        peers: peers.versions.clone(),
        rows: Vec::new(),
        left_out: Vec::new(),
    };
    let dragon = peers.dragon()?;
    case(
        &mut outcome,
        options,
        "dragon.obj",
        &dragon,
        mesh_calls(&importer, &peers, &dragon, &work),
    )?;
    if options.quick {
        return Ok(outcome);
    }
    let scan = |name: &str| {
        let path = options.scans.as_ref().map(|s| s.join(name)).unwrap_or_default();
        let here = root.join("assets/scans").join(name);
        if path.is_file() { path } else { here }
    };
    // Ground seen from the air becomes a surface, which is no cloud that could be compared: only clouds are here.
    let path = scan("lone-star.laz");
    case(
        &mut outcome,
        options,
        "lone-star.laz",
        &path,
        point_calls(&importer, &peers, &path, &work),
    )?;
    let path = scan("fourth_st.spz");
    case(
        &mut outcome,
        options,
        "fourth_st.spz",
        &path,
        splat_calls(&importer, &peers, &path, &work),
    )?;
    Ok(outcome)
}

fn mesh_calls(importer: &Path, peers: &Peers, scan: &Path, work: &Path) -> Vec<Call> {
    let call = |tool: &str, program: PathBuf, name: &str, arguments: &[&str]| {
        let output = work.join(name);
        let fill = |a: &&str| {
            a.replace("IN", &scan.display().to_string())
                .replace("OUT", &output.display().to_string())
        };
        Call {
            tool: tool.to_owned(),
            program,
            arguments: arguments.iter().map(fill).collect(),
            output,
            read: reading::Kind::Mesh,
        }
    };
    vec![
        call(
            "tongyou-import",
            importer.to_owned(),
            "ours.glb",
            &["IN", "--out", "OUT"],
        ),
        call(
            "gltfpack",
            peers.npm("gltfpack"),
            "gltfpack.glb",
            &["-i", "IN", "-o", "OUT"],
        ),
        call(
            "gltfpack -c",
            peers.npm("gltfpack"),
            "gltfpack-c.glb",
            &["-i", "IN", "-o", "OUT", "-c"],
        ),
        call(
            "gltfpack -cc -vp 16",
            peers.npm("gltfpack"),
            "gltfpack-16.glb",
            &["-i", "IN", "-o", "OUT", "-cc", "-vp", "16"],
        ),
        call(
            "obj2gltf",
            peers.npm("obj2gltf"),
            "obj2gltf.glb",
            &["-i", "IN", "-o", "OUT"],
        ),
    ]
}

fn point_calls(importer: &Path, peers: &Peers, scan: &Path, work: &Path) -> Vec<Call> {
    let name = scan
        .file_stem()
        .map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let (ours, theirs) = (
        work.join(format!("{name}-ours")),
        work.join(format!("{name}-py3dtiles")),
    );
    let text = |p: &Path| p.display().to_string();
    vec![
        Call {
            tool: "tongyou-import".into(),
            program: importer.to_owned(),
            arguments: vec![text(scan), "--out".into(), text(&ours)],
            output: ours,
            read: reading::Kind::Tiles,
        },
        Call {
            tool: "py3dtiles convert".into(),
            program: peers.python("py3dtiles"),
            arguments: vec![
                "convert".into(),
                text(scan),
                "--out".into(),
                text(&theirs),
                "--overwrite".into(),
            ],
            output: theirs,
            read: reading::Kind::Tiles,
        },
    ]
}

fn splat_calls(importer: &Path, peers: &Peers, scan: &Path, work: &Path) -> Vec<Call> {
    let text = |p: &Path| p.display().to_string();
    let ours = work.join("splats-ours");
    let theirs = work.join("splats.glb");
    vec![
        Call {
            tool: "tongyou-import".into(),
            program: importer.to_owned(),
            arguments: vec![text(scan), "--out".into(), text(&ours)],
            output: ours,
            read: reading::Kind::Splats,
        },
        Call {
            tool: "splat-transform to .glb".into(),
            program: peers.npm("splat-transform"),
            arguments: vec!["-q".into(), "-w".into(), text(scan), text(&theirs)],
            output: theirs,
            read: reading::Kind::Splats,
        },
    ]
}

fn case(outcome: &mut Outcome, options: &Options, name: &str, scan: &Path, calls: Vec<Call>) -> Result<()> {
    if !scan.is_file() {
        outcome.left_out.push(format!("{name}: not there; --scans FOLDER"));
        return Ok(());
    }
    eprintln!("── {name}");
    let source = reading::source(scan, &calls, outcome_folder(&calls)).with_context(|| name.to_owned())?;
    for call in calls {
        let ours = call.tool == "tongyou-import";
        let row = measure(name, &source, &call, options);
        if ours && let Some(fault) = wrong(&row) {
            bail!("{name}: tongyou-import's output is wrong: {fault}");
        }
        eprintln!("   {}", row.line());
        outcome.rows.push(row);
    }
    Ok(())
}

fn outcome_folder(calls: &[Call]) -> &Path {
    calls.first().and_then(|c| c.output.parent()).unwrap_or(Path::new("."))
}

/// Runs a call, reads what it wrote and measures it against the source.
fn measure(name: &str, source: &Shape, call: &Call, options: &Options) -> Row {
    let mut row = Row {
        scan: name.to_owned(),
        tool: call.tool.clone(),
        seconds: None,
        cpu_seconds: None,
        peak_mb: None,
        output_mb: None,
        counts: None,
        error_ppm: None,
        note: None,
    };
    let mut runs = Vec::new();
    for _ in 0..options.runs.max(1) {
        remove(&call.output);
        match timed::run(&call.program, &call.arguments, options.limit) {
            Ok(run) => runs.push(run),
            Err(fault) => {
                row.note = Some(format!("{fault:#}"));
                return row;
            }
        }
    }
    match reading::output(call.read, &call.output) {
        Ok((shape, bytes)) => {
            row.counts = Some([source.count(), shape.count()]);
            row.output_mb = Some(round(bytes as f64 / 1e6, 2));
            row.error_ppm = Some(shape::distance(source, &shape));
        }
        Err(fault) => {
            row.note = Some(format!("its output can not be read: {fault:#}"));
            return row;
        }
    }
    // Only what is right has a time.
    let of = |pick: fn(&timed::Run) -> f64| Some(round(median(runs.iter().map(pick).collect()), 2));
    row.seconds = of(|r| r.seconds);
    row.cpu_seconds = of(|r| r.cpu_seconds);
    row.peak_mb = of(|r| r.peak_mb);
    row
}

/// What our own output must not be: little of the scan, or far from it.
fn wrong(row: &Row) -> Option<String> {
    if let Some(note) = &row.note {
        return Some(note.clone());
    }
    let (Some([input, output]), Some(error)) = (row.counts, row.error_ppm) else {
        return Some("it was not measured".into());
    };
    if output * 100 < input * 90 {
        return Some(format!("{output} of {input} are left"));
    }
    (error.rms > 1000.0).then(|| format!("it lies {:.0} ppm of its size off", error.rms))
}

fn remove(path: &Path) {
    // It may not be there.
    let _ = std::fs::remove_dir_all(path);
    let _ = std::fs::remove_file(path);
}

impl Row {
    fn line(&self) -> String {
        match (&self.note, self.seconds, self.error_ppm) {
            (None, Some(seconds), Some(error)) => format!(
                "{:<22} {seconds:>6.2} s, {:>6.0} MB, {:>7.2} MB out, rms {:.2} ppm",
                self.tool,
                self.peak_mb.unwrap_or_default(),
                self.output_mb.unwrap_or_default(),
                error.rms
            ),
            (note, ..) => format!("{:<22} {}", self.tool, note.as_deref().unwrap_or("?")),
        }
    }
}

impl Outcome {
    /// As a table for `docs/benchmarks.md`.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::from(
            "| scan | tool | wall s | CPU s | peak MB | output MB | kept | rms error ppm | max error ppm |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        let number = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), |v| format!("{v:.2}"));
        for row in &self.rows {
            let kept = row
                .counts
                .map(|[input, output]| format!("{:.1} %", 100.0 * output as f64 / input.max(1) as f64));
            let error = |pick: fn(&Distance) -> f64| number(row.error_ppm.as_ref().map(pick));
            let cells = [
                row.scan.clone(),
                row.tool.clone(),
                number(row.seconds),
                number(row.cpu_seconds),
                number(row.peak_mb),
                number(row.output_mb),
                kept.unwrap_or_else(|| row.note.clone().unwrap_or_default()),
                error(|e| e.rms),
                error(|e| e.max),
            ];
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        out.push('\n');
        out.push_str(&self.verdict());
        out
    }

    /// Where ours is ahead and where it is not.
    fn verdict(&self) -> String {
        let mut out = String::new();
        let mut ours: Option<&Row> = None;
        for row in &self.rows {
            if row.tool == "tongyou-import" {
                ours = Some(row);
                continue;
            }
            let Some(us) = ours.filter(|o| o.scan == row.scan) else {
                continue;
            };
            let compare = |what: &str, a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) if a <= b => format!("{what} ahead ({a:.2} to {b:.2})"),
                (Some(a), Some(b)) => format!("{what} **behind** ({a:.2} to {b:.2})"),
                _ => format!("{what} not comparable"),
            };
            let error = |r: &Row| r.error_ppm.map(|e| e.rms);
            let parts = [
                compare("time", us.seconds, row.seconds),
                compare("memory", us.peak_mb, row.peak_mb),
                compare("size", us.output_mb, row.output_mb),
                compare("error", error(us), error(row)),
            ];
            out.push_str(&format!("- {} beside {}: {}\n", row.scan, row.tool, parts.join(", ")));
        }
        out
    }
}
