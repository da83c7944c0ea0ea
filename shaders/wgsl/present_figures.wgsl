// People and rings: drawn over a layer, depth-tested against it.

struct Light {
    // Radiance by direction in the nine real spherical harmonics, exposed.
    ambient: array<vec4<f32>, 9>,
    // Towards a light that lets shapes be read; w is its irradiance.
    key: vec4<f32>,
}

@group(2) @binding(0) var<uniform> light: Light;

// They stand this much before the layer that they touch, and their edge there is this soft, metres.
const BIAS: f32 = 0.05;
const PI: f32 = 3.14159265;

struct Vertex {
    @location(0) position: vec3<f32>,
    @location(1) normal: vec3<f32>,
    // Linear; w is the share of the figure's own colour.
    @location(2) paint: vec4<f32>,
    @location(3) alpha: f32,
}

struct Instance {
    @location(4) world_from_part_x: vec4<f32>,
    @location(5) world_from_part_y: vec4<f32>,
    @location(6) world_from_part_z: vec4<f32>,
    @location(7) world_from_part_w: vec4<f32>,
    // Linear; w is opacity.
    @location(8) color: vec4<f32>,
    // x: 1 where the place's light falls on it, 0 where it shines. y: 1 where its edge is soft.
    @location(9) look: vec4<f32>,
}

struct Varying {
    @builtin(position) clip: vec4<f32>,
    @location(0) world: vec3<f32>,
    @location(1) normal: vec3<f32>,
    @location(2) color: vec4<f32>,
    @location(3) look: vec2<f32>,
}

@vertex
fn vs_figure(vertex: Vertex, instance: Instance) -> Varying {
    let world_from_part = mat4x4(
        instance.world_from_part_x,
        instance.world_from_part_y,
        instance.world_from_part_z,
        instance.world_from_part_w,
    );
    let world = (world_from_part * vec4(vertex.position, 1.0)).xyz;
    let normal = (world_from_part * vec4(vertex.normal, 0.0)).xyz;
    let color = mix(vertex.paint.rgb, instance.color.rgb, vertex.paint.w);
    // Depth as if it were nearer: what stands on the layer does not sink into its rounding.
    let nearer = 1.0 - min(0.3, BIAS / max(BIAS, distance(world, eye.point.xyz)));
    let shifted = eye.clip_from_world * vec4(eye.point.xyz + (world - eye.point.xyz) * nearer, 1.0);
    var clip = eye.clip_from_world * vec4(world, 1.0);
    clip.z = shifted.z / max(shifted.w, 1e-4) * clip.w;
    return Varying(clip, world, normal, vec4(color, instance.color.w * vertex.alpha), instance.look.xy);
}

// Whether a point that lies a little behind the layer is left out here.
fn is_sunk(world: vec3<f32>, clip: vec2<f32>) -> bool {
    let d = (transpose(layer.world_from_layer) * vec4(world - layer.world_from_layer[3].xyz, 0.0)).xyz;
    var face = 0u;
    // Both faces of a pair look the same way: the first one will do.
    for (var i = 1u; i < u32(layer.atlas.x * layer.atlas.y); i += 1u) {
        if dot(layer.layer_from_face[i][2].xyz, d) > dot(layer.layer_from_face[face][2].xyz, d) + 1e-4 {
            face = i;
        }
    }
    let axes = layer.layer_from_face[face];
    let from_face = d - axes[3].xyz;
    let z = dot(axes[2].xyz, from_face);
    let tangents = vec2(dot(axes[0].xyz, from_face), dot(axes[1].xyz, from_face)) / max(z, 1e-4);
    let place = clamp(tangents / layer.half_tangent * 0.5 + 0.5, vec2(0.0), vec2(0.9999));
    let texel = textureLoad(depth, vec2<i32>(place * layer.depth_size), face, 0).r;
    if texel == 0u {
        return false;
    }
    let behind = z - layer.depth_scale / f32(texel);
    // Far away the rounding of depth is coarser than the edge.
    let edge = max(BIAS, 1.5 * z * z / layer.depth_scale);
    // Who is well behind is hidden by the layer, or seen from beside it.
    return behind > 0.0 && behind < edge && behind / edge > noise(clip);
}

// Irradiance from the ambient light over pi.
fn ambient_on(n: vec3<f32>) -> vec3<f32> {
    let c = light.ambient;
    var e = c[0].rgb * 0.886227;
    e += (c[1].rgb * n.y + c[2].rgb * n.z + c[3].rgb * n.x) * (2.0 * 0.511664);
    e += (c[4].rgb * n.x * n.y + c[5].rgb * n.y * n.z + c[7].rgb * n.x * n.z) * (2.0 * 0.429043);
    e += c[6].rgb * (0.743125 * n.z * n.z - 0.247708) + c[8].rgb * 0.429043 * (n.x * n.x - n.y * n.y);
    return max(e, vec3(0.0)) / PI;
}

fn display_from_linear(c: vec3<f32>) -> vec3<f32> {
    let low = c * 12.92;
    let high = 1.055 * pow(max(c, vec3(0.0031308)), vec3(1.0 / 2.4)) - 0.055;
    return clamp(select(high, low, c <= vec3(0.0031308)), vec3(0.0), vec3(1.0));
}

@fragment
fn fs_figure(in: Varying, @builtin(front_facing) front: bool) -> @location(0) vec4<f32> {
    if in.look.y > 0.5 && is_sunk(in.world, in.clip.xy) {
        discard;
    }
    var lit = vec3(1.0);
    if in.look.x > 0.5 {
        let n = normalize(select(-in.normal, in.normal, front));
        lit = ambient_on(n) + (0.25 + light.key.w * max(dot(n, light.key.xyz), 0.0)) / PI;
    }
    return vec4(display_from_linear(in.color.rgb * lit) * layer.brightness, in.color.a);
}
