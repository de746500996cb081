// The places that connections hold or wait for, found by worker thread and id, by user, or by backend.

import type { AdmitRequest, BucketCells } from "../shared-memory/channel.ts";
import type { Backend } from "./backend.ts";
import type { Slot } from "./pool.ts";

/**
 * - `waiting`: counted against the caps, without a backend yet.
 * - `dialling`: granted; the worker connects to the backend.
 * - `open`: the client has its 101.
 * - `leaving`: still open, but told to make room for another connection of its user.
 */
type PlaceState = "waiting" | "dialling" | "open" | "leaving";

/** Of a place that is not being dialled for: an empty Set of its own would take as much memory as all the rest of it. */
export const NONE_TRIED: ReadonlySet<string> = new Set();

/** One connection's place, from its admission to its release. */
export interface Place {
  readonly worker: number;
  readonly request: AdmitRequest;
  /** Backends that were dialled for it; `NONE_TRIED` once it is open. */
  tried: ReadonlySet<string>;
  readonly activityCell: number;
  buckets: BucketCells;
  /** As its worker thread knows them. */
  knownBuckets: BucketCells;
  state: PlaceState;
  /** Null while it waits. */
  slot: Slot | null;
  /** When its client got the 101; milliseconds on the shared clock, null before. */
  openedAtMs: number | null;
  /** Its connection is told to end for its age. */
  hasAged: boolean;
}

export class Places {
  readonly #byWorker = new Map<number, Map<number, Place>>();
  readonly #byUser = new Map<string, Set<Place>>();
  /** Without those that wait. */
  readonly #byBackend = new Map<Backend, Set<Place>>();

  add(place: Place): void {
    const { worker, request } = place;
    let ofWorker = this.#byWorker.get(worker);
    if (ofWorker === undefined) this.#byWorker.set(worker, (ofWorker = new Map()));
    ofWorker.set(request.id, place);
    let ofUser = this.#byUser.get(request.user);
    if (ofUser === undefined) this.#byUser.set(request.user, (ofUser = new Set()));
    ofUser.add(place);
  }

  /** The place gets a slot, or another one, or (null) gives it up. */
  settle(place: Place, slot: Slot | null): void {
    if (place.slot !== null) {
      const ofBackend = this.#byBackend.get(place.slot.backend);
      ofBackend?.delete(place);
      if (ofBackend?.size === 0) this.#byBackend.delete(place.slot.backend);
    }
    place.slot = slot;
    if (slot === null) return;
    let ofBackend = this.#byBackend.get(slot.backend);
    if (ofBackend === undefined) this.#byBackend.set(slot.backend, (ofBackend = new Set()));
    ofBackend.add(place);
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

  /** Those with a slot of the backend, being dialled or open. */
  ofBackend(backend: Backend): Place[] {
    return [...(this.#byBackend.get(backend) ?? [])];
  }

  /** Those that are open on the backend. */
  openOn(backend: Backend): Place[] {
    return this.ofBackend(backend).filter(({ state }) => state !== "dialling");
  }

  /** The pools of those that are open on a worker, and since when. */
  openOfWorker(worker: number): { readonly pool: string; readonly openedAtMs: number }[] {
    return this.ofWorker(worker).flatMap(({ request: { pool }, openedAtMs }) =>
      openedAtMs === null ? [] : [{ pool, openedAtMs }],
    );
  }

  countOfUser(user: string): number {
    return this.#byUser.get(user)?.size ?? 0;
  }

  /** Users with at least one place. */
  get users(): number {
    return this.#byUser.size;
  }
}
