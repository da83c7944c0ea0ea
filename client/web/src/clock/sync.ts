// Keeps this headset's estimate of server time: offset and skew from pings. The same method as the server's bots and
// the native client use.
//
// The two directions of a ping are independent, so each is judged on its own: the last minute is cut into chunks of
// about twenty pings, and in each chunk the fastest tenth of either direction gives one point of the line that server
// time is on. Half of a path's asymmetry can not be seen by any such method and remains.
import type { Ping, Pong } from "../wire/datagram";

const BURST = 8;
const BURST_INTERVAL_US = 125_000;
const INTERVAL_US = 250_000;
/** Once time is known well; a quarter of what an idle headset costs its server is its pings. */
const SETTLED_INTERVAL_US = 500_000;
/** An error below this is known well. */
const SETTLED_ERROR_US = 300;
/** How long pings are remembered. */
const WINDOW_US = 60e6;
const MAX_SAMPLES = 256;
const MAX_WAITING = 64;
const CHUNK_LEAST = 5;
const CHUNK_MOST = 20;
/** The estimate may jump for this long after the first answer. */
const STEP_US = 1e6;
/** It may turn quickly for this long after the first answer. */
const START_UP_US = 5e6;
/** Beyond start-up a correction changes the rate by at most this much (1 ms in a second). */
const SLEW = 1e-3;
const START_UP_SLEW = 5e-2;
/** A correction is spread over this time where the slew limit allows. */
const CORRECTION_US = 2e6;
/** Clocks of computers run within this of each other: the standard deviation expected before measuring. */
const SKEW_PRIOR = 30e-6;
/** No skew is believed before answers span this time. */
const SKEW_SPAN_US = 3e6;
/** After a silence of this length an error beyond `SLEPT_ERROR_US` means that a clock slept: start again. */
const SLEPT_US = 10e6;
const SLEPT_ERROR_US = 50_000;

interface Sample {
  readonly atUs: number;
  /** Server minus client as the way up shows it: true offset plus the delay up. */
  readonly upUs: number;
  /** Likewise on the way down: true offset minus the delay down. */
  readonly downUs: number;
  readonly rttUs: number;
}

/** Server time as a continuous function of client time, bent once at `untilUs`. Plain data: it is posted about. */
export interface Line {
  readonly fromUs: number;
  /** Server minus client at `fromUs`. */
  readonly offsetUs: number;
  /** Offset gained per microsecond up to `untilUs`. */
  readonly rate: number;
  readonly untilUs: number;
  /** Offset gained per microsecond after it. */
  readonly skew: number;
}

/** Server time at a client time. */
export function serverAt(line: Line, clientUs: number): number {
  return clientUs + offsetAt(line, clientUs);
}

/** The client time at which a server time is reached. */
export function clientAt(line: Line, serverUs: number): number {
  const elapsed = serverUs - (line.fromUs + line.offsetUs);
  const bend = line.untilUs - line.fromUs;
  const bendInServer = bend * (1 + line.rate);
  const clientElapsed =
    elapsed <= bendInServer ? elapsed / (1 + line.rate) : bend + (elapsed - bendInServer) / (1 + line.skew);
  return line.fromUs + clientElapsed;
}

/**
 * Synchronises this client's clock with the server's.
 *
 * `ping = sync.pollPing(now); if (ping) send(ping)`, again at `sync.nextPingUs`; `sync.onPong(now, pong)`.
 */
export class ClockSync {
  #sent = 0;
  #nextPingUs = Number.NEGATIVE_INFINITY;
  #waiting: Ping[] = [];
  #samples: Sample[] = [];
  #startedUs: number | null = null;
  #line: Line | null = null;
  #errorUs = Number.POSITIVE_INFINITY;

  /** A ping to send now, if one is due: eight within the first second, then four, and two once time is known to 0.3 ms. */
  pollPing(nowUs: number): Ping | null {
    if (nowUs < this.#nextPingUs) return null;
    const seq = this.#sent & 0xffff;
    this.#sent += 1;
    const settled = nowUs - (this.#startedUs ?? nowUs) > START_UP_US && this.#errorUs < SETTLED_ERROR_US;
    const intervalUs = settled ? SETTLED_INTERVAL_US : INTERVAL_US;
    this.#nextPingUs = nowUs + (this.#sent < BURST ? BURST_INTERVAL_US : intervalUs);
    // The server sees whole microseconds, and an answer is recognised by them.
    const ping: Ping = { kind: "ping", seq, sentUs: Math.round(nowUs) };
    if (this.#waiting.length === MAX_WAITING) this.#waiting.shift();
    this.#waiting.push(ping);
    return ping;
  }

  get nextPingUs(): number {
    return this.#nextPingUs;
  }

  /** Takes an answer; ignores (false) answers to nothing that was asked, repeated and impossible ones. */
  onPong(nowUs: number, pong: Pong): boolean {
    const at = this.#waiting.findIndex((p) => p.seq === pong.seq && p.sentUs === pong.sentUs);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    const heldUs = pong.repliedUs - pong.receivedUs;
    const roundUs = nowUs - pong.sentUs;
    if (heldUs < 0 || roundUs < heldUs) return false;
    const last = this.#samples.at(-1);
    const silenceUs = last ? nowUs - last.atUs : 0;
    this.#samples.push({
      atUs: pong.sentUs + roundUs / 2,
      upUs: pong.receivedUs - pong.sentUs,
      downUs: pong.repliedUs - nowUs,
      rttUs: roundUs - heldUs,
    });
    while (this.#samples.length > MAX_SAMPLES || nowUs - (this.#samples[0]?.atUs ?? nowUs) > WINDOW_US) {
      this.#samples.shift();
    }
    this.#update(nowUs, silenceUs);
    return true;
  }

  /** `null` before the first answer. Continuous and rising once a second has passed. */
  get line(): Line | null {
    return this.#line;
  }

  /** How far the estimate is likely off, without the half of the path's asymmetry. */
  get errorUs(): number {
    return this.#errorUs;
  }

  /** The least round trip of the last minute. */
  get rttUs(): number {
    return this.#samples.reduce((least, s) => Math.min(least, s.rttUs), Number.POSITIVE_INFINITY);
  }

  #update(nowUs: number, silenceUs: number): void {
    let fit = fitLine(this.#samples, nowUs);
    if (!fit) return;
    let offUs = this.#line ? fit.offsetUs - offsetAt(this.#line, nowUs) : 0;
    if (silenceUs > SLEPT_US && Math.abs(offUs) > SLEPT_ERROR_US) {
      this.#samples = this.#samples.slice(-1);
      this.#startedUs = null;
      fit = fitLine(this.#samples, nowUs) ?? fit;
      offUs = 0;
    }
    this.#startedUs ??= nowUs;
    const ageUs = nowUs - this.#startedUs;
    if (this.#line && ageUs >= STEP_US) {
      this.#line = bendTowards(this.#line, nowUs, fit, offUs, ageUs);
    } else {
      offUs = 0;
      this.#line = { fromUs: nowUs, offsetUs: fit.offsetUs, rate: fit.skew, untilUs: nowUs, skew: fit.skew };
    }
    this.#errorUs = fit.errorUs + Math.abs(offUs);
  }
}

interface Fit {
  readonly offsetUs: number;
  readonly skew: number;
  readonly errorUs: number;
}

function offsetAt(line: Line, atUs: number): number {
  const elapsed = atUs - line.fromUs;
  const bend = line.untilUs - line.fromUs;
  return line.offsetUs + line.rate * Math.min(elapsed, bend) + line.skew * Math.max(0, elapsed - bend);
}

function bendTowards(line: Line, nowUs: number, fit: Fit, offUs: number, ageUs: number): Line {
  const limit = ageUs < START_UP_US ? START_UP_SLEW : SLEW;
  const correction = Math.max(-limit, Math.min(limit, offUs / CORRECTION_US));
  const neededUs = correction === 0 ? 0 : offUs / correction;
  return {
    fromUs: nowUs,
    offsetUs: offsetAt(line, nowUs),
    rate: fit.skew + correction,
    untilUs: nowUs + neededUs,
    skew: fit.skew,
  };
}

/** The line through the best points of each chunk, weighted by how far a chunk's delay is above the least one. */
function fitLine(samples: readonly Sample[], nowUs: number): Fit | null {
  const first = samples[0];
  if (!first) return null;
  // Offsets are large (clocks start anywhere): relative to the first they keep their precision.
  const base = first.upUs;
  const chunk = Math.max(CHUNK_LEAST, Math.min(CHUNK_MOST, Math.floor(samples.length / 4)));
  const chunks = Math.max(1, Math.floor(samples.length / chunk));
  const points = Array.from({ length: chunks }, (_, i) =>
    bestOf(
      samples.slice(Math.floor((i * samples.length) / chunks), Math.floor(((i + 1) * samples.length) / chunks)),
      base,
      nowUs,
    ),
  );
  const least = Math.min(...points.map((p) => p.delayUs));
  const weights = points.map((p) => 1 / (1 + ((p.delayUs - least) / (0.01 * least + 500)) ** 2));
  const total = weights.reduce((a, b) => a + b, 0);
  const mean = (value: (p: Point) => number): number =>
    points.reduce((sum, p, i) => sum + (weights[i] ?? 0) * value(p), 0) / total;
  const t = mean((p) => p.tUs);
  const o = mean((p) => p.offsetUs);
  const span = (points.at(-1)?.tUs ?? 0) - (points[0]?.tUs ?? 0);
  const n = points.length;
  let skew = 0;
  let variance = mean((p) => p.spreadUs) ** 2;
  if (n >= 3 && span >= SKEW_SPAN_US) {
    const txx = mean((p) => (p.tUs - t) ** 2);
    const txo = mean((p) => (p.tUs - t) * (p.offsetUs - o));
    const raw = txo / txx;
    const residual = (mean((p) => (p.offsetUs - o - raw * (p.tUs - t)) ** 2) * n) / (n - 2);
    variance = Math.max(25, residual);
    skew = txo / (txx + variance / n / SKEW_PRIOR ** 2);
  }
  return { offsetUs: base + o - skew * t, skew, errorUs: Math.sqrt(variance / n) * (n < 3 ? 1 : 2) + 10 };
}

/** What the fastest pings of a chunk say. */
interface Point {
  /** From now, so negative. */
  readonly tUs: number;
  readonly offsetUs: number;
  /** Least delay up and down together. */
  readonly delayUs: number;
  /** How uncertain the offset is when nothing but this chunk is known. */
  readonly spreadUs: number;
}

function bestOf(samples: readonly Sample[], base: number, nowUs: number): Point {
  const fastest = (value: (s: Sample) => number): { best: number; t: number; spread: number } => {
    const all = samples.map((s) => ({ v: value(s), t: s.atUs - nowUs })).sort((a, b) => a.v - b.v || a.t - b.t);
    const top = all.slice(0, Math.ceil(all.length / 10));
    const best = top.reduce((sum, x) => sum + x.v, 0) / top.length;
    const median = all[Math.floor(all.length / 2)]?.v ?? best;
    return { best, t: top.reduce((sum, x) => sum + x.t, 0) / top.length, spread: (median - best) / all.length };
  };
  const up = fastest((s) => s.upUs - base);
  const down = fastest((s) => base - s.downUs);
  return {
    tUs: (up.t + down.t) / 2,
    offsetUs: (up.best - down.best) / 2,
    delayUs: up.best + down.best,
    spreadUs: up.spread + down.spread,
  };
}
