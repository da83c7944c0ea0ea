//! The GLB container: a JSON chunk and a binary one.

use serde_json::Value;

/// A GLB of a glTF and the bytes of its first buffer.
///
/// # Errors
/// Where it would pass 4 GiB.
pub(crate) fn assemble(root: &Value, mut blob: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut text = serde_json::to_vec(root).map_err(|e| e.to_string())?;
    text.resize(text.len().next_multiple_of(4), b' ');
    blob.resize(blob.len().next_multiple_of(4), 0);
    let word = |n: usize| {
        u32::try_from(n)
            .map(u32::to_le_bytes)
            .map_err(|_| "would pass 4 GiB".to_owned())
    };
    let mut glb = Vec::with_capacity(28 + text.len() + blob.len());
    glb.extend_from_slice(b"glTF\x02\0\0\0");
    glb.extend_from_slice(&word(28 + text.len() + blob.len())?);
    for (kind, body) in [(b"JSON", &text), (b"BIN\0", &blob)] {
        glb.extend_from_slice(&word(body.len())?);
        glb.extend_from_slice(kind);
        glb.extend_from_slice(body);
    }
    Ok(glb)
}
