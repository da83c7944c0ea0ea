// The worker that holds the connection: network, clock pings, decoding. The page's own thread only presents.
import { nowUs, setClockError } from "../clock/now";
import { ClockSync, serverAt } from "../clock/sync";
import type { Link, LinkEvents } from "../net/link";
import { Silence } from "../net/silence";
import { openWebTransport } from "../net/webtransport";
import { readDatagram, writeDatagram } from "../wire/datagram";
import { type Header, readFrame } from "../wire/frame";
import type { LayerName } from "../wire/layers";
import { Decoders } from "./decoders";
import { type DecodedSet, type FromWorker, type Stats, type ToWorker, vantageKey } from "./messages";
import { Stream, type StreamEvents } from "./stream";

const TICK_MS = 20;
/** A report is due this often while something is wrong, and half as often while all is well. */
const FEEDBACK_US = 250_000;
const CALM_FEEDBACK_US = 500_000;
/** More frames than this at the decoders, or pictures later than before by more than this, are wrong. */
const DECODE_QUEUE = 2;
const DELAY_GREW_MS = 50;
/** Most streams that are followed at a time: four vantages with all their layers would be more than anybody is sent. */
const MAX_STREAMS = 16;

const post = (message: FromWorker, transfer: Transferable[] = []): void => self.postMessage(message, { transfer });

let link: Link | null = null;
/** Counts connections: what an earlier one still says is not of this one. */
let connection = 0;
let clock = new ClockSync();
let silence = new Silence();
let withheld = false;
let streams: Stream[] = [];
const decoders = new Decoders(() => streams);
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
      for (const s of streams) if (s.key === message.key) s.close();
      streams = streams.filter((s) => s.key !== message.key);
      decoders.wake();
      break;
    case "keep":
      decoders.kept = message.keys;
      decoders.wake();
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
  for (const s of streams) s.close();
  streams = [];
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
      stream(vantageKey(frame.header.tag), frame.header.layer).push(frame);
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
        const known = streams.some((s) => s.key === key && s.layer === datagram.layer);
        if (known || streams.length < MAX_STREAMS) stream(key, datagram.layer).still(datagram.set);
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

const streamEvents: StreamEvents = {
  mayDecode: (s) => decoders.grant(s),
  complete(header) {
    // What comes beside the base must not lower its quality when it has to wait.
    if (header.layer !== "base") return;
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
  // A report that leaves together with a ping is one packet with it.
  const due = ping || isWrong() ? FEEDBACK_US : CALM_FEEDBACK_US;
  if (now - report.sinceUs >= due) sendFeedback(now);
}

function isWrong(): boolean {
  return (
    streams.some((s) => s.layer === "base" && s.missed > 0) ||
    streams.reduce((sum, s) => sum + s.decodeQueue, 0) > DECODE_QUEUE ||
    report.delayMs > report.delayBeforeMs + DELAY_GREW_MS
  );
}

function sendFeedback(now: number): void {
  const missed = streams.reduce((sum, s) => sum + (s.layer === "base" ? s.takeMissed() : s.takeInVain()), 0);
  total.missed += missed;
  const decodeQueue = streams.reduce((sum, s) => sum + s.decodeQueue, 0);
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
    decoderRestarts: streams.reduce((sum, s) => sum + s.restarts, 0),
    decoders: streams.filter((s) => s.decodes).length,
  };
  post({ kind: "stats", stats });
  report = { ...freshReport(), lastSet: report.lastSet, delayBeforeMs: report.delayMs };
}

interface Report {
  sinceUs: number;
  lastSet: number;
  complete: number;
  delayMs: number;
  readonly delayBeforeMs: number;
  bytes: number;
}

function freshReport(): Report {
  return { sinceUs: nowUs(), lastSet: 0, complete: 0, delayMs: 0, delayBeforeMs: 0, bytes: 0 };
}

function delayMs(header: Header): number {
  return clock.line ? Math.max(0, serverAt(clock.line, nowUs()) - header.renderedAtUs) / 1000 : 0;
}

function stream(key: number, layer: LayerName): Stream {
  const known = streams.find((s) => s.key === key && s.layer === layer);
  if (known) return decoders.fed(known);
  if (streams.length >= MAX_STREAMS) {
    const spare = decoders.leastNeeded();
    spare?.close();
    streams = streams.filter((s) => s !== spare);
  }
  const fresh = new Stream(key, layer, streamEvents);
  streams.push(fresh);
  return decoders.fed(fresh);
}

function transferables(set: DecodedSet): Transferable[] {
  const { picture } = set;
  const depth = set.depth?.faces.map((f) => f.samples.buffer) ?? [];
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
