// A view whose pixels lie evenly over the tangents: pixel, visibility and depth have the same places.

fn ray_at(view: u32, at: vec2<f32>) -> Ray {
    let right = frame.views[view].right;
    let up = frame.views[view].up;
    let size = vec2<f32>(frame.views[view].rect.zw);
    var ray: Ray;
    ray.dx = right.xyz * (2.0 * right.w / size.x);
    ray.dy = up.xyz * (-2.0 * up.w / size.y);
    let from_middle = at - size * 0.5;
    ray.d = frame.views[view].forward.xyz + ray.dx * from_middle.x + ray.dy * from_middle.y;
    return ray;
}

fn ids_at(view: u32, pixel: vec2<u32>) -> vec4<u32> {
    return vec4(id_at(pixel, 0), id_at(pixel, 1), id_at(pixel, 2), id_at(pixel, 3));
}

// Two pixels of a row and the two below; all views of a vantage have one size.
fn keep_depth(view: u32, pixel: vec2<u32>, words: vec2<u32>) {
    let rect = frame.views[view].rect;
    let row = rect.z / 2u;
    let at = view * (rect.w * row) + pixel.y * row + pixel.x / 2u;
    depths[at] = words.x;
    depths[at + row] = words.y;
}
