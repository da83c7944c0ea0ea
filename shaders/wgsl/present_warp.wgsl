// The warp of docs/presenting.md: one layer, its six faces displaced by depth, as an eye sees it. The place of a point in
// the picture is its projection there, so it needs no texture coordinates. A face is an instance.

@group(1) @binding(1) var luma: texture_2d<f32>;
@group(1) @binding(2) var chroma: texture_2d<f32>;
@group(1) @binding(4) var linear: sampler;

// Pixels of the other layer of a cross-fade are left out.
override FADE: bool = false;

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
    return eye.clip_from_world * world;
}

// `grid`: own depth, depth of the sheet, column and row of the sheet's colour.
@vertex
fn vs_surface(@builtin(vertex_index) index: u32, @builtin(instance_index) face: u32, @location(0) grid: vec4<u32>) -> Varying {
    let here = grid_direction(index % GRID, index / GRID);
    let in_face = here * distance_of(grid.x);
    return Varying(project(face, in_face), in_face, vec2(0.0), vec4(0.0), face);
}

@vertex
fn vs_sheet(@builtin(vertex_index) index: u32, @builtin(instance_index) face: u32, @location(0) grid: vec4<u32>) -> Varying {
    let here = grid_direction(index % GRID, index / GRID);
    let source = grid_direction(grid.z, grid.w);
    let z = distance_of(grid.y);
    // Affine in the picture, so it is interpolated as value · z over z.
    return Varying(project(face, here * z), here * z, source.xy * z, vec4(here.xy, source.xy), face);
}

// The near part of cut cells. `edge`: grid vertex, near depth, depth of the sheet, unused.
@vertex
fn vs_edge(@builtin(instance_index) face: u32, @location(0) edge: vec4<u32>) -> Varying {
    let z = distance_of(edge.y);
    let in_face = grid_direction(edge.x % GRID, edge.x / GRID) * z;
    return Varying(project(face, in_face), in_face, vec2(f32(edge.z) * z, 0.0), vec4(0.0), face);
}

// Behind everything: the face as a plane so far away that nothing of it moves. Only cracks and holes show it.
@vertex
fn vs_backdrop(@builtin(vertex_index) index: u32, @builtin(instance_index) face: u32) -> Varying {
    let corner = array(vec2(-1.0, -1.0), vec2(-1.0, 1.0), vec2(1.0, -1.0), vec2(1.0, -1.0), vec2(-1.0, 1.0), vec2(1.0, 1.0));
    // Farther than the sky, so that it never lies in one plane with it.
    let in_face = vec3(corner[index] * layer.half_tangent, 1.0) * (3.0 * FAR);
    return Varying(project(face, in_face), in_face, vec2(0.0), vec4(0.0), face);
}

fn is_faded(clip: vec4<f32>) -> bool {
    let n = noise(clip.xy);
    return FADE && (n < layer.share.x || n >= layer.share.y);
}

// Where something is in the picture of its face, 0 to 1.
fn place_of(tangents: vec2<f32>) -> vec2<f32> {
    return tangents / layer.half_tangent * 0.5 + 0.5;
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
fn picture(place: vec2<f32>, face: u32) -> vec4<f32> {
    // One luma pixel from the border of the face: neither luma nor chroma takes from the neighbour in the atlas.
    let border = vec2(1.0 / layer.face_size);
    let origin = vec2(f32(face % 3u), f32(face / 3u));
    let at = (origin + clamp(place, border, 1.0 - border)) / vec2(3.0, 2.0);
    let y = (textureSampleLevel(luma, linear, at, 0.0).r - 16.0 / 255.0) * (255.0 / 219.0);
    let c = (textureSampleLevel(chroma, linear, at, 0.0).rg - 128.0 / 255.0) * (255.0 / 224.0);
    let rgb = vec3(y + 1.5748 * c.y, y - 0.1873 * c.x - 0.4681 * c.y, y + 1.8556 * c.x);
    return vec4(clamp(rgb, vec3(0.0), vec3(1.0)) * layer.brightness, 1.0);
}

@fragment
fn fs_surface(in: Varying) -> @location(0) vec4<f32> {
    if is_faded(in.clip) {
        discard;
    }
    return picture(place_of(in.in_face.xy / in.in_face.z), in.face);
}

@fragment
fn fs_sheet(in: Varying) -> @location(0) vec4<f32> {
    if is_faded(in.clip) {
        discard;
    }
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
    if is_faded(in.clip) {
        discard;
    }
    let place = place_of(in.in_face.xy / in.in_face.z);
    if !is_before(depth_at(place, in.face), in.extra.x / in.in_face.z) {
        discard;
    }
    return picture(place, in.face);
}
