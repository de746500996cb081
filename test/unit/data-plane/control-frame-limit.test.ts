import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { ControlFrameLimit } from "../../../src/data-plane/control-frame-limit.ts";

describe("the limit of control frames", () => {
  test("lets exactly the burst through at one moment, whenever that is, one by one or at once", () => {
    const limit = {
      rate: fc.double({ min: 0.001, max: 1e4, noNaN: true }),
      burst: fc.integer({ min: 1, max: 2_000 }),
      nowMs: fc.double({ min: 0, max: 1e8, noNaN: true }),
    };
    fc.assert(
      fc.property(fc.record(limit), ({ nowMs, ...rate }) => {
        const one = new ControlFrameLimit(rate);
        for (let i = 0; i < rate.burst; i++) expect(one.take(1, nowMs)).toBe(true);
        expect(one.take(1, nowMs)).toBe(false);
        expect(new ControlFrameLimit(rate).take(rate.burst, nowMs)).toBe(true);
        expect(new ControlFrameLimit(rate).take(rate.burst + 1, nowMs)).toBe(false);
      }),
    );
  });

  test("refills at its rate, and no further than the burst", () => {
    const limit = new ControlFrameLimit({ rate: 10, burst: 5 });
    expect(limit.take(5, 1_000)).toBe(true);
    expect(limit.take(1, 1_099)).toBe(false);
    expect(limit.take(1, 1_100)).toBe(true);
    expect(limit.take(2, 1_200)).toBe(false);
    expect(limit.take(2, 1_300)).toBe(true);
    expect(limit.take(6, 90_000)).toBe(false);
    expect(limit.take(5, 90_000)).toBe(true);
  });

  test("counts nothing of what it refuses", () => {
    const limit = new ControlFrameLimit({ rate: 1, burst: 3 });
    expect(limit.take(4, 0)).toBe(false);
    expect(limit.take(3, 0)).toBe(true);
  });

  test("keeps what was spent when its rate is set anew, and no more than an empty bucket of the new rate", () => {
    const limit = new ControlFrameLimit({ rate: 10, burst: 5 });
    expect(limit.take(5, 1_000)).toBe(true);
    limit.changeRate({ rate: 10, burst: 5 }, 1_000);
    expect(limit.take(1, 1_099)).toBe(false);
    expect(limit.take(1, 1_100)).toBe(true);
    limit.changeRate({ rate: 100, burst: 5 }, 1_100);
    expect(limit.take(1, 1_109)).toBe(false);
    expect(limit.take(1, 1_110)).toBe(true);
    limit.changeRate({ rate: 100, burst: 50 }, 90_000);
    expect(limit.take(50, 90_000)).toBe(true);
  });
});
