// Backends that die and come back while Weir runs: who notices, and who does not.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { untilMetric } from "../support/metrics.ts";
import { ownHost } from "../support/own-host.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

const healthCheck = { type: "tcp", interval: "100ms", timeout: "30s", healthyAfter: 1, unhealthyAfter: 2 };

describe("a backend that dies", () => {
  test("takes its own clients with it, and nobody else's; new upgrades never fail", async () => {
    const dying = await startEchoBackend({ id: "a", host: ownHost });
    const staying = await startEchoBackend({ id: "b" });
    const entries = [dying, staying].map(({ id, url }) => ({ id, url }));
    const weir = await startInFrontOf(entries, { pool: { healthCheck }, config: { threads: 2 } });
    const clients = await Promise.all(Array.from({ length: 20 }, () => openClient(weir.url)));
    await dying.stop();
    for (const client of clients.filter(({ backendId }) => backendId === "a")) {
      expect(await client.closed()).toEqual({ code: 1012, reason: "backend lost" });
    }
    // Before and after its checks have failed.
    const early = await Promise.all(Array.from({ length: 10 }, () => openClient(weir.url)));
    await untilMetric(weir.adminUrl, 0, "weir_backend_up", { backend: "a" });
    const late = await Promise.all(Array.from({ length: 10 }, () => openClient(weir.url)));
    expect(new Set([...early, ...late].map(({ backendId }) => backendId))).toEqual(new Set(["b"]));
    for (const client of clients.filter(({ backendId }) => backendId === "b")) {
      expect(await client.ask("still here")).toBe("still here");
    }
    const { fields } = await weir.log.entry("backend down", ({ message }) => message === "backend down");
    expect(fields).toMatchObject({ pool: "chat", backend: "a" });
  });

  test("is missed when it was the only one, and serves again without a restart", async () => {
    const first = await startEchoBackend({ id: "a", host: ownHost });
    const entry = { id: "a", url: first.url };
    const weir = await startInFrontOf(entry, { pool: { healthCheck } });
    await first.stop();
    await untilMetric(weir.adminUrl, 0, "weir_backend_up", { backend: "a" });
    expect(await expectRefusal(weir.url)).toMatchObject({ status: 503 });
    expect((await fetch(`${weir.adminUrl}/readyz?pool=chat`)).status).toBe(503);
    expect((await fetch(`${weir.adminUrl}/readyz`)).status).toBe(200);
    await startEchoBackend({ id: "again", host: ownHost, port: first.port });
    await untilMetric(weir.adminUrl, 1, "weir_backend_up", { backend: "a" });
    expect((await openClient(weir.url)).backendId).toBe("again");
    expect((await fetch(`${weir.adminUrl}/readyz?pool=chat`)).status).toBe(200);
  });
});
