// What the laws of a token bucket are tried on: buckets in cells of their own, limits, and moments.
import * as fc from "fast-check";

import { Bucket, BucketCells, BYTES_PER_CELL, type Limit } from "../../../src/shared-memory/gcra.ts";

export const SECOND = 1e9;

/** How far sums of many roundings may be off, in tokens. */
export const ROUNDING = 0.002;

export function newCells(): BucketCells {
  return new BucketCells(new SharedArrayBuffer(4 * BYTES_PER_CELL));
}

export function newBucket(limit: Limit): Bucket {
  return new Bucket(newCells(), 0, limit);
}

/** From one a minute to 10 000 a second, whole and odd. */
export const rate = fc.oneof(
  fc.constantFrom(1 / 60, 1 / 3, 1, 5, 1000 / 60, 20, 100, 3333.333, 10_000),
  fc.double({ min: 1 / 60, max: 10_000, noNaN: true }),
);

export const limit = fc.record({ rate, burst: fc.integer({ min: 1, max: 500 }) });

/** A moment of a process up to a day old. */
export const start = fc.integer({ min: 0, max: 8.64e13 });
