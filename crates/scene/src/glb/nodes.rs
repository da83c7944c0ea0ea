//! The node hierarchy, flattened so that parents come before their children.

use glam::{Mat4, Quat, Vec3};
use gltf::json;

use super::{FARTHEST_M, Source, label};
use crate::{Error, Node};

/// Where each node of the file went; nodes that the scene does not reach have no place.
pub(super) type NewIndex = Vec<Option<usize>>;

type Transform = (Vec3, Quat, Vec3);

impl Source<'_> {
    pub(super) fn nodes(&self, lights: usize) -> Result<(Vec<Node>, NewIndex), Error> {
        let nodes = &self.root.nodes;
        self.within("nodes", "nodes", nodes.len() as u64, self.limits.nodes)?;
        let mut new_index: NewIndex = vec![None; nodes.len()];
        let mut out: Vec<Node> = Vec::new();
        let mut queue: Vec<(usize, Option<usize>, String)> = self
            .roots()?
            .into_iter()
            .rev()
            .map(|(node, place)| (node, None, place))
            .collect();
        while let Some((index, parent, from)) = queue.pop() {
            let node = self.get(nodes, index, &from, "node")?;
            let place = label("node", index, node.name.as_ref());
            if new_index[index].is_some() {
                return Err(self.fault(
                    place,
                    format!("is reached twice, again from {from}: not a tree, or a cycle"),
                ));
            }
            new_index[index] = Some(out.len());
            let this = out.len();
            out.push(self.node(node, parent, lights, &place)?);
            for child in node.children.iter().flatten().rev() {
                if queue.len() > nodes.len() {
                    return Err(self.fault(place, "has more children than the file has nodes"));
                }
                queue.push((child.value(), Some(this), place.clone()));
            }
        }
        Ok((out, new_index))
    }

    /// Nodes whose extras say that headsets draw them; extras of other shapes are somebody else's.
    pub(super) fn local(&self, new_index: &NewIndex) -> Vec<usize> {
        let says = |node: &json::Node| {
            let text = node.extras.as_ref().map(|e| e.get());
            let value: Option<json::Value> = text.and_then(|t| json::deserialize::from_str(t).ok());
            value.is_some_and(|v| v.get("local") == Some(&json::Value::Bool(true)))
        };
        let all = self.root.nodes.iter().zip(new_index);
        let mut local: Vec<usize> = all.filter(|(node, _)| says(node)).filter_map(|(_, new)| *new).collect();
        local.sort_unstable();
        local
    }

    /// The roots of the scene that the file names, of its first, or of all nodes.
    fn roots(&self) -> Result<Vec<(usize, String)>, Error> {
        let scenes = &self.root.scenes;
        let chosen = match self.root.scene {
            Some(index) => Some((index.value(), self.get(scenes, index.value(), "scene", "scene")?)),
            None => scenes.first().map(|s| (0, s)),
        };
        if let Some((index, scene)) = chosen {
            self.within("scene", "root nodes", scene.nodes.len() as u64, self.limits.nodes)?;
            let place = label("scene", index, scene.name.as_ref());
            return Ok(scene.nodes.iter().map(|n| (n.value(), place.clone())).collect());
        }
        let mut is_child = vec![false; self.root.nodes.len()];
        for child in self.root.nodes.iter().flat_map(|n| n.children.iter().flatten()) {
            if let Some(flag) = is_child.get_mut(child.value()) {
                *flag = true;
            }
        }
        let roots = is_child.iter().enumerate().filter(|(_, child)| !**child);
        Ok(roots.map(|(i, _)| (i, "nodes".to_owned())).collect())
    }

    fn node(&self, node: &json::Node, parent: Option<usize>, lights: usize, place: &str) -> Result<Node, Error> {
        if node.skin.is_some() {
            return Err(self.fault(place, "skins are not supported"));
        }
        let mesh = node.mesh.map(|m| m.value());
        if let Some(mesh) = mesh {
            self.get(&self.root.meshes, mesh, place, "mesh")?;
        }
        let light = node
            .extensions
            .as_ref()
            .and_then(|e| e.khr_lights_punctual.as_ref())
            .map(|l| l.light.value());
        if light.is_some_and(|l| l >= lights) {
            return Err(self.fault(place, format!("refers to a light, but the file has {lights} of them")));
        }
        let (translation, rotation, scale) = self.transform(node, place)?;
        let name = node.name.clone().unwrap_or_default();
        Ok(Node {
            name,
            parent,
            translation,
            rotation,
            scale,
            mesh,
            light,
        })
    }

    fn transform(&self, node: &json::Node, place: &str) -> Result<Transform, Error> {
        let (translation, rotation, scale) = match node.matrix {
            Some(matrix) => {
                let matrix = Mat4::from_cols_array(&matrix);
                let usable = matrix.is_finite() && matrix.determinant().abs() > 1e-12;
                if !usable {
                    return Err(self.fault(place, "its matrix is not finite or flattens space"));
                }
                let (s, r, t) = matrix.to_scale_rotation_translation();
                let again = Mat4::from_scale_rotation_translation(s, r, t);
                if !again.abs_diff_eq(matrix, 1e-3 * s.abs().max_element().max(1.0)) {
                    return Err(self.fault(place, "its matrix is not a translation, rotation and scale"));
                }
                (t, r, s)
            }
            None => (
                Vec3::from(node.translation.unwrap_or_default()),
                Quat::from_array(node.rotation.unwrap_or_default().0),
                Vec3::from(node.scale.unwrap_or([1.0; 3])),
            ),
        };
        self.check_translation(translation, place)?;
        self.check_scale(scale, place)?;
        Ok((translation, self.unit(rotation, place)?, scale))
    }

    pub(super) fn check_translation(&self, v: Vec3, place: &str) -> Result<(), Error> {
        if v.is_finite() && v.abs().max_element() <= FARTHEST_M {
            return Ok(());
        }
        Err(self.fault(place, format!("translation {v} is not finite or outside the world")))
    }

    pub(super) fn check_scale(&self, v: Vec3, place: &str) -> Result<(), Error> {
        if v.is_finite() && v.abs().max_element() <= FARTHEST_M {
            return Ok(());
        }
        Err(self.fault(place, format!("scale {v} is not finite or far too large")))
    }

    /// Slight departures from unit length are rounding; anything else is not a rotation.
    pub(super) fn unit(&self, q: Quat, place: &str) -> Result<Quat, Error> {
        let length = q.length();
        if !(length.is_finite() && (0.9..=1.1).contains(&length)) {
            return Err(self.fault(place, format!("rotation {q} is not a unit quaternion")));
        }
        // A file written with unit quaternions is read back bit for bit.
        Ok(if (length - 1.0).abs() < 1e-5 { q } else { q.normalize() })
    }
}
