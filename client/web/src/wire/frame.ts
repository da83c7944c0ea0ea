// One frame of a set: colour or depth, with everything needed to present it.
import { crc32 } from "./crc32";
import type { Vec3 } from "./cube";
import { Reader, Writer } from "./reader";

export const STREAM_KIND = 1;
export const TAG_BYTES = 148;
export const HEADER_BYTES = 38 + TAG_BYTES;

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
}

export type Lane = "color" | "depth";
export type Codec = "h264" | "depth1";

export interface Header {
  readonly lane: Lane;
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
  r.u32();
  const tag = readTag(r);
  const payload = r.rest();
  if (payload.length !== length) throw r.invalid("payload length", `${length}, but ${payload.length} bytes follow`);
  const actual = crc32(payload);
  if (actual !== expected) throw r.invalid("checksum", `${hex8(actual)}, expected ${hex8(expected)}`);
  return {
    header: { lane, keyframe, codec, width, height, group, index, dependsOn, renderedAtUs, tag },
    payload,
  };
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
  w.u32(0);
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
  if (near <= 0) throw r.invalid("near", near);
  if (halfTangent <= 0) throw r.invalid("half_tangent", halfTangent);
  return { set, vantage, epoch, point, near, halfTangent, tourTimeUs, exposure, ambient };
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
