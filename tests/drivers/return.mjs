// Somebody at a laptop whose network breaks, who closes the tab and opens it again, or loads it again.
//
//   node return.mjs '{"url": "https://127.0.0.1:4433/", "code": "BCDF-GHJK", "port": 5001, "interactive": true}'
//
// `port`: where the page finds WebTransport (a proxy). Steps are those of drive.mjs and
//   {"https": false | true}     whether anything is answered over HTTPS: a network that is cut cuts that too
//   {"walkAndStay": cell}       goes there and waits for the first picture of it
//   {"close": true}             closes the tab, as a person does
//   {"open": true}              opens the same address in another tab and waits for a picture; {"openedMs"}: until then
//   {"again": true}             loads the page again, likewise
//   {"returned": n}             waits until the page has come back n times since it was opened; all its returns
import { createInterface } from "node:readline";
import { listen, main, withBrowser } from "../../client/web/e2e/browser.mjs";
import { dump, join, step, waitForSet } from "../../client/web/e2e/drive.mjs";

await main((args, messages) =>
  withBrowser(args, async (context) => {
    let answers = true;
    await context.route("**/*", async (route) => {
      if (!answers) return route.abort("internetdisconnected");
      if (!route.request().url().endsWith("/api/connect")) return route.continue();
      const response = await route.fetch();
      return route.fulfill({ response, json: { ...(await response.json()), port: args.port } });
    });
    let page = await context.newPage();
    listen(page, messages);
    await join(page, args);
    const timed = async (work) => {
      const beganMs = Date.now();
      await work();
      // Nothing is typed and nothing is pressed.
      await waitForSet(page, args.timeoutMs);
      return { beganMs, openedMs: Date.now() - beganMs };
    };
    const extra = {
      https: (on) => {
        answers = on;
      },
      walkAndStay: async (cell) => {
        await page.evaluate((c) => window.tongyou.walkTo(c), cell);
        await page.waitForFunction(
          (c) => window.tongyou.cell === c && window.tongyou.lastSet?.vantage === window.tongyou.placement.vantage,
          cell,
          { timeout: args.timeoutMs, polling: 50 },
        );
      },
      close: async () => {
        const atMs = Date.now();
        await page.close({ runBeforeUnload: false });
        return { atMs };
      },
      open: () =>
        timed(async () => {
          page = await context.newPage();
          listen(page, messages);
          await page.goto(args.url, { waitUntil: "commit" });
        }),
      again: () => timed(() => page.reload({ waitUntil: "commit" })),
      returned: async (count) => {
        await page.waitForFunction(
          (n) => window.tongyou.returns.filter((r) => r.pictureMs !== null).length >= n,
          count,
          { timeout: args.timeoutMs, polling: 20 },
        );
        return (await dump(page)).returns;
      },
    };
    for await (const line of createInterface({ input: process.stdin })) {
      let answer;
      try {
        answer = { ok: true, value: await step(page, JSON.parse(line), { dumps: {}, values: {} }, extra) };
      } catch (error) {
        answer = { ok: false, error: `${error.message}; ${messages.slice(-6).join(" | ")}` };
      }
      process.stdout.write(`${JSON.stringify(answer)}\n`);
    }
    return {};
  }),
);
