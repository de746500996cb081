// A queue of upgrades that wait: by tier priority, then by arrival. Pure: the owner brings the clock and the
// bound, and decides when the next one may go.

import type { Priority } from "../config/schema-limits.ts";

const PRIORITIES = ["high", "normal", "low"] as const satisfies readonly Priority[];

interface Waiting<Item> {
  readonly item: Item;
  readonly enteredAtMs: number;
  readonly deadlineMs: number;
}

/** `Key` tells the waiting apart; one that leaves is found by it. */
export class WaitingRoom<Key, Item> {
  /** A Map keeps the order of arrival and lets anyone leave from the middle. */
  readonly #lines: Record<Priority, Map<Key, Waiting<Item>>> = {
    high: new Map(),
    normal: new Map(),
    low: new Map(),
  };

  #earliestMs = Number.POSITIVE_INFINITY;

  get length(): number {
    return PRIORITIES.reduce((sum, priority) => sum + this.#lines[priority].size, 0);
  }

  /** The caller has seen to it that there is room, and that the key is not in use. */
  enter(key: Key, item: Item, place: { priority: Priority; nowMs: number; timeoutMs: number }): void {
    const { priority, nowMs, timeoutMs } = place;
    // A reload may have made the time shorter than that of those ahead.
    if (this.length === 0) this.#earliestMs = Number.POSITIVE_INFINITY;
    this.#earliestMs = Math.min(this.#earliestMs, nowMs + timeoutMs);
    this.#lines[priority].set(key, { item, enteredAtMs: nowMs, deadlineMs: nowMs + timeoutMs });
  }

  /** Takes out one that gave up; null where it does not wait (any more). */
  leave(key: Key): Item | null {
    for (const priority of PRIORITIES) {
      const waiting = this.#lines[priority].get(key);
      if (waiting === undefined) continue;
      this.#lines[priority].delete(key);
      return waiting.item;
    }
    return null;
  }

  /** Takes out the next in line; null where there is none. */
  next(): { item: Item; enteredAtMs: number } | null {
    for (const priority of PRIORITIES) {
      for (const [key, waiting] of this.#lines[priority]) {
        this.#lines[priority].delete(key);
        return waiting;
      }
    }
    return null;
  }

  /** Takes out those whose time is up. */
  expire(nowMs: number): Item[] {
    const expired: Item[] = [];
    this.#earliestMs = Number.POSITIVE_INFINITY;
    for (const priority of PRIORITIES) {
      for (const [key, { item, deadlineMs }] of this.#lines[priority]) {
        if (deadlineMs > nowMs) {
          this.#earliestMs = Math.min(this.#earliestMs, deadlineMs);
          continue;
        }
        this.#lines[priority].delete(key);
        expired.push(item);
      }
    }
    return expired;
  }

  /** When to `expire`: not after the first deadline, but before it where its holder has left. Null where nobody waits. */
  nextDeadlineMs(): number | null {
    return this.length === 0 ? null : this.#earliestMs;
  }
}
