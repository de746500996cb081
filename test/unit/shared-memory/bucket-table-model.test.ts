// The table against its model, over any sequence of calls: a cell stays its key's as long as a grant names
// it or its bucket is not full.

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BucketTable, BucketView } from "../../../src/shared-memory/bucket-table.ts";

const SECOND = 1e9;
const limit = { rate: 1, burst: 10 };

interface Expected {
  readonly cell: number;
  holders: number;
  /** When the bucket is full again. */
  fullAtNs: number;
}

type Step =
  | { readonly type: "acquire"; readonly key: string }
  /** One of the grants, chosen by `pick`. */
  | { readonly type: "release"; readonly pick: number }
  | { readonly type: "spend"; readonly pick: number; readonly tokens: number }
  | { readonly type: "advance"; readonly seconds: number }
  | { readonly type: "sweep"; readonly steps: number };

/** The real table, and beside it what it should hold. */
class TableUnderTest {
  readonly table = new BucketTable();
  readonly view = new BucketView();
  /** Keys whose bucket must be kept; the table may keep others that it has not swept yet. */
  readonly keys = new Map<string, Expected>();
  /** The key of each grant. */
  readonly grants: string[] = [];
  nowNs = 0;

  constructor() {
    this.table.onSegment((segment) => this.view.addSegment(segment));
  }

  run(step: Step): void {
    if (step.type === "acquire") this.#acquire(step.key);
    else if (step.type === "advance") this.nowNs += step.seconds * SECOND;
    else if (step.type === "sweep") this.table.sweep(this.nowNs, step.steps);
    else if (this.grants.length > 0) {
      const grant = step.pick % this.grants.length;
      if (step.type === "release") this.release(grant);
      else this.#spend(grant, step.tokens);
    }
    for (const [key, { holders, fullAtNs }] of this.keys) {
      if (holders === 0 && fullAtNs <= this.nowNs) this.keys.delete(key);
    }
  }

  release(grant: number): void {
    const [key = ""] = this.grants.splice(grant, 1);
    const expected = this.#expected(key);
    expected.holders -= 1;
    this.table.release(expected.cell, this.nowNs);
  }

  level(cell: number): number {
    return this.view.bucket(cell, limit).level(this.nowNs);
  }

  #acquire(key: string): void {
    const cell = this.table.acquire(key, this.nowNs);
    const known = this.keys.get(key);
    if (known === undefined) this.keys.set(key, { cell, holders: 1, fullAtNs: 0 });
    else if (known.cell === cell) known.holders += 1;
    else throw new Error(`${key} had cell ${known.cell} and got ${cell}`);
    this.grants.push(key);
  }

  #spend(grant: number, tokens: number): void {
    const expected = this.#expected(this.grants[grant] ?? "");
    this.view.bucket(expected.cell, limit).charge(tokens, this.nowNs);
    expected.fullAtNs = Math.max(expected.fullAtNs, this.nowNs) + tokens * SECOND;
  }

  #expected(key: string): Expected {
    const expected = this.keys.get(key);
    if (expected === undefined) throw new Error(`the model forgot ${key}, which a grant names`);
    return expected;
  }
}

const pick = fc.nat(50);

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant("acquire"), key: fc.constantFrom("a", "b", "c", "d", "e", "f", "g", "h") }),
  fc.record({ type: fc.constant("release"), pick }),
  fc.record({ type: fc.constant("spend"), pick, tokens: fc.nat(15) }),
  fc.record({ type: fc.constant("advance"), seconds: fc.nat(8) }),
  fc.record({ type: fc.constant("sweep"), steps: fc.nat(10) }),
);

test("a cell is never another key's while a grant names it or its bucket is not full", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: "max" }), (steps) => {
      const real = new TableUnderTest();
      for (const step of steps) {
        real.run(step);
        const kept = [...real.keys.values()];
        expect(new Set(kept.map(({ cell }) => cell)).size).toBe(kept.length);
        expect(real.table.size).toBeGreaterThanOrEqual(kept.length);
        for (const { cell, fullAtNs } of kept) {
          const missing = Math.max(0, fullAtNs - real.nowNs) / SECOND;
          expect(real.level(cell)).toBeCloseTo(limit.burst - missing, 5);
        }
      }
      // When all have gone and enough time has passed, nothing is left.
      while (real.grants.length > 0) real.release(0);
      real.table.sweep(real.nowNs + 1e6 * SECOND, 100);
      expect(real.table.size).toBe(0);
    }),
    { numRuns: 300 },
  );
});
