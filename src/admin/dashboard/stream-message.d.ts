// What /api/stream tells, by the server's own types where it has them.

import type { HealthState } from "../../control-plane/alerts/health.ts";
import type { PoolView } from "../api/pools.ts";
import type { Status } from "../status.ts";

export type { HealthState, PoolView, Status };

export type BackendView = PoolView["backends"][number];

export interface Bucket {
  readonly of: "tier" | "route" | "bytes";
  readonly route?: string;
  readonly tokens: number;
  readonly burst: number;
  readonly ratePerSecond: number;
}

export interface BusyUser {
  readonly user: string;
  readonly tier: string;
  readonly connections: number;
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
  readonly limitedPerSecond: number;
  readonly buckets: readonly Bucket[];
  readonly banned: boolean;
}

export interface LogEntry {
  readonly id: number;
  readonly time: string;
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

export type StreamMessage =
  | { readonly type: "status"; readonly status: Status; readonly busiest: readonly BusyUser[] }
  | { readonly type: "logs"; readonly entries: readonly LogEntry[] };
