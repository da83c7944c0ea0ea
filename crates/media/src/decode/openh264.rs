//! The embedded software decoder.

use super::{Decoder, Error, Picture};
use crate::Size;
use crate::nv12::interleave;
use openh264::OpenH264API;
use openh264::decoder::{DecodeOptions, DecoderConfig, Flush};
use openh264::formats::YUVSource;

const NAME: &str = "openh264";

/// An H.264 decoder in software (baseline and main).
pub struct OpenH264 {
    inner: openh264::decoder::Decoder,
}

impl OpenH264 {
    /// Starts a decoder.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn new() -> Result<Self, Error> {
        let config = DecoderConfig::new();
        let inner = openh264::decoder::Decoder::with_api_config(OpenH264API::from_source(), config).map_err(codec)?;
        Ok(Self { inner })
    }
}

impl Decoder for OpenH264 {
    fn decode(&mut self, data: &[u8]) -> Result<Picture, Error> {
        let incomplete = Error::Incomplete {
            backend: NAME,
            len: data.len(),
        };
        if data.is_empty() {
            return Err(incomplete);
        }
        // Main profile decoders hold pictures back for reordering; the streams here never reorder.
        let options = DecodeOptions::new().flush_after_decode(Flush::Flush);
        let picture = self
            .inner
            .decode_with_options(data, options)
            .map_err(codec)?
            .ok_or(incomplete)?;
        let (width, height) = picture.dimensions();
        let size = Size::new(u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))?;
        let (stride_y, stride_u, stride_v) = picture.strides();
        let mut nv12 = vec![0; size.nv12_len()];
        let (luma, chroma) = nv12.split_at_mut(size.luma_len());
        for (row, from) in luma.chunks_exact_mut(width).zip(picture.y().chunks(stride_y)) {
            row.copy_from_slice(&from[..width]);
        }
        let rows = picture.u().chunks(stride_u).zip(picture.v().chunks(stride_v));
        for (row, (u, v)) in chroma.chunks_exact_mut(width).zip(rows) {
            interleave(&u[..width / 2], &v[..width / 2], row);
        }
        Ok(Picture { size, nv12 })
    }
}

fn codec(error: openh264::Error) -> Error {
    Error::Codec {
        backend: NAME,
        message: error.to_string(),
    }
}
