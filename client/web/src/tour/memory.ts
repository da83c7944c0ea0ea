// What this browser remembers of a visit: for a tab that is loaded again or crashed, and for one that was closed a
// while ago. The ticket in it brings its holder back to the same place, so two tabs must not use one at a time.

/** The server lets a headset whose connection broke come back for this long (`session::Config::resume_within`). */
export const RESUME_WITHIN_MS = 600_000;
/** How long a page that is just being replaced may still hold its ticket. */
const CLAIM_MS = 1500;
const PLACE = "tongyou.place";

export interface Place {
  readonly code: string;
  readonly name: string;
  /** Hexadecimal. */
  readonly ticket: string;
  /** Came in through the guide's console. */
  readonly guide: boolean;
  readonly leads: boolean;
}

/** What `localStorage` and `sessionStorage` have in common; either may be forbidden. */
export type Shelf = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export class Memory {
  readonly #tab: Shelf | null;
  readonly #browser: Shelf | null;
  readonly #nowMs: () => number;

  /** `tab` lives as long as the tab, `browser` longer; `nowMs` is the wall clock. */
  constructor(tab: Shelf | null, browser: Shelf | null, nowMs: () => number) {
    this.#tab = tab;
    this.#browser = browser;
    this.#nowMs = nowMs;
  }

  /** Where this tab was before it was loaded again. */
  get reloaded(): Place | null {
    return placeOf(this.#read(this.#tab));
  }

  /** Where a tab of this browser was a while ago, as long as the server keeps its place. */
  get left(): Place | null {
    const kept = this.#read(this.#browser);
    const until = kept && typeof kept === "object" && "untilMs" in kept ? Number(kept.untilMs) : 0;
    return until > this.#nowMs() ? placeOf(kept) : null;
  }

  /** The ticket for a session, or nothing. */
  ticketFor(code: string): string {
    return [this.reloaded, this.left].find((place) => place?.code === code)?.ticket ?? "";
  }

  /** Called now and then while the visit lasts: the time limit counts from the last call. */
  keep(place: Place): void {
    write(this.#tab, place);
    write(this.#browser, { ...place, untilMs: this.#nowMs() + RESUME_WITHIN_MS });
  }

  /** Forgets a visit that is over; another tab's stays. */
  forget(ticket: string): void {
    if (!ticket || this.reloaded?.ticket === ticket) write(this.#tab, null);
    if (placeOf(this.#read(this.#browser))?.ticket === ticket) write(this.#browser, null);
  }

  #read(shelf: Shelf | null): unknown {
    try {
      return JSON.parse(shelf?.getItem(PLACE) ?? "null");
    } catch {
      return null;
    }
  }
}

/** The memory of this page. */
export function ownMemory(): Memory {
  return new Memory(shelf("sessionStorage"), shelf("localStorage"), () => Date.now());
}

const held = new Set<string>();

/** Whether no tab holds a ticket: then whoever had it has gone. */
export async function isFree(ticket: string): Promise<boolean> {
  const locks = globalThis.navigator?.locks;
  if (!locks) return false;
  const free = (lock: unknown): boolean => lock !== null;
  return locks.request(nameOf(ticket), { ifAvailable: true }, free).catch(() => false);
}

/** Takes a ticket for this page until it is gone; false where another tab holds it. */
export async function claim(ticket: string): Promise<boolean> {
  const locks = globalThis.navigator?.locks;
  if (!locks || held.has(ticket)) return true;
  return new Promise((resolve) => {
    const hold = (): Promise<never> => {
      held.add(ticket);
      resolve(true);
      return new Promise<never>(() => {});
    };
    locks.request(nameOf(ticket), { signal: AbortSignal.timeout(CLAIM_MS) }, hold).catch(() => resolve(false));
  });
}

const nameOf = (ticket: string): string => `tongyou.ticket.${ticket}`;

function shelf(name: "sessionStorage" | "localStorage"): Shelf | null {
  try {
    return globalThis[name] ?? null;
  } catch {
    return null;
  }
}

function write(to: Shelf | null, value: object | null): void {
  try {
    if (value) to?.setItem(PLACE, JSON.stringify(value));
    else to?.removeItem(PLACE);
  } catch {
    // A full or forbidden store: a reload then starts at the first page.
  }
}

function placeOf(kept: unknown): Place | null {
  if (kept === null || typeof kept !== "object") return null;
  const { code, name, ticket, guide, leads } = kept as Record<string, unknown>;
  if (typeof code !== "string" || typeof name !== "string" || typeof ticket !== "string") return null;
  if (!/^([0-9a-f]{2})+$/u.test(ticket)) return null;
  return { code, name, ticket, guide: guide === true, leads: leads === true };
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/[0-9a-f]{2}/g) ?? [], (h) => Number.parseInt(h, 16));
}
