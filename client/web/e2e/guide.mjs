// A guide at a laptop: signs in, starts a session or takes one over, leads it.
//
//   node guide.mjs '{"login": "https://127.0.0.1:4433/guide/login?token=…", "start": "jiefangbei", "steps": [...]}'
//
// login: the link that signs in; or url: the console's address where that is not needed. start: a tour to start a
// session of; or lead: the code of a running session to take over. name, width, height, locale, clock, timeoutMs, steps
// and interactive as in flat.mjs. More steps: {"next": true} and {"previous": true} press the buttons and wait for the
// change, {"end": true} ends the session. Prints also {"code", "joinedMs"}.
import { listen, main, withBrowser } from "./browser.mjs";
import { drive, dump, leadTour } from "./drive.mjs";

await main((args, messages) =>
  withBrowser(args, async (context) => {
    const page = await context.newPage();
    listen(page, messages);
    const joinedMs = await leadTour(page, args);
    const { code } = await dump(page);
    const go = async (label) => {
      const before = await page.evaluate(() => window.tongyou.epoch);
      await page.click(`.guide-panel button:has-text("${label}")`);
      await page.waitForFunction((e) => window.tongyou.epoch !== e, before, { timeout: 15_000, polling: 20 });
    };
    const extra = {
      next: () => go("→"),
      previous: () => go("←"),
      end: async () => {
        await page.click(".guide-panel > .row > button.danger");
        await page.click("dialog button.danger");
        await page.waitForFunction(() => window.tongyou.state === "ended", null, { timeout: 10_000 });
      },
    };
    return { code, joinedMs, ...(await drive(page, args, extra)) };
  }),
);
