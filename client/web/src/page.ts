// What the tourist's page and the guide's have in common: the language, the way in and out of a tour, its stage.
import "./ui/style.css";
import { clockErrorFrom } from "./clock/now";
import { exposeDiagnostics } from "./diagnostics";
import { Live } from "./tour/live";
import { ownMemory } from "./tour/memory";
import { byId, make, setText } from "./ui/dom";
import { Hud, noteOf } from "./ui/hud";
import { drawSkyline } from "./ui/skyline";
import { currentLanguage, languageTag, say, setLanguage, type Word } from "./ui/words";
import { EnterVr } from "./xr/enter";

export interface PageEvents {
  /** The words of an element that depend on the language; called again whenever that changes. */
  texts(): readonly (readonly [string, Word])[];
  /** The session or the language has changed. */
  changed(): void;
}

export class Page {
  readonly memory = ownMemory();
  live: Live | null = null;
  hud: Hud | null = null;
  readonly #events: PageEvents;
  readonly #welcome = byId("welcome", HTMLElement);
  readonly #canvas = byId("view", HTMLCanvasElement);
  readonly #hud = byId("hud", HTMLElement);
  readonly #problem = byId("problem", HTMLElement);

  constructor(events: PageEvents) {
    this.#events = events;
    drawSkyline(byId("skyline", HTMLElement));
    const language = byId("language", HTMLButtonElement);
    language.addEventListener("click", () => {
      setLanguage(currentLanguage() === "zh" ? "en" : "zh");
      this.translate();
      this.#update();
    });
    // Arrow keys and letters are the view's own: a screen reader hands them on.
    this.#canvas.setAttribute("role", "application");
    // Nothing behind the first page is reached with the keyboard.
    this.#canvas.tabIndex = -1;
  }

  /** The stage, made when it is needed first; `more` builds what else belongs to it. Throws where 3D is missing. */
  start(more?: (live: Live, hud: HTMLElement) => void): Live {
    if (this.live) return this.live;
    const live = new Live(this.#canvas, clockErrorFrom(location.search), {
      changed: () => this.#update(),
      stopChanged: () => this.hud?.stopChanged(),
      notice: (message) => this.hud?.toast(message),
      note: noteOf,
    });
    this.live = live;
    this.hud = new Hud(this.#hud, live);
    more?.(live, this.#hud);
    const leave = make("button", { type: "button", class: "quiet", onclick: () => live.session.leave() });
    const relabel = (): void => setText(leave, say("leave"));
    relabel();
    document.addEventListener("tongyou-language", relabel);
    this.hud.actions.append(new EnterVr(live).button, leave);
    exposeDiagnostics(live);
    return live;
  }

  /** On the first page, not on a tour. */
  get welcoming(): boolean {
    return !this.#welcome.hidden;
  }

  /** What went wrong, above the way in. */
  problem(message: string): void {
    setText(this.#problem, message);
  }

  translate(): void {
    document.documentElement.lang = languageTag();
    for (const [id, word] of [
      ...this.#events.texts(),
      ["place", "place"] as const,
      ["language", "language"] as const,
    ]) {
      setText(byId(id, HTMLElement), say(word));
    }
    byId("language", HTMLButtonElement).lang = currentLanguage() === "zh" ? "en" : "zh-CN";
    this.#canvas.setAttribute("aria-label", say("look"));
    this.#hud.setAttribute("aria-label", say("title"));
    document.dispatchEvent(new Event("tongyou-language"));
  }

  #update(): void {
    const state = this.live?.session.state;
    if (state === "joined" || state === "reconnecting") this.#show(true);
    if (state === "refused" || state === "lost" || state === "ended") this.#show(false);
    this.#events.changed();
    this.hud?.update();
  }

  #show(tour: boolean): void {
    if (this.welcoming !== tour) return;
    this.#welcome.hidden = tour;
    this.#hud.hidden = !tour;
    this.#canvas.tabIndex = tour ? 0 : -1;
    if (tour) this.#canvas.focus();
    else this.#welcome.querySelector("input")?.focus();
  }
}

/** A name that this browser remembers for its owner. */
export function rememberedName(key: string): string {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

export function rememberName(key: string, name: string): void {
  try {
    localStorage.setItem(key, name);
  } catch {
    // Without storage the name is typed again next time.
  }
}
