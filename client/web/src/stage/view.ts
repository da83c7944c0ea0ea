// Where the wearer's eye is: the rendered point, the head's own movement, the heading.
import * as three from "three";

/** The eye stays this close to the rendered point: farther away too much is hidden from it. */
export const MAX_OFFSET_M = 0.5;
const MAX_PITCH = 1.45;

/** A view for mouse and keys. Angles in radians; yaw counter-clockwise from −Z about +Y. */
export class FlatView {
  yaw = 0;
  pitch = 0;
  /** The head's own movement, stop-local metres. */
  readonly offset = new three.Vector3();

  turn(yaw: number, pitch: number): void {
    this.yaw = wrap(this.yaw + yaw);
    this.pitch = Math.max(-MAX_PITCH, Math.min(MAX_PITCH, this.pitch + pitch));
  }

  /** Moves the head, right and ahead as the view is turned. */
  lean(right: number, up: number, ahead: number): void {
    const [s, c] = [Math.sin(this.yaw), Math.cos(this.yaw)];
    this.offset.x += right * c - ahead * s;
    this.offset.z += -right * s - ahead * c;
    this.offset.y += up;
    clampOffset(this.offset);
  }

  get quaternion(): three.Quaternion {
    return new three.Quaternion().setFromEuler(new three.Euler(this.pitch, this.yaw, 0, "YXZ"));
  }
}

/** Shortens an offset to what the layer can show; returns it. */
export function clampOffset(offset: three.Vector3): three.Vector3 {
  return offset.clampLength(0, MAX_OFFSET_M);
}

/** Heading of a rotation: where its −Z points, seen from above. */
export function yawOf(q: three.Quaternion): number {
  const ahead = new three.Vector3(0, 0, -1).applyQuaternion(q);
  return Math.atan2(-ahead.x, -ahead.z);
}

function wrap(angle: number): number {
  return Math.atan2(Math.sin(angle), Math.cos(angle));
}
