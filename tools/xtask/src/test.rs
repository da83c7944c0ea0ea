//! Every check and test, in the order in which a mistake is found soonest.

use anyhow::Result;
use std::time::Instant;

use crate::shell::{command, program, step};
use crate::{assemble, dependencies, setup};

/// Formatting, lints, dependency directions.
pub(crate) fn check() -> Result<()> {
    step("formatting", &mut command("cargo", &["fmt", "--all", "--check"]))?;
    dependencies::check()?;
    let lints = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ];
    step("lints", &mut command("cargo", &lints))
}

/// The whole suite.
pub(crate) fn run(long: bool) -> Result<()> {
    let started = Instant::now();
    let tools = setup::for_testing()?;
    check()?;
    assemble::all(&tools)?;
    step("check the web client", &mut tools.npm(&["run", "--silent", "check"]))?;
    step("test the web client", &mut tools.npm(&["test", "--silent"]))?;
    let mut nextest = command("cargo", &["nextest", "run", "--workspace"]);
    if long {
        nextest.args(["--profile", "long", "--run-ignored", "all"]);
    }
    // The tests start the programs that were built above, and a browser.
    nextest.env(
        "TONGYOU_BIN",
        program("x").parent().unwrap_or_else(|| std::path::Path::new(".")),
    );
    nextest.env("TONGYOU_NODE", tools.node(&[]).get_program());
    nextest.env("TONGYOU_REQUIRE_GPU", "1");
    step("test", &mut nextest)?;
    println!("── all: {:.1} minutes", started.elapsed().as_secs_f32() / 60.0);
    Ok(())
}
