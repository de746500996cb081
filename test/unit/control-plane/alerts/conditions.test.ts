import { describe, expect, test } from "vitest";

import type { AlertsConfig } from "../../../../src/config/schema-process.ts";
import { conditionsOf } from "../../../../src/control-plane/alerts/conditions.ts";
import { situation, usualAlerts } from "./situation-of.ts";

type Changes = Parameters<typeof situation>[0];

function codesOf(changes: Changes, alerts: Partial<AlertsConfig> = {}, active: string[] = []): string[] {
  const found = conditionsOf(situation(changes), { ...usualAlerts, ...alerts }, (key) =>
    active.includes(key),
  );
  return found.map(({ code, severity }) => `${code} ${severity}`);
}

const failing = (failed: number, total: number): Changes => ({ upgrades: { failed, total } });

test("nothing is wrong with figures at their thresholds", () => {
  expect(
    codesOf({
      ...failing(5, 100),
      roundTripMs: { client: { p50: 1_000, p99: 9_000 }, backend: { p50: 1, p99: 1_000 } },
      memory: { rssBytes: 80, limitBytes: 100, share: 0.8 },
      eventLoopDelayMs: { main: 100, workers: [100, 100] },
      caps: [{ tier: "all", open: 90, limit: 100 }],
      pools: [{ pool: "chat", backends: 2, down: 0, ready: 1 }],
    }),
  ).toEqual([]);
});

describe("above its threshold", () => {
  test.each<[string, Changes, string[]]>([
    ["the error rate degrades", failing(6, 100), ["error_rate degraded"]],
    ["more than half of the upgrades failing is unhealthy", failing(51, 100), ["error_rate unhealthy"]],
    ["four failures are too few to say anything", failing(4, 4), []],
    [
      "the backends' p99 counts",
      { roundTripMs: { client: { p50: null, p99: null }, backend: { p50: 1, p99: 1_001 } } },
      ["round_trip_backend degraded"],
    ],
    [
      "the clients' median counts",
      { roundTripMs: { client: { p50: 1_001, p99: 1_001 }, backend: { p50: null, p99: null } } },
      ["round_trip_client degraded"],
    ],
    ["memory degrades", { memory: { rssBytes: 81, limitBytes: 100, share: 0.81 } }, ["memory degraded"]],
    [
      "memory that is almost out is unhealthy",
      { memory: { rssBytes: 96, limitBytes: 100, share: 0.96 } },
      ["memory unhealthy"],
    ],
    [
      "the main thread is late",
      { eventLoopDelayMs: { main: 101, workers: [0] } },
      ["event_loop_delay degraded"],
    ],
    ["a worker is late", { eventLoopDelayMs: { main: 0, workers: [0, 101] } }, ["event_loop_delay degraded"]],
    [
      "a tier near its cap degrades",
      {
        caps: [
          { tier: "vip", open: 91, limit: 100 },
          { tier: "all", open: 91, limit: 1_000 },
        ],
      },
      ["near_cap degraded"],
    ],
    [
      "a backend that is down degrades",
      { pools: [{ pool: "chat", backends: 2, down: 1, ready: 1 }] },
      ["backends_down degraded"],
    ],
    [
      "a pool without a backend to give is unhealthy",
      {
        pools: [
          { pool: "chat", backends: 2, down: 2, ready: 0 },
          { pool: "b", backends: 1, down: 0, ready: 1 },
        ],
      },
      ["pool_down unhealthy"],
    ],
  ])("%s", (_what, changes, codes) => expect(codesOf(changes)).toEqual(codes));
});

test("a threshold that is off never alerts", () => {
  const off = { errorRate: null, roundTrip: null, memory: null, eventLoopDelay: null };
  const changes: Changes = {
    ...failing(90, 100),
    roundTripMs: { client: { p50: 9e9, p99: 9e9 }, backend: { p50: 9e9, p99: 9e9 } },
    memory: { rssBytes: 99, limitBytes: 100, share: 0.99 },
    eventLoopDelayMs: { main: 9e9, workers: [] },
  };
  expect(codesOf(changes, off)).toEqual([]);
});

const using = (share: number): Changes => ({ memory: { rssBytes: 1, limitBytes: 1, share } });

test("what is there already goes on until its figure is a tenth below the threshold", () => {
  expect(codesOf(using(0.73), {}, ["memory"])).toEqual(["memory degraded"]);
  expect(codesOf(using(0.72), {}, ["memory"])).toEqual([]);
});

test("a condition says in words and figures what is wrong", () => {
  const [rate, cap] = conditionsOf(
    situation({ ...failing(6, 48), caps: [{ tier: "all", open: 950, limit: 1_000 }] }),
    usualAlerts,
    () => false,
  );
  expect(rate).toMatchObject({
    message: "12.5% of the upgrades of the last minute failed (6 of 48)",
    value: 0.125,
    threshold: 0.05,
  });
  expect(cap).toMatchObject({
    message: "950 of 1000 connections: near limits.maxConnections",
    value: 0.95,
    threshold: 0.9,
  });
});
