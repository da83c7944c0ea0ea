// What a headset knows of its session, and how that follows from what the server says. Knows no GPU and no page.

import type { ClockError } from "../clock/now";
import { nowUs } from "../clock/now";
import {
  type Commit,
  type Person,
  type Placement,
  RefusedReason,
  Role,
  type ServerMessage,
  type Stop,
  type Tour,
} from "../gen/control_pb";
import type { Avatars } from "../wire/datagram";
import type { DecodedSet } from "../worker/messages";
import { vantageKey } from "../worker/messages";
import { connectAddress } from "./api";
import { type Address, type ClientBody, Connection } from "./connection";

export const PROTOCOL_VERSION = 1;
const CLIENT = "web/0.1.0";
type GuideBody = { case: "goToStop"; value: number } | { case: "end" | "takeLead"; value: true };
/** Pauses between attempts to come back. */
const RETRY_MS = [300, 800, 1500, 3000, 5000] as const;
/** After this long without the connection, it is given up. */
const GIVE_UP_MS = 60_000;
/** A vantage that was left keeps its decoder this long, for who goes back at once. */
const FORGET_MS = 2500;

export type State = "idle" | "connecting" | "joined" | "reconnecting" | "refused" | "ended" | "lost";

export interface JoinRequest {
  readonly code: string;
  readonly name: string;
  readonly grant: string;
  readonly language: string;
  readonly takeLead: boolean;
}

/** A stop change as it was lived here; times are this client's estimate of server time, microseconds. */
export interface Change {
  readonly epoch: number;
  readonly stop: number;
  readonly atUs: number;
  appliedUs: number | null;
  presentedUs: number | null;
}

export interface SessionEvents {
  /** Anything that the interface shows may have changed. */
  changed(): void;
  /** The wearer stands elsewhere: show this vantage as soon as a set is there. */
  placed(placement: Placement, why: "join" | "stop" | "cell"): void;
  /** Everyone goes to another stop, now. */
  stopChanged(stop: Stop, index: number): void;
  set(set: DecodedSet): void;
  avatars(avatars: Avatars, atUs: number): void;
  forget(key: number): void;
  /** Something that the sender did was not accepted. */
  notice(message: string): void;
  reset(): void;
}

export class Session {
  state: State = "idle";
  /** Why it ended or was refused. */
  reason: { code: RefusedReason; message: string } = { code: RefusedReason.REFUSED_UNSPECIFIED, message: "" };
  headset = 0;
  code = "";
  tour: Tour | null = null;
  tourZeroUs = 0;
  capacity = 0;
  people: readonly Person[] = [];
  lease = 0;
  /** The stop on show. */
  current: { epoch: number; stop: number } | null = null;
  placement: Placement | null = null;
  prepared: { epoch: number; stop: number; placement: Placement } | null = null;
  readonly changes: Change[] = [];
  readonly connection: Connection;

  readonly #events: SessionEvents;
  readonly #clockError: ClockError;
  #request: JoinRequest | null = null;
  #address: Address | null = null;
  #ticket: Uint8Array = new Uint8Array(0);
  #readyEpoch = -1;
  #commit: { commit: Commit; timer: ReturnType<typeof setTimeout> | undefined } | null = null;
  #retries = 0;
  #lostAtMs = 0;
  #took = false;

  constructor(events: SessionEvents, clockError: ClockError) {
    this.#events = events;
    this.#clockError = clockError;
    this.connection = new Connection({
      opened: () => this.#hello(),
      control: (body) => this.#control(body),
      avatars: (avatars, atUs) => this.#events.avatars(avatars, atUs),
      set: (set) => this.#events.set(set),
      closed: (reason) => this.#closed(reason),
    });
  }

  get stop(): Stop | null {
    return this.current ? (this.tour?.stops[this.current.stop] ?? null) : null;
  }

  get me(): Person | null {
    return this.people.find((p) => p.headset === this.headset) ?? null;
  }

  get leads(): boolean {
    return this.me?.role === Role.GUIDE;
  }

  /** Joins, coming back to the same place where this tab has been in that session before. */
  async join(request: JoinRequest): Promise<void> {
    this.#request = request;
    this.#ticket = readTicket(request.code);
    this.#took = false;
    this.#retries = 0;
    this.#become("connecting");
    await this.#connect();
  }

  leave(): void {
    if (this.state === "joined") this.connection.send({ case: "leave", value: {} });
    forgetTicket(this.code);
    this.#become("ended");
    setTimeout(() => this.connection.close(), 50);
  }

  send(body: ClientBody): void {
    if (this.state === "joined") this.connection.send(body);
  }

  moveToCell(cell: number): void {
    if (!this.current) return;
    this.send({
      case: "moveToCell",
      value: { epoch: this.current.epoch, cell },
    });
  }

  goToStop(stop: number): void {
    this.#guide({ case: "goToStop", value: stop });
  }

  takeLead(): void {
    this.#guide({ case: "takeLead", value: true });
  }

  end(): void {
    this.#guide({ case: "end", value: true });
  }

  /** The stage can show this set: tells the server when it is the first of what is being prepared. */
  setReady(key: number, set: number): void {
    const prepared = this.prepared;
    if (!prepared || this.#readyEpoch === prepared.epoch) return;
    if (vantageKey({ epoch: prepared.epoch, vantage: prepared.placement.vantage }) !== key) return;
    this.#readyEpoch = prepared.epoch;
    this.send({ case: "ready", value: { epoch: prepared.epoch, set } });
  }

  /** Once per display frame: applies a commit whose instant this frame will show. */
  beforeFrame(displayedAtUs: number): void {
    const server = this.connection.serverAt(displayedAtUs);
    if (this.#commit && server !== null && server >= Number(this.#commit.commit.atUs)) this.#apply();
  }

  /** The first frame after a change has been given to the display. */
  presented(displayedAtUs: number): void {
    const change = this.changes.at(-1);
    const server = this.connection.serverAt(displayedAtUs);
    if (!change || change.presentedUs !== null || change.appliedUs === null || server === null) return;
    change.presentedUs = server;
    const since = (us: number): bigint => BigInt(Math.round(us - change.atUs));
    this.send({
      case: "skew",
      value: { epoch: change.epoch, appliedUs: since(change.appliedUs), presentedUs: since(change.presentedUs) },
    });
  }

  #guide(body: GuideBody): void {
    this.send({ case: "guide", value: { lease: this.lease, body } });
  }

  async #connect(): Promise<void> {
    try {
      this.#address = await connectAddress();
    } catch (error) {
      this.#closed(error instanceof Error ? error.message : String(error));
      return;
    }
    this.connection.open(this.#address, this.#clockError);
  }

  #hello(): void {
    const request = this.#request;
    if (!request) return;
    this.connection.send({
      case: "hello",
      value: {
        protocolVersion: PROTOCOL_VERSION,
        code: request.code,
        name: request.name,
        resumeTicket: this.#ticket,
        guideGrant: request.grant,
        client: CLIENT,
        language: request.language,
        simulated: false,
      },
    });
  }

  #control(body: ServerMessage["body"]): void {
    switch (body.case) {
      case "welcome": {
        const welcome = body.value;
        this.headset = welcome.headset;
        this.code = welcome.code;
        this.tour = welcome.tour ?? null;
        this.tourZeroUs = Number(welcome.tourZeroUs);
        this.capacity = welcome.capacity;
        this.people = welcome.roster?.people ?? [];
        this.lease = welcome.roster?.lease ?? 0;
        this.#ticket = welcome.resumeTicket;
        keepTicket(this.#request?.code ?? welcome.code, welcome.resumeTicket);
        this.prepared = null;
        this.#commit = null;
        this.#retries = 0;
        if (welcome.current) this.current = { epoch: welcome.current.epoch, stop: welcome.current.stop };
        this.#events.reset();
        this.#become("joined");
        if (this.stop && this.current) this.#events.stopChanged(this.stop, this.current.stop);
        if (welcome.placement) this.#place(welcome.placement, "join");
        if (this.#request?.takeLead && !this.#took && !this.leads) this.takeLead();
        this.#took = true;
        break;
      }
      case "refused":
        this.reason = { code: body.value.reason, message: body.value.message };
        if (this.#ticket.length > 0 && this.state === "connecting") forgetTicket(this.#request?.code ?? "");
        this.#become("refused");
        this.connection.close();
        break;
      case "roster":
        this.people = body.value.people;
        this.lease = body.value.lease;
        this.#events.changed();
        break;
      case "prepare":
        if (!body.value.placement) break;
        this.prepared = { epoch: body.value.epoch, stop: body.value.stop, placement: body.value.placement };
        this.#events.changed();
        break;
      case "commit":
        this.#schedule(body.value);
        break;
      case "placement":
        if (body.value.epoch === this.current?.epoch) this.#place(body.value, "cell");
        else if (this.prepared?.epoch === body.value.epoch) this.prepared.placement = body.value;
        break;
      case "ended":
        forgetTicket(this.#request?.code ?? "");
        this.reason = { code: RefusedReason.REFUSED_UNSPECIFIED, message: body.value.message };
        this.#become("ended");
        this.connection.close();
        break;
      case "notice":
        this.#events.notice(body.value.message);
        break;
      default:
        break;
    }
  }

  #schedule(commit: Commit): void {
    clearTimeout(this.#commit?.timer);
    const atClientUs = this.connection.clientAt(Number(commit.atUs));
    const delayMs = atClientUs === null ? 0 : Math.max(0, (atClientUs - nowUs()) / 1000);
    // Display frames apply it too, whichever comes first: a page that draws slowly or not at all is not late.
    this.#commit = { commit, timer: setTimeout(() => this.#apply(), delayMs) };
  }

  #apply(): void {
    const pending = this.#commit;
    if (!pending) return;
    clearTimeout(pending.timer);
    this.#commit = null;
    const { epoch, stop, atUs } = pending.commit;
    this.current = { epoch, stop };
    this.changes.push({
      epoch,
      stop,
      atUs: Number(atUs),
      appliedUs: this.connection.serverNowUs,
      presentedUs: null,
    });
    if (this.changes.length > 200) this.changes.shift();
    const placement = this.prepared?.epoch === epoch ? this.prepared.placement : null;
    this.prepared = null;
    if (this.stop) this.#events.stopChanged(this.stop, stop);
    if (placement) this.#place(placement, "stop");
    this.#events.changed();
  }

  #place(placement: Placement, why: "join" | "stop" | "cell"): void {
    const before = this.placement;
    this.placement = placement;
    this.#events.placed(placement, why);
    if (before && vantageKey(before) !== vantageKey(placement)) {
      setTimeout(() => this.#forget(vantageKey(before)), FORGET_MS);
    }
    this.#events.changed();
  }

  #forget(key: number): void {
    const needed = [this.placement, this.prepared?.placement].some((p) => p && vantageKey(p) === key);
    if (needed) return;
    this.connection.forget(key);
    this.#events.forget(key);
  }

  #closed(reason: string): void {
    if (this.state === "refused" || this.state === "ended" || this.state === "lost" || this.state === "idle") return;
    const now = performance.now();
    const joinedBefore = this.state === "joined" || this.state === "reconnecting";
    if (this.state === "joined") this.#lostAtMs = now;
    if (!joinedBefore || now - this.#lostAtMs > GIVE_UP_MS) {
      this.reason = { code: RefusedReason.REFUSED_UNSPECIFIED, message: reason };
      this.#become("lost");
      return;
    }
    const pause = RETRY_MS[Math.min(this.#retries, RETRY_MS.length - 1)] ?? 5000;
    this.#retries += 1;
    this.#become("reconnecting");
    setTimeout(() => {
      if (this.state === "reconnecting") void this.#connect();
    }, pause);
  }

  #become(state: State): void {
    this.state = state;
    const request = this.#request;
    if (state === "joined" && request && !request.grant) rememberPlace({ code: request.code, name: request.name });
    if (state === "refused" || state === "ended" || state === "lost") rememberPlace(null);
    this.#events.changed();
  }
}

const PLACE = "tongyou.place";

/** Where this tab is, for the case that it is loaded again. */
export function rememberedPlace(): { code: string; name: string } | null {
  try {
    const place: unknown = JSON.parse(sessionStorage.getItem(PLACE) ?? "null");
    if (place === null || typeof place !== "object" || !("code" in place) || !("name" in place)) return null;
    return { code: String(place.code), name: String(place.name) };
  } catch {
    return null;
  }
}

function rememberPlace(place: { code: string; name: string } | null): void {
  try {
    if (place) sessionStorage.setItem(PLACE, JSON.stringify(place));
    else sessionStorage.removeItem(PLACE);
  } catch {
    // Without storage a reload starts at the first page.
  }
}

const ticketName = (code: string): string => `tongyou.ticket.${code}`;

function readTicket(code: string): Uint8Array {
  try {
    const text = sessionStorage.getItem(ticketName(code)) ?? "";
    return Uint8Array.from(text.match(/[0-9a-f]{2}/g) ?? [], (h) => Number.parseInt(h, 16));
  } catch {
    return new Uint8Array(0);
  }
}

function keepTicket(code: string, ticket: Uint8Array): void {
  try {
    sessionStorage.setItem(ticketName(code), Array.from(ticket, (b) => b.toString(16).padStart(2, "0")).join(""));
  } catch {
    // Without storage a reload joins afresh.
  }
}

function forgetTicket(code: string): void {
  try {
    sessionStorage.removeItem(ticketName(code));
  } catch {
    // As above.
  }
}
