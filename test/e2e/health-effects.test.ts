// What follows for clients from a change of a backend's health: `onUnhealthy` and `slowStart`.
import { describe, expect, test } from "vitest";

import { startChecked } from "../support/health-endpoint.ts";
import { setMainClockAhead } from "../support/main-clock.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { openClient, type WsClient } from "../support/ws-client.ts";

async function openMany({ url }: StartedWeir, count: number): Promise<WsClient[]> {
  const clients: WsClient[] = [];
  // One after another, as each changes what the next one goes by.
  for (let i = 0; i < count; i += 1) clients.push(await openClient(url));
  return clients;
}

function countOn(id: string, clients: readonly WsClient[]): number {
  return clients.filter(({ backendId }) => backendId === id).length;
}

describe("the open connections of a backend that fails its checks", () => {
  test("go on with `onUnhealthy: keep`, which is the default", async () => {
    const { weir, endpoint, a } = await startChecked({ config: { threads: 2 } });
    const clients = await openMany(weir, 6);
    await endpoint.answer(200, 500);
    await untilMetric(weir.adminUrl, 0, "weir_backend_up", { backend: "a" });
    for (const client of clients) expect(await client.ask("who")).toBe(client.backendId);
    expect(a.openConnections).toBe(3);
    expect(countOn("a", await openMany(weir, 3))).toBe(0);
    await untilMetric(weir.adminUrl, 3, "weir_backend_connections", { backend: "a" });
  });

  test("are closed with 1012 `backend lost` with `onUnhealthy: close`, and nobody else's are", async () => {
    const { weir, endpoint, a } = await startChecked({
      pool: { onUnhealthy: "close", outlier: { failures: 1 } },
      config: { threads: 2 },
    });
    const clients = await openMany(weir, 20);
    await endpoint.answer(200, 500);
    for (const client of clients.filter(({ backendId }) => backendId === "a")) {
      expect(await client.closed()).toEqual({ code: 1012, reason: "backend lost" });
    }
    for (const client of clients.filter(({ backendId }) => backendId === "b")) {
      expect(await client.ask("still here")).toBe("still here");
    }
    // Weir has cut them: the backend sees what it would see without Weir.
    for (let i = 0; i < 10; i += 1) expect((await a.close(i)).code).toBe(1006);
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections", { backend: "a" });
    await untilMetric(weir.adminUrl, 10, "weir_closes_total", { reason: "backend_lost", code: "1012" });
    // It has not lost them: no failure that real traffic has met.
    expect((await scrape(weir.adminUrl)).sum("weir_backend_failures_total")).toBe(0);
    await endpoint.answer(200);
    expect((await openClient(weir.url)).backendId).toBe("a");
  });
});

describe("slowStart", () => {
  // Longer than any test: the share stays at its beginning until the clock is set.
  const slowStart = "1h";
  const state = { backend: "a", state: "slow_start" };

  test.each([
    // With 2 connections of before, and a tenth of the weight: beside 30 of the other one, and beside 40.
    ["least-connections", 2, 10],
    ["round-robin", 4, 5],
  ])(
    "gives a backend that comes back a tenth of its share at first, and all of it in the end (%s)",
    async (balance, first, last) => {
      const { weir, endpoint } = await startChecked({ pool: { slowStart, balance } });
      await endpoint.answer(200);
      // Not at the start of Weir: nobody knows who was there before.
      expect(countOn("a", await openMany(weir, 4))).toBe(2);
      await endpoint.answer(500, 200);
      await untilMetric(weir.adminUrl, 1, "weir_backend_state", state);
      expect(countOn("a", await openMany(weir, 44))).toBe(first);
      setMainClockAhead(2 * 3_600_000);
      await untilMetric(weir.adminUrl, 0, "weir_backend_state", state);
      await untilMetric(weir.adminUrl, 1, "weir_backend_state", { ...state, state: "active" });
      expect(countOn("a", await openMany(weir, 10))).toBe(last);
    },
  );
});
