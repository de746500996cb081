// The data-plane threads: they share each address, die alone, and are started again; and no two Weirs
// share an address unnoticed.
import { existsSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

import { FatalError } from "../../src/errors.ts";
import { onCleanup, temporaryFolder } from "../support/cleanup.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { neverAnswer, startScriptedBackend } from "../support/scripted-backend.ts";
import { spawnMain, spawnWeir, writeConfig } from "../support/spawn-weir.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { until, untilEqual } from "../support/until.ts";
import { expectRefusal, openClient, type WsClient } from "../support/ws-client.ts";

const THREADS = 4;
/** So many that each of four threads gets some: that one gets none happens once in 25 million runs. */
const CLIENTS = 64;

function yaml(url: string, more = `threads: ${THREADS}`): string {
  return `
listeners: ["127.0.0.1:0"]
admin: { bind: "127.0.0.1:0" }
pools: { chat: { healthCheck: off, backends: [{ url: "${url}", capacity: ${CLIENTS} }] } }
${more}`;
}

interface FullWeir {
  readonly backend: EchoBackend;
  readonly weir: StartedWeir;
  readonly clients: readonly WsClient[];
}

/** Every slot of the only backend is taken, by connections over all threads. */
async function startFull(): Promise<FullWeir> {
  const backend = await startEchoBackend();
  const weir = await startWeir(yaml(backend.url));
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => openClient(weir.url)));
  return { backend, weir, clients };
}

function openOf(clients: readonly WsClient[]): WsClient[] {
  return clients.filter(({ socket }) => socket.readyState === socket.OPEN);
}

describe("a worker thread that dies", () => {
  test("takes its own connections with it, and gives their slots back", async () => {
    const { backend, weir, clients } = await startFull();
    expect((await expectRefusal(weir.url)).status).toBe(503);
    await weir.weir.workers.kill(2);
    const died = await weir.log.entry("the loss", ({ message }) => /ended with their worker/.test(message));
    const lost = Number(died.fields["connections"]);
    expect(lost).toBeGreaterThan(0);
    expect(lost).toBeLessThan(CLIENTS);
    await untilEqual("open clients", CLIENTS - lost, () => openOf(clients).length);
    await untilEqual("open backend sockets", CLIENTS - lost, () => backend.openConnections);
    expect(new Set(backend.closes.map(({ code }) => code))).toEqual(new Set([1006]));
    for (const client of openOf(clients)) expect(await client.ask("who")).toBe("echo");
    await untilMetric(weir.adminUrl, CLIENTS - lost, "weir_backend_connections");
    await untilMetric(weir.adminUrl, CLIENTS - lost, "weir_connections");
    const ends = { pool: "chat", code: "1006", by: "weir", reason: "thread_lost" };
    await untilMetric(weir.adminUrl, lost, "weir_closes_total", ends);
    await untilMetric(weir.adminUrl, lost, "weir_connection_duration_seconds_count");

    await Promise.all(Array.from({ length: lost }, () => openClient(weir.url)));
    expect((await expectRefusal(weir.url)).status).toBe(503);
  });

  test("is started again, each of them, while the address stays served", async () => {
    const { weir, clients } = await startFull();
    await Promise.all(clients.map((client) => client.ask("who")));
    for (let index = 0; index < THREADS; index++) {
      const before = openOf(clients).length;
      await weir.weir.workers.kill(index);
      // At once, from the threads that are left; the slots are those of the dead one.
      await (await openClient(weir.url)).close(1000);
      await weir.log.entry(`thread ${index} is back`, ({ message, fields }) => {
        return message === "worker thread serves again" && fields["thread"] === index;
      });
      await untilMetric(weir.adminUrl, index + 1, "weir_worker_restarts_total");
      await until("it had connections of its own", () => openOf(clients).length < before);
    }
    expect(weir.weir.workers.size).toBe(THREADS);
    await untilEqual("clients of before", 0, () => openOf(clients).length);
    // What the dead had counted stays counted.
    const metrics = await scrape(weir.adminUrl);
    expect(metrics.sum("weir_messages_total", { direction: "client_to_backend" })).toBe(CLIENTS);
    expect(metrics.sum("weir_messages_total", { direction: "backend_to_client" })).toBe(CLIENTS);
    const restarts = weir.log.entries.filter(({ message }) => /died, starting it again/.test(message));
    expect(restarts.map(({ level, fields }) => [level, fields["thread"]])).toEqual(
      [0, 1, 2, 3].map((index) => ["error", index]),
    );
  });

  test("alone, on a TCP port and a Unix socket: both are served again", async () => {
    const path = join(await temporaryFolder(), "weir.sock");
    const backend = await startEchoBackend();
    const more = `threads: 1`;
    const listeners = `listeners: ["127.0.0.1:0", "unix:${path}"]`;
    const weir = await startWeir(yaml(backend.url, more).replace(/^listeners.*$/m, listeners));
    const { connection } = await openRaw(`unix:${path}`);
    await connection.sendText("who");
    expect(await connection.nextText()).toBe("echo");
    const [tcpUrl] = weir.weir.addresses.listeners;
    await weir.weir.workers.kill(0);
    await until("the port is served again", () => openClient(weir.url));
    await until("the socket is served again", () => openRaw(`unix:${path}`));
    expect(weir.weir.addresses.listeners).toEqual([tcpUrl, `unix:${path}`]);
  });

  test("while it dials gives that slot back too", async () => {
    const server = await startScriptedBackend(neverAnswer());
    const weir = await startWeir(yaml(server.url, "threads: 1"));
    const client = await connectRaw(weir.url);
    await client.write(upgradeRequest());
    await (await server.connection(0)).untilReceivedBytes(1);
    await untilMetric(weir.adminUrl, 1, "weir_backend_connections");
    await weir.weir.workers.kill(0);
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
    expect(await client.untilClosed()).not.toBe("open");
  });
});

describe("port 0", () => {
  test("gives all threads one port", async () => {
    const { weir } = await startFull();
    expect(weir.weir.addresses.listeners).toHaveLength(1);
    expect(weir.httpUrl).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
  });
});

describe("an address that is taken", () => {
  test("by another Weir is refused by name, with exit code 71", async () => {
    const backend = await startEchoBackend();
    const first = await spawnWeir(yaml(backend.url, "threads: 2"));
    const address = new URL(first.httpUrl).host;
    const second = spawnMain(["run", "-c", await writeConfig(yamlOn(address, backend.url))]);
    expect(await second.exited()).toEqual({ code: 71, signal: null });
    expect(second.stderr).toContain(address);
    expect(second.stderr).toContain("another process serves it");
    expect(second.listeners).toEqual([]);
    expect(await (await openClient(first.url)).ask("who")).toBe("echo");
  });

  test("by a foreign server, on a port or a Unix socket, is refused by name", async () => {
    const path = join(await temporaryFolder(), "taken.sock");
    for (const options of [{ port: 0, host: "127.0.0.1" }, { path }]) {
      const server = createServer((socket) => socket.destroy());
      server.listen(options);
      await once(server, "listening");
      onCleanup("a foreign server", () => closeServer(server));
      const bound = server.address();
      const address =
        bound !== null && typeof bound === "object" ? `127.0.0.1:${bound.port}` : `unix:${path}`;
      const error = await startWeir(yamlOn(address, "ws://127.0.0.1:1")).catch((error: unknown) => error);
      expect(error).toBeInstanceOf(FatalError);
      expect(error).toMatchObject({ exitCode: 71, message: expect.stringContaining(address) });
      expect(error).toMatchObject({ message: expect.stringContaining("another process serves it") });
      expect(server.listening).toBe(true);
    }
  });

  test("by a Unix socket file that nobody serves any more is taken over", async () => {
    const path = join(await temporaryFolder(), "stale.sock");
    const backend = await startEchoBackend();
    const first = await spawnWeir(yamlOn(`unix:${path}`, backend.url));
    first.signal("SIGKILL");
    await first.exited();
    expect(existsSync(path)).toBe(true);
    await startWeir(yamlOn(`unix:${path}`, backend.url));
    const { connection } = await openRaw(`unix:${path}`);
    await connection.sendText("who");
    expect(await connection.nextText()).toBe("echo");
  });

  test("by nothing, but not this machine's, is refused by name", async () => {
    // An address of RFC 5737 that no machine has.
    const error = await startWeir(yamlOn("192.0.2.1:8080", "ws://127.0.0.1:1")).catch(
      (error: unknown) => error,
    );
    expect(error).toMatchObject({ exitCode: 71, message: expect.stringContaining("192.0.2.1:8080") });
  });
});

function yamlOn(address: string, backendUrl: string): string {
  return yaml(backendUrl, "threads: 2").replace(/^listeners.*$/m, `listeners: ["${address}"]`);
}

async function closeServer(server: Server): Promise<void> {
  server.close();
  await once(server, "close");
}

test("a worker thread that cannot bind again goes on trying, and Weir is not ready meanwhile", async () => {
  const backend = await startEchoBackend();
  const weir = await startWeir(yaml(backend.url, "threads: 1"));
  const port = Number(new URL(weir.httpUrl).port);
  const squatter = createServer();
  const ended = weir.weir.workers.kill(0);
  await ended;
  await untilListening(squatter, port);
  await weir.log.entry("the failed restart", ({ message }) => message.includes("could not be started again"));
  expect((await fetch(`${weir.adminUrl}/readyz`)).status).toBe(503);
  await new Promise<void>((resolve) => squatter.close(() => resolve()));
  await weir.log.entry("the restart", ({ message }) => message === "worker thread serves again");
  expect((await fetch(`${weir.adminUrl}/readyz`)).status).toBe(200);
  expect((await openClient(weir.url)).backendId).toBe(backend.id);
});

async function untilListening(server: Server, port: number): Promise<void> {
  onCleanup("the squatter", () => void server.close());
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
}
