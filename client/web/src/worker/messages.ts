// What the page and the worker that holds the connection say to each other.
import type { ClockError } from "../clock/now";
import type { Line } from "../clock/sync";
import type { FaceMesh } from "../layer/mesh";
import type { Avatars, Commit, Still } from "../wire/datagram";
import type { Shape, Tag } from "../wire/frame";
import type { LayerName } from "../wire/layers";

export type ToWorker =
  | {
      readonly kind: "open";
      readonly url: string;
      readonly certificateSha256: Uint8Array<ArrayBuffer> | null;
      readonly clockError: ClockError;
    }
  | { readonly kind: "control"; readonly bytes: Uint8Array }
  | { readonly kind: "datagram"; readonly bytes: Uint8Array<ArrayBuffer> }
  /** Decode, but hand over no sets: for measuring that presenting does not depend on them. */
  | { readonly kind: "withhold"; readonly on: boolean }
  /** This vantage is not shown any more: its decoders are given back. */
  | { readonly kind: "forget"; readonly key: number }
  /** The vantages that are shown or are to be, the most important first: these keep their decoders before others. */
  | { readonly kind: "keep"; readonly keys: readonly number[] }
  | { readonly kind: "close" };

export type FromWorker =
  | { readonly kind: "opened" }
  | { readonly kind: "control"; readonly bytes: Uint8Array }
  | { readonly kind: "avatars"; readonly avatars: Avatars; readonly atUs: number }
  | Commit
  | Still
  | { readonly kind: "clock"; readonly line: Line; readonly rttUs: number; readonly errorUs: number }
  | { readonly kind: "set"; readonly set: DecodedSet }
  | { readonly kind: "stats"; readonly stats: Stats }
  /** Something was wrong with what arrived; the tour goes on. */
  | { readonly kind: "trouble"; readonly message: string }
  | { readonly kind: "closed"; readonly reason: string };

/** What a decoder and a layer are kept under: an id of a vantage may come back at another stop. */
export function vantageKey(place: { readonly epoch: number; readonly vantage: number }): number {
  return (place.epoch & 0xffff) * 0x10000 + place.vantage;
}

/** A complete set of one layer: decoded colour and the depth that belongs to it, where it has any. */
export interface DecodedSet {
  readonly tag: Tag;
  readonly layer: LayerName;
  readonly shape: Shape;
  readonly picture: Picture;
  readonly depth: DepthUpdate | null;
}

export type Picture = PlanarPicture | { readonly format: "frame"; readonly frame: VideoFrame };

/** BT.709, limited range, 4:2:0; an atlas of faces, or one. */
export interface PlanarPicture {
  readonly format: "planes";
  readonly width: number;
  readonly height: number;
  readonly y: Uint8Array<ArrayBuffer>;
  /** U and V, interleaved. */
  readonly chroma: Uint8Array<ArrayBuffer>;
}

/** The faces whose depth is not the one that was handed over before for this vantage. */
export interface DepthUpdate {
  readonly set: number;
  readonly size: number;
  readonly faces: readonly {
    readonly face: number;
    readonly samples: Uint16Array<ArrayBuffer>;
    readonly mesh: FaceMesh;
  }[];
}

export interface Stats {
  readonly complete: number;
  readonly missed: number;
  readonly bytes: number;
  readonly decodeQueue: number;
  readonly delayMs: number;
  readonly decoderRestarts: number;
  /** How many decoders there are now. */
  readonly decoders: number;
}
