// Mouse, touch and keys for who looks through a window.
import * as three from "three";
import type { Stage } from "./stage";

const TURN_PER_PIXEL = 0.0032;
const TURN_PER_S = 1.4;
const LEAN_PER_S = 0.6;
const CLICK_PIXELS = 6;

export interface FlatInputEvents {
  pick(ray: three.Ray): number | null;
  hover(cell: number | null): void;
  /** The next place to go to, to the right or to the left. */
  choose(by: 1 | -1): void;
  walk(cell: number): void;
  walkToChosen(): void;
  /** Where a ray meets floor to stand on. */
  floor(ray: three.Ray): three.Vector3 | null;
  /** The floor that a click would lead to, or none. */
  spot(at: three.Vector3 | null): void;
  roam(to: three.Vector3): void;
  mayPoint(): boolean;
}

export class FlatInput {
  readonly #canvas: HTMLCanvasElement;
  readonly #stage: Stage;
  readonly #events: FlatInputEvents;
  readonly #held = new Set<string>();
  #drag: { id: number; x: number; y: number; moved: number } | null = null;
  #mouse: three.Vector2 | null = null;
  #pointing = false;

  constructor(canvas: HTMLCanvasElement, stage: Stage, events: FlatInputEvents) {
    this.#canvas = canvas;
    this.#stage = stage;
    this.#events = events;
    canvas.addEventListener("pointerdown", (e) => this.#down(e));
    canvas.addEventListener("pointermove", (e) => this.#move(e));
    canvas.addEventListener("pointerup", (e) => this.#up(e));
    canvas.addEventListener("pointercancel", (e) => this.#up(e));
    canvas.addEventListener("pointerleave", () => {
      this.#events.hover(null);
      this.#events.spot(null);
    });
    canvas.addEventListener("contextmenu", (e) => e.preventDefault());
    canvas.addEventListener("keydown", (e) => this.#key(e, true));
    canvas.addEventListener("keyup", (e) => this.#key(e, false));
    canvas.addEventListener("blur", () => {
      this.#held.clear();
      this.#pointing = false;
    });
  }

  /** Where the guide points, while they do. */
  get pointingRay(): three.Ray | null {
    return this.#pointing && this.#events.mayPoint() ? this.#ray(this.#mouse ?? new three.Vector2(0, 0)) : null;
  }

  /** For tests: points through a place of the window, −1 … 1, y up; `null` ends it. */
  pointAt(place: readonly [number, number] | null): void {
    this.#pointing = place !== null;
    if (place) this.#mouse = new three.Vector2(...place);
  }

  frame(deltaS: number): void {
    const on = (...codes: string[]): number => (codes.some((c) => this.#held.has(c)) ? 1 : 0);
    const view = this.#stage.view;
    view.turn(
      (on("ArrowLeft", "KeyQ") - on("ArrowRight", "KeyE")) * TURN_PER_S * deltaS,
      (on("ArrowUp") - on("ArrowDown")) * TURN_PER_S * deltaS,
    );
    const lean = LEAN_PER_S * deltaS;
    view.lean(
      (on("KeyD") - on("KeyA")) * lean,
      (on("PageUp") - on("PageDown")) * lean,
      (on("KeyW") - on("KeyS")) * lean,
    );
  }

  #down(e: PointerEvent): void {
    this.#canvas.focus({ preventScroll: true });
    this.#mouse = this.#place(e);
    if (e.button === 2 && this.#events.mayPoint()) {
      this.#pointing = true;
      return;
    }
    if (e.button !== 0) return;
    this.#drag = { id: e.pointerId, x: e.clientX, y: e.clientY, moved: 0 };
    this.#canvas.setPointerCapture(e.pointerId);
  }

  #move(e: PointerEvent): void {
    this.#mouse = this.#place(e);
    const drag = this.#drag;
    if (!drag || drag.id !== e.pointerId) {
      const ray = this.#ray(this.#mouse);
      const cell = this.#events.pick(ray);
      const spot = cell === null && e.pointerType === "mouse" ? this.#events.floor(ray) : null;
      this.#events.hover(cell);
      this.#events.spot(spot);
      this.#canvas.style.cursor = cell === null && !spot ? "grab" : "pointer";
      return;
    }
    const [dx, dy] = [e.clientX - drag.x, e.clientY - drag.y];
    drag.moved += Math.abs(dx) + Math.abs(dy);
    [drag.x, drag.y] = [e.clientX, e.clientY];
    this.#stage.view.turn(dx * TURN_PER_PIXEL, dy * TURN_PER_PIXEL);
    this.#canvas.style.cursor = "grabbing";
  }

  #up(e: PointerEvent): void {
    if (e.button === 2) this.#pointing = false;
    const drag = this.#drag;
    if (!drag || drag.id !== e.pointerId) return;
    this.#drag = null;
    this.#canvas.style.cursor = "grab";
    if (drag.moved > CLICK_PIXELS || e.type === "pointercancel") return;
    const ray = this.#ray(this.#place(e));
    const cell = this.#events.pick(ray);
    const floor = cell === null ? this.#events.floor(ray) : null;
    if (cell !== null) this.#events.walk(cell);
    else if (floor) this.#events.roam(floor);
    this.#events.spot(null);
  }

  #key(e: KeyboardEvent, down: boolean): void {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (/^(Arrow|Page|Key[WASDQE]$)/.test(e.code)) {
      if (down) this.#held.add(e.code);
      else this.#held.delete(e.code);
      e.preventDefault();
    } else if (e.code === "Space") {
      this.#pointing = down;
      e.preventDefault();
    } else if (down && !e.repeat) {
      if (/^Digit[1-9]$/.test(e.code)) this.#events.walk(Number(e.code.slice(5)) - 1);
      if (e.code === "KeyX") this.#events.choose(e.shiftKey ? -1 : 1);
      if (e.code === "Enter") this.#events.walkToChosen();
      if (e.code === "KeyG") this.#goAhead();
      if (e.code === "KeyR") this.#stage.view.offset.set(0, 0, 0);
    }
  }

  /** With keys: to the floor that the view looks at. */
  #goAhead(): void {
    const floor = this.#events.floor(this.#ray(new three.Vector2(0, -0.2)));
    if (floor) this.#events.roam(floor);
  }

  #place(e: PointerEvent): three.Vector2 {
    const box = this.#canvas.getBoundingClientRect();
    return new three.Vector2(
      ((e.clientX - box.left) / box.width) * 2 - 1,
      1 - ((e.clientY - box.top) / box.height) * 2,
    );
  }

  #ray(place: three.Vector2): three.Ray {
    const caster = new three.Raycaster();
    caster.setFromCamera(place, this.#stage.camera);
    return caster.ray;
  }
}
