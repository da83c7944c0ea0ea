//! Video encoders and decoders behind traits, and the little H.264 that both must understand.
//!
//! Pictures are NV12 of an even size (a plane of luma, then a plane of interleaved Cb, Cr), BT.709 primaries and
//! matrix, limited range, sRGB transfer; streams are H.264 in Annex B with exactly that signalled in the SPS.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod decode;
pub mod encode;
mod h264;
mod nv12;

pub use h264::{Colour, Sps, SpsError, nal_units};
pub use nv12::{Size, SizeError};
