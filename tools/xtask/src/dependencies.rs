//! Checks that dependencies point one way only: each crate names what it may know of the others.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::shell::output;

/// Which of our crates each crate may depend on.
const MAY_USE: [(&str, &[&str]); 16] = [
    ("tongyou-protocol", &[]),
    ("tongyou-scene", &[]),
    ("tongyou-shaders", &[]),
    ("tongyou-media", &[]),
    ("tongyou-transport", &[]),
    ("tongyou-stream", &["tongyou-protocol"]),
    ("tongyou-session", &["tongyou-protocol", "tongyou-scene"]),
    (
        "tongyou-render",
        &["tongyou-protocol", "tongyou-scene", "tongyou-shaders"],
    ),
    (
        "tongyou-server",
        &[
            "tongyou-media",
            "tongyou-protocol",
            "tongyou-render",
            "tongyou-scene",
            "tongyou-session",
            "tongyou-stream",
            "tongyou-transport",
        ],
    ),
    (
        "tongyou-client",
        &[
            "tongyou-media",
            "tongyou-protocol",
            "tongyou-scene",
            "tongyou-shaders",
            "tongyou-stream",
            "tongyou-transport",
        ],
    ),
    (
        "tongyou-bot",
        &[
            "tongyou-client",
            "tongyou-protocol",
            "tongyou-stream",
            "tongyou-transport",
        ],
    ),
    (
        "tongyou-bench",
        &[
            "tongyou-client",
            "tongyou-media",
            "tongyou-protocol",
            "tongyou-scene",
            "tongyou-stream",
            "tongyou-transport",
        ],
    ),
    (
        "tongyou-import",
        &["tongyou-protocol", "tongyou-render", "tongyou-scene"],
    ),
    (
        "tongyou-sights",
        &["tongyou-protocol", "tongyou-render", "tongyou-scene"],
    ),
    ("xtask", &[]),
    ("tongyou-tests", &["*"]),
];

/// Crates of others that only some of ours may name.
const ONLY_IN: [(&str, &[&str]); 6] = [
    ("wgpu", &["tongyou-render", "tongyou-client"]),
    ("winit", &["tongyou-client"]),
    (
        "tokio",
        &[
            "tongyou-transport",
            "tongyou-server",
            "tongyou-client",
            "tongyou-bot",
            "tongyou-bench",
            "tongyou-tests",
        ],
    ),
    // The bench measures beside bare quinn.
    ("quinn", &["tongyou-transport", "tongyou-bench"]),
    ("rapier3d", &["tongyou-session"]),
    ("openh264", &["tongyou-media"]),
];

/// Fails with every direction that is wrong.
pub(crate) fn check() -> Result<()> {
    let text = output("cargo", &["metadata", "--format-version", "1", "--no-deps"]).context("cargo metadata failed")?;
    let metadata: Value = serde_json::from_str(&text)?;
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = package["name"].as_str().context("a package without a name")?;
        let Some((_, allowed)) = MAY_USE.iter().find(|(n, _)| *n == name) else {
            wrong.push(format!("{name} is not listed in tools/xtask/src/dependencies.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().context("no dependencies")? {
            // Tests may use what they like.
            if dependency["kind"] == "dev" {
                continue;
            }
            let used = dependency["name"].as_str().context("a dependency without a name")?;
            let ours = MAY_USE.iter().any(|(n, _)| *n == used);
            if ours && !allowed.contains(&used) && !allowed.contains(&"*") {
                wrong.push(format!("{name} may not use {used}"));
            }
            if ONLY_IN.iter().any(|(n, users)| *n == used && !users.contains(&name)) {
                wrong.push(format!("{name} may not use {used} directly"));
            }
        }
    }
    if wrong.is_empty() {
        println!("── dependency directions: right");
        Ok(())
    } else {
        bail!("dependency directions:\n  {}", wrong.join("\n  "))
    }
}
