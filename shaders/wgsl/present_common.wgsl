// What all that is presented reads: the eye (group 0) and a layer (group 1).
// Face space: x to the right of the picture, y down, z along the face's axis, metres from the rendered point.

struct Eye {
    clip_from_world: mat4x4<f32>,
    // w is unused.
    point: vec4<f32>,
}

struct Layer {
    // From metres relative to the rendered point to the world.
    world_from_layer: mat4x4<f32>,
    // Of as many faces as there are.
    layer_from_face: array<mat4x4<f32>, 6>,
    // By face: how much of its sharp picture is shown, and how many places of that one place of the face is.
    sharp: array<vec4<f32>, 6>,
    // Inverse depth is depth_scale / z.
    depth_scale: f32,
    half_tangent: f32,
    // Texels along the side of a face's depth.
    depth_size: f32,
    // By so much farther it lies than it is: what two layers show, the first of them has.
    farther: f32,
    // Of a face's colour.
    face_pixels: vec2<f32>,
    // Faces across and down.
    atlas: vec2<f32>,
    // Of the colour, each axis by itself; 0 none.
    foveation: f32,
    // 0 black, 1 as rendered.
    brightness: f32,
    unused: vec2<f32>,
}

@group(0) @binding(0) var<uniform> eye: Eye;
@group(1) @binding(0) var<uniform> layer: Layer;
@group(1) @binding(3) var depth: texture_2d_array<u32>;

fn noise(at: vec2<f32>) -> f32 {
    return fract(52.9829189 * fract(dot(at, vec2(0.06711056, 0.00583715))));
}
