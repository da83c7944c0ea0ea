//! The encode thread: one encoder and one depth reference per layer of a vantage, never per viewer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use tongyou_media::Size;
use tongyou_media::encode::{self, Backend, OpenH264};
use tongyou_protocol::depth::Cube;
use tongyou_protocol::frame::{Codec, Header, Lane, Layer, Shape, Tag};
use tongyou_protocol::{ServerTime, SetId};
use tongyou_stream::send::EncodedFrame;
use tracing::{error, warn};

use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Event, Mailbox};
use crate::fanout::Key;
use crate::metrics::Metrics;
use crate::stamps::{self, SetTimes};

/// zstd level of depth: keyframes are rare, changes small.
const DEPTH_LEVEL: i32 = 3;
/// When more than this part of the tiles differ from the keyframe, a new one is cheaper to send from then on.
const REKEY_SHARE: f32 = 0.3;

/// What the render thread hands over.
pub(crate) enum Job {
    /// The sets that were drawn together.
    Sets(Vec<Rendered>),
    /// The layers that still exist; the state of all others is dropped.
    Alive(Vec<Key>),
}

/// A rendered set.
pub(crate) struct Rendered {
    pub(crate) key: Key,
    pub(crate) shape: Shape,
    /// Texels along the side of a face of its depth.
    pub(crate) depth_size: u16,
    pub(crate) tag: Tag,
    pub(crate) rendered_at: ServerTime,
    pub(crate) times: SetTimes,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) nv12: Vec<u8>,
    pub(crate) depth: Option<Vec<u16>>,
    pub(crate) bitrate_bps: u32,
    pub(crate) sets_per_s: f32,
}

struct Vantage {
    encoder: Box<dyn Backend>,
    bitrate_bps: u32,
    sets_per_s: f32,
    group: u32,
    index: u16,
    group_started: ServerTime,
    depth: Option<Depth>,
}

/// The depth that receivers hold.
struct Depth {
    key_set: SetId,
    key: Cube,
    /// The set whose depth frame is the newest.
    newest: SetId,
    frames: u32,
}

/// Runs until the render thread or the tick thread is gone.
pub(crate) fn run(config: &Config, clock: Clock, jobs: &Receiver<Job>, mailbox: &Mailbox, metrics: &Metrics) {
    let mut vantages: BTreeMap<Key, Vantage> = BTreeMap::new();
    for job in jobs {
        let sets = match job {
            Job::Alive(alive) => {
                vantages.retain(|key, _| alive.contains(key));
                continue;
            }
            Job::Sets(sets) => sets,
        };
        for rendered in sets {
            let key = rendered.key;
            let (set, times, rendered_at) = (rendered.tag.set.0, rendered.times, rendered.rendered_at);
            let began = clock.now();
            match encode(config, &mut vantages, rendered) {
                Ok(frames) => {
                    let now = clock.now();
                    let counter = match key.layer {
                        Layer::Base => &metrics.sets_encoded,
                        _ => &metrics.layers_encoded,
                    };
                    counter.add(1);
                    metrics.encode.record(now.saturating_since(began));
                    stamps::encoded(key, set, times, rendered_at, now);
                    if mailbox.blocking_send(Event::Encoded { key, frames }).is_err() {
                        return;
                    }
                }
                Err(e) => {
                    // The others go on; this vantage starts anew with its next set.
                    error!(
                        "vantage {} of session {} is not encoded: {e:#}",
                        key.vantage, key.session.0
                    );
                    vantages.remove(&key);
                }
            }
        }
    }
}

fn encode(
    config: &Config,
    vantages: &mut BTreeMap<Key, Vantage>,
    rendered: Rendered,
) -> anyhow::Result<Vec<Arc<EncodedFrame>>> {
    let vantage = match vantages.entry(rendered.key) {
        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Vantage::new(config, &rendered)?),
    };
    // Depth goes first: a colour frame without it can not be shown.
    let depth = vantage.depth_frame(&rendered)?;
    let color = vantage.color_frame(config, &rendered)?;
    Ok(depth.into_iter().chain([color]).map(Arc::new).collect())
}

impl Vantage {
    fn new(config: &Config, rendered: &Rendered) -> anyhow::Result<Self> {
        let size = Size::new(rendered.width, rendered.height)?;
        let settings = encode::Config {
            bitrate_bps: rendered.bitrate_bps,
            fps: rendered.sets_per_s,
            threads: config.encode_threads,
            ..encode::Config::new(size)
        };
        Ok(Self {
            encoder: Box::new(OpenH264::new(settings)?),
            bitrate_bps: rendered.bitrate_bps,
            sets_per_s: rendered.sets_per_s,
            group: 0,
            index: 0,
            group_started: rendered.rendered_at,
            depth: None,
        })
    }

    fn color_frame(&mut self, config: &Config, rendered: &Rendered) -> anyhow::Result<EncodedFrame> {
        if self.bitrate_bps != rendered.bitrate_bps {
            self.encoder.set_bitrate(rendered.bitrate_bps)?;
            self.bitrate_bps = rendered.bitrate_bps;
        }
        if self.sets_per_s != rendered.sets_per_s {
            self.encoder.set_fps(rendered.sets_per_s)?;
            self.sets_per_s = rendered.sets_per_s;
        }
        let group_us = i64::from(config.group_ms) * 1000;
        if self.index > 0 && rendered.rendered_at.micros_since(self.group_started) >= group_us {
            self.encoder.force_keyframe()?;
        }
        let encoded = self.encoder.encode(&rendered.nv12, rendered.tag.set.0)?;
        if encoded.keyframe {
            self.group = self.group.wrapping_add(1);
            self.index = 0;
            self.group_started = rendered.rendered_at;
        }
        let header = Header {
            lane: Lane::Color,
            layer: rendered.key.layer,
            shape: rendered.shape,
            keyframe: encoded.keyframe,
            codec: Codec::H264,
            width: u16::try_from(rendered.width)?,
            height: u16::try_from(rendered.height)?,
            group: self.group,
            index: self.index,
            depends_on: self.depth.as_ref().map_or(rendered.tag.set, |d| d.newest),
            rendered_at: rendered.rendered_at,
            tag: rendered.tag,
        };
        self.index = self.index.wrapping_add(1);
        Ok(EncodedFrame::new(header, encoded.data))
    }

    fn depth_frame(&mut self, rendered: &Rendered) -> anyhow::Result<Option<EncodedFrame>> {
        let Some(samples) = &rendered.depth else {
            if self.depth.is_none() && rendered.depth_size > 0 {
                warn!("vantage {} has no depth yet", rendered.key.vantage);
            }
            return Ok(None);
        };
        let size = usize::from(rendered.depth_size);
        let now = Cube::new(size, samples.clone())?;
        let set = rendered.tag.set;
        let rekey = match &self.depth {
            None => true,
            #[expect(clippy::cast_precision_loss, reason = "a share of some thousand tiles")]
            Some(depth) => now.changed_tiles(&depth.key) as f32 > REKEY_SHARE * now.tiles() as f32,
        };
        let (keyframe, payload) = match &mut self.depth {
            Some(depth) if !rekey => {
                let payload = now.encode_changes(&depth.key, DEPTH_LEVEL)?;
                if payload.is_none() && depth.newest == depth.key_set {
                    return Ok(None);
                }
                depth.newest = set;
                depth.frames += 1;
                // Back at the keyframe after a change: an empty list of tiles says so.
                (false, payload.map_or_else(|| now.encode_none(DEPTH_LEVEL), Ok)?)
            }
            slot => {
                let payload = now.encode_keyframe(DEPTH_LEVEL)?;
                let frames = slot.as_ref().map_or(0, |d| d.frames + 1);
                *slot = Some(Depth {
                    key_set: set,
                    key: now,
                    newest: set,
                    frames,
                });
                (true, payload)
            }
        };
        let (key_set, frames) = self.depth.as_ref().map_or((set, 0), |d| (d.key_set, d.frames));
        let header = Header {
            lane: Lane::Depth,
            layer: rendered.key.layer,
            shape: rendered.shape,
            keyframe,
            codec: Codec::Depth1,
            width: u16::try_from(size)?,
            height: u16::try_from(size)?,
            group: key_set.0,
            #[expect(clippy::cast_possible_truncation, reason = "a counter that may wrap")]
            index: frames as u16,
            depends_on: key_set,
            rendered_at: rendered.rendered_at,
            tag: rendered.tag,
        };
        Ok(Some(EncodedFrame::new(header, payload)))
    }
}
