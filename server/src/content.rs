//! Loads tours and scenes. What is broken is said and left out; it never stops the rest.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tongyou_protocol::control::LocalModel;
use tongyou_scene::{Limits, Scene, Tour, load_glb};
use tracing::{error, info};

use crate::local::{self, Files};

/// What this server can show.
pub(crate) struct Content {
    /// Tours whose scenes are all there, by id.
    pub(crate) tours: BTreeMap<String, Arc<Tour>>,
    /// Scenes by name.
    pub(crate) scenes: BTreeMap<String, Scene>,
    /// What headsets draw themselves of each scene.
    pub(crate) local: BTreeMap<String, LocalModel>,
    /// The files of it.
    pub(crate) files: Files,
}

impl Content {
    /// Reads every `*.toml` in `tours` and the scenes that they name.
    pub(crate) fn load(tours: &Path, scenes: &Path) -> anyhow::Result<Self> {
        let mut content = Self {
            tours: BTreeMap::new(),
            scenes: BTreeMap::new(),
            local: BTreeMap::new(),
            files: Files::new(),
        };
        let entries = std::fs::read_dir(tours)
            .with_context(|| format!("can not read the folder of tours {} (see --tours)", tours.display()))?;
        let mut paths: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.retain(|p| p.extension().is_some_and(|e| e == "toml"));
        paths.sort();
        for path in paths {
            if let Err(e) = content.add(&path, scenes) {
                error!("the tour {} is left out: {e:#}", path.display());
            }
        }
        if content.tours.is_empty() {
            bail!(
                "no tour in {} can be shown (see the messages above, --tours and --scenes)",
                tours.display()
            );
        }
        Ok(content)
    }

    fn add(&mut self, path: &Path, scenes: &Path) -> anyhow::Result<()> {
        let tour = Tour::load(path)?;
        if self.tours.contains_key(&tour.id) {
            bail!("its id {:?} is taken by another file", tour.id);
        }
        for stop in &tour.stops {
            if self.scenes.contains_key(&stop.scene) {
                continue;
            }
            let file = scenes.join(format!("{}.glb", stop.scene));
            let scene = load_glb(&file, &Limits::default()).with_context(|| format!("stop {:?}", stop.id))?;
            match local::model(&scene, &mut self.files) {
                Ok(model) => self.local.extend(model.map(|model| (stop.scene.clone(), model))),
                Err(e) => error!("headsets draw nothing of the scene {:?} themselves: {e:#}", stop.scene),
            }
            self.scenes.insert(stop.scene.clone(), scene);
        }
        info!("tour {:?}: {} stops", tour.id, tour.stops.len());
        self.tours.insert(tour.id.clone(), Arc::new(tour));
        Ok(())
    }
}
