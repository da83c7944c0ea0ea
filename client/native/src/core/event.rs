//! What a headset tells the one who drives it.

use tongyou_protocol::control::{Placement, RefusedReason};
use tongyou_protocol::{HeadsetId, ServerTime, SetId};
use tongyou_stream::receive::{Complete, StreamId};

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// On the tour.
    Welcome {
        /// The id in the session.
        headset: HeadsetId,
        /// The ticket that was shown is known: this is the same person, and within the grace the old place.
        resumed: bool,
    },
    /// Not admitted, or thrown out; the connection ends.
    Refused {
        /// Why.
        reason: RefusedReason,
        /// Why, for a person.
        message: String,
    },
    /// People came, went or changed.
    RosterChanged,
    /// A stop change is being prepared.
    Preparing {
        /// The coming epoch.
        epoch: u32,
        /// The coming stop.
        stop: u32,
    },
    /// A complete set of the coming stop is here.
    Ready {
        /// The coming epoch.
        epoch: u32,
        /// The set.
        set: SetId,
    },
    /// The instant of a stop change is agreed.
    Committed {
        /// The coming epoch.
        epoch: u32,
        /// The coming stop.
        stop: u32,
        /// When everyone changes.
        at: ServerTime,
    },
    /// The stop has changed.
    StopApplied(StopApplied),
    /// The wearer stands elsewhere, and a set of there is complete.
    Placed(Placement),
    /// A set can be presented.
    Complete(Box<Complete>),
    /// A decoded picture is of no use.
    PictureDropped {
        /// Which stream.
        stream: StreamId,
        /// Which set.
        set: SetId,
    },
    /// Neither a set nor a heartbeat of the shown picture has come for three seconds: it may be out of date. The picture
    /// stays; the connection may still be there.
    Stalled,
    /// The picture is alive again.
    Resumed,
    /// The session is over.
    Ended {
        /// Why, for a person.
        message: String,
    },
    /// A wish was not granted.
    Notice {
        /// Why.
        reason: RefusedReason,
        /// Why, for a person.
        message: String,
    },
    /// Something arrived that does not follow the protocol; it was ignored.
    Malformed {
        /// Which lane.
        lane: &'static str,
        /// What was wrong with it.
        message: String,
    },
}

/// A stop change as this headset carried it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopApplied {
    /// The epoch that began.
    pub epoch: u32,
    /// The stop.
    pub stop: u32,
    /// When everyone was to change.
    pub agreed: ServerTime,
    /// When this headset did, on its estimate of server time.
    pub applied: ServerTime,
    /// Whether a complete set of the stop was here.
    pub complete: bool,
}
