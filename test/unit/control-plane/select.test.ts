import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Backend } from "../../../src/control-plane/backend.ts";
import { select, type SelectContext } from "../../../src/control-plane/select.ts";
import { type BackendInput, configOfPools, specsOf } from "./config-of-pools.ts";

type Balance = Parameters<typeof select>[0];

const ALGORITHMS: readonly Balance[] = ["least-connections", "round-robin", "random", "consistent-hash"];
const SLOW_START_MS = 30_000;

const weights = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 6 });

function backendsOf(inputs: readonly BackendInput[]): Backend[] {
  return specsOf(configOfPools({ chat: { backends: inputs } }))("chat").map(
    (spec) => new Backend("chat", spec),
  );
}

function weighted(weights: readonly number[]): Backend[] {
  return backendsOf(weights.map((weight, index) => ({ id: `b${index}`, weight })));
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`there is no item ${index}`);
  return item;
}

function choose(balance: Balance, backends: readonly Backend[], more: Partial<SelectContext> = {}): Backend {
  const context = { nowMs: 0, slowStartMs: null, user: "ann", ...more };
  const chosen = select(balance, backends, context);
  if (chosen === null) throw new Error("no backend was chosen");
  return chosen;
}

/** Chooses and takes, again and again; how often each was chosen. */
function fill(
  balance: Balance,
  backends: readonly Backend[],
  count: number,
  contextOf: (pick: number) => Partial<SelectContext> = () => ({}),
): number[] {
  const before = backends.map(({ connections }) => connections);
  for (let pick = 0; pick < count; pick++) choose(balance, backends, contextOf(pick)).connections += 1;
  return backends.map(({ connections }, index) => connections - at(before, index));
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

describe.each(ALGORITHMS)("%s", (balance) => {
  test("chooses none of none, nor one without weight", () => {
    const context = { nowMs: 0, slowStartMs: null, user: "ann" };
    expect(select(balance, [], context)).toBeNull();
    const backends = weighted([1, 1]);
    for (const backend of backends) backend.weightSet = 0;
    expect(select(balance, backends, context)).toBeNull();
    at(backends, 1).weightSet = 2;
    expect(fill(balance, backends, 20, (pick) => ({ user: `user-${pick}` }))).toEqual([0, 20]);
  });

  test("goes by the weight that an operator has set", () => {
    const backends = weighted([1, 1]);
    at(backends, 0).weightSet = 3;
    const [first, second] = fill(balance, backends, 4_000, (pick) => ({
      user: `user-${pick}`,
      random: () => pick / 4_000,
    }));
    expect(first).toBeGreaterThan(2_900);
    expect(second).toBeGreaterThan(900);
  });

  test("gives a backend that starts slowly as much of its share as has come back, a tenth at the least", () => {
    const shareAfter = (slowMs: number): number => {
      const backends = weighted([1, 1, 1]);
      at(backends, 1).slowSinceMs = 0;
      const counts = fill(balance, backends, 6_000, (pick) => ({
        nowMs: slowMs,
        slowStartMs: SLOW_START_MS,
        user: `user-${pick}`,
        random: () => pick / 6_000,
      }));
      return at(counts, 1) / 6_000;
    };
    expect(shareAfter(0)).toBeCloseTo(0.1 / 2.1, 1.8);
    expect(shareAfter(SLOW_START_MS / 2)).toBeCloseTo(0.5 / 2.5, 1.8);
    expect(shareAfter(SLOW_START_MS)).toBeCloseTo(1 / 3, 1.8);
  });
});

describe("least-connections", () => {
  test("gives each backend its share exactly, after any multiple of the sum of weights", () => {
    const property = fc.property(weights, fc.integer({ min: 1, max: 5 }), (weights, rounds) => {
      expect(fill("least-connections", weighted(weights), rounds * sumOf(weights))).toEqual(
        weights.map((weight) => weight * rounds),
      );
    });
    fc.assert(property);
  });

  test("never leaves a backend that would be less loaded with one more than another one is", () => {
    const property = fc.property(weights, fc.nat({ max: 300 }), (weights, count) => {
      const backends = weighted(weights);
      fill("least-connections", backends, count);
      const loads = backends.map(({ connections, weight }) => connections / weight);
      const loadsWithOneMore = backends.map(({ connections, weight }) => (connections + 1) / weight);
      expect(Math.min(...loadsWithOneMore)).toBeGreaterThanOrEqual(Math.max(...loads));
    });
    fc.assert(property);
  });

  test("draws ties evenly, wherever they stand in the list", () => {
    const backends = backendsOf(["a", "b", "busy", "c"].map((id) => ({ id })));
    at(backends, 2).connections = 1;
    // Every outcome of the two draws that three ties take, each equally likely.
    const chosen = new Map<string, number>();
    for (const first of [0, 1, 2, 3, 4, 5].map((n) => n / 6)) {
      for (const second of [0, 1, 2, 3, 4, 5].map((n) => n / 6)) {
        const draws = [first, second];
        const { id } = choose("least-connections", backends, { random: () => draws.shift() ?? 0 });
        chosen.set(id, (chosen.get(id) ?? 0) + 1);
      }
    }
    expect(Object.fromEntries(chosen)).toEqual({ a: 12, b: 12, c: 12 });
  });
});

describe("round-robin", () => {
  test("gives each backend its share exactly, after any multiple of the sum of weights", () => {
    const property = fc.property(weights, fc.integer({ min: 1, max: 5 }), (weights, rounds) => {
      expect(fill("round-robin", weighted(weights), rounds * sumOf(weights))).toEqual(
        weights.map((weight) => weight * rounds),
      );
    });
    fc.assert(property);
  });

  test("does not heed connections, and spreads a heavy backend's turns between the others'", () => {
    const backends = backendsOf([{ id: "a", weight: 5 }, { id: "b" }, { id: "c" }]);
    at(backends, 1).connections = 1_000;
    const turns = Array.from({ length: 7 }, () => choose("round-robin", backends).id);
    expect(turns.join("")).toBe("aabacaa");
  });

  test("owes nobody much after a time in which backends came, went, were full and changed their weights", () => {
    const change = fc.record({
      present: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
      weights: fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 5, maxLength: 5 }),
      picks: fc.nat({ max: 50 }),
    });
    const property = fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
      const backends = weighted([1, 1, 1, 1, 1]);
      for (const { present, weights, picks } of changes) {
        for (const [index, backend] of backends.entries()) backend.weightSet = at(weights, index);
        const candidates = backends.filter((_, index) => present[index]);
        if (candidates.length > 0) fill("round-robin", candidates, picks);
      }
      for (const backend of backends) {
        backend.weightSet = 1;
        backend.connections = 0;
      }
      const counts = fill("round-robin", backends, 1_000);
      for (const count of counts) expect(Math.abs(count - 200)).toBeLessThanOrEqual(5);
    });
    fc.assert(property);
  });
});

describe("random", () => {
  test("draws each backend with the probability of its share", () => {
    const property = fc.property(weights, fc.integer({ min: 1, max: 5 }), (weights, rounds) => {
      // Draws that lie evenly in [0, 1), each in the middle of its part.
      const draws = rounds * sumOf(weights);
      const counts = fill("random", weighted(weights), draws, (pick) => ({
        random: () => (pick + 0.5) / draws,
      }));
      expect(counts).toEqual(weights.map((weight) => weight * rounds));
    });
    fc.assert(property);
  });

  test("chooses one for every draw, the greatest below 1 included", () => {
    const property = fc.property(
      weights,
      fc.double({ min: 0, max: 1, maxExcluded: true }),
      (weights, draw) => {
        const backends = weighted(weights);
        expect(backends).toContain(choose("random", backends, { random: () => draw }));
      },
    );
    fc.assert(property, { examples: [[[1, 1, 1], 1 - Number.EPSILON / 2]] });
  });
});

describe("consistent-hash", () => {
  const users = Array.from({ length: 120 }, (_, index) => `user-${index}`);
  const homesOf = (backends: readonly Backend[]): string[] =>
    users.map((user) => choose("consistent-hash", backends, { user }).id);

  test("gives each backend its share of the users by weight", () => {
    const count = 20_000;
    const weights = [1, 2, 3, 4];
    const counts = fill("consistent-hash", weighted(weights), count, (pick) => ({
      user: `ip:10.${pick >> 16}.${(pick >> 8) & 0xff}.${pick & 0xff}`,
    }));
    for (const [index, weight] of weights.entries()) {
      expect(Math.abs(at(counts, index) / count - weight / 10)).toBeLessThan(0.01);
    }
  });

  test("moves nobody but the users of a backend that goes, or is full, and spreads them over all others", () => {
    const property = fc.property(weights, fc.nat(), (weights, pick) => {
      const backends = weighted([...weights, 7]);
      const gone = at(backends, pick % backends.length);
      const before = homesOf(backends);
      const after = homesOf(backends.filter((backend) => backend !== gone));
      const isStranded = before.map((home) => home === gone.id);
      expect(after.filter((_, index) => !isStranded[index])).toEqual(
        before.filter((_, index) => !isStranded[index]),
      );
      expect(after).not.toContain(gone.id);
    });
    fc.assert(property);

    const backends = weighted(Array.from({ length: 10 }, () => 1));
    const stranded = Array.from({ length: 9_000 }, (_, index) => `user-${index}`).filter(
      (user) => choose("consistent-hash", backends, { user }).id === "b0",
    );
    const rest = backends.slice(1);
    const heirs = fill("consistent-hash", rest, stranded.length, (pick) => ({ user: at(stranded, pick) }));
    expect(stranded.length).toBeGreaterThan(800);
    expect(Math.min(...heirs)).toBeGreaterThan(60);
  });

  test("moves users only towards a backend whose weight grows, wherever it stands in the list", () => {
    const property = fc.property(
      weights,
      fc.nat(),
      fc.integer({ min: 1, max: 50 }),
      (weights, pick, more) => {
        const backends = weighted([...weights, 7]);
        const grown = at(backends, pick % backends.length);
        const before = homesOf(backends);
        grown.weightSet = grown.weight + more;
        const after = homesOf(backends.toReversed());
        const moved = after.filter((home, index) => home !== before[index]);
        expect(moved).toEqual(moved.map(() => grown.id));
      },
    );
    fc.assert(property);
  });

  test("leads the same user to the same place in every process and every release", () => {
    const backends = weighted([1, 1, 1, 2]);
    const homes = ["ann", "bob", "ip:192.0.2.1", "jürgen", ""].map(
      (user) => choose("consistent-hash", backends, { user }).id,
    );
    expect(homes).toEqual(["b3", "b0", "b3", "b1", "b1"]);
  });
});
