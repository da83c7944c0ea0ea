// Shows recorded vantages from given eyes, without a server: what `tests/suite/truth_page.rs` measures.
//
//   node truth.mjs '{"interactive": true}'
//
// Steps, one JSON object a line, answered as in drive.mjs:
//   {"load": {"name", "frames": ["wire frame file", ...], "nv12": {"file", "width", "height"}}}   nv12: colour never coded
//   {"look": {"names": [...], "position", "rotation", "verticalFovRad", "side", "which", "to": "folder"}}
//       writes <folder>/<name>.rgb, rows from the top; its value is [{"holes", "ms"}, ...]
//   {"forget": true}
import { readFileSync, writeFileSync } from "node:fs";
import { join as path } from "node:path";
import { fileURLToPath } from "node:url";
import { createServer } from "vite";
import { listen, main, withBrowser } from "./browser.mjs";
import { drive } from "./drive.mjs";

const base64 = (file) => readFileSync(file).toString("base64");

await main(async (args, messages) => {
  // The folder of the page, wherever this was started from.
  const root = fileURLToPath(new URL("..", import.meta.url));
  const server = await createServer({
    root,
    configFile: path(root, "vite.config.ts"),
    server: { port: 0, hmr: false, watch: null },
    logLevel: "error",
  });
  await server.listen();
  try {
    return await withBrowser({ width: 400, height: 400 }, async (context) => {
      const page = await context.newPage();
      listen(page, messages);
      await page.goto(new URL("/src/fixture/truth.html", server.resolvedUrls?.local[0]).href);
      await page.waitForFunction(() => window.truth, null, { timeout: args.timeoutMs ?? 60_000 });
      const extra = {
        load: ({ name, frames, nv12 }) =>
          page.evaluate(
            ([n, recording]) => window.truth.load(n, recording),
            [name, { frames: frames.map(base64), ...(nv12 ? { nv12: { ...nv12, data: base64(nv12.file) } } : {}) }],
          ),
        look: async ({ names, to, ...eye }) => {
          const seen = [];
          for (const name of names) {
            const { rgb, ...figures } = await page.evaluate(([n, e]) => window.truth.look(n, e), [name, eye]);
            writeFileSync(path(to, `${name}.rgb`), Buffer.from(rgb, "base64"));
            seen.push(figures);
          }
          return seen;
        },
        forget: () => page.evaluate(() => window.truth.forget()),
      };
      return await drive(page, args, extra);
    });
  } finally {
    await server.close();
  }
});
