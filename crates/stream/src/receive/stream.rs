//! One stream: colour in decoding order, and pictures that wait for their depth where they have any.

use super::depths::Depths;
use super::{Counters, Limits, total_bytes};
use std::collections::{BTreeMap, VecDeque};
use tongyou_protocol::frame::{Frame, Header};
use tongyou_protocol::{ClientTime, SetId};

/// Heartbeats in a row that name a set which is not here before it counts as lost.
const LACKING: u8 = 2;

/// Place of a colour frame: group and index within it.
type Place = (u32, u16);

#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) heard: ClientTime,
    pub(super) depths: Depths,
    pub(super) newest_complete: Option<SetId>,
    /// When a set was last completed or the server last said that nothing moves.
    pub(super) alive_at: Option<ClientTime>,
    /// When the newest complete set was last known to be the newest there is.
    pub(super) current_at: Option<ClientTime>,
    /// Heartbeats in a row that named a newer set.
    lacking: u8,
    /// Since when the next frame is missing although later ones of its group are here.
    pub(super) gap_since: Option<ClientTime>,
    waiting: BTreeMap<Place, Frame>,
    next: Next,
    /// Handed out, not decoded yet, oldest first.
    decoding: VecDeque<Header>,
    /// Decoded, without depth yet, oldest first.
    pictures: VecDeque<Header>,
}

/// What the decoder needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    /// The first keyframe that comes.
    #[default]
    Any,
    /// This frame, or the keyframe of a later group.
    Frame(Place),
    /// The keyframe of this group, sent again, or of a later one.
    Keyframe(u32),
}

impl Stream {
    pub(super) fn push_color(&mut self, now: ClientTime, frame: Frame, limits: &Limits, counters: &mut Counters) {
        let place = (frame.header.group, frame.header.index);
        let late = match self.next {
            Next::Any => false,
            Next::Frame(next) => place < next,
            Next::Keyframe(group) => place.0 < group,
        };
        if late {
            counters.expired += 1;
            return;
        }
        if self.waiting.insert(place, frame).is_some() {
            counters.repeated += 1;
        }
        while self.waiting.len() > limits.frames
            || total_bytes(self.waiting.values().map(|f| &f.payload)) > limits.bytes
        {
            self.drop_oldest_group(counters);
        }
        self.look_for_gap(now);
    }

    /// How many frames could be handed out: those up to the first gap.
    pub(super) fn ready(&self) -> usize {
        let Some((mut next, _)) = self.start() else { return 0 };
        let mut n = 0;
        while self.waiting.contains_key(&next) {
            n += 1;
            next.1 = next.1.saturating_add(1);
        }
        n
    }

    pub(super) fn next_color(&mut self, counters: &mut Counters) -> Option<Frame> {
        let (place, skips) = self.start()?;
        if skips {
            let (missed, expired) = self.lost_before(place);
            counters.missed += missed;
            counters.expired += expired;
            self.waiting = self.waiting.split_off(&place);
        }
        let frame = self.waiting.remove(&place)?;
        self.next = Next::Frame((place.0, place.1.saturating_add(1)));
        self.gap_since = None;
        self.look_for_gap(self.heard);
        self.decoding.push_back(frame.header);
        Some(frame)
    }

    /// Whether the picture is of use: not when something newer is complete.
    pub(super) fn decoded(&mut self, set: SetId) -> bool {
        let Some(at) = self.decoding.iter().position(|h| h.tag.set == set) else {
            return false;
        };
        let Some(header) = self.decoding.remove(at) else {
            return false;
        };
        if self.newest_complete.is_some_and(|newest| newest >= set) {
            return false;
        }
        self.pictures.push_back(header);
        true
    }

    pub(super) fn decode_failed(&mut self, set: SetId, counters: &mut Counters) {
        let Some(failed) = self.decoding.iter().find(|h| h.tag.set == set).map(|h| h.group) else {
            return;
        };
        self.decoding.retain(|h| h.tag.set != set);
        counters.missed += 1;
        // A later group may have begun already; that one is not harmed.
        if matches!(self.next, Next::Frame(next) if next.0 == failed) {
            counters.missed += self.drop_group(failed);
            self.next = Next::Keyframe(failed);
        }
    }

    pub(super) fn give_up_gap(&mut self, now: ClientTime, counters: &mut Counters) {
        if let Next::Frame(next) = self.next {
            let last = self
                .waiting
                .range(next..=(next.0, u16::MAX))
                .next_back()
                .map_or(next.1, |(p, _)| p.1);
            counters.missed += u64::from(last.saturating_sub(next.1)) + 1;
            self.drop_group(next.0);
            self.next = Next::Keyframe(next.0);
        }
        self.gap_since = None;
        self.look_for_gap(now);
    }

    /// Nothing moves; whether the newest set must be taken for lost.
    pub(super) fn still(&mut self, now: ClientTime, newest: SetId) -> bool {
        self.alive_at = Some(now);
        if self.newest_complete.is_some_and(|set| set >= newest) {
            self.current_at = Some(now);
            self.lacking = 0;
        } else if self.decoding.is_empty() {
            self.lacking += 1;
        }
        let lost = self.lacking == LACKING;
        if lost {
            self.lacking = 0;
        }
        lost
    }

    /// Completes pictures whose depth is here, and returns the sets of those that will never be.
    pub(super) fn settle(
        &mut self,
        now: ClientTime,
        most_pictures: usize,
        mut complete: impl FnMut(Header, Option<Frame>, Option<Frame>),
    ) -> Vec<SetId> {
        let mut dropped = Vec::new();
        let mut i = 0;
        while let Some(header) = self.pictures.get(i).copied() {
            let found = if header.has_depth() {
                self.depths.find(header.depends_on).map(|(d, k)| (Some(d), k))
            } else {
                Some((None, None))
            };
            let Some((depth, keyframe)) = found else {
                i += 1;
                continue;
            };
            dropped.extend(self.pictures.drain(..i).map(|h| h.tag.set));
            self.pictures.pop_front();
            i = 0;
            self.newest_complete = Some(header.tag.set);
            (self.alive_at, self.current_at) = (Some(now), Some(now));
            self.lacking = 0;
            self.depths.forget_before(header.depends_on);
            complete(header, depth, keyframe);
        }
        while self.pictures.len() > most_pictures {
            dropped.extend(self.pictures.pop_front().map(|h| h.tag.set));
        }
        dropped
    }

    pub(super) fn bytes(&self) -> usize {
        total_bytes(self.waiting.values().map(|f| &f.payload)) + self.depths.bytes()
    }

    /// The frame to hand out now, and whether others are skipped for it: the next one, else the newest group that
    /// can be begun.
    fn start(&self) -> Option<(Place, bool)> {
        if let Next::Frame(next) = self.next
            && self.waiting.contains_key(&next)
        {
            return Some((next, false));
        }
        let key = self.waiting.iter().rev().find(|(p, f)| p.1 == 0 && f.header.keyframe)?;
        Some((*key.0, true))
    }

    /// Frames known to exist that are lost by beginning at `place` (those here, those missing among them, and the
    /// keyframes of groups of which nothing came), and frames here that were given up before.
    fn lost_before(&self, place: Place) -> (u64, u64) {
        let (mut group, mut index) = match self.next {
            Next::Any => return (0, 0),
            Next::Frame(next) => next,
            Next::Keyframe(group) => (group.saturating_add(1), 0),
        };
        let begin = (group, index).min(place);
        let mut missed = 0;
        for (p, _) in self.waiting.range(begin..place) {
            if p.0 != group {
                missed += u64::from(p.0 - group - 1);
                (group, index) = (p.0, 0);
            }
            missed += u64::from(p.1.saturating_sub(index)) + 1;
            index = p.1.saturating_add(1);
        }
        let given_up = self.waiting.range(..begin).count();
        (
            missed + u64::from(place.0.saturating_sub(group).saturating_sub(1)),
            given_up as u64,
        )
    }

    fn look_for_gap(&mut self, now: ClientTime) {
        let gap = matches!(self.next, Next::Frame(next) if !self.waiting.contains_key(&next)
            && self.waiting.range(next..=(next.0, u16::MAX)).next().is_some());
        self.gap_since = if gap { self.gap_since.or(Some(now)) } else { None };
    }

    fn drop_group(&mut self, group: u32) -> u64 {
        let before = self.waiting.len();
        self.waiting.retain(|p, _| p.0 != group);
        (before - self.waiting.len()) as u64
    }

    fn drop_oldest_group(&mut self, counters: &mut Counters) {
        let Some(group) = self.waiting.keys().next().map(|p| p.0) else {
            return;
        };
        counters.missed += self.drop_group(group);
        if matches!(self.next, Next::Frame(next) if next.0 <= group) {
            self.next = Next::Keyframe(group);
        }
    }
}
