//! `tongyou-import scan.laz --out scenes/name.glb`

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tongyou_import::{DECODER_THREAD, Options, import};

#[derive(Parser)]
#[command(about = "Turns a LAS or LAZ scan of ground and buildings into a coloured glTF scene")]
struct Cli {
    /// The scan: LAS or LAZ
    scan: PathBuf,
    /// The scene to write
    #[arg(long)]
    out: PathBuf,
    /// Vertices to aim for
    #[arg(long, default_value_t = Options::default().vertices)]
    vertices: usize,
    /// Refuse scans with more points
    #[arg(long, default_value_t = Options::default().max_points)]
    max_points: u64,
    /// Leave out the plain disc below the scan
    #[arg(long)]
    no_base: bool,
}

fn main() -> ExitCode {
    // A damaged file is reported once, as an error, not as a crash of the decoder as well.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() != Some(DECODER_THREAD) {
            usual(info);
        }
    }));
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let name = cli
        .out
        .file_stem()
        .map_or_else(String::new, |s| s.to_string_lossy().into_owned());
    let options = Options {
        max_points: cli.max_points,
        vertices: cli.vertices,
        base: !cli.no_base,
    };
    let (scene, report) = import(&cli.scan, &name, &options)?;
    let bytes = tongyou_scene::write_glb(&scene)?;
    let at = |e: std::io::Error| format!("{}: {e}", cli.out.display());
    if let Some(folder) = cli.out.parent() {
        std::fs::create_dir_all(folder).map_err(at)?;
    }
    // A reader never sees half a file: the scene appears under its name once it is whole.
    let partial = cli.out.with_extension(format!("partial-{}", std::process::id()));
    std::fs::write(&partial, &bytes).map_err(at)?;
    std::fs::rename(&partial, &cli.out).map_err(at)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{report}")?;
    writeln!(
        out,
        "written   {}, {:.1} MB, in {:.1} s",
        cli.out.display(),
        bytes.len() as f64 / 1e6,
        start.elapsed().as_secs_f64()
    )?;
    Ok(())
}
