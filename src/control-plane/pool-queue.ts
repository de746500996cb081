// `pools.NAME.queue`: upgrades that wait for a slot while every backend of the pool is full, by tier
// priority, then by arrival.

import type { Priority } from "../config/schema-limits.ts";
import type { PoolConfig } from "../config/schema.ts";
import { WaitingRoom } from "./waiting-room.ts";

interface QueueOwner<Item> {
  /** Takes the item if there is a slot for it now. */
  serve(item: Item, waitedMs: number): void;
  onTimeout(item: Item): void;
}

export class PoolQueue<Item> {
  readonly #owner: QueueOwner<Item>;
  /** Monotonic milliseconds. */
  readonly #now: () => number;
  readonly #room = new WaitingRoom<Item, Item>();
  #config: PoolConfig["queue"];
  #timer: NodeJS.Timeout | null = null;
  #armedForMs = Number.POSITIVE_INFINITY;

  constructor(config: PoolConfig["queue"], owner: QueueOwner<Item>, now: () => number) {
    this.#config = config;
    this.#owner = owner;
    this.#now = now;
  }

  get length(): number {
    return this.#room.length;
  }

  /** Those who wait keep their deadline; none is left where the queue is taken away. */
  configure(config: PoolConfig["queue"]): void {
    this.#config = config;
    if (config === null) for (const item of this.clear()) this.#owner.onTimeout(item);
  }

  /** False where nobody (else) may wait; else the owner hears of its turn or its timeout. */
  enter(item: Item, priority: Priority): boolean {
    if (this.#config === null || this.#room.length >= this.#config.size) return false;
    this.#room.enter(item, item, { priority, nowMs: this.#now(), timeoutMs: this.#config.timeout });
    this.#arm();
    return true;
  }

  leave(item: Item): void {
    this.#room.leave(item);
    if (this.#room.length === 0) this.#disarm();
  }

  /** Serves those who wait as long as there are slots. */
  serve(hasRoom: () => boolean): void {
    while (this.#room.length > 0 && hasRoom()) {
      const next = this.#room.next();
      if (next !== null) this.#owner.serve(next.item, this.#now() - next.enteredAtMs);
    }
    if (this.#room.length === 0) this.#disarm();
  }

  /** Takes all out who wait. */
  clear(): Item[] {
    this.#disarm();
    return this.#room.expire(Number.POSITIVE_INFINITY);
  }

  /** One timer for all, for the first deadline. */
  #arm(): void {
    const deadlineMs = this.#room.nextDeadlineMs();
    if (deadlineMs === null || deadlineMs >= this.#armedForMs) return;
    this.#disarm();
    this.#armedForMs = deadlineMs;
    const delayMs = Math.max(1, Math.ceil(deadlineMs - this.#now()));
    this.#timer = setTimeout(() => {
      this.#disarm();
      for (const item of this.#room.expire(this.#now())) this.#owner.onTimeout(item);
      this.#arm();
    }, delayMs);
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#armedForMs = Number.POSITIVE_INFINITY;
  }
}
