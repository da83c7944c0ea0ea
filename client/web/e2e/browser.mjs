// Headless Chromium as all drivers here start it: its own profile, software GPU, QUIC left on.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-unsafe-swiftshader",
  "--use-angle=swiftshader",
  // A page that is not in front still has to draw at its own rate.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
];

/** Runs `work(context)` in a fresh browser and cleans up after it. */
export async function withBrowser({ width = 1280, height = 720, locale = "en-GB" } = {}, work) {
  const profile = mkdtempSync(join(tmpdir(), "tongyou-e2e-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: FLAGS,
    ignoreHTTPSErrors: true,
    viewport: { width, height },
    locale,
  });
  try {
    return await work(context);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** The arguments: one JSON object on the command line, or on standard input where that is `-`. */
export async function readArguments() {
  const text = process.argv[2] ?? "{}";
  if (text !== "-") return JSON.parse(text);
  let all = "";
  for await (const chunk of process.stdin) all += chunk;
  return JSON.parse(all);
}

/** Prints the result as one JSON object; what went wrong goes to `error` and the exit status. */
export async function main(run) {
  const messages = [];
  try {
    const result = await run(await readArguments(), messages);
    process.stdout.write(`${JSON.stringify({ ok: true, ...result, console: messages })}\n`);
  } catch (error) {
    process.stdout.write(
      `${JSON.stringify({ ok: false, error: String(error?.message ?? error), console: messages })}\n`,
    );
    process.exitCode = 1;
  }
}

/** Keeps the last lines of the page's console. */
export function listen(page, messages) {
  const keep = (line) => {
    messages.push(line);
    if (messages.length > 60) messages.shift();
  };
  page.on("console", (m) => keep(`${m.type()}: ${m.text()}`));
  page.on("pageerror", (e) => keep(`uncaught: ${e.stack ?? e.message}`));
}
