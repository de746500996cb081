// What would become of a request that asks to be let in, and by which limits it would live: asked of the same
// caps, bans and pools that decide it, without taking anything from them.

import type { Config, PoolConfig } from "../config/schema.ts";
import type { ErrorCode } from "../errors.ts";
import type { AdmitRequest } from "../shared-memory/channel.ts";
import type { Admission } from "./admission.ts";
import type { Obstacle } from "./backend.ts";
import type { Pool } from "./pool.ts";

export interface Foresight {
  /** Null where it would be let in, or would have to wait. */
  readonly refusal: ErrorCode | null;
  readonly limits: ForeseenLimits;
  /** Null where the pool is gone. */
  readonly pool: ForeseenPool | null;
}

interface Rate {
  readonly ratePerSecond: number;
  readonly burst: number;
}

interface ForeseenLimits {
  readonly connections: Cap;
  readonly tier: Cap;
  readonly user: Cap;
  /** Another connection of the user's would make room. */
  readonly replacesStalest: boolean;
  readonly messages: readonly (Rate & { readonly of: "tier" | "route" })[];
  readonly bytes: Rate | null;
  /** What happens to a message above its rate. */
  readonly onExceed: string;
  readonly maxDelayMs: number;
  readonly maxMessageBytes: number | null;
  readonly controlFrames: Rate | null;
  /** Plain requests of the user on the route. */
  readonly requests: Rate | null;
}

interface Cap {
  readonly open: number;
  readonly limit: number | null;
}

interface ForeseenPool {
  readonly name: string;
  readonly balance: PoolConfig["balance"];
  readonly affinity: "user" | "cookie" | "none";
  /** Why its user has no affinity although the pool has; null where it has. */
  readonly noAffinity: string | null;
  /** Where it belongs by affinity; null where nothing is known of it. */
  readonly own: string | null;
  /** The backend that it would get; null where `balance` draws one of several, or where there is none. */
  readonly choice: string | null;
  readonly backends: readonly {
    readonly id: string;
    readonly obstacle: Obstacle | null;
    readonly connections: number;
    readonly capacity: number | null;
    readonly weight: number;
  }[];
  /** Upgrades that wait for room; null without a queue. */
  readonly queue: { readonly waiting: number; readonly size: number } | null;
}

export function foresee(config: Config, admission: Admission, request: AdmitRequest): Foresight {
  const pool = [...admission.pools].find(({ name }) => name === request.pool) ?? null;
  const { refusal, replacesStalest } = admission.foresee(request);
  const foreseen = pool === null ? null : foreseePool(pool, request, admission);
  return {
    refusal: refusal ?? (foreseen === null ? "no_backend" : refusalOfPool(foreseen)),
    limits: { ...limitsOf(config, admission, request), replacesStalest },
    pool: foreseen,
  };
}

/** None where it may wait. */
function refusalOfPool({ backends, queue }: ForeseenPool): ErrorCode | null {
  if (backends.some(({ obstacle }) => obstacle === null)) return null;
  if (!backends.some(({ obstacle }) => obstacle === "full")) return "no_backend";
  return queue !== null && queue.waiting < queue.size ? null : "backends_full";
}

function foreseePool(pool: Pool, request: AdmitRequest, admission: Admission): ForeseenPool {
  const { name, config } = pool;
  const { own, balance, choice, candidates } = pool.foresee(request);
  const waiting = admission.waiting.find(({ queue }) => queue === `pool:${name}`)?.length ?? 0;
  return {
    name,
    balance,
    affinity: config.affinity.by,
    noAffinity: pool.deniesAffinity(request) ? "its address may be that of many" : null,
    own: own?.id ?? null,
    choice: choice?.id ?? null,
    backends: candidates.map(({ backend, obstacle }) => ({
      id: backend.id,
      obstacle,
      connections: backend.connections,
      capacity: Number.isFinite(backend.capacity) ? backend.capacity : null,
      weight: backend.weight,
    })),
    queue: config.queue === null ? null : { waiting, size: config.queue.size },
  };
}

function limitsOf(
  config: Config,
  admission: Admission,
  { tier: name, route: id, user }: AdmitRequest,
): Omit<ForeseenLimits, "replacesStalest"> {
  const tier = config.tiers[name];
  const route = config.routes.find((one) => one.id === id);
  const { maxMessageSize, controlFrames, onExceed, maxDelay } = config.limits;
  return {
    connections: { open: admission.connections, limit: admission.caps.maxConnections },
    tier: { open: admission.caps.ofTier(name), limit: tier?.maxConnections ?? null },
    user: { open: admission.connectionsOf(user).length, limit: tier?.maxConnectionsPerUser ?? null },
    messages: [
      ...(tier?.messages ? [{ of: "tier" as const, ...rateOf(tier.messages) }] : []),
      ...(route?.messages ? [{ of: "route" as const, ...rateOf(route.messages) }] : []),
    ],
    bytes: tier?.bytes ? rateOf(tier.bytes) : null,
    onExceed: route?.messages?.onExceed ?? onExceed,
    maxDelayMs: maxDelay,
    maxMessageBytes: maxMessageSize,
    controlFrames: controlFrames && rateOf(controlFrames),
    requests: route?.requests ? rateOf(route.requests) : null,
  };
}

function rateOf({ rate, burst }: { readonly rate: number; readonly burst: number }): Rate {
  return { ratePerSecond: rate, burst };
}
