// The worker that holds the connection: network, clock pings, decoding. The page's own thread only presents.
import { nowUs, setClockError } from "../clock/now";
import { ClockSync, serverAt } from "../clock/sync";
import type { Link, LinkEvents } from "../net/link";
import { Silence } from "../net/silence";
import { openWebTransport } from "../net/webtransport";
import { readDatagram, writeDatagram } from "../wire/datagram";
import { type Header, readFrame } from "../wire/frame";
import { type DecodedSet, type FromWorker, type Stats, type ToWorker, vantageKey } from "./messages";
import { Vantage, type VantageEvents } from "./vantage";

const TICK_MS = 20;
const FEEDBACK_US = 250_000;
/** Most vantages, and so decoders, at a time: browsers take decoders away beyond about four. */
const MAX_VANTAGES = 4;

const post = (message: FromWorker, transfer: Transferable[] = []): void => self.postMessage(message, { transfer });

let link: Link | null = null;
/** Counts connections: what an earlier one still says is not of this one. */
let connection = 0;
let clock = new ClockSync();
let silence = new Silence();
let withheld = false;
let vantages: Vantage[] = [];
let kept: readonly number[] = [];
let ticker: ReturnType<typeof setInterval> | undefined;
let total: { complete: number; missed: number; bytes: number } = { complete: 0, missed: 0, bytes: 0 };
let report = freshReport();

self.addEventListener("message", (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  switch (message.kind) {
    case "open":
      setClockError(message.clockError);
      void open(message);
      break;
    case "control":
      link?.sendControl(message.bytes);
      break;
    case "datagram":
      link?.sendDatagram(message.bytes);
      break;
    case "withhold":
      withheld = message.on;
      break;
    case "forget":
      for (const v of vantages) if (v.key === message.key) v.close();
      vantages = vantages.filter((v) => v.key !== message.key);
      break;
    case "keep":
      kept = message.keys;
      break;
    case "close":
      link?.close();
  }
});

async function open(message: Extract<ToWorker, { kind: "open" }>): Promise<void> {
  connection += 1;
  const mine = connection;
  closeAll();
  clock = new ClockSync();
  silence = new Silence();
  total = { complete: 0, missed: 0, bytes: 0 };
  report = freshReport();
  try {
    const address = { url: message.url, certificateSha256: message.certificateSha256 };
    const opened = await openWebTransport(address, eventsOf(mine));
    if (mine !== connection) {
      opened.close();
      return;
    }
    link = opened;
  } catch (error) {
    if (mine === connection) post({ kind: "closed", reason: error instanceof Error ? error.message : String(error) });
    return;
  }
  post({ kind: "opened" });
  ticker = setInterval(tick, TICK_MS);
}

/** Lets go of a connection and of what it brought. */
function closeAll(): void {
  clearInterval(ticker);
  for (const v of vantages) v.close();
  vantages = [];
  const last = link;
  link = null;
  last?.close();
}

/** The events of one connection, silent once there is another. */
function eventsOf(mine: number): LinkEvents {
  const current = (): boolean => mine === connection;
  const heard = (): boolean => {
    if (current()) silence.heard(nowUs());
    return current();
  };
  return {
    control: (bytes) => heard() && events.control(bytes),
    frame: (bytes) => heard() && events.frame(bytes),
    datagram: (bytes) => heard() && events.datagram(bytes),
    closed: (reason) => current() && events.closed(reason),
  };
}

const events: LinkEvents = {
  control: (bytes) => post({ kind: "control", bytes }),
  frame(bytes) {
    report.bytes += bytes.length;
    total.bytes += bytes.length;
    guarded(() => {
      const frame = readFrame(bytes);
      vantage(vantageKey(frame.header.tag)).push(frame);
    });
  },
  datagram(bytes) {
    const atUs = nowUs();
    guarded(() => {
      const datagram = readDatagram(bytes);
      if (datagram.kind === "avatars") post({ kind: "avatars", avatars: datagram, atUs });
      else if (datagram.kind === "commit") post(datagram);
      else if (datagram.kind === "still") {
        // Also of what no frame has come yet; but never in the place of another.
        const key = vantageKey(datagram);
        if (vantages.length < MAX_VANTAGES || vantages.some((v) => v.key === key)) vantage(key).still(datagram.set);
        post(datagram);
      } else if (datagram.kind === "pong" && clock.onPong(atUs, datagram) && clock.line) {
        post({ kind: "clock", line: clock.line, rttUs: clock.rttUs, errorUs: clock.errorUs });
      }
    });
  },
  closed(reason) {
    closeAll();
    post({ kind: "closed", reason });
  },
};

const vantageEvents: VantageEvents = {
  complete(header) {
    report.complete += 1;
    total.complete += 1;
    report.lastSet = Math.max(report.lastSet, header.tag.set);
    report.delayMs = Math.max(report.delayMs, delayMs(header));
  },
  set(set) {
    if (withheld) {
      if (set.picture.format === "frame") set.picture.frame.close();
      return;
    }
    post({ kind: "set", set }, transferables(set));
  },
  trouble: (message) => post({ kind: "trouble", message }),
};

function tick(): void {
  const now = nowUs();
  const ping = clock.pollPing(now);
  if (ping) {
    link?.sendDatagram(writeDatagram(ping));
    silence.asked(now);
  }
  if (silence.isDead(now)) {
    events.closed("the server has fallen silent");
    return;
  }
  if (now - report.sinceUs >= FEEDBACK_US) sendFeedback(now);
}

function sendFeedback(now: number): void {
  const missed = vantages.reduce((sum, v) => sum + v.takeMissed(), 0);
  total.missed += missed;
  const decodeQueue = vantages.reduce((sum, v) => sum + v.decodeQueue, 0);
  link?.sendDatagram(
    writeDatagram({
      kind: "feedback",
      lastSet: report.lastSet,
      intervalMs: Math.min(65_535, Math.round((now - report.sinceUs) / 1000)),
      complete: Math.min(65_535, report.complete),
      missed: Math.min(65_535, missed),
      decodeQueue: Math.min(255, decodeQueue),
      delayMs: Math.min(65_535, Math.round(report.delayMs)),
      bytes: report.bytes,
    }),
  );
  const stats: Stats = {
    ...total,
    decodeQueue,
    delayMs: report.delayMs,
    decoderRestarts: vantages.reduce((sum, v) => sum + v.restarts, 0),
  };
  post({ kind: "stats", stats });
  report = { ...freshReport(), lastSet: report.lastSet };
}

function freshReport(): { sinceUs: number; lastSet: number; complete: number; delayMs: number; bytes: number } {
  return { sinceUs: nowUs(), lastSet: 0, complete: 0, delayMs: 0, bytes: 0 };
}

function delayMs(header: Header): number {
  return clock.line ? Math.max(0, serverAt(clock.line, nowUs()) - header.renderedAtUs) / 1000 : 0;
}

function vantage(key: number): Vantage {
  const known = vantages.find((v) => v.key === key);
  if (known) return known;
  if (vantages.length >= MAX_VANTAGES) {
    // The oldest of those that nobody needs; else the oldest of all.
    const spare = vantages.findIndex((v) => !kept.includes(v.key));
    for (const given of vantages.splice(Math.max(0, spare), 1)) given.close();
  }
  const fresh = new Vantage(key, vantageEvents);
  vantages.push(fresh);
  return fresh;
}

function transferables(set: DecodedSet): Transferable[] {
  const { picture } = set;
  const depth = set.depth.faces.map((f) => f.samples.buffer);
  return picture.format === "frame" ? [picture.frame, ...depth] : [picture.y.buffer, picture.chroma.buffer, ...depth];
}

/** What arrives damaged is said and skipped; the tour goes on. */
function guarded(work: () => void): void {
  try {
    work();
  } catch (error) {
    post({ kind: "trouble", message: error instanceof Error ? error.message : String(error) });
  }
}
