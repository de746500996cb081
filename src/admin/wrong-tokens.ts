// Makes guessing the token slow: a wrong one is answered late. The right one never waits for it, so that no
// attacker can lock its owner out.

import type { Log } from "../log.ts";

const DELAY_MS = 500;

/** Answers that are held back at once; past it the oldest goes early, so that guesses cost no memory. */
const MAX_HELD = 200;

/** However many there are, the log gets a line in this time. */
const LOG_INTERVAL_MS = 1_000;

interface Held {
  readonly timer: NodeJS.Timeout;
  readonly letGo: () => void;
}

export class WrongTokens {
  readonly #log: Log;
  /** In the order of their coming. */
  readonly #held = new Set<Held>();
  #unlogged = 0;
  #logTimer: NodeJS.Timeout | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Resolves when the answer to a wrong token may go out. */
  async delay(address: string | undefined): Promise<void> {
    this.#note(address);
    const { promise, resolve } = Promise.withResolvers<void>();
    const held: Held = { timer: setTimeout(() => this.#letGo(held), DELAY_MS), letGo: resolve };
    this.#held.add(held);
    if (this.#held.size > MAX_HELD) {
      const [oldest = held] = this.#held;
      this.#letGo(oldest);
    }
    await promise;
  }

  stop(): void {
    for (const held of this.#held) this.#letGo(held);
    if (this.#logTimer !== null) clearTimeout(this.#logTimer);
    this.#logTimer = null;
  }

  #letGo(held: Held): void {
    clearTimeout(held.timer);
    this.#held.delete(held);
    held.letGo();
  }

  /** The first is told at once, those that follow closely by their number. */
  #note(address: string | undefined): void {
    if (this.#logTimer !== null) {
      this.#unlogged += 1;
      return;
    }
    this.#log.warn("admin request with a wrong token", { address });
    this.#logTimer = setTimeout(() => {
      this.#logTimer = null;
      const requests = this.#unlogged;
      this.#unlogged = 0;
      if (requests > 0) this.#log.warn("more admin requests with a wrong token", { requests, address });
    }, LOG_INTERVAL_MS);
  }
}
