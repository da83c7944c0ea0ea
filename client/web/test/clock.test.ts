// The clock against simulated paths and drifting clocks.
import { expect, test } from "vitest";
import { clientUsOf, clockErrorFrom, machineUsOf, nowUs, setClockError } from "../src/clock/now";
import { ClockSync, clientAt, serverAt } from "../src/clock/sync";
import type { Pong } from "../src/wire/datagram";

/** A seeded generator: the same run every time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return (Math.imul(state ^ (state >>> 13), 0x85ebca6b) >>> 0) / 2 ** 32;
  };
}

interface World {
  readonly offsetUs: number;
  readonly driftPpm: number;
  readonly oneWayUs: number;
  readonly jitter: (random: () => number) => number;
  readonly loss: number;
}

/** Runs for `seconds`; returns absolute errors by true time, and whether the told time ever stepped or fell. */
function simulate(world: World, seed: number, seconds: number): { errors: [number, number][]; stepped: boolean } {
  const next = random(seed);
  const sync = new ClockSync();
  const client = (us: number): number => us * (1 + world.driftPpm * 1e-6) + world.offsetUs;
  const answers: { at: number; pong: Pong }[] = [];
  const errors: [number, number][] = [];
  let before: { t: number; told: number } | null = null;
  let stepped = false;
  for (let t = 0; t < seconds * 1e6; t += 5000) {
    const ping = sync.pollPing(client(t));
    if (ping && next() >= world.loss) {
      const receivedUs = t + world.oneWayUs + world.jitter(next);
      const repliedUs = receivedUs + next() * 300;
      if (next() >= world.loss) {
        const pong: Pong = {
          ...ping,
          kind: "pong",
          receivedUs: Math.round(receivedUs),
          repliedUs: Math.round(repliedUs),
        };
        answers.push({ at: repliedUs + world.oneWayUs + world.jitter(next), pong });
      }
    }
    answers.sort((a, b) => a.at - b.at);
    while (answers[0] && answers[0].at <= t) {
      const answer = answers.shift();
      if (!answer) break;
      expect(sync.onPong(client(answer.at), answer.pong)).toBe(true);
      expect(sync.onPong(client(answer.at), answer.pong), "a repeated answer is ignored").toBe(false);
    }
    if (!sync.line) continue;
    const told = serverAt(sync.line, client(t));
    expect(Math.abs(clientAt(sync.line, told) - client(t))).toBeLessThan(1);
    if (before && t > 2.5e6) {
      const most = (t - before.t) * (t < 7e6 ? 5e-2 : 1.25e-3) + 2;
      if (Math.abs(told - before.told - (t - before.t)) > most) stepped = true;
    }
    before = { t, told };
    errors.push([t, Math.abs(told - t)]);
  }
  return { errors, stepped };
}

const after = (errors: [number, number][], seconds: number): number[] =>
  errors
    .filter(([t]) => t > seconds * 1e6)
    .map(([, e]) => e)
    .sort((a, b) => a - b);
const p95 = (sorted: number[]): number => sorted[Math.floor(sorted.length * 0.95)] ?? Number.POSITIVE_INFINITY;
const uniform = (most: number) => (next: () => number) => next() * most;
const exponential = (mean: number) => (next: () => number) => -mean * Math.log(1 - next());

const LAN: World = { offsetUs: 3e6, driftPpm: 50, oneWayUs: 200, jitter: exponential(100), loss: 0 };
const WIFI: World = { offsetUs: -3e6, driftPpm: -50, oneWayUs: 2000, jitter: exponential(3000), loss: 0.02 };
const BAD: World = { offsetUs: 3e6, driftPpm: 50, oneWayUs: 100_000, jitter: uniform(50_000), loss: 0.1 };

test.each([
  ["LAN", LAN, 200],
  ["Wi-Fi", WIFI, 1500],
  ["200 ms, 50 ms jitter, 10 % loss", BAD, 6000],
] as const)("%s: p95 of the error after 20 s", (_, world, boundUs) => {
  for (const seed of [1, 2, 3, 4]) {
    const { errors, stepped } = simulate(world, seed, 60);
    expect(stepped, `seed ${seed}: slewed, never stepped`).toBe(false);
    expect(p95(after(errors, 20)), `seed ${seed}`).toBeLessThan(boundUs);
  }
});

test("the skew is found", () => {
  const next = random(9);
  const sync = new ClockSync();
  for (let t = 0; t < 60e6; t += 5000) {
    const ping = sync.pollPing(t * 1.00005);
    if (!ping) continue;
    const received = Math.round(t + 1000 + next() * 500);
    const at = received + 1000 + next() * 500;
    sync.onPong(at * 1.00005, { ...ping, kind: "pong", receivedUs: received, repliedUs: received });
  }
  expect((sync.line?.skew ?? 0) * 1e6).toBeGreaterThan(-60);
  expect((sync.line?.skew ?? 0) * 1e6).toBeLessThan(-40);
});

test("answers to nothing, and impossible ones, are ignored", () => {
  const sync = new ClockSync();
  const ping = sync.pollPing(1000);
  if (!ping) throw new Error("the first ping is due at once");
  expect(sync.pollPing(1001)).toBeNull();
  const pong = (change: Partial<Pong>): Pong => ({ ...ping, kind: "pong", receivedUs: 5, repliedUs: 6, ...change });
  expect(sync.onPong(2000, pong({ seq: 77 }))).toBe(false);
  expect(sync.onPong(2000, pong({ sentUs: 1 }))).toBe(false);
  expect(sync.line).toBeNull();
  expect(sync.onPong(2000, pong({}))).toBe(true);
  expect(sync.line).not.toBeNull();
});

test("a page with a wrong clock sees wrong time everywhere but where the machine's time is recorded", () => {
  const trueUs = (): number => (performance.timeOrigin + performance.now()) * 1000;
  const before = trueUs();
  const error = clockErrorFrom("?clock=3000,50");
  expect(error).toMatchObject({ offsetUs: 3e6, ppm: 50 });
  setClockError({ ...error, sinceUs: before - 100e6 });
  try {
    const [told, now] = [nowUs(), trueUs()];
    // 3 s ahead, and 50 ppm of the hundred seconds since.
    expect(told - now).toBeGreaterThan(3e6 + 5000 - 2000);
    expect(told - now).toBeLessThan(3e6 + 5000 + 10);
    expect(Math.abs(machineUsOf(told) - now)).toBeLessThan(2000);
    expect(clientUsOf(performance.now()) - trueUs()).toBeGreaterThan(3e6);
  } finally {
    setClockError({ offsetUs: 0, ppm: 0, sinceUs: 0 });
  }
  expect(clockErrorFrom("?clock=x,y")).toMatchObject({ offsetUs: 0, ppm: 0 });
});
