// A client that stops reading while the rest of its answer is in Weir already: the backend owes nothing any
// more, and what the client never gets must not look as if it had been all. The Forwarder runs behind a server
// of the test, which knows when an answer is held back.
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";

import type { DialTarget } from "../../src/data-plane/dial-target.ts";
import { Forwarder } from "../../src/data-plane/forwarder.ts";
import { onCleanup } from "../support/cleanup.ts";
import { targetOf } from "../support/dial-target.ts";
import { connectRaw } from "../support/raw-client.ts";
import { startScriptedBackend } from "../support/scripted-backend.ts";
import { until } from "../support/until.ts";

/** More than the kernel takes for a client that does not read: with these before it, no answer gets out. */
const INTERIM = Buffer.alloc(16 * 1024 * 1024, "HTTP/1.1 102 Processing\r\nX: 12345\r\n\r\n");

const UNREAD_BODY = Buffer.alloc(32 * 1024 * 1024);
const UNREAD_POST = `POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: ${UNREAD_BODY.length}\r\n\r\n`;

const part = "x".repeat(10_000);
const partChunk = `2710\r\n${part}\r\n`;

test.for([
  {
    framing: "length",
    request: "GET /unread HTTP/1.1\r\nHost: a\r\n\r\n",
    head: "Content-Length: 20000",
    parts: [part, part],
  },
  {
    framing: "chunks",
    request: "GET /unread HTTP/1.1\r\nHost: a\r\n\r\n",
    head: "Transfer-Encoding: chunked",
    parts: [partChunk, `${partChunk}0\r\n\r\n`],
  },
  {
    framing: "length, whose request's body nobody reads",
    request: UNREAD_POST,
    head: "Content-Length: 20000",
    parts: [part, part],
  },
])("an answer framed by $framing is cut, not ended, after timeouts.http", async (row) => {
  const backend = await startScriptedBackend((connection) => connection.pause());
  const { url, responses } = await forwardTo(targetOf({ url: backend.url }));
  const client = await connectRaw(url);
  client.pause();
  await client.write(row.request);
  if (row.request === UNREAD_POST) client.socket.write(UNREAD_BODY);
  const sender = await backend.connection(0);
  await sender.write(`HTTP/1.1 200 OK\r\n${row.head}\r\n\r\n${row.parts[0]}`);
  const response = await until(
    "the first part is held back",
    () => responses[0]?.writableNeedDrain && responses[0],
  );
  await sender.write(row.parts[1] ?? "");
  await until("it is given up", () => response.destroyed || response.writableEnded);
  client.resume();
  await client.untilClosed();
  expect(client.buffered.toString("latin1")).not.toMatch(/x\r\n0\r\n\r\n$/);
});

test("a pipelined answer that is given up before its turn cuts the socket when it comes", async () => {
  const backend = await startScriptedBackend(() => {});
  const { url, responses } = await forwardTo(targetOf({ url: backend.url }));
  const client = await connectRaw(url);
  await client.write("GET /held HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
  const sender = await backend.connection(0);
  const body = part.repeat(7);
  await sender.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length + part.length}\r\n\r\n${body}`);
  const next = await until(
    "its first part is held back",
    () => responses[1]?.writableNeedDrain && responses[1],
  );
  await sender.write(part);
  await until("it is given up", () => next.destroyed || next.writableEnded);
  responses[0]?.end("ok");
  await client.untilClosed();
  expect(client.buffered.toString("latin1")).toMatch(/ok$/);
});

/**
 * A server that forwards each request but those to `/held`, until nothing was heard for 2 s, in which the test has
 * to have the backend speak. Those to `/unread` are answered into buffers that are full.
 */
async function forwardTo(target: DialTarget): Promise<{ url: string; responses: http.ServerResponse[] }> {
  const forwarder = new Forwarder({ idleTimeoutMs: () => 2_000, persistence: () => "keep-alive" });
  const responses: http.ServerResponse[] = [];
  const server = http.createServer((request, response) => {
    responses.push(response);
    if (request.url === "/held") return;
    if (request.url === "/unread") request.socket.write(INTERIM);
    void forwarder.forward({
      request,
      response,
      target,
      addresses: null,
      proxyHeader: null,
      path: "/",
      headers: request.rawHeaders,
      setCookie: null,
    });
  });
  // A socket that would go on stays open.
  server.keepAliveTimeout = 0;
  onCleanup("the server", () => void server.close());
  onCleanup("the server's sockets", () => server.closeAllConnections());
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, responses };
}
