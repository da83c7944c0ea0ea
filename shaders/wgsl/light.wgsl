// Light that reaches a surface: the sun through its shadow, lamps, and the sky.

struct Lamp {
    // w = 1 / range^2; 0 for a light at infinity.
    position: vec4<f32>,
    // Candela (lux for a light at infinity), the tour's lamp factor not applied. w = spot scale.
    color: vec4<f32>,
    // The direction in which it shines; w = spot offset.
    direction: vec4<f32>,
}

struct Surface {
    point: vec3<f32>,
    normal: vec3<f32>,
    // The triangle's own normal, towards the viewer.
    facing: vec3<f32>,
    to_eye: vec3<f32>,
    diffuse: vec3<f32>,
    f0: vec3<f32>,
    roughness: f32,
}

@group(2) @binding(1) var shadow_near: texture_depth_2d;
@group(2) @binding(2) var shadow_far: texture_depth_2d;
@group(2) @binding(3) var shadow_sampler: sampler_comparison;
@group(2) @binding(4) var<storage, read> lamps: array<Lamp>;
// Per cell: start << 8 | count into the lists that follow; the last cell is everything outside the grid.
@group(2) @binding(5) var<storage, read> lamp_cells: array<u32>;

const PI: f32 = 3.14159265;

// GGX with the height-correlated visibility term, and Lambert; multiplied by the cosine.
fn reflect_light(s: Surface, to_light: vec3<f32>) -> vec3<f32> {
    let nl = clamp(dot(s.normal, to_light), 0.0, 1.0);
    let half_way = normalize(to_light + s.to_eye);
    let nv = max(dot(s.normal, s.to_eye), 1e-3);
    let nh = clamp(dot(s.normal, half_way), 0.0, 1.0);
    let lh = clamp(dot(to_light, half_way), 0.0, 1.0);
    let a = s.roughness * s.roughness;
    let a2 = a * a;
    let dd = nh * nh * (a2 - 1.0) + 1.0;
    let distribution = a2 / (PI * dd * dd);
    let visibility = 0.5 / max(mix(2.0 * nl * nv, nl + nv, a), 1e-4);
    let f = 1.0 - lh;
    let f2 = f * f;
    let fresnel = s.f0 + (vec3(1.0) - s.f0) * (f2 * f2 * f);
    return ((vec3(1.0) - fresnel) * s.diffuse / PI + fresnel * (distribution * visibility)) * nl;
}

// 1 in the sun, 0 in shadow; four bilinear comparisons on a rotated square.
fn sun_visibility(point: vec3<f32>, facing: vec3<f32>) -> f32 {
    if frame.shadow_texels.z == 0.0 {
        return 1.0;
    }
    let slope = clamp(1.5 - dot(facing, frame.to_sun.xyz), 0.5, 1.5);
    var at = frame.shadow_near * vec4(point + facing * (slope * 1.6 * frame.shadow_texels.x), 1.0);
    if max(abs(at.x), abs(at.y)) < 0.97 {
        let uv = at.xy * vec2(0.5, -0.5) + 0.5;
        let r = 0.9 / f32(textureDimensions(shadow_near).x);
        var lit = textureSampleCompareLevel(shadow_near, shadow_sampler, uv + vec2(0.4, 1.0) * r, at.z);
        lit += textureSampleCompareLevel(shadow_near, shadow_sampler, uv + vec2(-1.0, 0.4) * r, at.z);
        lit += textureSampleCompareLevel(shadow_near, shadow_sampler, uv + vec2(-0.4, -1.0) * r, at.z);
        lit += textureSampleCompareLevel(shadow_near, shadow_sampler, uv + vec2(1.0, -0.4) * r, at.z);
        return lit * 0.25;
    }
    at = frame.shadow_far * vec4(point + facing * (slope * 1.6 * frame.shadow_texels.y), 1.0);
    if max(abs(at.x), abs(at.y)) > 1.0 {
        return 1.0;
    }
    return textureSampleCompareLevel(shadow_far, shadow_sampler, at.xy * vec2(0.5, -0.5) + 0.5, at.z);
}

fn one_lamp(s: Surface, lamp: Lamp) -> vec3<f32> {
    let to_lamp = lamp.position.xyz - s.point;
    let d2 = max(dot(to_lamp, to_lamp), 1e-6);
    let reach = d2 * lamp.position.w;
    let far = lamp.position.w == 0.0;
    let direction = select(to_lamp * inverseSqrt(d2), -lamp.direction.xyz, far);
    let window = max(1.0 - reach * reach, 0.0);
    let cone = clamp(lamp.color.w * dot(direction, -lamp.direction.xyz) + lamp.direction.w, 0.0, 1.0);
    // A lamp has a size: closer than 10 cm it grows no brighter.
    let strength = select(window * window * cone * cone / max(d2, 0.01), 1.0, far);
    return lamp.color.rgb * (strength * reflect_light(s, direction));
}

fn lamp_light(s: Surface) -> vec3<f32> {
    let cell = vec2<i32>(floor((s.point.xz - frame.grid.xy) * frame.grid.z));
    var index = frame.sizes.x * frame.sizes.y;
    if cell.x >= 0 && cell.y >= 0 && cell.x < i32(frame.sizes.x) && cell.y < i32(frame.sizes.y) {
        index = u32(cell.y) * frame.sizes.x + u32(cell.x);
    }
    let list = lamp_cells[index];
    let start = list >> 8u;
    let end = start + (list & 0xffu);
    var sum = vec3(0.0);
    var i = start;
    // The condition stands at the end, see cs_shade.
    loop {
        if i < end {
            sum += one_lamp(s, lamps[lamp_cells[i]]);
        }
        i++;
        continuing {
            break if i >= end;
        }
    }
    return sum * frame.lamps;
}

fn ambient_irradiance_over_pi(n: vec3<f32>) -> vec3<f32> {
    var c = frame.ambient[0].rgb + frame.ambient[1].rgb * n.y + frame.ambient[2].rgb * n.z + frame.ambient[3].rgb * n.x;
    c += frame.ambient[4].rgb * (n.x * n.y) + frame.ambient[5].rgb * (n.y * n.z);
    c += frame.ambient[6].rgb * (3.0 * n.z * n.z - 1.0) + frame.ambient[7].rgb * (n.x * n.z);
    c += frame.ambient[8].rgb * (n.x * n.x - n.y * n.y);
    return max(c, vec3(0.0));
}

// The sky's diffuse light and its rough reflection.
fn sky_light(s: Surface) -> vec3<f32> {
    let diffuse = ambient_irradiance_over_pi(s.normal) * s.diffuse;
    let nv = max(dot(s.normal, s.to_eye), 0.0);
    let mirrored = reflect(-s.to_eye, s.normal);
    // Rough surfaces see a wide part of the sky: the sharper the reflection, the more of the gradient's detail.
    let blurred = ambient_irradiance_over_pi(mirrored);
    let radiance = mix(sky_gradient(mirrored), blurred, smoothstep(0.1, 0.7, s.roughness));
    // The split sum's second factor (Karis's fit).
    let r = s.roughness * vec4(-1.0, -0.0275, -0.572, 0.022) + vec4(1.0, 0.0425, 1.04, -0.04);
    let a004 = min(r.x * r.x, exp2(-9.28 * nv)) * r.x + r.y;
    let fab = vec2(-1.04, 1.04) * a004 + r.zw;
    return diffuse + radiance * (s.f0 * fab.x + fab.y);
}
