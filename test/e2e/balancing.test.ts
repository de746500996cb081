// Which backend an upgrade goes to, and how many may: weighted least-connections, capacity and the
// global cap, exact however many upgrades race over however many threads.
import { describe, expect, test } from "vitest";
import { parse } from "yaml";

import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import {
  accept,
  acceptUpgrade,
  answer,
  answerGarbage,
  neverAnswer,
  type Script,
  startScriptedBackend,
} from "../support/scripted-backend.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { expectRefusal, openClient, type WsClient } from "../support/ws-client.ts";

function yaml(backends: readonly string[], more = ""): string {
  return `
listeners: ["127.0.0.1:0"]
admin: { bind: "127.0.0.1:0" }
timeouts: { close: 50ms, ping: off }
pools: { chat: { healthCheck: off, affinity: off, outlier: off, backends: [${backends.join(", ")}] } }
${more}`;
}

async function startBackends(count: number): Promise<EchoBackend[]> {
  const ids = Array.from({ length: count }, (_, index) => `backend-${index}`);
  return Promise.all(ids.map((id) => startEchoBackend({ id })));
}

describe("least-connections", () => {
  test("shares 60 connections over weights 1, 2 and 3 as 10, 20 and 30", async () => {
    const backends = await startBackends(3);
    const entries = backends.map(({ url }, index) => `{ url: "${url}", weight: ${index + 1} }`);
    const weir = await startWeir(yaml(entries, "threads: 2"));
    const clients = await Promise.all(Array.from({ length: 60 }, () => openClient(weir.url)));
    expect(backends.map(({ openConnections }) => openConnections)).toEqual([10, 20, 30]);
    const perBackend = { pool: "chat", backend: new URL(backends[2]?.url ?? "").host };
    await untilMetric(weir.adminUrl, 30, "weir_backend_connections", perBackend);

    // What the heaviest lost, it gets back.
    const leaving = clients.filter(({ backendId }) => backendId === "backend-2").slice(0, 6);
    await Promise.all(leaving.map((client) => client.close(1000)));
    await untilMetric(weir.adminUrl, 54, "weir_backend_connections");
    await Promise.all(leaving.map(() => openClient(weir.url)));
    expect(backends.map(({ openConnections }) => openConnections)).toEqual([10, 20, 30]);
  });

  test("gives equal backends one connection each, in no fixed order", async () => {
    const backends = await startBackends(12);
    const { url } = await startWeir(
      yaml(
        backends.map(({ url }) => `"${url}"`),
        "threads: 1",
      ),
    );
    const order: string[] = [];
    for (let i = 0; i < backends.length; i++) order.push((await openClient(url)).backendId);
    const ids = backends.map(({ id }) => id);
    expect(order.toSorted()).toEqual(ids.toSorted());
    // The list's own order would come up by chance once in 479 million runs.
    expect(order).not.toEqual(ids);
  });
});

test("a reload takes new backends and capacities in, and cuts nobody", async () => {
  const [first, second] = await startBackends(2);
  const config = (backends: readonly string[]): unknown => parse(yaml(backends, "threads: 2"));
  const weir = await startWeir(yaml([`{ url: "${first?.url}", capacity: 1 }`], "threads: 2"));
  const client = await openClient(weir.url);
  await expectRefusal(weir.url);
  await weir.weir.reload(config([`{ url: "${first?.url}", capacity: 2 }`]));
  expect((await openClient(weir.url)).backendId).toBe("backend-0");
  await expectRefusal(weir.url);

  await weir.weir.reload(config([`"${second?.url}"`]));
  expect((await openClient(weir.url)).backendId).toBe("backend-1");
  expect(await client.ask("who")).toBe("backend-0");
  await untilMetric(weir.adminUrl, 3, "weir_backend_connections");

  await weir.weir.reload(config([`{ url: "${first?.url}", capacity: 2 }`, `"${second?.url}"`]));
  // Two connections of before are still there: its capacity is full.
  expect((await openClient(weir.url)).backendId).toBe("backend-1");
  await client.close(1000);
  await untilMetric(weir.adminUrl, 3, "weir_backend_connections");
  expect((await openClient(weir.url)).backendId).toBe("backend-0");
});

describe("when many upgrades race over four threads", () => {
  test("the capacity of the backends is exact, and so are the slots that come back", async () => {
    const backends = await startBackends(2);
    const entries = backends.map(({ url }) => `{ url: "${url}", capacity: 5 }`);
    const weir = await startWeir(yaml(entries, "threads: 4"));
    for (const round of [1, 2]) {
      const { opened, refused } = await race(weir.url, 40);
      expect(opened).toHaveLength(10);
      expect(new Set(refused)).toEqual(new Set(["503 backends_full"]));
      expect(backends.map(({ openConnections }) => openConnections)).toEqual([5, 5]);
      const result = { pool: "chat", result: "backends_full" };
      await untilMetric(weir.adminUrl, round * 30, "weir_upgrades_total", result);
      await Promise.all(opened.map((client) => client.close(1000)));
      await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
    }
  });

  test("the global cap is exact", async () => {
    const backends = await startBackends(3);
    const entries = backends.map(({ url }) => `"${url}"`);
    const weir = await startWeir(yaml(entries, "threads: 4\nlimits: { maxConnections: 7 }"));
    const { opened, refused } = await race(weir.url, 40);
    expect(opened).toHaveLength(7);
    expect(new Set(refused)).toEqual(new Set(["503 connections_full"]));
    expect(backends.reduce((sum, { openConnections }) => sum + openConnections, 0)).toBe(7);
    await opened[0]?.close(1000);
    await untilMetric(weir.adminUrl, 6, "weir_connections");
    await openClient(weir.url);
    await expectRefusal(weir.url);
  });
});

describe("the one slot of a backend comes back", () => {
  test.for(Object.entries(endings()))("after %s", async ([, ending]) => {
    // The second connection is served properly, whatever became of the first.
    const server = await startScriptedBackend([ending.script ?? accept(), accept()], { allowHalfOpen: true });
    const more = "threads: 2\nlimits: { maxMessageSize: 1KiB }";
    const weir = await startWeir(yaml([`{ url: "${server.url}", capacity: 1 }`], more));
    await ending.end(weir, (index) => server.connection(index));
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
    const { connection } = await openRaw(weir.url);
    await connection.sendText("served");
    expect(await (await server.connection(1)).nextText()).toBe("served");
    const refusal = await expectRefusal(weir.url);
    expect([refusal.status, JSON.parse(refusal.body)]).toMatchObject([503, { error: "backends_full" }]);
  });
});

interface Ending {
  readonly script?: Script;
  end(weir: StartedWeir, backend: (index: number) => Promise<RawConnection>): Promise<void>;
}

/** An end that comes once the connection is open. */
function onceOpen(
  act: (client: RawConnection, backend: RawConnection) => Promise<void> | void,
): Ending["end"] {
  return async ({ url }, backend) => {
    const { connection } = await openRaw(url);
    await act(connection, await backend(0));
  };
}

function endings(): Readonly<Record<string, Ending>> {
  return {
    "the client's Close": {
      end: onceOpen(async (client, backend) => {
        await client.sendClose(1000);
        await backend.nextClose();
        await backend.sendClose(1000);
        backend.finish();
      }),
    },
    "the client's RST": { end: onceOpen((client) => client.reset()) },
    "the client's FIN": { end: onceOpen((client) => client.finish()) },
    "the backend's RST": { end: onceOpen((_, backend) => backend.reset()) },
    "the backend's FIN": { end: onceOpen((_, backend) => backend.finish()) },
    "a protocol error": { end: onceOpen((client) => client.sendFrame({ opcode: 0x3 })) },
    "a message too big": {
      end: onceOpen((client) => client.sendFrame({ opcode: opcodes.binary, payload: Buffer.alloc(2_000) })),
    },
    "a backend that refuses": {
      script: answer({ status: 403 }),
      end: async ({ url }) => {
        expect((await expectRefusal(url)).status).toBe(403);
      },
    },
    "a backend that answers garbage": {
      script: answerGarbage(),
      end: async ({ url }) => {
        expect((await expectRefusal(url)).status).toBe(502);
      },
    },
    "a client that leaves while its backend is dialled": {
      script: neverAnswer(),
      end: async ({ url }, backend) => {
        const client = await connectRaw(url);
        await client.write(upgradeRequest());
        await (await backend(0)).untilReceivedBytes(1);
        client.reset();
      },
    },
    "a client that leaves as its backend accepts": {
      script: async (backend) => void (await acceptUpgrade(backend).catch(() => null)),
      end: async ({ url }, backend) => {
        const client = await connectRaw(url);
        await client.write(upgradeRequest());
        await (await backend(0)).untilReceivedBytes(1);
        client.reset();
      },
    },
  };
}

/** Opens that many clients at once; what the refused were told is `STATUS CODE`. */
async function race(url: string, count: number): Promise<{ opened: WsClient[]; refused: string[] }> {
  const outcomes = await Promise.all(
    Array.from({ length: count }, async () =>
      openClient(url).catch((error: Error) => {
        const match = /refused the upgrade: (\d+) \{"error":"(\w+)"/.exec(error.message);
        return match === null ? error.message : `${match[1]} ${match[2]}`;
      }),
    ),
  );
  return {
    opened: outcomes.filter((outcome) => typeof outcome !== "string"),
    refused: outcomes.filter((outcome) => typeof outcome === "string"),
  };
}
