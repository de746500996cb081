import { Worker } from "node:worker_threads";
import { once } from "node:events";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Counter, CounterBlock, Counters } from "../../../src/shared-memory/counters.ts";

describe("the counters", () => {
  test("sum every thread's cells, for any additions to any slots", () => {
    const addition = fc.record({
      thread: fc.nat({ max: 2 }),
      slot: fc.nat({ max: 3 }),
      amount: fc.nat({ max: 2 ** 40 }),
    });
    const property = fc.property(fc.array(addition), (additions) => {
      const counters = new Counters();
      const blocks = [counters.addBlock(), counters.addBlock(), counters.addBlock()];
      const expected = new Map<string, number>();
      for (const { thread, slot, amount } of additions) {
        const index = counters.slotOf("tier", `pool-${slot}`) + Counter.bytesToClient;
        const cells = blocks[thread]?.cells ?? new Float64Array();
        cells[index] = (cells[index] ?? 0) + amount;
        expected.set(`pool-${slot}`, (expected.get(`pool-${slot}`) ?? 0) + amount);
      }
      const totals = [...counters.totals("bytesToClient")].map(({ pool, total }) => [pool, total] as const);
      expect(new Map(totals)).toEqual(expected);
      for (const { total } of counters.totals("bytesToBackend")) expect(total).toBe(0);
    });
    fc.assert(property);
  });

  test("give each pair of tier and pool one slot, which overlaps no other", () => {
    const counters = new Counters();
    const bases = ["a", "b"].flatMap((tier) => ["a", "b"].map((pool) => counters.slotOf(tier, pool)));
    expect(new Set(bases).size).toBe(4);
    const cells = bases.flatMap((base) => Object.values(Counter).map((offset) => base + offset));
    expect(new Set(cells).size).toBe(cells.length);
    expect(counters.slotOf("a", "b")).toBe(bases[1]);
  });

  test("refuse a pair more than there are slots", () => {
    const counters = new Counters();
    for (let i = 0; i < 16_384; i++) counters.slotOf("tier", `pool-${i}`);
    const known = { tier: "tier", pool: "pool-0" };
    expect(counters.canHold([known])).toBe(true);
    expect(counters.canHold([known, { tier: "tier", pool: "one more" }])).toBe(false);
    expect(() => counters.slotOf("tier", "one more")).toThrow(RangeError);
    expect(counters.slotOf("tier", "pool-0")).toBe(0);
  });

  test("see at once what another thread has written", async () => {
    const counters = new Counters();
    const block = counters.addBlock();
    const base = counters.slotOf("default", "chat");
    const source = `
      const { workerData } = require("node:worker_threads");
      new Float64Array(workerData.buffer)[workerData.index] = 2 ** 53 - 1;`;
    const workerData = { buffer: block.buffer, index: base + Counter.messagesToBackend };
    const worker = new Worker(source, { eval: true, workerData });
    await once(worker, "exit");
    const [total] = counters.totals("messagesToBackend");
    expect(total).toEqual({ tier: "default", pool: "chat", total: 2 ** 53 - 1 });
    expect(new CounterBlock(block.buffer).cells[workerData.index]).toBe(2 ** 53 - 1);
  });
});
