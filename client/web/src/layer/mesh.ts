// What the warp draws for one face, made from its depth whenever that changes.
//
// A 128² grid of vertices lies on texel centres. A cell in which depth jumps (its inverse leaves the plane through its
// neighbours by more than 5 %) is *cut*: its near part is drawn by itself at the near depth, and beneath it lies the
// sheet, on which the background goes on under what stands before it. Everything else is the plain surface. Without an
// offset of the eye these three together give back the very picture that was rendered.

/** Vertices along the side of a face. */
export const GRID = 128;
const CELLS = GRID - 1;
/** Relative jump of inverse depth that is a cut. */
const JUMP = 0.05;
/** Steps of u16 that are noise of rounding, not a jump. */
const NOISE = 4;
/** Cells that the background is continued under what hides it. */
const REACH = 14;

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
}

/** The texel on which a grid line lies. */
export function texelOf(line: number, size: number): number {
  return Math.round((line * (size - 1)) / CELLS);
}

/** `samples`: one face, row by row, `size`². */
export function buildFaceMesh(samples: Uint16Array, size: number): FaceMesh {
  const at = Int32Array.from({ length: GRID }, (_, i) => texelOf(i, size));
  const own = ownDepth(samples, size, at);
  const cells = findCuts(samples, size, at);
  const sheet = continueBackground(own, cells);
  return {
    vertices: packVertices(own, sheet),
    surface: triangles((cell) => cells.cut[cell] === 0),
    sheet: triangles((cell, v) => cells.cut[cell] === 1 || touches(sheet.reached, v)),
    edges: packEdges(own, sheet.depth, cells),
  };
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

function findCuts(samples: Uint16Array, size: number, at: Int32Array): Cells {
  const jumps = findJumps(samples, size);
  const cut = new Uint8Array(CELLS * CELLS);
  const nearest = new Uint16Array(CELLS * CELLS);
  const farthest = new Uint16Array(CELLS * CELLS);
  for (let cy = 0; cy < CELLS; cy++) {
    const [y0, y1] = [at[cy] ?? 0, at[cy + 1] ?? 0];
    for (let cx = 0; cx < CELLS; cx++) {
      const [x0, x1] = [at[cx] ?? 0, at[cx + 1] ?? 0];
      let any = 0;
      let most = 0;
      let least = 65_535;
      for (let y = y0; y <= y1; y++) {
        for (let i = y * size + x0, end = y * size + x1; i <= end; i++) {
          any |= jumps[i] ?? 0;
          const d = samples[i] ?? 0;
          if (d > most) most = d;
          if (d < least) least = d;
        }
      }
      if (any === 0 || most - least <= Math.max(NOISE, JUMP * most)) continue;
      const cell = cy * CELLS + cx;
      cut[cell] = 1;
      nearest[cell] = most;
      farthest[cell] = least;
    }
  }
  return { cut, nearest, farthest };
}

/** Texels at which inverse depth leaves the plane through its neighbours. On a plane the second difference is zero. */
function findJumps(d: Uint16Array, size: number): Uint8Array {
  const jumps = new Uint8Array(size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const i = y * size + x;
      const twice = 2 * (d[i] ?? 0);
      const limit = Math.max(NOISE, JUMP * 0.5 * twice);
      const horizontal = x > 0 && x < size - 1 ? Math.abs((d[i - 1] ?? 0) + (d[i + 1] ?? 0) - twice) : 0;
      const vertical = y > 0 && y < size - 1 ? Math.abs((d[i - size] ?? 0) + (d[i + size] ?? 0) - twice) : 0;
      if (horizontal > limit || vertical > limit) jumps[i] = 1;
    }
  }
  return jumps;
}

/** Lets the far side of each cut grow under the near side, nearest first. */
function continueBackground(own: Uint16Array, cells: Cells): Sheet {
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
  let front: number[] = [];
  for (let v = 0; v < own.length; v++) if (shows[v] && !hides[v]) front.push(v);
  for (let step = 0; step < REACH && front.length > 0; step++) {
    const next: number[] = [];
    for (const v of front) {
      const x = v % GRID;
      const d = depth[v] ?? 0;
      const limit = d + Math.max(NOISE, JUMP * d);
      for (const n of [x > 0 ? v - 1 : -1, x < GRID - 1 ? v + 1 : -1, v - GRID, v + GRID]) {
        const there = own[n];
        if (there === undefined || there <= limit || (reached[n] && (depth[n] ?? 0) <= d)) continue;
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
  for (let v = 0; v < own.length; v++) {
    if (hides[v] && !reached[v]) depth[v] = Math.min(own[v] ?? 0, lowest[v] ?? 0);
  }
  return { depth, source, reached };
}

/** Colour comes from as far on the visible side of the edge as the vertex is behind it, where the same surface is. */
function mirrorSources(own: Uint16Array, depth: Uint16Array, source: Uint16Array, reached: Uint8Array): void {
  for (let v = 0; v < own.length; v++) {
    if (!reached[v]) continue;
    const s = source[v] ?? v;
    const x = 2 * (s % GRID) - (v % GRID);
    const y = 2 * Math.floor(s / GRID) - Math.floor(v / GRID);
    if (x < 0 || y < 0 || x >= GRID || y >= GRID) continue;
    const d = depth[v] ?? 0;
    const mirrored = y * GRID + x;
    if (!reached[mirrored] && Math.abs((own[mirrored] ?? 0) - d) <= Math.max(NOISE, 2 * JUMP * d)) source[v] = mirrored;
  }
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
