// The JSON API, put together from its groups of endpoints: each has a file of its own under api/.

import { drainEndpoints, type DrainSources } from "./api/drain.ts";
import { logEndpoints, type LogSources } from "./api/logs.ts";
import type { Endpoint } from "./api/endpoint.ts";
import { poolEndpoints, type PoolSources } from "./api/pools.ts";
import { reloadEndpoints, type ReloadSources } from "./api/reload.ts";
import { statusEndpoints, type StatusEndpointSources } from "./api/status.ts";

interface ApiSources extends PoolSources, ReloadSources, DrainSources, LogSources, StatusEndpointSources {}

export function apiEndpoints(sources: ApiSources): Endpoint[] {
  return [
    ...statusEndpoints(sources),
    ...poolEndpoints(sources),
    ...reloadEndpoints(sources),
    ...drainEndpoints(sources),
    ...logEndpoints(sources),
  ];
}
