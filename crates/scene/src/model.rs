//! A scene as plain data: what a glTF file says, validated and flattened for a renderer and for colliders.

use glam::{Mat4, Quat, Vec2, Vec3, Vec4};

/// A validated scene in stop-local space: right-handed, Y up, x = east, z = south, metres.
#[derive(Debug, Clone, Default)]
pub struct Scene {
    /// The scene's name, for messages.
    pub name: String,
    /// Nodes, parents before their children.
    pub nodes: Vec<Node>,
    /// Meshes that nodes refer to.
    pub meshes: Vec<Mesh>,
    /// Materials that primitives refer to.
    pub materials: Vec<Material>,
    /// Decoded images that materials refer to.
    pub images: Vec<Image>,
    /// Punctual lights that nodes refer to.
    pub lights: Vec<Light>,
    /// Animations; each loops over its own duration as a function of tour time.
    pub animations: Vec<Animation>,
    /// Nodes that headsets draw themselves, with all that hangs from them: indices into `nodes`, rising. In glTF a node
    /// is one of them by `"extras": {"local": true}`.
    pub local: Vec<usize>,
}

/// One node of the transform hierarchy.
#[derive(Debug, Clone)]
pub struct Node {
    /// The name in the file, for messages and tests.
    pub name: String,
    /// Index of the parent, always smaller than this node's own index.
    pub parent: Option<usize>,
    /// Translation in metres relative to the parent.
    pub translation: Vec3,
    /// Rotation relative to the parent, unit length.
    pub rotation: Quat,
    /// Scale relative to the parent.
    pub scale: Vec3,
    /// Index into [`Scene::meshes`].
    pub mesh: Option<usize>,
    /// Index into [`Scene::lights`].
    pub light: Option<usize>,
}

/// A list of primitives that share a transform.
#[derive(Debug, Clone, Default)]
pub struct Mesh {
    /// The name in the file.
    pub name: String,
    /// Triangle lists.
    pub primitives: Vec<Primitive>,
}

/// Indexed triangles with one material. Every index is below `positions.len()`; attribute arrays are either empty
/// or as long as `positions`; all numbers are finite.
#[derive(Debug, Clone, Default)]
pub struct Primitive {
    /// Index into [`Scene::materials`]; `None` is glTF's default material.
    pub material: Option<usize>,
    /// Metres, in the node's space.
    pub positions: Vec<Vec3>,
    /// Unit normals, as long as `positions` (computed where the file has none).
    pub normals: Vec<Vec3>,
    /// xyz = unit tangent, w = handedness; may be empty.
    pub tangents: Vec<Vec4>,
    /// First texture coordinate set; may be empty.
    pub tex_coords: Vec<Vec2>,
    /// Linear RGBA vertex colours (`COLOR_0`); may be empty, which means white.
    pub colors: Vec<[u8; 4]>,
    /// Three per triangle, counter-clockwise front faces.
    pub indices: Vec<u32>,
}

/// Metallic-roughness material, all colours linear.
#[derive(Debug, Clone)]
pub struct Material {
    /// The name in the file.
    pub name: String,
    /// Linear RGBA factor.
    pub base_color: Vec4,
    /// Image index (sRGB encoded).
    pub base_color_texture: Option<usize>,
    /// 0..=1.
    pub metallic: f32,
    /// 0..=1, perceptual.
    pub roughness: f32,
    /// Image index (linear; G = roughness, B = metallic).
    pub metallic_roughness_texture: Option<usize>,
    /// Image index (linear, tangent space).
    pub normal_texture: Option<usize>,
    /// Scale of the normal map's xy.
    pub normal_scale: f32,
    /// Linear emitted radiance, `KHR_materials_emissive_strength` multiplied in.
    pub emissive: Vec3,
    /// Image index (sRGB encoded).
    pub emissive_texture: Option<usize>,
    /// How alpha is used.
    pub alpha: Alpha,
    /// Back faces are drawn, with the normal flipped.
    pub double_sided: bool,
    /// `KHR_materials_unlit`: shows its base colour as it is.
    pub unlit: bool,
}

/// glTF's alpha modes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Alpha {
    /// Alpha is ignored.
    Opaque,
    /// Fragments below the cutoff are not there.
    Mask(f32),
    /// Blended over what is behind.
    Blend,
}

/// A decoded image: RGBA8, straight alpha, rows top to bottom, `pixels.len() == width * height * 4`.
#[derive(Debug, Clone)]
pub struct Image {
    /// The name in the file.
    pub name: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// RGBA8.
    pub pixels: Vec<u8>,
}

/// `KHR_lights_punctual`; shines along its node's −Z.
#[derive(Debug, Clone, Copy)]
pub struct Light {
    /// Shape of the light.
    pub kind: LightKind,
    /// Linear RGB.
    pub color: Vec3,
    /// Candela for point and spot lights, lux for directional ones.
    pub intensity: f32,
    /// Beyond this distance in metres it contributes nothing.
    pub range_m: Option<f32>,
}

/// Shapes of punctual lights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LightKind {
    /// Parallel rays.
    Directional,
    /// Equal in all directions.
    Point,
    /// A cone, half angles in radians.
    Spot {
        /// Full brightness inside this half angle.
        inner_rad: f32,
        /// Nothing outside this half angle.
        outer_rad: f32,
    },
}

/// Node transforms as a function of tour time.
#[derive(Debug, Clone)]
pub struct Animation {
    /// The name in the file.
    pub name: String,
    /// Loop length in seconds: the last key of any channel.
    pub duration_s: f64,
    /// What is animated.
    pub channels: Vec<Channel>,
}

/// One animated property of one node.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Index into [`Scene::nodes`].
    pub node: usize,
    /// Key times in seconds, strictly rising, at least one.
    pub times_s: Vec<f32>,
    /// Values, as many as times.
    pub keys: Keys,
    /// Keys hold until the next one rather than blend.
    pub step: bool,
}

/// Key values of a channel.
#[derive(Debug, Clone)]
pub enum Keys {
    /// Metres.
    Translation(Vec<Vec3>),
    /// Unit quaternions, blended by slerp along the shorter arc.
    Rotation(Vec<Quat>),
    /// Factors.
    Scale(Vec<Vec3>),
}

/// The light of a stop: what the sky and the sun do, and how bright the picture is.
/// Radiance is in arbitrary linear units in which a white wall in full sun is about 1 before exposure.
#[derive(Debug, Clone, PartialEq)]
pub struct Lighting {
    /// Unit vector towards the sun.
    pub to_sun: Vec3,
    /// Linear RGB of the sun's irradiance on a facing surface; zero at night.
    pub sun: Vec3,
    /// Linear RGB of the sky straight up.
    pub sky_zenith: Vec3,
    /// Linear RGB of the sky at the horizon.
    pub sky_horizon: Vec3,
    /// Linear RGB of the light that comes from below.
    pub ground: Vec3,
    /// Multiplies the scene's punctual lights (0 = switched off by day).
    pub lamps: f32,
    /// Multiplies the scene's emissive materials.
    pub emissive: f32,
    /// Linear factor before tone mapping.
    pub exposure: f32,
    /// Extinction per metre of the haze that fades far things to the horizon's colour.
    pub haze_per_m: f32,
}

impl Scene {
    /// `world_from_node` for each node at a tour time in seconds: animations looped, hierarchy multiplied out.
    #[must_use]
    pub fn world_from_nodes(&self, tour_time_s: f64) -> Vec<Mat4> {
        let mut local: Vec<(Vec3, Quat, Vec3)> = self
            .nodes
            .iter()
            .map(|n| (n.translation, n.rotation, n.scale))
            .collect();
        for animation in &self.animations {
            let at = if animation.duration_s > 0.0 {
                tour_time_s.rem_euclid(animation.duration_s)
            } else {
                0.0
            };
            for channel in &animation.channels {
                channel.apply(at, &mut local[channel.node]);
            }
        }
        let mut world = Vec::with_capacity(local.len());
        for (node, (t, r, s)) in self.nodes.iter().zip(local) {
            let parent_from_node = Mat4::from_scale_rotation_translation(s, r, t);
            world.push(match node.parent {
                Some(parent) => world[parent] * parent_from_node,
                None => parent_from_node,
            });
        }
        world
    }
}

impl Channel {
    fn apply(&self, at_s: f64, (translation, rotation, scale): &mut (Vec3, Quat, Vec3)) {
        let (a, b, mix) = self.bracket(at_s);
        match &self.keys {
            Keys::Translation(k) => *translation = k[a].lerp(k[b], mix),
            Keys::Rotation(k) => *rotation = k[a].slerp(k[b], mix),
            Keys::Scale(k) => *scale = k[a].lerp(k[b], mix),
        }
    }

    /// The keys on both sides of a time and how far it lies between them.
    #[expect(clippy::cast_possible_truncation, reason = "a blend factor needs no more than f32")]
    fn bracket(&self, at_s: f64) -> (usize, usize, f32) {
        let after = self.times_s.partition_point(|&t| f64::from(t) <= at_s);
        let last = self.times_s.len() - 1;
        if after == 0 || after > last {
            let only = after.min(last);
            return (only, only, 0.0);
        }
        let before = after - 1;
        if self.step {
            return (before, before, 0.0);
        }
        let (from, to) = (f64::from(self.times_s[before]), f64::from(self.times_s[after]));
        (before, after, ((at_s - from) / (to - from)) as f32)
    }
}
