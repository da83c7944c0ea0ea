// What the warp draws for one face, made from its depth whenever that changes.
//
// A 128² grid of vertices lies on texel centres. A cell in which depth jumps (two texels side by side that leave the
// plane through their neighbours and are more than 5 % apart) is *cut*: its near part is drawn by itself at the near depth, and beneath it lies the
// sheet, on which the background goes on under what stands before it. Everything else is the plain surface. Without an
// offset of the eye these three together give back the very picture that was rendered.
import { HALF_TANGENT } from "../wire/cube";

/** Vertices along the side of a face. */
export const GRID = 128;
const CELLS = GRID - 1;
/** Relative jump of inverse depth that is a cut. */
const JUMP = 0.05;
/** Steps of u16 that are noise of rounding, not a jump. */
const NOISE = 4;
/** Cells along the side of the largest square that is drawn as one. */
const LARGEST_BLOCK = 16;
/** How far inverse depth may be off such a square: less than a tenth of a pixel of parallax at half a metre. */
const FLAT = 0.004;
const FLAT_NOISE = 1;
/** Most cells that the background is continued under what hides it. */
const REACH = 16;
/** Offset of the eye, metres, for which there has to be background behind an edge. */
const OFFSET_M = 0.5;
/** A surface ends between this texel and the next one to the right, or down. */
const STEP_RIGHT = 1;
const STEP_DOWN = 2;
/** What a sample says of a layer that has nothing there. */
const NOTHING = 65_535;

/** Numbers per vertex of {@link FaceMesh.vertices}: own depth, depth of the sheet, source column and row of the sheet's colour. */
export const VERTEX_NUMBERS = 4;
/** Numbers per vertex of {@link FaceMesh.edges}: grid index, near depth, depth of the sheet, unused. */
export const EDGE_NUMBERS = 4;

export interface FaceMesh {
  readonly vertices: Uint16Array<ArrayBuffer>;
  /** Triangles of the plain surface, indices of grid vertices. */
  readonly surface: Uint16Array<ArrayBuffer>;
  /** Triangles of the sheet, likewise. */
  readonly sheet: Uint16Array<ArrayBuffer>;
  /** Four vertices per cut cell, in the order top left, top right, bottom left, bottom right. */
  readonly edges: Uint16Array<ArrayBuffer>;
  /** Of a layer with holes: per grid vertex, 1 where it has something. */
  readonly present: Uint8Array<ArrayBuffer> | null;
}

export interface MeshOptions {
  /** Tangent of half the field of view of the face. */
  readonly halfTangent: number;
  /** A sample of 65535 says that nothing is there. */
  readonly hasHoles: boolean;
}

/** The texel on which a grid line lies. */
export function texelOf(line: number, size: number): number {
  return Math.round((line * (size - 1)) / CELLS);
}

/** `samples`: one face, row by row, `size`², `65535 · near / z`. */
export function buildFaceMesh(
  samples: Uint16Array,
  size: number,
  near: number,
  { halfTangent, hasHoles }: MeshOptions = { halfTangent: HALF_TANGENT, hasHoles: false },
): FaceMesh {
  const at = Int32Array.from({ length: GRID }, (_, i) => texelOf(i, size));
  const own = ownDepth(samples, size, at);
  const isHole = hasHoles ? holes(samples, size, at) : null;
  const cells = findCuts(samples, size, at, isHole);
  const cellTangent = (2 * halfTangent) / CELLS;
  const sheet = continueBackground(own, cells, 65_535 * near * (cellTangent / OFFSET_M));
  return {
    vertices: packVertices(own, sheet),
    surface: surfaceTriangles(own, cells.cut, isHole),
    sheet: triangles((cell, v) => !isHole?.[cell] && (cells.cut[cell] === 1 || touches(sheet.reached, v))),
    edges: packEdges(own, sheet.depth, cells),
    present: hasHoles ? Uint8Array.from(own, (d) => (d === NOTHING ? 0 : 1)) : null,
  };
}

/** The triangles of a sheet that another layer does not show better: all but those whose corners are all in it. */
export function uncovered(sheet: Uint16Array, present: Uint8Array): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(sheet.length);
  let n = 0;
  for (let i = 0; i < sheet.length; i += 3) {
    const [a = 0, b = 0, c = 0] = [sheet[i], sheet[i + 1], sheet[i + 2]];
    if (present[a] && present[b] && present[c]) continue;
    out[n++] = a;
    out[n++] = b;
    out[n++] = c;
  }
  return out.slice(0, n);
}

interface Cells {
  readonly cut: Uint8Array;
  /** Largest and least inverse depth within a cut cell: its nearest and its farthest texel. */
  readonly nearest: Uint16Array;
  readonly farthest: Uint16Array;
}

interface Sheet {
  readonly depth: Uint16Array;
  /** Grid vertex whose place in the picture gives the colour. */
  readonly source: Uint16Array;
  readonly reached: Uint8Array;
}

function ownDepth(samples: Uint16Array, size: number, at: Int32Array): Uint16Array {
  const own = new Uint16Array(GRID * GRID);
  for (let y = 0; y < GRID; y++) {
    const row = (at[y] ?? 0) * size;
    for (let x = 0; x < GRID; x++) own[y * GRID + x] = samples[row + (at[x] ?? 0)] ?? 0;
  }
  return own;
}

/** Cells of which a part is not there. */
function holes(samples: Uint16Array, size: number, at: Int32Array): Uint8Array {
  const isHole = new Uint8Array(CELLS * CELLS);
  for (let cy = 0; cy < CELLS; cy++) {
    for (let cx = 0; cx < CELLS; cx++) {
      let any = 0;
      for (let y = at[cy] ?? 0; y <= (at[cy + 1] ?? 0); y++) {
        for (let i = y * size + (at[cx] ?? 0), end = y * size + (at[cx + 1] ?? 0); i <= end; i++) {
          if (samples[i] === NOTHING) any = 1;
        }
      }
      isHole[cy * CELLS + cx] = any;
    }
  }
  return isHole;
}

function findCuts(samples: Uint16Array, size: number, at: Int32Array, isHole: Uint8Array | null): Cells {
  const steps = findSteps(samples, size);
  const cut = new Uint8Array(CELLS * CELLS);
  const nearest = new Uint16Array(CELLS * CELLS);
  const farthest = new Uint16Array(CELLS * CELLS);
  for (let cy = 0; cy < CELLS; cy++) {
    const [y0, y1] = [at[cy] ?? 0, at[cy + 1] ?? 0];
    for (let cx = 0; cx < CELLS; cx++) {
      if (isHole?.[cy * CELLS + cx]) continue;
      const [x0, x1] = [at[cx] ?? 0, at[cx + 1] ?? 0];
      let any = 0;
      let most = 0;
      let least = 65_535;
      for (let y = y0; y <= y1; y++) {
        for (let x = x0, i = y * size + x0; x <= x1; x++, i++) {
          const step = steps[i] ?? 0;
          if (x < x1) any |= step & STEP_RIGHT;
          if (y < y1) any |= step & STEP_DOWN;
          const d = samples[i] ?? 0;
          if (d > most) most = d;
          if (d < least) least = d;
        }
      }
      if (any === 0) continue;
      const cell = cy * CELLS + cx;
      cut[cell] = 1;
      nearest[cell] = most;
      farthest[cell] = least;
    }
  }
  return { cut, nearest, farthest };
}

/** How far inverse depth may be off and still be the same surface. */
function tolerance(d: number): number {
  return Math.max(NOISE, JUMP * d);
}

/**
 * Where one surface ends and another begins, between a texel and the next one to the right ({@link STEP_RIGHT}) or down
 * ({@link STEP_DOWN}): both leave the plane through their neighbours, and they are far apart.
 */
function findSteps(d: Uint16Array, size: number): Uint8Array {
  const jumps = findJumps(d, size);
  const steps = new Uint8Array(size * size);
  const ends = (a: number, b: number): boolean => {
    const [da, db] = [d[a] ?? 0, d[b] ?? 0];
    return jumps[b] === 1 && Math.abs(da - db) > tolerance(Math.max(da, db));
  };
  for (let y = 0, i = 0; y < size; y++) {
    for (let x = 0; x < size; x++, i++) {
      if (jumps[i] === 0) continue;
      steps[i] =
        (x + 1 < size && ends(i, i + 1) ? STEP_RIGHT : 0) | (y + 1 < size && ends(i, i + size) ? STEP_DOWN : 0);
    }
  }
  return steps;
}

/**
 * Texels at which inverse depth leaves the plane through their neighbours; at the border as the next one inside. On a plane
 * the second difference is zero, however steep it is.
 */
function findJumps(d: Uint16Array, size: number): Uint8Array {
  const jumps = new Uint8Array(size * size);
  if (size < 3) return jumps;
  const bend = (i: number, by: number): number => Math.abs((d[i - by] ?? 0) + (d[i + by] ?? 0) - 2 * (d[i] ?? 0));
  const inside = (c: number): number => Math.min(Math.max(c, 1), size - 2);
  for (let y = 0, i = 0; y < size; y++) {
    for (let x = 0; x < size; x++, i++) {
      const limit = tolerance(d[i] ?? 0);
      if (bend(y * size + inside(x), 1) > limit || bend(inside(y) * size + x, size) > limit) jumps[i] = 1;
    }
  }
  return jumps;
}

/** Lets the far side of each cut grow under the near side, nearest first. */
function continueBackground(own: Uint16Array, cells: Cells, parallaxScale: number): Sheet {
  const depth = own.slice();
  const source = Uint16Array.from({ length: GRID * GRID }, (_, i) => i);
  const reached = new Uint8Array(GRID * GRID);
  const hides = new Uint8Array(GRID * GRID);
  const shows = new Uint8Array(GRID * GRID);
  const lowest = new Uint16Array(GRID * GRID).fill(65_535);
  for (let cell = 0; cell < cells.cut.length; cell++) {
    if (!cells.cut[cell]) continue;
    const least = cells.farthest[cell] ?? 0;
    for (const v of corners(cell)) {
      if (isNear(own[v] ?? 0, cells, cell)) hides[v] = 1;
      else shows[v] = 1;
      if (least < (lowest[v] ?? 0)) lowest[v] = least;
    }
  }
  const seeds: number[] = [];
  for (let v = 0; v < own.length; v++) if (shows[v] && !hides[v]) seeds.push(v);
  let front = seeds;
  for (let step = 0; step < REACH && front.length > 0; step++) {
    const next: number[] = [];
    for (const v of front) {
      const x = v % GRID;
      const d = depth[v] ?? 0;
      const limit = d + Math.max(NOISE, JUMP * d);
      // Parallax between near and far, in cells: what is farther under the edge never comes to light.
      const reach = (step - 1) * parallaxScale;
      for (const n of [x > 0 ? v - 1 : -1, x < GRID - 1 ? v + 1 : -1, v - GRID, v + GRID]) {
        const there = own[n];
        // Something is hidden across an edge only, and by what stands before it: a floor comes nearer by itself from row
        // to row, and the floor beside a post hides no wall.
        if (!hides[n] && (shows[n] || step === 0)) continue;
        if (there === undefined || there <= limit || there - d < reach || (reached[n] && (depth[n] ?? 0) <= d))
          continue;
        if (reached[n] && reached[n] !== step + 1) continue;
        if (!reached[n]) next.push(n);
        reached[n] = step + 1;
        depth[n] = d;
        source[n] = source[v] ?? v;
      }
    }
    front = next;
  }
  mirrorSources(own, depth, source, reached);
  moveSeeds(own, source, reached, seeds, hides);
  for (let v = 0; v < own.length; v++) {
    if (hides[v] && !reached[v]) depth[v] = Math.min(own[v] ?? 0, lowest[v] ?? 0);
  }
  return { depth, source, reached };
}

/**
 * Colour comes from as far on the visible side of the edge as the vertex is behind it and one cell more, where the same
 * surface is: right at the edge the picture has some of the colour of what stands before it.
 */
function mirrorSources(own: Uint16Array, depth: Uint16Array, source: Uint16Array, reached: Uint8Array): void {
  for (let v = 0; v < own.length; v++) {
    if (!reached[v]) continue;
    const s = source[v] ?? v;
    const [dx, dy] = [(s % GRID) - (v % GRID), Math.floor(s / GRID) - Math.floor(v / GRID)];
    const n = Math.max(Math.abs(dx), Math.abs(dy), 1);
    const [ux, uy] = [Math.round(dx / n), Math.round(dy / n)];
    source[v] =
      sameSurface(own, reached, s, dx + ux, dy + uy, depth[v] ?? 0) ??
      sameSurface(own, reached, s, ux, uy, depth[v] ?? 0) ??
      s;
  }
}

/** The vertices beside an edge give the colour of their neighbour on the other side, for the same reason. */
function moveSeeds(
  own: Uint16Array,
  source: Uint16Array,
  reached: Uint8Array,
  seeds: readonly number[],
  hides: Uint8Array,
): void {
  for (const v of seeds) {
    let [dx, dy] = [0, 0];
    for (let y = -1; y <= 1; y++) {
      for (let x = -1; x <= 1; x++) {
        const column = (v % GRID) + x;
        if (column < 0 || column >= GRID || !hides[v + y * GRID + x]) continue;
        dx -= x;
        dy -= y;
      }
    }
    source[v] = sameSurface(own, reached, v, Math.sign(dx), Math.sign(dy), own[v] ?? 0) ?? v;
  }
}

/** The vertex so far from `from`, where it is on the visible surface of this depth. */
function sameSurface(
  own: Uint16Array,
  reached: Uint8Array,
  from: number,
  dx: number,
  dy: number,
  d: number,
): number | null {
  const [x, y] = [(from % GRID) + dx, Math.floor(from / GRID) + dy];
  if (x < 0 || y < 0 || x >= GRID || y >= GRID) return null;
  const v = y * GRID + x;
  return !reached[v] && Math.abs((own[v] ?? 0) - d) <= Math.max(NOISE, 2 * JUMP * d) ? v : null;
}

function packVertices(own: Uint16Array, sheet: Sheet): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(GRID * GRID * VERTEX_NUMBERS);
  for (let v = 0; v < own.length; v++) {
    const source = sheet.source[v] ?? v;
    out[v * 4] = own[v] ?? 0;
    out[v * 4 + 1] = sheet.depth[v] ?? 0;
    out[v * 4 + 2] = source % GRID;
    out[v * 4 + 3] = Math.floor(source / GRID);
  }
  return out;
}

function packEdges(own: Uint16Array, sheetDepth: Uint16Array, cells: Cells): Uint16Array<ArrayBuffer> {
  const count = cells.cut.reduce((sum, c) => sum + c, 0);
  const out = new Uint16Array(count * 4 * EDGE_NUMBERS);
  let at = 0;
  for (let cell = 0; cell < cells.cut.length; cell++) {
    if (!cells.cut[cell]) continue;
    for (const v of corners(cell)) {
      const d = own[v] ?? 0;
      out[at] = v;
      out[at + 1] = isNear(d, cells, cell) ? d : (cells.nearest[cell] ?? 0);
      out[at + 2] = sheetDepth[v] ?? 0;
      at += EDGE_NUMBERS;
    }
  }
  return out;
}

function isNear(d: number, cells: Cells, cell: number): boolean {
  return 2 * d > (cells.nearest[cell] ?? 0) + (cells.farthest[cell] ?? 0);
}

function corners(cell: number): [number, number, number, number] {
  const v = Math.floor(cell / CELLS) * GRID + (cell % CELLS);
  return [v, v + 1, v + GRID, v + GRID + 1];
}

function touches(marked: Uint8Array, v: number): boolean {
  return ((marked[v] ?? 0) | (marked[v + 1] ?? 0) | (marked[v + GRID] ?? 0) | (marked[v + GRID + 1] ?? 0)) !== 0;
}

/** A square of cells that is flat. */
interface Block {
  readonly x0: number;
  readonly y0: number;
  readonly x1: number;
  readonly y1: number;
}

/**
 * The plain surface. Inverse depth is affine on planes, so a square of cells that is flat is drawn as one; a city is
 * mostly walls, ground and sky. Each square goes through all vertices that its neighbours use, so nothing gapes.
 */
function surfaceTriangles(own: Uint16Array, cuts: Uint8Array, isHole: Uint8Array | null): Uint16Array<ArrayBuffer> {
  const cut = isHole ? cuts.map((c, cell) => c | (isHole[cell] ?? 0)) : cuts;
  const blocks = flatBlocks(own, cut);
  const used = new Uint8Array(GRID * GRID);
  for (const { x0, y0, x1, y1 } of blocks) {
    for (const v of [y0 * GRID + x0, y0 * GRID + x1, y1 * GRID + x0, y1 * GRID + x1]) used[v] = 1;
  }
  for (let cell = 0; cell < cut.length; cell++) if (cut[cell]) for (const v of corners(cell)) used[v] = 1;
  const out = new Uint16Array(CELLS * CELLS * 6 + 6);
  let n = 0;
  const triangle = (a: number, b: number, c: number): void => {
    out[n++] = a;
    out[n++] = b;
    out[n++] = c;
  };
  for (const block of blocks) {
    const rim = rimOf(block, used);
    if (rim.length === 4) {
      const [a = 0, b = 0, c = 0, d = 0] = rim;
      triangle(a, d, b);
      triangle(b, d, c);
      continue;
    }
    const middle = ((block.y0 + block.y1) >> 1) * GRID + ((block.x0 + block.x1) >> 1);
    for (let i = 0; i < rim.length; i++) triangle(middle, rim[(i + 1) % rim.length] ?? 0, rim[i] ?? 0);
  }
  return out.slice(0, n);
}

/** Clockwise in the picture from the top left: the corners and what lies between them and is used. */
function rimOf({ x0, y0, x1, y1 }: Block, used: Uint8Array): number[] {
  const rim: number[] = [];
  const visit = (x: number, y: number, corner: boolean): void => {
    const v = y * GRID + x;
    if (corner || used[v]) rim.push(v);
  };
  for (let x = x0; x < x1; x++) visit(x, y0, x === x0);
  for (let y = y0; y < y1; y++) visit(x1, y, y === y0);
  for (let x = x1; x > x0; x--) visit(x, y1, x === x1);
  for (let y = y1; y > y0; y--) visit(x0, y, y === y1);
  return rim;
}

function flatBlocks(own: Uint16Array, cut: Uint8Array): Block[] {
  const blocks: Block[] = [];
  const divide = (x0: number, y0: number, size: number): void => {
    if (x0 >= CELLS || y0 >= CELLS) return;
    const block: Block = { x0, y0, x1: Math.min(x0 + size, CELLS), y1: Math.min(y0 + size, CELLS) };
    if (size === 1) {
      if (!cut[y0 * CELLS + x0]) blocks.push(block);
      return;
    }
    // A vertex in the middle is needed where a neighbour is finer.
    const thin = block.x1 - x0 < 2 || block.y1 - y0 < 2;
    if (!thin && isFlat(own, cut, block)) {
      blocks.push(block);
      return;
    }
    const half = size / 2;
    divide(x0, y0, half);
    divide(x0 + half, y0, half);
    divide(x0, y0 + half, half);
    divide(x0 + half, y0 + half, half);
  };
  for (let y = 0; y < CELLS; y += LARGEST_BLOCK) {
    for (let x = 0; x < CELLS; x += LARGEST_BLOCK) divide(x, y, LARGEST_BLOCK);
  }
  return blocks;
}

/** Whether nothing is cut in these cells and their vertices lie on the plane through three corners, the fourth too. */
function isFlat(own: Uint16Array, cut: Uint8Array, { x0, y0, x1, y1 }: Block): boolean {
  for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) if (cut[y * CELLS + x]) return false;
  const corner = own[y0 * GRID + x0] ?? 0;
  const dx = ((own[y0 * GRID + x1] ?? 0) - corner) / (x1 - x0);
  const dy = ((own[y1 * GRID + x0] ?? 0) - corner) / (y1 - y0);
  for (let y = y0; y <= y1; y++) {
    for (let x = x0; x <= x1; x++) {
      const d = own[y * GRID + x] ?? 0;
      // Sky beside what is very far is not one plane with it.
      if ((d === 0) !== (corner === 0)) return false;
      if (Math.abs(d - (corner + dx * (x - x0) + dy * (y - y0))) > Math.max(FLAT_NOISE, FLAT * d)) return false;
    }
  }
  return true;
}

/** Two triangles for each cell that is wanted, counter-clockwise as seen from inside the cube. */
function triangles(wanted: (cell: number, v: number) => boolean): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(CELLS * CELLS * 6);
  let n = 0;
  for (let cell = 0; cell < CELLS * CELLS; cell++) {
    const v = Math.floor(cell / CELLS) * GRID + (cell % CELLS);
    if (!wanted(cell, v)) continue;
    out[n++] = v;
    out[n++] = v + GRID;
    out[n++] = v + 1;
    out[n++] = v + 1;
    out[n++] = v + GRID;
    out[n++] = v + GRID + 1;
  }
  return out.slice(0, n);
}
