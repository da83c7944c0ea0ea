// What every pass reads: the scene's buffers (group 0) and the frame of one vantage (group 1).

struct Vertex {
    position: vec3<f32>,
    // RGBA8, linear.
    color: u32,
    // Octahedral, two signed 16-bit numbers.
    normal: u32,
    // Octahedral, two signed 15-bit numbers; the lowest bit is set when the bitangent is mirrored.
    tangent: u32,
    uv: vec2<f32>,
}

// A chunk of a primitive of a node, with the node's transform of this tick in rows.
struct Part {
    world_from_node_x: vec4<f32>,
    world_from_node_y: vec4<f32>,
    world_from_node_z: vec4<f32>,
    first_index: u32,
    base_vertex: u32,
    material: u32,
    flags: u32,
}

struct Material {
    base_color: vec4<f32>,
    // w = alpha cutoff.
    emissive: vec4<f32>,
    metallic: f32,
    roughness: f32,
    normal_scale: f32,
    flags: u32,
    base_color_texture: u32,
    metallic_roughness_texture: u32,
    normal_texture: u32,
    emissive_texture: u32,
}

struct View {
    // w = tangent of half the angle across.
    right: vec4<f32>,
    // w = tangent of half the angle up.
    up: vec4<f32>,
    // w is unused.
    forward: vec4<f32>,
    // Where it is in the world; w = how much finer the middle is (k of the sinh curve), 0 for an ordinary picture.
    eye: vec4<f32>,
    // x, y, width, height in the target, in pixels.
    rect: vec4<u32>,
}

struct Frame {
    views: array<View, 6>,
    // w = near.
    point: vec4<f32>,
    to_sun: vec4<f32>,
    sun: vec4<f32>,
    sky_zenith: vec4<f32>,
    sky_horizon: vec4<f32>,
    ground: vec4<f32>,
    // Irradiance over pi, by direction, in the nine real spherical harmonics.
    ambient: array<vec4<f32>, 9>,
    lamps: f32,
    emissive: f32,
    exposure: f32,
    haze_per_m: f32,
    shadow_near: mat4x4<f32>,
    shadow_far: mat4x4<f32>,
    // Size of a shadow texel in metres: near, far; then 1 where there are shadows.
    shadow_texels: vec4<f32>,
    // Corner of the lamp grid (x, z), cells a metre, unused.
    grid: vec4<f32>,
    // Cells along x, cells along z, width and height of the target.
    sizes: vec4<u32>,
}

const PART_MIRRORED: u32 = 1u;
const MATERIAL_UNLIT: u32 = 1u;
const MATERIAL_BLEND: u32 = 2u;
const NO_TEXTURE: u32 = 0xffffffffu;

@group(0) @binding(0) var<storage, read> vertices: array<Vertex>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> parts: array<Part>;
@group(0) @binding(3) var<storage, read> materials: array<Material>;
// All images of the scene at one size, with all levels: colours (sRGB) and data.
@group(0) @binding(4) var colors: texture_2d_array<f32>;
@group(0) @binding(5) var data: texture_2d_array<f32>;
@group(0) @binding(6) var repeat_sampler: sampler;

@group(1) @binding(0) var<uniform> frame: Frame;

fn world_from_part(part: u32, p: vec3<f32>) -> vec3<f32> {
    let h = vec4(p, 1.0);
    return vec3(
        dot(parts[part].world_from_node_x, h),
        dot(parts[part].world_from_node_y, h),
        dot(parts[part].world_from_node_z, h),
    );
}

// The level of detail at which a step of a pixel is a step of about a texel; a little sharper along the longer axis
// than an isotropic filter would have it.
fn texture_level(side: u32, dx: vec2<f32>, dy: vec2<f32>) -> f32 {
    let a = dot(dx, dx);
    let b = dot(dy, dy);
    let longer = max(a, b);
    let shorter = max(min(a, b), longer * 0.06);
    return 0.5 * log2(f32(side * side) * sqrt(longer * shorter) + 1e-12);
}
