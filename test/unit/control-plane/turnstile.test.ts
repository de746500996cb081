import * as fc from "fast-check";
import { expect, test } from "vitest";

import { Turnstile } from "../../../src/control-plane/turnstile.ts";

test("lets as many through as there is room for, and the others in their order", () => {
  const turns: string[] = [];
  const turnstile = new Turnstile<string>(2, (item) => turns.push(item));
  for (const item of ["a", "b", "c", "d", "e"]) turnstile.enter(item);
  expect(turns).toEqual(["a", "b"]);
  turnstile.leave("d");
  turnstile.leave("a");
  expect(turns).toEqual(["a", "b", "c"]);
  turnstile.leave("c");
  expect(turns).toEqual(["a", "b", "c", "e"]);
});

test("one that leaves within its turn makes room for the next", () => {
  const turns: number[] = [];
  const turnstile: Turnstile<number> = new Turnstile<number>(1, (item) => {
    turns.push(item);
    turnstile.leave(item);
  });
  for (const item of [1, 2, 3]) turnstile.enter(item);
  expect(turns).toEqual([1, 2, 3]);
});

test("whatever comes and goes, no more than its size are inside and nobody waits beside a free place", () => {
  const size = 3;
  fc.assert(
    fc.property(fc.array(fc.record({ item: fc.nat(9), isEntering: fc.boolean() })), (steps) => {
      const inside = new Set<number>();
      const wanting = new Set<number>();
      const turnstile = new Turnstile<number>(size, (item) => {
        expect(wanting.has(item)).toBe(true);
        wanting.delete(item);
        inside.add(item);
      });
      for (const { item, isEntering } of steps) {
        if (isEntering) {
          // Nobody enters twice.
          if (inside.has(item) || wanting.has(item)) continue;
          wanting.add(item);
          turnstile.enter(item);
        } else {
          inside.delete(item);
          wanting.delete(item);
          turnstile.leave(item);
        }
        expect(inside.size).toBeLessThanOrEqual(size);
        expect(inside.size === size || wanting.size === 0).toBe(true);
      }
    }),
  );
});
