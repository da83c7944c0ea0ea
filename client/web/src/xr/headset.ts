// The wearer's side of a headset: head and hands, teleport, snap turn, what there is to read.
import * as three from "three";
import { colorOf, handGeometry } from "../people/figure";
import type { FrameInfo } from "../stage/stage";
import { clampOffset, yawOf } from "../stage/view";
import type { Extension, Live, Worn } from "../tour/live";
import { choose, say } from "../ui/words";
import type { Joint } from "../wire/datagram";
import { Arc } from "./arc";
import { Panel } from "./panel";
import { StatusLine } from "./status";

const UP = new three.Vector3(0, 1, 0);
const SNAP = three.MathUtils.degToRad(30);
const STICK_ON = 0.7;
const STICK_OFF = 0.4;
const TRIGGER = 0;
const SQUEEZE = 1;
const STICK_PRESS = 3;
const LOWER_BUTTON = 4;
/** A place is meant when the ray passes it by no more than this. */
const AIM_TOLERANCE = three.MathUtils.degToRad(9);

interface Hand {
  /** In the room. */
  readonly grip: three.Matrix4;
  readonly ray: three.Matrix4;
  readonly source: XRInputSource;
}

export class Headset implements Extension {
  readonly #live: Live;
  readonly #panel = new Panel();
  readonly #arc = new Arc();
  readonly #status = new StatusLine();
  readonly #hands: Record<"left" | "right", three.Mesh>;
  readonly #space: XRReferenceSpace | null;
  /** Head in the room at the place that the rendered point is. */
  #start: three.Vector3 | null = null;
  #roomYaw = 0;
  #wantedYaw: number;
  /** The rendered point before which the panel hangs. */
  readonly #readAt = new three.Vector3();
  #turned = false;
  #held = new Set<string>();
  #aiming: "left" | "right" | null = null;
  #target: number | null = null;
  /** Floor that is no ring. */
  #spot: three.Vector3 | null = null;

  constructor(live: Live) {
    this.#live = live;
    this.#wantedYaw = live.stage.view.yaw;
    const skin = new three.MeshLambertMaterial({ color: colorOf(live.session.headset) });
    this.#hands = {
      left: new three.Mesh(handGeometry(-1), skin),
      right: new three.Mesh(handGeometry(1), skin),
    };
    for (const hand of Object.values(this.#hands)) {
      hand.matrixAutoUpdate = false;
      live.stage.rig.add(hand);
    }
    live.stage.scene.add(this.#panel.object, this.#arc.object, this.#status.object);
    this.#space = live.stage.renderer.xr.getReferenceSpace();
    this.#space?.addEventListener("reset", this.#recentre);
  }

  get aim(): Extension["aim"] {
    return this.#aiming && { hand: this.#aiming, cell: this.#target };
  }

  placed(yaw: number): void {
    this.#wantedYaw = yaw;
    this.#start = null;
  }

  dispose(): void {
    this.#space?.removeEventListener("reset", this.#recentre);
    this.#panel.dispose();
    this.#status.dispose();
    this.#arc.object.removeFromParent();
    for (const hand of Object.values(this.#hands)) hand.removeFromParent();
  }

  frame(info: FrameInfo): Worn | null {
    const space = this.#live.stage.renderer.xr.getReferenceSpace();
    const pose = space ? info.xr?.getViewerPose(space) : undefined;
    if (!pose || !space || !info.xr) return null;
    const { position: p, orientation: o } = pose.transform;
    const head = new three.Vector3(p.x, p.y, p.z);
    const turn = new three.Quaternion(o.x, o.y, o.z, o.w);
    const fresh = this.#start === null;
    if (!this.#start) {
      this.#start = head.clone();
      this.#roomYaw = this.#wantedYaw - yawOf(turn);
    }
    const hands = this.#readHands(info.xr, space);
    this.#snapTurn(hands, head);
    const eye = this.#placeRig(head);
    const { rig } = this.#live.stage;
    // What there is to read walks along.
    const { point } = this.#live.stage;
    if (fresh || point.distanceTo(this.#readAt) > 1) {
      this.#panel.place(eye, this.#roomYaw + yawOf(turn));
      this.#readAt.copy(point);
    }
    this.#read();
    this.#teleport(hands, eye);
    const rotation = rig.quaternion.clone().multiply(turn);
    const { status, notice } = this.#live;
    const words = status ? say(status) : notice && info.nowMs < notice.untilMs ? notice.text : "";
    this.#status.show(this.#live.interfaceHidden ? "" : words, eye, rotation, info.deltaS);
    return {
      head: { position: [eye.x, eye.y, eye.z], rotation: [rotation.x, rotation.y, rotation.z, rotation.w] },
      left: this.#joint(hands.left),
      right: this.#joint(hands.right),
      ray: this.#pointing(hands),
    };
  }

  readonly #recentre = (): void => {
    this.#wantedYaw = this.#roomYaw;
    this.#start = null;
  };

  /** Moves the room so that the head is at the eye point, with its own movement as far as the layer can show it. */
  #placeRig(head: three.Vector3): three.Vector3 {
    const { rig } = this.#live.stage;
    const offset = head
      .clone()
      .sub(this.#start ?? head)
      .applyAxisAngle(UP, this.#roomYaw);
    const eye = this.#live.stage.point.add(clampOffset(offset));
    rig.rotation.set(0, this.#roomYaw, 0);
    rig.position.copy(eye).sub(head.clone().applyAxisAngle(UP, this.#roomYaw));
    rig.updateMatrixWorld(true);
    return eye;
  }

  #readHands(frame: XRFrame, space: XRReferenceSpace): Partial<Record<"left" | "right", Hand>> {
    const hands: Partial<Record<"left" | "right", Hand>> = {};
    for (const source of frame.session.inputSources) {
      if (source.handedness !== "left" && source.handedness !== "right") continue;
      const ray = frame.getPose(source.targetRaySpace, space);
      const grip = source.gripSpace ? frame.getPose(source.gripSpace, space) : ray;
      if (!ray || !grip) continue;
      hands[source.handedness] = {
        grip: new three.Matrix4().fromArray(grip.transform.matrix),
        ray: new three.Matrix4().fromArray(ray.transform.matrix),
        source,
      };
    }
    for (const side of ["left", "right"] as const) {
      const mesh = this.#hands[side];
      const hand = hands[side];
      mesh.visible = hand !== undefined;
      if (hand) {
        // The grip's −Z runs along the handle; the mitten shows where the ray goes.
        mesh.matrix.extractRotation(hand.ray).setPosition(new three.Vector3().setFromMatrixPosition(hand.grip));
        mesh.matrixWorldNeedsUpdate = true;
      }
    }
    return hands;
  }

  /** Turns the room about the head, so that the eye stays where it is. */
  #snapTurn(hands: Partial<Record<"left" | "right", Hand>>, head: three.Vector3): void {
    const x = Math.max(...sticks(hands).map((s) => s.x), 0) + Math.min(...sticks(hands).map((s) => s.x), 0);
    if (Math.abs(x) < STICK_OFF) this.#turned = false;
    if (this.#turned || Math.abs(x) < STICK_ON || this.#aiming || !this.#start) return;
    this.#turned = true;
    const by = x > 0 ? -SNAP : SNAP;
    this.#start = head.clone().sub(head.clone().sub(this.#start).applyAxisAngle(UP, -by));
    this.#roomYaw += by;
  }

  #teleport(hands: Partial<Record<"left" | "right", Hand>>, eye: three.Vector3): void {
    const { rings, session } = this.#live;
    const wants = (side: "left" | "right"): boolean => {
      const hand = hands[side];
      const ahead = sticks({ [side]: hand }).some((s) => s.y < (this.#aiming === side ? -STICK_OFF : -STICK_ON));
      return ahead || (!session.leads && pressed(hand, TRIGGER));
    };
    const side = (["right", "left"] as const).find(wants) ?? null;
    if (side) {
      const ray = this.#worldRay(hands[side]);
      this.#aiming = side;
      this.#target = ray ? rings.pick(ray.origin, ray.direction, AIM_TOLERANCE) : null;
      this.#spot = ray && this.#target === null ? this.#live.floorAt(lowered(ray)) : null;
      this.#live.aimAt(this.#target);
      rings.spot = this.#spot;
      const to = rings.visible.find((r) => r.cell === this.#target)?.at ?? this.#spot;
      if (ray) this.#arc.show(ray.origin, ray.direction, to, eye);
      return;
    }
    if (this.#aiming) {
      if (this.#target !== null) this.#live.walk(this.#target);
      else if (this.#spot)
        this.#live.roam(this.#spot, this.#live.stage.wornRotation ? yawOf(this.#live.stage.wornRotation) : 0);
      this.#aiming = null;
      this.#target = null;
      this.#spot = null;
      rings.spot = null;
      this.#live.aimAt(null);
      this.#arc.hide();
    }
    if (this.#once(hands, STICK_PRESS)) this.#recentre();
    if (this.#once(hands, LOWER_BUTTON)) this.#panel.turn();
  }

  #pointing(hands: Partial<Record<"left" | "right", Hand>>): three.Ray | null {
    if (this.#aiming || !this.#live.session.leads) return null;
    const hand = [hands.right, hands.left].find((h) => pressed(h, TRIGGER) || pressed(h, SQUEEZE));
    return hand ? this.#worldRay(hand) : null;
  }

  #worldRay(hand: Hand | undefined): three.Ray | null {
    if (!hand) return null;
    const world = this.#live.stage.rig.matrixWorld.clone().multiply(hand.ray);
    const origin = new three.Vector3().setFromMatrixPosition(world);
    return new three.Ray(origin, new three.Vector3(0, 0, -1).transformDirection(world));
  }

  #joint(hand: Hand | undefined): Joint | null {
    if (!hand) return null;
    const side = hand.source.handedness === "left" ? "left" : "right";
    const world = this.#live.stage.rig.matrixWorld.clone().multiply(this.#hands[side].matrix);
    const p = new three.Vector3().setFromMatrixPosition(world);
    const q = new three.Quaternion().setFromRotationMatrix(world);
    return { position: [p.x, p.y, p.z], rotation: [q.x, q.y, q.z, q.w] };
  }

  #read(): void {
    const { stop, tour } = this.#live.session;
    if (!stop) return;
    this.#panel.text = {
      title: choose(stop.title),
      text: choose(stop.text),
      notice: choose(tour?.notice),
      hint: say("turnPage"),
    };
  }

  /** Whether a button has just gone down in either hand. */
  #once(hands: Partial<Record<"left" | "right", Hand>>, button: number): boolean {
    let went = false;
    for (const side of ["left", "right"] as const) {
      const name = `${side}${button}`;
      const down = pressed(hands[side], button);
      if (down && !this.#held.has(name)) went = true;
      if (down) this.#held.add(name);
      else this.#held.delete(name);
    }
    return went;
  }
}

/** An arc falls below the ray that it begins with. */
function lowered(ray: three.Ray): three.Ray {
  const direction = ray.direction.clone();
  direction.y -= 0.12;
  return new three.Ray(ray.origin, direction.normalize());
}

function sticks(hands: Partial<Record<"left" | "right", Hand | undefined>>): { x: number; y: number }[] {
  return Object.values(hands).flatMap((hand) => {
    const axes = hand?.source.gamepad?.axes;
    return axes && axes.length >= 4 ? [{ x: axes[2] ?? 0, y: axes[3] ?? 0 }] : [];
  });
}

function pressed(hand: Hand | undefined, button: number): boolean {
  return hand?.source.gamepad?.buttons[button]?.pressed ?? false;
}
