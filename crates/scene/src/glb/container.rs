//! The outer layers of a file: GLB chunks, JSON, buffers and where they may come from.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use gltf::json;

use super::{Limits, Source, label};
use crate::Error;

const MAGIC: &[u8] = b"glTF";

/// Reads a whole file, or says that it is too large without reading on.
pub(super) fn read_limited(path: &Path, file: &str, place: &str, limits: &Limits) -> Result<Vec<u8>, Error> {
    let failed = |reason| Error::Read {
        file: path.to_owned(),
        reason,
    };
    let mut bytes = Vec::new();
    let reader = std::fs::File::open(path).map_err(failed)?;
    reader
        .take(limits.file_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limits.file_bytes {
        return Err(Error::Limit {
            file: file.to_owned(),
            place: place.to_owned(),
            what: "bytes",
            count: bytes.len() as u64,
            limit: limits.file_bytes,
        });
    }
    Ok(bytes)
}

/// Splits a GLB into its JSON and its binary chunk; text is taken for a `.gltf`.
pub(super) fn parse<'a>(bytes: &'a [u8], file: &str) -> Result<(json::Root, Option<&'a [u8]>), Error> {
    let (text, blob) = if bytes.starts_with(MAGIC) {
        chunks(bytes).map_err(|fault| Error::Scene {
            file: file.to_owned(),
            place: "GLB container".into(),
            fault,
        })?
    } else if bytes.trim_ascii_start().starts_with(b"{") {
        (bytes, None)
    } else {
        return Err(Error::Scene {
            file: file.to_owned(),
            place: "GLB container".into(),
            fault: "the file starts neither with \"glTF\" nor with \"{\"".into(),
        });
    };
    let root = json::Root::from_slice(text).map_err(|e| Error::Scene {
        file: file.to_owned(),
        place: "JSON".into(),
        fault: e.to_string(),
    })?;
    Ok((root, blob))
}

fn chunks(bytes: &[u8]) -> Result<(&[u8], Option<&[u8]>), String> {
    let word = |at: usize| -> Result<u32, String> {
        bytes
            .get(at..at + 4)
            .and_then(|b| b.try_into().ok())
            .map(u32::from_le_bytes)
            .ok_or_else(|| format!("ends at byte {} inside a header", bytes.len()))
    };
    let version = word(4)?;
    if version != 2 {
        return Err(format!("version {version} is not supported, only 2"));
    }
    let total = word(8)? as usize;
    if total > bytes.len() || total < 20 {
        return Err(format!("says it has {total} bytes, but {} are there", bytes.len()));
    }
    let chunk = |at: usize, kind: &[u8; 4], name: &str| -> Result<&[u8], String> {
        let length = word(at)? as usize;
        if bytes.get(at + 4..at + 8) != Some(kind) {
            return Err(format!("the chunk at byte {at} is not the {name} chunk"));
        }
        let body = at + 8;
        let end = body.checked_add(length).filter(|&end| end <= total);
        end.map(|end| &bytes[body..end])
            .ok_or_else(|| format!("the {name} chunk says it has {length} bytes, more than the file"))
    };
    let text = chunk(12, b"JSON", "JSON")?;
    let after = 20 + text.len();
    let blob = if after + 8 <= total {
        Some(chunk(after, b"BIN\0", "binary")?)
    } else {
        None
    };
    Ok((text, blob))
}

impl Source<'_> {
    pub(super) fn load_buffers(&mut self) -> Result<(), Error> {
        for (index, buffer) in self.root.buffers.iter().enumerate() {
            let place = label("buffer", index, buffer.name.as_ref());
            let bytes = match (&buffer.uri, index, self.blob) {
                // Nothing needs the unpacked bytes of a file: its views are unpacked here.
                _ if super::packed::is_fallback(buffer) => {
                    self.buffers.push(Cow::Borrowed(&[]));
                    continue;
                }
                (Some(uri), _, _) => Cow::Owned(self.beside(uri, &place)?),
                (None, 0, Some(blob)) => Cow::Borrowed(blob),
                (None, ..) => return Err(self.fault(place, "has no uri and the file has no binary chunk for it")),
            };
            if buffer.byte_length.0 > bytes.len() as u64 {
                let fault = format!(
                    "says it has {} bytes, but {} are there",
                    buffer.byte_length.0,
                    bytes.len()
                );
                return Err(self.fault(place, fault));
            }
            self.buffers.push(bytes);
        }
        Ok(())
    }

    /// A file beside the scene. Only a plain name of a regular file in the same folder is followed.
    pub(super) fn beside(&self, uri: &str, place: &str) -> Result<Vec<u8>, Error> {
        let plain = !uri.is_empty()
            && uri.len() <= 255
            && !uri.starts_with('.')
            && uri.chars().all(|c| c.is_alphanumeric() || "._- ".contains(c));
        if !plain {
            let shown: String = uri.chars().take(80).collect();
            let fault = format!("uri {shown:?} is not a plain file name; paths, addresses and data URIs are refused");
            return Err(self.fault(place, fault));
        }
        let Some(folder) = self.folder else {
            return Err(self.fault(
                place,
                format!("refers to the file {uri:?}, but was not loaded from a folder"),
            ));
        };
        let path = folder.join(uri);
        let kind = std::fs::symlink_metadata(&path).map_err(|reason| Error::Read {
            file: path.clone(),
            reason,
        })?;
        if !kind.is_file() {
            return Err(self.fault(place, format!("uri {uri:?} is not a regular file")));
        }
        read_limited(&path, self.file, place, self.limits)
    }

    /// The bytes of a buffer view and its stride.
    pub(super) fn view(&self, index: usize, place: &str) -> Result<(&[u8], Option<usize>), Error> {
        let view = self.get(&self.root.buffer_views, index, place, "bufferView")?;
        let place = format!("{place}, bufferView {index}");
        if let Some(Some(unpacked)) = self.unpacked.get(index) {
            return Ok((&unpacked.bytes, unpacked.stride));
        }
        let buffer = self.get(&self.buffers, view.buffer.value(), &place, "buffer")?;
        let start = view.byte_offset.unwrap_or_default().0;
        let end = start.checked_add(view.byte_length.0);
        let range = end.and_then(|end| Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?));
        let bytes = range.and_then(|r| buffer.get(r)).ok_or_else(|| {
            let fault = format!(
                "{} bytes from {start} lie outside its buffer of {}",
                view.byte_length.0,
                buffer.len()
            );
            self.fault(&place, fault)
        })?;
        let stride = view.byte_stride.map(|s| s.0);
        if stride.is_some_and(|s| !(4..=252).contains(&s)) {
            return Err(self.fault(place, "byteStride is not between 4 and 252"));
        }
        Ok((bytes, stride))
    }
}
