// The analytic sky. `crates/render/src/light.rs` projects the same gradient to spherical harmonics.

fn sky_gradient(d: vec3<f32>) -> vec3<f32> {
    let h = 1.0 - clamp(d.y, 0.0, 1.0);
    var c = mix(frame.sky_zenith.rgb, frame.sky_horizon.rgb, h * h * h * h);
    // Light scattered forward: the sky is brighter and warmer towards the sun, most so low above the horizon.
    let mu = max(dot(d, frame.to_sun.xyz), 0.0);
    let mu2 = mu * mu;
    let low = clamp(1.0 - frame.to_sun.y * 2.5, 0.0, 1.0);
    c += frame.sky_horizon.rgb * (low * 0.8 * mu2 * mu2 * h * h);
    return mix(c, frame.ground.rgb, smoothstep(0.0, -0.25, d.y));
}

fn hash_2(p: vec2<f32>) -> f32 {
    var q = fract(p * vec2(0.1031, 0.1137));
    q += dot(q, q.yx + 33.33);
    return fract((q.x + q.y) * q.x);
}

fn noise_2(p: vec2<f32>) -> f32 {
    let i = floor(p);
    let f = p - i;
    let u = f * f * (3.0 - 2.0 * f);
    let low = mix(hash_2(i), hash_2(i + vec2(1.0, 0.0)), u.x);
    let high = mix(hash_2(i + vec2(0.0, 1.0)), hash_2(i + vec2(1.0, 1.0)), u.x);
    return mix(low, high, u.y);
}

// What a ray that hits nothing sees: the gradient, thin clouds and the sun.
fn sky_view(d: vec3<f32>) -> vec3<f32> {
    var c = sky_gradient(d);
    let mu = max(dot(d, frame.to_sun.xyz), 0.0);
    if d.y > 0.015 {
        let p = d.xz / (d.y + 0.12);
        var density = 0.0;
        density += 0.52 * noise_2(p * 1.3 + vec2(7.1, 3.3));
        density += 0.27 * noise_2(p * 2.9 + vec2(1.7, 9.2));
        density += 0.14 * noise_2(p * 6.3 + vec2(5.5, 2.8));
        density += 0.07 * noise_2(p * 13.7);
        let cover = smoothstep(0.47, 0.78, density) * smoothstep(0.015, 0.22, d.y) * 0.75;
        let mu4 = mu * mu * mu * mu;
        let lit = frame.sky_horizon.rgb * (0.75 + 0.5 * mu4) + frame.sun.rgb * (0.14 + 0.2 * mu4);
        c = mix(c, lit, cover);
    }
    let near_sun = max(1.0 - mu, 0.0);
    c += frame.sun.rgb * (0.35 * exp(-near_sun * 900.0) + 0.06 * exp(-near_sun * 60.0));
    c += frame.sun.rgb * (60.0 * smoothstep(1.8e-5, 0.9e-5, near_sun));
    return c;
}
