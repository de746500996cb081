// `pools.NAME.queue`: upgrades that wait for a slot of a pool that is full.
import { expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { untilMetric } from "../support/metrics.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

async function startFull(queue: object): Promise<StartedWeir> {
  const backend = await startEchoBackend();
  const entry = { id: "a", url: backend.url, capacity: 1 };
  return startInFrontOf(entry, { pool: { queue }, config: { threads: 2 } });
}

test("an upgrade waits while the pool is full, and is served when a slot frees", async () => {
  const weir = await startFull({ size: 10, timeout: "1m" });
  const holder = await openClient(weir.url);
  const waiting = openClient(weir.url);
  await untilMetric(weir.adminUrl, 1, "weir_queue_length", { queue: "pool:chat" });
  await holder.close(1000);
  expect(await (await waiting).ask("served")).toBe("served");
  await untilMetric(weir.adminUrl, 0, "weir_queue_length", { queue: "pool:chat" });
  await untilMetric(weir.adminUrl, 1, "weir_queue_wait_seconds_count", { queue: "pool:chat" });
});

test("one for whom there is no place to wait, or no time left, is refused with 503 backends_full", async () => {
  const weir = await startFull({ size: 1, timeout: "100ms" });
  await openClient(weir.url);
  const answers = await Promise.all([expectRefusal(weir.url), expectRefusal(weir.url)]);
  for (const answer of answers) expect(answer).toMatchObject({ status: 503 });
  await untilMetric(weir.adminUrl, 2, "weir_upgrades_total", { result: "backends_full" });
  await untilMetric(weir.adminUrl, 1, "weir_backend_connections", { backend: "a" });
});
