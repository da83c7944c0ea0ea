//! The scenes that can be planned with, as plain data.

use std::sync::Arc;

use tongyou_scene::Scene;

use crate::prepare::{self, Geometry, Prepared};
use crate::{Error, Result};

/// A scene in a [`SceneStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SceneId(pub u32);

/// What planning knows of each scene. Cheap to clone, so that a planner may live on another thread than the executor.
#[derive(Debug, Clone, Default)]
pub struct SceneStore {
    scenes: Vec<Arc<Prepared>>,
}

impl SceneStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a scene for planning alone; [`crate::Executor::add_scene`] also gives it to the GPU.
    ///
    /// # Errors
    /// See [`Error::SceneTooLarge`] and [`Error::DanglingIndex`].
    pub fn add(&mut self, scene: &Scene) -> Result<SceneId> {
        let (prepared, _) = prepare::prepare(scene)?;
        self.insert(prepared)
    }

    /// How many scenes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scenes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scenes.is_empty()
    }

    pub(crate) fn get(&self, id: SceneId) -> Option<&Prepared> {
        self.scenes.get(id.0 as usize).map(AsRef::as_ref)
    }

    pub(crate) fn prepare(scene: &Scene) -> Result<(Prepared, Geometry)> {
        prepare::prepare(scene)
    }

    pub(crate) fn insert(&mut self, prepared: Prepared) -> Result<SceneId> {
        let id = u32::try_from(self.scenes.len()).map_err(|_| Error::UnknownScene(u32::MAX))?;
        self.scenes.push(Arc::new(prepared));
        Ok(SceneId(id))
    }
}
