// The tourist's page: type a code and a name, be there.
import "./ui/style.css";
import { clockErrorFrom } from "./clock/now";
import { exposeDiagnostics } from "./diagnostics";
import { RefusedReason } from "./gen/control_pb";
import { Live } from "./tour/live";
import { rememberedPlace } from "./tour/session";
import { byId, make, setText } from "./ui/dom";
import { Hud, noteOf } from "./ui/hud";
import { drawSkyline } from "./ui/skyline";
import { currentLanguage, languageTag, say, setLanguage, type Word } from "./ui/words";
import { parseCode, tidyCode } from "./wire/code";
import { EnterVr } from "./xr/enter";

const welcome = byId("welcome", HTMLElement);
const form = byId("join", HTMLFormElement);
const code = byId("code", HTMLInputElement);
const name = byId("name", HTMLInputElement);
const problem = byId("problem", HTMLElement);
const go = byId("go", HTMLButtonElement);
const canvas = byId("view", HTMLCanvasElement);
const hudElement = byId("hud", HTMLElement);

drawSkyline(byId("skyline", HTMLElement));
prefill();
translate();

let live: Live | null = null;
let hud: Hud | null = null;
const missing = missingFeature();
if (missing) fail(say(missing));

const place = rememberedPlace();
if (place && !missing && (code.value === "" || code.value === place.code)) {
  // The page was loaded again in the middle of a tour.
  code.value = place.code;
  name.value = place.name;
  submit();
}

byId("language", HTMLButtonElement).addEventListener("click", () => {
  setLanguage(currentLanguage() === "zh" ? "en" : "zh");
  translate();
  hud?.update();
});
window.addEventListener("hashchange", prefill);
code.addEventListener("input", () => {
  const tidy = tidyCode(code.value);
  // A finished code is shown as it is said; while typing, nothing jumps about.
  if (parseCode(code.value)) code.value = tidy;
  clearProblem();
});
code.addEventListener("blur", () => {
  if (tidyCode(code.value)) code.value = tidyCode(code.value);
});
name.addEventListener("input", clearProblem);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});

function submit(): void {
  const shown = parseCode(tidyCode(code.value));
  const called = name.value.trim().replace(/\s+/gu, " ");
  if (!shown) fail(say("badCode"), code);
  else if (called.length === 0 || [...called].length > 24) fail(say("badName"), name);
  else if (missing) fail(say(missing));
  else join(shown, called);
}

function join(shown: string, called: string): void {
  try {
    localStorage.setItem("tongyou.name", called);
  } catch {
    // Without storage the name is typed again next time.
  }
  clearProblem();
  go.disabled = true;
  setText(go, say("joining"));
  start();
  void live?.session.join({ code: shown, name: called, grant: "", language: languageTag(), takeLead: false });
}

function start(): void {
  if (live) return;
  try {
    live = new Live(canvas, clockErrorFrom(location.search), {
      changed: () => update(),
      stopChanged: () => hud?.stopChanged(),
      notice: (message) => hud?.toast(message),
      note: noteOf,
    });
  } catch {
    fail(say("noGpu"));
    return;
  }
  hud = new Hud(hudElement, live);
  const vr = new EnterVr(live);
  const leave = make("button", { type: "button", class: "quiet", onclick: () => live?.session.leave() });
  const relabel = (): void => setText(leave, say("leave"));
  relabel();
  document.addEventListener("tongyou-language", relabel);
  hud.actions.append(vr.button, leave);
  exposeDiagnostics(live);
}

function update(): void {
  if (!live) return;
  const { session } = live;
  switch (session.state) {
    case "joined":
    case "reconnecting":
      if (!welcome.hidden) {
        welcome.hidden = true;
        hudElement.hidden = false;
        canvas.setAttribute("aria-label", say("look"));
        canvas.focus();
      }
      break;
    case "refused":
    case "lost":
    case "ended":
      welcome.hidden = false;
      hudElement.hidden = true;
      fail(farewell());
      break;
    default:
      break;
  }
  hud?.update();
}

function farewell(): string {
  const { state, reason } = live?.session ?? { state: "lost", reason: { code: 0, message: "" } };
  if (state === "ended") return reason.message ? `${say("ended")} · ${reason.message}` : say("ended");
  if (state === "lost") return `${say("lost")} (${reason.message})`;
  const words: Partial<Record<RefusedReason, Word>> = {
    [RefusedReason.REFUSED_VERSION]: "refusedVersion",
    [RefusedReason.REFUSED_CODE]: "refusedCode",
    [RefusedReason.REFUSED_TOO_MANY_ATTEMPTS]: "refusedAttempts",
    [RefusedReason.REFUSED_FULL]: "refusedFull",
    [RefusedReason.REFUSED_NAME]: "refusedName",
    [RefusedReason.REFUSED_GRANT]: "refusedGrant",
  };
  const word = words[reason.code];
  return word ? say(word) : reason.message;
}

function fail(message: string, field?: HTMLInputElement): void {
  setText(problem, message);
  go.disabled = false;
  setText(go, say("join"));
  for (const input of [code, name]) input.setAttribute("aria-invalid", String(input === field));
  field?.focus();
}

function clearProblem(): void {
  setText(problem, "");
  for (const input of [code, name]) input.removeAttribute("aria-invalid");
}

function prefill(): void {
  const fromLink = parseCode(decodeURIComponent(location.hash.slice(1)));
  if (fromLink) code.value = fromLink;
  try {
    if (!name.value) name.value = localStorage.getItem("tongyou.name") ?? "";
  } catch {
    // As above.
  }
}

function translate(): void {
  document.documentElement.lang = languageTag();
  const texts: [string, Word][] = [
    ["place", "place"],
    ["motto", "motto"],
    ["codeLabel", "code"],
    ["codeHint", "codeHint"],
    ["nameLabel", "name"],
    ["nameHint", "nameHint"],
    ["go", go.disabled ? "joining" : "join"],
    ["language", "language"],
  ];
  for (const [id, word] of texts) setText(byId(id, HTMLElement), say(word));
  byId("language", HTMLButtonElement).lang = currentLanguage() === "zh" ? "en" : "zh-CN";
  document.dispatchEvent(new Event("tongyou-language"));
}

function missingFeature(): Word | null {
  if (typeof WebTransport === "undefined") return "noWebTransport";
  if (typeof VideoDecoder === "undefined") return "noWebCodecs";
  return null;
}
