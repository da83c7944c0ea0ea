//! A scene cut into parts that can be culled and drawn: what `plan` needs to know, and what the GPU gets.

use glam::{Mat4, Vec3};
use tongyou_scene::{Alpha, Mesh, Primitive, Scene};

use crate::cull::Aabb;
use crate::pack::{self, Vertex};
use crate::{Error, Result};

/// Triangles in a part: small enough to be culled with effect, far below the 16 bits of a visibility sample.
const PART_TRIANGLES: usize = 1024;
/// A visibility sample has 16 bits for the part, and 0 is the sky.
const MAX_PARTS: usize = 0xfffe;

/// Everything about a scene that planning needs; geometry and pixels left out.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    /// The scene without meshes, materials and images.
    pub(crate) skeleton: Scene,
    pub(crate) parts: Vec<Part>,
    /// The box around everything at tour time 0.
    pub(crate) bounds: Aabb,
}

/// A chunk of a primitive at a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) node: usize,
    pub(crate) first_index: u32,
    pub(crate) index_count: u32,
    pub(crate) base_vertex: u32,
    /// Index into the GPU's materials: 0 is glTF's default one, the scene's begin at 1.
    pub(crate) material: u32,
    /// In the node's space.
    pub(crate) bounds: Aabb,
    pub(crate) alpha_tested: bool,
    pub(crate) double_sided: bool,
    pub(crate) moving: bool,
    /// Each headset draws it itself, see `VantageKind::shows_local`.
    pub(crate) local: bool,
}

/// Vertices and indices of a scene's meshes, each once however many nodes show them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Geometry {
    pub(crate) vertices: Vec<Vertex>,
    pub(crate) indices: Vec<u32>,
}

/// A part before it has a node.
#[derive(Clone, Copy)]
struct Chunk {
    first_index: u32,
    index_count: u32,
    base_vertex: u32,
    material: Option<usize>,
    bounds: Aabb,
}

/// Cuts a scene up.
///
/// # Errors
/// A scene with too many parts or vertices, or with a reference to something that is not there.
pub(crate) fn prepare(scene: &Scene) -> Result<(Prepared, Geometry)> {
    check_references(scene)?;
    let moving = with_children(scene, scene.animations.iter().flat_map(|a| &a.channels).map(|c| c.node));
    let local = with_children(scene, scene.local.iter().copied());
    let mut geometry = Geometry::default();
    let mut chunks_of_mesh = Vec::with_capacity(scene.meshes.len());
    for mesh in &scene.meshes {
        chunks_of_mesh.push(add_mesh(scene, mesh, &mut geometry)?);
    }
    let mut parts = Vec::new();
    for (index, node) in scene.nodes.iter().enumerate() {
        let Some(mesh) = node.mesh else { continue };
        for chunk in &chunks_of_mesh[mesh] {
            let material = chunk.material.map(|m| &scene.materials[m]);
            parts.push(Part {
                node: index,
                first_index: chunk.first_index,
                index_count: chunk.index_count,
                base_vertex: chunk.base_vertex,
                material: to_u32(scene, "materials", chunk.material.map_or(0, |m| m + 1))?,
                bounds: chunk.bounds,
                alpha_tested: material.is_some_and(|m| m.alpha != Alpha::Opaque),
                double_sided: material.is_some_and(|m| m.double_sided),
                moving: moving[index],
                local: local[index],
            });
        }
    }
    if parts.len() > MAX_PARTS {
        return Err(too_large(
            scene,
            "parts (nodes times primitives)",
            parts.len(),
            MAX_PARTS,
        ));
    }
    let world_from_nodes = scene.world_from_nodes(0.0);
    let bounds = parts.iter().fold(Aabb::EMPTY, |b, p| {
        b.union(p.bounds.transformed(&world_from_nodes[p.node]))
    });
    let skeleton = Scene {
        name: scene.name.clone(),
        nodes: scene.nodes.clone(),
        lights: scene.lights.clone(),
        animations: scene.animations.clone(),
        ..Scene::default()
    };
    Ok((
        Prepared {
            skeleton,
            parts,
            bounds,
        },
        geometry,
    ))
}

/// Whether a transform turns triangles inside out.
pub(crate) fn is_mirrored(world_from_node: &Mat4) -> bool {
    world_from_node.determinant() < 0.0
}

pub(crate) fn too_large(scene: &Scene, what: &'static str, actual: usize, limit: usize) -> Error {
    Error::SceneTooLarge {
        scene: scene.name.clone(),
        what,
        actual: actual as u64,
        limit: limit as u64,
    }
}

fn to_u32(scene: &Scene, what: &'static str, n: usize) -> Result<u32> {
    u32::try_from(n).map_err(|_| too_large(scene, what, n, u32::MAX as usize))
}

/// The loader promises this; a scene that was made by hand may not keep it.
fn check_references(scene: &Scene) -> Result<()> {
    let check = |what: &dyn Fn() -> String, target: &'static str, index: Option<usize>, count: usize| match index {
        Some(index) if index >= count => Err(Error::DanglingIndex {
            scene: scene.name.clone(),
            what: what(),
            target,
            index,
            count,
        }),
        _ => Ok(()),
    };
    for (i, node) in scene.nodes.iter().enumerate() {
        let what = || format!("node {i} ({})", node.name);
        check(&what, "mesh", node.mesh, scene.meshes.len())?;
        check(&what, "light", node.light, scene.lights.len())?;
        check(&what, "parent", node.parent, i)?;
    }
    for (i, material) in scene.materials.iter().enumerate() {
        let what = || format!("material {i} ({})", material.name);
        for image in [
            material.base_color_texture,
            material.metallic_roughness_texture,
            material.normal_texture,
            material.emissive_texture,
        ] {
            check(&what, "image", image, scene.images.len())?;
        }
    }
    for &node in &scene.local {
        check(
            &|| "the list of local nodes".to_owned(),
            "node",
            Some(node),
            scene.nodes.len(),
        )?;
    }
    for animation in &scene.animations {
        for channel in &animation.channels {
            let what = || format!("animation {}", animation.name);
            check(&what, "node", Some(channel.node), scene.nodes.len())?;
        }
    }
    for mesh in &scene.meshes {
        for (i, primitive) in mesh.primitives.iter().enumerate() {
            let what = || format!("primitive {i} of mesh {}", mesh.name);
            check(&what, "material", primitive.material, scene.materials.len())?;
            let highest = primitive.indices.iter().max().map(|&v| v as usize);
            check(&what, "vertex", highest, primitive.positions.len())?;
            for n in [
                primitive.normals.len(),
                primitive.tangents.len(),
                primitive.tex_coords.len(),
            ] {
                let last = (n > 0 && n != primitive.positions.len()).then_some(n);
                check(&what, "vertex attribute", last, primitive.positions.len().min(n))?;
            }
        }
    }
    Ok(())
}

/// Whether each node is one of these, or below one.
fn with_children(scene: &Scene, nodes: impl Iterator<Item = usize>) -> Vec<bool> {
    let mut is_one = vec![false; scene.nodes.len()];
    for node in nodes {
        is_one[node] = true;
    }
    for i in 0..is_one.len() {
        if let Some(parent) = scene.nodes[i].parent {
            is_one[i] |= is_one[parent];
        }
    }
    is_one
}

fn add_mesh(scene: &Scene, mesh: &Mesh, geometry: &mut Geometry) -> Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    for primitive in &mesh.primitives {
        let base_vertex = to_u32(scene, "vertices", geometry.vertices.len())?;
        geometry.vertices.extend(pack::vertices(primitive));
        let order = spatial_order(primitive);
        for triangles in order.chunks(PART_TRIANGLES) {
            let first_index = to_u32(scene, "indices", geometry.indices.len())?;
            let mut bounds = Aabb::EMPTY;
            for corner in triangles.iter().flatten() {
                bounds.add(primitive.positions[*corner as usize]);
                geometry.indices.push(*corner);
            }
            chunks.push(Chunk {
                first_index,
                index_count: to_u32(scene, "indices", triangles.len() * 3)?,
                base_vertex,
                material: primitive.material,
                bounds,
            });
        }
    }
    Ok(chunks)
}

/// A primitive's triangles; in Morton order when they are more than one part's, so that each part is compact.
fn spatial_order(primitive: &Primitive) -> Vec<[u32; 3]> {
    let mut triangles: Vec<[u32; 3]> = primitive.indices.as_chunks::<3>().0.to_vec();
    if triangles.len() <= PART_TRIANGLES {
        return triangles;
    }
    let mut b = Aabb::EMPTY;
    primitive.positions.iter().for_each(|p| b.add(*p));
    // One scale for all axes: parts come out as cubes rather than slabs.
    let scale = 1023.0 / (b.max - b.min).max_element().max(1e-6);
    triangles.sort_by_cached_key(|t| {
        let centre: Vec3 = t.iter().map(|&i| primitive.positions[i as usize]).sum::<Vec3>() / 3.0;
        let cell = ((centre - b.min) * scale).as_uvec3();
        spread(cell.x) | spread(cell.y) << 1 | spread(cell.z) << 2
    });
    triangles
}

/// Ten bits with two zeros between each.
fn spread(v: u32) -> u32 {
    let v = v.min(1023);
    let v = (v | v << 16) & 0x0300_00ff;
    let v = (v | v << 8) & 0x0300_f00f;
    let v = (v | v << 4) & 0x030c_30c3;
    (v | v << 2) & 0x0924_9249
}
