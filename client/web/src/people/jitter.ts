// Plays back what others do, evenly, a little behind server time.
import type { Vec3 } from "../wire/cube";
import type { Body, Joint, Quat } from "../wire/datagram";

/** How far behind server time others are shown. */
export const DELAY_US = 100_000;
/** Beyond this without news a moving person stands still. */
const MAX_EXTRAPOLATION_US = 120_000;
const MAX_KEPT = 64;

export interface Held {
  readonly head: Joint;
  readonly left: Joint | null;
  readonly right: Joint | null;
  readonly pointer: Vec3 | null;
}

interface Stamped {
  readonly atUs: number;
  readonly body: Body;
}

/** The full time of a 32-bit stamp in units of 100 µs, nearest to `nearUs`. */
export function unwrapTime(time100us: number, nearUs: number): number {
  const span = 2 ** 32;
  const near = nearUs / 100;
  const turns = Math.round((near - time100us) / span);
  return (time100us + turns * span) * 100;
}

export class JitterBuffer {
  #poses: Stamped[] = [];

  /** `serverNowUs` only tells which turn of the 32-bit stamp is meant. */
  push(body: Body, serverNowUs: number): void {
    const atUs = unwrapTime(body.time100us, serverNowUs);
    const last = this.#poses.at(-1);
    if (last && atUs <= last.atUs) {
      const at = this.#poses.findIndex((p) => p.atUs >= atUs);
      // Late but not yet played: between its neighbours. A repeated one says nothing new.
      if (this.#poses[at]?.atUs !== atUs) this.#poses.splice(at, 0, { atUs, body });
      return;
    }
    this.#poses.push({ atUs, body });
    if (this.#poses.length > MAX_KEPT) this.#poses.shift();
  }

  /** How the person is held at a server time; `null` before the first pose. */
  sample(serverUs: number): Held | null {
    while (this.#poses.length > 2 && (this.#poses[1]?.atUs ?? 0) <= serverUs) this.#poses.shift();
    const [a, b] = this.#poses;
    if (!a) return null;
    if (!b) return a.body;
    if (serverUs <= a.atUs) return a.body;
    // A jump is never blended into: the place before holds until the new one begins.
    if (b.body.jump || a.body.atRest) return serverUs < b.atUs ? this.#holdOrEase(a, b, serverUs) : b.body;
    const t = (serverUs - a.atUs) / (b.atUs - a.atUs);
    if (t <= 1) return blend(a.body, b.body, t);
    const most = 1 + MAX_EXTRAPOLATION_US / Math.max(1, b.atUs - a.atUs);
    return b.body.atRest ? b.body : blend(a.body, b.body, Math.min(t, most, 2));
  }

  clear(): void {
    this.#poses = [];
  }

  /** From rest the movement begins one usual interval before the next pose, not when rest began. */
  #holdOrEase(a: Stamped, b: Stamped, serverUs: number): Held {
    const from = b.atUs - 66_000;
    if (b.body.jump || serverUs < from || from <= a.atUs) return a.body;
    return blend(a.body, b.body, (serverUs - from) / (b.atUs - from));
  }
}

function blend(a: Body, b: Body, t: number): Held {
  const joint = (x: Joint | null, y: Joint | null): Joint | null =>
    x && y ? { position: mix(x.position, y.position, t), rotation: turn(x.rotation, y.rotation, t) } : y;
  return {
    head: joint(a.head, b.head) ?? b.head,
    left: joint(a.left, b.left),
    right: joint(a.right, b.right),
    pointer: a.pointer && b.pointer ? mix(a.pointer, b.pointer, Math.min(1, t)) : b.pointer,
  };
}

function mix(a: Vec3, b: Vec3, t: number): Vec3 {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

/** Normalised linear blend the short way; poses are close together. */
function turn(a: Quat, b: Quat, t: number): Quat {
  const dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
  const s = dot < 0 ? -t : t;
  const q = a.map((c, i) => c * (1 - t) + (b[i] ?? 0) * s) as [number, number, number, number];
  const n = Math.hypot(...q) || 1;
  return [q[0] / n, q[1] / n, q[2] / n, q[3] / n];
}
