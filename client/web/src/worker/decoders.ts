// Who decodes: browsers take decoders away beyond about four, so the layers of what is on show come first.
import type { LayerName } from "../wire/layers";

/** Most decoders at a time. */
export const MAX_DECODERS = 4;

/** What this knows of a stream. */
interface Decoding {
  readonly key: number;
  readonly layer: LayerName;
  readonly decodes: boolean;
  fed: number;
  rest(): void;
  wake(): void;
}

export class Decoders<S extends Decoding> {
  /** Keys of the vantages that are shown or are to be, the most important first. */
  kept: readonly number[] = [];
  readonly #streams: () => readonly S[];
  #clock = 0;

  constructor(streams: () => readonly S[]) {
    this.#streams = streams;
  }

  /** Something has come for this one. */
  fed(stream: S): S {
    this.#clock += 1;
    stream.fed = this.#clock;
    return stream;
  }

  /** Whether this stream may have a decoder: one is free, or one is taken from a stream that matters less. */
  grant(stream: S): boolean {
    const others = this.#streams().filter((s) => s.decodes && s !== stream);
    if (others.length < MAX_DECODERS) return true;
    const least = this.#least(others);
    if (!least || this.#compare(least, stream) <= 0) return false;
    least.rest();
    return true;
  }

  /** Something has changed that may give decoders to those without, the most important first. */
  wake(): void {
    for (const s of this.#streams().toSorted((a, b) => this.#compare(a, b))) s.wake();
  }

  leastNeeded(): S | null {
    return this.#least(this.#streams());
  }

  #least(streams: readonly S[]): S | null {
    return streams.toSorted((a, b) => this.#compare(b, a))[0] ?? null;
  }

  /** Positive where `a` matters less than `b`; among equals what was fed longest ago matters least. */
  #compare(a: S, b: S): number {
    return this.#rank(a) - this.#rank(b) || b.fed - a.fed;
  }

  /** Pictures that are shown, then those that are to be, then what is behind them, then what only makes them sharper. */
  #rank({ key, layer }: S): number {
    const place = this.kept.indexOf(key);
    const vantage = place < 0 ? 8 : Math.min(place, 3);
    if (layer === "base") return vantage;
    return vantage + (layer === "behind" ? 4 : place === 0 ? 4.5 : 9);
  }
}
