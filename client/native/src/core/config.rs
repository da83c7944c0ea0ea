//! What a headset says about itself.

use tongyou_protocol::control::{self, ClientKind};
use tongyou_protocol::{ResumeTicket, VERSION};

/// What a headset says about itself when it joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The session code.
    pub code: String,
    /// The wearer's name.
    pub name: String,
    /// BCP 47 language.
    pub language: String,
    /// Which client this is, for the server's log.
    pub client: String,
    /// Moved by a program.
    pub simulated: bool,
    /// A grant of the guide's console, or empty.
    pub guide_grant: String,
    /// From an earlier visit.
    pub resume_ticket: Option<ResumeTicket>,
    /// A person, or a projector.
    pub kind: ClientKind,
}

impl Config {
    /// A person who joins with a code and a name.
    #[must_use]
    pub fn new(code: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            name: name.into(),
            language: "zh".to_owned(),
            client: concat!("native/", env!("CARGO_PKG_VERSION")).to_owned(),
            simulated: false,
            guide_grant: String::new(),
            resume_ticket: None,
            kind: ClientKind::Headset,
        }
    }

    pub(super) fn hello(&self, ticket: Option<ResumeTicket>) -> control::Hello {
        control::Hello {
            protocol_version: VERSION,
            code: self.code.clone(),
            name: self.name.clone(),
            resume_ticket: ticket.map(|t| t.0.to_vec()).unwrap_or_default(),
            guide_grant: self.guide_grant.clone(),
            client: self.client.clone(),
            language: self.language.clone(),
            simulated: self.simulated,
            kind: self.kind.into(),
        }
    }
}
