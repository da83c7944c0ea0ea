//! The demonstration: a server, a simulated guide and three simulated tourists.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::shell::{command, path, program};
use crate::{assemble, setup};

/// Longest time for a server to load its scenes and open its GPU.
const START: Duration = Duration::from_secs(120);
/// Longest time for a program to end after it was asked to.
const END: Duration = Duration::from_secs(5);

/// Builds everything and runs until Ctrl-C.
pub(crate) fn run(port: u16) -> Result<()> {
    let tools = setup::for_building()?;
    assemble::all(&tools)?;
    let (stop, stopped) = channel();
    ctrlc::set_handler(move || {
        // The demonstration may have ended already.
        let _ = stop.send(());
    })?;

    let ready = path("target/demo/ready.json");
    let _ = std::fs::remove_file(&ready);
    let mut programs = Programs(Vec::new());
    let listen = format!("0.0.0.0:{port}");
    programs.start(
        "server",
        command(
            program("tongyou-server"),
            &[
                "--listen",
                &listen,
                "--data",
                "target/demo",
                "--tours",
                "assets/tours",
                "--scenes",
                "target/scenes",
                "--open",
                "jiefangbei",
                "--open",
                "autzen-scan",
                "--ready-file",
                "target/demo/ready.json",
            ],
        ),
    )?;
    let deadline = Instant::now() + START;
    while !ready.exists() {
        if stopped.recv_timeout(Duration::from_millis(100)).is_ok() {
            return Ok(());
        }
        if let Some(name) = programs.ended()? {
            bail!("the {name} ended; its messages are above");
        }
        if Instant::now() > deadline {
            bail!("the server was not ready within {} s", START.as_secs());
        }
    }
    start_people(&mut programs, &ready)?;
    println!("A simulated guide leads. To lead yourself, open the guide's link above, then \"Lead this session\".");
    println!("Ctrl-C ends the demonstration.");
    loop {
        match stopped.recv_timeout(Duration::from_millis(500)) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(name) = programs.ended()? {
            bail!("the {name} ended; its messages are above");
        }
    }
    println!("\nEnding …");
    Ok(())
}

fn start_people(programs: &mut Programs, ready: &Path) -> Result<()> {
    let ready: Value = serde_json::from_str(&std::fs::read_to_string(ready)?)?;
    let text = |v: &Value| {
        v.as_str()
            .map(str::to_owned)
            .context("the server's ready file lacks a field")
    };
    let server = format!("127.0.0.1:{}", ready["port"]);
    let hash = text(&ready["certificate_sha256"])?;
    let session = &ready["sessions"][0];
    let (code, grant) = (text(&session["code"])?, text(&session["grant"])?);
    let bot = |more: &[&str]| {
        let mut bot = command(
            program("tongyou-bot"),
            &[
                "--server",
                &server,
                "--certificate-sha256",
                &hash,
                "--code",
                &code,
                "--quiet",
            ],
        );
        bot.args(more);
        bot
    };
    programs.start(
        "simulated guide",
        bot(&[
            "--count",
            "1",
            "--seed",
            "1",
            "--guide-grant",
            &grant,
            "--tour-interval",
            "45",
        ]),
    )?;
    programs.start("simulated tourists", bot(&["--count", "3", "--seed", "2"]))
}

/// The programs of the demonstration; dropping it ends them, the last started first.
struct Programs(Vec<(&'static str, Child)>);

impl Programs {
    fn start(&mut self, name: &'static str, mut command: Command) -> Result<()> {
        let child = command.spawn().with_context(|| format!("can not start the {name}"))?;
        self.0.push((name, child));
        Ok(())
    }

    /// The name of a program that has ended by itself.
    fn ended(&mut self) -> Result<Option<&'static str>> {
        for (name, child) in &mut self.0 {
            if child.try_wait()?.is_some() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        for (_, child) in self.0.iter_mut().rev() {
            let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // It may have ended by itself, or by the same Ctrl-C.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let deadline = Instant::now() + END;
            while matches!(child.try_wait(), Ok(None)) {
                if Instant::now() > deadline {
                    let _ = child.kill();
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = child.wait();
        }
    }
}
