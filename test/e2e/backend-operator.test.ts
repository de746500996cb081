// Backends that an operator drains, sets down and activates through the admin API.
import { describe, expect, test } from "vitest";

import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { untilMetric } from "../support/metrics.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

const onRemove = { mode: "drain", grace: "0s", spread: "0s" };

async function startTwo(): Promise<{ weir: StartedWeir; backends: EchoBackend[] }> {
  const backends = await Promise.all(["a", "b"].map((id) => startEchoBackend({ id })));
  const entries = backends.map(({ id, url }) => ({ id, url }));
  return { weir: await startInFrontOf(entries, { pool: { onRemove } }), backends };
}

async function put({ adminUrl }: StartedWeir, backend: string, body: unknown): Promise<Response> {
  return fetch(`${adminUrl}/api/pools/chat/backends/${backend}`, {
    method: "PUT",
    body: JSON.stringify(body),
  });
}

describe("a backend that is drained by hand", () => {
  test("gets no more work, and its clients are told with 1012 to come back elsewhere", async () => {
    const { weir, backends } = await startTwo();
    const clients = await Promise.all([openClient(weir.url), openClient(weir.url)]);
    const leaving = clients.find(({ backendId }) => backendId === "a");
    const staying = clients.find(({ backendId }) => backendId === "b");
    const answer = await put(weir, "a?wait=1m", { state: "draining" });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ id: "a", state: "draining", up: true, connections: 0 });
    expect(await leaving?.closed()).toEqual({ code: 1012, reason: "backend draining" });
    expect(await backends[0]?.close(0)).toEqual({ code: 1001, reason: "" });
    expect(backends[0]?.closes).toHaveLength(1);
    expect(await staying?.ask("still here")).toBe("still here");
    expect((await openClient(weir.url)).backendId).toBe("b");
    await untilMetric(weir.adminUrl, 1, "weir_backend_state", { backend: "a", state: "draining" });
    await untilMetric(weir.adminUrl, 1, "weir_closes_total", { reason: "backend_draining", code: "1012" });

    await put(weir, "a", { state: "active" });
    expect((await openClient(weir.url)).backendId).toBe("a");
  });
});
