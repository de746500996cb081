// The backends of all pools and everything that changes their state: the configuration, the resolution
// of their names, active checks, what real traffic sees, and the operator's hand.

import { readFileSync } from "node:fs";
import type { Config, PoolConfig } from "../config/schema.ts";
import type { ReadFile } from "../config/tls-files.ts";
import type { Log } from "../log.ts";
import type { CloseOrder, FailureKind, RoundTrips } from "../shared-memory/channel.ts";
import type { Backend, OperatorState } from "./backend.ts";
import { BackendStates, type HandSettings } from "./backend-states.ts";
import { Departures } from "./departures.ts";
import { HealthMonitor, type HealthTarget } from "./health/monitor.ts";
import { NameResolver } from "./names.ts";
import type { Place } from "./places.ts";
import type { Pool, Slot } from "./pool.ts";
import { Pools } from "./pools.ts";
import { Rebalancer } from "./rebalancer.ts";

/** What an operator has set of a backend, in whole. */
interface HandSet extends Required<HandSettings> {
  readonly pool: string;
  readonly id: string;
  readonly state: OperatorState;
  readonly weight: number | null;
  readonly capacity: number | null;
}

/** One that a reload would take away. */
export interface DepartingBackend {
  readonly pool: string;
  readonly backend: string;
  readonly connections: number;
  readonly mode: PoolConfig["onRemove"]["mode"];
  readonly graceMs: number;
  readonly spreadMs: number;
}

interface FleetOptions {
  readonly log: Log;
  /** Milliseconds on the shared clock. */
  readonly now: () => number;
  /** Open connections of a backend. */
  readonly openOn: (backend: Backend) => readonly Place[];
  readonly close: (place: Place, reason: CloseOrder) => void;
  /** A pool may have room for who waits. */
  readonly onRoom: (pool: Pool) => void;
}

export class Fleet {
  readonly pools: Pools;
  readonly #now: () => number;
  readonly #names: NameResolver;
  readonly #health: HealthMonitor;
  readonly #departures: Departures<Place>;
  readonly #states: BackendStates;
  readonly #rebalancer: Rebalancer;
  /** From before a restart, for backends that are not there (yet), by pool and id. */
  readonly #awaited = new Map<string, HandSet>();
  #config: Config | null = null;
  #readFile: ReadFile = readFileSync;
  #isFirstRoundOver = false;

  constructor(options: FleetOptions) {
    const { log, now, openOn, close } = options;
    this.#now = now;
    this.pools = new Pools(now);
    this.#departures = new Departures({ openOn, close, now });
    this.#states = new BackendStates({ log, now, departures: this.#departures, onRoom: options.onRoom });
    this.#rebalancer = new Rebalancer({ openOn, close });
    this.#names = new NameResolver({ log, onChange: () => this.#refresh() });
    this.#health = new HealthMonitor({
      now,
      onChange: (poolName, id, isUp, reason) => {
        const found = this.find(poolName, id);
        if (found !== undefined) this.#states.observe(found.pool, found.backend, isUp, reason);
      },
      onRecovery: (poolName, id) => {
        const found = this.find(poolName, id);
        if (found !== undefined) this.#states.recovered(found.pool, found.backend);
      },
    });
  }

  /** Each backend's name was looked up and its first check is over. Stays true: a reload unsettles nobody. */
  get isFirstRoundOver(): boolean {
    this.#isFirstRoundOver ||= this.#names.isFirstRoundOver && this.#health.isFirstRoundOver;
    return this.#isFirstRoundOver;
  }

  /** @param readFile what certificates of backends are read with; the file system unless given */
  configure(config: Config, readFile: ReadFile = readFileSync): void {
    this.#config = config;
    this.#readFile = readFile;
    this.#names.configure(config);
    this.#refresh();
  }

  /** The backends that this list of pools would take away at this moment, and how their connections would go. */
  departuresUnder(pools: Config["pools"]): DepartingBackend[] {
    const departing: DepartingBackend[] = [];
    for (const pool of this.pools.all) {
      const next = pools[pool.name];
      const staying = new Set(this.#names.specsFor(next?.backends ?? []).map(({ id }) => id));
      const { mode, grace: graceMs, spread: spreadMs } = next?.onRemove ?? pool.config.onRemove;
      for (const { id, connections, isListed } of pool.backends) {
        if (!isListed || staying.has(id)) continue;
        departing.push({ pool: pool.name, backend: id, connections, mode, graceMs, spreadMs });
      }
    }
    return departing;
  }

  /** Undefined where there is no such backend. */
  find(poolName: string, id: string): { pool: Pool; backend: Backend } | undefined {
    const pool = this.pools.find(poolName);
    const backend = pool?.find(id);
    return pool === undefined || backend === undefined ? undefined : { pool, backend };
  }

  /** What an operator decides; it holds until changed again, also over reloads. */
  set(poolName: string, id: string, settings: HandSettings): Backend | undefined {
    const found = this.find(poolName, id);
    if (found !== undefined) this.#states.set(found.pool, found.backend, settings);
    return found?.backend;
  }

  /** What is set by hand, also of backends that are not there at the moment. */
  *handSettings(): Iterable<HandSet> {
    for (const pool of this.pools.all) {
      for (const { id, operatorState: state, weightSet: weight, capacitySet: capacity } of pool.backends) {
        if (state === "active" && weight === null && capacity === null) continue;
        yield { pool: pool.name, id, state, weight, capacity };
      }
    }
    yield* this.#awaited.values();
  }

  /** What was set before a restart; where a backend comes later, as one of a name does, it gets it then. */
  restore(settings: Iterable<HandSet>): void {
    for (const one of settings) this.#awaited.set(`${one.pool}\n${one.id}`, one);
    this.#setAwaited();
  }

  /** A dial failed, and the backend is to blame. */
  failed(poolName: string, id: string, kind: FailureKind, network: string): void {
    const found = this.find(poolName, id);
    if (found !== undefined) this.#states.failed(found.pool, found.backend, kind, network);
  }

  /** An open connection ended without a Close of the backend. */
  lost({ pool, backend }: Slot, network: string): void {
    this.#states.failed(pool, backend, "lost", network);
  }

  /** Weir's pings were answered. */
  answered(roundTrips: readonly RoundTrips[]): void {
    for (const { pool, backend, side, roundTripsMs } of roundTrips) {
      if (side === "backend") this.find(pool, backend)?.backend.noteRoundTrips(roundTripsMs);
    }
  }

  /** Called now and then. */
  sweep(): void {
    const nowMs = this.#now();
    for (const pool of this.pools.all) {
      pool.affinity.sweep(nowMs, AFFINITY_SWEEP_STEPS);
      this.#rebalancer.advance(pool, nowMs);
      // Without upgrades nobody else would see that a slow start is over.
      for (const backend of pool.backends) backend.effectiveWeight(nowMs, pool.config.slowStart);
    }
  }

  stop(): void {
    this.#names.stop();
    this.#health.stop();
    this.#states.stop();
    this.#departures.stop();
  }

  #refresh(): void {
    const config = this.#config;
    if (config === null) return;
    const isFirst = [...this.pools.all].length === 0;
    const changes = this.pools.configure(config, (pool) => this.#names.specsOf(pool));
    for (const [pool, change] of changes) {
      if (isFirst) continue;
      this.#states.listChanged(pool, change);
    }
    this.#setAwaited();
    this.#health.configure(this.#targets(config), this.#readFile);
  }

  #setAwaited(): void {
    for (const [key, { pool, id, ...settings }] of this.#awaited) {
      if (this.set(pool, id, settings) !== undefined) this.#awaited.delete(key);
    }
  }

  #targets(config: Config): HealthTarget[] {
    const targets: HealthTarget[] = [];
    for (const pool of this.pools.all) {
      const check = config.pools[pool.name]?.healthCheck ?? null;
      for (const { isListed, spec } of pool.backends) {
        if (isListed) targets.push({ pool: pool.name, check, ...spec });
      }
    }
    return targets;
  }
}

/** Affinity entries that one sweep looks at. */
const AFFINITY_SWEEP_STEPS = 5_000;
