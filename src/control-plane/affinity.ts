// Which backend each user of a pool belongs to: remembered while it has a connection and for a while
// after the last one. Bounded, without a timer per user; every operation takes constant time.

import { ShardedMap } from "./sharded-map.ts";

const MAX_ENTRIES = 1_000_000;

interface Entry {
  readonly user: string;
  /** Null where it was forgotten while connections were open: only these are counted on. */
  backend: string | null;
  connections: number;
  /** When the last connection ended, or the last plain request came; only while there is no connection. */
  idleSinceMs: number;
  /** Neighbours among the idle; null at the ends, and while it has connections. */
  older: Entry | null;
  newer: Entry | null;
}

/** One user's affinity, as a state file keeps it. */
export interface AffinityEntry {
  readonly user: string;
  readonly backend: string;
  /** Null while it has a connection. */
  readonly idleSinceMs: number | null;
}

export class AffinityTable {
  readonly #maxEntries: number;
  readonly #byUser = new ShardedMap<Entry>();
  #ttlMs = Number.POSITIVE_INFINITY;
  // The idle are a list of their own, in the order of their last use. The order of a Map would say the
  // same, but to find its first key takes time in proportion to the keys deleted before it.
  #oldest: Entry | null = null;
  #newest: Entry | null = null;

  constructor(maxEntries = MAX_ENTRIES) {
    this.#maxEntries = maxEntries;
  }

  /** Users that are remembered, those whose time is over and who were not swept yet among them. */
  get size(): number {
    return this.#byUser.size;
  }

  /** @param ttlMs how long a user is remembered after its last connection */
  configure(ttlMs: number): void {
    this.#ttlMs = ttlMs;
  }

  /** Id of the user's backend, which need not be ready or exist any more; null where it belongs to none. */
  find(user: string, nowMs: number): string | null {
    const entry = this.#byUser.get(user);
    if (entry === undefined) return null;
    if (!this.#isOver(entry, nowMs)) return entry.backend;
    this.#remove(entry);
    return null;
  }

  /** A connection begins; the user belongs to its backend from now on. */
  hold(user: string, backend: string): void {
    const entry = this.#entryOf(user);
    if (entry.connections === 0) this.#unlink(entry);
    entry.connections += 1;
    entry.backend = backend;
    this.#makeRoom();
  }

  /** A connection ends. */
  release(user: string, nowMs: number): void {
    const entry = this.#byUser.get(user);
    if (entry === undefined || entry.connections === 0) return;
    entry.connections -= 1;
    if (entry.connections > 0) return;
    if (entry.backend === null) this.#byUser.delete(user);
    else this.#link(entry, nowMs);
    this.#makeRoom();
  }

  /** A plain request is served, by the backend that the user belongs to from now on. */
  touch(user: string, backend: string, nowMs: number): void {
    const entry = this.#entryOf(user);
    entry.backend = backend;
    if (entry.connections > 0) return;
    this.#unlink(entry);
    this.#link(entry, nowMs);
    this.#makeRoom();
  }

  /** The user belongs to no backend; its open connections still count. */
  forget(user: string): void {
    const entry = this.#byUser.get(user);
    if (entry === undefined) return;
    if (entry.connections === 0) this.#remove(entry);
    else entry.backend = null;
  }

  /** Forgets at most `steps` users whose time is over; called now and then by the owner. */
  sweep(nowMs: number, steps: number): void {
    for (let step = 0; step < steps; step++) {
      if (this.#oldest === null || !this.#isOver(this.#oldest, nowMs)) return;
      this.#remove(this.#oldest);
    }
  }

  /**
   * In no order; the table may change while they are stepped through, as a state file is written. Who
   * brings them back by `touch` does so in the order of `idleSinceMs`.
   */
  *entries(): Iterable<AffinityEntry> {
    for (const { user, backend, connections, idleSinceMs } of this.#byUser.values()) {
      if (backend !== null) yield { user, backend, idleSinceMs: connections > 0 ? null : idleSinceMs };
    }
  }

  #isOver({ connections, idleSinceMs }: Entry, nowMs: number): boolean {
    return connections === 0 && nowMs - idleSinceMs >= this.#ttlMs;
  }

  /** A new one is linked to nobody yet. */
  #entryOf(user: string): Entry {
    let entry = this.#byUser.get(user);
    if (entry === undefined) {
      entry = { user, backend: null, connections: 0, idleSinceMs: 0, older: null, newer: null };
      this.#byUser.set(user, entry);
    }
    return entry;
  }

  /** Users with connections stay: the caps bound them. */
  #makeRoom(): void {
    if (this.#byUser.size > this.#maxEntries && this.#oldest !== null) this.#remove(this.#oldest);
  }

  #remove(entry: Entry): void {
    this.#unlink(entry);
    this.#byUser.delete(entry.user);
  }

  #link(entry: Entry, nowMs: number): void {
    entry.idleSinceMs = nowMs;
    entry.older = this.#newest;
    if (this.#newest === null) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
  }

  /** Harmless for one that is not linked. */
  #unlink(entry: Entry): void {
    const { older, newer } = entry;
    if (older !== null) older.newer = newer;
    else if (this.#oldest === entry) this.#oldest = newer;
    if (newer !== null) newer.older = older;
    else if (this.#newest === entry) this.#newest = older;
    entry.older = null;
    entry.newer = null;
  }
}
