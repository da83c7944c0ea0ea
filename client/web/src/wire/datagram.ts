// Fixed-layout datagrams: clock pings, poses up, avatar batches down, delivery feedback, copies of a commit,
// heartbeats of a still picture. Little-endian.
import type { Vec3 } from "./cube";
import { LAYERS, type LayerName, readLayer } from "./layers";
import { Reader, Writer } from "./reader";

/** The largest datagram that is sent. */
export const MAX_BYTES = 1150;
/** Metres of one position step; positions reach ±65.5 m from the stop's pose origin. */
export const POSITION_STEP_M = 0.002;
/** Metres of one pointer step; pointers reach ±655 m from the stop's pose origin. */
export const POINTER_STEP_M = 0.02;

/** xyzw. */
export type Quat = readonly [number, number, number, number];

export interface Joint {
  /** Metres from the stop's pose origin. */
  readonly position: Vec3;
  readonly rotation: Quat;
}

/** How a person holds head and hands at one instant. */
export interface Body {
  /** Server time in units of 100 µs, wrapping after 119 hours. */
  readonly time100us: number;
  /** Nothing has moved and nothing follows until it does. */
  readonly atRest: boolean;
  /** The wearer teleported: do not interpolate from the pose before. */
  readonly jump: boolean;
  readonly head: Joint;
  readonly left: Joint | null;
  readonly right: Joint | null;
  /** Where the wearer points at the world, metres from the stop's pose origin. */
  readonly pointer: Vec3 | null;
}

export type Ping = { readonly kind: "ping"; readonly seq: number; readonly sentUs: number };
export type Pong = {
  readonly kind: "pong";
  readonly seq: number;
  readonly sentUs: number;
  readonly receivedUs: number;
  readonly repliedUs: number;
};
export type Pose = { readonly kind: "pose"; readonly epoch: number; readonly seq: number; readonly body: Body };
export type Avatars = {
  readonly kind: "avatars";
  readonly epoch: number;
  readonly people: readonly { readonly headset: number; readonly body: Body }[];
};
export type Feedback = {
  readonly kind: "feedback";
  readonly lastSet: number;
  readonly intervalMs: number;
  readonly complete: number;
  readonly missed: number;
  readonly decodeQueue: number;
  readonly delayMs: number;
  readonly bytes: number;
};
/**
 * The control message of the same name once more: a lost control packet may arrive after the instant, one of several
 * datagrams does not. Whichever comes first counts.
 */
export type Commit = {
  readonly kind: "commit";
  readonly epoch: number;
  readonly stop: number;
  readonly atUs: number;
};
/** Nothing moves in a layer of a vantage: said once a second while no frame of it is sent. */
export type Still = {
  readonly kind: "still";
  /** Low 16 bits of the epoch. */
  readonly epoch: number;
  readonly vantage: number;
  readonly layer: LayerName;
  /** Its newest set: a headset that has an older one lacks something. */
  readonly set: number;
};
export type Datagram = Ping | Pong | Pose | Avatars | Feedback | Commit | Still;

const PING = 1;
const PONG = 2;
const POSE = 3;
const AVATARS = 4;
const FEEDBACK = 5;
const COMMIT = 6;
const STILL = 7;

const LEFT = 1;
const RIGHT = 2;
const POINTING = 4;
const AT_REST = 8;
const JUMP = 16;

/** Reads one datagram. Throws a `WireError`. */
export function readDatagram(bytes: Uint8Array): Datagram {
  const r = new Reader("datagram", bytes);
  const datagram = readKind(r, r.u8());
  r.end();
  return datagram;
}

export function writeDatagram(d: Datagram): Uint8Array<ArrayBuffer> {
  const w = new Writer();
  switch (d.kind) {
    case "ping":
      w.u8(PING);
      w.u16(d.seq);
      w.i64(d.sentUs);
      break;
    case "pong":
      w.u8(PONG);
      w.u16(d.seq);
      w.i64(d.sentUs);
      w.i64(d.receivedUs);
      w.i64(d.repliedUs);
      break;
    case "pose":
      w.u8(POSE);
      w.u16(d.epoch);
      w.u16(d.seq);
      writeBody(w, d.body);
      break;
    case "avatars":
      w.u8(AVATARS);
      w.u16(d.epoch);
      w.u8(Math.min(d.people.length, 255));
      for (const { headset, body } of d.people.slice(0, 255)) {
        w.u16(headset);
        writeBody(w, body);
      }
      break;
    case "feedback":
      w.u8(FEEDBACK);
      w.u32(d.lastSet);
      w.u16(d.intervalMs);
      w.u16(d.complete);
      w.u16(d.missed);
      w.u8(d.decodeQueue);
      w.u16(d.delayMs);
      w.u32(d.bytes);
      break;
    case "commit":
      w.u8(COMMIT);
      w.u32(d.epoch);
      w.u32(d.stop);
      w.i64(d.atUs);
      break;
    case "still":
      w.u8(STILL);
      w.u16(d.epoch);
      w.u16(d.vantage);
      w.u8(LAYERS.indexOf(d.layer));
      w.u32(d.set);
  }
  return w.finish();
}

function readKind(r: Reader, kind: number): Datagram {
  switch (kind) {
    case PING:
      return { kind: "ping", seq: r.u16(), sentUs: r.i64("sent") };
    case PONG:
      return {
        kind: "pong",
        seq: r.u16(),
        sentUs: r.i64("sent"),
        receivedUs: r.i64("received"),
        repliedUs: r.i64("replied"),
      };
    case POSE:
      return { kind: "pose", epoch: r.u16(), seq: r.u16(), body: readBody(r) };
    case AVATARS: {
      const epoch = r.u16();
      const people = Array.from({ length: r.u8() }, () => ({ headset: r.u16(), body: readBody(r) }));
      return { kind: "avatars", epoch, people };
    }
    case FEEDBACK:
      return {
        kind: "feedback",
        lastSet: r.u32(),
        intervalMs: r.u16(),
        complete: r.u16(),
        missed: r.u16(),
        decodeQueue: r.u8(),
        delayMs: r.u16(),
        bytes: r.u32(),
      };
    case COMMIT:
      return { kind: "commit", epoch: r.u32(), stop: r.u32(), atUs: r.i64("at") };
    case STILL:
      return { kind: "still", epoch: r.u16(), vantage: r.u16(), layer: readLayer(r), set: r.u32() };
    default:
      throw r.invalid("kind", kind);
  }
}

function readBody(r: Reader): Body {
  const flags = r.u8();
  if (flags >= 32) throw r.invalid("pose flags", flags);
  const time100us = r.u32();
  const head = readJoint(r);
  const left = flags & LEFT ? readJoint(r) : null;
  const right = flags & RIGHT ? readJoint(r) : null;
  const pointer = flags & POINTING ? readSteps(r, POINTER_STEP_M) : null;
  return { time100us, atRest: (flags & AT_REST) !== 0, jump: (flags & JUMP) !== 0, head, left, right, pointer };
}

function writeBody(w: Writer, b: Body): void {
  w.u8(
    (b.left ? LEFT : 0) |
      (b.right ? RIGHT : 0) |
      (b.pointer ? POINTING : 0) |
      (b.atRest ? AT_REST : 0) |
      (b.jump ? JUMP : 0),
  );
  w.u32(b.time100us >>> 0);
  for (const joint of [b.head, b.left, b.right]) {
    if (!joint) continue;
    writeSteps(w, joint.position, POSITION_STEP_M);
    w.bytes(packRotation(joint.rotation));
  }
  if (b.pointer) writeSteps(w, b.pointer, POINTER_STEP_M);
}

function readJoint(r: Reader): Joint {
  return { position: readSteps(r, POSITION_STEP_M), rotation: unpackRotation(r.take(6)) };
}

function readSteps(r: Reader, stepM: number): Vec3 {
  return [r.i16() * stepM, r.i16() * stepM, r.i16() * stepM];
}

function writeSteps(w: Writer, v: Vec3, stepM: number): void {
  // The server divides in f32 and rounds halves away from zero; so does this.
  for (const c of v) w.i16(toI16(Math.fround(Math.fround(c) / Math.fround(stepM))));
}

function toI16(value: number): number {
  if (Number.isNaN(value)) return 0;
  return Math.max(-32_768, Math.min(32_767, Math.sign(value) * Math.round(Math.abs(value))));
}

const STEPS = 32_767;

/**
 * Smallest three: the largest component is left out (it follows from unit length and is made positive by flipping the
 * sign of all four), the others in xyzw order take 15 bits each over ±1/√2. From bit 0 upwards: third, second, first,
 * index of the one left out (2 bits). A rotation that is not finite becomes the identity.
 */
export function packRotation(rotation: Quat): Uint8Array {
  const length = Math.hypot(...rotation);
  const unit = Number.isFinite(length) && length > 1e-6 ? rotation.map((c) => c / length) : [0, 0, 0, 1];
  // The first of equals wins, so that both languages agree; f32 decides what is equal.
  const size = (i: number): number => Math.fround(Math.abs(unit[i] ?? 0));
  let largest = 0;
  for (let i = 1; i < 4; i++) if (size(i) > size(largest)) largest = i;
  const sign = (unit[largest] ?? 0) < 0 ? -1 : 1;
  let packed = BigInt(largest);
  unit.forEach((c, i) => {
    if (i === largest) return;
    const scaled = Math.max(-1, Math.min(1, c * sign * Math.SQRT2)) * 0.5 + 0.5;
    packed = (packed << 15n) | BigInt(Math.round(scaled * STEPS));
  });
  return Uint8Array.from({ length: 6 }, (_, i) => Number((packed >> BigInt(8 * i)) & 0xffn));
}

/** The inverse of {@link packRotation}; any six bytes give a unit quaternion. */
export function unpackRotation(bytes: Uint8Array): Quat {
  let packed = 0n;
  for (let i = 5; i >= 0; i--) packed = (packed << 8n) | BigInt(bytes[i] ?? 0);
  const three = [0, 0, 0];
  for (let i = 2; i >= 0; i--) {
    three[i] = ((Number(packed & 0x7fffn) / STEPS) * 2 - 1) * Math.SQRT1_2;
    packed >>= 15n;
  }
  const largest = Number(packed & 3n);
  const rest = Math.sqrt(Math.max(0, 1 - three.reduce((sum, c) => sum + c * c, 0)));
  three.splice(largest, 0, rest);
  const [x = 0, y = 0, z = 0, w = 1] = three;
  const length = Math.hypot(x, y, z, w);
  return [x / length, y / length, z / length, w / length];
}
