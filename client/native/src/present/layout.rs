//! Structs as the shaders read them. A test compares each with what naga reports.

use bytemuck::{Pod, Zeroable};
use glam::{Mat4, Vec2, Vec4};

/// `Eye` of `present_warp.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Eye {
    pub(super) clip_from_world: Mat4,
    pub(super) point: Vec4,
}

/// `Layer` of `present_warp.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Layer {
    pub(super) world_from_layer: Mat4,
    pub(super) layer_from_face: [Mat4; 6],
    pub(super) sharp: [Vec4; 6],
    pub(super) depth_scale: f32,
    pub(super) half_tangent: f32,
    pub(super) depth_size: f32,
    pub(super) farther: f32,
    pub(super) face_pixels: Vec2,
    pub(super) atlas: Vec2,
    pub(super) foveation: f32,
    pub(super) brightness: f32,
    pub(super) unused: Vec2,
}

/// `Light` of `present_figures.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Light {
    pub(super) ambient: [Vec4; 9],
    pub(super) key: Vec4,
}

/// `Vertex` of `present_figures.wgsl`, a vertex buffer.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Vertex {
    pub(super) position: [f32; 3],
    pub(super) normal: [f32; 3],
    pub(super) paint: [f32; 4],
    pub(super) alpha: f32,
}

/// `Instance` of `present_figures.wgsl`, a vertex buffer.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Instance {
    pub(super) world_from_part: Mat4,
    pub(super) color: Vec4,
    pub(super) look: Vec4,
}

/// `Sun` of `present_locals.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Sun {
    pub(super) ambient: [Vec4; 9],
    pub(super) key: Vec4,
    pub(super) key_light: Vec4,
}

/// `Surface` of `present_locals.wgsl`.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Surface {
    pub(super) base_color: Vec4,
    pub(super) emissive: Vec4,
    pub(super) alpha_cutoff: f32,
    pub(super) double_sided: f32,
    pub(super) unlit: f32,
    pub(super) unused: f32,
}

/// `Vertex` of `present_locals.wgsl`, a vertex buffer.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct LocalVertex {
    pub(super) position: [f32; 3],
    pub(super) normal: [f32; 3],
    pub(super) tangent: [f32; 4],
    pub(super) place: [f32; 2],
    pub(super) tint: [u8; 4],
}

/// `Node` of `present_locals.wgsl`, a vertex buffer.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct LocalNode {
    pub(super) world_from_node: Mat4,
    pub(super) normal: [Vec4; 3],
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
        let figures = structs(Shader::PresentFigures);
        check!(figures, "Eye", Eye, clip_from_world, point);
        check!(figures, "Light", Light, ambient, key);
        let locals = structs(Shader::PresentLocals);
        check!(locals, "Sun", Sun, ambient, key, key_light);
        check!(
            locals,
            "Surface",
            Surface,
            base_color,
            emissive,
            alpha_cutoff,
            double_sided,
            unlit,
            unused
        );
        let warp = structs(Shader::PresentWarp);
        check!(warp, "Eye", Eye, clip_from_world, point);
        check!(
            warp,
            "Layer",
            Layer,
            world_from_layer,
            layer_from_face,
            sharp,
            depth_scale,
            half_tangent,
            depth_size,
            farther,
            face_pixels,
            atlas,
            foveation,
            brightness,
            unused
        );
    }
}
