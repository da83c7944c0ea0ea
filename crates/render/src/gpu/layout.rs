//! Structs as the shaders read them. A test compares each with what naga reports.

use bytemuck::{Pod, Zeroable};
use glam::{Mat4, UVec4, Vec4};

/// `Part` of `common.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Part {
    pub(crate) world_from_node_x: Vec4,
    pub(crate) world_from_node_y: Vec4,
    pub(crate) world_from_node_z: Vec4,
    pub(crate) first_index: u32,
    pub(crate) base_vertex: u32,
    pub(crate) material: u32,
    pub(crate) flags: u32,
}

/// The part's transform turns triangles inside out.
pub(crate) const PART_MIRRORED: u32 = 1;
/// The material shows its base colour as it is.
pub(crate) const MATERIAL_UNLIT: u32 = 1;
/// The material's alpha is coverage, not a cut-out.
pub(crate) const MATERIAL_BLEND: u32 = 2;
/// No texture here.
pub(crate) const NO_TEXTURE: u32 = u32::MAX;

/// `Material` of `common.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Material {
    pub(crate) base_color: Vec4,
    pub(crate) emissive: Vec4,
    pub(crate) metallic: f32,
    pub(crate) roughness: f32,
    pub(crate) normal_scale: f32,
    pub(crate) flags: u32,
    pub(crate) base_color_texture: u32,
    pub(crate) metallic_roughness_texture: u32,
    pub(crate) normal_texture: u32,
    pub(crate) emissive_texture: u32,
}

/// `View` of `common.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct View {
    pub(crate) right: Vec4,
    pub(crate) up: Vec4,
    pub(crate) forward: Vec4,
    pub(crate) eye: Vec4,
    pub(crate) rect: UVec4,
}

/// `Frame` of `common.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Frame {
    pub(crate) views: [View; 6],
    pub(crate) point: Vec4,
    pub(crate) to_sun: Vec4,
    pub(crate) sun: Vec4,
    pub(crate) sky_zenith: Vec4,
    pub(crate) sky_horizon: Vec4,
    pub(crate) ground: Vec4,
    pub(crate) ambient: [Vec4; 9],
    pub(crate) lamps: f32,
    pub(crate) emissive: f32,
    pub(crate) exposure: f32,
    pub(crate) haze_per_m: f32,
    pub(crate) shadow_near: Mat4,
    pub(crate) shadow_far: Mat4,
    pub(crate) shadow_texels: Vec4,
    pub(crate) grid: Vec4,
    pub(crate) sizes: UVec4,
}

/// What comes before the tiles in `Work` of `shade.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Work {
    pub(crate) view: u32,
    pub(crate) depth_side: u32,
    pub(crate) unused: [u32; 2],
}

/// `ShadowView` of `shadow.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct ShadowView {
    pub(crate) clip_from_world: Mat4,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::mem::offset_of;

    use tongyou_shaders::Shader;

    use super::*;

    /// Name to (size, member name to offset) of each struct that a shader declares.
    fn structs(shader: Shader) -> BTreeMap<String, (usize, BTreeMap<String, usize>)> {
        let module = naga::front::wgsl::parse_str(&shader.source()).unwrap();
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let found = module.types.iter().filter_map(|(handle, ty)| match &ty.inner {
            naga::TypeInner::Struct { members, .. } => {
                let offsets = members.iter().map(|m| (m.name.clone().unwrap(), m.offset as usize));
                Some((
                    ty.name.clone().unwrap(),
                    (layouter[handle].size as usize, offsets.collect()),
                ))
            }
            _ => None,
        });
        found.collect()
    }

    macro_rules! check {
        ($structs:expr, $name:literal, $ty:ty, $($field:ident),+) => {{
            let (size, offsets) = &$structs[$name];
            assert_eq!(*size, size_of::<$ty>(), "size of {}", $name);
            let ours = BTreeMap::from([$((stringify!($field).to_owned(), offset_of!($ty, $field))),+]);
            assert_eq!(*offsets, ours, "{}", $name);
        }};
    }

    #[test]
    fn structs_lie_in_memory_as_the_shaders_read_them() {
        for shader in Shader::ALL {
            let s = structs(shader);
            check!(s, "Vertex", crate::pack::Vertex, position, color, normal, tangent, uv);
            check!(
                s,
                "Part",
                Part,
                world_from_node_x,
                world_from_node_y,
                world_from_node_z,
                first_index,
                base_vertex,
                material,
                flags
            );
            check!(
                s,
                "Material",
                Material,
                base_color,
                emissive,
                metallic,
                roughness,
                normal_scale,
                flags,
                base_color_texture,
                metallic_roughness_texture,
                normal_texture,
                emissive_texture
            );
            check!(s, "View", View, right, up, forward, eye, rect);
            check!(
                s,
                "Frame",
                Frame,
                views,
                point,
                to_sun,
                sun,
                sky_zenith,
                sky_horizon,
                ground,
                ambient,
                lamps,
                emissive,
                exposure,
                haze_per_m,
                shadow_near,
                shadow_far,
                shadow_texels,
                grid,
                sizes
            );
        }
        for shader in [Shader::Shade, Shader::ShadeEye] {
            assert_eq!(structs(shader)["Work"].1["tiles"], size_of::<Work>());
        }
        check!(structs(Shader::Shade), "Lamp", crate::Lamp, position, color, direction);
        check!(structs(Shader::Shadow), "ShadowView", ShadowView, clip_from_world);
    }

    #[test]
    fn constants_are_the_shaders() {
        let source = Shader::Shade.source();
        for line in [
            format!("const PART_MIRRORED: u32 = {PART_MIRRORED}u;"),
            format!("const MATERIAL_UNLIT: u32 = {MATERIAL_UNLIT}u;"),
            format!("const MATERIAL_BLEND: u32 = {MATERIAL_BLEND}u;"),
            format!("const NO_TEXTURE: u32 = {NO_TEXTURE:#x}u;"),
        ] {
            assert!(source.contains(&line), "{line}");
        }
    }
}
