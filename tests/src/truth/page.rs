//! The page as a client under test: a real browser shows recorded vantages.

use std::path::Path;

use glam::Vec3;
use serde_json::{Value, json};
use tempfile::TempDir;
use tongyou_client::present;
use tongyou_protocol::cube;

use super::{Layers, Looks, Recording, SIDE, Warp};
use crate::browser::Page;
use crate::pictures::Picture;

/// Names of the warps on the page, as in [`Warp::ALL`].
const NAMES: [&str; Warp::ALL.len()] = ["client", "uncompressed", "rotation"];

/// A browser that shows recordings.
pub struct Browser {
    page: Page,
    folder: TempDir,
    /// The layers that it has been told of.
    loaded: Option<Vec<u8>>,
    /// Milliseconds that each picture took.
    pub looked_ms: Vec<f64>,
}

impl Browser {
    /// Starts it. One is enough for all places.
    #[must_use]
    pub fn open() -> Self {
        Self {
            page: Page::open("truth", json!({})),
            folder: tempfile::tempdir().unwrap(),
            loaded: None,
            looked_ms: Vec::new(),
        }
    }

    fn load(&mut self, recording: &Recording) {
        // A recording is told from another by its depth and its last picture.
        let key = [&recording.depth[..], recording.colors.last().unwrap()].concat();
        if self.loaded.as_ref() == Some(&key) {
            return;
        }
        if self.loaded.replace(key).is_some() {
            self.page.step(&json!({ "forget": true }));
        }
        let folder = self.folder.path().to_owned();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let colors = recording.colors.iter().enumerate();
        let colors: Vec<_> = colors.map(|(n, frame)| write(&format!("color-{n}"), frame)).collect();
        let depth = write("depth", &recording.depth);
        let far = write("far", &recording.far);
        let size = [cube::ATLAS_COLUMNS, cube::ATLAS_ROWS].map(|n| n * cube::FACE_SIZE);
        let nv12 = json!({ "file": write("nv12", &recording.nv12), "width": size[0], "height": size[1] });
        let with = |depth: &Path| {
            let mut frames = vec![depth.to_owned()];
            frames.extend(colors.iter().cloned());
            frames
        };
        for recorded in [
            json!({ "name": NAMES[0], "frames": with(&depth) }),
            json!({ "name": NAMES[1], "frames": [depth], "nv12": nv12 }),
            json!({ "name": NAMES[2], "frames": with(&far) }),
        ] {
            let shown = self.page.step(&json!({ "load": recorded }));
            assert_eq!(shown["sets"], 1, "{shown}");
        }
    }

    fn look(&mut self, eye: present::Eye, which: u8) -> [(Picture, usize); Warp::ALL.len()] {
        let look = json!({
            "names": NAMES, "to": self.folder.path(), "side": SIDE, "which": which,
            "position": Vec3::to_array(&eye.position), "rotation": eye.rotation.to_array(), "verticalFovRad": eye.fov_y,
        });
        let figures = self.page.step(&json!({ "look": look }));
        std::array::from_fn(|i| {
            let rgb = std::fs::read(self.folder.path().join(format!("{}.rgb", NAMES[i]))).unwrap();
            assert_eq!(rgb.len(), (3 * SIDE * SIDE) as usize);
            self.looked_ms.push(figures[i]["ms"].as_f64().unwrap());
            let picture = Picture {
                width: SIDE,
                height: SIDE,
                rgb,
            };
            (picture, holes(&figures[i]))
        })
    }
}

fn holes(figures: &Value) -> usize {
    usize::try_from(figures["holes"].as_u64().unwrap()).unwrap()
}

impl Looks for Browser {
    fn pairs(&mut self, layers: &Layers, eyes: [present::Eye; 2]) -> [[(Picture, usize); Warp::ALL.len()]; 2] {
        self.load(&layers.recording);
        [self.look(eyes[0], 1), self.look(eyes[1], 2)]
    }
}
