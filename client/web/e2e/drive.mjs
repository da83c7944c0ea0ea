// Steps that all drivers take, one after another. A step is an object with one of these keys:
//   {"wait": ms}                      {"waitFor": "JS expression", "timeoutMs": n}
//   {"view": {"yaw": rad, "pitch": rad, "offset": [x, y, z]}}
//   {"screenshot": "file.png", "bare": true}     bare: without the interface; waits for the next frames first
//   {"dump": "label"}                 a copy of window.tongyou as `dumps.label`
//   {"eval": "JS expression", "as": "label"}     its value as `values.label`
//   {"walk": cell} {"withhold": true|false} {"point": [x, y] | null} {"key": "n"} {"click": "selector"}
//   {"fill": ["selector", "text"]}
//   {"reload": true}                  loads the page again, which comes back to the same place by itself
// `interactive: true` in the arguments: after `steps`, further steps are read from standard input, one JSON object a
// line, each answered by one JSON line {"ok", "value" | "error"}; the end of input ends the run.
import { createInterface } from "node:readline";

/** What window.tongyou says, as plain data. */
export function dump(page) {
  return page.evaluate(() => {
    const out = {};
    for (const [key, value] of Object.entries(window.tongyou ?? {})) if (typeof value !== "function") out[key] = value;
    return out;
  });
}

/** Waits until a set is on show. */
export async function waitForSet(page, timeoutMs) {
  try {
    await page.waitForFunction(
      () => window.tongyou?.lastSet || ["refused", "lost", "ended"].includes(window.tongyou?.state),
      null,
      { timeout: timeoutMs, polling: 50 },
    );
  } catch {
    const now = await dump(page);
    throw new Error(`no set after ${timeoutMs} ms: state ${now.state}, complete ${now.setsComplete}, ${now.troubles}`);
  }
  const { state, reason } = await dump(page);
  if (state !== "joined") throw new Error(`not joined: ${state}: ${reason}`);
}

/** Evaluated from outside each time: the page's own policy forbids it to evaluate strings. */
async function waitUntil(page, expression, timeoutMs) {
  const until = Date.now() + timeoutMs;
  while (!(await page.evaluate(expression))) {
    if (Date.now() > until) throw new Error(`not true after ${timeoutMs} ms`);
    await page.waitForTimeout(20);
  }
}

export async function frames(page, count) {
  const from = await page.evaluate(() => window.tongyou?.presentedFrames ?? 0);
  await page.waitForFunction((n) => (window.tongyou?.presentedFrames ?? 0) >= n, from + count, {
    timeout: 30_000,
    polling: 20,
  });
}

/** Takes one step; `extra` has the step kinds that only one driver knows. */
export async function step(page, s, results, extra = {}) {
  for (const [name, run] of Object.entries(extra)) if (s[name] !== undefined) return (await run(s[name], s)) ?? null;
  if (s.wait !== undefined) await page.waitForTimeout(s.wait);
  else if (s.waitFor) await waitUntil(page, s.waitFor, s.timeoutMs ?? 20_000);
  else if (s.view) {
    await page.evaluate((v) => window.tongyou.setView(v), s.view);
    await frames(page, 2);
  } else if (s.screenshot) {
    if (s.bare) await page.evaluate(() => window.tongyou.hideInterface(true));
    await frames(page, 2);
    await page.screenshot({ path: s.screenshot });
    if (s.bare) await page.evaluate(() => window.tongyou.hideInterface(false));
  } else if (s.dump) {
    results.dumps[s.dump] = await dump(page);
    return results.dumps[s.dump];
  } else if (s.eval) {
    const value = await page.evaluate(s.eval);
    if (s.as) results.values[s.as] = value;
    return value;
  } else if (s.walk !== undefined) await page.evaluate((c) => window.tongyou.walkTo(c), s.walk);
  else if (s.withhold !== undefined) await page.evaluate((on) => window.tongyou.withholdSets(on), s.withhold);
  else if (s.point !== undefined) await page.evaluate((at) => window.tongyou.pointAt(at), s.point);
  else if (s.key) await page.keyboard.press(s.key);
  else if (s.click) await page.click(s.click);
  else if (s.fill) await page.fill(...s.fill);
  else if (s.reload) {
    await page.reload();
    await waitForSet(page, s.timeoutMs ?? 30_000);
  } else throw new Error(`unknown step ${JSON.stringify(s)}`);
  return null;
}

export async function drive(page, args, extra = {}) {
  const results = { dumps: {}, values: {} };
  for (const s of args.steps ?? []) {
    try {
      await step(page, s, results, extra);
    } catch (error) {
      throw new Error(`step ${JSON.stringify(s)}: ${error.message}`);
    }
  }
  if (args.interactive) {
    for await (const line of createInterface({ input: process.stdin })) {
      if (!line.trim()) continue;
      let answer;
      try {
        answer = { ok: true, value: await step(page, JSON.parse(line), results, extra) };
      } catch (error) {
        answer = { ok: false, error: error.message };
      }
      process.stdout.write(`${JSON.stringify(answer)}\n`);
    }
  }
  return { ...results, final: await dump(page) };
}

/** The page's address with the wrong clock that a test asks for: [milliseconds, ppm]. */
export function addressOf(url, clock) {
  const address = new URL(url);
  if (clock) address.searchParams.set("clock", clock.join(","));
  return address.href;
}

/** Fills in the tourist's page and joins. */
export async function join(page, args) {
  const [base] = args.url.split("#");
  await page.goto(addressOf(base, args.clock));
  await page.fill("#code", args.code);
  await page.fill("#name", args.name ?? "小明");
  const began = Date.now();
  await page.click("#go");
  await waitForSet(page, args.timeoutMs ?? 30_000);
  return Date.now() - began;
}

/** Signs in, starts a session or takes one over, and waits until it is led. */
export async function leadTour(page, args) {
  if (args.login) await page.goto(args.login);
  await page.goto(addressOf(args.url ?? new URL("/guide", args.login).href, args.clock));
  if (args.name) await page.fill("#name", args.name);
  const button = args.lead ? `[data-code="${args.lead}"]` : `[data-tour="${args.start}"]`;
  await page.waitForSelector(button, { timeout: args.timeoutMs ?? 30_000 });
  const began = Date.now();
  await page.click(button);
  await waitForSet(page, args.timeoutMs ?? 30_000);
  await page.waitForFunction(() => window.tongyou.leads, null, { timeout: 10_000 });
  return Date.now() - began;
}
