// The golden vectors that the server's codecs are tested against, read and written.
import { readFileSync } from "node:fs";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { ClientMessageSchema, ServerMessageSchema } from "../src/gen/control_pb";
import { parseCode } from "../src/wire/code";
import { atlasOrigin, direction, FACES, HALF_TANGENT, locate } from "../src/wire/cube";
import { type Body, packRotation, type Quat, readDatagram, unpackRotation, writeDatagram } from "../src/wire/datagram";
import { readDepth } from "../src/wire/depth";
import { placeOf, tangentAt } from "../src/wire/foveation";
import { readFrame, writeFrame } from "../src/wire/frame";
import { LAYERS } from "../src/wire/layers";

type Vec = [number, number, number];
interface GoldenJoint {
  position: Vec;
  rotation_xyzw: number[];
}
interface GoldenBody {
  at_rest: boolean;
  jump: boolean;
  head: GoldenJoint;
  left: GoldenJoint | null;
  right: GoldenJoint | null;
  pointer: Vec | null;
  time_100us: number;
}
interface Golden {
  protocol_version: number;
  codes: { typed: string; shown: string | null }[];
  control: { name: string; hex: string }[];
  cube: { face: number; u: number; v: number; direction: Vec; atlas_origin: [number, number] }[];
  datagrams: { name: string; hex: string; fields: Record<string, unknown> & { body?: GoldenBody } }[];
  depth: Record<"changes_fnv1a" | "changes_hex" | "keyframe_fnv1a" | "keyframe_hex", string> &
    Record<"pair_fnv1a" | "pair_hex", string> & { size: number };
  foveation: { half_tangent: number; k: number; s: number; tangent: number }[];
  frames: (Record<string, unknown> & {
    hex: string;
    layer: number;
    payload_hex: string;
    tag: Record<string, unknown>;
  })[];
  rotations: { hex: string; xyzw: number[]; unpacked_xyzw: number[] }[];
}

const golden: Golden = JSON.parse(
  readFileSync(new URL("../../../crates/protocol/vectors/golden.json", import.meta.url), "utf8"),
);
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (b: Uint8Array): string => Buffer.from(b).toString("hex");
const near = (actual: readonly number[], expected: readonly number[], tolerance = 1e-4): void => {
  expect(actual.length).toBe(expected.length);
  actual.forEach((a, i) => {
    expect(Math.abs(a - (expected[i] ?? Number.NaN)), `component ${i}`).toBeLessThanOrEqual(tolerance);
  });
};
/** Cuts and damages: each is refused with an error that names the layout, or read; nothing else is thrown. */
const survivesDamage = (good: Uint8Array, read: (b: Uint8Array) => unknown, what: string): void => {
  for (let n = 0; n < good.length; n++) expect(() => read(good.slice(0, n)), `${what} cut at ${n}`).toThrow(what);
  expect(() => read(Uint8Array.of(...good, 0)), `${what} with one byte more`).toThrow();
  for (let at = 0; at < good.length; at++) {
    const bad = good.slice();
    bad[at] = (bad[at] ?? 0) ^ 0xff;
    try {
      read(bad);
    } catch (error) {
      expect((error as Error).name, `${what} with byte ${at} damaged`).toBe("WireError");
    }
  }
};

describe("datagrams", () => {
  const body = (actual: Body, expected: GoldenBody): void => {
    expect(actual.time100us).toBe(expected.time_100us);
    expect(actual.atRest).toBe(expected.at_rest);
    expect(actual.jump).toBe(expected.jump);
    for (const key of ["head", "left", "right"] as const) {
      const [a, e] = [actual[key], expected[key]];
      expect(a === null, key).toBe(e === null);
      if (!a || !e) continue;
      near(a.position, e.position, 1e-5);
      near(a.rotation, e.rotation_xyzw, 1e-5);
    }
    expect(actual.pointer === null).toBe(expected.pointer === null);
    if (actual.pointer && expected.pointer) near(actual.pointer, expected.pointer, 1e-3);
  };

  test.each(golden.datagrams)("$name", ({ hex: wanted, fields }) => {
    const datagram = readDatagram(bytes(wanted));
    expect(hex(writeDatagram(datagram))).toBe(wanted);
    switch (datagram.kind) {
      case "ping":
        expect(datagram).toEqual({ kind: "ping", seq: fields.seq, sentUs: fields.sent_us });
        break;
      case "pong":
        expect(datagram).toEqual({
          kind: "pong",
          seq: fields.seq,
          sentUs: fields.sent_us,
          receivedUs: fields.received_us,
          repliedUs: fields.replied_us,
        });
        break;
      case "pose":
        expect([datagram.epoch, datagram.seq]).toEqual([fields.epoch, fields.seq]);
        body(datagram.body, fields.body as GoldenBody);
        break;
      case "avatars": {
        expect(datagram.epoch).toBe(fields.epoch);
        const people = fields.people as { headset: number; body: GoldenBody }[];
        expect(datagram.people.map((p) => p.headset)).toEqual(people.map((p) => p.headset));
        people.forEach((p, i) => {
          const actual = datagram.people[i];
          if (actual) body(actual.body, p.body);
        });
        break;
      }
      case "feedback":
        expect(datagram).toEqual({
          kind: "feedback",
          lastSet: fields.last_set,
          intervalMs: fields.interval_ms,
          complete: fields.complete,
          missed: fields.missed,
          decodeQueue: fields.decode_queue,
          delayMs: fields.delay_ms,
          bytes: fields.bytes,
        });
        break;
      case "commit":
        expect(datagram).toEqual({ kind: "commit", epoch: fields.epoch, stop: fields.stop, atUs: fields.at_us });
        break;
      case "still":
        expect(datagram).toEqual({
          kind: "still",
          epoch: fields.epoch,
          vantage: fields.vantage,
          layer: LAYERS[fields.layer as number],
          set: fields.set,
        });
    }
  });

  test.each(golden.datagrams)("$name: cut or damaged", ({ hex: good }) => {
    survivesDamage(bytes(good), readDatagram, "datagram");
  });

  test("all kinds are covered", () => {
    const kinds = new Set(golden.datagrams.map((d) => readDatagram(bytes(d.hex)).kind));
    expect([...kinds].sort()).toEqual(["avatars", "commit", "feedback", "ping", "pong", "pose", "still"]);
  });
});

test.each(golden.rotations)("rotation $hex", ({ hex: wanted, xyzw, unpacked_xyzw }) => {
  expect(hex(packRotation(xyzw as unknown as Quat))).toBe(wanted);
  near(unpackRotation(bytes(wanted)), unpacked_xyzw, 1e-6);
});

test("hostile rotations are tamed", () => {
  for (const q of [[Number.NaN, 0, 0, 1] as const, [0, 0, 0, 0] as const]) {
    near(unpackRotation(packRotation(q)), [0, 0, 0, 1], 1e-3);
  }
  expect(Math.hypot(...unpackRotation(new Uint8Array(6).fill(0xff)))).toBeCloseTo(1, 6);
});

describe.each(golden.frames)("frame: $shape $lane of layer $layer", (f) => {
  test("fields, and back to the same bytes", () => {
    const frame = readFrame(bytes(f.hex));
    const { header } = frame;
    expect(header).toMatchObject({
      lane: f.lane,
      layer: LAYERS[f.layer],
      shape: f.shape,
      codec: f.codec,
      keyframe: f.keyframe,
      width: f.width,
      height: f.height,
      group: f.group,
      index: f.index,
      dependsOn: f.depends_on,
      renderedAtUs: f.rendered_at_us,
    });
    expect(header.tag).toMatchObject({
      set: f.tag.set,
      vantage: f.tag.vantage,
      epoch: f.tag.epoch,
      tourTimeUs: f.tag.tour_time_us,
      exposure: f.tag.exposure,
      near: f.tag.near,
      halfTangent: f.tag.half_tangent,
      point: f.tag.point,
      stillMs: f.tag.still_ms,
      rotation: f.tag.rotation_xyzw,
      halfIpd: f.tag.half_ipd,
      foveation: f.tag.foveation,
    });
    expect(header.tag.ambient).toEqual((f.tag.ambient as number[][]).flat());
    expect(hex(frame.payload)).toBe(f.payload_hex);
    expect(hex(writeFrame(frame))).toBe(f.hex);
  });
  test("cut or damaged", () => survivesDamage(bytes(f.hex), readFrame, "frame"));
  test("a damaged payload fails its checksum", () => {
    const bad = bytes(f.hex);
    bad[bad.length - 1] = (bad[bad.length - 1] ?? 0) ^ 1;
    expect(() => readFrame(bad)).toThrow("checksum");
  });
});

test("all shapes and lanes are covered; layers and shapes that are not known are refused", () => {
  expect(new Set(golden.frames.map((f) => f.shape))).toEqual(new Set(["panorama", "stereo", "flat"]));
  const refused = (at: number, value: number, why: string): void => {
    const bad = bytes(golden.frames[0]?.hex ?? "");
    bad[at] = value;
    expect(() => readFrame(bad)).toThrow(why);
  };
  refused(34, 8, "frame: layer is 8");
  refused(35, 3, "frame: shape is 3");
});

test.each(golden.foveation)("foveation $k at $s", ({ half_tangent, k, s, tangent }) => {
  expect(tangentAt(s, half_tangent, k)).toBeCloseTo(tangent, 6);
  expect(placeOf(tangent, half_tangent, k)).toBeCloseTo(s, 6);
});

describe("depth", () => {
  const d = golden.depth;
  const fnv1a = (samples: Uint16Array): string => {
    let h = 0x811c9dc5;
    for (const s of samples) for (const b of [s & 0xff, s >> 8]) h = Math.imul(h ^ b, 0x01000193) >>> 0;
    return h.toString(16).padStart(8, "0");
  };
  const key = readDepth(bytes(d.keyframe_hex), null);

  test("keyframe and changes", () => {
    expect(key.cube.size).toBe(d.size);
    expect(key.facesTouched).toEqual([true, true, true, true, true, true]);
    expect(fnv1a(key.cube.samples)).toBe(d.keyframe_fnv1a);
    const before = key.cube.samples.slice();
    const changed = readDepth(bytes(d.changes_hex), key.cube);
    expect(fnv1a(changed.cube.samples)).toBe(d.changes_fnv1a);
    expect(key.cube.samples, "the keyframe is left alone").toEqual(before);
    expect(changed.facesTouched.filter(Boolean).length).toBe(1);
  });
  test("a frame that says that nothing differs", () => {
    const none = bytes(`${d.changes_hex.slice(0, 8)}000000000028b52ffd2000010000`);
    expect(readDepth(none, key.cube).cube).toEqual(key.cube);
    expect(readDepth(none, key.cube).facesTouched).not.toContain(true);
  });
  test("two faces", () => {
    const pair = readDepth(bytes(d.pair_hex), null);
    expect([pair.cube.size, pair.cube.faces, pair.cube.samples.length]).toEqual([d.size, 2, 2 * d.size ** 2]);
    expect(fnv1a(pair.cube.samples)).toBe(d.pair_fnv1a);
    expect(() => readDepth(bytes(d.changes_hex), pair.cube)).toThrow("depth: keyframe size");
  });
  test("changes without their keyframe", () => {
    expect(() => readDepth(bytes(d.changes_hex), null)).toThrow("depth: keyframe is missing");
  });
  test("cut or damaged", () => {
    for (let n = 0; n < bytes(d.keyframe_hex).length; n++) {
      expect(() => readDepth(bytes(d.keyframe_hex).slice(0, n), null), `cut at ${n}`).toThrow("depth");
    }
    survivesDamageOnly(bytes(d.keyframe_hex));
  });
  const survivesDamageOnly = (good: Uint8Array): void => {
    for (let at = 0; at < good.length; at++) {
      const bad = good.slice();
      bad[at] = (bad[at] ?? 0) ^ 0x5a;
      try {
        readDepth(bad, null);
      } catch (error) {
        expect((error as Error).name, `byte ${at}: ${String(error)}`).toBe("WireError");
      }
    }
  };
});

test.each(golden.cube)("cube face $face at $u, $v", ({ face, u, v, direction: wanted, atlas_origin }) => {
  const f = FACES[face];
  if (!f) throw new Error("no such face");
  near(direction(f, u, v, HALF_TANGENT), wanted, 1e-6);
  expect(atlasOrigin(face, 512)).toEqual(atlas_origin);
  const found = locate([wanted[0] * 3, wanted[1] * 3, wanted[2] * 3], HALF_TANGENT);
  expect(found?.face).toBe(face);
  near([found?.u ?? 9, found?.v ?? 9], [u, v], 1e-5);
});

test("cube covers all six faces, none mirrored", () => {
  expect(new Set(golden.cube.map((c) => c.face)).size).toBe(6);
  for (const { forward: f, right: r, up: u } of FACES) {
    const cross = [r[1] * u[2] - r[2] * u[1], r[2] * u[0] - r[0] * u[2], r[0] * u[1] - r[1] * u[0]];
    near(cross, [-f[0], -f[1], -f[2]], 0);
  }
  expect(locate([0, 0, 0], 1)).toBeNull();
  expect(locate([Number.NaN, 0, 1], 1)).toBeNull();
});

test.each(golden.codes)("code '$typed'", ({ typed, shown }) => expect(parseCode(typed)).toBe(shown));

const CASES: Record<string, string> = { spectator: "hello", roaming: "placement" };
test.each(golden.control)("control: $name", ({ name, hex: wanted }) => {
  const wantedCase = CASES[name] ?? name;
  const schema = ["hello", "lookAhead", "moveTo", "preview"].includes(wantedCase)
    ? ClientMessageSchema
    : ServerMessageSchema;
  const message = fromBinary(schema, bytes(wanted));
  expect(message.body.case).toBe(wantedCase);
  expect(hex(toBinary(schema, message))).toBe(wanted);
});
