// Puts the colour frames of one vantage back into decoding order.
import type { Frame } from "../wire/frame";

/** Frames that may wait for one before them. */
const MAX_WAITING = 256;

/**
 * Takes frames as they arrive, gives those that can be decoded now, in order. A group starts with its keyframe; a gap
 * is waited out only until a newer group's keyframe is there, which the server sends every second.
 */
export class GroupQueue {
  #group = -1;
  #next = 0;
  #waiting: Frame[] = [];
  #missed = 0;

  /** Adds a frame and returns what has become decodable. */
  push(frame: Frame): Frame[] {
    const { group, index } = frame.header;
    if (group < this.#group || (group === this.#group && index < this.#next)) {
      this.#missed += 1;
      return [];
    }
    if (this.#waiting.some((f) => f.header.group === group && f.header.index === index)) return [];
    this.#waiting.push(frame);
    const ready: Frame[] = [];
    for (;;) {
      const next = this.#take(this.#group, this.#next);
      if (next) {
        ready.push(next);
        this.#next += 1;
        continue;
      }
      const newer = this.#newestKeyframe();
      if (newer === null) break;
      this.#missed += this.#waiting.filter((f) => f.header.group < newer).length;
      this.#waiting = this.#waiting.filter((f) => f.header.group >= newer);
      this.#group = newer;
      this.#next = 0;
    }
    if (this.#waiting.length > MAX_WAITING) {
      this.#missed += this.#waiting.length;
      this.#waiting = [];
    }
    return ready;
  }

  /** Frames given up that have not been taken. */
  get missed(): number {
    return this.#missed;
  }

  /** Frames given up since the last call. */
  takeMissed(): number {
    const missed = this.#missed;
    this.#missed = 0;
    return missed;
  }

  #take(group: number, index: number): Frame | null {
    const at = this.#waiting.findIndex((f) => f.header.group === group && f.header.index === index);
    return at < 0 ? null : (this.#waiting.splice(at, 1)[0] ?? null);
  }

  #newestKeyframe(): number | null {
    const keys = this.#waiting.filter((f) => f.header.keyframe && f.header.index === 0 && f.header.group > this.#group);
    return keys.length === 0 ? null : Math.max(...keys.map((f) => f.header.group));
  }
}
