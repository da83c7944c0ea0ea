//! Decoders, for the native client, the bots and the tests.

mod openh264;

pub use self::openh264::OpenH264;

use crate::Size;

/// One decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Its size after cropping.
    pub size: Size,
    /// Contiguous NV12 of that size.
    pub nv12: Vec<u8>,
}

/// What every decoder does.
pub trait Decoder: Send {
    /// Decodes one picture in Annex B, as an encoder gave it. The first one must be a keyframe.
    ///
    /// # Errors
    /// When the stream is damaged, or does not begin with a keyframe; the decoder then needs a keyframe.
    fn decode(&mut self, data: &[u8]) -> Result<Picture, Error>;
}

/// Why a picture can not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The codec library answered with an error or a state that is not clean.
    #[error("decoder {backend}: {message}")]
    Codec {
        /// The backend's name.
        backend: &'static str,
        /// What the library said.
        message: String,
    },
    /// The bytes hold no complete picture.
    #[error("decoder {backend}: {len} bytes hold no complete picture")]
    Incomplete {
        /// The backend's name.
        backend: &'static str,
        /// Bytes given.
        len: usize,
    },
    /// The picture has a size that nothing here works with.
    #[error(transparent)]
    Size(#[from] crate::SizeError),
}
