// Socket.IO through Weir, over WebSocket alone and with its long-polling beginnings.
import { createServer } from "node:http";
import { once } from "node:events";
import { expect, test } from "vitest";
import { Server } from "socket.io";
import { io, type ManagerOptions, type Socket } from "socket.io-client";

import { onCleanup } from "../support/cleanup.ts";
import { scrape } from "../support/metrics.ts";
import { startWeir } from "../support/start-weir.ts";
import { until, within } from "../support/until.ts";

/** The smallest file, with free ports. */
function yaml(backends: readonly string[]): string {
  return `
listeners: ["127.0.0.1:0"]
pools:
  chat: { backends: ${JSON.stringify(backends)} }
admin: { bind: "127.0.0.1:0" }
`;
}

test("Socket.IO over WebSocket is spread over two servers by the smallest file", async () => {
  const backends = [await startServer("first"), await startServer("second")];
  const { httpUrl } = await startWeir(yaml(backends));
  const sockets = await Promise.all(
    [1, 2, 3, 4].map(() => connect(httpUrl, { transports: ["websocket"], upgrade: false })),
  );
  const names = await Promise.all(sockets.map(nameOf));
  expect(names.toSorted()).toEqual(["first", "first", "second", "second"]);
  for (const socket of sockets) {
    expect(await ask(socket, "echo", "text", { nested: [1, 2] })).toEqual(["text", { nested: [1, 2] }]);
    expect(await ask(socket, "echo", Buffer.alloc(100_000, 1))).toEqual([Buffer.alloc(100_000, 1)]);
  }
});

test("Socket.IO begins with polling and upgrades to WebSocket", async () => {
  const { httpUrl, adminUrl } = await startWeir(yaml([await startServer("only")]));
  const socket = await connect(httpUrl, {});
  expect(await ask(socket, "who")).toBe("only");
  await until("the transport is a WebSocket", () => socket.io.engine.transport.name === "websocket");
  expect(await ask(socket, "echo", "after the upgrade")).toEqual(["after the upgrade"]);
  const metrics = await scrape(adminUrl);
  expect(metrics.sum("weir_upgrades_total", { result: "ok" })).toBe(1);
  expect(metrics.sum("weir_http_requests_total", { pool: "chat", code: "200" })).toBeGreaterThan(1);
});

test("Socket.IO stays with polling where it is told to", async () => {
  const { httpUrl } = await startWeir(yaml([await startServer("only")]));
  const socket = await connect(httpUrl, { transports: ["polling"] });
  expect(await ask(socket, "echo", "by polling")).toEqual(["by polling"]);
  expect(socket.io.engine.transport.name).toBe("polling");
});

test("Socket.IO connects again when its server is gone and another one is there", async () => {
  const { url, stop } = await startStoppableServer("first");
  const { httpUrl } = await startWeir(yaml([url, await startServer("second")]));
  const options = { transports: ["websocket"], reconnectionDelay: 1 };
  const sockets = await Promise.all([connect(httpUrl, options), connect(httpUrl, options)]);
  await stop();
  await until("both are served by the second", async () => {
    const connected = sockets.filter((socket) => socket.connected);
    const names = await Promise.all(connected.map(nameOf));
    return names.join() === "second,second";
  });
  expect(await ask(sockets[0], "echo", "again")).toEqual(["again"]);
});

async function connect(httpUrl: string, options: Partial<ManagerOptions>): Promise<Socket> {
  const socket = io(httpUrl, { forceNew: true, ...options });
  onCleanup("a Socket.IO client", () => void socket.disconnect());
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once("connect", resolve);
  socket.once("connect_error", reject);
  await within("the connection of Socket.IO", promise);
  return socket;
}

async function nameOf(socket: Socket): Promise<string> {
  return String(await ask(socket, "who"));
}

function ask(socket: Socket, event: string, ...values: unknown[]): Promise<unknown> {
  return socket.timeout(5_000).emitWithAck(event, ...values);
}

async function startServer(name: string): Promise<string> {
  return (await startStoppableServer(name)).url;
}

async function startStoppableServer(name: string): Promise<{ url: string; stop: () => Promise<void> }> {
  const http = createServer();
  const server = new Server(http);
  server.on("connection", (socket) => {
    socket.on("who", (answer: (name: string) => void) => answer(name));
    socket.on("echo", (...values: unknown[]) => {
      const answer = values.pop() as (values: unknown[]) => void;
      answer(values);
    });
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const stop = async (): Promise<void> => {
    http.closeAllConnections();
    await server.close();
  };
  onCleanup(`the Socket.IO server ${name}`, stop);
  const address = http.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { url: `ws://127.0.0.1:${address.port}`, stop };
}
