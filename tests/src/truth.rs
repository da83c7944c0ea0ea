//! Picture truth: what a headset shows of a layer against a direct render of the same eye.
//!
//! A [`Studio`] renders a [`Place`] as the server does, codes and decodes it, and looks at it through the client's
//! warp from seeded poses. [`Report::verdict`] is what must hold.

mod better;
mod filling;
mod gallery;
mod layers;
mod page;
mod places;
mod random;
mod report;

use glam::{Quat, Vec3};
use nv_flip::{FlipImageFloat, FlipImageRgb8};
use tongyou_client::present::{self, Offscreen, Set};
use tongyou_render::VantageKind;

use crate::pictures::Picture;
pub use gallery::Gallery;
pub use layers::{Depth, Layers, Recording};
pub use page::Browser;
pub use places::{Place, Studio};
use random::Random;
pub use report::{Bin, Report, Warp};

/// Displacements of the head from the rendered point, metres.
pub const BINS_M: [f32; 4] = [0.0, 0.1, 0.25, 0.5];
/// Between the eyes, metres.
const IPD_M: f32 = 0.064;
/// How far a head is turned from where the place faces, at most.
const TURN_DEG: f32 = 60.0;
/// How far it is tilted at most.
const TILT_DEG: f32 = 15.0;
/// Pixels along the side of an eye's picture.
pub const SIDE: u32 = 384;
/// In the middle of the picture and of a face of the layer a pixel covers the same angle: 248 pixels a unit tangent.
const FOV_RAD: f32 = 1.317_5;

/// A head: where it is, relative to the rendered point, and how it is turned.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Metres from the rendered point.
    pub offset: Vec3,
    /// Turns −Z ahead into stop-local space.
    pub rotation: Quat,
}

/// One eye's pictures.
pub struct Seen {
    /// Rendered directly.
    pub direct: Picture,
    /// As each warp shows it, and its pixels without anything.
    pub shown: [(Picture, usize); Warp::ALL.len()],
}

impl Head {
    /// A random head at a distance from the rendered point, turned away from `towards`.
    #[must_use]
    pub fn seeded(random: &mut Random, distance_m: f32, towards: Vec3) -> Self {
        let direction = loop {
            let v = Vec3::from_array(std::array::from_fn(|_| random.signed()));
            if (0.01..=1.0).contains(&v.length_squared()) {
                break v.normalize();
            }
        };
        let ahead = Quat::from_rotation_y(f32::atan2(-towards.x, -towards.z));
        // Most turns are about the upright axis; nobody looks at the ground at 60° for long.
        let yaw = random.signed() * TURN_DEG;
        let pitch_limit = (TURN_DEG * TURN_DEG - yaw * yaw).sqrt().min(40.0);
        let pitch = random.signed() * pitch_limit;
        let tilt = random.signed() * TILT_DEG;
        let rotation = ahead
            * Quat::from_rotation_y(yaw.to_radians())
            * Quat::from_rotation_x(pitch.to_radians())
            * Quat::from_rotation_z(tilt.to_radians());
        Self {
            offset: direction * distance_m,
            rotation,
        }
    }

    /// Both eyes of this head at a rendered point.
    fn eyes(self, point: Vec3) -> [present::Eye; 2] {
        let head = present::Eye {
            position: point + self.offset,
            rotation: self.rotation,
            fov_y: FOV_RAD,
            aspect: 1.0,
        };
        head.pair(IPD_M)
    }
}

/// Who shows layers: a client under test.
pub trait Looks {
    /// What both eyes of a head see through each warp, and how many pixels show nothing.
    fn pairs(&mut self, layers: &Layers, eyes: [present::Eye; 2]) -> [[(Picture, usize); Warp::ALL.len()]; 2];
}

impl Looks for Headset {
    fn pairs(&mut self, layers: &Layers, eyes: [present::Eye; 2]) -> [[(Picture, usize); Warp::ALL.len()]; 2] {
        eyes.map(|eye| layers.sets().map(|set| self.look(set, eye)))
    }
}

/// Looks through layers.
pub struct Headset {
    offscreen: Offscreen,
}

impl Headset {
    /// On the adapter that there is.
    #[must_use]
    pub fn new() -> Self {
        Self {
            offscreen: Offscreen::new(present::Adapter::Best).unwrap(),
        }
    }

    /// What an eye sees of a set, and how many pixels show nothing.
    pub fn look(&mut self, set: &Set, eye: present::Eye) -> (Picture, usize) {
        self.offscreen.show_set(set.clone()).unwrap();
        let image = self.offscreen.look(eye, SIDE, SIDE).unwrap();
        let rgb = image.rgba.chunks_exact(4).flat_map(|p| &p[..3]).copied().collect();
        let picture = Picture {
            width: SIDE,
            height: SIDE,
            rgb,
        };
        (picture, image.holes())
    }
}

impl Default for Headset {
    fn default() -> Self {
        Self::new()
    }
}

impl Studio {
    /// Looks at a place from `heads` seeded heads in each bin and adds what each eye sees to a report. `depth` says
    /// what the client is told of depth.
    pub fn measure(
        &mut self,
        place: &Place,
        heads: usize,
        depth: Depth,
        client: &mut impl Looks,
        mut each: impl FnMut(usize, &Seen, &[FlipImageFloat; Warp::ALL.len()]),
    ) {
        let layers = self.layers(place, depth);
        let mut random = Random::new(place.seed());
        for (bin, distance_m) in BINS_M.into_iter().enumerate() {
            if bin > 0 && std::env::var("TRUTH_TURN").is_ok() {
                continue;
            }
            for _ in 0..heads {
                let head = Head::seeded(&mut random, distance_m, place.towards());
                let eyes = head.eyes(place.point());
                for (eye, shown) in eyes.into_iter().zip(client.pairs(&layers, eyes)) {
                    let seen = Seen {
                        direct: self.direct(place, eye),
                        shown,
                    };
                    let errors = std::array::from_fn(|i| flip(&seen.shown[i].0, &seen.direct));
                    each(bin, &seen, &errors);
                }
            }
        }
    }

    /// The picture that the server's renderer makes for an eye.
    fn direct(&mut self, place: &Place, eye: present::Eye) -> Picture {
        let kind = VantageKind::Flat {
            world_from_camera: eye.rotation,
            vertical_fov_rad: eye.fov_y,
            width: SIDE,
            height: SIDE,
        };
        let frame = self.render(place, eye.position, kind, place.time());
        Picture {
            width: SIDE,
            height: SIDE,
            rgb: tongyou_render::rgb_from_nv12(&frame.nv12, SIDE, SIDE).unwrap(),
        }
    }
}

/// How wrong each pixel looks.
#[must_use]
pub fn flip(picture: &Picture, reference: &Picture) -> FlipImageFloat {
    let image = |p: &Picture| FlipImageRgb8::with_data(p.width, p.height, &p.rgb);
    nv_flip::flip(image(reference), image(picture), nv_flip::DEFAULT_PIXELS_PER_DEGREE)
}
