// How the server lights and tone-maps: the same for what the headset draws itself, so that it belongs to the picture.

/**
 * GLSL: `ambientLight(n)`, the diffuse light from the tag's SH-L2 that falls on a surface that faces `n`, times 1/π, and
 * `toneMap(linear)`, the server's AgX (shaders/wgsl/tone.wgsl), display values.
 */
export const LIGHT = /* glsl */ `
uniform vec3 ambient[9];
uniform float exposure;

/** Ramamoorthi and Hanrahan 2001: cosine lobe over radiance, π taken out. */
vec3 ambientLight(vec3 n) {
  vec3 light = ambient[0] * 0.282095
    + (2.0 / 3.0) * 0.488603 * (ambient[1] * n.y + ambient[2] * n.z + ambient[3] * n.x)
    + 0.25 * (1.092548 * (ambient[4] * n.x * n.y + ambient[5] * n.y * n.z + ambient[7] * n.x * n.z)
      + 0.315392 * ambient[6] * (3.0 * n.z * n.z - 1.0)
      + 0.546274 * ambient[8] * (n.x * n.x - n.y * n.y));
  return max(light, vec3(0.0));
}

vec3 agxCurve(vec3 x) {
  vec3 x2 = x * x;
  vec3 x4 = x2 * x2;
  return 15.5 * x4 * x2 - 40.14 * x4 * x + 31.96 * x4 - 6.868 * x2 * x + 0.4298 * x2 + 0.1191 * x - 0.00232;
}

vec3 toneMap(vec3 linear) {
  const mat3 inset = mat3(
    0.842479062253094, 0.0423282422610123, 0.0423756549057051,
    0.0784335999999992, 0.878468636469772, 0.0784336,
    0.0792237451477643, 0.0791661274605434, 0.879142973793104);
  const mat3 outset = mat3(
    1.19687900512017, -0.0528968517574562, -0.0529716355144438,
    -0.0980208811401368, 1.15190312990417, -0.0980434501171241,
    -0.0990297440797205, -0.0989611768448433, 1.15107367264116);
  vec3 ev = clamp((log2(max(inset * linear, vec3(1e-7))) + 12.47393) / 16.5, vec3(0.0), vec3(1.0));
  vec3 c = pow(max(agxCurve(ev), vec3(0.0)), vec3(1.18));
  float luma = dot(c, vec3(0.2126, 0.7152, 0.0722));
  c = luma + (c - luma) * 1.32;
  return clamp(outset * c, vec3(0.0), vec3(1.0));
}
`;
