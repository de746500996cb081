// `/api/pools`: the pools with their backends, and what an operator sets of a backend by hand.

import { z } from "zod";
import type { Backend, OperatorState } from "../../control-plane/backend.ts";
import type { Fleet } from "../../control-plane/fleet.ts";
import type { Pool } from "../../control-plane/pool.ts";
import type { FailureKind } from "../../shared-memory/channel.ts";
import { checked } from "./checked.ts";
import { ApiError, durationOf, type ApiAnswer, type ApiRequest, type Endpoint } from "./endpoint.ts";

export interface PoolSources {
  readonly fleet: Pick<Fleet, "pools" | "find" | "set">;
  /** Upgrades that wait, by queue. */
  readonly waiting: () => readonly { queue: string; length: number }[];
}

interface BackendName {
  readonly pool: string;
  readonly id: string;
}

export interface PoolView {
  readonly name: string;
  readonly balance: string;
  readonly affinity: { readonly by: string; readonly entries: number };
  /** Upgrades that wait for a slot. */
  readonly waiting: number;
  readonly backends: readonly BackendView[];
}

interface BackendView {
  readonly id: string;
  readonly url: string;
  /** What the operator decides. */
  readonly state: OperatorState;
  /** What the health checks say. */
  readonly up: boolean;
  readonly ejected: boolean;
  /** False once the configuration no longer names it. */
  readonly listed: boolean;
  readonly connections: number;
  readonly capacity: number | null;
  readonly weight: number;
  readonly failures: Readonly<Record<FailureKind, number>>;
  /** Of Weir's last pings; null before the first answer. */
  readonly roundTripMs: number | null;
}

/** How often `?wait=` looks whether the backend is empty. */
const WAIT_POLL_MS = 50;

const handSettings = z.strictObject({
  state: z.enum(["active", "draining", "down"]).optional(),
  weight: z.int().min(1).max(1000).nullable().optional(),
  capacity: z.int().min(1).max(10_000_000).nullable().optional(),
});

export function poolEndpoints(sources: PoolSources): Endpoint[] {
  return [
    {
      method: "GET",
      path: "/api/pools",
      answer: () => ({ status: 200, body: { pools: poolsOf(sources) } }),
    },
    {
      method: "GET",
      path: "/api/pools/:pool/backends/:id",
      answer: (request, names) => getBackend(request, sources, { pool: names("pool"), id: names("id") }),
    },
    {
      method: "PUT",
      path: "/api/pools/:pool/backends/:id",
      answer: (request, names) => setBackend(request, sources, { pool: names("pool"), id: names("id") }),
    },
  ];
}

export function poolsOf({ fleet, waiting }: PoolSources): PoolView[] {
  const queues = waiting();
  return Array.from(fleet.pools.all, (pool) => poolOf(pool, queues));
}

async function getBackend(
  { url, signal }: ApiRequest,
  { fleet }: PoolSources,
  { pool, id }: BackendName,
): Promise<ApiAnswer> {
  const backend = fleet.find(pool, id)?.backend;
  if (backend === undefined) throw new ApiError(404, "not_found", "no such pool or backend");
  const waitMs = durationOf(url, "wait");
  if (waitMs !== null) await untilEmpty(backend, waitMs, signal);
  return { status: 200, body: backendOf(backend) };
}

async function setBackend(
  { url, body, signal }: ApiRequest,
  { fleet }: PoolSources,
  name: BackendName,
): Promise<ApiAnswer> {
  if (fleet.find(name.pool, name.id) === undefined) {
    throw new ApiError(404, "not_found", "no such pool or backend");
  }
  const waitMs = durationOf(url, "wait");
  const settings = checked(handSettings, (await body()) ?? {});
  const backend = fleet.set(name.pool, name.id, settings);
  if (backend === undefined) throw new ApiError(404, "not_found", "no such pool or backend");
  if (waitMs !== null) await untilEmpty(backend, waitMs, signal);
  return { status: 200, body: backendOf(backend) };
}

function poolOf(pool: Pool, queues: ReturnType<PoolSources["waiting"]>): PoolView {
  const queue = `pool:${pool.name}`;
  return {
    name: pool.name,
    balance: pool.config.balance,
    affinity: { by: pool.config.affinity.by, entries: pool.affinity.size },
    waiting: queues.find((one) => one.queue === queue)?.length ?? 0,
    backends: Array.from(pool.backends, backendOf),
  };
}

function backendOf(backend: Backend): BackendView {
  return {
    id: backend.id,
    url: backend.config.url,
    state: backend.operatorState,
    up: backend.isUp,
    ejected: backend.isEjected,
    listed: backend.isListed,
    connections: backend.connections,
    capacity: Number.isFinite(backend.capacity) ? backend.capacity : null,
    weight: backend.weight,
    failures: backend.failures,
    roundTripMs: backend.roundTripMs,
  };
}

/** Resolves when it has no connection any more, when the time is over, or when nobody waits any longer. */
async function untilEmpty(backend: Backend, waitMs: number, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + waitMs;
  while (backend.connections > 0 && performance.now() < deadlineMs && !signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, WAIT_POLL_MS));
  }
}
