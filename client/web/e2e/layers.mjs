// What a vantage has beside its base, as a visitor, a big screen and the guide see it: what lies behind, sharp faces, a
// view of one's own off the rings and back again, a screen, a preview.
//
//   node layers.mjs '{"url": "https://127.0.0.1:4433/", "code": "BCDF-GHJK", "login": "https://…/guide/login?token=…"}'
//
// keep ("folder"): pictures of each. Prints {"behindMs", "sharpMs", "roamMs", "backMs", "screenMs", "previewMs",
// "sharpAfterMs"} from being there, or from asking; fails where one of them does not come. `faces: false`: none are sent.
import { mkdirSync } from "node:fs";
import { join as path } from "node:path";
import { listen, main, withBrowser } from "./browser.mjs";
import { dump, join, leadTour, waitForSet } from "./drive.mjs";

await main((args, messages) =>
  withBrowser(args, async (context) => {
    const timeout = args.timeoutMs ?? 30_000;
    if (args.keep) mkdirSync(args.keep, { recursive: true });
    const shoot = (page, name) => args.keep && page.screenshot({ path: path(args.keep, `${name}.png`) });
    const until = async (page, test, argument) => {
      const began = Date.now();
      await page.waitForFunction(test, argument, { timeout, polling: 50 });
      return Date.now() - began;
    };
    const page = await context.newPage();
    listen(page, messages);
    await join(page, args);
    const behindMs = await until(page, () => window.tongyou.layers.behind);
    const sharpMs = args.faces === false ? null : await until(page, () => window.tongyou.layers.sharp.length > 0);
    await shoot(page, "flat");

    // The floor a little ahead of the middle of the window, off all rings.
    await page.evaluate(() => window.tongyou.setView({ yaw: 0.9, pitch: -0.5, offset: [0, 0, 0] }));
    await page.waitForTimeout(300);
    await page.focus("#view");
    await page.keyboard.press("g");
    const roamMs = await until(page, () => window.tongyou.layers.stereo && window.tongyou.fading === null);
    const roaming = await dump(page);
    if (roaming.cell !== null) throw new Error(`in a view of one's own at place ${roaming.cell}`);
    await shoot(page, "roaming");
    await page.evaluate(() => window.tongyou.walkTo(0));
    const backMs = await until(page, () => window.tongyou.cell === 0 && !window.tongyou.layers.stereo);
    const { layers, troubles } = await dump(page);
    await page.close();

    const screen = await context.newPage();
    listen(screen, messages);
    const began = Date.now();
    await screen.goto(new URL(`/projector.html?code=${args.code}`, args.url).href);
    await waitForSet(screen, timeout);
    const screenMs = Date.now() - began;
    await screen.waitForTimeout(1000);
    await shoot(screen, "screen");
    await screen.close();

    let previewMs = null;
    if (args.login) {
      const guide = await context.newPage();
      // On a phone the panel begins folded.
      await guide.setViewportSize({ width: 960, height: 600 });
      listen(guide, messages);
      await leadTour(guide, { ...args, url: undefined, lead: args.code, name: "Guide" });
      await guide.click(".stops .look:enabled");
      previewMs = await until(guide, () =>
        /(预览：|Preview: )\S/u.test(document.querySelector(".preview figcaption")?.textContent ?? ""),
      );
      await shoot(guide, "guide");
    }
    return { behindMs, sharpMs, roamMs, backMs, screenMs, previewMs, sharpAfterMs: layers.sharpAfterMs, troubles };
  }),
);
