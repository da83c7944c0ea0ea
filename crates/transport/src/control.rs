//! How messages follow each other on the control lane: a u32 length, little-endian, then the message.

use bytes::{Buf, Bytes, BytesMut};

/// The longest control message, in bytes. A peer that announces a longer one is cut off.
pub const MAX_CONTROL_BYTES: usize = 65_536;

/// A message longer than [`MAX_CONTROL_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("control message of {0} bytes, at most {MAX_CONTROL_BYTES} are allowed")]
pub(crate) struct TooLong(pub(crate) usize);

/// The prefix to send before a message.
pub(crate) fn prefix(message: &[u8]) -> Result<Bytes, TooLong> {
    match u32::try_from(message.len()) {
        Ok(length) if message.len() <= MAX_CONTROL_BYTES => Ok(Bytes::copy_from_slice(&length.to_le_bytes())),
        _ => Err(TooLong(message.len())),
    }
}

/// Cuts a byte stream into messages: push what arrived, then call [`Reader::poll`] until it gives nothing.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: BytesMut,
}

impl Reader {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it has arrived.
    pub(crate) fn poll(&mut self) -> Result<Option<Bytes>, TooLong> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > MAX_CONTROL_BYTES {
            return Err(TooLong(length));
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_any_cutting() {
        let messages = [
            Bytes::from_static(b""),
            Bytes::from_static(b"a"),
            Bytes::from(vec![7; MAX_CONTROL_BYTES]),
        ];
        let mut stream = BytesMut::new();
        for message in &messages {
            stream.extend_from_slice(&prefix(message).unwrap());
            stream.extend_from_slice(message);
        }
        for piece in [1, 3, 4, 5, 1000, stream.len()] {
            let mut reader = Reader::default();
            let mut got = Vec::new();
            for bytes in stream.chunks(piece) {
                reader.push(bytes);
                while let Some(message) = reader.poll().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, messages, "in pieces of {piece}");
        }
    }

    #[test]
    fn too_long_is_refused_before_it_is_stored() {
        let mut reader = Reader::default();
        reader.push(&65_537u32.to_le_bytes());
        assert_eq!(reader.poll(), Err(TooLong(65_537)));
        assert_eq!(prefix(&vec![0; 65_537]), Err(TooLong(65_537)));
    }
}
