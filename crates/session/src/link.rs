//! What the registry remembers of one connection.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tongyou_protocol::{HeadsetId, ServerTime};

use crate::SessionKey;
use crate::bucket::Bucket;

/// The same complaint is not repeated sooner.
const NOTICE_EVERY: Duration = Duration::from_secs(5);

pub(crate) struct Link {
    pub(crate) address: IpAddr,
    pub(crate) connected_at: ServerTime,
    pub(crate) heard_at: ServerTime,
    /// As the transport measured it last.
    pub(crate) rtt: Option<Duration>,
    /// Once its hello was accepted.
    pub(crate) member: Option<(SessionKey, Who)>,
    /// A person taps a few times a second; a program in a loop does not stop the others.
    pub(crate) control: Bucket,
    /// 72 poses and a few pings a second, and room for more.
    pub(crate) datagrams: Bucket,
    noticed: [Option<ServerTime>; 4],
}

/// What a link is in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Person(HeadsetId),
    Spectator,
}

/// What a sender is told at most once in a while.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Complaint {
    Malformed,
    OutOfReach,
    TooFast,
    NotAllowed,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(id) => write!(f, "headset {id}"),
            Self::Spectator => f.write_str("a spectator"),
        }
    }
}

impl Link {
    pub(crate) fn new(now: ServerTime, address: IpAddr) -> Self {
        Self {
            address,
            connected_at: now,
            heard_at: now,
            rtt: None,
            member: None,
            control: Bucket::new(20.0, 60.0),
            datagrams: Bucket::new(300.0, 600.0),
            noticed: [None; 4],
        }
    }

    /// Whether it is time to complain about this (again).
    pub(crate) fn may_complain(&mut self, now: ServerTime, about: Complaint) -> bool {
        let last = &mut self.noticed[about as usize];
        let due = last.is_none_or(|at| now.saturating_since(at) >= NOTICE_EVERY);
        if due {
            *last = Some(now);
        }
        due
    }
}
