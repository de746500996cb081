// Active health checks: asks every backend, again and again, whether it is well, and tells its owner of
// the first result and of each change. It knows nothing of what follows from that.

import { readFileSync } from "node:fs";
import type tls from "node:tls";
import { SecureContexts } from "../../backend-tls.ts";
import type { BackendConfig } from "../../config/schema.ts";
import type { HealthCheckConfig } from "../../config/schema-health.ts";
import type { ReadFile } from "../../config/tls-files.ts";
import { Turnstile } from "../turnstile.ts";
import { runCheck } from "./check.ts";
import { type RunCheck, Watch, type WatchOwner } from "./watch.ts";

/** A backend that is to be watched. */
export interface HealthTarget {
  readonly pool: string;
  /** Unique in the pool. */
  readonly id: string;
  /** Null: it is not checked, and counts as up. */
  readonly check: HealthCheckConfig | null;
  readonly config: BackendConfig;
  /** IP addresses of its name, in the order to try; null: the system resolves it. */
  readonly addresses: readonly string[] | null;
}

interface HealthMonitorOptions {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** The first result of a backend, and each change; `reason` is what was wrong, or that all is well. */
  readonly onChange: (pool: string, id: string, isUp: boolean, reason: string) => void;
  /** A check passed after one that failed, be the backend still down or never down. */
  readonly onRecovery?: (pool: string, id: string) => void;
  readonly runCheck?: RunCheck;
  /** From 0 to 1. */
  readonly random?: () => number;
}

/** Checks in flight at most: each holds a socket. */
const MAX_IN_FLIGHT = 128;

/** First checks of many backends begin this far apart, on average, but all within a second. */
const FIRST_CHECK_SPACING_MS = 2;
const FIRST_CHECKS_WITHIN_MS = 1_000;

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #random: () => number;
  readonly #watches = new Map<string, Watch>();
  readonly #inFlight = new Turnstile<Watch>(MAX_IN_FLIGHT, (watch) => watch.run());
  readonly #owner: WatchOwner;
  readonly #secureContexts = new SecureContexts();
  #contexts: ReadonlyMap<BackendConfig, tls.SecureContext | Error> = new Map();
  #isConfigured = false;

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#owner = {
      runCheck: options.runCheck ?? runCheck,
      random: this.#random,
      now: options.now,
      onDue: (watch) => this.#inFlight.enter(watch),
      onDone: (watch) => this.#inFlight.leave(watch),
      onVerdict: ({ pool, id }, isUp, reason) => options.onChange(pool, id, isUp, reason),
      onRecovery: ({ pool, id }) => options.onRecovery?.(pool, id),
    };
  }

  /** Each backend that is watched has been checked once; false again where a new one has not. */
  get isFirstRoundOver(): boolean {
    if (!this.#isConfigured) return false;
    for (const watch of this.#watches.values()) if (!watch.isChecked) return false;
    return true;
  }

  /**
   * Watches these backends and no others. One that it knows keeps its state, and its place in time unless
   * its check is another one: that is begun at once, and goes by the thresholds.
   */
  configure(targets: readonly HealthTarget[], readFile: ReadFile = readFileSync): void {
    this.#isConfigured = true;
    this.#loadContexts(targets, readFile);
    const listed = new Set<string>();
    const starting: Watch[] = [];
    for (const target of targets) {
      const key = keyOf(target);
      listed.add(key);
      const watch = this.#watches.get(key);
      if (target.check === null) {
        this.#stopWatching(key, target);
        continue;
      }
      const { pool, id, check, config, addresses } = target;
      const secureContext = this.#contexts.get(config) ?? null;
      const checkTarget = { check, config, addresses, secureContext };
      if (watch === undefined) {
        const added = new Watch(this.#owner, { pool, id }, checkTarget);
        this.#watches.set(key, added);
        starting.push(added);
      } else if (watch.configure(checkTarget)) {
        starting.push(watch);
      }
    }
    for (const [key, watch] of this.#watches) {
      if (listed.has(key)) continue;
      this.#watches.delete(key);
      watch.stop();
    }
    const withinMs = Math.min(FIRST_CHECKS_WITHIN_MS, starting.length * FIRST_CHECK_SPACING_MS);
    for (const watch of starting) watch.start(this.#random() * withinMs);
  }

  stop(): void {
    for (const watch of this.#watches.values()) watch.stop();
    this.#watches.clear();
  }

  /** The backend is there, but not checked (any more): whatever was found of it before is void. */
  #stopWatching(key: string, { pool, id }: HealthTarget): void {
    this.#watches.get(key)?.stop();
    this.#watches.delete(key);
    this.#options.onChange(pool, id, true, "it is not checked");
  }

  /** Reads files only for backends that it does not know: their addresses may change at any time. */
  #loadContexts(targets: readonly HealthTarget[], readFile: ReadFile): void {
    const secure = targets.flatMap(({ config }) => (config.target.secure ? [config] : []));
    if (secure.every((config) => this.#contexts.has(config))) return;
    this.#contexts = this.#secureContexts.load(new Set(secure), readFile);
  }
}

function keyOf({ pool, id }: HealthTarget): string {
  return `${pool}\n${id}`;
}
