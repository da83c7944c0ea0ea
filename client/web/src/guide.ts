// The guide's console: start or take over a session, then lead it from the same page.
import "./ui/style.css";
import { clockErrorFrom } from "./clock/now";
import { exposeDiagnostics } from "./diagnostics";
import * as api from "./tour/api";
import { Live } from "./tour/live";
import { Console } from "./ui/console";
import { byId, make, setText } from "./ui/dom";
import { Hud, noteOf } from "./ui/hud";
import { drawSkyline } from "./ui/skyline";
import { choose, currentLanguage, languageTag, say, setLanguage, type Word } from "./ui/words";
import { EnterVr } from "./xr/enter";

const REFRESH_MS = 4000;

const welcome = byId("welcome", HTMLElement);
const problem = byId("problem", HTMLElement);
const signin = byId("signin", HTMLElement);
const signedIn = byId("signedIn", HTMLElement);
const name = byId("name", HTMLInputElement);
const sessionList = byId("sessions", HTMLElement);
const tourList = byId("tours", HTMLElement);
const canvas = byId("view", HTMLCanvasElement);
const hudElement = byId("hud", HTMLElement);

let tours: api.TourSummary[] = [];
let live: Live | null = null;
let hud: Hud | null = null;
let panel: Console | null = null;
let signedOut = false;

drawSkyline(byId("skyline", HTMLElement));
try {
  name.value = localStorage.getItem("tongyou.guide-name") ?? "";
} catch {
  // Without storage the name is typed again next time.
}
translate();
byId("language", HTMLButtonElement).addEventListener("click", () => {
  setLanguage(currentLanguage() === "zh" ? "en" : "zh");
  translate();
  void refresh();
  update();
});
void refresh();
setInterval(() => {
  if (!welcome.hidden && !document.hidden) void refresh();
}, REFRESH_MS);

async function refresh(): Promise<void> {
  try {
    const [allTours, allSessions] = await Promise.all([api.tours(), api.sessions()]);
    tours = allTours;
    signedOut = false;
    setText(signin, `✓ ${say("signedIn")}`);
    signedIn.hidden = false;
    listTours();
    listSessions(allSessions);
  } catch (error) {
    signedOut = error instanceof api.ApiError && error.status === 401;
    if (signedOut) {
      signedIn.hidden = true;
      setText(signin, say("signedOut"));
    } else setText(problem, `${say("lost")} (${error instanceof Error ? error.message : String(error)})`);
  }
}

function listTours(): void {
  const key = JSON.stringify([tours, currentLanguage()]);
  if (tourList.dataset.key === key) return;
  tourList.dataset.key = key;
  tourList.replaceChildren(
    ...tours.map((tour) =>
      make(
        "li",
        { class: "entry" },
        make(
          "div",
          {},
          make("p", { class: "name" }, choose(tour.title)),
          make("p", { class: "detail" }, tour.stops.map((s) => choose(s)).join(" → ")),
          make("p", { class: "detail" }, choose(tour.notice)),
        ),
        make(
          "button",
          {
            type: "button",
            class: "primary",
            "data-tour": tour.id,
            "aria-label": `${say("start")}: ${choose(tour.title)}`,
            onclick: () => void lead(() => api.startSession(tour.id)),
          },
          say("start"),
        ),
      ),
    ),
  );
}

function listSessions(all: api.SessionSummary[]): void {
  const key = JSON.stringify([all, currentLanguage()]);
  if (sessionList.dataset.key === key) return;
  sessionList.dataset.key = key;
  if (all.length === 0) {
    sessionList.replaceChildren(make("li", { class: "empty" }, say("noSessions")));
    return;
  }
  sessionList.replaceChildren(
    ...all.map((session) => {
      const guide = session.guide
        ? `${session.guide}${session.guide_simulated ? ` (${say("simulated")})` : ""}`
        : say("nobody");
      return make(
        "li",
        { class: "entry" },
        make(
          "div",
          {},
          make(
            "p",
            { class: "name" },
            choose(session.title) || session.tour,
            make("span", { class: "tag" }, session.code),
          ),
          make(
            "p",
            { class: "detail" },
            `${say("people")} ${session.people} / ${session.capacity} · ${say("ledBy")} ${guide}`,
          ),
        ),
        make(
          "button",
          {
            type: "button",
            class: "primary",
            "data-code": session.code,
            "aria-label": `${say("lead")}: ${session.code}`,
            onclick: () => void lead(() => api.leadSession(session.code)),
          },
          say("lead"),
        ),
      );
    }),
  );
}

/** One click: a grant, a connection, the lead. */
async function lead(ask: () => Promise<api.Grant>): Promise<void> {
  setText(problem, "");
  for (const b of document.querySelectorAll<HTMLButtonElement>(".entry button")) b.disabled = true;
  try {
    const grant = await ask();
    const called = name.value.trim() || say("guide");
    try {
      localStorage.setItem("tongyou.guide-name", name.value.trim());
    } catch {
      // As above.
    }
    start();
    panel?.invite(grant);
    await live?.session.join({
      code: grant.code,
      name: called,
      grant: grant.grant,
      language: languageTag(),
      takeLead: true,
    });
  } catch (error) {
    setText(problem, error instanceof Error ? error.message : String(error));
  } finally {
    for (const b of document.querySelectorAll<HTMLButtonElement>(".entry button")) b.disabled = false;
  }
}

function start(): void {
  if (live) return;
  live = new Live(canvas, clockErrorFrom(location.search), {
    changed: () => update(),
    stopChanged: () => hud?.stopChanged(),
    notice: (message) => hud?.toast(message),
    note: noteOf,
  });
  hud = new Hud(hudElement, live);
  panel = new Console(live);
  hudElement.append(panel.element);
  const vr = new EnterVr(live);
  const leave = make("button", { type: "button", class: "quiet", onclick: () => live?.session.leave() }, say("leave"));
  document.addEventListener("tongyou-language", () => setText(leave, say("leave")));
  hud.actions.append(vr.button, leave);
  exposeDiagnostics(live);
}

function update(): void {
  if (!live) return;
  const { state, reason } = live.session;
  const inside = state === "joined" || state === "reconnecting";
  if (inside && !welcome.hidden) {
    welcome.hidden = true;
    hudElement.hidden = false;
    canvas.setAttribute("aria-label", say("look"));
    canvas.focus();
  }
  if (state === "refused" || state === "lost" || state === "ended") {
    welcome.hidden = false;
    hudElement.hidden = true;
    setText(problem, state === "refused" ? reason.message : `${say(state)} · ${reason.message}`);
    void refresh();
  }
  hud?.update();
  panel?.update();
}

function translate(): void {
  document.documentElement.lang = languageTag();
  const texts: [string, Word][] = [
    ["place", "place"],
    ["title", "console"],
    ["nameLabel", "yourName"],
    ["sessionsTitle", "sessions"],
    ["toursTitle", "tours"],
    ["language", "language"],
  ];
  for (const [id, word] of texts) setText(byId(id, HTMLElement), say(word));
  name.placeholder = say("guide");
  byId("language", HTMLButtonElement).lang = currentLanguage() === "zh" ? "en" : "zh-CN";
  document.dispatchEvent(new Event("tongyou-language"));
}
