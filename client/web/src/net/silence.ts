// Tells a dead path from a quiet one: QUIC itself gives up only after half a minute.

/** Pings without any sign of life after which the path is dead. */
const UNANSWERED = 10;
/** And not before this time; the server gives up after four seconds. */
const LEAST_US = 3.5e6;

export class Silence {
  #heardUs = Number.POSITIVE_INFINITY;
  #asked = 0;

  /** Something has arrived. */
  heard(nowUs: number): void {
    this.#heardUs = nowUs;
    this.#asked = 0;
  }

  /** A ping has been sent. Counting them, a machine that slept is not taken for a dead path at once. */
  asked(nowUs: number): void {
    if (this.#heardUs === Number.POSITIVE_INFINITY) this.#heardUs = nowUs;
    this.#asked += 1;
  }

  isDead(nowUs: number): boolean {
    return this.#asked >= UNANSWERED && nowUs - this.#heardUs >= LEAST_US;
  }
}
