// The wearer's side of a headset: where the head and the hands are, teleport, snap turn.
import * as three from "three";
import type { Extension, Live } from "../tour/live";
import { clampOffset, yawOf } from "../stage/view";
import type { Joint } from "../wire/datagram";
import type { FrameInfo } from "../stage/stage";

const UP = new three.Vector3(0, 1, 0);

export class Headset implements Extension {
  readonly #live: Live;
  /** Head in the room where the wearer stood at the start, and the heading of the room. */
  #start: { head: three.Vector3; yaw: number } | null = null;
  #roomYaw = 0;
  #wantedYaw: number;

  constructor(live: Live) {
    this.#live = live;
    this.#wantedYaw = live.stage.view.yaw;
  }

  placed(yaw: number): void {
    this.#wantedYaw = yaw;
    this.#start = null;
  }

  frame(info: FrameInfo): { head: Joint; left: Joint | null; right: Joint | null; ray: three.Ray | null } | null {
    const space = this.#live.stage.renderer.xr.getReferenceSpace();
    const pose = space ? info.xr?.getViewerPose(space) : undefined;
    if (!pose) return null;
    const { position: p, orientation: o } = pose.transform;
    const head = new three.Vector3(p.x, p.y, p.z);
    const turn = new three.Quaternion(o.x, o.y, o.z, o.w);
    this.#start ??= { head: head.clone(), yaw: (this.#roomYaw = this.#wantedYaw - yawOf(turn)) };
    const rig = this.#live.stage.rig;
    rig.rotation.set(0, this.#roomYaw, 0);
    const offset = head.clone().sub(this.#start.head).applyAxisAngle(UP, this.#roomYaw);
    const eye = this.#live.stage.point.add(clampOffset(offset));
    rig.position.copy(eye).sub(head.clone().applyAxisAngle(UP, this.#roomYaw));
    rig.updateMatrixWorld(true);
    const rotation = rig.quaternion.clone().multiply(turn);
    return {
      head: { position: [eye.x, eye.y, eye.z], rotation: [rotation.x, rotation.y, rotation.z, rotation.w] },
      left: null,
      right: null,
      ray: null,
    };
  }
}
