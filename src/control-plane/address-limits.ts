// The limits of one client address, `limits.perAddress`: how many connections it has, and how fast it asks for
// more. Known before any identity, so it is all that can be said of a client that has shown nothing yet.

import type { PerAddressConfig } from "../config/schema-limits.ts";

interface AddressEntry {
  /** Upgrades under way and connections. */
  connections: number;
  /** Milliseconds on the clock: when its bucket is full again (GCRA's theoretical arrival time). */
  fullAtMs: number;
}

/** Addresses without connections that are remembered at the most, for their rates; the oldest go first. */
const MAX_IDLE = 100_000;
/** Entries that one newcomer may look at to make room. */
const MAX_EVICTION_STEPS = 100;

export class AddressLimits {
  readonly #now: () => number;
  readonly #entries = new Map<string, AddressEntry>();
  /** The address of each place that is held, by worker and id. */
  readonly #places = new Map<number, Map<number, string>>();
  #config: PerAddressConfig | null;
  #held = 0;

  /** @param now monotonic milliseconds */
  constructor(config: PerAddressConfig | null, now: () => number) {
    this.#config = config;
    this.#now = now;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#entries.size;
  }

  configure(config: PerAddressConfig | null): void {
    this.#config = config;
  }

  /** It has as many connections as it may; nothing is taken. */
  isFull(address: string): boolean {
    const most = this.#config?.connections ?? null;
    return most !== null && (this.#entries.get(address)?.connections ?? 0) >= most;
  }

  /** Whether an upgrade from this address may go on; if so, it holds a place until it leaves. */
  enter(worker: number, id: number, address: string): boolean {
    if (this.#config === null) return true;
    const { connections, upgrades } = this.#config;
    const entry = this.#entryOf(address);
    if (upgrades !== null && !this.#take(entry, upgrades)) return false;
    if (connections !== null && entry.connections >= connections) return false;
    entry.connections += 1;
    this.#held += 1;
    const places = this.#places.get(worker) ?? new Map<number, string>();
    this.#places.set(worker, places.set(id, address));
    return true;
  }

  /** Nothing for a place that is not held. */
  leave(worker: number, id: number): void {
    const places = this.#places.get(worker);
    const address = places?.get(id);
    if (places === undefined || address === undefined) return;
    places.delete(id);
    this.#release(address);
  }

  /** Gives back what a dead worker held. */
  releaseWorker(worker: number): void {
    for (const address of this.#places.get(worker)?.values() ?? []) this.#release(address);
    this.#places.delete(worker);
  }

  /** Called now and then: forgets addresses of which there is nothing left to know. */
  sweep(): void {
    const nowMs = this.#now();
    for (const [address, { connections, fullAtMs }] of this.#entries) {
      if (connections === 0 && fullAtMs <= nowMs) this.#entries.delete(address);
    }
  }

  #take(entry: AddressEntry, { rate, burst }: NonNullable<PerAddressConfig["upgrades"]>): boolean {
    const nowMs = this.#now();
    const intervalMs = 1_000 / rate;
    const fullAtMs = Math.max(entry.fullAtMs, nowMs) + intervalMs;
    // A billionth, since sums of fractions are not exact.
    if (fullAtMs - nowMs > burst * intervalMs * (1 + 1e-9)) return false;
    entry.fullAtMs = fullAtMs;
    return true;
  }

  #entryOf(address: string): AddressEntry {
    const known = this.#entries.get(address);
    if (known !== undefined) return known;
    if (this.#entries.size - this.#held >= MAX_IDLE) this.#evict();
    const entry = { connections: 0, fullAtMs: 0 };
    this.#entries.set(address, entry);
    return entry;
  }

  #evict(): void {
    let steps = 0;
    for (const [address, entry] of this.#entries) {
      this.#entries.delete(address);
      if (entry.connections === 0) return;
      // One with connections is out of the way from here on.
      this.#entries.set(address, entry);
      if (++steps >= MAX_EVICTION_STEPS) return;
    }
  }

  #release(address: string): void {
    const entry = this.#entries.get(address);
    if (entry === undefined) return;
    entry.connections -= 1;
    this.#held -= 1;
  }
}
