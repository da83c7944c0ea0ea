// What the guide looks at before the group goes there: a small picture of another stop.
import type { Live } from "../tour/live";
import type { DecodedSet, PlanarPicture } from "../worker/messages";
import { vantageKey } from "../worker/messages";
import { make, setText } from "./dom";
import { choose, say } from "./words";

/** The server shows it for half a minute from when it was asked for last. */
const AGAIN_MS = 15_000;

export class Preview {
  readonly element: HTMLElement;
  readonly #live: Live;
  readonly #canvas = make("canvas", { width: "640", height: "360" });
  readonly #words = make("figcaption");
  #stop: number | null = null;
  #key: number | null = null;
  /** Pictures drawn of the present stop. */
  #drawn = 0;
  #again: ReturnType<typeof setInterval> | undefined;

  constructor(live: Live) {
    this.#live = live;
    this.element = make("figure", { class: "preview foldable", hidden: true }, this.#canvas, this.#words);
    this.#canvas.setAttribute("role", "img");
    live.preview = {
      coming: (stop, key) => {
        if (stop === this.#stop) this.#key = key;
      },
      push: (set) => this.#push(set),
    };
  }

  /** The stop that is looked at. */
  get stop(): number | null {
    return this.#stop;
  }

  get drawn(): number {
    return this.#drawn;
  }

  /** Looks at a stop, or no more at the one that is looked at. */
  toggle(stop: number): void {
    this.look(stop === this.#stop ? null : stop);
  }

  look(stop: number | null): void {
    clearInterval(this.#again);
    this.#stop = stop;
    this.#key = null;
    this.#drawn = 0;
    this.#canvas.getContext("2d")?.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    if (stop !== null) {
      const ask = (): void => this.#live.session.preview(stop);
      ask();
      this.#again = setInterval(ask, AGAIN_MS);
    }
    this.update();
  }

  update(): void {
    const { session } = this.#live;
    if (this.#stop !== null && (!session.leads || session.current?.stop === this.#stop)) {
      this.look(null);
      return;
    }
    this.element.hidden = this.#stop === null;
    const title = this.#stop === null ? "" : choose(session.tour?.stops[this.#stop]?.title);
    const words = this.#drawn > 0 ? say("previewOf") + title : say("previewComing");
    setText(this.#words, words);
    this.#canvas.setAttribute("aria-label", say("previewOf") + title);
  }

  #push(set: DecodedSet): void {
    const { picture } = set;
    const context = this.#canvas.getContext("2d");
    if (vantageKey(set.tag) === this.#key && context) {
      if (picture.format === "frame") context.drawImage(picture.frame, 0, 0, this.#canvas.width, this.#canvas.height);
      else {
        [this.#canvas.width, this.#canvas.height] = [picture.width, picture.height];
        context.putImageData(new ImageData(rgbaOf(picture), picture.width, picture.height), 0, 0);
      }
      this.#drawn += 1;
      if (this.#drawn === 1) this.update();
    }
    if (picture.format === "frame") picture.frame.close();
  }
}

/** BT.709, limited range. */
function rgbaOf({ width, height, y, chroma }: PlanarPicture): Uint8ClampedArray<ArrayBuffer> {
  const out = new Uint8ClampedArray(4 * width * height);
  const across = Math.ceil(width / 2);
  for (let row = 0, at = 0; row < height; row++) {
    const line = (row >> 1) * across;
    for (let column = 0; column < width; column++, at++) {
      const luma = 1.164_384 * ((y[at] ?? 0) - 16);
      const c = 2 * (line + (column >> 1));
      const [u, v] = [(chroma[c] ?? 128) - 128, (chroma[c + 1] ?? 128) - 128];
      out[4 * at] = luma + 1.792_741 * v;
      out[4 * at + 1] = luma - 0.213_249 * u - 0.532_909 * v;
      out[4 * at + 2] = luma + 2.112_402 * u;
      out[4 * at + 3] = 255;
    }
  }
  return out;
}
