// Decides whether an upgrade may go ahead and where to: caps, then a backend. All of it runs on one
// thread, so that counts are exact without locks. What is granted here comes back here, once.

import type { Config } from "../config/schema.ts";
import type { ErrorCode } from "../errors.ts";
import type { Counters } from "../shared-memory/counters.ts";
import type { AdmitRequest, Grant } from "../shared-memory/channel.ts";
import type { Backend } from "./backend.ts";
import { Pool } from "./pool.ts";

/** A connection's place, from the grant to its release. */
interface Held {
  readonly worker: number;
  readonly request: AdmitRequest;
  readonly tried: Set<string>;
  pool: Pool;
  backend: Backend;
  isOpen: boolean;
}

export type Decision = { readonly grant: Grant } | { readonly refused: ErrorCode };

interface AdmissionOptions {
  readonly config: Config;
  readonly counters: Counters;
  /** `limits.maxConnections` with `auto` resolved. */
  readonly maxConnections: number;
}

export class Admission {
  readonly #counters: Counters;
  readonly #pools = new Map<string, Pool>();
  readonly #held = new Map<number, Map<number, Held>>();
  readonly #open = new Map<string, { tier: string; pool: string; count: number }>();
  #maxConnections: number;
  #connections = 0;
  #isDraining = false;

  constructor(options: AdmissionOptions) {
    this.#counters = options.counters;
    this.#maxConnections = options.maxConnections;
    this.configure(options.config, options.maxConnections);
  }

  get pools(): Iterable<Pool> {
    return this.#pools.values();
  }

  get maxConnections(): number {
    return this.#maxConnections;
  }

  /** Connections that hold a slot: being dialled or open. */
  get connections(): number {
    return this.#connections;
  }

  /** Open connections by tier and pool; pairs stay listed at zero. */
  get openConnections(): Iterable<{ tier: string; pool: string; count: number }> {
    return this.#open.values();
  }

  configure(config: Config, maxConnections: number): void {
    this.#maxConnections = maxConnections;
    for (const [name, pool] of this.#pools) {
      if (config.pools[name] === undefined) pool.configure(null);
      if (pool.isEmpty) this.#pools.delete(name);
    }
    for (const [name, poolConfig] of Object.entries(config.pools)) {
      const known = this.#pools.get(name);
      if (known === undefined) this.#pools.set(name, new Pool(name, poolConfig));
      else known.configure(poolConfig);
    }
    for (const tier of Object.keys(config.tiers)) {
      for (const pool of Object.keys(config.pools)) {
        this.#counters.slotOf(tier, pool);
        this.#openCount(tier, pool);
      }
    }
  }

  /** From now on every upgrade is refused with `draining`. */
  startDraining(): void {
    this.#isDraining = true;
  }

  /** The slot is taken before the dial: two upgrades that race would else both see the same free one. */
  admit(worker: number, request: AdmitRequest): Decision {
    if (this.#isDraining) return { refused: "draining" };
    const takesSlot = request.kind === "connection";
    if (takesSlot && this.#connections >= this.#maxConnections) return { refused: "connections_full" };
    const pool = this.#pools.get(request.pool);
    if (pool === undefined) return { refused: "no_backend" };
    const backend = takesSlot ? pool.pick(new Set()) : pool.pickForRequest();
    if (typeof backend === "string") return { refused: backend };
    if (takesSlot) {
      pool.acquire(backend);
      this.#connections += 1;
      const held = { worker, request, tried: new Set([backend.id]), pool, backend, isOpen: false };
      this.#heldBy(worker).set(request.id, held);
    }
    return { grant: this.#grant(request, backend) };
  }

  /** Trades a grant whose dial failed for one on another backend; the failure stands where none is left. */
  exchange(worker: number, id: number, failure: ErrorCode): Decision {
    const held = this.#held.get(worker)?.get(id);
    if (held === undefined) return { refused: failure };
    const isLastTry = held.tried.size > held.pool.config.retries;
    const other = isLastTry || this.#isDraining ? null : held.pool.pick(held.tried);
    if (other === null || typeof other === "string") return { refused: failure };
    held.pool.release(held.backend);
    held.pool.acquire(other);
    held.backend = other;
    held.tried.add(other.id);
    return { grant: this.#grant(held.request, other) };
  }

  /** The client has its 101. Returns the pool, or null where the grant is unknown. */
  open(worker: number, id: number): string | null {
    const held = this.#held.get(worker)?.get(id);
    if (held === undefined || held.isOpen) return null;
    held.isOpen = true;
    this.#openCount(held.request.tier, held.pool.name).count += 1;
    return held.pool.name;
  }

  /** Gives a grant back; returns what it was, or null where it is unknown (a worker's death came first). */
  release(worker: number, id: number): { pool: string; tier: string; wasOpen: boolean } | null {
    const held = this.#held.get(worker)?.get(id);
    if (held === undefined) return null;
    this.#held.get(worker)?.delete(id);
    this.#connections -= 1;
    held.pool.release(held.backend);
    if (held.isOpen) this.#openCount(held.request.tier, held.pool.name).count -= 1;
    if (held.pool.isEmpty) this.#pools.delete(held.pool.name);
    return { pool: held.pool.name, tier: held.request.tier, wasOpen: held.isOpen };
  }

  /** Gives back all that a dead worker held; returns how many grants that were. */
  releaseWorker(worker: number): number {
    const ids = [...(this.#held.get(worker)?.keys() ?? [])];
    for (const id of ids) this.release(worker, id);
    this.#held.delete(worker);
    return ids.length;
  }

  #grant(request: AdmitRequest, backend: Backend): Grant {
    return {
      id: request.id,
      pool: backend.pool,
      backend: backend.id,
      counterSlot: this.#counters.slotOf(request.tier, backend.pool),
    };
  }

  #heldBy(worker: number): Map<number, Held> {
    const known = this.#held.get(worker);
    if (known !== undefined) return known;
    const grants = new Map<number, Held>();
    this.#held.set(worker, grants);
    return grants;
  }

  #openCount(tier: string, pool: string): { tier: string; pool: string; count: number } {
    const key = `${tier}\n${pool}`;
    const known = this.#open.get(key);
    if (known !== undefined) return known;
    const entry = { tier, pool, count: 0 };
    this.#open.set(key, entry);
    return entry;
  }
}
