// The page's end of the worker: messages typed, control decoded, the clock at hand.
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type ClockError, nowUs } from "../clock/now";
import { clientAt, type Line, serverAt } from "../clock/sync";
import { ClientMessageSchema, type ServerMessage, ServerMessageSchema } from "../gen/control_pb";
import { type Avatars, type Commit, type Pose, type Still, writeDatagram } from "../wire/datagram";
import type { DecodedSet, FromWorker, Stats, ToWorker } from "../worker/messages";

/** What a client says, without the wrapper. */
export type ClientBody = NonNullable<MessageInitShape<typeof ClientMessageSchema>["body"]>;

export interface Address {
  readonly url: string;
  readonly certificateSha256: Uint8Array<ArrayBuffer> | null;
}

export interface ConnectionEvents {
  opened(): void;
  control(body: ServerMessage["body"]): void;
  avatars(avatars: Avatars, atUs: number): void;
  /** A copy of the control message, which may come before it or after it. */
  commit(commit: Commit): void;
  still(still: Still): void;
  set(set: DecodedSet): void;
  closed(reason: string): void;
}

export class Connection {
  readonly #worker: Worker;
  readonly #events: ConnectionEvents;
  #line: Line | null = null;
  clockInfo = { rttUs: Number.NaN, errorUs: Number.NaN };
  stats: Stats = { complete: 0, missed: 0, bytes: 0, decodeQueue: 0, delayMs: 0, decoderRestarts: 0, decoders: 0 };
  /** The last things that went wrong without ending the tour. */
  readonly troubles: string[] = [];

  constructor(events: ConnectionEvents) {
    this.#events = events;
    this.#worker = new Worker(new URL("../worker/main.ts", import.meta.url), { type: "module", name: "tongyou" });
    this.#worker.addEventListener("message", (event: MessageEvent<FromWorker>) => this.#take(event.data));
    this.#worker.addEventListener("error", (event) => events.closed(event.message || "the worker stopped"));
  }

  open(address: Address, clockError: ClockError): void {
    this.#line = null;
    this.#post({ kind: "open", ...address, clockError });
  }

  send(body: ClientBody): void {
    this.#post({ kind: "control", bytes: toBinary(ClientMessageSchema, create(ClientMessageSchema, { body })) });
  }

  sendPose(pose: Pose): void {
    this.#post({ kind: "datagram", bytes: writeDatagram(pose) });
  }

  withhold(on: boolean): void {
    this.#post({ kind: "withhold", on });
  }

  forget(key: number): void {
    this.#post({ kind: "forget", key });
  }

  /** The vantages that keep their decoders. */
  keep(keys: readonly number[]): void {
    this.#post({ kind: "keep", keys });
  }

  close(): void {
    this.#post({ kind: "close" });
  }

  /** Server time now, microseconds; `null` before the first ping came back. */
  get serverNowUs(): number | null {
    return this.#line ? serverAt(this.#line, nowUs()) : null;
  }

  serverAt(clientUs: number): number | null {
    return this.#line ? serverAt(this.#line, clientUs) : null;
  }

  clientAt(serverUs: number): number | null {
    return this.#line ? clientAt(this.#line, serverUs) : null;
  }

  get clock(): { offsetUs: number; skewPpm: number; rttUs: number; errorUs: number } | null {
    if (!this.#line) return null;
    const now = nowUs();
    return { offsetUs: serverAt(this.#line, now) - now, skewPpm: this.#line.skew * 1e6, ...this.clockInfo };
  }

  #take(message: FromWorker): void {
    switch (message.kind) {
      case "opened":
        this.#events.opened();
        break;
      case "control":
        this.#control(message.bytes);
        break;
      case "avatars":
        this.#events.avatars(message.avatars, message.atUs);
        break;
      case "commit":
        this.#events.commit(message);
        break;
      case "still":
        this.#events.still(message);
        break;
      case "clock":
        this.#line = message.line;
        this.clockInfo = { rttUs: message.rttUs, errorUs: message.errorUs };
        break;
      case "set":
        this.#events.set(message.set);
        break;
      case "stats":
        this.stats = message.stats;
        break;
      case "trouble":
        this.#trouble(message.message);
        break;
      case "closed":
        this.#events.closed(message.reason);
    }
  }

  #control(bytes: Uint8Array): void {
    try {
      this.#events.control(fromBinary(ServerMessageSchema, bytes).body);
    } catch (error) {
      this.#trouble(`control message: ${String(error)}`);
    }
  }

  /** Something else went wrong without ending the tour. */
  note(message: string): void {
    this.#trouble(message);
  }

  #trouble(message: string): void {
    console.warn(message);
    this.troubles.push(message);
    if (this.troubles.length > 20) this.troubles.shift();
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }
}
