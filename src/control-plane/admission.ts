// Decides whether an upgrade may go ahead and where to: bans, caps, pace, then a backend. All of it runs
// on one thread, so that counts are exact without locks. What is granted here comes back here, once.

import type { Config } from "../config/schema.ts";
import type { ErrorCode } from "../errors.ts";
import type { Counters } from "../shared-memory/counters.ts";
import type { ActivityTable } from "../shared-memory/activity.ts";
import type { AdmitRequest, BucketCells, Grant } from "../shared-memory/channel.ts";
import type { Backend } from "./backend.ts";
import { Bans } from "./bans.ts";
import { Caps } from "./caps.ts";
import { OpenConnections } from "./open-connections.ts";
import { type Place, Places } from "./places.ts";
import { Pool } from "./pool.ts";
import { RequestCounts } from "./request-counts.ts";
import { Replacements } from "./replacements.ts";
import { UpgradePace } from "./upgrade-pace.ts";
import { NO_BUCKETS, type UserBuckets } from "./user-buckets.ts";

export type Decision = { readonly grant: Grant } | { readonly refused: ErrorCode };

interface AdmissionOptions {
  readonly config: Config;
  readonly counters: Counters;
  /** `limits.maxConnections` with `auto` resolved. */
  readonly maxConnections: number;
  /** Told what became of an upgrade that had to wait. */
  readonly onDecision: (worker: number, id: number, decision: Decision) => void;
  readonly buckets: UserBuckets;
  readonly activity: ActivityTable;
  /** Told that a connection has to make room for another one of its user. */
  readonly onReplaced: (worker: number, id: number) => void;
  /** Told that a connection spends from other buckets than its grant says. */
  readonly onBuckets: (worker: number, id: number, buckets: BucketCells) => void;
  /** Told how long an upgrade has waited for its turn. */
  readonly onWaited: (waitedMs: number) => void;
  /** Milliseconds on the clock that all threads share. */
  readonly now: () => number;
}

export class Admission {
  readonly bans = new Bans();
  readonly requests = new RequestCounts();
  readonly #options: AdmissionOptions;
  readonly #caps: Caps;
  readonly #pace: UpgradePace<Place, Place>;
  readonly #pools = new Map<string, Pool>();
  readonly #places = new Places();
  readonly #replacements: Replacements;
  readonly #open = new OpenConnections();
  #tiers: Config["tiers"];
  #isDraining = false;

  constructor(options: AdmissionOptions) {
    const { config, maxConnections, now } = options;
    this.#options = options;
    this.#tiers = config.tiers;
    this.#replacements = new Replacements((place) =>
      options.activity.silenceMs(place.activityCell, options.now()),
    );
    this.#caps = new Caps({ maxConnections, tiers: config.tiers });
    this.#pace = new UpgradePace(
      config.limits.upgrades,
      {
        onTurn: (place, waitedMs) => {
          options.onWaited(waitedMs);
          this.#tell(place, this.#assign(place));
        },
        onTimeout: (place) => this.#tell(place, this.#refuse(place, "upgrade_limited")),
      },
      now,
    );
    this.configure(config, maxConnections);
  }

  get pools(): Iterable<Pool> {
    return this.#pools.values();
  }

  get caps(): Pick<Caps, "maxConnections" | "all"> {
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

  /** Upgrades that wait for their turn. */
  get waiting(): number {
    return this.#pace.length;
  }

  /** Open connections by tier and pool; pairs stay listed at zero. */
  get openConnections(): Iterable<{ tier: string; pool: string; count: number }> {
    return this.#open.all;
  }

  configure(config: Config, maxConnections: number): void {
    this.#tiers = config.tiers;
    this.#caps.configure({ maxConnections, tiers: config.tiers });
    this.#pace.configure(config.limits.upgrades);
    for (const [name, pool] of this.#pools) {
      if (config.pools[name] === undefined) pool.configure(null);
      if (pool.isEmpty) this.#pools.delete(name);
    }
    for (const [name, poolConfig] of Object.entries(config.pools)) {
      const known = this.#pools.get(name);
      if (known === undefined) this.#pools.set(name, new Pool(name, poolConfig));
      else known.configure(poolConfig);
    }
    this.#options.buckets.configure(config);
    for (const place of this.#places.all) this.#updateBuckets(place);
    for (const tier of Object.keys(config.tiers)) {
      for (const pool of Object.keys(config.pools)) {
        this.#options.counters.slotOf(tier, pool);
        this.#open.of(tier, pool);
      }
    }
  }

  /** From now on every upgrade is refused with `draining`, those that wait included. */
  startDraining(): void {
    this.#isDraining = true;
    for (const place of this.#pace.clear()) this.#tell(place, this.#refuse(place, "draining"));
  }

  /** Null: it waits, and `onDecision` tells what became of it. */
  admit(worker: number, request: AdmitRequest): Decision | null {
    if (this.bans.isBanned(request.user, this.#options.now())) return { refused: "banned" };
    if (this.#isDraining) return { refused: "draining" };
    if (request.kind === "request") {
      const backend = this.#pools.get(request.pool)?.pickForRequest() ?? "no_backend";
      return typeof backend === "string"
        ? { refused: backend }
        : { grant: this.#grant(request, backend, null) };
    }
    const full = this.#caps.exceededBy(request.tier, request.user);
    if (full === "user_full" && this.#tiers[request.tier]?.userFull === "close-stalest") {
      return this.#replaceStalest(worker, request) ? null : { refused: full };
    }
    if (full !== null) return { refused: full };
    // The slot is taken before the wait and the dial: two upgrades that race would else both see it free.
    this.#caps.acquire(request.tier, request.user);
    const place: Place = {
      worker,
      request,
      tried: new Set(),
      activityCell: this.#options.activity.acquire(this.#options.now()),
      buckets: this.#options.buckets.acquire(request),
      state: "waiting",
      held: null,
    };
    this.#places.add(place);
    const priority = this.#tiers[request.tier]?.priority ?? "normal";
    const turn = this.#pace.request(place, place, priority);
    if (turn === "waiting") return null;
    return turn === "go" ? this.#assign(place) : this.#refuse(place, "upgrade_limited");
  }

  /** Trades a grant whose dial failed for one on another backend; the failure stands where none is left. */
  exchange(worker: number, id: number, failure: ErrorCode): Decision {
    const place = this.#places.find(worker, id);
    if (place === undefined || place.held === null) return { refused: failure };
    const { pool, backend } = place.held;
    const isLastTry = place.tried.size > pool.config.retries;
    const other = isLastTry || this.#isDraining ? null : pool.pick(place.tried);
    if (other === null || typeof other === "string") return { refused: failure };
    pool.release(backend);
    return { grant: this.#hold(place, pool, other) };
  }

  /** The client has its 101. Returns the pool, or null where the grant is unknown. */
  open(worker: number, id: number): string | null {
    const place = this.#places.find(worker, id);
    if (place === undefined || place.held === null || place.state !== "dialling") return null;
    place.state = "open";
    const pool = place.held.pool.name;
    this.#open.of(place.request.tier, pool).count += 1;
    return pool;
  }

  /** Gives a grant back, or ends a wait; returns the pool, or null where it is unknown or had none. */
  release(worker: number, id: number): string | null {
    const place = this.#places.find(worker, id);
    if (place === undefined) {
      this.#replacements.giveUp(worker, id);
      return null;
    }
    const { held, request } = place;
    if (held === null) this.#pace.leave(place);
    else {
      held.pool.release(held.backend);
      if (place.state !== "dialling") this.#open.of(request.tier, held.pool.name).count -= 1;
      if (held.pool.isEmpty) this.#pools.delete(held.pool.name);
    }
    this.#forget(place);
    const successor = this.#replacements.finish(place);
    if (successor !== null) this.#admitSuccessor(successor.worker, successor.request);
    return held?.pool.name ?? null;
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

  /** Whether a connection of the user makes room; the upgrade waits until it is gone. */
  #replaceStalest(worker: number, request: AdmitRequest): boolean {
    const places = this.#places.ofUser(request.user);
    const leaving = this.#replacements.begin(places, { worker, request }, this.#options.now());
    if (leaving === null) return false;
    this.#options.onReplaced(leaving.worker, leaving.request.id);
    return true;
  }

  #admitSuccessor(worker: number, request: AdmitRequest): void {
    const decision = this.admit(worker, request);
    if (decision !== null) this.#options.onDecision(worker, request.id, decision);
  }

  #assign(place: Place): Decision {
    const pool = this.#pools.get(place.request.pool);
    if (pool === undefined) return this.#refuse(place, "no_backend");
    const backend = pool.pick(place.tried);
    if (typeof backend === "string") return this.#refuse(place, backend);
    return { grant: this.#hold(place, pool, backend) };
  }

  #hold(place: Place, pool: Pool, backend: Backend): Grant {
    pool.acquire(backend);
    place.tried.add(backend.id);
    place.held = { pool, backend };
    place.state = "dialling";
    return this.#grant(place.request, backend, place);
  }

  #refuse(place: Place, refused: ErrorCode): Decision {
    this.#forget(place);
    return { refused };
  }

  #forget(place: Place): void {
    this.#caps.release(place.request.tier, place.request.user);
    this.#options.buckets.release(place.buckets);
    this.#options.activity.release(place.activityCell);
    this.#places.remove(place);
  }

  #updateBuckets(place: Place): void {
    const buckets = this.#options.buckets.acquire(place.request, place.buckets);
    if (buckets === place.buckets) return;
    place.buckets = buckets;
    this.#options.onBuckets(place.worker, place.request.id, buckets);
  }

  #tell({ worker, request }: Place, decision: Decision): void {
    this.#options.onDecision(worker, request.id, decision);
  }

  #grant(request: AdmitRequest, backend: Backend, place: Place | null): Grant {
    return {
      id: request.id,
      pool: backend.pool,
      backend: backend.id,
      counterSlot: this.#options.counters.slotOf(request.tier, backend.pool),
      buckets: place?.buckets ?? NO_BUCKETS,
      activityCell: place?.activityCell ?? null,
    };
  }
}
