// Local models: near things that the client draws itself, in the light that the picture carries. The numbers are the
// page's.

struct Sun {
    // Radiance by direction in the nine real spherical harmonics.
    ambient: array<vec4<f32>, 9>,
    // Towards where most light seems to come from; w is the exposure.
    key: vec4<f32>,
    // Its irradiance over pi; w is how much of the models is there, 0 to 1.
    key_light: vec4<f32>,
}

struct Surface {
    base_color: vec4<f32>,
    // w is the scale of the normal map, 0 without one.
    emissive: vec4<f32>,
    alpha_cutoff: f32,
    // 1 where back faces are drawn, otherwise 0.
    double_sided: f32,
    // 1 where no light falls on it.
    unlit: f32,
    unused: f32,
}

@group(2) @binding(0) var<uniform> surface: Surface;
@group(2) @binding(5) var<uniform> sun: Sun;
@group(2) @binding(1) var wrapped: sampler;
@group(2) @binding(2) var base_picture: texture_2d<f32>;
@group(2) @binding(3) var glow_picture: texture_2d<f32>;
@group(2) @binding(4) var normal_picture: texture_2d<f32>;

// They stand this much before the layer that they touch, metres.
const BIAS: f32 = 0.03;

struct Vertex {
    @location(0) position: vec3<f32>,
    @location(1) normal: vec3<f32>,
    // w: handedness, 0 without a tangent.
    @location(2) tangent: vec4<f32>,
    @location(3) place: vec2<f32>,
    @location(4) tint: vec4<f32>,
}

struct Node {
    @location(5) world_from_node_x: vec4<f32>,
    @location(6) world_from_node_y: vec4<f32>,
    @location(7) world_from_node_z: vec4<f32>,
    @location(8) world_from_node_w: vec4<f32>,
    // What turns normals; w of the first is -1 where the node is mirrored.
    @location(9) normal_x: vec4<f32>,
    @location(10) normal_y: vec4<f32>,
    @location(11) normal_z: vec4<f32>,
}

struct Varying {
    @builtin(position) clip: vec4<f32>,
    // w: -1 where the node is mirrored.
    @location(0) normal: vec4<f32>,
    @location(1) tangent: vec4<f32>,
    @location(2) place: vec2<f32>,
    @location(3) tint: vec4<f32>,
}

@vertex
fn vs_local(vertex: Vertex, node: Node) -> Varying {
    let world_from_node = mat4x4(
        node.world_from_node_x,
        node.world_from_node_y,
        node.world_from_node_z,
        node.world_from_node_w,
    );
    let world = (world_from_node * vec4(vertex.position, 1.0)).xyz;
    let normal = mat3x3(node.normal_x.xyz, node.normal_y.xyz, node.normal_z.xyz) * vertex.normal;
    let tangent = (world_from_node * vec4(vertex.tangent.xyz, 0.0)).xyz;
    // Depth as if it were nearer: what stands on the layer does not sink into its rounding.
    let nearer = 1.0 - min(0.3, BIAS / max(0.05, distance(world, eye.point.xyz)));
    let shifted = eye.clip_from_world * vec4(eye.point.xyz + (world - eye.point.xyz) * nearer, 1.0);
    var clip = eye.clip_from_world * vec4(world, 1.0);
    clip.z = shifted.z / max(shifted.w, 1e-4) * clip.w;
    let handed = vertex.tangent.w * node.normal_x.w;
    return Varying(clip, vec4(normal, node.normal_x.w), vec4(tangent, handed), vertex.place, vertex.tint);
}

// Ramamoorthi and Hanrahan 2001: cosine lobe over radiance, pi taken out.
fn ambient_on(n: vec3<f32>) -> vec3<f32> {
    let c = sun.ambient;
    var light = c[0].rgb * 0.282095;
    light += (c[1].rgb * n.y + c[2].rgb * n.z + c[3].rgb * n.x) * (2.0 / 3.0 * 0.488603);
    light += (c[4].rgb * n.x * n.y + c[5].rgb * n.y * n.z + c[7].rgb * n.x * n.z) * (0.25 * 1.092548);
    light += c[6].rgb * (0.25 * 0.315392 * (3.0 * n.z * n.z - 1.0));
    light += c[8].rgb * (0.25 * 0.546274 * (n.x * n.x - n.y * n.y));
    return max(light, vec3(0.0));
}

@fragment
fn fs_local(in: Varying, @builtin(front_facing) faces: bool) -> @location(0) vec4<f32> {
    // Pictures first: their sharpness comes from the neighbours, which must not have gone.
    let base = surface.base_color * in.tint * textureSample(base_picture, wrapped, in.place);
    let glow = surface.emissive.rgb * textureSample(glow_picture, wrapped, in.place).rgb;
    let mapped = textureSample(normal_picture, wrapped, in.place).xyz * 2.0 - 1.0;
    let front = faces == (in.normal.w > 0.0);
    if (!front && surface.double_sided < 0.5) || base.a < surface.alpha_cutoff || noise(in.clip.xy) >= sun.key_light.w {
        discard;
    }
    var n = normalize(in.normal.xyz);
    if surface.emissive.w > 0.0 && in.tangent.w != 0.0 {
        let t = normalize(in.tangent.xyz - n * dot(n, in.tangent.xyz));
        let b = cross(n, t) * in.tangent.w;
        n = normalize(t * (mapped.x * surface.emissive.w) + b * (mapped.y * surface.emissive.w) + n * mapped.z);
    }
    n = select(-n, n, front);
    let lit = ambient_on(n) + sun.key_light.rgb * max(dot(n, sun.key.xyz), 0.0);
    // What is unlit is shown as it is, as the server does.
    let toned = tone_map((base.rgb * lit + glow) * sun.key.w);
    let display = select(toned, srgb_encode(base.rgb), surface.unlit > 0.5);
    return vec4(display * layer.brightness, base.a);
}
