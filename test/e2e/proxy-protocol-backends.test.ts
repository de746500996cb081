// The PROXY header that goes ahead of everything to a backend which expects one: byte by byte as the
// specification has it, of the right client on each socket, and with TLS behind it.
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { describe, expect, test } from "vitest";

import { makeCertificates, openssl } from "../support/certificates.ts";
import { onCleanup } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { acceptFor, openRaw } from "../support/raw-client.ts";
import { isMissing } from "../support/requirement.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { until } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const SIGNATURE = "0d0a0d0a000d0a515549540a";

interface Announced {
  /** The bytes ahead of the request, in hex. */
  readonly header: string;
  readonly request: string;
}

/** A backend that expects a header, answers each request with 200 and each upgrade with 101, and keeps them. */
async function startBackend(tls?: { readonly cert: string; readonly key: string }) {
  const seen: Announced[] = [];
  const connections: string[] = [];
  const serve = (socket: Socket, header: string): void => {
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      const request = chunk.toString("latin1");
      const key = /sec-websocket-key: (\S+)/i.exec(request)?.[1];
      seen.push({ header, request });
      if (key === undefined) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      else {
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptFor(key)}\r\n\r\n`,
        );
      }
    });
  };
  const secure = tls === undefined ? null : createTlsServer(tls);
  const headers = new Map<number | undefined, string>();
  secure?.on("secureConnection", (socket) => serve(socket, headers.get(socket.remotePort) ?? ""));
  const server = createServer((socket) => {
    socket.on("error", () => {});
    onCleanup("a backend's socket", () => void socket.destroy());
    let received = Buffer.alloc(0);
    socket.on("data", function onData(chunk: Buffer) {
      received = Buffer.concat([received, chunk]);
      const length = received.length < 16 ? Number.POSITIVE_INFINITY : 16 + received.readUInt16BE(14);
      if (received.length < length) return;
      const header = received.toString("hex", 0, length);
      connections.push(header);
      socket.off("data", onData);
      socket.pause();
      if (received.length > length) socket.unshift(received.subarray(length));
      if (secure === null) {
        serve(socket, header);
        socket.resume();
      } else {
        headers.set(socket.remotePort, header);
        secure.emit("connection", socket);
      }
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onCleanup("the backend", () => void server.close());
  const { port } = server.address() as AddressInfo;
  return { url: `${tls === undefined ? "ws" : "wss"}://127.0.0.1:${port}`, seen, connections };
}

const hex = (port: number) => port.toString(16).padStart(4, "0");

describe("proxyProtocol of a backend", () => {
  test("names the client of an upgrade, and the address and port that it has reached", async () => {
    const backend = await startBackend();
    const weir = await startInFrontOf({ url: backend.url, proxyProtocol: "on" });
    const { connection } = await openRaw(weir.url);
    const reached = Number(new URL(weir.httpUrl).port);
    const [source = 0] = [connection.socket.localPort];
    expect(backend.seen[0]?.header).toBe(`${SIGNATURE}2111000c7f0000017f000001${hex(source)}${hex(reached)}`);
    expect(backend.seen[0]?.request).toMatch(/^GET \/ HTTP\/1\.1\r\n/);
    // Forwarded: its port is not known, and an IPv4 address beside its IPv6 one is written as such.
    await openRaw(weir.url, { lines: ["X-Forwarded-For: 2001:db8::7"] });
    expect(backend.seen[1]?.header).toBe(
      `${SIGNATURE}2121002420010db8000000000000000000000007${"0".repeat(20)}ffff7f000001${hex(0)}${hex(reached)}`,
    );
  });

  test("gives each plain request a socket of its own, so that none is taken for another client's", async () => {
    const backend = await startBackend();
    const weir = await startInFrontOf({ url: backend.url, proxyProtocol: "on" });
    const clients = ["192.0.2.1", "192.0.2.2", "192.0.2.1"];
    for (const client of clients) {
      const answer = await ask(weir.httpUrl, { headers: { "x-forwarded-for": client } });
      expect(answer.status).toBe(200);
    }
    const sources = backend.seen.map(({ header }) => header.slice(32, 40));
    expect(sources).toEqual(["c0000201", "c0000202", "c0000201"]);
    expect(backend.connections).toHaveLength(3);
  });

  test("says LOCAL in health checks, which pass by it", async () => {
    const backend = await startBackend();
    const weir = await startInFrontOf(
      { id: "b", url: backend.url, proxyProtocol: "on" },
      { pool: { healthCheck: { type: "http", path: "/health", interval: "1h" } } },
    );
    await until("the check", () => backend.seen.some(({ request }) => request.startsWith("GET /health")));
    expect(backend.seen[0]?.header).toBe(`${SIGNATURE}20000000`);
    await until(
      "the backend is up",
      async () => (await ask(`${weir.adminUrl}/readyz?pool=chat`)).status === 200,
    );
  });

  test("is understood by a Weir behind, for the user too, and Close and ends pass", async () => {
    const echo = await startEchoBackend();
    const behind = await startInFrontOf(echo.url, {
      config: { listeners: [{ bind: "127.0.0.1:0", proxyProtocol: "on" }] },
    });
    const front = await startInFrontOf({ url: behind.url, proxyProtocol: "on" });
    const client = await openClient(front.url, { headers: { "x-forwarded-for": "203.0.113.7" } });
    expect(echo.upgrades[0]?.headers["x-weir-user"]).toBe("ip:203.0.113.7");
    expect(await client.ask("who")).toBe("echo");
    expect(await client.close(4001, "bye")).toEqual({ code: 4001, reason: "bye" });
  });

  test("a backend that cannot be reached is a failed dial as ever", async () => {
    const weir = await startInFrontOf({ url: "ws://127.0.0.1:1", proxyProtocol: "on" });
    const answer = await ask(weir.httpUrl);
    expect(answer.status).toBe(502);
    await expect(openRaw(weir.url)).rejects.toThrow(/502/);
  });
});

describe.skipIf(isMissing(openssl))("proxyProtocol of a backend behind TLS", () => {
  test("sends the header ahead of the handshake, for upgrades, requests and checks; failures are told", async () => {
    const { cert, key, files } = await makeCertificates();
    const backend = await startBackend({ cert, key });
    const tls = { ca: files.ca };
    const check = { type: "http", path: "/health", interval: "1h" };
    const weir = await startInFrontOf(
      { url: backend.url, proxyProtocol: "on", tls },
      { pool: { healthCheck: check } },
    );
    await until("the check", () => backend.seen.some(({ request }) => request.startsWith("GET /health")));
    await openRaw(weir.url, { lines: ["X-Forwarded-For: 192.0.2.1"] });
    expect((await ask(weir.httpUrl, { headers: { "x-forwarded-for": "192.0.2.2" } })).status).toBe(200);
    const sources = backend.seen.map(({ header }) => header.slice(32, 40));
    expect(sources).toEqual(["", "c0000201", "c0000202"]);
    const distrustful = await startInFrontOf([
      { url: backend.url, proxyProtocol: "on" },
      { url: "wss://127.0.0.1:1", proxyProtocol: "on" },
    ]);
    await expect(openRaw(distrustful.url)).rejects.toThrow(/502/);
  });
});
