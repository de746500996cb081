// The places that connections hold or wait for, found by worker thread and id, or by user.

import type { AdmitRequest, BucketCells } from "../shared-memory/channel.ts";
import type { Backend } from "./backend.ts";
import type { Pool } from "./pool.ts";

/**
 * - `waiting`: counted against the caps, without a backend yet.
 * - `dialling`: granted; the worker connects to the backend.
 * - `open`: the client has its 101.
 * - `leaving`: still open, but told to make room for another connection of its user.
 */
type PlaceState = "waiting" | "dialling" | "open" | "leaving";

/** One connection's place, from its admission to its release. */
export interface Place {
  readonly worker: number;
  readonly request: AdmitRequest;
  readonly tried: Set<string>;
  readonly activityCell: number;
  buckets: BucketCells;
  state: PlaceState;
  /** Null while it waits. */
  held: { readonly pool: Pool; readonly backend: Backend } | null;
}

export class Places {
  readonly #byWorker = new Map<number, Map<number, Place>>();
  readonly #byUser = new Map<string, Set<Place>>();

  add(place: Place): void {
    const { worker, request } = place;
    let ofWorker = this.#byWorker.get(worker);
    if (ofWorker === undefined) this.#byWorker.set(worker, (ofWorker = new Map()));
    ofWorker.set(request.id, place);
    let ofUser = this.#byUser.get(request.user);
    if (ofUser === undefined) this.#byUser.set(request.user, (ofUser = new Set()));
    ofUser.add(place);
  }

  find(worker: number, id: number): Place | undefined {
    return this.#byWorker.get(worker)?.get(id);
  }

  remove(place: Place): void {
    const { worker, request } = place;
    const ofWorker = this.#byWorker.get(worker);
    ofWorker?.delete(request.id);
    if (ofWorker?.size === 0) this.#byWorker.delete(worker);
    const ofUser = this.#byUser.get(request.user);
    ofUser?.delete(place);
    if (ofUser?.size === 0) this.#byUser.delete(request.user);
  }

  get all(): Place[] {
    return Array.from(this.#byWorker.values(), (places) => Array.from(places.values())).flat();
  }

  ofWorker(worker: number): Place[] {
    return [...(this.#byWorker.get(worker)?.values() ?? [])];
  }

  ofUser(user: string): Place[] {
    return [...(this.#byUser.get(user) ?? [])];
  }

  /** Users with at least one place. */
  get users(): number {
    return this.#byUser.size;
  }
}
