//! Pictures: read, rendered directly by the server's renderer, compared with FLIP.

use std::path::Path;

use glam::{Quat, Vec3};
use nv_flip::{DEFAULT_PIXELS_PER_DEGREE, FlipImageRgb8, FlipPool};
use tongyou_protocol::TourTime;
use tongyou_render::{Config, Executor, Memory, VantageKey, VantageKind, VantageRequest, plan, rgb_from_nv12};
use tongyou_scene::{Limits, Tour, load_glb};

use crate::root;

/// RGB8, rows top to bottom.
#[derive(Clone)]
pub struct Picture {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Three bytes a pixel.
    pub rgb: Vec<u8>,
}

/// How different two pictures look (FLIP: 0 is equal, 1 as different as can be).
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    /// Mean over all pixels.
    pub mean: f32,
    /// 95th percentile.
    pub p95: f32,
}

impl Picture {
    /// Reads a PNG.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let image = image::open(path).unwrap().to_rgb8();
        Self {
            width: image.width(),
            height: image.height(),
            rgb: image.into_raw(),
        }
    }

    /// Writes a PNG.
    pub fn write(&self, path: &Path) {
        image::save_buffer(path, &self.rgb, self.width, self.height, image::ColorType::Rgb8).unwrap();
    }

    /// The part from column `x` on, `width` across.
    #[must_use]
    pub fn columns(&self, x: u32, width: u32) -> Self {
        let row = |y: u32| {
            let start = ((y * self.width + x) * 3) as usize;
            &self.rgb[start..start + (width * 3) as usize]
        };
        Self {
            width,
            height: self.height,
            rgb: (0..self.height).flat_map(row).copied().collect(),
        }
    }

    /// FLIP against a reference of the same size.
    #[must_use]
    pub fn difference(&self, reference: &Self) -> Difference {
        assert_eq!((self.width, self.height), (reference.width, reference.height));
        let flip = |p: &Self| FlipImageRgb8::with_data(p.width, p.height, &p.rgb);
        let error = nv_flip::flip(flip(reference), flip(self), DEFAULT_PIXELS_PER_DEGREE);
        let mut pool = FlipPool::from_image(&error);
        Difference {
            mean: pool.mean(),
            p95: pool.get_percentile(0.95, true),
        }
    }
}

/// The server's renderer, for direct pictures of a stop.
pub struct Direct {
    executor: Executor,
    tour: Tour,
    scenes: Vec<(String, tongyou_render::SceneId)>,
}

/// What an eye sees.
#[derive(Debug, Clone, Copy)]
pub struct Eye {
    /// Stop-local metres.
    pub position: Vec3,
    /// Looks along its −Z.
    pub rotation: Quat,
    /// Between the upper and the lower edge.
    pub vertical_fov_rad: f32,
}

impl Direct {
    /// Opens the renderer with the scenes of a tour.
    #[must_use]
    pub fn new(tour: &str) -> Self {
        let tour = Tour::load(&root().join(format!("assets/tours/{tour}.toml"))).unwrap();
        let mut executor = Executor::new(Config::default()).unwrap();
        let mut scenes: Vec<(String, tongyou_render::SceneId)> = Vec::new();
        for stop in &tour.stops {
            if scenes.iter().all(|(name, _)| *name != stop.scene) {
                let path = root().join(format!("target/scenes/{}.glb", stop.scene));
                let scene = load_glb(&path, &Limits::default()).unwrap();
                scenes.push((stop.scene.clone(), executor.add_scene(&scene).unwrap()));
            }
        }
        Self { executor, tour, scenes }
    }

    /// The picture of an eye at an instant of the tour.
    #[must_use]
    pub fn render(&mut self, stop: &str, tour_time_us: i64, eye: Eye, width: u32, height: u32) -> Picture {
        let stop = self.tour.stop(stop).unwrap();
        let scene = self.scenes.iter().find(|(name, _)| *name == stop.scene).unwrap().1;
        let at = stop.scene_time_s(TourTime(tour_time_us).as_seconds());
        #[expect(clippy::cast_possible_truncation, reason = "centuries of microseconds fit")]
        let at = TourTime((at * 1e6) as i64);
        let request = VantageRequest {
            key: VantageKey(1),
            time: at,
            scene,
            lighting: stop.light().unwrap(),
            point: eye.position,
            near: 0.2,
            kind: VantageKind::Flat {
                world_from_camera: eye.rotation,
                vertical_fov_rad: eye.vertical_fov_rad,
                width,
                height,
            },
            force: true,
            only: None,
        };
        let (planned, _) = plan(self.executor.scenes(), &Memory::default(), &[request]);
        assert_eq!(planned.refused, Vec::new());
        let frame = self.executor.execute(&planned).unwrap().remove(0);
        Picture {
            width,
            height,
            rgb: rgb_from_nv12(&frame.nv12, width, height).unwrap(),
        }
    }
}
