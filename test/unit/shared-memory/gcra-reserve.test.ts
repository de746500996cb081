// The laws of a bucket whose users wait for their turn, and of what is given back.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Bucket } from "../../../src/shared-memory/gcra.ts";
import { limit, newBucket, newCells, rate, ROUNDING, SECOND, start } from "./gcra-laws.ts";

describe("reserve", () => {
  test("spaces what exceeds the burst by exactly 1/rate", () => {
    fc.assert(
      fc.property(limit, start, (limit, startNs) => {
        const bucket = newBucket(limit);
        for (let i = 0; i < limit.burst; i++) expect(bucket.reserve(1, startNs)).toBe(0);
        for (let i = 1; i <= 50; i++) {
          const tokens = (bucket.reserve(1, startNs) * limit.rate) / SECOND;
          expect(Math.abs(tokens - i)).toBeLessThanOrEqual(ROUNDING * i);
        }
      }),
    );
  });

  test("gives the same wait for a chunk as for its messages", () => {
    fc.assert(
      fc.property(limit, start, fc.integer({ min: 1, max: 1000 }), (limit, startNs, n) => {
        const whole = newBucket(limit);
        const single = newBucket(limit);
        let wait = 0;
        for (let i = 0; i < n; i++) wait = single.reserve(1, startNs);
        expect(Math.abs(whole.reserve(n, startNs) - wait)).toBeLessThanOrEqual(n);
      }),
    );
  });

  test("costs no rate by timers that are up to 20 ms late, whatever the burst", () => {
    const waits = fc.array(
      fc.record({
        wanted: fc.integer({ min: 1, max: 50 }),
        lateMs: fc.double({ min: 0, max: 19, noNaN: true }),
      }),
      { minLength: 1, maxLength: 200 },
    );
    fc.assert(
      fc.property(rate, fc.integer({ min: 1, max: 5 }), start, waits, (rate, burst, startNs, waits) => {
        const bucket = newBucket({ rate, burst });
        // The bucket starts empty, so that every piece waits or is late.
        let nowNs = startNs + bucket.reserve(burst + 1, startNs);
        let total = 1;
        for (const { wanted, lateMs } of waits) {
          // A piece may conform at once because of the lateness before it; the next wait takes up the rest.
          const waitNs = bucket.reserve(wanted, nowNs);
          if (waitNs > 0) nowNs += waitNs + lateMs * 1e6;
          total += wanted;
        }
        // What the last wait was late by is the only time not yet used, and never more than 20 ms of it.
        const due = (rate * (nowNs - startNs)) / SECOND;
        expect(total).toBeLessThanOrEqual(due + ROUNDING * (waits.length + 1));
        expect(total).toBeGreaterThanOrEqual(due - rate * 0.02 - ROUNDING * (waits.length + 1));
      }),
    );
  });

  test.each([1, 4, 37])("lets 10 000/s through in pieces of %i although the burst is 1", (piece) => {
    const bucket = newBucket({ rate: 10_000, burst: 1 });
    let nowNs = 0;
    let total = 0;
    for (let wait = 0; nowNs < 10 * SECOND;) {
      const waitNs = bucket.reserve(piece, nowNs);
      // Timers are late by 0 to 15 ms, unevenly.
      if (waitNs > 0) nowNs += waitNs + ((wait++ * 7) % 16) * 1e6;
      total += piece;
    }
    expect(Math.abs(total / (nowNs / SECOND) - 10_000)).toBeLessThan(100);
  });

  test.each([1, 50])(
    "costs no rate by timers that are 100 ms late where it is told so, with a burst of %i",
    (burst) => {
      const bucket = newBucket({ rate: 1000, burst });
      let nowNs = 0;
      let total = 0;
      while (nowNs < 10 * SECOND) {
        const waitNs = bucket.reserve(1, nowNs);
        if (waitNs > 0) bucket.goOn((nowNs += waitNs + 99e6));
        total += 1;
      }
      expect(Math.abs(total / (nowNs / SECOND) - 1000)).toBeLessThan(10);
    },
  );

  test("makes up for 100 ms of a thread that stood still, and no more", () => {
    const bucket = newBucket({ rate: 1000, burst: 1 });
    expect(bucket.take(1, 0)).toBe(1);
    const waitNs = bucket.reserve(1, 0);
    bucket.goOn(waitNs + SECOND);
    expect(bucket.take(500, waitNs + SECOND)).toBe(101);
    expect(bucket.take(500, waitNs + SECOND)).toBe(0);
  });

  test("owes nothing to a user who paused after a late wait", () => {
    const bucket = newBucket({ rate: 1000, burst: 1 });
    expect(bucket.take(1, 0)).toBe(1);
    const waitNs = bucket.reserve(1, 0);
    bucket.goOn(waitNs + 50e6);
    expect(bucket.take(500, waitNs + 71e6)).toBe(1);
  });

  test.each([1, 3, 20])(
    "loses none of 10 000/s between one read and the next, with a burst of %i",
    (burst) => {
      const bucket = newBucket({ rate: 10_000, burst });
      let nowNs = 0;
      let total = 0;
      for (let read = 0; nowNs < 10 * SECOND; read++) {
        const taken = bucket.take(40, nowNs);
        for (let i = taken; i < 40; i++) {
          const waitNs = bucket.reserve(1, nowNs);
          if (waitNs > 0) nowNs += waitNs + 0.4e6;
        }
        total += 40;
        // From the last message of one read to the next read it takes 0 to 3 ms.
        nowNs += (read % 4) * 1e6;
      }
      expect(Math.abs(total / (nowNs / SECOND) - 10_000)).toBeLessThan(100);
    },
  );

  test("counts time in which nobody waited as idle, so that the burst stays what it is", () => {
    const bucket = newBucket({ rate: 1000, burst: 1 });
    expect(bucket.reserve(1, 0)).toBe(0);
    expect(bucket.reserve(1, 10e6)).toBe(0);
    expect(bucket.reserve(1, 10e6)).toBeGreaterThan(0.9e6);
    // 1 ms of wait, then a pause of 30 ms: too long to be a timer's lateness.
    expect(bucket.reserve(2, 41e6)).toBeGreaterThan(0.9e6);
  });

  test("shares the rate between the connections of a user", () => {
    const cells = newCells();
    const limit = { rate: 10, burst: 1 };
    const connections = Array.from({ length: 5 }, () => new Bucket(cells, 0, limit));
    const waits = connections.map((connection) => Math.round(connection.reserve(1, 0) / 1e6));
    expect(waits).toEqual([0, 100, 200, 300, 400]);
  });
});

describe("unreserve and refund", () => {
  test("restore the level", () => {
    fc.assert(
      fc.property(limit, start, fc.nat(300), fc.nat(300), (limit, startNs, spent, booked) => {
        const cells = newCells();
        const other = new Bucket(cells, 0, limit);
        const bucket = new Bucket(cells, 0, limit);
        const taken = other.take(spent, startNs);
        const before = bucket.level(startNs);
        bucket.reserve(booked, startNs);
        bucket.unreserve(booked);
        expect(Math.abs(bucket.level(startNs) - before)).toBeLessThanOrEqual(ROUNDING);
        other.refund(taken);
        expect(Math.abs(other.level(startNs) - limit.burst)).toBeLessThanOrEqual(ROUNDING);
      }),
    );
  });

  test("give back the part of a reservation that is not used", () => {
    const bucket = newBucket({ rate: 1, burst: 10 });
    bucket.reserve(25, 0);
    bucket.unreserve(5);
    expect(bucket.level(0)).toBeCloseTo(-10, 1);
  });

  test("never give back more than was reserved", () => {
    const cells = newCells();
    const limit = { rate: 1, burst: 10 };
    const other = new Bucket(cells, 0, limit);
    const bucket = new Bucket(cells, 0, limit);
    other.take(8, 0);
    bucket.reserve(5, 0);
    bucket.unreserve(100);
    expect(bucket.level(0)).toBeCloseTo(2, 1);
    bucket.unreserve(5);
    expect(bucket.level(0)).toBeCloseTo(2, 1);
    other.unreserve(5);
    expect(bucket.level(0)).toBeCloseTo(2, 1);
  });

  test("give back what was reserved although the limit has changed since", () => {
    const bucket = newBucket({ rate: 10, burst: 20 });
    bucket.take(10, 0);
    bucket.reserve(5, 0);
    bucket.changeLimit({ rate: 5, burst: 20 });
    bucket.unreserve(5);
    expect(bucket.level(0)).toBeCloseTo(15, 1);
  });

  test("never fill a bucket above its burst", () => {
    const bucket = newBucket({ rate: 10, burst: 5 });
    bucket.take(5, 0);
    bucket.refund(5);
    bucket.refund(50);
    expect(bucket.level(SECOND)).toBe(5);
    expect(bucket.take(100, SECOND)).toBe(5);
  });
});
