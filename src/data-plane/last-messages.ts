// What is in flight on both ways of a connection as a shutdown comes to it. A peer that has got a Close sends
// nothing any more, not even the rest of a message (RFC 6455 §5.5.1 lets it; browsers and `ws` do not): so
// neither side gets one before the messages of both are through.

import type { Pipe } from "./pipe.ts";

interface LastMessagesOptions {
  readonly pipes: readonly Pipe[];
  /** How long they may take. */
  readonly withinMs: number;
  /** Once: none is in flight any more, or the time is over. */
  readonly onOver: () => void;
}

export class LastMessages {
  readonly #options: LastMessagesOptions;
  readonly #endMs: number;
  #timer: NodeJS.Timeout | null = null;
  #isOver = false;

  constructor(options: LastMessagesOptions) {
    this.#options = options;
    this.#endMs = performance.now() + options.withinMs;
  }

  /** A way on which nothing is in flight stays open as long as the other one needs it. */
  start(): void {
    this.look();
    if (!this.#isOver) this.#timer = setTimeout(() => this.end(), this.#options.withinMs);
  }

  /** The last message of one way is through; on the other one, one may have begun since. */
  look(): void {
    const { pipes } = this.#options;
    const leftMs = this.#endMs - performance.now();
    const isFinishing = (): boolean => pipes.some((pipe) => pipe.isFinishing);
    if (!isFinishing()) for (const pipe of pipes) if (pipe.isInMessage(leftMs)) pipe.finish();
    if (leftMs <= 0 || !isFinishing()) this.end();
  }

  /** Waits no longer. */
  end(): void {
    if (this.#isOver) return;
    this.stop();
    this.#options.onOver();
  }

  stop(): void {
    this.#isOver = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
