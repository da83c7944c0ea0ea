//! `tongyou-bench`: the benches of `cargo xtask bench`. JSON on standard output, how it goes on standard error.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use serde::Serialize;
use tongyou_bench::{content, crowd, fanout, headsets, import, latency, load, raw};
use tongyou_transport::ServerTrust;

#[derive(Parser)]
#[command(about = "What one more headset costs, how many a tour holds, how long a pose takes to a picture")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// CPU of the server from 1 to 64 headsets at one vantage, beside bare quinn
    Fanout {
        /// Few headsets, one short window: only to see that it works
        #[arg(long)]
        quick: bool,
        /// How many headsets, rising, separated by commas
        #[arg(long, value_delimiter = ',')]
        headsets: Option<Vec<usize>>,
        /// Windows that the median is taken of
        #[arg(long)]
        windows: Option<usize>,
        /// Sets a second that the server is configured for
        #[arg(long)]
        sets_per_s: Option<f64>,
    },
    /// The largest number of headsets with poses at 72 Hz at which the tick is in time
    Load {
        /// One small number only, to see that it works
        #[arg(long)]
        quick: bool,
        /// The first number of headsets
        #[arg(long)]
        first: Option<usize>,
        /// How many come at a time
        #[arg(long)]
        step: Option<usize>,
    },
    /// From a pose to a picture, stage by stage, over QUIC and WebTransport
    Latency {
        /// A few seconds only, to see that it works
        #[arg(long)]
        quick: bool,
    },
    /// The importer beside gltfpack, obj2gltf, py3dtiles and splat-transform: time, memory, size, error
    Import {
        /// The smallest case once, to see that it works
        #[arg(long)]
        quick: bool,
        /// Runs that the median is taken of
        #[arg(long)]
        runs: Option<usize>,
        /// Folder with lone-star.laz and fourth_st.spz
        #[arg(long)]
        scans: Option<PathBuf>,
        /// Where the table goes
        #[arg(long)]
        table: Option<PathBuf>,
    },
    /// A worker of `load`: headsets that move
    #[command(hide = true)]
    Crowd(Target),
    /// A worker of `fanout`: headsets that stand still
    #[command(hide = true)]
    Headsets(Target),
    /// Writes the tours and scenes of the benches into a folder, to look at them
    Content { folder: PathBuf },
    /// A worker of `fanout`: bare quinn, sending
    #[command(hide = true)]
    RawSend,
    /// A worker of `fanout`: bare quinn, receiving
    #[command(hide = true)]
    RawReceive {
        #[arg(long)]
        server: SocketAddr,
        #[arg(long)]
        certificate: PathBuf,
    },
}

#[derive(clap::Args)]
struct Target {
    #[arg(long)]
    server: SocketAddr,
    #[arg(long)]
    sha256: String,
    #[arg(long)]
    code: String,
}

impl Target {
    fn trust(&self) -> Result<ServerTrust> {
        Ok(ServerTrust::CertificateHash(tongyou_client::net::parse_sha256(
            &self.sha256,
        )?))
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    // Whatever ends this program ends the programs that it started.
    tokio::select! {
        done = run(Cli::parse().command) => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Fanout {
            quick,
            headsets,
            windows,
            sets_per_s,
        } => {
            let mut options = if quick {
                fanout::Options::quick()
            } else {
                fanout::Options::full()
            };
            if let Some(headsets) = headsets {
                options.headsets = headsets;
            }
            options.windows = windows.unwrap_or(options.windows);
            options.sets_per_s = sets_per_s.unwrap_or(options.sets_per_s);
            let report = fanout::run(&options).await?;
            let (server, sending, raw) = report.slopes();
            eprintln!(
                "one more headset: {server:.3} ms CPU/s ({sending:.3} without drawing and coding); bare quinn: {raw:.3}; \
                 ratio {:.2} ({:.2})",
                server / raw,
                sending / raw
            );
            finish(&report, if quick { Vec::new() } else { report.shortfalls(&options) })
        }
        Command::Load { quick, first, step } => {
            let mut options = if quick {
                load::Options::quick()
            } else {
                load::Options::full()
            };
            options.first = first.unwrap_or(options.first);
            options.step = step.unwrap_or(options.step);
            options.most = options.most.max(options.first);
            finish(&load::run(&options).await?, Vec::new())
        }
        Command::Import {
            quick,
            runs,
            scans,
            table,
        } => {
            let options = import::Options {
                runs: runs.unwrap_or(if quick { 1 } else { 3 }),
                scans,
                quick,
                ..import::Options::full()
            };
            let outcome = tokio::task::spawn_blocking(move || import::run(&options)).await??;
            let text = outcome.table();
            eprintln!("{text}");
            if let Some(table) = table {
                std::fs::write(table, text)?;
            }
            finish(&outcome, Vec::new())
        }
        Command::Latency { quick } => {
            let options = if quick {
                latency::Options::quick()
            } else {
                latency::Options::full()
            };
            finish(&latency::run(&options).await?, Vec::new())
        }
        Command::Crowd(target) => crowd::work(target.server, target.trust()?, target.code).await,
        Command::Headsets(target) => headsets::work(target.server, target.trust()?, target.code).await,
        Command::Content { folder } => content::write(&folder),
        Command::RawSend => raw::send().await,
        Command::RawReceive { server, certificate } => raw::receive(server, &certificate).await,
    }
}

/// Prints the figures, then fails where they are not what was promised.
fn finish(report: &impl Serialize, shortfalls: Vec<String>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, report)?;
    writeln!(out)?;
    out.flush()?;
    if shortfalls.is_empty() {
        Ok(())
    } else {
        bail!("not as promised:\n  {}", shortfalls.join("\n  "))
    }
}
