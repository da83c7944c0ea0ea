//! `plan(scenes, memory, requests) -> RenderPlan` (pure), then one GPU executor (wgpu).
//!
//! A caller keeps a [`Memory`] and loops: [`plan`] decides what has to be drawn for all vantages, whatever their scenes
//! and instants, [`Executor::execute`] draws it in one submission and gives back one [`Frame`] per vantage: NV12 colour
//! and planar depth. Only the views that changed are drawn; the rest of
//! a frame comes from the picture before.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod behind;
mod cull;
mod error;
mod gpu;
mod lamps;
mod light;
mod nv12;
mod pack;
mod plan;
mod prepare;
mod seen;
mod store;
mod view;

pub use cull::{Area, Tiles};
pub use error::{Error, Result};
pub use gpu::{Adapter, Config, Executor, Frame, Submission};
pub use lamps::Lamp;
pub use light::{ambient_sh, sky_gradient};
pub use nv12::{nv12_len, rgb_from_nv12};
pub use plan::{Memory, PictureKey, PlannedView, Refusal, RenderPlan, ScenePlan, VantagePlan, plan};
pub use store::{SceneId, SceneStore};
pub use view::{VantageKey, VantageKind, VantageRequest, View};
