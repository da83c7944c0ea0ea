//! `tongyou-sights build --out DIR [NAME]`: writes the scenes of the sights as GLB files.

mod preview;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Builds the scenes of Yuzhong's sights from published dimensions")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write scenes as GLB files; the same program writes the same bytes
    Build {
        /// Folder for the files; made where it is missing
        #[arg(long)]
        out: PathBuf,
        /// Only this scene
        name: Option<String>,
    },
    /// Render a picture of a stop with the server's own renderer
    Preview(preview::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Build { out, name } => build(&out, name.as_deref()),
        Command::Preview(options) => preview::run(&options),
    }
}

fn build(out: &std::path::Path, name: Option<&str>) -> anyhow::Result<()> {
    let scenes: Vec<_> = tongyou_sights::SCENES
        .iter()
        .filter(|(n, _)| name.is_none_or(|name| name == *n))
        .collect();
    if scenes.is_empty() {
        let known: Vec<_> = tongyou_sights::SCENES.iter().map(|(n, _)| *n).collect();
        bail!("no scene is called {:?}; there are {known:?}", name.unwrap_or_default());
    }
    std::fs::create_dir_all(out).with_context(|| format!("can not make the folder {}", out.display()))?;
    for (name, make) in scenes {
        let scene = make()?;
        let bytes = tongyou_scene::write_glb(&scene)?;
        let path = out.join(format!("{name}.glb"));
        // A reader never sees half a file: the scene appears under its name once it is whole.
        let partial = out.join(format!(".{name}.glb.{}", std::process::id()));
        std::fs::write(&partial, &bytes).with_context(|| format!("can not write {}", partial.display()))?;
        std::fs::rename(&partial, &path).with_context(|| format!("can not write {}", path.display()))?;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{}: {}, {:.1} MB",
            path.display(),
            tongyou_sights::Size::of(&scene),
            bytes.len() as f64 / 1e6
        )?;
    }
    Ok(())
}
