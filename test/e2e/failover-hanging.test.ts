// A backend that hangs: its kernel still accepts connections, and nobody ever answers on them.
import { describe, expect, test } from "vitest";

import { type BackendProcess, startBackendProcess } from "../support/backend-process.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { headersOf } from "../support/network-user.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { reasonOf, stateChanges } from "../support/state-changes.ts";
import { expectRefusal, openClient, type WsClient } from "../support/ws-client.ts";

interface Fixture {
  readonly weir: StartedWeir;
  readonly backends: BackendProcess[];
}

/** Upgrades give up on a backend soon; connections wait for as long as it takes. */
async function start(ids: readonly string[], pool: object, weight = 1): Promise<Fixture> {
  const backends = await Promise.all(ids.map((id) => startBackendProcess(id)));
  const weir = await startInFrontOf(
    // The heavier one is tried first.
    backends.map(({ id, url }, i) => ({ id, url, weight: i === 0 ? weight : 1 })),
    {
      pool: { connectTimeout: "30s", ...pool },
      config: {
        threads: 2,
        timeouts: { ping: "off", backendHandshake: "3s" },
        identity: { user: [{ header: "x-user-id" }] },
      },
    },
  );
  return { weir, backends };
}

async function openAs({ url }: StartedWeir, user: string): Promise<WsClient> {
  return openClient(url, { headers: headersOf(user) });
}

const ok = { pool: "chat", result: "ok" };
const thresholds = { interval: "100ms", healthyAfter: 1, unhealthyAfter: 2 };

describe("a backend that accepts and never answers", () => {
  test("is down by a check that asks for an answer; its connections bear it, and it comes back", async () => {
    const healthCheck = { ...thresholds, type: "websocket", timeout: "3s" };
    const { weir, backends } = await start(["a", "b"], { healthCheck });
    const [hanging] = backends;
    const clients = [await openAs(weir, "ann"), await openAs(weir, "bob")];
    const onHanging = clients.find(({ backendId }) => backendId === "a");
    const onOther = clients.find(({ backendId }) => backendId === "b");
    hanging?.suspend();
    await onHanging?.send("are you there?");
    // Nobody knows of it yet: who is sent there is sent elsewhere after a while.
    const early = await Promise.all(["cid", "dan", "eve", "fay"].map((user) => openAs(weir, user)));
    expect(new Set(early.map(({ backendId }) => backendId))).toEqual(new Set(["b"]));
    expect(await reasonOf(weir, "backend down", "a")).toBe("no result within 3000 ms");
    await untilMetric(weir.adminUrl, 1, "weir_backend_state", { backend: "a", state: "unhealthy" });

    await untilMetric(weir.adminUrl, 6, "weir_upgrades_total", ok);
    const before = await scrape(weir.adminUrl);
    for (const user of ["gus", "hal", "ida"]) expect((await openAs(weir, user)).backendId).toBe("b");
    await untilMetric(weir.adminUrl, 9, "weir_upgrades_total", ok);
    const after = await scrape(weir.adminUrl);
    expect(after.sum("weir_dial_retries_total")).toBe(before.sum("weir_dial_retries_total"));
    expect(await onOther?.ask("still here")).toBe("still here");

    hanging?.resume();
    expect(await onHanging?.nextText()).toBe("are you there?");
    await reasonOf(weir, "backend up", "a");
    expect((await openAs(weir, "jim")).backendId).toBe("a");
    expect(stateChanges(weir)).toEqual(["a: backend down", "a: backend up"]);
  });

  test("is ejected for what traffic sees where its check is content with a connect", async () => {
    const healthCheck = { ...thresholds, type: "tcp", timeout: "30s" };
    const outlier = { failures: 3, window: "1h", eject: "1h" };
    const { weir, backends } = await start(["a", "b"], { healthCheck, outlier }, 1_000);
    backends[0]?.suspend();
    const early = await Promise.all(["ann", "bob", "cid"].map((user) => openAs(weir, user)));
    expect(early.map(({ backendId }) => backendId)).toEqual(["b", "b", "b"]);
    expect(await reasonOf(weir, "backend ejected", "a")).toBe("timeout");
    for (const user of ["dan", "eve", "fay"]) expect((await openAs(weir, user)).backendId).toBe("b");
    await untilMetric(weir.adminUrl, 6, "weir_upgrades_total", ok);
    const metrics = await scrape(weir.adminUrl);
    expect(metrics.sum("weir_backend_up", { backend: "a" })).toBe(1);
    expect(metrics.sum("weir_backend_failures_total", { backend: "a", kind: "timeout" })).toBe(3);
    expect(metrics.sum("weir_dial_retries_total")).toBe(3);
    expect(stateChanges(weir)).toEqual(["a: backend ejected"]);
  });

  test("is all there is: 504 backend_timeout, until it answers again", async () => {
    const { weir, backends } = await start(["a"], { outlier: { failures: 1 } });
    backends[0]?.suspend();
    const answers = await Promise.all(Array.from({ length: 4 }, () => expectRefusal(weir.url)));
    for (const { status, body } of answers) {
      expect([status, JSON.parse(body)]).toMatchObject([504, { error: "backend_timeout" }]);
    }
    backends[0]?.resume();
    expect((await openAs(weir, "ann")).backendId).toBe("a");
    expect(stateChanges(weir)).toEqual([]);
  });
});
