// Sharp pictures of single faces: which of them may be shown on the base's set, and how they come and go.
import type * as three from "three";
import { FACES, type Vec3 } from "../wire/cube";
import { isSharpOf, type Tag } from "../wire/frame";
import type { DecodedSet, Picture } from "../worker/messages";
import { closePicture, Textures } from "./pictures";
import type { Relief } from "./relief";

/** A sharp picture takes this long to come in. */
const BLEND_MS = 150;

/** The faces to the left, to the right, above and below each. */
const NEIGHBOURS = FACES.map(({ right, up }) => {
  const towards = (v: Vec3, sign: 1 | -1): number =>
    FACES.findIndex(({ forward }) => forward.every((c, i) => c === sign * (v[i] ?? 0)));
  return [towards(right, -1), towards(right, 1), towards(up, 1), towards(up, -1)] as const;
});

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
    const parts = new Map<number, number>();
    for (const [index, face] of this.#faces) {
      const valid = face.tag !== null && base.tag !== null && isSharpOf(face.tag, index, base.tag);
      if (!valid) {
        face.sinceMs = null;
        base.sharpen(index, 0, null);
        continue;
      }
      face.sinceMs ??= nowMs;
      const t = Math.min(1, (nowMs - face.sinceMs) / BLEND_MS);
      parts.set(index, t * t * (3 - 2 * t));
    }
    // No line where a sharp face meets one that is not.
    const fade = (neighbour: number): number => 1 - (parts.get(neighbour) ?? 0);
    for (const [index, part] of parts) {
      const face = this.#faces.get(index);
      const [left, right, above, below] = NEIGHBOURS[index] ?? [0, 0, 0, 0];
      if (!face?.tag) continue;
      const fades = [fade(left), fade(right), fade(above), fade(below)] as const;
      base.sharpen(index, part, { textures: face.front, halfTangent: face.tag.halfTangent, fades });
    }
    return [...parts].map(([face, part]) => ({ face, part }));
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
