// Depth as the sun sees it.

struct ShadowView {
    clip_from_world: mat4x4<f32>,
}

@group(2) @binding(0) var<uniform> shadow_view: ShadowView;

struct Caster {
    @builtin(position) clip: vec4<f32>,
    @location(0) uv: vec2<f32>,
    @location(1) @interpolate(flat) part: u32,
}

@vertex
fn vs_shadow(
    @location(0) position: vec3<f32>,
    @location(1) uv: vec2<f32>,
    @builtin(instance_index) part: u32,
) -> Caster {
    var out: Caster;
    out.clip = shadow_view.clip_from_world * vec4(world_from_part(part, position), 1.0);
    out.uv = uv;
    out.part = part;
    return out;
}

@fragment
fn fs_shadow_alpha(in: Caster) {
    let material = parts[in.part].material;
    let level = texture_level(textureDimensions(colors).x, dpdx(in.uv), dpdy(in.uv));
    var alpha = materials[material].base_color.a;
    let texture = materials[material].base_color_texture;
    if texture != NO_TEXTURE {
        alpha *= textureSampleLevel(colors, repeat_sampler, in.uv, texture, level).a;
    }
    if alpha < 0.5 {
        discard;
    }
}
