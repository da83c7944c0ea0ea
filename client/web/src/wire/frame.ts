// One frame of a set: colour or depth, with everything needed to present it.
import { crc32 } from "./crc32";
import { FACE_COUNT, type Vec3 } from "./cube";
import { MAX_FOVEATION } from "./foveation";
import { LAYERS, type LayerName, readLayer } from "./layers";
import { Reader, Writer } from "./reader";

export const STREAM_KIND = 1;
export const TAG_BYTES = 196;
export const HEADER_BYTES = 38 + TAG_BYTES;

/** By their numbers on the wire. */
const SHAPES: readonly Shape[] = ["panorama", "stereo", "flat"];
/** More than this is no distance between eyes. */
const MAX_HALF_IPD_M = 0.5;

export type Quat = readonly [number, number, number, number];

/** What a tag says of how a panorama looks around. */
export const AROUND = { stillMs: [0, 0, 0, 0, 0, 0], rotation: [0, 0, 0, 1], halfIpd: 0, foveation: 0 } as const;

/** Where and when a set was rendered, and in what light. */
export interface Tag {
  readonly set: number;
  readonly vantage: number;
  /** The stop change that this belongs to (low 16 bits of the epoch). */
  readonly epoch: number;
  /** The rendered point, stop-local metres. */
  readonly point: Vec3;
  /** Depth is `65535 * near / z`, metres. */
  readonly near: number;
  /** Tangent of half the field of view of a face, gutter included. */
  readonly halfTangent: number;
  readonly tourTimeUs: number;
  /** Linear factor before tone mapping. */
  readonly exposure: number;
  /** SH-L2: nine linear RGB radiance coefficients, 27 numbers. */
  readonly ambient: readonly number[];
  /**
   * For the base of a panorama: per face, milliseconds of tour time for which its colours have been as they are in this
   * set; 0 = they changed with it. Else zeros.
   */
  readonly stillMs: readonly number[];
  /** World from eyes, xyzw; the identity for a panorama. */
  readonly rotation: Quat;
  /** The eyes of a stereo pair are so far left and right of `point`, metres; else 0. */
  readonly halfIpd: number;
  /** `k` of the foveation of a stereo pair's colour; 0 = none. */
  readonly foveation: number;
}

/** Cube faces around the point, a stereo pair side by side, or one camera. */
export type Shape = "panorama" | "stereo" | "flat";

export type Lane = "color" | "depth";
export type Codec = "h264" | "depth1";

export interface Header {
  readonly lane: Lane;
  readonly layer: LayerName;
  readonly shape: Shape;
  readonly keyframe: boolean;
  readonly codec: Codec;
  readonly width: number;
  readonly height: number;
  readonly group: number;
  readonly index: number;
  readonly dependsOn: number;
  readonly renderedAtUs: number;
  readonly tag: Tag;
}

export interface Frame {
  readonly header: Header;
  readonly payload: Uint8Array;
}

/** Reads a whole frame and checks its payload's checksum. Throws a `WireError`. */
export function readFrame(bytes: Uint8Array): Frame {
  const r = new Reader("frame", bytes);
  const kind = r.u8();
  if (kind !== STREAM_KIND) throw r.invalid("kind", kind);
  const lane = pick(r, "lane", ["color", "depth"] as const, 0);
  const keyframe = pick(r, "keyframe", [false, true] as const, 0);
  const codec = pick(r, "codec", ["h264", "depth1"] as const, 1);
  const width = r.u16();
  const height = r.u16();
  const group = r.u32();
  const index = r.u16();
  const dependsOn = r.u32();
  const renderedAtUs = r.i64("rendered_at");
  const length = r.u32();
  const expected = r.u32();
  const layer = readLayer(r);
  const shape = pick(r, "shape", SHAPES, 0);
  r.u16();
  if (layer !== "base" && shape !== "panorama") throw r.invalid("shape", `${shape} in layer ${layer}`);
  const tag = readTag(r);
  const payload = r.rest();
  if (payload.length !== length) throw r.invalid("payload length", `${length}, but ${payload.length} bytes follow`);
  const actual = crc32(payload);
  if (actual !== expected) throw r.invalid("checksum", `${hex8(actual)}, expected ${hex8(expected)}`);
  if (lane === "depth" && !hasDepth({ layer, shape })) {
    throw r.invalid("lane", `depth, but ${shape} ${layer} has none`);
  }
  return {
    header: { lane, layer, shape, keyframe, codec, width, height, group, index, dependsOn, renderedAtUs, tag },
    payload,
  };
}

/** Whether depth belongs to a layer's pictures: without it they are not complete. */
export function hasDepth({ layer, shape }: Pick<Header, "layer" | "shape">): boolean {
  return typeof layer !== "number" && shape !== "flat";
}

/**
 * Whether the picture of a sharp face shows what a set of the base shows there: the same vantage, stop change and point,
 * and nothing of the face has changed between the two.
 */
export function isSharpOf(sharp: Tag, face: number, base: Tag): boolean {
  return (
    sharp.vantage === base.vantage &&
    sharp.epoch === base.epoch &&
    sharp.point.every((c, i) => c === base.point[i]) &&
    sharp.tourTimeUs >= base.tourTimeUs - (base.stillMs[face] ?? 0) * 1000
  );
}

/** The frame's bytes, for tests and for the fixture. */
export function writeFrame({ header: h, payload }: Frame): Uint8Array {
  const w = new Writer(HEADER_BYTES + payload.length);
  w.u8(STREAM_KIND);
  w.u8(h.lane === "color" ? 0 : 1);
  w.u8(h.keyframe ? 1 : 0);
  w.u8(h.codec === "h264" ? 1 : 2);
  w.u16(h.width);
  w.u16(h.height);
  w.u32(h.group);
  w.u16(h.index);
  w.u32(h.dependsOn);
  w.i64(h.renderedAtUs);
  w.u32(payload.length);
  w.u32(crc32(payload));
  w.u8(LAYERS.indexOf(h.layer));
  w.u8(SHAPES.indexOf(h.shape));
  w.u16(0);
  writeTag(w, h.tag);
  w.bytes(payload);
  return w.finish();
}

function readTag(r: Reader): Tag {
  const set = r.u32();
  const vantage = r.u16();
  const epoch = r.u16();
  const point: Vec3 = [r.finite("point"), r.finite("point"), r.finite("point")];
  const near = r.finite("near");
  const halfTangent = r.finite("half_tangent");
  const tourTimeUs = r.i64("tour_time");
  const exposure = r.finite("exposure");
  const ambient = Array.from({ length: 27 }, () => r.finite("ambient"));
  const stillMs = Array.from({ length: FACE_COUNT }, () => r.u32());
  const rotation: Quat = [r.finite("rotation"), r.finite("rotation"), r.finite("rotation"), r.finite("rotation")];
  const halfIpd = r.finite("half_ipd");
  const foveation = r.finite("foveation");
  if (Math.abs(rotation.reduce((sum, c) => sum + c * c, 0) - 1) > 0.01) {
    throw r.invalid("rotation", `[${rotation.join(", ")}], not a unit quaternion`);
  }
  if (!(halfIpd >= 0 && halfIpd <= MAX_HALF_IPD_M)) throw r.invalid("half_ipd", halfIpd);
  if (!(foveation >= 0 && foveation <= MAX_FOVEATION)) throw r.invalid("foveation", foveation);
  if (near <= 0) throw r.invalid("near", near);
  if (halfTangent <= 0) throw r.invalid("half_tangent", halfTangent);
  return {
    ...{ set, vantage, epoch, point, near, halfTangent, tourTimeUs, exposure, ambient },
    ...{ stillMs, rotation, halfIpd, foveation },
  };
}

function writeTag(w: Writer, tag: Tag): void {
  w.u32(tag.set);
  w.u16(tag.vantage);
  w.u16(tag.epoch);
  for (const c of tag.point) w.f32(c);
  w.f32(tag.near);
  w.f32(tag.halfTangent);
  w.i64(tag.tourTimeUs);
  w.f32(tag.exposure);
  for (const c of tag.ambient) w.f32(c);
  for (const ms of tag.stillMs) w.u32(ms);
  for (const c of tag.rotation) w.f32(c);
  w.f32(tag.halfIpd);
  w.f32(tag.foveation);
}

function pick<T>(r: Reader, field: string, values: readonly T[], first: number): T {
  const byte = r.u8();
  const value = values[byte - first];
  if (value === undefined) throw r.invalid(field, byte);
  return value;
}

function hex8(value: number): string {
  return value.toString(16).padStart(8, "0");
}
