import { describe, expect, test } from "vitest";

import { parseConfig } from "../../../src/config/load.ts";
import type { Config } from "../../../src/config/schema.ts";
import { UserBuckets } from "../../../src/control-plane/user-buckets.ts";
import { BucketTable, BucketView } from "../../../src/shared-memory/bucket-table.ts";
import type { AdmitRequest } from "../../../src/shared-memory/channel.ts";

const messages = { rate: "1/s", burst: 10 };
const bytes = { rate: "1KiB/s", burst: "1KiB" };

function config(tiers: object, routeMessages?: object): Config {
  const routes = [
    { match: { path: "/game/*" }, pool: "chat", ...(routeMessages && { messages: routeMessages }) },
    { pool: "chat" },
  ];
  const result = parseConfig({
    listeners: [":8080"],
    pools: { chat: { backends: ["ws://a"] } },
    tiers,
    routes,
  });
  if (!result.ok) throw new Error(JSON.stringify(result.errors));
  return result.config;
}

function request(more: Partial<AdmitRequest> = {}): AdmitRequest {
  return {
    id: 1,
    kind: "connection",
    pool: "chat",
    route: "*/game/*",
    tier: "guest",
    user: "ann",
    cookie: null,
    isSharedAddress: false,
    network: "192.0.2.0/24",
    tried: [],
    ...more,
  };
}

function setUp(initial: Config): {
  buckets: UserBuckets;
  table: BucketTable;
  setNowNs: (ns: number) => void;
} {
  let nowNs = 0;
  const table = new BucketTable();
  const buckets = new UserBuckets(table, () => nowNs);
  buckets.configure(initial);
  return { buckets, table, setNowNs: (ns) => void (nowNs = ns) };
}

const NONE = { tier: null, bytes: null, route: null };

describe("a connection", () => {
  test("has a bucket for each thing that is limited, and no other", () => {
    const limited = { guest: { default: true, messages, bytes }, vip: {} };
    const { buckets } = setUp(config(limited, messages));
    const all = buckets.acquire(request());
    expect(new Set([all.tier, all.bytes, all.route]).size).toBe(3);
    expect(Object.values(all)).not.toContain(null);
    expect(buckets.acquire(request({ tier: "vip" }))).toEqual({ ...NONE, route: all.route });
    expect(buckets.acquire(request({ route: "*/*" }))).toEqual({ ...all, route: null });
    expect(buckets.acquire(request({ tier: "vip", route: "*/*" }))).toEqual(NONE);
  });

  test("shares them with the others of its user, tier by tier and route by route, and with nobody else", () => {
    const limited = { guest: { default: true, messages }, vip: { messages } };
    const { buckets, table } = setUp(config(limited));
    const first = buckets.acquire(request());
    expect(buckets.acquire(request({ id: 2, pool: "other" }))).toEqual(first);
    expect(buckets.acquire(request({ tier: "vip" })).tier).not.toBe(first.tier);
    expect(buckets.acquire(request({ user: "bob" })).tier).not.toBe(first.tier);
    expect(table.size).toBe(3);
  });

  test("of a tier that does not exist is limited as the default tier is", () => {
    const { buckets } = setUp(config({ guest: { default: true, messages } }));
    expect(buckets.acquire(request({ tier: "gone" })).tier).not.toBeNull();
  });
});

describe("a reload", () => {
  test("adds what is limited now, and keeps what a connection has", () => {
    const { buckets, table } = setUp(config({ guest: { default: true, messages } }));
    const held = buckets.acquire(request());
    buckets.configure(config({ guest: { default: true, messages, bytes } }, messages));
    const more = buckets.acquire(request(), held);
    expect(more.tier).toBe(held.tier);
    expect([more.bytes, more.route]).not.toContain(null);
    buckets.configure(config({ guest: { default: true } }));
    expect(buckets.acquire(request(), more)).toBe(more);
    buckets.release(more);
    expect(table.size).toBe(0);
  });

  test("takes no second hold of what a connection has", () => {
    const { buckets, table } = setUp(config({ guest: { default: true, messages } }));
    const held = buckets.acquire(request());
    expect(buckets.acquire(request(), held)).toBe(held);
    buckets.release(held);
    expect(table.size).toBe(0);
    expect(() => buckets.release(held)).toThrow(RangeError);
  });
});

describe("a user who leaves", () => {
  test("is forgotten when the bucket is full again, and not before", () => {
    const { buckets, table, setNowNs } = setUp(config({ guest: { default: true, messages } }));
    const held = buckets.acquire(request());
    spend(table, held.tier ?? -1, 4);
    buckets.release(held);
    setNowNs(3.9e9);
    buckets.sweep();
    expect(table.size).toBe(1);
    expect(buckets.acquire(request()).tier).toBe(held.tier);
    buckets.release(held);
    setNowNs(4.1e9);
    buckets.sweep();
    expect(table.size).toBe(0);
  });

  test("leaves no memory behind, a million times", () => {
    const { buckets, table, setNowNs } = setUp(
      config({ guest: { default: true, messages, bytes } }, messages),
    );
    for (let i = 0; i < 1_000_000; i++) {
      // A thousand users a second, each of whom has sent one message.
      setNowNs(i * 1e6);
      const held = buckets.acquire(request({ user: `user-${i}` }));
      if (i % 10 === 0) spend(table, held.tier ?? -1, 1, i * 1e6);
      buckets.release(held);
    }
    expect(table.cellCount).toBeLessThanOrEqual(8_192);
    setNowNs(2e15);
    buckets.sweep();
    expect(table.size).toBe(0);
  });
});

function spend(table: BucketTable, cell: number, count: number, nowNs = 0): void {
  const view = new BucketView();
  for (const segment of table.segments) view.addSegment(segment);
  view.bucket(cell, { rate: 1, burst: 10 }).take(count, nowNs);
}

describe("the levels of a user's buckets", () => {
  const limited = { guest: { default: true, messages, bytes }, vip: {} };

  test("are those that its connections spend from, and go on while they are not full", () => {
    const { buckets, table, setNowNs } = setUp(config(limited, messages));
    const held = buckets.acquire(request());
    const view = new BucketView();
    for (const segment of table.segments) view.addSegment(segment);
    const spend = (cell: number | null, tokens: number): void => {
      if (cell !== null) view.bucket(cell, { rate: 1, burst: 10 }).charge(tokens, 0);
    };
    spend(held.tier, 3);
    spend(held.route, 12);
    expect(buckets.levels("ann")).toEqual([
      { of: "tier", tier: "guest", tokens: 7, burst: 10, ratePerSecond: 1 },
      { of: "bytes", tier: "guest", tokens: 1_024, burst: 1_024, ratePerSecond: 1_024 },
      { of: "route", route: "*/game/*", tokens: -2, burst: 10, ratePerSecond: 1 },
    ]);
    expect(buckets.levels("bob")).toEqual([]);
    setNowNs(1.5e9);
    buckets.release(held);
    expect(buckets.levels("ann")).toMatchObject([
      { of: "tier", tokens: 8.5 },
      { of: "route", tokens: -0.5 },
    ]);
  });

  test("are none for what a reload does not limit any more", () => {
    const { buckets } = setUp(config(limited, messages));
    buckets.acquire(request());
    buckets.configure(config({ guest: { default: true } }));
    expect(buckets.levels("ann")).toEqual([]);
  });
});
