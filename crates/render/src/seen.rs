//! What a vantage showed, view by view, and what of it changed since.

use std::hash::{DefaultHasher, Hash, Hasher};

use glam::{Mat4, Vec3};
use tongyou_scene::Lighting;

use crate::cull::{Aabb, Area, Frustum, Tiles};
use crate::lamps::{Lamp, MAX_PER_CELL};
use crate::plan::{PictureKey, ScenePlan};
use crate::prepare::{Part, Prepared};
use crate::{SceneId, VantageKind, VantageRequest, View};

/// What moved less than this part of a pixel since a view was drawn has not moved.
const STILL_PIXELS: f32 = 0.1;
/// How far a shadow may fall, in metres, for the question whether an unseen thing's shadow is seen.
const SHADOW_REACH_M: f32 = 150.0;
/// A shadow's edge may lie this far from where geometry has it: the filter and the bias of the coarser map.
const FAR_MARGIN_M: f32 = 2.0;
/// The same where the finer map is sure to be used, up to this distance in metres.
const NEAR_MARGIN_M: f32 = 0.35;
const NEAR_SHADOWS_M: f32 = 35.0;

/// Pieces in which a shadow's way is looked at.
const SHADOW_PIECES: u8 = 16;

/// What a vantage showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    scene: SceneId,
    lighting: Lighting,
    point: Vec3,
    near: f32,
    kind: VantageKind,
    /// The mask of [`VantageRequest::only`].
    only: Option<u64>,
    /// As each view was when it was last drawn, which need not have been at one instant.
    views: Vec<SeenView>,
}

/// What one view showed that may change.
#[derive(Debug, Clone, PartialEq)]
struct SeenView {
    /// Moving parts that could be seen, or whose shadow could, and where they were.
    moving: Vec<(u32, Mat4)>,
    /// Lamps that reach into it, where they are lit.
    lamps: Vec<Lamp>,
    /// There are more lamps than a cell may have.
    crowded: bool,
}

/// Where a view's colours changed, and whether its depth did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) tiles: Tiles,
    pub(crate) geometry: bool,
}

impl Change {
    fn none(view: &View) -> Self {
        Self {
            tiles: Tiles::none(view.size),
            geometry: false,
        }
    }

    fn all(view: &View) -> Self {
        Self {
            tiles: Tiles::all(view.size),
            geometry: true,
        }
    }

    fn add(&mut self, area: Option<Area>) {
        if let Some(area) = area {
            self.tiles.add(&area);
        }
    }

    /// Nothing else is drawn.
    pub(crate) fn within(self, tiles: &Tiles) -> Self {
        let tiles = self.tiles.and(tiles);
        Self {
            geometry: self.geometry && !tiles.is_empty(),
            tiles,
        }
    }
}

impl Seen {
    pub(crate) fn now(
        request: &VantageRequest,
        prepared: &Prepared,
        scene: &ScenePlan,
        boxes: &[Aabb],
        floor: f32,
    ) -> Self {
        let lighting = &request.lighting;
        let view = |view: View| {
            let frustum = Frustum::new(&view, request.point, request.near);
            let shows_local = request.kind.shows_local();
            let sees = |part: &Part, b: &Aabb| {
                (shows_local || !part.local) && frustum.sees(b)
                    || !shadow(&frustum, b, lighting, request.point, floor).is_empty()
            };
            let moving = (0u32..)
                .zip(prepared.parts.iter().zip(boxes))
                .filter(|(_, (part, b))| part.moving && sees(part, b))
                .map(|(i, (part, _))| (i, scene.world_from_nodes[part.node]));
            let lit = lighting.lamps > 0.0;
            // A full cell keeps the strongest lamps, so that any of them matters to all.
            let crowded = scene.lamps.len() > MAX_PER_CELL;
            let reaches = |lamp: &&Lamp| lit && (crowded || lamp.bounds().is_none_or(|b| frustum.sees(&b)));
            SeenView {
                moving: moving.collect(),
                lamps: scene.lamps.iter().filter(reaches).copied().collect(),
                crowded,
            }
        };
        Self {
            scene: request.scene,
            lighting: lighting.clone(),
            point: request.point,
            near: request.near,
            kind: request.kind,
            only: request.only.as_ref().map(|mask| mask.key()),
            views: request.kind.views().into_iter().map(view).collect(),
        }
    }

    /// What changed in each view since `old`. What did not move enough to show takes its old place in `self`: slow
    /// motion adds up until it shows.
    pub(crate) fn settle(&mut self, old: Option<&Self>, parts: &[Part], floor: f32) -> Vec<Change> {
        let views = self.kind.views();
        let Some(old) = old.filter(|old| old.has_place_of(self)) else {
            return views.iter().map(Change::all).collect();
        };
        let finest = views.iter().map(View::radians_per_pixel);
        let threshold = finest.fold(f32::INFINITY, f32::min) * STILL_PIXELS;
        let mut new_views = std::mem::take(&mut self.views);
        let pairs = new_views.iter_mut().zip(&old.views).zip(&views);
        let changes = pairs.map(|((new, old_view), view)| {
            let mut change = self.motion(new, old_view, view, parts, threshold, floor);
            for lamp in differing(&new.lamps, &old_view.lamps) {
                change.add(lamp.bounds().map_or_else(
                    || Some(Area::whole(view)),
                    |b| Area::around(&b, view, self.point, self.near),
                ));
            }
            if self.lighting != old.lighting || new.crowded {
                let any = self.lighting != old.lighting || new.lamps != old_view.lamps;
                change.add(any.then(|| Area::whole(view)));
            }
            change
        });
        let changes = changes.collect();
        self.views = new_views;
        changes
    }

    fn motion(
        &self,
        new: &mut SeenView,
        old: &SeenView,
        view: &View,
        parts: &[Part],
        threshold: f32,
        floor: f32,
    ) -> Change {
        let mut change = Change::none(view);
        let mut show = |part: u32, world: &Mat4| {
            let b = parts[part as usize].bounds.transformed(world);
            if self.kind.shows_local() || !parts[part as usize].local {
                let area = Area::around(&b, view, self.point, self.near);
                change.geometry |= area.is_some();
                change.add(area);
            }
            let frustum = Frustum::new(view, self.point, self.near);
            for (piece, margin) in shadow(&frustum, &b, &self.lighting, self.point, floor) {
                let wider = Aabb {
                    min: piece.min - margin,
                    max: piece.max + margin,
                };
                change.add(Area::around(&wider, view, self.point, self.near));
            }
        };
        for (part, world) in &old.moving {
            if new.moving.binary_search_by_key(part, |m| m.0).is_err() {
                show(*part, world);
            }
        }
        for (part, world) in &mut new.moving {
            match old.moving.binary_search_by_key(part, |m| m.0) {
                Err(_) => show(*part, world),
                Ok(at) => {
                    let before = &old.moving[at].1;
                    if self.moved(&parts[*part as usize].bounds, before, world, threshold) {
                        show(*part, before);
                        show(*part, world);
                    } else {
                        *world = *before;
                    }
                }
            }
        }
        change
    }

    /// Whether both show the same scene with the same cameras: one's pixels may be the other's.
    pub(crate) fn has_place_of(&self, other: &Self) -> bool {
        let place = |s: &Self| (s.scene, s.point, s.near, s.kind, s.only);
        place(self) == place(other)
    }

    fn moved(&self, bounds: &Aabb, old: &Mat4, new: &Mat4, threshold: f32) -> bool {
        bounds.corners().iter().any(|corner| {
            let (a, b) = (old.transform_point3(*corner), new.transform_point3(*corner));
            a.distance(b) > threshold * b.distance(self.point).max(self.near)
        })
    }

    /// Equal for pictures that show the same.
    pub(crate) fn key(&self) -> PictureKey {
        let l = &self.lighting;
        let mut numbers: Vec<f32> = Vec::with_capacity(1024);
        for v in [self.point, l.to_sun, l.sun, l.sky_zenith, l.sky_horizon, l.ground] {
            numbers.extend(v.to_array());
        }
        numbers.extend([self.near, l.lamps, l.emissive, l.exposure, l.haze_per_m]);
        for view in self.kind.views() {
            numbers.extend(view.world_from_view.to_cols_array());
            numbers.extend(view.offset.to_array());
            numbers.extend(view.half_tangent.to_array());
            numbers.push(view.foveation);
            numbers.extend(view.depth.as_vec2().to_array());
        }
        let mut hasher = DefaultHasher::new();
        (self.scene, self.kind.size(), self.views.len(), self.only).hash(&mut hasher);
        self.kind.shows_local().hash(&mut hasher);
        for view in &self.views {
            (view.moving.len(), view.lamps.len()).hash(&mut hasher);
            for (part, world) in &view.moving {
                part.hash(&mut hasher);
                numbers.extend(world.to_cols_array());
            }
            for lamp in &view.lamps {
                numbers.extend(bytemuck::bytes_of(lamp).iter().map(|b| f32::from(*b)));
            }
        }
        for number in numbers {
            number.to_bits().hash(&mut hasher);
        }
        PictureKey(hasher.finish())
    }
}

/// The lamps that only one of two sets has.
fn differing<'a>(new: &'a [Lamp], old: &'a [Lamp]) -> impl Iterator<Item = &'a Lamp> {
    let gone = old.iter().filter(|l| !new.contains(l));
    new.iter().filter(|l| !old.contains(l)).chain(gone)
}

/// Where in a view the shadow of something may fall on its way until it lies below everything: boxes, and by how much
/// the shadow may exceed each.
fn shadow(frustum: &Frustum, b: &Aabb, lighting: &Lighting, point: Vec3, floor: f32) -> Vec<(Aabb, f32)> {
    if lighting.sun == Vec3::ZERO || b.is_empty() {
        return Vec::new();
    }
    let to_sun = lighting.to_sun.normalize_or(Vec3::Y);
    let until_floor = if to_sun.y > 0.0 {
        ((b.max.y - floor) / to_sun.y).max(0.0)
    } else {
        SHADOW_REACH_M
    };
    let way = to_sun * -until_floor.min(SHADOW_REACH_M);
    if !frustum.sees_swept(b, way, FAR_MARGIN_M) {
        return Vec::new();
    }
    // Each plane alone may cut the whole way where no point of it lies inside all of them; short pieces tell.
    let step = way / f32::from(SHADOW_PIECES);
    let pieces = (0..SHADOW_PIECES).map(|i| {
        let from = step * f32::from(i);
        let piece = Aabb {
            min: b.min + from,
            max: b.max + from,
        };
        let furthest = piece.distance(point) + (b.max - b.min).length() + step.length();
        let margin = if furthest < NEAR_SHADOWS_M {
            NEAR_MARGIN_M
        } else {
            FAR_MARGIN_M
        };
        (piece, margin)
    });
    let seen = pieces.filter(|(piece, margin)| frustum.sees_swept(piece, step, *margin));
    let end = |piece: Aabb| Aabb {
        min: piece.min + step,
        max: piece.max + step,
    };
    seen.map(|(piece, margin)| (piece.union(end(piece)), margin)).collect()
}
