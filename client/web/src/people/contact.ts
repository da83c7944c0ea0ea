// How people and what belongs to them meet the layer, which is a picture with depth: a little before it, and with a
// soft edge where they touch it.
import * as three from "three";
import type { Layer } from "../layer/layer";

/** They stand this much before the layer that they touch, and their edge there is this soft. */
const BIAS_M = 0.05;

const nothing = new three.DataArrayTexture(new Uint16Array(6), 1, 1, 6);
nothing.format = three.RedIntegerFormat;
nothing.type = three.UnsignedShortType;
nothing.internalFormat = "R16UI";
nothing.unpackAlignment = 2;
nothing.needsUpdate = true;

/** The layer on show, for all of them. */
const touched = {
  layerDepth: { value: nothing as three.DataArrayTexture },
  layerDepthSize: { value: 1 },
  layerDepthScale: { value: 1 },
  layerHalfTangent: { value: 1 },
  layerPoint: { value: new three.Vector3() },
  presence: { value: 1 },
};

/** Tells everyone which layer they stand in, and how much of it is there during a cross-fade: they come with it. */
export function standIn(layer: Layer | null, presence: number): void {
  touched.presence.value = presence;
  // Where a pair of eyes looks there are no cube faces to look up.
  const depth = layer && !layer.isStereo ? layer.depthTexture : null;
  touched.layerDepth.value = depth ?? nothing;
  touched.layerDepthSize.value = depth?.image.width ?? 1;
  const tag = layer?.tag;
  if (!tag) return;
  touched.layerDepthScale.value = 65_535 * tag.near;
  touched.layerHalfTangent.value = tag.halfTangent;
  touched.layerPoint.value.set(...tag.point);
}

/** Depth as if the object were `BIAS_M` nearer: what stands on the layer does not sink into its rounding. */
export function biased<M extends three.Material>(material: M): M {
  material.onBeforeCompile = (shader) => {
    Object.assign(shader.uniforms, { presence: touched.presence });
    shader.vertexShader = bias(shader.vertexShader);
    shader.fragmentShader = shader.fragmentShader.replace(
      "void main() {",
      `${PRESENCE}\nvoid main() {\nif (noise() >= presence) discard;`,
    );
  };
  material.customProgramCacheKey = () => "biased";
  return material;
}

/** {@link biased}, and fading out over the same distance instead of ending in a line. */
export function softened<M extends three.Material>(material: M): M {
  material.onBeforeCompile = (shader) => {
    Object.assign(shader.uniforms, touched);
    shader.vertexShader = bias(shader.vertexShader)
      .replace("void main() {", "out vec3 contactPlace;\nvoid main() {")
      .replace(
        "#include <project_vertex>",
        "#include <project_vertex>\ncontactPlace = (modelMatrix * vec4(transformed, 1.0)).xyz;",
      );
    shader.fragmentShader = shader.fragmentShader.replace(
      "void main() {",
      `${PRESENCE}\n${CONTACT}\nvoid main() {\nif (noise() >= presence) discard;\nsoften();`,
    );
  };
  material.customProgramCacheKey = () => "softened";
  return material;
}

function bias(vertexShader: string): string {
  return vertexShader.replace(
    "#include <project_vertex>",
    `#include <project_vertex>
    float nearer = 1.0 - min(0.3, ${BIAS_M.toFixed(3)} / max(0.05, length(mvPosition.xyz)));
    vec4 shifted = projectionMatrix * vec4(mvPosition.xyz * nearer, 1.0);
    gl_Position.z = shifted.z / shifted.w * gl_Position.w;`,
  );
}

const PRESENCE = /* glsl */ `
uniform float presence;
float noise() {
  return fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
}`;

/** Faces as in the table of `docs/protocol.md`. */
const CONTACT = /* glsl */ `
precision highp usampler2DArray;
in vec3 contactPlace;
uniform usampler2DArray layerDepth;
uniform float layerDepthSize;
uniform float layerDepthScale;
uniform float layerHalfTangent;
uniform vec3 layerPoint;
void soften() {
  vec3 d = contactPlace - layerPoint;
  vec3 a = abs(d);
  float z = max(a.x, max(a.y, a.z));
  int face;
  vec2 at;
  if (z == a.x) {
    face = d.x > 0.0 ? 0 : 1;
    at = vec2(d.x > 0.0 ? d.z : -d.z, -d.y);
  } else if (z == a.y) {
    face = d.y > 0.0 ? 2 : 3;
    at = vec2(d.x, d.y > 0.0 ? -d.z : d.z);
  } else {
    face = d.z > 0.0 ? 4 : 5;
    at = vec2(d.z > 0.0 ? -d.x : d.x, -d.y);
  }
  vec2 place = clamp(at / (z * layerHalfTangent) * 0.5 + 0.5, 0.0, 0.9999) * layerDepthSize;
  float depth = float(texelFetch(layerDepth, ivec3(place, face), 0).r);
  if (depth < 0.5) return;
  float behind = z - layerDepthScale / depth;
  // Far away the rounding of depth is coarser than the edge.
  float edge = max(${BIAS_M.toFixed(3)}, 1.5 * z * z / layerDepthScale);
  // Who is well behind is hidden by the layer, or seen from beside it.
  if (behind <= 0.0 || behind >= edge) return;
  if (behind / edge > noise()) discard;
}`;
