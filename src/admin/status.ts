// Weir in figures at one moment: what `/api/status` answers, and the stream sends each second.

import type { Config } from "../config/schema.ts";
import type { Admission } from "../control-plane/admission.ts";
import type { HealthState } from "../control-plane/alerts/health.ts";
import type { Figures } from "../control-plane/alerts/vitals.ts";
import type { LastReload } from "../reloader.ts";
import type { PoolView } from "./api/pools.ts";
import type { Traffic } from "./traffic.ts";

export interface Status {
  readonly version: string;
  /** ISO 8601, as all times here. */
  readonly time: string;
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly ready: boolean;
  readonly draining: boolean;
  readonly health: HealthState;
  /** `limit` is `limits.maxConnections`. */
  readonly connections: { readonly open: number; readonly limit: number };
  readonly tiers: readonly {
    readonly name: string;
    readonly open: number;
    readonly limit: number | null;
    readonly priority: string;
    readonly default: boolean;
  }[];
  readonly pools: readonly PoolView[];
  /** Upgrades that wait: `upgrades` for their turn, `pool:NAME` for a slot. */
  readonly queues: readonly { readonly queue: string; readonly length: number }[];
  readonly totals: Traffic;
  readonly perSecond: Traffic;
  readonly upgrades: { readonly accepted: number; readonly refused: number };
  /** Share, 0 to 1, of the upgrades in the alert window that failed by the backends' or Weir's own fault. */
  readonly errorRate: number;
  readonly roundTripMs: { readonly client: Percentiles; readonly backend: Percentiles };
  readonly memory: { readonly rssBytes: number; readonly limitBytes: number };
  /** The 99th percentile of the last seconds. */
  readonly eventLoopDelayMs: { readonly main: number; readonly workers: readonly number[] };
  readonly threads: { readonly count: number; readonly restarts: number };
  readonly users: { readonly known: number; readonly banned: number };
  readonly config: { readonly lastReload: { readonly successful: boolean; readonly at: string } };
  readonly tap: { readonly listeners: number };
}

interface Percentiles {
  readonly p50: number | null;
  readonly p99: number | null;
}

export interface StatusSources {
  readonly version: string;
  readonly startedAtMs: number;
  readonly config: () => Config;
  readonly admission: Pick<Admission, "openConnections" | "caps" | "users" | "bans" | "waiting">;
  readonly pools: () => readonly PoolView[];
  readonly traffic: { readonly totals: Traffic; readonly perSecond: Traffic };
  readonly upgrades: { readonly accepted: number; readonly refused: number };
  readonly threads: { readonly size: number; readonly restarts: number };
  readonly vitals: { readonly current: Figures };
  readonly health: { readonly current: HealthState };
  readonly isReady: () => boolean;
  readonly isDraining: () => boolean;
  readonly lastReload: () => LastReload;
  readonly tapListeners: () => number;
}

export function statusOf(sources: StatusSources): Status {
  const { admission, traffic, threads, upgrades, startedAtMs } = sources;
  const { errorRate, roundTripMs, memory, eventLoopDelayMs } = sources.vitals.current;
  const nowMs = Date.now();
  const { successful, atMs } = sources.lastReload();
  const openByTier = countByTier(admission.openConnections);
  const open = [...openByTier.values()].reduce((sum, count) => sum + count, 0);
  return {
    version: sources.version,
    time: new Date(nowMs).toISOString(),
    startedAt: new Date(startedAtMs).toISOString(),
    uptimeSeconds: Math.floor((nowMs - startedAtMs) / 1_000),
    ready: sources.isReady(),
    draining: sources.isDraining(),
    health: sources.health.current,
    connections: { open, limit: admission.caps.maxConnections },
    tiers: Object.entries(sources.config().tiers).map(([name, tier]) => ({
      name,
      open: openByTier.get(name) ?? 0,
      limit: tier.maxConnections,
      priority: tier.priority,
      default: tier.default,
    })),
    pools: sources.pools(),
    queues: admission.waiting,
    totals: traffic.totals,
    perSecond: traffic.perSecond,
    upgrades: { accepted: upgrades.accepted, refused: upgrades.refused },
    errorRate,
    roundTripMs,
    memory: { rssBytes: memory.rssBytes, limitBytes: memory.limitBytes },
    eventLoopDelayMs,
    threads: { count: threads.size, restarts: threads.restarts },
    users: { known: admission.users, banned: admission.bans.size },
    config: { lastReload: { successful, at: new Date(atMs).toISOString() } },
    tap: { listeners: sources.tapListeners() },
  };
}

function countByTier(openConnections: Admission["openConnections"]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { tier, count } of openConnections) counts.set(tier, (counts.get(tier) ?? 0) + count);
  return counts;
}
