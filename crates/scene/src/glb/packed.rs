//! Buffer views packed with meshopt's codecs (`EXT_meshopt_compression`, and `KHR_meshopt_compression`, which adds the
//! second version of the vertex codec and the colour filter), unpacked before anything refers to them.
//!
//! The codecs are safe to use on bytes that nobody vouches for; what they are told beside the bytes (count, stride,
//! mode, filter) is checked here before anything that large is allocated.

use std::borrow::Cow;

use gltf::json;
use serde::Deserialize;

use super::{Source, label};
use crate::Error;

const NAMES: [&str; 2] = ["EXT_meshopt_compression", "KHR_meshopt_compression"];
/// The codecs shrink bytes by at most so much: 256 rows of zeros cost a byte for each four of a row.
const BEST_RATIO: u64 = 1024;
/// A view of this size may unpack from any few bytes.
const SMALL: u64 = 1 << 16;
/// Rows are at most so wide; wider ones exist in the extension, but no attribute of glTF needs them.
const WIDEST: usize = 128;

/// The extension's object in a buffer view.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Packed {
    buffer: usize,
    #[serde(default)]
    byte_offset: u64,
    byte_length: u64,
    byte_stride: usize,
    count: usize,
    mode: Mode,
    #[serde(default)]
    filter: Filter,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum Mode {
    Attributes,
    Triangles,
    Indices,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "UPPERCASE")]
enum Filter {
    #[default]
    None,
    Octahedral,
    Quaternion,
    Exponential,
    Color,
}

/// An unpacked view and the length of its rows, where they are rows of attributes.
pub(super) struct Unpacked {
    pub(super) bytes: Vec<u8>,
    pub(super) stride: Option<usize>,
}

/// Whether a buffer is only the place where unpacked bytes would lie.
pub(super) fn is_fallback(buffer: &json::Buffer) -> bool {
    let others = buffer.extensions.as_ref().map(|e| &e.others);
    NAMES.iter().any(|name| {
        let object = others.and_then(|o| o.get(*name));
        object.and_then(|o| o.get("fallback")) == Some(&true.into())
    })
}

impl<'a> Source<'a> {
    /// Unpacks all views that are packed.
    pub(super) fn unpack(&mut self) -> Result<(), Error> {
        let root = self.root;
        let mut spent = 0_u64;
        for (index, view) in root.buffer_views.iter().enumerate() {
            let others = view.extensions.as_ref().map(|e| &e.others);
            let Some(object) = NAMES.iter().find_map(|name| others?.get(*name)) else {
                self.unpacked.push(None);
                continue;
            };
            let place = label("bufferView", index, view.name.as_ref());
            let place = format!("{place}, meshopt");
            let packed = Packed::deserialize(object).map_err(|e| self.fault(&place, e.to_string()))?;
            let length = self.check(&packed, view, &place)?;
            spent = spent.saturating_add(length);
            self.within(&place, "unpacked bytes", spent, self.limits.file_bytes)?;
            let bytes = self.packed_bytes(&packed, &place)?;
            if length > SMALL && length / BEST_RATIO > bytes.len() as u64 {
                let fault = format!("promises {length} bytes out of {}", bytes.len());
                return Err(self.fault(place, fault));
            }
            let unpacked = unpack(&packed, &bytes).ok_or_else(|| {
                let fault = format!("its {} bytes are not {} packed rows", bytes.len(), packed.count);
                self.fault(&place, fault)
            })?;
            if unpacked.len() as u64 != length {
                return Err(self.fault(place, format!("unpacks to {} bytes, not {length}", unpacked.len())));
            }
            self.unpacked.push(Some(Unpacked {
                bytes: unpacked,
                stride: (packed.mode == Mode::Attributes).then_some(packed.byte_stride),
            }));
        }
        Ok(())
    }

    /// Checks what the object says and gives the length of the unpacked bytes.
    fn check(&self, packed: &Packed, view: &json::buffer::View, place: &str) -> Result<u64, Error> {
        let stride = packed.byte_stride;
        let fits = match packed.mode {
            Mode::Attributes => (4..=WIDEST).contains(&stride) && stride.is_multiple_of(4),
            Mode::Triangles => matches!(stride, 2 | 4) && packed.count.is_multiple_of(3),
            Mode::Indices => matches!(stride, 2 | 4),
        };
        let filtered = match packed.filter {
            Filter::None => true,
            Filter::Octahedral | Filter::Color => matches!(stride, 4 | 8),
            Filter::Quaternion => stride == 8,
            Filter::Exponential => true,
        };
        let filtered = filtered && (packed.filter == Filter::None || packed.mode == Mode::Attributes);
        if !fits || !filtered {
            let fault = format!(
                "rows of {stride} bytes, {} of them, do not fit mode or filter",
                packed.count
            );
            return Err(self.fault(place, fault));
        }
        let length = (packed.count as u64).saturating_mul(stride as u64);
        if length != view.byte_length.0 {
            let fault = format!("{length} bytes unpacked are not the {} of its view", view.byte_length.0);
            return Err(self.fault(place, fault));
        }
        Ok(length)
    }

    fn packed_bytes(&self, packed: &Packed, place: &str) -> Result<Cow<'a, [u8]>, Error> {
        let buffer = self.get(&self.buffers, packed.buffer, place, "buffer")?;
        let end = packed.byte_offset.checked_add(packed.byte_length);
        let range = end.and_then(|end| Some(usize::try_from(packed.byte_offset).ok()?..usize::try_from(end).ok()?));
        let outside = || self.fault(place, format!("lies outside its buffer of {} bytes", buffer.len()));
        let range = range.filter(|r| r.end <= buffer.len()).ok_or_else(outside)?;
        Ok(match buffer {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[range]),
            Cow::Owned(bytes) => Cow::Owned(bytes[range].to_vec()),
        })
    }
}

/// Rows of so many bytes as the codec gives them, filtered; `None` where the bytes are not such rows.
fn unpack(packed: &Packed, bytes: &[u8]) -> Option<Vec<u8>> {
    let count = packed.count;
    if count == 0 {
        return Some(Vec::new());
    }
    match (packed.mode, packed.byte_stride) {
        (Mode::Triangles, 2) => meshopt::decode_index_buffer::<u16>(bytes, count)
            .ok()
            .map(|v| flat16(&v)),
        (Mode::Triangles, _) => meshopt::decode_index_buffer::<u32>(bytes, count)
            .ok()
            .map(|v| flat32(&v)),
        (Mode::Indices, 2) => meshopt::decode_index_sequence::<u16>(bytes, count)
            .ok()
            .map(|v| flat16(&v)),
        (Mode::Indices, _) => meshopt::decode_index_sequence::<u32>(bytes, count)
            .ok()
            .map(|v| flat32(&v)),
        (Mode::Attributes, stride) => match packed.filter {
            Filter::Octahedral | Filter::Color if stride == 4 => {
                let mut rows: Vec<[u8; 4]> = meshopt::decode_vertex_buffer(bytes, count).ok()?;
                if packed.filter == Filter::Color {
                    meshopt::decode_filter_color(&mut rows);
                    return Some(rows.into_flattened());
                }
                let mut rows: Vec<[i8; 4]> = rows.into_iter().map(|r| r.map(u8::cast_signed)).collect();
                meshopt::decode_filter_oct(&mut rows);
                Some(rows.into_flattened().into_iter().map(i8::cast_unsigned).collect())
            }
            Filter::Octahedral | Filter::Quaternion => {
                let mut rows: Vec<[i16; 4]> = meshopt::decode_vertex_buffer(bytes, count).ok()?;
                if packed.filter == Filter::Octahedral {
                    meshopt::decode_filter_oct(&mut rows);
                } else {
                    meshopt::decode_filter_quat(&mut rows);
                }
                Some(flat16(
                    &rows
                        .into_flattened()
                        .into_iter()
                        .map(i16::cast_unsigned)
                        .collect::<Vec<_>>(),
                ))
            }
            Filter::Color => {
                let mut rows: Vec<[u16; 4]> = meshopt::decode_vertex_buffer(bytes, count).ok()?;
                meshopt::decode_filter_color(&mut rows);
                Some(flat16(&rows.into_flattened()))
            }
            Filter::None | Filter::Exponential => rows(bytes, count, stride, packed.filter == Filter::Exponential),
        },
    }
}

/// The codec's functions take the width of a row as a type.
fn rows(bytes: &[u8], count: usize, stride: usize, exponential: bool) -> Option<Vec<u8>> {
    macro_rules! by_width {
        ($($words:literal)*) => {
            match stride / 4 {
                $($words => {
                    let mut rows: Vec<[u32; $words]> = meshopt::decode_vertex_buffer(bytes, count).ok()?;
                    if exponential {
                        meshopt::decode_filter_exp(&mut rows);
                    }
                    Some(flat32(&rows.into_flattened()))
                })*
                _ => None,
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

/// The codecs write in the machine's order of bytes; glTF is little-endian.
fn flat16(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn flat32(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
