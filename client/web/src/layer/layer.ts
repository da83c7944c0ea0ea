// One vantage as the headset draws it: its base, what lies behind near things, and sharper pictures of single faces.
import * as three from "three";
import type { Vec3 } from "../wire/cube";
import type { Tag } from "../wire/frame";
import type { DecodedSet } from "../worker/messages";
import { isBehind, Relief } from "./relief";
import { Sharp } from "./sharp";

export class Layer {
  readonly object = new three.Group();
  /** `vantageKey` of what it shows. */
  readonly key: number;
  /** Faces that have been drawn before the layer is on show. */
  rehearsed = 0;
  /** Where its wearer's eye is but for its own movement, where that is not the rendered point: it follows a lone roamer. */
  standsAt: Vec3 | null = null;
  /** Faces whose sharp picture is shown, and how much of it. */
  sharp: readonly { face: number; part: number }[] = [];
  readonly #renderer: three.WebGLRenderer;
  #base: Relief | null = null;
  #behind: Relief | null = null;
  readonly #sharp: Sharp;
  #steps: (() => void)[] = [];
  #opacity = 1;
  #brightness = 1;

  constructor(renderer: three.WebGLRenderer, key: number) {
    this.#renderer = renderer;
    this.key = key;
    this.#sharp = new Sharp(renderer);
    this.object.visible = false;
  }

  /** The base's set on show. */
  get tag(): Tag | null {
    return this.#base?.tag ?? null;
  }

  /** Where the eye is, but for the head's own movement. */
  get anchor(): Vec3 | null {
    return this.isStereo && this.standsAt ? this.standsAt : (this.tag?.point ?? null);
  }

  /** A pair of eyes, not a place that many share. */
  get isStereo(): boolean {
    return this.#base?.shape === "stereo";
  }

  /** What lies behind near things is shown, not guessed. */
  get hasBehind(): boolean {
    return this.#behind?.tag != null;
  }

  get faceCount(): number {
    return this.#base?.faceCount ?? 0;
  }

  /** Takes a complete set of any layer of this vantage. */
  push(set: DecodedSet): void {
    if (typeof set.layer === "number") this.#sharp.push(set);
    else if (set.layer === "behind") this.#reliefOf(set, true).push(set);
    else this.#reliefOf(set, false).push(set);
  }

  /**
   * Uploads a part of what has arrived, at most about `budgetMs` of it, at least one step. Returns the tag of the set
   * that is on show from now on, if one has become so.
   */
  work(budgetMs: number): Tag | null {
    const until = performance.now() + budgetMs;
    const before = this.tag;
    do {
      if (this.#steps.length === 0 && !this.#plan()) break;
      this.#steps.shift()?.();
    } while (performance.now() < until);
    if (this.#base) this.sharp = this.#sharp.show(this.#base, performance.now());
    return this.tag === before ? null : this.tag;
  }

  /** Whether everything that has arrived is on show. */
  get idle(): boolean {
    return this.#steps.length === 0 && !this.#base?.waits && !this.#behind?.waits && !this.#sharp.waits;
  }

  /** Draws only the faces that a view around `forward` with this half angle can see. */
  cull(forward: three.Vector3, halfAngle: number): void {
    for (const relief of this.#reliefs) relief.cull(forward, halfAngle);
  }

  showOnly(face: number): void {
    for (const relief of this.#reliefs) relief.showOnly(face);
  }

  set opacity(value: number) {
    this.#opacity = value;
    for (const relief of this.#reliefs) relief.opacity = value;
  }

  set brightness(value: number) {
    this.#brightness = value;
    for (const relief of this.#reliefs) relief.brightness = value;
  }

  /** Inverse depth of the base, as it is read outside the shaders. */
  get depthView(): Relief["depthView"] {
    return this.#base?.depthView ?? null;
  }

  get depthTexture(): three.DataArrayTexture | null {
    return this.#base?.depthTexture ?? null;
  }

  dispose(): void {
    this.#steps = [];
    this.object.removeFromParent();
    for (const relief of this.#reliefs) relief.dispose();
    this.#sharp.dispose();
  }

  get #reliefs(): Relief[] {
    return [this.#base, this.#behind].filter((r) => r !== null);
  }

  #reliefOf(set: DecodedSet, behind: boolean): Relief {
    const known = behind ? this.#behind : this.#base;
    if (known?.shape === set.shape) return known;
    if (known) this.#steps = [];
    known?.dispose();
    const fresh = new Relief(this.#renderer, set.shape, behind);
    fresh.opacity = this.#opacity;
    fresh.brightness = this.#brightness;
    if (behind) this.#behind = fresh;
    else this.#base = fresh;
    // Not before it is complete: an empty one would be drawn with nothing in it.
    fresh.object.visible = false;
    this.object.add(fresh.object);
    return fresh;
  }

  /** The base first: it is what is always shown. */
  #plan(): boolean {
    const [base, behind] = [this.#base, this.#behind];
    if (base?.waits) {
      this.#steps = base.plan(() => {
        base.object.visible = true;
      });
    } else if (behind?.waits) {
      this.#steps = behind.plan(() => {
        behind.object.visible = true;
        base?.yieldTo(behind.present);
      });
    } else if (this.#sharp.waits) this.#steps = this.#sharp.plan();
    return this.#steps.length > 0;
  }
}

/** Where a ray from `origin` (near the rendered point) meets the layer, stop-local metres; `null` for sky. */
export function raycast(layer: Layer, origin: three.Vector3, direction: three.Vector3): three.Vector3 | null {
  const view = layer.depthView;
  if (!view) return null;
  const p = new three.Vector3();
  let before = 0;
  // Steps grow with the distance, as the error of what is behind an edge does.
  for (let t = 0.2; t < 650; before = t, t *= 1.02) {
    p.copy(direction).multiplyScalar(t).add(origin);
    if (!isBehind(view, p)) continue;
    let [low, high] = [before, t];
    for (let i = 0; i < 12; i++) {
      const middle = (low + high) / 2;
      p.copy(direction).multiplyScalar(middle).add(origin);
      if (isBehind(view, p)) high = middle;
      else low = middle;
    }
    return p.copy(direction).multiplyScalar(high).add(origin);
  }
  return null;
}
