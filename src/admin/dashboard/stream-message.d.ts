// What the API and the stream tell, by the server's own types where it has them.

import type { HealthState } from "../../control-plane/alerts/health.ts";
import type { BusyUser, ConnectionView, UserView } from "../../control-plane/oversight.ts";
import type { PoolView } from "../api/pools.ts";
import type { Status } from "../status.ts";

export type { BusyUser, ConnectionView, HealthState, PoolView, Status, UserView };

export type BackendView = PoolView["backends"][number];

export type Bucket = BusyUser["buckets"][number];

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
