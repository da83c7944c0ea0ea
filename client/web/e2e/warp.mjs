// Compares the warp with the truth: a computed place is rendered from one point, shown from others, and each view is
// held against what is really to be seen from there. Fails where too many pixels are wrong or anything is black.
//
//   npm run test:warp            (or: node e2e/warp.mjs '{"keep": "folder for the pictures"}')
import { mkdirSync, writeFileSync } from "node:fs";
import { join as path } from "node:path";
import { PNG } from "pngjs";
import { createServer } from "vite";
import { listen, main, withBrowser } from "./browser.mjs";
import { frames, join } from "./drive.mjs";

const [WIDTH, HEIGHT] = [640, 360];
/** A pixel is wrong when one of its channels is off by more than this. */
const WRONG = 48;
/** Name, yaw, pitch, offset, and the most pixels that may be wrong, parts of the whole. */
const VIEWS = [
  ["at the point", 0, 0, [0, 0, 0], 0.01],
  ["10 cm to the side", 0, 0, [0.1, 0, 0], 0.014],
  ["half a metre to the side", 0, 0, [0.5, 0, 0], 0.02],
  ["ahead and down", 0.3, -0.3, [0.1, -0.2, -0.4], 0.013],
  ["across an edge of the cube", 0.785, 0, [-0.3, 0, 0.2], 0.012],
  ["up, behind", 2.5, 0.4, [0, 0.3, 0], 0.013],
];

/** What is to be seen from the eye, in the page, by the computed place itself. */
async function truth(page) {
  return page.evaluate(
    async ([w, h]) => {
      const { look } = await import("/src/fixture/room.ts");
      const [{ position, quaternion, projection }] = window.tongyou.camera;
      const [x, y, z, s] = quaternion;
      const turn = ([a, b, c]) => {
        const [u, v, n] = [y * c - z * b, z * a - x * c, x * b - y * a];
        return [a + 2 * (s * u + y * n - z * v), b + 2 * (s * v + z * u - x * n), c + 2 * (s * n + x * v - y * u)];
      };
      const out = [];
      for (let row = 0; row < h; row++) {
        for (let column = 0; column < w; column++) {
          const ray = [(((column + 0.5) / w) * 2 - 1) / projection[0], (1 - ((row + 0.5) / h) * 2) / projection[5], -1];
          for (const c of look(position, turn(ray)).color) out.push(Math.round(Math.max(0, Math.min(1, c)) * 255));
        }
      }
      return out;
    },
    [WIDTH, HEIGHT],
  );
}

await main(async (args, messages) => {
  const server = await createServer({ mode: "fixture", server: { port: 0 }, logLevel: "error" });
  await server.listen();
  const url = server.resolvedUrls?.local[0] ?? "";
  try {
    return await withBrowser({ width: WIDTH, height: HEIGHT }, async (context) => {
      const page = await context.newPage();
      listen(page, messages);
      await join(page, { url, code: "BCDF-GHJK", timeoutMs: 60_000 });
      await page.evaluate(() => window.tongyou.hideInterface(true, true));
      const views = [];
      for (const [name, yaw, pitch, offset, most] of VIEWS) {
        await page.evaluate((v) => window.tongyou.setView(v), { yaw, pitch, offset });
        await frames(page, 3);
        const shot = PNG.sync.read(await page.screenshot());
        const wanted = await truth(page);
        let [wrong, black] = [0, 0];
        for (let i = 0; i < WIDTH * HEIGHT; i++) {
          const off = (c) => Math.abs(shot.data[4 * i + c] - wanted[3 * i + c]);
          if (Math.max(off(0), off(1), off(2)) > WRONG) wrong += 1;
          if (shot.data[4 * i] + shot.data[4 * i + 1] + shot.data[4 * i + 2] < 60) black += 1;
        }
        views.push({ name, wrong: wrong / (WIDTH * HEIGHT), most, nearlyBlack: black });
        if (args.keep) {
          mkdirSync(args.keep, { recursive: true });
          writeFileSync(path(args.keep, `${views.length}.png`), PNG.sync.write(shot));
          const real = new PNG({ width: WIDTH, height: HEIGHT });
          for (let i = 0; i < WIDTH * HEIGHT; i++) real.data.set([...wanted.slice(3 * i, 3 * i + 3), 255], 4 * i);
          writeFileSync(path(args.keep, `${views.length}-truth.png`), PNG.sync.write(real));
        }
      }
      const failed = views.filter((v) => v.wrong > v.most || v.nearlyBlack > 0);
      if (failed.length > 0)
        throw new Error(`the warp is off: ${JSON.stringify(failed)}; all: ${JSON.stringify(views)}`);
      return { views };
    });
  } finally {
    await server.close();
  }
});
