// Sharp pictures of single faces: which of them may be shown on the base's set, and how they come and go.
import type * as three from "three";
import { isSharpOf, type Tag } from "../wire/frame";
import type { DecodedSet, Picture } from "../worker/messages";
import { closePicture, Textures } from "./pictures";
import type { Relief } from "./relief";

/** A sharp picture takes this long to come in. */
const BLEND_MS = 150;

interface Face {
  /** Two take turns. */
  front: Textures;
  back: Textures;
  tag: Tag | null;
  next: { tag: Tag; picture: Picture } | null;
  /** Since when it has been shown without a break. */
  sinceMs: number | null;
}

export class Sharp {
  readonly #renderer: three.WebGLRenderer;
  readonly #faces = new Map<number, Face>();

  constructor(renderer: three.WebGLRenderer) {
    this.#renderer = renderer;
  }

  push(set: DecodedSet): void {
    if (typeof set.layer !== "number") return;
    let face = this.#faces.get(set.layer);
    if (!face) {
      const [front, back] = [new Textures(this.#renderer), new Textures(this.#renderer)];
      face = { front, back, tag: null, next: null, sinceMs: null };
      this.#faces.set(set.layer, face);
    }
    closePicture(face.next?.picture);
    face.next = { tag: set.tag, picture: set.picture };
  }

  get waits(): boolean {
    return [...this.#faces.values()].some((f) => f.next);
  }

  /** The uploads of what has come. */
  plan(): (() => void)[] {
    return [...this.#faces.values()].flatMap((face) => {
      const { next } = face;
      if (!next) return [];
      face.next = null;
      return [
        ...face.back.uploads(next.picture),
        () => {
          [face.front, face.back] = [face.back, face.front];
          face.tag = next.tag;
        },
      ];
    });
  }

  /** Shows on the base what is true of it, and nothing else. Returns the faces that are sharp, and how far. */
  show(base: Relief, nowMs: number): readonly { face: number; part: number }[] {
    const shown: { face: number; part: number }[] = [];
    for (const [index, face] of this.#faces) {
      const valid = face.tag !== null && base.tag !== null && isSharpOf(face.tag, index, base.tag);
      if (!valid || !face.tag) {
        face.sinceMs = null;
        base.sharpen(index, 0, null);
        continue;
      }
      face.sinceMs ??= nowMs;
      const t = Math.min(1, (nowMs - face.sinceMs) / BLEND_MS);
      const part = t * t * (3 - 2 * t);
      base.sharpen(index, part, { textures: face.front, halfTangent: face.tag.halfTangent });
      shown.push({ face: index, part });
    }
    return shown;
  }

  dispose(): void {
    for (const face of this.#faces.values()) {
      closePicture(face.next?.picture);
      face.front.dispose();
      face.back.dispose();
    }
    this.#faces.clear();
  }
}
