// Sends how the wearer holds head and hands: often enough, and once more when they come to rest.
import type { Body, Joint, Pose } from "../wire/datagram";

const HEAD_INTERVAL_MS = 1000 / 15;
const HANDS_INTERVAL_MS = 1000 / 30;
/** Still for this long is at rest; that is said again now and then, since datagrams get lost. */
const REST_MS = 400;
const REST_REPEAT_MS = 1000;

export type Posture = Pick<Body, "head" | "left" | "right" | "pointer">;

export class PoseSender {
  #seq = 0;
  #sentMs = Number.NEGATIVE_INFINITY;
  #movedMs = Number.NEGATIVE_INFINITY;
  #saidRest = false;
  #last: Posture | null = null;
  #jump = false;

  /** The next pose does not follow from the one before. */
  jump(): void {
    this.#jump = true;
    this.#saidRest = false;
  }

  /** A pose to send now, or `null`. */
  next(posture: Posture, epoch: number, serverNowUs: number, nowMs: number): Pose | null {
    if (!this.#last || this.#jump || differs(this.#last, posture)) {
      this.#movedMs = nowMs;
      this.#saidRest = false;
      this.#last = posture;
    }
    const busy = posture.left || posture.right || posture.pointer;
    const atRest = nowMs - this.#movedMs > REST_MS;
    const interval = atRest && this.#saidRest ? REST_REPEAT_MS : busy ? HANDS_INTERVAL_MS : HEAD_INTERVAL_MS;
    if (!this.#jump && nowMs - this.#sentMs < interval) return null;
    this.#sentMs = nowMs;
    this.#saidRest = atRest;
    const jump = this.#jump;
    this.#jump = false;
    this.#seq = (this.#seq + 1) & 0xffff;
    const time100us = Math.floor(serverNowUs / 100) % 2 ** 32;
    return {
      kind: "pose",
      epoch: epoch & 0xffff,
      seq: this.#seq,
      body: { time100us: (time100us + 2 ** 32) % 2 ** 32, atRest, jump, ...posture },
    };
  }
}

function differs(a: Posture, b: Posture): boolean {
  const joint = (x: Joint | null, y: Joint | null): boolean => {
    if (!x || !y) return x !== y;
    const moved = Math.hypot(...x.position.map((c, i) => c - (y.position[i] ?? 0)));
    const turned = 1 - Math.abs(x.rotation.reduce((sum, c, i) => sum + c * (y.rotation[i] ?? 0), 0));
    return moved > 0.001 || turned > 2e-6;
  };
  const pointed =
    a.pointer && b.pointer
      ? Math.hypot(...a.pointer.map((c, i) => c - (b.pointer?.[i] ?? 0))) > 0.01
      : a.pointer !== b.pointer;
  return joint(a.head, b.head) || joint(a.left, b.left) || joint(a.right, b.right) || pointed;
}
