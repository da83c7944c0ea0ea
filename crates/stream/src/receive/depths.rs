//! The depth frames of one stream: each stands alone or on one keyframe.

use super::{Counters, total_bytes};
use std::collections::BTreeMap;
use tongyou_protocol::SetId;
use tongyou_protocol::frame::Frame;

#[derive(Debug, Default)]
pub(super) struct Depths {
    frames: BTreeMap<SetId, Frame>,
    oldest_of_use: SetId,
}

impl Depths {
    pub(super) fn push(&mut self, frame: Frame, most_bytes: usize, counters: &mut Counters) {
        let set = frame.header.tag.set;
        // A late keyframe is still of use: changes to come may build upon it.
        if set < self.oldest_of_use && !frame.header.keyframe {
            counters.expired += 1;
            return;
        }
        if self.frames.insert(set, frame).is_some() {
            counters.repeated += 1;
        }
        while self.bytes() > most_bytes && self.frames.len() > 1 {
            self.frames.pop_first();
        }
    }

    /// The depth frame of a set and the keyframe below it, when all of it is here.
    pub(super) fn find(&self, set: SetId) -> Option<(Frame, Option<Frame>)> {
        let depth = self.frames.get(&set)?;
        if depth.header.keyframe {
            return Some((depth.clone(), None));
        }
        let keyframe = self
            .frames
            .get(&depth.header.depends_on)
            .filter(|f| f.header.keyframe)?;
        Some((depth.clone(), Some(keyframe.clone())))
    }

    /// Nothing will ask for an older set, except as a keyframe.
    pub(super) fn forget_before(&mut self, set: SetId) {
        self.oldest_of_use = self.oldest_of_use.max(set);
        let base = self.frames.get(&set).map_or(set, |f| f.header.depends_on);
        // Keyframes after the present base stay: frames on their way may build upon any of them.
        self.frames
            .retain(|id, f| *id >= set || (f.header.keyframe && *id >= base.min(set)));
    }

    pub(super) fn bytes(&self) -> usize {
        total_bytes(self.frames.values().map(|f| &f.payload))
    }
}
