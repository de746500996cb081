// A message that two buckets have to let through: that of its user's tier and that of its route.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Bucket, BucketCells, BYTES_PER_CELL, takeBoth } from "../../../src/shared-memory/gcra.ts";

function newCells(): BucketCells {
  return new BucketCells(new SharedArrayBuffer(2 * BYTES_PER_CELL));
}

const limit = fc.record({
  rate: fc.double({ min: 1 / 60, max: 10_000, noNaN: true }),
  burst: fc.integer({ min: 1, max: 500 }),
});

describe("two buckets", () => {
  test("give the same number of tokens, the most that both have, or none at all", () => {
    const steps = fc.array(fc.record({ ms: fc.nat(3000), wanted: fc.nat(30) }), { maxLength: 40 });
    fc.assert(
      fc.property(limit, limit, steps, (tierLimit, routeLimit, steps) => {
        const cells = newCells();
        const tier = new Bucket(cells, 0, tierLimit);
        const route = new Bucket(cells, 1, routeLimit);
        let nowNs = 0;
        for (const { ms, wanted } of steps) {
          nowNs += ms * 1e6;
          const before = [tier.level(nowNs), route.level(nowNs)];
          const most = Math.min(tier.conforming(wanted, nowNs), route.conforming(wanted, nowNs));
          const taken = takeBoth(tier, route, wanted, nowNs);
          expect(taken).toBe(most);
          expect(tier.level(nowNs)).toBeCloseTo((before[0] ?? 0) - taken, 2);
          expect(route.level(nowNs)).toBeCloseTo((before[1] ?? 0) - taken, 2);
        }
      }),
    );
  });

  test("refund the first what the second has lost to another thread meanwhile", () => {
    const cells = newCells();
    const limit = { rate: 1, burst: 10 };
    const tier = new Bucket(cells, 0, limit);
    const rival = new Bucket(cells, 1, limit);
    // Another thread spends from the route's bucket right after both were found to hold enough.
    class Raced extends Bucket {
      override conforming(n: number, nowNs: number): number {
        const conforming = super.conforming(n, nowNs);
        rival.take(7, nowNs);
        return conforming;
      }
    }
    const route = new Raced(cells, 1, limit);
    expect(takeBoth(tier, route, 8, 0)).toBe(3);
    expect(tier.level(0)).toBeCloseTo(7, 1);
    expect(rival.level(0)).toBeCloseTo(0, 1);
  });
});
