// Pools that have no backend left: who is refused, what the probes and the log say, and the way back.
import { describe, expect, test } from "vitest";

import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { untilMetric } from "../support/metrics.ts";
import { ownHost } from "../support/own-host.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { stateChanges } from "../support/state-changes.ts";
import { untilEqual } from "../support/until.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

const healthCheck = { type: "tcp", interval: "100ms", timeout: "30s", healthyAfter: 2, unhealthyAfter: 2 };

const ids = ["a", "b"];

async function startBackends(host: string): Promise<EchoBackend[]> {
  return Promise.all(ids.map((id) => startEchoBackend({ id, host })));
}

function entries(backends: readonly EchoBackend[]): { id: string; url: string }[] {
  return backends.map(({ id, url }) => ({ id, url }));
}

/** `chat` and `other`, with the backends `a` and `b` each; `/other` leads to the latter. */
async function startTwoPools(
  chat: readonly EchoBackend[],
  other: readonly EchoBackend[],
): Promise<StartedWeir> {
  return startInFrontOf(entries(chat), {
    pool: { healthCheck },
    config: {
      threads: 2,
      routes: [{ match: { path: "/other" }, pool: "other" }, { pool: "chat" }],
      pools: { other: { healthCheck, backends: entries(other) } },
    },
  });
}

async function readiness({ adminUrl }: StartedWeir, pool: string | null = null): Promise<number> {
  return (await ask(`${adminUrl}/readyz${pool === null ? "" : `?pool=${pool}`}`)).status;
}

async function untilUp({ adminUrl }: StartedWeir, pool: string, backends: number): Promise<void> {
  await untilMetric(adminUrl, backends, "weir_backend_up", { pool });
}

describe("a pool whose backends are all down", () => {
  test("refuses with 503 no_backend, and serves again without a restart", async () => {
    const [chat, other] = [await startBackends(ownHost), await startBackends("127.0.0.2")];
    const weir = await startTwoPools(chat, other);
    const bystander = await openClient(`${weir.url}/other`);
    await openClient(weir.url);
    await untilEqual("readyz", 200, () => readiness(weir));
    await Promise.all(chat.map((backend) => backend.stop()));
    await untilUp(weir, "chat", 0);

    const refusals = await Promise.all(Array.from({ length: 5 }, () => expectRefusal(weir.url)));
    for (const { status, headers, body } of refusals) {
      expect(status).toBe(503);
      expect(JSON.parse(body)).toMatchObject({ error: "no_backend" });
      expect(Number(headers["retry-after"])).toBeGreaterThan(0);
    }
    await untilMetric(weir.adminUrl, 5, "weir_upgrades_total", { pool: "chat", result: "no_backend" });
    const plain = await ask(weir.httpUrl);
    expect([plain.status, JSON.parse(plain.body.toString())]).toMatchObject([503, { error: "no_backend" }]);
    // Nobody was dialled for all of that.
    await untilMetric(weir.adminUrl, 0, "weir_dial_retries_total");

    // What else Weir does goes on, and it is not to be taken out of service for one pool.
    expect([await readiness(weir), await readiness(weir, "chat")]).toEqual([200, 503]);
    expect(await readiness(weir, "other")).toBe(200);
    expect(await bystander.ask("still here")).toBe("still here");

    const [first] = chat;
    await startEchoBackend({ id: "back", host: ownHost, port: first?.port ?? 0 });
    await untilUp(weir, "chat", 1);
    expect(await readiness(weir, "chat")).toBe(200);
    const returned = await Promise.all(Array.from({ length: 5 }, () => openClient(weir.url)));
    expect(new Set(returned.map(({ backendId }) => backendId))).toEqual(new Set(["back"]));
    expect((await ask(weir.httpUrl)).headers["x-backend-id"]).toBe("back");
    const changes = stateChanges(weir);
    expect(changes.toSorted()).toEqual([
      "a: backend down",
      "a: backend up",
      "b: backend down",
      "pool has a backend again",
      "pool has no backend left that may be given work",
    ]);
    expect(changes.slice(2)).toEqual([
      "pool has no backend left that may be given work",
      "a: backend up",
      "pool has a backend again",
    ]);
    const deserted = await weir.log.entry("deserted", ({ message }) => message.startsWith("pool has no"));
    expect(deserted).toMatchObject({ level: "error", fields: { pool: "chat" } });
  });

  test("may be so from the start: Weir starts, is ready, and says which backends are missing", async () => {
    const backends = await startBackends(ownHost);
    await Promise.all(backends.map((backend) => backend.stop()));
    const weir = await startTwoPools(backends, backends);
    await untilUp(weir, "chat", 0);
    await untilUp(weir, "other", 0);
    await untilEqual("readyz", 200, () => readiness(weir));
    expect([await readiness(weir, "chat"), await readiness(weir, "other")]).toEqual([503, 503]);
    expect(await expectRefusal(`${weir.url}/other`)).toMatchObject({ status: 503 });
    await startEchoBackend({ id: "late", host: ownHost, port: backends[1]?.port ?? 0 });
    await untilUp(weir, "chat", 1);
    expect((await openClient(weir.url)).backendId).toBe("late");
  });

  test("closes with 1013 no_backend where refusals are to be closes", async () => {
    const [backend] = await startBackends(ownHost);
    const entry = { id: "a", url: backend?.url ?? "" };
    const config = { limits: { rejectWith: "close" } };
    const weir = await startInFrontOf(entry, { pool: { healthCheck }, config });
    await backend?.stop();
    await untilUp(weir, "chat", 0);
    const client = await openClient(weir.url);
    expect(await client.closed()).toEqual({ code: 1013, reason: "no_backend" });
  });
});

test("readyz asks for no pool that does not exist", async () => {
  const [backend] = await startBackends(ownHost);
  const weir = await startInFrontOf({ id: "a", url: backend?.url ?? "" }, { pool: { healthCheck } });
  await untilEqual("readyz", 200, () => readiness(weir));
  expect([await readiness(weir, "chat"), await readiness(weir, "nowhere")]).toEqual([200, 503]);
});

test("readyz of a pool is 503 where an operator has drained all that is up", async () => {
  const backends = await startBackends(ownHost);
  const weir = await startTwoPools(backends, backends);
  await untilEqual("readyz", 200, () => readiness(weir, "chat"));
  for (const id of ids) {
    const url = `${weir.adminUrl}/api/pools/chat/backends/${id}`;
    const answer = await ask(url, { method: "PUT", body: JSON.stringify({ state: "draining" }) });
    expect(answer.status).toBe(200);
  }
  expect([await readiness(weir, "chat"), await readiness(weir, "other")]).toEqual([503, 200]);
  await untilUp(weir, "chat", ids.length);
  expect(await expectRefusal(weir.url)).toMatchObject({ status: 503 });
});
