// Visibility: which triangle of which part each of a pixel's four samples sees. x = part + 1, y = triangle.

struct Raster {
    @builtin(position) clip: vec4<f32>,
    @location(0) @interpolate(flat) part: u32,
    @location(1) uv: vec2<f32>,
    @location(2) @interpolate(flat) color: u32,
}

// An instance index is view << 16 | part.
@vertex
fn vs_view(
    @location(0) position: vec3<f32>,
    @location(1) uv: vec2<f32>,
    @location(2) color: u32,
    @builtin(instance_index) instance: u32,
) -> Raster {
    let part = instance & 0xffffu;
    let view = instance >> 16u;
    let from_eye = world_from_part(part, position) - frame.views[view].eye.xyz;
    let right = frame.views[view].right;
    let up = frame.views[view].up;
    var out: Raster;
    // Reversed z with the far plane at infinity: the depth is near / z.
    out.clip = vec4(
        dot(from_eye, right.xyz) / right.w,
        dot(from_eye, up.xyz) / up.w,
        frame.point.w,
        dot(from_eye, frame.views[view].forward.xyz),
    );
    out.part = part;
    out.uv = uv;
    out.color = color;
    return out;
}

@fragment
fn fs_opaque(in: Raster, @builtin(primitive_index) triangle: u32) -> @location(0) vec2<u32> {
    return vec2(in.part + 1u, triangle);
}

struct Masked {
    @location(0) id: vec2<u32>,
    @builtin(sample_mask) mask: u32,
}

// Alpha becomes coverage: a cut-out's edge is softened over about a pixel, a blended surface covers as many of the
// four samples as its alpha says, rotated by a 2 x 2 pattern so that layers do not all cover the same ones.
fn alpha_mask(in: Raster, triangle: u32) -> Masked {
    let material = parts[in.part].material;
    let level = texture_level(textureDimensions(colors).x, dpdx(in.uv), dpdy(in.uv));
    var alpha = materials[material].base_color.a * unpack4x8unorm(in.color).a;
    let texture = materials[material].base_color_texture;
    if texture != NO_TEXTURE {
        alpha *= textureSampleLevel(colors, repeat_sampler, in.uv, texture, level).a;
    }
    if (materials[material].flags & MATERIAL_BLEND) == 0u {
        let cutoff = materials[material].emissive.w;
        let width = max(fwidth(alpha), 1e-4);
        alpha = clamp((alpha - cutoff) / width + 0.5, 0.0, 1.0);
    }
    let pixel = vec2<u32>(in.clip.xy);
    let covered = u32(alpha * 4.0 + 0.5);
    let turn = ((pixel.x & 1u) | ((pixel.y & 1u) << 1u)) + in.part;
    let run = (1u << covered) - 1u;
    let doubled = run << (turn & 3u);
    var out: Masked;
    out.id = vec2(in.part + 1u, triangle);
    out.mask = (doubled | (doubled >> 4u)) & 0xfu;
    return out;
}

@fragment
fn fs_alpha(in: Raster, @builtin(primitive_index) triangle: u32) -> Masked {
    return alpha_mask(in, triangle);
}

// For a picture of what lies behind: 65535 * near / z of each pixel of the view, two a word; what is nearer is left
// out. 0 leaves out nothing.
@group(2) @binding(0) var<storage, read> cuts: array<u32>;

fn is_cut(clip: vec4<f32>) -> bool {
    let pixel = vec2<u32>(clip.xy);
    let index = pixel.y * frame.views[0].rect.z + pixel.x;
    let cut = (cuts[index / 2u] >> (16u * (index & 1u))) & 0xffffu;
    return cut > 0u && clip.z * 65535.0 > f32(cut);
}

@fragment
fn fs_opaque_behind(in: Raster, @builtin(primitive_index) triangle: u32) -> @location(0) vec2<u32> {
    if is_cut(in.clip) {
        discard;
    }
    return vec2(in.part + 1u, triangle);
}

@fragment
fn fs_alpha_behind(in: Raster, @builtin(primitive_index) triangle: u32) -> Masked {
    var out = alpha_mask(in, triangle);
    if is_cut(in.clip) {
        out.mask = 0u;
    }
    return out;
}
