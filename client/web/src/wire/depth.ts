// Lossless coding of depth: six faces of a panorama, or two of a stereo pair, of u16 in 32² tiles, plane prediction within a tile, then zstd.
//
// A keyframe holds every tile. Any other frame holds the tiles that differ from **its keyframe**, so each frame stands
// on that one keyframe alone and any frame between may be lost.
//
// Layout: `u16 face_size`, `u8 faces`, `u8 log2(tile)`, `u32 tiles present`, a bitmap of all tiles (face by face, row
// by row, bit 0 first), then one zstd frame of `2 × tile² × tiles present` bytes: the low bytes of all zigzag
// residuals, then the high bytes. Within a tile a sample is predicted as left + up − up-left, in the first row as
// left, in the first column as up, at the start as 0; arithmetic wraps at 16 bits.
import { decompress } from "fzstd";
import { Reader, WireError } from "./reader";

export const TILE = 32;
const TILE_SAMPLES = TILE * TILE;
/** How many faces there can be. */
const FACES: readonly number[] = [6, 2];
const MAX_FACE_SIZE = 4096;

/** Depth of six faces, or of two: `samples[face * size² + row * size + column]`, `round(65535 · near / z)`, 0 = sky. */
export interface DepthCube {
  readonly size: number;
  readonly faces: number;
  readonly samples: Uint16Array<ArrayBuffer>;
}

export interface DecodedDepth {
  readonly cube: DepthCube;
  /** Per face, whether the frame held a tile of it. */
  readonly facesTouched: readonly boolean[];
}

/** Reads a frame. `keyframe` is needed where the frame does not hold every tile. Throws a `WireError`. */
export function readDepth(bytes: Uint8Array, keyframe: DepthCube | null): DecodedDepth {
  const r = new Reader("depth", bytes);
  const size = r.u16();
  const faces = r.u8();
  const log2Tile = r.u8();
  if (size === 0 || size > MAX_FACE_SIZE || size % TILE !== 0) throw r.invalid("face size", size);
  if (!FACES.includes(faces) || 1 << Math.min(log2Tile, 15) !== TILE) {
    throw r.invalid("faces and tile", `${faces} and 2^${log2Tile}`);
  }
  const present = r.u32();
  const across = size / TILE;
  const tiles = faces * across * across;
  const bitmap = r.take(Math.ceil(tiles / 8));
  const set: number[] = [];
  for (let t = 0; t < tiles; t++) if (((bitmap[t >> 3] ?? 0) >> (t & 7)) & 1) set.push(t);
  if (set.length !== present) throw r.invalid("tiles present", present);
  if (present !== tiles) {
    if (!keyframe) throw r.invalid("keyframe", "missing");
    if (keyframe.size !== size || keyframe.faces !== faces) {
      throw r.invalid("keyframe size", `${keyframe.faces} faces of ${keyframe.size}`);
    }
  }
  const planes = unpack(r.rest(), present * TILE_SAMPLES * 2);
  const samples =
    present === tiles || !keyframe ? new Uint16Array(faces * size * size) : new Uint16Array(keyframe.samples);
  const facesTouched = Array.from({ length: faces }, () => false);
  const half = planes.length / 2;
  set.forEach((tile, i) => {
    const face = Math.floor(tile / (across * across));
    facesTouched[face] = true;
    const within = tile % (across * across);
    const start = face * size * size + Math.floor(within / across) * TILE * size + (within % across) * TILE;
    putTile(samples, size, start, planes, i * TILE_SAMPLES, half);
  });
  return { cube: { size, faces, samples }, facesTouched };
}

function unpack(packed: Uint8Array, expected: number): Uint8Array {
  // A frame that says that nothing differs.
  if (expected === 0) return new Uint8Array(0);
  const refuse = (why: string): WireError => new WireError(`depth: decompressed bytes is ${why}`);
  // The declared size is checked before the memory is taken.
  const declared = zstdContentSize(packed);
  if (declared !== null && declared !== expected) throw refuse(String(declared));
  const out = new Uint8Array(expected);
  let planes: Uint8Array;
  try {
    planes = decompress(packed, out);
  } catch (error) {
    throw new WireError(`depth: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (planes.length !== expected) throw refuse(String(planes.length));
  return planes;
}

/** The size that a zstd frame declares, `null` where it declares none. */
function zstdContentSize(packed: Uint8Array): number | null {
  const r = new Reader("depth", packed);
  const magic = r.u32();
  if (magic !== 0xfd2fb528) throw r.invalid("zstd magic", magic);
  const descriptor = r.u8();
  const single = (descriptor >> 5) & 1;
  const sizeBytes = [single, 2, 4, 8][descriptor >> 6] ?? 0;
  r.take((single ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] ?? 0));
  switch (sizeBytes) {
    case 0:
      return null;
    case 1:
      return r.u8();
    case 2:
      return r.u16() + 256;
    case 4:
      return r.u32();
    default:
      return r.i64("decompressed bytes");
  }
}

function putTile(s: Uint16Array, size: number, start: number, planes: Uint8Array, at: number, half: number): void {
  for (let y = 0; y < TILE; y++) {
    let to = start + y * size;
    let from = at + y * TILE;
    for (let x = 0; x < TILE; x++, to++, from++) {
      const zigzag = (planes[from] ?? 0) | ((planes[half + from] ?? 0) << 8);
      const delta = (zigzag >> 1) ^ -(zigzag & 1);
      let predicted = 0;
      if (y === 0) predicted = x === 0 ? 0 : (s[to - 1] ?? 0);
      else if (x === 0) predicted = s[to - size] ?? 0;
      else predicted = (s[to - 1] ?? 0) + (s[to - size] ?? 0) - (s[to - size - 1] ?? 0);
      s[to] = predicted + delta;
    }
  }
}
