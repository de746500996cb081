// Who taps which connections: hands the wish to the threads, those that start later as well, and what they see
// to whoever wished it.

import type { ToWorker } from "../shared-memory/channel.ts";
import type { TappedBatch } from "../shared-memory/tapped-frame.ts";
import type { Thread } from "./thread.ts";

/** All connections of a user, those that open later as well, or one. */
export type TapTarget = { readonly user: string } | { readonly worker: number; readonly connection: number };

export interface TapListener {
  onFrames(batch: TappedBatch): void;
  /** The one connection that was tapped is over. */
  onOver(): void;
}

interface Open {
  readonly target: TapTarget;
  readonly listener: TapListener;
}

export class Taps {
  readonly #threads: () => Iterable<Thread>;
  readonly #open = new Map<number, Open>();
  #nextId = 1;

  /** @param threads those that run */
  constructor(threads: () => Iterable<Thread>) {
    this.#threads = threads;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Returns what ends it. */
  open(target: TapTarget, listener: TapListener): () => void {
    const id = this.#nextId++;
    this.#open.set(id, { target, listener });
    for (const thread of this.#threadsOf(target)) thread.channel.post(orderFor(thread, id, target));
    return () => {
      if (!this.#open.delete(id)) return;
      for (const thread of this.#threadsOf(target)) thread.channel.post({ type: "untap", id });
    };
  }

  onTapped(thread: Thread, batch: TappedBatch): void {
    const open = this.#open.get(batch.tap);
    if (open === undefined) return;
    thread.channel.post({ type: "tapped-arrived", id: batch.tap });
    open.listener.onFrames(batch);
    if (batch.isOver) open.listener.onOver();
  }

  onStart(thread: Thread): void {
    for (const [id, { target }] of this.#open) {
      if ("user" in target) thread.channel.post(orderFor(thread, id, target));
    }
  }

  onDeath({ serial }: Thread): void {
    for (const { target, listener } of this.#open.values()) {
      if ("worker" in target && target.worker === serial) listener.onOver();
    }
  }

  #threadsOf(target: TapTarget): Thread[] {
    return [...this.#threads()].filter(({ serial }) => "user" in target || target.worker === serial);
  }
}

function orderFor({ serial }: Thread, id: number, target: TapTarget): ToWorker {
  const filter = "user" in target ? { user: target.user } : { connection: target.connection };
  return { type: "tap", id, filter, idPrefix: `${serial}-` };
}
