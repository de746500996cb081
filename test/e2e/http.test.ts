// Plain HTTP beside the WebSockets: requests and answers pass whole and streaming, on sockets that are kept.
import { Agent } from "node:http";
import { describe, expect, test } from "vitest";

import { onCleanup } from "../support/cleanup.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { ask } from "../support/http-client.ts";
import { untilMetric } from "../support/metrics.ts";
import { connectRaw, openRaw } from "../support/raw-client.ts";
import type { RawConnection } from "../support/raw-connection.ts";
import { answer, answerGarbage, startScriptedBackend } from "../support/scripted-backend.ts";
import { startInFrontOf, startInFrontOfEach } from "../support/start-in-front.ts";
import { openClient } from "../support/ws-client.ts";

async function untilPlainAnswer(connection: RawConnection): Promise<string> {
  const head = await connection.readHead();
  return (await connection.readBytes(Number(head.header("content-length") ?? "0"))).toString();
}

describe("a plain request", () => {
  test("reaches a backend with its method, path, query and body", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const path = "/a%2Fb//c/./d?x=1&y=%20&z=?";
    const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"];
    for (const method of methods) {
      const body = method === "GET" ? "" : `the body of ${method}`;
      const headers = { "Content-Length": String(body.length) };
      const echoed = await ask(weir.httpUrl, { path, method, body, headers });
      expect.soft(echoed.status, method).toBe(200);
      expect.soft(JSON.parse(echoed.body.toString())).toMatchObject({ method, url: path, body });
    }
    await untilMetric(weir.adminUrl, methods.length, "weir_http_requests_total", {
      pool: "chat",
      code: "200",
    });
  });

  test("keeps its target as it was written", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(`${backend.url}/base`);
    const targets = ["/a?", "//a//", "/a?b?c", "/a;b?&&=", "/?"];
    for (const path of targets) await ask(weir.httpUrl, { path });
    expect(backend.requests.map(({ url }) => url)).toEqual(targets.map((path) => `/base${path}`));
  });

  test("with HEAD is answered with the length and no body, and the socket is kept", async () => {
    const backend = await startScriptedBackend(async (connection) => {
      for (let i = 0; i < 2; i++) {
        await connection.readHead();
        await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
      }
    });
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    for (let i = 0; i < 2; i++) {
      await connection.write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
      const head = await connection.readHead();
      expect([head.status, head.header("content-length")]).toEqual([200, "1000"]);
    }
    expect(backend.connections).toHaveLength(1);
  });

  test("answered with 204 or 304 has no body, and the socket is kept", async () => {
    const statuses = [204, 304];
    const backends = await Promise.all(
      statuses.map((status) =>
        startScriptedBackend(answerGarbage(`HTTP/1.1 ${status} x\r\nETag: "a"\r\n\r\n`)),
      ),
    );
    const weir = await startInFrontOfEach(backends.map(({ url }) => url));
    const connection = await connectRaw(weir.url);
    for (const [i, status] of statuses.entries()) {
      await connection.write(`GET /${i} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const head = await connection.readHead();
      expect.soft([head.status, head.header("etag")]).toEqual([status, '"a"']);
      expect.soft(head.header("connection")).toBe("keep-alive");
      expect.soft(connection.buffered).toHaveLength(0);
    }
  });

  test("of HTTP/1.0 is answered with a body that ends with the socket", async () => {
    const body = "hello ".repeat(100);
    const backend = await startScriptedBackend(answer({ status: 200, body, framing: "chunked" }));
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("GET / HTTP/1.0\r\n\r\n");
    const head = await connection.readHead();
    expect(head.header("transfer-encoding")).toBeUndefined();
    expect((await connection.readToEnd()).toString()).toBe(body);
  });

  test("with Expect: 100-continue is told to go on, and its body passes", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    expect((await connection.readHead()).status).toBe(100);
    await connection.write("hello");
    expect(await untilPlainAnswer(connection)).toContain('"body":"hello"');
    expect(backend.requests[0]?.headers.expect).toBeUndefined();
    // The body was all that it waited with: the socket is good for the next.
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect((await connection.readHead()).status).toBe(200);
  });

  test("with Expect: 100-continue is not told to go on where a rule refuses it, or no backend takes it", async () => {
    const weir = await startInFrontOf("ws://127.0.0.1:1", {
      config: {
        listeners: [{ bind: "127.0.0.1:0", healthPath: "/health" }],
        routes: [
          { match: { path: "/denied" }, pool: "chat", deny: ["loopback"] },
          { match: { path: "/rejected" }, pool: "chat", http: "reject" },
          { match: { path: "/taken" }, pool: "chat" },
        ],
      },
    });
    const head = "HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    for (const [line, status] of Object.entries({
      "POST /denied": 403,
      "POST /rejected": 426,
      "POST /elsewhere": 404,
      "POST /a/..": 400,
      "POST /taken": 502,
      "GET /health": 200,
    })) {
      const connection = await connectRaw(weir.url);
      await connection.write(`${line} ${head}`);
      expect.soft([line, (await connection.readHead()).status]).toEqual([line, status]);
      // The body may come or not: what follows it on this socket nobody could tell from it.
      await connection.readToEnd();
    }
  });

  test("with Expect: 100-continue and no body is not told to go on", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    expect((await connection.readHead()).status).toBe(200);
  });

  test("that is an upgrade with an Expect is switched, and the backend does not see it", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const { response } = await openRaw(weir.url, { lines: ["Expect: 100-continue"] });
    expect(response.status).toBe(101);
    expect(backend.upgrades[0]?.headers.expect).toBeUndefined();
  });

  // Node by itself answers 417: past all rules, and without a line in the log.
  test("with an Expect that nobody knows is one like any other", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url, {
      config: { routes: [{ pool: "chat", deny: ["loopback"] }] },
    });
    const connection = await connectRaw(weir.url);
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n");
    expect((await connection.readHead()).status).toBe(403);
    await weir.log.entry("the refusal", ({ fields }) => fields["code"] === "address_denied");
  });

  test("with a chunked body reaches a backend chunked, and whole", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const body = Buffer.alloc(1_000_000, "0123456789");
    await ask(weir.httpUrl, { method: "POST", body, headers: { "Transfer-Encoding": "chunked" } });
    expect(backend.requests[0]?.headers["transfer-encoding"]).toBe("chunked");
    expect(backend.requests[0]?.body).toBe(body.toString());
  });
});

describe("an answer", () => {
  test("keeps its status, reason and lines, but those of its own hop", async () => {
    const lines = [
      "Set-Cookie: a=1",
      "Set-Cookie: b=2",
      "Connection: X-Hop, keep-alive",
      "X-Hop: 1",
      "Keep-Alive: timeout=5",
      "X-End: 2",
    ];
    const backend = await startScriptedBackend(answer({ status: 418, body: "short and stout", lines }));
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const head = await connection.readHead();
    expect(head.startLine).toBe("HTTP/1.1 418 Scripted");
    expect(head.header("set-cookie")).toBe("a=1, b=2");
    expect(head.headers).toContainEqual(["X-End", "2"]);
    expect(head.header("x-hop")).toBeUndefined();
    expect(head.header("keep-alive")).toBeUndefined();
    expect((await connection.readBytes(15)).toString()).toBe("short and stout");
  });

  // RFC 9110 §7.6.1: Connection names what is for this hop. Without its length, the body would end elsewhere
  // for the client than it did for us.
  test("cannot name its length for its own hop", async () => {
    const lines = ["Connection: Content-Length, X-Hop", "Connection: x-other-hop", "X-Other-Hop: 1"];
    const backend = await startScriptedBackend(answer({ status: 200, body: "12345", lines }));
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const head = await connection.readHead();
    expect(head.header("content-length")).toBe("5");
    expect(head.header("transfer-encoding")).toBeUndefined();
    expect(head.header("x-other-hop")).toBeUndefined();
    expect((await connection.readBytes(5)).toString()).toBe("12345");
  });

  test("arrives whole, however it is framed", async () => {
    const body = "0123456789".repeat(100_000);
    const framings = ["content-length", "chunked", "until-close"] as const;
    const backends = await Promise.all(
      framings.map((framing) => startScriptedBackend(answer({ status: 200, body, framing }))),
    );
    const weir = await startInFrontOfEach(backends.map(({ url }) => url));
    for (const [i, framing] of framings.entries()) {
      const received = await ask(`${weir.httpUrl}/${i}`);
      expect.soft(received.body.equals(Buffer.from(body)), framing).toBe(true);
    }
  });
});

describe("sockets", () => {
  test("are kept on both sides from one request to the next", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onCleanup("the agent", () => agent.destroy());
    const seen = new Set<string>();
    for (let i = 0; i < 5; i++) {
      const { headers } = await ask(`${weir.httpUrl}/${i}`, { agent });
      seen.add(String(headers.connection));
    }
    expect([...seen]).toEqual(["keep-alive"]);
    expect(backend.requests.map(({ url }) => url)).toEqual(["/0", "/1", "/2", "/3", "/4"]);
    expect(backend.requests.map(({ headers }) => headers.connection)).toEqual(Array(5).fill("keep-alive"));
  });

  test("of pipelined requests are answered in order", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    const paths = ["/0", "/1", "/2", "/3"];
    await connection.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join(""));
    for (const path of paths) expect(await untilPlainAnswer(connection)).toContain(`"url":"${path}"`);
  });

  test("of clients that ask for Connection: close are closed after the answer", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    await connection.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect((await connection.readHead()).header("connection")).toBe("close");
    await connection.readToEnd();
    expect(backend.requests[0]?.headers.connection).toBe("keep-alive");
  });

  test("that a backend closes while idle are no failure of the next request", async () => {
    const backend = await startScriptedBackend(async (connection) => {
      await connection.readHead();
      await connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      connection.finish();
    });
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    for (let i = 0; i < 20; i++) {
      await connection.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      expect(await untilPlainAnswer(connection)).toBe("ok");
    }
  });

  test("serve pages and WebSockets of one origin", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const client = await openClient(weir.url);
    const { status } = await ask(weir.httpUrl);
    expect(status).toBe(200);
    expect(await client.ask("who")).toBe("echo");
  });
});
