// What is to be read in a headset: the stop's title, its text and the tour's notice, on a panel in the place.
import * as three from "three";

const WIDTH_M = 1.15;
const DISTANCE_M = 1.6;
/** Below the horizon, so that the sight stays free. */
const DROP = three.MathUtils.degToRad(23);
const PIXELS_PER_M = 900;
/** Letters of 1.1° and more at this distance. */
const TEXT_PX = Math.ceil(Math.tan(three.MathUtils.degToRad(1.45)) * DISTANCE_M * PIXELS_PER_M);
const UP = new three.Vector3(0, 1, 0);

export interface PanelText {
  readonly title: string;
  readonly text: string;
  readonly notice: string;
}

export class Panel {
  readonly object: three.Mesh<three.PlaneGeometry, three.MeshBasicMaterial>;
  #shown = "";

  constructor() {
    const material = new three.MeshBasicMaterial({ transparent: true, depthTest: false, depthWrite: false });
    this.object = new three.Mesh(new three.PlaneGeometry(1, 1), material);
    this.object.renderOrder = 20;
    this.object.visible = false;
  }

  set text(text: PanelText) {
    const key = JSON.stringify(text);
    if (key === this.#shown) return;
    this.#shown = key;
    const canvas = draw(text);
    this.object.material.map?.dispose();
    const map = new three.CanvasTexture(canvas);
    map.colorSpace = three.SRGBColorSpace;
    this.object.material.map = map;
    this.object.material.needsUpdate = true;
    this.object.scale.set(canvas.width / PIXELS_PER_M, canvas.height / PIXELS_PER_M, 1);
    this.object.visible = true;
  }

  /** Hangs it before an eye that looks along this heading; there it stays. */
  place(eye: three.Vector3, yaw: number): void {
    this.object.position
      .set(0, -Math.sin(DROP) * DISTANCE_M, -Math.cos(DROP) * DISTANCE_M)
      .applyAxisAngle(UP, yaw)
      .add(eye);
    this.object.lookAt(eye);
  }

  dispose(): void {
    this.object.removeFromParent();
    this.object.geometry.dispose();
    this.object.material.map?.dispose();
    this.object.material.dispose();
  }
}

function draw({ title, text, notice }: PanelText): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  if (!context) throw new Error("no canvas for a panel");
  const sans = '"PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", system-ui, sans-serif';
  const serif = '"Songti SC", "Noto Serif CJK SC", "SimSun", serif';
  const width = Math.round(WIDTH_M * PIXELS_PER_M);
  const margin = TEXT_PX;
  const lines: { text: string; font: string; color: string; height: number }[] = [];
  const add = (words: string, font: string, color: string, height: number): void => {
    if (!words) return;
    context.font = font;
    for (const line of wrap(context, words, width - 2 * margin)) lines.push({ text: line, font, color, height });
  };
  add(title, `700 ${TEXT_PX * 1.5}px ${serif}`, "#ffd56a", TEXT_PX * 2);
  add(text, `400 ${TEXT_PX}px ${sans}`, "#f6f1e6", TEXT_PX * 1.45);
  add(notice && `ⓘ ${notice}`, `400 ${TEXT_PX * 0.9}px ${sans}`, "#c9c7d4", TEXT_PX * 1.35);
  canvas.width = width;
  canvas.height = Math.ceil(lines.reduce((h, l) => h + l.height, 0) + 1.4 * margin);
  context.fillStyle = "rgba(13, 18, 32, 0.8)";
  context.beginPath();
  context.roundRect(0, 0, canvas.width, canvas.height, 36);
  context.fill();
  context.textBaseline = "middle";
  let y = margin * 0.7;
  for (const line of lines) {
    context.font = line.font;
    context.fillStyle = line.color;
    context.fillText(line.text, margin, y + line.height / 2);
    y += line.height;
  }
  return canvas;
}

/** Breaks between words, and between any two Chinese characters. */
function wrap(context: CanvasRenderingContext2D, text: string, width: number): string[] {
  const pieces = text.match(/[\p{Script=Han}\p{P}]|[^\s\p{Script=Han}]+\s*|\s+/gu) ?? [];
  const lines: string[] = [];
  let line = "";
  for (const piece of pieces) {
    if (line && context.measureText(line + piece.trimEnd()).width > width && !/^\p{P}/u.test(piece)) {
      lines.push(line.trimEnd());
      line = "";
    }
    line += piece;
  }
  if (line.trim()) lines.push(line.trimEnd());
  return lines;
}
