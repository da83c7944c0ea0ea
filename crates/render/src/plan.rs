//! What has to be drawn: a pure function of scenes, requests and what was drawn before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use glam::{Mat4, Vec3};
use tongyou_protocol::TourTime;
use tongyou_scene::Lighting;

use crate::behind::TileMask;
use crate::cull::{Aabb, Frustum, Tiles};
use crate::lamps::{self, Lamp};
use crate::prepare::Prepared;
use crate::seen::{Change, Seen};
use crate::{SceneId, SceneStore, VantageKey, VantageKind, VantageRequest, View};

/// What each view of each vantage showed when it was last drawn. Starts empty; each call of [`plan`] gives the next
/// one. If a plan was not carried out, keep the old one. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    seen: BTreeMap<VantageKey, Arc<Seen>>,
    /// With these the device was lost: how often with that one alone.
    suspects: BTreeMap<VantageKey, u32>,
}

/// A vantage with which alone the device was lost so often is refused.
const MOST_LOSSES: u32 = 2;

impl Memory {
    /// Forgets the vantages that are not to be kept. One that is only not asked for in a call of [`plan`] stays.
    pub fn retain(&mut self, mut keep: impl FnMut(VantageKey) -> bool) {
        self.seen.retain(|key, _| keep(*key));
        self.suspects.retain(|key, _| keep(*key));
    }

    /// The device was lost while this was drawn: all pictures are gone, and whoever was in the plan is suspected. A
    /// vantage that was alone in it for the second time is refused from now on, until [`Self::retain`] drops it.
    pub fn lost(&mut self, with: &RenderPlan) {
        self.seen.clear();
        for vantage in &with.vantages {
            let losses = self.suspects.entry(vantage.key).or_insert(0);
            *losses += u32::from(with.vantages.len() == 1);
        }
    }

    /// This was drawn: nobody in it is suspected any more.
    pub fn drawn(&mut self, plan: &RenderPlan) {
        for vantage in &plan.vantages {
            self.suspects.remove(&vantage.key);
        }
    }

    /// Somebody in this plan is suspected: it is to be drawn in pieces, see [`RenderPlan::split`], so that the one
    /// with which the device is lost is found.
    #[must_use]
    pub fn suspects(&self, plan: &RenderPlan) -> bool {
        plan.vantages.iter().any(|v| self.suspects.contains_key(&v.key))
    }
}

/// Everything that the executor needs for one submission.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderPlan {
    /// The scenes in use, each evaluated once for each instant.
    pub scenes: Vec<ScenePlan>,
    /// The vantages to draw, in the order of their requests.
    pub vantages: Vec<VantagePlan>,
    /// The vantages in whose picture nothing changed.
    pub still: Vec<VantageKey>,
    /// The vantages that can not be drawn, and why.
    pub refused: Vec<(VantageKey, Refusal)>,
}

impl RenderPlan {
    /// One plan for each vantage, in their order. A software driver draws one after the other anyway: drawn from
    /// these, the first picture need not wait for the last. What stands still or is refused is in none of them.
    #[must_use]
    pub fn split(&self) -> Vec<Self> {
        let alone = |v: &VantagePlan| Self {
            scenes: self.scenes.get(v.scene).cloned().into_iter().collect(),
            vantages: vec![VantagePlan { scene: 0, ..v.clone() }],
            still: Vec::new(),
            refused: Vec::new(),
        };
        self.vantages.iter().map(alone).collect()
    }
}

/// One scene at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenePlan {
    /// Which scene.
    pub scene: SceneId,
    /// Which instant.
    pub time: TourTime,
    /// Where its nodes are.
    pub world_from_nodes: Vec<Mat4>,
    /// Where its lamps are.
    pub lamps: Vec<Lamp>,
}

/// One vantage to draw.
#[derive(Debug, Clone, PartialEq)]
pub struct VantagePlan {
    /// Whose picture.
    pub key: VantageKey,
    /// Index into [`RenderPlan::scenes`].
    pub scene: usize,
    /// In which light.
    pub lighting: Lighting,
    /// From where, in metres.
    pub point: Vec3,
    /// The near plane in metres.
    pub near: f32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// All cameras of the vantage and what each may see.
    pub views: Vec<PlannedView>,
    /// The tiles that alone are drawn.
    pub only: Option<Arc<TileMask>>,
    /// Depth differs from the last set's, or there was none, or the request forces it: the frame has it, unless it has
    /// none by its kind.
    pub depth: bool,
    /// What the whole picture shows once the plan is carried out.
    pub shows: PictureKey,
    /// The picture in which the views that did not change are right; an executor that does not have it draws all.
    pub base: Option<PictureKey>,
}

/// Stands for all that a picture shows: scene, light, camera, and where everything that moves was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PictureKey(pub u64);

/// One camera and what it may see.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedView {
    /// Where it shows something else than it did; the rest need not be drawn.
    pub changed: Tiles,
    /// Those of `parts` that may be seen there.
    pub changed_parts: Vec<u32>,
    /// The camera.
    pub view: View,
    /// The scene's parts in its frustum, nearest first.
    pub parts: Vec<u32>,
}

/// Why a request can not be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such scene.
    #[error("unknown scene {0:?}")]
    UnknownScene(SceneId),
    /// A number is infinite or not a number.
    #[error("the point or the light is not finite")]
    NotFinite,
    /// The near plane is not at a positive distance.
    #[error("the near plane must be at 1 mm to 100 m")]
    Near,
    /// The picture's size or angle.
    #[error("width must be a multiple of 4, height of 2, both at most 4096, the angle between 0.01 and 3 radians")]
    Shape,
    /// A mask goes with a panorama.
    #[error("only a panorama can be drawn in part")]
    Mask,
    /// See [`Memory::lost`].
    #[error("the graphics device was lost each time that it was drawn")]
    LosesDevice,
    /// The same vantage was asked for before in the same call.
    #[error("asked for twice")]
    Twice,
}

/// A scene at an instant, and where its parts are then.
struct Evaluated {
    plan: ScenePlan,
    boxes: Vec<Aabb>,
    /// The height of the lowest part.
    floor: f32,
}

/// Decides what to draw. Equal arguments give equal plans.
#[must_use]
pub fn plan(scenes: &SceneStore, memory: &Memory, requests: &[VantageRequest]) -> (RenderPlan, Memory) {
    let mut next = memory.clone();
    let mut plan = RenderPlan {
        scenes: Vec::new(),
        vantages: Vec::new(),
        still: Vec::new(),
        refused: Vec::new(),
    };
    let mut asked = BTreeSet::new();
    let mut evaluated: Vec<Evaluated> = Vec::new();
    for request in requests {
        let loses_device = memory.suspects.get(&request.key).is_some_and(|n| *n >= MOST_LOSSES);
        let prepared = match check(scenes, request, asked.contains(&request.key)) {
            Ok(_) if loses_device => {
                plan.refused.push((request.key, Refusal::LosesDevice));
                continue;
            }
            Ok(prepared) => prepared,
            Err(refusal) => {
                plan.refused.push((request.key, refusal));
                continue;
            }
        };
        asked.insert(request.key);
        let is_it = |e: &Evaluated| (e.plan.scene, e.plan.time) == (request.scene, request.time);
        let at = evaluated.iter().position(is_it).unwrap_or_else(|| {
            evaluated.push(Evaluated::new(request.scene, prepared, request.time));
            evaluated.len() - 1
        });
        let scene = &evaluated[at];
        let mut shown = Seen::now(request, prepared, &scene.plan, &scene.boxes, scene.floor);
        let old = memory.seen.get(&request.key).map(AsRef::as_ref);
        let mut changes = shown.settle(old, &prepared.parts, scene.floor);
        if let Some(mask) = &request.only {
            let faces = changes.into_iter().enumerate();
            changes = faces
                .filter_map(|(face, c)| Some(c.within(mask.tiles(face)?)))
                .collect();
        }
        if old.is_some() && !request.force && changes.iter().all(|c| c.tiles.is_empty()) {
            plan.still.push(request.key);
            continue;
        }
        let base = old.filter(|old| old.has_place_of(&shown)).map(Seen::key);
        plan.vantages.push(vantage_plan(
            request,
            at,
            (prepared, &scene.boxes),
            changes,
            base,
            shown.key(),
        ));
        next.seen.insert(request.key, Arc::new(shown));
    }
    keep_used(&mut plan, evaluated);
    (plan, next)
}

fn check<'a>(scenes: &'a SceneStore, request: &VantageRequest, twice: bool) -> Result<&'a Prepared, Refusal> {
    if twice {
        return Err(Refusal::Twice);
    }
    let l = &request.lighting;
    let vectors = [request.point, l.to_sun, l.sun, l.sky_zenith, l.sky_horizon, l.ground];
    let scalars = [l.lamps, l.emissive, l.exposure, l.haze_per_m];
    if !vectors.iter().all(|v| v.is_finite()) || !scalars.iter().all(|v| v.is_finite()) {
        return Err(Refusal::NotFinite);
    }
    if !(0.001..=100.0).contains(&request.near) {
        return Err(Refusal::Near);
    }
    if !request.kind.is_valid() {
        return Err(Refusal::Shape);
    }
    if request.only.is_some() && request.kind != VantageKind::Panorama {
        return Err(Refusal::Mask);
    }
    scenes.get(request.scene).ok_or(Refusal::UnknownScene(request.scene))
}

impl Evaluated {
    fn new(scene: SceneId, prepared: &Prepared, time: TourTime) -> Self {
        let world_from_nodes = prepared.skeleton.world_from_nodes(time.as_seconds());
        let boxes: Vec<Aabb> = prepared
            .parts
            .iter()
            .map(|p| p.bounds.transformed(&world_from_nodes[p.node]))
            .collect();
        Self {
            floor: boxes.iter().map(|b| b.min.y).fold(f32::INFINITY, f32::min),
            boxes,
            plan: ScenePlan {
                scene,
                time,
                lamps: lamps::gather(&prepared.skeleton, &world_from_nodes),
                world_from_nodes,
            },
        }
    }
}

fn vantage_plan(
    request: &VantageRequest,
    scene: usize,
    (prepared, boxes): (&Prepared, &[Aabb]),
    changes: Vec<Change>,
    base: Option<PictureKey>,
    shows: PictureKey,
) -> VantagePlan {
    let (width, height) = request.kind.size();
    let depth = request.force || changes.iter().any(|c| c.geometry);
    let shows_local = request.kind.shows_local();
    let views = request.kind.views().into_iter().zip(changes).map(|(view, change)| {
        let frustum = Frustum::new(&view, request.point, request.near);
        let mut parts: Vec<(f32, u32)> = (0u32..)
            .zip(prepared.parts.iter().zip(boxes))
            .filter(|(_, (part, b))| (shows_local || !part.local) && frustum.sees(b))
            .map(|(i, (_, b))| (b.distance(request.point), i))
            .collect();
        parts.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let parts: Vec<u32> = parts.into_iter().map(|p| p.1).collect();
        let changed_parts = change.tiles.bounds().map_or_else(Vec::new, |area| {
            let frustum = Frustum::of_area(&view, &area, request.point, request.near);
            let seen = parts.iter().filter(|p| frustum.sees(&boxes[**p as usize]));
            seen.copied().collect()
        });
        PlannedView {
            changed: change.tiles,
            changed_parts,
            view,
            parts,
        }
    });
    let views: Vec<PlannedView> = views.collect();
    VantagePlan {
        key: request.key,
        scene,
        lighting: request.lighting.clone(),
        point: request.point,
        near: request.near,
        width,
        height,
        depth: depth && views.iter().any(|v| v.view.has_depth()),
        views,
        only: request.only.clone(),
        shows,
        base,
    }
}

/// Leaves out the scenes that only still vantages look at.
fn keep_used(plan: &mut RenderPlan, evaluated: Vec<Evaluated>) {
    let mut moved = vec![None; evaluated.len()];
    for (at, scene) in evaluated.into_iter().enumerate() {
        if plan.vantages.iter().any(|v| v.scene == at) {
            moved[at] = Some(plan.scenes.len());
            plan.scenes.push(scene.plan);
        }
    }
    for vantage in &mut plan.vantages {
        if let Some(at) = moved[vantage.scene] {
            vantage.scene = at;
        }
    }
}
