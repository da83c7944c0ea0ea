// A tourist with an emulated Quest 3 (iwer): joins, enters VR, moves head and controllers, captures both eyes.
//
//   node xr.mjs '{"url": "https://127.0.0.1:4433/", "code": "BCDF-GHJK", "steps": [...]}'
//
// Arguments as in flat.mjs. The window shows the left eye on its left half, the right eye on its right half, so a
// {"screenshot"} has both. More steps:
//   {"head": {"position": [x, y, z], "yaw": rad, "pitch": rad}}        in the room, floor at 0
//   {"hand": "left" | "right", "position": [x, y, z], "yaw": rad, "pitch": rad}
//   {"press": "trigger" | "squeeze" | "thumbstick" | "a-button" | "x-button", "hand": "right", "value": 0 … 1}
//   {"stick": [x, y], "hand": "right"}                                  y −1 is ahead
//   {"leaveVr": true} {"enterVr": true}
// Prints also {"ipdM"}: the distance of the two eyes that drew the last frame.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { listen, main, withBrowser } from "./browser.mjs";
import { drive, frames, join } from "./drive.mjs";

const iwer = readFileSync(createRequire(import.meta.url).resolve("iwer/build/iwer.min.js"), "utf8");

function install() {
  const device = new window.IWER.XRDevice(window.IWER.metaQuest3);
  device.stereoEnabled = true;
  // Chromium has a runtime of its own, without a device.
  device.installRuntime({ forceInstall: true });
  device.position.set(0, 1.6, 0);
  window.xrDevice = device;
}

/** Radians to a quaternion: first pitch, then yaw. */
function turn({ yaw = 0, pitch = 0 }) {
  const [sy, cy, sp, cp] = [Math.sin(yaw / 2), Math.cos(yaw / 2), Math.sin(pitch / 2), Math.cos(pitch / 2)];
  return [cy * sp, sy * cp, -sy * sp, cy * cp];
}

async function place(page, what, pose) {
  await page.evaluate(
    ([who, position, q]) => {
      const target = who === "head" ? window.xrDevice : window.xrDevice.controllers[who];
      if (position) target.position.set(...position);
      if (q) target.quaternion.set(...q);
    },
    [what, pose.position ?? null, pose.yaw === undefined && pose.pitch === undefined ? null : turn(pose)],
  );
  await frames(page, 2);
}

async function enter(page) {
  const button = page.locator(".actions button.primary:not([hidden])");
  await button.waitFor({ timeout: 10_000 });
  await button.click();
  await page.waitForFunction(() => window.tongyou.inXr && window.tongyou.camera.length === 2, null, {
    timeout: 20_000,
  });
  await frames(page, 3);
}

await main((args, messages) =>
  withBrowser({ width: 1600, height: 800, ...args }, async (context) => {
    await context.addInitScript({ content: `${iwer}\n;(${install})();` });
    const page = await context.newPage();
    listen(page, messages);
    const joinedMs = await join(page, args);
    await enter(page);
    const extra = {
      head: (pose) => place(page, "head", pose),
      press: (button, s) =>
        page
          .evaluate(
            ([h, b, v]) => window.xrDevice.controllers[h].updateButtonValue(b, v),
            [s.hand ?? "right", button, s.value ?? 1],
          )
          .then(() => frames(page, 2)),
      stick: ([x, y], s) =>
        page
          .evaluate(
            ([h, ax, ay]) => window.xrDevice.controllers[h].updateAxes("thumbstick", ax, ay),
            [s.hand ?? "right", x, y],
          )
          .then(() => frames(page, 2)),
      hand: (which, s) => place(page, which, s),
      leaveVr: async () => {
        await page.evaluate(() => window.xrDevice.activeSession?.end());
        await page.waitForFunction(() => !window.tongyou.inXr, null, { timeout: 10_000 });
      },
      enterVr: () => enter(page),
    };
    const results = await drive(page, args, extra);
    const [a, b] = results.final.camera.map((c) => c.position);
    const ipdM = a && b ? Math.hypot(...a.map((v, i) => v - b[i])) : null;
    return { joinedMs, ipdM, ...results };
  }),
);
