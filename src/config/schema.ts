// The whole configuration: what the rest of Weir reads, resolved, with defaults filled in.
// Plain data that can be cloned to a worker: durations are milliseconds, sizes bytes, rates per second,
// percentages fractions, `off` is null.

import { z } from "zod";
import { type IdentityConfig, identitySchema } from "./schema-identity.ts";
import { type LimitsConfig, limitsSchema, type TierConfig, tiersSchema } from "./schema-limits.ts";
import { type ListenerConfig, listenersSchema } from "./schema-listeners.ts";
import { type PoolConfig, poolsSchema } from "./schema-pools.ts";
import {
  type AdminConfig,
  adminSchema,
  type AlertsConfig,
  alertsSchema,
  type LogConfig,
  logSchema,
  type ReloadConfig,
  reloadSchema,
  type ShutdownConfig,
  shutdownSchema,
  type StateConfig,
  stateSchema,
  type TimeoutsConfig,
  timeoutsSchema,
} from "./schema-process.ts";
import { type RouteConfig, routesSchema } from "./schema-routes.ts";
import { blocks, filePath, headerName, integerOrAuto, offOr } from "./schema-values.ts";

export type { BindAddress, ListenerConfig } from "./schema-listeners.ts";
export type { BackendConfig } from "./schema-backends.ts";
export type { PoolConfig } from "./schema-pools.ts";
export type { AdminConfig, ShutdownConfig, StateConfig } from "./schema-process.ts";
export type { RouteConfig } from "./schema-routes.ts";

export interface Config {
  readonly listeners: readonly ListenerConfig[];
  readonly threads: number | "auto";
  /** Canonical CIDRs; `loopback` and `private` are expanded. */
  readonly trustedProxies: readonly string[];
  /** Lower case. */
  readonly clientIpHeader: string;
  readonly identity: IdentityConfig;
  readonly tiers: Readonly<Record<string, TierConfig>>;
  readonly limits: LimitsConfig;
  /** In order; the first match wins. */
  readonly routes: readonly RouteConfig[];
  readonly pools: Readonly<Record<string, PoolConfig>>;
  readonly timeouts: TimeoutsConfig;
  readonly shutdown: ShutdownConfig;
  readonly reload: ReloadConfig;
  readonly state: StateConfig | null;
  /** Absolute. */
  readonly pidFile: string | null;
  readonly admin: AdminConfig | null;
  readonly log: LogConfig;
  readonly alerts: AlertsConfig;
}

/** The file as zod sees it; what depends on several keys at once is in resolve.ts and checks.ts. */
export const configSchema = z
  .strictObject({
    listeners: listenersSchema,
    threads: integerOrAuto(1, 256)
      .prefault("auto")
      .describe("Data-plane threads; auto is one per core. Changing it needs a restart."),
    trustedProxies: blocks()
      .prefault(["loopback"])
      .describe(
        "CIDRs, loopback or private: peers whose forwarded address and identity headers are believed.",
      ),
    clientIpHeader: headerName()
      .prefault("x-forwarded-for")
      .describe(
        "Header that trusted proxies put the client's address in; the rightmost untrusted address wins.",
      ),
    identity: identitySchema.prefault({}),
    tiers: tiersSchema.optional(),
    limits: limitsSchema,
    routes: routesSchema.optional(),
    pools: poolsSchema,
    timeouts: timeoutsSchema,
    shutdown: shutdownSchema,
    reload: reloadSchema,
    state: stateSchema,
    pidFile: offOr(filePath())
      .prefault("off")
      .describe("File that holds Weir's process id, with a socket beside it; needed for --takeover."),
    admin: adminSchema,
    log: logSchema,
    alerts: alertsSchema,
  })
  .describe("The configuration of Weir.");

/** A configuration as people write it, in YAML or as a plain object: shorthands, units as text. */
export type ConfigInput = z.input<typeof configSchema>;

export type ParsedConfig = z.output<typeof configSchema>;
