// What `weir top` draws: every figure of the status, within the window, and nothing that commands a terminal.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Status } from "../../../src/admin/status.ts";
import { frameOf, type News } from "../../../src/commands/frame.ts";
import type { BusyUser } from "../../../src/control-plane/oversight.ts";
import { type Line, textOf } from "../../../src/commands/lines.ts";
import { widthOf } from "../../../src/commands/plain-text.ts";

const failures = { connect: 0, timeout: 0, malformed: 0, status: 0, lost: 0 };

function backend(id: string, changed: object = {}): Status["pools"][number]["backends"][number] {
  return {
    id,
    url: "ws://10.0.0.1:1",
    state: "active",
    up: true,
    ejected: false,
    listed: true,
    connections: 7,
    capacity: null,
    weight: 1,
    failures,
    roundTripMs: null,
    ...changed,
  };
}

function statusWith(changed: Partial<Status> = {}): Status {
  return {
    version: "1.2.3",
    time: "2026-01-01T00:01:05.000Z",
    startedAt: "2026-01-01T00:00:00.000Z",
    uptimeSeconds: 65,
    ready: true,
    draining: false,
    health: { verdict: "ok", since: "2026-01-01T00:00:00.000Z", reasons: [] },
    connections: { open: 1_234, limit: 9_000 },
    tiers: [
      { name: "vip", open: 96, limit: 100, priority: "high", default: false },
      { name: "guest", open: 11, limit: null, priority: "low", default: true },
    ],
    pools: [
      {
        name: "chat",
        balance: "round-robin",
        affinity: { by: "cookie", entries: 0 },
        waiting: 3,
        backends: [
          backend("server1", { capacity: 1_000, roundTripMs: 1.25, failures: { ...failures, lost: 4 } }),
          backend("server2", { state: "draining" }),
          backend("server3", { up: false }),
          backend("server4", { ejected: true }),
          backend("server5", { listed: false }),
        ],
      },
    ],
    queues: [
      { queue: "upgrades", length: 0 },
      { queue: "pool:chat", length: 3 },
    ],
    totals: traffic(0),
    perSecond: traffic(5_000),
    upgrades: { accepted: 1_300, refused: 12 },
    errorRate: 0.015,
    roundTripMs: { client: { p50: 12, p99: 80 }, backend: { p50: 0.5, p99: null } },
    memory: { rssBytes: 128 * 1_024 * 1_024, limitBytes: 512 * 1_024 * 1_024 },
    eventLoopDelayMs: { main: 1.5, workers: [2, 3] },
    threads: { count: 2, restarts: 1 },
    users: { known: 900, banned: 2 },
    config: { lastReload: { successful: true, at: "2026-01-01T00:00:00.000Z" } },
    tap: { listeners: 0 },
    ...changed,
  };
}

function traffic(base: number): Status["totals"] {
  return {
    messages: { clientToBackend: base, backendToClient: base * 2 },
    bytes: { clientToBackend: base * 3, backendToClient: base * 4 },
    limited: { delay: 1, drop: 2, close: 3, log: 4 },
  };
}

const busy: BusyUser = {
  user: "user-1",
  tier: "vip",
  connections: 3,
  messagesPerSecond: 55,
  bytesPerSecond: 2_048,
  limitedPerSecond: 9,
  buckets: [
    { of: "tier", tokens: 30, burst: 40, ratePerSecond: 10 },
    { of: "bytes", tokens: 5, burst: 40, ratePerSecond: 10 },
  ],
  banned: false,
};

const WIDE = { address: "http://127.0.0.1:9347", width: 120, height: 100, note: null };

function texts(lines: readonly Line[], width: number, isStyled = false): string[] {
  return lines.map((line) => textOf(line, width, isStyled));
}

describe("a frame", () => {
  const lines = texts(frameOf({ status: statusWith(), busiest: [busy] }, WIDE), 120);
  const text = lines.join("\n");

  test.each([
    "weir 1.2.3 at http://127.0.0.1:9347  ready  up 1m 5s",
    "ok for 1m 5s",
    "1,234 of 9,000  14%",
    "96 of 100  96%",
    "11, no limit",
    "128 MiB of 512 MiB  25%",
    "delay 1  drop 2  close 3  log 4",
    "clients 12 ms, p99 80 ms; backends 0.5 ms, p99 –",
    "1.5% errors; 1,300 accepted, 12 refused since the start",
    "main 1.5 ms; 2 threads, 1 started again: 2.0 ms, 3.0 ms",
    "900, 2 banned",
    "pool:chat 3",
    "pool chat  round-robin, affinity by cookie",
  ])("says %s", (figure) => expect(text).toContain(figure));

  test.each([
    /messages\/s +5,000 +10,000$/,
    /bytes\/s +14\.6 KiB +19\.5 KiB$/,
    /server1 +active +7 +1,000 +1 +1\.3 ms +4$/,
    /server2 +draining +7 +– +1 +– +0$/,
    /server3 +unhealthy /,
    /server4 +ejected /,
    /server5 +removed /,
    /user-1 +vip +3 +55 +2\.0 KiB +9 +13%$/,
  ])("has a line %s", (pattern) => {
    expect(lines.filter((line) => pattern.test(line))).toHaveLength(1);
  });

  test("shows how full a cap is by a bar", () => {
    const bars = lines
      .filter((line) => line.includes("░"))
      .map((line) => line.replaceAll(/[^█▏▎▍▌▋▊▉░]/g, ""));
    expect(bars.map((bar) => bar.length)).toEqual([40, 40, 40]);
    expect(bars[1]).toMatch(/^█{38}[▏▎▍▌▋▊▉]░$/);
  });

  test("says why the verdict is not ok, and that a reload failed", () => {
    const reasons = [{ code: "memory", message: "memory is at 91%", value: 0.91, threshold: 0.8 }];
    const status = statusWith({
      draining: true,
      health: { verdict: "unhealthy", since: "2026-01-01T00:01:00.000Z", reasons },
      config: { lastReload: { successful: false, at: "2026-01-01T00:00:30.000Z" } },
    });
    expect(
      texts(frameOf({ status, busiest: [] }, { ...WIDE, note: "trying again" }), 120).slice(0, 5),
    ).toEqual([
      "trying again",
      "weir 1.2.3 at http://127.0.0.1:9347  draining  up 1m 5s",
      "unhealthy for 5s",
      "  memory is at 91%",
      "  the reload at 2026-01-01T00:00:30.000Z failed",
    ]);
  });
});

const arbitraryNews = fc.record({
  users: fc.array(fc.string({ unit: "binary", maxLength: 40 }), { maxLength: 20 }),
  backends: fc.array(fc.string({ unit: "grapheme", maxLength: 40 }), { maxLength: 20 }),
});

function newsOf({ users, backends }: { readonly users: string[]; readonly backends: string[] }): News {
  const pool = {
    name: "chat",
    balance: "random",
    affinity: { by: "none", entries: 0 },
    waiting: 0,
    backends: backends.map((id) => backend(id)),
  };
  return {
    status: statusWith({ pools: [pool, pool] }),
    busiest: users.map((user) => ({ ...busy, user })),
  };
}

test("a frame fits into its window, whatever is in it and however small that is", () => {
  fc.assert(
    fc.property(
      arbitraryNews,
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 60 }),
      (news, width, height) => {
        const lines = texts(frameOf(newsOf(news), { ...WIDE, width, height, note: "a note" }), width);
        expect(lines.length).toBeLessThanOrEqual(height);
        expect(lines.filter((line) => widthOf(line) > width)).toEqual([]);
      },
    ),
  );
});

test("a user's name cannot command the terminal, with colours or without", () => {
  const news = newsOf({ users: ["\u001b[2J\u001b[31m\u0007\u009bm\nx"], backends: ["a"] });
  expect(texts(frameOf(news, WIDE), 120).join("")).not.toMatch(/\p{Cc}/u);
  const styled = texts(frameOf(news, WIDE), 120, true).join("");
  const own = ["0", "1", "2", "31", "32", "33"].map((code) => `\u001b[${code}m`);
  expect(own.reduce((text, escape) => text.replaceAll(escape, ""), styled)).not.toMatch(/\p{Cc}/u);
});

test("a low window shows both pools and users, and how many lines are left out", () => {
  const news = newsOf({
    users: Array.from({ length: 20 }, (_, index) => `user-${index}`),
    backends: Array.from({ length: 30 }, (_, index) => `server${index}`),
  });
  const lines = texts(frameOf(news, { ...WIDE, height: 40 }), 120);
  expect(lines).toHaveLength(40);
  expect(lines.filter((line) => line.includes("server")).length).toBeGreaterThan(3);
  expect(lines.filter((line) => line.includes("user-")).length).toBeGreaterThan(3);
  expect(lines.filter((line) => line.includes("lines more"))).toHaveLength(2);
});
