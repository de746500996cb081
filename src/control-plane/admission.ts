// Decides whether an upgrade may go ahead and where to: bans, overload, caps, pace, then a backend. All of it runs
// on one thread, so that counts are exact without locks. What is granted here comes back here, once.

import type { Config } from "../config/schema.ts";
import type { ErrorCode } from "../errors.ts";
import type { Counters } from "../shared-memory/counters.ts";
import type { ActivityTable } from "../shared-memory/activity.ts";
import type { AdmitRequest, BucketCells, Grant } from "../shared-memory/channel.ts";
import type { Bans } from "./bans.ts";
import { Caps } from "./caps.ts";
import { Gate, type Passage } from "./gate.ts";
import { grantOf, grantOfRequest } from "./grants.ts";
import { Holdings } from "./holdings.ts";
import { OpenConnections } from "./open-connections.ts";
import type { Overload } from "./overload.ts";
import { NONE_TRIED, type Place, Places } from "./places.ts";
import { Placement } from "./placement.ts";
import type { Pool, Slot } from "./pool.ts";
import type { Pools } from "./pools.ts";
import { RequestCounts } from "./request-counts.ts";
import { Replacements } from "./replacements.ts";
import { UpgradePace } from "./upgrade-pace.ts";
import type { UserBuckets } from "./user-buckets.ts";

export type Decision = { readonly grant: Grant } | { readonly refused: ErrorCode };

export interface AdmissionEvents {
  /** What became of an upgrade that had to wait. */
  decided(worker: number, id: number, decision: Decision): void;
  /** A connection has to make room for another one of its user. */
  replaced(worker: number, id: number): void;
  /** A connection spends from other buckets than its grant says. */
  bucketsChanged(worker: number, id: number, buckets: BucketCells): void;
  /** How long an upgrade has waited: for its turn (`upgrades`), or for a slot (`pool:NAME`). */
  waited(queue: string, waitedMs: number): void;
}

interface AdmissionOptions {
  readonly config: Config;
  readonly counters: Counters;
  /** `limits.maxConnections` with `auto` resolved. */
  readonly maxConnections: number;
  readonly pools: Pools;
  readonly buckets: UserBuckets;
  readonly overload: Pick<Overload, "refuses">;
  readonly activity: ActivityTable;
  readonly events: AdmissionEvents;
  /** Milliseconds on the clock that all threads share. */
  readonly now: () => number;
}

/** The queue of `limits.upgrades`, as metrics name it. */
export const PACE_QUEUE = "upgrades";

export class Admission {
  readonly requests = new RequestCounts();
  readonly #options: AdmissionOptions;
  readonly #caps: Caps;
  readonly #gate: Gate;
  readonly #pace: UpgradePace<Place, Place>;
  readonly #placement: Placement;
  readonly #places = new Places();
  readonly #holdings: Holdings;
  readonly #replacements: Replacements;
  readonly #open = new OpenConnections();

  constructor(options: AdmissionOptions) {
    const { config, maxConnections, now } = options;
    this.#options = options;
    this.#replacements = new Replacements((place) =>
      options.activity.silenceMs(place.activityCell, options.now()),
    );
    this.#caps = new Caps({ maxConnections, tiers: config.tiers });
    this.#gate = new Gate({ caps: this.#caps, places: this.#places, overload: options.overload, now });
    this.#holdings = new Holdings({
      caps: this.#caps,
      buckets: options.buckets,
      activity: options.activity,
      places: this.#places,
      now,
    });
    this.#pace = new UpgradePace(
      config.limits.upgrades,
      {
        onTurn: (place, waitedMs) => {
          options.events.waited(PACE_QUEUE, waitedMs);
          const decision = this.#assign(place);
          if (decision !== null) this.#tell(place, decision);
        },
        onTimeout: (place) => this.#tell(place, this.#refuse(place, "upgrade_limited")),
      },
      now,
    );
    this.#placement = new Placement({
      pools: options.pools,
      places: this.#places,
      onPlaced: (place, waitedMs) => {
        options.events.waited(`pool:${place.request.pool}`, waitedMs);
        this.#tell(place, { grant: this.#grant(place) });
      },
      onTimeout: (place) => {
        const isAnyReady = (options.pools.find(place.request.pool)?.ready.length ?? 0) > 0;
        this.#tell(place, this.#refuse(place, isAnyReady ? "backends_full" : "no_backend"));
      },
      now,
    });
    this.configure(config, maxConnections);
  }

  get bans(): Bans {
    return this.#gate.bans;
  }

  get pools(): Iterable<Pool> {
    return this.#options.pools.all;
  }

  /** Who holds which place. */
  get places(): Pick<Places, "all" | "find" | "ofUser" | "ofBackend" | "openOn" | "openOfWorker"> {
    return this.#places;
  }

  get caps(): Pick<Caps, "maxConnections" | "all" | "ofTier"> {
    return this.#caps;
  }

  /** Connections that count against the caps: waiting for their turn, being dialled or open. */
  get connections(): number {
    return this.#caps.total;
  }

  /** Users with at least one such connection. */
  get users(): number {
    return this.#places.users;
  }

  /** Upgrades that wait, by queue. */
  get waiting(): { queue: string; length: number }[] {
    const pools = this.#placement.waiting.map(({ pool, length }) => ({ queue: `pool:${pool}`, length }));
    return [{ queue: PACE_QUEUE, length: this.#pace.length }, ...pools];
  }

  /** Open connections by tier and pool; pairs stay listed at zero. */
  get openConnections(): Iterable<{ tier: string; pool: string; count: number }> {
    return this.#open.all;
  }

  configure(config: Config, maxConnections: number): void {
    this.#gate.configure(config);
    this.#caps.configure({ maxConnections, tiers: config.tiers });
    this.#pace.configure(config.limits.upgrades);
    this.#placement.configure(config);
    this.#options.buckets.configure(config);
    for (const place of this.#places.all) {
      this.#holdings.renewBuckets(place);
      this.#tellBuckets(place);
    }
    for (const tier of Object.keys(config.tiers)) {
      for (const pool of Object.keys(config.pools)) {
        this.#options.counters.slotOf(tier, pool);
        this.#open.of(tier, pool);
      }
    }
  }

  /** From now on every upgrade is refused with `draining`, those that wait included. */
  startDraining(): void {
    this.#gate.startDraining();
    for (const place of [...this.#pace.clear(), ...this.#placement.clear()]) {
      this.#tell(place, this.#refuse(place, "draining"));
    }
  }

  /** A pool's backends may have room now: whoever waits for one gets it. */
  serve(pool: Pool): void {
    if (!this.#gate.isDraining) this.#placement.serve(pool);
  }

  /** Null: it waits, and the event `decided` tells what became of it. */
  admit(worker: number, request: AdmitRequest): Decision | null {
    return this.#decide(worker, request, (place) =>
      this.#pace.request(place, place, this.#gate.priorityOf(request)),
    );
  }

  /** The same for one that was refused with `backends_full`, and is not yet told so: it has had its turn. */
  admitBehindTurn(worker: number, request: AdmitRequest): Decision | null {
    return this.#decide(worker, request, () => "go");
  }

  /** What `admit` would say before it looks for a backend; nothing is taken. */
  foresee(request: AdmitRequest): Passage {
    return this.#gate.foresee(request);
  }

  /** Trades a grant whose dial failed for one on another backend; the failure stands where none is left. */
  exchange(worker: number, id: number, failure: ErrorCode): Decision {
    const place = this.#places.find(worker, id);
    if (place === undefined || this.#gate.isDraining || !this.#placement.exchange(place)) {
      return { refused: failure };
    }
    return { grant: this.#grant(place) };
  }

  /** The client has its 101. Returns the pool, or null where the grant is unknown. */
  open(worker: number, id: number): string | null {
    const place = this.#places.find(worker, id);
    if (place === undefined || place.slot === null || place.state !== "dialling") return null;
    place.state = "open";
    place.tried = NONE_TRIED;
    place.openedAtMs = this.#options.now();
    const { pool } = place.slot;
    pool.opened(place.slot);
    this.#open.of(place.request.tier, pool.name).count += 1;
    this.#tellBuckets(place);
    return pool.name;
  }

  /** A connection ends for its age. */
  aged(worker: number, id: number): void {
    const place = this.#places.find(worker, id);
    if (place !== undefined) this.#placement.aged(place);
  }

  /** Gives a grant back, or ends a wait; returns where it was, or null where it is unknown or had none. */
  release(worker: number, id: number): Slot | null {
    const place = this.#places.find(worker, id);
    if (place === undefined) {
      this.#replacements.giveUp(worker, id);
      return null;
    }
    const { slot, request } = place;
    if (slot === null) this.#pace.leave(place);
    else if (place.state !== "dialling") this.#open.of(request.tier, slot.pool.name).count -= 1;
    this.#placement.release(place);
    this.#holdings.release(place);
    const successor = this.#replacements.finish(place);
    if (successor !== null) this.#admitSuccessor(successor.worker, successor.request);
    return slot;
  }

  /** Gives back all that a dead worker held or waited for; returns how many places that were. */
  releaseWorker(worker: number): number {
    this.requests.forget(worker);
    this.#replacements.forgetWorker(worker);
    const places = this.#places.ofWorker(worker);
    for (const { request } of places) this.release(worker, request.id);
    return places.length;
  }

  /** Who holds this place; undefined where it is unknown. */
  find(worker: number, id: number): AdmitRequest | undefined {
    return this.#places.find(worker, id)?.request;
  }

  /** Where the user's open connections are. */
  connectionsOf(user: string): { readonly worker: number; readonly id: number }[] {
    return this.#places.ofUser(user).map(({ worker, request }) => ({ worker, id: request.id }));
  }

  /** Called now and then: forgets bans that are over and buckets that are full again. */
  sweep(): void {
    this.bans.sweep(this.#options.now());
    this.#replacements.sweep(this.#options.now());
    this.#options.buckets.sweep();
  }

  stop(): void {
    this.#pace.stop();
  }

  #decide(
    worker: number,
    request: AdmitRequest,
    turnOf: (place: Place) => ReturnType<UpgradePace<Place, Place>["request"]>,
  ): Decision | null {
    const { refusal, replacesStalest } = this.foresee(request);
    if (refusal !== null) return { refused: refusal };
    if (request.kind === "request") return this.#admitRequest(request);
    if (replacesStalest) return this.#replaceStalest(worker, request) ? null : { refused: "user_full" };
    // The slot is taken before the wait and the dial: two upgrades that race would else both see it free.
    const place = this.#holdings.acquire(worker, request);
    const turn = turnOf(place);
    if (turn === "waiting") return null;
    return turn === "go" ? this.#assign(place) : this.#refuse(place, "upgrade_limited");
  }

  /** Whether a connection of the user makes room; the upgrade waits until it is gone. */
  #replaceStalest(worker: number, request: AdmitRequest): boolean {
    const places = this.#places.ofUser(request.user);
    const leaving = this.#replacements.begin(places, { worker, request }, this.#options.now());
    if (leaving === null) return false;
    this.#options.events.replaced(leaving.worker, leaving.request.id);
    return true;
  }

  #admitSuccessor(worker: number, request: AdmitRequest): void {
    const decision = this.admit(worker, request);
    if (decision !== null) this.#options.events.decided(worker, request.id, decision);
  }

  #admitRequest(request: AdmitRequest): Decision {
    // One that goes on to another backend was let in already.
    const isNew = request.tried.length === 0;
    if (isNew && !this.#options.buckets.takeRequest(request)) return { refused: "request_limited" };
    const pool = this.#options.pools.find(request.pool);
    const backend = pool?.pickForRequest(request) ?? "no_backend";
    if (pool === undefined || typeof backend === "string") return { refused: "no_backend" };
    return { grant: grantOfRequest(request, { pool, backend }, this.#options.counters) };
  }

  /** Null: it waits for a slot. */
  #assign(place: Place): Decision | null {
    const outcome = this.#placement.assign(place, this.#gate.priorityOf(place.request));
    if (outcome === "waiting") return null;
    return outcome === "placed" ? { grant: this.#grant(place) } : this.#refuse(place, outcome);
  }

  #refuse(place: Place, refused: ErrorCode): Decision {
    this.#holdings.release(place);
    return { refused };
  }

  /** Before it is open, its thread knows no connection that could spend from others than its grant says. */
  #tellBuckets(place: Place): void {
    const { worker, request, buckets, state } = place;
    if (buckets === place.knownBuckets || state === "waiting" || state === "dialling") return;
    place.knownBuckets = buckets;
    this.#options.events.bucketsChanged(worker, request.id, buckets);
  }

  #tell({ worker, request }: Place, decision: Decision): void {
    this.#options.events.decided(worker, request.id, decision);
  }

  #grant(place: Place): Grant {
    place.knownBuckets = place.buckets;
    return grantOf(place, this.#options.counters);
  }
}
