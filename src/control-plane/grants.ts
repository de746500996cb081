// What a worker is told of a place that it gets: the backend to dial, and the cells that it counts and
// limits in.

import type { AdmitRequest, Grant } from "../shared-memory/channel.ts";
import type { Counters } from "../shared-memory/counters.ts";
import type { Backend } from "./backend.ts";
import type { Place } from "./places.ts";
import type { Pool } from "./pool.ts";
import { NO_BUCKETS } from "./user-buckets.ts";

type SlotOf = Pick<Counters, "slotOf">;

/** For a place that has its slot. */
export function grantOf({ request, slot, buckets, activityCell }: Place, counters: SlotOf): Grant {
  if (slot === null) throw new Error("a grant without a slot");
  return { ...grantOfRequest(request, slot, counters), buckets, activityCell };
}

/** For a plain request, which holds no place. */
export function grantOfRequest(
  request: AdmitRequest,
  { pool, backend }: { readonly pool: Pool; readonly backend: Backend },
  counters: SlotOf,
): Grant {
  return {
    id: request.id,
    pool: pool.name,
    backend: backend.id,
    target: backend.config.id,
    addresses: backend.spec.addresses,
    cookie: pool.cookieFor(backend, request),
    counterSlot: counters.slotOf(request.tier, pool.name),
    buckets: NO_BUCKETS,
    activityCell: null,
  };
}
