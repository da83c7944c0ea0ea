// What a session makes of what it hears: whichever of a commit's copies comes first, heartbeats, and coming back.
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { nowUs } from "../src/clock/now";
import {
  type ClientMessage,
  ClientMessageSchema,
  type PlacementSchema,
  Role,
  ServerMessageSchema,
} from "../src/gen/control_pb";
import { Silence } from "../src/net/silence";
import { Memory, type Place, RESUME_WITHIN_MS, type Shelf } from "../src/tour/memory";
import { type JoinRequest, Session, type SessionEvents } from "../src/tour/session";
import type { FromWorker, ToWorker } from "../src/worker/messages";

type Body = NonNullable<MessageInitShape<typeof ServerMessageSchema>["body"]>;
/** Server time is this much ahead of the page's. */
const AHEAD_US = 5e6;
const REQUEST: JoinRequest = { code: "BCDF-GHJK", name: "小明", grant: "", language: "zh-CN", lead: "no" };

let worker: FakeWorker;

/** In the place of the network: keeps what is said, says what the test wants. */
class FakeWorker extends EventTarget {
  readonly heard: ToWorker[] = [];

  constructor() {
    super();
    worker = this;
  }

  postMessage(message: ToWorker): void {
    this.heard.push(message);
  }

  tell(message: FromWorker): void {
    this.dispatchEvent(new MessageEvent("message", { data: message }));
  }

  say(body: Body): void {
    this.tell({ kind: "control", bytes: toBinary(ServerMessageSchema, create(ServerMessageSchema, { body })) });
  }

  /** The path is there: clock first, then hello is expected. */
  open(): void {
    const fromUs = nowUs();
    const line = { fromUs, offsetUs: AHEAD_US, rate: 0, untilUs: fromUs, skew: 0 };
    this.tell({ kind: "opened" });
    this.tell({ kind: "clock", line, rttUs: 1000, errorUs: 10 });
  }

  get said(): ClientMessage["body"][] {
    return this.heard.flatMap((m) => (m.kind === "control" ? [fromBinary(ClientMessageSchema, m.bytes).body] : []));
  }

  get opens(): number {
    return this.heard.filter((m) => m.kind === "open").length;
  }
}

function shelf(): Shelf & { readonly all: Map<string, string> } {
  const all = new Map<string, string>();
  return {
    all,
    getItem: (key) => all.get(key) ?? null,
    setItem: (key, value) => void all.set(key, value),
    removeItem: (key) => void all.delete(key),
  };
}

const placement = (epoch: number, vantage = epoch): MessageInitShape<typeof PlacementSchema> => ({
  epoch,
  cell: 0,
  vantage,
  seat: { x: 0, y: 0, z: 0 },
  yaw: 0,
});

function welcome(extra: { people?: object[]; ticket?: number } = {}): void {
  worker.say({
    case: "welcome",
    value: {
      headset: 7,
      resumeTicket: new Uint8Array(16).fill(extra.ticket ?? 0xab),
      code: REQUEST.code,
      tour: { id: "t", stops: [{ id: "a" }, { id: "b" }, { id: "c" }] },
      current: { epoch: 1, stop: 0, atUs: 0n },
      placement: placement(1),
      roster: { people: extra.people ?? [], lease: 1 },
    },
  });
}

function events(): { [K in keyof SessionEvents]: ReturnType<typeof vi.fn> } & SessionEvents {
  const names = ["changed", "placed", "stopChanged", "set", "avatars", "forget", "notice", "reset"] as const;
  return Object.fromEntries(names.map((n) => [n, vi.fn()])) as never;
}

const NO_ERROR = { offsetUs: 0, ppm: 0, sinceUs: 0 };
const serverNow = (): number => nowUs() + AHEAD_US;

async function joined(request = REQUEST, memory = new Memory(shelf(), shelf(), () => Date.now())) {
  const heard = events();
  const session = new Session(heard, NO_ERROR, memory);
  await session.join(request);
  worker.open();
  welcome();
  return { session, heard, memory };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("Worker", FakeWorker);
  vi.stubGlobal("location", { hostname: "localhost" });
  const answer = { path: "/tongyou", port: 1, certificate_sha256: btoa("0".repeat(32)) };
  vi.stubGlobal(
    "fetch",
    vi.fn(async () => Response.json(answer)),
  );
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("a commit", () => {
  test("counts once, whichever copy comes first, at its instant", async () => {
    for (const first of ["control", "datagram"] as const) {
      const { session, heard } = await joined();
      heard.stopChanged.mockClear();
      worker.say({ case: "prepare", value: { epoch: 2, stop: 1, placement: placement(2) } });
      const atUs = serverNow() + 300_000;
      const copies = [
        () => worker.say({ case: "commit", value: { epoch: 2, stop: 1, atUs: BigInt(Math.round(atUs)) } }),
        () => worker.tell({ kind: "commit", epoch: 2, stop: 1, atUs }),
      ];
      for (const copy of first === "control" ? copies : copies.toReversed()) copy();
      // A copy with another instant does not move the change.
      worker.tell({ kind: "commit", epoch: 2, stop: 1, atUs: atUs + 5e6 });
      await vi.advanceTimersByTimeAsync(290);
      expect(session.current?.epoch).toBe(1);
      await vi.advanceTimersByTimeAsync(20);
      expect(session.current).toEqual({ epoch: 2, stop: 1 });
      expect(session.changes).toHaveLength(1);
      expect(session.changes[0]?.via).toBe(first);
      expect(Math.abs((session.changes[0]?.appliedUs ?? 0) - atUs)).toBeLessThan(2000);
      worker.tell({ kind: "commit", epoch: 2, stop: 1, atUs });
      worker.tell({ kind: "commit", epoch: 1, stop: 0, atUs });
      await vi.advanceTimersByTimeAsync(1000);
      expect(heard.stopChanged).toHaveBeenCalledTimes(1);
      expect(session.changes).toHaveLength(1);
    }
  });

  test("is applied in the frame that will be seen at its instant", async () => {
    const { session } = await joined();
    worker.tell({ kind: "commit", epoch: 2, stop: 1, atUs: serverNow() + 100_000 });
    session.beforeFrame(nowUs() + 99_000);
    expect(session.current?.epoch).toBe(1);
    session.beforeFrame(nowUs() + 100_001);
    expect(session.current?.epoch).toBe(2);
    session.presented(nowUs() + 100_001, 13.9);
    expect(session.changes[0]).toMatchObject({ via: "datagram", frameIntervalMs: 13.9 });
    expect((session.changes[0]?.presentedUs ?? 0) - (session.changes[0]?.atUs ?? 0)).toBeCloseTo(1, 0);
  });

  test("before its prepare leads to the new place once that is known", async () => {
    const { session, heard } = await joined();
    worker.tell({ kind: "commit", epoch: 2, stop: 1, atUs: serverNow() + 50_000 });
    await vi.advanceTimersByTimeAsync(60);
    expect(session.current?.epoch).toBe(2);
    expect(session.placement?.epoch).toBe(1);
    worker.say({ case: "prepare", value: { epoch: 2, stop: 1, placement: placement(2, 9) } });
    expect(session.placement).toMatchObject({ epoch: 2, vantage: 9 });
    expect(session.prepared).toBeNull();
    expect(heard.placed.mock.calls.at(-1)?.[1]).toBe("stop");
  });

  test("of an older epoch does nothing while a newer one is agreed", async () => {
    const { session } = await joined();
    worker.tell({ kind: "commit", epoch: 3, stop: 2, atUs: serverNow() + 50_000 });
    worker.tell({ kind: "commit", epoch: 2, stop: 1, atUs: serverNow() + 10_000 });
    worker.say({ case: "prepare", value: { epoch: 2, stop: 1, placement: placement(2) } });
    await vi.advanceTimersByTimeAsync(100);
    expect(session.changes.map((c) => c.epoch)).toEqual([3]);
    expect(session.prepared).toBeNull();
  });
});

test("three seconds without set and heartbeat stand still; a heartbeat of the shown vantage ends it", async () => {
  const { session } = await joined();
  for (let i = 0; i < 10; i++) {
    await vi.advanceTimersByTimeAsync(1000);
    worker.tell({ kind: "still", epoch: 1, vantage: 1, layer: "base", set: 4 });
    expect(session.stands).toBe(false);
  }
  for (let i = 0; i < 4; i++) {
    await vi.advanceTimersByTimeAsync(1000);
    worker.tell({ kind: "still", epoch: 1, vantage: 2, layer: "base", set: 4 });
  }
  expect(session.stands, "another vantage's heartbeat is not ours").toBe(true);
  worker.tell({ kind: "still", epoch: 1, vantage: 1, layer: "base", set: 4 });
  expect(session.stands).toBe(false);
});

describe("coming back", () => {
  const tickets = (): string[] =>
    worker.said.flatMap((b) =>
      b.case === "hello" ? [[...b.value.resumeTicket].map((n) => n.toString(16)).join("")] : [],
    );
  const OURS = "ab".repeat(16);

  test("a broken connection is tried again with its ticket, soon at first, seldom later, and at once when told", async () => {
    const { session, heard } = await joined();
    expect(tickets()).toEqual([""]);
    worker.tell({ kind: "closed", reason: "cut" });
    expect(session.state).toBe("reconnecting");
    const tries: number[] = [];
    for (let ms = 0, before = worker.opens; ms < 120_000; ms += 10) {
      await vi.advanceTimersByTimeAsync(10);
      if (worker.opens === before) continue;
      before = worker.opens;
      tries.push(ms);
      worker.tell({ kind: "closed", reason: "still cut" });
    }
    expect(tries[0]).toBeLessThan(300);
    const pauses = tries.slice(1).map((ms, i) => ({ ms, pause: ms - (tries[i] ?? 0) }));
    // A network that was away for half a minute is noticed within a second.
    for (const { ms, pause } of pauses) expect(pause).toBeLessThanOrEqual(ms < 60_000 ? 1010 : 4010);
    const late = pauses.filter(({ ms }) => ms > 66_000);
    expect(late.length).toBeGreaterThan(10);
    expect(late.length).toBeLessThan(25);
    const before = worker.opens;
    session.retryNow();
    await vi.advanceTimersByTimeAsync(0);
    expect(worker.opens).toBe(before + 1);
    worker.open();
    expect(tickets().at(-1)).toBe(OURS);
    heard.placed.mockClear();
    welcome();
    expect(session.state).toBe("joined");
    expect(heard.placed.mock.calls[0]?.[1], "looks on where it looked").toBe("cell");
  });

  test("who had asked to walk before the break asks again; who was given another place goes back", async () => {
    const moves = (): number[] => worker.said.flatMap((b) => (b.case === "moveToCell" ? [b.value.cell] : []));
    const back = async (): Promise<void> => {
      worker.tell({ kind: "closed", reason: "cut" });
      await vi.advanceTimersByTimeAsync(300);
      worker.open();
      welcome();
    };
    const { session } = await joined();
    await back();
    expect(moves()).toEqual([]);
    session.moveToCell(3);
    await back();
    expect(moves()).toEqual([3, 3]);
    worker.say({ case: "placement", value: { ...placement(1, 4), cell: 3 } });
    await back();
    expect(moves(), "the server gave place 0").toEqual([3, 3, 3]);
    worker.say({ case: "placement", value: { ...placement(1, 4), cell: 3 } });
    session.leave();
    await session.join(REQUEST);
    worker.open();
    welcome();
    expect(moves(), "a new visit").toEqual([3, 3, 3]);
  });

  test("it is given up when the server has forgotten the place", async () => {
    const { session } = await joined();
    worker.tell({ kind: "closed", reason: "cut" });
    for (let ms = 0; ms < RESUME_WITHIN_MS + 10_000 && session.state === "reconnecting"; ms += 100) {
      const before = worker.opens;
      await vi.advanceTimersByTimeAsync(100);
      if (worker.opens > before) worker.tell({ kind: "closed", reason: "cut" });
    }
    expect(session.state).toBe("lost");
  });

  test("a page that is loaded again says its ticket; also after the tab was closed, within the server's time", async () => {
    const [tab, browser] = [shelf(), shelf()];
    const memory = (t: Shelf): Memory => new Memory(t, browser, () => Date.now());
    await joined(REQUEST, memory(tab));
    await joined(REQUEST, memory(tab));
    expect(tickets()).toEqual([OURS]);
    await joined(REQUEST, memory(shelf()));
    expect(tickets()).toEqual([OURS]);
    await joined({ ...REQUEST, code: "ZZZZ-ZZZZ" }, memory(shelf()));
    expect(tickets(), "another session").toEqual([""]);
    vi.setSystemTime(Date.now() + RESUME_WITHIN_MS + 1);
    expect(memory(shelf()).left).toBeNull();
  });

  test("who left does not come back by ticket", async () => {
    const memory = new Memory(shelf(), shelf(), () => Date.now());
    const { session } = await joined(REQUEST, memory);
    expect(memory.reloaded?.name).toBe("小明");
    session.leave();
    expect(memory.reloaded).toBeNull();
    expect(memory.left).toBeNull();
  });

  test("a ticket that another tab holds is not used", async () => {
    const memory = new Memory(shelf(), shelf(), () => Date.now());
    memory.keep({ code: REQUEST.code, name: "x", ticket: "cd".repeat(16), guide: false, leads: false });
    const busy = { request: vi.fn(async () => Promise.reject(new DOMException("timed out", "TimeoutError"))) };
    vi.stubGlobal("navigator", { language: "zh-CN", locks: busy });
    await joined(REQUEST, memory);
    expect(tickets()).toEqual([""]);
  });

  test("what a store holds is not trusted", () => {
    const tab = shelf();
    const memory = new Memory(tab, null, () => 0);
    for (const text of ["", "{", "3", '{"code":1}', '{"code":"a","name":"b","ticket":"xyz"}']) {
      tab.setItem("tongyou.place", text);
      expect(memory.reloaded).toBeNull();
    }
    const place: Place = { code: "a", name: "b", ticket: "00ff", guide: true, leads: true };
    memory.keep(place);
    expect(memory.reloaded).toEqual(place);
  });
});

describe("the lead", () => {
  const guide = (headset: number): object => ({ headset, name: "g", role: Role.GUIDE });
  const took = (): number => worker.said.filter((b) => b.case === "guide" && b.value.body.case === "takeLead").length;

  test("a guide who is back takes it again only where nobody has it", async () => {
    for (const [people, wanted] of [
      [[], 1],
      [[guide(3)], 0],
      [[guide(7)], 0],
    ] as const) {
      const session = new Session(events(), NO_ERROR, new Memory(null, null, () => 0));
      await session.join({ ...REQUEST, grant: "g", lead: "keep" });
      worker.open();
      welcome({ people: [...people] });
      expect(took()).toBe(wanted);
    }
  });

  test("who gave it away does not take it back after a break", async () => {
    const { session } = await joined({ ...REQUEST, grant: "g", lead: "take" });
    expect(took()).toBe(1);
    worker.say({ case: "roster", value: { people: [guide(7)] as never, lease: 2 } });
    worker.say({ case: "roster", value: { people: [guide(3)] as never, lease: 3 } });
    worker.tell({ kind: "closed", reason: "cut" });
    await vi.advanceTimersByTimeAsync(300);
    worker.open();
    welcome();
    expect(session.state).toBe("joined");
    expect(took()).toBe(1);
  });
});

test("silence: dead after unanswered pings, not after a sleep of the machine, nor while anything is heard", () => {
  const silence = new Silence();
  silence.heard(0);
  for (let i = 1; i <= 13; i++) silence.asked(i * 250_000);
  expect(silence.isDead(3.4e6)).toBe(false);
  expect(silence.isDead(3.6e6)).toBe(true);
  silence.heard(3.6e6);
  expect(silence.isDead(3.7e6)).toBe(false);
  silence.asked(600e6);
  expect(silence.isDead(600e6), "just woken").toBe(false);
});

describe("looking ahead", () => {
  const key = (epoch: number, vantage: number): number => epoch * 0x10000 + vantage;
  const ahead = (cell: number, vantage: number, lastsMs = 8000, epoch = 1): void =>
    worker.say({
      case: "ahead",
      value: { epoch, cell, vantage, untilUs: BigInt(Math.round(serverNow() + lastsMs * 1000)) },
    });
  const kept = (): readonly number[] => worker.heard.flatMap((m) => (m.kind === "keep" ? [m.keys] : [])).at(-1) ?? [];

  test("keeps the picture of one cell until its time is over", async () => {
    const { session, heard } = await joined();
    session.lookAhead(2);
    expect(worker.said.at(-1)).toMatchObject({ case: "lookAhead", value: { epoch: 1, cell: 2 } });
    expect(session.ahead).toBeNull();
    ahead(2, 5);
    expect(session.ahead).toEqual({ cell: 2, key: key(1, 5) });
    expect(kept()).toEqual([key(1, 1), key(1, 5)]);
    expect(heard.placed).toHaveBeenCalledTimes(1);
    ahead(1, 6);
    expect(heard.forget.mock.calls).toEqual([[key(1, 5)]]);
    await vi.advanceTimersByTimeAsync(5000);
    ahead(1, 6);
    await vi.advanceTimersByTimeAsync(5000);
    expect(session.ahead?.cell).toBe(1);
    await vi.advanceTimersByTimeAsync(3100);
    expect(session.ahead).toBeNull();
    expect(heard.forget.mock.calls).toEqual([[key(1, 5)], [key(1, 6)]]);
    expect(kept()).toEqual([key(1, 1)]);
  });

  test("hands its picture to the move, and gives way to a stop change", async () => {
    const { session, heard } = await joined();
    ahead(2, 5);
    session.moveToCell(2);
    worker.say({ case: "placement", value: { ...placement(1, 5), cell: 2 } });
    expect(session.ahead).toBeNull();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(heard.forget.mock.calls).toEqual([[key(1, 1)]]);
    ahead(1, 7);
    worker.say({ case: "prepare", value: { epoch: 2, stop: 1, placement: placement(2) } });
    expect(session.ahead).toBeNull();
    expect(heard.forget).toHaveBeenLastCalledWith(key(1, 7));
    const before = worker.said.length;
    session.lookAhead(2);
    ahead(2, 8);
    ahead(2, 8, 8000, 2);
    expect(session.ahead).toBeNull();
    expect(worker.said).toHaveLength(before);
    expect(kept()).toEqual([key(1, 5), key(2, 2)]);
  });
});
