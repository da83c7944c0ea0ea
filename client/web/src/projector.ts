// The big screen: a whole window that watches a tour through one camera, for a room without headsets.
import "./ui/style.css";
import { clockErrorFrom, nowUs, setClockError } from "./clock/now";
import { RefusedReason } from "./gen/control_pb";
import { closePicture } from "./layer/pictures";
import { Screen } from "./stage/screen";
import { joinPage } from "./tour/api";
import { Memory } from "./tour/memory";
import { Session } from "./tour/session";
import { byId, make, setText } from "./ui/dom";
import { drawSkyline } from "./ui/skyline";
import { choose, currentLanguage, languageTag, say, setLanguage, type Word } from "./ui/words";
import { parseCode, tidyCode } from "./wire/code";
import { vantageKey } from "./worker/messages";

/** After this time without the mouse the button goes. */
const QUIET_MS = 3000;

const welcome = byId("welcome", HTMLElement);
const hud = byId("hud", HTMLElement);
const canvas = byId("view", HTMLCanvasElement);
const code = byId("code", HTMLInputElement);
const go = byId("go", HTMLButtonElement);
const problem = byId("problem", HTMLElement);
const speaker = byId("live", HTMLElement);

const tourName = make("p", { class: "tour-name" });
const bigCode = make("p", { class: "big-code" });
const scan = make("p", { class: "share" });
const address = make("p", { class: "address" });
const qr = make("img", { class: "qr" });
const stopName = make("p", { class: "name" });
const text = make("p", { class: "text", id: "caption" });
const notice = make("p", { class: "tour-notice" });
const status = make("p", { class: "status", role: "status" });
const full = make("button", { type: "button", class: "quiet", onclick: () => void toggleFullScreen() });
hud.append(
  make("div", { class: "screen-invite" }, make("div", {}, tourName, scan, bigCode, address), qr),
  make("div", { class: "actions" }, full),
  make("div", { class: "news" }, status),
  make("div", { class: "screen-caption" }, stopName, text, notice),
);

let screen: Screen | null = null;
/** The vantage that is to be shown. */
let wanted: number | null = null;
let quiet: ReturnType<typeof setTimeout> | undefined;
setClockError(clockErrorFrom(location.search));
// Nothing is kept: a screen has no place to come back to, and whoever starts it types the code.
const session = new Session(
  {
    changed: update,
    placed: (placement) => {
      wanted = vantageKey(placement);
    },
    stopChanged: (stop) => setText(speaker, `${choose(stop.title)}. ${choose(stop.text)}`),
    set: (set) => {
      // What is prepared is shown from its instant on, not before.
      const key = vantageKey(set.tag);
      session.setReady(key, set.tag.set);
      if (set.shape !== "flat") return;
      if (key === wanted) {
        const first = !screen?.tag;
        screen?.push(set);
        if (first) update();
      } else {
        closePicture(waiting.get(key)?.picture);
        waiting.set(key, set);
      }
    },
    avatars: () => {},
    forget: (key) => {
      closePicture(waiting.get(key)?.picture);
      waiting.delete(key);
    },
    notice: (message) => setText(status, message),
    previewing: () => {},
    reset: () => {},
  },
  clockErrorFrom(location.search),
  new Memory(null, null, () => Date.now()),
);
const waiting = new Map<number, Parameters<Screen["push"]>[0]>();

drawSkyline(byId("skyline", HTMLElement));
byId("language", HTMLButtonElement).addEventListener("click", () => {
  setLanguage(currentLanguage() === "zh" ? "en" : "zh");
  translate();
});
byId("join", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
code.addEventListener("input", () => setText(problem, ""));
document.addEventListener("pointermove", wake);
document.addEventListener("keydown", (event) => {
  wake();
  const typing = event.target instanceof HTMLInputElement;
  if (!typing && (event.key === "f" || event.key === "F") && welcome.hidden) void toggleFullScreen();
});
document.addEventListener("fullscreenchange", translate);
translate();
const asked = new URLSearchParams(location.search).get("code") ?? decodeURIComponent(location.hash.slice(1));
if (parseCode(asked)) {
  code.value = tidyCode(asked);
  submit();
}

function submit(): void {
  const shown = parseCode(tidyCode(code.value));
  const missing = typeof WebTransport === "undefined" ? "noWebTransport" : null;
  if (missing || !shown || typeof VideoDecoder === "undefined") {
    setText(problem, say(missing ?? (shown ? "noWebCodecs" : "badCode")));
    code.focus();
    return;
  }
  code.value = shown;
  setText(problem, "");
  go.disabled = true;
  try {
    screen ??= new Screen(canvas);
  } catch {
    setText(problem, say("noGpu"));
    go.disabled = false;
    return;
  }
  screen.renderer.setAnimationLoop(frame(screen));
  void session.join({ code: shown, name: "", grant: "", language: languageTag(), lead: "no", spectator: true });
  void invite(shown);
}

/** Each display frame: the stop changes at its instant, and what came ahead of it is shown then. */
function frame(on: Screen): () => void {
  return () => {
    session.beforeFrame(nowUs());
    const set = wanted === null ? undefined : waiting.get(wanted);
    if (set && wanted !== null) {
      waiting.delete(wanted);
      on.push(set);
      update();
    }
    on.draw();
  };
}

async function invite(shown: string): Promise<void> {
  try {
    const found = await joinPage(shown);
    setText(address, found.join_url.replace(/^https:\/\//u, "").replace(/\/?#.*$/u, ""));
    qr.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(found.qr_svg)}`;
    qr.hidden = false;
  } catch {
    // The code and the address of this page do as well.
    setText(address, location.host);
    qr.hidden = true;
  }
}

function update(): void {
  const { state, reason } = session;
  const on = state === "joined" || state === "reconnecting";
  if (on && hud.hidden) {
    welcome.hidden = true;
    hud.hidden = false;
    wake();
  } else if (state === "refused" || state === "lost" || state === "ended") {
    welcome.hidden = false;
    hud.hidden = true;
    go.disabled = false;
    const refused = reason.code === RefusedReason.REFUSED_CODE ? say("refusedCode") : reason.message;
    setText(problem, state === "refused" ? refused : [say(state), reason.message].filter(Boolean).join(" · "));
    code.focus();
  }
  const { stop, tour } = session;
  setText(tourName, choose(tour?.title));
  setText(bigCode, session.code);
  setText(stopName, choose(stop?.title));
  setText(text, choose(stop?.text));
  setText(notice, choose(tour?.notice));
  notice.hidden = !notice.textContent;
  const words: Word | null = state === "reconnecting" ? "reconnecting" : session.stands ? "standing" : null;
  const first = state === "joined" && !screen?.tag ? say("firstPicture") : "";
  setText(status, words ? say(words) : first);
  status.hidden = !status.textContent;
}

function translate(): void {
  document.documentElement.lang = languageTag();
  const words: readonly (readonly [string, Word])[] = [
    ["title", "projector"],
    ["motto", "projectorMotto"],
    ["codeLabel", "code"],
    ["codeHint", "codeHint"],
    ["go", "watch"],
    ["place", "place"],
    ["language", "language"],
  ];
  for (const [id, word] of words) setText(byId(id, HTMLElement), say(word));
  byId("language", HTMLButtonElement).lang = currentLanguage() === "zh" ? "en" : "zh-CN";
  hud.setAttribute("aria-label", say("projector"));
  canvas.setAttribute("aria-label", say("projector"));
  setText(scan, say("scanToJoin"));
  qr.alt = say("qr");
  setText(full, document.fullscreenElement ? `${say("fullScreen")} ✕` : `${say("fullScreen")} · F`);
  update();
}

function wake(): void {
  document.body.classList.remove("still");
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    // Who tabs through the page sees what has the focus.
    if (!hud.contains(document.activeElement)) document.body.classList.add("still");
  }, QUIET_MS);
}

async function toggleFullScreen(): Promise<void> {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await document.documentElement.requestFullscreen().catch(() => {});
}

Object.defineProperty(window, "tongyou", {
  value: Object.freeze({
    get state() {
      return session.state;
    },
    get reason() {
      return session.reason.message;
    },
    get code() {
      return session.code;
    },
    get epoch() {
      return session.current?.epoch ?? null;
    },
    get stopId() {
      return session.stop?.id ?? null;
    },
    get lastSet() {
      const tag = screen?.tag;
      return tag
        ? { set: tag.set, vantage: tag.vantage, epoch: tag.epoch, point: tag.point, tourTimeUs: tag.tourTimeUs }
        : null;
    },
    get setsComplete() {
      return session.connection.stats.complete;
    },
    get presentedFrames() {
      return screen?.presentedFrames ?? 0;
    },
    get people() {
      return session.people.map((p) => p.name);
    },
    get troubles() {
      return session.connection.troubles.slice();
    },
  }),
  configurable: true,
});
