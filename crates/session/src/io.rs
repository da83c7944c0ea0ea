//! What goes into a [`crate::Registry`] and what comes out.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use glam::{Quat, Vec3};
use tongyou_protocol::control::{ServerMessage, SkewReport};
use tongyou_protocol::datagram::Feedback;
use tongyou_protocol::{HeadsetId, ServerTime, SessionCode, TourTime, VantageId};
use tongyou_scene::Tour;

/// One connection; the caller chooses the numbers and does not reuse them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One session of this server; not reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub u32);

/// What happened on a link.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The transport is up. Nothing else of a link is taken before this.
    Connected {
        /// The peer's address, for the limit on wrong codes.
        address: IpAddr,
    },
    /// One control message, without its length prefix.
    Control(&'a [u8]),
    /// One datagram.
    Datagram(&'a [u8]),
    /// The transport is down. The link's number is forgotten.
    Disconnected,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send reliably and in order. The message is shared: a roster goes to everyone as one allocation.
    Control {
        /// To whom.
        link: LinkId,
        /// What.
        message: Arc<ServerMessage>,
    },
    /// Send once, or drop.
    Datagram {
        /// To whom.
        link: LinkId,
        /// What.
        bytes: Bytes,
    },
    /// Close when the control messages before it are flushed (or after a second). The registry has already
    /// forgotten the link; its [`Input::Disconnected`] is harmless.
    Close {
        /// Which.
        link: LinkId,
        /// The application's error code.
        code: CloseCode,
        /// For the peer's log.
        reason: String,
    },
    /// How delivery to a headset goes, for its frame senders.
    Feedback {
        /// From whom.
        link: LinkId,
        /// The report.
        feedback: Feedback,
    },
    /// How far from the agreed instant a headset applied a stop change.
    Skew {
        /// In which session.
        session: SessionKey,
        /// From whom.
        headset: HeadsetId,
        /// The report.
        report: SkewReport,
    },
    /// For the operator. Holds no secrets.
    Log {
        /// How bad.
        level: Level,
        /// A sentence.
        message: String,
    },
    /// A session is over and forgotten; its links are being closed.
    SessionEnded {
        /// Which.
        session: SessionKey,
    },
}

/// How bad a [`Output::Log`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Only of interest when something is being hunted.
    Debug,
    /// The normal course of a tour.
    Info,
    /// Somebody did what is not allowed, or something does not fit.
    Warn,
}

/// Why a link is closed; the numbers travel as QUIC application error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum CloseCode {
    /// The headset left, or the session ended.
    Done = 0,
    /// After [`tongyou_protocol::control::Refused`].
    Refused = 1,
    /// The headset came back over another link.
    Replaced = 2,
    /// Nothing was heard for too long.
    Silent = 3,
    /// Too many messages.
    Flood = 4,
}

/// One session at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Which session.
    pub session: SessionKey,
    /// Its code.
    pub code: SessionCode,
    /// Its tour.
    pub tour: Arc<Tour>,
    /// The instant on the tour.
    pub tour_time: TourTime,
    /// Server time of tour time zero.
    pub tour_zero: ServerTime,
    /// What is to be rendered, those of the current stop first. Empty when nobody is here.
    pub vantages: Vec<ActiveVantage>,
}

impl Tick {
    /// The id of the tour.
    #[must_use]
    pub fn tour_id(&self) -> &str {
        &self.tour.id
    }
}

/// A vantage that somebody looks through, or is about to.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveVantage {
    /// Its id: fresh whenever a cell becomes occupied, not reused within a session until 65,536 later.
    pub vantage: VantageId,
    /// The stop change that it belongs to.
    pub epoch: u32,
    /// Index of the stop in the tour.
    pub stop: usize,
    /// Index of the cell in the stop; for one that is not a cell's the nearest.
    pub cell: usize,
    /// The rendered point, stop-local metres: of a panorama and of a flat camera. A stereo pair lies around it.
    pub point: Vec3,
    /// What is rendered from there.
    pub kind: VantageKind,
    /// Who is to be sent its frames.
    pub viewers: Vec<Viewer>,
    /// Belongs to a stop change that has not happened yet.
    pub preparing: bool,
}

/// What a vantage shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VantageKind {
    /// All around a point, shared by everyone who stands there.
    Panorama,
    /// Two eyes of one who stands alone. Its point follows the head.
    Stereo {
        /// `world_from_eyes`, where the head is expected to be looking when the picture is shown.
        rotation: Quat,
        /// Half the distance between the eyes, metres.
        half_ipd: f32,
    },
    /// One camera, shared.
    Flat {
        /// `world_from_camera`; the camera looks along −Z.
        rotation: Quat,
        /// Vertical field of view, radians.
        vertical_fov_rad: f32,
        /// Pixels across.
        width: u16,
        /// Pixels down.
        height: u16,
    },
}

/// Who looks through a vantage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Viewer {
    /// Where its frames go.
    pub link: LinkId,
    /// Where the wearer looks, a unit vector in stop-local space, from the newest pose; `None` while none is known, for
    /// who only fetches ahead, and for spectators.
    pub gaze: Option<Vec3>,
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Which session.
    pub session: SessionKey,
    /// Its code.
    pub code: SessionCode,
    /// The tour's id.
    pub tour: String,
    /// How many are connected.
    pub people: u16,
    /// How many watch without being here.
    pub spectators: u16,
    /// How many it admits.
    pub capacity: u16,
    /// Name of who leads.
    pub guide: Option<String>,
    /// Who leads is a program.
    pub guide_simulated: bool,
}

/// Why the operator's request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such tour.
    #[error("there is no tour {0:?}")]
    UnknownTour(String),
    /// There is no such session.
    #[error("there is no session {0}")]
    UnknownSession(SessionCode),
    /// The tour has no such stop.
    #[error("tour {tour:?} has no stop {stop:?}")]
    UnknownStop {
        /// Which tour.
        tour: String,
        /// What was named.
        stop: String,
    },
    /// The tour has a fault.
    #[error("{0}")]
    InvalidTour(String),
    /// The capacity is out of range.
    #[error("a session can admit 1 to {max} headsets, not {asked}")]
    Capacity {
        /// What was asked for.
        asked: u16,
        /// The largest allowed.
        max: u16,
    },
}

/// What was counted since the start, over all sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Poses that were taken.
    pub poses: u64,
    /// Poses of another stop change, or older than one that was taken.
    pub poses_stale: u64,
    /// Poses out of reach or too fast.
    pub poses_refused: u64,
    /// Datagrams that do not follow the layout.
    pub datagrams_malformed: u64,
    /// Datagrams over a link's limit, or before its hello.
    pub datagrams_dropped: u64,
    /// Control messages that do not follow the layout.
    pub control_malformed: u64,
    /// Hellos that were refused.
    pub hellos_refused: u64,
    /// Commands that were refused.
    pub commands_refused: u64,
}
