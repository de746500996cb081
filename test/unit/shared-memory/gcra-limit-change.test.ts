// What a reload that changes a limit leaves of the buckets that are in use, and of those that wait for their
// users.

import { describe, expect, test } from "vitest";
import { Bucket, BucketCells, BYTES_PER_CELL, type Limit } from "../../../src/shared-memory/gcra.ts";

const SECOND = 1e9;

function newCells(): BucketCells {
  return new BucketCells(new SharedArrayBuffer(BYTES_PER_CELL));
}

function newBucket(limit: Limit): Bucket {
  return new Bucket(newCells(), 0, limit);
}

describe("a change of the limit", () => {
  test("keeps the debt in time", () => {
    const bucket = newBucket({ rate: 10, burst: 20 });
    bucket.take(10, 0);
    bucket.changeLimit({ rate: 20, burst: 100 });
    expect(bucket.level(0)).toBeCloseTo(80, 1);
  });

  test("does not make an empty bucket pay for the slower limit of before", () => {
    const bucket = newBucket({ rate: 1 / 60, burst: 10 });
    bucket.take(10, 0);
    bucket.changeLimit({ rate: 20, burst: 40 });
    expect(bucket.level(0)).toBeCloseTo(0, 1);
    expect(bucket.take(100, 0)).toBe(0);
    expect(bucket.take(100, SECOND)).toBe(20);
  });

  test("reaches a cell whose user was away", () => {
    const cells = newCells();
    new Bucket(cells, 0, { rate: 1 / 60, burst: 10 }).take(10, 0);
    expect(new Bucket(cells, 0, { rate: 20, burst: 40 }).take(100, SECOND)).toBe(0);
    expect(new Bucket(cells, 0, { rate: 20, burst: 40 }).take(100, 2 * SECOND)).toBe(20);
  });

  test("keeps reservations, however many connections hear of it", () => {
    const cells = newCells();
    const before = { rate: 1, burst: 10 };
    const after = { rate: 10, burst: 10 };
    const connections = Array.from({ length: 5 }, () => new Bucket(cells, 0, before));
    for (const connection of connections) connection.reserve(5, 0);
    // 25 tokens: the bucket's ten, and fifteen seconds that are booked.
    for (const connection of connections) {
      connection.changeLimit(after);
      expect(connection.charge(0, 0)).toBeCloseTo(15 * SECOND, -6);
    }
  });

  test("leaves a fresh cell full", () => {
    const bucket = newBucket({ rate: 1 / 60, burst: 10 });
    bucket.changeLimit({ rate: 5, burst: 3 });
    expect(bucket.level(0)).toBe(3);
  });

  test.each([
    { rate: 0, burst: 1 },
    { rate: 1, burst: 0 },
    { rate: Number.NaN, burst: 1 },
  ])("refuses $rate/s with burst $burst, which would let nothing through", (limit) => {
    expect(() => newBucket(limit)).toThrow(RangeError);
  });
});
