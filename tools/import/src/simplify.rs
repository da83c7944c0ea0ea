//! Coarser levels of a mesh scene. Seams of normals and texture coordinates hold, borders between parts stay as they
//! are, and the error of each level is measured against the finest.

use meshopt::{SimplifyOptions, VertexDataAdapter};
use tongyou_scene::{Primitive, Scene};

use crate::{measure, parallel};

/// Triangles of each level as a share of the one before.
const SHARE: f32 = 0.25;
const MOST_LEVELS: usize = 3;
/// A scene with fewer triangles gets no coarser level.
const FEW: usize = 4000;
/// A level that keeps more of the one before is of no use.
const USEFUL: f64 = 0.8;

/// A coarser version of a scene.
#[derive(Debug)]
pub struct Level {
    /// The scene, materials and images as in the finest.
    pub scene: Scene,
    /// Its triangles.
    pub triangles: usize,
    /// The largest distance between this surface and the finest in metres, measured at up to 80,000 places.
    pub error_m: f32,
    /// Root of the mean square of these distances.
    pub rms_m: f32,
}

/// Triangles of a scene.
#[must_use]
pub fn triangles(scene: &Scene) -> usize {
    scene
        .meshes
        .iter()
        .flat_map(|m| &m.primitives)
        .map(|p| p.indices.len() / 3)
        .sum()
}

/// Coarser levels, finest first; none where the scene is small or can not be simplified.
#[must_use]
pub fn levels(finest: &Scene) -> Vec<Level> {
    let mut scenes: Vec<(Scene, usize)> = Vec::new();
    let mut last = triangles(finest);
    // While levels are made, one from the other, a second core gets the finest ready to be measured against.
    let measure = std::thread::scope(|scope| {
        let measure = (last >= FEW).then(|| scope.spawn(|| measure::Finest::new(finest)));
        while scenes.len() < MOST_LEVELS && last >= FEW {
            let scene = coarser(scenes.last().map_or(finest, |(s, _)| s), SHARE);
            let triangles = triangles(&scene);
            if triangles as f64 > last as f64 * USEFUL {
                break;
            }
            last = triangles;
            scenes.push((scene, triangles));
        }
        measure.and_then(|m| m.join().ok())
    });
    let Some(measure) = measure else {
        return Vec::new();
    };
    let apart = parallel::map(parallel::cores(), &scenes, |_, (scene, _)| Ok(measure.distance(scene)));
    let apart = apart.unwrap_or_default();
    let levels = scenes.into_iter().zip(apart);
    let mut worst = 0.0_f32;
    levels
        .map(|((scene, triangles), apart)| {
            // A coarser level is never called nearer than a finer one.
            worst = worst.max(apart.max_m);
            Level {
                scene,
                triangles,
                error_m: worst,
                rms_m: apart.rms_m,
            }
        })
        .collect()
}

/// The scene with about this share of its triangles.
#[must_use]
pub fn coarser(scene: &Scene, share: f32) -> Scene {
    let mut out = scene.clone();
    // A border between two parts must not move in one of them alone.
    let several = scene.meshes.iter().map(|m| m.primitives.len()).sum::<usize>() > 1;
    for primitive in out.meshes.iter_mut().flat_map(|m| &mut m.primitives) {
        simplify(primitive, share, several);
    }
    out
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count"
)]
fn simplify(primitive: &mut Primitive, share: f32, lock_border: bool) {
    let count = primitive.positions.len();
    let positions: Vec<f32> = primitive.positions.iter().flat_map(|p| p.to_array()).collect();
    let bytes = meshopt::typed_to_bytes(&positions);
    let Ok(vertices) = VertexDataAdapter::new(bytes, 12, 0) else {
        return;
    };
    // Normals, colours and texture coordinates weigh in, in this order; what is not there is left out.
    let mut weights: Vec<f32> = Vec::new();
    let there = [
        (primitive.normals.len() == count, [0.5; 3].as_slice()),
        (primitive.colors.len() == count, [0.3; 3].as_slice()),
        (primitive.tex_coords.len() == count, [0.5; 2].as_slice()),
    ];
    for (_, each) in there.iter().filter(|(there, _)| *there) {
        weights.extend_from_slice(each);
    }
    let mut attributes = Vec::with_capacity(count * weights.len());
    for i in 0..count {
        if there[0].0 {
            attributes.extend(primitive.normals[i].to_array());
        }
        if there[1].0 {
            attributes.extend(primitive.colors[i][..3].iter().map(|&c| f32::from(c) / 255.0));
        }
        if there[2].0 {
            attributes.extend(primitive.tex_coords[i].to_array());
        }
    }
    let target = (primitive.indices.len() as f32 / 3.0 * share) as usize * 3;
    let options = if lock_border {
        SimplifyOptions::LockBorder
    } else {
        SimplifyOptions::None
    };
    let indices = meshopt::simplify_with_attributes_and_locks(
        &primitive.indices,
        &vertices,
        &attributes,
        &weights,
        weights.len() * 4,
        &vec![false; count],
        target,
        // As far as it takes: what it took is measured.
        1.0,
        options,
        None,
    );
    if indices.is_empty() {
        return;
    }
    primitive.indices = indices;
    optimise(primitive);
}

/// Puts triangles and vertices in the order that graphics hardware and codecs like; drops vertices without triangles.
pub(crate) fn optimise(primitive: &mut Primitive) {
    primitive.indices = meshopt::optimize_vertex_cache(&primitive.indices, primitive.positions.len());
    compact(primitive);
}

/// Drops vertices that no triangle uses; the rest come in the order of their first use.
fn compact(primitive: &mut Primitive) {
    const UNUSED: u32 = u32::MAX;
    let mut new = vec![UNUSED; primitive.positions.len()];
    let mut order = Vec::new();
    for index in &mut primitive.indices {
        let old = *index as usize;
        if new[old] == UNUSED {
            new[old] = u32::try_from(order.len()).unwrap_or(UNUSED);
            order.push(old);
        }
        *index = new[old];
    }
    primitive.positions = order.iter().map(|&i| primitive.positions[i]).collect();
    pick(&mut primitive.normals, &order);
    pick(&mut primitive.tangents, &order);
    pick(&mut primitive.tex_coords, &order);
    pick(&mut primitive.colors, &order);
}

fn pick<T: Copy>(values: &mut Vec<T>, order: &[usize]) {
    if !values.is_empty() {
        *values = order.iter().map(|&i| values[i]).collect();
    }
}

#[cfg(test)]
mod tests {
    use glam::{Vec2, Vec3};

    use super::*;

    /// Hills of known height, with texture coordinates.
    fn hills(n: u32) -> Scene {
        let mut p = Primitive::default();
        for i in 0..=n {
            for j in 0..=n {
                let at = Vec2::new(i as f32, j as f32) / n as f32;
                let height = 0.05 * ((at.x * 9.0).sin() + (at.y * 7.0).cos());
                p.positions.push(Vec3::new(at.x, height, at.y) * 10.0);
                p.tex_coords.push(at);
            }
        }
        for i in 0..n {
            for j in 0..n {
                let at = i * (n + 1) + j;
                p.indices
                    .extend([at, at + 1, at + n + 1, at + 1, at + n + 2, at + n + 1]);
            }
        }
        let mut scene = Scene::default();
        scene.meshes.push(tongyou_scene::Mesh {
            name: "hills".into(),
            primitives: vec![p],
        });
        scene
    }

    #[test]
    fn levels_shrink_and_their_error_grows() {
        let finest = hills(120);
        let levels = levels(&finest);
        assert!(levels.len() >= 2, "{}", levels.len());
        let mut last = (triangles(&finest), 0.0);
        for level in &levels {
            assert!(level.triangles * 3 < last.0, "{} after {}", level.triangles, last.0);
            assert!(level.error_m > last.1 && level.error_m < 0.5, "{}", level.error_m);
            assert!(level.rms_m < level.error_m);
            last = (level.triangles, level.error_m);
            for p in level.scene.meshes.iter().flat_map(|m| &m.primitives) {
                assert_eq!(p.tex_coords.len(), p.positions.len());
                // The texture still lies where it lay.
                let off = p
                    .tex_coords
                    .iter()
                    .zip(&p.positions)
                    .map(|(t, p)| (*t * 10.0).distance(Vec2::new(p.x, p.z)));
                assert!(off.fold(0.0, f32::max) < 1e-4);
            }
        }
    }

    #[test]
    fn borders_between_parts_do_not_move() {
        let mut scene = hills(80);
        let mut other = hills(80).meshes.remove(0);
        for p in &mut other.primitives[0].positions {
            p.x += 10.0;
        }
        scene.meshes.push(other);
        let border = |s: &Scene| -> Vec<[u32; 3]> {
            let all = s.meshes[0].primitives[0].positions.iter().filter(|p| p.x == 10.0);
            let mut all: Vec<[u32; 3]> = all.map(|p| p.to_array().map(f32::to_bits)).collect();
            all.sort_unstable();
            all
        };
        let coarse = coarser(&scene, 0.1);
        assert!(triangles(&coarse) < triangles(&scene) / 4);
        assert_eq!(border(&scene), border(&coarse));
    }
}
