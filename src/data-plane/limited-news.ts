// When the log hears of a connection's messages above a limit that are let through: at most once a second, or
// a flood of messages would be one of lines.

const MIN_INTERVAL_MS = 1_000;

export class LimitedNews {
  #untold = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;

  /** How many to tell of, those since the last time among them; null where it is too early. */
  add(messages: number, nowMs: number): number | null {
    this.#untold += messages;
    if (nowMs - this.#toldAtMs < MIN_INTERVAL_MS) return null;
    const told = this.#untold;
    this.#untold = 0;
    this.#toldAtMs = nowMs;
    return told;
  }
}
