// All pools by name. Their live state outlives the configuration: one that was taken away stays until its
// last connection is gone.

import type { Config } from "../config/schema.ts";
import type { BackendSpec } from "./backend.ts";
import { Pool, type PoolChanges } from "./pool.ts";

export class Pools {
  readonly #pools = new Map<string, Pool>();
  readonly #now: () => number;

  /** @param now milliseconds on the shared clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  get all(): Iterable<Pool> {
    return this.#pools.values();
  }

  find(name: string): Pool | undefined {
    return this.#pools.get(name);
  }

  /** @param specsOf the backends of a configured pool, their names resolved */
  configure(config: Config, specsOf: (pool: string) => readonly BackendSpec[]): Map<Pool, PoolChanges> {
    const changes = new Map<Pool, PoolChanges>();
    for (const pool of this.#pools.values()) {
      if (config.pools[pool.name] === undefined) changes.set(pool, pool.configure(null, []));
      this.forgetIfEmpty(pool);
    }
    for (const [name, poolConfig] of Object.entries(config.pools)) {
      let pool = this.#pools.get(name);
      if (pool === undefined) this.#pools.set(name, (pool = new Pool(name, poolConfig, this.#now)));
      changes.set(pool, pool.configure(poolConfig, specsOf(name)));
    }
    return changes;
  }

  forgetIfEmpty(pool: Pool): void {
    if (pool.isGone) this.#pools.delete(pool.name);
  }
}
