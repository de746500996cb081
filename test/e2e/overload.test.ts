// limits.overload on the wire: upgrades and plain requests of the lowest priority are turned away, open
// connections stay.
import v8 from "node:v8";
import { afterEach, expect, test, vi } from "vitest";

import { EventLoopDelays } from "../../src/shared-memory/event-loop-delay.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { untilMetric } from "../support/metrics.ts";
import { openRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";

const identity = { user: [{ header: "x-user-id" }, "ip"], tier: [{ header: "x-user-tier" }] };
const tiers = {
  vip: { priority: "high" },
  normal: { priority: "normal" },
  guest: { priority: "low", default: true },
};
const vip = { lines: ["X-User-Tier: vip"] };

const limiting = (limits: object) => ({ config: { identity, tiers, limits } });

afterEach(() => void vi.restoreAllMocks());

/** What an upgrade and a plain request of each tier, vip, normal and guest, come to: `in`, or the refusal. */
async function outcomes({ url, httpUrl }: StartedWeir): Promise<string[]> {
  const found: string[] = [];
  for (const tier of Object.keys(tiers)) {
    const upgrade = await openRaw(url, { lines: [`X-User-Tier: ${tier}`] }).then(
      ({ connection }) => (connection.socket.destroy(), 101),
      (error: Error) => /"error":"(\w+)"/.exec(error.message)?.[1] ?? error.message,
    );
    const { status } = await ask(httpUrl, { headers: { "X-User-Tier": tier } });
    found.push(upgrade === 101 && status === 200 ? "in" : `${upgrade} ${status}`);
  }
  return found;
}

/** Weir runs in this process: this much of its heap is certainly used, and little more is. */
function heapShare(): number {
  const { used_heap_size: used, heap_size_limit: limit } = v8.getHeapStatistics();
  return used / limit;
}

test("an upgrade of the lowest tier gets 503 overloaded while memory is short", async () => {
  const ballast = Array.from({ length: 20_000_000 }, (_, i) => i + 0.5);
  expect(heapShare()).toBeGreaterThan(0.02);
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, limiting({}));
  const open = await openRaw(weir.url);
  // The first of the three steps above 1% is 34% wide: it is not left by chance.
  await reloadInFrontOf(weir, backend.url, limiting({ overload: { memory: "1%" } }));
  const refusal = await refusalOf(weir.url, upgradeRequest());
  expect(refusal).toMatchObject({ status: 503, code: "overloaded" });
  expect(refusal.head.header("retry-after")).toMatch(/^[123]$/);
  await untilMetric(weir.adminUrl, 1, "weir_upgrades_total", { result: "overloaded" });
  const plain = await ask(weir.httpUrl);
  expect({ status: plain.status, body: JSON.parse(plain.body.toString()) }).toMatchObject({
    status: 503,
    body: { error: "overloaded" },
  });
  await openRaw(weir.url, vip);
  expect((await ask(weir.httpUrl, { headers: { "X-User-Tier": "vip" } })).status).toBe(200);
  await open.connection.sendText("who");
  expect(await open.connection.nextText()).toBe("echo");
  const { fields } = await weir.log.entry("the overload", ({ message }) => message.startsWith("overloaded"));
  expect(fields["priorities"]).toEqual(["low"]);
  await reloadInFrontOf(weir, backend.url, limiting({ overload: { memory: "1%" }, rejectWith: "close" }));
  const { connection } = await openRaw(weir.url);
  expect(await connection.nextClose()).toEqual({ code: 1013, reason: "overloaded" });
  await reloadInFrontOf(weir, backend.url, limiting({ overload: { memory: "99%" } }));
  await openRaw(weir.url);
  expect(ballast).toHaveLength(20_000_000);
});

test("the longer the event loops are late, the higher the priority that is turned away, the lowest first", async () => {
  let delayMs = 0;
  const figures = () => ({ main: 0, workers: [delayMs] });
  vi.spyOn(EventLoopDelays.prototype, "latest", "get").mockImplementation(figures);
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, limiting({ overload: { eventLoopDelay: "100ms" } }));
  const open = await openRaw(weir.url);
  const changes = () => weir.log.entries.filter(({ message }) => message.startsWith("overloaded"));
  expect(await outcomes(weir)).toEqual(["in", "in", "in"]);
  const out = "overloaded 503";
  for (const [i, [ms, expected, priorities]] of [
    [150, ["in", "in", out], ["low"]],
    [250, ["in", out, out], ["low", "normal"]],
    [450, [out, out, out], ["low", "normal", "high"]],
  ].entries()) {
    delayMs = Number(ms);
    await until("Weir has looked", () => changes().length > i);
    expect(await outcomes(weir)).toEqual(expected);
    expect(changes()[i]?.fields).toMatchObject({ priorities, eventLoopDelay: `${delayMs}ms` });
  }
  await open.connection.sendText("who");
  expect(await open.connection.nextText()).toBe("echo");
  delayMs = 0;
  await reloadInFrontOf(weir, backend.url, limiting({ overload: { eventLoopDelay: "99ms" } }));
  expect(await outcomes(weir)).toEqual(["in", "in", "in"]);
});

test("an event loop that is late turns guests away", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, limiting({ overload: { eventLoopDelay: "100ms" } }));
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const isTurnedAway = async (): Promise<boolean> => {
    // Weir's main thread is this one.
    Atomics.wait(cell, 0, 0, 300);
    return (await ask(weir.httpUrl)).status === 503;
  };
  // What is measured is told every five seconds.
  await until("guests are turned away", isTurnedAway, { deadlineMs: 25_000 });
  const { fields } = await weir.log.entry("the overload", ({ message }) => message.startsWith("overloaded"));
  expect(fields["priorities"]).toContain("low");
});
