//! Builds programs, scenes and the web page.

use anyhow::Result;

use crate::setup::{self, Tools};
use crate::shell::{command, path, program, step};

/// Where scenes are built to: they are made from `assets/` by our own tools and never committed.
const SCENES: &str = "target/scenes";

/// Everything that the demonstration runs.
pub(crate) fn all(tools: &Tools) -> Result<()> {
    // The server looks for the page when it is compiled.
    page(tools)?;
    step(
        "build the programs (the first time takes minutes)",
        &mut command("cargo", &["build", "--workspace", "--bins"]),
    )?;
    scenes()
}

/// The scenes of all tours.
pub(crate) fn scenes() -> Result<()> {
    std::fs::create_dir_all(path(SCENES))?;
    step(
        "build the sights",
        &mut command(program("tongyou-sights"), &["build", "--out", SCENES]),
    )?;
    let scan = ["assets/scans/autzen_trim.laz", "--out", "target/scenes/autzen-scan.glb"];
    step(
        "turn the scan into a scene",
        &mut command(program("tongyou-import"), &scan),
    )
}

/// The web page.
pub(crate) fn page(tools: &Tools) -> Result<()> {
    step(
        "install the web client's packages",
        &mut tools.npm(&["ci", "--silent", "--no-audit", "--no-fund"]),
    )?;
    step("build the web page", &mut tools.npm(&["run", "--silent", "build"]))
}

/// One binary that needs nothing but a Vulkan driver, tours and scenes.
pub(crate) fn dist() -> Result<()> {
    let tools = setup::for_building()?;
    page(&tools)?;
    let arguments = ["build", "--release", "--package", "tongyou-server"];
    step("build the server for release", &mut command("cargo", &arguments))?;
    let built = program("x")
        .parent()
        .and_then(std::path::Path::parent)
        .map(|t| t.join("release/tongyou-server"));
    let to = path("target/dist");
    std::fs::create_dir_all(&to)?;
    if let Some(built) = built {
        std::fs::copy(built, to.join("tongyou-server"))?;
    }
    println!("target/dist/tongyou-server is ready; it needs a folder of tours and one of scenes (--help)");
    Ok(())
}
