// What admission must be, in the plainest form: a list of who holds what, and the configuration. The
// model-based test drives it beside the real one and compares them after every step.
import { expect } from "vitest";

import type { Config } from "../../../src/config/schema.ts";
import type { Admission, Decision } from "../../../src/control-plane/admission.ts";
import { foresee, type Foresight } from "../../../src/control-plane/foresight.ts";
import { type AdmissionFixture, admissionOf, reconfigure } from "./admission-of.ts";
import { configOfPools, type PoolInput } from "./config-of-pools.ts";
import { requestOf } from "./request-of.ts";

export type Pools = Readonly<Record<string, PoolInput>>;

interface HeldSlot {
  readonly worker: number;
  readonly id: number;
  readonly pool: string;
  readonly tried: Set<string>;
  backend: string;
  isOpen: boolean;
}

export class AdmissionModel {
  held: HeldSlot[] = [];
  pools: Pools;
  maxConnections: number;
  nextId = 1;
  isDraining = false;

  constructor(pools: Pools, maxConnections: number) {
    this.pools = pools;
    this.maxConnections = maxConnections;
  }

  /** Connections that hold a slot of a backend. */
  count(pool: string, backend: string): number {
    return this.held.filter((slot) => slot.pool === pool && slot.backend === backend).length;
  }

  /** The backends that may be chosen now: of those with room, the ones with the least load. */
  best(pool: string, tried: ReadonlySet<string>): string[] {
    const open = this.listed(pool).filter(({ id }) => !tried.has(id));
    const free = open.filter(({ id, capacity }) => capacity === undefined || this.count(pool, id) < capacity);
    const loads = free.map(({ id, weight = 1 }) => (this.count(pool, id) + 1) / weight);
    const least = Math.min(...loads);
    return free.filter((_, index) => loads[index] === least).map(({ id }) => id);
  }

  listed(pool: string): PoolInput["backends"] {
    return this.pools[pool]?.backends ?? [];
  }
}

/** The real one, checked against the model after each step. */
export class AdmissionUnderTest {
  readonly #fixture: AdmissionFixture;
  #config: Config;

  constructor(pools: Pools, maxConnections: number) {
    this.#config = configOfPools(pools);
    this.#fixture = admissionOf(this.#config, { maxConnections });
  }

  get admission(): Admission {
    return this.#fixture.admission;
  }

  /** What was foreseen of the upgrade is what becomes of it. */
  admit(worker: number, id: number, pool: string): Decision {
    const request = requestOf({ id, pool });
    const foreseen = foresee(this.#config, this.admission, request);
    const decision = this.admission.admit(worker, request);
    if (decision === null) throw new Error("admission let an upgrade wait without a pace");
    expectForeseen(foreseen, decision);
    return decision;
  }

  configure(pools: Pools, maxConnections: number): void {
    this.#config = configOfPools(pools);
    reconfigure(this.#fixture, this.#config, maxConnections);
  }
}

function expectForeseen({ refusal, pool }: Foresight, decision: Decision): void {
  expect(refusal).toBe("refused" in decision ? decision.refused : null);
  if ("refused" in decision) return;
  const { backend } = decision.grant;
  const able = pool?.backends.filter(({ obstacle }) => obstacle === null).map(({ id }) => id);
  expect(able).toContain(backend);
  if (pool?.choice) expect(backend).toBe(pool.choice);
}

/** Every count equals the model's, and nothing is remembered of backends that are gone and empty. */
export function expectEqual({ admission }: AdmissionUnderTest, model: AdmissionModel): void {
  expect(admission.connections).toBe(model.held.length);
  const counts = new Map<string, number>();
  for (const [pool, { backends }] of Object.entries(model.pools)) {
    for (const { id } of backends) counts.set(`${pool}/${id}`, model.count(pool, id));
  }
  for (const { pool, backend } of model.held) counts.set(`${pool}/${backend}`, model.count(pool, backend));
  expect(countsOf(admission)).toEqual(counts);
  for (const { pool, count } of admission.openConnections) {
    expect(count).toBe(model.held.filter((slot) => slot.pool === pool && slot.isOpen).length);
  }
}

function countsOf(admission: Admission): Map<string, number> {
  const counts = new Map<string, number>();
  for (const pool of admission.pools) {
    for (const { id, connections } of pool.backends) counts.set(`${pool.name}/${id}`, connections);
  }
  return counts;
}
