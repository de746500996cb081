// `pools.NAME.rebalance`: closes connections of backends that have more than their share, at a pace, so
// that their clients come back to those that a scale-out has added.

import type { CloseOrder } from "../shared-memory/channel.ts";
import type { Backend } from "./backend.ts";
import type { Place } from "./places.ts";
import type { Pool } from "./pool.ts";
import { ClosePacer, excessConnections } from "./rebalance.ts";

interface RebalancerOptions {
  /** Open connections of a backend, the longest open ones first. */
  readonly openOn: (backend: Backend) => readonly Place[];
  readonly close: (place: Place, reason: CloseOrder) => void;
}

export class Rebalancer {
  readonly #options: RebalancerOptions;
  readonly #pacers = new WeakMap<Pool, ClosePacer>();
  readonly #told = new WeakSet<Place>();

  constructor(options: RebalancerOptions) {
    this.#options = options;
  }

  /** Closes what the pace allows by now; called again and again for each pool. */
  advance(pool: Pool, nowMs: number): void {
    const { rebalance, balance, slowStart } = pool.config;
    // By their hash clients would come back to the same backend.
    if (rebalance === null || balance === "consistent-hash") return;
    const fleet = pool.ready.map((backend) => {
      const open = this.#options.openOn(backend);
      const staying = open.filter((place) => !this.#told.has(place));
      return { backend, staying, leaving: open.length - staying.length };
    });
    const excess = excessConnections(
      fleet.map(({ backend, leaving }) => ({
        connections: backend.connections,
        leaving,
        weight: backend.effectiveWeight(nowMs, slowStart),
        capacity: backend.capacity,
      })),
      rebalance.maxSkew,
    );
    const wanted = excess.reduce((sum, count) => sum + count, 0);
    let allowed = this.#pacerOf(pool).take(wanted, rebalance.pace, nowMs);
    for (const [index, { staying }] of fleet.entries()) {
      const count = Math.min(allowed, excess[index] ?? 0);
      allowed -= count;
      for (const place of staying.slice(0, count)) this.#send(pool, place);
    }
  }

  /** Its client is to come back to another backend, not to the one of before. */
  #send(pool: Pool, place: Place): void {
    this.#told.add(place);
    pool.unsettle(place.request.user);
    this.#options.close(place, "backend_draining");
  }

  #pacerOf(pool: Pool): ClosePacer {
    let pacer = this.#pacers.get(pool);
    if (pacer === undefined) this.#pacers.set(pool, (pacer = new ClosePacer()));
    return pacer;
  }
}
