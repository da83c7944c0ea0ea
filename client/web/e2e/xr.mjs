// Somebody with an emulated Quest 3 (iwer): joins, enters VR, moves head and controllers, captures both eyes.
//
//   node xr.mjs '{"url": "https://127.0.0.1:4433/", "code": "BCDF-GHJK", "steps": [...]}'
//
// Arguments as in flat.mjs; with "login" and "lead" or "start" as in guide.mjs the wearer is the guide. The window shows the left eye on its left half, the right eye on its right half, so a
// {"screenshot"} has both. More steps:
//   {"head": {"position": [x, y, z], "yaw": rad, "pitch": rad}}        in the room, floor at 0
//   {"hand": "left" | "right", "position": [x, y, z], "yaw": rad, "pitch": rad}
//   {"press": "trigger" | "squeeze" | "thumbstick" | "a-button" | "x-button", "hand": "right", "value": 0 … 1}
//   {"stick": [x, y], "hand": "right"}                                  y −1 is ahead
//   {"leaveVr": true} {"enterVr": true}
//   {"teleport": cell, "with": "stick" | "trigger", "hand": "right", "screenshot": "arc.png", "as": "label"}
//       aims at the cell's ring, lets go, waits until the wearer is there: {"aimed", "cell", "movedM", "tookMs"}
//   {"teleport": null, …}    aims at the sky and lets go: nobody moves
//   {"snapTurn": 1 | -1, "as": "label"}    one flick of the stick: {"degrees" (left is positive), "movedM", "held"};
//       held: degrees that a stick held for a second turns beyond the first
//   {"aimAt": [x, y, z], "hand": "right"}  turns a controller towards a place of the stop
//   {"pointing": "right", "as": "label"}   the pointer's place while the trigger is held: {"pointer", "offRayM"}
// Prints also {"ipdM"}: the distance of the two eyes that drew the last frame.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { listen, main, withBrowser } from "./browser.mjs";
import { drive, frames, join, leadTour } from "./drive.mjs";

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

/** Rotates by a quaternion, or back. */
function rotated([x, y, z, w], [a, b, c], back = false) {
  const [p, q, r] = back ? [-x, -y, -z] : [x, y, z];
  const [u, v, n] = [2 * (q * c - r * b), 2 * (r * a - p * c), 2 * (p * b - q * a)];
  return [a + w * u + q * n - r * v, b + w * v + r * u - p * n, c + w * n + p * v - q * u];
}

const minus = (a, b) => a.map((v, i) => v - b[i]);
const knows = (page, what) => page.evaluate((key) => window.tongyou[key], what);

/** The middle between the eyes and the heading, in the world. */
async function eyes(page) {
  const camera = await knows(page, "camera");
  const middle = camera[0].position.map((v, i) => (v + camera[1].position[i]) / 2);
  const ahead = rotated(camera[0].quaternion, [0, 0, -1]);
  return { middle, yaw: Math.atan2(-ahead[0], -ahead[2]) };
}

/** How a controller is held in the room. */
function controller(page, hand) {
  return page.evaluate((h) => {
    const { position: p, quaternion: q } = window.xrDevice.controllers[h];
    return { position: [p.x, p.y, p.z], quaternion: [q.x, q.y, q.z, q.w] };
  }, hand);
}

async function aimAt(page, at, hand) {
  const room = await knows(page, "room");
  const { position: from } = await controller(page, hand);
  const to = minus(rotated(room.quaternion, minus(at, room.position), true), from);
  await place(page, hand, { yaw: Math.atan2(-to[0], -to[2]), pitch: Math.asin(to[1] / Math.hypot(...to)) });
}

async function teleport(page, cell, { with: how = "stick", hand = "right", screenshot }, set) {
  const before = await eyes(page);
  const ring = (await knows(page, "rings")).find((r) => r.cell === cell);
  if (cell !== null && !ring) throw new Error(`there is no ring of place ${cell}`);
  await aimAt(page, ring?.at ?? [before.middle[0], before.middle[1] + 50, before.middle[2]], hand);
  if (how === "stick") await set.stick([0, -1], hand);
  else await set.press("trigger", 1, hand);
  await frames(page, 3);
  const aim = await knows(page, "aim");
  if (screenshot) await page.screenshot({ path: screenshot });
  const began = Date.now();
  if (how === "stick") await set.stick([0, 0], hand);
  else await set.press("trigger", 0, hand);
  if (cell === null) await page.waitForTimeout(1500);
  else {
    await page.waitForFunction(
      ([c, x, z]) => {
        const point = window.tongyou.lastSet?.point;
        return window.tongyou.cell === c && point && Math.hypot(point[0] - x, point[2] - z) < 0.5;
      },
      [cell, ring.at[0], ring.at[2]],
      { timeout: 30_000, polling: 20 },
    );
  }
  const tookMs = Date.now() - began;
  await frames(page, 2);
  const movedM = Math.hypot(...minus((await eyes(page)).middle, before.middle));
  return { aimed: aim?.cell ?? null, hand: aim?.hand ?? null, cell: await knows(page, "cell"), movedM, tookMs };
}

async function snapTurn(page, way, { hand = "right" }, set) {
  const degrees = (a, b) => (Math.atan2(Math.sin(b.yaw - a.yaw), Math.cos(b.yaw - a.yaw)) * 180) / Math.PI;
  const before = await eyes(page);
  await set.stick([way, 0], hand);
  const turned = await eyes(page);
  await page.waitForTimeout(1000);
  await frames(page, 2);
  const still = await eyes(page);
  await set.stick([0, 0], hand);
  return {
    degrees: degrees(before, turned),
    movedM: Math.hypot(...minus(turned.middle, before.middle)),
    held: degrees(turned, still),
  };
}

/** What the guide points at, and how far that is from the controller's ray. */
async function pointing(page, hand, set) {
  await set.press("trigger", 1, hand);
  await frames(page, 3);
  const pointer = await knows(page, "pointer");
  const room = await knows(page, "room");
  const { position, quaternion } = await controller(page, hand);
  const origin = rotated(room.quaternion, position).map((v, i) => v + room.position[i]);
  const ray = rotated(room.quaternion, rotated(quaternion, [0, 0, -1]));
  await set.press("trigger", 0, hand);
  await frames(page, 2);
  const after = await knows(page, "pointer");
  if (!pointer) return { pointer, offRayM: null, distanceM: null, released: after === null };
  const to = minus(pointer, origin);
  const along = to.reduce((sum, v, i) => sum + v * ray[i], 0);
  const offRayM = Math.hypot(...to.map((v, i) => v - ray[i] * along));
  return { pointer, offRayM, distanceM: along, released: after === null };
}

await main((args, messages) =>
  withBrowser({ width: 1600, height: 800, ...args }, async (context) => {
    await context.addInitScript({ content: `${iwer}\n;(${install})();` });
    const page = await context.newPage();
    listen(page, messages);
    const joinedMs = args.lead || args.start ? await leadTour(page, args) : await join(page, args);
    await enter(page);
    const set = {
      press: async (button, value, hand = "right") => {
        await page.evaluate(
          ([h, b, v]) => window.xrDevice.controllers[h].updateButtonValue(b, v),
          [hand, button, value],
        );
        await frames(page, 2);
      },
      stick: async ([x, y], hand = "right") => {
        await page.evaluate(
          ([h, ax, ay]) => window.xrDevice.controllers[h].updateAxes("thumbstick", ax, ay),
          [hand, x, y],
        );
        await frames(page, 2);
      },
    };
    const values = {};
    const keep = async (s, work) => {
      const value = await work;
      if (s.as) values[s.as] = value;
      return value;
    };
    // Those with a picture of their own come before the plain step of that name.
    const extra = {
      teleport: (cell, s) => keep(s, teleport(page, cell, s, set)),
      snapTurn: (way, s) => keep(s, snapTurn(page, way, s, set)),
      pointing: (hand, s) => keep(s, pointing(page, hand, set)),
      aimAt: (at, s) => aimAt(page, at, s.hand ?? "right"),
      head: (pose) => place(page, "head", pose),
      press: (button, s) => set.press(button, s.value ?? 1, s.hand),
      stick: (axes, s) => set.stick(axes, s.hand),
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
    return { joinedMs, ipdM, ...results, values: { ...results.values, ...values } };
  }),
);
