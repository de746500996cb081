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
  expect(caps.exceededBy("vip", 0)).toBeNull();
  caps.acquire("vip");
  expect(caps.exceededBy("vip", 1)).toBe("user_full");
  expect(caps.exceededBy("vip", 0)).toBeNull();
  caps.acquire("vip");
  expect(caps.exceededBy("vip", 1)).toBe("tier_full");
  expect(caps.exceededBy("guest", 1)).toBeNull();
  caps.acquire("guest");
  expect(caps.exceededBy("vip", 1)).toBe("connections_full");
  caps.release("vip");
  expect(caps.exceededBy("vip", 0)).toBeNull();
});

test("a lowered cap keeps what is open and lets nobody in until it has room", () => {
  const caps = new Caps({ maxConnections: 10, tiers: { vip: tier({}) } });
  for (let open = 0; open < 3; open++) caps.acquire("vip");
  caps.configure({ maxConnections: 10, tiers: { vip: tier({ maxConnections: 2 }) } });
  expect(caps.exceededBy("vip", 0)).toBe("tier_full");
  caps.release("vip");
  expect(caps.exceededBy("vip", 0)).toBe("tier_full");
  caps.release("vip");
  expect(caps.exceededBy("vip", 0)).toBeNull();
});

test("of the caps that are told, `all` is the global one, also beside a tier of that name", () => {
  const caps = new Caps({
    maxConnections: 10,
    tiers: { all: tier({ maxConnections: 2 }), vip: tier({ maxConnections: 3 }) },
  });
  caps.acquire("all");
  caps.acquire("vip");
  expect(caps.all).toEqual([
    { tier: "all", limit: 10, open: 2 },
    { tier: "vip", limit: 3, open: 1 },
  ]);
});

test("a connection whose tier is gone counts as of the default one, until its tier is back", () => {
  const [vip, guest] = [tier({ maxConnections: 1 }), tier({ maxConnections: 2, default: true })];
  const caps = new Caps({ maxConnections: 10, tiers: { vip, guest } });
  caps.acquire("vip");
  caps.acquire("guest");
  expect(caps.exceededBy("guest", 0)).toBeNull();
  caps.configure({ maxConnections: 10, tiers: { guest } });
  expect(caps.exceededBy("guest", 0)).toBe("tier_full");
  caps.configure({ maxConnections: 10, tiers: { vip, guest } });
  expect(caps.exceededBy("guest", 0)).toBeNull();
  expect(caps.exceededBy("vip", 0)).toBe("tier_full");
  caps.configure({ maxConnections: 10, tiers: { guest } });
  caps.release("vip");
  expect(caps.exceededBy("guest", 0)).toBeNull();
});

test("counts equal what is held after any sequence", () => {
  const names = fc.constantFrom("a", "b", "c");
  fc.assert(
    fc.property(fc.array(fc.tuple(names, fc.boolean()), { maxLength: 100 }), (steps) => {
      const caps = new Caps({ maxConnections: 1_000, tiers: {} });
      const held: string[] = [];
      for (const [tierName, isRelease] of steps) {
        if (isRelease) {
          const one = held.pop();
          if (one !== undefined) caps.release(one);
        } else {
          caps.acquire(tierName);
          held.push(tierName);
        }
      }
      expect(caps.total).toBe(held.length);
      for (const name of ["a", "b", "c"]) {
        expect(caps.ofTier(name)).toBe(held.filter((tierName) => tierName === name).length);
      }
    }),
  );
});
