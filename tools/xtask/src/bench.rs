//! Builds what a bench needs and runs it: JSON alone on standard output, so that it can be piped.

use anyhow::{Context, Result, bail};

use crate::shell::{command, program};

/// The benches by name; the program describes each (`tongyou-bench --help`).
pub(crate) const NAMES: [&str; 4] = ["fanout", "load", "latency", "import"];

/// Runs one bench; `more` is handed to it (`--quick`). With `--release` everything is built for release first.
pub(crate) fn run(name: &str, more: &[&str]) -> Result<()> {
    if !NAMES.contains(&name) {
        bail!("unknown bench {name:?}: {}", NAMES.join(", "));
    }
    let release = more.contains(&"--release");
    let mut build = vec![
        "build",
        "--quiet",
        "--package",
        "tongyou-server",
        "--package",
        "tongyou-bench",
    ];
    if name == "import" {
        build.extend(["--package", "tongyou-import"]);
    }
    if release {
        build.push("--release");
    }
    eprintln!("── build the server and the bench");
    let status = command("cargo", &build).status().context("can not run cargo")?;
    if !status.success() {
        bail!("cargo build ended with {status}");
    }
    let built = program("tongyou-bench");
    let built = if release {
        let target = built.parent().and_then(std::path::Path::parent);
        target.context("no target folder")?.join("release/tongyou-bench")
    } else {
        built
    };
    let mut arguments = vec![name];
    arguments.extend(more.iter().copied().filter(|a| *a != "--release"));
    let status = command(built, &arguments).status().context("can not run the bench")?;
    if !status.success() {
        bail!("bench {name} ended with {status}");
    }
    Ok(())
}
