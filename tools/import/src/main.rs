//! `tongyou-import scan.laz --out scenes/name`, `tongyou-import inspect scan.e57`, `tongyou-import validate scenes/name`

mod cli;
mod commands;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tongyou_import::DECODER_THREAD;

fn main() -> ExitCode {
    // A damaged file is reported once, as an error, not as a crash of the decoder as well.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() != Some(DECODER_THREAD) {
            usual(info);
        }
    }));
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to do if standard error is closed.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    }
}
