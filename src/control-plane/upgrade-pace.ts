// `limits.upgrades`: lets new connections through at a steady pace, so that a reconnect storm reaches
// the backends as a stream. Those above it wait for their turn, by tier priority, then by arrival.

import type { Priority, UpgradePaceConfig } from "../config/schema-limits.ts";
import { WaitingRoom } from "./waiting-room.ts";

export interface PaceOwner<Item> {
  /** Its turn has come. */
  onTurn(item: Item, waitedMs: number): void;
  onTimeout(item: Item): void;
}

export class UpgradePace<Key, Item> {
  readonly #owner: PaceOwner<Item>;
  readonly #now: () => number;
  readonly #room = new WaitingRoom<Key, Item>();
  #config: UpgradePaceConfig | null;
  /** When the bucket will be full again (GCRA's theoretical arrival time). */
  #fullAtMs = 0;
  #timer: NodeJS.Timeout | null = null;

  /** @param now monotonic milliseconds */
  constructor(config: UpgradePaceConfig | null, owner: PaceOwner<Item>, now: () => number) {
    this.#config = config;
    this.#owner = owner;
    this.#now = now;
  }

  get length(): number {
    return this.#room.length;
  }

  /**
   * A pace that is taken away lets all who wait through at once. What was spent at a slower one is cut to
   * what the new one could have lent, so that nobody goes on waiting for the old one.
   */
  configure(config: UpgradePaceConfig | null): void {
    this.#config = config;
    const capacityMs = config === null ? 0 : (config.burst * 1_000) / config.rate;
    this.#fullAtMs = Math.min(this.#fullAtMs, this.#now() + capacityMs);
    this.#serve();
  }

  /** `go`: at once; `waiting`: the owner hears of its turn or of its timeout; `full`: nobody else may wait. */
  request(key: Key, item: Item, priority: Priority): "go" | "waiting" | "full" {
    if (this.#config === null) return "go";
    const nowMs = this.#now();
    if (this.#room.length === 0 && this.#take(this.#config, nowMs)) return "go";
    if (this.#room.length >= this.#config.queue) return "full";
    this.#room.enter(key, item, { priority, nowMs, timeoutMs: this.#config.timeout });
    this.#arm();
    return "waiting";
  }

  /** Whoever waits has given up. */
  leave(key: Key): Item | null {
    const item = this.#room.leave(key);
    if (this.#room.length === 0) this.stop();
    return item;
  }

  /** Takes all out who wait; for a shutdown. */
  clear(): Item[] {
    this.stop();
    return this.#room.expire(Number.POSITIVE_INFINITY);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #take({ rate, burst }: UpgradePaceConfig, nowMs: number): boolean {
    const intervalMs = 1_000 / rate;
    const base = Math.max(this.#fullAtMs, nowMs);
    if (base + intervalMs - nowMs > burst * intervalMs + ROUNDING_MS) return false;
    this.#fullAtMs = base + intervalMs;
    return true;
  }

  #serve(): void {
    this.stop();
    const nowMs = this.#now();
    for (const item of this.#room.expire(nowMs)) this.#owner.onTimeout(item);
    while (this.#room.length > 0 && (this.#config === null || this.#take(this.#config, nowMs))) {
      const next = this.#room.next();
      if (next !== null) this.#owner.onTurn(next.item, nowMs - next.enteredAtMs);
    }
    this.#arm();
  }

  /** One timer for all: the next token, or the first deadline. */
  #arm(): void {
    const deadlineMs = this.#room.nextDeadlineMs();
    if (this.#timer !== null || this.#config === null || deadlineMs === null) return;
    const { rate, burst } = this.#config;
    const nextTokenMs = this.#fullAtMs - ((burst - 1) * 1_000) / rate;
    const delayMs = Math.max(1, Math.ceil(Math.min(nextTokenMs, deadlineMs) - this.#now()));
    this.#timer = setTimeout(() => this.#serve(), delayMs);
  }
}

/** Sums of fractional intervals come out a little over or under. */
const ROUNDING_MS = 1e-6;
