// Dials while the configuration changes: nobody is refused for a reload, and what is kept open for the
// next dial is kept or given up with its backend.
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { makeCertificates, openssl } from "../support/certificates.ts";
import { temporaryFolder } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { countResources, expectNoMoreResourcesThan } from "../support/leak-check.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { acceptFor, connectRaw, openRaw } from "../support/raw-client.ts";
import { isMissing } from "../support/requirement.ts";
import {
  accept,
  type Script,
  type ScriptedBackend,
  startScriptedBackend,
} from "../support/scripted-backend.ts";
import { reloadInFrontOf, startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { until } from "../support/until.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

/** Answers every request of its sockets. */
const answerAll: Script = async (connection) => {
  connection.socket.on("data", () => void connection.write("HTTP/1.1 204 No Content\r\n\r\n"));
};

/** Accepts upgrades and answers requests, where any come before the socket's end. */
const serveAny: Script = (connection) => {
  connection.socket.on("data", (bytes: Buffer) => {
    const [, key] = /Sec-WebSocket-Key: (\S+)/i.exec(bytes.toString("latin1")) ?? [];
    const upgrade = ["Upgrade: websocket", "Connection: Upgrade"];
    const head =
      key === undefined
        ? ["HTTP/1.1 204 No Content"]
        : ["HTTP/1.1 101 OK", ...upgrade, `Sec-WebSocket-Accept: ${acceptFor(key)}`];
    void connection.write(`${head.join("\r\n")}\r\n\r\n`);
  });
};

function openSockets({ connections }: ScriptedBackend): number {
  return connections.filter(({ socket }) => !socket.destroyed).length;
}

/** A plain request; returns its status. */
async function request({ httpUrl }: StartedWeir): Promise<number> {
  const connection = await connectRaw(httpUrl);
  await connection.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  return (await connection.readHead()).status;
}

describe("upgrades and requests during reloads", () => {
  test("are all served, whichever backends come and go", async () => {
    const backends = await Promise.all(["a", "b", "c"].map((id) => startEchoBackend({ id })));
    const entries = backends.map(({ id, url }) => ({ id, url }));
    const listOf = (ids: string) => entries.filter(({ id }) => ids.includes(id));
    // One thread may have the new list long before the other.
    const options = { config: { threads: 2 } };
    const weir = await startInFrontOf(listOf("ab"), options);
    const lists = ["bc", "ca", "ab", "c", "abc"].map(listOf);
    const load = new AbortController();
    const served = Array.from({ length: 8 }, () => 0);
    const serve = async (_: number, client: number): Promise<void> => {
      while (!load.signal.aborted) {
        (await openClient(weir.url)).socket.terminate();
        expect(await request(weir)).toBe(200);
        served[client] = (served[client] ?? 0) + 1;
      }
    };
    const clients = Promise.all(served.map(serve)).finally(() => load.abort());
    const isServing = (): boolean => !load.signal.aborted && served.some((count) => count < 2);
    for (let i = 0; i < 40 || isServing(); i++)
      await reloadInFrontOf(weir, lists[i % lists.length] ?? [], options);
    load.abort();
    await clients;
    const metrics = await scrape(weir.adminUrl);
    const refused = metrics.matching("weir_upgrades_total", { pool: "chat" });
    expect(refused.filter(({ labels, value }) => labels["result"] !== "ok" && value > 0)).toEqual([]);
    expect(metrics.sum("weir_backend_failures_total")).toBe(0);
  });

  test("that waited for a slot since before get one of a backend that is new", async () => {
    const [old, added] = [await startEchoBackend({ id: "old" }), await startEchoBackend({ id: "added" })];
    const queue = { size: 10, timeout: "30s" };
    const full = { id: "old", url: old.url, capacity: 1 };
    const weir = await startInFrontOf(full, { pool: { queue } });
    await openClient(weir.url);
    const waiting = openClient(weir.url);
    await untilMetric(weir.adminUrl, 1, "weir_queue_length", { queue: "pool:chat" });
    await reloadInFrontOf(weir, [full, { id: "added", url: added.url }], { pool: { queue } });
    expect((await waiting).backendId).toBe("added");
  });
});

test("reloads that take backends away and bring them back leave no socket behind", async () => {
  const [stays, goes] = [await startScriptedBackend(serveAny), await startScriptedBackend(serveAny)];
  const options = { pool: { warmConnections: 2 } };
  const weir = await startInFrontOf([stays.url, goes.url], options);
  const isWarm = (): boolean => [stays, goes].every((each) => openSockets(each) === 2);
  await until("both are kept warm", isWarm);
  const before = countResources();
  for (let i = 0; i < 25; i++) {
    const clients = await Promise.all(Array.from({ length: 4 }, () => openRaw(weir.url)));
    expect(await request(weir)).toBe(204);
    await reloadInFrontOf(weir, stays.url, options);
    expect(await request(weir)).toBe(204);
    for (const { connection } of clients) connection.socket.destroy();
    await reloadInFrontOf(weir, [stays.url, goes.url], options);
  }
  // What the last requests went on is kept; the removal of both backends closes it.
  await reloadInFrontOf(weir, "ws://127.0.0.1:1");
  await until("nothing is open", () => openSockets(stays) + openSockets(goes) === 0);
  await reloadInFrontOf(weir, [stays.url, goes.url], options);
  await until("both are kept warm again", isWarm);
  await expectNoMoreResourcesThan(before);
});

describe("the sockets that plain requests keep", () => {
  test("outlive reloads that leave the backend where it is", async () => {
    const backend = await startScriptedBackend(answerAll);
    const weir = await startInFrontOf(backend.url);
    for (let i = 1; i <= 20; i++) {
      expect(await request(weir)).toBe(204);
      const pool = { connectTimeout: `${i}s` };
      await reloadInFrontOf(weir, { url: backend.url, weight: i }, { pool });
    }
    expect(backend.connections).toHaveLength(1);
  });

  test("are closed with a backend that a reload takes away", async () => {
    const [first, second] = [await startScriptedBackend(answerAll), await startScriptedBackend(answerAll)];
    const weir = await startInFrontOf(first.url);
    expect(await request(weir)).toBe(204);
    expect(first.connections[0]?.peerState).toBe("open");
    await reloadInFrontOf(weir, second.url);
    await first.connections[0]?.untilClosed();
    expect(await request(weir)).toBe(204);
    expect([first.connections.length, second.connections.length]).toEqual([1, 1]);
  });

  test("serve the request that is under way on them to its end first", async () => {
    const release = Promise.withResolvers<void>();
    const first = await startScriptedBackend(async (connection) => {
      await connection.readHead();
      await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe");
      await release.promise;
      await connection.write("re");
    });
    const second = await startScriptedBackend(answerAll);
    const weir = await startInFrontOf(first.url);
    const client = await connectRaw(weir.httpUrl);
    await client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await client.readHead()).status).toBe(200);
    for (let i = 0; i < 4; i++) await reloadInFrontOf(weir, second.url);
    release.resolve();
    expect((await client.readBytes(4)).toString()).toBe("here");
    await first.connections[0]?.untilClosed();
  });
});

describe.skipIf(isMissing(openssl))("a certificate file that changes", () => {
  test("holds for dials after the next reload, and for no connection before", async () => {
    const [right, other] = [await makeCertificates(), await makeCertificates()];
    const ca = join(await temporaryFolder(), "ca.crt");
    await copyFile(right.files.ca, ca);
    const backend = await startScriptedBackend(accept(), { tls: { cert: right.cert, key: right.key } });
    const entry = { url: backend.url, tls: { ca } };
    const weir = await startInFrontOf(entry);
    const { connection } = await openRaw(weir.url);
    await copyFile(other.files.ca, ca);
    await openRaw(weir.url);
    await reloadInFrontOf(weir, entry);
    // Neither the context of before nor a TLS session that was verified with it is used.
    expect(await expectRefusal(weir.url)).toMatchObject({ status: 502 });
    await copyFile(right.files.ca, ca);
    await reloadInFrontOf(weir, entry);
    await openRaw(weir.url);
    expect(connection.peerState).toBe("open");
    await until("three connections", () => backend.connections.length >= 3);
  });
});
