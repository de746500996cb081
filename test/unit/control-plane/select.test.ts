import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Backend } from "../../../src/control-plane/backend.ts";
import { selectLeastConnections } from "../../../src/control-plane/select.ts";
import { type BackendInput, configOfPools } from "./config-of-pools.ts";

function backendsOf(inputs: readonly BackendInput[]): Backend[] {
  const configs = configOfPools({ chat: { backends: inputs } }).pools["chat"]?.backends ?? [];
  return configs.map((config) => new Backend("chat", config));
}

/** Chooses and takes, again and again. */
function fill(backends: readonly Backend[], count: number): void {
  for (let i = 0; i < count; i++) {
    const chosen = selectLeastConnections(backends);
    if (chosen === null) throw new Error("no backend was chosen");
    chosen.connections += 1;
  }
}

const weights = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 6 });

describe("weighted least-connections", () => {
  test("gives each backend its share exactly, after any multiple of the sum of weights", () => {
    const property = fc.property(weights, fc.integer({ min: 1, max: 5 }), (weights, rounds) => {
      const backends = backendsOf(weights.map((weight, index) => ({ id: `b${index}`, weight })));
      fill(backends, rounds * weights.reduce((sum, weight) => sum + weight, 0));
      expect(backends.map(({ connections }) => connections)).toEqual(
        weights.map((weight) => weight * rounds),
      );
    });
    fc.assert(property);
  });

  test("never leaves a backend that would be less loaded with one more than another one is", () => {
    const property = fc.property(weights, fc.nat({ max: 300 }), (weights, count) => {
      const backends = backendsOf(weights.map((weight, index) => ({ id: `b${index}`, weight })));
      fill(backends, count);
      const loads = backends.map(({ connections, config }) => connections / config.weight);
      const loadsWithOneMore = backends.map(({ connections, config }) => (connections + 1) / config.weight);
      expect(Math.min(...loadsWithOneMore)).toBeGreaterThanOrEqual(Math.max(...loads));
    });
    fc.assert(property);
  });

  test("draws ties evenly, wherever they stand in the list", () => {
    const backends = backendsOf(["a", "b", "busy", "c"].map((id) => ({ id })));
    const busy = backends[2];
    if (busy === undefined) throw new Error("there are four");
    busy.connections = 1;
    // Every outcome of the two draws that three ties take, each equally likely.
    const chosen = new Map<string, number>();
    for (const first of [0, 1, 2, 3, 4, 5].map((n) => n / 6)) {
      for (const second of [0, 1, 2, 3, 4, 5].map((n) => n / 6)) {
        const draws = [first, second];
        const id = selectLeastConnections(backends, () => draws.shift() ?? 0)?.id ?? "none";
        chosen.set(id, (chosen.get(id) ?? 0) + 1);
      }
    }
    expect(Object.fromEntries(chosen)).toEqual({ a: 12, b: 12, c: 12 });
  });

  test("chooses none of none", () => {
    expect(selectLeastConnections([])).toBeNull();
  });
});
