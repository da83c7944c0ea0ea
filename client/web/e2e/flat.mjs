// A tourist at a laptop: joins, waits for a set, takes steps, prints what the page knows.
//
//   node flat.mjs '{"url": "https://127.0.0.1:4433/", "code": "BCDF-GHJK", "name": "小明", "steps": [...]}'
//
// url, code: required. name, width, height, locale ("zh-CN"), clock ([ms ahead, ppm fast]), timeoutMs (until the first
// set), steps and interactive (see drive.mjs). Prints {"ok", "joinedMs", "dumps", "values", "final", "console"}; the
// arguments may come on standard input where the argument is "-".
import { listen, main, withBrowser } from "./browser.mjs";
import { drive, join } from "./drive.mjs";

await main((args, messages) =>
  withBrowser(args, async (context) => {
    const page = await context.newPage();
    listen(page, messages);
    const joinedMs = await join(page, args);
    return { joinedMs, ...(await drive(page, args)) };
  }),
);
