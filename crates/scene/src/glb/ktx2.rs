//! KTX2 images with Basis Universal inside (`KHR_texture_basisu`): ETC1S and UASTC to RGBA.

use std::panic::{AssertUnwindSafe, catch_unwind};

use basisu::{DecodeFlags, TargetFormat, Transcoder};

use super::Source;
use crate::{Error, Image};

const MAGIC: [u8; 12] = [
    0xAB, b'K', b'T', b'X', b' ', b'2', b'0', 0xBB, b'\r', b'\n', 0x1A, b'\n',
];
/// Where the first entry of the level index lies.
const LEVELS: usize = 80;

pub(super) fn is_ktx2(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

impl Source<'_> {
    /// The largest level as RGBA. Sizes are looked at before anything is unpacked.
    pub(super) fn ktx2(&self, bytes: &[u8], place: &str, name: String) -> Result<Image, Error> {
        let word = |at: usize| {
            let four = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
            four.map(u32::from_le_bytes)
        };
        let long = |at: usize| {
            let eight = bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
            eight.map(u64::from_le_bytes)
        };
        let header = [20, 24, 28, 32, 36].map(word);
        let [Some(width), Some(height), Some(depth), Some(layers), Some(faces)] = header else {
            return Err(self.fault(place, "is a KTX2 file that ends inside its header"));
        };
        if width == 0 || height == 0 || depth > 1 || layers > 1 || faces != 1 {
            let fault = format!("is {width} × {height} × {depth}, {layers} layers, {faces} faces: not one flat image");
            return Err(self.fault(place, fault));
        }
        self.image_size(place, width, height)?;
        // A block of 4 × 4 takes 16 bytes at most; without supercompression this field repeats the length.
        let blocks = u64::from(width.div_ceil(4)) * u64::from(height.div_ceil(4));
        if long(LEVELS + 16).is_none_or(|bytes| bytes > blocks * 16) {
            return Err(self.fault(place, "promises more bytes than its pixels can have"));
        }
        // The transcoder bounds-checks; where it meets what its authors did not think of, that is the file's fault.
        let pixels = catch_unwind(AssertUnwindSafe(|| {
            let transcoder = Transcoder::new(bytes).map_err(|e| format!("{e:?}"))?;
            if transcoder.base_dimensions() != (width, height) {
                return Err("its sizes contradict each other".to_owned());
            }
            let pixels = transcoder.transcode(0, TargetFormat::Rgba32, DecodeFlags::NONE);
            pixels.map_err(|e| format!("{e:?}"))
        }));
        let pixels = pixels.unwrap_or_else(|_| Err("the transcoder gave up".to_owned()));
        let pixels = pixels.map_err(|fault| self.fault(place, format!("is no Basis Universal texture: {fault}")))?;
        if pixels.len() as u64 != u64::from(width) * u64::from(height) * 4 {
            return Err(self.fault(place, "unpacks to another size than it states"));
        }
        Ok(Image {
            name,
            width,
            height,
            pixels,
        })
    }
}
