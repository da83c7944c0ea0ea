//! When what happened to one pose or one set, in the log at level `trace`: what `cargo xtask bench latency` reads.
//!
//! `RUST_LOG=tongyou_server::stamps=trace` switches it on; otherwise it costs a comparison.

use bytes::Bytes;
use tongyou_protocol::ServerTime;
use tongyou_protocol::datagram::Datagram;
use tongyou_protocol::frame::{Frame, Lane};
use tongyou_session::LinkId;
use tracing::{Level, enabled, trace};

use crate::fanout::Key;

/// When a set went through the server, microseconds of server time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SetTimes {
    /// The tick that wanted it.
    pub(crate) wanted: ServerTime,
    /// Drawing began.
    pub(crate) started: ServerTime,
}

/// A pose was read from its link at `read` and taken by the tick thread at `taken`.
pub(crate) fn datagram_in(link: LinkId, bytes: &[u8], read: ServerTime, taken: ServerTime) {
    if enabled!(Level::TRACE)
        && let Ok(Datagram::Pose(pose)) = Datagram::from_bytes(bytes)
    {
        let time_100us = pose.body.time_100us;
        trace!(link = link.0, time_100us, read = read.0, taken = taken.0, "pose");
    }
}

/// Poses are handed to a link at `at`.
pub(crate) fn datagram_out(link: LinkId, bytes: &[u8], at: ServerTime) {
    if enabled!(Level::TRACE)
        && let Ok(Datagram::Avatars(avatars)) = Datagram::from_bytes(bytes)
    {
        for (who, body) in avatars.people {
            let time_100us = body.time_100us;
            trace!(link = link.0, headset = who.0, time_100us, at = at.0, "avatar");
        }
    }
}

/// A set has been coded at `encoded`.
pub(crate) fn encoded(key: Key, set: u32, times: SetTimes, rendered: ServerTime, encoded: ServerTime) {
    let SetTimes { wanted, started } = times;
    trace!(
        session = key.session.0,
        vantage = key.vantage.0,
        set,
        wanted = wanted.0,
        started = started.0,
        rendered = rendered.0,
        encoded = encoded.0,
        "set"
    );
}

/// A frame is handed to a link at `at`.
pub(crate) fn frame_out(link: LinkId, chunks: &[Bytes], at: ServerTime) {
    if enabled!(Level::TRACE)
        && let Ok(Frame { header, .. }) = Frame::from_bytes(&chunks.concat().into())
    {
        let lane = match header.lane {
            Lane::Color => "color",
            Lane::Depth => "depth",
        };
        trace!(link = link.0, set = header.tag.set.0, lane, at = at.0, "frame");
    }
}
