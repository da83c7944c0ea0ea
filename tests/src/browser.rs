//! Drives headless Chromium through the scripts in `client/web/e2e` and `tests/drivers`.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::root;

/// A page in a browser of its own, driven step by step.
pub struct Page {
    child: Child,
    steps: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Page {
    /// Starts a driver (`flat`, `xr`, `guide` or `together`); see the scripts for their arguments. Steps can be sent
    /// at once, the first is answered when the page is in.
    #[must_use]
    pub fn open(driver: &str, mut arguments: Value) -> Self {
        arguments["interactive"] = json!(true);
        Self::start(driver, arguments)
    }

    /// Runs a driver that takes no further steps to its end; its one answer.
    #[must_use]
    pub fn run(driver: &str, arguments: Value) -> Value {
        let mut page = Self::start(driver, arguments);
        page.steps.take();
        let mut line = String::new();
        page.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn start(driver: &str, mut arguments: Value) -> Self {
        let node = std::env::var_os("TONGYOU_NODE").map_or_else(|| PathBuf::from("node"), PathBuf::from);
        // A browser beside a software renderer on two cores takes its time.
        arguments["timeoutMs"] = json!(90_000);
        let script = ["client/web/e2e", "tests/drivers"]
            .map(|folder| root().join(format!("{folder}/{driver}.mjs")))
            .into_iter()
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("there is no driver {driver}"));
        let mut child = Command::new(node)
            .arg(script)
            .arg(arguments.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let steps = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, steps, answers }
    }

    /// Takes one step and returns its value.
    pub fn step(&mut self, step: &Value) -> Value {
        writeln!(self.steps.as_mut().unwrap(), "{step}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?} to {step}"));
        assert_eq!(answer["ok"], true, "{step}: {answer}");
        answer["value"].clone()
    }

    /// What `window.tongyou` says.
    pub fn dump(&mut self) -> Value {
        self.step(&json!({ "dump": "now" }))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // The end of input ends the driver and with it the browser.
        self.steps.take();
        let _ = self.child.wait();
    }
}
