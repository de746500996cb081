// The laws of one token bucket that gives what it has (take) or goes into debt (charge), over any sequence
// of calls and any clock.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Bucket } from "../../../src/shared-memory/gcra.ts";
import { limit, newBucket, newCells, rate, ROUNDING, SECOND, start } from "./gcra-laws.ts";

const HUNDRED_DAYS = 8.64e15;

describe("take", () => {
  test("grants a full bucket and not one more, message by message", () => {
    fc.assert(
      fc.property(limit, start, (limit, startNs) => {
        const bucket = newBucket(limit);
        for (let i = 0; i < limit.burst; i++) expect(bucket.take(1, startNs)).toBe(1);
        expect(bucket.take(1, startNs)).toBe(0);
      }),
    );
  });

  test("grants the part of a chunk that conforms", () => {
    const bucket = newBucket({ rate: 5, burst: 10 });
    expect(bucket.take(7, 0)).toBe(7);
    expect(bucket.take(7, 0)).toBe(3);
    expect(bucket.take(7, 0)).toBe(0);
    expect(bucket.take(7, SECOND)).toBe(5);
    expect(bucket.take(0, 2 * SECOND)).toBe(0);
    expect(bucket.take(7, 2 * SECOND)).toBe(5);
  });

  test("never grants more than rate·t + burst between any two moments", () => {
    const steps = fc.array(
      fc.record({ intervals: fc.double({ min: -3, max: 30, noNaN: true }), wanted: fc.nat(40) }),
      { minLength: 1, maxLength: 60 },
    );
    fc.assert(
      fc.property(limit, start, steps, (limit, startNs, steps) => {
        const bucket = newBucket(limit);
        const grants: { nowNs: number; taken: number }[] = [];
        let nowNs = startNs;
        for (const { intervals, wanted } of steps) {
          // Backwards too: threads read the clock before they reach the cell.
          nowNs = Math.max(0, Math.round(nowNs + (intervals * SECOND) / limit.rate));
          grants.push({ nowNs, taken: bucket.take(wanted, nowNs) });
        }
        for (let from = 0; from < grants.length; from++) {
          let total = 0;
          let lastNs = 0;
          for (const { nowNs, taken } of grants.slice(from)) {
            total += taken;
            lastNs = Math.max(lastNs, nowNs);
            const seconds = (lastNs - (grants[from]?.nowNs ?? 0)) / SECOND;
            expect(total).toBeLessThanOrEqual(limit.rate * seconds + limit.burst + ROUNDING);
          }
        }
      }),
    );
  });

  test("grants all of rate·t + burst to a user who asks often enough that the bucket never overflows", () => {
    fc.assert(
      fc.property(
        rate,
        fc.integer({ min: 2, max: 500 }),
        start,
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 2000 }),
        (rate, burst, startNs, gaps) => {
          const bucket = newBucket({ rate, burst });
          let nowNs = startNs;
          let total = bucket.take(1000, nowNs);
          for (const gap of gaps) {
            // Less than a token is left, so a gap of burst - 1 tokens fills the bucket at most.
            nowNs = Math.round(nowNs + (gap * (burst - 1) * SECOND) / rate);
            total += bucket.take(1000, nowNs);
          }
          const due = burst + (rate * (nowNs - startNs)) / SECOND;
          expect(total).toBeGreaterThan(due - 1 - ROUNDING * gaps.length);
          expect(total).toBeLessThanOrEqual(due + ROUNDING * gaps.length);
        },
      ),
    );
  });

  test.each([
    { name: "1/m", rate: 1 / 60, seconds: 6000 },
    { name: "7/m", rate: 7 / 60, seconds: 6000 },
    { name: "3/s", rate: 3, seconds: 100 },
    { name: "3333.333/s", rate: 3333.333, seconds: 30 },
    { name: "10 000/s", rate: 10_000, seconds: 10 },
  ])("keeps $name within 0.1 % for a user who asks far more often", ({ rate, seconds }) => {
    const bucket = newBucket({ rate, burst: 20 });
    const startNs = HUNDRED_DAYS;
    const gapNs = Math.floor(SECOND / rate / 7.3);
    bucket.take(100, startNs);
    let total = 0;
    for (let nowNs = startNs; nowNs < startNs + seconds * SECOND; nowNs += gapNs) {
      total += bucket.take(1, nowNs);
    }
    expect(Math.abs(total - rate * seconds)).toBeLessThanOrEqual(Math.max(1, rate * seconds * 0.001));
  });

  test("writes nothing where no message conforms", () => {
    const cells = newCells();
    const bucket = new Bucket(cells, 1, { rate: 5, burst: 2 });
    bucket.take(2, 1000);
    const before = [...cells.floats];
    expect(bucket.take(3, 2000)).toBe(0);
    expect(bucket.conforming(3, SECOND)).toBe(3 - 1);
    expect([...cells.floats]).toEqual(before);
  });

  test("leaves the neighbouring cells alone", () => {
    const cells = newCells();
    const buckets = [0, 1, 2, 3].map((cell) => new Bucket(cells, cell, { rate: 1, burst: 5 }));
    expect(buckets[1]?.take(5, 0)).toBe(5);
    expect(buckets[2]?.take(3, 0)).toBe(3);
    expect(buckets.map((bucket) => Math.round(bucket.level(0)))).toEqual([5, 0, 2, 5]);
    expect([0, 1, 2, 3].map((cell) => cells.isFull(cell, 0))).toEqual([true, false, false, true]);
    expect([0, 1, 2, 3].map((cell) => cells.isFull(cell, 3 * SECOND))).toEqual([true, false, true, true]);
  });
});

describe("charge", () => {
  test("says how long the debt takes, and takes nothing while there is one", () => {
    const bucket = newBucket({ rate: 1000, burst: 4000 });
    expect(bucket.charge(3000, 0)).toBe(0);
    expect(bucket.charge(1000, 0)).toBe(0);
    expect(bucket.charge(10_000, 0)).toBeCloseTo(10 * SECOND, -4);
    expect(bucket.level(0)).toBeCloseTo(-10_000, 0);
    expect(bucket.charge(0, 4 * SECOND)).toBeCloseTo(6 * SECOND, -4);
    expect(bucket.take(1, 9 * SECOND)).toBe(0);
    expect(bucket.take(1, 10.001 * SECOND)).toBe(1);
  });

  test("keeps the rate of small pieces of a very fast byte limit", () => {
    const rate = 2 ** 30;
    const bucket = newBucket({ rate, burst: 65_536 });
    let charged = 0;
    for (; charged < 4 * rate; charged += 100_003) bucket.charge(100_003, 1e12);
    const level = bucket.level(1e12);
    expect(Math.abs(level + charged - 65_536)).toBeLessThanOrEqual(charged * 0.001);
  });
});
