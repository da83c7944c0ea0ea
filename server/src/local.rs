//! Things that headsets draw themselves: the local nodes of a scene as a file of their own, under an address that says
//! what is in it.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use bytes::Bytes;
use ring::digest;
use tongyou_protocol::control::LocalModel;
use tongyou_scene::{Mesh, Node, Scene, write_glb};

/// More a headset does not draw beside its layers, 72 times a second.
const MOST_TRIANGLES: usize = 100_000;

/// Files by their SHA-256 in hexadecimal.
pub(crate) type Files = BTreeMap<String, Bytes>;

/// Makes the file of a scene's local nodes and says where it is; `None` where it has none.
///
/// # Errors
/// When they have too many triangles, or can not be written.
pub(crate) fn model(scene: &Scene, files: &mut Files) -> anyhow::Result<Option<LocalModel>> {
    let Some(part) = part(scene) else { return Ok(None) };
    let uses = |node: &Node| node.mesh.map_or(0, |mesh| triangles(&part.meshes[mesh]));
    let drawn: usize = part.nodes.iter().map(uses).sum();
    if drawn > MOST_TRIANGLES {
        bail!("its local nodes have {drawn} triangles, at most {MOST_TRIANGLES} can be drawn by a headset");
    }
    let file = Bytes::from(write_glb(&part).context("its local nodes can not be written")?);
    let sha256 = digest::digest(&digest::SHA256, &file);
    let name: String = sha256.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let model = LocalModel {
        url_path: format!("/local/{name}.glb"),
        sha256: sha256.as_ref().to_vec(),
        bytes: file.len() as u64,
    };
    files.insert(name, file);
    Ok(Some(model))
}

fn triangles(mesh: &Mesh) -> usize {
    mesh.primitives.iter().map(|p| p.indices.len() / 3).sum()
}

/// The local nodes with all that hangs from them, below their ancestors, which draw nothing; what is not used is left
/// out.
fn part(scene: &Scene) -> Option<Scene> {
    let mut drawn = vec![false; scene.nodes.len()];
    for (i, node) in scene.nodes.iter().enumerate() {
        drawn[i] = scene.local.contains(&i) || node.parent.is_some_and(|parent| drawn[parent]);
    }
    let mut kept = drawn.clone();
    // Parents come before their children.
    for i in (0..kept.len()).rev() {
        if let Some(parent) = scene.nodes[i].parent.filter(|_| kept[i]) {
            kept[parent] = true;
        }
    }
    let new_node = Renumbered::of(&kept);
    let used = |count: usize, which: &mut dyn FnMut(&mut Vec<bool>)| {
        let mut used = vec![false; count];
        which(&mut used);
        used
    };
    let meshes = used(scene.meshes.len(), &mut |used| {
        let drawn = scene.nodes.iter().zip(&drawn).filter(|(_, drawn)| **drawn);
        drawn
            .filter_map(|(node, _)| node.mesh)
            .for_each(|mesh| used[mesh] = true);
    });
    let kept_meshes = || {
        scene
            .meshes
            .iter()
            .zip(&meshes)
            .filter(|(_, used)| **used)
            .map(|(m, _)| m)
    };
    let materials = used(scene.materials.len(), &mut |used| {
        let primitives = kept_meshes().flat_map(|mesh| &mesh.primitives);
        primitives
            .filter_map(|p| p.material)
            .for_each(|material| used[material] = true);
    });
    let images = used(scene.images.len(), &mut |used| {
        let kept = scene.materials.iter().zip(&materials).filter(|(_, used)| **used);
        let textures = kept.flat_map(|(m, _)| {
            [
                m.base_color_texture,
                m.metallic_roughness_texture,
                m.normal_texture,
                m.emissive_texture,
            ]
        });
        textures.flatten().for_each(|image| used[image] = true);
    });
    let (new_mesh, new_material, new_image) = (
        Renumbered::of(&meshes),
        Renumbered::of(&materials),
        Renumbered::of(&images),
    );
    let part = Scene {
        name: scene.name.clone(),
        nodes: new_node.pick(&scene.nodes, |i, node| {
            node.parent = node.parent.and_then(|parent| new_node.get(parent));
            node.mesh = node.mesh.filter(|_| drawn[i]).and_then(|mesh| new_mesh.get(mesh));
            node.light = None;
        }),
        meshes: new_mesh.pick(&scene.meshes, |_, mesh| {
            for primitive in &mut mesh.primitives {
                primitive.material = primitive.material.and_then(|material| new_material.get(material));
            }
        }),
        materials: new_material.pick(&scene.materials, |_, material| {
            for texture in [
                &mut material.base_color_texture,
                &mut material.metallic_roughness_texture,
                &mut material.normal_texture,
                &mut material.emissive_texture,
            ] {
                *texture = texture.and_then(|image| new_image.get(image));
            }
        }),
        images: new_image.pick(&scene.images, |_, _| {}),
        animations: scene
            .animations
            .iter()
            .filter_map(|animation| {
                let mut animation = animation.clone();
                animation.channels.retain(|channel| kept[channel.node]);
                for channel in &mut animation.channels {
                    channel.node = new_node.get(channel.node)?;
                }
                (!animation.channels.is_empty()).then_some(animation)
            })
            .collect(),
        ..Scene::default()
    };
    part.nodes.iter().any(|node| node.mesh.is_some()).then_some(part)
}

/// New numbers of what is kept.
struct Renumbered(Vec<Option<usize>>);

impl Renumbered {
    fn of(kept: &[bool]) -> Self {
        let mut next = 0;
        let number = |kept: &bool| {
            kept.then(|| {
                next += 1;
                next - 1
            })
        };
        Self(kept.iter().map(number).collect())
    }

    fn get(&self, old: usize) -> Option<usize> {
        self.0.get(old).copied().flatten()
    }

    /// What is kept, changed by its old number.
    fn pick<T: Clone>(&self, all: &[T], mut change: impl FnMut(usize, &mut T)) -> Vec<T> {
        let kept = all.iter().enumerate().filter(|(i, _)| self.get(*i).is_some());
        kept.map(|(i, old)| {
            let mut new = old.clone();
            change(i, &mut new);
            new
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use glam::{Quat, Vec3};
    use tongyou_scene::{Animation, Channel, Keys, Limits, Primitive, read_glb};

    use super::*;

    fn node(name: &str, parent: Option<usize>, mesh: Option<usize>) -> Node {
        Node {
            name: name.to_owned(),
            parent,
            translation: Vec3::X,
            rotation: Quat::IDENTITY,
            scale: Vec3::ONE,
            mesh,
            light: None,
        }
    }

    fn mesh(name: &str, triangles: u32) -> Mesh {
        let positions = vec![Vec3::ZERO, Vec3::X, Vec3::Y];
        Mesh {
            name: name.to_owned(),
            primitives: vec![Primitive {
                normals: vec![Vec3::Z; 3],
                indices: (0..triangles).flat_map(|_| [0, 1, 2]).collect(),
                positions,
                ..Primitive::default()
            }],
        }
    }

    fn scene(triangles: u32) -> Scene {
        let channel = |node: usize| Channel {
            node,
            times_s: vec![0.0, 1.0],
            keys: Keys::Translation(vec![Vec3::ZERO, Vec3::X]),
            step: false,
        };
        Scene {
            name: "scene".to_owned(),
            nodes: vec![
                node("square", None, Some(0)),
                node("rail", Some(0), Some(0)),
                node("cabin", Some(1), Some(1)),
                node("door", Some(2), Some(1)),
                node("tower", None, Some(0)),
            ],
            meshes: vec![mesh("stone", 1), mesh("cabin", triangles)],
            animations: vec![Animation {
                name: "ride".to_owned(),
                duration_s: 1.0,
                channels: vec![channel(2), channel(4)],
            }],
            local: vec![2],
            ..Scene::default()
        }
    }

    #[test]
    fn local_nodes_stand_where_they_stood_and_move_as_they_did() {
        let mut files = Files::new();
        let model = model(&scene(5), &mut files).unwrap().unwrap();
        let (name, file) = files.first_key_value().unwrap();
        assert_eq!(model.url_path, format!("/local/{name}.glb"));
        assert_eq!((model.bytes, model.sha256.len()), (file.len() as u64, 32));
        let part = read_glb(file, "part", &Limits::default()).unwrap();
        let names: Vec<&str> = part.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["square", "rail", "cabin", "door"]);
        let drawn: Vec<bool> = part.nodes.iter().map(|n| n.mesh.is_some()).collect();
        assert_eq!(drawn, [false, false, true, true]);
        assert_eq!(part.meshes.len(), 1);
        assert_eq!(part.animations[0].channels.len(), 1);
        assert_eq!(part.animations[0].channels[0].node, 2);
    }

    #[test]
    fn nothing_local_is_no_file_and_too_much_is_an_error() {
        let mut files = Files::new();
        let plain = Scene {
            local: Vec::new(),
            ..scene(5)
        };
        assert!(model(&plain, &mut files).unwrap().is_none());
        let error = model(&scene(60_000), &mut files).unwrap_err().to_string();
        assert!(error.contains("120000"), "{error}");
        assert!(files.is_empty());
    }
}
