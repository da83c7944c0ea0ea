// The guide's panel over the running tour: code and QR, stops, next and previous, the end.
import type { Grant } from "../tour/api";
import type { Live } from "../tour/live";
import { make, setText } from "./dom";
import { Preview } from "./preview";
import { choose, say } from "./words";

export class Console {
  readonly element: HTMLElement;
  readonly preview: Preview;
  readonly #live: Live;
  readonly #code = make("p", { class: "big-code" });
  readonly #address = make("p", { class: "address" });
  readonly #qr = make("img", { class: "qr" });
  readonly #share = make("p", { class: "share" });
  readonly #stops = make("ol", { class: "stops" });
  readonly #stopsTitle = make("h2");
  readonly #clock = make("p", { class: "clock" });
  readonly #fold: HTMLButtonElement;
  readonly #previous: HTMLButtonElement;
  readonly #next: HTMLButtonElement;
  readonly #lead: HTMLButtonElement;
  readonly #end: HTMLButtonElement;
  readonly #sure: HTMLDialogElement;
  readonly #sureText = make("p");
  readonly #sureYes: HTMLButtonElement;
  readonly #sureNo: HTMLButtonElement;

  constructor(live: Live) {
    this.#live = live;
    this.preview = new Preview(live);
    const button = (kind: string, onclick: () => void): HTMLButtonElement =>
      make("button", { type: "button", class: kind, onclick });
    this.#fold = button("quiet round fold", () => {
      this.element.classList.toggle("folded");
      this.update();
    });
    this.#previous = button("", () => this.go(-1));
    this.#next = button("primary", () => this.go(1));
    this.#lead = button("primary", () => live.session.takeLead());
    this.#end = button("danger", () => this.#sure.showModal());
    this.#sureYes = button("danger", () => {
      this.#sure.close();
      live.session.end();
    });
    this.#sureNo = button("", () => this.#sure.close());
    this.#sure = make(
      "dialog",
      { class: "sure" },
      this.#sureText,
      make("div", { class: "row" }, this.#sureNo, this.#sureYes),
    );
    this.element = make(
      "aside",
      { class: "panel guide-panel" },
      make("div", { class: "invite" }, make("div", {}, this.#share, this.#code, this.#address), this.#qr, this.#fold),
      make("div", { class: "foldable" }, this.#stopsTitle, this.#stops),
      this.preview.element,
      make("div", { class: "row" }, this.#previous, this.#next),
      make("div", { class: "row foldable" }, this.#lead, this.#end),
      this.#clock,
      this.#sure,
    );
    // On a phone the sight comes first.
    this.element.classList.toggle("folded", innerWidth < 720);
    setInterval(() => this.#showClock(), 1000);
    document.addEventListener("keydown", (e) => {
      // Letters are keys only where the tour has the focus: elsewhere somebody may be dictating.
      const here = e.target === document.body || e.target instanceof HTMLCanvasElement;
      if (!here && !(e.target instanceof Node && this.element.contains(e.target))) return;
      if (this.#sure.open || !live.session.leads || e.ctrlKey || e.metaKey || e.altKey) return;
      if (e.key === "n" || e.key === "N" || e.key === "]") this.go(1);
      if (e.key === "p" || e.key === "P" || e.key === "[") this.go(-1);
    });
  }

  invite(grant: Grant): void {
    setText(this.#code, grant.code);
    setText(this.#address, grant.join_url.replace(/#.*$/u, ""));
    this.#qr.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(grant.qr_svg)}`;
  }

  /** On to the next stop, or back. */
  go(by: 1 | -1): void {
    const { session } = this.#live;
    const to = (session.prepared?.stop ?? session.current?.stop ?? 0) + by;
    if (session.leads && to >= 0 && to < (session.tour?.stops.length ?? 0)) session.goToStop(to);
  }

  /** How well this page knows the server's time, and how far off it showed the last change. */
  #showClock(): void {
    const { session } = this.#live;
    const { clock } = session.connection;
    if (!clock || session.state !== "joined") return;
    const ms = (us: number): string => (us / 1000).toFixed(1);
    const change = session.changes.at(-1);
    const off = change?.presentedUs ? ` · ${say("lastChange")} ${ms(change.presentedUs - change.atUs)} ms` : "";
    setText(this.#clock, `${say("clockError")} ± ${ms(clock.errorUs)} ms${off}`);
  }

  update(): void {
    const { session } = this.#live;
    const folded = this.element.classList.contains("folded");
    setText(this.#fold, folded ? "▴" : "▾");
    this.#fold.setAttribute("aria-expanded", String(!folded));
    this.#fold.setAttribute("aria-label", say(folded ? "openPanel" : "closePanel"));
    this.#qr.alt = say("qr");
    const stops = session.tour?.stops ?? [];
    const now = session.current?.stop ?? 0;
    setText(this.#share, say("share"));
    setText(this.#stopsTitle, say("stops"));
    setText(this.#previous, `← ${say("previous")}`);
    setText(this.#next, `${say("next")} →`);
    setText(this.#lead, say("takeLead"));
    setText(this.#end, say("end"));
    setText(this.#sureText, say("endSure"));
    setText(this.#sureYes, say("endYes"));
    setText(this.#sureNo, say("endNo"));
    this.#lead.hidden = session.leads;
    this.#end.hidden = !session.leads;
    this.#previous.disabled = !session.leads || now === 0;
    this.preview.update();
    this.#next.disabled = !session.leads || now >= stops.length - 1;
    const key = JSON.stringify([
      stops.map((s) => choose(s.title)),
      now,
      session.prepared?.stop,
      session.leads,
      this.preview.stop,
      say("current"),
    ]);
    if (this.#stops.dataset.key === key) return;
    this.#stops.dataset.key = key;
    this.#stops.replaceChildren(
      ...stops.map((stop, index) => {
        const state =
          index === session.prepared?.stop
            ? say("preparing")
            : index === now
              ? say("current")
              : index === now + 1
                ? say("next")
                : "";
        const go = make(
          "button",
          {
            type: "button",
            class: "stop",
            disabled: !session.leads || index === now,
            onclick: () => session.goToStop(index),
          },
          make("span", { class: "name" }, choose(stop.title)),
          make("span", { class: "state" }, state),
        );
        if (index === now) go.setAttribute("aria-current", "step");
        const looked = index === this.preview.stop;
        const look = make(
          "button",
          {
            type: "button",
            class: "look",
            disabled: !session.leads || index === now,
            "aria-pressed": String(looked),
            "aria-label": say("previewOf") + choose(stop.title),
            title: say("preview"),
            onclick: () => {
              this.preview.toggle(index);
              this.update();
            },
          },
          "◉",
        );
        return make("li", { class: index === now ? "now" : index === now + 1 ? "next" : "" }, go, look);
      }),
    );
  }
}
