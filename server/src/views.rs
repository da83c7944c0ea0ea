//! What the render thread knows of each vantage's layers: what their requests and tags need beyond the newest wish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tongyou_protocol::frame::{Eyes, Layer, Shape};
use tongyou_protocol::{ServerTime, TourTime, cube};
use tongyou_render::behind::{self, TileMask};
use tongyou_session::VantageKind;
use tracing::debug;

use crate::fanout::Key;

/// What lies behind is chosen anew at most so often: near things move, and looking for edges takes time.
const CHOOSE_EVERY: Duration = Duration::from_secs(5);
/// What lies behind is drawn at most so often, also where it moves.
const BEHIND_EVERY: Duration = Duration::from_millis(500);
/// Bits a second of a sharp face.
const FACE_BPS: u32 = 6_000_000;
/// No stream is coded with less.
const LEAST_BPS: u32 = 500_000;

/// All vantages, by the key of their base.
#[derive(Default)]
pub(crate) struct Views(BTreeMap<Key, View>);

#[derive(Default)]
struct View {
    /// When each face's colours last changed.
    changed_at: [Option<TourTime>; 6],
    behind: Option<Arc<TileMask>>,
    chosen_at: Option<ServerTime>,
    behind_at: Option<ServerTime>,
}

impl Views {
    /// Takes note of a base panorama, and says for how long each face has been as it is in it, in milliseconds. With
    /// `behind`, its depth says what is worth drawing behind near things.
    pub(crate) fn base(
        &mut self,
        now: ServerTime,
        key: Key,
        at: TourTime,
        changed: [bool; 6],
        depth: Option<&[u16]>,
        behind: bool,
    ) -> [u32; 6] {
        let view = self.0.entry(key).or_default();
        let due = view
            .chosen_at
            .is_none_or(|last| now.saturating_since(last) >= CHOOSE_EVERY);
        if let Some(depth) = depth.filter(|_| behind && due) {
            view.chosen_at = Some(now);
            let chosen = behind::choose(depth, cube::FACE_SIZE, crate::render::NEAR_M);
            if let Some(b) = &chosen {
                let (resolved, drawn) = (b.resolved * 100.0, b.drawn * 100.0);
                debug!(
                    "vantage {}: {resolved:.2} % lie behind, {drawn:.1} % are drawn for them",
                    key.vantage
                );
            }
            view.behind = chosen.map(|b| b.mask);
        }
        let mut still_ms = [0; 6];
        for ((last, changed), still_ms) in view.changed_at.iter_mut().zip(changed).zip(&mut still_ms) {
            let since = if changed { at } else { last.unwrap_or(at) };
            *last = Some(since);
            // Rounded up: a sharp face of that very instant is as new as these colours.
            *still_ms = u32::try_from((at.0 - since.0).max(0).unsigned_abs().div_ceil(1000)).unwrap_or(u32::MAX);
        }
        still_ms
    }

    /// What is to be drawn behind, if anything, and if it is time.
    pub(crate) fn behind(&self, now: ServerTime, base: &Key, at_once: bool) -> Option<Arc<TileMask>> {
        let view = self.0.get(base)?;
        let due = view
            .behind_at
            .is_none_or(|last| now.saturating_since(last) >= BEHIND_EVERY);
        view.behind.clone().filter(|_| due || at_once)
    }

    /// What lies behind has been asked for.
    pub(crate) fn asked_behind(&mut self, now: ServerTime, base: &Key) {
        if let Some(view) = self.0.get_mut(base) {
            view.behind_at = Some(now);
        }
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Key) -> bool) {
        self.0.retain(|key, _| keep(key));
    }
}

/// The renderer's kind of a layer; `None` where a vantage has no such layer.
pub(crate) fn render_kind(
    kind: VantageKind,
    layer: Layer,
    face_size: Option<u16>,
) -> Option<tongyou_render::VantageKind> {
    use tongyou_render::VantageKind as Render;
    match (kind, layer) {
        (VantageKind::Panorama, Layer::Base | Layer::Behind) => Some(Render::Panorama),
        (VantageKind::Panorama, Layer::Face(face)) => face_size.map(|size| Render::Face {
            face,
            size: size.into(),
        }),
        (VantageKind::Stereo { rotation, half_ipd }, Layer::Base) => Some(Render::stereo(rotation, half_ipd)),
        (
            VantageKind::Flat {
                rotation,
                vertical_fov_rad,
                width,
                height,
            },
            Layer::Base,
        ) => Some(Render::Flat {
            world_from_camera: rotation,
            vertical_fov_rad,
            width: width.into(),
            height: height.into(),
        }),
        _ => None,
    }
}

/// What a picture's header and tag say of its kind.
pub(crate) struct Says {
    pub(crate) shape: Shape,
    pub(crate) half_tangent: f32,
    pub(crate) eyes: Eyes,
    /// Texels along the side of a face of its depth; 0 without depth.
    pub(crate) depth_size: u16,
}

/// Likewise.
pub(crate) fn says(kind: &tongyou_render::VantageKind) -> Says {
    use tongyou_render::VantageKind as Render;
    #[expect(clippy::cast_possible_truncation, reason = "512")]
    const FACE: u16 = cube::FACE_SIZE as u16;
    match *kind {
        Render::Panorama => Says {
            shape: Shape::Panorama,
            half_tangent: cube::HALF_TANGENT,
            eyes: Eyes::default(),
            depth_size: FACE,
        },
        Render::Face { .. } => Says {
            shape: Shape::Panorama,
            half_tangent: cube::HALF_TANGENT,
            eyes: Eyes::default(),
            depth_size: 0,
        },
        Render::Stereo {
            rotation,
            half_ipd,
            half_tangent,
            foveation,
            depth_size,
            ..
        } => Says {
            shape: Shape::Stereo,
            half_tangent,
            eyes: Eyes {
                rotation,
                half_ipd,
                foveation,
            },
            depth_size: u16::try_from(depth_size).unwrap_or(FACE),
        },
        Render::Flat {
            world_from_camera,
            vertical_fov_rad,
            ..
        } => Says {
            shape: Shape::Flat,
            half_tangent: (vertical_fov_rad / 2.0).tan(),
            eyes: Eyes {
                rotation: world_from_camera,
                ..Eyes::default()
            },
            depth_size: 0,
        },
    }
}

/// Bits a second of a layer, where its vantage has `base_bps`.
pub(crate) fn bitrate_bps(kind: &tongyou_render::VantageKind, layer: Layer, base_bps: u32) -> u32 {
    use tongyou_render::VantageKind as Render;
    let share = match (kind, layer) {
        (_, Layer::Face(_)) => FACE_BPS.min(base_bps / 2),
        // Most of it is grey.
        (_, Layer::Behind) => base_bps / 4,
        (Render::Flat { width, height, .. }, _) => {
            let panorama = cube::ATLAS_COLUMNS * cube::ATLAS_ROWS * cube::FACE_SIZE.pow(2);
            let bps = u64::from(base_bps) * u64::from(width * height) / u64::from(panorama);
            u32::try_from(bps).unwrap_or(base_bps).min(base_bps)
        }
        _ => base_bps,
    };
    share.max(LEAST_BPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tongyou_protocol::VantageId;
    use tongyou_session::SessionKey;

    #[test]
    fn a_face_is_still_since_its_colours_changed() {
        let key = Key {
            session: SessionKey(1),
            vantage: VantageId(1),
            layer: Layer::Base,
        };
        let mut views = Views::default();
        let mut set = |us: i64, changed: [usize; 2]| {
            let changed = std::array::from_fn(|f| changed.contains(&f));
            views.base(ServerTime(us), key, TourTime(us), changed, None, true)
        };
        assert_eq!(set(1_000_000, [0, 1]), [0; 6], "nothing is older than the first set");
        assert_eq!(set(1_100_500, [1, 2]), [101, 0, 0, 101, 101, 101]);
        assert_eq!(set(1_200_000, [1, 1]), [200, 0, 100, 200, 200, 200]);
        views.retain(|_| false);
        assert_eq!(
            views.base(ServerTime(0), key, TourTime(9), [false; 6], None, true),
            [0; 6]
        );
    }

    #[test]
    fn layers_take_their_share_of_what_the_vantage_may_have() {
        let panorama = tongyou_render::VantageKind::Panorama;
        let flat = tongyou_render::VantageKind::Flat {
            world_from_camera: glam::Quat::IDENTITY,
            vertical_fov_rad: 1.0,
            width: 768,
            height: 512,
        };
        assert_eq!(bitrate_bps(&panorama, Layer::Base, 12_000_000), 12_000_000);
        assert_eq!(bitrate_bps(&panorama, Layer::Behind, 12_000_000), 3_000_000);
        assert_eq!(bitrate_bps(&panorama, Layer::Face(1), 20_000_000), 6_000_000);
        assert_eq!(bitrate_bps(&panorama, Layer::Face(1), 800_000), LEAST_BPS);
        assert_eq!(bitrate_bps(&flat, Layer::Base, 12_000_000), 3_000_000);
    }
}
