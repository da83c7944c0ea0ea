// The layers on stage: the one on show, the one before it while they cross-fade, and those being prepared.
import * as three from "three";
import { Layer } from "../layer/layer";
import { FACE_COUNT } from "../wire/cube";
import type { Tag } from "../wire/frame";
import type { DecodedSet } from "../worker/messages";
import { vantageKey } from "../worker/messages";

/** Milliseconds of a display frame that uploading may take. */
const UPLOAD_BUDGET_MS = 3;
const UP = new three.Vector3(0, 1, 0);
/** A change of vantage begins with this part of the cross-fade done: its first frame already shows the new place. */
const FIRST_PART = 0.35;
/** Sees a centimetre. */
const NOTHING = new three.PerspectiveCamera(1, 1, 0.05, 0.06);
const FULL = [0, 1] as const;
const HALF = [0, 0.5] as const;

export interface ShownSet {
  readonly key: number;
  readonly tag: Tag;
}

export class Layers {
  readonly object = new three.Group();
  readonly #renderer: three.WebGLRenderer;
  #layers = new Map<number, Layer>();
  #shown: Layer | null = null;
  #leaving: Layer | null = null;
  #fadeFromMs = 0;
  #fadeMs = 0;
  /** What the eye stood at and looked along in the layer that leaves. */
  #leftAt = { point: new three.Vector3(), yaw: 0 };

  constructor(renderer: three.WebGLRenderer) {
    this.#renderer = renderer;
  }

  push(set: DecodedSet): void {
    const key = vantageKey(set.tag);
    let layer = this.#layers.get(key);
    if (!layer) {
      layer = new Layer(this.#renderer, key);
      this.#layers.set(key, layer);
      this.object.add(layer.object);
    }
    layer.push(set);
  }

  get shown(): Layer | null {
    return this.#shown;
  }

  get fading(): boolean {
    return this.#leaving !== null;
  }

  /** The tag of the newest set of a vantage that could be shown now. */
  ready(key: number): Tag | null {
    return this.#layers.get(key)?.tag ?? null;
  }

  /** Shows another vantage, if a set of it is there. `yaw` and `newYaw`: headings of the view before and after. */
  show(key: number, nowMs: number, fadeMs: number, yaw: number, newYaw: number): boolean {
    const layer = this.#layers.get(key);
    if (!layer?.tag) return false;
    if (layer === this.#shown) return true;
    this.#finishFade();
    this.#leaving = this.#shown;
    this.#shown = layer;
    this.#fadeFromMs = nowMs - FIRST_PART * fadeMs;
    this.#fadeMs = fadeMs;
    layer.object.visible = true;
    layer.object.position.set(0, 0, 0);
    layer.object.rotation.set(0, 0, 0);
    if (this.#leaving?.tag) {
      this.#leftAt.point.set(...this.#leaving.tag.point);
      this.#leftAt.yaw = newYaw - yaw;
    }
    return true;
  }

  /** Gives back a layer that is not needed any more. */
  forget(key: number): void {
    const layer = this.#layers.get(key);
    if (!layer || layer === this.#shown || layer === this.#leaving) return;
    layer.dispose();
    this.#layers.delete(key);
  }

  get keys(): number[] {
    return [...this.#layers.keys()];
  }

  /** Once per display frame, before drawing: uploads, cross-fade, culling. Returns the sets that became visible. */
  update(nowMs: number, view: { forward: three.Vector3; halfAngle: number }, brightness: number): ShownSet[] {
    const became: ShownSet[] = [];
    for (const [key, layer] of this.#layers) {
      const tag = layer.work(UPLOAD_BUDGET_MS);
      const rehearses = layer.tag !== null && layer.rehearsed < FACE_COUNT;
      if (rehearses) this.#rehearse(layer);
      const waits = rehearses && layer !== this.#shown;
      if (layer.tag && (waits ? layer.rehearsed === FACE_COUNT : tag)) became.push({ key, tag: layer.tag });
    }
    const shown = this.#shown;
    if (!shown?.tag) return became;
    const part = this.#fadeMs > 0 ? Math.min(1, (nowMs - this.#fadeFromMs) / this.#fadeMs) : 1;
    if (part >= 1) this.#finishFade();
    shown.share = [0, this.#leaving ? part : 1];
    shown.brightness = brightness;
    shown.cull(view.forward, view.halfAngle);
    if (this.#leaving) {
      const { point, yaw } = this.#leftAt;
      const { object } = this.#leaving;
      object.rotation.y = yaw;
      object.position.set(...shown.tag.point).sub(point.clone().applyAxisAngle(UP, yaw));
      this.#leaving.share = [part, 1];
      this.#leaving.brightness = brightness;
      this.#leaving.cull(view.forward.clone().applyAxisAngle(UP, -yaw), view.halfAngle);
    }
    return became;
  }

  /**
   * Draws one face of a layer as it is and as it is during a cross-fade, with a view that ends before anything is in it: buffers reach
   * the GPU and shaders are compiled now, a face in each frame, not in the frame in which all are to see it.
   */
  #rehearse(layer: Layer): void {
    const renderer = this.#renderer;
    const { autoClear } = renderer;
    const xr = renderer.xr.enabled;
    renderer.autoClear = false;
    renderer.xr.enabled = false;
    NOTHING.position.set(...(layer.tag?.point ?? [0, 0, 0]));
    const { visible } = layer.object;
    layer.object.visible = true;
    layer.showOnly(layer.rehearsed);
    for (const share of [FULL, HALF]) {
      layer.share = share;
      renderer.render(layer.object, NOTHING);
    }
    layer.object.visible = visible;
    layer.rehearsed += 1;
    renderer.autoClear = autoClear;
    renderer.xr.enabled = xr;
  }

  /** After a new connection: what is on show stays until something newer is there. */
  keepShown(): void {
    this.#finishFade();
    for (const key of [...this.#layers.keys()]) this.forget(key);
  }

  #finishFade(): void {
    if (!this.#leaving) return;
    this.#leaving.object.visible = false;
    this.#leaving = null;
  }
}
