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

/** Lines of text on a page. */
const PAGE_LINES = 4;

export interface PanelText {
  readonly title: string;
  readonly text: string;
  readonly notice: string;
  /** How to turn the page. */
  readonly hint: string;
}

export class Panel {
  readonly object: three.Mesh<three.PlaneGeometry, three.MeshBasicMaterial>;
  #text: PanelText | null = null;
  #pages: string[][] = [];
  /** The page on show; past the last one the panel is away. */
  #page = 0;

  constructor() {
    const material = new three.MeshBasicMaterial({ transparent: true, depthTest: false, depthWrite: false });
    this.object = new three.Mesh(new three.PlaneGeometry(1, 1), material);
    this.object.renderOrder = 20;
    this.object.visible = false;
  }

  set text(text: PanelText) {
    if (this.#text && JSON.stringify(text) === JSON.stringify(this.#text)) return;
    this.#text = text;
    this.#pages = paginate(text.text);
    this.#page = 0;
    this.#draw();
  }

  /** The next page; after the last one nothing, then the first again. */
  turn(): void {
    this.#page = (this.#page + 1) % (this.#pages.length + 1);
    this.#draw();
  }

  #draw(): void {
    const lines = this.#pages[this.#page];
    this.object.visible = lines !== undefined;
    if (!lines || !this.#text) return;
    const place = this.#pages.length > 1 ? `${this.#page + 1}/${this.#pages.length} · ` : "";
    const canvas = draw(this.#text, lines, `${place}${this.#text.hint}`);
    this.object.material.map?.dispose();
    const map = new three.CanvasTexture(canvas);
    map.colorSpace = three.SRGBColorSpace;
    this.object.material.map = map;
    this.object.material.needsUpdate = true;
    this.object.scale.set(canvas.width / PIXELS_PER_M, canvas.height / PIXELS_PER_M, 1);
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

export const SANS = '"PingFang SC", "Noto Sans CJK SC", "Microsoft YaHei", system-ui, sans-serif';
const SERIF = '"Songti SC", "Noto Serif CJK SC", "SimSun", serif';
const WIDTH_PX = Math.round(WIDTH_M * PIXELS_PER_M);
const TEXT_FONT = `400 ${TEXT_PX}px ${SANS}`;

export function newContext(): CanvasRenderingContext2D {
  const context = document.createElement("canvas").getContext("2d");
  if (!context) throw new Error("no canvas for a panel");
  return context;
}

function paginate(text: string): string[][] {
  const context = newContext();
  context.font = TEXT_FONT;
  const lines = wrap(context, text, WIDTH_PX - 2 * TEXT_PX);
  const pages: string[][] = [];
  for (let i = 0; i < lines.length; i += PAGE_LINES) pages.push(lines.slice(i, i + PAGE_LINES));
  return pages.length > 0 ? pages : [[]];
}

function draw({ title, notice }: PanelText, text: string[], hint: string): HTMLCanvasElement {
  const context = newContext();
  const { canvas } = context;
  const lines: { text: string; font: string; color: string; height: number }[] = [];
  const add = (words: string[], font: string, color: string, height: number): void => {
    for (const line of words) lines.push({ text: line, font, color, height });
  };
  const wrapped = (words: string, font: string): string[] => {
    context.font = font;
    return wrap(context, words, WIDTH_PX - 2 * TEXT_PX);
  };
  const titleFont = `700 ${TEXT_PX * 1.5}px ${SERIF}`;
  const smallFont = `400 ${TEXT_PX * 0.9}px ${SANS}`;
  add(wrapped(title, titleFont), titleFont, "#ffd56a", TEXT_PX * 2);
  add(text, TEXT_FONT, "#f6f1e6", TEXT_PX * 1.45);
  add(notice ? wrapped(`ⓘ ${notice}`, smallFont) : [], smallFont, "#c9c7d4", TEXT_PX * 1.35);
  add([hint], smallFont, "#c9c7d4", TEXT_PX * 1.35);
  canvas.width = WIDTH_PX;
  canvas.height = Math.ceil(lines.reduce((h, l) => h + l.height, 0) + 1.4 * TEXT_PX);
  context.fillStyle = "rgba(13, 18, 32, 0.84)";
  context.beginPath();
  context.roundRect(0, 0, canvas.width, canvas.height, 36);
  context.fill();
  context.textBaseline = "middle";
  let y = TEXT_PX * 0.7;
  for (const line of lines) {
    context.font = line.font;
    context.fillStyle = line.color;
    context.fillText(line.text, TEXT_PX, y + line.height / 2);
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
