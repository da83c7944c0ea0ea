//! How far an import is, for people at a terminal or for programs.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two reports.
const OFTEN: Duration = Duration::from_millis(200);

/// Who wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Report {
    /// Nobody.
    #[default]
    Quiet,
    /// One line on standard error that is written over, where that is a terminal.
    Terminal,
    /// JSON on standard error: `{"stage","done","of","seconds","eta_s"}` a line; `eta_s` is `null` until it is known.
    Json,
}

/// Tells how far an import is. One is shared by all threads.
#[derive(Debug)]
pub struct Progress {
    report: Report,
    start: Instant,
    now: Mutex<Stage>,
}

#[derive(Debug)]
struct Stage {
    name: String,
    done: u64,
    of: u64,
    start: Instant,
    told: Option<Instant>,
    /// Characters on the terminal's line.
    width: usize,
}

impl Progress {
    /// Reports to whom it concerns; a terminal line only where there is a terminal.
    #[must_use]
    pub fn new(report: Report) -> Self {
        let report = match report {
            Report::Terminal if !std::io::stderr().is_terminal() => Report::Quiet,
            other => other,
        };
        let start = Instant::now();
        Self {
            report,
            start,
            now: Mutex::new(Stage {
                name: String::new(),
                done: 0,
                of: 0,
                start,
                told: None,
                width: 0,
            }),
        }
    }

    /// A stage begins; it has `of` units of work, 0 where that is not known.
    pub fn stage(&self, name: &str, of: u64) {
        let Ok(mut now) = self.now.lock() else { return };
        now.name = name.to_owned();
        (now.done, now.of, now.start, now.told) = (0, of, Instant::now(), None);
        self.tell(&mut now);
    }

    /// More of the stage is done.
    pub fn advance(&self, units: u64) {
        let Ok(mut now) = self.now.lock() else { return };
        now.done += units;
        if now.told.is_none_or(|told| told.elapsed() >= OFTEN) {
            self.tell(&mut now);
        }
    }

    /// Takes the terminal's line away, so that something else can be written.
    pub fn clear(&self) {
        let Ok(mut now) = self.now.lock() else { return };
        if self.report == Report::Terminal && now.width > 0 {
            let _ = write!(std::io::stderr(), "\r{:width$}\r", "", width = now.width);
            now.width = 0;
        }
    }

    fn tell(&self, now: &mut Stage) {
        now.told = Some(Instant::now());
        let spent = now.start.elapsed().as_secs_f64();
        let share = now.done as f64 / now.of.max(1) as f64;
        let left = (now.of > 0 && share > 0.02 && spent > 0.3).then(|| spent * (1.0 - share).max(0.0) / share);
        // Standard error may be closed: that is no reason to stop.
        match self.report {
            Report::Quiet => {}
            Report::Json => {
                let line = serde_json::json!({
                    "stage": now.name, "done": now.done, "of": (now.of > 0).then_some(now.of),
                    "seconds": round(self.start.elapsed().as_secs_f64()), "eta_s": left.map(round),
                });
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            Report::Terminal => {
                let share = if now.of > 0 {
                    format!(" {:.0} %", share * 100.0)
                } else {
                    String::new()
                };
                let left = left.map_or_else(String::new, |left| format!(", {left:.0} s left"));
                let line = format!("{}{share}{left}", now.name);
                let width = line.chars().count();
                let blank = now.width.saturating_sub(width);
                let _ = write!(std::io::stderr(), "\r{line}{:blank$}", "");
                now.width = width;
            }
        }
    }
}

fn round(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
