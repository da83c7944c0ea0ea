// The geometry of the warp, on depth that is known exactly.
import { describe, expect, test } from "vitest";
import { look, NEAR, renderSet } from "../src/fixture/room";
import { buildFaceMesh, type FaceMesh, GRID, texelOf, uncovered } from "../src/layer/mesh";
import { HALF_TANGENT } from "../src/wire/cube";

const SIZE = 256;
const depth = (at: (x: number, y: number) => number): Uint16Array =>
  Uint16Array.from({ length: SIZE * SIZE }, (_, i) => at(i % SIZE, Math.floor(i / SIZE)));
const used = (indices: Uint16Array): Set<number> => new Set(indices);

/** Signed area of all triangles in cells of the grid; a cell counts 1 when it is covered once. */
function area(indices: Uint16Array): number {
  let sum = 0;
  for (let i = 0; i < indices.length; i += 3) {
    const [a, b, c] = [indices[i] ?? 0, indices[i + 1] ?? 0, indices[i + 2] ?? 0];
    const [ax, ay, bx, by] = [a % GRID, Math.floor(a / GRID), b % GRID, Math.floor(b / GRID)];
    const [cx, cy] = [c % GRID, Math.floor(c / GRID)];
    sum += ((cx - ax) * (by - ay) - (bx - ax) * (cy - ay)) / 2;
  }
  return sum;
}

function edgeCells(mesh: FaceMesh): number {
  return mesh.edges.length / 16;
}

test("a plane is a few large pieces and no cut", () => {
  const mesh = buildFaceMesh(
    depth((x, y) => 3000 + 4 * x + 2 * y),
    SIZE,
    NEAR,
  );
  expect(edgeCells(mesh)).toBe(0);
  expect(mesh.sheet.length).toBe(0);
  expect(area(mesh.surface)).toBeCloseTo((GRID - 1) ** 2);
  expect(mesh.surface.length / 3).toBeLessThan(200);
});

test("ground that runs to the horizon is not cut", () => {
  const mesh = buildFaceMesh(
    depth((_, y) => (y > SIZE / 2 ? (y - SIZE / 2) * 30 : 0)),
    SIZE,
    NEAR,
  );
  // Where ground meets sky at infinity both are at 0.
  expect(edgeCells(mesh)).toBeLessThan(2 * GRID);
  expect(area(mesh.surface) + edgeCells(mesh)).toBeCloseTo((GRID - 1) ** 2);
});

describe("a post before a wall", () => {
  const [wall, post] = [300, 4000];
  const mesh = buildFaceMesh(
    depth((x) => (x >= 120 && x < 132 ? post : wall)),
    SIZE,
    NEAR,
  );
  const column = (x: number): number =>
    Array.from({ length: GRID }, (_, i) => texelOf(i, SIZE)).findIndex((t) => t >= x);

  test("surface and cut cells cover each cell once", () => {
    expect(edgeCells(mesh)).toBeGreaterThan(GRID);
    expect(area(mesh.surface) + edgeCells(mesh)).toBeCloseTo((GRID - 1) ** 2);
  });
  test("beneath the post the wall goes on, coloured as the wall", () => {
    for (const x of [column(121), column(126), column(131)]) {
      const v = 40 * GRID + x;
      expect(mesh.vertices[v * 4], "its own depth").toBe(post);
      expect(mesh.vertices[v * 4 + 1], "of the sheet").toBe(wall);
      const source = texelOf(mesh.vertices[v * 4 + 2] ?? 0, SIZE);
      expect(source < 120 || source >= 132, `colour from texel ${source}`).toBe(true);
      expect(used(mesh.sheet).has(v)).toBe(true);
    }
  });
  test("far from the post there is no sheet", () => {
    expect(used(mesh.sheet).has(40 * GRID + 5)).toBe(false);
    expect(used(mesh.sheet).has(40 * GRID + 100)).toBe(false);
  });
  test("the near part of cut cells is at the post's depth, the far part at the wall's", () => {
    for (let i = 0; i < mesh.edges.length; i += 4) {
      expect(mesh.edges[i + 1]).toBe(post);
      expect(mesh.edges[i + 2]).toBe(wall);
    }
  });
});

test("behind the foot of a post the floor goes on", () => {
  // Eye height 1.6 m, a wall 8 m away, a post 1.5 m away that stands on the floor.
  const floor = (y: number): number => {
    const down = (((y + 0.5) / SIZE) * 2 - 1) * HALF_TANGENT;
    return Math.round((65_535 * NEAR) / Math.min(8, down > 0 ? 1.6 / down : 8));
  };
  const post = Math.round((65_535 * NEAR) / 1.5);
  const mesh = buildFaceMesh(
    depth((x, y) => (x >= 116 && x < 140 ? Math.max(post, floor(y)) : floor(y))),
    SIZE,
    NEAR,
  );
  let checked = 0;
  for (let row = 40; row <= 112; row++) {
    const own = floor(texelOf(row, SIZE));
    for (let column = 50; column < 78; column++) {
      const v = row * GRID + column;
      if ((mesh.vertices[v * 4] ?? 0) < post - 1) continue;
      checked += 1;
      expect(Math.abs((mesh.vertices[v * 4 + 1] ?? 0) - own), `row ${row}, column ${column}`).toBeLessThanOrEqual(1);
      expect(mesh.vertices[v * 4 + 3], `source of row ${row}, column ${column}`).toBe(row);
    }
  }
  expect(checked).toBeGreaterThan(700);
});

test("noise of rounding far away is not a jump", () => {
  const mesh = buildFaceMesh(
    depth((x, y) => 6 + ((x * 7 + y * 13) % 3)),
    SIZE,
    NEAR,
  );
  expect(edgeCells(mesh)).toBe(0);
});

test("no gap between pieces of the surface: an inner edge belongs to two triangles", () => {
  const { depth: update } = renderSet({ set: 1, point: [0, 1.6, 0], size: SIZE });
  expect(update?.faces.length).toBe(6);
  for (const { samples, mesh } of update?.faces ?? []) {
    expect(samples.length).toBe(SIZE * SIZE);
    expect(area(mesh.surface) + edgeCells(mesh)).toBeCloseTo((GRID - 1) ** 2);
    const sides = new Map<string, number>();
    const cutSides = new Set<string>();
    const name = (a: number, b: number): string => (a < b ? `${a} ${b}` : `${b} ${a}`);
    for (let i = 0; i < mesh.surface.length; i += 3) {
      const t = [mesh.surface[i] ?? 0, mesh.surface[i + 1] ?? 0, mesh.surface[i + 2] ?? 0] as const;
      for (const [a, b] of [
        [t[0], t[1]],
        [t[1], t[2]],
        [t[2], t[0]],
      ] as const) {
        sides.set(name(a, b), (sides.get(name(a, b)) ?? 0) + 1);
      }
    }
    for (let c = 0; c < mesh.edges.length; c += 16) {
      const v = [0, 4, 12, 8].map((o) => mesh.edges[c + o] ?? 0);
      for (const [i, a] of v.entries()) cutSides.add(name(a, v[(i + 1) % 4] ?? 0));
    }
    const border = (v: number): boolean =>
      v % GRID === 0 || v % GRID === GRID - 1 || v < GRID || v >= GRID * (GRID - 1);
    for (const [side, count] of sides) {
      const [a = 0, b = 0] = side.split(" ").map(Number);
      const closed = count === 2 || cutSides.has(side) || (border(a) && border(b));
      expect(closed, `side ${side}, ${count} times`).toBe(true);
    }
  }
});

test("the computed place is what it says", () => {
  const down = look([0, 1.6, 0], [0, -1, 0.3]);
  expect(down.t).toBeCloseTo(1.6);
  expect(look([0, 1.6, 0], [0, 1, 0.3]).t).toBe(Number.POSITIVE_INFINITY);
});

describe("a layer that is only in places", () => {
  const samples = depth((x) => (x < 128 ? 65_535 : 300));
  const mesh = buildFaceMesh(samples, SIZE, NEAR, { halfTangent: 1, hasHoles: true });

  test("draws nothing where it has nothing", () => {
    const { present } = mesh;
    expect(present?.reduce((a, b) => a + b, 0)).toBeGreaterThan(GRID * 60);
    for (const v of used(mesh.surface)) expect(present?.[v]).toBe(1);
    expect([edgeCells(mesh), mesh.sheet.length]).toEqual([0, 0]);
    expect(area(mesh.surface)).toBeGreaterThan(60 * (GRID - 1));
  });
  test("and replaces the guesses of another exactly where it has something", () => {
    const guessed = buildFaceMesh(
      depth((x) => (x >= 100 && x < 112 ? 4000 : x >= 200 && x < 212 ? 4000 : 300)),
      SIZE,
      NEAR,
    );
    const left = used(uncovered(guessed.sheet, mesh.present ?? new Uint8Array(0)));
    const column = (v: number): number => texelOf(v % GRID, SIZE);
    expect([...used(guessed.sheet)].some((v) => column(v) > 150)).toBe(true);
    expect([...left].some((v) => column(v) < 120)).toBe(true);
    expect([...left].some((v) => column(v) > 150)).toBe(false);
  });
});
