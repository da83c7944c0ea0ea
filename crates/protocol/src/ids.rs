//! Typed identifiers.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// One rendered instant of one vantage; rises by one with each set of a session, never reused within it.
    SetId(u32)
);
id!(
    /// One headset in one session; not reused within the session.
    HeadsetId(u16)
);
id!(
    /// One rendered viewpoint in one session.
    VantageId(u16)
);

/// A secret of 128 bits with which a headset comes back to its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResumeTicket(pub [u8; 16]);

impl fmt::Debug for ResumeTicket {
    // The ticket is a secret: it never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeTicket(…)")
    }
}
