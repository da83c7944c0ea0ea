// The cube around a vantage: which way each face looks and where it lies in the atlas.
//
// Stop-local space is right-handed, Y up, x = east, z = south. Seen from inside the cube, a face's image has `right`
// to the right and `up` to the top, so `right × up = −forward` holds for each face.

export type Vec3 = readonly [number, number, number];

/** Half the field of view's tangent: 8 px of gutter on each side repeat what the neighbour shows. */
export const HALF_TANGENT = 256 / 248;
export const ATLAS_COLUMNS = 3;
export const FACE_COUNT = 6;

export interface Face {
  readonly forward: Vec3;
  readonly right: Vec3;
  readonly up: Vec3;
}

/** +X, −X, +Y, −Y, +Z, −Z; the index is the face's number on the wire. */
export const FACES: readonly [Face, Face, Face, Face, Face, Face] = [
  { forward: [1, 0, 0], right: [0, 0, 1], up: [0, 1, 0] },
  { forward: [-1, 0, 0], right: [0, 0, -1], up: [0, 1, 0] },
  { forward: [0, 1, 0], right: [1, 0, 0], up: [0, 0, 1] },
  { forward: [0, -1, 0], right: [1, 0, 0], up: [0, 0, -1] },
  { forward: [0, 0, 1], right: [-1, 0, 0], up: [0, 1, 0] },
  { forward: [0, 0, -1], right: [1, 0, 0], up: [0, 1, 0] },
];

/** The direction (not normalised, planar z = 1) seen at `u`, `v` in −1..=1, u to the right, v **down**. */
export function direction(face: Face, u: number, v: number, halfTangent: number): Vec3 {
  const a = u * halfTangent;
  const b = v * halfTangent;
  const axis = (i: 0 | 1 | 2): number => face.forward[i] + face.right[i] * a - face.up[i] * b;
  return [axis(0), axis(1), axis(2)];
}

/** Where a direction falls: face and `u`, `v` as {@link direction} takes them; `null` for zero and non-finite ones. */
export function locate(d: Vec3, halfTangent: number): { face: number; u: number; v: number } | null {
  const [ax, ay, az] = [Math.abs(d[0]), Math.abs(d[1]), Math.abs(d[2])];
  const most = Math.max(ax, ay, az);
  if (!Number.isFinite(ax + ay + az) || most === 0) return null;
  const negative = (c: number): number => (c < 0 ? 1 : 0);
  const index = ax >= ay && ax >= az ? negative(d[0]) : ay >= az ? 2 + negative(d[1]) : 4 + negative(d[2]);
  const face = FACES[index];
  if (!face) return null;
  const z = dot(d, face.forward) * halfTangent;
  return { face: index, u: dot(d, face.right) / z, v: -dot(d, face.up) / z };
}

/** The top left pixel of a face in the atlas. */
export function atlasOrigin(face: number, faceSize: number): readonly [number, number] {
  return [(face % ATLAS_COLUMNS) * faceSize, Math.floor(face / ATLAS_COLUMNS) * faceSize];
}

function dot(a: Vec3, b: Vec3): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
