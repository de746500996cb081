import { beforeEach, expect, test, vi } from "vitest";

import { Vitals } from "../../../../src/control-plane/alerts/vitals.ts";

let nowMs: number;
let vitals: Vitals;

beforeEach(() => {
  nowMs = 123_456;
  vitals = new Vitals({ delays: { latest: { main: 1, workers: [2, 3] } }, now: () => nowMs });
});

test("the error rate is the share of upgrades that failed by the backends' or Weir's fault", () => {
  expect(vitals.current).toMatchObject({ upgrades: { total: 0, failed: 0 }, errorRate: 0 });
  for (let i = 0; i < 6; i++) vitals.upgradeOpened();
  vitals.upgradeRefused("chat", "backend_failed", 502);
  vitals.upgradeRefused("chat", "backend_refused", 500);
  expect(vitals.current).toMatchObject({ upgrades: { total: 8, failed: 2 }, errorRate: 0.25 });
});

test("what a client did, what a limit is there for, and a backend that says no are no errors", () => {
  vitals.upgradeOpened();
  vitals.upgradeRefused(null, "no_route", 404);
  vitals.upgradeRefused("chat", "banned", 429);
  vitals.upgradeRefused("chat", "tier_full", 503);
  vitals.upgradeRefused("chat", "draining", 503);
  vitals.upgradeRefused("chat", "client_gone", null);
  vitals.upgradeRefused("chat", "backend_refused", 401);
  expect(vitals.current.upgrades).toEqual({ total: 1, failed: 0 });
});

test("upgrades and round trips of more than a minute ago count no more", () => {
  vitals.upgradeRefused("chat", "internal", 500);
  vitals.peersAnswered([{ pool: "chat", backend: "a", side: "client", roundTripsMs: [50] }]);
  nowMs += 49_000;
  vitals.upgradeOpened();
  expect(vitals.current).toMatchObject({
    errorRate: 0.5,
    roundTripMs: { client: { p50: expect.any(Number) } },
  });
  nowMs += 12_000;
  expect(vitals.current).toMatchObject({
    upgrades: { total: 1, failed: 0 },
    roundTripMs: { client: { p50: null, p99: null } },
  });
  nowMs += 3_600_000;
  expect(vitals.current.upgrades).toEqual({ total: 0, failed: 0 });
});

test("round trips are told by side, as median and p99 in milliseconds", () => {
  const roundTripsMs = Array.from({ length: 100 }, (_, i) => i + 1);
  vitals.peersAnswered([
    { pool: "chat", backend: "a", side: "client", roundTripsMs },
    { pool: "chat", backend: "a", side: "backend", roundTripsMs: [0.25] },
    { pool: "chat", backend: "a", side: "backend", roundTripsMs: [0, 1e12] },
  ]);
  const { client, backend } = vitals.current.roundTripMs;
  expect(client.p50).toBeCloseTo(50, -1);
  expect(client.p99).toBeCloseTo(99, -1);
  expect(backend.p50).toBeCloseTo(0.25, 2);
});

test("memory is told against its limit, and event loops as they are", () => {
  const { memory, eventLoopDelayMs } = vitals.current;
  expect(memory.rssBytes).toBeGreaterThan(1_000_000);
  expect(memory.limitBytes).toBeGreaterThan(memory.rssBytes);
  expect(memory.share).toBeGreaterThanOrEqual(memory.rssBytes / memory.limitBytes);
  expect(memory.share).toBeLessThan(1);
  expect(eventLoopDelayMs).toEqual({ main: 1, workers: [2, 3] });
});

test("memory that cannot be measured, for want of a file to read it from, is what it was before", () => {
  const { rssBytes } = vitals.current.memory;
  const lack = Object.assign(new Error("too many open files"), { code: "EMFILE" });
  const measure = vi.spyOn(process.memoryUsage, "rss").mockImplementation(() => {
    throw lack;
  });
  try {
    expect(vitals.current.memory.rssBytes).toBe(rssBytes);
  } finally {
    measure.mockRestore();
  }
});
