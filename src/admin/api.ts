// The JSON API, put together from its groups of endpoints: each has a file of its own under api/.

import { connectionEndpoints, type ConnectionSources } from "./api/connections.ts";
import { drainEndpoints, type DrainSources } from "./api/drain.ts";
import { explainEndpoints, type ExplainSources } from "./api/explain.ts";
import { logEndpoints, type LogSources } from "./api/logs.ts";
import type { Endpoint } from "./api/endpoint.ts";
import { noticeEndpoints, type NoticeSources } from "./api/notice.ts";
import { poolEndpoints, type PoolSources } from "./api/pools.ts";
import { reloadEndpoints, type ReloadSources } from "./api/reload.ts";
import { statusEndpoints, type StatusEndpointSources } from "./api/status.ts";
import { userEndpoints, type UserSources } from "./api/users.ts";

type ApiSources = StatusEndpointSources &
  PoolSources &
  UserSources &
  ConnectionSources &
  NoticeSources &
  ReloadSources &
  DrainSources &
  LogSources &
  ExplainSources;

export function apiEndpoints(sources: ApiSources): Endpoint[] {
  return [
    ...statusEndpoints(sources),
    ...poolEndpoints(sources),
    ...userEndpoints(sources),
    ...connectionEndpoints(sources),
    ...noticeEndpoints(sources),
    ...reloadEndpoints(sources),
    ...drainEndpoints(sources),
    ...logEndpoints(sources),
    ...explainEndpoints(sources),
  ];
}
