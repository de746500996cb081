// Finds a backend for an upgrade that was let in: at once, after a wait in its pool's queue, or another
// one after a dial that failed.

import type { Priority } from "../config/schema-limits.ts";
import type { Config } from "../config/schema.ts";
import type { Backend } from "./backend.ts";
import type { Place, Places } from "./places.ts";
import type { PickFailure, Pool, Slot } from "./pool.ts";
import { PoolQueue } from "./pool-queue.ts";
import type { Pools } from "./pools.ts";

interface PlacementOptions {
  readonly pools: Pools;
  readonly places: Places;
  /** An upgrade that waited has its backend now. */
  readonly onPlaced: (place: Place, waitedMs: number) => void;
  /** It has waited long enough. */
  readonly onTimeout: (place: Place) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

export class Placement {
  readonly #options: PlacementOptions;
  /** By pool; only of pools that have a queue, or had one. */
  readonly #queues = new Map<string, PoolQueue<Place>>();

  constructor(options: PlacementOptions) {
    this.#options = options;
  }

  /** Upgrades that wait, by pool. */
  get waiting(): { pool: string; length: number }[] {
    return Array.from(this.#queues, ([pool, { length }]) => ({ pool, length }));
  }

  configure({ pools }: Config): void {
    for (const name of this.#queues.keys()) {
      if (pools[name] === undefined) this.#queues.get(name)?.configure(null);
      if (pools[name] === undefined) this.#queues.delete(name);
    }
    for (const [name, { queue }] of Object.entries(pools)) {
      const known = this.#queues.get(name);
      if (known !== undefined) known.configure(queue);
      else if (queue !== null) this.#queues.set(name, this.#createQueue(queue));
    }
  }

  /** Gives the place a slot. `waiting`: it hears of its turn or its timeout. */
  assign(place: Place, priority: Priority): "placed" | "waiting" | PickFailure {
    const { pool: name } = place.request;
    const pool = this.#options.pools.find(name);
    if (pool === undefined) return "no_backend";
    const failure = this.#take(place, pool);
    if (failure === null) return "placed";
    const mayWait = failure === "backends_full" && this.#queues.get(name)?.enter(place, priority) === true;
    return mayWait ? "waiting" : failure;
  }

  /** Trades the slot, whose dial failed, for one of another backend; false where there is none (any more). */
  exchange(place: Place): boolean {
    const { slot } = place;
    if (slot === null) return false;
    const { pool } = slot;
    const isLastTry = place.tried.size > pool.config.retries;
    const other = isLastTry ? "no_backend" : pool.pick(place.request, place.tried);
    if (typeof other === "string") return false;
    // In this order: who waits must not take the other one's last room meanwhile.
    this.#hold(place, pool, other);
    this.#giveBack(slot);
    return true;
  }

  /** Gives the slot back, or ends the wait for one. */
  release(place: Place): void {
    const { slot } = place;
    if (slot === null) {
      this.#queues.get(place.request.pool)?.leave(place);
      return;
    }
    this.#options.places.settle(place, null);
    this.#giveBack(slot);
  }

  /**
   * Its connection ends for its age. The user's next one goes to where the load is least, unless others of the
   * user's stay: they are to be on one backend. Those that have aged as well are about to leave.
   */
  aged(place: Place): void {
    place.hasAged = true;
    const pool = place.slot?.pool;
    if (pool === undefined) return;
    const { user } = place.request;
    const ofUser = this.#options.places.ofUser(user);
    if (ofUser.every((one) => one.hasAged || one.slot?.pool !== pool)) pool.unsettle(user);
  }

  /** There may be room in the pool: whoever waits gets it. */
  serve(pool: Pool): void {
    this.#queues.get(pool.name)?.serve(() => pool.hasRoom);
  }

  /** Takes out all who wait; for a shutdown. */
  clear(): Place[] {
    return [...this.#queues.values()].flatMap((queue) => queue.clear());
  }

  #giveBack(slot: Slot): void {
    slot.pool.release(slot);
    this.#options.pools.forgetIfEmpty(slot.pool);
    this.serve(slot.pool);
  }

  #createQueue(config: NonNullable<Config["pools"][string]["queue"]>): PoolQueue<Place> {
    const { onPlaced, onTimeout, now } = this.#options;
    return new PoolQueue(
      config,
      {
        serve: (place, waitedMs) => {
          const pool = this.#options.pools.find(place.request.pool);
          if (pool === undefined || this.#take(place, pool) !== null) onTimeout(place);
          else onPlaced(place, waitedMs);
        },
        onTimeout,
      },
      now,
    );
  }

  /** Null where it has its slot. */
  #take(place: Place, pool: Pool): PickFailure | null {
    const backend = pool.pick(place.request, place.tried);
    if (typeof backend === "string") return backend;
    this.#hold(place, pool, backend);
    return null;
  }

  #hold(place: Place, pool: Pool, backend: Backend): void {
    place.tried = new Set(place.tried).add(backend.id);
    place.state = "dialling";
    this.#options.places.settle(place, pool.acquire(backend, place.request, place.slot));
  }
}
