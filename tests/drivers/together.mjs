// Several pages in one browser, each with a wrong clock and a network of its own; when each carried out a stop change
// is taken from outside: the page's timers and frames are wrapped, so that the time is that of the callback itself.
//
//   node together.mjs '{"url": "https://127.0.0.1:4433/", "code": "BCDF-GHJK", "interactive": true,
//                       "pages": [{"name": "A", "clock": [3000, 50], "port": 5001}]}'
//
// `port`: where the page finds WebTransport, instead of where the server said (a proxy). Steps are those of drive.mjs
// with {"page": index}; {"watched": true} gives what was seen, {"stamp": true} the page's present on the machine's
// wall clock, milliseconds.
import { createInterface } from "node:readline";
import { listen, main, withBrowser } from "../../client/web/e2e/browser.mjs";
import { join, step } from "../../client/web/e2e/drive.mjs";

/** Runs in the page before all else. */
function watch() {
  const stamp = () => performance.timeOrigin + performance.now();
  const watched = { changes: [], intervalsMs: [] };
  let [epoch, lastFrame] = [null, 0];
  const look = (atMs, how) => {
    const now = window.tongyou?.epoch ?? null;
    if (now === epoch) return;
    if (epoch !== null && now !== null) {
      watched.changes.push({ epoch: now, how, appliedMs: atMs, nextFrameMs: null, presentedMs: null, frames: 0 });
    }
    epoch = now;
  };
  const wrap =
    (work, how, after) =>
    (...rest) => {
      // A change that another kind of callback carried out is found here, late rather than early.
      look(stamp(), "elsewhere");
      const atMs = stamp();
      const result = work(...rest);
      look(atMs, how);
      after?.(atMs);
      return result;
    };
  const setTimer = window.setTimeout;
  window.setTimeout = (work, ...rest) =>
    setTimer.call(window, typeof work === "function" ? wrap(work, "timer") : work, ...rest);
  const requestFrame = window.requestAnimationFrame;
  window.requestAnimationFrame = (work) => {
    const drawn = (atMs) => {
      // A frame is on display, at the latest, when the next one begins.
      for (const change of watched.changes) {
        if (change.nextFrameMs === null && change.appliedMs < atMs) change.nextFrameMs = atMs;
      }
      const intervalMs = lastFrame ? atMs - lastFrame : 0;
      lastFrame = atMs;
      watched.intervalsMs.push(intervalMs);
      if (watched.intervalsMs.length > 2000) watched.intervalsMs.shift();
      const change = watched.changes.at(-1);
      if (change && change.presentedMs === null) change.frames += 1;
      const shown = window.tongyou?.lastSet?.epoch;
      if (change && change.presentedMs === null && shown === (change.epoch & 0xffff)) {
        // The frame has been given to the display when its callback ends.
        change.presentedMs = stamp();
      }
    };
    return requestFrame.call(window, wrap(work, "frame", drawn));
  };
  window.__watched = watched;
}

const extra = (page) => ({
  watched: () => page.evaluate(() => window.__watched),
  stamp: () => page.evaluate(() => performance.timeOrigin + performance.now()),
});

await main((args, messages) =>
  withBrowser(args, async (context) => {
    await context.addInitScript(watch);
    const pages = [];
    for (const one of args.pages) {
      const page = await context.newPage();
      listen(page, messages);
      if (one.port) {
        await page.route("**/api/connect", async (route) => {
          const response = await route.fetch();
          await route.fulfill({ response, json: { ...(await response.json()), port: one.port } });
        });
      }
      await join(page, { ...args, ...one });
      pages.push(page);
    }
    const results = { dumps: {}, values: {} };
    for await (const line of createInterface({ input: process.stdin })) {
      let answer;
      try {
        const { page = 0, ...s } = JSON.parse(line);
        answer = { ok: true, value: await step(pages[page], s, results, extra(pages[page])) };
      } catch (error) {
        answer = { ok: false, error: error.message, console: messages };
      }
      process.stdout.write(`${JSON.stringify(answer)}\n`);
    }
    return {};
  }),
);
