// Gathers what the verdict on the whole is made of.

import type { Admission } from "../admission.ts";
import type { Fleet } from "../fleet.ts";
import type { Pool } from "../pool.ts";
import type { PoolUse, Situation } from "./conditions.ts";
import type { Vitals } from "./vitals.ts";

export function situationOf(
  vitals: Pick<Vitals, "current">,
  admission: Pick<Admission, "caps">,
  fleet: Pick<Fleet, "pools" | "isFirstRoundOver">,
): Situation {
  return {
    figures: vitals.current,
    caps: admission.caps.all,
    // Before each backend was looked at, none of them says anything.
    pools: fleet.isFirstRoundOver ? poolUses(fleet.pools.all) : [],
  };
}

function poolUses(pools: Iterable<Pool>): PoolUse[] {
  return Array.from(pools)
    .filter(({ isListed }) => isListed)
    .map((pool) => poolUse(pool));
}

function poolUse(pool: Pool): PoolUse {
  let backends = 0;
  let down = 0;
  for (const { isListed, operatorState, isUp, isEjected } of pool.backends) {
    if (!isListed || operatorState !== "active") continue;
    backends += 1;
    if (!isUp || isEjected) down += 1;
  }
  return { pool: pool.name, backends, down, ready: pool.ready.length };
}
