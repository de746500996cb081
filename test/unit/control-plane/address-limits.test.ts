// The limits of one address: counts that come back on every end, a bucket that refills, memory with a bound.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { AddressLimits } from "../../../src/control-plane/address-limits.ts";

const both = { connections: 2, upgrades: { rate: 10, burst: 3 } };

describe("AddressLimits", () => {
  test("lets so many be there at once, of each address", () => {
    const limits = new AddressLimits({ connections: 2, upgrades: null }, () => 0);
    const entered = [1, 2, 3].map((id) => limits.enter(1, id, "ip:a"));
    expect([entered, limits.enter(1, 4, "ip:b")]).toEqual([[true, true, false], true]);
    limits.leave(1, 3);
    expect(limits.enter(1, 5, "ip:a")).toBe(false);
    limits.leave(1, 1);
    limits.leave(1, 1);
    limits.leave(2, 2);
    expect([limits.enter(2, 1, "ip:a"), limits.enter(2, 2, "ip:a")]).toEqual([true, false]);
    limits.releaseWorker(2);
    expect(limits.enter(1, 6, "ip:a")).toBe(true);
  });

  test("lets a burst in and then the rate, those that are refused for their number included", () => {
    let nowMs = 1_000;
    const limits = new AddressLimits(both, () => nowMs);
    let id = 0;
    const enter = () => limits.enter(1, ++id, "ip:a");
    expect([enter(), enter(), enter(), enter()]).toEqual([true, true, false, false]);
    limits.releaseWorker(1);
    expect(enter()).toBe(false);
    nowMs += 99;
    expect(enter()).toBe(false);
    nowMs += 1;
    expect([enter(), enter()]).toEqual([true, false]);
  });

  test("never grants more than rate·t + burst, nor starves a slow address", () => {
    const steps = fc.array(fc.nat(400), { maxLength: 60 });
    fc.assert(
      fc.property(
        steps,
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 5 }),
        (gaps, rate, burst) => {
          let nowMs = 0;
          const limits = new AddressLimits({ connections: null, upgrades: { rate, burst } }, () => nowMs);
          let granted = 0;
          for (const [id, gapMs] of gaps.entries()) {
            nowMs += gapMs;
            if (limits.enter(1, id, "ip:a")) granted += 1;
            expect(granted).toBeLessThanOrEqual((nowMs * rate) / 1_000 + burst + 1e-6);
          }
          nowMs += 1_000 / rate;
          expect(limits.enter(1, -1, "ip:a")).toBe(true);
        },
      ),
    );
  });

  test("counts as many as are there after any sequence", () => {
    const step = fc.tuple(fc.constantFrom("enter", "leave", "die"), fc.nat(2), fc.nat(5), fc.nat(2));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (sequence) => {
        const limits = new AddressLimits({ connections: 3, upgrades: null }, () => 0);
        const model = new Map<string, string>();
        const countOf = (address: string) => [...model.values()].filter((each) => each === address).length;
        let next = 100;
        const verdicts: [given: boolean, due: boolean][] = [];
        for (const [what, worker, id, n] of sequence) {
          const address = `ip:${n}`;
          if (what === "enter") {
            const fresh = next++;
            const isLetIn = limits.enter(worker, fresh, address);
            verdicts.push([isLetIn, countOf(address) < 3]);
            if (isLetIn) model.set(`${worker} ${fresh}`, address);
          } else if (what === "leave") {
            const key = [...model.keys()][id] ?? "9 9";
            const [owner = 9, place = 9] = key.split(" ").map(Number);
            limits.leave(owner, place);
            model.delete(key);
          } else {
            limits.releaseWorker(worker);
            for (const key of model.keys()) if (key.startsWith(`${worker} `)) model.delete(key);
          }
        }
        expect(verdicts.filter(([given, due]) => given !== due)).toEqual([]);
        limits.sweep();
        expect(limits.size).toBe(new Set(model.values()).size);
      }),
    );
  });

  test("forgets addresses that have nothing, and of very many the oldest, but none with connections", () => {
    let nowMs = 0;
    const limits = new AddressLimits(both, () => nowMs);
    limits.enter(1, 0, "ip:stays");
    for (let i = 1; i <= 150_000; i++) {
      limits.enter(1, i, `ip:${i}`);
      limits.leave(1, i);
    }
    expect(limits.size).toBeLessThanOrEqual(100_001);
    nowMs += 1_000;
    limits.sweep();
    expect(limits.size).toBe(1);
    expect([limits.enter(1, -1, "ip:stays"), limits.enter(1, -2, "ip:stays")]).toEqual([true, false]);
  });

  test("turned off lets everyone in, and on again counts anew those that come", () => {
    const limits = new AddressLimits(null, () => 0);
    expect([1, 2, 3, 4].map((id) => limits.enter(1, id, "ip:a"))).toEqual([true, true, true, true]);
    limits.configure({ connections: 1, upgrades: null });
    expect([limits.enter(1, 5, "ip:a"), limits.enter(1, 6, "ip:a")]).toEqual([true, false]);
    limits.leave(1, 1);
    expect(limits.enter(1, 7, "ip:a")).toBe(false);
  });
});
