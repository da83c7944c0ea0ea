//! `tongyou-bot`: headless headsets that join a session, move like people, and print a JSON report at the end.

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tongyou_bot::{Config, Lead, Motion, ServerTrust};

#[derive(Parser)]
#[command(
    version,
    about = "Headless headsets that join a session, move like people, and print a JSON report at the end"
)]
struct Args {
    /// The server, HOST:PORT.
    #[arg(long)]
    server: String,
    /// SHA-256 of the server's certificate in hexadecimal, as in its ready file; without it the certificate must be one
    /// that the system trusts.
    #[arg(long)]
    certificate_sha256: Option<String>,
    /// The session code.
    #[arg(long)]
    code: String,
    /// How many bots, 1 to 1000.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Their names, separated by commas; beyond them bots are numbered.
    #[arg(long, value_delimiter = ',')]
    names: Vec<String>,
    /// How they move.
    #[arg(long, value_enum, default_value = "seeded")]
    motion: MotionArg,
    /// Of all that is random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds that they stay; without it until Ctrl-C or SIGTERM. The report is printed in each case.
    #[arg(long)]
    seconds: Option<f64>,
    /// Seconds over which they arrive.
    #[arg(long, default_value_t = 0.0)]
    join_over: f64,
    /// A guide's grant: the first bot leads.
    #[arg(long)]
    guide_grant: Option<String>,
    /// Seconds at each stop, for the bot that leads.
    #[arg(long, default_value_t = 30.0)]
    tour_interval: f64,
    /// Bot i's clock is i times this ahead, milliseconds.
    #[arg(long, default_value_t = 0.0)]
    clock_offset_ms: f64,
    /// Bots' clocks drift by this many parts per million, every second one the other way.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    drift_ppm: f64,
    /// Displays that take the newest complete set so many times a second; without it a set counts as presented as soon
    /// as it is complete.
    #[arg(long)]
    display_hz: Option<f32>,
    /// Decode colour and depth in full.
    #[arg(long)]
    decode: bool,
    /// A folder in which each bot keeps its ticket: one that is killed and started again comes back to its place.
    #[arg(long)]
    tickets: Option<PathBuf>,
    /// No progress on stderr.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum MotionArg {
    Seeded,
    Still,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .init();
    let args = Args::parse();
    // From here on either ends the visit, and the report is printed.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let config = config(args).await?;
    let (cancel, cancelled) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancel.send_replace(true);
        std::future::pending::<()>().await;
    });
    let report = tongyou_bot::run(config, cancelled).await;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)?;
    if report.joined == 0 {
        bail!(
            "no bot could join: {}",
            report.problems().first().map_or("", String::as_str)
        );
    }
    Ok(())
}

async fn config(args: Args) -> anyhow::Result<Config> {
    let (host, _) = args.server.rsplit_once(':').context("--server must be HOST:PORT")?;
    let server = tokio::net::lookup_host(&args.server)
        .await
        .with_context(|| format!("--server {}", args.server))?
        .next()
        .with_context(|| format!("--server {}: no address", args.server))?;
    let trust = match &args.certificate_sha256 {
        Some(hex) => {
            ServerTrust::CertificateHash(tongyou_client::net::parse_sha256(hex).context("--certificate-sha256")?)
        }
        None => ServerTrust::System,
    };
    let seconds = |value: f64, name: &str| {
        Duration::try_from_secs_f64(value).with_context(|| format!("--{name} {value}: not a duration"))
    };
    if let Some(hz) = args.display_hz.filter(|hz| !(1.0..=1000.0).contains(hz)) {
        bail!("--display-hz {hz}: must be 1 to 1000");
    }
    Ok(Config {
        server_name: host.trim_matches(['[', ']']).to_owned(),
        count: args.count.into(),
        names: args.names,
        motion: match args.motion {
            MotionArg::Seeded => Motion::Seeded,
            MotionArg::Still => Motion::Still,
        },
        seed: args.seed,
        duration: args.seconds.map(|s| seconds(s, "seconds")).transpose()?,
        join_over: seconds(args.join_over, "join-over")?,
        lead: match args.guide_grant {
            Some(grant) => Some(Lead {
                grant,
                interval: seconds(args.tour_interval, "tour-interval")?,
            }),
            None => None,
        },
        clock_offset: seconds(args.clock_offset_ms / 1e3, "clock-offset-ms")?,
        drift_ppm: args.drift_ppm,
        decode: args.decode,
        display_hz: args.display_hz,
        tickets: args.tickets,
        progress: !args.quiet,
        ..Config::new(server, trust, args.code)
    })
}
