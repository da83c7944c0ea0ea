// The way into the headset: a button that is there where a headset is.
import type { Live } from "../tour/live";
import { make, setText } from "../ui/dom";
import { say } from "../ui/words";
import { Headset } from "./headset";

export class EnterVr {
  readonly button = make("button", { type: "button", class: "primary", hidden: true });
  readonly #live: Live;
  #session: XRSession | null = null;
  #headset: Headset | null = null;

  constructor(live: Live) {
    this.#live = live;
    this.#label();
    document.addEventListener("tongyou-language", () => this.#label());
    this.button.addEventListener("click", () => void this.#toggle());
    void this.#look();
    navigator.xr?.addEventListener("devicechange", () => void this.#look());
  }

  async #look(): Promise<void> {
    const there = await navigator.xr?.isSessionSupported("immersive-vr").catch(() => false);
    this.button.hidden = !there;
  }

  async #toggle(): Promise<void> {
    if (this.#session) {
      await this.#session.end();
      return;
    }
    const session = await navigator.xr?.requestSession("immersive-vr", {
      requiredFeatures: ["local-floor"],
      optionalFeatures: ["hand-tracking", "bounded-floor"],
    });
    if (!session) return;
    this.#session = session;
    session.addEventListener("end", () => {
      this.#session = null;
      this.#headset?.dispose();
      this.#headset = null;
      this.#live.extension = null;
      this.#live.stage.leftXr();
      this.#label();
    });
    await this.#live.stage.renderer.xr.setSession(session);
    this.#headset = new Headset(this.#live);
    this.#live.extension = this.#headset;
    this.#label();
  }

  #label(): void {
    setText(this.button, say(this.#session ? "exitVr" : "enterVr"));
  }
}
