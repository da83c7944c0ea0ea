//! `tongyou-client`: joins a session: in a window, or with `--headless` without one.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use glam::{Quat, Vec3};
use tongyou_client::core::{self, Event, Headset, LocalJoint, LocalPose};
use tongyou_client::net::{self, Decode, Machine, Moment, Options, Picture, Wearer};
use tongyou_client::ticket::{self, Ticket};
use tongyou_client::{poses, window};
use tongyou_protocol::control::ClientKind;
use tongyou_transport::ServerTrust;

#[derive(Parser)]
#[command(
    about = "Joins a session and shows it in a window",
    after_help = "In the window: drag or arrows turn the view, W A S D lean, 1 to 9 or a click on a ring walk to a cell, \
                  a right click on the floor walks there, F or the middle button points, N and P are the guide's next \
                  and previous stop, R recentres, Esc leaves. Gamepad: right stick turns (snap turns with the digital \
                  pad), left stick leans, A walks to where the middle of the picture is, right trigger points, B \
                  recentres, the shoulders are the guide's previous and next stop."
)]
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
    #[arg(long, required_unless_present = "watch", default_value = "")]
    name: String,
    /// Watches only, as a projector does: one camera, no seat, no name.
    #[arg(long, conflicts_with_all = ["headless", "guide_grant"])]
    watch: bool,
    /// Begins anew although the same visit was broken off, and keeps nothing for the next time.
    #[arg(long)]
    no_resume: bool,
    /// Where the ticket of a visit is kept; the user's state folder otherwise.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// A grant from the guide's console: its holder may take the lead.
    #[arg(long, default_value = "")]
    guide_grant: String,
    /// Without a window: stays, receives, decodes and tells.
    #[arg(long)]
    headless: bool,
    /// Without a window: walks to this cell, counted from 1, once in.
    #[arg(long, requires = "headless", value_name = "CELL")]
    walk_to: Option<u32>,
    /// Check checksums only.
    #[arg(long, requires = "headless", conflicts_with = "poses")]
    no_decode: bool,
    /// Writes what both eyes see at these poses: a JSON array, or JSON lines.
    #[arg(long, requires = "headless", requires = "out", value_name = "FILE")]
    poses: Option<PathBuf>,
    /// Where the pictures of `--poses` go.
    #[arg(long, requires = "poses", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Pixels of the window.
    #[arg(long, default_value_t = 1280)]
    width: u32,
    /// Likewise.
    #[arg(long, default_value_t = 720)]
    height: u32,
    /// Closes the window after so many frames that show the tour.
    #[arg(long, hide = true)]
    frames: Option<u32>,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut options = runtime.block_on(options(&args))?;
    let ticket = ticket(&args);
    options.headset.resume_ticket = ticket.as_ref().and_then(Ticket::kept);
    match (&args.poses, &args.out) {
        (Some(list), Some(folder)) => runtime.block_on(capture(options, list, folder)),
        _ if args.headless => runtime.block_on(stand(options, ticket, args.walk_to)),
        _ => open(&args, options, ticket, &runtime),
    }
}

async fn options(args: &Args) -> anyhow::Result<Options> {
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
    Ok(Options {
        connect: net::quic(server, host.trim_matches(['[', ']']), trust),
        headset: core::Config {
            guide_grant: args.guide_grant.clone(),
            kind: if args.watch {
                ClientKind::Spectator
            } else {
                ClientKind::Headset
            },
            ..core::Config::new(&args.code, &args.name)
        },
        clock: Machine::default(),
        decode: if args.no_decode { Decode::Nothing } else { Decode::All },
    })
}

/// The ticket of this visit. Without it the visit goes on all the same.
fn ticket(args: &Args) -> Option<Ticket> {
    if args.no_resume || args.watch || args.poses.is_some() {
        return None;
    }
    let folder = args.state_dir.clone().or_else(ticket::state_folder)?;
    match Ticket::open(&folder, &args.server, &args.code, &args.name) {
        Ok(ticket) => ticket,
        Err(error) => {
            tracing::warn!(%error, "without a ticket");
            None
        }
    }
}

fn open(
    args: &Args,
    options: Options,
    ticket: Option<Ticket>,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<()> {
    let options = window::Options {
        net: options,
        size: (args.width, args.height),
        frames: args.frames,
        ticket,
    };
    let end = window::run(options, runtime.handle())?;
    tracing::info!(?end, "over");
    Ok(())
}

async fn capture(options: Options, list: &Path, folder: &Path) -> anyhow::Result<()> {
    let name = list.display().to_string();
    let text = std::fs::read_to_string(list).with_context(|| name.clone())?;
    let poses = poses::parse(&name, &text)?;
    let records = poses::capture(options, &poses, folder).await?;
    tracing::info!(pairs = records.len(), folder = %folder.display(), "written");
    Ok(())
}

async fn stand(options: Options, ticket: Option<Ticket>, walk_to: Option<u32>) -> anyhow::Result<()> {
    let (cancel, cancelled) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.send_replace(true);
        }
        std::future::pending::<()>().await;
    });
    let mut person = Standing {
        pictures: 0,
        is_new: false,
        ticket,
        walk_to,
    };
    let end = net::run(options, &mut person, cancelled).await?;
    if let Some(ticket) = &mut person.ticket {
        ticket.keep(None);
    }
    tracing::info!(?end, pictures = person.pictures, "over");
    Ok(())
}

/// Someone who stands still and tells what happens.
struct Standing {
    pictures: u64,
    /// There was no picture since Welcome.
    is_new: bool,
    ticket: Option<Ticket>,
    walk_to: Option<u32>,
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
        if let Some(ticket) = &mut self.ticket {
            ticket.on_event(event, headset);
        }
        match event {
            Event::Welcome { headset: id, resumed } => {
                let tour = headset.tour().and_then(|t| t.title.as_ref()).map_or("", |t| &t.en);
                let at = headset.seat().copied().unwrap_or_default();
                let seat = at.seat.unwrap_or_default();
                tracing::info!(headset = id.0, resumed, cell = at.cell, seat.x, seat.z, tour, "in");
                self.is_new = true;
                if let Some(cell) = self.walk_to.take().filter(|_| !resumed) {
                    headset.move_to_cell(cell.saturating_sub(1));
                }
            }
            Event::RosterChanged => tracing::info!(people = headset.roster().len(), "roster"),
            Event::StopApplied(applied) => tracing::info!(?applied, "stop"),
            Event::Complete(_) | Event::PictureDropped { .. } => {}
            other => tracing::info!(?other, "event"),
        }
    }

    fn on_picture(&mut self, _at: Moment, picture: Picture) {
        self.pictures += 1;
        if std::mem::take(&mut self.is_new) {
            tracing::info!(set = picture.header.tag.set.0, "a picture");
        }
        let layer = picture.header.layer;
        tracing::debug!(set = picture.header.tag.set.0, %layer, "picture");
    }

    fn on_decode_error(&mut self, _at: Moment, message: &str) {
        tracing::error!(message, "decoding");
    }
}
