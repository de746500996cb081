import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { TierConfig } from "../../../src/config/schema-limits.ts";
import { Caps } from "../../../src/control-plane/caps.ts";

function tier(caps: Partial<TierConfig>): TierConfig {
  return {
    maxConnections: null,
    maxConnectionsPerUser: null,
    priority: "normal",
    messages: null,
    bytes: null,
    userFull: "reject",
    default: false,
    ...caps,
  };
}

test("names the first cap that is reached: global, then tier, then user", () => {
  const caps = new Caps({
    maxConnections: 3,
    tiers: { vip: tier({ maxConnections: 2, maxConnectionsPerUser: 1 }), guest: tier({}) },
  });
  expect(caps.exceededBy("vip", "ann")).toBeNull();
  caps.acquire("vip", "ann");
  expect(caps.exceededBy("vip", "ann")).toBe("user_full");
  caps.acquire("vip", "bob");
  expect(caps.exceededBy("vip", "cid")).toBe("tier_full");
  expect(caps.exceededBy("guest", "ann")).toBeNull();
  caps.acquire("guest", "ann");
  expect(caps.exceededBy("guest", "dan")).toBe("connections_full");
  caps.release("vip", "ann");
  expect(caps.exceededBy("vip", "cid")).toBeNull();
});

test("a lowered cap keeps what is open and lets nobody in until it has room", () => {
  const caps = new Caps({ maxConnections: 10, tiers: { vip: tier({}) } });
  for (const user of ["a", "b", "c"]) caps.acquire("vip", user);
  caps.configure({ maxConnections: 10, tiers: { vip: tier({ maxConnections: 2 }) } });
  expect(caps.exceededBy("vip", "d")).toBe("tier_full");
  caps.release("vip", "a");
  expect(caps.exceededBy("vip", "d")).toBe("tier_full");
  caps.release("vip", "b");
  expect(caps.exceededBy("vip", "d")).toBeNull();
});

test("counts equal what is held after any sequence", () => {
  const names = fc.constantFrom("a", "b", "c");
  fc.assert(
    fc.property(fc.array(fc.tuple(names, names, fc.boolean()), { maxLength: 100 }), (steps) => {
      const caps = new Caps({ maxConnections: 1_000, tiers: {} });
      const held: [string, string][] = [];
      for (const [tierName, user, isRelease] of steps) {
        if (isRelease) {
          const one = held.pop();
          if (one !== undefined) caps.release(...one);
        } else {
          caps.acquire(tierName, user);
          held.push([tierName, user]);
        }
      }
      expect(caps.total).toBe(held.length);
      for (const name of ["a", "b", "c"]) {
        expect(caps.ofTier(name)).toBe(held.filter(([tierName]) => tierName === name).length);
        expect(caps.ofUser(name)).toBe(held.filter(([, user]) => user === name).length);
      }
    }),
  );
});
