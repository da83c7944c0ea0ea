// A view of one eye: colour is finer in the middle, visibility and depth lie evenly over the tangents, each on a grid of
// its own. The place s in -1..1 shows the tangent `half tangent * sinh(k s) / sinh(k)`, x and y each by itself.

fn ray_at(view: u32, at: vec2<f32>) -> Ray {
    let right = frame.views[view].right;
    let up = frame.views[view].up;
    let k = frame.views[view].eye.w;
    let size = vec2<f32>(frame.views[view].rect.zw);
    let place = at / size * 2.0 - 1.0;
    var tangent = place;
    var slope = vec2(1.0);
    if k > 0.0 {
        tangent = sinh(place * k) / sinh(k);
        slope = cosh(place * k) * (k / sinh(k));
    }
    var ray: Ray;
    ray.dx = right.xyz * (2.0 * right.w * slope.x / size.x);
    ray.dy = up.xyz * (-2.0 * up.w * slope.y / size.y);
    ray.d = frame.views[view].forward.xyz + right.xyz * (tangent.x * right.w) - up.xyz * (tangent.y * up.w);
    return ray;
}

// What the nearest visibility sample to a place in -1..1, even over the tangents, sees.
fn id_near(place: vec2<f32>) -> u32 {
    let size = vec2<f32>(textureDimensions(visibility));
    let at = clamp((place * 0.5 + 0.5) * size, vec2(0.0), size - 1e-3);
    let within = fract(at) - 0.5;
    var best = 0;
    var least = 9.0;
    for (var i = 0u; i < 4u; i++) {
        let away = within - sample_offset(i);
        let distance = dot(away, away);
        if distance < least {
            least = distance;
            best = i32(i);
        }
    }
    return id_at(vec2<u32>(at), best);
}

fn ids_at(view: u32, pixel: vec2<u32>) -> vec4<u32> {
    let k = frame.views[view].eye.w;
    let size = vec2<f32>(frame.views[view].rect.zw);
    var ids: vec4<u32>;
    for (var i = 0u; i < 4u; i++) {
        var place = (vec2<f32>(pixel) + 0.5 + sample_offset(i)) / size * 2.0 - 1.0;
        if k > 0.0 {
            place = sinh(place * k) / sinh(k);
        }
        ids[i] = id_near(place);
    }
    return ids;
}

fn keep_depth(view: u32, pixel: vec2<u32>, words: vec2<u32>) {}

// The depth of what most of a texel's samples see, the nearest of equals, on the texel's own ray.
fn depth_at(view: u32, texel: vec2<u32>, side: u32) -> u32 {
    let right = frame.views[view].right;
    let up = frame.views[view].up;
    var ids: vec4<u32>;
    for (var i = 0u; i < 4u; i++) {
        ids[i] = id_near((vec2<f32>(texel) + 0.5 + sample_offset(i)) / f32(side) * 2.0 - 1.0);
    }
    let place = (vec2<f32>(texel) + 0.5) / f32(side) * 2.0 - 1.0;
    let forward = frame.views[view].forward.xyz;
    let d = forward + right.xyz * (place.x * right.w) - up.xyz * (place.y * up.w);
    var best = 0u;
    for (var i = 0u; i < 4u; i++) {
        var depth = 0.0;
        if ids[i] != 0u {
            let t = triangle_of(view, ids[i]);
            depth = frame.point.w * dot(t.cn, d) / t.plane;
            if !covers(t, d) {
                let offset = sample_offset(i) * 2.0 / f32(side);
                let beside = d + right.xyz * (offset.x * right.w) - up.xyz * (offset.y * up.w);
                let sampled = frame.point.w * dot(t.cn, beside) / t.plane;
                depth = clamp(depth, sampled * 0.8, sampled * 1.25);
            }
        }
        best = max(best, (countOneBits(samples_of(ids, ids[i])) << 16u) | depth_word(depth));
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
