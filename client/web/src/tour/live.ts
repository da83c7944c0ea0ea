// A session on a stage: what the server says becomes what is seen, what the wearer does becomes what is said.
import * as three from "three";
import { type ClockError, setClockError } from "../clock/now";
import { type Person, type Placement, PlacementKind, RefusedReason, type Stop } from "../gen/control_pb";
import { raycast } from "../layer/layer";
import { closePicture } from "../layer/pictures";
import { LocalModels } from "../near/models";
import { standIn } from "../people/contact";
import { Crowd } from "../people/crowd";
import { FlatInput } from "../stage/flat_input";
import { Rings } from "../stage/rings";
import { CALM_CELL_FADE, CELL_FADE, type FrameInfo, NO_FADE, STOP_FADE, Stage } from "../stage/stage";
import { say, type Word } from "../ui/words";
import type { Vec3 } from "../wire/cube";
import type { Joint } from "../wire/datagram";
import { type DecodedSet, vantageKey } from "../worker/messages";
import { PoseSender } from "./poses";
import { Session } from "./session";

export interface LiveEvents {
  /** Anything that the interface shows may have changed. */
  changed(): void;
  stopChanged(stop: Stop, index: number): void;
  notice(message: string): void;
  /** What is written beside a person's name. */
  note(person: Person): string;
}

/** Head, hands and where they point while a headset is worn, world space. */
export interface Worn {
  readonly head: Joint;
  readonly left: Joint | null;
  readonly right: Joint | null;
  readonly ray: three.Ray | null;
}

/** The headset's side of a frame. */
export interface Extension {
  /** The hand that chooses a place to go to, and the place that it has found. */
  readonly aim: { readonly hand: "left" | "right"; readonly cell: number | null } | null;
  frame(info: FrameInfo): Worn | null;
  /** The wearer stands elsewhere, and is to face this way. */
  placed(yaw: number): void;
}

/** A way from one cell to another, page clock. */
export interface Walk {
  readonly cell: number;
  /** A set of the cell was here when the wearer asked. */
  readonly ahead: boolean;
  readonly askedMs: number;
  /** The server's answer. */
  placedMs: number | null;
  /** The drawing commands of the first frame of the new cell were given. */
  shownMs: number | null;
}

const calm = matchMedia("(prefers-reduced-motion: reduce)");
/** Who sweeps over a ring does not mean it. */
const DWELL_MS = 120;
/** How often it is said again while the picture comes, and while it does not. */
const AGAIN_MS = { had: 3000, lacked: 1000 } as const;
/** Nobody is carried farther than this at a time, nor to a floor that is so much higher or lower. */
const ROAM_MOST_M = 40;
const ROAM_RISE_M = 6;
/** Of who stands where no cell says it. */
const EYE_M = 1.6;
/** How long words of the server stay. */
export const NOTICE_MS = 6000;

export class Live {
  readonly session: Session;
  readonly stage: Stage;
  readonly crowd: Crowd;
  readonly rings = new Rings();
  readonly models: LocalModels;
  readonly input: FlatInput;
  extension: Extension | null = null;
  /** Who shows pictures of another stop, under the key that was said for them. */
  preview: { coming(stop: number, key: number): void; push(set: DecodedSet): void } | null = null;
  /** Where the wearer points, world space. */
  pointer: three.Vector3 | null = null;
  readonly #events: LiveEvents;
  readonly #poses = new PoseSender();
  #wanted: { key: number; yaw: number | null; fade: { ms: number; from: number } } | null = null;
  #presentNext = false;
  #aim: { readonly cell: number; readonly sinceMs: number; saidMs: number } | null = null;
  /** The last hundred since the page was opened. */
  readonly walks: Walk[] = [];
  /** No set of the present stop is there yet. */
  waiting = false;
  /** What the server said last. */
  notice: { readonly text: string; readonly untilMs: number } | null = null;

  constructor(canvas: HTMLCanvasElement, clockError: ClockError, events: LiveEvents) {
    setClockError(clockError);
    this.#events = events;
    // First of all: its worker starts while the graphics do.
    this.session = new Session(
      {
        changed: () => this.#changed(),
        placed: (placement, why) => this.#placed(placement, why),
        stopChanged: (stop, index) => this.#stopChanged(stop, index),
        set: (set) => {
          if (set.shape !== "flat") this.stage.push(set);
          else if (this.preview) this.preview.push(set);
          else closePicture(set.picture);
        },
        avatars: (avatars) => {
          const now = this.session.connection.serverNowUs;
          if (now !== null && this.session.current) this.crowd.take(avatars, this.session.current.epoch, now);
        },
        forget: (key) => this.stage.layers.forget(key),
        notice: (message, reason) => {
          // What is said often is said in the page's language; the rest in the server's words.
          const text = reason === RefusedReason.REFUSED_NO_ROOM ? say("noRoom") : message;
          this.notice = { text, untilMs: performance.now() + NOTICE_MS };
          events.notice(text);
        },
        previewing: (stop, key) => this.preview?.coming(stop, key),
        reset: () => {
          this.stage.layers.keepShown();
          this.crowd.scatter();
        },
      },
      clockError,
    );
    this.stage = new Stage(canvas, {
      frame: (info) => this.#frame(info),
      drawn: (info) => this.#drawn(info),
      shown: ({ key, tag }) => this.session.setReady(key, tag.set),
    });
    this.crowd = new Crowd(this.stage.scene);
    this.models = new LocalModels((message) => this.session.connection.note(message));
    this.stage.scene.add(this.rings.object, this.models.object);
    this.input = new FlatInput(canvas, this.stage, {
      pick: (ray) => this.rings.pick(ray.origin, ray.direction, 0.03),
      hover: (cell) => this.aimAt(cell),
      choose: (by) => this.#choose(by),
      walk: (cell) => this.walk(cell),
      walkToChosen: () => this.#aim && this.walk(this.#aim.cell),
      floor: (ray) => this.floorAt(ray),
      spot: (at) => {
        this.rings.spot = at;
      },
      roam: (to) => this.roam(to, this.stage.view.yaw),
      mayPoint: () => this.session.leads,
    });
    // A headset that is put on again, a network that is there again: no need to wait for the next attempt.
    window.addEventListener("online", () => this.session.retryNow());
    document.addEventListener("visibilitychange", () => !document.hidden && this.session.retryNow());
  }

  walk(cell: number): void {
    const cells = this.session.stop?.cells.length ?? 0;
    if (cell < 0 || cell >= cells || cell === this.session.cell) return;
    const { ahead } = this.session;
    const isHere = ahead?.cell === cell && this.stage.layers.ready(ahead.key) !== null;
    this.walks.push({ cell, ahead: isHere, askedMs: performance.now(), placedMs: null, shownMs: null });
    if (this.walks.length > 100) this.walks.shift();
    this.session.moveToCell(cell);
  }

  /** To a point of the floor, wherever that is: stop-local metres. */
  roam(to: three.Vector3, heading: number): void {
    this.session.moveTo(to.x, to.z, heading);
  }

  /** Where a ray meets floor that one could stand on; `null` for walls, steep ground and what is too far away. */
  floorAt(ray: three.Ray): three.Vector3 | null {
    if (ray.direction.y > -0.05 || this.session.placement?.kind === PlacementKind.WATCHING) return null;
    const hit = this.meet(ray);
    if (!hit || hit.distanceTo(ray.origin) > ROAM_MOST_M) return null;
    const floor = this.session.placement?.seat?.y ?? 0;
    if (Math.abs(hit.y - floor) > ROAM_RISE_M) return null;
    // Beside it the ground goes on as high: a bench or a foot of a wall does not.
    const across = new three.Vector3(-ray.direction.z, 0, ray.direction.x).normalize().multiplyScalar(0.25);
    for (const side of [across, across.clone().negate()]) {
      const to = hit.clone().add(side).sub(ray.origin);
      const beside = this.meet(new three.Ray(ray.origin, to.normalize()));
      if (!beside || Math.abs(beside.y - hit.y) > 0.12) return null;
    }
    return hit;
  }

  /** The wearer aims at a place, or at none any more: its ring glows, and after a moment its picture is asked for. */
  aimAt(cell: number | null): void {
    const there = cell === this.session.cell ? null : cell;
    if (there === (this.#aim?.cell ?? null)) return;
    this.#aim = there === null ? null : { cell: there, sinceMs: performance.now(), saidMs: Number.NEGATIVE_INFINITY };
    this.rings.hovered = there ?? -1;
  }

  /** With keys: the next ring to the right of the view, or to the left. */
  #choose(by: 1 | -1): void {
    const { yaw } = this.stage.view;
    const eye = this.stage.point;
    const angle = (at: three.Vector3): number => {
      const right = Math.atan2(at.x - eye.x, eye.z - at.z) + yaw;
      return (right + 4 * Math.PI) % (2 * Math.PI);
    };
    const inOrder = this.rings.visible.toSorted((a, b) => angle(a.at) - angle(b.at)).map((r) => r.cell);
    const before = inOrder.indexOf(this.#aim?.cell ?? -1);
    const first = by > 0 ? 0 : inOrder.length - 1;
    const next = before < 0 ? first : (before + by + inOrder.length) % inOrder.length;
    this.aimAt(inOrder[next] ?? null);
  }

  #lookAhead(nowMs: number): void {
    const aim = this.#aim;
    if (!aim || this.waiting || nowMs - aim.sinceMs < DWELL_MS) return;
    if (aim.cell === this.session.cell) {
      this.aimAt(null);
      return;
    }
    const has = this.session.ahead?.cell === aim.cell;
    if (nowMs - aim.saidMs < (has ? AGAIN_MS.had : AGAIN_MS.lacked)) return;
    aim.saidMs = nowMs;
    this.session.lookAhead(aim.cell);
  }

  /** What keeps the picture from going on, or nothing. */
  get status(): Word | null {
    const { state, stands } = this.session;
    if (state === "connecting" || state === "reconnecting") return state;
    if (state === "joined" && (this.waiting || !this.stage.layers.shown)) return "firstPicture";
    return stands ? "standing" : null;
  }

  get poseOrigin(): three.Vector3 {
    const o = this.session.stop?.poseOrigin;
    return new three.Vector3(o?.x ?? 0, o?.y ?? 0, o?.z ?? 0);
  }

  get eye(): three.Vector3 {
    // Not getWorldPosition: it would compute the matrix of a headset's camera again, without the room around it.
    const camera = this.stage.eyes[0];
    return camera ? new three.Vector3().setFromMatrixPosition(camera.matrixWorld) : this.stage.point;
  }

  /** Where a ray meets the sight. */
  meet(ray: three.Ray): three.Vector3 | null {
    const layer = this.stage.layers.shown;
    return layer ? raycast(layer, ray.origin, ray.direction) : null;
  }

  #changed(): void {
    const next = this.session.prepared && this.session.tour?.stops[this.session.prepared.stop];
    if (next) void this.models.prepare(next);
    this.crowd.setPeople(this.session.people, this.session.headset, this.#events.note);
    this.rings.here = this.session.cell ?? -1;
    this.#events.changed();
  }

  #stopChanged(stop: Stop, index: number): void {
    this.aimAt(null);
    this.rings.spot = null;
    this.rings.setStop(stop);
    this.models.setStop(stop);
    this.crowd.scatter();
    this.#events.stopChanged(stop, index);
  }

  #placed(placement: Placement, why: "join" | "stop" | "cell"): void {
    this.#wanted = {
      key: vantageKey(placement),
      yaw: why === "cell" ? null : placement.yaw,
      fade: why === "join" ? NO_FADE : why === "stop" ? STOP_FADE : calm.matches ? CALM_CELL_FADE : CELL_FADE,
    };
    const { seat } = placement;
    const roams = placement.kind === PlacementKind.ROAMING && seat;
    this.stage.layers.standAt(
      vantageKey(placement),
      roams ? [seat.x, seat.y + this.#eyeHeight(placement), seat.z] : null,
    );
    const walk = this.walks.at(-1);
    if (why === "cell" && walk?.cell === placement.cell) walk.placedMs ??= performance.now();
    this.#poses.jump();
    this.#presentNext = why === "stop";
    this.#arrive(performance.now());
  }

  #eyeHeight({ cell }: Placement): number {
    const near = this.session.stop?.cells[cell];
    return near?.point ? near.point.y - near.floorY : EYE_M;
  }

  #arrive(nowMs: number): void {
    const wanted = this.#wanted;
    if (!wanted) return;
    const view = this.stage.view;
    const turnedBy = (wanted.yaw ?? view.yaw) - view.yaw;
    if (!this.stage.layers.show(wanted.key, nowMs, wanted.fade, turnedBy)) {
      // Those who walk keep what they see until the next place is there; at another stop it would be the wrong one.
      this.waiting = wanted.yaw !== null;
      return;
    }
    this.#wanted = null;
    this.waiting = false;
    if (wanted.yaw !== null) {
      view.yaw = wanted.yaw;
      view.pitch = 0;
      view.offset.set(0, 0, 0);
      this.extension?.placed(wanted.yaw);
    }
    this.#events.changed();
  }

  #frame(info: FrameInfo): void {
    this.session.beforeFrame(info.displayedAtUs);
    this.#arrive(info.nowMs);
    this.stage.layers.hurried = this.waiting || this.session.returning;
    this.#lookAhead(info.nowMs);
    const goal = this.waiting && this.stage.layers.shown ? 0.12 : 1;
    this.stage.brightness += (goal - this.stage.brightness) * Math.min(1, info.deltaS * 12);
    const worn = this.extension?.frame(info) ?? null;
    this.stage.wornRotation = worn ? new three.Quaternion(...worn.head.rotation) : null;
    this.input.frame(info.deltaS);
    const tag = this.stage.layers.shown?.tag;
    if (tag) this.crowd.light(tag);
    this.models.object.visible = !this.waiting;
    const tour = this.session.tourTimeAt(info.displayedAtUs);
    const present = this.stage.layers.fading ?? 1;
    this.models.update(tag ?? null, tour === null ? null : tour / 1e6, present, this.stage.brightness);
    standIn(this.stage.layers.shown, this.stage.layers.fading ?? 1);
    const origin = this.poseOrigin;
    const eye = worn ? new three.Vector3(...worn.head.position) : this.eye;
    const screen = worn ? null : this.stage.view.quaternion;
    this.crowd.update(this.session.connection.serverAt(info.displayedAtUs), origin, eye, screen);
    this.crowd.object.visible = !this.waiting && !this.peopleHidden;
    this.rings.object.visible = !this.waiting && !this.interfaceHidden;
    this.rings.update(eye, screen);
    const ray = worn ? worn.ray : this.input.pointingRay;
    this.pointer = ray ? this.meet(ray) : null;
    this.#sendPose(worn, info.nowMs);
  }

  interfaceHidden = false;
  peopleHidden = false;
  /** Metres from the pose origin. */
  sentHead: Vec3 | null = null;

  #sendPose(worn: Worn | null, nowMs: number): void {
    const { placement, current, stop } = this.session;
    const now = this.session.connection.serverNowUs;
    const shown = this.stage.layers.shown?.tag;
    if (!placement?.seat || !current || !stop || now === null || !shown || this.session.state !== "joined") return;
    // Everyone looks from the rendered point, and stands on a seat of their own.
    const seat = new three.Vector3(placement.seat.x, placement.seat.y + this.#eyeHeight(placement), placement.seat.z);
    const shift = seat.sub(this.stage.point).sub(this.poseOrigin);
    const move = (joint: Joint): Joint => ({
      position: [joint.position[0] + shift.x, joint.position[1] + shift.y, joint.position[2] + shift.z],
      rotation: joint.rotation,
    });
    const flatHead: Joint = {
      position: this.stage.point.add(this.stage.view.offset).toArray() as unknown as Vec3,
      rotation: this.stage.view.quaternion.toArray() as unknown as Joint["rotation"],
    };
    const pointer = this.pointer ? (this.pointer.clone().sub(this.poseOrigin).toArray() as unknown as Vec3) : null;
    const pose = this.#poses.next(
      {
        head: move(worn?.head ?? flatHead),
        left: worn?.left ? move(worn.left) : null,
        right: worn?.right ? move(worn.right) : null,
        pointer,
      },
      current.epoch,
      now,
      nowMs,
    );
    if (!pose) return;
    this.sentHead = pose.body.head.position;
    this.session.connection.sendPose(pose);
  }

  #drawn(info: FrameInfo): void {
    const { shown } = this.stage.layers;
    if (shown?.tag) this.session.drew(shown.key, shown.tag.set);
    const walk = this.walks.at(-1);
    if (walk && walk.placedMs !== null && !this.#wanted) walk.shownMs ??= performance.now();
    if (!this.#presentNext || this.waiting || this.#wanted) return;
    this.#presentNext = false;
    this.session.presented(info.displayedAtUs, info.intervalMs);
  }
}
