// Socket.IO under limits: its connections survive messages that are delayed and messages that are dropped.
import { createServer } from "node:http";
import { once } from "node:events";
import { expect, test } from "vitest";
import { Server } from "socket.io";
import { io, type Socket } from "socket.io-client";

import { onCleanup } from "../support/cleanup.ts";
import { type Limits, limitedConfig } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { within } from "../support/until.ts";

const limited = "weir_messages_limited_total";

test("delayed messages of Socket.IO are all answered, in order", async () => {
  const { weir, socket } = await start({ tier: { messages: { rate: "200/s", burst: 5 } } });
  const answers: unknown[] = [];
  const asked = Array.from({ length: 100 }, async (_, i) => {
    answers.push(await socket.timeout(20_000).emitWithAck("echo", i));
  });
  await Promise.all(asked);
  expect(answers).toEqual(Array.from({ length: 100 }, (_, i) => i));
  expect((await scrape(weir.adminUrl)).sum(limited, { action: "delay" })).toBeGreaterThan(0);
  expect(socket.connected).toBe(true);
});

test("a connection of Socket.IO stays open where messages are dropped, and goes on", async () => {
  const messages = { rate: "1/h", burst: 10 };
  const { weir, socket, reload } = await start({ tier: { messages }, limits: { onExceed: "drop" } });
  const disconnects: string[] = [];
  socket.on("disconnect", (reason) => disconnects.push(reason));
  const answers: unknown[] = [];
  for (let i = 0; i < 60; i++) socket.emit("echo", i, (answer: unknown) => answers.push(answer));
  // One of the ten was the client's own CONNECT.
  await untilMetric(weir.adminUrl, 51, limited, { action: "drop" });
  await reload({});
  expect(await socket.timeout(20_000).emitWithAck("echo", "later")).toBe("later");
  expect(answers).toEqual(Array.from({ length: 9 }, (_, i) => i));
  expect(disconnects).toEqual([]);
});

interface Started {
  readonly weir: StartedWeir;
  readonly socket: Socket;
  readonly reload: (options: Limits) => Promise<void>;
}

async function start(options: Limits): Promise<Started> {
  const url = await startServer();
  const weir = await startWeir(JSON.stringify(limitedConfig([url], options)));
  const socket = io(weir.httpUrl, { forceNew: true, transports: ["websocket"], upgrade: false });
  onCleanup("a Socket.IO client", () => void socket.disconnect());
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once("connect", resolve);
  socket.once("connect_error", reject);
  await within("the connection of Socket.IO", promise);
  return { weir, socket, reload: (limits) => weir.weir.reload(limitedConfig([url], limits)) };
}

async function startServer(): Promise<string> {
  const http = createServer();
  const server = new Server(http);
  server.on("connection", (socket) => {
    socket.on("echo", (value: unknown, answer: (value: unknown) => void) => answer(value));
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  onCleanup("the Socket.IO server", async () => {
    http.closeAllConnections();
    await server.close();
  });
  const address = http.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `ws://127.0.0.1:${address.port}`;
}
