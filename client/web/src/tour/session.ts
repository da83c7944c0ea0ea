// What a headset knows of its session, and how that follows from what the server says. Knows no GPU and no page.

import { type ClockError, machineUsOf, nowUs } from "../clock/now";
import {
  ClientKind,
  type Person,
  type Placement,
  PlacementKind,
  RefusedReason,
  Role,
  type ServerMessage,
  type Stop,
  type Tour,
} from "../gen/control_pb";
import type { Avatars, Commit } from "../wire/datagram";
import type { DecodedSet } from "../worker/messages";
import { vantageKey } from "../worker/messages";
import { connectAddress } from "./api";
import { type ClientBody, Connection } from "./connection";
import { claim, fromHex, type Memory, ownMemory, RESUME_WITHIN_MS, toHex } from "./memory";

export const PROTOCOL_VERSION = 1;
const CLIENT = "web/0.1.0";
type GuideBody = { case: "goToStop"; value: number } | { case: "end" | "takeLead"; value: true };
/** Pauses between attempts to come back; each is shortened by chance, so that a group does not come back as one. */
const RETRY_MS = [100, 250] as const;
/** An answer to the question where the server is takes no longer than this, or is asked for again. */
const PROBE_MS = 1000;
/** After this time without a connection nobody waits for it any more as if it were to be there at once. */
const PATIENT_AFTER_MS = 60_000;
const PATIENT_MS = 4000;
/** With neither set nor heartbeat for so long the picture stands still. */
const STANDS_MS = 3000;
/** How often it is looked whether the picture stands, and the visit written down. */
const LOOK_MS = 500;
/** A vantage that was left keeps its decoder this long, for who goes back at once. */
const FORGET_MS = 2500;

export type State = "idle" | "connecting" | "joined" | "reconnecting" | "refused" | "ended" | "lost";

export interface JoinRequest {
  readonly code: string;
  readonly name: string;
  readonly grant: string;
  readonly language: string;
  /** Watches without being there: no name, no seat, no poses. */
  readonly spectator?: boolean;
  /** Take the lead at once; keep it where it was led before and nobody has it now; or neither. */
  readonly lead: "take" | "keep" | "no";
}

/** A stop change as it was lived here. Microseconds. */
export interface Change {
  readonly epoch: number;
  readonly stop: number;
  /** The agreed instant, server time. */
  readonly atUs: number;
  /** What brought it first. */
  readonly via: "control" | "datagram";
  /** In this client's estimate of server time. */
  readonly appliedUs: number | null;
  /** When the first frame of the new stop was expected to be seen, likewise. */
  presentedUs: number | null;
  /** Both on the machine's own clock (`performance.timeOrigin + performance.now()`), which all its pages share. */
  readonly appliedMachineUs: number;
  presentedMachineUs: number | null;
  /** Time between that frame and the one before. */
  frameIntervalMs: number | null;
}

/** A way back after the connection was lost. Milliseconds of the machine's wall clock. */
export interface Return {
  readonly lostMs: number;
  /** The server has let us in again. */
  readonly joinedMs: number;
  /** The first set of the new connection was here, decoded. */
  setMs: number | null;
  /** It was drawn. */
  pictureMs: number | null;
}

type Timer = ReturnType<typeof setTimeout>;

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
  /** Something that the sender did was not accepted, or not as asked for. */
  notice(message: string, reason: RefusedReason): void;
  /** Pictures of another stop come under this key, for the guide. */
  previewing(stop: number, key: number): void;
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
  /** How many watch without being here. */
  spectators = 0;
  lease = 0;
  /** The stop on show. */
  current: { epoch: number; stop: number } | null = null;
  placement: Placement | null = null;
  prepared: { epoch: number; stop: number; placement: Placement } | null = null;
  /** The cell whose picture is sent beside the one on show, and the key of its vantage. */
  ahead: { readonly cell: number; readonly key: number } | null = null;
  readonly changes: Change[] = [];
  readonly returns: Return[] = [];
  readonly connection: Connection;

  readonly #events: SessionEvents;
  readonly #clockError: ClockError;
  #request: JoinRequest | null = null;
  /** Counts attempts to connect: only the last one goes on. */
  #attempt = 0;
  readonly #memory: Memory;
  /** Hexadecimal. */
  #ticket = "";
  #readyEpoch = -1;
  #commit: { commit: Omit<Commit, "kind">; via: Change["via"]; timer: Timer | undefined } | null = null;
  #retries = 0;
  #retry: Timer | undefined;
  #lostAtMs = 0;
  /** What to do about the lead when the server has let us in. */
  #lead: JoinRequest["lead"] = "no";
  /** Where the wearer asked to stand last, while the server has not said so. */
  #wish: { epoch: number; cell: number } | null = null;
  #aheadTimer: Timer | undefined;
  #previewKey: number | null = null;
  #previewTimer: Timer | undefined;
  #newsAtMs = 0;
  /** The first set of the base since the server let us in. */
  #firstSet: number | null = null;
  #look: ReturnType<typeof setInterval> | undefined;
  /** Nothing has been heard of the picture for a while, neither a set nor that it is still. */
  stands = false;

  constructor(events: SessionEvents, clockError: ClockError, memory = ownMemory()) {
    this.#events = events;
    this.#clockError = clockError;
    this.#memory = memory;
    this.connection = new Connection({
      opened: () => this.#hello(),
      control: (body) => this.#control(body),
      avatars: (avatars, atUs) => this.#events.avatars(avatars, atUs),
      commit: (commit) => this.#schedule(commit, "datagram"),
      still: (still) => this.#news(vantageKey(still)),
      set: (set) => {
        this.#news(vantageKey(set.tag));
        this.#noteFirst(set);
        this.#events.set(set);
      },
      closed: (reason) => this.#closed(reason),
    });
  }

  get stop(): Stop | null {
    return this.current ? (this.tour?.stops[this.current.stop] ?? null) : null;
  }

  /** Tour time that is to be seen at an instant of this page's clock, microseconds. */
  tourTimeAt(clientUs: number): number | null {
    const server = this.connection.serverAt(clientUs);
    return server === null ? null : server - this.tourZeroUs;
  }

  get me(): Person | null {
    return this.people.find((p) => p.headset === this.headset) ?? null;
  }

  get leads(): boolean {
    return this.me?.role === Role.GUIDE;
  }

  /** Somebody leads. */
  get led(): boolean {
    return this.people.some((p) => p.role === Role.GUIDE);
  }

  /** Joins, coming back to the same place where this tab, or one that is closed now, was a while ago. */
  async join(request: JoinRequest): Promise<void> {
    this.#request = request;
    this.#lead = request.lead;
    this.#retries = 0;
    this.#lostAtMs = performance.now();
    this.placement = null;
    this.#wish = null;
    this.#become("connecting");
    const ticket = this.#memory.ticketFor(request.code);
    this.#ticket = ticket && (await claim(ticket)) ? ticket : "";
    await this.#connect();
  }

  leave(): void {
    if (this.state === "joined") this.connection.send({ case: "leave", value: {} });
    this.#memory.forget(this.#ticket);
    this.#become("ended");
    setTimeout(() => this.connection.close(), 50);
  }

  /** The network is said to be there again: does not wait for the next attempt. */
  retryNow(): void {
    if (this.state !== "reconnecting" || this.#retry === undefined) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    void this.#connect();
  }

  send(body: ClientBody): void {
    if (this.state === "joined") this.connection.send(body);
  }

  /** The cell where one stands; `null` for who stands off the cells. */
  get cell(): number | null {
    return this.placement && this.placement.kind === PlacementKind.SEAT ? this.placement.cell : null;
  }

  /** To a point of the floor that is no cell: with a view of one's own where there is room for it. */
  moveTo(x: number, z: number, heading: number): void {
    if (!this.current) return;
    this.#wish = null;
    this.send({ case: "moveTo", value: { epoch: this.current.epoch, x, z, heading } });
  }

  /** For the guide: lets a picture of another stop come. Said again it lasts longer. */
  preview(stop: number): void {
    this.send({ case: "preview", value: { stop } });
  }

  moveToCell(cell: number): void {
    if (!this.current) return;
    this.#wish = { epoch: this.current.epoch, cell };
    this.send({
      case: "moveToCell",
      value: { epoch: this.current.epoch, cell },
    });
  }

  /** The wearer may soon want to stand there: lets the picture come. Said again it lasts longer. */
  lookAhead(cell: number): void {
    if (this.current && !this.prepared) this.send({ case: "lookAhead", value: { epoch: this.current.epoch, cell } });
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

  /** The connection is there again, and no picture of it yet. */
  get returning(): boolean {
    return this.returns.at(-1)?.pictureMs === null;
  }

  /** What a frame that was just drawn shows. */
  drew(key: number, set: number): void {
    const back = this.returns.at(-1);
    if (!back || back.pictureMs !== null || this.#firstSet === null || set < this.#firstSet) return;
    if (this.placement && vantageKey(this.placement) === key) back.pictureMs = wallMs(performance.now());
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
    if (this.#commit && server !== null && server >= this.#commit.commit.atUs) this.#apply();
  }

  /** The first frame after a change has been given to the display. */
  presented(displayedAtUs: number, intervalMs: number): void {
    const change = this.changes.at(-1);
    const server = this.connection.serverAt(displayedAtUs);
    if (!change || change.presentedUs !== null || change.appliedUs === null || server === null) return;
    change.presentedUs = server;
    change.presentedMachineUs = machineUsOf(displayedAtUs);
    change.frameIntervalMs = intervalMs;
    const since = (us: number): bigint => BigInt(Math.round(us - change.atUs));
    this.send({
      case: "skew",
      value: { epoch: change.epoch, appliedUs: since(change.appliedUs), presentedUs: since(change.presentedUs) },
    });
  }

  #guide(body: GuideBody): void {
    this.send({ case: "guide", value: { lease: this.lease, body } });
  }

  /**
   * Asks over HTTPS where the server is, then connects. While nothing answers the asking is what is repeated: browsers
   * hold back WebTransport for many seconds after a few attempts that failed.
   */
  async #connect(): Promise<void> {
    const mine = ++this.#attempt;
    try {
      const address = await connectAddress(this.state === "reconnecting" ? PROBE_MS : undefined);
      if (mine === this.#attempt) this.connection.open(address, this.#clockError);
    } catch (error) {
      if (mine === this.#attempt) this.#closed(error instanceof Error ? error.message : String(error));
    }
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
        resumeTicket: fromHex(this.#ticket),
        guideGrant: request.grant,
        client: CLIENT,
        language: request.language,
        simulated: false,
        kind: request.spectator ? ClientKind.SPECTATOR : ClientKind.HEADSET,
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
        this.spectators = welcome.roster?.spectators ?? 0;
        this.lease = welcome.roster?.lease ?? 0;
        this.#ticket = toHex(welcome.resumeTicket);
        void claim(this.#ticket);
        this.prepared = null;
        this.#setAhead(null);
        clearTimeout(this.#commit?.timer);
        this.#commit = null;
        this.#retries = 0;
        this.#firstSet = null;
        if (this.state === "reconnecting") {
          this.returns.push({
            lostMs: wallMs(this.#lostAtMs),
            joinedMs: wallMs(performance.now()),
            setMs: null,
            pictureMs: null,
          });
          if (this.returns.length > 100) this.returns.shift();
        }
        if (welcome.current) this.current = { epoch: welcome.current.epoch, stop: welcome.current.stop };
        this.#events.reset();
        this.#become("joined");
        if (this.stop && this.current) this.#events.stopChanged(this.stop, this.current.stop);
        const wish = this.#wish ?? this.placement;
        if (welcome.placement) this.#place(welcome.placement, "join");
        // After a long break the server may have given the place away, or never heard of the last wish.
        const seated = welcome.placement?.kind === PlacementKind.SEAT;
        const elsewhere = wish && seated && wish.cell !== welcome.placement?.cell;
        if (elsewhere && wish.epoch === this.current?.epoch) this.moveToCell(wish.cell);
        if (!this.leads && (this.#lead === "take" || (this.#lead === "keep" && !this.led))) this.takeLead();
        this.#lead = this.leads || this.#lead !== "no" ? "keep" : "no";
        this.#remember();
        break;
      }
      case "refused":
        this.reason = { code: body.value.reason, message: body.value.message };
        this.#memory.forget(this.#ticket);
        this.#become("refused");
        this.connection.close();
        break;
      case "roster":
        this.people = body.value.people;
        this.spectators = body.value.spectators;
        this.lease = body.value.lease;
        // Who gave the lead away does not take it back when the connection breaks.
        if (this.led) this.#lead = this.leads ? "keep" : "no";
        this.#remember();
        this.#events.changed();
        break;
      case "prepare":
        if (!body.value.placement) break;
        if (this.current && body.value.epoch <= this.current.epoch) {
          // A datagram of the commit was faster than all of the control lane.
          const missing = body.value.epoch === this.current.epoch && this.placement?.epoch !== body.value.epoch;
          if (missing) this.#place(body.value.placement, "stop");
          break;
        }
        if (this.#commit && body.value.epoch < this.#commit.commit.epoch) break;
        this.prepared = { epoch: body.value.epoch, stop: body.value.stop, placement: body.value.placement };
        this.#setAhead(null);
        this.#events.changed();
        break;
      case "commit":
        this.#schedule({ ...body.value, atUs: Number(body.value.atUs) }, "control");
        break;
      case "placement":
        if (body.value.epoch === this.current?.epoch) this.#place(body.value, "cell");
        else if (this.prepared?.epoch === body.value.epoch) this.prepared.placement = body.value;
        break;
      case "ahead": {
        const { epoch, cell, vantage, untilUs } = body.value;
        if (epoch !== this.current?.epoch || this.prepared) break;
        this.#setAhead({ cell, key: vantageKey({ epoch, vantage }) });
        const server = this.connection.serverNowUs;
        const lastsMs = server === null ? 0 : (Number(untilUs) - server) / 1000;
        this.#aheadTimer = setTimeout(() => this.#setAhead(null), lastsMs);
        break;
      }
      case "ended":
        this.#memory.forget(this.#ticket);
        this.reason = { code: RefusedReason.REFUSED_UNSPECIFIED, message: body.value.message };
        this.#become("ended");
        this.connection.close();
        break;
      case "notice":
        this.#events.notice(body.value.message, body.value.reason);
        break;
      case "previewing": {
        const { epoch, stop, vantage, untilUs } = body.value;
        this.#preview(stop, vantageKey({ epoch, vantage }), Number(untilUs));
        break;
      }
      default:
        break;
    }
  }

  /** The control message and its datagrams say the same: the first counts. */
  #schedule(commit: Omit<Commit, "kind">, via: Change["via"]): void {
    const known = Math.max(this.current?.epoch ?? -1, this.#commit?.commit.epoch ?? -1);
    if (this.state !== "joined" || commit.epoch <= known) return;
    clearTimeout(this.#commit?.timer);
    this.#commit = { commit, via, timer: undefined };
    this.#wait();
  }

  /** Display frames apply a commit too, whichever comes first: a page that draws slowly or not at all is not late. */
  #wait(): void {
    const pending = this.#commit;
    if (!pending) return;
    const atClientUs = this.connection.clientAt(pending.commit.atUs);
    const delayMs = atClientUs === null ? 0 : Math.max(0, (atClientUs - nowUs()) / 1000);
    pending.timer = setTimeout(() => {
      const server = this.connection.serverNowUs;
      // What is known of server time may have been corrected meanwhile.
      if (server === null || server >= pending.commit.atUs - 500) this.#apply();
      else this.#wait();
    }, delayMs);
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
      atUs,
      via: pending.via,
      appliedUs: this.connection.serverNowUs,
      appliedMachineUs: machineUsOf(nowUs()),
      presentedUs: null,
      presentedMachineUs: null,
      frameIntervalMs: null,
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
    if (this.#wish && (this.#wish.cell === placement.cell || this.#wish.epoch !== placement.epoch)) this.#wish = null;
    this.#newsAtMs = performance.now();
    const same = before && vantageKey(before) === vantageKey(placement);
    // Who comes back to where they stood goes on looking where they looked.
    this.#events.placed(placement, same ? "cell" : why);
    if (before && vantageKey(before) !== vantageKey(placement)) {
      setTimeout(() => this.#forget(vantageKey(before)), FORGET_MS);
    }
    this.#setAhead(null);
    this.#events.changed();
  }

  /** Takes the place of what was sent ahead before. */
  #setAhead(ahead: Session["ahead"]): void {
    clearTimeout(this.#aheadTimer);
    const before = this.ahead;
    this.ahead = ahead;
    this.connection.keep(this.#needed());
    if (before && before.key !== ahead?.key) this.#forget(before.key);
  }

  #preview(stop: number, key: number, untilUs: number): void {
    clearTimeout(this.#previewTimer);
    const before = this.#previewKey;
    this.#previewKey = key;
    if (before !== null && before !== key) this.#forget(before);
    const server = this.connection.serverNowUs;
    const lastsMs = server === null ? 0 : Math.max(0, untilUs - server) / 1000;
    this.#previewTimer = setTimeout(() => {
      this.#previewKey = null;
      this.#forget(key);
    }, lastsMs + FORGET_MS);
    this.connection.keep(this.#needed());
    this.#events.previewing(stop, key);
  }

  /** The most important first. */
  #needed(): number[] {
    const places = [this.placement, this.prepared?.placement].flatMap((p) => (p ? [vantageKey(p)] : []));
    return [
      ...places,
      ...(this.ahead ? [this.ahead.key] : []),
      ...(this.#previewKey === null ? [] : [this.#previewKey]),
    ];
  }

  #forget(key: number): void {
    if (this.#needed().includes(key)) return;
    this.connection.forget(key);
    this.#events.forget(key);
  }

  #closed(reason: string): void {
    if (this.state === "refused" || this.state === "ended" || this.state === "lost" || this.state === "idle") return;
    const now = performance.now();
    if (this.state === "joined") this.#lostAtMs = now;
    if ((this.state === "connecting" && !this.#ticket) || now - this.#lostAtMs > RESUME_WITHIN_MS) {
      this.reason = { code: RefusedReason.REFUSED_UNSPECIFIED, message: reason };
      this.#become("lost");
      return;
    }
    const soon = RETRY_MS[Math.min(this.#retries, RETRY_MS.length - 1)] ?? PATIENT_MS;
    const pause = now - this.#lostAtMs > PATIENT_AFTER_MS ? PATIENT_MS : soon;
    this.#retries += 1;
    this.#become("reconnecting");
    clearTimeout(this.#retry);
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined;
        if (this.state === "reconnecting") void this.#connect();
      },
      pause * (0.6 + 0.4 * Math.random()),
    );
  }

  /** Something was heard of a picture. */
  #news(key: number): void {
    if (this.placement && vantageKey(this.placement) === key) this.#newsAtMs = performance.now();
    if (this.stands) this.#lookAround();
  }

  #noteFirst({ tag, layer }: DecodedSet): void {
    const here = this.placement && vantageKey(this.placement) === vantageKey(tag);
    if (this.#firstSet !== null || layer !== "base" || !here || this.state !== "joined") return;
    this.#firstSet = tag.set;
    const back = this.returns.at(-1);
    if (back?.setMs === null) back.setMs = wallMs(performance.now());
  }

  #lookAround(): void {
    const stands = this.state === "joined" && performance.now() - this.#newsAtMs > STANDS_MS;
    if (stands !== this.stands) {
      this.stands = stands;
      this.#events.changed();
    }
  }

  #remember(): void {
    if (this.state !== "joined" || !this.#request) return;
    const { code, name, grant, spectator } = this.#request;
    if (spectator) return;
    this.#memory.keep({ code, name, ticket: this.#ticket, guide: grant !== "", leads: this.leads });
  }

  #become(state: State): void {
    this.state = state;
    clearInterval(this.#look);
    this.stands = false;
    if (state === "joined") {
      this.#newsAtMs = performance.now();
      let looks = 0;
      this.#look = setInterval(() => {
        this.#lookAround();
        looks += 1;
        if (looks % 10 === 0) this.#remember();
      }, LOOK_MS);
    }
    this.#events.changed();
  }
}

function wallMs(pageMs: number): number {
  return performance.timeOrigin + pageMs;
}
