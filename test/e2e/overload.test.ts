// limits.overload on the wire: upgrades and plain requests of the lowest priority are turned away, open
// connections stay.
import v8 from "node:v8";
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { untilMetric } from "../support/metrics.ts";
import { openRaw, upgradeRequest } from "../support/raw-client.ts";
import { refusalOf } from "../support/refusal.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";

const identity = { user: [{ header: "x-user-id" }, "ip"], tier: [{ header: "x-user-tier" }] };
const tiers = { vip: { priority: "high" }, guest: { priority: "low", default: true } };
const vip = { lines: ["X-User-Tier: vip"] };

const limiting = (limits: object) => ({ config: { identity, tiers, limits } });

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
