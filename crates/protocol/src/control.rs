//! The control lane: protobuf messages generated from `proto/control.proto`.

use crate::Error;
use bytes::Bytes;
use prost::Message;

/// A longer control message closes the connection. `tongyou_transport::MAX_CONTROL_BYTES` is the same number, as with
/// [`crate::ALPN`].
pub const MAX_BYTES: usize = 65_536;

#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated; documented in the .proto file"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tongyou.v1.rs"));
}

pub use generated::*;

impl From<client_message::Body> for ClientMessage {
    fn from(body: client_message::Body) -> Self {
        Self { body: Some(body) }
    }
}

impl From<server_message::Body> for ServerMessage {
    fn from(body: server_message::Body) -> Self {
        Self { body: Some(body) }
    }
}

impl ClientMessage {
    /// The message's bytes, without the length prefix.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Reads one message.
    ///
    /// # Errors
    /// When the bytes are not valid protobuf, or say nothing this version knows.
    pub fn from_bytes(bytes: &[u8]) -> Result<client_message::Body, Error> {
        let message = Self::decode(bytes).map_err(|e| Error::Control(e.to_string()))?;
        message
            .body
            .ok_or_else(|| Error::Control("it says nothing that this version knows".to_owned()))
    }
}

impl ServerMessage {
    /// The message's bytes, without the length prefix.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Reads one message.
    ///
    /// # Errors
    /// When the bytes are not valid protobuf, or say nothing this version knows.
    pub fn from_bytes(bytes: &[u8]) -> Result<server_message::Body, Error> {
        let message = Self::decode(bytes).map_err(|e| Error::Control(e.to_string()))?;
        message
            .body
            .ok_or_else(|| Error::Control("it says nothing that this version knows".to_owned()))
    }
}

impl From<glam::Vec3> for Vec3 {
    fn from(v: glam::Vec3) -> Self {
        Self { x: v.x, y: v.y, z: v.z }
    }
}

impl From<Vec3> for glam::Vec3 {
    fn from(v: Vec3) -> Self {
        Self::new(v.x, v.y, v.z)
    }
}
