// Admission on its own, where nobody has to wait: without a pace, and at a time that stands still.
import { expect } from "vitest";

import type { Config } from "../../../src/config/schema.ts";
import { Admission, type AdmissionEvents } from "../../../src/control-plane/admission.ts";
import { Pools } from "../../../src/control-plane/pools.ts";
import { UserBuckets } from "../../../src/control-plane/user-buckets.ts";
import { ActivityTable } from "../../../src/shared-memory/activity.ts";
import { BucketTable } from "../../../src/shared-memory/bucket-table.ts";
import { Counters } from "../../../src/shared-memory/counters.ts";
import { specsOf } from "./config-of-pools.ts";

export interface AdmissionFixture {
  readonly admission: Admission;
  readonly pools: Pools;
}

interface FixtureOptions {
  readonly maxConnections?: number;
  readonly counters?: Counters;
  readonly events?: Partial<AdmissionEvents>;
  readonly activity?: ActivityTable;
  readonly now?: () => number;
}

const NOTHING_HAPPENS: AdmissionEvents = {
  decided: () => expect.unreachable("nobody waits"),
  replaced: () => expect.unreachable("nobody is replaced"),
  bucketsChanged: () => expect.unreachable("nothing is limited"),
  waited: () => expect.unreachable("nobody waits"),
};

export function admissionOf(config: Config, options: FixtureOptions = {}): AdmissionFixture {
  const { maxConnections = 1_000, events = {}, now = () => 0 } = options;
  const pools = new Pools(now);
  pools.configure(config, specsOf(config));
  const admission = new Admission({
    config,
    counters: options.counters ?? new Counters(),
    maxConnections,
    pools,
    activity: options.activity ?? new ActivityTable(),
    buckets: new UserBuckets(new BucketTable(), () => 0),
    overload: { refuses: () => false },
    events: { ...NOTHING_HAPPENS, ...events },
    now,
  });
  return { admission, pools };
}

/** What a reload does to both. */
export function reconfigure(
  { admission, pools }: AdmissionFixture,
  config: Config,
  maxConnections = 1_000,
): void {
  pools.configure(config, specsOf(config));
  admission.configure(config, maxConnections);
}
