// Closes a thread's connections one by one, evenly over a time, so that their clients do not come back all
// at once. After a stall it makes up for the time lost without a burst, and all the same is done in time.

const TICK_MS = 10;

/** A tick that comes later than this brings no more closes: the rest is spread over the time left. */
const MAX_STEP_MS = 2 * TICK_MS;

/** How much faster than evenly it may go after a stall: no 100 ms may see twice their share. */
const MAX_HASTE = 1.5;

/** Sums of fractional shares come out a little under. */
const ROUNDING = 1e-9;

interface PacedClosesOptions<Item> {
  readonly items: Iterable<Item>;
  /** Milliseconds over which the closes are spread; 0: all at once. */
  readonly spreadMs: number;
  /** Milliseconds in which they are over, at whatever pace that takes. */
  readonly withinMs: number;
  /** This thread's place among the others, from 0 to below 1: not all of them begin with a close. */
  readonly phase: number;
  readonly close: (item: Item) => void;
}

export class PacedCloses<Item> {
  readonly #options: Omit<PacedClosesOptions<Item>, "items">;
  readonly #waiting: Set<Item>;
  readonly #evenPerMs: number;
  readonly #startedAtMs = performance.now();
  #tickedAtMs = this.#startedAtMs;
  /** Closes that are due; a fraction of one is kept for the next tick. */
  #due: number;
  #timer: NodeJS.Timeout | null = null;

  constructor({ items, ...options }: PacedClosesOptions<Item>) {
    this.#options = options;
    // Nothing but this: whoever is gone is let go of.
    this.#waiting = new Set(items);
    this.#evenPerMs = this.#waiting.size / options.spreadMs;
    this.#due = 1 - options.phase;
  }

  start(): void {
    this.#tick();
    if (this.#waiting.size > 0) this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /** One that came late: behind the others, or at once where they are gone. */
  add(item: Item): void {
    if (this.#timer === null) this.#options.close(item);
    else this.#waiting.add(item);
  }

  /** One that has ended by itself. */
  leave(item: Item): void {
    this.#waiting.delete(item);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #tick(): void {
    const nowMs = performance.now();
    const elapsedMs = nowMs - this.#startedAtMs;
    this.#due += this.#perMs(elapsedMs) * Math.min(nowMs - this.#tickedAtMs, MAX_STEP_MS);
    this.#tickedAtMs = nowMs;
    const isLate = elapsedMs >= this.#options.withinMs || this.#options.spreadMs === 0;
    for (const item of this.#waiting) {
      if (!isLate && this.#due < 1 - ROUNDING) return;
      this.#due -= 1;
      this.#waiting.delete(item);
      this.#options.close(item);
    }
    this.stop();
  }

  /** Those who left by themselves make it end earlier, not slower. */
  #perMs(elapsedMs: number): number {
    const left = this.#waiting.size;
    const { spreadMs, withinMs } = this.#options;
    const needed = left / Math.max(spreadMs - elapsedMs, TICK_MS);
    const hasty = Math.min(needed, this.#evenPerMs * MAX_HASTE);
    const atLeast = left / Math.max(withinMs - elapsedMs, TICK_MS);
    return Math.max(this.#evenPerMs, hasty, atLeast);
  }
}
