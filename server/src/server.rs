//! Starts the threads, ties them together and ends them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::SystemTime;

use anyhow::Context;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;
use tokio::sync::oneshot;
use tongyou_session::Registry;
use tongyou_stream::{adapt, send};
use tongyou_transport::Listener;
use tracing::error;

use crate::certificates::{self, Certificates};
use crate::clock::Clock;
use crate::config::Config;
use crate::content::Content;
use crate::event::{Ask, Event, Granted, Inbox, Mailbox, mailbox};
use crate::fanout::Fanout;
use crate::guide_auth::{GuideAuth, write_private};
use crate::http::{self, Http};
use crate::metrics::{self, Metrics};
use crate::outbox::{Outbox, carry_out, outbox};
use crate::render::{Renderer, Settings};
use crate::slot::Slot;
use crate::tick::Tick;
use crate::watch::{Offer, Watch};
use crate::{encode, network};

/// Views of one's own that a server without a GPU draws at once.
const STEREO_IN_SOFTWARE: usize = 1;

/// A running server.
pub struct Server {
    addr: SocketAddr,
    origin: String,
    guide_link: String,
    certificates: Arc<Certificates>,
    /// Where the counters are served.
    metrics: Option<SocketAddr>,
    open: Vec<(String, Granted)>,
    mailbox: Mailbox,
    pages: axum_server::Handle<SocketAddr>,
    listener: Arc<Listener>,
    renewing: tokio::task::JoinHandle<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Loads the content, opens the GPU and the sockets, starts the threads and the sessions that are to be open.
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When something of that does not work; nothing is left running then.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let clock = Clock::new();
        let mut content = Content::load(&config.tours, &config.scenes)?;
        let local = std::mem::take(&mut content.files);
        let auth = GuideAuth::open(&config.data)?;
        let certificates = Arc::new(Certificates::load(&config, SystemTime::now())?);
        let listener = Arc::new(Listener::bind(
            config.listen,
            &certificates.quic(),
            tongyou_transport::Config::server(),
        )?);
        let addr = listener.local_addr()?;
        // The same port number for TCP, also where the system chose it.
        let tcp = std::net::TcpListener::bind(addr).with_context(|| format!("can not open TCP port {addr}"))?;
        tcp.set_nonblocking(true)?;

        let metrics = Arc::new(Metrics::default());
        let metrics_at = match config.metrics {
            Some(addr) => Some(metrics::serve(addr, metrics.clone()).await?),
            None => None,
        };

        let (mailbox, events) = mailbox();
        let (outbox, batches) = outbox(metrics.clone());
        tokio::spawn(carry_out(batches, clock, mailbox.clone()));
        let slot = Arc::new(Slot::default());
        let tours = content.tours.values().cloned().collect();
        let threads = start_threads(
            &config,
            clock,
            content,
            &slot,
            &metrics,
            mailbox.clone(),
            events,
            outbox,
        )
        .await?;

        let origin = http::origin(certificates.hosts().first().map_or("localhost", String::as_str), addr);
        let guide_link = format!("{origin}/guide/login?token={}", auth.link_token(SystemTime::now()));
        let router = http::router(Arc::new(Http {
            auth: Mutex::new(auth),
            tours,
            certificates: certificates.clone(),
            port: addr.port(),
            origin: origin.clone(),
            mailbox: mailbox.clone(),
            local,
            misses: Mutex::default(),
        }));
        let pages = axum_server::Handle::new();
        let server = axum_server::from_tcp_rustls(tcp, certificates.pages())?.handle(pages.clone());
        tokio::spawn(async move {
            if let Err(e) = server.serve(router.into_make_service()).await {
                error!("the web pages are not served any more: {e}");
            }
        });
        tokio::spawn(network::accept(listener.clone(), clock, mailbox.clone()));
        let renewing = tokio::spawn(certificates::keep(certificates.clone(), listener.clone()));

        let mut server = Self {
            addr,
            origin,
            guide_link,
            certificates,
            metrics: metrics_at,
            open: Vec::new(),
            mailbox,
            pages,
            listener,
            renewing,
            threads,
        };
        for tour in &config.open {
            let granted = server.open_session(tour).await?;
            server.open.push((tour.clone(), granted));
        }
        if let Some(path) = &config.ready_file {
            write_private(path, server.ready_json().to_string().as_bytes())?;
        }
        Ok(server)
    }

    /// The port of HTTPS and QUIC.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.addr.port()
    }

    /// What a script needs to know, as written to the ready file: it holds secrets.
    #[must_use]
    pub fn ready_json(&self) -> serde_json::Value {
        let hash: String = self.certificates.sha256().iter().map(|b| format!("{b:02x}")).collect();
        let sessions: Vec<_> = self
            .open
            .iter()
            .map(|(tour, g)| {
                let join_url = http::join_url(&self.origin, g.code);
                json!({ "tour": tour, "code": g.code.to_string(), "grant": g.grant, "join_url": join_url })
            })
            .collect();
        json!({
            "port": self.addr.port(), "origin": self.origin, "guide_link": self.guide_link,
            "certificate_sha256": hash, "sessions": sessions, "metrics_port": self.metrics.map(|a| a.port()),
        })
    }

    /// What the person who started the server should read.
    #[must_use]
    pub fn greeting(&self) -> String {
        let mut text = format!(
            "\nTongyou 同游 is open at {}\nGuides sign in (once): {}\n",
            self.origin, self.guide_link
        );
        for (tour, granted) in &self.open {
            let url = http::join_url(&self.origin, granted.code);
            text.push_str(&format!("\nTour {tour:?}: code {}\n{url}\n", granted.code));
            if let Ok(qr) = qrcode::QrCode::new(&url) {
                // Terminals are mostly dark: what is light in the code is drawn.
                text.push_str(
                    &qr.render::<Dense1x2>()
                        .dark_color(Dense1x2::Light)
                        .light_color(Dense1x2::Dark)
                        .build(),
                );
                text.push('\n');
            }
        }
        text
    }

    /// Ends every session with a word to everybody, then the threads.
    pub async fn stop(self, reason: &str) {
        let (done, stopped) = oneshot::channel();
        let event = Event::Stop {
            reason: reason.to_owned(),
            done,
        };
        if self.mailbox.send(event).await.is_ok() {
            // An error means that the tick thread has already ended.
            let _ = stopped.await;
        }
        self.pages.shutdown();
        self.renewing.abort();
        drop((self.mailbox, self.listener));
        let joined = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                if thread.join().is_err() {
                    error!("a thread ended with a panic");
                }
            }
        });
        if joined.await.is_err() {
            error!("the threads could not be joined");
        }
    }

    async fn open_session(&self, tour: &str) -> anyhow::Result<Granted> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Create {
            tour: tour.to_owned(),
            answer,
        };
        self.mailbox.send(Event::Ask(ask)).await?;
        answered
            .await
            .context("the tick thread has ended")?
            .with_context(|| format!("--open {tour}"))
    }
}

/// Makes a link with which a guide can sign in to the server that uses the same data folder.
///
/// # Errors
/// When the data folder can not be used.
pub fn guide_link(config: &Config) -> anyhow::Result<String> {
    let auth = GuideAuth::open(&config.data)?;
    let hosts = certificates::hosts(config)?;
    let origin = http::origin(hosts.first().map_or("localhost", String::as_str), config.listen);
    Ok(format!(
        "{origin}/guide/login?token={}",
        auth.link_token(SystemTime::now())
    ))
}

#[expect(clippy::too_many_arguments, reason = "one private call")]
async fn start_threads(
    config: &Config,
    clock: Clock,
    content: Content,
    slot: &Arc<Slot>,
    metrics: &Arc<Metrics>,
    mailbox: Mailbox,
    events: Inbox,
    outbox: Outbox,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let tours: Vec<_> = content.tours.values().cloned().collect();
    let local = content.local;
    // The sets of one instant wait here while those before are coded; the render thread then waits too.
    let (jobs, queue) = std::sync::mpsc::sync_channel(1);
    let (ready, opened) = oneshot::channel();
    let render = {
        let (slot, metrics) = (slot.clone(), metrics.clone());
        let settings = Settings {
            sets_per_s: config.sets_per_s,
            bitrate_bps: config.bitrate_bps,
            face_size: config.faces,
        };
        thread("render", move || {
            match Renderer::new(content.scenes, clock, settings, metrics) {
                Ok(renderer) => {
                    if ready.send(Ok(renderer.is_software())).is_ok() {
                        renderer.run(&slot, &jobs);
                    }
                }
                Err(e) => drop(ready.send(Err(e))),
            }
        })?
    };
    let is_software = opened.await.context("the render thread ended at once")??;
    let mut registry = Registry::new(session_config(config, is_software), rand::random());
    for tour in tours {
        registry.add_tour(tour.clone())?;
        for stop in &tour.stops {
            let models = local.get(&stop.scene).cloned().into_iter().collect();
            registry.set_local_models(&tour.id, &stop.id, models)?;
        }
    }
    let encode = {
        let (config, metrics) = (config.clone(), metrics.clone());
        thread("encode", move || {
            encode::run(&config, clock, &queue, &mailbox, &metrics)
        })?
    };
    let offer = Offer {
        behind: config.behind,
        faces: config.faces.is_some(),
    };
    let adapt = adapt::Config {
        max_sets_per_s: config.sets_per_s,
        max_bps: config.bitrate_bps,
        start_bps: config.bitrate_bps,
        ..adapt::Config::default()
    };
    let fanout = Fanout::new(send::Config {
        adapt,
        ..send::Config::default()
    });
    let tick = Tick::new(
        registry,
        fanout,
        Watch::new(offer),
        outbox,
        clock,
        slot.clone(),
        metrics.clone(),
        config.capacity,
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let tick = thread("tick", move || runtime.block_on(tick.run(events)))?;
    Ok(vec![tick, render, encode])
}

fn session_config(config: &Config, is_software: bool) -> tongyou_session::Config {
    let mut session = tongyou_session::Config {
        capacity_default: config.capacity,
        ..tongyou_session::Config::default()
    };
    if is_software {
        session.budget.stereo_most = STEREO_IN_SOFTWARE;
    }
    session
}

fn thread(name: &str, body: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .with_context(|| format!("can not start the {name} thread"))
}
