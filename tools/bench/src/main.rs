//! `tongyou-bench`: the benches of `cargo xtask bench`. JSON on standard output, how it goes on standard error.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use serde::Serialize;
use tongyou_bench::{crowd, fanout, headsets, latency, load, raw};
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
    },
    /// The largest number of headsets with poses at 72 Hz at which the tick is in time
    Load {
        /// One small number only, to see that it works
        #[arg(long)]
        quick: bool,
    },
    /// From a pose to a picture, stage by stage, over QUIC and WebTransport
    Latency {
        /// A few seconds only, to see that it works
        #[arg(long)]
        quick: bool,
    },
    /// A worker of `load`: headsets that move
    #[command(hide = true)]
    Crowd(Target),
    /// A worker of `fanout`: headsets that stand still
    #[command(hide = true)]
    Headsets(Target),
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
    match Cli::parse().command {
        Command::Fanout { quick } => {
            let options = if quick {
                fanout::Options::quick()
            } else {
                fanout::Options::full()
            };
            let report = fanout::run(&options).await?;
            let (server, raw) = report.slopes();
            eprintln!(
                "one more headset: {server:.3} ms CPU/s; bare quinn: {raw:.3}; ratio {:.2}",
                server / raw
            );
            finish(&report, if quick { Vec::new() } else { report.shortfalls(&options) })
        }
        Command::Load { quick } => {
            let options = if quick {
                load::Options::quick()
            } else {
                load::Options::full()
            };
            finish(&load::run(&options).await?, Vec::new())
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
