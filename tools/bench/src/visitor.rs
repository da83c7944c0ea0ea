//! A headset reduced to its link: joins, answers for itself, and hands over what arrives. Cheap enough for hundreds in
//! one process.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tokio::time::{Instant, timeout};
use tongyou_protocol::control::{self, ClientMessage, ServerMessage, client_message, server_message};
use tongyou_protocol::datagram::{Datagram, Ping};
use tongyou_protocol::frame::{Frame, Lane};
use tongyou_protocol::{ClientTime, VERSION};
use tongyou_transport::{Event, Events, Link};

use crate::raw::Rhythm;

const PATIENCE: Duration = Duration::from_secs(10);
/// A headset asks for the time so often.
pub const PING_EVERY: Duration = Duration::from_millis(250);

/// A joined link.
pub struct Visitor {
    /// Its link.
    pub link: Arc<dyn Link>,
    /// What arrives.
    pub events: Events,
    /// What the server said at first.
    pub welcome: control::Welcome,
    pings: u16,
}

impl Visitor {
    /// Joins a session.
    ///
    /// # Errors
    /// When the server does not answer in time, or refuses.
    pub async fn join((link, mut events): (Arc<dyn Link>, Events), code: &str, name: &str) -> Result<Self> {
        let hello = control::Hello {
            protocol_version: VERSION,
            code: code.to_owned(),
            name: name.to_owned(),
            client: concat!("bench/", env!("CARGO_PKG_VERSION")).to_owned(),
            language: "en".to_owned(),
            simulated: true,
            ..control::Hello::default()
        };
        link.send_control(ClientMessage::from(client_message::Body::Hello(hello)).to_bytes())?;
        let welcome = timeout(PATIENCE, async {
            loop {
                match events.recv().await.context("the link closed")? {
                    Event::Control(bytes) => match ServerMessage::from_bytes(&bytes)? {
                        server_message::Body::Welcome(welcome) => return Ok(welcome),
                        server_message::Body::Refused(refused) => bail!("refused: {}", refused.message),
                        _ => {}
                    },
                    Event::Closed { reason, .. } => bail!("the link closed: {reason}"),
                    _ => {}
                }
            }
        });
        let welcome = welcome.await.context("no welcome in time")??;
        Ok(Self {
            link,
            events,
            welcome,
            pings: 0,
        })
    }

    /// Says something on the control lane.
    ///
    /// # Errors
    /// When the link is closed or its queue full.
    pub fn say(&self, body: client_message::Body) -> Result<()> {
        Ok(self.link.send_control(ClientMessage::from(body).to_bytes())?)
    }

    /// Asks for the time, which also says that the headset is still there.
    pub fn ping(&mut self, now: ClientTime) {
        self.pings = self.pings.wrapping_add(1);
        let ping = Ping {
            seq: self.pings,
            sent: now,
        };
        // Datagrams may be lost.
        let _ = self.link.send_datagram(Datagram::Ping(ping).to_bytes());
    }
}

/// Records the frames of a vantage from keyframe to keyframe over about `length`, as a rhythm to be played again.
///
/// # Errors
/// When there are no two keyframes in it.
pub async fn record(mut visitor: Visitor, length: Duration) -> Result<Rhythm> {
    // The first second is the cached group and the sharpening of a new picture.
    let begin = Instant::now() + Duration::from_secs(2);
    let end = begin + length;
    let mut pings = tokio::time::interval(PING_EVERY);
    let mut frames: Vec<(i64, usize, bool)> = Vec::new();
    while Instant::now() < end {
        tokio::select! {
            _ = pings.tick() => visitor.ping(ClientTime(0)),
            event = visitor.events.recv() => match event.context("the link closed")? {
                Event::Frame(bytes) if Instant::now() >= begin => frames.push(entry(&bytes)?),
                Event::Closed { reason, .. } => bail!("the link closed: {reason}"),
                _ => {}
            }
        }
    }
    visitor.link.close(0, "recorded");
    frames.sort_unstable();
    let keys: Vec<i64> = frames.iter().filter(|f| f.2).map(|f| f.0).collect();
    let (Some(first), Some(last)) = (keys.first().copied(), keys.last().copied()) else {
        bail!("no keyframe in {length:?}");
    };
    ensure!(first < last, "only one keyframe in {length:?}");
    let offset = |at: i64| u64::try_from(at - first).unwrap_or(0);
    Ok(Rhythm {
        period_us: offset(last),
        datagrams: (0.0, 0),
        frames: frames
            .iter()
            .filter(|f| (first..last).contains(&f.0))
            .map(|f| (offset(f.0), f.1))
            .collect(),
    })
}

fn entry(bytes: &Bytes) -> Result<(i64, usize, bool)> {
    let header = Frame::from_bytes(bytes)?.header;
    Ok((
        header.rendered_at.0,
        bytes.len(),
        header.keyframe && header.lane == Lane::Color,
    ))
}
