// One thread shades 4 x 2 pixels of a view from the visibility samples and writes NV12 and depth.

// Of the one view that is shaded.
@group(2) @binding(0) var visibility: texture_multisampled_2d<u32>;
// The Y plane, then interleaved U and V.
@group(2) @binding(6) var<storage, read_write> nv12: array<u32>;
// Two u16 of 65535 * near / z a word, view after view.
@group(2) @binding(7) var<storage, read_write> depths: array<u32>;

struct Work {
    // Which of the frame's views this is.
    view: u32,
    // Texels of depth across and down, where depth has places of its own.
    depth_side: u32,
    unused_1: u32,
    unused_2: u32,
    // What is shaded: upper left pixels of tiles of 32 x 16 in the view, x | y << 16.
    tiles: array<u32>,
}

@group(2) @binding(8) var<storage, read> work: Work;

// Where a ray meets a triangle is a ratio of dot products with the ray: u = cu.d / cn.d, v = cv.d / cn.d, and with a
// ray whose component along the view's axis is 1, 1 / z = cn.d / plane.
struct Triangle {
    part: u32,
    corners: vec3<u32>,
    cu: vec3<f32>,
    cv: vec3<f32>,
    cn: vec3<f32>,
    plane: f32,
}

struct Ray {
    d: vec3<f32>,
    dx: vec3<f32>,
    dy: vec3<f32>,
}

// What some of a pixel's samples see.
struct Seen {
    // Display-encoded.
    color: vec3<f32>,
    // near / z, 0 for the sky.
    depth: f32,
}

// A workgroup has 512 pixels: 64 threads with 4 x 2 each.
// Steps of the fixed-point colour sums.
const STEPS: f32 = 4096.0;

// Three sums of colour times samples for each pixel; integers, so that their order does not matter.
var<workgroup> sums: array<atomic<u32>, 1536>;
// Samples << 16 | depth of what most of a pixel's samples see, the nearest of equals.
var<workgroup> nearest: array<atomic<u32>, 512>;
// Pixels that see more than one triangle: pixel << 4 | samples not shaded yet.
var<workgroup> edges: array<u32, 512>;
var<workgroup> edge_count: atomic<u32>;

fn triangle_of(view: u32, id: u32) -> Triangle {
    let eye = frame.views[view].eye.xyz;
    var t: Triangle;
    t.part = (id >> 16u) - 1u;
    let first = parts[t.part].first_index + (id & 0xffffu) * 3u;
    let base = parts[t.part].base_vertex;
    t.corners = vec3(indices[first], indices[first + 1u], indices[first + 2u]) + base;
    let a = world_from_part(t.part, vertices[t.corners.x].position) - eye;
    let e1 = world_from_part(t.part, vertices[t.corners.y].position) - eye - a;
    let e2 = world_from_part(t.part, vertices[t.corners.z].position) - eye - a;
    t.cu = cross(e2, a);
    t.cv = cross(a, e1);
    t.cn = cross(e1, e2);
    t.plane = dot(a, t.cn);
    return t;
}

fn octahedral(p: vec2<f32>) -> vec3<f32> {
    var n = vec3(p, 1.0 - abs(p.x) - abs(p.y));
    if n.z < 0.0 {
        n = vec3((1.0 - abs(p.yx)) * select(vec2(-1.0), vec2(1.0), p >= vec2(0.0)), n.z);
    }
    return normalize(n);
}

fn normal_of(vertex: u32) -> vec3<f32> {
    return octahedral(unpack2x16snorm(vertices[vertex].normal));
}

// The inverse transpose of the part's rotation and scale, applied to a normal.
fn world_from_part_normal(part: u32, n: vec3<f32>) -> vec3<f32> {
    let x = parts[part].world_from_node_x.xyz;
    let y = parts[part].world_from_node_y.xyz;
    let z = parts[part].world_from_node_z.xyz;
    return vec3(dot(cross(y, z), n), dot(cross(z, x), n), dot(cross(x, y), n));
}

fn world_from_part_direction(part: u32, v: vec3<f32>) -> vec3<f32> {
    return vec3(
        dot(parts[part].world_from_node_x.xyz, v),
        dot(parts[part].world_from_node_y.xyz, v),
        dot(parts[part].world_from_node_z.xyz, v),
    );
}

// Light through the haze between a point and the eye.
fn through_haze(c: vec3<f32>, d: vec3<f32>, distance: f32) -> vec3<f32> {
    let toward = normalize(vec3(d.x, max(d.y, 0.03), d.z));
    return mix(sky_gradient(toward), c, exp(-frame.haze_per_m * distance));
}

// rgb = light at the eye, times the exposure; or, with w = 1, linear colour that is shown as it is.
fn shade(view: u32, t: Triangle, ray: Ray) -> vec4<f32> {
    let det = 1.0 / dot(t.cn, ray.d);
    let u = clamp(dot(t.cu, ray.d) * det, 0.0, 1.0);
    let v = clamp(dot(t.cv, ray.d) * det, 0.0, 1.0 - u);
    let w = vec3(1.0 - u - v, u, v);
    let z = t.plane * det;
    let m = parts[t.part].material;
    let flags = materials[m].flags;

    var uv = vec2(0.0);
    var level = 0.0;
    let base_texture = materials[m].base_color_texture;
    let mr_texture = materials[m].metallic_roughness_texture;
    let normal_texture = materials[m].normal_texture;
    let emissive_texture = materials[m].emissive_texture;
    let textured = min(min(base_texture, mr_texture), min(normal_texture, emissive_texture)) != NO_TEXTURE;
    if textured {
        let uv0 = vertices[t.corners.x].uv;
        let uv1 = vertices[t.corners.y].uv - uv0;
        let uv2 = vertices[t.corners.z].uv - uv0;
        uv = uv0 + uv1 * u + uv2 * v;
        let det_x = 1.0 / dot(t.cn, ray.d + ray.dx);
        let det_y = 1.0 / dot(t.cn, ray.d + ray.dy);
        let uv_dx = uv1 * (dot(t.cu, ray.d + ray.dx) * det_x - u) + uv2 * (dot(t.cv, ray.d + ray.dx) * det_x - v);
        let uv_dy = uv1 * (dot(t.cu, ray.d + ray.dy) * det_y - u) + uv2 * (dot(t.cv, ray.d + ray.dy) * det_y - v);
        level = texture_level(textureDimensions(colors).x, uv_dx, uv_dy);
    }

    var base = materials[m].base_color.rgb;
    base *= unpack4x8unorm(vertices[t.corners.x].color).rgb * w.x
        + unpack4x8unorm(vertices[t.corners.y].color).rgb * w.y
        + unpack4x8unorm(vertices[t.corners.z].color).rgb * w.z;
    if base_texture != NO_TEXTURE {
        base *= textureSampleLevel(colors, repeat_sampler, uv, base_texture, level).rgb;
    }
    if (flags & MATERIAL_UNLIT) != 0u {
        return vec4(base, 1.0);
    }

    var s: Surface;
    s.point = frame.views[view].eye.xyz + ray.d * z;
    s.to_eye = -normalize(ray.d);
    let mirrored = (parts[t.part].flags & PART_MIRRORED) != 0u;
    let away = (dot(t.cn, ray.d) > 0.0);
    s.facing = normalize(select(t.cn, -t.cn, away));
    var n = normal_of(t.corners.x) * w.x + normal_of(t.corners.y) * w.y + normal_of(t.corners.z) * w.z;
    n = normalize(world_from_part_normal(t.part, n));
    if mirrored {
        n = -n;
    }
    // The back of a double-sided surface.
    if away != mirrored {
        n = -n;
    }
    if normal_texture != NO_TEXTURE {
        let packed = vertices[t.corners.x].tangent;
        let tangent_in_part = octahedral(unpack2x16snorm(packed & 0xfffefffeu));
        var tangent = world_from_part_direction(t.part, tangent_in_part);
        tangent = normalize(tangent - n * dot(n, tangent));
        let bitangent = cross(n, tangent) * select(1.0, -1.0, ((packed & 1u) != 0u) != mirrored);
        var bump = textureSampleLevel(data, repeat_sampler, uv, normal_texture, level).xyz * 2.0 - 1.0;
        bump = vec3(bump.xy * materials[m].normal_scale, max(bump.z, 0.05));
        n = normalize(tangent * bump.x + bitangent * bump.y + n * bump.z);
    }
    // A shading normal that turns away from the eye would be black.
    n = normalize(n + s.to_eye * max(0.02 - dot(n, s.to_eye), 0.0));
    s.normal = n;

    var metallic = materials[m].metallic;
    var roughness = materials[m].roughness;
    if mr_texture != NO_TEXTURE {
        let mr = textureSampleLevel(data, repeat_sampler, uv, mr_texture, level);
        metallic *= mr.b;
        roughness *= mr.g;
    }
    // Sharp reflections would be the same in both eyes.
    s.roughness = clamp(roughness, 0.3, 1.0);
    s.diffuse = base * (1.0 - metallic);
    s.f0 = mix(vec3(0.04), base, metallic);

    var light = vec3(0.0);
    if dot(frame.sun.rgb, vec3(1.0)) > 0.0 && dot(s.facing, frame.to_sun.xyz) > 0.0 {
        let visible = sun_visibility(s.point, s.facing);
        if visible > 0.0 {
            light += frame.sun.rgb * (visible * reflect_light(s, frame.to_sun.xyz));
        }
    }
    light += sky_light(s);
    if frame.lamps > 0.0 {
        light += lamp_light(s);
    }
    var emitted = materials[m].emissive.rgb;
    if dot(emitted, vec3(1.0)) > 0.0 && frame.emissive > 0.0 {
        if emissive_texture != NO_TEXTURE {
            emitted *= textureSampleLevel(colors, repeat_sampler, uv, emissive_texture, level).rgb;
        }
        light += emitted * frame.emissive;
    }
    return vec4(through_haze(light, ray.d, z * length(ray.d)) * frame.exposure, 0.0);
}

// Vulkan's standard places of four samples, from the pixel's centre.
fn sample_offset(i: u32) -> vec2<f32> {
    let x = select(select(-0.125, 0.375, i == 1u), select(-0.375, 0.125, i == 3u), i >= 2u);
    let y = select(select(-0.375, -0.125, i == 1u), select(0.125, 0.375, i == 3u), i >= 2u);
    return vec2(x, y);
}

fn id_at(texel: vec2<u32>, sample: i32) -> u32 {
    let id = textureLoad(visibility, vec2<i32>(texel), sample).xy;
    return (id.x << 16u) | id.y;
}

fn covers(t: Triangle, d: vec3<f32>) -> bool {
    let det = 1.0 / dot(t.cn, d);
    let u = dot(t.cu, d) * det;
    let v = dot(t.cv, d) * det;
    return min(min(u, v), 1.0 - u - v) > -1e-3;
}

fn samples_of(ids: vec4<u32>, id: u32) -> u32 {
    let equal = select(vec4(0u), vec4(1u, 2u, 4u, 8u), ids == vec4(id));
    return equal.x | equal.y | equal.z | equal.w;
}

// Shades a triangle (or the sky) for the pixel; `i` is a sample that sees it, `whole` says that all of them do.
fn see(view: u32, pixel: vec2<u32>, id: u32, i: u32, whole: bool) -> Seen {
    let middle = vec2<f32>(pixel) + 0.5;
    var ray = ray_at(view, middle);
    var out: Seen;
    var light = vec4(0.0);
    if id == 0u {
        light = vec4(sky_view(normalize(ray.d)) * frame.exposure, 0.0);
    } else {
        let t = triangle_of(view, id);
        out.depth = frame.point.w * dot(t.cn, ray.d) / t.plane;
        if !whole && !covers(t, ray.d) {
            ray.d = ray_at(view, middle + sample_offset(i)).d;
            // The plane may run away between the sample and the pixel's centre.
            let sampled = frame.point.w * dot(t.cn, ray.d) / t.plane;
            out.depth = clamp(out.depth, sampled * 0.8, sampled * 1.25);
        }
        light = shade(view, t, ray);
    }
    out.color = clamp(select(tone_map(light.rgb), srgb_encode(light.rgb), light.w > 0.0), vec3(0.0), vec3(1.0));
    return out;
}

fn depth_word(depth: f32) -> u32 {
    // Whatever is not sky is at least 1.
    return select(0u, clamp(u32(depth * 65535.0 + 0.5), 1u, 65535u), depth > 0.0);
}

fn pixel_of(origin: vec2<u32>, index: u32) -> vec2<u32> {
    let thread = index / 8u;
    return origin + vec2(thread % 8u, thread / 8u) * vec2(4u, 2u) + vec2(index % 4u, index / 4u % 2u);
}

// First each thread shades what the first sample of its own pixels sees. Then all threads together shade what is left
// at edges: side by side rather than each thread waiting for its neighbour's edges.
@compute @workgroup_size(8, 8)
fn cs_shade(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let view = work.view;
    let tile = work.tiles[group.x];
    let origin = vec2(tile & 0xffffu, tile >> 16u);
    let own = pixel_of(origin, thread * 8u);
    let inside = all(own < frame.views[view].rect.zw);
    if thread == 0u {
        atomicStore(&edge_count, 0u);
    }
    workgroupBarrier();
    var k = 0u;
    // Loops test their condition at the end: software drivers run a body once more for one that does at the beginning.
    loop {
        if inside {
            let index = thread * 8u + k;
            let pixel = pixel_of(origin, index);
            let ids = ids_at(view, pixel);
            let same = samples_of(ids, ids.x);
            let count = countOneBits(same);
            let seen = see(view, pixel, ids.x, 0u, same == 15u);
            let sum = vec3<u32>(seen.color * (f32(count) * STEPS) + 0.5);
            atomicStore(&sums[index * 3u], sum.x);
            atomicStore(&sums[index * 3u + 1u], sum.y);
            atomicStore(&sums[index * 3u + 2u], sum.z);
            atomicStore(&nearest[index], (count << 16u) | depth_word(seen.depth));
            if same != 15u {
                edges[atomicAdd(&edge_count, 1u)] = (index << 4u) | (15u & ~same);
            }
        }
        k++;
        continuing {
            break if k >= 8u;
        }
    }
    workgroupBarrier();
    let edge_end = atomicLoad(&edge_count);
    var edge = thread;
    var left = 0u;
    if edge < edge_end {
        left = edges[edge] & 15u;
    }
    loop {
        if left != 0u {
            let index = edges[edge] >> 4u;
            let pixel = pixel_of(origin, index);
            let ids = ids_at(view, pixel);
            let i = firstTrailingBit(left);
            let same = samples_of(ids, ids[i]);
            let count = countOneBits(same);
            let seen = see(view, pixel, ids[i], i, false);
            let sum = vec3<u32>(seen.color * (f32(count) * STEPS) + 0.5);
            atomicAdd(&sums[index * 3u], sum.x);
            atomicAdd(&sums[index * 3u + 1u], sum.y);
            atomicAdd(&sums[index * 3u + 2u], sum.z);
            atomicMax(&nearest[index], (count << 16u) | depth_word(seen.depth));
            left &= ~same;
        }
        if left == 0u {
            edge += 64u;
            if edge < edge_end {
                left = edges[edge] & 15u;
            }
        }
        continuing {
            break if left == 0u;
        }
    }
    workgroupBarrier();
    if inside {
        write(view, own, thread * 8u);
    }
}

fn color_of(index: u32) -> vec3<f32> {
    let sum = vec3(atomicLoad(&sums[index * 3u]), atomicLoad(&sums[index * 3u + 1u]), atomicLoad(&sums[index * 3u + 2u]));
    return min(vec3<f32>(sum) * (0.25 / STEPS), vec3(1.0));
}

// Writes 4 x 2 pixels: eight of luma, two of chroma, eight of depth where depth has the picture's places.
fn write(view: u32, pixel: vec2<u32>, first: u32) {
    let rect = frame.views[view].rect;
    var luma = vec2(0u);
    var chroma = 0u;
    for (var pair = 0u; pair < 2u; pair++) {
        var sum = vec3(0.0);
        var words = vec2(0u);
        for (var k = 0u; k < 4u; k++) {
            let column = pair * 2u + (k & 1u);
            let row = k >> 1u;
            let index = first + row * 4u + column;
            let color = color_of(index);
            sum += color;
            let y = u32(16.5 + 219.0 * dot(color, vec3(0.2126, 0.7152, 0.0722)));
            luma[row] = luma[row] | (y << (column * 8u));
            words[row] = words[row] | ((atomicLoad(&nearest[index]) & 0xffffu) << ((k & 1u) * 16u));
        }
        keep_depth(view, pixel + vec2(pair * 2u, 0u), words);
        let mean = sum * 0.25;
        let y = dot(mean, vec3(0.2126, 0.7152, 0.0722));
        let u = u32(128.5 + 224.0 * (mean.z - y) / 1.8556);
        let v = u32(128.5 + 224.0 * (mean.x - y) / 1.5748);
        chroma = chroma | ((u | (v << 8u)) << (pair * 16u));
    }
    let words_across = frame.sizes.z / 4u;
    let at = (rect.y + pixel.y) * words_across + (rect.x + pixel.x) / 4u;
    nv12[at] = luma.x;
    nv12[at + words_across] = luma.y;
    nv12[frame.sizes.w * words_across + (rect.y + pixel.y) / 2u * words_across + (rect.x + pixel.x) / 4u] = chroma;
}
