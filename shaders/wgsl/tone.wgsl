// From scene-linear light to the display: AgX (Troy Sobotka's curve, in Benjamin Wrensch's polynomial), with a
// little more contrast and saturation; and sRGB encoding for what is shown as it is.

fn agx_curve(x: vec3<f32>) -> vec3<f32> {
    let x2 = x * x;
    let x4 = x2 * x2;
    return 15.5 * x4 * x2 - 40.14 * x4 * x + 31.96 * x4 - 6.868 * x2 * x + 0.4298 * x2 + 0.1191 * x - 0.00232;
}

// Returns display-encoded (sRGB) values.
fn tone_map(linear: vec3<f32>) -> vec3<f32> {
    let inset = mat3x3(
        vec3(0.842479062253094, 0.0423282422610123, 0.0423756549057051),
        vec3(0.0784335999999992, 0.878468636469772, 0.0784336),
        vec3(0.0792237451477643, 0.0791661274605434, 0.879142973793104),
    );
    let outset = mat3x3(
        vec3(1.19687900512017, -0.0528968517574562, -0.0529716355144438),
        vec3(-0.0980208811401368, 1.15190312990417, -0.0980434501171241),
        vec3(-0.0990297440797205, -0.0989611768448433, 1.15107367264116),
    );
    let ev = clamp((log2(max(inset * linear, vec3(1e-7))) + 12.47393) / 16.5, vec3(0.0), vec3(1.0));
    var c = agx_curve(ev);
    c = pow(max(c, vec3(0.0)), vec3(1.18));
    let luma = dot(c, vec3(0.2126, 0.7152, 0.0722));
    c = luma + (c - luma) * 1.32;
    return clamp(outset * c, vec3(0.0), vec3(1.0));
}

fn srgb_encode(linear: vec3<f32>) -> vec3<f32> {
    let c = clamp(linear, vec3(0.0), vec3(1.0));
    return select(1.055 * pow(c, vec3(1.0 / 2.4)) - 0.055, c * 12.92, c <= vec3(0.0031308));
}
