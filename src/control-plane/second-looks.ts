// Upgrades that a count would refuse. Before they are, all threads tell what has happened: who has just left may be
// back at once on another thread, ahead of the news that its place is free. One round of it serves all who wait.

import type { Thread } from "./thread.ts";

interface Waiting {
  readonly thread: Thread;
  /** Decides again. */
  readonly look: () => void;
}

interface SecondLooksOptions {
  /** Resolves when all threads have told what they had to. */
  readonly catchUp: () => Promise<void>;
}

export class SecondLooks {
  readonly #options: SecondLooksOptions;
  readonly #waiting = new Map<string, Waiting>();
  #isAsking = false;

  constructor(options: SecondLooksOptions) {
    this.#options = options;
  }

  /** @param look decides again about what the thread has asked for under this id */
  add(thread: Thread, id: number, look: () => void): void {
    this.#waiting.set(keyOf(thread, id), { thread, look });
    if (!this.#isAsking) void this.#ask();
  }

  /** Its client has gone. Returns whether it waited. */
  leave(thread: Thread, id: number): boolean {
    return this.#waiting.delete(keyOf(thread, id));
  }

  onDeath({ serial }: Thread): void {
    for (const [key, { thread }] of this.#waiting) if (thread.serial === serial) this.#waiting.delete(key);
  }

  /** Whoever comes meanwhile needs a round of its own. */
  async #ask(): Promise<void> {
    this.#isAsking = true;
    while (this.#waiting.size > 0) {
      const asked = [...this.#waiting.keys()];
      await this.#options.catchUp();
      for (const key of asked) this.#look(key);
    }
    this.#isAsking = false;
  }

  #look(key: string): void {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    this.#waiting.delete(key);
    waiting.look();
  }
}

function keyOf({ serial }: Thread, id: number): string {
  return `${serial}-${id}`;
}
