// The warp of docs/presenting.md: one layer, its six faces displaced by depth, as an eye sees it. The place of a point in
// the picture is its projection there, so it needs no texture coordinates. A face is an instance: of six of a panorama,
// two of a stereo pair, or the one of a flat camera, which has a backdrop only.

@group(1) @binding(1) var luma: texture_2d<f32>;
@group(1) @binding(2) var chroma: texture_2d<f32>;
@group(1) @binding(4) var linear: sampler;
// Of single faces.
@group(1) @binding(5) var sharp_luma: texture_2d_array<f32>;
@group(1) @binding(6) var sharp_chroma: texture_2d_array<f32>;

// Sky, metres.
const FAR: f32 = 12000.0;
const GRID: u32 = 128u;

struct Varying {
    @builtin(position) clip: vec4<f32>,
    @location(0) in_face: vec3<f32>,
    // Sheet: where its colour comes from, times z. Edges: x is the sheet's inverse depth, times z.
    @location(1) extra: vec2<f32>,
    // Sheet: of one corner of the triangle, where it is and where its colour comes from, tangents.
    @location(2) @interpolate(flat, either) corner: vec4<f32>,
    @location(3) @interpolate(flat, either) face: u32,
    // Sheet: 1 where another layer has what this one would guess.
    @location(4) better: f32,
}

fn distance_of(d: u32) -> f32 {
    if d == 0u {
        return FAR;
    }
    return min(layer.depth_scale / f32(d), FAR);
}

// The direction with z = 1 through a grid vertex; grid vertices lie on texel centres.
fn grid_direction(column: u32, row: u32) -> vec3<f32> {
    let texel = floor(vec2(f32(column), f32(row)) * (layer.depth_size - 1.0) / f32(GRID - 1u) + 0.5) + 0.5;
    return vec3((texel / layer.depth_size * 2.0 - 1.0) * layer.half_tangent, 1.0);
}

fn project(face: u32, in_face: vec3<f32>) -> vec4<f32> {
    let world = layer.world_from_layer * layer.layer_from_face[face] * vec4(in_face, 1.0);
    var clip = eye.clip_from_world * world;
    // Reversed and endless: depth is one over the distance.
    clip.z /= layer.farther;
    return clip;
}

// `grid`: own depth, depth of the sheet, column and row of the sheet's colour; with the column 256 where another layer
// has something.
@vertex
fn vs_surface(@builtin(vertex_index) index: u32, @builtin(instance_index) face: u32, @location(0) grid: vec4<u32>) -> Varying {
    let here = grid_direction(index % GRID, index / GRID);
    let in_face = here * distance_of(grid.x);
    return Varying(project(face, in_face), in_face, vec2(0.0), vec4(0.0), face, 0.0);
}

@vertex
fn vs_sheet(@builtin(vertex_index) index: u32, @builtin(instance_index) face: u32, @location(0) grid: vec4<u32>) -> Varying {
    let here = grid_direction(index % GRID, index / GRID);
    let source = grid_direction(grid.z & 255u, grid.w);
    let z = distance_of(grid.y);
    // Affine in the picture, so it is interpolated as value · z over z.
    let better = f32(grid.z >> 8u);
    return Varying(project(face, here * z), here * z, source.xy * z, vec4(here.xy, source.xy), face, better);
}

// The near part of cut cells. `edge`: grid vertex, near depth, depth of the sheet, unused.
@vertex
fn vs_edge(@builtin(instance_index) face: u32, @location(0) edge: vec4<u32>) -> Varying {
    let z = distance_of(edge.y);
    let in_face = grid_direction(edge.x % GRID, edge.x / GRID) * z;
    return Varying(project(face, in_face), in_face, vec2(f32(edge.z) * z, 0.0), vec4(0.0), face, 0.0);
}

// Behind everything: the face as a plane so far away that nothing of it moves. Only cracks and holes show it.
@vertex
fn vs_backdrop(@builtin(vertex_index) index: u32, @builtin(instance_index) face: u32) -> Varying {
    let corner = array(vec2(-1.0, -1.0), vec2(-1.0, 1.0), vec2(1.0, -1.0), vec2(1.0, -1.0), vec2(-1.0, 1.0), vec2(1.0, 1.0));
    // A stereo pair ends before the view does; its rim goes on.
    let is_pair = layer.atlas.x > 1.5 && layer.atlas.y < 1.5;
    let reach = select(1.0, 8.0, is_pair) * layer.half_tangent * vec2(aspect(), 1.0);
    // Farther than the sky, so that it never lies in one plane with it.
    let in_face = vec3(corner[index] * reach, 1.0) * (3.0 * FAR);
    return Varying(project(face, in_face), in_face, vec2(0.0), vec4(0.0), face, 0.0);
}

fn aspect() -> f32 {
    return layer.face_pixels.x / layer.face_pixels.y;
}

// Where something is in the picture of its face, 0 to 1.
fn place_of(tangents: vec2<f32>) -> vec2<f32> {
    return tangents / (layer.half_tangent * vec2(aspect(), 1.0)) * 0.5 + 0.5;
}

fn depth_at(place: vec2<f32>, face: u32) -> f32 {
    let texel = vec2<i32>(clamp(place, vec2(0.0), vec2(0.9999)) * layer.depth_size);
    return f32(textureLoad(depth, texel, face, 0).r);
}

fn is_before(d: f32, background: f32) -> bool {
    return d > background + max(4.0, 0.05 * background);
}

// Whether something stands before the background right beside this place: pixels beside an edge have some of the
// colour of what stands before them.
fn is_rim(place: vec2<f32>, background: f32, face: u32) -> bool {
    let beside = vec2(1.3 / layer.depth_size, 0.0);
    let across = max(depth_at(place + beside.xy, face), depth_at(place - beside.xy, face));
    let along = max(depth_at(place + beside.yx, face), depth_at(place - beside.yx, face));
    return is_before(max(across, along), background);
}

// BT.709, limited range, to display values.
fn display(luma: f32, chroma: vec2<f32>) -> vec3<f32> {
    let y = (luma - 16.0 / 255.0) * (255.0 / 219.0);
    let c = (chroma - 128.0 / 255.0) * (255.0 / 224.0);
    let rgb = vec3(y + 1.5748 * c.y, y - 0.1873 * c.x - 0.4681 * c.y, y + 1.8556 * c.x);
    return clamp(rgb, vec3(0.0), vec3(1.0));
}

fn picture(place: vec2<f32>, face: u32) -> vec4<f32> {
    var inner = place;
    let k = layer.foveation;
    if k > 0.001 {
        inner = asinh((place * 2.0 - 1.0) * sinh(k)) / k * 0.5 + 0.5;
    }
    // One luma pixel from the border of the face: neither luma nor chroma takes from the neighbour in the atlas.
    let border = 1.0 / layer.face_pixels;
    let columns = u32(layer.atlas.x);
    let origin = vec2(f32(face % columns), f32(face / columns));
    let at = (origin + clamp(inner, border, 1.0 - border)) / layer.atlas;
    var rgb = display(textureSampleLevel(luma, linear, at, 0.0).r, textureSampleLevel(chroma, linear, at, 0.0).rg);
    let sharp = layer.sharp[face];
    if sharp.x > 0.0 {
        let rim = 1.0 / f32(textureDimensions(sharp_luma).x);
        let there = clamp((place - 0.5) * sharp.y + 0.5, vec2(rim), vec2(1.0 - rim));
        let fine = display(
            textureSampleLevel(sharp_luma, linear, there, face, 0.0).r,
            textureSampleLevel(sharp_chroma, linear, there, face, 0.0).rg,
        );
        rgb = mix(rgb, fine, sharp.x);
    }
    return vec4(rgb * layer.brightness, 1.0);
}

@fragment
fn fs_surface(in: Varying) -> @location(0) vec4<f32> {
    return picture(place_of(in.in_face.xy / in.in_face.z), in.face);
}

@fragment
fn fs_sheet(in: Varying) -> @location(0) vec4<f32> {
    let here = in.in_face.xy / in.in_face.z;
    var place = place_of(here);
    var background = 0.0;
    if in.in_face.z < 11990.0 {
        background = layer.depth_scale / in.in_face.z;
    }
    var covered = is_before(depth_at(place, in.face), background);
    // Seen from elsewhere, what has some of the colour of the foreground would be a rim.
    let rendered_point = (layer.world_from_layer * vec4(0.0, 0.0, 0.0, 1.0)).xyz;
    if !covered && distance(eye.point.xyz, rendered_point) > 0.02 {
        covered = is_rim(place, background, in.face);
    }
    if covered && in.better > 0.999 {
        discard;
    }
    if covered {
        place = place_of(in.extra / in.in_face.z);
        // Where colour from two sides of a post meets, interpolation sweeps over what lies between them, the post:
        // there the whole triangle takes its colour as one corner does, or the very colour of that corner.
        let alike = place_of(here + in.corner.zw - in.corner.xy);
        if distance(place, alike) > 3.0 / 127.0 || is_rim(place, background, in.face) {
            place = alike;
            if is_rim(alike, background, in.face) {
                place = place_of(in.corner.zw);
            }
        }
    }
    return picture(place, in.face);
}

@fragment
fn fs_edge(in: Varying) -> @location(0) vec4<f32> {
    let place = place_of(in.in_face.xy / in.in_face.z);
    if !is_before(depth_at(place, in.face), in.extra.x / in.in_face.z) {
        discard;
    }
    return picture(place, in.face);
}

// What leaves in a cross-fade, drawn elsewhere as it is, over everything.
@vertex
fn vs_cover(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    let corner = array(vec2(-1.0, -1.0), vec2(3.0, -1.0), vec2(-1.0, 3.0));
    return vec4(corner[index], 0.0, 1.0);
}

@fragment
fn fs_cover(@builtin(position) at: vec4<f32>) -> @location(0) vec4<f32> {
    return textureLoad(luma, vec2<i32>(at.xy), 0);
}
