// What lies over the view of a tour for everyone: title card, captions, notice, state, people, buttons.
import { type Person, Role } from "../gen/control_pb";
import { type Live, NOTICE_MS } from "../tour/live";
import { byId, make, setText } from "./dom";
import { choose, currentLanguage, say } from "./words";

const CARD_MS = 7000;
/** The keys are shown this long; then a button brings them back. */
const HELP_MS = 14_000;
/** Further off than this a headset is not together with the others (the design's bound). */
const LATE_MS = 20;
/** Narrower than this the list of people begins folded. */
const NARROW_PX = 720;

export class Hud {
  readonly element: HTMLElement;
  readonly actions = make("div", { class: "actions" });
  readonly #live: Live;
  readonly #speaker = byId("live", HTMLElement);
  readonly #card = make("div", { class: "title-card" });
  readonly #caption = make("p", { class: "text" });
  readonly #more = make("button", { type: "button", class: "quiet more", "aria-expanded": "false" });
  readonly #captionBox = make("div", { class: "caption" }, this.#caption, this.#more);
  readonly #notice = make("p", { class: "tour-notice" });
  readonly #status = make("p", { class: "status", role: "status" });
  readonly #toasts = make("div", { class: "toasts", role: "status" });
  readonly #people = make("ul", { class: "people" });
  readonly #peopleTitle = make("h2");
  readonly #help = make("p", { class: "help", id: "help" });
  readonly #helpButton = make("button", { type: "button", class: "quiet round", "aria-controls": "help" }, "?");
  #helped = false;
  #cardTimer: ReturnType<typeof setTimeout> | undefined;
  #wasReconnecting = false;

  constructor(element: HTMLElement, live: Live) {
    this.element = element;
    this.#live = live;
    const crowd = make("details", { class: "panel crowd" }, make("summary", {}, this.#peopleTitle), this.#people);
    crowd.open = innerWidth >= NARROW_PX;
    this.#helpButton.addEventListener("click", () => this.#showHelp(this.#help.classList.contains("away")));
    this.actions.append(this.#helpButton);
    this.#more.addEventListener("click", () => this.#expand(!this.#captionBox.classList.contains("all")));
    element.replaceChildren(
      crowd,
      this.actions,
      make("div", { class: "news" }, this.#status, this.#toasts),
      make("div", { class: "bottom" }, this.#card, this.#captionBox, this.#notice, this.#help),
    );
  }

  /** The whole text, or its first lines. */
  #expand(all: boolean): void {
    this.#captionBox.classList.toggle("all", all);
    this.#more.setAttribute("aria-expanded", String(all));
    setText(this.#more, say(all ? "less" : "more"));
  }

  #showHelp(on: boolean): void {
    this.#help.classList.toggle("away", !on);
    this.#helpButton.setAttribute("aria-expanded", String(on));
  }

  stopChanged(): void {
    this.#expand(false);
    const stop = this.#live.session.stop;
    if (!stop) return;
    this.#showCard();
    setText(this.#speaker, `${choose(stop.title)}. ${choose(stop.text)}`);
  }

  toast(message: string): void {
    const toast = make("p", { class: "toast" }, message);
    this.#toasts.append(toast);
    setTimeout(() => toast.remove(), NOTICE_MS);
  }

  update(): void {
    const { session } = this.#live;
    const stop = session.stop;
    setText(this.#caption, choose(stop?.text));
    this.#captionBox.hidden = !this.#caption.textContent;
    const all = this.#captionBox.classList.contains("all");
    setText(this.#more, say(all ? "less" : "more"));
    this.#more.hidden = !all && this.#caption.scrollHeight <= this.#caption.clientHeight + 2;
    setText(this.#notice, choose(session.tour?.notice));
    this.#notice.hidden = !this.#notice.textContent;
    this.#helpButton.setAttribute("aria-label", say("keys"));
    if (session.state === "joined" && !this.#helped) {
      this.#helped = true;
      this.#showHelp(true);
      setTimeout(() => this.#showHelp(false), HELP_MS);
    }
    const help = matchMedia("(pointer: coarse)").matches ? [say("helpTouch")] : [say("help")];
    if (session.leads && help[0] === say("help")) help.push(say("helpGuide"));
    setText(this.#help, help.join(" · "));
    const { status } = this.#live;
    setText(this.#status, status ? say(status) : "");
    this.#status.hidden = !this.#status.textContent;
    if (this.#live.waiting) this.#showCard();
    if (session.state === "reconnecting") this.#wasReconnecting = true;
    if (session.state === "joined" && this.#wasReconnecting) {
      this.#wasReconnecting = false;
      this.toast(say("back"));
    }
    setText(
      this.#peopleTitle,
      [
        `${say("people")} ${session.people.length}`,
        session.spectators ? `${session.spectators} ${say("watching")}` : "",
      ]
        .filter(Boolean)
        .join(" · "),
    );
    const wanted = session.people.map((p) => this.#describe(p));
    if (wanted.join("\n") !== [...this.#people.children].map((c) => c.getAttribute("data-key")).join("\n")) {
      this.#people.replaceChildren(...session.people.map((p) => this.#entry(p)));
    }
  }

  #showCard(): void {
    const { session } = this.#live;
    const stop = session.stop;
    if (!stop || !session.current) return;
    const number = `${session.current.stop + 1} / ${session.tour?.stops.length ?? 1}`;
    const other = choose({ zh: stop.title?.en ?? "", en: stop.title?.zh ?? "" });
    const otherTag = currentLanguage() === "zh" ? "en" : "zh-CN";
    this.#card.replaceChildren(
      make("p", { class: "number" }, number),
      make("p", { class: "name" }, choose(stop.title)),
      make("p", { class: "other", lang: otherTag }, other === choose(stop.title) ? "" : other),
    );
    this.#card.classList.add("shown");
    clearTimeout(this.#cardTimer);
    this.#cardTimer = setTimeout(() => this.#card.classList.remove("shown"), CARD_MS);
  }

  #describe(p: Person): string {
    return `${p.headset}|${p.name}|${p.role}|${p.simulated}|${p.cell}|${p.roaming}|${p.headset === this.#live.session.headset}|${say("you")}|${this.#skewOf(p)}`;
  }

  /** For the guide: how far from the agreed instant the last stop change came there. */
  #skewOf(p: Person): string {
    if (!this.#live.session.leads || p.skewUs === undefined) return "";
    const ms = Number(p.skewUs) / 1000;
    const said = (digits: number): string => `${ms.toFixed(digits).replace("-", "−")} ms`;
    return Math.abs(ms) < LATE_MS ? said(1) : `⚠ ${said(0)}`;
  }

  #entry(p: Person): HTMLElement {
    const notes = [
      p.headset === this.#live.session.headset ? say("you") : "",
      p.role === Role.GUIDE ? say("guide") : "",
      p.simulated ? say("simulated") : "",
      this.#skewOf(p),
    ].filter(Boolean);
    return make(
      "li",
      { "data-key": this.#describe(p), class: p.role === Role.GUIDE ? "is-guide" : "" },
      make("span", { class: "who" }, p.name),
      make("span", { class: "notes", ...(this.#skewOf(p) && { title: say("skew") }) }, notes.join(" · ")),
      make("span", { class: "where" }, p.roaming ? say("roaming") : `${say("cell")} ${p.cell + 1}`),
    );
  }
}

/** What stands beside a name in the world. */
export function noteOf(p: Person): string {
  return p.simulated ? say("simulated") : p.role === Role.GUIDE ? say("guide") : "";
}
