// Which layers decode, which sharp pictures may be shown, where a foveated eye looks.
import { describe, expect, test } from "vitest";
import { placeOf, tangentAt } from "../src/wire/foveation";
import { AROUND, isSharpOf, type Tag } from "../src/wire/frame";
import type { LayerName } from "../src/wire/layers";
import { Decoders, MAX_DECODERS } from "../src/worker/decoders";

class Fake {
  readonly key: number;
  readonly layer: LayerName;
  decodes = false;
  fed = 0;
  constructor(key: number, layer: LayerName) {
    this.key = key;
    this.layer = layer;
  }
  rest(): void {
    this.decodes = false;
  }
  wake(): void {}
}

describe("decoders", () => {
  const all = [
    ...[new Fake(1, "base"), new Fake(1, "behind"), new Fake(1, 0), new Fake(1, 5), new Fake(1, 4)],
    ...[new Fake(2, "base"), new Fake(3, "base")],
  ];
  const [base, behind, left, right, third, ahead, stranger] = all as [Fake, Fake, Fake, Fake, Fake, Fake, Fake];
  const decoders = new Decoders(() => all);
  const start = (s: Fake): boolean => {
    decoders.fed(s);
    if (!decoders.grant(s)) return false;
    s.decodes = true;
    return true;
  };

  test("four at most, and the least needed gives way", () => {
    decoders.kept = [1, 2];
    expect([base, behind, left, right].map(start)).toEqual([true, true, true, true]);
    expect(start(third), "a face takes the place of the one that was fed longest ago").toBe(true);
    expect([left.decodes, right.decodes]).toEqual([false, true]);
    expect(start(ahead), "what is looked ahead at drops a face").toBe(true);
    expect([right.decodes, third.decodes]).toEqual([false, true]);
    expect(start(stranger), "what nobody is to see takes nothing").toBe(false);
    expect(base.decodes && behind.decodes && ahead.decodes).toBe(true);
    expect(all.filter((s) => s.decodes).length).toBe(MAX_DECODERS);
  });
  test("who walks there has the place's picture first", () => {
    decoders.kept = [2];
    const behindThere = new Fake(2, "behind");
    all.push(behindThere);
    expect(start(behindThere)).toBe(true);
    expect([third.decodes, ahead.decodes]).toEqual([false, true]);
  });
});

describe("a sharp picture on a base set", () => {
  const tag = (more: Partial<Tag>): Tag => ({
    ...{ set: 1, vantage: 1, epoch: 1, point: [0, 1.6, 0], near: 0.2, halfTangent: 1, tourTimeUs: 10_000_000 },
    ...{ exposure: 1, ambient: [], ...AROUND },
    ...more,
  });
  const base = tag({ stillMs: [0, 2000, 0, 0, 0, 0] });
  test.each([
    ["of the same instant", tag({}), 0, true],
    ["newer than the base", tag({ tourTimeUs: 11_000_000 }), 0, true],
    ["older, where something moved", tag({ tourTimeUs: 9_999_999 }), 0, false],
    ["older, where nothing has moved since", tag({ tourTimeUs: 8_000_000 }), 1, true],
    ["from before it moved", tag({ tourTimeUs: 7_999_999 }), 1, false],
    ["of another place", tag({ vantage: 2 }), 1, false],
    ["of another stop change", tag({ epoch: 2 }), 1, false],
    ["from another point", tag({ point: [0, 1.6, 0.5] }), 1, false],
  ] as const)("%s", (_, sharp, face, valid) => {
    expect(isSharpOf(sharp, face, base)).toBe(valid);
  });
});

test("foveation there and back, the middle sharper than the rim", () => {
  for (const k of [0, 0.0005, 0.5, 1.5, 8]) {
    for (const s of [-1, -0.7, -0.01, 0, 0.3, 1]) {
      expect(placeOf(tangentAt(s, 1.28, k), 1.28, k)).toBeCloseTo(s, 6);
    }
    expect(tangentAt(1, 1.28, k)).toBeCloseTo(1.28, 6);
  }
  expect(tangentAt(0.01, 1, 1.5) / 0.01).toBeCloseTo(1.5 / Math.sinh(1.5), 3);
});
