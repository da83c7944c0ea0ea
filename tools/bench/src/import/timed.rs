//! Runs a program and watches what it and all that it starts take.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a program took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) peak_mb: f64,
}

/// How often the processes are looked at.
const LOOK: Duration = Duration::from_millis(10);
/// Clock ticks a second in `/proc`; fixed by the kernel's interface.
const TICKS: f64 = 100.0;

/// Runs a program to its end, or to the limit. Its group is ended with it.
pub(super) fn run(program: &Path, arguments: &[String], limit: Duration) -> Result<Run> {
    let mut log = tempfile::tempfile()?;
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.try_clone()?)
        .process_group(0)
        .spawn()
        .with_context(|| format!("can not start {}", program.display()))?;
    let group = child.id();
    let (mut peak, mut cpu) = (0.0_f64, std::collections::BTreeMap::new());
    let status = loop {
        let (memory, times) = look(group);
        peak = peak.max(memory);
        cpu.extend(times);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            end(group);
            child.wait()?;
            bail!("did not end within {} s", limit.as_secs());
        }
        std::thread::sleep(LOOK);
    };
    let seconds = start.elapsed().as_secs_f64();
    // Workers that outlive their parent are not part of the result.
    end(group);
    if !status.success() {
        bail!("ended with {status}: {}", last_line(&mut log));
    }
    Ok(Run {
        seconds,
        cpu_seconds: cpu.values().sum::<f64>(),
        peak_mb: peak,
    })
}

/// Resident memory of a process group in MB, and the processor time of each of its processes in seconds.
fn look(group: u32) -> (f64, Vec<(u32, f64)>) {
    let (mut memory, mut times) = (0.0, Vec::new());
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return (memory, times);
    };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else {
            continue;
        };
        // The name may have spaces and brackets in it; what follows the last bracket has not.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let number = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or_default();
        if fields.get(2).and_then(|f| f.parse::<u32>().ok()) != Some(group) {
            continue;
        }
        // Pages of 4 KiB.
        memory += number(21) * 4096.0 / 1e6;
        times.push((pid, (number(11) + number(12)) / TICKS));
    }
    (memory, times)
}

fn end(group: u32) {
    let group = i32::try_from(group).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // It may have ended by itself.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

fn last_line(log: &mut File) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let mut text = String::new();
    let read = log.seek(SeekFrom::Start(0)).and_then(|_| log.read_to_string(&mut text));
    if read.is_err() {
        return String::new();
    }
    text.lines()
        .rev()
        .find(|l| !l.trim().is_empty())
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect()
}
