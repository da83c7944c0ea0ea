//! Vertices as the shaders read them: 32 bytes each.

use bytemuck::{Pod, Zeroable};
use glam::{Vec2, Vec3, Vec4};
use tongyou_scene::Primitive;

/// `Vertex` of `common.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Vertex {
    pub(crate) position: Vec3,
    pub(crate) color: u32,
    pub(crate) normal: u32,
    pub(crate) tangent: u32,
    pub(crate) uv: Vec2,
}

/// Packs a primitive's vertices. Tangents are worked out from the texture coordinates where the file has none.
pub(crate) fn vertices(primitive: &Primitive) -> Vec<Vertex> {
    let worked_out;
    let tangents = if primitive.tangents.is_empty() && !primitive.tex_coords.is_empty() {
        worked_out = tangents(primitive);
        &worked_out
    } else {
        &primitive.tangents
    };
    (0..primitive.positions.len())
        .map(|i| {
            let normal = primitive.normals.get(i).copied().unwrap_or(Vec3::Y);
            let tangent = tangents
                .get(i)
                .copied()
                .unwrap_or_else(|| normal.any_orthogonal_vector().extend(1.0));
            Vertex {
                position: primitive.positions[i],
                color: primitive.colors.get(i).map_or(u32::MAX, |c| u32::from_le_bytes(*c)),
                normal: octahedral(normal),
                tangent: octahedral(tangent.truncate()) & 0xfffe_fffe | u32::from(tangent.w < 0.0),
                uv: primitive.tex_coords.get(i).copied().unwrap_or_default(),
            }
        })
        .collect()
}

/// Two signed 16-bit numbers that say a direction.
#[expect(clippy::cast_possible_truncation, reason = "clamped to the range of i16 before")]
fn octahedral(direction: Vec3) -> u32 {
    let n = direction / (direction.x.abs() + direction.y.abs() + direction.z.abs()).max(1e-20);
    let p = if n.z < 0.0 {
        let fold = |a: f32, b: f32| (1.0 - b.abs()) * if a < 0.0 { -1.0 } else { 1.0 };
        Vec2::new(fold(n.x, n.y), fold(n.y, n.x))
    } else {
        Vec2::new(n.x, n.y)
    };
    let word = |v: f32| u32::from(((v.clamp(-1.0, 1.0) * 32767.0).round() as i16).cast_unsigned());
    word(p.x) | word(p.y) << 16
}

/// Tangents along growing u, averaged over the triangles of a vertex.
fn tangents(primitive: &Primitive) -> Vec<Vec4> {
    let n = primitive.positions.len();
    let mut along_u = vec![Vec3::ZERO; n];
    let mut along_v = vec![Vec3::ZERO; n];
    for corner in primitive.indices.chunks_exact(3) {
        let [a, b, c] = [corner[0] as usize, corner[1] as usize, corner[2] as usize];
        let (e1, e2) = (
            primitive.positions[b] - primitive.positions[a],
            primitive.positions[c] - primitive.positions[a],
        );
        let (d1, d2) = (
            primitive.tex_coords[b] - primitive.tex_coords[a],
            primitive.tex_coords[c] - primitive.tex_coords[a],
        );
        let det = d1.x * d2.y - d2.x * d1.y;
        if det.abs() < 1e-20 {
            continue;
        }
        let (t, s) = ((e1 * d2.y - e2 * d1.y) / det, (e2 * d1.x - e1 * d2.x) / det);
        for i in [a, b, c] {
            along_u[i] += t;
            along_v[i] += s;
        }
    }
    (0..n)
        .map(|i| {
            let normal = primitive.normals.get(i).copied().unwrap_or(Vec3::Y);
            let t = (along_u[i] - normal * normal.dot(along_u[i]))
                .try_normalize()
                .unwrap_or_else(|| normal.any_orthogonal_vector());
            // glTF's v runs down the image and its bitangent, w (n × t), up.
            let w = if normal.cross(t).dot(along_v[i]) > 0.0 {
                -1.0
            } else {
                1.0
            };
            t.extend(w)
        })
        .collect()
}
