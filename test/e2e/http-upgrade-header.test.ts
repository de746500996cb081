// Requests that ask for another protocol than WebSocket, and routes that serve WebSockets only.
import { describe, expect, test } from "vitest";

import { startEchoBackend } from "../support/echo-backend.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw } from "../support/raw-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

// h2c smuggling: a proxy that forwards `Upgrade: h2c` opens a tunnel to a backend that agrees, through
// which HTTP/2 requests pass by every rule of the proxy. Behind an upgrade that Node was told to ignore
// it reads no further request on the socket: so the answer says that it is the last one.
describe("an Upgrade to another protocol", () => {
  test("is ignored and not forwarded, and the answer is the last one on its socket", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const offers = [
      ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"],
      ["Upgrade: TLS/1.0", "Connection: Upgrade"],
      ["Upgrade: h2c, foo", "Connection: Upgrade"],
      ["Upgrade: websockets, x-websocket", "Connection: Upgrade"],
      ['Upgrade: "websocket"', "Connection: Upgrade"],
    ];
    for (const lines of offers) {
      const connection = await connectRaw(weir.url);
      await connection.write(["GET / HTTP/1.1", "Host: a", ...lines, "", ""].join("\r\n"));
      const head = await connection.readHead();
      expect.soft([lines, head.status, head.header("connection")]).toEqual([lines, 200, "close"]);
      await connection.readToEnd();
      const { headers } = backend.requests.at(-1) ?? {};
      expect.soft(headers?.upgrade).toBeUndefined();
      expect.soft(headers?.["http2-settings"]).toBeUndefined();
      expect.soft(headers?.connection).toBe("keep-alive");
    }
    expect(backend.requests).toHaveLength(offers.length);
    expect(backend.upgrades).toEqual([]);
  });

  test("with a body and a request behind it is answered once, with Connection: close", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    const lines = ["Host: a", "Upgrade: h2c", "Connection: Upgrade", "Content-Length: 5"];
    const second = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
    await connection.write(`${["POST /first HTTP/1.1", ...lines, "", ""].join("\r\n")}hello${second}`);
    expect((await connection.readHead()).header("connection")).toBe("close");
    const rest = (await connection.readToEnd()).toString();
    expect(rest).not.toContain("HTTP/1.1");
    expect(backend.requests.map(({ url, body }) => [url, body])).toEqual([["/first", "hello"]]);
  });

  test("that is refused says Connection: close too", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1");
    const connection = await connectRaw(weir.url);
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
    const head = await connection.readHead();
    expect([head.status, head.header("connection")]).toEqual([502, "close"]);
    await connection.readToEnd();
  });
});

test("a plain request where the route says http: reject is answered 426, and an upgrade may follow", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, {
    config: {
      routes: [
        { match: { path: "/page" }, pool: "chat" },
        { pool: "chat", http: "reject" },
      ],
    },
  });
  const connection = await connectRaw(weir.url);
  await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const head = await connection.readHead();
  expect(head.status).toBe(426);
  expect(head.header("upgrade")).toBe("websocket");
  expect(head.header("connection")).toBe("keep-alive, upgrade");
  const body = await connection.readBytes(Number(head.header("content-length")));
  expect(JSON.parse(body.toString())).toEqual({
    error: "http_rejected",
    message: "this address serves WebSocket upgrades only",
  });
  const { level } = await weir.log.entry("the refusal", ({ fields }) => fields["code"] === "http_rejected");
  expect(level).toBe("info");
  await connection.write("GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
  expect((await connection.readHead()).status).toBe(200);
  await openRaw(weir.url);
  expect(backend.requests.map(({ url }) => url)).toEqual(["/page"]);
  await untilMetric(weir.adminUrl, 1, "weir_http_requests_total", { pool: "chat", code: "426" });
});
