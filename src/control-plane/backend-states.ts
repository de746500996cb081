// Every change of a backend's state, and what follows from it: a log line with the reason, its
// connections sent away or kept, a slow start, waiting upgrades served.

import type { PoolConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { FailureKind } from "../shared-memory/channel.ts";
import type { Backend, OperatorState } from "./backend.ts";
import type { Departures } from "./departures.ts";
import { FailureWindow, mayEject } from "./outlier.ts";
import type { Place } from "./places.ts";
import type { Pool, PoolChanges } from "./pool.ts";

/** What an operator sets; a key left out stays as it is, null brings back what the configuration says. */
export interface HandSettings {
  readonly state?: OperatorState | undefined;
  readonly weight?: number | null | undefined;
  readonly capacity?: number | null | undefined;
}

interface BackendStatesOptions {
  readonly log: Log;
  /** Milliseconds on the shared clock. */
  readonly now: () => number;
  readonly departures: Departures<Place>;
  /** A backend that may be given work came back, or has room again. */
  readonly onRoom: (pool: Pool) => void;
}

export class BackendStates {
  readonly #options: BackendStatesOptions;
  readonly #windows = new WeakMap<Backend, FailureWindow>();
  readonly #ejections = new Map<Backend, NodeJS.Timeout>();
  /** Pools without a backend that may be given work. */
  readonly #deserted = new WeakSet<Pool>();

  constructor(options: BackendStatesOptions) {
    this.#options = options;
  }

  /** What the active checks have found; called for the first result, and for each change. */
  observe(pool: Pool, backend: Backend, isUp: boolean, reason: string): void {
    if (backend.isUp === isUp) return;
    backend.isUp = isUp;
    const facts = { pool: pool.name, backend: backend.id, reason };
    if (isUp) {
      this.#options.log.info("backend up", facts);
      this.#onBack(pool, backend);
      return;
    }
    this.#options.log.warn("backend down", facts);
    this.#onAway(pool);
    if (pool.config.onUnhealthy === "close") {
      this.#options.departures.begin(backend, { reason: "backend_lost", graceMs: 0, spreadMs: 0 });
    }
  }

  /** An active check passed after one that failed: what ejected the backend is over. */
  recovered(pool: Pool, backend: Backend): void {
    this.#endEjection(pool, backend, "its check passes again");
  }

  /** Counts a failure that real traffic met, and ejects the backend where it is one too many. */
  failed(pool: Pool, backend: Backend, kind: FailureKind, network: string): void {
    backend.failures[kind] += 1;
    const config = pool.config.outlier;
    if (config === null || backend.isEjected) return;
    const window = this.#windowOf(backend);
    const nowMs = this.#options.now();
    if (!window.record({ kind, network, nowMs, connections: backend.connections, config })) return;
    if (!mayEject(backend, pool.backends)) return;
    this.#eject(pool, backend, kind, window.eject(config, nowMs));
  }

  set(pool: Pool, backend: Backend, settings: HandSettings): void {
    const before = backend.operatorState;
    backend.operatorState = settings.state ?? before;
    if (settings.weight !== undefined) backend.weightSet = settings.weight;
    if (settings.capacity !== undefined) backend.capacitySet = settings.capacity;
    this.#options.log.info("backend set by hand", {
      pool: pool.name,
      backend: backend.id,
      state: backend.operatorState,
      weight: backend.weight,
      capacity: Number.isFinite(backend.capacity) ? backend.capacity : null,
    });
    if (backend.operatorState === before) {
      pool.refresh();
      this.#options.onRoom(pool);
    } else if (backend.operatorState === "active") {
      this.#onBack(pool, backend);
    } else {
      this.#onAway(pool);
      this.#sendAway(backend, backend.operatorState === "down" ? AT_ONCE : pool.config.onRemove);
    }
  }

  /** A reload, or the resolution of a name, has changed the list. */
  listChanged(pool: Pool, { added, removed, returned }: PoolChanges): void {
    for (const backend of removed) {
      const { id, connections } = backend;
      this.#options.log.info("backend removed", { pool: pool.name, backend: id, connections });
      this.#clearEjection(backend);
      this.#sendAway(backend, pool.config.onRemove);
    }
    for (const backend of added) {
      this.#options.log.info("backend added", { pool: pool.name, backend: backend.id });
      this.#onBack(pool, backend);
    }
    for (const backend of returned) {
      this.#options.log.info("backend listed again", { pool: pool.name, backend: backend.id });
      if (backend.operatorState === "active") this.#onBack(pool, backend);
    }
    // A pool that the configuration does not name any more is to have none.
    if (removed.length > 0 && pool.isListed) this.#onAway(pool);
    else this.#refresh(pool);
    this.#options.onRoom(pool);
  }

  stop(): void {
    for (const timer of this.#ejections.values()) clearTimeout(timer);
    this.#ejections.clear();
  }

  #eject(pool: Pool, backend: Backend, kind: FailureKind, ejectMs: number): void {
    backend.isEjected = true;
    this.#options.log.warn("backend ejected", {
      pool: pool.name,
      backend: backend.id,
      reason: kind,
      ejectMs,
    });
    this.#onAway(pool);
    const timer = setTimeout(() => this.#endEjection(pool, backend, "its time is over"), ejectMs);
    this.#ejections.set(backend, timer);
  }

  #endEjection(pool: Pool, backend: Backend, reason: string): void {
    if (!backend.isEjected) return;
    this.#clearEjection(backend);
    this.#windowOf(backend).readmit(this.#options.now());
    this.#options.log.info("backend no longer ejected", { pool: pool.name, backend: backend.id, reason });
    this.#onBack(pool, backend);
  }

  #clearEjection(backend: Backend): void {
    backend.isEjected = false;
    clearTimeout(this.#ejections.get(backend));
    this.#ejections.delete(backend);
  }

  #onBack(pool: Pool, backend: Backend): void {
    this.#refresh(pool);
    const isWanted = backend.isListed && backend.operatorState === "active";
    // One that fails its checks may be left for that: `onUnhealthy: close`.
    const isLeft = !backend.isUp && pool.config.onUnhealthy === "close";
    if (isWanted && !isLeft) this.#options.departures.cancel(backend);
    if (!backend.isReady) return;
    if (pool.config.slowStart !== null) backend.slowSinceMs = this.#options.now();
    if (this.#deserted.delete(pool)) this.#options.log.info("pool has a backend again", { pool: pool.name });
    this.#options.onRoom(pool);
  }

  #onAway(pool: Pool): void {
    this.#refresh(pool);
    if (pool.ready.length > 0 || this.#deserted.has(pool)) return;
    this.#deserted.add(pool);
    this.#options.log.error("pool has no backend left that may be given work", { pool: pool.name });
  }

  /** An ejection is a doubt: where nobody else is left any more, it is over. */
  #refresh(pool: Pool): void {
    pool.refresh();
    if (pool.ready.length > 0) return;
    for (const backend of pool.backends) {
      const { isEjected, isListed, operatorState, isUp } = backend;
      if (!isEjected || !isListed || operatorState !== "active" || !isUp) continue;
      this.#endEjection(pool, backend, "no other backend is left");
    }
  }

  #sendAway(backend: Backend, { mode, grace, spread }: PoolConfig["onRemove"]): void {
    if (mode === "keep") return;
    const [graceMs, spreadMs] = mode === "close" ? [0, 0] : [grace, spread];
    this.#options.departures.begin(backend, { reason: "backend_draining", graceMs, spreadMs });
  }

  #windowOf(backend: Backend): FailureWindow {
    let window = this.#windows.get(backend);
    if (window === undefined) this.#windows.set(backend, (window = new FailureWindow()));
    return window;
  }
}

const AT_ONCE: PoolConfig["onRemove"] = { mode: "close", grace: 0, spread: 0 };
