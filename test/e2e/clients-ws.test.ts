// The `ws` library through Weir, both as client and as server: the smallest file, compression,
// subprotocols, pings, and how connections end.
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";

import { onCleanup } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ownHost } from "../support/own-host.ts";
import { relayYaml } from "../support/relay.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { startWeir } from "../support/start-weir.ts";
import { expectRefusal, openClient } from "../support/ws-client.ts";

describe("the smallest file of the contract", () => {
  test("puts Weir in front of two ws servers", async () => {
    const servers = [await startServer("first"), await startServer("second")];
    // As in the contract, but for the ports: any free ones, of the admin server too.
    const weir = await spawnWeir(`
listeners: ["127.0.0.1:0"]
pools:
  chat: { backends: ["${servers[0]}", "${servers[1]}"] }
admin: { bind: "127.0.0.1:0" }
`);
    // Four users, told apart by the address that a trusted peer forwards.
    const clients = await Promise.all(
      [1, 2, 3, 4].map((user) => {
        const headers = { "X-Forwarded-For": `192.0.2.${user}` };
        return openClient(`${weir.url}/chat?room=1`, { headers });
      }),
    );
    const names = await Promise.all(clients.map((client) => client.nextText()));
    expect(names.toSorted()).toEqual([
      "first serves /chat?room=1",
      "first serves /chat?room=1",
      "second serves /chat?room=1",
      "second serves /chat?room=1",
    ]);
    for (const client of clients) expect(await client.ask("hello")).toBe("you said hello");
    expect(await clients[0]?.close(1000, "done")).toEqual({ code: 1000, reason: "done" });
  });
});

describe("a ws client and a ws server", () => {
  test("agree on permessage-deflate and use it in both directions", async () => {
    const compression = { threshold: 0, serverMaxWindowBits: 12 };
    const backend = await startEchoBackend({ ws: { perMessageDeflate: compression } });
    const { url } = await startWeir(relayYaml([backend.url]));
    const client = await openClient(url, { perMessageDeflate: { threshold: 0 } });
    const agreed = client.headers["sec-websocket-extensions"];
    expect(agreed).toBe("permessage-deflate; server_max_window_bits=12");
    // The same text again: its second frame refers to the window of the first, so no byte may be lost.
    const texts = ["", "short", "long ".repeat(20_000), "long ".repeat(20_000), "€".repeat(1_000)];
    for (const text of texts) expect(await client.ask(text)).toBe(text);
    await client.send(Buffer.alloc(3_000_000, 1));
    expect(await client.nextMessage()).toEqual({ data: Buffer.alloc(3_000_000, 1), isBinary: true });
  });

  test("go without it where the server wants it so", async () => {
    const backend = await startEchoBackend();
    const { url } = await startWeir(relayYaml([backend.url]));
    const client = await openClient(url);
    expect(client.socket.extensions).toBe("");
    expect(await client.ask("plain")).toBe("plain");
  });

  test("agree on a subprotocol", async () => {
    const backend = await startEchoBackend({ ws: { handleProtocols: () => "chat.v2" } });
    const { url } = await startWeir(relayYaml([backend.url]));
    const client = await openClient(url, { protocols: ["chat.v1", "chat.v2"] });
    expect(client.socket.protocol).toBe("chat.v2");
    expect(backend.upgrades[0]?.headers["sec-websocket-protocol"]).toBe("chat.v1,chat.v2");
  });

  test("ping each other", async () => {
    const backend = await startEchoBackend();
    const { url } = await startWeir(relayYaml([backend.url]));
    const client = await openClient(url);
    const server = await backend.socket(0);
    expect(await pingOnce(client.socket, "from the client")).toBe("from the client");
    expect(await pingOnce(server, "from the backend")).toBe("from the backend");
  });

  test.for([
    [1000, "", 1000, ""],
    [1001, "leaving", 1001, "leaving"],
    [4321, "x".repeat(123), 4321, "x".repeat(123)],
    [undefined, undefined, 1005, ""],
  ] as const)("close each other: %s", async ([code, reason, seenCode, seenReason]) => {
    const backend = await startEchoBackend();
    const { url } = await startWeir(relayYaml([backend.url]));
    const seen = { code: seenCode, reason: seenReason };
    const first = await openClient(url);
    expect((await first.close(code, reason)).code).toBe(seenCode);
    expect(await backend.close(0)).toEqual(seen);
    const second = await openClient(url);
    (await backend.socket(1)).close(code, reason);
    expect(await second.closed()).toEqual(seen);
  });

  test("exchange a thousand pipelined messages in order", async () => {
    const backend = await startEchoBackend();
    const { url } = await startWeir(relayYaml([backend.url]));
    const client = await openClient(url);
    const texts = Array.from({ length: 1_000 }, (_, index) => `message ${index}`);
    for (const text of texts) void client.send(text);
    for (const text of texts) expect(await client.nextText()).toBe(text);
  });

  test("meet again when the backend that died is back; until then the client gets 502", async () => {
    const backend = await startEchoBackend({ host: ownHost });
    const { url } = await startWeir(relayYaml([backend.url]));
    const client = await openClient(url);
    await backend.stop();
    expect(await client.closed()).toEqual({ code: 1012, reason: "backend lost" });
    expect((await expectRefusal(url)).status).toBe(502);
    await startEchoBackend({ host: ownHost, port: backend.port });
    expect(await (await openClient(url)).ask("who")).toBe("echo");
  });
});

/** A server as in the documentation of `ws`; returns its URL. */
async function startServer(name: string): Promise<string> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  server.on("connection", (socket, request) => {
    socket.on("message", (data: Buffer) => socket.send(`you said ${data.toString()}`));
    socket.send(`${name} serves ${request.url}`);
  });
  await once(server, "listening");
  onCleanup(`the server ${name}`, async () => {
    for (const client of server.clients) client.terminate();
    server.close();
    await once(server, "close");
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `ws://127.0.0.1:${address.port}`;
}

async function pingOnce(socket: WebSocket, payload: string): Promise<string> {
  const answered = once(socket, "pong");
  socket.ping(payload);
  const [data] = (await answered) as [Buffer];
  return data.toString();
}
