// The shaders of the warp. Face space: x to the right of the picture, y down, z along the face's axis, metres from the
// rendered point; the place of a point in the picture is its projection there, so it needs no texture coordinates.

const COMMON = /* glsl */ `
precision highp float;
precision highp int;
uniform mat3 worldFromFace;
uniform vec3 point;
/** Inverse depth is depthScale / z. */
uniform float depthScale;
uniform float halfTangent;
uniform float depthSize;
const float FAR = 12000.0;

float distanceOf(float d) {
  return d < 0.5 ? FAR : min(depthScale / d, FAR);
}

/** Direction with z = 1 through a grid vertex; grid vertices lie on texel centres. */
vec3 gridDirection(float column, float row) {
  vec2 texel = floor(vec2(column, row) * (depthSize - 1.0) / 127.0 + 0.5) + 0.5;
  return vec3((texel / depthSize * 2.0 - 1.0) * halfTangent, 1.0);
}

// Depth alone and colour lie in the same place.
invariant gl_Position;

vec4 project(vec3 inFace) {
  vec4 seen = viewMatrix * modelMatrix * vec4(point + worldFromFace * inFace, 1.0);
  vec4 at = projectionMatrix * seen;
#ifdef BEHIND
  // Where both layers show the same thing, the one before has it.
  vec4 farther = projectionMatrix * vec4(seen.xyz * 1.003, 1.0);
  at.z = farther.z / farther.w * at.w;
#endif
  return at;
}
`;

/** Surface and sheet: `PART` is 0, 1. */
export const GRID_VERTEX = /* glsl */ `
${COMMON}
in vec4 grid;
out vec3 inFace;
out vec2 source;
flat out vec4 corner;
flat out vec3 eyePoint;
void main() {
  eyePoint = (modelMatrix * vec4(point, 1.0)).xyz;
  float column = float(gl_VertexID & 127);
  float row = float(gl_VertexID >> 7);
#if PART == 0
  float z = distanceOf(grid.x);
#else
  float z = distanceOf(grid.y);
#endif
  inFace = gridDirection(column, row) * z;
  // Affine in the picture, so it is interpolated as value · z over z.
  source = gridDirection(grid.z, grid.w).xy * z;
  corner = vec4(gridDirection(column, row).xy, gridDirection(grid.z, grid.w).xy);
  gl_Position = project(inFace);
}
`;

/** The near part of cut cells. */
export const EDGE_VERTEX = /* glsl */ `
${COMMON}
in vec4 edge;
out vec3 inFace;
out float sheetDepth;
void main() {
  int index = int(edge.x + 0.5);
  float z = distanceOf(edge.y);
  inFace = gridDirection(float(index & 127), float(index >> 7)) * z;
  sheetDepth = edge.z * z;
  gl_Position = project(inFace);
}
`;

/** The whole face behind everything: depth 1, where nothing else has been drawn. */
export const BACKDROP_VERTEX = /* glsl */ `
${COMMON}
in vec2 corner;
out vec3 inFace;
void main() {
  inFace = vec3(corner, 1.0) * FAR;
  gl_Position = project(inFace).xyww;
}
`;

/** Edges are `PART` 2, the backdrop is 3. `DEPTH_ONLY`: what of it is nearest, before a cross-fade blends exactly that. */
export const FRAGMENT = /* glsl */ `
precision highp float;
precision highp int;
precision highp usampler2DArray;
uniform float halfTangent;
uniform float depthScale;
uniform float depthSize;
uniform int face;
uniform vec2 faceOrigin;
uniform float faceSize;
/** Faces across and down. */
uniform vec2 atlas;
uniform usampler2DArray depth;
uniform sampler2D luma;
uniform sampler2D chroma;
/** 0: luma and chroma. 1: RGBA in luma. */
uniform int format;
/** During a cross-fade less than 1. */
uniform float opacity;
uniform float brightness;
#ifdef STEREO
/** k of the colour's foveation, each axis by itself; 0 = none. */
uniform float foveation;
#endif
#ifdef SHARP
/** How much of the sharper picture of this face is shown. */
uniform float sharp;
uniform sampler2D sharpLuma;
uniform sampler2D sharpChroma;
uniform int sharpFormat;
uniform float sharpSize;
/** From places of this face to places of the sharper one, about the middle. */
uniform float sharpScale;
/** 1 where the neighbour to the left, to the right, above, below is not sharp: there it becomes the base again. */
uniform vec4 sharpFades;
/** The gutter, and where a face's middle begins, parts of its side. */
const float GUTTER = 0.016;
const float MIDDLE = 0.12;
#endif
in vec3 inFace;
#if PART == 1
in vec2 source;
/** Of one corner of the triangle: where it is and where its colour comes from, tangents. */
flat in vec4 corner;
/** Where the rendered point is in the world. */
flat in vec3 eyePoint;
#elif PART == 2
in float sheetDepth;
#endif
out vec4 color;

float depthAt(vec2 place) {
  return float(texelFetch(depth, ivec3(clamp(place, 0.0, 0.9999) * depthSize, face), 0).r);
}

bool isBefore(float d, float background) {
  return d > background + max(4.0, 0.05 * background);
}

/**
 * Whether something stands before the background at this place or right beside it: pixels beside an edge have some of
 * the colour of what stands before them.
 */
bool isRim(vec2 place, float background) {
  vec2 beside = vec2(1.3 / depthSize, 0.0);
  return isBefore(max(max(depthAt(place + beside.xy), depthAt(place - beside.xy)),
                      max(depthAt(place + beside.yx), depthAt(place - beside.yx))), background);
}

vec3 display(float luma, vec2 chroma) {
  float y = (luma - 16.0 / 255.0) * (255.0 / 219.0);
  vec2 c = (chroma - 128.0 / 255.0) * (255.0 / 224.0);
  return clamp(vec3(y + 1.5748 * c.y, y - 0.1873 * c.x - 0.4681 * c.y, y + 1.8556 * c.x), 0.0, 1.0);
}

vec3 picture(vec2 place) {
#ifdef STEREO
  if (foveation > 0.001) place = asinh((place * 2.0 - 1.0) * sinh(foveation)) / foveation * 0.5 + 0.5;
#endif
  // One luma pixel from the border of the face: neither luma nor chroma takes from the neighbour in the atlas.
  vec2 inner = clamp(place, 1.0 / faceSize, 1.0 - 1.0 / faceSize);
  vec2 at = (faceOrigin + inner) / atlas;
  vec3 base = format == 1 ? texture(luma, at).rgb : display(texture(luma, at).r, texture(chroma, at).rg);
#ifdef SHARP
  if (sharp > 0.0) {
    vec2 there = clamp((place - 0.5) * sharpScale + 0.5, 1.0 / sharpSize, 1.0 - 1.0 / sharpSize);
    vec3 fine = sharpFormat == 1 ? texture(sharpLuma, there).rgb
                                 : display(texture(sharpLuma, there).r, texture(sharpChroma, there).rg);
    vec4 inside = smoothstep(GUTTER, MIDDLE, vec4(place.x, 1.0 - place.x, place.y, 1.0 - place.y));
    vec4 kept = mix(vec4(1.0), inside, sharpFades);
    return mix(base, fine, sharp * kept.x * kept.y * kept.z * kept.w);
  }
#endif
  return base;
}

void main() {
#if defined(DEPTH_ONLY) && PART != 2
  color = vec4(0.0);
#else
  vec2 place = inFace.xy / (inFace.z * halfTangent) * 0.5 + 0.5;
#if PART == 1
  float background = inFace.z > 11990.0 ? 0.0 : depthScale / inFace.z;
  bool covered = isBefore(depthAt(place), background);
  // Seen from elsewhere, what has some of the colour of the foreground would be a rim.
  if (!covered && distance(cameraPosition, eyePoint) > 0.02) covered = isRim(place, background);
  if (covered) {
    place = source / (inFace.z * halfTangent) * 0.5 + 0.5;
    // Where colour from two sides of a post meets, interpolation sweeps over what lies between them, the post: there
    // the whole triangle takes its colour as one corner does, or the very colour of that corner.
    vec2 alike = (inFace.xy / inFace.z + corner.zw - corner.xy) / halfTangent * 0.5 + 0.5;
    if (distance(place, alike) > 3.0 / 127.0 || isRim(place, background)) {
      place = isRim(alike, background) ? corner.zw / halfTangent * 0.5 + 0.5 : alike;
    }
  }
#elif PART == 2
  if (!isBefore(depthAt(place), sheetDepth / inFace.z)) discard;
#endif
#ifdef DEPTH_ONLY
  color = vec4(0.0);
#else
  color = vec4(picture(place) * brightness, opacity);
#endif
#endif
}
`;
