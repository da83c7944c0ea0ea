//! glTF whose buffers and images are data URIs, or files in folders below: the server refuses both, so they are put
//! into a GLB first.

use serde_json::{Value, json};

use super::{mtl, prepare};
use crate::source::Source;
use crate::{Error, Format};

/// Bytes of a buffer or an image.
const MOST_BYTES: u64 = 4 << 30;

/// The GLB of a glTF that must be unpacked or prepared before it is loaded; `None` for one that need not.
pub(super) fn unpack(source: &Source) -> Result<Option<Vec<u8>>, Error> {
    if source.format == Format::Glb {
        let glb = mtl::load(&source.path, MOST_BYTES)?;
        // What is wrong with a container the loader says better.
        let is_needed = split(&glb).is_ok_and(|(root, _)| prepare::is_needed(&root));
        return Ok(is_needed.then_some(glb));
    }
    if source.bytes > super::gltf::MOST_JSON {
        return Ok(None);
    }
    let root = json(source)?;
    if !needs_unpacking(&root) && !prepare::is_needed(&root) {
        // The loader's own messages name lines of the file.
        return Ok(None);
    }
    together(source, root)
}

/// The GLB of a glTF that is JSON, wherever its buffers are.
pub(super) fn always(source: &Source) -> Result<Vec<u8>, Error> {
    let root = json(source)?;
    let glb = together(source, root)?;
    glb.ok_or_else(|| source.fault("buffers", "have no address"))
}

fn json(source: &Source) -> Result<Value, Error> {
    let text = mtl::load(&source.path, super::gltf::MOST_JSON)?;
    serde_json::from_slice(&text).map_err(|e| source.fault("JSON", e.to_string()))
}

/// The JSON and the binary chunk of a GLB.
pub(super) fn split(glb: &[u8]) -> Result<(Value, &[u8]), String> {
    let word = |at: usize| {
        let bytes = glb
            .get(at..at.checked_add(4)?)
            .and_then(|b| <[u8; 4]>::try_from(b).ok());
        bytes.map(|b| u32::from_le_bytes(b) as usize)
    };
    let cut = || "is cut off".to_owned();
    let length = word(12).ok_or_else(cut)?;
    let end = length.checked_add(20).ok_or_else(cut)?;
    let text = glb.get(20..end).ok_or_else(cut)?;
    let root = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let Some(blob) = word(end) else {
        return Ok((root, &[]));
    };
    let blob = blob.checked_add(end + 8).and_then(|to| glb.get(end + 8..to));
    Ok((root, blob.ok_or_else(cut)?))
}

/// Puts all buffers and images into one GLB; `None` where a buffer has no address.
fn together(source: &Source, mut root: Value) -> Result<Option<Vec<u8>>, Error> {
    let mut blob: Vec<u8> = Vec::new();
    // Where each buffer begins in the one that holds them all.
    let mut starts = Vec::new();
    for (index, buffer) in root["buffers"].as_array().into_iter().flatten().enumerate() {
        let place = format!("buffer {index}");
        let bytes = match buffer["uri"].as_str() {
            Some(uri) => contents(source, &place, uri)?,
            None => return Ok(None),
        };
        let promised = buffer["byteLength"].as_u64().unwrap_or(0);
        if promised > bytes.len() as u64 {
            let fault = format!("says it has {promised} bytes, but {} are there", bytes.len());
            return Err(source.fault(place, fault));
        }
        blob.resize(blob.len().next_multiple_of(4), 0);
        starts.push((blob.len() as u64, promised));
        blob.extend(bytes);
    }
    let own = root.get_mut("bufferViews").and_then(Value::as_array_mut);
    for (index, view) in own.into_iter().flatten().enumerate() {
        let place = || format!("bufferView {index}");
        let buffer = view["buffer"].as_u64().and_then(|b| usize::try_from(b).ok());
        let Some(&(start, promised)) = buffer.and_then(|b| starts.get(b)) else {
            return Err(source.fault(
                place(),
                format!("refers to a buffer that is not there, of {}", starts.len()),
            ));
        };
        let offset = view.get("byteOffset").map_or(Some(0), Value::as_u64);
        let end = offset
            .zip(view["byteLength"].as_u64())
            .and_then(|(at, length)| at.checked_add(length));
        // In the buffer that holds them all it must not reach into the next one.
        if end.is_none_or(|end| end > promised) {
            return Err(source.fault(place(), "lies outside its buffer"));
        }
        view["buffer"] = json!(0);
        view["byteOffset"] = json!(start + offset.unwrap_or(0));
    }
    let mut views = root["bufferViews"].as_array().cloned().unwrap_or_default();
    let images = root.get_mut("images").and_then(Value::as_array_mut);
    for (index, image) in images.into_iter().flatten().enumerate() {
        let Some(uri) = image["uri"].as_str() else { continue };
        let bytes = contents(source, &format!("image {index}"), uri)?;
        blob.resize(blob.len().next_multiple_of(4), 0);
        views.push(json!({"buffer": 0, "byteOffset": blob.len(), "byteLength": bytes.len()}));
        if let Some(image) = image.as_object_mut() {
            image.remove("uri");
            // The kind is seen in the bytes; the schema wants one to be stated.
            image.entry("mimeType").or_insert_with(|| json!("image/png"));
            image.insert("bufferView".into(), json!(views.len() - 1));
        }
        blob.extend(bytes);
    }
    if !views.is_empty() {
        root["bufferViews"] = json!(views);
        root["buffers"] = json!([{"byteLength": blob.len()}]);
    }
    crate::write::glb::assemble(&root, blob)
        .map(Some)
        .map_err(|fault| source.fault("file", fault))
}

/// Whether something is not a plain file beside the scan.
fn needs_unpacking(root: &Value) -> bool {
    let lists = ["buffers", "images"]
        .into_iter()
        .filter_map(|list| root.get(list)?.as_array());
    let mut uris = lists.flatten().filter_map(|item| item.get("uri")?.as_str());
    uris.any(|uri| uri.starts_with("data:") || uri.contains(['/', '%']))
}

/// The bytes of a data URI, or of a file in the folder of the scan or below.
fn contents(source: &Source, place: &str, uri: &str) -> Result<Vec<u8>, Error> {
    let Some(data) = uri.strip_prefix("data:") else {
        let name = percent(uri);
        let path = mtl::beside(source, &name).ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            source.fault(
                place,
                format!("refers to {shown:?}, which is not a file in the folder of the scan"),
            )
        })?;
        return mtl::load(&path, MOST_BYTES);
    };
    let Some((_, coded)) = data.split_once(";base64,") else {
        return Err(source.fault(place, "has a data URI that is not base64"));
    };
    base64(coded).ok_or_else(|| source.fault(place, "has a data URI with characters that base64 does not know"))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xFF_FFFF;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count).to_le_bytes()[0]);
        }
    }
    Some(out)
}

/// A name with its `%20` made spaces again.
pub(super) fn percent(uri: &str) -> String {
    let mut out = Vec::new();
    let mut rest = uri.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail
            .get(..2)
            .and_then(|h| std::str::from_utf8(h).ok())
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        assert_eq!(base64("aGVsbG8=").as_deref(), Some(b"hello".as_slice()));
        assert_eq!(base64("AAAAgD8").as_deref(), Some([0, 0, 0, 128, 63].as_slice()));
        assert_eq!(base64("a b"), None);
        assert_eq!(percent("a%20b%zz%"), "a b%zz%");
    }
}
