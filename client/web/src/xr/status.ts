// One line before the eyes of who wears a headset: that the connection is being found again, that the picture stands.
import * as three from "three";
import { newContext, SANS } from "./panel";

const DISTANCE_M = 1.4;
/** Below where one looks, so that it is read without being in the way. */
const DROP = three.MathUtils.degToRad(8);
const PIXELS_PER_M = 900;
const FONT_PX = 40;
/** It follows the head softly: what is fixed to the head is unpleasant. */
const FOLLOW_PER_S = 3;

export class StatusLine {
  readonly object: three.Mesh<three.PlaneGeometry, three.MeshBasicMaterial>;
  readonly #turn = new three.Quaternion();
  #text = "";

  constructor() {
    const material = new three.MeshBasicMaterial({ transparent: true, depthTest: false, depthWrite: false });
    this.object = new three.Mesh(new three.PlaneGeometry(1, 1), material);
    this.object.renderOrder = 21;
    this.object.visible = false;
  }

  /** Once a frame. `turn`: how the head is turned in the world. */
  show(text: string, eye: three.Vector3, turn: three.Quaternion, deltaS: number): void {
    if (text !== this.#text) {
      if (!this.#text) this.#turn.copy(turn);
      this.#text = text;
      if (text) this.#draw(text);
    }
    this.object.visible = text !== "";
    if (!text) return;
    this.#turn.slerp(turn, Math.min(1, deltaS * FOLLOW_PER_S));
    this.object.position
      .set(0, -Math.sin(DROP) * DISTANCE_M, -Math.cos(DROP) * DISTANCE_M)
      .applyQuaternion(this.#turn)
      .add(eye);
    this.object.lookAt(eye);
  }

  dispose(): void {
    this.object.removeFromParent();
    this.object.geometry.dispose();
    this.object.material.map?.dispose();
    this.object.material.dispose();
  }

  #draw(text: string): void {
    const context = newContext();
    const { canvas } = context;
    const font = `500 ${FONT_PX}px ${SANS}`;
    context.font = font;
    canvas.width = Math.ceil(context.measureText(text).width + 2 * FONT_PX);
    canvas.height = 2 * FONT_PX;
    context.fillStyle = "rgba(13, 18, 32, 0.84)";
    context.beginPath();
    context.roundRect(0, 0, canvas.width, canvas.height, FONT_PX);
    context.fill();
    context.font = font;
    context.fillStyle = "#f6f1e6";
    context.textBaseline = "middle";
    context.fillText(text, FONT_PX, FONT_PX * 1.04);
    const map = new three.CanvasTexture(canvas);
    map.colorSpace = three.SRGBColorSpace;
    this.object.material.map?.dispose();
    this.object.material.map = map;
    this.object.material.needsUpdate = true;
    this.object.scale.set(canvas.width / PIXELS_PER_M, canvas.height / PIXELS_PER_M, 1);
  }
}
