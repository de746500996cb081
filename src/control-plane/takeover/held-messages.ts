// Keeps what the worker threads say until the control plane is ready for it: clients that come while the
// state of an older process is awaited wait, and nothing overtakes anything.

import type { ToControl } from "../../shared-memory/channel.ts";
import type { Thread } from "../thread.ts";

interface HeldMessage {
  readonly thread: Thread;
  readonly message: ToControl;
}

type Listener = (thread: Thread, message: ToControl) => void;

export class HeldMessages {
  readonly #listener: Listener;
  /** Null while everything passes. */
  #held: HeldMessage[] | null = null;

  constructor(listener: Listener) {
    this.#listener = listener;
  }

  hold(): void {
    this.#held ??= [];
  }

  onMessage(thread: Thread, message: ToControl): void {
    if (this.#held === null) this.#listener(thread, message);
    else this.#held.push({ thread, message });
  }

  /** What a thread that is gone has said is void: nobody could give back what it would be granted. */
  onDeath(gone: Thread): void {
    this.#held = this.#held?.filter(({ thread }) => thread !== gone) ?? null;
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const { thread, message } of held) this.#listener(thread, message);
  }
}
