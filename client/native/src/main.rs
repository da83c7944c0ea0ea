//! `tongyou-client`: joins a session. There is no window yet: `--headless` stays, receives, decodes and tells.

use anyhow::{Context, bail};
use clap::Parser;
use glam::{Quat, Vec3};
use tongyou_client::core::{self, Event, Headset, LocalJoint, LocalPose};
use tongyou_client::net::{self, Decode, Machine, Moment, Options, Picture, Wearer};
use tongyou_transport::ServerTrust;

#[derive(Parser)]
#[command(about = "Joins a session without a window and tells what happens")]
struct Args {
    /// The server, HOST:PORT.
    #[arg(long)]
    server: String,
    /// SHA-256 of the server's certificate in hexadecimal; without it, what the system trusts counts.
    #[arg(long)]
    certificate_sha256: Option<String>,
    /// The session code.
    #[arg(long)]
    code: String,
    /// The wearer's name.
    #[arg(long)]
    name: String,
    /// Without a window; there is none yet, so it must be given.
    #[arg(long)]
    headless: bool,
    /// Check checksums only.
    #[arg(long)]
    no_decode: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    let args = Args::parse();
    if !args.headless {
        bail!("there is no window yet: say --headless");
    }
    let (host, _) = args.server.rsplit_once(':').context("--server must be HOST:PORT")?;
    let server = tokio::net::lookup_host(&args.server)
        .await
        .with_context(|| format!("--server {}", args.server))?
        .next()
        .with_context(|| format!("--server {}: no address", args.server))?;
    let trust = match &args.certificate_sha256 {
        Some(hex) => ServerTrust::CertificateHash(net::parse_sha256(hex).context("--certificate-sha256")?),
        None => ServerTrust::System,
    };
    let options = Options {
        connect: net::quic(server, host.trim_matches(['[', ']']), trust),
        headset: core::Config::new(args.code, args.name),
        clock: Machine::default(),
        decode: if args.no_decode { Decode::Nothing } else { Decode::All },
    };
    let (cancel, cancelled) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.send_replace(true);
        }
        std::future::pending::<()>().await;
    });
    let mut person = Standing::default();
    let end = net::run(options, &mut person, cancelled).await?;
    tracing::info!(?end, pictures = person.pictures, "over");
    Ok(())
}

/// Someone who stands still and tells what happens.
#[derive(Default)]
struct Standing {
    pictures: u64,
}

impl Wearer for Standing {
    fn pose(&mut self, _at: Moment, _headset: &mut Headset) -> Option<LocalPose> {
        let head = LocalJoint {
            position: Vec3::Y * 1.6,
            rotation: Quat::IDENTITY,
        };
        Some(LocalPose {
            head,
            left: None,
            right: None,
            pointer: None,
        })
    }

    fn on_event(&mut self, _at: Moment, event: &Event, headset: &mut Headset) {
        match event {
            Event::Welcome { headset: id, .. } => {
                let tour = headset.tour().and_then(|t| t.title.as_ref()).map_or("", |t| &t.en);
                tracing::info!(headset = id.0, tour, "in");
            }
            Event::RosterChanged => tracing::info!(people = headset.roster().len(), "roster"),
            Event::StopApplied(applied) => tracing::info!(?applied, "stop"),
            Event::Complete(_) | Event::PictureDropped { .. } => {}
            other => tracing::info!(?other, "event"),
        }
    }

    fn on_picture(&mut self, _at: Moment, picture: Picture) {
        self.pictures += 1;
        let depth = picture.depth.samples();
        let nearest = depth.iter().copied().max().unwrap_or(0);
        tracing::debug!(set = picture.header.tag.set.0, nearest, "picture");
    }

    fn on_decode_error(&mut self, _at: Moment, message: &str) {
        tracing::error!(message, "decoding");
    }
}
