//! Where layers are rendered: a room made for it, and cells of the square.

use std::sync::Arc;

use glam::{Quat, Vec2, Vec3, Vec4};
use tongyou_protocol::TourTime;
use tongyou_render::behind::TileMask;
use tongyou_render::{Config, Executor, Frame, Memory, SceneId, VantageKey, VantageKind, VantageRequest, plan};
use tongyou_scene::{
    Alpha, Image, Lighting, Limits, Material, Mesh, Node, Preset, Primitive, Scene, StopLighting, Tour, load_glb,
};

use super::random::Random;
use crate::root;

/// As the server has it.
const NEAR_M: f32 = 0.2;
/// Some time after everybody has come.
const TOUR_TIME_S: f64 = 20.0;
/// What a headset has been sent of a still view: its first set and those that sharpen it.
const STILL_SETS: u32 = 6;
/// Where something always moves: into the middle of the second group.
const MOVING_SETS: u32 = 18;

/// A rendered point in a scene.
#[derive(Debug, Clone)]
pub struct Place {
    /// For people.
    pub name: String,
    scene: SceneId,
    lighting: Lighting,
    point: Vec3,
    look_at: Vec3,
    time: TourTime,
    sets: u32,
}

/// The server's renderer with all places.
pub struct Studio {
    pub(super) executor: Executor,
    places: Vec<Place>,
    memory: Memory,
}

impl Place {
    /// Equal places give equal poses.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.name.bytes().fold(7, |seed, b| seed.rotate_left(9) ^ u64::from(b))
    }

    /// Where it is rendered from.
    #[must_use]
    pub const fn point(&self) -> Vec3 {
        self.point
    }

    /// Where everybody looks.
    #[must_use]
    pub fn towards(&self) -> Vec3 {
        self.look_at - self.point
    }

    /// How many sets a headset has had when it looks.
    #[must_use]
    pub const fn sets(&self) -> u32 {
        self.sets
    }

    /// The scene's instant.
    #[must_use]
    pub const fn time(&self) -> TourTime {
        self.time
    }
}

impl Studio {
    /// Opens the renderer with the room of the post.
    #[must_use]
    pub fn new() -> Self {
        let mut executor = Executor::new(Config::default()).unwrap();
        let scene = executor.add_scene(&post_room()).unwrap();
        let post = Place {
            name: "post".to_owned(),
            scene,
            lighting: StopLighting::preset(Preset::Day).resolve().unwrap(),
            point: Vec3::new(0.0, 1.6, 0.0),
            look_at: Vec3::new(0.0, 1.6, -1.5),
            time: TourTime(0),
            sets: STILL_SETS,
        };
        Self {
            executor,
            places: vec![post],
            memory: Memory::default(),
        }
    }

    /// Adds three vantages of the tour of 解放碑.
    #[must_use]
    pub fn with_square(mut self) -> Self {
        let tour = Tour::load(&root().join("assets/tours/jiefangbei.toml")).unwrap();
        let path = root().join("target/scenes/jiefangbei.glb");
        let scene = self
            .executor
            .add_scene(&load_glb(&path, &Limits::default()).unwrap())
            .unwrap();
        for (stop, cell) in [("afternoon", "front"), ("dusk", "foot"), ("afternoon", "west")] {
            let stop = tour.stop(stop).unwrap();
            #[expect(clippy::cast_possible_truncation, reason = "centuries of microseconds fit")]
            let time = TourTime((stop.scene_time_s(TOUR_TIME_S) * 1e6) as i64);
            self.places.push(Place {
                name: format!("{}-{cell}", stop.id),
                scene,
                lighting: stop.light().unwrap(),
                point: Vec3::from_array(stop.cell(cell).unwrap().eye),
                look_at: stop.look_at(),
                time,
                sets: MOVING_SETS,
            });
        }
        self
    }

    /// All places.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        self.places.clone()
    }

    /// One frame, drawn as the server would draw it.
    pub(super) fn render(&mut self, place: &Place, point: Vec3, kind: VantageKind, time: TourTime) -> Frame {
        self.render_from(place, point, kind, time, None)
    }

    /// What lies behind what is near, as the server asks for it.
    pub(super) fn render_only(&mut self, place: &Place, mask: &Arc<TileMask>) -> Frame {
        let request = VantageRequest {
            key: VantageKey(3),
            time: place.time,
            scene: place.scene,
            lighting: place.lighting.clone(),
            point: place.point,
            near: NEAR_M,
            kind: VantageKind::Panorama,
            force: true,
            only: Some(Arc::clone(mask)),
        };
        let (planned, memory) = plan(self.executor.scenes(), &self.memory, &[request]);
        assert_eq!(planned.refused, Vec::new());
        self.memory = memory;
        self.executor.execute(&planned).unwrap().remove(0)
    }

    /// The same without what is nearer than `near_m`.
    pub(super) fn render_from(
        &mut self,
        place: &Place,
        point: Vec3,
        kind: VantageKind,
        time: TourTime,
        near_m: Option<f32>,
    ) -> Frame {
        let request = VantageRequest {
            key: VantageKey(if kind == VantageKind::Panorama { 1 } else { 2 }),
            time,
            scene: place.scene,
            lighting: place.lighting.clone(),
            point,
            near: near_m.unwrap_or(NEAR_M),
            kind,
            force: true,
            only: None,
        };
        let (planned, memory) = plan(self.executor.scenes(), &self.memory, &[request]);
        assert_eq!(planned.refused, Vec::new());
        self.memory = memory;
        self.executor.execute(&planned).unwrap().remove(0)
    }
}

impl Default for Studio {
    fn default() -> Self {
        Self::new()
    }
}

/// Paving under an open sky, walls 4 to 8 m away, boxes between, and a post 1.5 m before the middle.
fn post_room() -> Scene {
    let mut meshes = [Primitive::default(), Primitive::default(), Primitive::default()];
    let [paving, brick, paint] = &mut meshes;
    cuboid(paving, Vec3::new(0.0, -0.5, 0.0), Vec3::new(30.0, 0.5, 30.0));
    cuboid(brick, Vec3::new(0.0, 2.0, -8.5), Vec3::new(9.0, 2.0, 0.5));
    cuboid(brick, Vec3::new(-6.5, 1.5, -1.0), Vec3::new(0.5, 1.5, 7.0));
    cuboid(brick, Vec3::new(4.5, 1.2, 3.0), Vec3::new(0.5, 1.2, 4.0));
    for (x, y, z, half) in [
        (-2.6, 0.5, -4.2, 0.5),
        (2.4, 0.7, -5.0, 0.7),
        (1.2, 0.3, -3.2, 0.3),
        (-1.0, 0.6, 3.5, 0.6),
    ] {
        cuboid(paint, Vec3::new(x, y, z), Vec3::splat(half));
    }
    // Its front is 1.5 m before the rendered point.
    cuboid(paint, Vec3::new(0.0, 1.3, -1.65), Vec3::new(0.15, 1.3, 0.15));
    let images = [
        (Vec3::new(0.55, 0.54, 0.5), 4),
        (Vec3::new(0.6, 0.34, 0.26), 8),
        (Vec3::new(0.2, 0.4, 0.6), 2),
    ];
    Scene {
        name: "post".to_owned(),
        nodes: vec![Node {
            name: "room".to_owned(),
            parent: None,
            translation: Vec3::ZERO,
            rotation: Quat::IDENTITY,
            scale: Vec3::ONE,
            mesh: Some(0),
            light: None,
        }],
        meshes: vec![Mesh {
            name: "room".to_owned(),
            primitives: meshes
                .into_iter()
                .enumerate()
                .map(|(i, p)| Primitive { material: Some(i), ..p })
                .collect(),
        }],
        materials: (0..3).map(material).collect(),
        images: images.into_iter().map(|(color, rows)| stones(color, rows)).collect(),
        ..Scene::default()
    }
}

fn material(image: usize) -> Material {
    Material {
        name: format!("stones {image}"),
        base_color: Vec4::ONE,
        base_color_texture: Some(image),
        metallic: 0.0,
        roughness: 0.9,
        metallic_roughness_texture: None,
        normal_texture: None,
        normal_scale: 1.0,
        emissive: Vec3::ZERO,
        emissive_texture: None,
        alpha: Alpha::Opaque,
        double_sided: false,
        unlit: false,
    }
}

/// Rows of stones of slightly different brightness with dark joints, grained.
fn stones(color: Vec3, rows: u32) -> Image {
    const SIDE: u32 = 256;
    let mut random = Random::new(u64::from(rows));
    let shades: Vec<f32> = (0..rows * rows).map(|_| 0.6 + 0.4 * random.unit()).collect();
    let mut pixels = Vec::with_capacity((SIDE * SIDE * 4) as usize);
    for i in 0..SIDE * SIDE {
        let size = SIDE / rows;
        let row = i / SIDE / size;
        let x = (i % SIDE + row % 2 * size / 2) % SIDE;
        let is_joint = x % size < size / 16 + 1 || i / SIDE % size < size / 16 + 1;
        let shade = if is_joint {
            0.3
        } else {
            shades[(row * rows + x / size) as usize]
        };
        let grain = 0.9 + 0.1 * random.unit();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        let byte = |v: f32| (v * shade * grain * 255.0) as u8;
        pixels.extend([byte(color.x), byte(color.y), byte(color.z), 255]);
    }
    Image {
        name: format!("stones {rows}"),
        width: SIDE,
        height: SIDE,
        pixels,
    }
}

/// Texture coordinates are half metres.
fn cuboid(to: &mut Primitive, middle: Vec3, half: Vec3) {
    for axis in [Vec3::X, Vec3::Y, Vec3::Z] {
        for side in [1.0, -1.0] {
            let normal = axis * side;
            let u = Vec3::new(axis.z, axis.x, axis.y);
            let v = normal.cross(u);
            let first = u32::try_from(to.positions.len()).unwrap();
            for corner in [-u - v, u - v, u + v, v - u] {
                let at = middle + (normal + corner) * half;
                to.positions.push(at);
                to.normals.push(normal);
                to.tex_coords.push(if axis == Vec3::Y {
                    Vec2::new(at.x, at.z) * 0.5
                } else {
                    Vec2::new(at.x + at.z, -at.y) * 0.5
                });
            }
            to.indices.extend([0, 1, 2, 0, 2, 3].map(|i| first + i));
        }
    }
}
