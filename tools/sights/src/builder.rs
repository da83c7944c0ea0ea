//! Collects triangles under named nodes and materials, and makes a scene of them.

use std::collections::BTreeMap;

use glam::{Affine3A, Mat4, Quat, Vec2, Vec3, Vec4};
use tongyou_scene::{Alpha, Animation, Channel, Image, Keys, Light, LightKind, Material, Mesh, Node, Primitive, Scene};

/// Names a material; the handle that geometry is pushed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Paint(usize);

/// A vertex while shapes are being built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vertex {
    pub(crate) position: Vec3,
    pub(crate) normal: Vec3,
    pub(crate) uv: Vec2,
}

/// Collects a scene.
#[derive(Default)]
pub(crate) struct Builder {
    scene: Scene,
    /// Triangles of the node that is being filled, by material.
    open: BTreeMap<usize, Primitive>,
    frames: Vec<Affine3A>,
    tint: [u8; 4],
}

impl Builder {
    pub(crate) fn new(name: &str) -> Self {
        let scene = Scene {
            name: name.to_owned(),
            ..Scene::default()
        };
        Self {
            scene,
            open: BTreeMap::new(),
            frames: vec![Affine3A::IDENTITY],
            tint: [255; 4],
        }
    }

    pub(crate) fn image(&mut self, image: Image) -> usize {
        self.scene.images.push(image);
        self.scene.images.len() - 1
    }

    pub(crate) fn material(&mut self, material: Material) -> Paint {
        self.scene.materials.push(material);
        Paint(self.scene.materials.len() - 1)
    }

    /// Runs `fill` in a frame inside the current one.
    pub(crate) fn within(&mut self, frame: Mat4, fill: impl FnOnce(&mut Self)) {
        let outer = self.frame();
        self.frames.push(outer * Affine3A::from_mat4(frame));
        fill(self);
        self.frames.pop();
    }

    /// Vertex colour of what is pushed by `fill`, linear.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to 0..=255")]
    pub(crate) fn tinted(&mut self, color: [f32; 3], fill: impl FnOnce(&mut Self)) {
        let before = self.tint;
        let [r, g, b] = color.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8);
        self.tint = [r, g, b, 255];
        fill(self);
        self.tint = before;
    }

    fn frame(&self) -> Affine3A {
        self.frames.last().copied().unwrap_or(Affine3A::IDENTITY)
    }

    /// Adds triangles, counter-clockwise seen from the front.
    #[expect(clippy::cast_possible_truncation, reason = "a node has far fewer than 2³² vertices")]
    pub(crate) fn push(&mut self, paint: Paint, vertices: &[Vertex], indices: &[u32]) {
        let frame = self.frame();
        let tint = self.tint;
        let primitive = self.open.entry(paint.0).or_default();
        primitive.material = Some(paint.0);
        let first = primitive.positions.len() as u32;
        for v in vertices {
            primitive.positions.push(frame.transform_point3(v.position));
            primitive
                .normals
                .push(frame.transform_vector3(v.normal).normalize_or(Vec3::Y));
            primitive.tex_coords.push(v.uv);
            primitive.colors.push(tint);
        }
        primitive.indices.extend(indices.iter().map(|i| first + i));
    }

    /// Makes a node of what was pushed since the last one. `at` and `rotation` place it in the scene; what was
    /// pushed is in the node's own space.
    pub(crate) fn node(&mut self, name: &str, at: Vec3, rotation: Quat) -> usize {
        let mesh = self.mesh(name);
        self.add(name, at, rotation, mesh, None)
    }

    /// Makes a mesh of what was pushed since the last one, for [`Builder::place`].
    pub(crate) fn mesh(&mut self, name: &str) -> Option<usize> {
        let mut primitives: Vec<Primitive> = std::mem::take(&mut self.open).into_values().collect();
        let materials = &self.scene.materials;
        for primitive in &mut primitives {
            let bumpy = primitive
                .material
                .is_some_and(|m| materials[m].normal_texture.is_some());
            if bumpy {
                primitive.tangents = tangents(primitive);
            }
            if primitive.colors.iter().all(|c| *c == [255; 4]) {
                primitive.colors.clear();
            }
        }
        if primitives.is_empty() {
            return None;
        }
        self.scene.meshes.push(Mesh {
            name: name.to_owned(),
            primitives,
        });
        Some(self.scene.meshes.len() - 1)
    }

    /// A node that shows a mesh, which other nodes may show too.
    pub(crate) fn place(&mut self, mesh: Option<usize>, name: &str, at: Vec3, rotation: Quat) -> usize {
        self.add(name, at, rotation, mesh, None)
    }

    fn add(
        &mut self,
        name: &str,
        translation: Vec3,
        rotation: Quat,
        mesh: Option<usize>,
        light: Option<usize>,
    ) -> usize {
        let name = name.to_owned();
        self.scene.nodes.push(Node {
            name,
            parent: None,
            translation,
            rotation,
            scale: Vec3::ONE,
            mesh,
            light,
        });
        self.scene.nodes.len() - 1
    }

    /// A point light.
    pub(crate) fn lamp(&mut self, name: &str, at: Vec3, color: Vec3, candela: f32, range_m: f32) {
        let light = Light {
            kind: LightKind::Point,
            color,
            intensity: candela,
            range_m: Some(range_m),
        };
        self.light(name, at, Quat::IDENTITY, light);
    }

    /// A light that shines along −Z of `rotation`.
    pub(crate) fn light(&mut self, name: &str, at: Vec3, rotation: Quat, light: Light) {
        let known = self
            .scene
            .lights
            .iter()
            .position(|l| format!("{l:?}") == format!("{light:?}"));
        let index = known.unwrap_or(self.scene.lights.len());
        if known.is_none() {
            self.scene.lights.push(light);
        }
        self.add(name, at, rotation, None, Some(index));
    }

    /// Animates a node; its keys loop.
    pub(crate) fn animate(&mut self, name: &str, node: usize, times_s: Vec<f32>, keys: Keys) {
        let duration_s = times_s.last().copied().map_or(0.0, f64::from);
        let channels = vec![Channel {
            node,
            times_s,
            keys,
            step: false,
        }];
        self.scene.animations.push(Animation {
            name: name.to_owned(),
            duration_s,
            channels,
        });
    }

    pub(crate) fn finish(self) -> Scene {
        self.scene
    }
}

/// Tangents along the texture's u, averaged over the triangles around a vertex.
fn tangents(primitive: &Primitive) -> Vec<Vec4> {
    let (positions, uvs) = (&primitive.positions, &primitive.tex_coords);
    let mut along_u = vec![Vec3::ZERO; positions.len()];
    let mut along_v = vec![Vec3::ZERO; positions.len()];
    for t in primitive.indices.chunks_exact(3) {
        let [a, b, c] = [t[0] as usize, t[1] as usize, t[2] as usize];
        let (e1, e2) = (positions[b] - positions[a], positions[c] - positions[a]);
        let (d1, d2) = (uvs[b] - uvs[a], uvs[c] - uvs[a]);
        let det = d1.perp_dot(d2);
        if det.abs() < 1e-12 {
            continue;
        }
        for corner in [a, b, c] {
            along_u[corner] += (e1 * d2.y - e2 * d1.y) / det;
            along_v[corner] += (e2 * d1.x - e1 * d2.x) / det;
        }
    }
    let each = along_u.iter().zip(&along_v).zip(&primitive.normals);
    each.map(|((u, v), n)| {
        let tangent = (*u - *n * n.dot(*u))
            .try_normalize()
            .unwrap_or_else(|| n.any_orthonormal_vector());
        // glTF's bitangent is cross(n, t) · w and points towards +v of the picture, which runs downwards.
        tangent.extend(if n.cross(tangent).dot(*v) < 0.0 { -1.0 } else { 1.0 })
    })
    .collect()
}

/// A plain material to start from.
pub(crate) fn plain(name: &str, color: [f32; 3], roughness: f32) -> Material {
    Material {
        name: name.to_owned(),
        base_color: Vec3::from(color).extend(1.0),
        base_color_texture: None,
        metallic: 0.0,
        roughness,
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
