// The guide's console: start or take over a session, then lead it from the same page.
import { Page, rememberedName, rememberName } from "./page";
import * as api from "./tour/api";
import { Console } from "./ui/console";
import { byId, make, setText } from "./ui/dom";
import { choose, currentLanguage, languageTag, say, type Word } from "./ui/words";

const REFRESH_MS = 4000;
const NAME = "tongyou.guide-name";

const signin = byId("signin", HTMLElement);
const signedIn = byId("signedIn", HTMLElement);
const name = byId("name", HTMLInputElement);
const sessionList = byId("sessions", HTMLElement);
const tourList = byId("tours", HTMLElement);

let tours: readonly api.TourSummary[] = [];
let panel: Console | null = null;
const page = new Page({ texts, changed });

name.value = rememberedName(NAME);
page.translate();
name.placeholder = say("guide");
document.addEventListener("tongyou-language", () => {
  name.placeholder = say("guide");
  void refresh();
});
void refresh();
setInterval(() => {
  if (page.welcoming && !document.hidden) void refresh();
}, REFRESH_MS);
comeBack();

/** A console that was loaded again goes on leading what it led. */
function comeBack(): void {
  const place = page.memory.reloaded;
  if (!place?.guide) return;
  name.value = place.name;
  void lead(() => api.leadSession(place.code), place.leads ? "keep" : "no");
}

async function refresh(): Promise<void> {
  try {
    const [allTours, allSessions] = await Promise.all([api.tours(), api.sessions()]);
    tours = allTours;
    setText(signin, `✓ ${say("signedIn")}`);
    signedIn.hidden = false;
    listTours();
    listSessions(allSessions);
  } catch (error) {
    if (error instanceof api.ApiError && error.status === 401) {
      signedIn.hidden = true;
      setText(signin, say("signedOut"));
    } else page.problem(`${say("lost")} (${error instanceof Error ? error.message : String(error)})`);
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
            onclick: () => void lead(() => api.startSession(tour.id), "take"),
          },
          say("start"),
        ),
      ),
    ),
  );
}

function listSessions(all: readonly api.SessionSummary[]): void {
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
            onclick: () => void lead(() => api.leadSession(session.code), "take"),
          },
          say("lead"),
        ),
      );
    }),
  );
}

/** One click: a grant, a connection, the lead. */
async function lead(ask: () => Promise<api.Grant>, how: "take" | "keep" | "no"): Promise<void> {
  page.problem("");
  for (const b of document.querySelectorAll<HTMLButtonElement>(".entry button")) b.disabled = true;
  try {
    const grant = await ask();
    const called = name.value.trim() || say("guide");
    rememberName(NAME, name.value.trim());
    const { session } = page.start((live, hud) => {
      panel = new Console(live);
      hud.append(panel.element);
    });
    panel?.invite(grant);
    await session.join({ code: grant.code, name: called, grant: grant.grant, language: languageTag(), lead: how });
  } catch (error) {
    page.problem(error instanceof Error ? error.message : String(error));
  } finally {
    for (const b of document.querySelectorAll<HTMLButtonElement>(".entry button")) b.disabled = false;
  }
}

function changed(): void {
  const session = page.live?.session;
  if (session && (session.state === "refused" || session.state === "lost" || session.state === "ended")) {
    const { state, reason } = session;
    page.problem(state === "refused" ? reason.message : [say(state), reason.message].filter(Boolean).join(" · "));
    void refresh();
  }
  panel?.update();
}

function texts(): readonly (readonly [string, Word])[] {
  return [
    ["title", "console"],
    ["nameLabel", "yourName"],
    ["sessionsTitle", "sessions"],
    ["toursTitle", "tours"],
  ];
}
