//! Encoders: one per stream of a vantage, never one per viewer.

mod config;
mod openh264;
mod rate;

pub use self::openh264::OpenH264;
pub use config::{Config, Entropy};

use crate::{SizeError, SpsError};
use bytes::Bytes;

/// One encoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Annex B; a keyframe starts with its parameter sets, so that any keyframe can be the first of a decoder.
    pub data: Bytes,
    /// Whether a decoder can start here (an IDR picture).
    pub keyframe: bool,
    /// The set that the picture shows, as given to [`Backend::encode`].
    pub set: u32,
}

/// What every encoder does. What one can not do is [`Error::Unsupported`], never a silent nothing.
pub trait Backend: Send {
    /// Encodes one NV12 picture of the configured size as set `set`. No picture is ever delayed or skipped: the
    /// answer is this very picture.
    ///
    /// # Errors
    /// When the picture has another length than the configured size asks for, or the codec fails.
    fn encode(&mut self, nv12: &[u8], set: u32) -> Result<Encoded, Error>;

    /// Returns pictures that are still inside the encoder, oldest first; empty where nothing is ever delayed.
    ///
    /// # Errors
    /// When the codec fails.
    fn flush(&mut self) -> Result<Vec<Encoded>, Error>;

    /// Aims at another bit rate (bits per second) from the next picture on.
    ///
    /// # Errors
    /// When the rate is zero or beyond the stream's level.
    fn set_bitrate(&mut self, bitrate_bps: u32) -> Result<(), Error>;

    /// Tells the rate control how many pictures a second to expect from now on.
    ///
    /// # Errors
    /// When the rate is not within 1 to 60.
    fn set_fps(&mut self, fps: f32) -> Result<(), Error>;

    /// Makes the next picture a keyframe.
    ///
    /// # Errors
    /// When the codec refuses.
    fn force_keyframe(&mut self) -> Result<(), Error>;

    /// The codec string that the stream's own SPS gives, such as `avc1.42C02A`.
    fn codec_string(&self) -> &str;

    /// The backend's name for logs and reports.
    fn name(&self) -> &'static str;
}

/// Why an encoder can not be made or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A size that H.264 or the backend does not take.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// A configuration value out of its range.
    #[error("encoder configuration: {name} is {value}, it must be {expected}")]
    Config {
        /// The field.
        name: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A picture that is not of the configured size.
    #[error("picture for set {set}: {len} bytes, {expected} are {width}x{height} in NV12")]
    Input {
        /// The set that was to be encoded.
        set: u32,
        /// Bytes given.
        len: usize,
        /// Bytes needed.
        expected: usize,
        /// Configured width.
        width: usize,
        /// Configured height.
        height: usize,
    },
    /// The backend has no such ability.
    #[error("encoder {backend} does not support {what}")]
    Unsupported {
        /// The backend's name.
        backend: &'static str,
        /// What was asked.
        what: &'static str,
    },
    /// The codec library answered with an error.
    #[error("encoder {backend}: {call} failed with code {code}")]
    Codec {
        /// The backend's name.
        backend: &'static str,
        /// The library's function.
        call: &'static str,
        /// Its answer.
        code: i64,
    },
    /// The encoder's own parameter set can not be read.
    #[error("encoder {backend} wrote an unreadable parameter set")]
    Sps {
        /// The backend's name.
        backend: &'static str,
        /// What is wrong with it.
        #[source]
        source: SpsError,
    },
}
