// The planned end: SIGTERM or SIGINT says goodbye to everyone, waits for the answers, and exits 0.
import { get } from "node:http";
import { describe, expect, test, vi } from "vitest";

import { onCleanup } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { scrape } from "../support/metrics.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { relayYaml, startRelay } from "../support/relay.ts";
import { accept, acceptUpgrade, startScriptedBackend } from "../support/scripted-backend.ts";
import { type SpawnedWeir, spawnWeir } from "../support/spawn-weir.ts";
import { startWeir } from "../support/start-weir.ts";
import { until, untilEqual } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const { text, binary } = opcodes;

const goodbye = { code: 1001, reason: "server shutting down" };

/** As long as a test may take; what ends before ends by its own. */
const patient = "timeouts: { close: 60s, ping: off }\nshutdown: { timeout: 2m }";

const plainRequest = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

describe.for(["SIGTERM", "SIGINT"] as const)("%s", (signal) => {
  test("closes every client with 1001, every backend with 1001, and exits 0", async () => {
    const backends = await Promise.all([startEchoBackend(), startEchoBackend()]);
    const urls = backends.map(({ url }) => url);
    const weir = await spawnWeir(relayYaml(urls, `threads: 2\n${patient}`));
    const clients = await Promise.all(Array.from({ length: 20 }, () => openClient(weir.url)));
    weir.signal(signal);
    for (const client of clients) expect(await client.closed()).toEqual(goodbye);
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
    for (const { closes } of backends) {
      await untilEqual("ends that the backend has seen", 10, () => closes.length);
      expect(closes).toEqual(Array.from({ length: 10 }, () => ({ code: 1001, reason: "" })));
    }
    const lines = weir.stdout.split("\n").filter((line) => line.includes('"connection closed"'));
    expect(lines).toHaveLength(20);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ code: 1001, by: "weir", reason: "draining" });
    expect(weir.stderr).toBe("");
  });

  test("exits 0 at once where nobody is connected", async () => {
    const weir = await spawnWeir(relayYaml(["ws://127.0.0.1:1"], patient));
    weir.signal(signal);
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  });

  test("a second time exits at once, whoever has not answered", async () => {
    const backend = await startEchoBackend();
    const weir = await spawnWeir(relayYaml([backend.url], patient));
    const { connection } = await openRaw(weir.url);
    weir.signal(signal);
    expect(await connection.nextClose()).toEqual(goodbye);
    weir.signal(signal);
    const { code } = await weir.exited();
    expect(code).not.toBe(0);
  });
});

test("a client that never answers is cut after timeouts.close, and the exit code is still 0", async () => {
  const backend = await startEchoBackend();
  const weir = await spawnWeir(relayYaml([backend.url], "timeouts: { close: 100ms, ping: off }"));
  const { connection } = await openRaw(weir.url, { allowHalfOpen: true });
  weir.signal("SIGTERM");
  expect(await connection.nextClose()).toEqual(goodbye);
  expect(await weir.exited()).toEqual({ code: 0, signal: null });
});

test("with the defaults a few clients are gone within Docker's 10 s, be it that one never answers", async () => {
  const backend = await startEchoBackend();
  const weir = await spawnWeir(relayYaml([backend.url]));
  const clients = await Promise.all(Array.from({ length: 5 }, () => openClient(weir.url)));
  const { connection } = await openRaw(weir.url, { allowHalfOpen: true });
  weir.signal("SIGTERM");
  for (const client of clients) expect(await client.closed()).toEqual(goodbye);
  expect(await connection.nextClose()).toEqual(goodbye);
  expect(await weir.exited({ deadlineMs: 10_000 })).toEqual({ code: 0, signal: null });
});

test("a backend that hangs in its closing handshake holds nobody up", async () => {
  const server = await startScriptedBackend(accept({}), { allowHalfOpen: true });
  const weir = await spawnWeir(relayYaml([server.url], "timeouts: { close: 100ms, ping: off }"));
  const client = await openClient(weir.url);
  weir.signal("SIGTERM");
  expect(await client.closed()).toEqual(goodbye);
  expect(await weir.exited()).toEqual({ code: 0, signal: null });
  const backend = await server.connection(0);
  expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
});

test("who is left at shutdown.timeout is cut, and the exit code is still 0", async () => {
  const backend = await startEchoBackend();
  // A tenth of it is for the threads to report what was cut.
  const yaml = relayYaml([backend.url], "timeouts: { close: 60s, ping: off }\nshutdown: { timeout: 3s }");
  const weir = await spawnWeir(yaml);
  const { connection } = await openRaw(weir.url);
  weir.signal("SIGTERM");
  expect(await connection.nextClose()).toEqual(goodbye);
  expect(await weir.exited()).toEqual({ code: 0, signal: null });
  expect(weir.stdout).toContain("shutdown timeout reached");
  const lines = weir.stdout.split("\n").filter((line) => line.includes('"connection closed"'));
  expect(lines).toHaveLength(1);
});

describe("a plain request in flight", () => {
  test("gets its whole answer, and its connection is closed behind it", async () => {
    const { weir, client, backend } = await requestInFlight(patient);
    weir.signal("SIGTERM");
    await untilNobodyListens(weir.httpUrl);
    await backend.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    const head = await client.readHead();
    expect(head.status).toBe(200);
    expect(head.header("connection")).toBe("close");
    expect((await client.readBytes(10)).toString()).toBe("5\r\nfirst\r\n");
    await backend.write("4\r\nlast\r\n0\r\n\r\n");
    expect((await client.readToEnd()).toString()).toBe("4\r\nlast\r\n0\r\n\r\n");
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  });

  test("is answered whole where its head is out already, and the idle connection then holds nothing up", async () => {
    const { weir, client, backend } = await requestInFlight(patient);
    await backend.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst");
    expect((await client.readHead()).header("connection")).toBe("keep-alive");
    expect((await client.readBytes(5)).toString()).toBe("first");
    weir.signal("SIGTERM");
    await untilNobodyListens(weir.httpUrl);
    await backend.write("last");
    expect((await client.readToEnd()).toString()).toBe("last");
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  });

  test("that was pipelined behind a last answer holds nothing up", async () => {
    const { weir, client, server, backend } = await requestInFlight(patient);
    await client.write(plainRequest);
    await (await server.connection(1)).readHead();
    weir.signal("SIGTERM");
    await untilNobodyListens(weir.httpUrl);
    await backend.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.readHead()).header("connection")).toBe("close");
    expect((await client.readToEnd()).toString()).toBe("ok");
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  });

  test("that never ends is cut at shutdown.timeout", async () => {
    const { weir, client, backend } = await requestInFlight("shutdown: { timeout: 200ms }");
    await backend.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    await client.readHead();
    expect((await client.readBytes(10)).toString()).toBe("5\r\nfirst\r\n");
    weir.signal("SIGTERM");
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
    expect(weir.stdout).toMatch(/"requests":1,"msg":"shutdown timeout reached/);
    await client.untilClosed();
    // No end of the body: it does not look whole.
    expect(client.buffered.toString()).toBe("");
  });
});

test("a kept-alive connection without a request does not hold the drain", async () => {
  const { weir, client, backend } = await requestInFlight(patient);
  await backend.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  expect((await client.readHead()).header("connection")).toBe("keep-alive");
  expect((await client.readBytes(2)).toString()).toBe("ok");
  weir.signal("SIGTERM");
  expect(await weir.exited()).toEqual({ code: 0, signal: null });
  await client.untilClosed();
});

describe("while draining", () => {
  test("the message in flight arrives whole before the goodbye, in both directions", async () => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    const down = backend.encode({ opcode: binary, payload: Buffer.alloc(100_000, 1) });
    const up = client.encode({ opcode: binary, payload: Buffer.alloc(100_000, 2) });
    await Promise.all([backend.write(down.subarray(0, 50_000)), client.write(up.subarray(0, 50_000))]);
    const firstHalves = await Promise.all([client.readBytes(50_000), backend.readBytes(50_000)]);
    const drained = relay.weir.drain();
    await relay.log.entry("draining", ({ message }) => message === "draining");
    await Promise.all([backend.write(down.subarray(50_000)), client.write(up.subarray(50_000))]);
    const rests = await Promise.all([
      client.readBytes(down.length - 50_000),
      backend.readBytes(up.length - 50_000),
    ]);
    expect(Buffer.concat([firstHalves[0], rests[0]]).equals(down)).toBe(true);
    expect(Buffer.concat([firstHalves[1], rests[1]]).equals(up)).toBe(true);
    expect(await client.nextClose()).toEqual(goodbye);
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
    // What comes behind the goodbye is not passed on.
    await client.sendFrame({ opcode: text, payload: "late" });
    await Promise.all([client.sendClose(1001), backend.sendClose(1001)]);
    client.finish();
    backend.finish();
    await drained;
    expect([client.buffered.length, backend.buffered.length]).toEqual([0, 0]);
  });

  test("/readyz fails, weir_draining is 1, and nobody is let in", async () => {
    const relay = await startRelay({ yaml: patient });
    const { client, backend } = await relay.open();
    expect(await statusOf(`${relay.adminUrl}/readyz`)).toBe(200);
    const drained = relay.weir.drain();
    await client.nextClose();
    expect(await statusOf(`${relay.adminUrl}/readyz`)).toBe(503);
    expect(await statusOf(`${relay.adminUrl}/healthz`)).toBe(200);
    expect((await scrape(relay.adminUrl)).sum("weir_draining")).toBe(1);
    await expect(openRaw(relay.url)).rejects.toThrow("ECONNREFUSED");
    client.reset();
    backend.reset();
    await drained;
  });

  test("an upgrade whose backend accepts only now is closed with 1001 too", async () => {
    const accepting = Promise.withResolvers<void>();
    const server = await startScriptedBackend(async (backend) => {
      await accepting.promise;
      await acceptUpgrade(backend);
    });
    const weir = await startWeir(relayYaml([server.url], patient));
    const client = await connectRaw(weir.url, { allowHalfOpen: true });
    await client.write(upgradeRequest());
    const backend = await server.connection(0);
    await backend.untilReceivedBytes(1);
    const drained = weir.weir.drain();
    await untilNobodyListens(weir.url);
    accepting.resolve();
    expect((await client.readHead()).status).toBe(101);
    expect(await client.nextClose()).toEqual(goodbye);
    await client.sendClose(1001);
    expect(await backend.nextClose()).toEqual({ code: 1001, reason: "" });
    await backend.sendClose(1001);
    backend.finish();
    client.finish();
    await drained;
  });

  test("an upgrade on a connection that was kept alive is refused with 503", async () => {
    const relay = await startRelay({ yaml: patient });
    const pair = await relay.open();
    const waiting = await connectRaw(relay.url);
    // A head that is not whole keeps its connection open over the closing of the listener.
    const head = upgradeRequest();
    await waiting.write(head.slice(0, -2));
    const other = await relay.open();
    const drained = relay.weir.drain();
    await pair.client.nextClose();
    await waiting.write(head.slice(-2));
    const response = await waiting.readHead();
    expect(response.status).toBe(503);
    expect(response.header("retry-after")).toMatch(/^\d+$/);
    expect(JSON.parse((await waiting.readToEnd()).toString())).toMatchObject({ error: "draining" });
    for (const { client, backend } of [pair, other]) {
      client.reset();
      backend.reset();
    }
    await drained;
  });
});

test("closing twice is closing once", async () => {
  const relay = await startRelay();
  // A drain that takes long says so again and again.
  vi.useFakeTimers({ toFake: ["setInterval"] });
  onCleanup("the intervals", () => void vi.useRealTimers());
  await Promise.all([relay.weir.close(), relay.weir.close()]);
  await relay.weir.close();
  expect(relay.log.entries.filter(({ message }) => message === "draining")).toHaveLength(1);
});

interface RequestInFlight {
  readonly weir: SpawnedWeir;
  readonly client: RawConnection;
  readonly server: Awaited<ReturnType<typeof startScriptedBackend>>;
  readonly backend: RawConnection;
}

/** A plain request that the backend has received and not answered. */
async function requestInFlight(yaml: string): Promise<RequestInFlight> {
  const server = await startScriptedBackend(() => {});
  const weir = await spawnWeir(relayYaml([server.url], yaml));
  const client = await connectRaw(weir.httpUrl);
  await client.write(plainRequest);
  const backend = await server.connection(0);
  await backend.readHead();
  return { weir, client, server, backend };
}

/** The log tells of a drain before the thread has heard of it: it has once its listener is closed. */
async function untilNobodyListens(url: string): Promise<void> {
  await until("the listener is closed", async () => {
    const connection = await connectRaw(url).catch(() => null);
    connection?.socket.destroy();
    return connection === null;
  });
}

function statusOf(url: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  get(url, { agent: false }, (response) => {
    response.resume();
    response.on("end", () => resolve(response.statusCode ?? 0));
  }).on("error", reject);
  return promise;
}
