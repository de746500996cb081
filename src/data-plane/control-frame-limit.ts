// `limits.controlFrames`: how many control frames one client may send. A token bucket of one connection,
// kept as the time at which it is full again.

export interface ControlFrameRate {
  /** Per second. */
  readonly rate: number;
  readonly burst: number;
}

/**
 * Tokens taken one by one add up the rounding of each addition. The bucket is deeper by this part of a
 * token, once, so that the last one of a burst is not refused for a billionth of itself.
 */
const SLACK_TOKENS = 0.001;

export class ControlFrameLimit {
  #intervalMs = 0;
  #capacityMs = 0;
  #fullAtMs = 0;

  constructor(rate: ControlFrameRate) {
    this.#set(rate);
  }

  /** The time until the bucket is full stays, as far as an empty one of the new rate would need it. */
  changeRate(rate: ControlFrameRate, nowMs: number): void {
    this.#set(rate);
    this.#fullAtMs = Math.min(this.#fullAtMs, nowMs + this.#capacityMs);
  }

  /** Whether `n` more frames are within the limit; they are counted only if they are. */
  take(n: number, nowMs: number): boolean {
    const fullAtMs = Math.max(this.#fullAtMs, nowMs) + n * this.#intervalMs;
    if (fullAtMs - nowMs > this.#capacityMs) return false;
    this.#fullAtMs = fullAtMs;
    return true;
  }

  #set({ rate, burst }: ControlFrameRate): void {
    this.#intervalMs = 1_000 / rate;
    this.#capacityMs = (burst + SLACK_TOKENS) * this.#intervalMs;
  }
}
