//! Encoded frames, and what of a layer is kept for joiners.

use std::sync::Arc;

use bytes::Bytes;
use tongyou_protocol::datagram::Still;
use tongyou_protocol::frame::{Header, Lane};

/// Colour frames of a group beyond this are not cached; joiners then wait for the next group.
const MAX_GROUP: usize = 256;

/// A frame that is encoded once and shared by all subscribers.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedFrame {
    /// What it is.
    pub header: Header,
    /// The header's bytes, then the payload.
    pub chunks: [Bytes; 2],
}

impl EncodedFrame {
    /// Writes the header once.
    #[must_use]
    pub fn new(header: Header, payload: Bytes) -> Self {
        let chunks = [header.to_bytes(&payload), payload];
        Self { header, chunks }
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }
}

/// What a joiner needs: the current group of colour, the depth keyframe and the newest depth.
#[derive(Debug, Default)]
pub struct GroupCache {
    pub(super) color: Vec<Arc<EncodedFrame>>,
    pub(super) depth_keyframe: Option<Arc<EncodedFrame>>,
    pub(super) depth_newest: Option<Arc<EncodedFrame>>,
    newest: Option<Still>,
}

impl GroupCache {
    /// Takes every frame of the layer in the order of encoding.
    pub fn push(&mut self, frame: Arc<EncodedFrame>) {
        let header = &frame.header;
        if header.lane == Lane::Color {
            let tag = &header.tag;
            self.newest = Some(Still {
                epoch: tag.epoch,
                vantage: tag.vantage,
                layer: header.layer,
                set: tag.set,
            });
        }
        match (header.lane, header.keyframe) {
            (Lane::Color, true) => self.color = vec![frame],
            (Lane::Color, false) => {
                let follows = self.color.last().is_some_and(|l| {
                    l.header.group == header.group && l.header.index.checked_add(1) == Some(header.index)
                });
                if follows && self.color.len() < MAX_GROUP {
                    self.color.push(frame);
                } else {
                    self.color.clear();
                }
            }
            (Lane::Depth, true) => {
                self.depth_keyframe = Some(frame);
                self.depth_newest = None;
            }
            (Lane::Depth, false) => {
                let key = self.depth_keyframe.as_ref().map(|k| k.header.tag.set);
                if key == Some(header.depends_on) {
                    self.depth_newest = Some(frame);
                }
            }
        }
    }

    /// Whether a joiner would get a picture from it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let Some(first) = self.color.first() else {
            return false;
        };
        self.depth_keyframe.is_some() || !first.header.has_depth()
    }

    /// The heartbeat of the layer while nothing moves; `None` before its first set.
    #[must_use]
    pub const fn still(&self) -> Option<Still> {
        self.newest
    }

    /// Bytes held.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        let depth = self.depth_keyframe.iter().chain(&self.depth_newest);
        self.color.iter().chain(depth).map(|f| f.wire_bytes()).sum()
    }
}
