// Decodes the colour and the depth of one layer of a vantage and pairs them into complete sets.
import { type Frame, type Header, hasDepth } from "../wire/frame";
import type { LayerName } from "../wire/layers";
import { DepthLane } from "./depth_lane";
import { GroupQueue } from "./group";
import { codecString } from "./h264";
import type { DecodedSet, Picture } from "./messages";

/** Bytes of the current group that are kept for a decoder that was taken away. */
const MAX_REPLAY_BYTES = 32 * 1024 * 1024;
/** Attempts with one group before its successor is awaited. */
const MAX_RESTARTS = 2;

export interface StreamEvents {
  set(set: DecodedSet): void;
  /** A set has become complete (also when a newer one is shown instead). */
  complete(header: Header): void;
  trouble(message: string): void;
  /** Whether this stream may have a decoder now; one of another may be taken away for it. */
  mayDecode(stream: Stream): boolean;
}

export class Stream {
  /** Of the vantage. */
  readonly key: number;
  readonly layer: LayerName;
  /** When it was fed last; the worker's own count. */
  fed = 0;
  readonly #events: StreamEvents;
  readonly #queue = new GroupQueue();
  readonly #depth: DepthLane;
  readonly #headers = new Map<number, Header>();
  #decoder: VideoDecoder | null = null;
  #replay: Frame[] = [];
  #replayBytes = 0;
  #restartsOfGroup = 0;
  #restarts = 0;
  /** The newest picture that is not copied yet. */
  #latest: VideoFrame | null = null;
  #copying = false;
  /** A copied picture whose depth has not arrived. */
  #unpaired: { header: Header; picture: Picture } | null = null;
  /** The newest set that was handed over: replays do not go back in time. */
  #newest = -1;
  #lacking = 0;
  #missed = 0;
  #closed = false;

  constructor(key: number, layer: LayerName, events: StreamEvents) {
    this.key = key;
    this.layer = layer;
    this.#events = events;
    this.#depth = new DepthLane(layer === "behind");
  }

  push(frame: Frame): void {
    if (this.#closed) return;
    if (frame.header.lane === "depth") {
      this.#depth.push(frame);
      this.#pair();
      return;
    }
    for (const ready of this.#queue.push(frame)) this.#decode(ready);
  }

  get decodeQueue(): number {
    return this.#decoder?.decodeQueueSize ?? 0;
  }

  get restarts(): number {
    return this.#restarts;
  }

  get decodes(): boolean {
    return this.#decoder !== null;
  }

  /** Decodes what has come while there was no decoder for it, if there is one now. */
  wake(): void {
    const last = this.#replay.at(-1)?.header.tag.set ?? -1;
    if (this.#decoder || this.#closed || last <= this.#newest) return;
    for (const frame of this.#replay) this.#feed(frame);
  }

  /** Gives its decoder to another: it goes on with the next group for which there is one. */
  rest(): void {
    if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = null;
  }

  /**
   * The server says that nothing moves since this set. Heard twice while there is an older one and nothing is on its
   * way through the decoder, the last frames of the group are lost: that counts as missed, and brings the group again.
   */
  still(set: number): void {
    this.#lacking = set > this.#newest && this.decodeQueue === 0 && !this.#copying ? this.#lacking + 1 : 0;
    if (this.#lacking < 2) return;
    this.#lacking = 0;
    this.#missed += 1;
  }

  get missed(): number {
    return this.#missed + this.#queue.missed;
  }

  takeMissed(): number {
    return this.takeInVain() + this.#queue.takeMissed();
  }

  /** Only what heartbeats named in vain: that has to come again in any layer. */
  takeInVain(): number {
    const missed = this.#missed;
    this.#missed = 0;
    return missed;
  }

  close(): void {
    this.#closed = true;
    if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = null;
    this.#latest?.close();
    this.#latest = null;
    this.#dropUnpaired();
    this.#replay = [];
  }

  #decode(frame: Frame): void {
    if (frame.header.index === 0) {
      this.#replay = [];
      this.#replayBytes = 0;
      this.#restartsOfGroup = 0;
    }
    if (this.#replayBytes < MAX_REPLAY_BYTES) {
      this.#replay.push(frame);
      this.#replayBytes += frame.payload.length;
    }
    this.#feed(frame);
  }

  #feed(frame: Frame): void {
    const { header } = frame;
    if (this.#decoder?.state !== "configured") {
      if (!header.keyframe || !this.#configure(frame)) return;
    }
    this.#headers.set(header.tag.set, header);
    for (const old of this.#headers.keys()) {
      if (this.#headers.size <= 512) break;
      this.#headers.delete(old);
    }
    try {
      this.#decoder?.decode(
        new EncodedVideoChunk({
          type: header.keyframe ? "key" : "delta",
          timestamp: header.tag.set,
          data: frame.payload as Uint8Array<ArrayBuffer>,
        }),
      );
    } catch (error) {
      this.#events.trouble(`decoding set ${header.tag.set}: ${String(error)}`);
    }
  }

  #configure(frame: Frame): boolean {
    if (!this.#events.mayDecode(this)) return false;
    const codec = codecString(frame.payload);
    if (!codec) {
      this.#events.trouble(`the keyframe of set ${frame.header.tag.set} has no sequence parameter set`);
      return false;
    }
    const decoder = new VideoDecoder({
      output: (picture) => this.#decoded(picture),
      error: (error) => this.#failed(decoder, error),
    });
    decoder.configure({
      codec,
      codedWidth: frame.header.width,
      codedHeight: frame.header.height,
      optimizeForLatency: true,
    });
    this.#decoder = decoder;
    return true;
  }

  /** A browser may take a decoder away at any time: another one is fed the current group again. */
  #failed(decoder: VideoDecoder, error: DOMException): void {
    if (this.#closed || this.#decoder !== decoder) return;
    this.#decoder = null;
    this.#restarts += 1;
    this.#events.trouble(`a decoder stopped (${error.message}); it is started again`);
    if (this.#restartsOfGroup >= MAX_RESTARTS) return;
    this.#restartsOfGroup += 1;
    for (const frame of this.#replay) this.#feed(frame);
  }

  #decoded(picture: VideoFrame): void {
    const header = this.#headers.get(picture.timestamp);
    if (this.#closed || !header || header.tag.set <= this.#newest) {
      picture.close();
      return;
    }
    if (this.#isThere(header)) this.#events.complete(header);
    this.#latest?.close();
    this.#latest = picture;
    if (!this.#copying) void this.#copyLatest();
  }

  /** One copy at a time; pictures that arrive meanwhile replace each other. */
  async #copyLatest(): Promise<void> {
    this.#copying = true;
    while (this.#latest) {
      const frame = this.#latest;
      this.#latest = null;
      const header = this.#headers.get(frame.timestamp);
      try {
        const picture = await copyPicture(frame);
        if (this.#closed || !header) {
          if (picture.format === "frame") picture.frame.close();
          break;
        }
        // A picture whose depth is there replaces one that still waits; one without waits only if none does.
        if (this.#isThere(header) || !this.#unpaired) {
          this.#dropUnpaired();
          this.#unpaired = { header, picture };
          this.#pair();
        } else if (picture.format === "frame") picture.frame.close();
      } catch (error) {
        frame.close();
        this.#events.trouble(`reading a decoded picture: ${String(error)}`);
      }
    }
    this.#copying = false;
  }

  #pair(): void {
    const waiting = this.#unpaired;
    if (!waiting || !this.#isThere(waiting.header)) return;
    this.#unpaired = null;
    const { tag, layer, shape, dependsOn } = waiting.header;
    this.#newest = tag.set;
    const depth = hasDepth(waiting.header) ? this.#depth.handOver(dependsOn) : null;
    this.#events.set({ tag, layer, shape, picture: waiting.picture, depth });
  }

  /** Whether the depth of a picture has come, where it has any. */
  #isThere(header: Header): boolean {
    return !hasDepth(header) || this.#depth.has(header.dependsOn);
  }

  #dropUnpaired(): void {
    if (this.#unpaired?.picture.format === "frame") this.#unpaired.picture.frame.close();
    this.#unpaired = null;
  }
}

/** The planes of a picture; where the browser keeps it opaque (a hardware decoder), the picture itself. */
async function copyPicture(frame: VideoFrame): Promise<Picture> {
  const { format } = frame;
  const width = frame.visibleRect?.width ?? frame.codedWidth;
  const height = frame.visibleRect?.height ?? frame.codedHeight;
  if (format !== "I420" && format !== "NV12") return { format: "frame", frame };
  const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const luma = width * height;
  const bytes = new Uint8Array(luma + 2 * w * h);
  const chromaLayout =
    format === "I420"
      ? [
          { offset: luma, stride: w },
          { offset: luma + w * h, stride: w },
        ]
      : [{ offset: luma, stride: 2 * w }];
  await frame.copyTo(bytes, { layout: [{ offset: 0, stride: width }, ...chromaLayout] });
  frame.close();
  const planes = bytes.subarray(luma);
  const chroma = format === "NV12" ? planes.slice() : interleave(planes, w * h);
  return { format: "planes", width, height, y: bytes.subarray(0, luma), chroma };
}

/** U and V one after the other become U and V in turns: one texture, one look-up. */
function interleave(planes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(2 * length);
  for (let i = 0; i < length; i++) {
    out[2 * i] = planes[i] ?? 0;
    out[2 * i + 1] = planes[length + i] ?? 0;
  }
  return out;
}
