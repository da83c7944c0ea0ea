// The tourist's page: type a code and a name, be there.
import { RefusedReason } from "./gen/control_pb";
import { Page, rememberedName, rememberName } from "./page";
import { isFree } from "./tour/memory";
import { byId, setText } from "./ui/dom";
import { languageTag, say, type Word } from "./ui/words";
import { parseCode, tidyCode } from "./wire/code";

const NAME = "tongyou.name";

const form = byId("join", HTMLFormElement);
const code = byId("code", HTMLInputElement);
const name = byId("name", HTMLInputElement);
const go = byId("go", HTMLButtonElement);
const page = new Page({ texts, changed });

prefill();
page.translate();
const missing = missingFeature();
if (missing) fail(say(missing));
void comeBack();

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

/** A tab that was loaded again, or closed without leaving and opened again, goes back to its tour by itself. */
async function comeBack(): Promise<void> {
  const { reloaded, left } = page.memory;
  const place = [reloaded, left].find((p) => p && !p.guide && (code.value === "" || code.value === p.code));
  if (!place || missing) return;
  code.value = place.code;
  name.value = place.name;
  // Another tab may still be there; a second visitor of the same name is joined by hand.
  if (place === reloaded || (await isFree(place.ticket))) submit();
}

function submit(): void {
  const shown = parseCode(tidyCode(code.value));
  const called = name.value.trim().replace(/\s+/gu, " ");
  if (!shown) fail(say("badCode"), code);
  else if (called.length === 0 || [...called].length > 24) fail(say("badName"), name);
  else if (missing) fail(say(missing));
  else join(shown, called);
}

function join(shown: string, called: string): void {
  rememberName(NAME, called);
  clearProblem();
  go.disabled = true;
  setText(go, say("joining"));
  try {
    const { session } = page.start();
    void session.join({ code: shown, name: called, grant: "", language: languageTag(), lead: "no" });
  } catch {
    fail(say("noGpu"));
  }
}

function changed(): void {
  const state = page.live?.session.state;
  if (state === "refused" || state === "lost" || state === "ended") fail(farewell());
}

function farewell(): string {
  const { state, reason } = page.live?.session ?? { state: "lost", reason: { code: 0, message: "" } };
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
  page.problem(message);
  go.disabled = false;
  setText(go, say("join"));
  for (const input of [code, name]) input.setAttribute("aria-invalid", String(input === field));
  field?.focus();
}

function clearProblem(): void {
  page.problem("");
  for (const input of [code, name]) input.removeAttribute("aria-invalid");
}

function prefill(): void {
  const fromLink = parseCode(decodeURIComponent(location.hash.slice(1)));
  if (fromLink) code.value = fromLink;
  if (!name.value) name.value = rememberedName(NAME);
}

function texts(): readonly (readonly [string, Word])[] {
  return [
    ["motto", "motto"],
    ["codeLabel", "code"],
    ["codeHint", "codeHint"],
    ["nameLabel", "name"],
    ["nameHint", "nameHint"],
    ["go", go.disabled ? "joining" : "join"],
  ];
}

function missingFeature(): Word | null {
  if (typeof WebTransport === "undefined") return "noWebTransport";
  if (typeof VideoDecoder === "undefined") return "noWebCodecs";
  return null;
}
