import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { ClosePacer, excessConnections, type Load } from "../../../src/control-plane/rebalance.ts";

const NO_CAPACITY = Number.POSITIVE_INFINITY;

function loadsOf(...loads: readonly Partial<Load>[]): Load[] {
  return loads.map(({ connections = 0, leaving = 0, weight = 1, capacity = NO_CAPACITY }) => {
    return { connections, leaving, weight, capacity };
  });
}

/** Per weight, with one more. */
function nextLoadOf({ connections, weight }: Load): number {
  return (connections + 1) / weight;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

describe("connections that a backend has too many", () => {
  test("are those above its fair share and the skew that is put up with", () => {
    expect(excessConnections(loadsOf({ connections: 100 }, {}), 0.2)).toEqual([40, 0]);
    expect(excessConnections(loadsOf({ connections: 60 }, { connections: 40 }), 0.2)).toEqual([0, 0]);
    expect(excessConnections(loadsOf({ connections: 61 }, { connections: 39 }), 0.2)).toEqual([1, 0]);
    expect(excessConnections(loadsOf({ connections: 300 }, { weight: 2 }), 0.5)).toEqual([150, 0]);
    expect(excessConnections(loadsOf({ connections: 5 }, {}, {}, {}, {}), 0.2)).toEqual([3, 0, 0, 0, 0]);
    expect(excessConnections([], 0.2)).toEqual([]);
  });

  test("are none where one more here is one less than nothing there", () => {
    expect(excessConnections(loadsOf({ connections: 1 }, {}, {}), 0.2)).toEqual([0, 0, 0]);
    expect(excessConnections(loadsOf({ connections: 2 }, { connections: 1 }), 0.2)).toEqual([0, 0]);
  });

  test("are none where the others are at their capacity, and no more than they have room for", () => {
    const full = { connections: 10, capacity: 10 };
    expect(excessConnections(loadsOf({ connections: 100 }, full), 0.2)).toEqual([0, 0]);
    expect(excessConnections(loadsOf({ connections: 100 }, { ...full, capacity: 25 }), 0.2)).toEqual([15, 0]);
    // The fullest is helped first.
    const loads = loadsOf({ connections: 160 }, { connections: 200 }, { capacity: 30 });
    expect(excessConnections(loads, 0.2)).toEqual([0, 30, 0]);
  });

  test("are fewer by those that were told to leave, and these have their room", () => {
    expect(excessConnections(loadsOf({ connections: 100, leaving: 30 }, {}), 0.2)).toEqual([10, 0]);
    expect(excessConnections(loadsOf({ connections: 100, leaving: 40 }, {}), 0.2)).toEqual([0, 0]);
    const loads = loadsOf({ connections: 100, leaving: 15 }, { capacity: 20 });
    expect(excessConnections(loads, 0.2)).toEqual([5, 0]);
  });

  test("grow with the weight of a backend that starts slowly", () => {
    const excess = [0.1, 0.5, 1].map((weight) =>
      excessConnections(loadsOf({ connections: 1_000 }, { weight }), 0.05),
    );
    expect(excess).toEqual([
      [45, 0],
      [300, 0],
      [475, 0],
    ]);
  });

  const load = fc.record({
    connections: fc.nat(200),
    leaving: fc.constant(0),
    weight: fc.integer({ min: 1, max: 10 }),
    capacity: fc.oneof(fc.constant(NO_CAPACITY), fc.nat(200)),
  });
  const loads = fc.array(load, { minLength: 1, maxLength: 8 });
  const skew = fc.double({ min: 0.01, max: 3, noNaN: true });

  test("find a place on the others, whose bounds are kept, and then nobody has too many without capacities", () => {
    const property = fc.property(loads, skew, (loads, maxSkew) => {
      const total = sumOf(loads.map(({ connections }) => connections));
      const weights = sumOf(loads.map(({ weight }) => weight));
      const boundOf = ({ weight }: Load): number => Math.ceil((total / weights) * (1 + maxSkew) * weight);
      const excess = excessConnections(loads, maxSkew);
      const room = loads.map((load) =>
        Math.max(0, Math.min(boundOf(load), load.capacity) - load.connections),
      );
      expect(sumOf(excess)).toBeLessThanOrEqual(sumOf(room));
      for (const [index, each] of loads.entries()) {
        expect(excess[index]).toBeGreaterThanOrEqual(0);
        expect(excess[index]).toBeLessThanOrEqual(Math.max(0, each.connections - boundOf(each)));
      }
      if (loads.some(({ capacity }) => capacity !== NO_CAPACITY)) return;
      expect(excess).toEqual(loads.map((each) => Math.max(0, each.connections - boundOf(each))));
    });
    fc.assert(property);
  });

  test("come to an end: who leaves and goes where there is most room is not sent away again", () => {
    const property = fc.property(loads, skew, (loads, maxSkew) => {
      const backends = loads.map((each) => ({ ...each, capacity: NO_CAPACITY }));
      for (const [index, excess] of excessConnections(backends, maxSkew).entries()) {
        for (let i = 0; i < excess; i++) {
          for (const [at, backend] of backends.entries()) if (at === index) backend.connections -= 1;
          const least = backends.reduce((best, each) => (nextLoadOf(each) < nextLoadOf(best) ? each : best));
          least.connections += 1;
        }
      }
      expect(sumOf(excessConnections(backends, maxSkew))).toBe(0);
    });
    fc.assert(property);
  });
});

describe("the pace of the closes", () => {
  test("is kept whatever the time between the questions, fractions included", () => {
    const property = fc.property(
      fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 200 }),
      fc.double({ min: 3, max: 100, noNaN: true }),
      (gapsMs, pace) => {
        const pacer = new ClosePacer();
        expect(pacer.take(1_000, pace, 0)).toBe(0);
        let nowMs = 0;
        let closed = 0;
        for (const gapMs of gapsMs) {
          nowMs += gapMs;
          closed += pacer.take(1_000, pace, nowMs);
          expect(closed).toBeLessThanOrEqual((nowMs / 1_000) * pace + 1e-6);
          expect(closed).toBeGreaterThan((nowMs / 1_000) * pace - 1 - 1e-6);
        }
      },
    );
    fc.assert(property);
  });

  test("is also kept below one a second", () => {
    const pacer = new ClosePacer();
    const closedAt: number[] = [];
    for (let nowMs = 0; nowMs <= 10_000; nowMs += 500) {
      if (pacer.take(5, 0.25, nowMs) === 1) closedAt.push(nowMs);
    }
    expect(closedAt).toEqual([4_000, 8_000]);
  });

  test("saves nothing up while there is nothing to close, and little over a pause", () => {
    const pacer = new ClosePacer();
    for (let nowMs = 0; nowMs < 60_000; nowMs += 100) expect(pacer.take(0, 10, nowMs)).toBe(0);
    expect(pacer.take(100, 10, 60_000)).toBe(1);
    expect(pacer.take(100, 10, 120_000)).toBe(10);
  });

  test("closes no more than is wanted", () => {
    const pacer = new ClosePacer();
    pacer.take(1, 10, 0);
    expect(pacer.take(1, 10, 500)).toBe(1);
    expect(pacer.take(3, 10, 600)).toBe(3);
  });
});
