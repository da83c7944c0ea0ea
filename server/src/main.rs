//! The command line of `tongyou-server`.

use anyhow::Context;
use clap::{Parser, Subcommand};
use tongyou_server::{Options, Server, guide_link};
use tracing_subscriber::EnvFilter;

/// A multiplayer VR tourism server: one tour, shared by many headsets.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Prints a link with which a guide signs in to the running server.
    GuideLink,
}

fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,wgpu=warn,naga=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let cli = Cli::parse();
    let config = cli.options.resolve()?;
    if matches!(cli.command, Some(Command::GuideLink)) {
        print_line(&guide_link(&config)?);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("network")
        .enable_all()
        .build()
        .context("can not start the network threads")?;
    runtime.block_on(async {
        let server = Server::start(config).await?;
        print_line(&server.greeting());
        stop_signal().await?;
        server.stop("the server is shutting down").await;
        Ok(())
    })
}

/// Ctrl-C, or a polite kill.
async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the person at the terminal asked for")]
fn print_line(text: &str) {
    println!("{text}");
}
