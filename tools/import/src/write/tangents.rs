//! Tangents by MikkTSpace where a normal map needs them, as every tool that bakes normal maps makes them.

use std::collections::HashMap;

use bevy_mikktspace::{Geometry, TangentSpace, generate_tangents};
use glam::Vec4;
use tongyou_scene::{Primitive, Scene};

/// Whether a primitive has a normal map and no tangents.
fn wants(scene: &Scene, primitive: &Primitive) -> bool {
    let material = primitive.material.and_then(|m| scene.materials.get(m));
    let count = primitive.positions.len();
    material.is_some_and(|m| m.normal_texture.is_some())
        && primitive.tangents.is_empty()
        && primitive.tex_coords.len() == count
        && primitive.normals.len() == count
}

/// Whether any primitive of a scene does.
pub(super) fn are_needed(scene: &Scene) -> bool {
    scene.meshes.iter().flat_map(|m| &m.primitives).any(|p| wants(scene, p))
}

/// Gives tangents to all primitives that want them. Vertices whose triangles disagree become several.
pub fn tangents(scene: &mut Scene) {
    let mut meshes = std::mem::take(&mut scene.meshes);
    for primitive in meshes.iter_mut().flat_map(|m| &mut m.primitives) {
        if wants(scene, primitive) {
            give(primitive);
        }
    }
    scene.meshes = meshes;
}

fn give(primitive: &mut Primitive) {
    let mut corners = Corners {
        tangents: vec![None; primitive.indices.len()],
        primitive,
    };
    if generate_tangents(&mut corners).is_err() {
        // Without triangles that have an area in the texture there is no direction; any one is as good.
        corners.tangents.fill(None);
    }
    let tangents = corners.tangents;
    let mut known: HashMap<(u32, [u32; 4]), u32> = HashMap::new();
    let old = std::mem::take(primitive);
    primitive.material = old.material;
    for (&vertex, tangent) in old.indices.iter().zip(&tangents) {
        let at = vertex as usize;
        let normal = old.normals[at];
        let tangent = tangent.unwrap_or_else(|| normal.any_orthonormal_vector().extend(1.0));
        let next = u32::try_from(primitive.positions.len()).unwrap_or(u32::MAX);
        let index = *known
            .entry((vertex, tangent.to_array().map(f32::to_bits)))
            .or_insert(next);
        if index == next {
            primitive.positions.push(old.positions[at]);
            primitive.normals.push(normal);
            primitive.tangents.push(tangent);
            primitive.tex_coords.push(old.tex_coords[at]);
            primitive.colors.extend(old.colors.get(at));
        }
        primitive.indices.push(index);
    }
}

struct Corners<'a> {
    primitive: &'a Primitive,
    tangents: Vec<Option<Vec4>>,
}

impl Corners<'_> {
    fn vertex(&self, face: usize, corner: usize) -> usize {
        self.primitive.indices[face * 3 + corner] as usize
    }
}

impl Geometry for Corners<'_> {
    fn num_faces(&self) -> usize {
        self.primitive.indices.len() / 3
    }

    fn num_vertices_of_face(&self, _face: usize) -> usize {
        3
    }

    fn position(&self, face: usize, corner: usize) -> [f32; 3] {
        self.primitive.positions[self.vertex(face, corner)].to_array()
    }

    fn normal(&self, face: usize, corner: usize) -> [f32; 3] {
        self.primitive.normals[self.vertex(face, corner)].to_array()
    }

    fn tex_coord(&self, face: usize, corner: usize) -> [f32; 2] {
        // MikkTSpace's v grows upwards; glTF's bitangent is that of a v that does.
        let [u, v] = self.primitive.tex_coords[self.vertex(face, corner)].to_array();
        [u, 1.0 - v]
    }

    fn set_tangent(&mut self, tangent: Option<TangentSpace>, face: usize, corner: usize) {
        let tangent = tangent.map(|t| Vec4::from_array(t.tangent_encoded()));
        // Not a number, or of no length: as good as none.
        let usable = |t: &Vec4| t.is_finite() && (t.truncate().length_squared() - 1.0).abs() < 0.01;
        self.tangents[face * 3 + corner] = tangent.filter(usable);
    }
}

#[cfg(test)]
mod tests {
    use glam::{Vec2, Vec3};
    use tongyou_scene::{Image, Material};

    use super::*;

    /// Two triangles of a floor, one of them with its texture mirrored.
    fn floor(normal_map: bool) -> Scene {
        let mut scene = Scene::default();
        let mut primitive = Primitive {
            material: Some(0),
            indices: vec![0, 2, 1, 2, 3, 1],
            ..Primitive::default()
        };
        // u grows east up to the fold and shrinks after it; v grows south.
        for (x, z, u) in [(0.0, 0.0, 0.0), (1.0, 0.0, 1.0), (1.0, 1.0, 1.0), (2.0, 0.0, 0.0)] {
            primitive.positions.push(Vec3::new(x, 0.0, z));
            primitive.normals.push(Vec3::Y);
            primitive.tex_coords.push(Vec2::new(u, z));
            primitive.colors.push([1, 2, 3, 255]);
        }
        crate::import::add(&mut scene, "floor".into(), primitive);
        scene.images.push(Image {
            name: String::new(),
            width: 1,
            height: 1,
            pixels: vec![128, 128, 255, 255],
        });
        scene.materials.push(Material {
            normal_texture: normal_map.then_some(0),
            ..crate::surface::ground::material()
        });
        scene
    }

    #[test]
    fn tangents_follow_the_texture() {
        let mut scene = floor(true);
        assert!(are_needed(&scene));
        tangents(&mut scene);
        let primitive = &scene.meshes[0].primitives[0];
        assert!(!are_needed(&scene));
        // The two corners at the fold are there twice.
        assert_eq!((primitive.positions.len(), primitive.tangents.len()), (6, 6));
        assert_eq!(primitive.colors.len(), 6);
        for (triangle, east) in primitive.indices.as_chunks::<3>().0.iter().zip([1.0, -1.0]) {
            for &i in triangle {
                let tangent = primitive.tangents[i as usize];
                assert!(tangent.truncate().distance(Vec3::X * east) < 1e-5, "{tangent}");
                // glTF: bitangent = cross(normal, tangent) * w, which points where v of the image shrinks: north.
                let bitangent = Vec3::Y.cross(tangent.truncate()) * tangent.w;
                assert!(bitangent.distance(Vec3::NEG_Z) < 1e-5, "{bitangent}");
            }
        }
    }

    #[test]
    fn without_a_normal_map_nothing_changes() {
        let mut scene = floor(false);
        tangents(&mut scene);
        assert!(scene.meshes[0].primitives[0].tangents.is_empty());
        assert_eq!(scene.meshes[0].primitives[0].positions.len(), 4);
    }

    #[test]
    fn a_texture_without_area_still_has_tangents() {
        let mut scene = floor(true);
        scene.meshes[0].primitives[0].tex_coords.fill(Vec2::ZERO);
        tangents(&mut scene);
        for tangent in &scene.meshes[0].primitives[0].tangents {
            assert!(tangent.truncate().is_normalized() && tangent.truncate().dot(Vec3::Y).abs() < 1e-5);
        }
    }
}
