// What the server answers over HTTPS.
import type { Address } from "./connection";

export interface Words {
  readonly zh: string;
  readonly en: string;
}

export interface TourSummary {
  readonly id: string;
  readonly title: Words;
  readonly notice: Words | null;
  readonly stops: readonly Words[];
}

export interface SessionSummary {
  readonly code: string;
  readonly tour: string;
  readonly title: Words | null;
  readonly people: number;
  readonly capacity: number;
  readonly guide: string | null;
  readonly guide_simulated: boolean;
  readonly join_url: string;
  readonly qr_svg: string;
}

export interface Grant {
  readonly code: string;
  readonly grant: string;
  readonly join_url: string;
  readonly qr_svg: string;
}

/** The server refused; the message is a sentence for a person. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Where WebTransport is, and which certificate it has. Asked before each connection: both change while a server runs. */
export async function connectAddress(withinMs = ANSWER_MS.GET): Promise<Address> {
  type Answer = { path: string; port: number; certificate_sha256: string | null };
  const answer = await ask<Answer>("GET", "/api/connect", undefined, withinMs);
  const url = `https://${location.hostname}:${answer.port}${answer.path}`;
  // A certificate that the browser trusts by itself needs no hash.
  if (answer.certificate_sha256 === null) return { url, certificateSha256: null };
  const hash = Uint8Array.from(atob(answer.certificate_sha256), (c) => c.charCodeAt(0));
  if (hash.length !== 32) throw new Error(`the certificate's hash has ${hash.length} bytes`);
  return { url, certificateSha256: hash };
}

/** How others come in, for a screen that they look at. */
export const joinPage = (code: string): Promise<{ join_url: string; qr_svg: string }> =>
  ask("GET", `/api/join/${encodeURIComponent(code)}`);
export const tours = (): Promise<TourSummary[]> => ask("GET", "/api/guide/tours");
export const sessions = (): Promise<SessionSummary[]> => ask("GET", "/api/guide/sessions");
export const startSession = (tour: string): Promise<Grant> => ask("POST", "/api/guide/sessions", { tour });
export const leadSession = (code: string): Promise<Grant> =>
  ask("POST", `/api/guide/sessions/${encodeURIComponent(code)}/grant`);

/** No answer after this time is none. */
const ANSWER_MS = { GET: 6000, POST: 20_000 };

async function ask<T>(method: "GET" | "POST", path: string, body?: unknown, withinMs = ANSWER_MS[method]): Promise<T> {
  const response = await fetch(path, {
    method,
    cache: "no-store",
    signal: AbortSignal.timeout(withinMs),
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  });
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer as T;
  const said = (answer as { error?: unknown } | null)?.error;
  throw new ApiError(response.status, typeof said === "string" ? said : `the server answered ${response.status}`);
}
