// Groups of backends and how one is chosen: the `pools` section.

import { z } from "zod";
import { type BackendConfig, backendSchema } from "./schema-backends.ts";
import { healthCheck, type HealthCheckConfig } from "./schema-health.ts";
import { duration, filePath, integer, ipAddress, NAME, OFF, offOr, pace, percent } from "./schema-values.ts";
import { describeValue } from "./units.ts";

interface AffinityConfig {
  readonly by: "user" | "cookie" | "none";
  /** Milliseconds after the last connection. */
  readonly ttl: number;
}

interface OutlierConfig {
  readonly failures: number;
  /** Milliseconds. */
  readonly window: number;
  /** Milliseconds. */
  readonly eject: number;
}

interface PoolQueueConfig {
  readonly size: number;
  /** Milliseconds. */
  readonly timeout: number;
}

interface OnRemoveConfig {
  readonly mode: "drain" | "keep" | "close";
  /** Milliseconds. */
  readonly grace: number;
  /** Milliseconds. */
  readonly spread: number;
}

interface RebalanceConfig {
  /** Fraction above the fair share, 0..1. */
  readonly maxSkew: number;
  /** Closes per second. */
  readonly pace: number;
}

export interface PoolConfig {
  readonly balance: "least-connections" | "round-robin" | "random" | "consistent-hash";
  readonly affinity: AffinityConfig;
  readonly healthCheck: HealthCheckConfig | null;
  readonly onUnhealthy: "keep" | "close";
  readonly outlier: OutlierConfig | null;
  readonly retries: number;
  /** A number is an HTTP status. */
  readonly retryOn: readonly ("connect" | "timeout" | number)[];
  readonly queue: PoolQueueConfig | null;
  /** Milliseconds. */
  readonly slowStart: number | null;
  readonly warmConnections: number;
  /** Milliseconds. */
  readonly connectTimeout: number;
  readonly onRemove: OnRemoveConfig;
  readonly rebalance: RebalanceConfig | null;
  readonly sourceAddresses: readonly string[];
  /** Absolute. */
  readonly backendsFile: string | null;
  /** May be empty beside a `backendsFile`. */
  readonly backends: readonly BackendConfig[];
}

const affinity = z.strictObject({
  by: z
    .enum(["user", "cookie", "none"])
    .prefault("user")
    .describe("What a returning client is known by: its user, a cookie of Weir's own, or nothing."),
  ttl: duration().prefault("1h").describe("How long after its last connection a client is remembered."),
});

const outlier = z.strictObject({
  failures: integer(1, 1_000_000)
    .prefault(5)
    .describe(
      "Failures within `window` that eject a backend: connect errors, timeouts, malformed answers, 502, 503, 504, bursts of lost connections.",
    ),
  window: duration().prefault("30s").describe("The window in which failures are counted."),
  eject: duration()
    .prefault("30s")
    .describe("How long an ejected backend gets no new work; longer each time."),
});

const queue = z.strictObject({
  size: integer(1, 10_000_000).prefault(100).describe("Upgrades that may wait; 503 above it."),
  timeout: duration().prefault("5s").describe("How long one may wait; 503 after that."),
});

const onRemove = z.strictObject({
  mode: z
    .enum(["drain", "keep", "close"])
    .prefault("drain")
    .describe(
      "drain: after `grace`, close with 1012, spread; keep: until they end by themselves; close: at once.",
    ),
  grace: duration({}).prefault("0s").describe("How long clients may leave by themselves first."),
  spread: duration({})
    .prefault("30s")
    .describe("The closes are spread over this time, so that clients do not return all at once."),
});

const rebalance = z.strictObject({
  maxSkew: percent({ min: "1%", max: "1000%" })
    .prefault("20%")
    .describe("How far above its fair share a backend may be."),
  pace: pace().prefault("10/s").describe("Connections closed (1012) at most."),
});

const retryCause = z.union([z.enum(["connect", "timeout"]), integer(400, 599)], {
  error: ({ input }) =>
    `${describeValue(input)} is none of connect, timeout or an HTTP status from 400 to 599`,
});

const pool = z.strictObject({
  backends: z
    .array(backendSchema)
    .prefault([])
    .describe("The pool's servers. A string is short for { url: STRING }."),
  balance: z
    .enum(["least-connections", "round-robin", "random", "consistent-hash"])
    .prefault("least-connections")
    .describe(
      "How a backend is chosen. consistent-hash goes by user; round-robin and random forget that WebSockets stay.",
    ),
  affinity: z
    .union([OFF.transform((): z.input<typeof affinity> => ({ by: "none" })).pipe(affinity), affinity])
    .prefault({})
    .describe("Bring a returning client to the backend of before."),
  healthCheck: offOr(healthCheck)
    .prefault({ type: "tcp" })
    .describe(
      "Active checks of every backend; up until the first result. A string is short for { type: STRING }.",
    ),
  onUnhealthy: z
    .enum(["keep", "close"])
    .prefault("keep")
    .describe(
      "Open connections of a backend that fails its checks: keep them, or close them so that clients move.",
    ),
  outlier: offOr(outlier)
    .prefault({})
    .describe("Passive checks: eject a backend for what real traffic sees."),
  retries: integer(0, 100)
    .prefault(2)
    .describe("Other backends that are tried when a dial fails, before the client hears of it."),
  retryOn: z
    .array(retryCause)
    .prefault(["connect", "timeout", 503])
    .describe(
      "What is retried: connect (refused, reset, no route), timeout, or an HTTP status of the backend's answer.",
    ),
  queue: offOr(queue)
    .prefault("off")
    .describe(
      "Waiting room when every backend is full; by tier priority, then first come. Example: { size: 100, timeout: 5s }.",
    ),
  slowStart: offOr(duration())
    .prefault("off")
    .describe("A backend that comes up gets its full share only after this long. Example: 30s."),
  warmConnections: integer(0, 10_000)
    .prefault(0)
    .describe(
      "Sockets kept open to each backend ahead of need. Not for backends that close silent sockets soon.",
    ),
  connectTimeout: duration()
    .prefault("3s")
    .describe("How long a TCP (and TLS) connect may take before the next backend is tried."),
  onRemove: onRemove
    .prefault({})
    .describe("What happens to the connections of a backend that is taken from the list or drained by hand."),
  rebalance: offOr(rebalance)
    .prefault("off")
    .describe(
      "After a scale-out, close connections of overloaded backends so that they spread. Example: { maxSkew: 20%, pace: 10/s }.",
    ),
  sourceAddresses: z
    .array(ipAddress)
    .prefault([])
    .describe("Local addresses to dial from; needed past 28 000 connections to one backend."),
  backendsFile: offOr(filePath())
    .prefault("off")
    .describe(
      "YAML (or JSON) file with a list of backends, watched, beside or instead of `backends`. Paths in it are relative to it.",
    ),
});

export const poolsSchema = z
  .record(NAME, pool, {
    error: ({ input }) =>
      `${describeValue(input)} is not a mapping of pools like { chat: { backends: ["ws://localhost:3000"] } }`,
  })
  .describe("Groups of backends by name.");

/** Paths are still relative: see resolve.ts. */
export type ParsedPool = z.output<typeof pool>;
