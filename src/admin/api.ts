// The JSON API: which endpoint answers what. Bodies and queries are checked here; what they do is the
// control plane's.

import { z } from "zod";
import { formatProblem, type Problem } from "../config/problems.ts";
import { parseDuration, UnitError } from "../config/units.ts";
import type { Backend } from "../control-plane/backend.ts";
import type { Fleet } from "../control-plane/fleet.ts";
import type { Pool } from "../control-plane/pool.ts";
import type { Reloader } from "../reloader.ts";

export interface ApiSources {
  readonly fleet: Pick<Fleet, "pools" | "find" | "set">;
  /** Upgrades that wait, by queue. */
  readonly waiting: () => readonly { queue: string; length: number }[];
  /** Null where Weir was not started from a file. */
  readonly reloads: Pick<Reloader, "reload" | "dryRun"> | null;
  /** Begins the shutdown; once is as good as twice. */
  readonly drain: () => void;
}

export interface ApiRequest {
  readonly method: string;
  readonly url: URL;
  /** Undefined where there is none. Throws ApiError (400, 413) where it is not JSON or too large. */
  readonly body: () => Promise<unknown>;
  /** The client has gone. */
  readonly signal: AbortSignal;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** An answer that says what was wrong with the request. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** How often `?wait=` looks whether the backend is empty. */
const WAIT_POLL_MS = 50;

const handSettings = z.strictObject({
  state: z.enum(["active", "draining", "down"]).optional(),
  weight: z.int().min(1).max(1000).nullable().optional(),
  capacity: z.int().min(1).max(10_000_000).nullable().optional(),
});

/** Null where there is no such endpoint. Throws ApiError. */
export async function answerApi(request: ApiRequest, sources: ApiSources): Promise<ApiAnswer | null> {
  const segments = request.url.pathname.split("/").slice(1).map(decoded);
  const [api, kind, pool, backends, id] = segments;
  if (api !== "api") return null;
  if (kind === "reload" && segments.length === 2) {
    expectMethod(request, "POST");
    return await reload(request, sources);
  }
  if (kind === "drain" && segments.length === 2) {
    expectMethod(request, "POST");
    sources.drain();
    return { status: 202, body: { draining: true } };
  }
  if (kind !== "pools") return null;
  if (segments.length === 2) {
    expectMethod(request, "GET");
    return {
      status: 200,
      body: { pools: Array.from(sources.fleet.pools.all, (one) => poolOf(one, sources)) },
    };
  }
  if (segments.length !== 5 || backends !== "backends" || pool === undefined || id === undefined) return null;
  expectMethod(request, "PUT");
  return await setBackend(request, sources, { pool, id });
}

/** 422 where the file is not valid, 409 where there is none. What is asked for by hand is never held back. */
async function reload({ url }: ApiRequest, { reloads }: ApiSources): Promise<ApiAnswer> {
  if (reloads === null) throw new ApiError(409, "no_file", "there is no configuration file to read again");
  const isDry = ["1", "true"].includes(url.searchParams.get("dry") ?? "");
  const result = await (isDry ? reloads.dryRun() : reloads.reload());
  if (result.ok) {
    return { status: 200, body: { changes: result.changes, warnings: lines(result.warnings) } };
  }
  const message = "the configuration is not valid; nothing was changed";
  return { status: 422, body: { error: "invalid_config", message, errors: lines(result.errors) } };
}

function lines(problems: readonly Problem[]): string[] {
  return problems.map((problem) => formatProblem(problem));
}

async function setBackend(
  { url, body, signal }: ApiRequest,
  { fleet }: ApiSources,
  name: { readonly pool: string; readonly id: string },
): Promise<ApiAnswer> {
  if (fleet.find(name.pool, name.id) === undefined) {
    throw new ApiError(404, "not_found", "no such pool or backend");
  }
  const waitMs = durationOf(url, "wait");
  const settings = handSettings.safeParse((await body()) ?? {});
  if (!settings.success) throw new ApiError(400, "bad_request", z.prettifyError(settings.error));
  const backend = fleet.set(name.pool, name.id, settings.data);
  if (backend === undefined) throw new ApiError(404, "not_found", "no such pool or backend");
  if (waitMs !== null) await untilEmpty(backend, waitMs, signal);
  return { status: 200, body: backendOf(backend) };
}

function poolOf(pool: Pool, { waiting }: ApiSources): object {
  const queue = `pool:${pool.name}`;
  return {
    name: pool.name,
    balance: pool.config.balance,
    affinity: { by: pool.config.affinity.by, entries: pool.affinity.size },
    waiting: waiting().find((one) => one.queue === queue)?.length ?? 0,
    backends: Array.from(pool.backends, backendOf),
  };
}

function backendOf(backend: Backend): object {
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
  };
}

/** Resolves when it has no connection any more, when the time is over, or when nobody waits any longer. */
async function untilEmpty(backend: Backend, waitMs: number, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + waitMs;
  while (backend.connections > 0 && performance.now() < deadlineMs && !signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, WAIT_POLL_MS));
  }
}

function durationOf(url: URL, name: string): number | null {
  const text = url.searchParams.get(name);
  if (text === null) return null;
  try {
    return parseDuration(text);
  } catch (error) {
    if (error instanceof UnitError) throw new ApiError(400, "bad_request", `${name}: ${error.message}`);
    throw error;
  }
}

function expectMethod({ method }: ApiRequest, expected: string): void {
  const isRead = method === "HEAD" && expected === "GET";
  if (method === expected || isRead) return;
  throw new ApiError(405, "method_not_allowed", `only ${expected} is served here`);
}

/** Throws ApiError where the escapes are broken. */
function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new ApiError(400, "bad_request", "the path is not valid");
  }
}
