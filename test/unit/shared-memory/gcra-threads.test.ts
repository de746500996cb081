// Threads that spend from the same cells at the same time, on a clock that stands still: what they get
// together is exactly what one of them would.

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  Bucket,
  BucketCells,
  BYTES_PER_CELL,
  type Limit,
  takeBoth,
} from "../../../src/shared-memory/gcra.ts";

const THREADS = 4;

/** Enough for every thread to meet the others, and for all tokens to be asked for many times over. */
const CALLS = 50_000;

const tierLimit: Limit = { rate: 3, burst: 60_000 };
const routeLimit: Limit = { rate: 7, burst: 45_000 };

// The threads wait for each other before each run, so that none is done before the last one begins.
const source = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { buffer, gate, threads, calls, gcra, tierLimit, routeLimit } = workerData;
  import(gcra).then(({ Bucket, BucketCells, takeBoth }) => {
    const cells = new BucketCells(buffer);
    const tier = new Bucket(cells, 0, tierLimit);
    const route = new Bucket(cells, 1, routeLimit);
    const operations = {
      take: (n, nowNs) => tier.take(n, nowNs),
      takeBoth: (n, nowNs) => takeBoth(tier, route, n, nowNs),
      charge: (n, nowNs) => (tier.charge(n, nowNs), n),
      reserve: (n, nowNs) => {
        tier.reserve(n, nowNs);
        tier.unreserve(n - 1);
        return 1;
      },
    };
    parentPort.on("message", ({ operation, nowNs, round }) => {
      Atomics.add(gate, 0, 1);
      while (Atomics.load(gate, 0) < round * threads);
      let total = 0;
      for (let i = 0; i < calls; i++) total += operations[operation](1 + (i % 3), nowNs);
      parentPort.postMessage(total);
    });
    parentPort.postMessage("ready");
  });`;

let buffer: SharedArrayBuffer;
let tier: Bucket;
let route: Bucket;
let workers: Worker[];
let rounds: number;

/** What all threads together were given. */
async function hammer(operation: "take" | "takeBoth" | "charge" | "reserve", nowNs: number): Promise<number> {
  rounds += 1;
  const totals = workers.map(async (worker): Promise<number> => {
    worker.postMessage({ operation, nowNs, round: rounds });
    const [total] = (await once(worker, "message")) as [number];
    return total;
  });
  return (await Promise.all(totals)).reduce((sum, total) => sum + total, 0);
}

beforeEach(async () => {
  buffer = new SharedArrayBuffer(2 * BYTES_PER_CELL);
  const cells = new BucketCells(buffer);
  tier = new Bucket(cells, 0, tierLimit);
  route = new Bucket(cells, 1, routeLimit);
  rounds = 0;
  const workerData = {
    buffer,
    gate: new Int32Array(new SharedArrayBuffer(4)),
    threads: THREADS,
    calls: CALLS,
    gcra: new URL("../../../src/shared-memory/gcra.ts", import.meta.url).href,
    tierLimit,
    routeLimit,
  };
  workers = Array.from({ length: THREADS }, () => new Worker(source, { eval: true, workerData }));
  await Promise.all(workers.map((worker) => once(worker, "message")));
});

afterEach(async () => {
  await Promise.all(workers.map((worker) => worker.terminate()));
});

describe(`${THREADS} threads`, () => {
  test("take the burst exactly, and then exactly what time refills", async () => {
    expect(await hammer("take", 1e9)).toBe(60_000);
    expect(await hammer("take", 1e9)).toBe(0);
    expect(await hammer("take", 1e9 + 1000e9)).toBe(3000);
    expect(await hammer("take", 1e9 + 1000e9)).toBe(0);
    expect(await hammer("take", 1e9 + 1_000_000e9)).toBe(60_000);
  });

  test("take the same number from both of two buckets, and no token of one alone", async () => {
    // Who loses the race for the last tokens gives some back, perhaps after everybody's last call.
    const threads = await hammer("takeBoth", 1e9);
    expect(threads).toBeLessThanOrEqual(45_000);
    expect(tier.level(1e9)).toBeCloseTo(60_000 - threads, 2);
    expect(route.level(1e9)).toBeCloseTo(45_000 - threads, 2);
    expect(takeBoth(tier, route, 45_000, 1e9)).toBe(45_000 - threads);
  });

  test("lose no charge", async () => {
    const charged = await hammer("charge", 1e9);
    expect(charged).toBeGreaterThan(THREADS * CALLS);
    expect(tier.level(1e9)).toBeCloseTo(60_000 - charged, 2);
  });

  test("lose no reservation, and nothing that is given back", async () => {
    const kept = await hammer("reserve", 1e9);
    expect(kept).toBe(THREADS * CALLS);
    expect(tier.level(1e9)).toBeCloseTo(60_000 - kept, 2);
  });
});
