// A view of one eye: colour is finer in the middle, visibility and depth lie evenly over the tangents, each on a grid of
// its own. The place s in -1..1 shows the tangent `half tangent * sinh(k s) / sinh(k)`, x and y each by itself.

struct Foveated {
    // In -1..1, even over the tangents.
    place: vec2<f32>,
    // What a pixel's step is there.
    step: vec2<f32>,
}

fn foveated(view: u32, at: vec2<f32>) -> Foveated {
    let k = frame.views[view].eye.w;
    let a_pixel = 2.0 / vec2<f32>(frame.views[view].rect.zw);
    var out: Foveated;
    out.place = at * a_pixel - 1.0;
    out.step = a_pixel;
    if k > 0.0 {
        let up = exp(out.place * k);
        let down = 1.0 / up;
        let whole = 1.0 / (exp(k) - exp(-k));
        out.place = (up - down) * whole;
        out.step *= (up + down) * (whole * k);
    }
    return out;
}

fn ray_at(view: u32, at: vec2<f32>) -> Ray {
    let right = frame.views[view].right;
    let up = frame.views[view].up;
    let f = foveated(view, at);
    var ray: Ray;
    ray.dx = right.xyz * (right.w * f.step.x);
    ray.dy = up.xyz * (-up.w * f.step.y);
    ray.d = frame.views[view].forward.xyz + right.xyz * (f.place.x * right.w) - up.xyz * (f.place.y * up.w);
    return ray;
}

// What the nearest visibility sample to a place in -1..1, even over the tangents, sees.
fn id_near(place: vec2<f32>) -> u32 {
    let size = vec2<f32>(textureDimensions(visibility));
    let at = clamp((place * 0.5 + 0.5) * size, vec2(0.0), size - 1e-3);
    let within = fract(at) - 0.5;
    // A slanting line parts the upper two samples from the lower two.
    let lower = select(0u, 2u, within.y * 2.0 > within.x);
    let left = within - sample_offset(lower);
    let right = within - sample_offset(lower + 1u);
    return id_at(vec2<u32>(at), i32(select(lower, lower + 1u, dot(right, right) < dot(left, left))));
}

fn ids_at(view: u32, pixel: vec2<u32>) -> vec4<u32> {
    let f = foveated(view, vec2<f32>(pixel) + 0.5);
    return vec4(
        id_near(f.place + f.step * sample_offset(0u)),
        id_near(f.place + f.step * sample_offset(1u)),
        id_near(f.place + f.step * sample_offset(2u)),
        id_near(f.place + f.step * sample_offset(3u)),
    );
}

fn keep_depth(view: u32, pixel: vec2<u32>, words: vec2<u32>) {}

// The depth of a triangle on a texel's ray, or near one sample's where the texel's own ray misses it.
fn depth_on(view: u32, id: u32, d: vec3<f32>, beside: vec3<f32>) -> f32 {
    if id == 0u {
        return 0.0;
    }
    let t = triangle_of(view, id);
    let depth = frame.point.w * dot(t.cn, d) / t.plane;
    if covers(t, d) {
        return depth;
    }
    let sampled = frame.point.w * dot(t.cn, beside) / t.plane;
    return clamp(depth, sampled * 0.8, sampled * 1.25);
}

// The depth of what most of a texel's samples see, the nearest of equals, on the texel's own ray.
fn depth_at(view: u32, texel: vec2<u32>, side: u32) -> u32 {
    let right = frame.views[view].right;
    let up = frame.views[view].up;
    let a_texel = 2.0 / f32(side);
    let place = (vec2<f32>(texel) + 0.5) * a_texel - 1.0;
    let ids = vec4(
        id_near(place + a_texel * sample_offset(0u)),
        id_near(place + a_texel * sample_offset(1u)),
        id_near(place + a_texel * sample_offset(2u)),
        id_near(place + a_texel * sample_offset(3u)),
    );
    let d = frame.views[view].forward.xyz + right.xyz * (place.x * right.w) - up.xyz * (place.y * up.w);
    var best = 0u;
    var left = 15u;
    loop {
        let i = firstTrailingBit(left);
        let same = samples_of(ids, ids[i]);
        let offset = a_texel * sample_offset(i);
        let beside = d + right.xyz * (offset.x * right.w) - up.xyz * (offset.y * up.w);
        let depth = depth_on(view, ids[i], d, beside);
        best = max(best, (countOneBits(same) << 16u) | depth_word(depth));
        left &= ~same;
        continuing {
            break if left == 0u;
        }
    }
    return best & 0xffffu;
}

// Each thread does two texels of a row.
@compute @workgroup_size(8, 8)
fn cs_depth(@builtin(global_invocation_id) id: vec3<u32>) {
    let side = work.depth_side;
    let texel = id.xy * vec2(2u, 1u);
    if any(texel >= vec2(side)) {
        return;
    }
    let word = depth_at(work.view, texel, side) | (depth_at(work.view, texel + vec2(1u, 0u), side) << 16u);
    depths[(work.view * side * side + texel.y * side + texel.x) / 2u] = word;
}
