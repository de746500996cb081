import * as fc from "fast-check";
import { expect, test } from "vitest";

import { ShardedMap } from "../../../src/control-plane/sharded-map.ts";

function inOrder(values: Iterable<number>): number[] {
  return [...values].toSorted((a, b) => a - b);
}

test("holds what a Map would, whatever is set and deleted", () => {
  const step = fc.record({ key: fc.string({ maxLength: 3 }), value: fc.option(fc.nat(), { nil: null }) });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const model = new Map<string, number>();
      const map = new ShardedMap<number>();
      for (const { key, value } of steps) {
        if (value === null) {
          model.delete(key);
          map.delete(key);
        } else {
          model.set(key, value);
          map.set(key, value);
        }
        expect(map.size).toBe(model.size);
        expect(map.get(key)).toBe(model.get(key));
      }
      expect(inOrder(map.values())).toEqual(inOrder(model.values()));
    }),
  );
});

test("may change while its values are stepped through: each that stays is seen once", () => {
  const map = new ShardedMap<string>();
  const staying = Array.from({ length: 1_000 }, (_, i) => `staying-${i}`);
  for (const [i, key] of staying.entries()) {
    map.set(key, key);
    map.set(`leaving-${i}`, "leaving");
  }
  const seen: string[] = [];
  for (const value of map.values()) {
    const i = seen.length;
    seen.push(value);
    map.delete(`leaving-${i}`);
    map.set(`added-${i % 10}`, "added");
  }
  expect(seen.filter((value) => value.startsWith("staying")).toSorted()).toEqual(staying.toSorted());
});
