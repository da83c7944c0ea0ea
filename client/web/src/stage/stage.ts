// The place that the page draws: camera, layers, people. It presents every display frame, whatever the network does.
import * as three from "three";
import { clientUsOf, nowUs } from "../clock/now";
import type { DecodedSet } from "../worker/messages";
import { Layers, type ShownSet, STOP_FIRST_PART } from "./layers";
import { FlatView } from "./view";

/** Cross-fades: walking, and a change of stop, whose first frame already shows it. */
export const CELL_FADE = { ms: 350, from: 0.05 } as const;
export const CALM_CELL_FADE = { ms: 150, from: 0.1 } as const;
export const STOP_FADE = { ms: 200, from: STOP_FIRST_PART } as const;
export const NO_FADE = { ms: 0, from: 1 } as const;
/** A prediction beyond one frame of a slow display helps nobody. */
const MAX_AHEAD_US = 17_000;
const RING = 600;
/** Half the diagonal of what both eyes of a headset see. */
const HALF_ANGLE_WORN = 1.15;

export interface FrameInfo {
  readonly nowMs: number;
  readonly deltaS: number;
  /** Since the frame before, as the display says it. */
  readonly intervalMs: number;
  /** When this frame is expected to be seen, client time. */
  readonly displayedAtUs: number;
  readonly xr: XRFrame | null;
}

export interface StageEvents {
  /** Before drawing. */
  frame(info: FrameInfo): void;
  /** After the drawing commands of a frame were given. */
  drawn(info: FrameInfo): void;
  shown(set: ShownSet): void;
}

export class Stage {
  readonly renderer: three.WebGLRenderer;
  readonly scene = new three.Scene();
  readonly camera = new three.PerspectiveCamera(75, 1, 0.05, 40_000);
  /** What the wearer's room hangs in: moved so that the head is at the eye point. */
  readonly rig = new three.Group();
  readonly layers: Layers;
  readonly view = new FlatView();
  presentedFrames = 0;
  /** Milliseconds between frames and of CPU within them, the last 600. */
  readonly intervalsMs: number[] = [];
  readonly cpuMs: number[] = [];
  /** 0 black … 1 as rendered. */
  brightness = 1;
  /** How the head that wears the headset is turned, in the world. */
  wornRotation: three.Quaternion | null = null;
  readonly #events: StageEvents;
  readonly #maxPixelRatio: number;
  #lastMs = 0;

  constructor(canvas: HTMLCanvasElement, events: StageEvents) {
    this.#events = events;
    const software = isSoftware();
    this.#maxPixelRatio = software ? 1 : 2;
    this.renderer = new three.WebGLRenderer({
      canvas,
      antialias: !software,
      alpha: false,
      powerPreference: "high-performance",
    });
    this.renderer.setClearColor(0x0d1220, 1);
    this.renderer.xr.enabled = true;
    this.renderer.xr.setReferenceSpaceType("local-floor");
    this.renderer.sortObjects = true;
    this.layers = new Layers(this.renderer);
    this.scene.add(this.layers.object, this.rig);
    this.rig.add(this.camera);
    // In a window both eyes are the left one.
    this.camera.layers.enable(1);
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
    this.renderer.setAnimationLoop((time, frame) => this.#frame(time, frame ?? null));
  }

  push(set: DecodedSet): void {
    this.layers.push(set);
  }

  /** Where the eye is but for its own movement: the rendered point of what is on show, or where a roamer stands. */
  get point(): three.Vector3 {
    const anchor = this.layers.shown?.anchor;
    return anchor ? new three.Vector3(...anchor) : new three.Vector3();
  }

  /** The camera is the window's again. */
  leftXr(): void {
    // three ends its side of the session in the same event; the size may be set after that.
    setTimeout(() => this.#resize(), 0);
  }

  get inXr(): boolean {
    return this.renderer.xr.isPresenting;
  }

  /** World transforms of the cameras that drew the last frame: one, or both eyes. */
  get eyes(): three.PerspectiveCamera[] {
    return this.inXr ? (this.renderer.xr.getCamera().cameras as three.PerspectiveCamera[]) : [this.camera];
  }

  #frame(time: number, xr: XRFrame | null): void {
    const began = performance.now();
    const interval = this.#lastMs > 0 ? time - this.#lastMs : 16;
    this.#lastMs = time;
    remember(this.intervalsMs, interval);
    const ahead = Math.min(MAX_AHEAD_US, Math.max(0, interval * 1000));
    const predicted = (xr as (XRFrame & { predictedDisplayTime?: number }) | null)?.predictedDisplayTime;
    const displayedAtUs = Math.max(nowUs(), predicted ? clientUsOf(predicted) : clientUsOf(time) + ahead);
    const info: FrameInfo = {
      nowMs: began,
      deltaS: Math.min(0.1, interval / 1000),
      intervalMs: interval,
      displayedAtUs,
      xr,
    };
    this.#events.frame(info);
    if (!this.inXr) this.#placeFlatCamera();
    for (const shown of this.layers.update(began, this.#looking(), this.brightness)) this.#events.shown(shown);
    if (!this.inXr) this.#placeFlatCamera();
    this.renderer.render(this.scene, this.camera);
    this.presentedFrames += 1;
    this.#events.drawn(info);
    remember(this.cpuMs, performance.now() - began);
  }

  #placeFlatCamera(): void {
    this.rig.position.set(0, 0, 0);
    this.rig.rotation.set(0, 0, 0);
    this.camera.position.copy(this.point).add(this.view.offset);
    this.camera.quaternion.copy(this.view.quaternion);
    this.camera.updateMatrixWorld();
  }

  #looking(): { forward: three.Vector3; halfAngle: number } {
    if (this.inXr) {
      const ahead = new three.Vector3(0, 0, -1);
      // Until the head is known everything is drawn.
      if (!this.wornRotation) return { forward: ahead, halfAngle: Math.PI };
      return { forward: ahead.applyQuaternion(this.wornRotation), halfAngle: HALF_ANGLE_WORN };
    }
    const tan = Math.tan(three.MathUtils.degToRad(this.camera.fov) / 2);
    return {
      forward: this.camera.getWorldDirection(new three.Vector3()),
      halfAngle: Math.atan(Math.hypot(tan, tan * this.camera.aspect)),
    };
  }

  #resize(): void {
    if (this.inXr) return;
    const { clientWidth: w, clientHeight: h } = this.renderer.domElement;
    if (w === 0 || h === 0) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, this.#maxPixelRatio));
    this.renderer.setSize(w, h, false);
    this.camera.aspect = w / h;
    // A tall window keeps its width of view.
    this.camera.fov = w >= h ? 70 : Math.min(100, (2 * Math.atan(0.7 * (h / w)) * 180) / Math.PI);
    this.camera.updateProjectionMatrix();
  }
}

function remember(ring: number[], value: number): void {
  ring.push(value);
  if (ring.length > RING) ring.shift();
}

/** Whether WebGL runs on the processor: then every pixel counts. */
function isSoftware(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return false;
  const info = gl.getExtension("WEBGL_debug_renderer_info");
  const name = String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software/i.test(name);
}
