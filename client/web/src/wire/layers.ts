// The layers of a vantage: each is a stream with groups, a decoder and a cache of its own.
import type { Reader } from "./reader";

/** `base`, `behind` (what near things of the base hide), or the number of one sharp face. */
export type LayerName = "base" | "behind" | 0 | 1 | 2 | 3 | 4 | 5;

/** By their numbers on the wire. */
export const LAYERS: readonly LayerName[] = ["base", "behind", 0, 1, 2, 3, 4, 5];

export function readLayer(r: Reader): LayerName {
  const number = r.u8();
  const layer = LAYERS[number];
  if (layer === undefined) throw r.invalid("layer", number);
  return layer;
}
