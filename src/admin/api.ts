// The JSON API, put together from its groups of endpoints: each has a file of its own under api/.

import { drainEndpoints, type DrainSources } from "./api/drain.ts";
import { logEndpoints, type LogSources } from "./api/logs.ts";
import { poolEndpoints, type PoolSources } from "./api/pools.ts";
import { reloadEndpoints, type ReloadSources } from "./api/reload.ts";
import { Router } from "./api/router.ts";

export interface ApiSources extends PoolSources, ReloadSources, DrainSources, LogSources {}

export function apiRouter(sources: ApiSources): Router {
  return new Router([
    ...poolEndpoints(sources),
    ...reloadEndpoints(sources),
    ...drainEndpoints(sources),
    ...logEndpoints(sources),
  ]);
}
