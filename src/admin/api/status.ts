// `/api/status`: Weir in figures at this moment.

import type { Status } from "../status.ts";
import type { Endpoint } from "./endpoint.ts";

export interface StatusEndpointSources {
  readonly status: () => Status;
}

export function statusEndpoints({ status }: StatusEndpointSources): Endpoint[] {
  return [{ method: "GET", path: "/api/status", answer: () => ({ status: 200, body: status() }) }];
}
