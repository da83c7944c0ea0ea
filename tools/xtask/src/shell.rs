//! Runs programs and says which.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of the repository.
pub(crate) fn path(relative: &str) -> PathBuf {
    root().join(relative)
}

/// A program that `cargo build` has made.
pub(crate) fn program(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| path("target"), PathBuf::from);
    target.join("debug").join(name)
}

/// A command that runs in the repository's root.
pub(crate) fn command(program: impl AsRef<OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Says what is done, does it, says how long it took.
pub(crate) fn step(what: &str, command: &mut Command) -> Result<()> {
    println!("── {what}");
    let started = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("can not run {}", name(command)))?;
    if !status.success() {
        bail!("{what}: {} ended with {status}", name(command));
    }
    println!("   {what}: {:.0} s", started.elapsed().as_secs_f32());
    Ok(())
}

/// The output of a program, `None` where it does not exist or fails.
pub(crate) fn output(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output = command(program, arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
