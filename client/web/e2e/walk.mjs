// Somebody who walks from ring to ring with the mouse, with and without having aimed at the ring before.
//
//   node walk.mjs '{"url": "https://127.0.0.1:4433/", "code": "BCDF-GHJK", "rounds": 3}'
//
// Arguments as in flat.mjs, beside steps: rounds (default 3) of one walk each way; cells (default: the first two);
// fade ("folder"): pictures of one slow cross-fade, before, at its start, in the middle, towards its end and after, and of
// each how much of the new place is in it and how far it is from such a mixture; fails where the first jumps or one is
// none. Prints {"cold", "ahead"}: for each walk
// {"cell", "answerMs", "firstFrameMs" (from the click), "fetchedMs" (from aiming until a set was there; null if never)},
// and the medians of firstFrameMs as {"medians": {"cold", "ahead"}}.

import { mkdirSync } from "node:fs";
import { loadavg } from "node:os";
import { join as path } from "node:path";
import { PNG } from "pngjs";
import { listen, main, withBrowser } from "./browser.mjs";
import { dump, frames, join } from "./drive.mjs";

const LONGEST_MS = 30_000;

/** Turns the view so that a ring is in the middle of the window. */
async function face(page, cell) {
  await page.evaluate((c) => {
    const t = window.tongyou;
    const ring = t.rings.find((r) => r.cell === c);
    if (!ring) throw new Error(`there is no ring of place ${c}`);
    const [x, y, z] = ring.at.map((v, i) => v - t.lastSet.point[i]);
    t.setView({ yaw: Math.atan2(-x, -z), pitch: Math.atan2(y, Math.hypot(x, z)), offset: [0, 0, 0] });
  }, cell);
  await frames(page, 2);
}

const middle = ({ width = 1280, height = 720 }) => [width / 2, height / 2];

/** Until the first frame of the new place was drawn and the cross-fade is over. */
async function arrival(page, cell) {
  await page.waitForFunction(
    (c) => {
      const walk = window.tongyou.walks.at(-1);
      return walk?.cell === c && walk.shownMs !== null && window.tongyou.fading === null;
    },
    cell,
    { timeout: LONGEST_MS, polling: 20 },
  );
  const { walks } = await dump(page);
  const walk = walks.at(-1);
  return {
    cell,
    wasHere: walk.ahead,
    answerMs: walk.placedMs - walk.askedMs,
    firstFrameMs: walk.shownMs - walk.askedMs,
  };
}

async function walk(page, cell, ahead, args) {
  await page.mouse.move(2, 2);
  await face(page, cell);
  let fetchedMs = null;
  if (ahead) {
    const began = Date.now();
    await page.mouse.move(...middle(args));
    await page.waitForFunction((c) => window.tongyou.ahead?.cell === c && window.tongyou.ahead.ready, cell, {
      timeout: LONGEST_MS,
      polling: 20,
    });
    fetchedMs = Date.now() - began;
  }
  await page.mouse.click(...middle(args));
  return { ...(await arrival(page, cell)), fetchedMs };
}

async function slowFade(page, cell, args) {
  await page.evaluate(() => window.tongyou.stretchFades(60));
  await page.mouse.move(2, 2);
  await face(page, cell);
  await page.mouse.move(...middle(args));
  await page.waitForFunction((c) => window.tongyou.ahead?.cell === c && window.tongyou.ahead.ready, cell, {
    timeout: LONGEST_MS,
    polling: 20,
  });
  await page.mouse.move(2, 2);
  await page.evaluate(() => window.tongyou.hideInterface(true));
  mkdirSync(args.fade, { recursive: true });
  const shots = [];
  const shoot = async () => {
    const file = path(args.fade, `fade-${shots.length}.png`);
    shots.push(PNG.sync.read(await page.screenshot({ path: file })).data);
  };
  await shoot();
  await page.evaluate((c) => window.tongyou.walkTo(c), cell);
  for (const part of [0.005, 0.45, 0.85]) {
    await page.waitForFunction((p) => (window.tongyou.fading ?? 0) >= p, part, { timeout: LONGEST_MS, polling: 20 });
    await shoot();
  }
  await page.evaluate(() => window.tongyou.stretchFades(1));
  await page.waitForFunction(() => window.tongyou.fading === null, null, { timeout: LONGEST_MS, polling: 20 });
  await frames(page, 2);
  await shoot();
  await page.evaluate(() => window.tongyou.hideInterface(false));
  const [before, first, half, late, after] = shots;
  const parts = [first, half, late].map((shot) => mixture(shot, before, after));
  if (parts[0].part > 0.15) throw new Error(`the cross-fade begins with a jump: ${JSON.stringify(parts)}`);
  if (parts.some((p) => p.error > 0.35)) throw new Error(`not a mixture of both: ${JSON.stringify(parts)}`);
  return parts;
}

/** How much of `after` is in a picture, by least squares, and how far it is from that mixture, parts of the change. */
function mixture(shot, before, after) {
  let [along, whole, off] = [0, 0, 0];
  for (let i = 0; i < shot.length; i++) {
    const change = after[i] - before[i];
    along += (shot[i] - before[i]) * change;
    whole += change * change;
  }
  const part = along / whole;
  for (let i = 0; i < shot.length; i++) off += (shot[i] - before[i] - part * (after[i] - before[i])) ** 2;
  return { part, error: Math.sqrt(off / whole) };
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? null;

await main((args, messages) =>
  withBrowser(args, async (context) => {
    const page = await context.newPage();
    listen(page, messages);
    const joinedMs = await join(page, args);
    const [there, back] = args.cells ?? [1, 0];
    const results = { cold: [], ahead: [] };
    for (let round = 0; round < (args.rounds ?? 3); round++) {
      for (const kind of ["cold", "ahead"]) {
        for (const cell of [there, back]) results[kind].push(await walk(page, cell, kind === "ahead", args));
      }
    }
    const fade = args.fade ? await slowFade(page, there, args) : undefined;
    const medians = Object.fromEntries(
      Object.entries(results).map(([kind, walks]) => [kind, median(walks.map((w) => w.firstFrameMs))]),
    );
    const { troubles, frameTimesMs } = await dump(page);
    return {
      joinedMs,
      ...results,
      medians,
      fade,
      frameMs: median(frameTimesMs.interval),
      load: loadavg()[0],
      troubles,
    };
  }),
);
