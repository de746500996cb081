// Admission on its own, where nobody has to wait: without a pace, and at a time that stands still.
import { expect } from "vitest";

import type { Config } from "../../../src/config/schema.ts";
import { Admission } from "../../../src/control-plane/admission.ts";
import { UserBuckets } from "../../../src/control-plane/user-buckets.ts";
import { ActivityTable } from "../../../src/shared-memory/activity.ts";
import { BucketTable } from "../../../src/shared-memory/bucket-table.ts";
import { Counters } from "../../../src/shared-memory/counters.ts";

export function admissionOf(config: Config, maxConnections: number, counters = new Counters()): Admission {
  return new Admission({
    config,
    counters,
    maxConnections,
    onDecision: () => expect.unreachable("nobody waits"),
    activity: new ActivityTable(),
    onReplaced: () => expect.unreachable("nobody is replaced"),
    buckets: new UserBuckets(new BucketTable(), () => 0),
    onBuckets: () => expect.unreachable("nothing is limited"),
    onWaited: () => expect.unreachable("nobody waits"),
    now: () => 0,
  });
}
