// The layers on stage: the one on show, the one before it while they cross-fade, and those being prepared.
import * as three from "three";
import { Layer } from "../layer/layer";
import { FACES, type Vec3 } from "../wire/cube";
import type { Tag } from "../wire/frame";
import type { DecodedSet } from "../worker/messages";
import { vantageKey } from "../worker/messages";

/** Milliseconds of a display frame that uploading may take, and while there is nothing to look at meanwhile. */
const UPLOAD_BUDGET_MS = 3;
const HURRIED_BUDGET_MS = 60;
const UP = new three.Vector3(0, 1, 0);
/** A change of stop begins with this part of the cross-fade done: its first frame already shows the new place. */
export const STOP_FIRST_PART = 0.4;
/** The server sends the sharp picture of a face whose axis is this near to the gaze. */
const LOOKED_AT = three.MathUtils.degToRad(60);
/** Sees a centimetre. */
const NOTHING = new three.PerspectiveCamera(1, 1, 0.05, 0.06);
NOTHING.layers.enableAll();

/** Of groups: all before the people and the rings, which have 0. */
const ORDER = { leaving: -3, between: -2, coming: -1 } as const;

export interface ShownSet {
  readonly key: number;
  readonly tag: Tag;
}

export class Layers {
  readonly object = new three.Group();
  /** Makes cross-fades longer, to look at them. */
  stretch = 1;
  /** How long it took from looking at a face until all of it was sharp, the last hundred. */
  readonly sharpAfterMs: number[] = [];
  #lookedAt = new Map<number, number>();
  /** What is on show is not what is to be seen. */
  hurried = false;
  readonly #renderer: three.WebGLRenderer;
  #layers = new Map<number, Layer>();
  /** Where wearers stand in vantages of their own. */
  #standsAt = new Map<number, Vec3>();
  #shown: Layer | null = null;
  #leaving: Layer | null = null;
  #fadeFromMs = 0;
  #fadeMs = 0;
  #part = 1;
  /** Between the layer that leaves and the one that comes: what is nearest of the one must not hide the other. */
  readonly #between = new three.Group();
  /** What the eye stood at and looked along in the layer that leaves. */
  #leftAt = { point: new three.Vector3(), yaw: 0 };

  constructor(renderer: three.WebGLRenderer) {
    this.#renderer = renderer;
    const nothing = new three.BufferGeometry();
    nothing.setAttribute("position", new three.BufferAttribute(new Float32Array(9), 3));
    const clears = new three.Mesh(nothing, new three.MeshBasicMaterial({ colorWrite: false, depthWrite: false }));
    clears.frustumCulled = false;
    clears.onBeforeRender = () => renderer.clearDepth();
    this.#between.add(clears);
    this.#between.renderOrder = ORDER.between;
    this.#between.visible = false;
    this.object.add(this.#between);
  }

  push(set: DecodedSet): void {
    const key = vantageKey(set.tag);
    let layer = this.#layers.get(key);
    if (!layer) {
      layer = new Layer(this.#renderer, key);
      layer.standsAt = this.#standsAt.get(key) ?? null;
      this.#layers.set(key, layer);
      this.object.add(layer.object);
    }
    layer.push(set);
  }

  /** Where the eye of a vantage of its own is, but for the head's own movement. */
  standAt(key: number, eye: Vec3 | null): void {
    if (eye) this.#standsAt.set(key, eye);
    else this.#standsAt.delete(key);
    const layer = this.#layers.get(key);
    if (layer) layer.standsAt = eye;
  }

  get shown(): Layer | null {
    return this.#shown;
  }

  /** The part of the cross-fade that is done; `null` while there is none. */
  get fading(): number | null {
    return this.#leaving && this.#part;
  }

  /** The tag of the newest set of a vantage that could be shown now. */
  ready(key: number): Tag | null {
    return this.#layers.get(key)?.tag ?? null;
  }

  /**
   * Shows another vantage, if a set of it is there. The eye is at the new place from the next frame on; the old one is
   * warped to where it would be there, so that nothing moves while one becomes the other. `turnedBy`: what the view
   * turns by with it, radians.
   */
  show(key: number, nowMs: number, fade: { readonly ms: number; readonly from: number }, turnedBy: number): boolean {
    const layer = this.#layers.get(key);
    if (!layer?.tag) return false;
    if (layer === this.#shown) return true;
    this.#finishFade();
    this.#leaving = this.#shown;
    this.#shown = layer;
    this.#fadeMs = fade.ms * this.stretch;
    this.#fadeFromMs = nowMs - fade.from * this.#fadeMs;
    layer.object.visible = true;
    layer.object.position.set(0, 0, 0);
    layer.object.rotation.set(0, 0, 0);
    if (this.#leaving?.anchor) {
      this.#leftAt.point.set(...this.#leaving.anchor);
      this.#leftAt.yaw = turnedBy;
    }
    return true;
  }

  /** Gives back a layer that is not needed any more. */
  forget(key: number): void {
    const layer = this.#layers.get(key);
    if (!layer || layer === this.#shown || layer === this.#leaving) return;
    layer.dispose();
    this.#layers.delete(key);
    this.#standsAt.delete(key);
  }

  dispose(): void {
    for (const layer of this.#layers.values()) layer.dispose();
    this.#layers.clear();
    this.#shown = null;
    this.#leaving = null;
  }

  get keys(): number[] {
    return [...this.#layers.keys()];
  }

  /** Once per display frame, before drawing: uploads, cross-fade, culling. Returns the sets that became visible. */
  update(nowMs: number, view: { forward: three.Vector3; halfAngle: number }, brightness: number): ShownSet[] {
    const became: ShownSet[] = [];
    for (const [key, layer] of this.#layers) {
      const hurried = this.hurried || !this.#shown;
      const tag = layer.work(hurried ? HURRIED_BUDGET_MS : UPLOAD_BUDGET_MS);
      const rehearses = !hurried && layer.tag !== null && layer.rehearsed < layer.faceCount;
      if (rehearses) this.#rehearse(layer);
      const waits = rehearses && layer !== this.#shown;
      if (layer.tag && (waits ? layer.rehearsed === layer.faceCount : tag)) became.push({ key, tag: layer.tag });
    }
    const shown = this.#shown;
    if (!shown?.tag) return became;
    const part = this.#fadeMs > 0 ? Math.min(1, (nowMs - this.#fadeFromMs) / this.#fadeMs) : 1;
    if (part >= 1) this.#finishFade();
    this.#part = part * part * (3 - 2 * part);
    shown.opacity = this.#leaving ? this.#part : 1;
    shown.object.renderOrder = this.#leaving ? ORDER.coming : 0;
    shown.brightness = brightness;
    shown.cull(view.forward, view.halfAngle);
    this.#noteSharp(shown, view.forward, nowMs);
    if (this.#leaving) {
      const { point, yaw } = this.#leftAt;
      const { object } = this.#leaving;
      object.rotation.y = yaw;
      object.position.set(...(shown.anchor ?? shown.tag.point)).sub(point.clone().applyAxisAngle(UP, yaw));
      this.#leaving.opacity = 1;
      object.renderOrder = ORDER.leaving;
      this.#between.visible = true;
      this.#leaving.brightness = brightness;
      this.#leaving.cull(view.forward.clone().applyAxisAngle(UP, -yaw), view.halfAngle);
    }
    return became;
  }

  #noteSharp(shown: Layer, forward: three.Vector3, nowMs: number): void {
    if (shown.isStereo) return;
    FACES.forEach(({ forward: axis }, face) => {
      if (forward.angleTo(new three.Vector3(...axis)) > LOOKED_AT) {
        this.#lookedAt.delete(face);
        return;
      }
      const since = this.#lookedAt.get(face) ?? nowMs;
      this.#lookedAt.set(face, since);
      // What was sharp before it was looked at took no time; each is noted once.
      if (since === Number.POSITIVE_INFINITY || !shown.sharp.some((s) => s.face === face && s.part === 1)) return;
      this.#lookedAt.set(face, Number.POSITIVE_INFINITY);
      this.sharpAfterMs.push(nowMs - since);
      if (this.sharpAfterMs.length > 100) this.sharpAfterMs.shift();
    });
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
    for (const opacity of [1, 0.5]) {
      layer.opacity = opacity;
      layer.showOnly(layer.rehearsed);
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
    this.#leaving.object.renderOrder = 0;
    this.#between.visible = false;
    this.#leaving = null;
  }
}
