// Looks at all pages as somebody who uses a keyboard, a screen reader or low sight would: axe-core in each state, and
// whether the Tab key alone reaches everything that can be pressed, visibly.
//
//   node a11y.mjs '{"url": "https://127.0.0.1:4433/", "code": "BCDF-GHJK", "login": "https://…/guide/login?token=…"}'
//
// url, code: required; login: the guide's console too, leading the session of `code`. sizes ([[width, height], …]),
// locales; spoil: JS run in the page before each look, to see that what is spoilt is found. Prints {"ok", "states": [{"state", "violations": […], "minor": […], "keyboard": {"reached", "missed",
// "unseen"}}]}; fails where axe finds anything serious or critical, or the keyboard misses something.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { listen, main, withBrowser } from "./browser.mjs";
import { waitForSet } from "./drive.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const PRESSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";

async function audit(page, state, spoil) {
  if (spoil) await page.evaluate(spoil);
  // Evaluated from outside: the pages' policy forbids foreign scripts.
  await page.evaluate(axe);
  const found = await page.evaluate((tags) => window.axe.run(document, { runOnly: tags }), TAGS);
  const short = (v) => ({ id: v.id, impact: v.impact, help: v.help, at: v.nodes.slice(0, 4).map((n) => n.html) });
  const grave = (v) => v.impact === "serious" || v.impact === "critical";
  return {
    state,
    rules: found.passes.length,
    violations: found.violations.filter(grave).map(short),
    minor: found.violations.filter((v) => !grave(v)).map(short),
    keyboard: await tabThrough(page),
  };
}

/** Presses Tab until it comes round; says what was reached, what was not, and what showed no focus. */
async function tabThrough(page) {
  const wanted = await page.evaluate((selector) => {
    const there = [...document.querySelectorAll(selector)].filter(
      (e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({ visibilityProperty: true }) && !e.closest("[inert]"),
    );
    there.forEach((e, i) => {
      e.dataset.stop = String(i);
    });
    document.activeElement?.blur();
    return there.map((e) => e.id || e.getAttribute("aria-label") || e.textContent?.trim() || e.tagName);
  }, PRESSABLE);
  const reached = new Set();
  const unseen = [];
  for (let i = 0; i < wanted.length + 3; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      const style = e ? getComputedStyle(e) : null;
      const seen = style && style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2;
      return { stop: e?.dataset?.stop ?? null, seen };
    });
    if (at.stop === null) continue;
    reached.add(Number(at.stop));
    if (!at.seen) unseen.push(wanted[Number(at.stop)]);
  }
  return { reached: reached.size, missed: wanted.filter((_, i) => !reached.has(i)), unseen: [...new Set(unseen)] };
}

/** A link signs in once: its cookies are kept for the browsers that follow. */
let kept = null;
async function login(context, link) {
  if (kept) await context.addCookies(kept);
  else {
    const page = await context.newPage();
    await page.goto(link);
    kept = (await context.cookies()).filter((c) => c.value);
    await page.close();
  }
  return kept.length;
}

await main(async (args, messages) => {
  const states = [];
  for (const locale of args.locales ?? ["zh-CN", "en-GB"]) {
    for (const [width, height] of args.sizes ?? [
      [1366, 768],
      [390, 844],
    ]) {
      await withBrowser({ width, height, locale }, async (context) => {
        const name = (what) => `${what} ${locale} ${width}x${height}`;
        const page = await context.newPage();
        listen(page, messages);
        await page.goto(args.url.split("#")[0]);
        states.push(await audit(page, name("first page"), args.spoil));
        await page.fill("#code", "nonsense");
        await page.click("#go");
        states.push(await audit(page, name("a wrong code"), args.spoil));
        await page.fill("#code", args.code);
        await page.fill("#name", "Axe");
        await page.click("#go");
        await waitForSet(page, args.timeoutMs ?? 30_000);
        await page.waitForTimeout(800);
        states.push(await audit(page, name("tour"), args.spoil));
        await page.click("button:has-text('离开'), button:has-text('Leave')");
        await page.goto(new URL("/projector.html", args.url).href);
        states.push(await audit(page, name("big screen, before"), args.spoil));
        await page.goto(new URL(`/projector.html?code=${args.code}`, args.url).href);
        await waitForSet(page, args.timeoutMs ?? 30_000);
        await page.waitForTimeout(800);
        states.push(await audit(page, name("big screen"), args.spoil));
        if (!args.login) return;
        const cookies = await login(context, args.login);
        if (cookies === 0) throw new Error("the guide's link did not sign in");
        await page.goto(new URL("/guide", args.login).href);
        await page.waitForSelector(`[data-code="${args.code}"]`, { timeout: 30_000 });
        states.push(await audit(page, name("console"), args.spoil));
        await page.click(`[data-code="${args.code}"]`);
        await waitForSet(page, args.timeoutMs ?? 30_000);
        await page.waitForFunction(() => window.tongyou.leads, null, { timeout: 10_000 });
        await page.waitForTimeout(1500);
        // On a phone the panel begins folded.
        const look = page.locator(".stops .look:enabled");
        if (await look.isVisible()) await look.click();
        await page.waitForTimeout(500);
        states.push(await audit(page, name("guide's tour"), args.spoil));
      });
    }
  }
  const bad = states.filter((s) => s.violations.length + s.keyboard.missed.length + s.keyboard.unseen.length > 0);
  if (bad.length > 0) throw new Error(`not accessible: ${JSON.stringify(bad)}`);
  return { states };
});
