import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { AbuseWatch } from "../../../src/control-plane/abuse.ts";

const config = { violations: 10, window: 60_000, ban: 300_000 };

describe("the watch for abuse", () => {
  test("calls for a ban at the violation that makes the number full, and begins anew after it", () => {
    const watch = new AbuseWatch(config);
    for (let i = 1; i < 10; i++) expect(watch.record("ann", 1, i)).toBeNull();
    expect(watch.record("ann", 1, 10)).toEqual({ violations: 10, banMs: 300_000 });
    expect(watch.size).toBe(0);
    expect(watch.record("ann", 9, 11)).toBeNull();
  });

  test("counts many at once, and each user by itself", () => {
    const watch = new AbuseWatch(config);
    expect(watch.record("ann", 9, 0)).toBeNull();
    expect(watch.record("bob", 9, 0)).toBeNull();
    expect(watch.record("carl", 500, 0)).toEqual({ violations: 500, banMs: 300_000 });
    expect(watch.record("bob", 1, 0)).toMatchObject({ violations: 10 });
  });

  test("forgets what has left the window", () => {
    const watch = new AbuseWatch(config);
    expect(watch.record("ann", 9, 0)).toBeNull();
    expect(watch.record("ann", 5, 60_000)).toBeNull();
    expect(watch.record("ann", 4, 119_999)).toBeNull();
    expect(watch.record("ann", 1, 119_999)).toMatchObject({ violations: 10 });
  });

  test("bans a user that keeps to one at a time, however many it takes", () => {
    const watch = new AbuseWatch({ ...config, violations: 5_000 });
    for (let i = 1; i < 5_000; i++) expect(watch.record("ann", 1, i * 2)).toBeNull();
    expect(watch.record("ann", 1, 10_000)).toMatchObject({ violations: 5_000 });
  });

  test("never bans a user that stays below the number in every window", () => {
    const steps = fc.array(fc.record({ count: fc.integer({ min: 1, max: 4 }), afterMs: fc.nat(40_000) }));
    fc.assert(
      fc.property(steps, (list) => {
        const watch = new AbuseWatch(config);
        const past: { atMs: number; count: number }[] = [];
        let nowMs = 0;
        for (const { count, afterMs } of list) {
          nowMs += afterMs;
          past.push({ atMs: nowMs, count });
          // What happens within 60 ms counts as one moment, the first of them.
          const sumSince = (fromMs: number): number =>
            past.filter(({ atMs }) => atMs > fromMs).reduce((sum, each) => sum + each.count, 0);
          const verdict = watch.record("ann", count, nowMs);
          const isBanned = verdict !== null;
          expect(isBanned && sumSince(nowMs - 60_000) < 10).toBe(false);
          expect(!isBanned && sumSince(nowMs - 60_000 + 60) >= 10).toBe(false);
          if (verdict !== null) past.length = 0;
        }
      }),
    );
  });

  test("keeps nobody whose violations are over", () => {
    const watch = new AbuseWatch(config);
    for (let i = 0; i < 1_000; i++) watch.record(`user-${i}`, 1, i);
    watch.sweep(60_500);
    expect(watch.size).toBe(499);
    watch.sweep(61_000);
    expect(watch.size).toBe(0);
  });

  test("does nothing while it is off, and forgets all when it is turned off", () => {
    const watch = new AbuseWatch(null);
    expect(watch.record("ann", 1_000, 0)).toBeNull();
    expect(watch.size).toBe(0);
    watch.configure(config);
    watch.record("ann", 9, 0);
    watch.configure(null);
    watch.configure(config);
    expect(watch.record("ann", 9, 1)).toBeNull();
  });

  test("follows a reload from the next violation on", () => {
    const watch = new AbuseWatch(config);
    watch.record("ann", 5, 0);
    watch.configure({ violations: 6, window: 60_000, ban: 1_000 });
    expect(watch.record("ann", 1, 1)).toEqual({ violations: 6, banMs: 1_000 });
  });
});
