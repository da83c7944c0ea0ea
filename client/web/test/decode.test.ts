// Ordering of frames, what a byte stream says of itself, control framing, playing back poses.

import { describe, expect, test } from "vitest";
import { ControlSplitter, frameControl, MAX_CONTROL_BYTES } from "../src/net/link";
import { DELAY_US, JitterBuffer, unwrapTime } from "../src/people/jitter";
import { PoseSender } from "../src/tour/poses";
import { tidyCode } from "../src/wire/code";
import type { Body, Joint } from "../src/wire/datagram";
import type { Frame } from "../src/wire/frame";
import { GroupQueue } from "../src/worker/group";
import { codecString } from "../src/worker/h264";
import { Stream } from "../src/worker/stream";

const frame = (group: number, index: number): Frame =>
  ({ header: { lane: "color", keyframe: index === 0, group, index }, payload: new Uint8Array(1) }) as unknown as Frame;
const names = (frames: Frame[]): string[] => frames.map(({ header: h }) => `${h.group}.${h.index}`);

describe("group queue", () => {
  const push = (queue: GroupQueue, ...all: [number, number][]): string[] =>
    names(all.flatMap(([g, i]) => queue.push(frame(g, i))));

  test("in order, at once", () => {
    expect(push(new GroupQueue(), [4, 0], [4, 1], [5, 0], [5, 1])).toEqual(["4.0", "4.1", "5.0", "5.1"]);
  });
  test("out of order, put right", () => {
    expect(push(new GroupQueue(), [4, 2], [4, 0], [4, 1])).toEqual(["4.0", "4.1", "4.2"]);
  });
  test("nothing before the first keyframe", () => {
    const queue = new GroupQueue();
    expect(push(queue, [4, 3], [4, 4])).toEqual([]);
    expect(push(queue, [5, 0])).toEqual(["5.0"]);
    expect(queue.takeMissed()).toBe(2);
  });
  test("a gap is waited out until the next keyframe, and no longer", () => {
    const queue = new GroupQueue();
    expect(push(queue, [4, 0], [4, 2], [4, 3])).toEqual(["4.0"]);
    expect(push(queue, [5, 0], [5, 1])).toEqual(["5.0", "5.1"]);
    expect(push(queue, [4, 1]), "what comes too late is left out").toEqual([]);
    expect(queue.takeMissed()).toBe(3);
    expect(queue.takeMissed()).toBe(0);
  });
  test("a late frame fills its gap", () => {
    expect(push(new GroupQueue(), [4, 0], [4, 2], [4, 1])).toEqual(["4.0", "4.1", "4.2"]);
  });
  test("a repeated frame is decoded once", () => {
    expect(push(new GroupQueue(), [4, 0], [4, 2], [4, 2], [4, 1])).toEqual(["4.0", "4.1", "4.2"]);
  });
});

test("codec from the first sequence parameter set", () => {
  expect(codecString(Uint8Array.of(0, 0, 0, 1, 0x09, 0x10, 0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0x8c))).toBe(
    "avc1.42c01f",
  );
  expect(codecString(Uint8Array.of(0, 0, 1, 0x65, 1, 2, 3, 4, 5))).toBeNull();
});

describe("control framing", () => {
  const messages = [Uint8Array.of(1, 2, 3), new Uint8Array(0), new Uint8Array(300).fill(7)];
  test.each([1, 2, 5, 1000])("cut every %i bytes", (size) => {
    const all = messages.flatMap((m) => [...frameControl(m)]);
    const splitter = new ControlSplitter();
    const out: Uint8Array[] = [];
    for (let at = 0; at < all.length; at += size) out.push(...splitter.push(Uint8Array.from(all.slice(at, at + size))));
    expect(out).toEqual(messages);
  });
  test("a message over the limit", () => {
    const splitter = new ControlSplitter();
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, MAX_CONTROL_BYTES + 1, true);
    expect(() => splitter.push(length)).toThrow("65537");
  });
});

const joint = (x: number): Joint => ({ position: [x, 1.6, 0], rotation: [0, 0, 0, 1] });
const body = (ms: number, x: number, more: Partial<Body> = {}): Body => ({
  time100us: ms * 10,
  atRest: false,
  jump: false,
  head: joint(x),
  left: null,
  right: null,
  pointer: null,
  ...more,
});

describe("jitter buffer", () => {
  const xAt = (buffer: JitterBuffer, ms: number): number | undefined => buffer.sample(ms * 1000)?.head.position[0];

  test("evenly between poses, in whatever order they came", () => {
    const buffer = new JitterBuffer();
    for (const [ms, x] of [
      [0, 0],
      [200, 2],
      [100, 1],
    ] as const)
      buffer.push(body(ms, x), 0);
    expect(xAt(buffer, 50)).toBeCloseTo(0.5);
    expect(xAt(buffer, 150)).toBeCloseTo(1.5);
  });
  test("goes on a little without news, then stands", () => {
    const buffer = new JitterBuffer();
    buffer.push(body(0, 0), 0);
    buffer.push(body(100, 1), 0);
    expect(xAt(buffer, 150)).toBeCloseTo(1.5);
    expect(xAt(buffer, 5000)).toBeCloseTo(2);
  });
  test("a jump is not blended into", () => {
    const buffer = new JitterBuffer();
    buffer.push(body(0, 0), 0);
    buffer.push(body(100, 9, { jump: true }), 0);
    expect(xAt(buffer, 99)).toBe(0);
    expect(xAt(buffer, 100)).toBe(9);
  });
  test("from rest the movement begins just before the next pose", () => {
    const buffer = new JitterBuffer();
    buffer.push(body(0, 0, { atRest: true }), 0);
    buffer.push(body(3000, 1), 0);
    expect(xAt(buffer, 1500)).toBe(0);
    expect(xAt(buffer, 2967)).toBeGreaterThan(0.3);
    expect(xAt(buffer, 3000)).toBeCloseTo(1);
  });
  test("stamps wrap", () => {
    const turn = 2 ** 32 * 100;
    expect(unwrapTime(5, turn + 900)).toBe(turn + 500);
    expect(unwrapTime(2 ** 32 - 1, turn + 900)).toBe(turn - 100);
    expect(DELAY_US).toBeLessThanOrEqual(150_000);
  });
});

describe("pose sender", () => {
  const posture = (x: number): Pick<Body, "head" | "left" | "right" | "pointer"> => ({
    head: joint(x),
    left: null,
    right: null,
    pointer: null,
  });
  test("about 15 a second while moving, at rest once and then seldom", () => {
    const sender = new PoseSender();
    const moving = Array.from({ length: 60 }, (_, i) => sender.next(posture(i / 60), 1, i * 16_667, i * 16.667));
    expect(moving.filter(Boolean).length).toBeGreaterThanOrEqual(12);
    expect(moving.filter(Boolean).length).toBeLessThanOrEqual(16);
    const still = Array.from({ length: 180 }, (_, i) =>
      sender.next(posture(1), 1, 1e6 + i * 16_667, 1000 + i * 16.667),
    );
    const rest = still.filter((p) => p?.body.atRest);
    expect(rest.length).toBeGreaterThanOrEqual(2);
    expect(rest.length).toBeLessThanOrEqual(4);
  });
  test("a jump is said once, at once", () => {
    const sender = new PoseSender();
    sender.next(posture(0), 1, 0, 0);
    sender.jump();
    expect(sender.next(posture(5), 1, 1000, 1)?.body.jump).toBe(true);
    expect(sender.next(posture(5.1), 1, 90_000, 90)?.body.jump).toBe(false);
  });
  test("hands are sent twice as often", () => {
    const sender = new PoseSender();
    const sent = Array.from({ length: 60 }, (_, i) =>
      sender.next({ ...posture(i / 60), right: joint(i) }, 1, i * 16_667, i * 16.667),
    );
    expect(sent.filter(Boolean).length).toBeGreaterThanOrEqual(26);
  });
});

test("codes are tidied while they are typed", () => {
  expect(tidyCode("bcdf")).toBe("BCDF");
  expect(tidyCode("bcdf ghj!k9")).toBe("BCDF-GHJK");
  expect(tidyCode("ｂｃｄｆ－ｇｈｊｋ")).toBe("BCDF-GHJK");
});

test("a heartbeat of a newer set, heard twice with nothing decoding, counts as missed: that brings the group again", () => {
  const vantage = new Stream(1, "base", {
    set: () => {},
    complete: () => {},
    trouble: () => {},
    mayDecode: () => true,
  });
  vantage.still(5);
  expect(vantage.takeMissed()).toBe(0);
  vantage.still(5);
  expect(vantage.takeMissed()).toBe(1);
  expect(vantage.takeMissed()).toBe(0);
  vantage.still(5);
  expect(vantage.takeMissed()).toBe(0);
});
