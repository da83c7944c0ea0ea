// This client's own monotonic clock in microseconds, the same in the page and in its workers.
//
// For tests a page can be told to live with a wrong clock (`?clock=3000,50`: 3 s ahead, 50 ppm fast); the rest of the
// client knows nothing of it.

export interface ClockError {
  readonly offsetUs: number;
  readonly ppm: number;
  /** The true client time from which the drift counts. */
  readonly sinceUs: number;
}

let error: ClockError = { offsetUs: 0, ppm: 0, sinceUs: 0 };

export function setClockError(to: ClockError): void {
  error = to;
}

export function clockErrorFrom(search: string): ClockError {
  const [ms = 0, ppm = 0] = (new URLSearchParams(search).get("clock") ?? "").split(",").map(Number);
  const finite = (v: number): number => (Number.isFinite(v) ? v : 0);
  return { offsetUs: finite(ms) * 1000, ppm: finite(ppm), sinceUs: trueNowUs() };
}

/** Client time now, microseconds. */
export function nowUs(): number {
  return distort(trueNowUs());
}

/** Client time of a `performance.now()` or requestAnimationFrame stamp of this thread. */
export function clientUsOf(stampMs: number): number {
  return distort((performance.timeOrigin + stampMs) * 1000);
}

/** The machine's own clock at a client time, whatever error a test gave this page: all its pages agree on it. */
export function machineUsOf(clientUs: number): number {
  const { offsetUs, ppm, sinceUs } = error;
  return sinceUs + (clientUs - offsetUs - sinceUs) / (1 + ppm * 1e-6);
}

function trueNowUs(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}

function distort(us: number): number {
  return us + error.offsetUs + (us - error.sinceUs) * error.ppm * 1e-6;
}
